// SPDX-License-Identifier: MIT
// The mode without own threads: everything is driven by nigh_tick and by the calls themselves, on
// one thread or several of the host's, with the test's own time, without and with a real Redis.

#include <dirent.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "cache/cache.h"
#include "cache/drive.h"
#include "support/origin.h"

static unsigned threads(void)
{
    unsigned count = 0;
    DIR *dir = opendir("/proc/self/task");
    REQUIRE(dir);
    while (readdir(dir))
        count++;
    closedir(dir);
    return count;
}

/* Both worlds; with Redis it is trusted and listening. */
static void open_world(struct world *w, struct redis *server, struct origin *origin,
                       const struct nigh_space_options *so)
{
    struct nigh_options o = world_options(w);
    o.redis_uri = server ? server->uri : NULL;
    origin_init(&w->origin);
    world_open_with(w, &o, so, origin ? origin : &w->origin);
    if (server)
        REQUIRE(CHECK_WITHIN(WORLD_PATIENCE_MS,
                             (world_tick(w), nigh_health(w->cache) == NIGH_FRESH) &&
                                 world_count(w, "listening") == 1));
}

static void whole_life(struct world *w)
{
    struct nigh_call call = NIGH_CALL_INIT;
    struct nigh_target space = {.kind = NIGH_TARGET_SPACE, .space = w->space};
    CHECK_ANSWER(ask_fetch(w->space, "k", NULL), NIGH_FRESH, "k=1");
    CHECK_ANSWER(ask_get(w->space, "k", NULL), NIGH_FRESH, "k=1");
    CHECK_EQ(nigh_put(w->space, "p", 1, "put", 3, NULL), 0);
    CHECK_ANSWER(ask_get(w->space, "p", NULL), NIGH_FRESH, "put");
    call.version = 3;
    CHECK_EQ(nigh_write(w->space, "w", 1, "written", 7, &call), 0);
    CHECK_ANSWER(ask_get(w->space, "w", NULL), NIGH_FRESH, "written");
    CHECK_EQ(nigh_invalidate(w->space, "k", 1, NULL), 0);
    CHECK_EQ(ask_get(w->space, "k", NULL).outcome, NIGH_MISS);
    CHECK_EQ(nigh_invalidate_many(w->cache, &space, 1, NULL), 0);
    CHECK_EQ(ask_get(w->space, "p", NULL).outcome, NIGH_MISS);
    origin_commit(&w->origin);
    CHECK_ANSWER(ask_fetch(w->space, "k", NULL), NIGH_FRESH, "k=2");
    CHECK_EQ(w->origin.loads, 2);
    CHECK_EQ(nigh_drain(w->cache, 100), 0);
}

TEST(a_whole_life_without_redis_and_without_threads)
{
    struct world w;
    unsigned before = threads();
    open_world(&w, NULL, NULL, NULL);
    whole_life(&w);
    CHECK_EQ(threads(), before);
    world_close(&w);
}

TEST(a_whole_life_with_redis_and_without_threads)
{
    struct world w;
    struct redis server;
    redis_start(&server, NULL);
    unsigned before = threads();
    open_world(&w, &server, NULL, NULL);
    whole_life(&w);
    CHECK_EQ(threads(), before);
    world_close(&w);
    redis_stop(&server);
}

TEST(tick_is_for_caches_without_threads)
{
    struct world w;
    world_open(&w, NULL, NULL);
    CHECK_EQ(nigh_tick(w.cache), NIGH_EINVAL);
    world_close(&w);
    open_world(&w, NULL, NULL, NULL);
    CHECK_GE(nigh_tick(w.cache), 0);
    world_close(&w);
}

TEST(loads_for_workers_run_inside_the_call)
{
    struct world w;
    struct nigh_space_options so = NIGH_SPACE_OPTIONS_INIT;
    so.run_on = NIGH_RUN_WORKER;
    open_world(&w, NULL, NULL, &so);
    CHECK_ANSWER(ask_fetch(w.space, "k", NULL), NIGH_FRESH, "k=1");
    world_close(&w);
}

/* For the refresh, should Redis have called the value fresh a moment longer than L1 did. */
static void ask_again(struct world *w)
{
    unsigned before = w->origin.loads;
    ask_fetch(w->space, "k", NULL);
    CHECK_EQ(w->origin.loads, before); /* not inside the call: its caller did not ask to wait */
}

