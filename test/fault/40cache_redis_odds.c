// SPDX-License-Identifier: MIT
// How a load asks a real Redis: GET first, or, where L2 seldom has anything, LEASE at once.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/commands.h"
#include "support/origin.h"

enum {
    COLD = 40,  /* loads after which the odds are low */
    ASKED = 50, /* loads that are counted */
};

/* A node whose leases need no extension, which would be one more script, however slow it is. */
static void open_node(struct world *w, const struct redis *server, struct origin *origin)
{
    struct nigh_options o = patient_options(server);
    o.lease_ms = 60000;
    o.space.load_deadline_ms = 120000;
    o.space.error_ttl_ms = o.space.error_ttl_max_ms = 600000;
    origin_init(&w->origin);
    world_open_with(w, &o, NULL, origin ? origin : &w->origin);
    CHECK_WITHIN(WORLD_PATIENCE_MS, nigh_health(w->cache) == NIGH_FRESH);
}

static const char *name_of(char name[32], const char *prefix, int i)
{
    snprintf(name, 32, "%s%d", prefix, i);
    return name;
}

/* Fetches PREFIX0 .. and waits until Redis has what was loaded. */
static void fetch_all(struct world *w, const char *prefix, int count)
{
    int64_t fills = world_count(w, "l2_fill") + count;
    for (int i = 0; i < count; i++) {
        char name[32], row[40];
        snprintf(row, sizeof(row), "%s=1", name_of(name, prefix, i));
        CHECK_ANSWER(ask_fetch(w->space, name, NULL), NIGH_FRESH, row);
    }
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(w, "l2_fill") == fills);
}

/* Expects the values that another node has loaded. */
static void fetch_found(struct world *w, const char *prefix, int count)
{
    for (int i = 0; i < count; i++) {
        char name[32];
        struct answer got = ask_fetch(w->space, name_of(name, prefix, i), NULL);
        CHECK_EQ(got.outcome, NIGH_FRESH);
        CHECK_EQ(got.tier, NIGH_TIER_L2);
    }
}

TEST(what_L2_seldom_has_is_asked_for_by_its_lease)
{
    struct redis server;
    struct world w;
    redis_start(&server, NULL);
    open_node(&w, &server, NULL);
    fetch_all(&w, "cold", COLD);
    int64_t first = world_count(&w, "lease_first"), misses = world_count(&w, "l2_miss");
    CHECK_GT(first, 0);
    struct commands before = commands_of(&server);
    fetch_all(&w, "asked", ASKED);
    struct commands after = commands_of(&server);
    CHECK_EQ(after.get - before.get, 0);
    CHECK_EQ(after.evalsha - before.evalsha, 2 * ASKED); /* a lease and a fill each */
    CHECK_EQ(after.set - before.set, 2 * ASKED);
    CHECK_EQ(world_count(&w, "lease_first"), first + ASKED);
    CHECK_EQ(world_count(&w, "l2_miss"), misses + ASKED);
    CHECK_EQ(w.origin.loads, COLD + ASKED);
    world_close(&w);
    redis_stop(&server);
}

TEST(a_get_that_does_not_load_stays_one)
{
    struct redis server;
    struct world w;
    redis_start(&server, NULL);
    open_node(&w, &server, NULL);
    fetch_all(&w, "cold", COLD);
    struct commands before = commands_of(&server);
    CHECK_EQ(ask_get(w.space, "other", NULL).outcome, NIGH_MISS);
    struct commands after = commands_of(&server);
    CHECK_EQ(after.get - before.get, 1);
    CHECK_EQ(after.evalsha - before.evalsha, 0);
    world_close(&w);
    redis_stop(&server);
}

