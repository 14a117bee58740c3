// SPDX-License-Identifier: MIT
/*
 * Loaders and writers that longjmp() to the host, as those of a database server do when a statement
 * fails: the frames of the call are gone, and nobody has cleaned up. The thread's next call does,
 * or its end. Alone, and with a second node that must not wait for what is left.
 */
#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include "support/origin.h"

static _Thread_local jmp_buf point;

static int load_and_jump(struct origin *o, struct nigh_fill *fill)
{
    (void)nigh_fill_value(fill, "not to be seen", 14); /* counts only if the loader returns */
    while (atomic_load(&o->held))
        check_pause();
    longjmp(point, 1);
}

static int write_and_jump(void *arg, const struct nigh_write_op *op)
{
    (void)arg, (void)op;
    longjmp(point, 1);
}

static void open_scene(struct world *w, struct redis *server)
{
    struct nigh_space_options so = NIGH_SPACE_OPTIONS_INIT;
    so.load_deadline_ms = 3 * WORLD_PATIENCE_MS; /* nobody is to wait for it */
    so.error_ttl_ms = NIGH_NONE;
    if (server)
        patient_open(w, server, NULL, &so);
    else
        world_open(w, NULL, &so);
}

/* Runs a case alone, then before a Redis. */
static void in_both(void (*run)(struct world *w))
{
    struct world w;
    struct redis server;
    open_scene(&w, NULL);
    run(&w);
    world_close(&w);
    redis_start(&server, NULL);
    origin_init(&w.origin);
    open_scene(&w, &server);
    run(&w);
    world_close(&w);
    redis_stop(&server);
}

/* True: the loader has jumped here. */
static __attribute__((noinline)) bool fetch_is_left(struct world *w, const char *key)
{
    if (setjmp(point) != 0)
        return true;
    (void)ask_fetch(w->space, key, NULL);
    return false;
}

static __attribute__((noinline)) bool write_is_left(struct world *w, const char *key)
{
    if (setjmp(point) != 0)
        return true;
    (void)nigh_write(w->space, key, strlen(key), "new", 3, NULL);
    return false;
}

/* From frames that lie where those of the call that was left have been. */
static __attribute__((noinline)) struct answer ask_deeper(struct world *w, const char *key,
                                                          int depth)
{
    char room[200];
    memset(room, depth, sizeof(room));
    struct answer a = depth ? ask_deeper(w, key, depth - 1) : ask_fetch(w->space, key, NULL);
    __asm__ volatile("" : : "r"(room) : "memory");
    return a;
}

static void load_again(struct world *w)
{
    for (int i = 0; i < 10; i++) {
        char key[8];
        snprintf(key, sizeof(key), "k%d", i);
        w->origin.script = load_and_jump;
        CHECK(fetch_is_left(w, key));
        w->origin.script = NULL;
        struct answer a = ask_deeper(w, key, 3 * i);
        CHECK_EQ(a.outcome, NIGH_FRESH);
        CHECK_NE(a.len, 14);
    }
    CHECK_EQ(w->origin.loads, 20);
    CHECK_EQ(world_count(w, "load_failed"), 10);
    CHECK_EQ(world_count(w, "flights"), 0);
}

TEST(a_thread_whose_loader_jumped_away_loads_again)
{
    in_both(load_again);
}

static void any_call(struct world *w)
{
    struct nigh_value value = NIGH_VALUE_INIT;
    for (int i = 0; i < 5; i++) {
        w->origin.script = load_and_jump;
        CHECK(fetch_is_left(w, "k"));
        w->origin.script = NULL;
        CHECK_EQ(world_count(w, "flights"), 1);
        int rc = i == 0   ? nigh_get(w->space, "other", 5, NULL, &value) - NIGH_MISS
                 : i == 1 ? nigh_put(w->space, "other", 5, "v", 1, NULL)
                 : i == 2 ? nigh_write(w->space, "other", 5, "v", 1, NULL)
                 : i == 3 ? nigh_invalidate(w->space, "other", 5, NULL)
                          : nigh_drain(w->cache, 0);
        CHECK_EQ(rc, 0);
        CHECK_EQ(world_count(w, "flights"), 0);
    }
}

