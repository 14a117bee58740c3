// SPDX-License-Identifier: MIT
// nigh_explain() in one process: every reason that there is without Redis, each produced for real;
// and that a look changes nothing.

#include "base/base.h"
#include "cache/bumps.h"
#include "cache/inspect/reasons.h"
#include "cache/say.h"
#include "support/explain.h"
#include "support/origin.h"

#define MIB (1u << 20)

static int explained_inside(struct origin *o, struct nigh_fill *fill)
{
    struct world *w = o->arg;
    CHECK_REASON(w->space, "k", "loading", "runs its loader, for 1 caller");
    CHECK(explain_has(w->space, "k", "fetch", "NIGH_PENDING"));
    return origin_answer(o, fill);
}

TEST(a_key_that_was_never_asked_for_has_no_trace)
{
    struct world w;
    world_open_exact(&w);
    CHECK_REASON(w.space, "k", "no_trace",
                 "no trace of it: it was never here since the opening.");
    CHECK_WHERE(w.space, "k", "no_redis");
    CHECK(explain_has(w.space, "k", "get", "NIGH_MISS"));
    CHECK(strstr(explain_of(w.space, "k", NIGH_STATS_TEXT), "calls the loader"));
    world_close(&w);
}

TEST(a_value_is_fresh_then_stale_then_over_then_expired)
{
    struct world w;
    world_open_exact(&w);
    ask_fetch(w.space, "k", NULL);
    CHECK_REASON(w.space, "k", "fresh", "L1 has it, fresh for");
    CHECK(explain_has(w.space, "k", "get", "NIGH_FRESH"));
    world_advance(&w, 1200);
    CHECK_REASON(w.space, "k", "stale", "it has been stale for 20");
    CHECK(explain_has(w.space, "k", "fetch", "NIGH_STALE"));
    CHECK(explain_says(w.space, "k", "read now   gives the value, stale (NIGH_STALE); one that may "
                                     "load refreshes it behind the call\n"));
    CHECK(explain_says(w.space, "k", "; stale since 20"));
    world_advance(&w, 400);
    CHECK_REASON(w.space, "k", "over", "Its lifetimes ended 100 ms ago");
    CHECK(explain_has(w.space, "k", "get", "NIGH_MISS"));
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_tick(&w) >= 0 && world_count(&w, "l1_expire") > 0);
    CHECK_REASON(w.space, "k", "expired", "L1 removed it");
    world_close(&w);
}

static int absent(struct origin *o, struct nigh_fill *fill)
{
    (void)o;
    return nigh_fill_absent(fill);
}

static void invalidate_group(struct world *w, enum nigh_target_kind kind, bool soft)
{
    struct nigh_target target = {.kind = kind, .space = w->space, .name = "tag", .name_len = 3};
    struct nigh_call call = call_flagged(soft ? NIGH_SOFT : 0);
    CHECK_EQ(nigh_invalidate_many(w->cache, &target, 1, &call), 0);
}

TEST(an_absence_is_known_until_something_outdates_it)
{
    struct world w;
    world_open_exact(&w);
    w.origin.script = absent;
    ask_fetch(w.space, "k", NULL);
    CHECK_REASON(w.space, "k", "absent", "space.absent_ttl");
    world_advance(&w, 6000);
    world_settle(&w);
    CHECK_REASON(w.space, "k", "absent_expired", "such an answer is kept for 5.0 s (space.absent"
                                             "_ttl), and would be there still if kept for 6.");
    CHECK(!strstr(explain_of(w.space, "k", NIGH_STATS_TEXT), "\nlast ")); /* it is said above */
    ask_fetch(w.space, "k", NULL);
    invalidate_group(&w, NIGH_TARGET_SPACE, true);
    CHECK_REASON(w.space, "k", "absent_outdated", "the space was invalidated");
    CHECK(explain_has(w.space, "k", "get", "NIGH_MISS"));
    world_close(&w);
}

