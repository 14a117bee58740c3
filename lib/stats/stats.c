// SPDX-License-Identifier: MIT
/*
 * Counter sets: the blocks that threads have in them, and sums over blocks.
 *
 *     set --> table --> of[1] --> block      a block of counts per thread and set
 *                       of[2] --> block      the number of a thread that has ended is given to the
 *                       ...                  next one: numbers stay as few as threads are at once
 *
 * Why threads have numbers and sets have tables, not the other way round: with tables of threads,
 * a thread's entry for a set that is gone would have to be found and cleared, or counts for the
 * next set under the same id would go to the old block; a set's table goes with its set. And the
 * number is all the thread-local storage that we need (glibc keeps 1.6 KiB for all libraries that
 * are loaded with dlopen).
 *
 * Growing. A thread that needs a number beyond the tables' room first puts a larger table into
 * every set, then takes the number; a new set begins with the room that all have. So a count needs
 * no check of bounds: a thread that has a number finds the table at least as new as it was then. An
 * old table stays until its set goes, for threads that have just loaded its address; they read only
 * their own slot there, and only they change it. All old tables of a set together are no larger
 * than the last one.
 *
 * A block belongs to its set for good. When its thread ends it is only marked free: its counts stay
 * in the sum, and the next thread that starts counting there goes on with it. So memory follows the
 * largest number of threads that count in a set at once, not the number there ever were.
 *
 * One lock for the process: it is taken at a thread's first count in a set, at thread exit, as sets
 * come and go, and by reports. It is held across fork(); the child then treats the parent's other
 * threads as if they had ended.
 */
#include "stats/stats.h"

#include <nigh/error.h>

#include <stdlib.h>
#include <string.h>

const struct stats_counter_info stats_counter_infos[STATS_COUNTER_COUNT] = {
#define X(name, export_name, doc, owner) {export_name, doc, STATS_OWNER_##owner},
    STATS_COUNTERS(X)
#undef X
};

const struct stats_counter_info stats_histogram_infos[STATS_HISTOGRAM_COUNT] = {
#define X(name, export_name, doc) {export_name, doc, STATS_OWNER_S},
    STATS_HISTOGRAMS(X)
#undef X
#define X(name, export_name, doc) {export_name, doc, STATS_OWNER_C},
    STATS_LINK_HISTOGRAMS(X)
#undef X
};

/* Room of the first tables: with its head a table fills four cache lines, then twice as many. */
#define ROOM_FIRST 30u
#define ROOM_MOST (UINT32_MAX / 4) /* more threads than a machine has */

/* A number, and the thread that has it. Never freed: the list of its blocks must stay, should the
 * thread end without our destructor (glibc calls destructors four rounds at most). */
struct stats_thread {
    uint32_t number;            /* (c) */
    struct stats_block *blocks; /* (l) */
    struct stats_thread *next;  /* (c) in the list of all */
    struct stats_thread *free;  /* (l) next free one */
    bool taken;                 /* (l) */
};

/* The head of a table, which a count does not read; the slots follow. On cache lines of its own,
 * which change only as threads come and go. Keys: (c) */
struct table {
    uint32_t room;         /* (c) numbers are below this */
    struct table *smaller; /* (c) the table that this one has replaced */
};

_Thread_local struct stats_self stats_self = {
    .timed_in = STATS_SAMPLE_MOST, .sample = PACE_INIT};

/* Keys: (l) lock  (o) written once by `once`  (c) constant */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct stats *sets GUARDED_BY(lock);               /* all that are open */
static uint32_t room GUARDED_BY(lock) = ROOM_FIRST;       /* least room of any set's table */
static struct stats_thread *threads GUARDED_BY(lock);     /* all, the highest number first */
static struct stats_thread *free_threads GUARDED_BY(lock); /* numbers that no thread has */
static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t thread_key; /* (o) for its destructor, which runs when a thread ends */
static bool ready;               /* (o) */

/* ---- blocks ---- */

/* Puts a block at the head of a list: of its thread's blocks, or of the set's free ones. */
static void link_locked(struct stats_block *b, struct stats_block **list) REQUIRES(lock)
{
    b->next_of = *list;
    b->link_of = list;
    if (b->next_of)
        b->next_of->link_of = &b->next_of;
    *list = b;
}

static void unlink_locked(struct stats_block *b) REQUIRES(lock)
{
    *b->link_of = b->next_of;
    if (b->next_of)
        b->next_of->link_of = b->link_of;
}

