// SPDX-License-Identifier: MIT
/*
 * Parking: no wake is lost, deadlines are kept by whichever clock they were given.
 */
#include <pthread.h>
#include <signal.h>

#include "base/base.h"
#include "support/check.h"

static const struct clock kernel;

/* So late that only a lost wake reaches it. */
static uint64_t far_away(void)
{
    return clock_now_ns(&kernel) + 30 * NS_PER_S;
}

TEST(changed_word_does_not_park)
{
    struct park p = park_futex;
    _Atomic uint32_t word = 1;
    CHECK_EQ(park_wait(&p, &word, 0, CLOCK_NEVER_NS), 0);
    CHECK_EQ(park_wait(&p, &word, 0, 0), 0);
}

TEST(deadline_is_kept)
{
    struct park p = park_futex;
    _Atomic uint32_t word = 0;
    CHECK_EQ(park_wait(&p, &word, 0, 0), NIGH_ETIMEDOUT);
    uint64_t deadline = clock_now_ns(&kernel) + 5 * NS_PER_MS;
    CHECK_EQ(park_wait(&p, &word, 0, deadline), NIGH_ETIMEDOUT);
    CHECK_GE(clock_now_ns(&kernel), deadline);
}

/* Two threads hand a word to and fro, each with one wake: a lost one stops them. */
enum { TURNS = 50000 };

struct court {
    struct park park;
    _Atomic uint32_t ball; /* even: ours; odd: theirs */
};

static void play(struct court *c, uint32_t mine)
{
    for (uint32_t turn = mine; turn < TURNS; turn += 2) {
        uint32_t now;
        while ((now = atomic_load_explicit(&c->ball, memory_order_acquire)) != turn)
            if (park_wait(&c->park, &c->ball, now, far_away()) != 0)
                REQUIRE(!"a wake was lost");
        atomic_store_explicit(&c->ball, turn + 1, memory_order_release);
        park_wake(&c->park, &c->ball, 1);
    }
}

static void *play_back(void *arg)
{
    play(arg, 1);
    return NULL;
}

TEST(no_wake_is_lost)
{
    struct court c = {park_futex, 0};
    pthread_t other;
    REQUIRE(pthread_create(&other, NULL, play_back, &c) == 0);
    play(&c, 0);
    pthread_join(other, NULL);
    CHECK_EQ(c.ball, TURNS);
}

enum { WAITERS = 8 };
static _Atomic uint32_t gate, awake;

static void *wait_at_gate(void *arg)
{
    struct park p = park_futex;
    (void)arg;
    while (atomic_load_explicit(&gate, memory_order_acquire) == 0)
        if (park_wait(&p, &gate, 0, far_away()) != 0)
            REQUIRE(!"not woken");
    atomic_fetch_add(&awake, 1);
    return NULL;
}

TEST(all_are_woken)
{
    struct park p = park_futex;
    pthread_t threads[WAITERS];
    for (int i = 0; i < WAITERS; i++)
        REQUIRE(pthread_create(&threads[i], NULL, wait_at_gate, NULL) == 0);
    atomic_store_explicit(&gate, 1, memory_order_release);
    park_wake(&p, &gate, PARK_ALL);
    for (int i = 0; i < WAITERS; i++)
        pthread_join(threads[i], NULL);
    CHECK_EQ(awake, WAITERS);
}

/* A host's clock: another start, and a quarter of the kernel's speed. */
static uint64_t slow_clock(void *arg)
{
    return *(uint64_t *)arg + clock_kernel_ns(CLOCK_MONOTONIC) / 4;
}

static void check_foreign_deadline(uint64_t start)
{
    struct clock clock = {slow_clock, &start};
    struct park p = park_futex;
    _Atomic uint32_t word = 0;
    p.arg = &clock;
    uint64_t deadline = clock_now_ns(&clock) + 2 * NS_PER_MS;
    unsigned waits = 1;
    while (park_wait(&p, &word, 0, deadline) == 0) { /* early by the host's clock: spurious */
        CHECK_LT(waits++, 1000);
    }
    CHECK_GE(clock_now_ns(&clock), deadline);
    CHECK_EQ(park_wait(&p, &word, 0, 0), NIGH_ETIMEDOUT);
    CHECK_EQ(park_wait(&p, &word, 1, CLOCK_NEVER_NS), 0);
}

TEST(deadlines_of_a_foreign_clock_are_kept)
{
    check_foreign_deadline(0);
    check_foreign_deadline((uint64_t)1 << 62);
}

static void on_signal(int number)
{
    (void)number;
}

static _Atomic bool returned;

static void *wait_for_ever(void *arg)
{
    struct park p = park_futex;
    _Atomic uint32_t word = 0;
    (void)arg;
    CHECK_EQ(park_wait(&p, &word, 0, CLOCK_NEVER_NS), 0);
    atomic_store(&returned, true);
    return NULL;
}

TEST(signal_is_a_spurious_wake)
{
    struct sigaction action = {.sa_handler = on_signal}; /* without SA_RESTART */
    pthread_t thread;
    REQUIRE(sigaction(SIGUSR1, &action, NULL) == 0);
    REQUIRE(pthread_create(&thread, NULL, wait_for_ever, NULL) == 0);
    CHECK_WITHIN(20000, (pthread_kill(thread, SIGUSR1), atomic_load(&returned)));
    pthread_join(thread, NULL);
}
