// SPDX-License-Identifier: MIT
// get and fetch without Redis: what is fresh, stale, absent or missing, for how long, and for whom.
// Time is the test's, threads are the test's: refreshes run when it ticks.

#include <stdio.h>
#include <string.h>

#include "cache/cache.h"
#include "l1/core.h"
#include "support/origin.h"

static struct nigh_call flags(uint32_t f)
{
    struct nigh_call call = NIGH_CALL_INIT;
    call.flags = f;
    return call;
}

/* ---- trust ---- */

/* A clock that, when it is read, does what a beat does at the end of a doubt: what was invalidated
 * long ago is removed, and then trust extended. */
struct beat {
    struct world *w;
    _Atomic uint64_t trusted_until;
    _Atomic int countdown; /* reads of the clock before it comes */
};

static uint64_t beat_clock(void *arg)
{
    struct beat *b = arg;
    uint64_t now_ns = atomic_load(&b->w->now_ns);
    if (atomic_fetch_sub(&b->countdown, 1) == 0) {
        struct l1_key key = l1_key_of(b->w->cache->l1, b->w->space->id, "k", 1);
        l1_invalidate_key(b->w->cache->l1, &key, 0, 0, NULL);
        atomic_store(&b->trusted_until, now_ns + NS_PER_S);
    }
    return now_ns;
}

static struct answer ask_many(struct nigh_space *s)
{
    struct nigh_key key = {"k", 1};
    struct nigh_value v = NIGH_VALUE_INIT;
    struct answer a = {0};
    CHECK_EQ(nigh_get_many(s, &key, 1, NULL, &v, &a.outcome), 0);
    nigh_release(&v);
    return a;
}

/* Trust that comes back while a read is under way does not vouch for what was found before. */
TEST(a_beat_within_a_read_makes_nothing_fresh_that_it_removes)
{
    for (int reads = 0; reads < 6; reads++) {
        struct world w;
        struct beat b = {.w = &w, .countdown = -1};
        struct nigh_options o = world_options(&w);
        o.clock = beat_clock;
        o.clock_arg = &b;
        struct nigh_space_options so = exact_space();
        world_open(&w, &o, &so);
        CHECK_EQ(nigh_put(w.space, "k", 1, "old", 3, NULL), 0);
        w.cache->trusted_until = &b.trusted_until; /* 0: doubt reigns */
        CHECK_ANSWER(ask_get(w.space, "k", NULL), NIGH_STALE, "old");
        atomic_store(&b.countdown, reads / 2);
        int outcome = reads % 2 ? ask_many(w.space).outcome : ask_get(w.space, "k", NULL).outcome;
        CHECK_NE(outcome, NIGH_FRESH);
        world_close(&w);
    }
}

/* ---- the second look ---- */

/* A clock that, when it is read, does what two others may: one stores the key, and one has begun to
 * invalidate it, but not removed it yet. */
struct others {
    struct world *w;
    _Atomic int countdown; /* reads of the clock before they come */
};

static uint64_t others_clock(void *arg)
{
    struct others *o = arg;
    bool ok;
    if (atomic_fetch_sub(&o->countdown, 1) == 0) {
        struct l1 *l1 = o->w->cache->l1;
        CHECK_EQ(nigh_put(o->w->space, "k", 1, "k=1", 3, NULL), 0);
        struct l1_key key = l1_key_of(l1, o->w->space->id, "k", 1);
        floors_raise_key(l1->floors, key.hash, 0, &ok);
    }
    return atomic_load(&o->w->now_ns);
}

/* Who looks in L1 once more under a ticket must not call that as new as the ticket. */
TEST(a_flight_takes_nothing_from_l1_that_is_about_to_be_removed)
{
    int64_t led = 0;
    for (int reads = 0; reads < 6; reads++) {
        struct world w;
        struct others others = {.w = &w, .countdown = -1};
        struct nigh_options o = world_options(&w);
        o.clock = others_clock;
        o.clock_arg = &others;
        world_open(&w, &o, NULL);
        origin_commit(&w.origin);
        atomic_store(&others.countdown, reads);
        struct answer a = ask_fetch(w.space, "k", NULL);
        if (world_count(&w, "flight_led"))
            CHECK_ANSWER(a, NIGH_FRESH, "k=2");
        led += world_count(&w, "flight_led");
        world_close(&w);
    }
    CHECK_GT(led, 0);
}

