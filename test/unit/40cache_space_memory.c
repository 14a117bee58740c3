// SPDX-License-Identifier: MIT
// space.memory: a space evicts its own values; the others keep theirs, and it its own; it changes
// while it is used, from none, to none, and to less.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cache/space_l1.h"
#include "support/origin.h"

#define MIB ((int64_t)1 << 20)
#define VALUE 3000u
#define CHARGED 3300u /* with key and bookkeeping, about */
#define PATIENCE_MS 20000u

static const enum nigh_policy policies[] = {NIGH_POLICY_LFU, NIGH_POLICY_LRU, NIGH_POLICY_TTL,
                                            NIGH_POLICY_NONE};
#define POLICY_COUNT (sizeof(policies) / sizeof(policies[0]))

/* A cache of 16 MiB without own threads, and a space "all" of it without a cap. */
static void open_under(struct world *w, enum nigh_policy policy)
{
    struct nigh_options o = world_options(w);
    struct nigh_space_options so = NIGH_SPACE_OPTIONS_INIT;
    o.l1_memory = 16u << 20;
    o.l1_policy = policy;
    o.l1_shards = 4; /* the same on any machine */
    o.group_slots = 2048;
    so.soft_ttl_ms = 3600 * 1000;
    world_open(w, &o, &so);
}

static struct nigh_space *open_capped(struct world *w, const char *name, int64_t bytes)
{
    struct nigh_space_options so = NIGH_SPACE_OPTIONS_INIT;
    struct nigh_space *space;
    so.memory = (uint64_t)bytes;
    so.soft_ttl_ms = 3600 * 1000;
    REQUIRE_EQ(nigh_space_open(w->cache, name, &so, NULL, NULL, NULL, &space), 0);
    return space;
}

static int put(struct nigh_space *space, unsigned number)
{
    static const char zeros[VALUE];
    return nigh_put(space, &number, sizeof(number), zeros, sizeof(zeros), NULL);
}

/* Returns how many were refused. */
static unsigned put_all(struct world *w, struct nigh_space *space, unsigned from, unsigned count)
{
    unsigned refused = 0;
    for (unsigned i = from; i < from + count; i++) {
        int rc = put(space, i);
        CHECK(rc == 0 || rc == NIGH_EFULL);
        refused += rc != 0;
        if (i % 64 == 0)
            world_tick(w);
    }
    return refused;
}

static bool has(struct nigh_space *space, unsigned number)
{
    struct nigh_value v = NIGH_VALUE_INIT;
    struct nigh_call call = NIGH_CALL_INIT;
    call.flags = NIGH_QUIET;
    int rc = nigh_get(space, &number, sizeof(number), &call, &v);
    nigh_release(&v);
    return rc == NIGH_FRESH;
}

static unsigned found(struct nigh_space *space, unsigned from, unsigned count)
{
    unsigned sum = 0;
    for (unsigned i = from; i < from + count; i++)
        sum += has(space, i);
    return sum;
}

static int64_t gauge(const struct world *w, const char *space, const char *name)
{
    return nigh_stats_value(w->cache, space, name);
}

static unsigned fitting(int64_t bytes)
{
    return (unsigned)(bytes / CHARGED);
}

TEST(a_space_evicts_its_own_and_leaves_the_others_alone)
{
    for (size_t p = 0; p < POLICY_COUNT; p++) {
        struct world w;
        open_under(&w, policies[p]);
        struct nigh_space *capped = open_capped(&w, "capped", 4 * MIB);
        unsigned others = fitting(8 * MIB);
        CHECK_EQ(put_all(&w, w.space, 0, others), 0);
        CHECK_EQ(put_all(&w, capped, 0, fitting(3 * MIB)), 0);
        CHECK_EQ(found(capped, 0, fitting(3 * MIB)), fitting(3 * MIB));
        unsigned refused = put_all(&w, capped, fitting(3 * MIB), 3 * fitting(4 * MIB));
        CHECK(policies[p] == NIGH_POLICY_NONE ? refused > 0 : refused == 0);
        CHECK_EQ(found(w.space, 0, others), others);
        CHECK_LE(gauge(&w, "capped", "memory_bytes"), 4 * MIB);
        CHECK_GT(gauge(&w, "capped", "memory_bytes"), 3 * MIB);
        CHECK_EQ(gauge(&w, "capped", "memory_cap_bytes"), 4 * MIB);
        CHECK_GT(gauge(&w, "capped", "entries"), fitting(2 * MIB));
        CHECK(policies[p] == NIGH_POLICY_NONE || gauge(&w, "capped", "l1_evict") > 0);
        CHECK_EQ(gauge(&w, NULL, "l1_evict"), gauge(&w, "capped", "l1_evict"));
        CHECK_EQ(put(w.space, others), 0); /* there is room for others */
        CHECK_LE(gauge(&w, NULL, "memory_bytes"), 16 * MIB);
        world_close(&w);
    }
}

