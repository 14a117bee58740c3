/* SPDX-License-Identifier: MIT */
/*
 * Judging an answer of L2: decode the envelope, tell what the value is worth here, make an L1 entry
 * of it.
 */
#ifndef NIGH_CACHE_VALUE_LOOKUP_H
#define NIGH_CACHE_VALUE_LOOKUP_H

#include "cache/cache.h"
#include "cache/value/verdict.h"

struct lookup {
    enum verdict verdict;
    /* what verdict and entry come from, if the value decodes */
    enum l1_standing floors;
    enum verdict_trust trust;
    enum verdict_lifetime lifetime; /* of `entry` */
    bool bad;               /* GONE: no envelope, or a value above NIGH_VALUE_MAX */
    bool undone;            /* GONE: compressed, and not to be decompressed here */
    bool unpacked;          /* it was compressed, and has been decompressed */
    bool storable;          /* coherent, and outdated by time at most: may enter L1 */
    struct l1_entry *entry; /* with one reference, the caller's; NULL if GONE */
    uint64_t fill_id;       /* names the value looked at, as scripts see it; 0: none */
};

/* A value to be looked at, and how. */
struct lookup_of {
    enum l2_verdict verdict;
    struct bytes value; /* L2_VALUE */
    uint64_t home;      /* the answer's */
    bool refreshed;     /* asked for by a refresh: L1_REFRESHED */
    bool passes;        /* handed out and not stored, so not in L1's arena ... */
    struct l1_shared *shared; /* ... but in this memory, with others; NULL: in its own */
};

/* Decode and judge a value, and make its entry. `ticket` was taken before the answer was asked for.
 * Errors: NIGH_ENOMEM. */
int lookup_value(struct nigh_space *space, const struct l1_key *key, uint64_t ticket,
                 const struct lookup_of *of, struct lookup *ret);
/* Do as lookup_value(), but count nothing. */
int lookup_judge(struct nigh_space *space, const struct l1_key *key, uint64_t ticket,
                 const struct lookup_of *of, struct lookup *ret);

/* Look at the value in an answer about one key, for a caller that stores what it finds. */
static inline int lookup_answer(struct nigh_space *space, const struct l1_key *key, uint64_t ticket,
                                const struct l2_answer *answer, bool refreshed, struct lookup *ret)
{
    struct lookup_of of = {answer->verdict, answer->value, answer->home, refreshed, false, NULL};
    return lookup_value(space, key, ticket, &of, ret);
}

/* Whether a change in the queue will invalidate the key in Redis, or a value with these tags. */
bool lookup_l2_covered(const struct nigh_space *space, const struct l1_key *key,
                       const uint8_t *tags, uint32_t tag_count);
/* Whether L2 has values of the space. */
static inline bool lookup_l2_has_values(const struct nigh_space *space)
{
    return space->cache->l2 && !space->rules.invalidations_only;
}
/* Whether L2 may be asked about (and given) this key now. */
bool lookup_l2_usable(const struct nigh_space *space, const struct l1_key *key);

/* Put an entry into L1 and count how it went; `key` is the entry's own. */
enum l1_store_result lookup_store(struct nigh_space *space, const struct l1_key *key,
                                  struct l1_entry *e);

#endif
