// SPDX-License-Identifier: MIT
/*
 * One load per key: threads that ask for the same keys at the same time, in a cache that forgets
 * nothing. Named after what went wrong: a caller that looked into L1 just before a flight landed,
 * and took its ticket just after, loaded the key a second time (golang#31420's third caller).
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include <nigh/nigh.h>

#include "support/check.h"

#define THREADS 8
#define KEYS 400000u  /* 2 % of them were loaded twice */
#define APART 64u     /* how far threads may be apart: close enough to meet */

struct world {
    struct nigh_space *space;
    _Atomic uint32_t ahead;        /* the furthest key that anyone asked for */
    _Atomic uint8_t loads[KEYS];
};

static int count_load(void *arg, struct nigh_fill *const fills[], size_t n)
{
    struct world *w = arg;
    size_t len;
    const uint32_t *key = nigh_fill_key(fills[0], &len);
    CHECK_EQ(n, 1);
    atomic_fetch_add_explicit(&w->loads[*key], 1, memory_order_relaxed);
    return nigh_fill_value(fills[0], key, len);
}

static void *walk(void *arg)
{
    struct world *w = arg;
    for (uint32_t key = 0; key < KEYS; key++) {
        struct nigh_value value = NIGH_VALUE_INIT;
        uint32_t ahead = atomic_load_explicit(&w->ahead, memory_order_relaxed);
        if (key + APART < ahead)
            key = ahead - APART; /* left behind: catch up, for only those who meet compete */
        if (key > ahead)
            atomic_store_explicit(&w->ahead, key, memory_order_relaxed);
        CHECK_EQ(nigh_fetch(w->space, &key, sizeof(key), NULL, &value), NIGH_FRESH);
        nigh_release(&value);
    }
    return NULL;
}

TEST(a_key_is_loaded_once_by_all_threads)
{
    struct nigh_options o = NIGH_OPTIONS_INIT;
    struct nigh *cache;
    struct world *w = calloc(1, sizeof(*w));
    pthread_t threads[THREADS];
    uint32_t twice = 0;
    o.l1_memory = 256u << 20; /* room for all: nothing is evicted */
    REQUIRE(w);
    REQUIRE_EQ(nigh_open(&o, &cache), 0);
    REQUIRE_EQ(nigh_space_open(cache, "keys", NULL, count_load, NULL, w, &w->space), 0);
    for (int i = 0; i < THREADS; i++)
        REQUIRE_EQ(pthread_create(&threads[i], NULL, walk, w), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    for (uint32_t key = 0; key < KEYS; key++)
        twice += w->loads[key] > 1;
    CHECK_EQ(twice, 0);
    CHECK_EQ(nigh_stats_value(cache, NULL, "l1_evict"), 0);
    nigh_close(cache);
    free(w);
}
