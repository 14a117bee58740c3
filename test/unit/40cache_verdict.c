// SPDX-License-Identifier: MIT
// The tables of what a found value is worth: every combination, against the rows of the header; and
// through the calls what a row says that no other test does.

#include "cache/value/verdict.h"

#include "cache/value/freshness.h"
#include "l1/core.h"
#include "support/origin.h"
#include "support/redis.h"

#define ANY (-1)

struct row {
    int floors, lifetime, trust;
    enum verdict value, absence;
};

/* As they are drawn: the first that fits. */
static const struct row rows[] = {
    {L1_BELOW_HARD, ANY, ANY, VERDICT_GONE, VERDICT_GONE},
    {ANY, LIFETIME_OVER, ANY, VERDICT_GONE, VERDICT_GONE},
    {ANY, LIFETIME_KEPT, ANY, VERDICT_KEPT, VERDICT_GONE},
    {ANY, ANY, TRUST_MISS, VERDICT_KEPT, VERDICT_GONE},
    {L1_BELOW_SOFT, ANY, ANY, VERDICT_STALE, VERDICT_GONE},
    {L1_CURRENT, LIFETIME_STALE, ANY, VERDICT_STALE, VERDICT_GONE},
    {L1_CURRENT, LIFETIME_FRESH, TRUST_DOUBT, VERDICT_STALE, VERDICT_GONE},
    {L1_CURRENT, LIFETIME_FRESH, TRUST_LEARNT, VERDICT_LEARNT, VERDICT_GONE},
    {L1_CURRENT, LIFETIME_FRESH, TRUST_LATELY, VERDICT_LEARNT, VERDICT_LEARNT},
    {L1_CURRENT, LIFETIME_FRESH, TRUST_HELD, VERDICT_FRESH, VERDICT_FRESH},
};

static bool fits(int wanted, int got)
{
    return wanted == ANY || wanted == got;
}

static const struct row *row_of(int floors, int lifetime, int trust)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (fits(rows[i].floors, floors) && fits(rows[i].lifetime, lifetime) &&
            fits(rows[i].trust, trust))
            return &rows[i];
    return NULL;
}

static void check_combination(enum l1_standing floors, enum verdict_lifetime lifetime,
                              enum verdict_trust trust, bool used[])
{
    const struct row *row = row_of((int)floors, (int)lifetime, (int)trust);
    REQUIRE(row);
    used[row - rows] = true;
    if (!CHECK_EQ(verdict_of(floors, lifetime, trust, false), row->value) ||
        !CHECK_EQ(verdict_of(floors, lifetime, trust, true), row->absence))
        check_note("was floors %d, lifetime %d, trust %d", (int)floors, (int)lifetime,
                   (int)trust);
}

TEST(every_row_of_the_table_of_verdicts)
{
    bool used[sizeof(rows) / sizeof(rows[0])] = {false};
    for (int floors = L1_CURRENT; floors <= L1_BELOW_HARD; floors++)
        for (int lifetime = LIFETIME_FRESH; lifetime <= LIFETIME_OVER; lifetime++)
            for (int trust = TRUST_HELD; trust <= TRUST_MISS; trust++)
                check_combination((enum l1_standing)floors, (enum verdict_lifetime)lifetime,
                                  (enum verdict_trust)trust, used);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (!CHECK(used[i]))
            check_note("row %zu never fits first", i);
}

TEST(every_row_of_the_table_of_outcomes)
{
    static const int outcomes[][2] = {
        [VERDICT_GONE] = {NIGH_MISS, NIGH_MISS},
        [VERDICT_KEPT] = {NIGH_MISS, NIGH_MISS},
        [VERDICT_STALE] = {NIGH_STALE, NIGH_ABSENT}, /* of an absence it does not come to be */
        [VERDICT_LEARNT] = {NIGH_STALE, NIGH_ABSENT},
        [VERDICT_FRESH] = {NIGH_FRESH, NIGH_ABSENT},
    };
    for (int v = VERDICT_GONE; v <= VERDICT_FRESH; v++) {
        for (int absent = 0; absent < 2; absent++) {
            CHECK_EQ(verdict_outcome((enum verdict)v, absent, true), outcomes[v][absent]);
            CHECK_EQ(verdict_outcome((enum verdict)v, absent, false), NIGH_MISS);
        }
    }
}

/* ---- through the calls ---- */

