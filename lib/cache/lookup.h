/* SPDX-License-Identifier: MIT */
/*
 * What an answer of L2 is worth here: decode the envelope, judge it, make an L1 entry of it.
 */
#ifndef NIGH_CACHE_LOOKUP_H
#define NIGH_CACHE_LOOKUP_H

#include "cache/cache.h"
#include "cache/verdict.h"

struct lookup {
    enum verdict verdict;
    bool bad;               /* GONE: no envelope, or a value above NIGH_VALUE_MAX */
    bool storable;          /* coherent, and outdated by time at most: may enter L1 */
    struct l1_entry *entry; /* with one reference, the caller's; NULL if GONE */
    uint64_t fill_id;       /* of what was looked at, as the scripts see it; 0: none */
};

/* What is looked at. */
struct lookup_of {
    enum l2_verdict verdict;
    struct bytes value; /* L2_VALUE */
    uint64_t home;      /* the answer's */
    bool passes;        /* it is handed out and not stored: then it is not L1's memory ... */
    struct l1_shared *shared; /* ... but in this, with others; NULL: alone */
};

/* Errors: NIGH_ENOMEM. `ticket` was taken before the answer was asked for. */
int lookup_value(struct nigh_space *space, const struct l1_key *key, uint64_t ticket,
                 const struct lookup_of *of, struct lookup *ret);

/* The same of an answer about one key, for who stores what it finds. */
static inline int lookup_answer(struct nigh_space *space, const struct l1_key *key, uint64_t ticket,
                                const struct l2_answer *answer, struct lookup *ret)
{
    struct lookup_of of = {answer->verdict, answer->value, answer->home, false, NULL};
    return lookup_value(space, key, ticket, &of, ret);
}

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