/* ---- the plain life of a value ---- */

TEST(get_never_loads)
{
    struct world w;
    world_open_exact(&w);
    CHECK_ANSWER(ask_get(w.space, "k", NULL), NIGH_MISS, "");
    world_settle(&w);
    CHECK_EQ(w.origin.loads, 0);
    CHECK_EQ(world_count(&w, "entries"), 0);
    world_close(&w);
}

TEST(fetch_loads_once_and_then_hits)
{
    struct world w;
    world_open_exact(&w);
    struct answer a = ask_fetch(w.space, "k", NULL);
    CHECK_ANSWER(a, NIGH_FRESH, "k=1");
    CHECK_EQ(a.tier, NIGH_TIER_LOADER);
    origin_commit(&w.origin);
    for (int i = 0; i < 10; i++)
        a = ask_fetch(w.space, "k", NULL);
    CHECK_ANSWER(a, NIGH_FRESH, "k=1");
    CHECK_EQ(a.tier, NIGH_TIER_L1);
    CHECK_EQ(w.origin.loads, 1);
    CHECK_EQ(world_count(&w, "l1_fresh"), 10);
    CHECK_EQ(world_count(&w, "l1_miss"), 1);
    CHECK_EQ(world_count(&w, "load"), 1);
    world_close(&w);
}

TEST(a_space_without_loader_misses)
{
    struct world w;
    struct nigh_space *bare;
    world_open_exact(&w);
    REQUIRE_EQ(nigh_space_open(w.cache, "bare", NULL, NULL, NULL, NULL, &bare), 0);
    CHECK_ANSWER(ask_fetch(bare, "k", NULL), NIGH_MISS, "");
    world_close(&w);
}

TEST(spaces_do_not_see_each_other)
{
    struct world w;
    struct nigh_space *other;
    world_open_exact(&w);
    REQUIRE_EQ(nigh_space_open(w.cache, "s2", NULL, NULL, NULL, NULL, &other), 0);
    CHECK_EQ(nigh_put(w.space, "k", 1, "one", 3, NULL), 0);
    CHECK_ANSWER(ask_get(other, "k", NULL), NIGH_MISS, "");
    CHECK_EQ(nigh_put(other, "k", 1, "two", 3, NULL), 0);
    CHECK_ANSWER(ask_get(w.space, "k", NULL), NIGH_FRESH, "one");
    CHECK_EQ(nigh_invalidate(other, "k", 1, NULL), 0);
    CHECK_ANSWER(ask_get(w.space, "k", NULL), NIGH_FRESH, "one");
    CHECK_ANSWER(ask_get(other, "k", NULL), NIGH_MISS, "");
    CHECK_EQ(nigh_stats_value(w.cache, "s2", "l1_fresh"), 0);
    CHECK_EQ(nigh_stats_value(w.cache, "s", "l1_fresh"), 2);
    world_close(&w);
}

TEST(fresh_then_stale_then_gone)
{
    struct world w;
    world_open_exact(&w);
    CHECK_ANSWER(ask_fetch(w.space, "k", NULL), NIGH_FRESH, "k=1");
    world_advance(&w, 999);
    CHECK_ANSWER(ask_get(w.space, "k", NULL), NIGH_FRESH, "k=1");
    world_advance(&w, 1);
    CHECK_ANSWER(ask_get(w.space, "k", NULL), NIGH_STALE, "k=1");
    world_advance(&w, 499);
    CHECK_ANSWER(ask_get(w.space, "k", NULL), NIGH_STALE, "k=1");
    world_advance(&w, 1);
    CHECK_ANSWER(ask_get(w.space, "k", NULL), NIGH_MISS, "");
    CHECK_EQ(w.origin.loads, 1);
    world_close(&w);
}

