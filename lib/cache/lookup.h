/* SPDX-License-Identifier: MIT */
/*
 * What an answer of L2 is worth here: decode the envelope, judge it, make an L1 entry of it.
 */
#ifndef NIGH_CACHE_LOOKUP_H
#define NIGH_CACHE_LOOKUP_H

#include "cache/cache.h"

enum lookup_verdict {
    LOOKUP_NOTHING, /* none, expired, of the future, below a hard position, or queued */
    LOOKUP_BAD,     /* bytes that are no envelope, or a value above NIGH_VALUE_MAX */
    LOOKUP_KEPT,    /* past its stale window: only to show to the loader (space.keep) */
    LOOKUP_STALE,   /* may be handed out as stale */
    LOOKUP_FRESH,
};

struct lookup {
    enum lookup_verdict verdict;
    struct l1_entry *entry; /* KEPT, STALE, FRESH: with one reference, the caller's */
    uint64_t fill_id;       /* of what was looked at, as the scripts see it; 0: none */
    bool storable;          /* coherent, and outdated by time at most: may enter L1 */
};

/* Errors: NIGH_ENOMEM. `ticket` was taken before the answer was asked for. */
int lookup_answer(struct nigh_space *space, const struct l1_key *key, uint64_t ticket,
                  const struct l2_answer *answer, struct lookup *ret);

/* Whether a queued change will invalidate it in Redis: the key, or a value with these tags. */
bool lookup_l2_covered(const struct nigh_space *space, const struct l1_key *key,
                       const uint8_t *tags, uint32_t tag_count);
/* Whether L2 may be asked about (and given) this key now. */
bool lookup_l2_usable(const struct nigh_space *space, const struct l1_key *key);

/* Put an entry into L1 and count how it went; `key` is the entry's own. */
enum l1_store_result lookup_store(struct nigh_space *space, const struct l1_key *key,
                                  struct l1_entry *e);
/* The counting alone. */
void lookup_count_store(struct nigh_space *space, enum l1_store_result result);

#endif
