// SPDX-License-Identifier: MIT
/*
 * The log of a cache: its hook runs where it holds nobody up, and may ask the cache how it is.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <nigh/nigh.h>

#include "support/check.h"

#define PATIENCE_MS 20000

/* Keys: (t) written by the test while the hook sleeps. */
struct ear {
    struct nigh *cache;   /* (t) NULL: it asks nothing */
    _Atomic unsigned count;
    _Atomic bool blocked;
    _Atomic bool inside;
    bool until_closed;    /* it asks until it is told that the cache closes */
    _Atomic int64_t entries, health;
    char thread[16];
    char last[600];
};

static void hear(void *arg, enum nigh_log_level level, const char *message)
{
    struct ear *e = arg;
    char text[4000];
    (void)level;
    pthread_getname_np(pthread_self(), e->thread, sizeof(e->thread));
    snprintf(e->last, sizeof(e->last), "%s", message);
    atomic_store(&e->inside, true);
    while (atomic_load(&e->blocked))
        check_pause();
    if (e->until_closed)
        CHECK_WITHIN(900, nigh_health(e->cache) == NIGH_ECLOSED);
    if (e->cache) {
        atomic_store(&e->entries, nigh_stats_value(e->cache, NULL, "entries"));
        atomic_store(&e->health, nigh_health(e->cache));
        long len = nigh_stats(e->cache, NIGH_STATS_TEXT, text, sizeof(text));
        CHECK(len > 0 || len == NIGH_ECLOSED);
    }
    atomic_store(&e->inside, false);
    atomic_fetch_add(&e->count, 1);
}

/* A place in the code speaks once a second: let it be over. */
static void say_again(void)
{
    uint64_t now_ms = check_now_ms();
    while (check_now_ms() - now_ms < 1100)
        check_pause();
}

static struct nigh *open_with(struct ear *e, enum nigh_threads threads)
{
    struct nigh_options o = NIGH_OPTIONS_INIT;
    struct nigh *cache;
    o.l1_memory = 8u << 20;
    o.threads = threads;
    o.log = hear;
    o.log_arg = e;
    REQUIRE_EQ(nigh_open(&o, &cache), 0);
    return cache;
}

/* Has a line written to the log: that an option has another value. */
static void say(struct nigh *cache)
{
    CHECK_EQ(nigh_set(cache, "redis.deadline", "300ms"), 0);
}

TEST(a_hook_on_its_own_thread_asks_the_cache)
{
    static struct ear e;
    say_again();
    struct nigh *cache = open_with(&e, NIGH_THREADS_OWN);
    e.cache = cache;
    say(cache);
    CHECK_WITHIN(PATIENCE_MS, atomic_load(&e.count) == 1);
    CHECK_STR(e.thread, "nigh-log");
    CHECK_STR(e.last, "redis.deadline is now 300ms");
    CHECK_EQ(e.entries, 0);
    CHECK_EQ(e.health, NIGH_FRESH);
    nigh_close(cache);
}

TEST(what_is_said_while_closing_is_heard_and_the_cache_answers_no_more)
{
    static struct ear e;
    say_again();
    struct nigh *cache = open_with(&e, NIGH_THREADS_OWN);
    struct nigh_space *space;
    struct nigh_value value;
    REQUIRE_EQ(nigh_space_open(cache, "s", NULL, NULL, NULL, NULL, &space), 0);
    REQUIRE_EQ(nigh_put(space, "k", 1, "v", 1, NULL), 0);
    REQUIRE_EQ(nigh_get(space, "k", 1, NULL, &value), NIGH_FRESH);
    e.cache = cache;
    e.until_closed = true;
    nigh_close(cache); /* complains of the value, which is never looked at again */
    CHECK_WITHIN(PATIENCE_MS, e.count == 1);
    CHECK_EQ(e.health, NIGH_ECLOSED);
    CHECK_EQ(e.entries, NIGH_ECLOSED);
}

TEST(a_hook_that_blocks_delays_no_call_and_closing_by_a_second)
{
    static struct ear e;
    say_again();
    struct nigh *cache = open_with(&e, NIGH_THREADS_OWN);
    struct nigh_space *space;
    REQUIRE_EQ(nigh_space_open(cache, "s", NULL, NULL, NULL, NULL, &space), 0);
    atomic_store(&e.blocked, true);
    say(cache);
    CHECK_WITHIN(PATIENCE_MS, atomic_load(&e.inside));
    for (int i = 0; i < 100; i++) {
        say(cache);
        CHECK_EQ(nigh_put(space, "k", 1, "v", 1, NULL), 0);
    }
    CHECK(atomic_load(&e.inside));
    nigh_close(cache);
    CHECK(atomic_load(&e.inside)); /* left alone */
    atomic_store(&e.blocked, false);
    CHECK_WITHIN(PATIENCE_MS, !atomic_load(&e.inside));
}

TEST(without_threads_a_tick_calls_it)
{
    static struct ear e;
    say_again();
    struct nigh *cache = open_with(&e, NIGH_THREADS_NONE);
    e.cache = cache;
    say(cache);
    CHECK_EQ(e.count, 0);
    CHECK_GE(nigh_tick(cache), 0);
    CHECK_EQ(e.count, 1);
    CHECK_EQ(e.entries, 0);
    nigh_close(cache);
}

/* ---- without a hook ---- */

/* Reads what a cache that finds no Redis writes to stderr. */
static void complaint(const char *conf, char *text, size_t size)
{
    struct nigh_options o = NIGH_OPTIONS_INIT;
    struct nigh *cache;
    int ends[2], before = dup(STDERR_FILENO);
    REQUIRE(pipe(ends) == 0 && dup2(ends[1], STDERR_FILENO) == STDERR_FILENO);
    close(ends[1]);
    o.redis_uri = "unix:///nonexistent/redis.sock";
    o.l1_memory = 8u << 20;
    setenv("NIGH_CONF", conf, 1);
    int rc = nigh_open(&o, &cache);
    unsetenv("NIGH_CONF");
    REQUIRE_EQ(rc, 0);
    CHECK_WITHIN(PATIENCE_MS,
                 (nigh_tick(cache), nigh_stats_value(cache, NULL, "l2_connect_failed") > 0));
    nigh_close(cache);
    dup2(before, STDERR_FILENO);
    close(before);
    ssize_t n = read(ends[0], text, size - 1);
    text[n > 0 ? n : 0] = 0;
    close(ends[0]);
}

static bool has_warning(const char *text)
{
    static const char line[] = "]: warning: redis at /nonexistent/redis.sock is not connected: ";
    return strstr(text, line) != NULL;
}

TEST(warnings_go_to_stderr_unless_silence_is_chosen)
{
    char text[2000];
    say_again();
    complaint("log=stderr", text, sizeof(text));
    CHECK(has_warning(text));
    say_again();
    complaint("log=none", text, sizeof(text));
    CHECK_STR(text, "");
    say_again();
    complaint("threads=none", text, sizeof(text));
    CHECK(has_warning(text));
}

TEST(where_to_is_one_of_its_words)
{
    struct nigh_options o = NIGH_OPTIONS_INIT;
    CHECK_EQ(nigh_options_set(&o, "log", "syslog"), 0);
    CHECK_EQ(o.log_to, NIGH_LOG_TO_SYSLOG);
    CHECK_EQ(nigh_options_set(&o, "log", "stdout"), NIGH_EOPTION);
    CHECK(strstr(nigh_options_error(), "stderr,syslog,none"));
}