TEST(how_far_back_absences_are_remembered_is_said)
{
    struct world w;
    struct nigh_options o = world_options(&w);
    o.l1_memory = 4 << 20; /* 256 places */
    world_open(&w, &o, NULL);
    w.origin.script = absent;
    for (unsigned i = 0; i < 3000; i++)
        ask_fetch(w.space, key_numbered(i), NULL);
    world_advance(&w, 6000);
    world_settle(&w);
    CHECK_REASON(w.space, "k", "no_trace",
                 "L1 has no trace of it: it was never here, or not within what is remembered of "
                 "values (since the opening), of ");
    CHECK(explain_says(w.space, "k", ", of \"does not exist\" and failed loads (at most the last "
                                     "1.0 s), and of changes (since the opening)."));
    CHECK(!strstr(explain_of(w.space, "k", NIGH_STATS_TEXT), "\nlast "));
    world_advance(&w, 3000);
    CHECK(explain_says(w.space, "k", " and failed loads (the last 3.1 s), and of changes (since "));
    CHECK(strstr(explain_of(w.space, "k", NIGH_STATS_JSON), "\"reach\": {\"value_ms\": null, "));
    world_advance(&w, 1500);
    world_settle(&w);
    CHECK(explain_says(w.space, "k", "\nmisses     of all that the space missed in the "));
    CHECK(explain_says(w.space, "k", " since the opening, 100 % was for keys that do not exist, "
                                     "and of 100 % L1 had no trace\n"));
    world_close(&w);
}

static int tagged(struct origin *o, struct nigh_fill *fill)
{
    CHECK_EQ(nigh_fill_add_tag(fill, "tag"), 0);
    return origin_answer(o, fill);
}

/* L1 alone does not know the names of a value's tags. */
#define OF_A_TAG "ag \\u0022tag\\u0022 (its own, or one of the same slot) "

TEST(what_was_invalidated_is_named)
{
    struct world w;
    world_open_exact(&w);
    w.origin.script = tagged;
    ask_fetch(w.space, "k", NULL);
    invalidate_group(&w, NIGH_TARGET_TAG, true);
    CHECK_REASON(w.space, "k", "stale_floor", OF_A_TAG "was invalidated softly");
    CHECK_REASON(w.space, "k", "stale_floor", "by this process");
    invalidate_group(&w, NIGH_TARGET_TAG, false);
    CHECK_REASON(w.space, "k", "invalidated_group", OF_A_TAG "was invalidated");
    CHECK(explain_has(w.space, "k", "get", "NIGH_MISS"));
    ask_fetch(w.space, "k", NULL);
    CHECK_REASON(w.space, "k", "fresh", "");
    invalidate_group(&w, NIGH_TARGET_ALL, false);
    CHECK_REASON(w.space, "k", "invalidated_group", "Everything was invalidated");
    world_close(&w);
}

/* Its slot is still known, by number. */
TEST(a_tag_that_was_invalidated_long_ago_has_lost_its_name)
{
    struct world w;
    world_open_exact(&w);
    w.origin.script = tagged;
    ask_fetch(w.space, "k", NULL);
    invalidate_group(&w, NIGH_TARGET_TAG, false);
    for (unsigned i = 0; i < BUMPS_KEPT; i++) {
        struct nigh_target target = {.kind = NIGH_TARGET_TAG, .name = key_numbered(i)};
        target.name_len = strlen(target.name);
        CHECK_EQ(nigh_invalidate_many(w.cache, &target, 1, NULL), 0);
    }
    CHECK_REASON(w.space, "k", "invalidated_group", "A tag of slot ");
    CHECK_REASON(w.space, "k", "invalidated_group", " (its own, or another) was invalidated");
    world_close(&w);
}

static int tagged_often(struct origin *o, struct nigh_fill *fill)
{
    char name[16];
    for (unsigned i = 0; i < 10; i++) {
        snprintf(name, sizeof(name), "other%u", i);
        CHECK_EQ(nigh_fill_add_tag(fill, i == 9 ? "tag" : name), 0);
    }
    return origin_answer(o, fill);
}

/* Six are shown. */
TEST(the_last_of_many_tags_is_named_if_it_was_invalidated)
{
    struct world w;
    world_open_exact(&w);
    w.origin.script = tagged_often;
    ask_fetch(w.space, "k", NULL);
    invalidate_group(&w, NIGH_TARGET_TAG, false);
    CHECK_REASON(w.space, "k", "invalidated_group", OF_A_TAG "was invalidated");
    world_close(&w);
}

TEST(a_key_was_changed_by_this_process)
{
    struct world w;
    world_open_exact(&w);
    ask_fetch(w.space, "k", NULL);
    CHECK_EQ(nigh_invalidate(w.space, "k", 1, NULL), 0);
    CHECK_REASON(w.space, "k", "changed", "by this process just now");
    world_advance(&w, 5000);
    CHECK_REASON(w.space, "k", "changed", "by this process 5.");
    world_close(&w);
}

TEST(a_load_under_way_says_who_waits_for_it)
{
    struct world w;
    world_open_exact(&w);
    w.origin.arg = &w;
    w.origin.script = explained_inside;
    ask_fetch(w.space, "k", NULL);
    CHECK_REASON(w.space, "k", "fresh", "");
    world_close(&w);
}