TEST(refreshes_run_inside_the_tick)
{
    struct world w;
    struct redis server;
    struct nigh_options o = NIGH_OPTIONS_INIT; /* lifetimes in Redis go by its clock: a real one */
    struct nigh_space_options so = NIGH_SPACE_OPTIONS_INIT;
    redis_start(&server, NULL);
    o.l1_memory = 8u << 20;
    o.group_slots = 2048;
    o.threads = NIGH_THREADS_NONE;
    o.redis_uri = server.uri;
    so.soft_ttl_ms = 200;
    so.stale_ms = 1000000;
    origin_init(&w.origin);
    world_open_with(&w, &o, &so, &w.origin);
    CHECK_WITHIN(WORLD_PATIENCE_MS, (nigh_tick(w.cache), nigh_health(w.cache) == NIGH_FRESH));
    CHECK_ANSWER(ask_fetch(w.space, "k", NULL), NIGH_FRESH, "k=1");
    origin_commit(&w.origin);
    CHECK_WITHIN(WORLD_PATIENCE_MS,
                 (nigh_tick(w.cache), ask_get(w.space, "k", NULL).outcome == NIGH_STALE));
    CHECK_EQ(w.origin.loads, 1);
    CHECK_ANSWER(ask_fetch(w.space, "k", NULL), NIGH_STALE, "k=1");
    CHECK_EQ(w.origin.loads, 1);
    CHECK_WITHIN(WORLD_PATIENCE_MS,
                 (ask_again(&w), nigh_tick(w.cache), w.origin.loads == 2));
    CHECK_STR(ask_get(w.space, "k", NULL).text, "k=2");
    world_close(&w);
    redis_stop(&server);
}

/* ---- a caller that runs what it waits for ---- */

/* A refresh of "k" is queued. */
static void open_with_refresh(struct world *w)
{
    struct nigh_options o = NIGH_OPTIONS_INIT;
    struct nigh_space_options so = NIGH_SPACE_OPTIONS_INIT;
    o.l1_memory = 8u << 20;
    o.threads = NIGH_THREADS_NONE;
    so.soft_ttl_ms = 1;
    so.stale_ms = 1000000;
    so.load_deadline_ms = WORLD_PATIENCE_MS;
    world_open(w, &o, &so);
    CHECK_ANSWER(ask_fetch(w->space, "k", NULL), NIGH_FRESH, "k=1");
    CHECK_WITHIN(WORLD_PATIENCE_MS, ask_fetch(w->space, "k", NULL).outcome == NIGH_STALE);
}

static int exit_once(struct origin *o, struct nigh_fill *fill)
{
    (void)fill;
    o->script = NULL;
    pthread_exit(NULL);
}

TEST(a_loader_that_ends_who_waits_for_it_leaves_its_key_usable)
{
    struct world w;
    struct asker asker;
    struct nigh_call anew = NIGH_CALL_INIT;
    anew.flags = NIGH_REFRESH;
    open_with_refresh(&w);
    w.origin.script = exit_once;
    asker_start(&asker, w.space, "k", &anew);
    asker_join(&asker);
    CHECK(!asker.done);
    CHECK_EQ(w.origin.loads, 2);
    CHECK_WITHIN(WORLD_PATIENCE_MS, (nigh_tick(w.cache), world_count(&w, "flights") == 0));
    CHECK_EQ(w.origin.loads, 3);
    world_close(&w);
}

/* While another drives, and between the caller's look at the queue and its sleep, the flight is
 * queued: it is not seen as a change of what it sleeps on. */
TEST(a_flight_that_is_queued_before_its_caller_sleeps_is_run)
{
    struct world w;
    struct asker asker;
    struct nigh_call anew = NIGH_CALL_INIT;
    anew.flags = NIGH_REFRESH;
    anew.deadline_ms = WORLD_PATIENCE_MS / 2;
    open_with_refresh(&w);
    struct drive *drive = w.cache->drive;
    struct flight *f = w.cache->workers.flight_head;
    w.cache->workers.flight_head = w.cache->workers.flight_tail = NULL;
    pthread_mutex_lock(&drive->lock);
    drive->taken = true;
    asker_start(&asker, w.space, "k", &anew);
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&w, "flight_joined") == 1);
    for (int i = 0; i < 20; i++) /* it comes to the lock; else nothing is shown */
        check_pause();
    workers_add_flight(&w.cache->workers, f);
    pthread_mutex_unlock(&drive->lock);
    asker_join(&asker);
    CHECK_EQ(asker.answer.outcome, NIGH_FRESH);
    drive->taken = false;
    world_close(&w);
}

