// SPDX-License-Identifier: MIT
/*
 * More threads than processors under few latches: each latch has a sum that everybody adds to
 * without a locked instruction, in two parts that must be alike, and a holder that must be itself.
 * Some stay for a while, so that others fall asleep, and some only try. What a run shows is that
 * nobody comes in beside another, and that nobody is left asleep: it would not end.
 */
#include <pthread.h>
#include <sched.h>

#include "base/base.h"
#include "support/check.h"

enum { THREADS = 6, LATCHES = 2 };

struct guarded {
    _Alignas(CACHE_LINE_BYTES) struct latch latch;
    unsigned holder;
    uint64_t sum, same_sum;
};

struct world {
    struct guarded guarded[LATCHES];
    _Atomic bool stop;
};

struct actor {
    struct world *w;
    unsigned number; /* not 0 */
    uint64_t random, added, slept_near, refused;
};

static void change_locked(struct actor *a, struct guarded *g, bool stays)
{
    CHECK_EQ(g->holder, 0);
    g->holder = a->number;
    CHECK_EQ(g->sum, g->same_sum);
    g->sum++;
    if (stays)
        sched_yield();
    g->same_sum++;
    CHECK_EQ(g->holder, a->number);
    g->holder = 0;
}

static void *act(void *arg)
{
    struct actor *a = arg;
    while (!atomic_load_explicit(&a->w->stop, memory_order_relaxed)) {
        uint64_t r = check_random(&a->random);
        struct guarded *g = &a->w->guarded[r % LATCHES];
        if (r / 8 % 4 == 0 && !latch_try(&g->latch)) {
            a->refused++;
            continue;
        }
        if (r / 8 % 4 != 0)
            latch_lock(&g->latch);
        change_locked(a, g, r / 64 % 16 == 0);
        a->slept_near +=
            atomic_load_explicit(&g->latch.word, memory_order_relaxed) == LATCH_AWAITED;
        latch_unlock(&g->latch);
        a->added++;
    }
    return NULL;
}

TEST(one_holder_at_a_time_and_nobody_sleeps_for_ever)
{
    static struct world w;
    pthread_t threads[THREADS];
    struct actor actors[THREADS];
    uint64_t seed = check_seed(), added = 0, slept_near = 0, refused = 0;
    for (unsigned i = 0; i < THREADS; i++) {
        actors[i] = (struct actor){&w, i + 1, check_random(&seed), 0, 0, 0};
        REQUIRE_EQ(pthread_create(&threads[i], NULL, act, &actors[i]), 0);
    }
    for (uint64_t end_ms = check_now_ms() + 1000ull * check_seconds(3); check_now_ms() < end_ms;)
        check_pause();
    atomic_store_explicit(&w.stop, true, memory_order_relaxed);
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        added += actors[i].added;
        slept_near += actors[i].slept_near;
        refused += actors[i].refused;
    }
    for (unsigned i = 0; i < LATCHES; i++) {
        CHECK_EQ(w.guarded[i].sum, w.guarded[i].same_sum);
        added -= w.guarded[i].sum;
        CHECK(latch_try(&w.guarded[i].latch));
    }
    CHECK_EQ(added, 0);
    check_note("somebody waited %lu times, %lu attempts in vain", (unsigned long)slept_near,
               (unsigned long)refused);
}