static int stuck(struct origin *o, struct nigh_fill *fill)
{
    struct world *w = o->arg;
    world_advance(w, 9000);
    CHECK_REASON(w->space, "k", "loading", "and should have ended 4.0 s ago: is its loader stuck?");
    return origin_answer(o, fill);
}

TEST(a_load_that_is_stuck_is_called_so)
{
    struct world w;
    world_open_exact(&w);
    w.origin.arg = &w;
    w.origin.script = stuck;
    ask_fetch(w.space, "k", NULL);
    world_close(&w);
}

/* Who holds a value reads on; the key is what it is for the next caller. */
TEST(a_value_that_is_held_is_told_as_any_other)
{
    struct world w;
    struct nigh_value value;
    world_open_exact(&w);
    REQUIRE_EQ(nigh_fetch(w.space, "k", 1, NULL, &value), NIGH_FRESH);
    CHECK_REASON(w.space, "k", "fresh", "L1 has it, fresh for");
    CHECK_EQ(nigh_invalidate(w.space, "k", 1, NULL), 0);
    CHECK_REASON(w.space, "k", "changed", "by this process just now");
    nigh_release(&value);
    CHECK_REASON(w.space, "k", "changed", "by this process just now");
    world_close(&w);
}

static int failing(struct origin *o, struct nigh_fill *fill)
{
    (void)o;
    return nigh_fill_error(fill, 42);
}

TEST(a_failed_load_spares_the_origin_and_is_remembered_after_that)
{
    struct world w;
    world_open_exact(&w);
    w.origin.script = failing;
    ask_fetch(w.space, "k", NULL);
    CHECK_REASON(w.space, "k", "load_failed", "(1 time in a row, error 42)");
    CHECK(explain_has(w.space, "k", "fetch", "NIGH_ELOADER"));
    CHECK(explain_has(w.space, "k", "get", "NIGH_MISS"));
    world_advance(&w, 2000);
    CHECK_REASON(w.space, "k", "load_failed_before", "Its last load failed 2.");
    world_close(&w);
}

static int outdated_on_its_way(struct origin *o, struct nigh_fill *fill)
{
    struct world *w = o->arg;
    CHECK_EQ(nigh_invalidate(w->space, "k", 1, NULL), 0);
    return origin_answer(o, fill);
}

TEST(a_load_that_was_outdated_on_its_way_is_told_from_a_later_change)
{
    struct world w;
    world_open_exact(&w);
    w.origin.arg = &w;
    w.origin.script = outdated_on_its_way;
    ask_fetch(w.space, "k", NULL);
    CHECK_REASON(w.space, "k", "outdated_on_its_way", "while it was on its way");
    world_close(&w);
}

/* ---- room ---- */

static void put(struct world *w, const char *key, size_t len)
{
    static const char zeros[4 * MIB];
    nigh_put(w->space, key, strlen(key), zeros, len, NULL);
}

static void open_small(struct world *w, enum nigh_policy policy)
{
    struct nigh_options o = world_options(w);
    o.l1_memory = 4 * MIB;
    o.l1_policy = policy;
    o.l1_shards = 4;
    o.group_slots = 2048;
    world_open(w, &o, NULL);
}

/* Fill the cache until some key has met this fate. */
static const char *key_that_is(struct world *w, const char *reason)
{
    for (unsigned i = 0; i < 4000; i++) {
        put(w, key_numbered(i), 4000);
        if (i % 500 != 499)
            continue;
        for (unsigned k = 0; k < i; k++)
            if (explain_has(w->space, key_numbered(k), "reason", reason))
                return key_numbered(k);
        world_settle(w); /* empties limbo */
    }
    return NULL;
}

