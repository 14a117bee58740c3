// SPDX-License-Identifier: MIT
/*
 * A host that loads a plugin with nigh in it, uses it on several threads while Redis dies and comes
 * back, closes the cache, unloads the plugin, and only then lets these threads end, and forks.
 * Twice. It is linked to nothing that nigh needs.
 *
 * NIGH_TEST_PLUGIN names the plugin. One over jemalloc may find no room for its thread-local
 * storage in this C library: that is said, and is all that can be done.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hosts/plugin/plugin.h"
#include "support/check.h"
#include "support/redis.h"

#define THREADS 4
#define KEYS 8
#define READS 400
#define PATIENCE_MS 20000

static _Atomic long rows[THREADS * KEYS];

static long row(const char *key)
{
    return atomic_load(&rows[strtoul(key, NULL, 10) % (THREADS * KEYS)]);
}

/* Keys: (c) constant while it runs  (a) atomic */
struct user {
    const struct plugin *plugin; /* (c) */
    unsigned number;             /* (c) writes keys of its own only */
    _Atomic unsigned *reads;     /* (a) of all */
    _Atomic bool *unloaded;      /* (a) */
};

static void *use(void *arg)
{
    struct user *u = arg;
    uint64_t random = check_seed() + u->number;
    for (int i = 0; i < READS; i++) {
        unsigned n = u->number * KEYS + (unsigned)(check_random(&random) % KEYS);
        char key[16];
        snprintf(key, sizeof(key), "%u", n);
        if (i % 4 == 0) {
            atomic_fetch_add(&rows[n], 1);
            CHECK_GE(u->plugin->tell(key), 0);
        }
        CHECK_EQ(u->plugin->read(key), atomic_load(&rows[n]));
        atomic_fetch_add(u->reads, 1);
        check_pause();
    }
    while (!atomic_load(u->unloaded))
        check_pause();
    return NULL; /* what nigh has left for this thread is torn down from here on */
}

/* NULL: there is no room for it. */
static void *load_plugin(void)
{
    const char *path = getenv("NIGH_TEST_PLUGIN");
    REQUIRE(path);
    void *plugin = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    const char *error = plugin ? NULL : dlerror();
    if (error && strstr(error, "static TLS")) {
        check_note("%s", error);
        return NULL;
    }
    if (error)
        check_note("%s", error);
    REQUIRE(plugin);
    return plugin;
}

static void fork_once(void)
{
    int status = -1;
    pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0)
        _exit(0);
    REQUIRE(waitpid(child, &status, 0) == child);
    CHECK_EQ(status, 0);
}

static bool live_once(struct redis *redis)
{
    struct user users[THREADS];
    pthread_t threads[THREADS];
    _Atomic unsigned reads = 0;
    _Atomic bool unloaded = false;
    void *handle = load_plugin();
    if (!handle)
        return false;
    plugin_table_fn table = (plugin_table_fn)dlsym(handle, "plugin_table");
    REQUIRE(table);
    const struct plugin *plugin = table(row);
    REQUIRE_EQ(plugin->open(redis->uri), 0);
    CHECK_WITHIN(PATIENCE_MS, plugin->is_fresh());
    for (unsigned i = 0; i < THREADS; i++) {
        users[i] = (struct user){plugin, i, &reads, &unloaded};
        REQUIRE_EQ(pthread_create(&threads[i], NULL, use, &users[i]), 0);
    }
    CHECK_WITHIN(PATIENCE_MS, reads > THREADS * READS / 3);
    redis_kill(redis);
    CHECK_WITHIN(3 * PATIENCE_MS, reads > THREADS * READS * 2 / 3);
    redis_restart(redis, REDIS_EMPTY);
    CHECK_WITHIN(3 * PATIENCE_MS, reads == THREADS * READS);
    CHECK_WITHIN(PATIENCE_MS, plugin->is_fresh());
    plugin->close();
    CHECK_EQ(dlclose(handle), 0);
    fork_once();
    atomic_store(&unloaded, true);
    for (int i = 0; i < THREADS; i++)
        REQUIRE_EQ(pthread_join(threads[i], NULL), 0);
    fork_once();
    return true;
}

TEST(a_plugin_is_loaded_used_and_unloaded_twice)
{
    struct redis redis;
    redis_start(&redis, NULL);
    if (live_once(&redis))
        CHECK(live_once(&redis));
    redis_stop(&redis);
}
