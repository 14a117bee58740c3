// SPDX-License-Identifier: MIT
// What became of keys: the last cause of each, in fixed memory. On fake time.

#include "l1/core.h"
#include "l1/fates.h"
#include "support/l1_cache.h"

#define FRIEND 0x17c2

static struct l1_fated fate_of(struct cache *c, unsigned number)
{
    struct name name;
    struct l1_key key = cache_key(c, &name, number);
    return l1_fate_of(c->l1, &key);
}

static void note(struct cache *c, unsigned number, enum l1_fate fate, uint16_t who)
{
    struct name name;
    struct l1_key key = cache_key(c, &name, number);
    l1_note_fate(c->l1, &key, fate, who);
}

TEST(a_cause_is_told_with_its_time_and_who)
{
    struct cache c;
    cache_open(&c, 4 << 20, 1);
    CHECK_EQ(fate_of(&c, 1).fate, L1_FATE_NONE);
    note(&c, 1, L1_FATE_CHANGED, FRIEND);
    fake_env_advance(&c.fake, 10 * NS_PER_S);
    struct l1_fated f = fate_of(&c, 1);
    CHECK(f.fate == L1_FATE_CHANGED && f.who == FRIEND);
    CHECK_GE(f.ago_ns, 9 * NS_PER_S);
    CHECK_LE(f.ago_ns, 11 * NS_PER_S);
    CHECK_EQ(fate_of(&c, 2).fate, L1_FATE_NONE);
    cache_close(&c);
}

TEST(the_younger_of_a_frequent_and_a_rare_cause_counts)
{
    struct cache c;
    cache_open(&c, 4 << 20, 1);
    note(&c, 1, L1_FATE_EVICTED, 0);
    fake_env_advance(&c.fake, NS_PER_S);
    note(&c, 1, L1_FATE_CHANGED, 0);
    CHECK_EQ(fate_of(&c, 1).fate, L1_FATE_CHANGED);
    fake_env_advance(&c.fake, NS_PER_S);
    note(&c, 1, L1_FATE_EXPIRED, 0);
    CHECK_EQ(fate_of(&c, 1).fate, L1_FATE_EXPIRED);
    note(&c, 1, L1_FATE_CHANGED, 0); /* at once: which was first nobody knows ... */
    CHECK_EQ(fate_of(&c, 1).fate, L1_FATE_CHANGED);
    note(&c, 1, L1_FATE_REFUSED_FULL, 0); /* ... but a refusal comes after the change it is of */
    CHECK_EQ(fate_of(&c, 1).fate, L1_FATE_REFUSED_FULL);
    cache_close(&c);
}

static void note_change(struct cache *c, unsigned number, uint16_t who, uint64_t ago_ns)
{
    struct name name;
    struct l1_key key = cache_key(c, &name, number);
    l1_note_change(c->l1, &key, who, c->fake.now_ns - ago_ns);
}

/* A change that waited is applied again when Redis has it: it was made before what came since. */
TEST(a_change_is_dated_by_when_it_was_made_and_hides_nothing_since)
{
    struct cache c;
    cache_open(&c, 4 << 20, 1);
    fake_env_advance(&c.fake, 100 * NS_PER_S);
    note_change(&c, 1, 0, 10 * NS_PER_S);
    CHECK_EQ(fate_of(&c, 1).fate, L1_FATE_CHANGED);
    CHECK_GE(fate_of(&c, 1).ago_ns, 10 * NS_PER_S);
    CHECK_LE(fate_of(&c, 1).ago_ns, 11 * NS_PER_S);
    note_change(&c, 1, FRIEND, 5 * NS_PER_S);
    note_change(&c, 1, 0, 10 * NS_PER_S);
    CHECK_EQ(fate_of(&c, 1).who, FRIEND);
    CHECK_LE(fate_of(&c, 1).ago_ns, 6 * NS_PER_S);
    note(&c, 1, L1_FATE_PUT_REFUSED, 0);
    note_change(&c, 1, 0, 10 * NS_PER_S);
    CHECK_EQ(fate_of(&c, 1).fate, L1_FATE_PUT_REFUSED);
    note_change(&c, 1, 0, 0);
    CHECK_EQ(fate_of(&c, 1).fate, L1_FATE_CHANGED);
    note_change(&c, 2, 0, 10 * NS_PER_S); /* what went meanwhile went after it */
    note(&c, 2, L1_FATE_EVICTED, 0);
    CHECK_EQ(fate_of(&c, 2).fate, L1_FATE_EVICTED);
    CHECK_LE(fate_of(&c, 2).ago_ns, NS_PER_S);
    cache_close(&c);
}

