// SPDX-License-Identifier: MIT
// The breaker, on made-up time.

#include "l2/breaker.h"

#include "support/check.h"

#define T0 (1000 * NS_PER_S)
#define LONG_NS (20 * NS_PER_S) /* longer than any pause */

static struct random random_source;

static bool record(struct breaker *b, bool good, uint64_t now_ns)
{
    return breaker_record(b, &random_source, good, now_ns);
}

static void open_it(struct breaker *b)
{
    random_init(&random_source, 1);
    breaker_reset(b);
    for (int i = 0; i < 8; i++)
        record(b, false, T0 - (i < 7 ? BREAKER_SUSTAIN_NS : 0));
    REQUIRE_EQ(breaker_state(b), BREAKER_OPEN);
}

TEST(a_few_bad_answers_open_nothing)
{
    struct breaker b = {0};
    random_init(&random_source, 1);
    for (int i = 0; i < 7; i++)
        CHECK(!record(&b, false, T0 - BREAKER_SUSTAIN_NS));
    CHECK(breaker_allows(&b, T0));
    CHECK(record(&b, false, T0)); /* told once ... */
    CHECK(!record(&b, false, T0));
    CHECK(!breaker_allows(&b, T0));
}

TEST(opens_at_half)
{
    struct breaker b = {0};
    uint64_t now_ns = T0;
    random_init(&random_source, 1);
    for (int i = 0; i < 1000; i++, now_ns += NS_PER_MS)
        CHECK(!record(&b, i % 3 != 2, now_ns)); /* a third is bad */
    int more = 0;
    for (; breaker_state(&b) == BREAKER_CLOSED && more < 64; more++, now_ns += BREAKER_SUSTAIN_NS)
        record(&b, more % 3 == 0, now_ns); /* from here on most; never a long run of them */
    CHECK_EQ(breaker_state(&b), BREAKER_OPEN);
    CHECK_GT(more, 8);
}

/* One call at a time: a second is five of them. */
TEST(a_run_of_bad_answers_opens_it_whatever_went_before)
{
    struct breaker b = {0};
    uint64_t now_ns = T0;
    random_init(&random_source, 1);
    for (int i = 0; i < 64; i++)
        CHECK(!record(&b, true, now_ns));
    for (int i = 0; breaker_state(&b) == BREAKER_CLOSED && i < 64; i++)
        record(&b, false, now_ns += 200 * NS_PER_MS);
    CHECK_EQ(breaker_state(&b), BREAKER_OPEN);
    CHECK_LT(now_ns - T0, NS_PER_S);
}

TEST(a_good_answer_ends_a_run)
{
    struct breaker b = {0};
    uint64_t now_ns = T0;
    random_init(&random_source, 1);
    for (int i = 0; i < 64; i++)
        CHECK(!record(&b, true, now_ns));
    for (int i = 0; i < 20; i++)
        CHECK(!record(&b, i % 3 == 2, now_ns += 200 * NS_PER_MS));
    CHECK(breaker_allows(&b, now_ns));
}

TEST(a_run_within_one_stall_opens_nothing)
{
    struct breaker b = {0};
    random_init(&random_source, 1);
    for (int i = 0; i < 1000; i++)
        CHECK(!record(&b, false, T0 + (uint64_t)i * (BREAKER_SUSTAIN_NS / 1000)));
    CHECK(!record(&b, true, T0 + BREAKER_SUSTAIN_NS));
    CHECK(breaker_allows(&b, T0 + BREAKER_SUSTAIN_NS));
}

/* A good answer never opens it, and of a stall nothing is left when there has been quiet. */
TEST(an_old_stall_is_forgotten)
{
    struct breaker b = {0};
    uint64_t now_ns = T0;
    random_init(&random_source, 1);
    for (int i = 0; i < 60; i++)
        CHECK(!record(&b, false, now_ns));
    for (int i = 0; i < 8; i++)
        CHECK(!record(&b, true, now_ns += NS_PER_S));
    CHECK(!record(&b, false, now_ns += NS_PER_S));
    CHECK(breaker_allows(&b, now_ns));
}

