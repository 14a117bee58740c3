// SPDX-License-Identifier: MIT
/*
 * Counters: nothing is lost, by whichever thread, in however many sets, with or without memory.
 */
#include <pthread.h>
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
    for (const struct stats_block *b = s->blocks; b; b = b->next)
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
    CHECK_EQ(atomic_load(&shared_set.shared.counts[STATS_LOAD]), 0); /* nobody had to share */
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

/* The thread's table still leads to the block of a set that is gone: its end must not touch it. */
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

static void *keep_reading(void *arg)
{
    while (!atomic_load(&forked))
        stats_read(arg, STATS_LOAD);
    return NULL;
}

static int child(void)
{
    struct stats s;
    alarm(30); /* a child that hangs ends, and not with 0 */
    open_set(&s);
    stats_count(&s, STATS_LOAD);
    return stats_read(&s, STATS_LOAD) == 1 ? 0 : 1;
}

TEST(child_can_open_and_count)
{
    struct stats s;
    pthread_t thread;
    open_set(&s);
    REQUIRE(pthread_create(&thread, NULL, keep_reading, &s) == 0);
    for (int i = 0; i < 50; i++) {
        int status = -1;
        pid_t pid = fork();
        if (pid == 0)
            _exit(child());
        REQUIRE(pid > 0);
        CHECK_EQ(waitpid(pid, &status, 0), pid);
        REQUIRE_EQ(status, 0);
    }
    atomic_store(&forked, true);
    pthread_join(thread, NULL);
    stats_fini(&s);
}

/* ---- without memory, and last (it uses the ids up): without ids ---- */

#if NIGH_FAULTS
static void *count_without_memory(void *arg)
{
    for (uint64_t nth = 1; nth <= 2; nth++) { /* the table, then the block */
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
    CHECK_EQ(atomic_load(&s.shared.counts[STATS_LOAD]), 2);
    stats_fini(&s);
}
#endif

enum { SETS = STATS_DIRECT_SETS + 50 };
static struct stats sets[SETS];

static void *count_in_all(void *arg)
{
    (void)arg;
    for (int i = 0; i < SETS; i++)
        stats_add(&sets[i], STATS_LOAD, (uint64_t)i + 1);
    return NULL;
}

TEST(more_sets_than_direct_ones)
{
    pthread_t threads[2];
    for (int i = 0; i < SETS; i++)
        open_set(&sets[i]);
    CHECK_EQ(sets[SETS - 1].id, STATS_DIRECT_SETS);
    for (int i = 0; i < 2; i++)
        REQUIRE(pthread_create(&threads[i], NULL, count_in_all, NULL) == 0);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < SETS; i++)
        CHECK_EQ(stats_read(&sets[i], STATS_LOAD), 2 * ((uint64_t)i + 1));
    for (int i = 0; i < SETS; i++)
        stats_fini(&sets[i]);
}
