// SPDX-License-Identifier: MIT
/*
 * Closing a cache whose loaders and writers do not return: in bounded time, and when they do return
 * later, by whatever way, they find all that they touch. Under AddressSanitizer: and free it.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "cache/cache.h" /* when a loader has been left alone: nothing public tells */
#include "support/origin.h"

#define LOAD_MS 1500u /* it has to begin within it, on a busy machine */
#define CLOSE_MS (LOAD_MS + 1000u) /* what is promised */

/* A cache that is closed while some of its callbacks are held. */
struct scene {
    struct world w;
    struct asker askers[8];
    char said[2000]; /* to the log */
    _Atomic bool closed;
};

static void hear(void *arg, enum nigh_log_level level, const char *message)
{
    struct scene *s = arg;
    size_t len = strlen(s->said);
    if (level == NIGH_LOG_ERROR)
        snprintf(s->said + len, sizeof(s->said) - len, "%s\n", message);
}

/* Each case has its own for ever: threads that nobody joins have looked at it. */
static struct scene *open_scene(enum nigh_run_on run_on, nigh_writer_fn writer)
{
    static struct scene scenes[20], *next = scenes;
    struct scene *s = next++;
    REQUIRE(s < scenes + 20);
    struct nigh_options o = NIGH_OPTIONS_INIT;
    struct nigh_space_options so = NIGH_SPACE_OPTIONS_INIT;
    o.l1_memory = 8u << 20;
    o.workers = 2;
    o.log = hear;
    o.log_arg = s;
    so.run_on = run_on;
    so.load_deadline_ms = LOAD_MS;
    so.soft_ttl_ms = 1;
    so.stale_ms = 3600 * 1000;
    so.error_ttl_ms = NIGH_NONE;
    origin_init(&s->w.origin);
    REQUIRE_EQ(nigh_open(&o, &s->w.cache), 0);
    REQUIRE_EQ(nigh_space_open(s->w.cache, "users", &so, origin_load, writer, &s->w.origin,
                               &s->w.space), 0);
    return s;
}

/* The promise is a second after the deadline; the machine may be busy. */
static void close_in_time(struct scene *s)
{
    uint64_t began = check_now_ms();
    nigh_close(s->w.cache);
    uint64_t took = check_now_ms() - began;
    check_note("closed after %u ms", (unsigned)took);
    CHECK_LT(took, CLOSE_MS + WORLD_PATIENCE_MS / 2);
}

static void *close_beside(void *arg)
{
    struct scene *s = arg;
    nigh_close(s->w.cache);
    s->closed = true;
    return NULL;
}

static void let_go(struct scene *s, int askers)
{
    origin_let_go(&s->w.origin);
    for (int i = 0; i < askers; i++)
        asker_join(&s->askers[i]);
    CHECK_WITHIN(WORLD_PATIENCE_MS, s->w.origin.running == 0);
}

static void ask_held(struct scene *s, int i, const char *key)
{
    unsigned running = s->w.origin.running;
    origin_hold(&s->w.origin);
    asker_start(&s->askers[i], s->w.space, key, NULL);
    CHECK_WITHIN(WORLD_PATIENCE_MS, s->w.origin.running == running + 1);
}

/* ---- writers ---- */

static _Atomic bool held, writing;

static int write_late(void *arg, const struct nigh_write_op *op)
{
    (void)arg;
    writing = true;
    while (held)
        check_pause();
    return op->key_len == 1 ? 0 : 1;
}

static void *write_one(void *arg)
{
    struct scene *s = arg;
    return (void *)(intptr_t)nigh_write(s->w.space, "k", 1, "v", 1, NULL);
}

TEST(a_writer_that_returns_after_the_close)
{
    pthread_t thread;
    void *result;
    struct scene *s = open_scene(NIGH_RUN_CALLER, write_late);
    held = true;
    writing = false;
    REQUIRE_EQ(pthread_create(&thread, NULL, write_one, s), 0);
    CHECK_WITHIN(WORLD_PATIENCE_MS, writing);
    close_in_time(s);
    CHECK(strstr(s->said, "the writer of space \"users\", key \"k\""));
    held = false;
    pthread_join(thread, &result);
    CHECK_EQ((int)(intptr_t)result, NIGH_ECLOSED);
}

/* ---- loaders ---- */

