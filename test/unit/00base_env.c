// SPDX-License-Identifier: MIT
/*
 * Environments: the real one is whole or not there, the fake one moves only by hand.
 */
#include "support/check.h"
#include "support/fake_env.h"

TEST(real_environment_works)
{
    struct env env;
    _Atomic uint32_t word = 0;
    REQUIRE_EQ(env_init_real(&env, true), 0);
    CHECK(env.own_threads);
    CHECK_GT(clock_now_ns(env.clock), 0);
    CHECK_NE(random_id(env.random), random_id(env.random));
    CHECK_EQ(park_wait(env.park, &word, 0, clock_deadline_ns(env.clock, 1)), NIGH_ETIMEDOUT);
    LOG(env.log, NIGH_LOG_ERROR, "silence is the default");
    void *ptr = mem_alloc(env.mem, NULL, 100);
    CHECK(ptr);
    mem_free(env.mem, NULL, ptr, 100);
    env_fini(&env);
}

#if NIGH_FAULTS
TEST(each_failed_allocation_is_reported)
{
    for (uint64_t nth = 1;; nth++) {
        struct env env = {.own_threads = true};
        fault_arm(FAULT_ALLOC, nth);
        int rc = env_init_real(&env, false);
        if (rc == 0) {
            CHECK_GE(nth, 3); /* the arena and the parts */
            fault_arm(FAULT_ALLOC, 0);
            env_fini(&env);
            break;
        }
        CHECK_EQ(rc, NIGH_ENOMEM);
        CHECK(env.own_threads && !env.mem); /* untouched */
    }
}
#endif

/* A host's clock put in later: the park of the environment follows it. */
static uint64_t stopped(void *arg)
{
    return *(uint64_t *)arg;
}

TEST(park_follows_an_injected_clock)
{
    struct env env;
    uint64_t now = 50;
    _Atomic uint32_t word = 0;
    REQUIRE_EQ(env_init_real(&env, false), 0);
    *env.clock = (struct clock){stopped, &now};
    CHECK_EQ(park_wait(env.park, &word, 0, 50), NIGH_ETIMEDOUT);
    CHECK_EQ(park_wait(env.park, &word, 0, 51), 0); /* the host's time stands: not yet */
    now = 51;
    CHECK_EQ(park_wait(env.park, &word, 0, 51), NIGH_ETIMEDOUT);
    env_fini(&env);
}

/* ---- the fake one ---- */

TEST(fake_time_moves_only_by_hand)
{
    struct fake_env f;
    fake_env_init(&f, 1);
    CHECK_EQ(clock_now_ns(f.env.clock), FAKE_ENV_START_NS);
    fake_env_advance(&f, 5);
    CHECK_EQ(clock_now_ns(f.env.clock), FAKE_ENV_START_NS + 5);
    CHECK_EQ(clock_coarse_ns(f.env.clock), FAKE_ENV_START_NS + 5);
    fake_env_fini(&f);
}

TEST(fake_park_passes_the_time_to_the_deadline)
{
    struct fake_env f;
    _Atomic uint32_t word = 0;
    fake_env_init(&f, 1);
    uint64_t deadline = clock_deadline_ns(f.env.clock, 3600 * 1000);
    CHECK_EQ(park_wait(f.env.park, &word, 0, deadline), NIGH_ETIMEDOUT);
    CHECK_EQ(clock_now_ns(f.env.clock), deadline);
    CHECK_EQ(park_wait(f.env.park, &word, 1, CLOCK_NEVER_NS), 0);
    CHECK_EQ(f.park_count, 1);
    fake_env_fini(&f);
}

struct answer {
    struct fake_env *f;
    _Atomic uint32_t word;
    uint64_t at_ns;
};

static uint64_t answer_later(void *arg)
{
    struct answer *a = arg;
    if (clock_now_ns(a->f->env.clock) < a->at_ns)
        return a->at_ns;
    a->word = 1;
    park_wake(a->f->env.park, &a->word, 1);
    return CLOCK_NEVER_NS;
}

TEST(fake_park_runs_the_world_until_the_word_changes)
{
    struct fake_env f;
    fake_env_init(&f, 1);
    struct answer a = {&f, 0, FAKE_ENV_START_NS + NS_PER_S};
    f.step = answer_later;
    f.step_arg = &a;
    CHECK_EQ(park_wait(f.env.park, &a.word, 0, CLOCK_NEVER_NS), 0);
    CHECK_EQ(clock_now_ns(f.env.clock), a.at_ns);
    CHECK_EQ(f.wake_count, 1);

    a = (struct answer){&f, 0, FAKE_ENV_START_NS + 3 * NS_PER_S};
    uint64_t deadline = FAKE_ENV_START_NS + 2 * NS_PER_S;
    CHECK_EQ(park_wait(f.env.park, &a.word, 0, deadline), NIGH_ETIMEDOUT);
    CHECK_EQ(clock_now_ns(f.env.clock), deadline);
    fake_env_fini(&f);
}