TEST(a_key_was_evicted_for_room)
{
    struct world w;
    open_small(&w, NIGH_POLICY_LRU);
    char key[16] = "";
    const char *found = key_that_is(&w, "evicted");
    if (CHECK(found))
        CHECK_REASON(w.space, strcpy(key, found), "evicted",
                     "to make room: with more l1.memory it might be there still, if it was loaded");
    /* Of a key without a trace, too, it is said that there is no room. */
    world_advance(&w, 1500);
    CHECK_WITHIN(WORLD_PATIENCE_MS,
                 world_tick(&w) >= 0 && nigh_stats_value(w.cache, "s", "evicted_1m") > 0);
    CHECK(explain_says(w.space, "never asked for", "room       L1 is full ("));
    CHECK(explain_says(w.space, "never asked for", " of it tables): of this space it"));
    /* How old the evicted were is told of many. */
    CHECK_EQ(explain_says(w.space, "never asked for", "; a tenth of the evicted had been there"),
             nigh_stats_value(w.cache, "s", "evicted_1m") >= 160 &&
                 nigh_stats_value(w.cache, "s", "evicted_age_ms") > 0);
    /* What was evicted under a cap that has been raised since does not make L1 full. */
    CHECK_EQ(nigh_set(w.cache, "l1.memory", "16m"), 0);
    world_advance(&w, 20000);
    world_settle(&w);
    CHECK(explain_says(w.space, "never asked for", "room       L1 has room now ("));
    CHECK(explain_says(w.space, "never asked for", "in all), the last one 2"));
    CHECK(explain_says(w.space, "never asked for", " of 16.0 MiB of l1.memory, "));
    CHECK_EQ(nigh_stats_value(w.cache, "s", "evicted_1m"), 0);
    CHECK(explain_says(w.space, "never asked for", "evicted 0 and found no room for 0 in the "));
    CHECK(explain_says(w.space, "never asked for", " s since a cap was set ("));
    world_advance(&w, 100000); /* soft_ttl and stale are 60 s each */
    CHECK_REASON(w.space, key, "evicted", "to make room; by now it would have expired anyway (");
    world_close(&w);
}

TEST(the_cap_that_is_nearer_is_named)
{
    struct world w;
    struct nigh_options o = world_options(&w);
    o.l1_policy = NIGH_POLICY_LRU;
    o.l1_shards = 4;
    o.l1_entries = 400;
    world_open(&w, &o, NULL);
    const char *key = key_that_is(&w, "evicted");
    if (CHECK(key))
        CHECK_REASON(w.space, key, "evicted", "to make room: with more l1.entries");
    for (unsigned i = 0; i < 1000; i++) /* until all four shards are full */
        put(&w, key_numbered(i), 10);
    CHECK(explain_says(w.space, "never asked for", "L1 is full (400 of 400 values of l1.entries)"));
    world_close(&w);
}

/* A space's cap is within l1.memory, of which others have the rest here. */
TEST(the_cap_that_is_in_the_way_is_named)
{
    struct world w;
    struct nigh_options o = world_options(&w);
    struct nigh_space_options so = NIGH_SPACE_OPTIONS_INIT;
    struct nigh_space *apart;
    static const char zeros[4000];
    o.l1_memory = 8 * MIB;
    o.l1_policy = NIGH_POLICY_LRU;
    o.l1_shards = 4;
    o.group_slots = 2048;
    world_open(&w, &o, NULL);
    so.memory = 8 * MIB - 4096;
    REQUIRE_EQ(nigh_space_open(w.cache, "apart", &so, NULL, NULL, NULL, &apart), 0);
    for (unsigned i = 0; i < 6000; i++) {
        put(&w, key_numbered(i), 4000);
        nigh_put(apart, key_numbered(i), strlen(key_numbered(i)), zeros, sizeof(zeros), NULL);
        if (i % 100 == 0)
            world_settle(&w);
    }
    CHECK(explain_says(apart, "never asked for", "room       L1 is full ("));
    CHECK(explain_says(apart, "never asked for", " of 8.0 MiB of l1.memory, "));
    CHECK_EQ(nigh_space_set(apart, "space.memory", "2m"), 0);
    world_settle(&w);
    CHECK(explain_says(apart, "never asked for", " of 2.0 MiB of space.memory, "));
    world_close(&w);
}

/* Large ones do not wait in the window: they are judged at once, and lose to what is asked for. */
TEST(a_key_was_refused_by_the_policy)
{
    struct world w;
    open_small(&w, NIGH_POLICY_LFU);
    for (unsigned i = 0; i < 4000; i++) {
        put(&w, key_numbered(i), 1000);
        if (i % 64 == 0)
            world_settle(&w);
        for (unsigned k = 0; k < 3 && i > 2000; k++)
            ask_get(w.space, key_numbered(i % 2000), NULL);
    }
    for (unsigned i = 5000; i < 5100 && world_count(&w, "l1_refused_policy") == 0; i++) {
        put(&w, "large", 100000);
        world_settle(&w);
    }
    CHECK_REASON(w.space, "large", "refused_policy", "worth more");
    world_close(&w);
}

TEST(a_key_found_no_room)
{
    struct world w;
    open_small(&w, NIGH_POLICY_NONE);
    const char *key = key_that_is(&w, "refused_full");
    if (CHECK(key))
        CHECK_REASON(w.space, key, "refused_full", "nothing could be evicted");
    /* Nor did an answer that a key does not exist, which is remembered apart. */
    bool refused = false;
    w.origin.script = absent;
    for (unsigned i = 10000; i < 20000 && !refused; i++) {
        ask_fetch(w.space, key_numbered(i), NULL);
        refused = explain_has(w.space, key_numbered(i), "reason", "absent_refused");
    }
    CHECK(refused);
    world_close(&w);
}

