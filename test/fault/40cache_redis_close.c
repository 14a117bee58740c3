// SPDX-License-Identifier: MIT
// The ends of a cache: closed with work queued and Redis gone, inherited by a forked child, its
// connections cut under it. No descriptor, thread or byte is left behind, no signal is raised.

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cache/cache.h" /* when a close has begun: nothing public tells */
#include "support/origin.h"

static unsigned entries_of(const char *folder)
{
    unsigned count = 0;
    DIR *dir = opendir(folder);
    REQUIRE(dir);
    while (readdir(dir))
        count++;
    closedir(dir);
    return count;
}

static unsigned descriptors(void)
{
    return entries_of("/proc/self/fd");
}

static unsigned threads(void)
{
    return entries_of("/proc/self/task");
}

/* ---- closing ---- */

TEST(many_caches_come_and_go_and_leave_nothing)
{
    struct redis server;
    redis_start(&server, NULL);
    struct world w;
    unsigned fds = 0, tasks = 0;
    for (int i = 0; i < 12; i++) {
        node_open(&w, &server, NULL, NULL);
        CHECK_ANSWER(ask_fetch(w.space, "k", NULL), NIGH_FRESH, "k=1");
        world_close(&w);
        if (i == 1) { /* the process's own first-time resources are there */
            fds = descriptors();
            tasks = threads();
        }
    }
    CHECK_EQ(descriptors(), fds);
    CHECK_WITHIN(WORLD_PATIENCE_MS, threads() == tasks); /* the kernel lists a joined one briefly */
    redis_stop(&server);
}

TEST(a_cache_that_cannot_be_opened_leaves_nothing)
{
    struct nigh_options o = NIGH_OPTIONS_INIT;
    struct nigh *cache;
    unsigned fds = descriptors(), tasks = threads();
    o.l1_memory = 8u << 20;
    o.redis_uri = "http://localhost"; /* refused after L1 and the workers were made */
    for (int i = 0; i < 10; i++)
        CHECK_EQ(nigh_open(&o, &cache), NIGH_EURI);
    o.redis_uri = NULL;
    o.group_slots = 65536;
    o.l1_memory = 4u << 20;
    if (nigh_open(&o, &cache) == 0) /* small, but it may fit */
        nigh_close(cache);
    CHECK_EQ(descriptors(), fds);
    CHECK_WITHIN(WORLD_PATIENCE_MS, threads() == tasks);
}

static char said[1024]; /* warnings and errors of closing caches */

static void hear(void *arg, enum nigh_log_level level, const char *message)
{
    size_t len = strlen(said);
    (void)arg;
    if (level <= NIGH_LOG_WARN && strncmp(message, "closed ", 7) == 0)
        snprintf(said + len, sizeof(said) - len, "%s\n", message);
}

/* What was queued and is lost with the cache is said, with its count. */
TEST(closing_does_not_wait_for_a_redis_that_is_gone)
{
    struct redis server;
    struct world w;
    struct nigh_space_options so = NIGH_SPACE_OPTIONS_INIT;
    so.run_on = NIGH_RUN_WORKER;
    for (int how = 0; how < 3; how++) {
        redis_start(&server, NULL);
        struct nigh_options o = node_options(&server);
        o.log = hear;
        said[0] = '\0';
        origin_init(&w.origin);
        world_open_with(&w, &o, &so, &w.origin);
        REQUIRE(CHECK_WITHIN(WORLD_PATIENCE_MS, nigh_health(w.cache) == NIGH_FRESH));
        if (how == 1)
            redis_kill(&server);
        if (how == 2)
            redis_pause(&server);
        origin_hold(&w.origin);
        struct nigh_call call = NIGH_CALL_INIT;
        call.deadline_ms = 300;
        for (int i = 0; i < 10; i++) { /* loads under way and queued, their callers gone */
            char key[16];
            snprintf(key, sizeof(key), "k%d", i);
            if (how == 0)
                CHECK_EQ(ask_fetch(w.space, key, &call).outcome, NIGH_ETIMEDOUT);
            else
                CHECK_LT(ask_fetch(w.space, key, &call).outcome, 0);
            int rc = nigh_invalidate(w.space, key, strlen(key), &call);
            CHECK(rc == NIGH_QUEUED || (how == 0 && rc == 0)); /* a slow machine queues, too */
        }
        origin_let_go(&w.origin);
        uint64_t began_ms = check_now_ms();
        world_close(&w);
        CHECK_LT(check_now_ms() - began_ms, WORLD_PATIENCE_MS);
        CHECK_EQ(w.origin.running, 0);
        if (how != 0)
            CHECK_STR(said, "closed while changes waited for redis (10): other nodes do not learn "
                            "of them, and may serve what was before\n");
        if (how == 2)
            redis_resume(&server);
        redis_stop(&server);
    }
}