/* A node whose time is the test's: its trust ends when the test says so, and nothing renews it. */
static void open_node(struct world *w, struct redis *server, enum nigh_on_doubt on_doubt)
{
    struct nigh_space_options so = exact_space();
    so.soft_ttl_ms = 10000;
    so.stale_ms = 100000;
    so.absent_ttl_ms = 3600 * 1000;
    redis_start(server, NULL);
    struct nigh_options o = world_options(w);
    o.redis_uri = server->uri;
    o.on_doubt = on_doubt;
    world_open(w, &o, &so);
    CHECK_WITHIN(WORLD_PATIENCE_MS, (world_tick(w), nigh_health(w->cache) == NIGH_FRESH));
}

static int l1_outcome(struct world *w, const char *key)
{
    struct nigh_call call = NIGH_CALL_INIT;
    call.flags = NIGH_L1_ONLY;
    return ask_get(w->space, key, &call).outcome;
}

TEST(in_doubt_what_is_past_its_soft_lifetime_was_served_in_spite_of_on_doubt_miss)
{
    static const enum nigh_on_doubt words[] = {NIGH_DOUBT_STALE, NIGH_DOUBT_MISS};
    for (size_t i = 0; i < 2; i++) {
        struct redis server;
        struct world w;
        open_node(&w, &server, words[i]);
        CHECK_EQ(nigh_put(w.space, "k", 1, "v", 1, NULL), 0);
        world_advance(&w, 60000); /* past trust and soft_ttl, not past stale */
        CHECK_EQ(l1_outcome(&w, "k"), words[i] == NIGH_DOUBT_STALE ? NIGH_STALE : NIGH_MISS);
        world_close(&w);
        redis_stop(&server);
    }
}

static int fail(struct origin *o, struct nigh_fill *fill)
{
    (void)o;
    size_t len;
    uint64_t version;
    const void *previous = nigh_fill_previous(fill, &len, &version);
    CHECK(previous); /* it may be compared with, all the same */
    return nigh_fill_error(fill, 7);
}

TEST(in_doubt_a_failed_load_served_what_was_stored_in_spite_of_on_doubt_miss)
{
    static const enum nigh_on_doubt words[] = {NIGH_DOUBT_STALE, NIGH_DOUBT_MISS};
    for (size_t i = 0; i < 2; i++) {
        struct redis server;
        struct world w;
        struct nigh_call call = NIGH_CALL_INIT;
        open_node(&w, &server, words[i]);
        CHECK_EQ(nigh_put(w.space, "k", 1, "v", 1, NULL), 0);
        redis_stop(&server);
        world_advance(&w, 60000);
        w.origin.script = fail;
        call.flags = NIGH_REFRESH;
        CHECK_EQ(ask_fetch(w.space, "k", &call).outcome,
                 words[i] == NIGH_DOUBT_STALE ? NIGH_STALE : NIGH_ELOADER);
        CHECK_EQ(w.origin.loads, 1);
        world_close(&w);
    }
}

/* The first read in doubt marks its beginning, so one refresh is enough. */
TEST(in_doubt_each_key_is_refreshed_once_whoever_notices_the_doubt)
{
    struct redis server;
    struct world w;
    open_node(&w, &server, NIGH_DOUBT_STALE);
    CHECK_ANSWER(ask_fetch(w.space, "k", NULL), NIGH_FRESH, "k=1");
    redis_stop(&server);
    world_advance(&w, 9000); /* within soft_ttl */
    struct moment moment = freshness_moment(w.cache);
    if (!CHECK(!moment.is_trusted))
        check_note("trust is longer than this test supposes");
    origin_commit(&w.origin);
    CHECK_ANSWER(ask_fetch(w.space, "k", NULL), NIGH_STALE, "k=1"); /* and a refresh behind */
    CHECK_WITHIN(WORLD_PATIENCE_MS, (world_tick(&w), l1_outcome(&w, "k"), w.origin.finished == 2));
    CHECK_WITHIN(WORLD_PATIENCE_MS, (world_tick(&w), world_count(&w, "flights") == 0));
    int64_t refreshes = world_count(&w, "refresh");
    for (int i = 0; i < 10; i++) {
        CHECK_ANSWER(ask_fetch(w.space, "k", NULL), NIGH_STALE, "k=2");
        world_tick(&w);
    }
    CHECK_EQ(world_count(&w, "refresh"), refreshes);
    CHECK_EQ(w.origin.loads, 2);
    world_close(&w);
}

static int none(struct origin *o, struct nigh_fill *fill)
{
    atomic_fetch_add(&o->held_loads, 1);
    while (atomic_load(&o->held))
        check_pause();
    return nigh_fill_absent(fill);
}

/* A node in doubt whose origin has nothing. */
static void open_doubtful(struct world *w)
{
    struct redis server;
    open_node(w, &server, NIGH_DOUBT_STALE);
    redis_stop(&server);
    world_advance(w, 60000);
    CHECK(!freshness_moment(w->cache).is_trusted);
    w->origin.script = none;
}