/* Its clock is coarse, but says the same each time. */
TEST(a_cause_was_at_one_time_whenever_it_is_told)
{
    struct cache c;
    cache_open(&c, 4 << 20, 1);
    fake_env_advance(&c.fake, NS_PER_S);
    note(&c, 1, L1_FATE_CHANGED, FRIEND);
    uint64_t at_ns = clock_now_ns(c.fake.env.clock) - fate_of(&c, 1).ago_ns;
    for (unsigned i = 0; i < 100; i++) {
        fake_env_advance(&c.fake, 37 * NS_PER_MS);
        CHECK_EQ(clock_now_ns(c.fake.env.clock) - fate_of(&c, 1).ago_ns, at_ns);
    }
    cache_close(&c);
}

/* The sweep's clock is finer than that of who asks. */
TEST(a_cause_of_the_next_tick_is_not_weeks_old)
{
    struct cache c;
    struct name name;
    cache_open(&c, 4 << 20, 1);
    struct l1_key key = cache_key(&c, &name, 1);
    fates_set_time(c.l1->fates, clock_now_ns(c.fake.env.clock) + (UINT64_C(1) << FATE_TICK_SHIFT));
    fates_note(c.l1->fates, key.hash, L1_FATE_EVICTED, 0);
    CHECK(fate_of(&c, 1).fate == L1_FATE_EVICTED && fate_of(&c, 1).ago_ns == 0);
    cache_close(&c);
}

/* Evictions by the thousand leave alone who invalidated what. */
TEST(frequent_causes_overwrite_no_rare_ones)
{
    struct cache c;
    cache_open(&c, 4 << 20, 1);
    note(&c, 1, L1_FATE_CHANGED, FRIEND);
    CHECK(!fate_of(&c, 1).forgotten);
    fake_env_advance(&c.fake, NS_PER_S);
    for (unsigned i = 100; i < 100000; i++)
        note(&c, i, L1_FATE_EVICTED, 0);
    CHECK_EQ(fate_of(&c, 1).who, FRIEND);
    CHECK(fate_of(&c, 1).forgotten); /* it may have been evicted as well */
    unsigned told = 0, kept = l1_fates_kept(c.l1);
    for (unsigned i = 100; i < 100000; i++)
        told += fate_of(&c, i).fate == L1_FATE_EVICTED;
    CHECK_LE(told, kept + 8); /* what is told of another key: one in 2^20 */
    CHECK_GT(told, kept / 2);
    cache_close(&c);
}

/* Nor do answers that their keys do not exist, which live for seconds. */
TEST(what_became_of_absences_overwrites_nothing_of_values)
{
    struct cache c;
    struct name name;
    cache_open(&c, 4 << 20, 1);
    note(&c, 1, L1_FATE_EVICTED, 0);
    for (unsigned i = 100; i < 100000; i++)
        fates_note_gone(c.l1->fates, cache_key(&c, &name, i).hash, L1_FATE_EXPIRED, true);
    CHECK(fate_of(&c, 1).fate == L1_FATE_EVICTED && !fate_of(&c, 1).absent);
    CHECK_EQ(fate_of(&c, 2).reach_ns, UINT64_MAX);
    CHECK_LE(fate_of(&c, 2).no_value_reach_ns, NS_PER_S); /* each place has been taken */
    CHECK(fate_of(&c, 99999).fate == L1_FATE_EXPIRED && fate_of(&c, 99999).absent);
    fake_env_advance(&c.fake, NS_PER_S);
    note(&c, 99999, L1_FATE_EXPIRED, 0); /* the younger one counts, as elsewhere */
    CHECK(!fate_of(&c, 99999).absent);
    cache_close(&c);
}