/* A flight that waits for another node's load must not keep the close waiting for its lease. */
TEST(closing_ends_a_refresh_that_waits_for_another_node)
{
    struct redis server;
    struct world w;
    struct nigh_space_options so = NIGH_SPACE_OPTIONS_INIT;
    so.soft_ttl_ms = 1;
    so.stale_ms = 1000000;
    so.load_deadline_ms = 600000;
    redis_start(&server, NULL);
    node_open(&w, &server, NULL, &so);
    CHECK_ANSWER(ask_fetch(w.space, "k", NULL), NIGH_FRESH, "k=1");
    CHECK_WITHIN(WORLD_PATIENCE_MS,
                 (ask_fetch(w.space, "k", NULL), world_count(&w, "l2_fill") >= 1));
    free(redis_command(&server, "SET nigh:!2:!lease:s:k another PX 600000"));
    /* Again and again: on a slow machine a refresh may give up on Redis (20 ms) and load. */
    CHECK_WITHIN(WORLD_PATIENCE_MS,
                 (ask_fetch(w.space, "k", NULL), world_count(&w, "lease_held") >= 1));
    uint64_t began_ms = check_now_ms();
    world_close(&w);
    CHECK_LT(check_now_ms() - began_ms, WORLD_PATIENCE_MS);
    redis_stop(&server);
}

static void *close_behind(void *world)
{
    world_close(world);
    return NULL;
}

/* The loader comes back when the close has begun: too late for a fill, not for the lease. */
TEST(closing_gives_back_the_leases_of_loads_under_way)
{
    struct redis server;
    struct world a, b;
    struct nigh_space_options so = NIGH_SPACE_OPTIONS_INIT;
    struct nigh_call call = NIGH_CALL_INIT;
    pthread_t closer;
    so.run_on = NIGH_RUN_WORKER;
    redis_start(&server, NULL);
    struct nigh_options o = patient_options(&server);
    o.lease_ms = 600000;
    origin_init(&a.origin);
    world_open_with(&a, &o, &so, &a.origin);
    CHECK_WITHIN(WORLD_PATIENCE_MS, nigh_health(a.cache) == NIGH_FRESH);
    patient_open(&b, &server, NULL, NULL);
    origin_hold(&a.origin);
    call.deadline_ms = 50;
    for (int i = 0; i < 3; i++) {
        char key[16];
        snprintf(key, sizeof(key), "k%d", i);
        CHECK_EQ(ask_fetch(a.space, key, &call).outcome, NIGH_ETIMEDOUT);
        CHECK_WITHIN(WORLD_PATIENCE_MS, a.origin.running == (unsigned)i + 1);
        CHECK_EQ(redis_integer(&server, "EXISTS nigh:!2:!lease:s:%s", key), 1);
    }
    struct nigh *cache = a.cache;
    REQUIRE_EQ(pthread_create(&closer, NULL, close_behind, &a), 0);
    CHECK_WITHIN(WORLD_PATIENCE_MS, atomic_load(&cache->closing));
    origin_let_go(&a.origin);
    REQUIRE_EQ(pthread_join(closer, NULL), 0);
    for (int i = 0; i < 3; i++) {
        char key[16], row[16];
        snprintf(key, sizeof(key), "k%d", i);
        snprintf(row, sizeof(row), "k%d=1", i);
        CHECK_ANSWER(ask_fetch(b.space, key, NULL), NIGH_FRESH, row);
    }
    CHECK_EQ(world_count(&b, "lease_held"), 0); /* it waited for nobody */
    world_close(&b);
    redis_stop(&server);
}

