// SPDX-License-Identifier: MIT
// A latch is free or held, and who waits for it gets it.

#include <errno.h>
#include <pthread.h>

#include "base/base.h"
#include "support/check.h"

TEST(zeroed_is_free_and_one_at_a_time_holds_it)
{
    struct latch latch = {0};
    CHECK(latch_try(&latch));
    CHECK(!latch_try(&latch));
    latch_unlock(&latch);
    latch_lock(&latch);
    CHECK(!latch_try(&latch));
    latch_unlock(&latch);
    CHECK(latch_try(&latch));
    latch_unlock(&latch);
}

struct waiter {
    struct latch latch;
    int seen;
    _Atomic bool through;
    int error;
};

static void *enter(void *arg)
{
    struct waiter *w = arg;
    errno = ENOENT;
    latch_lock(&w->latch);
    w->seen++;
    latch_unlock(&w->latch);
    w->error = errno;
    atomic_store_explicit(&w->through, true, memory_order_release);
    return NULL;
}

/* Long enough held for it to be asleep; which the word says. */
TEST(who_sleeps_is_woken_and_finds_errno_as_it_was)
{
    struct waiter w = {0};
    pthread_t thread;
    latch_lock(&w.latch);
    REQUIRE_EQ(pthread_create(&thread, NULL, enter, &w), 0);
    CHECK_WITHIN(60000, atomic_load_explicit(&w.latch.word, memory_order_relaxed) ==
                            LATCH_AWAITED);
    CHECK_EQ(w.seen, 0);
    CHECK(!atomic_load_explicit(&w.through, memory_order_acquire));
    latch_unlock(&w.latch);
    pthread_join(thread, NULL);
    CHECK_EQ(w.seen, 1);
    CHECK_EQ(w.error, ENOENT);
    CHECK(latch_try(&w.latch));
}

TEST(debug_builds_count_what_a_thread_takes)
{
    struct latch latch = {0};
    uint64_t before = latch_taken();
    latch_lock(&latch);
    CHECK(!latch_try(&latch));
    latch_unlock(&latch);
    CHECK(latch_try(&latch));
    latch_unlock(&latch);
    CHECK_EQ(latch_taken() - before, NIGH_FAULTS ? 2 : 0);
}