static struct nigh_call for_a_put(struct nigh_miss *miss)
{
    struct nigh_call call = NIGH_CALL_INIT;
    call.miss = miss;
    return call;
}

/* The trust bound of an absence is kept by its age. */
TEST(in_doubt_an_absence_was_believed_for_longer_than_trust)
{
    struct world w;
    open_doubtful(&w);
    CHECK_EQ(ask_fetch(w.space, "k", NULL).outcome, NIGH_ABSENT);
    world_advance(&w, NIGH_DEFAULT_TRUST_MS - 1);
    CHECK_EQ(l1_outcome(&w, "k"), NIGH_ABSENT);
    CHECK_EQ(ask_fetch(w.space, "k", NULL).outcome, NIGH_ABSENT);
    CHECK_EQ(w.origin.loads, 1);
    world_advance(&w, 1);
    CHECK_EQ(l1_outcome(&w, "k"), NIGH_MISS);
    w.origin.script = NULL;
    CHECK_ANSWER(ask_fetch(w.space, "k", NULL), NIGH_FRESH, "k=1");
    world_close(&w);
}

/* Its age counts from when the caller may have asked the origin, not from the put. */
TEST(in_doubt_an_absence_that_was_put_counts_from_the_miss_before_it)
{
    struct world w;
    struct nigh_miss miss;
    open_doubtful(&w);
    struct nigh_call call = for_a_put(&miss);
    CHECK_EQ(ask_get(w.space, "k", &call).outcome, NIGH_EOFFLINE);
    world_advance(&w, NIGH_DEFAULT_TRUST_MS - 1);
    CHECK_EQ(nigh_put_absent(w.space, "k", 1, &call), 0);
    CHECK_EQ(l1_outcome(&w, "k"), NIGH_ABSENT);
    world_advance(&w, 1);
    CHECK_EQ(l1_outcome(&w, "k"), NIGH_MISS);
    world_close(&w);
}

/* Nor from the landing: who has joined a load that began long before his call loads anew. */
TEST(in_doubt_an_absence_ages_while_its_load_runs)
{
    struct world w;
    struct asker leader, follower;
    open_doubtful(&w);
    origin_hold(&w.origin);
    asker_start(&leader, w.space, "k", NULL);
    CHECK_WITHIN(WORLD_PATIENCE_MS, w.origin.held_loads == 1);
    world_advance(&w, NIGH_DEFAULT_TRUST_MS);
    asker_start(&follower, w.space, "k", NULL);
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&w, "flight_joined") == 1);
    w.origin.script = NULL;
    origin_let_go(&w.origin);
    asker_join(&leader);
    asker_join(&follower);
    CHECK_EQ(leader.answer.outcome, NIGH_ABSENT);
    CHECK_ANSWER(follower.answer, NIGH_FRESH, "k=1");
    world_close(&w);
}

/* What L1 has is too old for the call. While Redis is asked another caller brings a new value, here
 * alone: one that waited for Redis, too, would be removed when its connection ends. And another key
 * may be invalidated, whose floor is this one's as well. */
static void bring_during_a_load_that_fails(bool raises)
{
    struct redis server;
    struct world w;
    struct asker asker;
    open_node(&w, &server, NIGH_DOUBT_STALE);
    CHECK_EQ(nigh_put(w.space, "k", 1, "old", 3, NULL), 0);
    world_advance(&w, 1000);
    redis_pause(&server);
    w.origin.script = fail;
    struct nigh_call young = NIGH_CALL_INIT;
    young.max_age_ms = 500;
    int64_t asked = world_count(&w, "l2_request");
    asker_start(&asker, w.space, "k", &young);
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&w, "l2_request") > asked);
    struct nigh_miss miss = {.stamp = l1_ticket(w.cache->l1)}; /* without a lease */
    struct nigh_call call = for_a_put(&miss);
    CHECK_EQ(nigh_put(w.space, "k", 1, "new", 3, &call), 0);
    struct l1_key key = l1_key_of(w.cache->l1, w.space->id, "k", 1);
    bool ok;
    if (raises)
        floors_raise_key(w.cache->l1->floors, key.hash, 0, &ok);
    redis_stop(&server);
    asker_join(&asker);
    CHECK_ANSWER(asker.answer, NIGH_FRESH, "new");
    world_close(&w);
}

TEST(a_load_that_failed_called_stale_what_another_call_had_just_brought)
{
    bring_during_a_load_that_fails(false);
}

TEST(a_load_that_failed_called_stale_what_shares_a_floor_with_another_key)
{
    bring_during_a_load_that_fails(true);
}