TEST(an_expired_value_gives_its_memory_back)
{
    struct world w;
    world_open_exact(&w);
    int64_t before = world_count(&w, "memory_bytes");
    for (int i = 0; i < 100; i++) {
        char key[16];
        snprintf(key, sizeof(key), "k%d", i);
        CHECK_EQ(ask_fetch(w.space, key, NULL).outcome, NIGH_FRESH);
    }
    CHECK_EQ(world_count(&w, "entries"), 100);
    CHECK_GT(world_count(&w, "memory_bytes"), before);
    world_advance(&w, 5000);
    world_settle(&w);
    CHECK_EQ(world_count(&w, "entries"), 0);
    CHECK_EQ(world_count(&w, "memory_bytes"), before);
    world_close(&w);
}

TEST(a_stale_value_is_returned_and_refreshed_behind)
{
    struct world w;
    world_open_exact(&w);
    CHECK_ANSWER(ask_fetch(w.space, "k", NULL), NIGH_FRESH, "k=1");
    origin_commit(&w.origin);
    world_advance(&w, 1200);
    CHECK_ANSWER(ask_fetch(w.space, "k", NULL), NIGH_STALE, "k=1");
    CHECK_ANSWER(ask_fetch(w.space, "k", NULL), NIGH_STALE, "k=1");
    CHECK_EQ(w.origin.loads, 1);
    world_settle(&w);
    CHECK_EQ(w.origin.loads, 2); /* two stale reads, one refresh */
    CHECK_ANSWER(ask_fetch(w.space, "k", NULL), NIGH_FRESH, "k=2");
    CHECK_EQ(world_count(&w, "refresh"), 1);
    world_close(&w);
}

/* When all is stale at once, thousands of refreshes would wait for one another at Redis. */
TEST(no_more_is_refreshed_at_once_than_may_be_loaded)
{
    static const char *const keys[] = {"a", "b", "c", "d", "e"};
    struct world w;
    struct nigh_options o = world_options(&w);
    struct nigh_space_options so = exact_space();
    so.loads_max = 2;
    world_open(&w, &o, &so);
    for (int i = 0; i < 5; i++)
        ask_fetch(w.space, keys[i], NULL);
    world_advance(&w, 1200);
    for (int round = 1; round <= 3; round++) { /* two, two, and the last */
        for (int i = 0; i < 5; i++)
            CHECK_GE(ask_fetch(w.space, keys[i], NULL).outcome, 0);
        CHECK_EQ(world_count(&w, "refresh"), round < 3 ? 2 * round : 5);
        world_settle(&w);
    }
    CHECK_EQ(w.origin.loads, 10);
    CHECK_EQ(world_count(&w, "refresh_busy"), 3 + 1);
    for (int i = 0; i < 5; i++)
        CHECK_EQ(ask_fetch(w.space, keys[i], NULL).outcome, NIGH_FRESH);
    world_close(&w);
}

/* Sixteen keys, of which one in 64 is of the sample and never counts; as many others count twice.
 */
TEST(a_refresh_is_wasted_if_nobody_reads_what_it_brought)
{
    struct world w;
    char key[8];
    unsigned counted = 0;
    world_open_exact(&w);
    for (int read = 1; read >= 0; read--)
        for (int i = 0; i < 16; i++) {
            snprintf(key, sizeof(key), "%d.%d", read, i);
            struct l1_key named = l1_key_of(w.cache->l1, w.space->id, key, strlen(key));
            CHECK_EQ(ask_fetch(w.space, key, NULL).outcome, NIGH_FRESH);
            world_advance(&w, 1200);
            CHECK_EQ(ask_fetch(w.space, key, NULL).outcome, NIGH_STALE);
            world_settle(&w);
            if (read)
                CHECK_EQ(ask_get(w.space, key, NULL).outcome, NIGH_FRESH);
            uint64_t beside = named.hash - (UINT64_C(1) << L1_MARK_SHIFT);
            if (!read && !l1_marks(w.cache->l1, named.hash))
                counted += l1_marks(w.cache->l1, beside) ? 2 : 1;
        }
    world_advance(&w, 100000);
    world_settle(&w);
    CHECK_EQ(world_count(&w, "entries"), 0);
    CHECK_EQ(world_count(&w, "refresh"), 32);
    CHECK_EQ(world_count(&w, "refresh_wasted"), counted);
    world_close(&w);
}

