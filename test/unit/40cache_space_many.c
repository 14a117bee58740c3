// SPDX-License-Identifier: MIT
// space.memory where there are many such spaces, or several caches of them: each keeps what is its
// own, caps go and come back, and l1.memory is the cap on all of them however often it moves.

#include <stdio.h>
#include <string.h>

#include "support/origin.h"

#define MIB ((int64_t)1 << 20)
#define SPACES 120u
#define ALL (96 * MIB)
#define VALUE 3000u
#define CHARGED 3300u /* with key and bookkeeping, about */
#define FEW 20u       /* values that each space has at first */
#define PATIENCE_MS 60000u

static const enum nigh_policy policies[] = {NIGH_POLICY_LFU, NIGH_POLICY_LRU, NIGH_POLICY_TTL,
                                            NIGH_POLICY_NONE};
#define POLICY_COUNT (sizeof(policies) / sizeof(policies[0]))

/* A cache without own threads, and its capped spaces. */
struct many {
    struct world w;
    enum nigh_policy policy;
    struct nigh_space *spaces[SPACES];
};

static char *name_of(unsigned i)
{
    static char name[16];
    snprintf(name, sizeof(name), "m%u", i);
    return name;
}

static void open_many(struct many *m, enum nigh_policy policy, int64_t memory, unsigned spaces,
                      int64_t cap)
{
    struct nigh_options o = world_options(&m->w);
    o.l1_memory = (uint64_t)memory;
    o.l1_policy = policy;
    o.l1_shards = 4; /* the same on any machine */
    o.group_slots = 2048;
    o.space.memory = (uint64_t)cap;
    o.space.soft_ttl_ms = 3600 * 1000;
    m->policy = policy;
    world_open(&m->w, &o, NULL);
    for (unsigned i = 0; i < spaces; i++)
        REQUIRE_EQ(nigh_space_open(m->w.cache, name_of(i), NULL, NULL, NULL, NULL, &m->spaces[i]),
                   0);
}

/* Values tell whose they are. */
static unsigned put_all(struct many *m, unsigned space, unsigned from, unsigned count)
{
    unsigned refused = 0;
    char value[VALUE] = {0};
    for (unsigned i = from; i < from + count; i++) {
        snprintf(value, sizeof(value), "%u of %u", i, space);
        int rc = nigh_put(m->spaces[space], &i, sizeof(i), value, sizeof(value), NULL);
        CHECK(rc == 0 || rc == NIGH_EFULL);
        refused += rc != 0;
        if (i % 64 == 0)
            world_tick(&m->w);
    }
    return refused;
}

static unsigned found(struct many *m, unsigned space, unsigned from, unsigned count)
{
    unsigned sum = 0;
    for (unsigned i = from; i < from + count; i++) {
        struct nigh_value v = NIGH_VALUE_INIT;
        char value[32];
        if (nigh_get(m->spaces[space], &i, sizeof(i), NULL, &v) != NIGH_FRESH)
            continue;
        snprintf(value, sizeof(value), "%u of %u", i, space);
        sum += CHECK_STR(v.data, value);
        nigh_release(&v);
    }
    return sum;
}

static int64_t memory_of(const struct many *m, unsigned space)
{
    return nigh_stats_value(m->w.cache, name_of(space), "memory_bytes");
}

static int64_t memory_of_all(const struct many *m)
{
    return nigh_stats_value(m->w.cache, NULL, "memory_bytes");
}

static unsigned fitting(int64_t bytes)
{
    return (unsigned)(bytes / CHARGED);
}

static void set_cap(struct many *m, unsigned space, const char *cap)
{
    CHECK_EQ(nigh_space_set(m->spaces[space], "space.memory", cap), 0);
}

/* ---- a hundred ---- */

static void check_a_flood_of_one(struct many *m)
{
    for (unsigned i = 0; i < SPACES; i++)
        CHECK_EQ(put_all(m, i, 0, FEW), 0);
    unsigned refused = put_all(m, 7, FEW, 3 * fitting(MIB));
    CHECK(m->policy == NIGH_POLICY_NONE ? refused > 0 : refused == 0);
    CHECK_LE(memory_of(m, 7), MIB);
    CHECK_GT(memory_of(m, 7), MIB / 2);
    for (unsigned i = 0; i < SPACES; i++)
        if (i != 7)
            CHECK_EQ(found(m, i, 0, FEW), FEW);
}

/* Without a cap a space may have all. With one again it comes down to it. */
static void check_caps_go_and_come(struct many *m)
{
    unsigned many = fitting(4 * MIB);
    for (unsigned i = 0; i < 8; i++)
        set_cap(m, i, "none");
    for (unsigned i = 0; i < 8; i++)
        CHECK_EQ(put_all(m, i, 1000, many), 0);
    for (unsigned i = 0; i < 8; i++)
        CHECK_EQ(found(m, i, 1000, many), many);
    for (unsigned i = 0; i < 8; i++)
        set_cap(m, i, "1MiB");
    for (unsigned i = 0; m->policy != NIGH_POLICY_NONE && i < 8; i++) {
        CHECK_WITHIN(PATIENCE_MS, (world_tick(&m->w), memory_of(m, i) <= MIB));
        CHECK_GT(found(m, i, 1000, many), fitting(MIB) / 4);
    }
    for (unsigned i = 8; i < SPACES; i++)
        CHECK_EQ(found(m, i, 0, FEW), FEW);
}

static void flood_all(struct many *m, unsigned from)
{
    for (unsigned n = 0; n < 4; n++)
        for (unsigned i = 0; i < SPACES; i++)
            put_all(m, i, from + n * 100, 100);
}

