// SPDX-License-Identifier: MIT
/*
 * Threads and services: masked signals, no lost poke, a stop that can be repeated.
 */
#include <signal.h>

#include "support/check.h"
#include "support/fake_env.h"

/* ---- threads ---- */

struct seen {
    char name[16];
    bool signals_blocked;
    size_t stack_bytes;
};

static void *look_around(void *arg)
{
    struct seen *seen = arg;
    sigset_t mask;
    pthread_attr_t attr;
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    seen->signals_blocked = sigismember(&mask, SIGTERM) && sigismember(&mask, SIGPIPE) &&
                            sigismember(&mask, SIGRTMIN) && sigismember(&mask, SIGUSR1);
    pthread_getattr_np(pthread_self(), &attr);
    pthread_attr_getstacksize(&attr, &seen->stack_bytes);
    pthread_attr_destroy(&attr);
    return NULL;
}

TEST(threads_are_named_masked_and_sized)
{
    struct seen seen = {0};
    pthread_t thread;
    sigset_t before, after;
    pthread_sigmask(SIG_SETMASK, NULL, &before);
    REQUIRE_EQ(thread_start(&thread, "nigh-fifteen-ch", THREAD_STACK_BYTES, look_around, &seen), 0);
    pthread_getname_np(thread, seen.name, sizeof(seen.name));
    pthread_sigmask(SIG_SETMASK, NULL, &after);
    pthread_join(thread, NULL);
    CHECK(seen.signals_blocked);
    CHECK_GE(seen.stack_bytes, THREAD_STACK_BYTES);
    CHECK_EQ(sigismember(&after, SIGTERM), sigismember(&before, SIGTERM));
}

#if NIGH_FAULTS
TEST(failure_leaves_the_result_alone)
{
    struct env env;
    struct service s = {0};
    pthread_t thread = pthread_self();
    fault_arm(FAULT_THREAD, 1);
    CHECK_EQ(thread_start(&thread, "nigh-none", THREAD_STACK_BYTES, look_around, NULL),
             NIGH_ETHREAD);
    CHECK(pthread_equal(thread, pthread_self()));

    REQUIRE_EQ(env_init_real(&env, true), 0);
    fault_arm(FAULT_THREAD, 1);
    CHECK_EQ(service_start(&s, &env, "nigh-none", NULL, NULL), NIGH_ETHREAD);
    service_stop(&s); /* nothing to stop, and it knows */
    env_fini(&env);
}
#endif

TEST(impossible_stack_is_an_error)
{
    pthread_t thread;
    CHECK_EQ(thread_start(&thread, "nigh-none", (size_t)1 << 62, look_around, NULL), NIGH_ETHREAD);
}

/* ---- services ---- */

/* `payload` is plain on purpose: ThreadSanitizer judges the order that a poke promises. */
struct worker {
    struct env env;
    struct service service;
    uint64_t payload;
    _Atomic uint64_t asked, done, steps;
    uint64_t poked; /* the worker's: the last one whose poke was counted before this step */
    uint64_t next_ns; /* what the step returns; 0: a millisecond from now */
};

static void spin(uint64_t rounds)
{
    for (; rounds > 0; rounds--)
        __asm__ volatile("");
}

/* A step that an earlier poke woke for nothing may find `asked` before its own poke has come, and
 * knows nothing then. The one after a step that has found the poke counted does. */
static uint64_t work(void *arg)
{
    struct worker *w = arg;
    uint64_t asked = atomic_load_explicit(&w->asked, memory_order_relaxed);
    if (asked != atomic_load_explicit(&w->done, memory_order_relaxed)) {
        if (w->poked != asked) {
            bool counted = atomic_load_explicit(&w->service.pokes, memory_order_relaxed) >= asked;
            w->poked = counted ? asked : w->poked;
            return counted ? 0 : w->next_ns;
        }
        CHECK_EQ(w->payload, asked * 3);
        atomic_store_explicit(&w->done, asked, memory_order_release);
        spin(asked * 7 % 4096); /* its next poke comes while the step is still on its way out */
    }
    atomic_fetch_add(&w->steps, 1);
    return w->next_ns ? w->next_ns : clock_deadline_ns(w->env.clock, 1);
}

static void worker_start(struct worker *w, uint64_t next_ns)
{
    *w = (struct worker){.next_ns = next_ns};
    REQUIRE_EQ(env_init_real(&w->env, true), 0);
    REQUIRE_EQ(service_start(&w->service, &w->env, "nigh-worker", work, w), 0);
    CHECK_WITHIN(20000, w->steps >= 1);
}

