// SPDX-License-Identifier: MIT
/*
 * nigh's read path inlined into the timing loop, in steps: what a call costs, and each feature.
 *
 * Compiled together with the whole library in one unit (link-time optimisation), so that nothing of
 * the hit is a call; `flatten` makes sure of it. The steps are those of read_hit() in
 * lib/cache/read_l1.h, which is measured, exported, beside them.
 *
 *   find    hash, read section, lookup
 *   pin     + a pin slot, and its release
 *   judge   + lifetimes, floors, trust (the time given), the hit noted, counted
 *   clock   + the kernel's coarse clock read: all of a hit
 */
#include "bench/candidate.h"
#include "cache/cache.h"
#include "cache/freshness.h"

static uint64_t given_now_ns;

static inline uint64_t core_now_ns(const struct nigh *cache, enum core_feature upto)
{
    return upto >= CORE_CLOCK ? clock_coarse_ns(&cache->clock) : given_now_ns;
}

static inline bool core_judge(struct nigh *cache, struct l1_entry *e, uint64_t now_ns)
{
    if (!freshness_is_fresh(cache, e, now_ns) || l1_entry_flags(e))
        return false;
    if (l1_touch_rcu(e))
        l1_report_hit_rcu(cache->l1, e);
    return true;
}

static inline int core_hand_out(struct nigh *cache, struct l1_entry *e, const struct l1_key *key,
                                enum core_feature upto, struct nigh_value *ret)
{
    bool copied;
    if (upto < CORE_PIN) {
        struct bytes value = l1_entry_value(e);
        *ret = (struct nigh_value){value.data, value.len, 0};
        return NIGH_FRESH;
    }
    if (l1_pin_found_rcu(e, key, ret))
        return NIGH_FRESH;
    return l1_pin_rcu(cache->l1, e, NIGH_TIER_L1, ret, &copied);
}

static inline int core_get(enum core_feature upto, struct nigh_space *space, const void *key,
                           size_t key_len, struct nigh_value *ret)
{
    struct nigh *cache = space->cache;
    int outcome = NIGH_MISS;
    struct l1_key k = l1_key_inlined(cache->l1, space->id, key, key_len);
    struct l1_guess guess = l1_guess(cache->l1, &k);
    uint64_t now_ns = core_now_ns(cache, upto);
    if (upto >= CORE_JUDGE && !freshness_trusted(cache, now_ns))
        return outcome;
    rcu_enter();
    struct l1_entry *e = l1_find_guessed_rcu(cache->l1, &k, &guess);
    if (e && (upto < CORE_JUDGE || core_judge(cache, e, now_ns)))
        outcome = core_hand_out(cache, e, &k, upto, ret);
    rcu_leave();
    if (upto >= CORE_JUDGE)
        stats_count(&space->stats, STATS_L1_FRESH);
    return outcome;
}

static inline void core_release(struct nigh_value *value)
{
    if (value->pin)
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
CORE(pin, CORE_PIN)
CORE(judge, CORE_JUDGE)
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
    [CORE_PIN] = CANDIDATE(pin, "pin"),
    [CORE_JUDGE] = CANDIDATE(judge, "judge"),
    [CORE_CLOCK] = CANDIDATE(clock, "core"),
};