TEST(a_space_keeps_its_own_when_others_are_flooded)
{
    for (size_t p = 0; p < POLICY_COUNT; p++) {
        struct world w;
        open_under(&w, policies[p]);
        struct nigh_space *capped = open_capped(&w, "capped", 4 * MIB);
        unsigned own = fitting(2 * MIB);
        CHECK_EQ(put_all(&w, capped, 0, own), 0);
        put_all(&w, w.space, 0, 2 * fitting(16 * MIB));
        CHECK_EQ(found(capped, 0, own), own);
        CHECK_LE(gauge(&w, NULL, "memory_bytes"), 16 * MIB);
        CHECK_LE(gauge(&w, NULL, "memory_peak_bytes"), 16 * MIB);
        CHECK_GT(gauge(&w, NULL, "memory_bytes"), 14 * MIB);
        world_close(&w);
    }
}

TEST(caps_may_add_up_to_more_than_l1_memory)
{
    struct world w;
    open_under(&w, NIGH_POLICY_LRU);
    struct nigh_space *spaces[4];
    for (unsigned i = 0; i < 4; i++) {
        char name[] = {'c', (char)('0' + i), 0};
        spaces[i] = open_capped(&w, name, 12 * MIB);
    }
    /* One alone has all that it may have ... */
    put_all(&w, spaces[0], 0, 3 * fitting(12 * MIB));
    CHECK_GT(gauge(&w, "c0", "memory_bytes"), 11 * MIB);
    /* ... together each has something, and none of them all. */
    for (unsigned n = 0; n < 40; n++)
        for (unsigned i = 0; i < 4; i++)
            put_all(&w, spaces[i], n * 300, 300);
    for (unsigned i = 0; i < 4; i++) {
        char name[] = {'c', (char)('0' + i), 0};
        CHECK_GT(gauge(&w, name, "memory_bytes"), 2 * MIB);
    }
    CHECK_LE(gauge(&w, NULL, "memory_bytes"), 16 * MIB);
    world_close(&w);
}

/* ---- live ---- */

TEST(a_cap_comes_and_goes_while_the_space_is_open)
{
    for (size_t p = 0; p < POLICY_COUNT; p++) {
        struct world w;
        open_under(&w, policies[p]);
        CHECK_EQ(put_all(&w, w.space, 0, 100), 0);
        CHECK_EQ(gauge(&w, "s", "memory_bytes"), NIGH_EINVAL); /* it shares a table */

        REQUIRE_EQ(nigh_space_set(w.space, "space.memory", "2MiB"), 0);
        CHECK_EQ(found(w.space, 0, 100), 0); /* a table of its own, and empty */
        CHECK_EQ(put_all(&w, w.space, 0, 100), 0);
        CHECK_EQ(found(w.space, 0, 100), 100);
        world_settle(&w);
        CHECK_EQ(gauge(&w, "s", "entries"), 100);
        CHECK_EQ(gauge(&w, NULL, "entries"), 100); /* what was in the other is gone */
        put_all(&w, w.space, 100, 3 * fitting(2 * MIB));
        CHECK_LE(gauge(&w, "s", "memory_bytes"), 2 * MIB);

        CHECK_EQ(nigh_space_set(w.space, "space.memory", "none"), 0);
        unsigned had = found(w.space, 0, 4 * fitting(2 * MIB));
        CHECK_GT(had, fitting(MIB)); /* all stays, and there may be more */
        unsigned more = fitting(6 * MIB);
        CHECK_EQ(put_all(&w, w.space, 100000, more), 0);
        CHECK_EQ(found(w.space, 100000, more), more);
        CHECK_EQ(gauge(&w, "s", "memory_cap_bytes"), 16 * MIB);

        if (policies[p] != NIGH_POLICY_NONE) {
            CHECK_EQ(nigh_space_set(w.space, "space.memory", "1MiB"), 0);
            CHECK_WITHIN(PATIENCE_MS, (world_tick(&w), gauge(&w, "s", "memory_bytes") <= MIB));
            CHECK_GT(gauge(&w, "s", "entries"), fitting(MIB) / 2);
        }
        world_close(&w);
    }
}

