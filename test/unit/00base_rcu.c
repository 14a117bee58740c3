// SPDX-License-Identifier: MIT
/*
 * RCU: what a section saw stays until it ends, for the processor and for ThreadSanitizer.
 *
 * The torture has readers, publishers and a reclaimer over plain (not atomic) nodes. It fails by
 * itself on a node freed too early (poisoned before the free) and under ThreadSanitizer also on a
 * publication without release, which no x86 processor would show.
 */
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/base.h"
#include "support/check.h"

enum {
    SLOTS = 4,
    READERS = 2,
    PUBLICATIONS = 100000,
    RETIRED_MAX = 1024,
    ALIVE = 0x600D,
    DEAD = 0xDEAD,
};

struct node {
    uint32_t magic;
    uint64_t value, complement;
    struct node *next; /* while retired */
};

#define deref(link) atomic_load_explicit((link), memory_order_acquire)
#define publish(link, ptr) atomic_store_explicit((link), (ptr), memory_order_release)

static struct {
    struct mem *mem;
    _Atomic(struct node *) slots[SLOTS];
    pthread_mutex_t lock;
    struct node *retired; /* under lock, as is the count */
    unsigned retired_count;
    uint64_t reclaimed;
    _Atomic unsigned reading; /* readers that have begun */
    _Atomic bool published_all, reclaimed_all;
} world = {.lock = PTHREAD_MUTEX_INITIALIZER};

static struct node *node_create(uint64_t value)
{
    struct node *n = mem_alloc(world.mem, NULL, sizeof(*n));
    REQUIRE(n);
    *n = (struct node){ALIVE, value, ~value, NULL};
    return n;
}

static void retire(struct node *n)
{
    rcu_retire_mark();
    pthread_mutex_lock(&world.lock);
    n->next = world.retired;
    world.retired = n;
    world.retired_count++;
    pthread_mutex_unlock(&world.lock);
}

static unsigned reclaim_batch(void)
{
    pthread_mutex_lock(&world.lock);
    struct node *batch = world.retired;
    world.retired = NULL;
    pthread_mutex_unlock(&world.lock);
    if (!batch)
        return 0;

    rcu_wait();
    unsigned count = 0;
    while (batch) {
        struct node *n = batch;
        batch = n->next;
        n->magic = DEAD;
        mem_free(world.mem, NULL, n, sizeof(*n));
        count++;
    }
    pthread_mutex_lock(&world.lock);
    world.retired_count -= count;
    world.reclaimed += count;
    pthread_mutex_unlock(&world.lock);
    return count;
}

static void *reclaimer(void *arg)
{
    (void)arg;
    for (;;) {
        bool last = atomic_load(&world.published_all);
        if (reclaim_batch() == 0 && last)
            return NULL;
    }
}

static void *reader(void *arg)
{
    uint64_t seed = check_seed() + (uintptr_t)arg;
    uint64_t reads = 0;
    while (!atomic_load_explicit(&world.reclaimed_all, memory_order_relaxed)) {
        rcu_enter();
        struct node *n = deref(&world.slots[check_random(&seed) % SLOTS]);
        for (int i = 0; i < 20; i++) { /* stay: a node freed meanwhile changes under our eyes */
            CHECK_EQ(n->magic, ALIVE);
            CHECK_EQ(n->value, ~n->complement);
        }
        rcu_leave();
        if (reads++ == 0)
            atomic_fetch_add(&world.reading, 1);
    }
    return NULL;
}

static void publish_all(void)
{
    uint64_t seed = check_seed();
    for (unsigned i = 0; i < PUBLICATIONS; i++) {
        _Atomic(struct node *) *slot = &world.slots[check_random(&seed) % SLOTS];
        struct node *old = deref(slot);
        publish(slot, node_create(i));
        retire(old);
        pthread_mutex_lock(&world.lock);
        bool full = world.retired_count >= RETIRED_MAX;
        pthread_mutex_unlock(&world.lock);
        if (full)
            check_pause();
    }
}