TEST(get_of_a_stale_value_refreshes_nothing)
{
    struct world w;
    world_open_exact(&w);
    CHECK_ANSWER(ask_fetch(w.space, "k", NULL), NIGH_FRESH, "k=1");
    world_advance(&w, 1200);
    CHECK_ANSWER(ask_get(w.space, "k", NULL), NIGH_STALE, "k=1");
    world_settle(&w);
    CHECK_EQ(w.origin.loads, 1);
    world_close(&w);
}

TEST(workers_refresh_behind_a_stale_value)
{
    struct world w;
    struct nigh_space_options so = NIGH_SPACE_OPTIONS_INIT;
    so.soft_ttl_ms = 30;
    so.stale_ms = 100000;
    world_open(&w, NULL, &so);
    CHECK_ANSWER(ask_fetch(w.space, "k", NULL), NIGH_FRESH, "k=1");
    CHECK_WITHIN(20000, ask_get(w.space, "k", NULL).outcome == NIGH_STALE);
    origin_commit(&w.origin);
    origin_hold(&w.origin);
    CHECK_ANSWER(ask_fetch(w.space, "k", NULL), NIGH_STALE, "k=1"); /* does not wait for the load */
    CHECK_WITHIN(20000, w.origin.running == 1);
    origin_let_go(&w.origin);
    CHECK_WITHIN(20000, strcmp(ask_get(w.space, "k", NULL).text, "k=2") == 0);
    CHECK_EQ(w.origin.loads, 2);
    world_close(&w);
}

/* ---- jitter ---- */

TEST(lifetimes_spread_within_their_percentage)
{
    struct world w;
    struct nigh_options o = world_options(&w);
    struct nigh_space_options so = NIGH_SPACE_OPTIONS_INIT;
    so.soft_ttl_ms = 10000;
    so.stale_ms = 10000;
    so.jitter_percent = 20;
    world_open(&w, &o, &so);
    int64_t least = INT64_MAX, most = 0;
    for (int i = 0; i < 1000; i++) {
        char key[16];
        struct nigh_value v;
        int len = snprintf(key, sizeof(key), "k%d", i);
        REQUIRE_EQ(nigh_fetch(w.space, key, (size_t)len, NULL, &v), NIGH_FRESH);
        int64_t fresh = nigh_value_fresh_ms(w.cache, &v);
        int64_t stale = nigh_value_stale_ms(w.cache, &v) - fresh;
        CHECK(fresh >= 7999 && fresh <= 12000);
        CHECK(stale >= 7980 && stale <= 12020); /* an entry's stale time is rounded */
        least = fresh < least ? fresh : least;
        most = fresh > most ? fresh : most;
        nigh_release(&v);
    }
    CHECK_LT(least, 8500); /* 1000 draws: missed by 1 in 10^55 */
    CHECK_GT(most, 11500);
    world_close(&w);
}

/* ---- what does not exist ---- */

static int answer_absent(struct origin *o, struct nigh_fill *fill)
{
    (void)o;
    return nigh_fill_absent(fill);
}

TEST(absence_is_remembered_for_its_own_time)
{
    struct world w;
    struct nigh_options o = world_options(&w);
    struct nigh_space_options so = exact_space();
    so.absent_ttl_ms = 300;
    world_open(&w, &o, &so);
    w.origin.script = answer_absent;
    CHECK_EQ(ask_fetch(w.space, "k", NULL).outcome, NIGH_ABSENT);
    world_advance(&w, 299);
    CHECK_EQ(ask_get(w.space, "k", NULL).outcome, NIGH_ABSENT);
    CHECK_EQ(ask_fetch(w.space, "k", NULL).outcome, NIGH_ABSENT);
    CHECK_EQ(w.origin.loads, 1);
    w.origin.script = NULL;
    world_advance(&w, 1); /* it has no stale form */
    CHECK_EQ(ask_get(w.space, "k", NULL).outcome, NIGH_MISS);
    CHECK_ANSWER(ask_fetch(w.space, "k", NULL), NIGH_FRESH, "k=1");
    world_close(&w);
}