TEST(two_nodes_on_one_thread)
{
    struct world a, b;
    struct redis server;
    struct nigh_call l1_only = NIGH_CALL_INIT;
    l1_only.flags = NIGH_L1_ONLY;
    redis_start(&server, NULL);
    open_world(&a, &server, NULL, NULL);
    open_world(&b, &server, &a.origin, NULL);
    CHECK_ANSWER(ask_fetch(a.space, "k", NULL), NIGH_FRESH, "k=1");
    CHECK_WITHIN(WORLD_PATIENCE_MS, (world_tick(&a), world_count(&a, "l2_fill") == 1));
    CHECK_ANSWER(ask_fetch(b.space, "k", NULL), NIGH_FRESH, "k=1");
    CHECK_EQ(a.origin.loads, 1);
    origin_commit(&a.origin);
    CHECK_EQ(nigh_invalidate(a.space, "k", 1, NULL), 0);
    CHECK_ANSWER(ask_get(b.space, "k", &l1_only), NIGH_FRESH, "k=1"); /* within its trust */
    CHECK_WITHIN(WORLD_PATIENCE_MS,
                 (world_tick(&b), ask_get(b.space, "k", &l1_only).outcome == NIGH_MISS));
    CHECK_ANSWER(ask_fetch(b.space, "k", NULL), NIGH_FRESH, "k=2");
    nodes_close(&a, &b, &server);
}

TEST(trust_runs_out_on_the_coarse_clock_of_the_host)
{
    struct world w;
    struct redis server;
    redis_start(&server, NULL);
    open_world(&w, &server, NULL, NULL);
    CHECK_ANSWER(ask_fetch(w.space, "k", NULL), NIGH_FRESH, "k=1");
    redis_pause(&server);
    world_advance(&w, NIGH_DEFAULT_TRUST_MS + 1);
    CHECK_EQ(nigh_health(w.cache), NIGH_STALE);
    CHECK_ANSWER(ask_get(w.space, "k", NULL), NIGH_STALE, "k=1");
    redis_resume(&server);
    CHECK_WITHIN(WORLD_PATIENCE_MS, (world_tick(&w), nigh_health(w.cache) == NIGH_FRESH));
    CHECK_ANSWER(ask_get(w.space, "k", NULL), NIGH_FRESH, "k=1"); /* a dense log: none missed */
    world_close(&w);
    redis_stop(&server);
}

TEST(a_killed_redis_is_found_again_by_ticking)
{
    struct world w;
    struct redis server;
    redis_start(&server, NULL);
    open_world(&w, &server, NULL, NULL);
    redis_kill(&server);
    for (int i = 0; i < 50; i++)
        world_tick(&w);
    CHECK_EQ(nigh_invalidate(w.space, "k", 1, NULL), NIGH_QUEUED);
    CHECK_ANSWER(ask_fetch(w.space, "k", NULL), NIGH_FRESH, "k=1");
    redis_restart(&server, REDIS_EMPTY);
    CHECK_WITHIN(WORLD_PATIENCE_MS, (world_tick(&w), nigh_health(w.cache) == NIGH_FRESH &&
                                                         world_count(&w, "queued") == 0));
    world_close(&w);
    redis_stop(&server);
}

static int fetch_another(struct origin *o, struct nigh_fill *fill)
{
    struct world *w = o->arg;
    size_t len;
    const char *key = nigh_fill_key(fill, &len);
    if (len == 2)
        return origin_answer(o, fill);
    CHECK_EQ(ask_fetch(w->space, "k", NULL).outcome, NIGH_EDEADLK);
    struct answer got = ask_fetch(w->space, "k2", NULL);
    (void)key;
    return nigh_fill_value(fill, got.text, got.len);
}

TEST(loaders_may_ask_from_inside)
{
    struct world w;
    struct redis server;
    redis_start(&server, NULL);
    for (int run_on = NIGH_RUN_CALLER; run_on <= NIGH_RUN_WORKER; run_on++) {
        struct nigh_space_options so = NIGH_SPACE_OPTIONS_INIT;
        so.run_on = run_on;
        so.schema = run_on == NIGH_RUN_CALLER ? "1" : "2";
        open_world(&w, &server, NULL, &so);
        w.origin.arg = &w;
        w.origin.script = fetch_another;
        CHECK_ANSWER(ask_fetch(w.space, "k", NULL), NIGH_FRESH, "k2=1");
        CHECK_EQ(w.origin.loads, 2);
        world_close(&w);
    }
    redis_stop(&server);
}

TEST(a_deadline_ends_a_call_though_time_only_moves_in_ticks)
{
    struct world w;
    struct redis server;
    struct nigh_options o = NIGH_OPTIONS_INIT; /* the kernel's clock: the call itself must see it */
    redis_start(&server, NULL);
    o.l1_memory = 8u << 20;
    o.group_slots = 2048;
    o.threads = NIGH_THREADS_NONE;
    o.redis_uri = server.uri;
    origin_init(&w.origin);
    world_open_with(&w, &o, NULL, &w.origin);
    CHECK_WITHIN(WORLD_PATIENCE_MS, (nigh_tick(w.cache), nigh_health(w.cache) == NIGH_FRESH));
    redis_pause(&server);
    struct nigh_call call = NIGH_CALL_INIT;
    call.deadline_ms = 50;
    uint64_t began_ms = check_now_ms();
    CHECK_EQ(ask_get(w.space, "k", &call).outcome, NIGH_ETIMEDOUT);
    CHECK_LT(check_now_ms() - began_ms, WORLD_PATIENCE_MS);
    redis_resume(&server);
    world_close(&w);
    redis_stop(&server);
}