/* The caps add up to 120 MiB. */
static void check_all_of_them(struct many *m)
{
    flood_all(m, 10000);
    CHECK_LE(memory_of_all(m), ALL);
    CHECK_GT(memory_of_all(m), ALL / 10 * 8);
    for (unsigned i = 0; i < SPACES; i++)
        CHECK_GT(memory_of(m, i), MIB / 4);

    CHECK_EQ(nigh_set(m->w.cache, "l1.memory", "48MiB"), 0);
    CHECK_WITHIN(PATIENCE_MS, (world_tick(&m->w), memory_of_all(m) <= ALL / 2));
    flood_all(m, 20000);
    CHECK_LE(memory_of_all(m), ALL / 2);
    for (unsigned i = 0; i < SPACES; i++)
        CHECK_GT(memory_of(m, i), MIB / 8);

    CHECK_EQ(nigh_set(m->w.cache, "l1.memory", "96MiB"), 0);
    flood_all(m, 30000);
    CHECK_LE(memory_of_all(m), ALL);
    CHECK_GT(memory_of_all(m), ALL / 10 * 8);
    CHECK_LE(nigh_stats_value(m->w.cache, NULL, "memory_peak_bytes"), ALL);
}

TEST(a_hundred_spaces_live_in_one_cache)
{
    for (size_t p = 0; p < POLICY_COUNT; p++) {
        struct many m;
        open_many(&m, policies[p], ALL, SPACES, MIB);
        check_a_flood_of_one(&m);
        check_caps_go_and_come(&m);
        if (policies[p] != NIGH_POLICY_NONE)
            check_all_of_them(&m);
        world_close(&m.w);
    }
}

/* The table of all has what nobody else uses: others get it back at once, also if it is many who
 * want it, and each of them little. */
TEST(what_one_does_not_use_any_more_others_get)
{
    enum { EACH = 60 };
    struct many m;
    open_many(&m, NIGH_POLICY_LRU, ALL, SPACES, 0);
    for (unsigned i = 1; i < SPACES; i++)
        set_cap(&m, i, "1MiB");
    unsigned filling = fitting(ALL / 10 * 8);
    CHECK_EQ(put_all(&m, 0, 0, filling), 0); /* the first one has no cap */
    for (unsigned i = 0; i < filling; i++)
        REQUIRE_EQ(nigh_invalidate(m.spaces[0], &i, sizeof(i), NULL), 0);
    world_settle(&m.w);
    for (unsigned i = 1; i < SPACES; i++)
        CHECK_EQ(put_all(&m, i, 0, EACH), 0);
    for (unsigned i = 1; i < SPACES; i++)
        CHECK_EQ(found(&m, i, 0, EACH), EACH);
    world_close(&m.w);
}

/* ---- a cap below what is there ---- */

TEST(a_cap_of_less_than_a_space_has)
{
    for (size_t p = 0; p < POLICY_COUNT; p++) {
        struct many m;
        open_many(&m, policies[p], 16 * MIB, 2, 8 * MIB);
        unsigned had = fitting(6 * MIB);
        CHECK_EQ(put_all(&m, 0, 0, had), 0);
        CHECK_EQ(put_all(&m, 1, 0, FEW), 0);
        set_cap(&m, 0, "1MiB");
        if (policies[p] == NIGH_POLICY_NONE) { /* nobody leaves, and soon nobody comes */
            CHECK_GT(put_all(&m, 0, had, fitting(2 * MIB)), fitting(MIB));
            CHECK_EQ(found(&m, 0, 0, had), had);
        } else {
            CHECK_WITHIN(PATIENCE_MS, (world_tick(&m.w), memory_of(&m, 0) <= MIB));
            CHECK_GT(found(&m, 0, 0, had), fitting(MIB) / 4);
            CHECK_EQ(put_all(&m, 0, had, fitting(2 * MIB)), 0);
            CHECK_WITHIN(PATIENCE_MS, (world_tick(&m.w), memory_of(&m, 0) <= MIB));
        }
        CHECK_EQ(found(&m, 1, 0, FEW), FEW);
        world_close(&m.w);
    }
}

/* ---- two caches ---- */

TEST(two_caches_know_nothing_of_one_another)
{
    for (size_t p = 0; p < POLICY_COUNT; p++) {
        struct many a, b;
        unsigned kept = fitting(MIB / 2);
        open_many(&a, policies[p], 16 * MIB, 4, 2 * MIB);
        open_many(&b, policies[(p + 1) % POLICY_COUNT], 16 * MIB, 4, MIB);
        for (unsigned i = 0; i < 4; i++) {
            CHECK_EQ(put_all(&a, i, 0, kept), 0);
            CHECK_EQ(put_all(&b, i, 0, kept), 0);
        }
        put_all(&a, 0, kept, 3 * fitting(2 * MIB));
        CHECK_EQ(nigh_set(a.w.cache, "l1.memory", "12MiB"), 0);
        set_cap(&a, 1, "none");
        CHECK_EQ(nigh_stats_value(b.w.cache, "m1", "memory_cap_bytes"), MIB);
        CHECK_EQ(nigh_stats_value(b.w.cache, NULL, "memory_cap_bytes"), 16 * MIB);
        for (unsigned i = 0; i < 4; i++)
            CHECK_EQ(found(&b, i, 0, kept), kept);
        world_close(&a.w);
        for (unsigned i = 0; i < 4; i++)
            CHECK_EQ(found(&b, i, 0, kept), kept);
        world_close(&b.w);
    }
}
