/* SPDX-License-Identifier: MIT */
/*
 * A candidate: one that is measured, or is measured against, behind one call.
 *
 * A baseline has nigh's own signatures and result struct (24 bytes: data, len, pin), is exported
 * from a file of its own and is called through the same pointer. So nobody's lookup is inlined into
 * the timing loop, and what a call costs is in every figure. Where nigh has a `struct nigh_space *`
 * a baseline hands out its own table under that name. The exception is `core`, nigh's read path
 * inlined into the loop, which shows what the call itself costs.
 *
 * All hash with XXH3 from the packaged header and allocate with the same allocator.
 */
#ifndef PERF_BENCH_CANDIDATE_H
#define PERF_BENCH_CANDIDATE_H

#include <nigh/nigh.h>

#include "bench/loop.h"

struct candidate_need {
    uint64_t entries;
    uint32_t value_bytes; /* of each */
    bool bounded;         /* evict the oldest beyond `entries`; one writer */
    const char *tag;      /* of every value; NULL: none (nigh only) */
    bool maps_singly;     /* tables in mappings of their own, not in regions (nigh only) */
    const char *options;  /* as nigh_options_parse() takes them; NULL: none (nigh only) */
};

struct candidate {
    const char *name;
    struct nigh_space *(*create)(const struct candidate_need *need);
    void (*destroy)(struct nigh_space *space);
    candidate_get_fn *get;
    candidate_get_many_fn *get_many; /* NULL: it has none */
    candidate_release_fn *release;
    int (*put)(struct nigh_space *space, const void *key, size_t key_len, const void *value,
               size_t len, const struct nigh_call *call);
    /* Wait until what was put off (reclamation) is done; NULL: nothing ever is. */
    void (*settle)(struct nigh_space *space);
    /* Puts that were not stored so far; NULL: there never are any. */
    uint64_t (*dropped)(struct nigh_space *space);
    /* With other threads a reader may see what is being written: wrong values are counted. */
    bool is_unsafe;
    /* NULL: it has no tags. */
    void (*invalidate_tag)(struct nigh_space *space, const char *tag);
    /* A timing loop of its own, inlined; NULL: the common one. */
    loop_fn *loop[LOOP_KINDS];
};

extern const struct candidate candidate_nigh;     /* libnigh.a, as installed */
extern const struct candidate candidate_quiet;    /* its reads leave no trace: NIGH_QUIET */
extern const struct candidate candidate_limbo;    /* its limbo as small as it is by default */
extern const struct candidate candidate_nigh_lru; /* l1.policy=lru */
extern const struct candidate candidate_floor;    /* copy on write, freed at once, no more */
extern const struct candidate candidate_lru;      /* exact LRU, 64 mutexes, copies out */
extern const struct candidate candidate_tinylfu;  /* W-TinyLFU, the same */
extern const struct candidate candidate_lfht;     /* bare cds_lfht in an RCU section, call_rcu */
extern const struct candidate candidate_mutex;    /* 64 mutexes, chains, copies out */
extern const struct candidate candidate_ck;       /* ck_ht in an RCU section, writers' mutex */
extern const struct candidate candidate_glib;     /* GHashTable, one mutex, copies out */
extern const struct candidate candidate_tbb;      /* its concurrent_hash_map, copies out */
extern const struct candidate candidate_cuckoo;   /* libcuckoo's cuckoohash_map, copies out */
extern const struct candidate candidate_limit;    /* two dependent loads, nothing else */
extern const struct candidate candidate_unsafe;   /* nigh that frees at once: wrong with readers */
extern const struct candidate candidate_call_rcu; /* nigh with a call_rcu for each entry */

/* nigh's read path inlined into the loop, feature by feature; the last is all of it. */
enum core_feature {
    CORE_FIND,
    CORE_SECTION,
    CORE_PIN,
    CORE_TTL,
    CORE_FLOORS,
    CORE_TOUCH,
    CORE_COUNT,
    CORE_CLOCK,
    CORE_FEATURES
};
#define CORE_FULL CORE_CLOCK
extern const struct candidate candidate_core[CORE_FEATURES];

/* The cache behind candidate_nigh's space. */
struct nigh *candidate_nigh_cache(const struct nigh_space *space);

#endif
