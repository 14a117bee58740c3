/* SPDX-License-Identifier: MIT */
/*
 * An environment that a test holds in its hand: time moves when the test says so, a thread that
 * parks drives the rest of the world instead of sleeping, and randomness repeats.
 *
 *     struct fake_env f;
 *     fake_env_init(&f, check_seed());
 *     f.step = deliver_reply;               // what happens while the code under test waits
 *     CHECK_EQ(flight_join(..., &f.env), 0);
 *     fake_env_advance(&f, 5 * NS_PER_S);   // no sleep anywhere
 *     fake_env_fini(&f);
 *
 * A park in this environment returns when its word changes, or when time has been moved on to its
 * deadline. It is for one thread: several threads at once belong to env_init_real().
 */
#ifndef NIGH_TEST_FAKE_ENV_H
#define NIGH_TEST_FAKE_ENV_H

#include "base/base.h"

/* Does what is due now; returns the time of its next work (CLOCK_NEVER_NS: none). */
typedef uint64_t (*fake_step_fn)(void *arg);

struct fake_env {
    struct env env;         /* give this to the module under test; own_threads is false */
    fake_step_fn step;      /* runs while somebody is parked or yields; NULL: only time goes on */
    void *step_arg;
    _Atomic uint64_t now_ns; /* begins at FAKE_ENV_START_NS */
    uint64_t park_count;    /* waits that found their word unchanged */
    uint64_t wake_count;
    uint64_t yield_count;
    unsigned log_count;
    enum nigh_log_level log_level; /* the last message's */
    char log_last[512];

    struct clock clock; /* `env` points to these */
    struct park park;
    struct random random;
    struct log log;
};

/* Not 0: code that subtracts from the time of a young machine is not what we test. */
#define FAKE_ENV_START_NS (1000 * NS_PER_S)

void fake_env_init(struct fake_env *f, uint64_t seed);
void fake_env_fini(struct fake_env *f);

void fake_env_advance(struct fake_env *f, uint64_t ns);

#endif