/* ---- closing under calls that loaders and writers make, and Redis does not answer ---- */

#define SHORT_MS 1000 /* the load's deadline */
#define LONG_MS 4000  /* what a call may take: the close alone would not wait for it */

enum inner { INVALIDATE, DRAIN, FETCH, INNER_COUNT };

struct under {
    struct world w;
    enum inner inner;
    _Atomic bool calling;
    _Atomic bool held;
    _Atomic bool returned;
    int rc, late;
};

static int load_inside(void *arg, struct nigh_fill *const fills[], size_t n)
{
    struct under *u = arg;
    struct nigh_value value = NIGH_VALUE_INIT;
    struct nigh_call call = NIGH_CALL_INIT;
    size_t len;
    const char *key = nigh_fill_key(fills[0], &len);
    (void)n;
    call.deadline_ms = LONG_MS;
    if (memcmp(key, "outer", len) != 0)
        return nigh_fill_value(fills[0], "v", 1);
    u->calling = true;
    if (u->inner == INVALIDATE)
        u->rc = nigh_invalidate(u->w.space, "x", 1, &call);
    else if (u->inner == DRAIN)
        u->rc = nigh_drain(u->w.cache, LONG_MS);
    else
        u->rc = nigh_fetch(u->w.space, "inner", 5, &call, &value);
    nigh_release(&value);
    while (u->held)
        check_pause();
    u->late = nigh_invalidate(u->w.space, "x", 1, &call);
    u->returned = true;
    return nigh_fill_value(fills[0], "v", 1);
}

static int write_inside(void *arg, const struct nigh_write_op *op)
{
    struct under *u = arg;
    (void)op;
    u->calling = true;
    while (u->held)
        check_pause();
    return 0;
}

static void open_under(struct under *u, struct redis *server, enum nigh_threads threads)
{
    struct nigh_options o = NIGH_OPTIONS_INIT;
    struct nigh_space_options so = NIGH_SPACE_OPTIONS_INIT;
    o.l1_memory = 8u << 20;
    o.redis_uri = server->uri;
    o.threads = threads;
    so.load_deadline_ms = SHORT_MS;
    so.run_on = NIGH_RUN_CALLER;
    u->calling = u->returned = false;
    u->held = true;
    REQUIRE_EQ(nigh_open(&o, &u->w.cache), 0);
    REQUIRE_EQ(nigh_space_open(u->w.cache, "s", &so, load_inside, write_inside, u, &u->w.space), 0);
    CHECK_WITHIN(WORLD_PATIENCE_MS, ((void)(threads == NIGH_THREADS_NONE &&
                                            nigh_tick(u->w.cache)),
                                     nigh_health(u->w.cache) == NIGH_FRESH));
}

/* The close waits for the call, and leaves the loader; what that calls then is refused. */
static void close_under_a_load(enum inner inner, enum nigh_threads threads)
{
    struct redis server;
    struct under u = {.inner = inner};
    struct asker asker;
    redis_start(&server, NULL);
    open_under(&u, &server, threads);
    redis_pause(&server);
    if (inner == DRAIN) {
        struct nigh_call call = NIGH_CALL_INIT;
        call.deadline_ms = 10;
        CHECK_EQ(nigh_invalidate(u.w.space, "x", 1, &call), NIGH_QUEUED);
    }
    asker_start(&asker, u.w.space, "outer", NULL);
    CHECK_WITHIN(WORLD_PATIENCE_MS, u.calling);
    bool gave_up = asker.done; /* before it came to the load, which another does: a busy machine */
    nigh_close(u.w.cache);
    u.held = false;
    asker_join(&asker);
    CHECK_EQ(asker.answer.outcome, gave_up ? NIGH_ETIMEDOUT : NIGH_ECLOSED);
    CHECK_WITHIN(WORLD_PATIENCE_MS, u.returned);
    CHECK(u.rc == 0 || u.rc == NIGH_QUEUED || u.rc == NIGH_ETIMEDOUT || u.rc == NIGH_EOFFLINE ||
          u.rc == NIGH_ECLOSED);
    CHECK_EQ(u.late, NIGH_ECLOSED);
    redis_resume(&server);
    redis_stop(&server);
}

