/* SPDX-License-Identifier: MIT */
/*
 * A value on its way into the tiers: what a loader answered, what a caller put or wrote, what L2
 * had.
 *
 * Its bringer describes it once. Everything that is stored of it is made from the description: the
 * entry of L1, the envelope in Redis, and the fill that carries the envelope there.
 */
#ifndef NIGH_CACHE_VALUE_DRAFT_H
#define NIGH_CACHE_VALUE_DRAFT_H

#include "cache/cache.h"

/* A value and all that is known of it. A field left zero means: not known, or not so. */
struct draft {
    struct nigh_space *space;
    struct l1_key key;
    struct bytes bytes;                 /* not the draft's: they outlive it */
    bool absent;                        /* "does not exist": no bytes, not stale at its end */
    bool refreshed;                     /* a refresh has brought it: L1_REFRESHED */
    bool passes;                        /* only handed out, not stored in L1 ... */
    struct l1_shared *shared;           /* ... in memory with others that pass; NULL: in its own */
    uint64_t version;

    const uint8_t *tags;                /* wire hashes, as in an envelope; not the draft's */
    uint32_t tag_count;
    const struct l1_entry *confirmed;   /* without tags: has them, but knows only their slots */

    uint32_t soft_ms;
    uint32_t stale_ms;
    uint64_t asked_ns;                  /* when the origin was asked, or before; 0: "as of now" */
    int64_t born_ns;                    /* that, as it is stored; before the clock: negative */
    int64_t filled_ns;                  /* from when its lifetimes count; as above */
    uint32_t cost_us;                   /* how long its load took */

    uint64_t ticket;                    /* taken before anybody looked (rule 1) ... */
    struct coherence_position position; /* ... and where Redis' clock was then */
    uint64_t home;
    uint64_t token;                     /* names the lease; the envelope's fill id */
    uint64_t connection;                /* connection that granted the lease */
};

/* Set both lifetimes: what the bringer says, else the space's rule for a value or an absence
 * (`absent` is set before), each spread by a noise of its own. */
void draft_set_lifetimes(struct draft *d, uint32_t own_soft_ms, uint32_t own_stale_ms,
                         uint64_t soft_noise, uint64_t stale_noise);
/* Declare the value to be as of when the origin was asked, or of now: its lifetimes begin now. */
void draft_begin_now(struct draft *d);

/* Find the slots of its tags: computed into `own`, or where they lie already; *ret is where.
 * Returns how many. */
uint32_t draft_slots(const struct draft *d, uint16_t own[NIGH_TAGS_MAX], const uint16_t **ret);
/* Whether all its tags are there, not only their slots. */
bool draft_knows_tags(const struct draft *d);
/* Describe the value to L1; the slots of its tags may lie in `slots`. */
struct l1_value draft_l1_value(const struct draft *d, uint16_t slots[NIGH_TAGS_MAX]);
/* Create an entry with one reference, loose (outside the arena) if the value only passes. Errors:
 * as l1_entry_create(). */
int draft_entry(const struct draft *d, struct l1_entry **ret);
/* Create an entry with one reference and store it in L1, if L1 takes it; how that went is
 * counted. */
int draft_entry_stored(const struct draft *d, struct l1_entry **ret);

/* Whether the value is within the space's limit (space.value_max); counted if it is not. */
bool draft_within_limit(const struct draft *d);
/* Whether the value is small enough for Redis, if it goes there: as it is, for how small it can be
 * made is not known yet. Counted if it is not. */
bool draft_fits_l2(const struct draft *d);
/* Returns the value's envelope, in general memory (*ret_size bytes), or NULL. */
void *draft_envelope(const struct draft *d, size_t *ret_size);
/* Returns how long Redis keeps the value. */
uint32_t draft_hard_ms(const struct draft *d);
/* Send the fill under its token. Errors: NIGH_ENOMEM; as l2_fill(). */
int draft_fill_l2(const struct draft *d, const struct l2_op *op);
/* Learn from the answer to a fill, or to many of a space, whose status is 0; and count a fill, by
 * the status of its answer and its verdict. */
void draft_note_fills(struct nigh_space *space, const struct l2_answer *answer);
void draft_count_fill(struct nigh_space *space, int status, enum l2_verdict verdict);
/* Learn from the answer to a fill, and count it. */
void draft_note_filled(struct nigh_space *space, const struct l2_answer *answer);

#endif