TEST(a_loader_on_its_callers_thread_that_returns_after_the_close)
{
    struct scene *s = open_scene(NIGH_RUN_CALLER, NULL);
    ask_held(s, 0, "k\n1");
    close_in_time(s);
    CHECK_STR(s->said, "closed while the loader of space \"users\", key \"k.1\" has not returned: "
                      "its memory is left\n");
    let_go(s, 1);
    CHECK_EQ(s->askers[0].answer.outcome, NIGH_ECLOSED);
}

TEST(many_of_them)
{
    struct scene *s = open_scene(NIGH_RUN_CALLER, NULL);
    for (int i = 0; i < 8; i++) {
        char key[4];
        snprintf(key, sizeof(key), "k%d", i);
        ask_held(s, i, key);
    }
    close_in_time(s);
    CHECK(strstr(s->said, "closed while 8 loaders and writers have not returned"));
    for (int i = 0; i < 8; i++) {
        char name[] = "key \"k0\" has";
        name[6] += (char)i;
        CHECK(strstr(s->said, name));
    }
    let_go(s, 8);
    for (int i = 0; i < 8; i++)
        CHECK_EQ(s->askers[i].answer.outcome, NIGH_ECLOSED);
}

TEST(a_loader_that_returns_in_time_is_waited_for)
{
    struct scene *s = open_scene(NIGH_RUN_CALLER, NULL);
    s->w.origin.script = NULL;
    CHECK_EQ(ask_fetch(s->w.space, "k", NULL).outcome, NIGH_FRESH);
    uint64_t began = check_now_ms();
    nigh_close(s->w.cache);
    CHECK_LT(check_now_ms() - began, WORLD_PATIENCE_MS / 2);
    CHECK_STR(s->said, "");
}

/* More than there are workers: some have not begun. */
TEST(workers_inside_loaders_that_return_after_the_close)
{
    struct scene *s = open_scene(NIGH_RUN_WORKER, NULL);
    ask_held(s, 0, "k0");
    ask_held(s, 1, "k1");
    for (int i = 2; i < 5; i++) {
        char key[4];
        snprintf(key, sizeof(key), "k%d", i);
        asker_start(&s->askers[i], s->w.space, key, NULL);
    }
    for (int i = 0; i < 5; i++) { /* on workers the deadline binds callers, too */
        asker_join(&s->askers[i]);
        CHECK_EQ(s->askers[i].answer.outcome, NIGH_ETIMEDOUT);
    }
    CHECK_EQ(s->w.origin.loads, 2);
    close_in_time(s);
    let_go(s, 0);
    CHECK_EQ(s->w.origin.loads, 2);
}

/* ---- refreshes, and what a loader looks at ---- */

static int look_at_previous(struct origin *o, struct nigh_fill *fill)
{
    size_t len = 0;
    uint64_t version;
    const char *previous = nigh_fill_previous(fill, &len, &version);
    if (!previous)
        return origin_answer(o, fill);
    while (atomic_load(&o->held))
        check_pause();
    CHECK_MEM(previous, len, "k=1", 3); /* as it was before the close */
    CHECK(nigh_fill_previous(fill, &len, &version) == previous);
    return nigh_fill_not_modified(fill);
}

TEST(refreshes_that_return_after_the_close_see_the_previous_value)
{
    struct scene *s = open_scene(NIGH_RUN_CALLER, NULL);
    s->w.origin.script = look_at_previous;
    CHECK_EQ(ask_fetch(s->w.space, "k", NULL).outcome, NIGH_FRESH);
    CHECK_WITHIN(WORLD_PATIENCE_MS, ask_get(s->w.space, "k", NULL).outcome == NIGH_STALE);
    CHECK_EQ(s->w.origin.finished, 1);
    origin_hold(&s->w.origin);
    CHECK_EQ(ask_fetch(s->w.space, "k", NULL).outcome, NIGH_STALE);
    CHECK_WITHIN(WORLD_PATIENCE_MS, s->w.origin.running == 1);
    close_in_time(s);
    let_go(s, 0);
    CHECK_EQ(s->w.origin.finished, 2);
}

static _Atomic bool holding;