TEST(a_value_is_too_large_for_l1_or_for_its_space)
{
    struct world w;
    struct nigh_options o = world_options(&w);
    struct nigh_space_options so = exact_space();
    o.l1_memory = 8 * MIB;
    so.value_max = 2 * MIB;
    world_open(&w, &o, &so);
    put(&w, "large", MIB + MIB / 2);
    CHECK_REASON(w.space, "large", "too_large", "1/8 of l1.memory");
    put(&w, "oversize", 3 * MIB);
    CHECK_REASON(w.space, "oversize", "oversize", "2097152 B");
    world_close(&w);
    so.memory = 4 * MIB;
    world_open(&w, &o, &so);
    put(&w, "large", MIB / 2 + MIB / 4);
    CHECK_REASON(w.space, "large", "too_large", "1/8 of space.memory");
    CHECK_EQ(nigh_space_set(w.space, "space.memory", "none"), 0);
    CHECK(explain_says(w.space, "large", "1/8 of l1.memory"));
    world_close(&w);
}

static unsigned count_of(struct world *w, const char *reason, unsigned keys)
{
    unsigned count = 0;
    for (unsigned i = 0; i < keys; i++)
        count += explain_has(w->space, key_numbered(i), "reason", reason);
    return count;
}

TEST(a_smaller_cap_sheds_keys)
{
    struct world w;
    struct nigh_options o = world_options(&w);
    o.l1_memory = 32 * MIB;
    o.l1_shards = 4;
    o.group_slots = 2048;
    world_open(&w, &o, NULL);
    for (unsigned i = 0; i < 2000; i++)
        put(&w, key_numbered(i), 8000);
    CHECK_EQ(nigh_set(w.cache, "l1.memory", "6m"), 0);
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_tick(&w) >= 0 && world_count(&w, "l1_evict") > 500);
    CHECK_GT(count_of(&w, "shed", 2000), 0);
    /* Nothing had to go so that others could come. */
    world_advance(&w, 1500);
    world_settle(&w);
    CHECK_GT(world_count(&w, "l1_shed"), 500);
    CHECK_EQ(nigh_stats_value(w.cache, "s", "evicted_1m"), 0);
    CHECK(explain_says(w.space, "never asked for", "evicted 0 and found no room for 0 in the "));
    CHECK(explain_says(w.space, "never asked for", " since a smaller cap was set (0 and 0 in all"));
    CHECK(explain_says(w.space, "never asked for", " to give memory back)"));
    CHECK_WITHIN(WORLD_PATIENCE_MS,
                 (put(&w, key_numbered(2000 + (unsigned)world_count(&w, "l1_store")), 8000),
                  world_advance(&w, 500), world_settle(&w),
                  nigh_stats_value(w.cache, "s", "evicted_1m") > 0));
    world_close(&w);
}

TEST(a_space_that_moved_began_empty)
{
    struct world w;
    struct nigh_options o = world_options(&w);
    o.l1_memory = 32 * MIB;
    world_open(&w, &o, NULL);
    put(&w, "k", 10);
    CHECK_EQ(nigh_set(w.cache, "space.memory", "8m"), 0);
    CHECK_REASON(w.space, "k", "moved", "memory of its own");
    put(&w, "k", 10);
    CHECK_REASON(w.space, "k", "fresh", "");
    CHECK_EQ(nigh_invalidate(w.space, "k", 1, NULL), 0); /* its table's fates are those of all */
    CHECK_REASON(w.space, "k", "changed", "");
    world_close(&w);
}

static int half_absent(struct origin *o, struct nigh_fill *fill)
{
    size_t len;
    const char *key = nigh_fill_key(fill, &len);
    return key[len - 1] % 2 ? nigh_fill_absent(fill) : origin_answer(o, fill);
}

/* All that a space has moves at once: that is no reason to forget who changed what. */
TEST(a_space_that_moves_pushes_out_no_change)
{
    struct world w;
    struct nigh_options o = world_options(&w);
    o.l1_memory = 8 * MIB; /* 512 places for changes */
    world_open(&w, &o, NULL);
    w.origin.script = half_absent;
    for (unsigned i = 0; i < 20; i++)
        CHECK_EQ(nigh_invalidate(w.space, key_numbered(i), strlen(key_numbered(i)), NULL), 0);
    for (unsigned i = 20; i < 4000; i++)
        ask_fetch(w.space, key_numbered(i), NULL);
    CHECK_EQ(nigh_set(w.cache, "space.memory", "3m"), 0);
    CHECK_GE(count_of(&w, "changed", 20), 15); /* some may share a place */
    unsigned moved[2] = {0, 0}; /* values, and answers "does not exist" */
    for (unsigned i = 20; i < 4000; i++)
        moved[i % 2] += explain_has(w.space, key_numbered(i), "reason", "moved");
    CHECK_GT(moved[0], 500);
    CHECK_GT(moved[1], 100);
    world_close(&w);
}

