// SPDX-License-Identifier: MIT
/*
 * Caps of spaces and l1.memory that move while everybody puts and reads: a value that is found is
 * the key's own, nothing is ever above the largest l1.memory, and when it is quiet each space is
 * within the cap that it was given last.
 */
#include <nigh/nigh.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "support/check.h"

#define MIB ((int64_t)1 << 20)
#define SPACES 6u
#define THREADS 3u
#define KEYS 6000u /* 12 MiB in each space, if there were room */
#define VALUE_MAX 4000u
#define MEMORY_MOST (32 * MIB)
#define LIFE_MS 400u
#define PATIENCE_MS 60000u

struct world {
    struct nigh *cache;
    struct nigh_space *spaces[SPACES];
    bool evicts;
    _Atomic uint64_t found;
    _Atomic bool stop;
};

struct actor {
    struct world *w;
    uint64_t random;
};

/* Makes a value of 100 to VALUE_MAX bytes, with the numbers of space and key at both ends. */
static size_t make_value(char *value, unsigned space, unsigned key)
{
    size_t size = 100 + key * 37 % (VALUE_MAX - 100);
    unsigned mark[2] = {space, key};
    memcpy(value, mark, sizeof(mark));
    memcpy(value + size - sizeof(mark), mark, sizeof(mark));
    return size;
}

static void put(struct world *w, unsigned space, unsigned key)
{
    char value[VALUE_MAX] = {0};
    size_t size = make_value(value, space, key);
    int rc = nigh_put(w->spaces[space], &key, sizeof(key), value, size, NULL);
    CHECK(rc == 0 || rc == NIGH_EFULL || rc == NIGH_REFUSED);
}

static void read(struct world *w, unsigned space, unsigned key)
{
    char expected[VALUE_MAX];
    struct nigh_value v = NIGH_VALUE_INIT;
    size_t size = make_value(expected, space, key);
    if (nigh_get(w->spaces[space], &key, sizeof(key), NULL, &v) != NIGH_FRESH)
        return;
    if (CHECK_EQ(v.len, size)) {
        const char *data = v.data;
        CHECK_MEM(data, 2 * sizeof(unsigned), expected, 2 * sizeof(unsigned));
        CHECK_MEM(data + size - 8, 8, expected + size - 8, 8);
    }
    atomic_fetch_add_explicit(&w->found, 1, memory_order_relaxed);
    nigh_release(&v);
}

static void *use(void *arg)
{
    struct actor *a = arg;
    while (!atomic_load(&a->w->stop)) {
        uint64_t draw = check_random(&a->random);
        unsigned space = (unsigned)(draw % SPACES);
        unsigned key = (unsigned)((draw >> 8) % KEYS);
        (draw >> 32) % 2 ? put(a->w, space, key) : read(a->w, space, key);
    }
    return NULL;
}

/* ---- moving ---- */

static int64_t gauge(const struct world *w, const char *space, const char *name)
{
    return nigh_stats_value(w->cache, space, name);
}

static void check_whole(const struct world *w)
{
    CHECK_LE(gauge(w, NULL, "memory_bytes"), MEMORY_MOST);
    CHECK_LE(gauge(w, NULL, "memory_peak_bytes"), MEMORY_MOST);
}

/* With the policy `none` nobody leaves, to make room for a first table or for a cap. */
static void set_cap(const struct world *w, unsigned space, const char *cap)
{
    int rc = nigh_space_set(w->spaces[space], "space.memory", cap);
    CHECK(rc == 0 || (rc == NIGH_ENOMEM && !w->evicts));
}

static void move_something(struct world *w, uint64_t *random)
{
    static const char *const caps[] = {"1MiB", "2MiB", "5MiB", "none", "40MiB"};
    static const char *const memories[] = {"16MiB", "24MiB", "32MiB"};
    uint64_t draw = check_random(random);
    if (draw % 4)
        set_cap(w, draw / 4 % SPACES, caps[(draw >> 32) % 5]);
    else
        CHECK_EQ(nigh_set(w->cache, "l1.memory", memories[draw / 4 % 3]), 0);
    check_whole(w);
}

static void check_quiet(const struct world *w)
{
    CHECK_EQ(nigh_set(w->cache, "l1.memory", "16MiB"), 0);
    for (unsigned i = 0; i < SPACES; i++)
        set_cap(w, i, "1MiB");
    for (unsigned i = 0; w->evicts && i < SPACES; i++) {
        char name[] = {'s', (char)('0' + i), 0};
        CHECK_WITHIN(PATIENCE_MS, gauge(w, name, "memory_bytes") <= MIB);
    }
    if (w->evicts)
        CHECK_WITHIN(PATIENCE_MS, gauge(w, NULL, "memory_bytes") <= 16 * MIB);
    check_whole(w);
}

static void open_world(struct world *w, enum nigh_policy policy)
{
    struct nigh_options o = NIGH_OPTIONS_INIT;
    memset(w, 0, sizeof(*w));
    w->evicts = policy != NIGH_POLICY_NONE;
    o.l1_memory = (uint64_t)MEMORY_MOST;
    o.l1_policy = policy;
    o.l1_shards = 4;
    o.group_slots = 2048;
    o.workers = 1;
    REQUIRE_EQ(nigh_open(&o, &w->cache), 0);
    for (unsigned i = 0; i < SPACES; i++) {
        struct nigh_space_options so = NIGH_SPACE_OPTIONS_INIT;
        char name[] = {'s', (char)('0' + i), 0};
        so.memory = i % 2 ? (uint64_t)(2 * MIB) : 0; /* some get theirs later */
        REQUIRE_EQ(nigh_space_open(w->cache, name, &so, NULL, NULL, NULL, &w->spaces[i]), 0);
    }
}

static uint64_t live(enum nigh_policy policy, uint64_t *random)
{
    struct world w;
    struct actor actors[THREADS];
    pthread_t threads[THREADS];
    open_world(&w, policy);
    for (unsigned i = 0; i < THREADS; i++) {
        actors[i] = (struct actor){&w, check_random(random)};
        REQUIRE_EQ(pthread_create(&threads[i], NULL, use, &actors[i]), 0);
    }
    uint64_t end_ms = check_now_ms() + LIFE_MS;
    while (check_now_ms() < end_ms) {
        move_something(&w, random);
        for (uint64_t n = check_random(random) % 20; n > 0; n--)
            check_pause();
    }
    atomic_store(&w.stop, true);
    for (unsigned i = 0; i < THREADS; i++)
        REQUIRE_EQ(pthread_join(threads[i], NULL), 0);
    check_quiet(&w);
    nigh_close(w.cache);
    return w.found;
}

TEST(caps_move_while_all_put_and_read)
{
    static const enum nigh_policy policies[] = {NIGH_POLICY_LFU, NIGH_POLICY_LRU, NIGH_POLICY_TTL,
                                                NIGH_POLICY_NONE};
    uint64_t end_ms = check_now_ms() + check_seconds(4) * 1000u;
    uint64_t random = check_seed(), found = 0;
    unsigned lives = 0;
    do
        found += live(policies[lives++ % 4], &random);
    while (check_now_ms() < end_ms);
    check_note("%u caches, %lu hits", lives, (unsigned long)found);
}
