// SPDX-License-Identifier: MIT
// What a miss costs is counted, not timed: locks and calls of the allocator, of one thread. Latches
// are among the locks where builds count them, which Debug does.

#include <pthread.h>
#include <stdlib.h>

#include "cache/cache.h"
#include "support/origin.h"

/* The linker leads the library's calls here. */
static _Thread_local unsigned locks, allocations;

int __real_pthread_mutex_lock(pthread_mutex_t *lock);
int __wrap_pthread_mutex_lock(pthread_mutex_t *lock);
int __wrap_pthread_mutex_lock(pthread_mutex_t *lock)
{
    locks++;
    return __real_pthread_mutex_lock(lock);
}

void *__real_mem_alloc(struct mem *mem, struct mem_cache *cache, size_t size);
void *__wrap_mem_alloc(struct mem *mem, struct mem_cache *cache, size_t size);
void *__wrap_mem_alloc(struct mem *mem, struct mem_cache *cache, size_t size)
{
    allocations++;
    return __real_mem_alloc(mem, cache, size);
}

void __real_mem_free(struct mem *mem, struct mem_cache *cache, void *ptr, size_t size);
void __wrap_mem_free(struct mem *mem, struct mem_cache *cache, void *ptr, size_t size);
void __wrap_mem_free(struct mem *mem, struct mem_cache *cache, void *ptr, size_t size)
{
    allocations += ptr != NULL;
    __real_mem_free(mem, cache, ptr, size);
}

enum { WARM = 50, MISSES = 201, LOCKS_MOST = 5 };

struct cost {
    unsigned locks, allocations;
};

static int by_value(const void *a, const void *b)
{
    const unsigned *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

static unsigned median(unsigned *counts)
{
    qsort(counts, MISSES, sizeof(*counts), by_value);
    return counts[MISSES / 2];
}

/* Returns what most misses cost: now and then one makes a table, or takes what the next ones live
 * on. */
static struct cost cost_of_misses(struct nigh_space *s, const char *prefix)
{
    static unsigned counts[2][MISSES];
    for (int i = -WARM; i < MISSES; i++) {
        char key[64];
        struct nigh_value value;
        int len = snprintf(key, sizeof(key), "%s-%d", prefix, i);
        locks = allocations = 0;
        uint64_t latches = latch_taken();
        CHECK_EQ(nigh_fetch(s, key, (size_t)len, NULL, &value), NIGH_FRESH);
        if (i >= 0) {
            counts[0][i] = locks + (unsigned)(latch_taken() - latches);
            counts[1][i] = allocations;
        }
        nigh_release(&value);
    }
    struct cost cost = {median(counts[0]), median(counts[1])};
    check_note("%s: %u locks, %u calls of the allocator", prefix, cost.locks, cost.allocations);
    return cost;
}

static struct nigh_fill *first_of(struct nigh_fill *const fills[])
{
    return fills[0];
}

static int load_tagged(void *arg, struct nigh_fill *const fills[], size_t n)
{
    (void)arg, (void)n;
    CHECK_EQ(nigh_fill_add_tag(first_of(fills), "red"), 0);
    CHECK_EQ(nigh_fill_add_tag(first_of(fills), "round"), 0);
    return nigh_fill_value(first_of(fills), "value", 5);
}

static int load_or_fail(void *arg, struct nigh_fill *const fills[], size_t n)
{
    size_t len;
    const char *key = nigh_fill_key(first_of(fills), &len);
    (void)arg, (void)n;
    return key[0] == 'f' ? nigh_fill_error(first_of(fills), 1)
                         : nigh_fill_value(first_of(fills), "value", 5);
}

static void open_plain(struct world *w)
{
    struct nigh_options o = NIGH_OPTIONS_INIT;
    o.l1_memory = 64u << 20;
    world_open(w, &o, NULL);
}

TEST(a_trivial_miss_takes_few_locks_and_asks_for_little_memory)
{
    struct world w;
    struct nigh_space *tagged;
    open_plain(&w);
    struct cost plain = cost_of_misses(w.space, "plain");
    CHECK_LE(plain.locks, LOCKS_MOST);
    if (!NIGH_SANITIZED) /* there records are not used again */
        CHECK_LE(plain.allocations, 2);
    REQUIRE_EQ(nigh_space_open(w.cache, "t", NULL, load_tagged, NULL, NULL, &tagged), 0);
    struct cost with_tags = cost_of_misses(tagged, "tagged");
    CHECK_EQ(with_tags.locks, plain.locks);
    CHECK_EQ(with_tags.allocations, plain.allocations);
    world_close(&w);
}

/* A key that fails is nobody else's business. */
TEST(a_key_that_fails_costs_the_misses_of_others_nothing)
{
    struct world w;
    struct nigh_space *s;
    struct nigh_value value;
    open_plain(&w);
    REQUIRE_EQ(nigh_space_open(w.cache, "f", NULL, load_or_fail, NULL, NULL, &s), 0);
    struct cost before = cost_of_misses(s, "before");
    CHECK_EQ(nigh_fetch(s, "fails", 5, NULL, &value), NIGH_ELOADER);
    struct cost after = cost_of_misses(s, "after");
    CHECK_EQ(after.locks, before.locks);
    CHECK_EQ(after.allocations, before.allocations);
    CHECK_EQ(nigh_fetch(s, "fails", 5, NULL, &value), NIGH_ELOADER); /* and it is remembered */
    CHECK_EQ(stats_read(&s->stats, STATS_ERROR_SERVED), 1);
    world_close(&w);
}