TEST(the_caches_default_is_that_of_all_spaces_that_have_none_of_their_own)
{
    struct world w;
    open_under(&w, NIGH_POLICY_LRU);
    open_capped(&w, "own", 4 * MIB);
    struct nigh_space *second = open_capped(&w, "second", 0);
    open_capped(&w, "free", (int64_t)NIGH_UNCAPPED);
    CHECK_EQ(gauge(&w, "second", "memory_cap_bytes"), NIGH_EINVAL);
    CHECK_EQ(nigh_set(w.cache, "space.memory", "3MiB"), 0);
    CHECK_EQ(gauge(&w, "s", "memory_cap_bytes"), 3 * MIB);
    CHECK_EQ(gauge(&w, "second", "memory_cap_bytes"), 3 * MIB);
    CHECK_EQ(gauge(&w, "own", "memory_cap_bytes"), 4 * MIB);
    CHECK_EQ(gauge(&w, "free", "memory_cap_bytes"), NIGH_EINVAL);
    open_capped(&w, "third", 0);
    CHECK_EQ(gauge(&w, "third", "memory_cap_bytes"), 3 * MIB);
    CHECK_EQ(nigh_space_set(second, "space.memory", "5MiB"), 0);
    CHECK_EQ(nigh_set(w.cache, "space.memory", "0"), 0);
    CHECK_EQ(gauge(&w, "s", "memory_cap_bytes"), 16 * MIB);
    CHECK_EQ(gauge(&w, "second", "memory_cap_bytes"), 5 * MIB);
    CHECK_EQ(nigh_set(w.cache, "l1.memory", "32MiB"), 0); /* it is none of its business */
    CHECK_EQ(gauge(&w, "s", "memory_cap_bytes"), 32 * MIB);
    CHECK_EQ(gauge(&w, "second", "memory_cap_bytes"), 5 * MIB);
    world_close(&w);
}

static bool refused(int rc, const char *why)
{
    return CHECK_EQ(rc, NIGH_EOPTION) && CHECK(strstr(nigh_options_error(), why));
}

TEST(what_cannot_be_is_refused)
{
    struct world w;
    open_under(&w, NIGH_POLICY_LRU);
    refused(nigh_space_set(w.space, "space.memory", "1023k"), "space.memory");
    refused(nigh_space_set(w.space, "space.memory", "much"), "much");
    refused(nigh_space_set(w.space, "space.soft_ttl", "1s"), "space.soft_ttl");
    refused(nigh_space_set(w.space, "l1.memory", "1g"), "l1.memory");
    refused(nigh_space_set(w.space, NULL, "1g"), "NULL");
    refused(nigh_space_set(w.space, "space.memory", NULL), "space.memory");
    CHECK_EQ(gauge(&w, "s", "memory_cap_bytes"), NIGH_EINVAL);
    world_close(&w);

    struct nigh_options o = world_options(&w);
    o.l1_entries = 100;
    o.l1_shards = 4;
    world_open(&w, &o, NULL);
    refused(nigh_set(w.cache, "space.memory", "1m"), "l1.entries");
    refused(nigh_space_set(w.space, "space.memory", "1m"), "l1.entries");
    CHECK_EQ(put(w.space, 1), 0);
    CHECK(has(w.space, 1));
    world_close(&w);
    struct nigh *cache;
    o.space.memory = (uint64_t)MIB;
    refused(nigh_open(&o, &cache), "l1.entries");
}

TEST(a_full_cache_has_room_for_a_first_cap)
{
    struct world w;
    open_under(&w, NIGH_POLICY_LFU);
    put_all(&w, w.space, 0, 2 * fitting(16 * MIB));
    struct nigh_space *capped = open_capped(&w, "capped", 8 * MIB);
    CHECK_EQ(put(capped, 1), 0);
    CHECK(has(capped, 1));
    CHECK_EQ(nigh_space_set(w.space, "space.memory", "8MiB"), 0);
    CHECK_LE(gauge(&w, NULL, "memory_bytes"), 16 * MIB);
    world_close(&w);
}