/* The loader holds values of other keys: of a hit, of a load, and in memory of its own. */
static int hold_values(struct origin *o, struct nigh_fill *fill)
{
    struct scene *s = o->arg;
    size_t len;
    const char *key = nigh_fill_key(fill, &len);
    if (len != 5 || memcmp(key, "outer", 5) != 0)
        return origin_answer(o, fill);
    struct nigh_call unstored = NIGH_CALL_INIT;
    struct nigh_value hit = NIGH_VALUE_INIT, loaded = NIGH_VALUE_INIT, own = NIGH_VALUE_INIT;
    unstored.flags = NIGH_NO_STORE;
    CHECK(nigh_get(s->w.space, "there", 5, NULL, &hit) >= 0);
    CHECK_EQ(nigh_fetch(s->w.space, "new", 3, NULL, &loaded), NIGH_FRESH);
    CHECK_EQ(nigh_fetch(s->w.space, "odd", 3, &unstored, &own), NIGH_FRESH);
    holding = true;
    while (held)
        check_pause();
    CHECK_MEM(hit.data, hit.len, "there=1", 7);
    CHECK_MEM(loaded.data, loaded.len, "new=1", 5);
    CHECK_MEM(own.data, own.len, "odd=1", 5);
    CHECK_EQ(nigh_value_tier(&hit), NIGH_TIER_L1);
    CHECK_EQ(nigh_value_version(&loaded), 0);
    nigh_release(&hit);
    nigh_release(&loaded);
    nigh_release(&own);
    return origin_answer(o, fill);
}

TEST(a_loader_gives_values_back_after_the_close)
{
    struct scene *s = open_scene(NIGH_RUN_CALLER, NULL), *other;
    CHECK_EQ(ask_fetch(s->w.space, "there", NULL).outcome, NIGH_FRESH);
    s->w.origin.script = hold_values;
    s->w.origin.arg = s;
    held = true;
    asker_start(&s->askers[0], s->w.space, "outer", NULL);
    CHECK_WITHIN(WORLD_PATIENCE_MS, holding);
    close_in_time(s);
    other = open_scene(NIGH_RUN_CALLER, NULL); /* has what is free now */
    CHECK_ANSWER(ask_fetch(other->w.space, "k", NULL), NIGH_FRESH, "k=1");
    held = false;
    let_go(s, 1);
    CHECK_EQ(s->askers[0].answer.outcome, NIGH_ECLOSED);
    CHECK_ANSWER(ask_fetch(other->w.space, "k2", NULL), NIGH_FRESH, "k2=1");
    nigh_close(other->w.cache);
    CHECK_STR(other->said, "");
}

/* A thread that the machine does not let run, in the middle of a call. */
static _Atomic bool stopped, go_on_running;

static void stop_here(int signal)
{
    (void)signal;
    stopped = true;
    while (!go_on_running)
        check_pause();
}

TEST(a_loader_on_a_worker_is_not_left_before_its_flight_has_landed)
{
    struct scene *s = open_scene(NIGH_RUN_WORKER, NULL);
    struct sigaction action = {.sa_handler = stop_here};
    REQUIRE_EQ(sigaction(SIGUSR1, &action, NULL), 0);
    ask_held(s, 0, "k");
    stopped = go_on_running = false;
    REQUIRE_EQ(pthread_kill(s->askers[0].thread, SIGUSR1), 0);
    CHECK_WITHIN(WORLD_PATIENCE_MS, stopped);
    pthread_t closer;
    REQUIRE_EQ(pthread_create(&closer, NULL, close_beside, s), 0);
    for (uint64_t began = check_now_ms(); check_now_ms() - began < CLOSE_MS + 500;)
        check_pause();
    CHECK_EQ(atomic_load(&s->closed), false);
    CHECK_STR(s->said, "");
    go_on_running = true;
    asker_join(&s->askers[0]);
    CHECK_EQ(s->askers[0].answer.outcome, NIGH_ETIMEDOUT);
    pthread_join(closer, NULL);
    CHECK(strstr(s->said, "key \"k\" has not returned"));
    let_go(s, 0);
}

/* ---- other ways to end late ---- */

static _Thread_local jmp_buf point;

static int jump_late(struct origin *o, struct nigh_fill *fill)
{
    (void)fill;
    while (atomic_load(&o->held))
        check_pause();
    atomic_fetch_sub(&o->running, 1);
    longjmp(point, 1);
}

static int exit_late(struct origin *o, struct nigh_fill *fill)
{
    (void)fill;
    while (atomic_load(&o->held))
        check_pause();
    pthread_exit(NULL);
}

static void *fetch_and_jump(void *arg)
{
    struct scene *s = arg;
    if (setjmp(point) == 0)
        (void)ask_fetch(s->w.space, "k", NULL);
    return NULL;
}