TEST(absence_need_not_be_remembered)
{
    struct world w;
    struct nigh_options o = world_options(&w);
    struct nigh_space_options so = exact_space();
    so.absent_ttl_ms = NIGH_NONE;
    world_open(&w, &o, &so);
    w.origin.script = answer_absent;
    CHECK_EQ(ask_fetch(w.space, "k", NULL).outcome, NIGH_ABSENT);
    CHECK_EQ(ask_fetch(w.space, "k", NULL).outcome, NIGH_ABSENT);
    CHECK_EQ(w.origin.loads, 2);
    CHECK_EQ(world_count(&w, "entries"), 0);
    world_close(&w);
}

/* ---- what fails ---- */

static int answer_error(struct origin *o, struct nigh_fill *fill)
{
    (void)o;
    return nigh_fill_error(fill, 4711);
}

static int return_error(struct origin *o, struct nigh_fill *fill)
{
    (void)o, (void)fill;
    return -5;
}

static int answer_nothing(struct origin *o, struct nigh_fill *fill)
{
    (void)o, (void)fill;
    return 0;
}

TEST(an_error_is_not_repeated_for_a_while_that_doubles)
{
    struct world w;
    struct nigh_options o = world_options(&w);
    struct nigh_space_options so = exact_space();
    so.error_ttl_ms = 100;
    so.error_ttl_max_ms = 350;
    world_open(&w, &o, &so);
    w.origin.script = answer_error;
    static const unsigned waits[] = {100, 200, 350, 350};
    for (unsigned i = 0; i < 4; i++) {
        CHECK_EQ(ask_fetch(w.space, "k", NULL).outcome, NIGH_ELOADER);
        CHECK_EQ(nigh_load_error(), 4711);
        CHECK_EQ(w.origin.loads, i + 1);
        world_advance(&w, waits[i] - 1);
        CHECK_EQ(ask_fetch(w.space, "k", NULL).outcome, NIGH_ELOADER);
        CHECK_EQ(nigh_load_error(), 4711);
        CHECK_EQ(w.origin.loads, i + 1);
        world_advance(&w, 1);
    }
    CHECK_EQ(world_count(&w, "error_served"), 4);
    CHECK_EQ(world_count(&w, "load_failed"), 4);
    w.origin.script = NULL;
    CHECK_ANSWER(ask_fetch(w.space, "k", NULL), NIGH_FRESH, "k=1");
    /* A success ends the doubling. */
    w.origin.script = answer_error;
    struct nigh_call call = flags(NIGH_REFRESH);
    CHECK_ANSWER(ask_fetch(w.space, "k", &call), NIGH_STALE, "k=1");
    world_advance(&w, 100);
    CHECK_ANSWER(ask_fetch(w.space, "k", &call), NIGH_STALE, "k=1");
    CHECK_EQ(w.origin.loads, 7);
    world_close(&w);
}

TEST(an_error_may_be_kept_for_longer_than_the_most_that_doubling_reaches)
{
    struct world w;
    struct nigh_options o = world_options(&w);
    struct nigh_space_options so = exact_space();
    so.error_ttl_ms = 86400000; /* the largest */
    so.error_ttl_max_ms = 1;
    world_open(&w, &o, &so);
    w.origin.script = answer_error;
    for (unsigned i = 1; i <= 3; i++) {
        CHECK_EQ(ask_fetch(w.space, "k", NULL).outcome, NIGH_ELOADER);
        world_advance(&w, so.error_ttl_ms - 1);
        CHECK_EQ(ask_fetch(w.space, "k", NULL).outcome, NIGH_ELOADER);
        CHECK_EQ(w.origin.loads, i);
        world_advance(&w, 1);
    }
    world_close(&w);
}

TEST(an_invalidation_ends_the_wait_after_an_error)
{
    struct world w;
    world_open_exact(&w);
    w.origin.script = answer_error;
    CHECK_EQ(ask_fetch(w.space, "k", NULL).outcome, NIGH_ELOADER);
    w.origin.script = NULL;
    CHECK_EQ(nigh_invalidate(w.space, "k", 1, NULL), 0);
    CHECK_ANSWER(ask_fetch(w.space, "k", NULL), NIGH_FRESH, "k=1");
    world_close(&w);
}