TEST(closing_waits_for_the_call_that_a_loader_is_inside_of)
{
    for (enum inner inner = INVALIDATE; inner < INNER_COUNT; inner++)
        for (enum nigh_threads threads = NIGH_THREADS_OWN; threads <= NIGH_THREADS_NONE; threads++)
            close_under_a_load(inner, threads);
}

static void *write_one(void *arg)
{
    struct under *u = arg;
    struct nigh_call call = NIGH_CALL_INIT;
    call.deadline_ms = LONG_MS;
    u->rc = nigh_write(u->w.space, "k", 1, "v", 1, &call);
    return NULL;
}

/* Its writer has returned while the close waited; what it tells Redis then is waited for, too. */
TEST(closing_waits_for_a_write_whose_writer_has_returned)
{
    struct redis server;
    struct under u = {0};
    pthread_t writer, closer;
    redis_start(&server, NULL);
    open_under(&u, &server, NIGH_THREADS_OWN);
    REQUIRE_EQ(pthread_create(&writer, NULL, write_one, &u), 0);
    CHECK_WITHIN(WORLD_PATIENCE_MS, u.calling);
    redis_pause(&server);
    struct nigh *cache = u.w.cache;
    REQUIRE_EQ(pthread_create(&closer, NULL, close_behind, &u.w), 0);
    CHECK_WITHIN(WORLD_PATIENCE_MS, atomic_load(&cache->closing));
    u.held = false;
    pthread_join(writer, NULL);
    pthread_join(closer, NULL);
    CHECK(u.rc == 0 || u.rc == NIGH_QUEUED || u.rc == NIGH_ECLOSED);
    redis_resume(&server);
    redis_stop(&server);
}

void __real_l2_close(struct l2 *l2);
void __wrap_l2_close(struct l2 *l2);

static struct workers *ending; /* of the cache that closes */
static struct redis *resumed;  /* by then; NULL: none */
static _Atomic unsigned l2_closes;

static unsigned answers_queued(struct workers *w)
{
    unsigned count = 0;
    pthread_mutex_lock(&w->lock);
    for (const struct fifo_link *at = w->answers.first; at; at = at->next)
        count++;
    pthread_mutex_unlock(&w->lock);
    return count;
}

/* Answers that are outstanding come in there, or have come shortly before. */
void __wrap_l2_close(struct l2 *l2)
{
    if (ending) {
        pthread_mutex_lock(&ending->lock);
        CHECK_EQ(ending->count, 0);
        CHECK_EQ(ending->busy, 0);
        pthread_mutex_unlock(&ending->lock);
        l2_closes++;
    }
    if (resumed) {
        redis_resume(resumed);
        CHECK_WITHIN(WORLD_PATIENCE_MS, answers_queued(ending) == 2);
    }
    __real_l2_close(l2);
}

/* A worker that is about to give a lease back would use what is freed there. */
TEST(workers_have_ended_when_l2_closes)
{
    struct redis server;
    struct world w;
    struct asker asker;
    redis_start(&server, NULL);
    for (enum nigh_threads threads = NIGH_THREADS_OWN; threads <= NIGH_THREADS_NONE; threads++) {
        struct nigh_options o = patient_options(&server);
        o.threads = threads;
        origin_init(&w.origin);
        world_open_with(&w, &o, NULL, &w.origin);
        CHECK_WITHIN(WORLD_PATIENCE_MS, (nigh_tick(w.cache), nigh_health(w.cache) == NIGH_FRESH));
        redis_pause(&server);
        struct nigh_call call = NIGH_CALL_INIT;
        call.deadline_ms = 20;
        asker_start(&asker, w.space, "k", &call); /* its flight asks on */
        asker_join(&asker);
        ending = &w.cache->workers;
        world_close(&w);
        ending = NULL;
        redis_resume(&server);
    }
    CHECK_EQ(l2_closes, 2);
    redis_stop(&server);
}

