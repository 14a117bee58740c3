// SPDX-License-Identifier: MIT
/*
 * Everybody takes, writes, checks and gives back blocks of all sizes, while one drains, moves,
 * settles and trims again and again. Blocks are handed from thread to thread; each says what is in
 * it, so one that was given out twice, or whose pages went back, shows. And heaps come and go, so
 * that one's addresses are soon another's.
 */
#include <pthread.h>
#include <string.h>

#include "base/base.h"
#include "base/slab.h"
#include "support/check.h"

enum { THREADS = 3, PLACES = 2048, PLACE_LOCKS = 64 };

struct place {
    size_t size; /* 0: empty */
    uint64_t *block;
};

struct world {
    struct mem *mem;
    struct slabs *slabs;
    _Atomic bool stop;
    pthread_mutex_t locks[PLACE_LOCKS];
    struct place places[PLACES];
    _Atomic uint64_t taken, moved, drains;
};

struct actor {
    struct world *w;
    uint64_t random;
};

static bool running(struct world *w)
{
    return !atomic_load_explicit(&w->stop, memory_order_relaxed);
}

static void count(_Atomic uint64_t *n)
{
    atomic_fetch_add_explicit(n, 1, memory_order_relaxed);
}

static void write_block(struct place *p, uint64_t mark)
{
    size_t words = p->size / sizeof(mark);
    p->block[0] = mark;
    p->block[words / 2] = mark;
    p->block[words - 1] = mark;
}

static void check_block(const struct place *p)
{
    size_t words = p->size / sizeof(uint64_t);
    CHECK_EQ(p->block[0], p->block[words / 2]);
    CHECK_EQ(p->block[0], p->block[words - 1]);
}

static void take(struct actor *a, struct place *p)
{
    uint64_t r = check_random(&a->random);
    void *block;
    p->size = 24 + (r % 8 ? r / 64 % 500 : r / 64 % 16000) / 8 * 8;
    if (!CHECK_EQ(slabs_take(a->w->slabs, slab_class(p->size), &block, 1), 1)) {
        p->size = 0;
        return;
    }
    p->block = block;
    write_block(p, check_random(&a->random));
    count(&a->w->taken);
}

static void give(struct world *w, struct place *p)
{
    void *block = p->block;
    check_block(p);
    slabs_give(w->slabs, slab_class(p->size), &block, 1);
    p->size = 0;
}

/* Most are full for a while, then most are empty: slabs get sparse. */
static void *act(void *arg)
{
    struct actor *a = arg;
    struct world *w = a->w;
    while (running(w)) {
        bool fills = check_random(&a->random) % 2;
        for (int i = 0; i < PLACES; i++) {
            unsigned at = (unsigned)(check_random(&a->random) % PLACES);
            struct place *p = &w->places[at];
            pthread_mutex_lock(&w->locks[at % PLACE_LOCKS]);
            if (p->size && (!fills || i % 4 == 0))
                give(w, p);
            else if (!p->size && (fills || i % 16 == 0))
                take(a, p);
            pthread_mutex_unlock(&w->locks[at % PLACE_LOCKS]);
        }
    }
    return NULL;
}

static void move(struct world *w, struct place *p)
{
    struct place copy = {.size = p->size};
    void *block;
    if (!CHECK_EQ(slabs_take(w->slabs, slab_class(p->size), &block, 1), 1))
        return;
    copy.block = block;
    memcpy(block, p->block, p->size);
    give(w, p);
    *p = copy;
    count(&w->moved);
}

static void *drain(void *arg)
{
    struct actor *a = arg;
    struct world *w = a->w;
    while (running(w)) {
        if (!slabs_drain(w->slabs))
            continue;
        count(&w->drains);
        for (unsigned at = 0; at < PLACES; at++) {
            struct place *p = &w->places[at];
            pthread_mutex_lock(&w->locks[at % PLACE_LOCKS]);
            if (p->size && slabs_is_draining(p->block) && check_random(&a->random) % 8)
                move(w, p); /* and some are held */
            pthread_mutex_unlock(&w->locks[at % PLACE_LOCKS]);
        }
        slabs_settle(w->slabs);
        slabs_trim(w->slabs);
    }
    return NULL;
}