TEST(errors_need_not_be_remembered)
{
    for (int i = 0; i < 2; i++) {
        struct world w;
        struct nigh_options o = world_options(&w);
        struct nigh_space_options so = exact_space();
        *(i == 0 ? &so.error_ttl_ms : &so.error_ttl_max_ms) = NIGH_NONE; /* "in either" */
        world_open(&w, &o, &so);
        w.origin.script = answer_error;
        CHECK_EQ(ask_fetch(w.space, "k", NULL).outcome, NIGH_ELOADER);
        CHECK_EQ(ask_fetch(w.space, "k", NULL).outcome, NIGH_ELOADER);
        CHECK_EQ(w.origin.loads, 2);
        world_close(&w);
    }
}

TEST(a_loader_that_returns_an_error_or_no_answer_has_failed)
{
    struct world w;
    world_open_exact(&w);
    w.origin.script = return_error;
    CHECK_EQ(ask_fetch(w.space, "a", NULL).outcome, NIGH_ELOADER);
    CHECK_EQ(nigh_load_error(), -5);
    w.origin.script = answer_nothing;
    CHECK_EQ(ask_fetch(w.space, "b", NULL).outcome, NIGH_ELOADER);
    CHECK_EQ(nigh_load_error(), 0);
    world_close(&w);
}

TEST(a_failing_origin_leaves_the_stale_value_in_service)
{
    struct world w;
    world_open_exact(&w);
    CHECK_ANSWER(ask_fetch(w.space, "k", NULL), NIGH_FRESH, "k=1");
    w.origin.script = answer_error;
    world_advance(&w, 1100);
    CHECK_ANSWER(ask_fetch(w.space, "k", NULL), NIGH_STALE, "k=1");
    world_settle(&w);
    CHECK_EQ(w.origin.loads, 2);
    CHECK_ANSWER(ask_fetch(w.space, "k", NULL), NIGH_STALE, "k=1");
    world_settle(&w);
    CHECK_EQ(w.origin.loads, 2); /* the failed refresh is not repeated at once */
    world_close(&w);
}

/* ---- what the loader says about its answer ---- */

static int with_ttl(struct origin *o, struct nigh_fill *fill)
{
    CHECK_EQ(nigh_fill_set_ttl(fill, 50, NIGH_NONE), 0);
    CHECK_EQ(nigh_fill_set_version(fill, 9), 0);
    int rc = origin_answer(o, fill);
    CHECK_EQ(nigh_fill_set_ttl(fill, 1, 1), NIGH_EINVAL); /* answered: nothing can change */
    CHECK_EQ(nigh_fill_set_version(fill, 1), NIGH_EINVAL);
    CHECK_EQ(nigh_fill_add_tag(fill, "t"), NIGH_EINVAL);
    CHECK_EQ(nigh_fill_value(fill, "x", 1), NIGH_EINVAL);
    CHECK_EQ(nigh_fill_absent(fill), NIGH_EINVAL);
    CHECK_EQ(nigh_fill_error(fill, 1), NIGH_EINVAL);
    CHECK_EQ(nigh_fill_uncacheable(fill, "x", 1), NIGH_EINVAL);
    return rc;
}

TEST(the_answers_own_lifetime_and_version_count)
{
    struct world w;
    world_open_exact(&w);
    w.origin.script = with_ttl;
    struct answer a = ask_fetch(w.space, "k", NULL);
    CHECK_ANSWER(a, NIGH_FRESH, "k=1");
    CHECK_EQ(a.version, 9);
    world_advance(&w, 49);
    CHECK_EQ(ask_get(w.space, "k", NULL).version, 9);
    world_advance(&w, 1);
    CHECK_EQ(ask_get(w.space, "k", NULL).outcome, NIGH_MISS);
    world_close(&w);
}

static int uncacheable(struct origin *o, struct nigh_fill *fill)
{
    (void)o;
    return nigh_fill_uncacheable(fill, "now", 3);
}

TEST(an_uncacheable_answer_is_handed_out_and_kept_nowhere)
{
    struct world w;
    world_open_exact(&w);
    w.origin.script = uncacheable;
    CHECK_ANSWER(ask_fetch(w.space, "k", NULL), NIGH_FRESH, "now");
    CHECK_EQ(ask_get(w.space, "k", NULL).outcome, NIGH_MISS);
    CHECK_ANSWER(ask_fetch(w.space, "k", NULL), NIGH_FRESH, "now");
    CHECK_EQ(w.origin.loads, 2);
    world_close(&w);
}