/* ---- what is said, and how much ---- */

static unsigned lines_of(const char *text)
{
    unsigned lines = 0;
    for (; *text; text++)
        lines += *text == '\n';
    return lines;
}

TEST(a_healthy_key_takes_few_lines)
{
    struct world w;
    world_open_exact(&w);
    w.origin.script = tagged;
    invalidate_group(&w, NIGH_TARGET_TAG, false);
    ask_fetch(w.space, "k", NULL);
    CHECK(explain_says(w.space, "k", "\nread now   gives the value, fresh (NIGH_FRESH)\nL1  "));
    CHECK(explain_says(w.space, "k", " B, 1 tag, loaded 0 ms ago; fresh for 1.0 s more, then stale "
                                     "for 500 ms\n"));
    CHECK(explain_says(w.space, "k", "\ngroups     tag \"tag\" (its own, or one of the same slot) "
                                     "was invalidated by this process just now, "));
    CHECK(explain_says(w.space, "k", " UTC, before the value was loaded\nhere "));
    CHECK_LE(lines_of(explain_of(w.space, "k", NIGH_STATS_TEXT)), 8);
    world_close(&w);
}

/* The reason names one group that outdates the value; others are told, but nothing twice. */
TEST(what_outdates_a_value_is_said_once)
{
    struct world w;
    world_open_exact(&w);
    w.origin.script = tagged;
    ask_fetch(w.space, "k", NULL);
    invalidate_group(&w, NIGH_TARGET_TAG, true);
    CHECK(!strstr(explain_of(w.space, "k", NIGH_STATS_TEXT), "\noutdated "));
    invalidate_group(&w, NIGH_TARGET_SPACE, true);
    CHECK(explain_says(w.space, "k", ", too\n"));
    CHECK(!strstr(explain_of(w.space, "k", NIGH_STATS_TEXT), "\ngroups "));
    world_close(&w);
}

/* Two looks at a clock, between which a second begins, say the same of what was before. */
TEST(an_event_has_one_time_of_day)
{
    static const uint64_t event_ns = UINT64_C(1790000000) * NS_PER_S;
    for (uint64_t ago_ns = 0; ago_ns < 5 * NS_PER_S; ago_ns += 100 * NS_PER_MS) {
        char text[64] = "";
        struct text t = text_into(text, sizeof(text));
        say_clock_at(&t, event_ns + ago_ns, ago_ns);
        CHECK_STR(text, "14:13:20 UTC");
    }
}

/* Midnight is on the day that it begins. */
TEST(what_was_on_another_day_has_a_date)
{
    static const uint64_t midnight_ns = UINT64_C(1709251200) * NS_PER_S; /* March 1st, 2024 */
    static const struct {
        uint64_t wall_ns, ago_ns;
        const char *text;
    } cases[] = {
        {midnight_ns + NS_PER_S, NS_PER_S, "00:00:00 UTC"},
        {midnight_ns, 1, "2024-02-29 23:59:59 UTC"},
        {midnight_ns, 366 * 86400 * NS_PER_S, "2023-03-01 00:00:00 UTC"},
        {midnight_ns, UINT64_MAX, "1970-01-01 00:00:00 UTC"}, /* before there was a clock */
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        char text[64] = "";
        struct text t = text_into(text, sizeof(text));
        say_clock_at(&t, cases[i].wall_ns, cases[i].ago_ns);
        CHECK_STR(text, cases[i].text);
    }
}

/* Clients that ask for what there is not make a cause each, and take the place of no value's. */
TEST(a_flood_of_absences_leaves_what_became_of_values)
{
    struct world w;
    struct nigh_options o = world_options(&w);
    o.l1_memory = 4 << 20;
    world_open(&w, &o, NULL);
    ask_fetch(w.space, "expired", NULL);
    ask_fetch(w.space, "changed", NULL);
    CHECK_EQ(nigh_invalidate(w.space, "changed", 7, NULL), 0);
    world_advance(&w, 150000); /* soft_ttl and stale are 60 s each, and 10 % more */
    world_settle(&w);
    w.origin.script = absent;
    for (unsigned i = 0; i < 5000; i++)
        ask_fetch(w.space, key_numbered(i), NULL);
    world_advance(&w, 10000);
    world_settle(&w);
    CHECK_GT(count_of(&w, "absent_expired", 5000), 100);
    CHECK_REASON(w.space, "expired", "expired", "L1 removed it 10 s ago, ");
    CHECK_REASON(w.space, "changed", "changed", "by this process 160 s ago, ");
    world_close(&w);
}

