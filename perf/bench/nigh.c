// SPDX-License-Identifier: MIT
/*
 * nigh itself, through its public API: L1 only.
 *
 * Compiled three times: against the library as installed, and against two builds of it that differ
 * in how retired entries are freed (reclaim_unsafe.c, reclaim_call_rcu.c).
 */
#include "bench/candidate.h"
#include "support/fail.h"

/* Header, its share of a bucket and of a ring, and what an allocator rounds up: generous where room
 * is wanted, close where a bound is. */
#define ROOM_BYTES 160u
#define BOUND_BYTES 88u
#define ROOM_FIXED_BYTES (32u << 20)
#define BOUND_FIXED_BYTES (4u << 20)
/* For what waits for readers, on top: with the default, a 16th of a cache of 10k entries, limbo is
 * full whenever a grace period takes milliseconds, and puts that are dropped cost nothing. */
#define LIMBO_MAX_BYTES (16u << 20)
#define SETTLE_MAX_NS (2 * PERF_NS_PER_S)
#define CACHES_MAX 64u
#define TTL_MS (24u * 3600 * 1000)

static struct {
    struct nigh_space *space;
    struct nigh *cache;
} opened[CACHES_MAX];

static size_t find(const struct nigh_space *space)
{
    for (size_t i = 0; i < CACHES_MAX; i++)
        if (opened[i].space == space)
            return i;
    fail("too many caches open");
}

struct nigh *candidate_nigh_cache(const struct nigh_space *space)
{
    return opened[find(space)].cache;
}

static uint64_t live_for(const struct candidate_need *need)
{
    if (!need->bounded)
        return ROOM_FIXED_BYTES + need->entries * (need->value_bytes + ROOM_BYTES) * 5 / 4;
    return BOUND_FIXED_BYTES + need->entries * (need->value_bytes + BOUND_BYTES);
}

/* `limbo_bytes` 0: what is the default. */
static struct nigh_space *create(const struct candidate_need *need, enum nigh_policy policy,
                                 uint64_t limbo_bytes)
{
    struct nigh_options options = NIGH_OPTIONS_INIT;
    size_t i = find(NULL);
    uint64_t live = live_for(need);
    options.l1_policy = policy;
    options.l1_limbo = limbo_bytes;
    options.l1_memory = limbo_bytes ? live + limbo_bytes : live * 16 / 15;
    if (need->maps_singly)
        options.l1_huge_pages = NIGH_HUGE_NONE;
    options.space.soft_ttl_ms = TTL_MS; /* nothing expires while it is measured */
    if (need->options && nigh_options_parse(&options, need->options) != 0)
        fail("%s", nigh_options_error());
    if (nigh_open(&options, &opened[i].cache) != 0)
        fail("nigh_open failed: %s", nigh_options_error());
    if (nigh_space_open(opened[i].cache, "bench", NULL, NULL, NULL, NULL, &opened[i].space) != 0)
        fail("nigh_space_open failed: %s", nigh_options_error());
    return opened[i].space;
}

static uint64_t wide_limbo(const struct candidate_need *need)
{
    uint64_t live = live_for(need);
    return live < LIMBO_MAX_BYTES ? live : LIMBO_MAX_BYTES;
}

static struct nigh_space *nigh_create(const struct candidate_need *need)
{
    return create(need, NIGH_POLICY_LFU, wide_limbo(need));
}

static struct nigh_space *limbo_create(const struct candidate_need *need)
{
    return create(need, NIGH_POLICY_LFU, 0);
}

static struct nigh_space *lru_create(const struct candidate_need *need)
{
    return create(need, NIGH_POLICY_LRU, wide_limbo(need));
}

static int quiet_get(struct nigh_space *space, const void *key, size_t key_len,
                     const struct nigh_call *call, struct nigh_value *ret)
{
    static const struct nigh_call quiet = {.size = sizeof(quiet),
                                           .flags = NIGH_L1_ONLY | NIGH_QUIET};
    (void)call;
    return nigh_get(space, key, key_len, &quiet, ret);
}

static void nigh_settle(struct nigh_space *space)
{
    struct nigh *cache = candidate_nigh_cache(space);
    uint64_t end_ns = now_ns() + SETTLE_MAX_NS;
    while (nigh_stats_value(cache, NULL, "limbo_bytes") > 0 && now_ns() < end_ns)
        sleep_ns(PERF_NS_PER_MS);
}

static void nigh_destroy(struct nigh_space *space)
{
    size_t i = find(space);
    nigh_settle(space); /* with call_rcu, callbacks would outlive the cache */
    opened[i].space = NULL;
    nigh_close(opened[i].cache);
}

static uint64_t nigh_dropped(struct nigh_space *space)
{
    return (uint64_t)nigh_stats_value(candidate_nigh_cache(space), NULL, "l1_refused_full");
}

static void nigh_invalidate_tag(struct nigh_space *space, const char *tag)
{
    struct nigh_target target = {
        .kind = NIGH_TARGET_TAG, .name = tag, .name_len = strlen(tag)};
    if (nigh_invalidate_many(candidate_nigh_cache(space), &target, 1, NULL) != 0)
        fail("nigh_invalidate_many failed");
}

#define CANDIDATE(title, make, read)                                                               \
    {                                                                                              \
        .name = title, .create = make, .destroy = nigh_destroy, .get = read,                       \
        .get_many = nigh_get_many, .release = nigh_release, .put = nigh_put,                       \
        .settle = nigh_settle, .dropped = nigh_dropped, .invalidate_tag = nigh_invalidate_tag      \
    }

const struct candidate candidate_nigh = CANDIDATE("nigh", nigh_create, nigh_get);
const struct candidate candidate_quiet = CANDIDATE("quiet", nigh_create, quiet_get);
const struct candidate candidate_limbo = CANDIDATE("limbo", limbo_create, nigh_get);
const struct candidate candidate_nigh_lru = CANDIDATE("nigh lru", lru_create, nigh_get);
