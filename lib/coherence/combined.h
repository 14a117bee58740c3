/* SPDX-License-Identifier: MIT */
/*
 * One script for the invalidations of several calls. Private to combined.c, which sends and settles
 * it, and to combine.c, which has calls join it and wait for it.
 *
 *   PENDING --> SENT --> ANSWERED --> SETTLING --> SETTLED    accepted: every call returns 0
 *      |          |          ^            |------> UNKNOWN    every call queues its own items
 *      |          |          |            |------> APART      every call asks once more, alone
 *      |          |          |            |
 *      |          |          +--- SENT <--+  other schemas: once more, with all names
 *      +----------+--> UNKNOWN  could not be sent
 *
 * Under the combine lock: `combine.pending` is PENDING, and nothing else is; items are added in
 * that state only. A script ends in one of the three states on the right. It is retired, to be used
 * again, by the last call that leaves it; by who ends or answers it if all have left before.
 */
#ifndef NIGH_COHERENCE_COMBINED_H
#define NIGH_COHERENCE_COMBINED_H

#include "coherence/combine.h"

enum { PENDING, SENT, ANSWERED, SETTLING, SETTLED, UNKNOWN, APART };

/* Keys: (b) combine lock  (o) who has set SETTLING, or sends  (d) written before `word` says so */
struct combined {
    struct coherence *coherence;
    _Atomic uint32_t word;    /* (b) futex word: where it stands. pair(coherence.combined) */
    uint32_t calls;           /* (b) have joined */
    uint32_t waiting;         /* (b) ... and have not left */
    uint32_t left_items;      /* (b) items of calls that left at their deadline */
    bool counts;              /* (b) is one of those under way */
    uint64_t due_ns;          /* constant: sent then at the latest */
    uint64_t deadline_ns;     /* (b) the latest of the calls */
    struct l2_answer *answer; /* (d) ANSWERED */
    uint64_t call;            /* (o) as of its script */
    uint64_t nonce;           /* (o) */
    struct coherence_position known; /* (o) */
    uint32_t sent;            /* (o) how often */
    struct combine_outcome outcome; /* (d) SETTLED */
    struct combined *next;    /* (b) among the spare ones */
    uint32_t item_count;      /* (b) until it is sent; constant then */
    uint32_t text_len;        /* (b) */
    struct coherence_item items[COMBINE_ITEMS_MAX];
    uint8_t text[COMBINE_TEXT_BYTES]; /* their names */
};

static inline uint32_t combined_state(const struct combined *b)
{
    /* pair(coherence.combined): what belongs to the state is there */
    return atomic_load_explicit(&b->word, memory_order_acquire);
}

/* Returns how many scripts may be under way before newcomers wait. */
uint32_t combined_places_locked(const struct coherence_combine *m) REQUIRES(m->lock);
/* Notes a script of so many calls. */
void combined_note_crowd_locked(struct coherence_combine *m, uint32_t calls) REQUIRES(m->lock);
/* Takes what is pending, to be sent; NULL: nothing is. `counts`: as one of those under way. */
struct combined *combined_take_locked(struct coherence_combine *m, bool counts) REQUIRES(m->lock);
/* Sends what was taken. Where that cannot be it ends it: UNKNOWN. */
void combined_send(struct combined *b);
/* Settles the answer if that is there, and nobody else does. False: there is nothing to settle. */
bool combined_settle(struct combined *b);
/* Keeps it for the next one. Returns what is to be dropped, or NULL. */
struct combined *combined_retire_locked(struct coherence_combine *m, struct combined *b)
    REQUIRES(m->lock);
/* Frees one that nobody has; none if `b` is NULL. */
void combined_drop(struct coherence *c, struct combined *b);

#endif