TEST(one_stall_opens_nothing)
{
    struct breaker b = {0};
    uint64_t now_ns = T0;
    random_init(&random_source, 1);
    for (int stall = 0; stall < 10; stall++, now_ns += NS_PER_S) {
        for (int i = 0; i < 100; i++)
            CHECK(!record(&b, false, now_ns)); /* all that was in flight */
        for (int i = 0; i < 100; i++)
            CHECK(!record(&b, true, now_ns + NS_PER_MS));
    }
    CHECK(breaker_allows(&b, now_ns));
}

TEST(one_probe_closes_it)
{
    struct breaker b = {0};
    open_it(&b);
    CHECK(!breaker_allows(&b, T0));
    CHECK(breaker_allows(&b, T0 + LONG_NS));
    CHECK_EQ(breaker_state(&b), BREAKER_HALF_OPEN);
    CHECK(!breaker_allows(&b, T0 + LONG_NS)); /* the probe is under way */
    CHECK(record(&b, true, T0 + LONG_NS));
    CHECK_EQ(breaker_state(&b), BREAKER_CLOSED);
    CHECK(breaker_allows(&b, T0 + LONG_NS));
}

/* Its request was not sent, is never answered, or the answer was no evidence. */
TEST(a_probe_that_comes_to_nothing_is_followed_by_another)
{
    struct breaker b = {0};
    uint64_t now_ns = T0 + LONG_NS;
    open_it(&b);
    for (int i = 0; i < 3; i++, now_ns += BREAKER_PROBE_NS) {
        CHECK(breaker_allows(&b, now_ns));
        CHECK(!breaker_allows(&b, now_ns));
        CHECK(!breaker_allows(&b, now_ns + BREAKER_PROBE_NS - 1));
        CHECK_EQ(breaker_state(&b), BREAKER_HALF_OPEN);
    }
    CHECK(record(&b, true, now_ns));
    CHECK(breaker_allows(&b, now_ns));
}

/* Callers wait for a probe now and then while it is open, and for nothing else. */
TEST(probes_are_few)
{
    struct breaker b = {0};
    unsigned probes = 0;
    open_it(&b);
    for (uint64_t now_ns = T0; now_ns < T0 + 10 * NS_PER_S; now_ns += NS_PER_MS) {
        if (!breaker_allows(&b, now_ns))
            continue;
        probes++;
        now_ns += 200 * NS_PER_MS;
        record(&b, false, now_ns);
    }
    CHECK_GE(probes, 3);
    CHECK_LE(probes, 6);
}

TEST(a_failed_probe_opens_it_for_longer)
{
    struct breaker b = {0};
    uint64_t now_ns = T0, last_ns = 0;
    open_it(&b);
    for (int i = 0; i < 4; i++) {
        uint64_t pause_ns = atomic_load(&b.retry_at_ns) - now_ns;
        CHECK_GT(pause_ns, last_ns);
        last_ns = pause_ns;
        now_ns += LONG_NS;
        CHECK(breaker_allows(&b, now_ns));
        record(&b, false, now_ns);
        CHECK(!breaker_allows(&b, now_ns));
    }
}

TEST(late_failures_of_old_requests_do_not_prolong_it)
{
    struct breaker b = {0};
    open_it(&b);
    uint64_t retry_at_ns = atomic_load(&b.retry_at_ns);
    for (int i = 0; i < 100; i++)
        CHECK(!record(&b, false, T0 + NS_PER_MS));
    CHECK_EQ(atomic_load(&b.retry_at_ns), retry_at_ns);
}

TEST(a_beat_closes_it_without_a_probe)
{
    struct breaker b = {0};
    open_it(&b);
    CHECK(record(&b, true, T0));
    CHECK(breaker_allows(&b, T0));
}
