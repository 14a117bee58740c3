/* SPDX-License-Identifier: MIT */
/*
 * Pages of pin slots, as those see them who pin the slow way, or read them all.
 */
#ifndef NIGH_L1_PIN_PAGE_H
#define NIGH_L1_PIN_PAGE_H

#include "l1/pin.h"

/* A page of no thread. Its address stands in slots that name no entry, and are not free. */
extern NIGH_HIDDEN struct pin_page pin_no_page;
#define PIN_TAKEN ((struct l1_entry *)&pin_no_page)

/* Let threads have pages: each has to be able to give them up as it ends. Once. */
void pin_pages_prepare(void);
/* Find a free slot for this thread, from which its next search goes on. NULL: there is no memory
 * for one. */
pin_slot_t *pin_slot_take(void);
/* The page that came last, whose `next` leads to all others. */
struct pin_page *pin_pages_first(void);

#endif
