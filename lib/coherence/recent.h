/* SPDX-License-Identifier: MIT */
/*
 * Own changes that Redis has accepted in the last RECENT_NS, each with the identity of the clock
 * that it was accepted under: told again when another one is followed (rule 13), because the server
 * that accepted them may have died with its tail, or have been no master any more.
 *
 * Two halves of a fixed block: notes go into one; when it is full, or RECENT_NS old, the other is
 * emptied and takes its place. So a note younger than RECENT_NS is there, unless a half has filled
 * up in less time; then `dropped_ns` says when, and a soft `all` is told instead.
 *
 * Thread-safety: none; under the apply lock.
 */
#ifndef NIGH_COHERENCE_RECENT_H
#define NIGH_COHERENCE_RECENT_H

#include "coherence/coherence.h"

#define RECENT_NS (10 * NS_PER_S)
#define RECENT_HALF_BYTES (512u << 10) /* some 8,000 keys of 40 bytes */

/* Keys: (l) all. */
struct recent_half {
    uint64_t begun_ns; /* (l) first note */
    size_t used;       /* (l) */
};

struct recent {
    uint8_t *block;             /* (c) two halves; pages that nobody uses stay untouched */
    struct recent_half half[2]; /* (l) */
    uint32_t current;           /* (l) */
    uint64_t dropped_ns;        /* (l) when a note younger than RECENT_NS was lost; 0: never */
    uint64_t dropped_told;      /* (l) the identity under which soft ALL was told for it */
};

/* 0 or NIGH_ENOMEM. */
int recent_init(struct recent *r);
void recent_fini(struct recent *r);
void recent_note(struct recent *r, const struct coherence_item *item, uint64_t identity,
                 uint64_t now_ns);
/* Hands out the changes that are young enough and were accepted under another identity, and a soft
 * ALL if some were dropped. They count as accepted under this one from here on: they are queued
 * until they are. */
void recent_each(struct recent *r, uint64_t identity, uint64_t now_ns,
                 void (*each)(void *arg, const struct coherence_item *item), void *arg);

#endif