TEST(every_call_that_may_block_sees_to_what_was_left)
{
    in_both(any_call);
}

/* Leads, jumps away, and ends without another call. */
static void *lead_and_jump(void *arg)
{
    CHECK(fetch_is_left(arg, "k"));
    return NULL;
}

static void end_after_jump(struct world *w)
{
    struct asker waiter;
    pthread_t thread;
    uint64_t began = check_now_ms();
    w->origin.script = load_and_jump;
    origin_hold(&w->origin);
    REQUIRE_EQ(pthread_create(&thread, NULL, lead_and_jump, w), 0);
    CHECK_WITHIN(WORLD_PATIENCE_MS, w->origin.running == 1);
    asker_start(&waiter, w->space, "k", NULL);
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(w, "flight_joined") == 1);
    origin_let_go(&w->origin);
    pthread_join(thread, NULL);
    asker_join(&waiter);
    CHECK_EQ(waiter.answer.outcome, NIGH_ELOADER);
    CHECK_EQ(waiter.load_error, 0);
    CHECK_LT(check_now_ms() - began, 3 * WORLD_PATIENCE_MS);
    CHECK_EQ(world_count(w, "flights"), 0);
}

TEST(the_end_of_a_thread_sees_to_what_its_loader_left)
{
    in_both(end_after_jump);
}

static void write_again(struct world *w)
{
    struct nigh_space *space = w->space, *other;
    REQUIRE_EQ(nigh_space_open(w->cache, "other", NULL, origin_load, write_and_jump, &w->origin,
                               &other), 0);
    w->space = other;
    for (int i = 0; i < 5; i++) {
        struct nigh_call tagged = NIGH_CALL_INIT;
        CHECK_EQ(ask_fetch(other, "k", NULL).outcome, NIGH_FRESH);
        unsigned loads = w->origin.loads;
        CHECK(write_is_left(w, "k"));
        tagged.flags = NIGH_REFRESH;
        CHECK_EQ(ask_fetch(other, "x", &tagged).outcome, NIGH_FRESH); /* notices it */
        CHECK_EQ(ask_fetch(other, "k", NULL).outcome, NIGH_FRESH);    /* not locked ... */
        CHECK_EQ(w->origin.loads, loads + 2);                         /* ... nor believed */
    }
    w->space = space;
}

TEST(a_writer_that_jumped_away_may_have_committed)
{
    in_both(write_again);
}

/* ---- one inside the other ---- */

static int load_around_jump(struct origin *o, struct nigh_fill *fill)
{
    struct world *w = o->arg;
    size_t len;
    if (memcmp(nigh_fill_key(fill, &len), "outer", 5) != 0)
        longjmp(point, 1);
    CHECK(fetch_is_left(w, "inner"));
    return origin_answer(o, fill);
}

static void jump_inside(struct world *w)
{
    w->origin.script = load_around_jump;
    w->origin.arg = w;
    CHECK_EQ(ask_fetch(w->space, "outer", NULL).outcome, NIGH_FRESH);
    CHECK_EQ(world_count(w, "flights"), 0); /* the loader that returned has seen to the other */
    w->origin.script = NULL;
    CHECK_EQ(ask_fetch(w->space, "inner", NULL).outcome, NIGH_FRESH);
}

TEST(a_jump_from_one_loader_into_another)
{
    in_both(jump_inside);
}

static int load_inner_and_jump(struct origin *o, struct nigh_fill *fill)
{
    struct world *w = o->arg;
    size_t len;
    if (memcmp(nigh_fill_key(fill, &len), "outer", 5) == 0)
        (void)ask_fetch(w->space, "inner", NULL);
    longjmp(point, 1);
}

static void jump_over_both(struct world *w)
{
    w->origin.script = load_inner_and_jump;
    w->origin.arg = w;
    CHECK(fetch_is_left(w, "outer"));
    CHECK_EQ(world_count(w, "flights"), 2);
    w->origin.script = NULL;
    CHECK_EQ(ask_fetch(w->space, "outer", NULL).outcome, NIGH_FRESH);
    CHECK_EQ(ask_fetch(w->space, "inner", NULL).outcome, NIGH_FRESH);
    CHECK_EQ(world_count(w, "flights"), 0);
}