TEST(values_that_are_there_after_all_are_taken_and_asked_for_by_GET_again)
{
    struct redis server;
    struct world w, other;
    redis_start(&server, NULL);
    open_node(&w, &server, NULL);
    open_node(&other, &server, &w.origin);
    fetch_all(&other, "there", 2 * ASKED);
    fetch_all(&w, "cold", COLD);
    unsigned loads = w.origin.loads;
    int64_t first = world_count(&w, "lease_first");
    struct commands before = commands_of(&server);
    fetch_found(&w, "there", 2 * ASKED);
    struct commands after = commands_of(&server);
    int64_t leases = world_count(&w, "lease_first") - first;
    CHECK_GT(leases, 0);
    CHECK_LT(leases, ASKED);
    CHECK_EQ(w.origin.loads, loads);
    CHECK_EQ(after.get - before.get, 2 * ASKED); /* the script's own among them */
    CHECK_EQ(after.evalsha - before.evalsha, leases);
    world_close(&other);
    world_close(&w);
    redis_stop(&server);
}

TEST(a_load_elsewhere_is_waited_for)
{
    struct redis server;
    struct world w, other;
    struct asker loads, waits;
    redis_start(&server, NULL);
    open_node(&w, &server, NULL);
    open_node(&other, &server, &w.origin);
    fetch_all(&w, "cold", COLD);
    unsigned before = w.origin.loads;
    origin_hold(&w.origin);
    asker_start(&loads, other.space, "k", NULL);
    CHECK_WITHIN(WORLD_PATIENCE_MS, w.origin.held_loads == 1);
    int64_t first = world_count(&w, "lease_first");
    asker_start(&waits, w.space, "k", NULL);
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&w, "lease_held") >= 1);
    CHECK_EQ(world_count(&w, "lease_first"), first + 1);
    origin_let_go(&w.origin);
    asker_join(&loads);
    asker_join(&waits);
    CHECK_ANSWER(waits.answer, NIGH_FRESH, "k=1");
    CHECK_EQ(waits.answer.tier, NIGH_TIER_L2);
    CHECK_EQ(w.origin.loads, before + 1);
    CHECK_EQ(world_count(&w, "lease_first"), first + 1); /* then it only asks again */
    world_close(&other);
    world_close(&w);
    redis_stop(&server);
}

static int fail(struct origin *o, struct nigh_fill *fill)
{
    (void)o;
    return nigh_fill_error(fill, 7);
}

TEST(a_failure_hides_no_value_that_another_has_loaded_since)
{
    struct redis server;
    struct world w, other;
    redis_start(&server, NULL);
    open_node(&w, &server, NULL);
    open_node(&other, &server, NULL);
    fetch_all(&w, "cold", COLD);
    atomic_store(&w.origin.script, fail);
    CHECK_EQ(ask_fetch(w.space, "k", NULL).outcome, NIGH_ELOADER);
    CHECK_EQ(ask_fetch(w.space, "k", NULL).outcome, NIGH_ELOADER);
    CHECK_EQ(w.origin.loads, COLD + 1);
    CHECK_ANSWER(ask_fetch(other.space, "k", NULL), NIGH_FRESH, "k=1");
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&other, "l2_fill") == 1);
    CHECK_ANSWER(ask_fetch(w.space, "k", NULL), NIGH_FRESH, "k=1");
    world_close(&other);
    world_close(&w);
    redis_stop(&server);
}

TEST(a_refresh_looks_at_what_is_there_first)
{
    struct nigh_call refresh = NIGH_CALL_INIT;
    struct redis server;
    struct world w;
    refresh.flags = NIGH_REFRESH;
    redis_start(&server, NULL);
    open_node(&w, &server, NULL);
    fetch_all(&w, "cold", COLD);
    origin_commit(&w.origin);
    struct commands before = commands_of(&server);
    CHECK_ANSWER(ask_fetch(w.space, "cold0", &refresh), NIGH_FRESH, "cold0=2");
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&w, "l2_fill") == COLD + 1);
    struct commands after = commands_of(&server);
    CHECK_EQ(after.get - before.get, 1);
    CHECK_EQ(after.evalsha - before.evalsha, 2);
    world_close(&w);
    redis_stop(&server);
}
