// SPDX-License-Identifier: MIT
/*
 * Clocks: they do not go back, deadlines do not wrap, an injected clock replaces both.
 */
#include "base/base.h"
#include "support/check.h"

static const struct clock kernel;

static uint64_t read_word(void *arg)
{
    return *(uint64_t *)arg;
}

/* libc's clock before, ours, libc's after: in that order, by both ways and for both clocks. */
static void check_between(clockid_t id)
{
    for (int i = 0; i < 100000; i++) {
        struct timespec before, after;
        clock_gettime(id, &before);
        uint64_t now_ns = clock_kernel_ns(id);
        clock_gettime(id, &after);
        CHECK_GE(now_ns, (uint64_t)before.tv_sec * NS_PER_S + (uint64_t)before.tv_nsec);
        CHECK_LE(now_ns, (uint64_t)after.tv_sec * NS_PER_S + (uint64_t)after.tv_nsec);
    }
}

TEST(the_kernels_own_function_tells_libcs_time)
{
    CHECK(clock_direct.gettime == clock_gettime);
    check_between(CLOCK_MONOTONIC_COARSE);
    clock_find_direct();
    clock_find_direct();
    check_between(CLOCK_MONOTONIC_COARSE);
    check_between(CLOCK_MONOTONIC);
}

TEST(kernel_clocks_do_not_go_back)
{
    uint64_t now = clock_now_ns(&kernel), coarse = clock_coarse_ns(&kernel);
    for (int i = 0; i < 100000; i++) {
        uint64_t next_coarse = clock_coarse_ns(&kernel), next = clock_now_ns(&kernel);
        CHECK_GE(next, now);
        CHECK_GE(next_coarse, coarse);
        CHECK_LE(next_coarse, next); /* coarse is the precise clock of a moment ago */
        now = next;
        coarse = next_coarse;
    }
}

TEST(coarse_step_is_a_tick)
{
    uint64_t step = clock_coarse_step_ns(&kernel);
    CHECK_GE(step, NS_PER_MS);      /* CONFIG_HZ is at most 1000 */
    CHECK_LE(step, 10 * NS_PER_MS); /* and at least 100 */
}

TEST(injected_clock_gives_both_times)
{
    uint64_t word = 42;
    struct clock c = {read_word, &word};
    CHECK_EQ(clock_now_ns(&c), 42);
    CHECK_EQ(clock_coarse_ns(&c), 42);
    CHECK_EQ(clock_coarse_step_ns(&c), 0);
    word = 43;
    CHECK_EQ(clock_now_ns(&c), 43);
}

/* From wherever it begins, over the end of its numbers too. */
TEST(a_hook_begins_anywhere_and_goes_on_by_as_much)
{
    static const uint64_t starts[] = {0, 1, UINT64_C(1) << 59, 1800000000 * NS_PER_S,
                                      (UINT64_C(1) << 63) - 1, UINT64_C(1) << 63,
                                      UINT64_MAX - 3600 * NS_PER_S, UINT64_MAX};
    for (size_t i = 0; i < ARRAY_COUNT(starts); i++) {
        uint64_t word = starts[i];
        struct clock_hook hook;
        clock_hook_init(&hook, read_word, &word);
        struct clock c = {clock_hook_ns, &hook};
        CHECK_EQ(clock_now_ns(&c), CLOCK_HOOK_START_NS);
        word = starts[i] + 1;
        CHECK_EQ(clock_coarse_ns(&c), CLOCK_HOOK_START_NS + 1);
        word = starts[i] + 17 * 365 * 86400 * NS_PER_S;
        CHECK_EQ(clock_now_ns(&c), CLOCK_HOOK_START_NS + 17 * 365 * 86400 * NS_PER_S);
        word = starts[i] + INT64_MAX;
        CHECK_EQ(clock_now_ns(&c), CLOCK_HOOK_START_NS + INT64_MAX);
    }
}

TEST(a_hook_that_goes_back_ends_at_0)
{
    uint64_t word = 1800000000 * NS_PER_S;
    struct clock_hook hook;
    clock_hook_init(&hook, read_word, &word);
    word -= 3600 * NS_PER_S;
    CHECK_EQ(clock_hook_ns(&hook), CLOCK_HOOK_START_NS - 3600 * NS_PER_S);
    word = hook.began_ns - CLOCK_HOOK_START_NS;
    CHECK_EQ(clock_hook_ns(&hook), 0);
    word--;
    CHECK_EQ(clock_hook_ns(&hook), 0);
    word = 0;
    CHECK_EQ(clock_hook_ns(&hook), 0);
    word = hook.began_ns + (UINT64_C(1) << 63);
    CHECK_EQ(clock_hook_ns(&hook), 0);
}

TEST(deadlines_add_and_saturate)
{
    uint64_t word = 5 * NS_PER_S;
    struct clock c = {read_word, &word};
    CHECK_EQ(clock_deadline_ns(&c, 0), 5 * NS_PER_S);
    CHECK_EQ(clock_deadline_ns(&c, 1500), 6500 * NS_PER_MS);
    CHECK_EQ(clock_deadline_ns(&c, UINT32_MAX), CLOCK_NEVER_NS);
    CHECK_EQ(clock_deadline_ns(&c, UINT32_MAX - 1), word + (UINT32_MAX - 1) * NS_PER_MS);

    word = UINT64_MAX - NS_PER_MS; /* a clock near its end */
    CHECK_EQ(clock_deadline_ns(&c, 1), CLOCK_NEVER_NS);
    CHECK_EQ(clock_deadline_ns(&c, 2), CLOCK_NEVER_NS);
    CHECK_EQ(clock_deadline_ns(&c, UINT32_MAX - 1), CLOCK_NEVER_NS);
    CHECK_EQ(clock_deadline_ns(&c, 0), word);
}