/* ---- the call ---- */

TEST(a_look_changes_nothing)
{
    static const char *const counters[] = {"l1_fresh", "l1_stale", "l1_miss",  "l1_probe_miss",
                                           "load",     "refresh",  "l1_store", "flight_led"};
    struct world w;
    int64_t before[ARRAY_COUNT(counters)];
    world_open_exact(&w);
    ask_fetch(w.space, "k", NULL);
    world_advance(&w, 1200);
    for (size_t i = 0; i < ARRAY_COUNT(counters); i++)
        before[i] = world_count(&w, counters[i]);
    for (int i = 0; i < 10; i++) {
        explain_of(w.space, "k", i % 2 ? NIGH_STATS_TEXT : NIGH_STATS_JSON);
        explain_of(w.space, "other", i % 2 ? NIGH_STATS_TEXT : NIGH_STATS_JSON);
    }
    world_settle(&w);
    for (size_t i = 0; i < ARRAY_COUNT(counters); i++)
        CHECK_EQ(world_count(&w, counters[i]), before[i]);
    world_close(&w);
}

#define BUSY_KEYS 50u
#define BUSY_CALLS 5000u

static void *be_busy(void *arg)
{
    struct world *w = arg;
    for (unsigned i = 0; i < BUSY_CALLS; i++) {
        const char *key = key_numbered(i * 7 % BUSY_KEYS);
        if (i % 3 == 0)
            nigh_invalidate(w->space, key, strlen(key), NULL);
        else if (i % 50 == 1)
            invalidate_group(w, NIGH_TARGET_TAG, i % 100 == 1);
        else
            ask_fetch(w->space, key, NULL);
    }
    return NULL;
}

