// SPDX-License-Identifier: MIT
// What an answer of L2 is worth, from both ends of each number that an envelope has.

#include "cache/value/lookup.h"

#include <stdlib.h>
#include <string.h>

#include "cache/value/freshness.h"
#include "cache/sink.h"
#include "support/origin.h"

#define SOFT_MS 60000u

/* An envelope as this node would have filled it now. */
static struct l2_envelope filled(struct world *w)
{
    struct coherence_position at = coherence_position(w->cache->coherence);
    struct l1_key key = {.data = "k", .len = 1};
    return (struct l2_envelope){
        .name = cache_name_hash(w->space, &key),
        .home = coherence_home(w->cache->coherence),
        .identity = at.identity,
        .sequence = at.sequence,
        .fill_id = 4711,
        .server_time_ms = coherence_server_time_ms(w->cache->coherence),
        .soft_ms = SOFT_MS,
        .payload = bytes_of("v", 1),
    };
}

static struct lookup look(struct world *w, const struct l2_envelope *e)
{
    struct nigh *cache = w->cache;
    struct l1_key key = l1_key_of(cache->l1, w->space->id, "k", 1);
    size_t size = l2_envelope_size(e);
    void *bytes = malloc(size);
    struct lookup ret = {.verdict = VERDICT_GONE};
    REQUIRE(bytes);
    l2_envelope_encode(e, bytes);
    struct l2_answer answer = {
        .verdict = L2_VALUE, .value = bytes_of(bytes, size), .home = e->home};
    CHECK_EQ(lookup_answer(w->space, &key, l1_ticket(cache->l1), &answer, false, &ret), 0);
    free(bytes);
    return ret;
}

/* Looks, and lets the entry go. */
static enum verdict judged(struct world *w, const struct l2_envelope *e)
{
    struct lookup found = look(w, e);
    CHECK_EQ(found.fill_id, e->fill_id); /* a lease does not hand it out again */
    CHECK_EQ(found.entry != NULL, found.verdict >= VERDICT_KEPT);
    if (found.entry)
        l1_entry_unref(found.entry);
    return found.verdict;
}

TEST(a_value_filled_in_the_future_lived_on_until_then)
{
    struct redis server;
    struct world w;
    redis_start(&server, NULL);
    patient_open(&w, &server, NULL, NULL);
    uint32_t error_ms = w.cache->time_error_ms;
    struct l2_envelope e = filled(&w);
    CHECK_EQ(error_ms, WORLD_PATIENCE_MS / 2);
    CHECK_EQ(judged(&w, &e), VERDICT_FRESH);
    e.server_time_ms += error_ms; /* and the clock has gone on since */
    CHECK_EQ(judged(&w, &e), VERDICT_FRESH);
    int64_t missed = world_count(&w, "l2_miss");
    e.server_time_ms += WORLD_PATIENCE_MS;
    CHECK_EQ(judged(&w, &e), VERDICT_GONE);
    e.server_time_ms += 86400000;
    CHECK_EQ(judged(&w, &e), VERDICT_GONE);
    e.server_time_ms = UINT64_MAX;
    CHECK_EQ(judged(&w, &e), VERDICT_GONE);
    CHECK_EQ(world_count(&w, "l2_miss"), missed + 3);
    world_close(&w);
    redis_stop(&server);
}

TEST(ages_are_told_whatever_time_an_envelope_names)
{
    struct redis server;
    struct world w;
    redis_start(&server, NULL);
    patient_open(&w, &server, NULL, NULL);
    struct l2_envelope now = filled(&w);
    static const uint64_t ages_ms[] = {SOFT_MS + 1000, UINT32_MAX, 3 * (uint64_t)UINT32_MAX,
                                       UINT64_MAX};
    for (size_t i = 0; i < ARRAY_COUNT(ages_ms); i++) {
        struct l2_envelope e = now;
        e.server_time_ms -= u64_min(ages_ms[i], now.server_time_ms); /* 0 for the last */
        CHECK_EQ(judged(&w, &e), VERDICT_KEPT);
        e.soft_ms = e.stale_ms = e.keep_ms = UINT32_MAX;
        CHECK_EQ(judged(&w, &e), i == 0   ? VERDICT_FRESH
                                     : i == 1 ? VERDICT_STALE
                                              : VERDICT_KEPT);
    }
    world_close(&w);
    redis_stop(&server);
}