TEST(a_jump_over_two_loaders)
{
    in_both(jump_over_both);
}

/* ---- without own threads: a refresh runs in the tick, or in the call that waits for it ---- */

static void open_ticking(struct world *w, const struct redis *server)
{
    struct nigh_options o = NIGH_OPTIONS_INIT;
    struct nigh_space_options so = NIGH_SPACE_OPTIONS_INIT;
    if (server)
        o = patient_options(server);
    o.threads = NIGH_THREADS_NONE;
    so.load_deadline_ms = 3 * WORLD_PATIENCE_MS;
    so.error_ttl_ms = NIGH_NONE;
    origin_init(&w->origin);
    world_open_with(w, &o, &so, &w->origin);
    CHECK_WITHIN(WORLD_PATIENCE_MS, (nigh_tick(w->cache), nigh_health(w->cache) == NIGH_FRESH));
}

/* A refresh is queued that will jump. */
static void leave_refresh(struct world *w)
{
    struct nigh_target all = {.kind = NIGH_TARGET_ALL};
    struct nigh_call soft = NIGH_CALL_INIT, anew = NIGH_CALL_INIT;
    soft.flags = NIGH_SOFT;
    anew.flags = NIGH_REFRESH;
    w->origin.script = NULL;
    CHECK_EQ(ask_fetch(w->space, "k", &anew).outcome, NIGH_FRESH);
    CHECK_EQ(nigh_invalidate_many(w->cache, &all, 1, &soft), 0);
    CHECK_EQ(ask_fetch(w->space, "k", NULL).outcome, NIGH_STALE);
    w->origin.script = load_and_jump;
}

static __attribute__((noinline)) bool tick_is_left(struct world *w)
{
    if (setjmp(point) != 0)
        return true;
    CHECK_WITHIN(WORLD_PATIENCE_MS, nigh_tick(w->cache) < 0); /* some, for it asks Redis first */
    return false;
}

static __attribute__((noinline)) bool wait_is_left(struct world *w)
{
    struct nigh_call anew = NIGH_CALL_INIT;
    anew.flags = NIGH_REFRESH;
    if (setjmp(point) != 0)
        return true;
    (void)ask_fetch(w->space, "k", &anew);
    return false;
}

static void jump_from_refresh(const struct redis *server, bool (*is_left)(struct world *w))
{
    struct world w;
    struct nigh_call anew = NIGH_CALL_INIT;
    anew.flags = NIGH_REFRESH;
    uint64_t began = check_now_ms();
    open_ticking(&w, server);
    for (int i = 0; i < 3; i++) {
        leave_refresh(&w);
        CHECK(is_left(&w));
        w.origin.script = NULL;
        CHECK_EQ(ask_fetch(w.space, "k", &anew).outcome, NIGH_FRESH);
        CHECK_WITHIN(WORLD_PATIENCE_MS, nigh_tick(w.cache) >= 0 && world_count(&w, "flights") == 0);
    }
    CHECK_EQ(world_count(&w, "load_failed"), 3);
    leave_refresh(&w);
    CHECK(is_left(&w)); /* and closed after it */
    world_close(&w);
    CHECK_LT(check_now_ms() - began, 3 * WORLD_PATIENCE_MS);
}

TEST(a_jump_from_a_refresh_leaves_the_tick_or_the_call_that_runs_it)
{
    struct redis server;
    redis_start(&server, NULL);
    jump_from_refresh(NULL, tick_is_left);
    jump_from_refresh(NULL, wait_is_left);
    jump_from_refresh(&server, tick_is_left);
    jump_from_refresh(&server, wait_is_left);
    redis_stop(&server);
}

static int load_and_end_thread(struct origin *o, struct nigh_fill *fill)
{
    (void)fill;
    o->script = NULL; /* once */
    pthread_exit(NULL);
}

