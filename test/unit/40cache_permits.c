// SPDX-License-Identifier: MIT
// As many permits as there were at the beginning, whoever takes them and wherever they are given.

#include "cache/load/permits.h"

#include <pthread.h>

#include "support/check.h"

enum { PERMITS = 5, THREADS = 4, ROUNDS = 20000 };

TEST(all_can_be_taken_and_no_more)
{
    static struct permits p;
    uint32_t stripes[PERMITS], other;
    permits_init(&p, PERMITS);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < PERMITS; i++)
            CHECK(permits_take(&p, &stripes[i]));
        CHECK(!permits_take(&p, &other));
        for (int i = 0; i < PERMITS; i++) {
            CHECK_EQ(stripes[i], thread_stripe());
            permits_give(&p, stripes[i]);
        }
    }
}

static void *take_and_give_all(void *arg)
{
    struct permits *p = arg;
    uint32_t stripes[PERMITS];
    for (int i = 0; i < PERMITS; i++)
        CHECK(permits_take(p, &stripes[i]));
    for (int i = 0; i < PERMITS; i++)
        permits_give(p, stripes[i]);
    return NULL;
}

TEST(what_one_thread_has_left_in_its_stripe_is_there_for_others)
{
    static struct permits p;
    permits_init(&p, PERMITS);
    for (int i = 0; i < 2 * (int)THREAD_STRIPES; i++) {
        pthread_t thread;
        REQUIRE_EQ(pthread_create(&thread, NULL, take_and_give_all, &p), 0);
        pthread_join(thread, NULL);
    }
}

TEST(a_thread_has_a_stripe_for_life)
{
    uint32_t stripe = thread_stripe();
    CHECK_LT(stripe, THREAD_STRIPES);
    for (int i = 0; i < 100; i++)
        CHECK_EQ(thread_stripe(), stripe);
}

static struct crowd {
    struct permits permits;
    _Atomic int inside, most, taken;
} crowd;

static void note_inside(void)
{
    int now = atomic_fetch_add_explicit(&crowd.inside, 1, memory_order_relaxed) + 1;
    int most = atomic_load_explicit(&crowd.most, memory_order_relaxed);
    while (now > most && !atomic_compare_exchange_weak_explicit(
                             &crowd.most, &most, now, memory_order_relaxed, memory_order_relaxed))
        continue;
}

/* Each wants two at once, so there are not enough for all. */
static void *come_and_go(void *arg)
{
    (void)arg;
    for (int i = 0; i < ROUNDS; i++) {
        uint32_t stripes[2];
        int have = 0;
        while (have < 2 && permits_take(&crowd.permits, &stripes[have])) {
            note_inside();
            have++;
        }
        atomic_fetch_add_explicit(&crowd.taken, have, memory_order_relaxed);
        while (have > 0) {
            atomic_fetch_sub_explicit(&crowd.inside, 1, memory_order_relaxed);
            permits_give(&crowd.permits, stripes[--have]);
        }
    }
    return NULL;
}

TEST(never_more_at_once_among_threads_and_none_is_lost)
{
    pthread_t threads[THREADS];
    permits_init(&crowd.permits, PERMITS);
    for (int i = 0; i < THREADS; i++)
        REQUIRE_EQ(pthread_create(&threads[i], NULL, come_and_go, NULL), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    CHECK_LE(crowd.most, PERMITS);
    CHECK_GT(crowd.taken, 0);
    take_and_give_all(&crowd.permits);
}
