// SPDX-License-Identifier: MIT
// The mode without own threads before a real Redis: it follows the clock while its host changes
// things in every turn, whoever waits sleeps, what a call leaves behind is sent, and an event loop
// sleeps on one descriptor. Counts, not times: a busy machine is no failure.

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "support/origin.h"

#define IDLE_MS 1000

static struct nigh_options tick_options(const struct redis *server)
{
    struct nigh_options o = patient_options(server);
    o.threads = NIGH_THREADS_NONE;
    o.beat_ms = 1000;
    return o;
}

static void open_ticking(struct world *w, const struct redis *server, struct origin *origin,
                         const struct nigh_space_options *so)
{
    struct nigh_options o = tick_options(server);
    origin_init(&w->origin);
    world_open_with(w, &o, so, origin ? origin : &w->origin);
    REQUIRE(CHECK_WITHIN(WORLD_PATIENCE_MS,
                         (nigh_tick(w->cache), nigh_health(w->cache) == NIGH_FRESH) &&
                             world_count(w, "listening") == 1));
}

/* ---- following ---- */

/* A writer that was accepted while no clock is followed brings one, before the next can void it. */
TEST(a_host_that_invalidates_in_every_turn_follows)
{
    struct world w;
    struct redis server;
    struct nigh_options o;
    int turns = 0, fresh = 0;
    uint64_t began_ms = check_now_ms(), fresh_ms = 0;
    redis_start(&server, NULL);
    o = tick_options(&server);
    origin_init(&w.origin);
    world_open_with(&w, &o, NULL, &w.origin);
    for (uint64_t end_ms = check_now_ms() + WORLD_PATIENCE_MS;
         fresh < 200 && check_now_ms() < end_ms; turns++) {
        CHECK_GE(nigh_tick(w.cache), 0);
        int rc = nigh_invalidate(w.space, "k", 1, NULL);
        CHECK(rc == 0 || rc == NIGH_QUEUED);
        bool is_fresh = nigh_health(w.cache) == NIGH_FRESH;
        CHECK(is_fresh || fresh == 0); /* and it stays so */
        if (is_fresh && fresh++ == 0)
            fresh_ms = check_now_ms() - began_ms;
        check_pause();
    }
    CHECK_EQ(fresh, 200);
    /* Beats fail while it is not connected; one in each turn would be some hundreds a second. */
    CHECK_LE((uint64_t)world_count(&w, "beat_failed"), 3 + fresh_ms / 100);
    CHECK_LE(world_count(&w, "resync"), 2);
    world_close(&w);
    redis_stop(&server);
}

/* ---- sleeping ---- */

static uint64_t cpu_ms(const struct rusage *u)
{
    return (uint64_t)(u->ru_utime.tv_sec + u->ru_stime.tv_sec) * 1000 +
           (uint64_t)(u->ru_utime.tv_usec + u->ru_stime.tv_usec) / 1000;
}

struct effort {
    struct rusage began;
    uint64_t began_ms;
};

static void effort_begin(struct effort *e)
{
    e->began_ms = check_now_ms();
    getrusage(RUSAGE_SELF, &e->began);
}

/* Whether `threads` have done no more than they may in each second: slept a few times each, and
 * hardly run. */
static bool effort_end(const struct effort *e, unsigned threads)
{
    struct rusage now;
    getrusage(RUSAGE_SELF, &now);
    uint64_t slept_ms = check_now_ms() - e->began_ms;
    uint64_t sleeps = (uint64_t)(now.ru_nvcsw - e->began.ru_nvcsw);
    uint64_t ran_ms = cpu_ms(&now) - cpu_ms(&e->began);
    bool hardly = sleeps < (20 * threads + 40) * slept_ms / 1000 && /* with 1 ms each: 1000 */
                  ran_ms < slept_ms / 4;
    if (!hardly)
        check_note("%u threads in %u ms: %u sleeps, %u ms of CPU", threads, (unsigned)slept_ms,
                   (unsigned)sleeps, (unsigned)ran_ms);
    return hardly;
}