TEST(blocks_are_nobody_elses)
{
    static struct world w;
    pthread_t threads[THREADS + 1];
    struct actor actors[THREADS + 1];
    uint64_t seed = check_seed();
    REQUIRE(w.mem = mem_create());
    REQUIRE(w.slabs = slabs_create(w.mem, check_random(&seed) % 2));
    for (int i = 0; i < PLACE_LOCKS; i++)
        pthread_mutex_init(&w.locks[i], NULL);
    for (int i = 0; i <= THREADS; i++) {
        actors[i] = (struct actor){&w, check_random(&seed)};
        REQUIRE_EQ(pthread_create(&threads[i], NULL, i < THREADS ? act : drain, &actors[i]), 0);
    }
    for (uint64_t end_ms = check_now_ms() + 1000ull * check_seconds(4); check_now_ms() < end_ms;)
        check_pause();
    atomic_store_explicit(&w.stop, true, memory_order_relaxed);
    for (int i = 0; i <= THREADS; i++)
        pthread_join(threads[i], NULL);
    check_note("%lu taken, %lu moved in %lu rounds", (unsigned long)w.taken,
               (unsigned long)w.moved, (unsigned long)w.drains);
    CHECK_GT(w.taken, 0);
    CHECK(slabs_are_valid(w.slabs));
    for (int i = 0; i < PLACES; i++)
        if (w.places[i].size)
            give(&w, &w.places[i]);
    slabs_trim(w.slabs);
    struct slabs_stats stats;
    slabs_stats_read(w.slabs, &stats);
    CHECK_EQ(stats.used_bytes, 0);
    CHECK_EQ(stats.mapped_bytes, 0);
    slabs_destroy(w.slabs);
    mem_destroy(w.mem);
}

/* ---- heaps that come and go ---- */

enum { HEAPS = 2, AT_ONCE = 16, BLOCK_BYTES = 1000 };

struct comer {
    struct mem *mem;
    uint64_t end_ms, rounds;
    bool trims; /* its region goes then, not when all of it does */
};

static void come_and_go(struct comer *c)
{
    void *blocks[AT_ONCE];
    struct slabs *slabs = slabs_create(c->mem, false);
    if (!CHECK(slabs))
        return;
    unsigned class = slab_class(BLOCK_BYTES);
    unsigned count = slabs_take(slabs, class, blocks, AT_ONCE);
    CHECK_EQ(count, AT_ONCE);
    for (unsigned i = 0; i < count; i++)
        memset(blocks[i], 1, BLOCK_BYTES);
    for (unsigned i = 0; i < count; i++)
        CHECK(!slabs_is_draining(blocks[i]));
    slabs_give(slabs, class, blocks, count);
    if (c->trims)
        slabs_trim(slabs);
    slabs_destroy(slabs);
}

static void *come(void *arg)
{
    struct comer *c = arg;
    for (; check_now_ms() < c->end_ms; c->rounds++)
        come_and_go(c);
    return NULL;
}

TEST(addresses_of_a_heap_that_went_are_anothers)
{
    pthread_t threads[HEAPS];
    struct comer comers[HEAPS];
    uint64_t end_ms = check_now_ms() + 1000ull * check_seconds(2);
    for (int i = 0; i < HEAPS; i++) {
        comers[i] = (struct comer){.mem = mem_create(), .end_ms = end_ms, .trims = i % 2};
        REQUIRE(comers[i].mem);
        REQUIRE_EQ(pthread_create(&threads[i], NULL, come, &comers[i]), 0);
    }
    for (int i = 0; i < HEAPS; i++) {
        pthread_join(threads[i], NULL);
        check_note("%lu heaps", (unsigned long)comers[i].rounds);
        mem_destroy(comers[i].mem);
    }
}