static void *wait_and_end(void *arg)
{
    CHECK(wait_is_left(arg)); /* does not come back */
    return arg;
}

TEST(a_thread_that_ends_in_a_refresh_that_it_waited_for)
{
    struct world w;
    pthread_t thread;
    void *result;
    open_ticking(&w, NULL);
    leave_refresh(&w);
    w.origin.script = load_and_end_thread;
    REQUIRE_EQ(pthread_create(&thread, NULL, wait_and_end, &w), 0);
    pthread_join(thread, &result);
    CHECK(!result);
    CHECK_WITHIN(WORLD_PATIENCE_MS, nigh_tick(w.cache) >= 0 && world_count(&w, "flights") == 0);
    CHECK_EQ(w.origin.loads, 3); /* the tick has loaded it again */
    world_close(&w);
}

/* ---- two nodes ---- */

TEST(another_node_does_not_wait_for_what_was_left)
{
    struct world a, b;
    struct redis server;
    redis_start(&server, NULL);
    origin_init(&a.origin);
    open_scene(&a, &server);
    struct nigh_space_options so = NIGH_SPACE_OPTIONS_INIT;
    patient_open(&b, &server, &a.origin, &so);
    a.origin.script = load_and_jump;
    CHECK(fetch_is_left(&a, "k"));
    a.origin.script = NULL;
    CHECK_EQ(redis_integer(&server, "EXISTS nigh:!2:!lease:s:k"), 1);
    CHECK_EQ(ask_fetch(a.space, "other", NULL).outcome, NIGH_FRESH);
    CHECK_WITHIN(WORLD_PATIENCE_MS, redis_integer(&server, "EXISTS nigh:!2:!lease:s:k") == 0);
    CHECK_EQ(ask_fetch(b.space, "k", NULL).outcome, NIGH_FRESH);
    nodes_close(&a, &b, &server);
}

static struct nigh_space *held_space(struct world *w)
{
    struct nigh_space_options so = NIGH_SPACE_OPTIONS_INIT;
    struct nigh_space *space;
    so.load_deadline_ms = 8000;
    REQUIRE_EQ(nigh_space_open(w->cache, "held", &so, origin_load, NULL, &w->origin, &space), 0);
    return space;
}

/* Well before it would have ended by itself; if the close took so long that it did, all is said. */
static void check_given_back(const struct redis *server, const char *lease)
{
    long long left_ms = redis_integer(server, "PTTL %s", lease);
    if (left_ms > 1500)
        CHECK_WITHIN((uint64_t)left_ms - 300, redis_integer(server, "EXISTS %s", lease) == 0);
}

TEST(closing_without_a_loader_gives_its_lease_back)
{
    struct world w;
    struct redis server;
    struct asker asker;
    redis_start(&server, NULL);
    origin_init(&w.origin);
    open_scene(&w, &server);
    REQUIRE_EQ(nigh_set(w.cache, "lease.time", "4s"), 0);
    origin_hold(&w.origin);
    asker_start(&asker, held_space(&w), "k", NULL);
    CHECK_WITHIN(WORLD_PATIENCE_MS, w.origin.running == 1);
    /* Extended before the deadline, it would stay for longer than two seconds after it. */
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&w, "lease_extended") > 0);
    CHECK_EQ(redis_integer(&server, "EXISTS nigh:!2:!lease:held:k"), 1);
    world_close(&w); /* a second after it, and waits a moment for what it sends */
    check_given_back(&server, "nigh:!2:!lease:held:k");
    origin_let_go(&w.origin);
    asker_join(&asker);
    CHECK_EQ(asker.answer.outcome, NIGH_ECLOSED);
    redis_stop(&server);
}

TEST(closing_after_a_jump_does_not_wait_for_it)
{
    struct world w;
    open_scene(&w, NULL);
    w.origin.script = load_and_jump;
    uint64_t began = check_now_ms();
    CHECK(fetch_is_left(&w, "k"));
    world_close(&w);
    CHECK_LT(check_now_ms() - began, 3 * WORLD_PATIENCE_MS);
}
