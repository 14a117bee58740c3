// SPDX-License-Identifier: MIT
/*
 * The fake environment: see fake_env.h.
 */
#include "support/fake_env.h"

#include <stdio.h>

#include "support/check.h"

/* A world that stays busy for so many turns without its time moving will never come to an end. */
#define TURNS_MAX 1000000

static uint64_t now_of(const struct fake_env *f)
{
    return atomic_load_explicit(&f->now_ns, memory_order_relaxed);
}

static uint64_t read_clock(void *arg)
{
    return now_of(arg);
}

/* One turn of the world, then on to the next thing that is due. False: nothing ever will be. */
static bool turn(struct fake_env *f, const _Atomic uint32_t *word, uint32_t expected,
                 uint64_t deadline_ns)
{
    uint64_t next = f->step ? f->step(f->step_arg) : CLOCK_NEVER_NS;
    if (atomic_load_explicit(word, memory_order_relaxed) != expected)
        return true;
    next = u64_min(next, deadline_ns);
    if (next == CLOCK_NEVER_NS)
        return false;
    if (next > now_of(f))
        atomic_store_explicit(&f->now_ns, next, memory_order_relaxed);
    return true;
}

static int park(void *arg, _Atomic uint32_t *word, uint32_t expected, uint64_t deadline_ns)
{
    struct fake_env *f = arg;
    if (atomic_load_explicit(word, memory_order_relaxed) == expected)
        f->park_count++;
    for (unsigned turns = 0; turns < TURNS_MAX; turns++) {
        if (atomic_load_explicit(word, memory_order_relaxed) != expected)
            return 0;
        if (now_of(f) >= deadline_ns)
            return NIGH_ETIMEDOUT;
        if (!turn(f, word, expected, deadline_ns))
            REQUIRE(!"parked for ever: no deadline, and nothing is left to wake it");
    }
    REQUIRE(!"parked, and the step stays busy without waking it or letting time pass");
    return 0;
}

static void wake(void *arg, _Atomic uint32_t *word, int count)
{
    struct fake_env *f = arg;
    (void)word, (void)count;
    f->wake_count++;
}

static void yield(void *arg)
{
    struct fake_env *f = arg;
    f->yield_count++;
    if (f->step)
        f->step(f->step_arg);
}

static void keep_message(void *arg, enum nigh_log_level level, const char *message)
{
    struct fake_env *f = arg;
    f->log_count++;
    f->log_level = level;
    snprintf(f->log_last, sizeof(f->log_last), "%s", message);
}

void fake_env_init(struct fake_env *f, uint64_t seed)
{
    *f = (struct fake_env){.now_ns = FAKE_ENV_START_NS};
    f->clock = (struct clock){read_clock, f};
    f->park = (struct park){park, wake, yield, f};
    f->log = (struct log){.fn = keep_message, .arg = f, .clock = &f->clock};
    random_init(&f->random, seed ? seed : 1);
    struct mem *mem = mem_create();
    REQUIRE(mem);
    f->env = (struct env){&f->clock, &f->park, &f->random, mem, &f->log, false};
}

void fake_env_fini(struct fake_env *f)
{
    mem_destroy(f->env.mem);
}

void fake_env_advance(struct fake_env *f, uint64_t ns)
{
    atomic_fetch_add_explicit(&f->now_ns, ns, memory_order_relaxed);
}