/* Redis says nothing for a while, and so nothing is to be done. */
static bool wait_together(struct world *w, struct redis *server, unsigned threads)
{
    struct asker askers[4];
    struct effort effort;
    redis_pause(server);
    effort_begin(&effort);
    for (unsigned i = 0; i < threads; i++) {
        char key[32];
        snprintf(key, sizeof(key), "%u-%u", (unsigned)w->origin.loads, i);
        asker_start(&askers[i], w->space, key, NULL);
    }
    uint64_t end_ms = effort.began_ms + IDLE_MS;
    while (check_now_ms() < end_ms)
        poll(NULL, 0, IDLE_MS); /* one sleep */
    bool hardly = effort_end(&effort, threads);
    redis_resume(server);
    for (unsigned i = 0; i < threads; i++) {
        asker_join(&askers[i]);
        CHECK_EQ(askers[i].answer.outcome, NIGH_FRESH);
    }
    return hardly;
}

/* A virtual machine counts time that its host has taken as time of ours: so more than once. */
TEST(who_waits_sleeps_alone_or_together)
{
    struct world w;
    struct redis server;
    redis_start(&server, NULL);
    open_ticking(&w, &server, NULL, NULL);
    unsigned asked = 0;
    for (unsigned threads = 1; threads <= 4; threads *= 2) {
        bool hardly = false;
        for (int tries = 0; tries < 6 && !hardly; tries++, asked += threads)
            hardly = wait_together(&w, &server, threads);
        CHECK(hardly);
    }
    CHECK_EQ(w.origin.loads, asked);
    world_close(&w);
    redis_stop(&server);
}

/* The one who drives sleeps over a load that takes for ever; what another thread asks meanwhile is
 * sent, and comes back to it. */
TEST(a_request_of_another_thread_wakes_the_one_who_drives)
{
    struct world w;
    struct redis server;
    struct asker leader, follower;
    redis_start(&server, NULL);
    struct nigh_space_options so = NIGH_SPACE_OPTIONS_INIT;
    so.load_deadline_ms = 6 * WORLD_PATIENCE_MS;
    open_ticking(&w, &server, NULL, &so);
    origin_hold(&w.origin);
    asker_start(&leader, w.space, "slow", NULL);
    REQUIRE(CHECK_WITHIN(WORLD_PATIENCE_MS, w.origin.held_loads == 1));
    asker_start(&follower, w.space, "slow", NULL); /* drives while it waits for the leader */
    REQUIRE(CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&w, "flight_joined") == 1));
    uint64_t began_ms = check_now_ms();
    for (int i = 0; i < 500; i++) {
        check_pause(); /* it sleeps again */
        CHECK_EQ(nigh_put(w.space, "p", 1, "put", 3, NULL), 0);
    }
    CHECK_GE(nigh_tick(w.cache), 0);
    CHECK_LT(check_now_ms() - began_ms, 3 * WORLD_PATIENCE_MS); /* not until it wakes by itself */
    origin_let_go(&w.origin);
    asker_join(&leader);
    asker_join(&follower);
    CHECK_STR(leader.answer.text, "slow=1");
    CHECK_STR(follower.answer.text, "slow=1");
    CHECK_EQ(w.origin.loads, 1);
    world_close(&w);
    redis_stop(&server);
}

/* The one who drives has its answer and leaves, while others wait: one of them drives on. */
struct crowd {
    struct world w;
    _Atomic unsigned done;
};

static void *ask_often(void *arg)
{
    struct crowd *c = arg;
    for (int i = 0; i < 300; i++) {
        char key[32];
        snprintf(key, sizeof(key), "%p-%d", (void *)&key, i);
        struct nigh_call call = NIGH_CALL_INIT;
        call.deadline_ms = i % 7 == 0 ? 1 : 0; /* some leave early, and perhaps when appointed */
        int rc = ask_fetch(c->w.space, key, &call).outcome;
        CHECK(rc == NIGH_FRESH || (call.deadline_ms && rc == NIGH_ETIMEDOUT));
    }
    atomic_fetch_add(&c->done, 1);
    return NULL;
}

TEST(the_wheel_is_passed_on_though_nobody_ticks)
{
    struct crowd c = {.done = 0};
    struct redis server;
    pthread_t threads[4];
    redis_start(&server, NULL);
    open_ticking(&c.w, &server, NULL, NULL);
    for (int i = 0; i < 4; i++)
        REQUIRE_EQ(pthread_create(&threads[i], NULL, ask_often, &c), 0);
    CHECK_WITHIN(3 * WORLD_PATIENCE_MS, c.done == 4);
    for (int i = 0; i < 4; i++)
        REQUIRE_EQ(pthread_join(threads[i], NULL), 0);
    world_close(&c.w);
    redis_stop(&server);
}

/* ---- what a call leaves behind ---- */

static int fail(struct origin *o, struct nigh_fill *fill)
{
    (void)o;
    return nigh_fill_error(fill, 7);
}