/* Nor do loads that fail, which are many where an origin is down, who invalidated what. */
TEST(failed_loads_overwrite_nothing_of_values_and_changes)
{
    struct cache c;
    cache_open(&c, 4 << 20, 1);
    note(&c, 1, L1_FATE_EVICTED, 0);
    note(&c, 2, L1_FATE_CHANGED, FRIEND);
    for (unsigned i = 100; i < 100000; i++)
        note(&c, i, L1_FATE_FAILED, 0);
    CHECK_EQ(fate_of(&c, 1).fate, L1_FATE_EVICTED);
    CHECK_EQ(fate_of(&c, 2).who, FRIEND);
    CHECK_EQ(fate_of(&c, 3).rare_reach_ns, UINT64_MAX);
    CHECK_LE(fate_of(&c, 3).no_value_reach_ns, NS_PER_S);
    CHECK(fate_of(&c, 99999).fate == L1_FATE_FAILED && !fate_of(&c, 99999).absent);
    note(&c, 99999, L1_FATE_CHANGED, FRIEND); /* at once: a change is what a load follows, ... */
    CHECK_EQ(fate_of(&c, 99999).fate, L1_FATE_FAILED);
    fake_env_advance(&c.fake, NS_PER_S);
    note(&c, 99999, L1_FATE_CHANGED, FRIEND); /* ... but of two times the younger one counts */
    CHECK_EQ(fate_of(&c, 99999).fate, L1_FATE_CHANGED);
    cache_close(&c);
}

/* Another key's cause that has the place tells since when nothing became of this key. */
TEST(it_is_known_how_far_back_a_place_reaches)
{
    struct cache c;
    cache_open(&c, 4 << 20, 1);
    CHECK_EQ(fate_of(&c, 1).reach_ns, UINT64_MAX);
    CHECK_EQ(fate_of(&c, 1).rare_reach_ns, UINT64_MAX);
    note(&c, 1, L1_FATE_EVICTED, 0);
    fake_env_advance(&c.fake, 20 * NS_PER_S);
    for (unsigned i = 100; i < 100000; i++)
        note(&c, i, L1_FATE_EVICTED, 0);
    fake_env_advance(&c.fake, 10 * NS_PER_S);
    struct l1_fated f = fate_of(&c, 1);
    CHECK_EQ(f.fate, L1_FATE_NONE);
    CHECK_GE(f.reach_ns, 9 * NS_PER_S);
    CHECK_LE(f.reach_ns, 11 * NS_PER_S);
    CHECK_EQ(f.rare_reach_ns, UINT64_MAX);
    note(&c, 1, L1_FATE_CHANGED, FRIEND);
    fake_env_advance(&c.fake, 5 * NS_PER_S);
    f = fate_of(&c, 1);
    CHECK(f.fate == L1_FATE_CHANGED && !f.forgotten);
    CHECK_GE(f.reach_ns, 14 * NS_PER_S);
    CHECK_LE(f.rare_reach_ns, 6 * NS_PER_S);
    cache_close(&c);
}

/* Who asks within .7 times as many evictions as there are places is told of half of them. */
TEST(of_the_last_evictions_most_are_known)
{
    struct cache c;
    cache_open(&c, 4 << 20, 1);
    unsigned kept = l1_fates_kept(c.l1), told = 0;
    CHECK_EQ(kept, 2048);
    for (unsigned i = 0; i < 10000; i++)
        note(&c, i, L1_FATE_EVICTED, 0);
    for (unsigned i = 10000 - kept * 7 / 10; i < 10000; i++)
        told += fate_of(&c, i).fate == L1_FATE_EVICTED;
    CHECK_GT(told, kept * 4 / 10); /* of the youngest all, of the oldest half; .5 are expected */
    cache_close(&c);
}

TEST(memory_for_it_is_less_than_a_200th_of_the_cap)
{
    for (uint64_t cap = 4 << 20; cap <= UINT64_C(1) << 40; cap *= 4)
        CHECK_LE(fates_bytes(fates_count(cap)) * 200, cap);
    CHECK_EQ(fates_count(UINT64_C(1) << 40), FATES_OFTEN_MAX);
}
