// SPDX-License-Identifier: MIT
/*
 * A host that forks: the parent has a cache of its own, open before the children are made. A child
 * finds that the one it inherits answers NIGH_EFORKED, reads and releases the values that it
 * inherited, opens its own, serves, and ends: by exit with everything closed, by exit with nothing
 * closed, or by SIGKILL in the middle of a load. In the middle Redis is killed, and starts again.
 *
 * What is promised: the parent's cache works throughout; a key whose loader died with its child is
 * loaded by others when its lease has run out, and no later; no descriptor of the parent's is shut
 * by a child.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/origin.h"

#define CHILDREN 4
#define GENERATIONS 4
#define LEASE_MS 500

/* All processes share this. Keys: (a) */
struct shared {
    struct origin origin;          /* (a) the database */
    _Atomic unsigned loading;      /* (a) children that are inside their last load */
};

enum { ALL_RIGHT, NOT_FORKED, NOT_KEPT, NOT_OPENED, NOT_SERVED };

static struct shared *shared;
/* The parent holds these when it forks: a value of a load, and one of a hit. */
static struct nigh_value held[2];

static struct nigh_options host_options(const struct redis *redis)
{
    struct nigh_options o = node_options(redis);
    o.lease_ms = LEASE_MS;
    o.log_to = NIGH_LOG_TO_NONE;
    return o;
}

/* The last load of a child that is going to be killed. */
static int load_or_hang(void *arg, struct nigh_fill *const fills[], size_t n)
{
    size_t len;
    const char *key = nigh_fill_key(fills[0], &len);
    if (len < 4 || memcmp(key, "hang", 4) != 0 || arg != shared)
        return origin_load(&shared->origin, fills, n);
    atomic_fetch_add(&shared->loading, 1);
    for (;;)
        pause();
}

static bool serves(struct nigh_space *space, const char *key)
{
    char row[64];
    struct answer a = ask_fetch(space, key, NULL);
    snprintf(row, sizeof(row), "%s=%u", key, shared->origin.generation);
    return (a.outcome == NIGH_FRESH || a.outcome == NIGH_STALE) && strcmp(a.text, row) == 0;
}

/* Whether what was handed out to the parent is still there, and can be given back. */
static bool releases_inherited(void)
{
    bool whole = held[0].len > 2 && held[0].len == held[1].len &&
                 memcmp(held[0].data, "h", 1) == 0 &&
                 memcmp(held[0].data, held[1].data, held[0].len) == 0;
    nigh_release(&held[0]);
    nigh_release(&held[1]);
    return whole;
}

static int child_main(const struct redis *redis, struct nigh_space *inherited, struct nigh *parents,
                      int number)
{
    struct nigh_options o = host_options(redis);
    struct nigh_value value = NIGH_VALUE_INIT;
    struct nigh *cache;
    struct nigh_space *space;
    if (nigh_fetch(inherited, "a", 1, NULL, &value) != NIGH_EFORKED ||
        nigh_invalidate(inherited, "a", 1, NULL) != NIGH_EFORKED)
        return NOT_FORKED;
    if (!releases_inherited())
        return NOT_KEPT;
    nigh_close(parents); /* does nothing */
    if (nigh_open(&o, &cache) != 0 ||
        nigh_space_open(cache, "s", NULL, load_or_hang, NULL, shared, &space) != 0)
        return NOT_OPENED;
    for (uint64_t end_ms = check_now_ms() + WORLD_PATIENCE_MS;
         nigh_health(cache) != NIGH_FRESH && check_now_ms() < end_ms;)
        check_pause();
    for (int i = 0; i < 50; i++) {
        char key[16];
        snprintf(key, sizeof(key), "k%d", i % 10);
        if (!serves(space, key))
            return NOT_SERVED;
    }
    if (number == 0)
        nigh_fetch(space, "hang", 4, NULL, &value); /* for ever */
    if (number % 2)
        nigh_close(cache);
    return ALL_RIGHT;
}

static pid_t make_child(const struct redis *redis, struct world *w, int number)
{
    pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0)
        _exit(child_main(redis, w->space, w->cache, number));
    return child;
}

static void reap(pid_t child, bool killed)
{
    int status;
    REQUIRE(waitpid(child, &status, 0) == child);
    if (killed) {
        CHECK(WIFSIGNALED(status));
        return;
    }
    CHECK(WIFEXITED(status));
    CHECK_EQ(WEXITSTATUS(status), ALL_RIGHT);
}

/* The load of the dead child is the parent's to do when the lease is over. */
static void take_over(struct world *w)
{
    struct nigh_call call = NIGH_CALL_INIT;
    call.deadline_ms = WORLD_PATIENCE_MS;
    uint64_t began_ms = check_now_ms();
    CHECK_EQ(ask_fetch(w->space, "hang", &call).outcome, NIGH_FRESH);
    CHECK_LT(check_now_ms() - began_ms, WORLD_PATIENCE_MS);
    int rc = nigh_invalidate(w->space, "hang", 4, NULL);
    CHECK(rc == 0 || rc == NIGH_QUEUED); /* trust is longer than Redis was away */
    CHECK_EQ(nigh_drain(w->cache, WORLD_PATIENCE_MS), 0);
}

static void live_a_generation(const struct redis *redis, struct world *w)
{
    pid_t children[CHILDREN];
    unsigned loading = shared->loading;
    char key[16];
    snprintf(key, sizeof(key), "h%u", loading);
    for (int i = 0; i < 2; i++)
        REQUIRE(nigh_fetch(w->space, key, strlen(key), NULL, &held[i]) >= 0);
    for (int i = 0; i < CHILDREN; i++)
        children[i] = make_child(redis, w, i);
    for (int i = 0; i < 2; i++)
        nigh_release(&held[i]);
    for (int i = 1; i < CHILDREN; i++)
        reap(children[i], false);
    CHECK_WITHIN(WORLD_PATIENCE_MS, shared->loading == loading + 1);
    REQUIRE_EQ(kill(children[0], SIGKILL), 0);
    reap(children[0], true);
    take_over(w);
    CHECK(serves(w->space, "a"));
    CHECK_WITHIN(WORLD_PATIENCE_MS, nigh_health(w->cache) == NIGH_FRESH);
}

TEST(children_come_and_go_and_die)
{
    struct redis redis;
    struct world w;
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    REQUIRE(shared != MAP_FAILED);
    origin_init(&shared->origin);
    redis_start(&redis, NULL);
    struct nigh_options o = host_options(&redis);
    REQUIRE_EQ(nigh_open(&o, &w.cache), 0);
    REQUIRE_EQ(nigh_space_open(w.cache, "s", NULL, load_or_hang, NULL, NULL, &w.space), 0);
    CHECK_WITHIN(WORLD_PATIENCE_MS, nigh_health(w.cache) == NIGH_FRESH);
    for (int generation = 0; generation < GENERATIONS; generation++) {
        if (generation == GENERATIONS / 2) {
            redis_kill(&redis);
            CHECK(serves(w.space, "a"));
            redis_restart(&redis, REDIS_EMPTY);
            CHECK_WITHIN(WORLD_PATIENCE_MS, nigh_health(w.cache) == NIGH_FRESH);
        }
        live_a_generation(&redis, &w);
    }
    world_close(&w);
    redis_stop(&redis);
    munmap(shared, sizeof(*shared));
}