/* ---- what else is done with a space ---- */

TEST(loads_and_invalidations_find_it)
{
    struct world w;
    open_under(&w, NIGH_POLICY_LFU);
    for (unsigned round = 0; round < 2; round++) {
        unsigned loads = w.origin.loads;
        CHECK_ANSWER(ask_fetch(w.space, "k", NULL), NIGH_FRESH, "k=1");
        CHECK_ANSWER(ask_fetch(w.space, "k", NULL), NIGH_FRESH, "k=1");
        CHECK_EQ(w.origin.loads, loads + 1);
        CHECK_EQ(nigh_invalidate(w.space, "k", 1, NULL), 0);
        CHECK_EQ(ask_get(w.space, "k", NULL).outcome, NIGH_MISS);

        struct nigh_target space = {.kind = NIGH_TARGET_SPACE, .space = w.space};
        struct nigh_target all = {.kind = NIGH_TARGET_ALL};
        CHECK_EQ(put(w.space, 1), 0);
        CHECK_EQ(nigh_invalidate_many(w.cache, &space, 1, NULL), 0);
        CHECK(!has(w.space, 1));
        CHECK_EQ(put(w.space, 1), 0);
        CHECK_EQ(nigh_invalidate_many(w.cache, &all, 1, NULL), 0);
        CHECK(!has(w.space, 1));

        static const char *const tags[] = {"t"};
        struct nigh_target tag = {.kind = NIGH_TARGET_TAG, .name = "t", .name_len = 1};
        struct nigh_call call = NIGH_CALL_INIT;
        call.tags = tags;
        call.tag_count = 1;
        call.version = 5;
        CHECK_EQ(nigh_put(w.space, "tagged", 6, "v", 1, &call), 0);
        call.version = 4;
        CHECK_EQ(nigh_put(w.space, "tagged", 6, "old", 3, &call), NIGH_REFUSED);
        CHECK_ANSWER(ask_get(w.space, "tagged", NULL), NIGH_FRESH, "v");
        CHECK_EQ(nigh_invalidate_many(w.cache, &tag, 1, NULL), 0);
        CHECK_EQ(ask_get(w.space, "tagged", NULL).outcome, NIGH_MISS);
        CHECK_EQ(nigh_space_set(w.space, "space.memory", "2MiB"), 0); /* and again, apart */
    }
    world_close(&w);
}

/* It was made for the table that the space has left. */
TEST(a_load_that_is_under_way_when_a_space_moves_is_not_stored)
{
    struct world w;
    struct asker a;
    open_under(&w, NIGH_POLICY_LFU);
    origin_hold(&w.origin);
    asker_start(&a, w.space, "k", NULL);
    CHECK_WITHIN(PATIENCE_MS, w.origin.held_loads == 1);
    CHECK_EQ(nigh_space_set(w.space, "space.memory", "2MiB"), 0);
    origin_let_go(&w.origin);
    asker_join(&a);
    CHECK_ANSWER(a.answer, NIGH_FRESH, "k=1");
    CHECK_ANSWER(ask_fetch(w.space, "k", NULL), NIGH_FRESH, "k=1");
    unsigned loads = w.origin.loads;
    CHECK_LE(loads, 2);
    CHECK_ANSWER(ask_fetch(w.space, "k", NULL), NIGH_FRESH, "k=1");
    CHECK_EQ(w.origin.loads, loads);
    world_close(&w);
}

/* Its ticket is from before: who told of a change meanwhile may have looked in the other table. */
TEST(a_fill_that_was_under_way_when_a_space_moved_is_refused)
{
    struct world w;
    struct nigh_miss miss = NIGH_MISS_INIT;
    struct nigh_call call = NIGH_CALL_INIT;
    open_under(&w, NIGH_POLICY_LFU);
    call.miss = &miss;
    CHECK_EQ(ask_get(w.space, "k", &call).outcome, NIGH_MISS);
    CHECK_EQ(nigh_space_set(w.space, "space.memory", "2MiB"), 0);
    CHECK_EQ(nigh_put(w.space, "k", 1, "old", 3, &call), NIGH_REFUSED);
    CHECK_EQ(ask_get(w.space, "k", NULL).outcome, NIGH_MISS);
    world_close(&w);
}

