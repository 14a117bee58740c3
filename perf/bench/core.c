// SPDX-License-Identifier: MIT
/*
 * nigh's read path inlined into the timing loop, in steps: what a call costs, and each feature.
 *
 * Compiled together with the whole library in one unit (link-time optimisation), so that nothing of
 * the hit is a call; `flatten` makes sure of it. The steps are those of read_hit() in
 * lib/cache/read/hit.h, which is measured, exported, beside them.
 *
 *   find      hash, lookup: nobody writes while this is measured
 *   section   + RCU read section
 *   pin       + a pin slot, and its release
 *   ttl       + the lifetime, at a time that is given
 *   floors    + floors and trust
 *   touch     + the hit noted in the entry, if its counter is not full
 *   count     + the thread's counters
 *   clock     + the kernel's coarse clock read: all of a hit
 */
#include "bench/candidate.h"
#include "cache/cache.h"
#include "cache/sample.h"
#include "cache/value/freshness.h"

static uint64_t given_now_ns;

static inline uint64_t core_now_ns(const struct nigh *cache, enum core_feature upto)
{
    return upto >= CORE_CLOCK ? clock_coarse_ns(&cache->clock) : given_now_ns;
}

static inline bool core_judge(enum core_feature upto, struct nigh_space *space, struct l1_entry *e,
                              uint64_t now_ns)
{
    if (upto >= CORE_TTL && NIGH_UNLIKELY(!l1_entry_fresh_at(e, now_ns)))
        return false;
    if (upto >= CORE_FLOORS && NIGH_UNLIKELY(!l1_is_current(&space->l1, e)))
        return false;
    uint32_t touched = upto >= CORE_TOUCH ? l1_touch(e, l1_generation(&space->l1.hit)) : 0;
    if (NIGH_UNLIKELY(touched))
        sample_hit(space, e, touched, NIGH_TRACE_FRESH, l1_ticks_of(now_ns));
    return true;
}

/* The few that are no plain hits: another key's entry came first. */
NIGH_OUTLINED static int core_get_long(struct nigh_space *space, const void *key, size_t key_len,
                                       struct nigh_value *ret)
{
    return nigh_get(space, key, key_len, NULL, ret);
}

static inline int core_get(enum core_feature upto, struct nigh_space *space, const void *key,
                           size_t key_len, struct nigh_value *ret)
{
    struct nigh *cache = space->cache;
    struct rcu_section section;
    uint64_t trusted_until_ns = UINT64_MAX;
    size_t len;
    if (upto >= CORE_SECTION && NIGH_UNLIKELY(!rcu_enter_short(&section)))
        return core_get_long(space, key, key_len, ret);
    if (upto >= CORE_FLOORS)
        trusted_until_ns = freshness_trusted_until(cache);
    uint64_t hash = l1_hash(&space->l1, key, key_len);
    struct l1_entry *e = l1_likely_rcu(&space->l1, l1_bucket_rcu(&space->l1, hash), hash);
    uintptr_t pin = upto >= CORE_PIN && NIGH_LIKELY(e) ? l1_hold_rcu(e) : 0;
    if (upto >= CORE_SECTION)
        rcu_leave_short(section);
    if (NIGH_UNLIKELY(!e || (upto >= CORE_PIN && !pin)))
        return core_get_long(space, key, key_len, ret);
    l1_entry_prefetch(e, key_len);
    uint64_t now_ns = core_now_ns(cache, upto);
    if (NIGH_UNLIKELY(now_ns >= trusted_until_ns ||
                      !l1_is_value(&space->l1, e, key, key_len, &len) ||
                      !core_judge(upto, space, e, now_ns))) {
        l1_unpin(pin);
        return core_get_long(space, key, key_len, ret);
    }
    *ret = (struct nigh_value){e->bytes + key_len, len, pin};
    if (upto >= CORE_COUNT)
        stats_count(&space->stats, STATS_L1_FRESH);
    return NIGH_FRESH;
}

static inline void core_release(struct nigh_value *value)
{
    l1_unpin(value->pin);
}

/* A get and its loops for each step: what loop_run() is given has to be a constant. */
#define CORE(step, upto)                                                                           \
    static inline int get_##step(struct nigh_space *space, const void *key, size_t key_len,        \
                                 const struct nigh_call *call, struct nigh_value *ret)             \
    {                                                                                              \
        (void)call;                                                                                \
        return core_get(upto, space, key, key_len, ret);                                           \
    }                                                                                              \
    __attribute__((flatten)) static uint64_t chain_##step(                                         \
        struct nigh_space *space, const struct sequence *s, uint64_t at, uint64_t count)           \
    {                                                                                              \
        given_now_ns = clock_coarse_ns(&space->cache->clock);                                      \
        return loop_run(get_##step, core_release, LOOP_CHAIN, space, s, at, count);                \
    }                                                                                              \
    __attribute__((flatten)) static uint64_t free_##step(                                          \
        struct nigh_space *space, const struct sequence *s, uint64_t at, uint64_t count)           \
    {                                                                                              \
        given_now_ns = clock_coarse_ns(&space->cache->clock);                                      \
        return loop_run(get_##step, core_release, LOOP_FREE, space, s, at, count);                 \
    }

CORE(find, CORE_FIND)
CORE(section, CORE_SECTION)
CORE(pin, CORE_PIN)
CORE(ttl, CORE_TTL)
CORE(floors, CORE_FLOORS)
CORE(touch, CORE_TOUCH)
CORE(count, CORE_COUNT)
CORE(clock, CORE_CLOCK)

static struct nigh_space *core_create(const struct candidate_need *need)
{
    return candidate_nigh.create(need);
}

static void core_destroy(struct nigh_space *space)
{
    candidate_nigh.destroy(space);
}

static void core_invalidate_tag(struct nigh_space *space, const char *tag)
{
    candidate_nigh.invalidate_tag(space, tag);
}

#define CANDIDATE(step, text)                                                                      \
    {                                                                                              \
        .name = text, .create = core_create, .destroy = core_destroy, .get = nigh_get,             \
        .release = nigh_release, .put = nigh_put, .invalidate_tag = core_invalidate_tag,           \
        .loop = {chain_##step, free_##step}                                                        \
    }

const struct candidate candidate_core[CORE_FEATURES] = {
    [CORE_FIND] = CANDIDATE(find, "find"),
    [CORE_SECTION] = CANDIDATE(section, "section"),
    [CORE_PIN] = CANDIDATE(pin, "pin"),
    [CORE_TTL] = CANDIDATE(ttl, "ttl"),
    [CORE_FLOORS] = CANDIDATE(floors, "floors"),
    [CORE_TOUCH] = CANDIDATE(touch, "touch"),
    [CORE_COUNT] = CANDIDATE(count, "count"),
    [CORE_CLOCK] = CANDIDATE(clock, "core"),
};
