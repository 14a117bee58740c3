// SPDX-License-Identifier: MIT
/*
 * Counters: nothing is lost, by whichever thread, in however many sets, with or without memory.
 */
#include <nigh/error.h>

#include <pthread.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include "stats/stats.h"
#include "support/check.h"

static struct mem *mem;

static void open_set(struct stats *s)
{
    if (!mem)
        REQUIRE(mem = mem_create());
    REQUIRE_EQ(stats_init(s, mem), 0);
}

static unsigned block_count(const struct stats *s)
{
    unsigned count = 0;
    for (const struct stats_block *b = s->set->blocks; b; b = b->next)
        count++;
    return count;
}

static void run_thread(void *(*run)(void *), void *arg)
{
    pthread_t thread;
    REQUIRE(pthread_create(&thread, NULL, run, arg) == 0);
    pthread_join(thread, NULL);
}

TEST(every_counter_is_named_and_documented)
{
    for (int i = 0; i < STATS_COUNTER_COUNT; i++) {
        CHECK(stats_counter_infos[i].name[0] && stats_counter_infos[i].doc[0]);
        for (int k = 0; k < i; k++)
            CHECK(strcmp(stats_counter_infos[i].name, stats_counter_infos[k].name) != 0);
    }
    CHECK_STR(stats_counter_infos[STATS_L1_FRESH].name, "l1_fresh");
    CHECK_EQ(stats_counter_infos[STATS_L1_FRESH].owner, STATS_OWNER_S);
    CHECK_EQ(stats_counter_infos[STATS_LISTENER_LOST].owner, STATS_OWNER_C);
    CHECK_EQ(stats_counter_infos[STATS_READ_ERROR].owner, STATS_OWNER_E);
}

TEST(counts_go_where_they_belong)
{
    struct stats a, b;
    uint64_t all[STATS_COUNTER_COUNT];
    open_set(&a);
    open_set(&b);
    stats_count(&a, STATS_L1_FRESH);
    stats_add(&a, STATS_L1_MISS, 5);
    stats_count(&b, STATS_L1_FRESH);
    stats_add(&b, STATS_L1_FRESH, 2);
    CHECK_EQ(stats_read(&a, STATS_L1_FRESH), 1);
    CHECK_EQ(stats_read(&b, STATS_L1_FRESH), 3);
    stats_read_all(&a, all);
    for (int i = 0; i < STATS_COUNTER_COUNT; i++)
        CHECK_EQ(all[i], i == STATS_L1_FRESH ? 1 : i == STATS_L1_MISS ? 5 : 0);
    stats_fini(&a);
    stats_fini(&b);
}

/* Keeps 10 of one counter, and 20 of the next. */
static void add_kept(void *arg, const struct stats *s, uint64_t counts[STATS_COUNTER_COUNT])
{
    CHECK(s == arg);
    counts[STATS_L1_EVICT] += 10;
    counts[STATS_L1_SHED] += 20;
}

TEST(what_somebody_else_keeps_is_added)
{
    struct stats s;
    uint64_t all[STATS_COUNTER_COUNT];
    open_set(&s);
    struct stats_source source = {STATS_L1_EVICT, STATS_L1_SHED, add_kept, &s};
    stats_count(&s, STATS_L1_EVICT);
    CHECK_EQ(stats_read(&s, STATS_L1_EVICT), 1);
    stats_set_source(&s, &source);
    CHECK_EQ(stats_read(&s, STATS_L1_EVICT), 11);
    CHECK_EQ(stats_read(&s, STATS_L1_SHED), 20);
    CHECK_EQ(stats_read(&s, STATS_L1_MISS), 0);
    stats_read_all(&s, all);
    CHECK_EQ(all[STATS_L1_EVICT], 11);
    CHECK_EQ(all[STATS_L1_SHED], 20);
    CHECK_EQ(all[STATS_L1_DROP], 0);
    stats_set_source(&s, NULL);
    CHECK_EQ(stats_read(&s, STATS_L1_EVICT), 1);
    stats_fini(&s);
}

/* ---- threads ---- */

enum { THREADS = 8, COUNTS = 100000 };
static struct stats shared_set;
static _Atomic bool counted_all;