static bool is_in_redis(const struct redis *server, const char *key)
{
    return redis_integer(server, "EXISTS nigh:!2:%s", key) == 1;
}

/* Nobody ticks any more, and yet the value comes to Redis, and leases go. Once before, with ticks:
 * a server that does not know a script by its digest is sent its text in a second round. */
TEST(what_a_call_leaves_is_sent_before_it_returns)
{
    struct world w;
    struct redis server;
    struct nigh_options o;
    redis_start(&server, NULL);
    o = tick_options(&server);
    o.lease_ms = 600000; /* no lease ends by itself */
    origin_init(&w.origin);
    world_open_with(&w, &o, NULL, &w.origin);
    for (int warm = 1; warm >= 0; warm--) {
        const char *key = warm ? "a" : "b", *bad = warm ? "bad a" : "bad b";
        CHECK_WITHIN(WORLD_PATIENCE_MS,
                     !warm || (nigh_tick(w.cache), nigh_health(w.cache) == NIGH_FRESH));
        w.origin.script = NULL;
        CHECK_EQ(ask_fetch(w.space, key, NULL).outcome, NIGH_FRESH);
        w.origin.script = fail;
        CHECK_EQ(ask_fetch(w.space, bad, NULL).outcome, NIGH_ELOADER);
        char value[32], lease[32];
        snprintf(value, sizeof(value), "s:1:%s", key);
        snprintf(lease, sizeof(lease), "!lease:s:%s", bad);
        CHECK_WITHIN(WORLD_PATIENCE_MS, (!warm || nigh_tick(w.cache) >= 0) &&
                                            is_in_redis(&server, value) &&
                                            !is_in_redis(&server, lease));
    }
    world_close(&w);
    redis_stop(&server);
}

/* ---- a host that never ticks ---- */

static void by_fetch(struct world *w, const char *key)
{
    CHECK_EQ(ask_fetch(w->space, key, NULL).outcome, NIGH_FRESH);
}

static void by_get(struct world *w, const char *key)
{
    (void)ask_get(w->space, key, NULL);
}

static void by_put(struct world *w, const char *key)
{
    (void)nigh_put(w->space, key, strlen(key), "v", 1, NULL);
}

static void by_invalidate(struct world *w, const char *key)
{
    CHECK_GE(nigh_invalidate(w->space, key, strlen(key), NULL), 0);
}

/* One more call, always of another key. */
static bool connects(struct world *w, void (*call)(struct world *w, const char *key))
{
    static unsigned count;
    char key[16];
    snprintf(key, sizeof(key), "c%u", count++);
    call(w, key);
    return world_count(w, "connected") == 1;
}

TEST(a_host_that_only_calls_connects_and_connects_again)
{
    void (*const calls[])(struct world *, const char *) = {by_fetch, by_get, by_put, by_invalidate};
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        struct world w;
        struct redis server;
        redis_start(&server, NULL);
        struct nigh_options o = tick_options(&server);
        origin_init(&w.origin);
        world_open_with(&w, &o, NULL, &w.origin);
        CHECK_WITHIN(WORLD_PATIENCE_MS, connects(&w, calls[i]));
        redis_kill(&server);
        CHECK_WITHIN(WORLD_PATIENCE_MS, !connects(&w, calls[i]));
        redis_restart(&server, REDIS_EMPTY);
        CHECK_WITHIN(WORLD_PATIENCE_MS, connects(&w, calls[i]));
        CHECK_WITHIN(WORLD_PATIENCE_MS, nigh_invalidate(w.space, "k", 1, NULL) == 0);
        CHECK_EQ(nigh_drain(w.cache, WORLD_PATIENCE_MS), 0);
        world_close(&w);
        redis_stop(&server);
    }
}

/* A cache that is closed before it has connected. */
static bool close_tells(const struct redis *server, struct world *reader)
{
    struct world w;
    struct nigh_options o = tick_options(server);
    CHECK_EQ(nigh_put(reader->space, "k", 1, "v", 1, NULL), 0);
    CHECK_WITHIN(WORLD_PATIENCE_MS, is_in_redis(server, "s:1:k"));
    origin_init(&w.origin);
    world_open_with(&w, &o, NULL, &w.origin);
    CHECK_EQ(nigh_invalidate(w.space, "k", 1, NULL), NIGH_QUEUED);
    world_close(&w);
    return !is_in_redis(server, "s:1:k");
}