TEST(looks_go_on_beside_reads_and_changes)
{
    struct world w;
    pthread_t threads[2];
    char buffer[EXPLAIN_BYTES];
    world_open(&w, NULL, NULL);
    w.origin.script = tagged;
    for (unsigned i = 0; i < 2; i++)
        REQUIRE_EQ(pthread_create(&threads[i], NULL, be_busy, &w), 0);
    for (unsigned i = 0; i < 1000; i++) {
        CHECK(explain_of(w.space, key_numbered(i % BUSY_KEYS), NIGH_STATS_JSON)[0] == '{');
        CHECK_GT(nigh_hot(w.cache, NULL, NIGH_STATS_JSON, buffer, sizeof(buffer)), 0);
    }
    for (unsigned i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    world_close(&w);
}

#define LABEL_COLUMNS 11

/* Who shows it knows how wide his screen is: so no line is broken. */
TEST(text_has_a_line_for_each_fact_and_names_keep_to_theirs)
{
    static const char key[] = "a key with\na line, \x1b[31mcolours and so many words that it is "
                              "longer than any line of text should be";
    struct world w;
    size_t longest = 0;
    world_open_exact(&w);
    const char *at = explain_of(w.space, key, NIGH_STATS_TEXT);
    CHECK(strstr(at, "\\x0aa line"));
    for (size_t len; *at; at += len + 1) {
        len = strcspn(at, "\n");
        longest = len > longest ? len : longest;
        CHECK(len > LABEL_COLUMNS && at[0] != ' ' && at[LABEL_COLUMNS] != ' ');
        CHECK_EQ(at[LABEL_COLUMNS - 1], ' ');
        if (!CHECK_EQ(at[len], '\n'))
            break;
    }
    CHECK_GT(longest, 100);
    world_close(&w);
}

TEST(wrong_calls_are_refused_and_what_is_too_long_is_cut)
{
    struct world w;
    char small[20], whole[EXPLAIN_BYTES];
    world_open_exact(&w);
    CHECK_EQ(nigh_explain(w.space, "", 0, NIGH_STATS_TEXT, NULL, 0), NIGH_EKEY);
    CHECK_EQ(nigh_explain(w.space, "k", 1, NIGH_STATS_PROMETHEUS, NULL, 0), NIGH_EINVAL);
    long needed = nigh_explain(w.space, "k", 1, NIGH_STATS_TEXT, NULL, 0);
    CHECK_EQ(nigh_explain(w.space, "k", 1, NIGH_STATS_TEXT, whole, sizeof(whole)), needed);
    CHECK_EQ(nigh_explain(w.space, "k", 1, NIGH_STATS_TEXT, small, sizeof(small)), needed);
    CHECK_EQ(strlen(small), sizeof(small) - 1);
    CHECK(strncmp(small, whole, sizeof(small) - 1) == 0);
    world_close(&w);
}

static uint64_t noted_at(struct bumps *b, uint64_t floor, uint64_t node, const char *tag,
                         uint64_t at_ns)
{
    struct bump bump = {.floor = floor, .at_ns = at_ns, .node = node, .slot = 1500}, found = {0};
    bumps_note(b, &bump, bytes_of_string(tag));
    CHECK(bumps_find(b, 1500, floor, &found));
    return found.at_ns;
}

/* What waited for Redis raises its floor once more when it is accepted, and is dated by its call:
 * it may be the call before the last. */
TEST(a_tag_that_is_raised_again_was_invalidated_last_when_it_was)
{
    struct bumps b = {.next = 0};
    bumps_init(&b);
    CHECK_EQ(noted_at(&b, 1, 0, "tag", 20), 20);
    CHECK_EQ(noted_at(&b, 2, 0, "tag", 22), 22);
    CHECK_EQ(noted_at(&b, 3, 0, "tag", 20), 22);
    CHECK_EQ(noted_at(&b, 4, 0, "one that shares the slot", 20), 20);
    CHECK_EQ(noted_at(&b, 5, 7, "tag", 21), 21); /* another node's */
    CHECK_EQ(noted_at(&b, 6, 0, "tag", 23), 23);
    bumps_fini(&b);
}

/* What is said of a change behind the time of day at which it was heard of, 100 s ago. */
static const char *said_of_late(uint16_t who, uint64_t trusted_ago_ms, struct coherence_late late)
{
    static char buffer[256];
    struct explanation x = {
        .fate = {.fate = L1_FATE_CHANGED, .who = who, .ago_ns = 100 * NS_PER_S},
        .doubt_ago_ns = trusted_ago_ms * NS_PER_MS,
        .heard_ns = 8 * NS_PER_S,
        .wall_ns = 1000 * NS_PER_S,
        .late = late,
    };
    struct text w = text_into(buffer, sizeof(buffer));
    reason_say_fate(&w, &x);
    const char *behind = strstr(buffer, " UTC");
    return CHECK(behind) ? behind + strlen(" UTC") : buffer;
}

/* One figure: none has to be added to another. It holds whoever of those that were late it was, and
 * whatever else came meanwhile. */
TEST(a_change_that_may_be_old_is_told_with_one_bound)
{
    const uint16_t node = 0x9d55, other = 0x1234;
    struct coherence_late late = {.count = 2, .waited_ms = 4400, .heard_ms = 12000,
                                  .node = (uint64_t)node << 48, .since_ms = 103000,
                                  .ago_ms = 99000};
    const struct coherence_late none = {.count = 0};
    CHECK_STR(said_of_late(node, 0, none), "");
    CHECK_STR(said_of_late(node, 50000, none), "");
    CHECK_STR(said_of_late(node, 100000, none),
              " (as trust came back: at most 8.0 s after the call)");
    CHECK_STR(said_of_late(node, 0, late),
              " (at most 12 s after the call; of that up to 4.4 s in that node's queue)");
    CHECK_STR(said_of_late(node, 100000, late),
              " (as trust came back: at most 12 s after the call; of that up to 4.4 s in that "
              "node's queue)");
    CHECK_STR(said_of_late(other, 0, late), "");
    CHECK_STR(said_of_late(other, 100000, late),
              " (as trust came back: at most 12 s after the call)");
    late.ago_ms = 101000; /* it came after the last of them */
    CHECK_STR(said_of_late(node, 0, late), "");
    late.ago_ms = 10000;
    late.since_ms = 99000; /* before the first */
    CHECK_STR(said_of_late(node, 0, late), "");
    late.since_ms = 103000;
    late.waited_ms = COHERENCE_WAITED_MOST_MS; /* for longer than nodes tell */
    CHECK_STR(said_of_late(node, 0, late), " (it may have waited there for 109 min or more)");
    CHECK_STR(said_of_late(0, 0, late), "");
}

TEST(what_is_said_of_a_bound_is_no_less_and_hardly_more)
{
    for (uint64_t ms = 100; ms < 500000; ms += 1 + ms / 500) {
        struct said said = said_bound(ms * NS_PER_MS);
        char *unit;
        double s = strtod(said.text, &unit);
        double said_ms = strcmp(unit, " ms") == 0 ? s : s * 1000;
        CHECK_GE(said_ms, (double)ms);
        CHECK_LT(said_ms, (double)ms + (ms < 1000 ? 1 : ms < 9950 ? 100 : 1000));
    }
}
