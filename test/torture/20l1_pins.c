// SPDX-License-Identifier: MIT
/*
 * Thousands of values held by each of several threads, given back in any order and by anybody,
 * while they are replaced, judged and freed, threads come and go, and others count the pins.
 *
 * A value says its key and its version in every word. It is looked at when it is pinned and before
 * it is given back: what was freed too early has been written over by then (poisoned in Debug, seen
 * by the sanitizers). In the end all memory has come back, which shows what was freed too late.
 */
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

#include "l1/pin.h"
#include "l1/pin_scan.h"
#include "support/l1_cache.h"

#define MEMORY (8u << 20)
#define SHARDS 64u
#define KEYS 3000u
#define WORDS 6u
#define HELD_MAX 1500u /* three pages */
#define POOL_MAX 4000u
#define HOLDERS 3u
#define ROUND_MS 700u

/* A value, and what it said when it was pinned. */
struct held {
    struct nigh_value v;
    uint64_t content;
};

struct world {
    struct cache cache;
    _Atomic bool stop;
    _Atomic uint64_t pinned, writes, counts;
    pthread_mutex_t pool_lock;
    struct held pool[POOL_MAX]; /* pinned by one thread, to be given back by another */
    unsigned pool_count;
};

struct actor {
    struct world *w;
    uint64_t random;
};

static bool running(struct world *w)
{
    return !atomic_load_explicit(&w->stop, memory_order_relaxed);
}

static uint64_t content_of(const struct nigh_value *v)
{
    uint64_t words[WORDS];
    REQUIRE_EQ(v->len, sizeof(words));
    memcpy(words, v->data, sizeof(words));
    for (unsigned i = 1; i < WORDS; i++)
        REQUIRE_EQ(words[i], words[0]);
    return words[0];
}

static void give_back(struct held *held)
{
    REQUIRE_EQ(content_of(&held->v), held->content);
    l1_unpin(held->v.pin);
}

static void write_key(struct actor *a)
{
    struct world *w = a->w;
    uint64_t words[WORDS];
    struct name name;
    struct l1_key key = cache_key(&w->cache, &name, (unsigned)(check_random(&a->random) % KEYS));
    uint64_t content = check_random(&a->random);
    for (unsigned i = 0; i < WORDS; i++)
        words[i] = content;
    struct l1_value v = cache_value(&w->cache, words, sizeof(words));
    l1_write(w->cache.l1, &key, &v, L1_TICKET_NOW, 0, false);
    atomic_fetch_add_explicit(&w->writes, 1, memory_order_relaxed);
}

/* As a hit does, or as all other reads do. */
static bool pin_any(struct actor *a, struct held *ret)
{
    struct cache *c = &a->w->cache;
    unsigned number = (unsigned)(check_random(&a->random) % KEYS);
    struct name name;
    struct l1_key key = cache_key(c, &name, number);
    bool got = check_random(&a->random) % 4 && cache_hit(&c->space, key.data, key.len, &ret->v);
    if (!got && !cache_pin(c, number, &ret->v))
        return false;
    ret->content = content_of(&ret->v);
    return true;
}

/* Leaves a value to others, or takes one of theirs to give it back. */
static void exchange(struct actor *a, const struct held *mine)
{
    struct world *w = a->w;
    struct held other = {.v = NIGH_VALUE_INIT};
    pthread_mutex_lock(&w->pool_lock);
    if (w->pool_count == POOL_MAX) {
        unsigned i = (unsigned)(check_random(&a->random) % POOL_MAX);
        other = w->pool[i];
        w->pool[i] = *mine;
    } else {
        w->pool[w->pool_count++] = *mine;
    }
    pthread_mutex_unlock(&w->pool_lock);
    if (other.v.pin)
        give_back(&other);
}

/* Fills up to so many, and lets go of most of them: the oldest, the youngest, or any. */
static void hold_some(struct actor *a, struct held *held, unsigned most)
{
    unsigned count = 0, order = (unsigned)(check_random(&a->random) % 3);
    for (unsigned step = 0; step < 4 * most && running(a->w); step++) {
        if (pin_any(a, &held[count])) {
            count++;
            atomic_fetch_add_explicit(&a->w->pinned, 1, memory_order_relaxed);
        }
        if (count < most)
            continue;
        for (unsigned n = (unsigned)(check_random(&a->random) % most) / 8 + 1; n; n--) {
            unsigned i = order == 0   ? 0
                         : order == 1 ? count - 1
                                      : (unsigned)(check_random(&a->random) % count);
            if (check_random(&a->random) % 4 == 0)
                exchange(a, &held[i]);
            else
                give_back(&held[i]);
            held[i] = held[--count];
        }
    }
    while (count)
        give_back(&held[--count]);
}