static int not_modified(struct origin *o, struct nigh_fill *fill)
{
    size_t len = 0;
    uint64_t version = 0;
    const char *previous = nigh_fill_previous(fill, &len, &version);
    if (!previous) {
        CHECK_EQ(nigh_fill_not_modified(fill), NIGH_EINVAL);
        CHECK_EQ(nigh_fill_set_version(fill, 5), 0);
        CHECK_EQ(nigh_fill_add_tag(fill, "tag"), 0);
        return origin_answer(o, fill);
    }
    CHECK_MEM(previous, len, "k=1", 3);
    CHECK_EQ(version, 5);
    return nigh_fill_not_modified(fill);
}

TEST(not_modified_begins_the_lifetime_anew)
{
    struct world w;
    world_open_exact(&w);
    w.origin.script = not_modified;
    CHECK_ANSWER(ask_fetch(w.space, "k", NULL), NIGH_FRESH, "k=1");
    origin_commit(&w.origin);
    world_advance(&w, 1400);
    CHECK_ANSWER(ask_fetch(w.space, "k", NULL), NIGH_STALE, "k=1");
    world_settle(&w);
    world_advance(&w, 999 - WORLD_SETTLE_MS);
    struct answer a = ask_get(w.space, "k", NULL);
    CHECK_ANSWER(a, NIGH_FRESH, "k=1");
    CHECK_EQ(a.version, 5);
    /* It keeps its tags, too. */
    struct nigh_target tag = {.kind = NIGH_TARGET_TAG, .name = "tag", .name_len = 3};
    CHECK_EQ(nigh_invalidate_many(w.cache, &tag, 1, NULL), 0);
    CHECK_EQ(ask_get(w.space, "k", NULL).outcome, NIGH_MISS);
    world_close(&w);
}

/* ---- what one call may ask for ---- */

TEST(max_age_asks_for_something_younger)
{
    struct world w;
    world_open_exact(&w);
    struct nigh_call call = NIGH_CALL_INIT;
    call.max_age_ms = 200;
    CHECK_ANSWER(ask_fetch(w.space, "k", NULL), NIGH_FRESH, "k=1");
    origin_commit(&w.origin);
    world_advance(&w, 199); /* an entry's birth is rounded down, by less than 1 ms */
    CHECK_ANSWER(ask_fetch(w.space, "k", &call), NIGH_FRESH, "k=1");
    world_advance(&w, 2);
    CHECK_EQ(ask_get(w.space, "k", &call).outcome, NIGH_MISS);
    CHECK_ANSWER(ask_fetch(w.space, "k", &call), NIGH_FRESH, "k=2");
    CHECK_ANSWER(ask_get(w.space, "k", NULL), NIGH_FRESH, "k=2"); /* everyone has it now */
    world_close(&w);
}

static int versioned(struct origin *o, struct nigh_fill *fill)
{
    CHECK_EQ(nigh_fill_set_version(fill, o->generation), 0);
    return origin_answer(o, fill);
}

TEST(min_version_asks_for_something_newer)
{
    struct world w;
    world_open_exact(&w);
    struct nigh_call call = NIGH_CALL_INIT;
    call.min_version = 2;
    w.origin.script = versioned;
    CHECK_ANSWER(ask_fetch(w.space, "k", NULL), NIGH_FRESH, "k=1");
    CHECK_EQ(ask_get(w.space, "k", &call).outcome, NIGH_MISS);
    origin_commit(&w.origin);
    CHECK_ANSWER(ask_fetch(w.space, "k", &call), NIGH_FRESH, "k=2");
    CHECK_EQ(w.origin.loads, 2);
    CHECK_ANSWER(ask_fetch(w.space, "k", &call), NIGH_FRESH, "k=2");
    CHECK_EQ(w.origin.loads, 2);
    world_close(&w);
}