static void *count_many(void *arg)
{
    (void)arg;
    for (int i = 0; i < COUNTS; i++) {
        stats_count(&shared_set, STATS_LOAD);
        stats_add(&shared_set, STATS_BEAT, 2);
    }
    return NULL;
}

static void *watch(void *arg)
{
    uint64_t last = 0;
    (void)arg;
    while (!atomic_load(&counted_all)) {
        uint64_t now = stats_read(&shared_set, STATS_LOAD);
        CHECK_GE(now, last);
        last = now;
    }
    return NULL;
}

TEST(no_count_of_any_thread_is_lost)
{
    pthread_t threads[THREADS], watcher;
    open_set(&shared_set);
    REQUIRE(pthread_create(&watcher, NULL, watch, NULL) == 0);
    for (int i = 0; i < THREADS; i++)
        REQUIRE(pthread_create(&threads[i], NULL, count_many, NULL) == 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    atomic_store(&counted_all, true);
    pthread_join(watcher, NULL);
    CHECK_EQ(stats_read(&shared_set, STATS_LOAD), THREADS * COUNTS);
    CHECK_EQ(stats_read(&shared_set, STATS_BEAT), 2 * THREADS * COUNTS);
    CHECK_EQ(atomic_load(&shared_set.set->shared[STATS_LOAD]), 0); /* nobody had to share */
    stats_fini(&shared_set);
}

static void *count_once(void *arg)
{
    stats_count(arg, STATS_LOAD);
    return NULL;
}

TEST(threads_that_ended_still_count_and_cost_nothing)
{
    struct stats s;
    open_set(&s);
    for (int i = 0; i < 200; i++)
        run_thread(count_once, &s);
    CHECK_EQ(stats_read(&s, STATS_LOAD), 200);
    CHECK_EQ(block_count(&s), 1);
    stats_fini(&s);
}

static struct stats *to_close;

static void *count_then_close(void *arg)
{
    stats_count(arg, STATS_LOAD);
    stats_fini(to_close);
    return NULL;
}

/* The thread has a block of a set that is gone: its end must not touch it. */
TEST(set_may_close_before_its_threads_end)
{
    for (int i = 0; i < 5; i++) {
        struct stats s;
        open_set(&s);
        to_close = &s;
        run_thread(count_then_close, &s);
    }
}

/* A destructor of the host that runs after ours and counts once more. */
static pthread_key_t late_key;

static void count_late(void *arg)
{
    stats_count(arg, STATS_LOAD);
}

static void *count_and_leave_late(void *arg)
{
    stats_count(arg, STATS_LOAD);
    pthread_setspecific(late_key, arg);
    return NULL;
}

TEST(late_destructors_of_the_host_may_count)
{
    struct stats s;
    open_set(&s);
    REQUIRE(pthread_key_create(&late_key, count_late) == 0);
    for (int i = 0; i < 50; i++)
        run_thread(count_and_leave_late, &s);
    CHECK_EQ(stats_read(&s, STATS_LOAD), 100);
    CHECK_EQ(block_count(&s), 1);
    pthread_key_delete(late_key);
    stats_fini(&s);
}

/* ---- fork ---- */

static _Atomic bool forked;

static void *count_and_keep_reading(void *arg)
{
    stats_count(arg, STATS_LOAD);
    while (!atomic_load(&forked))
        stats_read(arg, STATS_LOAD);
    return NULL;
}

/* What its parent's other threads had is free in it. */
static int child(struct stats *parents)
{
    struct stats s;
    alarm(30); /* a child that hangs ends, and not with 0 */
    open_set(&s);
    stats_count(&s, STATS_LOAD);
    const struct stats_block *free = parents->set->free;
    return stats_read(&s, STATS_LOAD) == 1 && free && !free->next_of ? 0 : 1;
}

TEST(child_can_open_and_count)
{
    struct stats s;
    pthread_t thread;
    open_set(&s);
    stats_count(&s, STATS_LOAD);
    REQUIRE(pthread_create(&thread, NULL, count_and_keep_reading, &s) == 0);
    while (stats_read(&s, STATS_LOAD) < 2)
        sched_yield();
    for (int i = 0; i < 50; i++) {
        int status = -1;
        pid_t pid = fork();
        if (pid == 0)
            _exit(child(&s));
        REQUIRE(pid > 0);
        CHECK_EQ(waitpid(pid, &status, 0), pid);
        REQUIRE_EQ(status, 0);
    }
    atomic_store(&forked, true);
    pthread_join(thread, NULL);
    stats_fini(&s);
}

/* ---- without memory ---- */

#if NIGH_FAULTS
static void *count_without_memory(void *arg)
{
    for (uint64_t nth = 1; nth <= 2; nth++) { /* the number, if none is free, and the block */
        fault_arm(FAULT_ALLOC, nth);
        stats_count(arg, STATS_LOAD);
    }
    fault_arm(FAULT_ALLOC, 0);
    stats_count(arg, STATS_LOAD);
    return NULL;
}

TEST(without_memory_counts_are_shared)
{
    struct stats s;
    open_set(&s);
    run_thread(count_without_memory, &s);
    CHECK_EQ(stats_read(&s, STATS_LOAD), 3);
    CHECK_GE(atomic_load(&s.set->shared[STATS_LOAD]), 1);
    stats_fini(&s);
}

TEST(set_without_memory_is_not_opened)
{
    struct stats s;
    REQUIRE(mem || (mem = mem_create()));
    for (uint64_t nth = 1; nth <= 2; nth++) { /* shared counters, then the table */
        fault_arm(FAULT_ALLOC, nth);
        CHECK_EQ(stats_init(&s, mem), NIGH_ENOMEM);
        fault_arm(FAULT_ALLOC, 0);
    }
    open_set(&s);
    stats_fini(&s);
}
#endif

/* ---- many sets, and threads that see them come and go ---- */

static bool is_shared(const struct stats *s)
{
    for (int i = 0; i < STATS_COUNTER_COUNT; i++)
        if (atomic_load(&s->set->shared[i]) != 0)
            return true;
    return false;
}

enum { SETS = 2000 };
static struct stats sets[SETS];

static void *count_in_all(void *arg)
{
    (void)arg;
    for (int i = 0; i < SETS; i++)
        stats_add(&sets[i], STATS_LOAD, (uint64_t)i + 1);
    return NULL;
}

/* The last of many sets counts as the first does, and no thread has to share. */
TEST(many_sets_at_once)
{
    pthread_t threads[2];
    for (int i = 0; i < SETS; i++)
        open_set(&sets[i]);
    for (int i = 0; i < 2; i++)
        REQUIRE(pthread_create(&threads[i], NULL, count_in_all, NULL) == 0);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < SETS; i++) {
        CHECK_EQ(stats_read(&sets[i], STATS_LOAD), 2 * ((uint64_t)i + 1));
        CHECK(!is_shared(&sets[i]));
        CHECK(block_count(&sets[i]) <= 2);
        stats_fini(&sets[i]);
    }
}