static stats_slot_t *slots_of(struct table *table)
{
    return (stats_slot_t *)(table + 1);
}

static struct table *table_of(struct stats *s)
{
    stats_slot_t *slots = atomic_load_explicit(&s->slots, memory_order_relaxed);
    return slots ? (struct table *)(uintptr_t)slots - 1 : NULL;
}

static stats_slot_t *slot_locked(struct stats *s, const struct stats_thread *t) REQUIRES(lock)
{
    return &slots_of(table_of(s))[t->number];
}

/* Makes a thread's block free: the thread will not count in it any more. */
static void leave_locked(struct stats_block *b) REQUIRES(lock)
{
    atomic_store_explicit(slot_locked(b->set, b->thread), NULL, memory_order_relaxed);
    b->thread = NULL;
    unlink_locked(b);
    link_locked(b, &b->set->set->free);
}

static struct stats_block *create_locked(struct stats *s) REQUIRES(lock)
{
    struct stats_block *b = mem_lines_alloc_zero(s->mem, sizeof(*b));
    if (!b)
        return NULL;
    b->set = s;
    b->next = s->set->blocks;
    s->set->blocks = b;
    link_locked(b, &s->set->free);
    return b;
}

static struct stats_block *take_locked(struct stats *s, struct stats_thread *t) REQUIRES(lock)
{
    struct stats_block *b = s->set->free ? s->set->free : create_locked(s);
    if (!b)
        return NULL;
    unlink_locked(b);
    link_locked(b, &t->blocks);
    b->thread = t;
    atomic_store_explicit(slot_locked(s, t), b, memory_order_relaxed);
    return b;
}

/* ---- numbers ---- */

static void end_locked(struct stats_thread *t) REQUIRES(lock)
{
    while (t->blocks)
        leave_locked(t->blocks);
    t->taken = false;
    t->free = free_threads;
    free_threads = t;
}

/* Ends a thread's number, at thread exit. If a later destructor of the host counts again, it takes
 * a number as a new thread does. */
static void thread_ends(void *arg)
{
    stats_self.number = 0;
    pthread_mutex_lock(&lock);
    end_locked(arg);
    pthread_mutex_unlock(&lock);
}

static void before_fork(void) ACQUIRES(lock)
{
    pthread_mutex_lock(&lock);
}

static void after_fork(void) RELEASES(lock)
{
    pthread_mutex_unlock(&lock);
}

static void after_fork_in_child(void) RELEASES(lock)
{
    for (struct stats_thread *t = threads; t; t = t->next)
        if (t->taken && t->number != stats_self.number)
            end_locked(t);
    pthread_mutex_unlock(&lock);
}

static void prepare(void)
{
    ready = pthread_key_create(&thread_key, thread_ends) == 0 &&
            pthread_atfork(before_fork, after_fork, after_fork_in_child) == 0;
}

static size_t table_size(uint32_t numbers)
{
    return sizeof(struct table) + numbers * sizeof(stats_slot_t);
}

/* Replaces the set's table by one with room for `numbers`. False: no memory. */
static bool make_table_locked(struct stats *s, uint32_t numbers) REQUIRES(lock)
{
    struct table *old = table_of(s);
    struct table *table = mem_lines_alloc_zero(s->mem, table_size(numbers));
    if (!table)
        return false;
    *table = (struct table){numbers, old};
    for (uint32_t i = 0; old && i < old->room; i++)
        atomic_init(&slots_of(table)[i],
                    atomic_load_explicit(&slots_of(old)[i], memory_order_relaxed));
    /* pair(stats.slots): the slots are filled */
    atomic_store_explicit(&s->slots, slots_of(table), memory_order_release);
    return true;
}

/* Grows the tables of all sets. False: no memory. Tables that have grown by then stay so, larger
 * than they need be. */
static bool grow_locked(void) REQUIRES(lock)
{
    uint32_t wanted = 2 * (room + 2) - 2;
    for (struct stats *s = sets; s && room < ROOM_MOST; s = s->set->next)
        if (table_of(s)->room < wanted && !make_table_locked(s, wanted))
            return false;
    if (room < ROOM_MOST)
        room = wanted;
    return room == wanted;
}