static void worker_stop(struct worker *w)
{
    service_stop(&w->service);
    env_fini(&w->env);
}

static bool done_within(struct worker *w, uint64_t asked, uint64_t ms)
{
    uint64_t end = check_now_ms() + ms;
    while (atomic_load_explicit(&w->done, memory_order_acquire) < asked)
        if (check_now_ms() > end)
            return false;
    return true;
}

TEST(no_poke_is_lost)
{
    struct worker w;
    uint64_t seed = check_seed();
    worker_start(&w, CLOCK_NEVER_NS); /* nothing but a poke ends its sleep */
    for (uint64_t i = 1; i <= 20000; i++) {
        w.payload = i * 3;
        atomic_store_explicit(&w.asked, i, memory_order_relaxed);
        service_poke(&w.service);
        if (!done_within(&w, i, 20000))
            REQUIRE(!"a poke was lost");
        spin(check_random(&seed) % 512); /* meet it at every point of its way to sleep */
    }
    worker_stop(&w);
}

/* The worst moment made certain: a poke when the step has looked and does not sleep yet. */
static uint64_t poke_during_first_step(void *arg)
{
    struct worker *w = arg;
    if (atomic_fetch_add(&w->steps, 1) == 0)
        service_poke(&w->service);
    return CLOCK_NEVER_NS;
}

TEST(poke_during_a_step_brings_another)
{
    struct worker w = {0};
    REQUIRE_EQ(env_init_real(&w.env, true), 0);
    REQUIRE_EQ(service_start(&w.service, &w.env, "nigh-worker", poke_during_first_step, &w), 0);
    CHECK_WITHIN(20000, w.steps == 2);
    worker_stop(&w);
}

enum { POKERS = 4, POKES = 5000 };

static void *poke_many(void *arg)
{
    struct worker *w = arg;
    for (int i = 0; i < POKES; i++)
        service_poke(&w->service);
    return NULL;
}

TEST(pokes_of_many_threads_end_in_a_step)
{
    struct worker w;
    pthread_t threads[POKERS];
    worker_start(&w, CLOCK_NEVER_NS);
    for (int i = 0; i < POKERS; i++)
        REQUIRE(pthread_create(&threads[i], NULL, poke_many, &w) == 0);
    for (int i = 0; i < POKERS; i++)
        pthread_join(threads[i], NULL);
    uint64_t before = w.steps;
    service_poke(&w.service);
    CHECK_WITHIN(20000, w.steps > before);
    CHECK_LE(w.steps, 2 + POKERS * POKES);
    worker_stop(&w);
}

TEST(step_comes_again_at_its_own_time)
{
    struct worker w;
    worker_start(&w, 0);
    CHECK_WITHIN(20000, w.steps >= 10);
    worker_stop(&w);
}

TEST(stop_can_be_repeated)
{
    struct worker w;
    worker_start(&w, CLOCK_NEVER_NS);
    service_stop(&w.service);
    uint64_t steps = w.steps;
    service_stop(&w.service);
    service_poke(&w.service); /* a late poke finds nobody */
    CHECK_EQ(w.steps, steps);
    env_fini(&w.env);

    struct service never = {0};
    service_stop(&never);
}

TEST(stop_at_once_after_start)
{
    for (int i = 0; i < 200; i++) {
        struct worker w = {.next_ns = CLOCK_NEVER_NS};
        REQUIRE_EQ(env_init_real(&w.env, true), 0);
        REQUIRE_EQ(service_start(&w.service, &w.env, "nigh-worker", work, &w), 0);
        worker_stop(&w);
    }
}

TEST(without_threads_nothing_runs_by_itself)
{
    struct fake_env f;
    struct worker w = {.next_ns = CLOCK_NEVER_NS};
    fake_env_init(&f, 1);
    REQUIRE_EQ(service_start(&w.service, &f.env, "nigh-worker", work, &w), 0);
    service_poke(&w.service);
    CHECK(!w.service.running);
    CHECK_EQ(w.steps, 0);
    CHECK_EQ(w.service.step(w.service.arg), CLOCK_NEVER_NS); /* what nigh_tick() does */
    CHECK_EQ(w.steps, 1);
    service_stop(&w.service);
    fake_env_fini(&f);
}