/* It tries for a moment; more than once, for a machine that takes the moment. */
TEST(closing_at_once_tries_what_is_queued)
{
    struct world reader;
    struct redis server;
    redis_start(&server, NULL);
    patient_open(&reader, &server, NULL, NULL);
    CHECK_WITHIN(WORLD_PATIENCE_MS, close_tells(&server, &reader));
    world_close(&reader);
    redis_stop(&server);
}

/* ---- the event loop ---- */

/* One turn of a host that has nothing else to do. */
static void loop_turn(struct world *w)
{
    struct pollfd fd = {.fd = nigh_tick_fd(w->cache), .events = POLLIN};
    int ms = nigh_tick(w->cache);
    CHECK_GE(ms, 0);
    CHECK_LE(ms, 1000);
    CHECK_EQ(poll(&fd, 1, WORLD_PATIENCE_MS), 1); /* it needs no other timer */
}

TEST(an_event_loop_sleeps_and_is_called)
{
    struct world w, other;
    struct redis server;
    struct effort effort;
    struct nigh_call l1_only = NIGH_CALL_INIT;
    unsigned turns = 0, slow = 0;
    l1_only.flags = NIGH_L1_ONLY;
    redis_start(&server, NULL);
    open_ticking(&w, &server, NULL, NULL);
    patient_open(&other, &server, &w.origin, NULL);
    CHECK_GE(nigh_tick_fd(w.cache), 0);
    CHECK_EQ(nigh_tick_fd(other.cache), NIGH_EINVAL);
    CHECK_ANSWER(ask_fetch(w.space, "k", NULL), NIGH_FRESH, "k=1");
    CHECK_WITHIN(WORLD_PATIENCE_MS, (loop_turn(&w), world_count(&w, "l2_fill") == 1));
    effort_begin(&effort);
    for (uint64_t end_ms = check_now_ms() + IDLE_MS; check_now_ms() < end_ms; turns++)
        loop_turn(&w);
    CHECK_LT(turns, 60 * (check_now_ms() - effort.began_ms) / 1000);
    for (int i = 0; i < 60; i++) {
        uint64_t began_ms = check_now_ms();
        CHECK_EQ(ask_fetch(w.space, "k", NULL).outcome, NIGH_FRESH);
        CHECK_EQ(nigh_invalidate(other.space, "k", 1, NULL), 0);
        CHECK_WITHIN(WORLD_PATIENCE_MS,
                     (loop_turn(&w), ask_get(w.space, "k", &l1_only).outcome == NIGH_MISS));
        slow += check_now_ms() - began_ms > 300;
    }
    CHECK_LT(slow, 30); /* by the time of a tick most would be, which is a second */
    world_close(&other);
    world_close(&w);
    redis_stop(&server);
}

/* Work that came up since the last tick makes the descriptor readable, until the tick is done. */
TEST(a_refresh_calls_the_event_loop)
{
    struct world w;
    struct redis server;
    struct nigh_space_options so = NIGH_SPACE_OPTIONS_INIT;
    so.soft_ttl_ms = 50;
    so.stale_ms = 1000000;
    redis_start(&server, NULL);
    open_ticking(&w, &server, NULL, &so);
    CHECK_ANSWER(ask_fetch(w.space, "k", NULL), NIGH_FRESH, "k=1");
    CHECK_WITHIN(WORLD_PATIENCE_MS, ask_get(w.space, "k", NULL).outcome == NIGH_STALE);
    struct pollfd fd = {.fd = nigh_tick_fd(w.cache), .events = POLLIN};
    while (poll(&fd, 1, 0) > 0) /* answers that are on their way */
        CHECK_GE(nigh_tick(w.cache), 0);
    origin_commit(&w.origin);
    CHECK_EQ(ask_fetch(w.space, "k", NULL).outcome, NIGH_STALE);
    CHECK_EQ(w.origin.loads, 1); /* not inside the call: its caller did not ask to wait */
    CHECK_EQ(poll(&fd, 1, 0), 1);
    /* Asked for again, for by the server's clock the value in L2 may be fresh for a moment yet. */
    CHECK_WITHIN(WORLD_PATIENCE_MS, (loop_turn(&w), ask_fetch(w.space, "k", NULL).outcome >= 0) &&
                                        w.origin.loads == 2);
    world_close(&w);
    redis_stop(&server);
}

/* ---- whose loaders run where ---- */

static _Thread_local unsigned depth;
static _Atomic unsigned depth_max;