static void *holder(void *arg)
{
    struct actor *a = arg;
    struct held *held = calloc(HELD_MAX, sizeof(*held));
    REQUIRE(held);
    while (running(a->w))
        hold_some(a, held, (unsigned)(check_random(&a->random) % HELD_MAX) + 1);
    free(held);
    return NULL;
}

/* Ends with values in its pages. */
static void *visitor(void *arg)
{
    struct actor *a = arg;
    struct held held;
    for (unsigned n = (unsigned)(check_random(&a->random) % 800); n; n--)
        if (pin_any(a, &held))
            exchange(a, &held);
    return NULL;
}

static void *host(void *arg)
{
    struct actor *a = arg;
    while (running(a->w)) {
        pthread_t thread;
        REQUIRE_EQ(pthread_create(&thread, NULL, visitor, a), 0);
        pthread_join(thread, NULL);
    }
    return NULL;
}

static void *writer(void *arg)
{
    struct actor *a = arg;
    while (running(a->w)) {
        write_key(a);
        if (check_random(&a->random) % 16 == 0)
            cache_remove(&a->w->cache, (unsigned)(check_random(&a->random) % KEYS));
        if (check_random(&a->random) % 64 == 0)
            sched_yield();
    }
    return NULL;
}

static void *reclaimer(void *arg)
{
    struct actor *a = arg;
    while (running(a->w)) {
        l1_reclaim(a->w->cache.l1);
        if (check_random(&a->random) % 4 == 0)
            fake_env_advance(&a->w->cache.fake, 500 * NS_PER_MS); /* what is held is due */
    }
    return NULL;
}

static void *counter(void *arg)
{
    struct actor *a = arg;
    /* A count is no snapshot: what moves to a slot that it has yet to look at counts twice. */
    uint64_t most = 2 * (HOLDERS * (HELD_MAX + 1) + POOL_MAX + 1000);
    while (running(a->w)) {
        REQUIRE(l1_pins(a->w->cache.l1) <= most);
        atomic_fetch_add_explicit(&a->w->counts, 1, memory_order_relaxed);
        check_pause();
    }
    return NULL;
}

static void *(*const roles[])(void *) = {holder, holder,    holder,  host,   writer,
                                         writer, reclaimer, counter, counter};
#define ACTORS ARRAY_COUNT(roles)

static void close_world(struct world *w)
{
    while (w->pool_count)
        give_back(&w->pool[--w->pool_count]);
    CHECK_EQ(l1_pins(w->cache.l1), 0);
    CHECK_EQ(pin_count(), 0);
    for (unsigned k = 0; k < KEYS; k++)
        cache_remove(&w->cache, k);
    cache_reclaim(&w->cache);
    CHECK_EQ(cache_gauges(&w->cache).limbo_bytes, 0);
    CHECK_EQ(cache_gauges(&w->cache).used_bytes, cache_gauges(&w->cache).tables_bytes);
    cache_close(&w->cache);
    pthread_mutex_destroy(&w->pool_lock);
}

static void run_round(uint64_t *random)
{
    static struct world world;
    static struct actor actors[ACTORS];
    struct world *w = &world;
    memset(w, 0, sizeof(*w));
    cache_open(&w->cache, MEMORY, SHARDS);
    pthread_mutex_init(&w->pool_lock, NULL);
    pthread_t threads[ACTORS];
    for (unsigned i = 0; i < ACTORS; i++) {
        actors[i] = (struct actor){w, check_random(random)};
        REQUIRE_EQ(pthread_create(&threads[i], NULL, roles[i], &actors[i]), 0);
    }
    uint64_t end_ms = check_now_ms() + ROUND_MS;
    while (check_now_ms() < end_ms)
        check_pause();
    CHECK_WITHIN(20000, atomic_load_explicit(&w->pinned, memory_order_relaxed) > HELD_MAX &&
                            atomic_load_explicit(&w->writes, memory_order_relaxed) > KEYS &&
                            atomic_load_explicit(&w->counts, memory_order_relaxed) > 2);
    atomic_store_explicit(&w->stop, true, memory_order_relaxed);
    for (unsigned i = 0; i < ACTORS; i++)
        pthread_join(threads[i], NULL);
    check_note("%llu pinned, %llu written, %llu counts", (unsigned long long)w->pinned,
               (unsigned long long)w->writes, (unsigned long long)w->counts);
    close_world(w);
}

TEST(many_are_held_and_given_back_by_anybody)
{
    uint64_t random = check_seed();
    uint64_t end_ms = check_now_ms() + 900 * check_seconds(5);
    do
        run_round(&random);
    while (check_now_ms() < end_ms);
}
