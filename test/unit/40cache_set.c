// SPDX-License-Identifier: MIT
// Options of an open cache: what is live changes, what is not says so, wrong values change nothing.

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <nigh/nigh.h>

#include "cache/cache.h"
#include "l2/client.h"
#include "support/check.h"

#define MIB ((int64_t)1 << 20)

static struct nigh *open_with(uint64_t memory, enum nigh_threads threads)
{
    struct nigh_options o = NIGH_OPTIONS_INIT;
    struct nigh *cache;
    o.l1_memory = memory;
    o.threads = threads;
    REQUIRE_EQ(nigh_open(&o, &cache), 0);
    return cache;
}

static void put_many(struct nigh_space *space, unsigned count)
{
    static const char zeros[200];
    for (unsigned i = 0; i < count; i++)
        CHECK_EQ(nigh_put(space, &i, sizeof(i), zeros, sizeof(zeros), NULL), 0);
}

static int64_t gauge(struct nigh *cache, const char *name)
{
    return nigh_stats_value(cache, NULL, name);
}

TEST(memory_falls_and_rises_by_name)
{
    struct nigh *cache = open_with(64 * (uint64_t)MIB, NIGH_THREADS_OWN);
    struct nigh_space *space;
    REQUIRE_EQ(nigh_space_open(cache, "s", NULL, NULL, NULL, NULL, &space), 0);
    put_many(space, 100000);
    CHECK_GT(gauge(cache, "memory_bytes"), 25 * MIB);
    CHECK_EQ(nigh_set(cache, "l1.memory", "16MiB"), 0);
    CHECK_EQ(gauge(cache, "memory_cap_bytes"), 16 * MIB);
    CHECK_WITHIN(20000, gauge(cache, "memory_bytes") <= 16 * MIB);
    CHECK_WITHIN(20000, gauge(cache, "resident_bytes") <= 16 * MIB * 110 / 100);
    CHECK_GT(gauge(cache, "entries"), 20000);
    CHECK_EQ(nigh_set(cache, "l1.memory", "64m"), 0);
    /* A put is dropped while limbo is full, and freeing needs a thread that may have to wait. */
    CHECK_WITHIN(20000, (put_many(space, 100000), gauge(cache, "entries") == 100000));
    nigh_close(cache);
}

/* What is said of an open cache is said as at its opening: of all processes. */
TEST(with_several_processes_a_new_cap_is_that_of_all)
{
    struct nigh_options o = NIGH_OPTIONS_INIT;
    struct nigh *cache;
    struct nigh_space *heir, *own;
    o.l1_memory = 128 * (uint64_t)MIB;
    o.processes = 3;
    o.threads = NIGH_THREADS_NONE;
    REQUIRE_EQ(nigh_open(&o, &cache), 0);
    REQUIRE_EQ(nigh_space_open(cache, "heir", NULL, NULL, NULL, NULL, &heir), 0);
    REQUIRE_EQ(nigh_space_open(cache, "own", NULL, NULL, NULL, NULL, &own), 0);
    CHECK_EQ(gauge(cache, "memory_cap_bytes"), 128 * MIB / 3);
    CHECK_EQ(nigh_set(cache, "redis.deadline", "1s"), 0); /* changes no cap by rounding */
    CHECK_EQ(gauge(cache, "memory_cap_bytes"), 128 * MIB / 3);
    CHECK_EQ(nigh_set(cache, "space.memory", "24m"), 0);
    CHECK_EQ(nigh_stats_value(cache, "heir", "memory_cap_bytes"), 8 * MIB);
    CHECK_EQ(nigh_space_set(own, "space.memory", "12m"), 0);
    CHECK_EQ(nigh_stats_value(cache, "own", "memory_cap_bytes"), 4 * MIB);
    CHECK_EQ(nigh_space_set(own, "space.memory", "2m"), NIGH_EOPTION);
    CHECK_EQ(nigh_set(cache, "l1.memory", "96m"), 0);
    CHECK_EQ(gauge(cache, "memory_cap_bytes"), 32 * MIB);
    CHECK_EQ(nigh_stats_value(cache, "heir", "memory_cap_bytes"), 8 * MIB);
    CHECK_EQ(nigh_set(cache, "space.memory", "none"), 0); /* in a table of its own, without a cap */
    CHECK_EQ(nigh_stats_value(cache, "heir", "memory_cap_bytes"), 32 * MIB);
    nigh_close(cache);
}

struct changing {
    struct nigh *cache;
    _Atomic bool enough;
};

static void *change_default(void *arg)
{
    struct changing *c = arg;
    do {
        CHECK_EQ(nigh_set(c->cache, "space.memory", "2m"), 0);
        CHECK_EQ(nigh_set(c->cache, "space.memory", "none"), 0);
    } while (!c->enough);
    return NULL;
}

TEST(spaces_open_while_a_default_of_theirs_changes)
{
    struct changing c = {.cache = open_with(64 * (uint64_t)MIB, NIGH_THREADS_NONE)};
    struct nigh_space *space;
    pthread_t thread;
    char name[16];
    REQUIRE_EQ(pthread_create(&thread, NULL, change_default, &c), 0);
    for (int i = 0; i < 10; i++) {
        snprintf(name, sizeof(name), "s%d", i);
        CHECK_EQ(nigh_space_open(c.cache, name, NULL, NULL, NULL, NULL, &space), 0);
    }
    c.enough = true;
    pthread_join(thread, NULL);
    nigh_close(c.cache);
}