/* The machine has not been up for so long: the age was cut to its uptime. */
TEST(a_value_older_than_the_machine_was_young_enough)
{
    struct redis server;
    struct world w;
    redis_start(&server, NULL);
    patient_open(&w, &server, NULL, NULL);
    struct l2_envelope e = filled(&w);
    struct nigh_call call = NIGH_CALL_INIT;
    uint32_t age_ms = UINT32_MAX - 3600000; /* 49 days and 16 hours */
    e.server_time_ms -= age_ms;
    e.soft_ms = UINT32_MAX;
    struct lookup found = look(&w, &e);
    REQUIRE_EQ(found.verdict, VERDICT_FRESH);
    uint64_t now_ns = clock_coarse_ns(&w.cache->clock);
    int64_t age_ns = (int64_t)now_ns - l1_entry_born_ns(found.entry);
    CHECK_GE(age_ns, age_ms * (int64_t)NS_PER_MS);
    CHECK_LE(age_ns, (age_ms + WORLD_PATIENCE_MS) * (int64_t)NS_PER_MS);
    uint64_t fresh_ns = l1_entry_fresh_until_ns(found.entry) - now_ns;
    CHECK_LE(fresh_ns, 3600 * NS_PER_S);
    CHECK_GE(fresh_ns, 3400 * NS_PER_S); /* precise to 1/32,768 of its whole life */
    call.max_age_ms = age_ms - 60000;
    CHECK(!freshness_acceptable(found.entry, &call, now_ns));
    call.max_age_ms = age_ms + WORLD_PATIENCE_MS;
    CHECK(freshness_acceptable(found.entry, &call, now_ns));
    call.max_age_ms = NIGH_NONE;
    CHECK(freshness_acceptable(found.entry, &call, UINT64_C(1) << 62));
    l1_entry_unref(found.entry);
    world_close(&w);
    redis_stop(&server);
}

TEST(a_value_above_the_formats_limit_is_unreadable)
{
    struct redis server;
    struct world w;
    redis_start(&server, NULL);
    patient_open(&w, &server, NULL, NULL);
    struct l2_envelope e = filled(&w);
    void *large = calloc(1, NIGH_VALUE_MAX + 1);
    REQUIRE(large);
    e.payload = bytes_of(large, NIGH_VALUE_MAX);
    CHECK_EQ(judged(&w, &e), VERDICT_FRESH);
    e.payload = bytes_of(large, NIGH_VALUE_MAX + 1);
    struct lookup found = look(&w, &e);
    CHECK(found.bad);
    CHECK_EQ(found.verdict, VERDICT_GONE);
    CHECK_EQ(found.fill_id, e.fill_id);
    e.payload = bytes_of(large, 0);
    CHECK_EQ(judged(&w, &e), VERDICT_FRESH);
    free(large);
    world_close(&w);
    redis_stop(&server);
}

static void tell(struct world *w, struct nigh_target target, int flags)
{
    struct nigh_call call = NIGH_CALL_INIT;
    call.flags = flags;
    call.deadline_ms = WORLD_PATIENCE_MS;
    CHECK_EQ(nigh_invalidate_many(w->cache, &target, 1, &call), 0);
}

/* Judges values that no stamp can be compared with: of another clock, from the server that is
 * followed and from one that is not. */
static void check_foreign(struct world *w, enum verdict of_ours, enum verdict of_another)
{
    struct l2_envelope e = filled(w);
    e.identity++;
    CHECK_EQ(judged(w, &e), of_ours);
    e.home++; /* the answer's too: see look() */
    CHECK_EQ(judged(w, &e), of_another);
}

/* Whoever has told a change does not see what was before it, not even as stale. A soft invalidation
 * of all makes stale what is there; what is gone stays so. */
TEST(what_was_told_stays_gone_when_all_turns_stale)
{
    const struct nigh_target all = {.kind = NIGH_TARGET_ALL};
    for (int round = 0; round < 3; round++) {
        struct redis server;
        struct world w;
        redis_start(&server, NULL);
        patient_open(&w, &server, NULL, NULL);
        const struct nigh_target targets[] = {
            {.kind = NIGH_TARGET_KEY, .space = w.space, .name = "k", .name_len = 1},
            {.kind = NIGH_TARGET_SPACE, .space = w.space},
            all,
        };
        /* The invalidation of a key has deleted its value, where it was heard. */
        enum verdict here = round == 0 ? VERDICT_STALE : VERDICT_GONE;
        check_foreign(&w, VERDICT_STALE, VERDICT_STALE);
        tell(&w, all, NIGH_SOFT);
        check_foreign(&w, VERDICT_STALE, VERDICT_STALE);
        tell(&w, targets[round], 0);
        check_foreign(&w, here, VERDICT_GONE);
        tell(&w, all, NIGH_SOFT);
        check_foreign(&w, here, VERDICT_GONE);
        world_close(&w);
        redis_stop(&server);
    }
}

/* Another clock begins another count: slots of floors are shared by chance, and for the rest of its
 * days a node would reload what it could show as stale. */
TEST(what_was_told_counts_until_another_clock_is_taken)
{
    struct redis server;
    struct world w;
    redis_start(&server, NULL);
    patient_open(&w, &server, NULL, NULL);
    tell(&w, (struct nigh_target){.kind = NIGH_TARGET_SPACE, .space = w.space}, 0);
    check_foreign(&w, VERDICT_GONE, VERDICT_GONE);
    sink_of(w.cache).renew(w.cache, l1_ticket(w.cache->l1));
    check_foreign(&w, VERDICT_STALE, VERDICT_STALE);
    world_close(&w);
    redis_stop(&server);
}