static int get_async(struct world *w, struct nigh_queue *q, const char *key, struct nigh_miss *miss)
{
    struct nigh_call call = NIGH_CALL_INIT;
    struct nigh_value value = NIGH_VALUE_INIT;
    call.miss = miss;
    return nigh_get_async(q, w->space, key, strlen(key), &call, NULL, &value, NULL);
}

/* When their turn comes there is nothing to judge a value by, nor to ask for a lease. */
TEST(answers_that_no_worker_is_there_to_take_are_dropped)
{
    struct redis server;
    struct world w;
    struct nigh_queue *queue;
    struct nigh_completion done[2];
    struct nigh_miss miss = NIGH_MISS_INIT;
    redis_start(&server, NULL);
    patient_open(&w, &server, NULL, NULL);
    CHECK_EQ(nigh_put(w.space, "k", 1, "v", 1, NULL), 0);
    world_close(&w);
    patient_open(&w, &server, NULL, NULL);
    REQUIRE_EQ(nigh_queue_open(w.cache, &queue), 0);
    redis_pause(&server);
    CHECK_EQ(get_async(&w, queue, "k", NULL), NIGH_PENDING);
    CHECK_EQ(get_async(&w, queue, "absent", &miss), NIGH_PENDING);
    ending = &w.cache->workers;
    resumed = &server;
    world_close(&w);
    ending = NULL;
    resumed = NULL;
    CHECK_EQ(nigh_queue_poll(queue, done, 2, 0), 2);
    CHECK_EQ(done[0].outcome, NIGH_ECLOSED);
    CHECK_EQ(done[1].outcome, NIGH_ECLOSED);
    CHECK_EQ(miss.token, 0);
    nigh_queue_close(queue);
    redis_stop(&server);
}

/* ---- signals ---- */

static volatile sig_atomic_t pipes_broken;

static void on_pipe(int signal)
{
    (void)signal;
    pipes_broken = 1;
}

TEST(a_connection_cut_while_writing_raises_no_sigpipe)
{
    struct redis server;
    struct world w;
    struct sigaction before, action = {.sa_handler = on_pipe};
    REQUIRE_EQ(sigaction(SIGPIPE, &action, &before), 0);
    redis_start(&server, NULL);
    node_open(&w, &server, NULL, NULL);
    for (int i = 0; i < 10; i++) {
        redis_kill(&server);
        for (int j = 0; j < 20; j++) {
            char key[16];
            snprintf(key, sizeof(key), "k%d-%d", i, j);
            CHECK_EQ(ask_fetch(w.space, key, NULL).outcome, NIGH_FRESH);
            nigh_invalidate(w.space, key, strlen(key), NULL);
        }
        redis_restart(&server, REDIS_EMPTY);
        CHECK_WITHIN(WORLD_PATIENCE_MS, nigh_health(w.cache) == NIGH_FRESH);
    }
    CHECK_EQ(pipes_broken, 0);
    world_close(&w);
    redis_stop(&server);
    sigaction(SIGPIPE, &before, NULL);
}

/* ---- fork ---- */

/* Every call in the child; how many did not say NIGH_EFORKED. */
static int forked_calls(struct world *w)
{
    struct nigh_value v = {.len = 7};
    struct nigh_space *space;
    struct nigh_target t = {.kind = NIGH_TARGET_ALL};
    int wrong = 0;
    wrong += nigh_get(w->space, "k", 1, NULL, &v) != NIGH_EFORKED;
    wrong += nigh_fetch(w->space, "k", 1, NULL, &v) != NIGH_EFORKED;
    wrong += nigh_put(w->space, "k", 1, "v", 1, NULL) != NIGH_EFORKED;
    wrong += nigh_write(w->space, "k", 1, "v", 1, NULL) != NIGH_EFORKED;
    wrong += nigh_invalidate(w->space, "k", 1, NULL) != NIGH_EFORKED;
    wrong += nigh_invalidate_many(w->cache, &t, 1, NULL) != NIGH_EFORKED;
    wrong += nigh_space_open(w->cache, "n", NULL, NULL, NULL, NULL, &space) != NIGH_EFORKED;
    wrong += nigh_health(w->cache) != NIGH_EFORKED;
    wrong += nigh_drain(w->cache, 1) != NIGH_EFORKED;
    wrong += nigh_tick(w->cache) != NIGH_EFORKED;
    wrong += nigh_stats(w->cache, NIGH_STATS_TEXT, NULL, 0) != NIGH_EFORKED;
    wrong += nigh_stats_value(w->cache, NULL, "l1_miss") != NIGH_EFORKED;
    wrong += v.len != 7;
    nigh_close(w->cache);
    return wrong;
}