/* ---- several threads of the host ---- */

#define SHARED_CALLS 3000

struct shared {
    struct world w;
    _Atomic unsigned callers; /* still at it */
};

static void *fetch_many(void *arg)
{
    struct shared *s = arg;
    uint64_t random = check_seed() + (uintptr_t)&random;
    for (int i = 0; i < SHARED_CALLS; i++) {
        char key[16];
        snprintf(key, sizeof(key), "k%u", (unsigned)(check_random(&random) % 40));
        struct answer got = ask_fetch(s->w.space, key, NULL);
        CHECK(got.outcome == NIGH_FRESH || got.outcome == NIGH_STALE);
        CHECK_EQ(strncmp(got.text, key, strlen(key)), 0);
    }
    atomic_fetch_sub(&s->callers, 1);
    return NULL;
}

static void *invalidate_many(void *arg)
{
    struct shared *s = arg;
    uint64_t random = check_seed();
    for (int i = 0; i < SHARED_CALLS; i++) {
        char key[16];
        snprintf(key, sizeof(key), "k%u", (unsigned)(check_random(&random) % 40));
        int rc = nigh_invalidate(s->w.space, key, strlen(key), NULL);
        CHECK(rc == 0 || rc == NIGH_QUEUED);
    }
    atomic_fetch_sub(&s->callers, 1);
    return NULL;
}

/* A call drives what it waits for itself, so several calls drive at once, and beside the tick. */
static void share(const struct redis *server)
{
    struct shared s = {.callers = 3};
    struct nigh_options o = world_options(&s.w);
    pthread_t threads[3];
    o.clock = NULL;
    o.redis_uri = server ? server->uri : NULL;
    o.l2_deadline_ms = WORLD_PATIENCE_MS;
    struct nigh_space_options so = NIGH_SPACE_OPTIONS_INIT;
    so.load_deadline_ms = WORLD_PATIENCE_MS;
    origin_init(&s.w.origin);
    world_open_with(&s.w, &o, &so, &s.w.origin);
    CHECK_WITHIN(WORLD_PATIENCE_MS,
                 (nigh_tick(s.w.cache), nigh_health(s.w.cache) == NIGH_FRESH));
    for (int i = 0; i < 3; i++)
        REQUIRE_EQ(pthread_create(&threads[i], NULL, i ? fetch_many : invalidate_many, &s), 0);
    while (s.callers > 0)
        CHECK_GE(nigh_tick(s.w.cache), 0);
    for (int i = 0; i < 3; i++)
        REQUIRE_EQ(pthread_join(threads[i], NULL), 0);
    CHECK_EQ(nigh_drain(s.w.cache, WORLD_PATIENCE_MS), 0);
    origin_commit(&s.w.origin);
    CHECK_EQ(nigh_invalidate(s.w.space, "k1", 2, NULL), 0);
    CHECK_STR(ask_fetch(s.w.space, "k1", NULL).text, "k1=2");
    world_close(&s.w);
}

TEST(calls_of_several_threads_do_not_disturb_each_other)
{
    struct redis server;
    share(NULL);
    redis_start(&server, NULL);
    share(&server);
    redis_stop(&server);
}

/* What was asked has no answer yet, and its caller is gone: the close must not trip over it. */
TEST(closing_while_an_abandoned_request_is_on_its_way)
{
    struct world w;
    struct redis server;
    struct nigh_call call = NIGH_CALL_INIT;
    call.deadline_ms = 20;
    redis_start(&server, NULL);
    for (int ticks = 0; ticks < 3; ticks++) {
        struct nigh_options o = world_options(&w);
        o.clock = NULL; /* the kernel's: the call must see its deadline by itself */
        o.redis_uri = server.uri;
        origin_init(&w.origin);
        world_open_with(&w, &o, NULL, &w.origin);
        CHECK_WITHIN(WORLD_PATIENCE_MS, (nigh_tick(w.cache), nigh_health(w.cache) == NIGH_FRESH));
        redis_pause(&server);
        int rc = ask_fetch(w.space, "k", &call).outcome;
        CHECK(rc == NIGH_ETIMEDOUT || rc == NIGH_FRESH);
        for (int i = 0; i < ticks; i++)
            CHECK_GE(nigh_tick(w.cache), 0);
        uint64_t began_ms = check_now_ms();
        world_close(&w);
        CHECK_LT(check_now_ms() - began_ms, WORLD_PATIENCE_MS);
        CHECK_EQ(w.origin.running, 0);
        redis_resume(&server);
    }
    redis_stop(&server);
}