/* Its value is lost with the table that it was put into; but so is what it was to replace. */
TEST(a_put_that_was_under_way_when_a_space_moved_leaves_nothing_older)
{
    struct world w;
    open_under(&w, NIGH_POLICY_LFU);
    struct l1 *before = space_l1(w.space);
    CHECK_EQ(nigh_space_set(w.space, "space.memory", "2MiB"), 0);
    CHECK(space_l1(w.space) != before);
    CHECK_EQ(nigh_put(w.space, "k", 1, "older", 5, NULL), 0);
    struct l1_key key = l1_key_of(before, w.space->id, "k", 1);
    CHECK_EQ(space_l1_put(w.space, before, &key, bytes_of_string("newer")), L1_STORED);
    CHECK_EQ(ask_get(w.space, "k", NULL).outcome, NIGH_MISS);
    world_close(&w);
}

TEST(what_is_held_stays_while_its_space_moves_and_shrinks)
{
    enum { HELD = 40 };
    struct nigh_value held[2 * HELD];
    struct world w;
    open_under(&w, NIGH_POLICY_LRU);
    put_all(&w, w.space, 0, HELD);
    for (unsigned i = 0; i < HELD; i++)
        REQUIRE_EQ(nigh_get(w.space, &i, sizeof(i), NULL, &held[i]), NIGH_FRESH);
    CHECK_EQ(nigh_space_set(w.space, "space.memory", "8MiB"), 0);
    put_all(&w, w.space, 0, fitting(7 * MIB));
    for (unsigned i = 0; i < HELD; i++) {
        unsigned key = i * 50;
        REQUIRE_EQ(nigh_get(w.space, &key, sizeof(key), NULL, &held[HELD + i]), NIGH_FRESH);
    }
    CHECK_EQ(gauge(&w, NULL, "pins"), 2 * HELD);
    CHECK_EQ(nigh_space_set(w.space, "space.memory", "2MiB"), 0);
    CHECK_WITHIN(PATIENCE_MS, (world_tick(&w), gauge(&w, "s", "memory_bytes") <= 2 * MIB));
    /* Each keeps its slab of 16 or 64 KiB; where the allocator does not know, it is 0. */
    CHECK_WITHIN(PATIENCE_MS, (world_tick(&w), gauge(&w, "s", "resident_bytes") <=
                                                   2 * MIB * 110 / 100 + HELD * 64 * 1024));
    static const char zeros[VALUE];
    for (unsigned i = 0; i < 2 * HELD; i++) {
        CHECK_MEM(held[i].data, held[i].len, zeros, sizeof(zeros));
        nigh_release(&held[i]);
    }
    CHECK_EQ(gauge(&w, NULL, "pins"), 0);
    CHECK_WITHIN(PATIENCE_MS, (world_tick(&w), gauge(&w, "s", "resident_bytes") <=
                                                   2 * MIB * 110 / 100 + 256 * 1024));
    world_close(&w);
}

TEST(both_forms_of_stats_show_it)
{
    struct world w;
    char text[32768];
    open_under(&w, NIGH_POLICY_LRU);
    open_capped(&w, "capped", 4 * MIB);
    REQUIRE(nigh_stats(w.cache, NIGH_STATS_TEXT, text, sizeof(text)) < (long)sizeof(text));
    const char *capped = strstr(text, "space capped\n");
    REQUIRE(capped);
    CHECK(strstr(capped, "memory_cap_bytes") && strstr(capped, "4194304"));
    CHECK(strstr(capped, "entries"));
    REQUIRE(nigh_stats(w.cache, NIGH_STATS_JSON, text, sizeof(text)) < (long)sizeof(text));
    capped = strstr(text, "\"capped\": {");
    REQUIRE(capped);
    CHECK(strstr(capped, "\"memory_cap_bytes\": 4194304"));
    CHECK(strstr(capped, "\"entries\": 0,"));
    CHECK_EQ(gauge(&w, "capped", "pins"), NIGH_EINVAL); /* not counted for one space */
    world_close(&w);
}