/* Makes the struct of a new number, from malloc since it outlives sets. NULL: no memory. */
static struct stats_thread *create_thread_locked(void) REQUIRES(lock)
{
    uint32_t number = threads ? threads->number + 1 : 1;
    if ((number >= room && !grow_locked()) || fault_fires(FAULT_ALLOC))
        return NULL;
    struct stats_thread *t = calloc(1, sizeof(*t));
    if (!t)
        return NULL;
    t->number = number;
    t->next = threads;
    threads = t;
    return t;
}

/* Gives this thread a number. NULL: no memory. */
static struct stats_thread *begin_locked(void) REQUIRES(lock)
{
    struct stats_thread *t = free_threads;
    if (t)
        free_threads = t->free;
    else if (!ready || !(t = create_thread_locked()))
        return NULL;
    if (pthread_setspecific(thread_key, t) != 0) {
        end_locked(t);
        return NULL;
    }
    t->taken = true;
    stats_self.number = t->number;
    return t;
}

static struct stats_thread *this_thread_locked(void) REQUIRES(lock)
{
    return stats_self.number ? pthread_getspecific(thread_key) : begin_locked();
}

/* ---- sets ---- */

static void list_locked(struct stats *s) REQUIRES(lock)
{
    s->set->next = sets;
    s->set->link = &sets;
    if (sets)
        sets->set->link = &s->set->next;
    sets = s;
}

static void unlist_locked(struct stats *s) REQUIRES(lock)
{
    *s->set->link = s->set->next;
    if (s->set->next)
        s->set->next->set->link = s->set->link;
}

int stats_init(struct stats *s, struct mem *mem)
{
    pthread_once(&once, prepare);
    memset(s, 0, sizeof(*s));
    s->mem = mem;
    s->set = mem_lines_alloc_zero(mem, sizeof(*s->set));
    if (!s->set)
        return NIGH_ENOMEM;
    pthread_mutex_lock(&lock);
    bool made = make_table_locked(s, room);
    if (made)
        list_locked(s);
    pthread_mutex_unlock(&lock);
    if (!made)
        mem_lines_free(mem, s->set, sizeof(*s->set));
    return made ? 0 : NIGH_ENOMEM;
}

static void forget(struct stats *s)
{
    pthread_mutex_lock(&lock);
    unlist_locked(s);
    for (struct stats_block *b = s->set->blocks; b; b = b->next)
        unlink_locked(b); /* from its thread, which need not know */
    pthread_mutex_unlock(&lock);
}

static void free_histograms(struct stats *s, struct stats_block *b)
{
    for (int i = 0; i < STATS_HISTOGRAM_COUNT; i++) {
        struct histogram *h = atomic_load_explicit(&b->histograms[i], memory_order_relaxed);
        if (h)
            mem_lines_free(s->mem, h, sizeof(*h));
    }
}

void stats_fini(struct stats *s)
{
    forget(s);
    while (s->set->blocks) {
        struct stats_block *b = s->set->blocks;
        s->set->blocks = b->next;
        free_histograms(s, b);
        mem_lines_free(s->mem, b, sizeof(*b));
    }
    struct table *table = table_of(s);
    while (table) {
        struct table *smaller = table->smaller;
        mem_lines_free(s->mem, table, table_size(table->room));
        table = smaller;
    }
    mem_lines_free(s->mem, s->set, sizeof(*s->set));
}

static uint64_t block_bytes(const struct stats_block *b)
{
    uint64_t sum = sizeof(*b);
    for (int i = 0; i < STATS_HISTOGRAM_COUNT; i++)
        if (atomic_load_explicit(&b->histograms[i], memory_order_relaxed))
            sum += sizeof(struct histogram);
    return sum;
}

uint64_t stats_bytes(struct stats *s)
{
    uint64_t sum = sizeof(*s->set);
    pthread_mutex_lock(&lock);
    for (const struct table *t = table_of(s); t; t = t->smaller)
        sum += table_size(t->room);
    for (const struct stats_block *b = s->set->blocks; b; b = b->next)
        sum += block_bytes(b);
    pthread_mutex_unlock(&lock);
    return sum;
}

static struct stats_block *own_block(struct stats *s)
{
    pthread_mutex_lock(&lock);
    struct stats_thread *t = this_thread_locked();
    struct stats_block *b = t ? take_locked(s, t) : NULL;
    pthread_mutex_unlock(&lock);
    return b;
}

