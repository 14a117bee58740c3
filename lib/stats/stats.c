// SPDX-License-Identifier: MIT
/*
 * Counter sets: who has which block, and sums.
 *
 * A thread's table of blocks hangs on one thread-local pointer; the table itself is on the heap,
 * because 2 KiB of initial-exec storage would make dlopen() of the library fail (glibc keeps 1.6
 * KiB for all such libraries). Until a thread has counted, the pointer leads to a table of NULLs
 * shared by all, so counting needs no second test.
 *
 * A block belongs to its set for good. When its thread ends it is only marked free: its counts stay
 * in the sum, and the next thread that starts counting goes on with it. So memory follows the
 * largest number of threads alive at once, not the number of threads there ever were.
 *
 * One lock for the process: it is taken at a thread's first count in a set, at thread exit, and by
 * reports. It also answers whether a block's set still exists when its thread ends (`live`), and
 * is held across fork(), so that the child can open sets of its own.
 */
#include "stats/stats.h"

#include <stdlib.h>
#include <string.h>

const struct stats_counter_info stats_counter_infos[STATS_COUNTER_COUNT] = {
#define X(name, export_name, doc) {export_name, doc},
    STATS_COUNTERS(X)
#undef X
};

#define TABLE_BLOCKS (STATS_DIRECT_SETS + 1)

static struct stats_block *no_blocks[TABLE_BLOCKS];
_Thread_local struct stats_block **stats_blocks = no_blocks;

/* Keys: (l) lock  (o) written once by `once` */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct stats *live[STATS_DIRECT_SETS]; /* (l) by id; NULL: not opened yet, or closed */
static uint32_t next_id;                      /* (l) */
static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t table_key; /* (o) its destructor is how we hear that a thread ends */
static bool ready;              /* (o) */

static void lock_all(void)
{
    pthread_mutex_lock(&lock);
}

static void unlock_all(void)
{
    pthread_mutex_unlock(&lock);
}

/* Thread exit. A later destructor of the host that counts again starts a new table. */
static void table_destroy(void *arg)
{
    struct stats_block **table = arg;
    stats_blocks = no_blocks;
    lock_all();
    for (uint32_t id = 0; id < STATS_DIRECT_SETS; id++)
        if (table[id] && live[id])
            table[id]->taken = false;
    unlock_all();
    free(table);
}

static void prepare(void)
{
    ready = pthread_key_create(&table_key, table_destroy) == 0 &&
            pthread_atfork(lock_all, unlock_all, unlock_all) == 0;
}

/* This thread's own table, or NULL when there is no memory. From malloc: it outlives sets. */
static struct stats_block **own_table(void)
{
    if (stats_blocks != no_blocks)
        return stats_blocks;
    if (!ready || fault_fires(FAULT_ALLOC))
        return NULL;
    struct stats_block **table = calloc(TABLE_BLOCKS, sizeof(*table));
    if (!table)
        return NULL;
    if (pthread_setspecific(table_key, table) != 0) {
        free(table);
        return NULL;
    }
    stats_blocks = table;
    return table;
}

static struct stats_block *take_free_locked(struct stats *s) REQUIRES(lock)
{
    for (struct stats_block *b = s->blocks; b; b = b->next)
        if (!b->taken)
            return b;
    return NULL;
}

static struct stats_block *own_block(struct stats *s)
{
    struct stats_block **table = s->id < STATS_DIRECT_SETS ? own_table() : NULL;
    if (!table)
        return NULL;
    lock_all();
    struct stats_block *b = take_free_locked(s);
    if (!b && (b = mem_alloc_zero(s->mem, sizeof(*b)))) {
        b->next = s->blocks;
        s->blocks = b;
    }
    if (b) {
        b->taken = true;
        table[s->id] = b;
    }
    unlock_all();
    return b;
}

int stats_init(struct stats *s, struct mem *mem)
{
    pthread_once(&once, prepare);
    memset(s, 0, sizeof(*s));
    s->mem = mem;
    lock_all();
    s->id = next_id < STATS_DIRECT_SETS ? next_id++ : STATS_DIRECT_SETS;
    if (s->id < STATS_DIRECT_SETS)
        live[s->id] = s;
    unlock_all();
    return 0;
}

void stats_fini(struct stats *s)
{
    lock_all();
    if (s->id < STATS_DIRECT_SETS)
        live[s->id] = NULL;
    unlock_all();
    while (s->blocks) {
        struct stats_block *b = s->blocks;
        s->blocks = b->next;
        mem_free(s->mem, NULL, b, sizeof(*b));
    }
}

void stats_add_slow(struct stats *s, enum stats_counter c, uint64_t n)
{
    struct stats_block *b = own_block(s);
    if (b)
        stats_block_add(b, c, n);
    else
        atomic_fetch_add_explicit(&s->shared.counts[c], n, memory_order_relaxed);
}

static uint64_t sum_locked(const struct stats *s, enum stats_counter c) REQUIRES(lock)
{
    uint64_t sum = atomic_load_explicit(&s->shared.counts[c], memory_order_relaxed);
    for (const struct stats_block *b = s->blocks; b; b = b->next)
        sum += atomic_load_explicit(&b->counts[c], memory_order_relaxed);
    return sum;
}

uint64_t stats_read(struct stats *s, enum stats_counter c)
{
    lock_all();
    uint64_t sum = sum_locked(s, c);
    unlock_all();
    return sum;
}

void stats_read_all(struct stats *s, uint64_t ret[STATS_COUNTER_COUNT])
{
    lock_all();
    for (unsigned c = 0; c < STATS_COUNTER_COUNT; c++)
        ret[c] = sum_locked(s, (enum stats_counter)c);
    unlock_all();
}