TEST(a_version_below_the_minimum_is_not_called_fresh_even_when_just_loaded)
{
    struct world w;
    world_open_exact(&w);
    struct nigh_call call = NIGH_CALL_INIT;
    call.min_version = 7; /* the caller knows of 7; the origin (a replica) still has 1 */
    w.origin.script = versioned;
    CHECK_ANSWER(ask_fetch(w.space, "k", &call), NIGH_STALE, "k=1");
    CHECK_EQ(w.origin.loads, 1);
    world_close(&w);
}

TEST(no_store_leaves_nothing_behind)
{
    struct world w;
    world_open_exact(&w);
    struct nigh_call call = flags(NIGH_NO_STORE);
    CHECK_ANSWER(ask_fetch(w.space, "k", &call), NIGH_FRESH, "k=1");
    CHECK_EQ(ask_get(w.space, "k", NULL).outcome, NIGH_MISS);
    world_close(&w);
}

TEST(refresh_loads_though_a_fresh_value_is_there)
{
    struct world w;
    world_open_exact(&w);
    struct nigh_call call = flags(NIGH_REFRESH);
    CHECK_ANSWER(ask_fetch(w.space, "k", NULL), NIGH_FRESH, "k=1");
    origin_commit(&w.origin);
    CHECK_ANSWER(ask_fetch(w.space, "k", &call), NIGH_FRESH, "k=2");
    CHECK_ANSWER(ask_get(w.space, "k", NULL), NIGH_FRESH, "k=2");
    world_close(&w);
}

TEST(quiet_reads_are_not_counted)
{
    struct world w;
    world_open_exact(&w);
    struct nigh_call call = flags(NIGH_QUIET);
    CHECK_EQ(ask_get(w.space, "k", &call).outcome, NIGH_MISS);
    CHECK_ANSWER(ask_fetch(w.space, "k", NULL), NIGH_FRESH, "k=1");
    CHECK_ANSWER(ask_get(w.space, "k", &call), NIGH_FRESH, "k=1");
    CHECK_ANSWER(ask_fetch(w.space, "k", &call), NIGH_FRESH, "k=1");
    CHECK_EQ(world_count(&w, "l1_fresh"), 0);
    CHECK_EQ(world_count(&w, "l1_miss"), 1);
    world_close(&w);
}

TEST(l1_only_asks_nobody_else)
{
    struct world w;
    world_open_exact(&w);
    struct nigh_call call = flags(NIGH_L1_ONLY);
    CHECK_EQ(ask_get(w.space, "k", &call).outcome, NIGH_MISS);
    CHECK_ANSWER(ask_fetch(w.space, "k", NULL), NIGH_FRESH, "k=1");
    CHECK_ANSWER(ask_get(w.space, "k", &call), NIGH_FRESH, "k=1");
    world_close(&w);
}

/* ---- stats ---- */

TEST(stats_can_be_read_in_pieces)
{
    struct world w;
    world_open_exact(&w);
    CHECK_EQ(ask_fetch(w.space, "k", NULL).outcome, NIGH_FRESH);
    for (int format = NIGH_STATS_TEXT; format <= NIGH_STATS_JSON; format++) {
        char whole[16384], cut[100];
        long need = nigh_stats(w.cache, format, whole, sizeof(whole));
        CHECK(need > 100 && need < (long)sizeof(whole));
        CHECK_EQ(strlen(whole), (size_t)need);
        CHECK(strstr(whole, "l1_miss"));
        CHECK_EQ(nigh_stats(w.cache, format, NULL, 0), need);
        memset(cut, 'x', sizeof(cut));
        CHECK_EQ(nigh_stats(w.cache, format, cut, sizeof(cut)), need);
        CHECK_EQ(strlen(cut), sizeof(cut) - 1);
        CHECK_MEM(cut, 99, whole, 99);
    }
    CHECK_EQ(nigh_stats(w.cache, 7, NULL, 0), NIGH_EINVAL);
    CHECK_EQ(nigh_stats_value(w.cache, NULL, "no_such"), NIGH_EINVAL);
    CHECK_EQ(nigh_stats_value(w.cache, "no_such", "l1_miss"), NIGH_EINVAL);
    CHECK_EQ(nigh_stats_value(w.cache, "s", "l1_miss"), 1);
    CHECK_EQ(nigh_health(w.cache), NIGH_FRESH);
    CHECK_EQ(nigh_drain(w.cache, 1), 0);
    world_close(&w);
}