TEST(nothing_is_freed_under_a_reader)
{
    pthread_t readers[READERS], freer;
    world.mem = mem_create();
    for (int i = 0; i < SLOTS; i++)
        publish(&world.slots[i], node_create(0));
    for (uintptr_t i = 0; i < READERS; i++)
        REQUIRE(pthread_create(&readers[i], NULL, reader, (void *)i) == 0);
    REQUIRE(pthread_create(&freer, NULL, reclaimer, NULL) == 0);
    CHECK_WITHIN(20000, world.reading == READERS);
    publish_all();
    atomic_store(&world.published_all, true);
    pthread_join(freer, NULL);
    atomic_store(&world.reclaimed_all, true);
    for (int i = 0; i < READERS; i++)
        pthread_join(readers[i], NULL);

    CHECK_EQ(world.reclaimed, PUBLICATIONS);
    for (int i = 0; i < SLOTS; i++)
        mem_free(world.mem, NULL, deref(&world.slots[i]), sizeof(struct node));
    mem_destroy(world.mem);
}

/* ---- waiting ---- */

static _Atomic bool inside, about_to_leave;

static void *linger(void *arg)
{
    (void)arg;
    rcu_enter();
    rcu_enter(); /* sections nest: the inner end is not the end */
    atomic_store(&inside, true);
    rcu_leave();
    for (int i = 0; i < 20; i++)
        check_pause();
    atomic_store(&about_to_leave, true);
    rcu_leave();
    return NULL; /* without telling liburcu: bp notices by itself */
}

TEST(wait_outlasts_a_section_that_was_open)
{
    pthread_t thread;
    REQUIRE(pthread_create(&thread, NULL, linger, NULL) == 0);
    while (!atomic_load(&inside))
        check_pause();
    rcu_wait();
    CHECK(atomic_load(&about_to_leave));
    pthread_join(thread, NULL);
    rcu_wait(); /* a reader that is gone holds nobody up */
}

static void *linger_short(void *arg)
{
    struct rcu_section section = {0};
    (void)arg;
    rcu_enter(); /* the first section of a thread is never short */
    rcu_leave();
    REQUIRE(rcu_enter_short(&section));
    atomic_store(&inside, true);
    for (int i = 0; i < 20; i++)
        check_pause();
    atomic_store(&about_to_leave, true);
    rcu_leave_short(section);
    return NULL;
}

TEST(wait_outlasts_a_short_section)
{
    pthread_t thread;
    if (!rcu_has_short())
        return;
    atomic_store(&inside, false);
    atomic_store(&about_to_leave, false);
    REQUIRE(pthread_create(&thread, NULL, linger_short, NULL) == 0);
    while (!atomic_load(&inside))
        check_pause();
    rcu_wait();
    CHECK(atomic_load(&about_to_leave));
    pthread_join(thread, NULL);
    rcu_wait();
}

#ifdef RCU_SHORT
TEST(a_short_section_is_not_opened_within_another)
{
    struct rcu_section section = {0}, inner = {0};
    if (!rcu_has_short())
        return;
    rcu_enter();
    CHECK(!rcu_enter_short(&section));
    rcu_leave();
    CHECK(rcu_enter_short(&section));
    CHECK(!rcu_enter_short(&inner));
    rcu_leave_short(section);
    rcu_wait(); /* nothing is open any more */
}
#endif

/* ---- fork: the child has its parent's registry, but only one of its threads ---- */

static _Atomic bool forked;

static void *read_on(void *arg)
{
    (void)arg;
    while (!atomic_load(&forked)) {
        rcu_enter();
        rcu_leave();
    }
    return NULL;
}

static int child(void)
{
    alarm(30); /* a child that hangs ends, and not with 0 */
    rcu_enter();
    rcu_leave();
    rcu_wait();
    return 0;
}

TEST(child_of_a_process_with_readers_can_wait)
{
    pthread_t threads[READERS];
    REQUIRE_EQ(rcu_install(), 0);
    CHECK_EQ(rcu_install(), 0);
    for (int i = 0; i < READERS; i++)
        REQUIRE(pthread_create(&threads[i], NULL, read_on, NULL) == 0);
    for (int i = 0; i < 50; i++) {
        int status = -1;
        pid_t pid = fork();
        if (pid == 0)
            _exit(child());
        REQUIRE(pid > 0);
        CHECK_EQ(waitpid(pid, &status, 0), pid);
        REQUIRE_EQ(status, 0);
    }
    rcu_wait(); /* the parent's registry is whole */
    atomic_store(&forked, true);
    for (int i = 0; i < READERS; i++)
        pthread_join(threads[i], NULL);
}