/* ThreadSanitizer ends a child that starts threads after a fork of a process with threads, and
 * AddressSanitizer's allocator may be locked for ever by a thread that the child does not have. */
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define CHILD_MAY_START_THREADS 0
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
#define CHILD_MAY_START_THREADS 0
#endif
#endif
#ifndef CHILD_MAY_START_THREADS
#define CHILD_MAY_START_THREADS 1
#endif

/* In the child: the inherited cache refuses, one of its own works. */
static int child(struct world *w, const char *uri)
{
    struct nigh_options o = NIGH_OPTIONS_INIT;
    struct nigh *own;
    struct nigh_space *space;
    int wrong = forked_calls(w);
    if (!CHILD_MAY_START_THREADS)
        return wrong;
    o.l1_memory = 8u << 20;
    o.group_slots = 2048;
    o.redis_uri = uri;
    if (nigh_open(&o, &own) != 0)
        return wrong + 100;
    struct origin *origin = &w->origin;
    if (nigh_space_open(own, "s", NULL, origin_load, NULL, origin, &space) != 0)
        return wrong + 50;
    wrong += ask_fetch(space, "k", NULL).outcome < 0;
    wrong += nigh_invalidate(space, "k", 1, NULL) < 0; /* it may not be connected yet */
    wrong += nigh_drain(own, WORLD_PATIENCE_MS) != 0;
    nigh_close(own);
    return wrong;
}

static _Atomic bool stop_reading;

static void *keep_reading(void *arg)
{
    struct world *w = arg;
    while (!stop_reading) {
        char key[16];
        static _Atomic unsigned turn;
        snprintf(key, sizeof(key), "r%u", turn++ % 50);
        int rc = ask_fetch(w->space, key, NULL).outcome;
        CHECK(rc == NIGH_FRESH || rc == NIGH_STALE);
    }
    return NULL;
}

TEST(a_forked_child_is_refused_and_the_parent_unharmed)
{
    struct redis server;
    struct world w;
    pthread_t readers[3];
    redis_start(&server, NULL);
    patient_open(&w, &server, NULL, NULL);
    CHECK_ANSWER(ask_fetch(w.space, "k", NULL), NIGH_FRESH, "k=1");
    stop_reading = false;
    for (int i = 0; i < 3; i++)
        REQUIRE_EQ(pthread_create(&readers[i], NULL, keep_reading, &w), 0);
    for (int i = 0; i < 10; i++) { /* with locks, sections and requests in every state */
        pid_t pid = fork();
        REQUIRE(pid >= 0);
        if (pid == 0) {
            alarm(200);
            _exit(child(&w, server.uri));
        }
        int status;
        REQUIRE(waitpid(pid, &status, 0) == pid);
        if (!CHECK(WIFEXITED(status)))
            check_note("child ended by signal %d", WTERMSIG(status));
        else
            CHECK_EQ(WEXITSTATUS(status), 0);
    }
    stop_reading = true;
    for (int i = 0; i < 3; i++)
        REQUIRE_EQ(pthread_join(readers[i], NULL), 0);
    CHECK_WITHIN(WORLD_PATIENCE_MS, nigh_health(w.cache) == NIGH_FRESH);
    CHECK_EQ(world_count(&w, "l2_lost"), 0); /* the child touched no connection of ours */
    CHECK_EQ(world_count(&w, "l2_connect"), 1);
    CHECK_EQ(nigh_invalidate(w.space, "k", 1, NULL), 0);
    CHECK_ANSWER(ask_fetch(w.space, "k", NULL), NIGH_FRESH, "k=1");
    world_close(&w);
    redis_stop(&server);
}