TEST(without_threads_ticks_do_it)
{
    struct nigh *cache = open_with(32 * (uint64_t)MIB, NIGH_THREADS_NONE);
    struct nigh_space *space;
    REQUIRE_EQ(nigh_space_open(cache, "s", NULL, NULL, NULL, NULL, &space), 0);
    put_many(space, 50000);
    CHECK_EQ(nigh_set(cache, "l1.memory", "8MiB"), 0);
    for (int i = 0; i < 1000 && gauge(cache, "memory_bytes") > 8 * MIB; i++)
        CHECK_GE(nigh_tick(cache), 0);
    CHECK_LE(gauge(cache, "memory_bytes"), 8 * MIB);
    nigh_close(cache);
}

TEST(times_change_for_the_next_call)
{
    struct nigh *cache = open_with(8 * (uint64_t)MIB, NIGH_THREADS_NONE);
    CHECK_EQ(nigh_set(cache, "redis.deadline", "1s"), 0);
    CHECK_EQ(cache->l2_deadline_ms, 1000);
    CHECK_EQ(nigh_set(cache, "redis.stale_deadline", "7ms"), 0);
    CHECK_EQ(cache->l2_stale_deadline_ms, 7);
    CHECK_EQ(nigh_set(cache, "lease.time", "2s"), 0);
    CHECK_EQ(cache->lease_ms, 2000);
    CHECK_EQ(cache->l2_deadline_ms, 1000);
    nigh_close(cache);
}

/* Who waits longer has a Redis that is far, not one that is slow. */
TEST(the_breaker_is_told_how_long_callers_wait)
{
    struct nigh_options o = NIGH_OPTIONS_INIT;
    struct nigh *cache;
    o.l1_memory = 8 * (uint64_t)MIB;
    o.group_slots = 2048;
    o.threads = NIGH_THREADS_NONE;
    o.redis_uri = "unix:///nonexistent/redis.sock";
    o.l2_deadline_ms = 500;
    REQUIRE_EQ(nigh_open(&o, &cache), 0);
    CHECK_EQ(breaker_slow_ns(&cache->l2->home->breaker), 200 * NS_PER_MS);
    CHECK_EQ(nigh_set(cache, "redis.deadline", "1s"), 0);
    CHECK_EQ(breaker_slow_ns(&cache->l2->home->breaker), 400 * NS_PER_MS);
    CHECK_EQ(nigh_set(cache, "redis.deadline", "20ms"), 0);
    CHECK_EQ(breaker_slow_ns(&cache->l2->home->breaker), BREAKER_SLOW_NS);
    nigh_close(cache);
}

static void check_refused(struct nigh *cache, const char *name, const char *value, const char *why)
{
    CHECK_EQ(nigh_set(cache, name, value), NIGH_EOPTION);
    if (!CHECK(strstr(nigh_options_error(), name)) || !CHECK(strstr(nigh_options_error(), why)))
        check_note("%s", nigh_options_error());
}

/* What was set once could not be put back: its default is a share of another cap. */
TEST(a_default_without_a_number_is_put_back_by_name)
{
    struct nigh *cache = open_with(32 * (uint64_t)MIB, NIGH_THREADS_NONE);
    CHECK_EQ(l1_limbo(cache->l1), 0);
    CHECK_EQ(nigh_set(cache, "l1.limbo", "8MiB"), 0);
    CHECK_EQ(l1_limbo(cache->l1), 8 * MIB);
    check_refused(cache, "l1.limbo", "0", "out of range");
    check_refused(cache, "l1.limbo", "much", ", or default");
    CHECK_EQ(nigh_set(cache, "l1.limbo", " Default "), 0);
    CHECK_EQ(l1_limbo(cache->l1), 0);
    CHECK_EQ(nigh_set(cache, "l1.memory", "15MiB"), 0); /* 8 would be more than half */
    check_refused(cache, "l1.memory", "default", "bytes");
    nigh_close(cache);
}

TEST(what_cannot_change_says_so_and_nothing_changes)
{
    struct nigh *cache = open_with(32 * (uint64_t)MIB, NIGH_THREADS_NONE);
    check_refused(cache, "l1.shards", "32", "open");
    check_refused(cache, "workers", "2", "open");
    check_refused(cache, "redis.uri", "redis://localhost", "open");
    check_refused(cache, "space.soft_ttl", "2s", "open");
    check_refused(cache, "l1.memroy", "1g", "no option");
    check_refused(cache, "l1.memory", "lots", "bytes");
    check_refused(cache, "l1.memory", "4096", "4MiB ..");
    check_refused(cache, "l1.limbo", "17MiB", "half");
    CHECK_EQ(gauge(cache, "memory_cap_bytes"), 32 * MIB);
    CHECK_EQ(nigh_set(cache, "l1.limbo", "8MiB"), 0);
    check_refused(cache, "l1.memory", "15MiB", "half");
    CHECK_EQ(nigh_set(cache, "l1.memory", "16MiB"), 0);
    nigh_close(cache);
}