/* Goes on from round to round, while sets come and go around the threads. */
enum { ROUNDS = 500, LIVE = 7, OLD_THREADS = 3 };

static struct {
    pthread_barrier_t begin, end;
    struct stats sets[LIVE];
    _Atomic bool over;
} rounds;

static void *count_each_round(void *arg)
{
    uint64_t n = (uint64_t)(uintptr_t)arg;
    for (;;) {
        pthread_barrier_wait(&rounds.begin);
        if (atomic_load(&rounds.over))
            return NULL;
        for (unsigned i = 0; i < LIVE; i++)
            stats_add(&rounds.sets[i], STATS_LOAD, n);
        pthread_barrier_wait(&rounds.end);
    }
}

static void *count_young(void *arg)
{
    (void)arg;
    for (unsigned i = 0; i < LIVE; i++)
        stats_count(&rounds.sets[i], STATS_BEAT);
    return NULL;
}

static void count_round(void)
{
    pthread_t young;
    REQUIRE(pthread_create(&young, NULL, count_young, NULL) == 0);
    pthread_barrier_wait(&rounds.begin);
    pthread_barrier_wait(&rounds.end);
    pthread_join(young, NULL);
    for (unsigned i = 0; i < LIVE; i++) {
        CHECK_EQ(stats_read(&rounds.sets[i], STATS_LOAD), 1 + 2 + 3);
        CHECK_EQ(stats_read(&rounds.sets[i], STATS_BEAT), 1);
        CHECK(!is_shared(&rounds.sets[i]));
    }
}