TEST(a_loader_that_jumps_away_after_the_close)
{
    pthread_t thread;
    struct scene *s = open_scene(NIGH_RUN_CALLER, NULL);
    s->w.origin.script = jump_late;
    origin_hold(&s->w.origin);
    REQUIRE_EQ(pthread_create(&thread, NULL, fetch_and_jump, s), 0);
    CHECK_WITHIN(WORLD_PATIENCE_MS, s->w.origin.running == 1);
    close_in_time(s);
    let_go(s, 0);
    pthread_join(thread, NULL);
}

static _Atomic bool jumped, go_on;

static void *fetch_jump_and_stay(void *arg)
{
    fetch_and_jump(arg);
    jumped = true;
    while (!go_on)
        check_pause();
    return NULL;
}

TEST(a_loader_that_has_jumped_away_before_the_close)
{
    pthread_t thread;
    struct scene *s = open_scene(NIGH_RUN_CALLER, NULL);
    jumped = go_on = false;
    s->w.origin.script = jump_late;
    REQUIRE_EQ(pthread_create(&thread, NULL, fetch_jump_and_stay, s), 0);
    CHECK_WITHIN(WORLD_PATIENCE_MS, jumped);
    close_in_time(s); /* the thread has not called since */
    CHECK(strstr(s->said, "has not returned"));
    go_on = true;
    pthread_join(thread, NULL);
}

TEST(loaders_that_end_their_threads_after_the_close)
{
    for (int run_on = NIGH_RUN_CALLER; run_on <= NIGH_RUN_WORKER; run_on++) {
        struct scene *s = open_scene(run_on, NULL);
        s->w.origin.script = exit_late;
        ask_held(s, 0, "k");
        close_in_time(s);
        let_go(s, 1);
        CHECK_EQ(s->askers[0].done, run_on == NIGH_RUN_WORKER);
    }
}

/* ---- late calls ---- */

static int call_late(struct origin *o, struct nigh_fill *fill)
{
    struct scene *s = o->arg;
    struct nigh_value value = NIGH_VALUE_INIT;
    while (atomic_load(&o->held))
        check_pause();
    CHECK_EQ(nigh_fetch(s->w.space, "other", 5, NULL, &value), NIGH_ECLOSED);
    CHECK_EQ(nigh_get(s->w.space, "there", 5, NULL, &value), NIGH_ECLOSED);
    CHECK_EQ(nigh_put(s->w.space, "other", 5, "v", 1, NULL), NIGH_ECLOSED);
    CHECK_EQ(nigh_invalidate(s->w.space, "other", 5, NULL), NIGH_ECLOSED);
    CHECK_EQ(nigh_health(s->w.cache), NIGH_ECLOSED);
    CHECK_EQ(nigh_stats_value(s->w.cache, NULL, "load"), NIGH_ECLOSED);
    return nigh_fill_value(fill, "v", 1);
}

TEST(a_loader_that_calls_after_the_close_is_refused)
{
    for (int run_on = NIGH_RUN_CALLER; run_on <= NIGH_RUN_WORKER; run_on++) {
        struct scene *s = open_scene(run_on, NULL);
        CHECK_EQ(ask_fetch(s->w.space, "there", NULL).outcome, NIGH_FRESH);
        s->w.origin.script = call_late;
        s->w.origin.arg = s;
        ask_held(s, 0, "k");
        close_in_time(s);
        let_go(s, 1);
    }
}

static int ask_other(struct origin *o, struct nigh_fill *fill)
{
    struct scene *s = o->arg;
    size_t len;
    if (memcmp(nigh_fill_key(fill, &len), "outer", 5) == 0) {
        CHECK_EQ(ask_fetch(s->w.space, "inner", NULL).outcome, NIGH_ECLOSED);
        return nigh_fill_value(fill, "v", 1);
    }
    while (atomic_load(&o->held))
        check_pause();
    return nigh_fill_value(fill, "v", 1);
}

TEST(a_loader_inside_another_that_returns_after_the_close)
{
    struct scene *s = open_scene(NIGH_RUN_CALLER, NULL);
    s->w.origin.script = ask_other;
    s->w.origin.arg = s;
    origin_hold(&s->w.origin);
    asker_start(&s->askers[0], s->w.space, "outer", NULL);
    CHECK_WITHIN(WORLD_PATIENCE_MS, s->w.origin.running == 2);
    close_in_time(s);
    CHECK(strstr(s->said, "key \"inner\" has") && strstr(s->said, "key \"outer\" has"));
    let_go(s, 1);
    CHECK_EQ(s->askers[0].answer.outcome, NIGH_ECLOSED);
}