void stats_add_slow(struct stats *s, enum stats_counter c, uint64_t n)
{
    struct stats_block *b = own_block(s);
    if (b)
        stats_block_add(b, c, n);
    else
        atomic_fetch_add_explicit(&s->set->shared[c], n, memory_order_relaxed);
}

static uint64_t sum_locked(const struct stats *s, enum stats_counter c) REQUIRES(lock)
{
    uint64_t sum = atomic_load_explicit(&s->set->shared[c], memory_order_relaxed);
    for (const struct stats_block *b = s->set->blocks; b; b = b->next)
        sum += atomic_load_explicit(&b->counts[c], memory_order_relaxed);
    return sum;
}

void stats_set_source(struct stats *s, const struct stats_source *source)
{
    s->set->source = source ? *source : (struct stats_source){0};
}

/* Ask the source. Not under the lock: it takes locks of its own, under which threads count. */
static void add_source(struct stats *s, uint64_t counts[STATS_COUNTER_COUNT])
{
    if (s->set->source.add)
        s->set->source.add(s->set->source.arg, s, counts);
}

uint64_t stats_read(struct stats *s, enum stats_counter c)
{
    uint64_t kept[STATS_COUNTER_COUNT] = {0};
    pthread_mutex_lock(&lock);
    uint64_t sum = sum_locked(s, c);
    pthread_mutex_unlock(&lock);
    if (c >= s->set->source.first && c <= s->set->source.last)
        add_source(s, kept);
    return sum + kept[c];
}

/* Block by block: a walk for each counter would fetch all lines of all blocks from memory again. */
void stats_read_own(struct stats *s, uint64_t ret[STATS_COUNTER_COUNT])
{
    pthread_mutex_lock(&lock);
    for (unsigned c = 0; c < STATS_COUNTER_COUNT; c++)
        ret[c] = atomic_load_explicit(&s->set->shared[c], memory_order_relaxed);
    for (const struct stats_block *b = s->set->blocks; b; b = b->next)
        for (unsigned c = 0; c < STATS_COUNTER_COUNT; c++)
            ret[c] += atomic_load_explicit(&b->counts[c], memory_order_relaxed);
    pthread_mutex_unlock(&lock);
}

void stats_read_all(struct stats *s, uint64_t ret[STATS_COUNTER_COUNT])
{
    stats_read_own(s, ret);
    add_source(s, ret);
}

/* ---- histograms ---- */

/* Makes a histogram of a block, which is this thread's. NULL: no memory. */
static struct histogram *create_histogram(struct stats *s, struct stats_block *b,
                                          enum stats_histogram i)
{
    struct histogram *h = mem_lines_alloc_zero(s->mem, sizeof(*h));
    if (h) /* pair(stats.histogram): it is zeroed */
        atomic_store_explicit(&b->histograms[i], h, memory_order_release);
    return h;
}

void stats_time(struct stats *s, enum stats_histogram i, uint64_t ns)
{
    /* pair(stats.slots): as in stats_add() */
    stats_slot_t *slots = atomic_load_explicit(&s->slots, memory_order_acquire);
    struct stats_block *b = atomic_load_explicit(&slots[stats_self.number], memory_order_relaxed);
    if (!b)
        b = own_block(s);
    if (!b)
        return;
    struct histogram *h = atomic_load_explicit(&b->histograms[i], memory_order_relaxed);
    if (!h)
        h = create_histogram(s, b, i);
    if (h)
        histogram_add(h, ns);
}

void stats_histogram_read(struct stats *s, enum stats_histogram i, struct histogram_sum *ret)
{
    memset(ret, 0, sizeof(*ret));
    pthread_mutex_lock(&lock);
    for (const struct stats_block *b = s->set->blocks; b; b = b->next) {
        /* pair(stats.histogram) */
        struct histogram *h = atomic_load_explicit(&b->histograms[i], memory_order_acquire);
        if (h)
            histogram_merge(ret, h);
    }
    pthread_mutex_unlock(&lock);
}

/* ---- the sample ---- */

uint32_t stats_sample_next(uint64_t now_ns)
{
    return pace_next(&stats_self.sample, &stats_self.random, STATS_SAMPLE_MOST, now_ns);
}

bool stats_sample_is_timed(uint32_t stands_for)
{
    bool timed = stands_for >= stats_self.timed_in;
    stats_self.timed_in += (timed ? STATS_SAMPLE_MOST : 0) - stands_for;
    return timed;
}