/* A set in the place of one that is gone begins at 0, whatever its threads knew of the other. */
TEST(sets_that_come_and_go_keep_their_counts_apart)
{
    pthread_t threads[OLD_THREADS];
    pthread_barrier_init(&rounds.begin, NULL, OLD_THREADS + 1);
    pthread_barrier_init(&rounds.end, NULL, OLD_THREADS + 1);
    for (uintptr_t i = 0; i < OLD_THREADS; i++)
        REQUIRE(pthread_create(&threads[i], NULL, count_each_round, (void *)(i + 1)) == 0);
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (unsigned i = 0; i < LIVE; i++)
            open_set(&rounds.sets[i]);
        count_round();
        for (unsigned i = 0; i < LIVE; i++) /* in another order each time */
            stats_fini(&rounds.sets[(i * (1 + round % (LIVE - 1)) + round) % LIVE]);
    }
    atomic_store(&rounds.over, true);
    pthread_barrier_wait(&rounds.begin);
    for (int i = 0; i < OLD_THREADS; i++)
        pthread_join(threads[i], NULL);
}

/* ---- many threads: tables grow under those that count ---- */

enum { CROWD = 130, CROWD_SETS = 3, CROWD_COUNTS = 2000 };
static struct stats crowded[CROWD_SETS];
static pthread_barrier_t crowd;

static void *count_in_a_crowd(void *arg)
{
    (void)arg;
    for (int i = 0; i < CROWD_COUNTS; i++)
        stats_count(&crowded[i % CROWD_SETS], STATS_LOAD);
    pthread_barrier_wait(&crowd); /* so that no number is used again */
    return NULL;
}

TEST(tables_grow_under_threads_that_count)
{
    pthread_t threads[CROWD];
    pthread_barrier_init(&crowd, NULL, CROWD);
    for (int i = 0; i < CROWD_SETS; i++)
        open_set(&crowded[i]);
    for (int i = 0; i < CROWD; i++)
        REQUIRE(pthread_create(&threads[i], NULL, count_in_a_crowd, NULL) == 0);
    for (int i = 0; i < CROWD; i++)
        pthread_join(threads[i], NULL);
    uint64_t sum = 0;
    for (int i = 0; i < CROWD_SETS; i++) {
        sum += stats_read(&crowded[i], STATS_LOAD);
        CHECK_EQ(block_count(&crowded[i]), CROWD);
        CHECK(!is_shared(&crowded[i]));
    }
    CHECK_EQ(sum, (uint64_t)CROWD * CROWD_COUNTS);
    struct stats later; /* begins with the room that the others have grown to */
    open_set(&later);
    run_thread(count_once, &later);
    CHECK_EQ(stats_read(&later, STATS_LOAD), 1);
    stats_fini(&later);
    for (int i = 0; i < CROWD_SETS; i++)
        stats_fini(&crowded[i]);
}

#if NIGH_FAULTS
enum { FEW = 300 };
static pthread_barrier_t few;

static void *count_and_wait(void *arg)
{
    stats_count(arg, STATS_LOAD);
    pthread_barrier_wait(&few);
    return NULL;
}

/* A table that cannot grow: who needed it counts with the others that have none. */
TEST(counts_are_exact_where_growing_fails)
{
    struct stats a, b;
    pthread_t threads[FEW];
    open_set(&a);
    open_set(&b);
    pthread_barrier_init(&few, NULL, FEW);
    for (int i = 0; i < FEW; i++) {
        fault_arm(FAULT_ALLOC, (uint64_t)i % 4 + 1);
        REQUIRE(pthread_create(&threads[i], NULL, count_and_wait, i % 2 ? &a : &b) == 0);
    }
    for (int i = 0; i < FEW; i++)
        pthread_join(threads[i], NULL);
    fault_arm(FAULT_ALLOC, 0);
    CHECK_EQ(stats_read(&a, STATS_LOAD) + stats_read(&b, STATS_LOAD), FEW);
    stats_fini(&a);
    stats_fini(&b);
}
#endif
