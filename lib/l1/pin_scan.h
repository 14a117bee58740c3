/* SPDX-License-Identifier: MIT */
/*
 * Reading all pin slots: what the reclaimer may not free, how many values are held, and a cache
 * that takes its entries' addresses out of them. (Why a scan sees all that counts: pin.h.)
 */
#ifndef NIGH_L1_PIN_SCAN_H
#define NIGH_L1_PIN_SCAN_H

#include "l1/l1.h"

/* Call `visit` with every entry that some slot names now; the references must have been looked at
 * before. Returns how many slots there are. */
uint64_t pin_scan(void (*visit)(void *arg, const struct l1_entry *e), void *arg);
/* Count the scans in this process so far, for tests. */
uint64_t pin_scans(void);
/* Count the slots in use by all threads, of entries of all caches, or of one (approximate). */
uint64_t pin_count(void);
uint64_t pin_count_of(uint32_t cache_id);
/* Take the addresses of this cache's entries out of all slots: it is about to be destroyed. */
void pin_forget(uint32_t cache_id);
/* Keep fork() from coming while a thread counts the pins of one cache. Once. False: no memory. */
bool pin_scan_watch_forks(void);

#endif