/* Asks for another key from inside, which is a round trip in which a careless call would run
 * whatever is queued. */
static int load_two(struct origin *o, struct nigh_fill *fill)
{
    struct world *w = o->arg;
    char inner[80];
    size_t len;
    const char *key = nigh_fill_key(fill, &len);
    if (key[0] == 'i')
        return origin_answer(o, fill);
    if (++depth > depth_max)
        depth_max = depth;
    snprintf(inner, sizeof(inner), "i%.*s-%u", (int)len, key, atomic_load(&o->generation));
    CHECK_EQ(ask_fetch(w->space, inner, NULL).outcome, NIGH_FRESH);
    CHECK_GE(nigh_tick(w->cache), 0); /* forbidden, and harmless */
    depth--;
    return origin_answer(o, fill);
}

static void fetch_all(struct world *w, int outcome)
{
    for (int i = 0; i < 100; i++) {
        char key[16];
        snprintf(key, sizeof(key), "k%d", i);
        CHECK_EQ(ask_fetch(w->space, key, NULL).outcome, outcome);
    }
}

TEST(loaders_of_others_do_not_nest)
{
    struct world w;
    struct redis server;
    redis_start(&server, NULL);
    for (int run_on = NIGH_RUN_CALLER; run_on <= NIGH_RUN_WORKER; run_on++) {
        struct nigh_space_options so = NIGH_SPACE_OPTIONS_INIT;
        struct nigh_target all = {.kind = NIGH_TARGET_ALL};
        struct nigh_call soft = NIGH_CALL_INIT;
        soft.flags = NIGH_SOFT;
        so.run_on = run_on;
        so.schema = run_on == NIGH_RUN_CALLER ? "1" : "2";
        open_ticking(&w, &server, NULL, &so);
        w.origin.arg = &w;
        w.origin.script = load_two;
        fetch_all(&w, NIGH_FRESH);
        origin_commit(&w.origin);
        CHECK_EQ(nigh_invalidate_many(w.cache, &all, 1, &soft), 0);
        fetch_all(&w, NIGH_STALE); /* a hundred refreshes are queued */
        depth_max = 0;
        CHECK_EQ(ask_fetch(w.space, "other", NULL).outcome, NIGH_FRESH);
        CHECK_EQ(w.origin.loads, 202); /* of these only the one asked for, and what it asks */
        CHECK_WITHIN(WORLD_PATIENCE_MS, (nigh_tick(w.cache), w.origin.loads == 402));
        CHECK_EQ(depth_max, 1);
        world_close(&w);
    }
    redis_stop(&server);
}

/* Who waits for a refresh that nobody has begun begins it, without a tick. */
TEST(a_refresh_that_is_waited_for_runs_in_the_call)
{
    struct world w;
    struct redis server;
    struct nigh_target all = {.kind = NIGH_TARGET_ALL};
    struct nigh_call soft = NIGH_CALL_INIT, anew = NIGH_CALL_INIT;
    soft.flags = NIGH_SOFT;
    anew.flags = NIGH_REFRESH;
    redis_start(&server, NULL);
    open_ticking(&w, &server, NULL, NULL);
    CHECK_ANSWER(ask_fetch(w.space, "k", NULL), NIGH_FRESH, "k=1");
    origin_commit(&w.origin);
    CHECK_EQ(nigh_invalidate_many(w.cache, &all, 1, &soft), 0);
    CHECK_ANSWER(ask_fetch(w.space, "k", NULL), NIGH_STALE, "k=1");
    CHECK_ANSWER(ask_fetch(w.space, "k", &anew), NIGH_FRESH, "k=2");
    CHECK_EQ(w.origin.loads, 2);
    world_close(&w);
    redis_stop(&server);
}

/* ---- ending ---- */

TEST(drain_and_close_end_though_redis_is_silent)
{
    struct world w;
    struct redis server;
    redis_start(&server, NULL);
    open_ticking(&w, &server, NULL, NULL);
    struct nigh_call call = NIGH_CALL_INIT;
    call.deadline_ms = 20;
    redis_pause(&server);
    CHECK_EQ(nigh_invalidate(w.space, "k", 1, &call), NIGH_QUEUED);
    CHECK_EQ(nigh_drain(w.cache, 100), NIGH_ETIMEDOUT);
    uint64_t began_ms = check_now_ms();
    world_close(&w);
    CHECK_LT(check_now_ms() - began_ms, WORLD_PATIENCE_MS);
    redis_resume(&server);
    redis_stop(&server);
}
