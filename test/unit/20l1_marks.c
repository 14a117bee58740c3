// SPDX-License-Identifier: MIT
// Marked keys: each hit of them is told, and of no others, whatever the policy and however often
// they were hit before; the policy learns from their notes what it learns from all.

#include "l1/hit.h"
#include "l1/marks.h"
#include "l1/shard.h"
#include "support/check.h"
#include "support/l1_cache.h"

#define KEYS 2000u

static struct l1_entry *entry_of(struct cache *c, unsigned number)
{
    struct name name;
    struct l1_key key = cache_key(c, &name, number);
    rcu_enter();
    struct l1_entry *e = l1_find_rcu(c->l1, &key);
    rcu_leave();
    REQUIRE(e);
    return e;
}

static bool is_marked(struct cache *c, unsigned number)
{
    struct name name;
    return l1_marks(c->l1, cache_key(c, &name, number).hash);
}

static void open_marking(struct cache *c, enum nigh_policy policy, uint32_t one_in)
{
    fake_env_init(&c->fake, check_seed());
    struct l1_config config = cache_config(c, 4 << 20, 1);
    config.policy = policy;
    config.mark_one_in = one_in;
    cache_open_config(c, config);
}

/* Hit each key several times; count the hits that are told, and those that should have been. */
static void hit_all(struct cache *c, unsigned times, uint64_t *ret_told, uint64_t *ret_marked)
{
    *ret_told = *ret_marked = 0;
    for (unsigned i = 0; i < KEYS; i++) {
        struct l1_entry *e = entry_of(c, i);
        bool marked = is_marked(c, i);
        for (unsigned n = 0; n < times; n++) {
            bool told = l1_touch(e, l1_generation(&c->space.hit)) & L1_TOUCHED_MARKED;
            CHECK_EQ(told, marked);
            *ret_told += told;
            *ret_marked += marked;
        }
    }
}

static const enum nigh_policy each_policy[] = {NIGH_POLICY_LRU, NIGH_POLICY_LFU, NIGH_POLICY_TTL,
                                               NIGH_POLICY_NONE};

TEST(each_hit_of_a_marked_key_is_told_and_of_no_other)
{
    for (size_t p = 0; p < ARRAY_COUNT(each_policy); p++) {
        struct cache c;
        uint64_t told, marked;
        open_marking(&c, each_policy[p], 0);
        for (unsigned i = 0; i < KEYS; i++)
            REQUIRE_EQ(cache_put_size(&c, i, 16), L1_STORED);
        for (unsigned round = 0; round < 3; round++) {
            hit_all(&c, 6, &told, &marked);
            CHECK_EQ(told, marked);
            CHECK(marked > 0 && marked < 6 * KEYS / 16);
        }
        cache_close(&c);
    }
}

TEST(a_new_value_has_the_mark_of_the_old_one)
{
    for (size_t p = 0; p < ARRAY_COUNT(each_policy); p++) {
        struct cache c;
        uint64_t told, marked;
        open_marking(&c, each_policy[p], 4);
        for (unsigned size = 16; size <= 64; size *= 2) {
            for (unsigned i = 0; i < KEYS; i++)
                REQUIRE_EQ(cache_put_size(&c, i, size), L1_STORED);
            cache_reclaim(&c);
            hit_all(&c, 2, &told, &marked);
            CHECK_EQ(told, marked);
        }
        CHECK(marked > 2 * KEYS / 8 && marked < 2 * KEYS / 2);
        cache_close(&c);
    }
}

TEST(all_keys_can_be_marked)
{
    struct cache c;
    uint64_t told, marked;
    open_marking(&c, NIGH_POLICY_LFU, 1);
    for (unsigned i = 0; i < KEYS; i++)
        REQUIRE_EQ(cache_put_size(&c, i, 16), L1_STORED);
    hit_all(&c, 5, &told, &marked);
    CHECK_EQ(told, 5 * KEYS);
    cache_close(&c);
}

static uint32_t one_in(const struct cache *c)
{
    return l1_mark_mask(c->l1) + 1;
}

TEST(a_small_cap_has_more_marks)
{
    struct cache c;
    open_marking(&c, NIGH_POLICY_LFU, 0);
    CHECK_EQ(one_in(&c), 64);
    CHECK(!marks_suit(c.l1, 10000, 100));
    CHECK(marks_suit(c.l1, 500, 100));
    CHECK_EQ(one_in(&c), 2);
    CHECK(marks_suit(c.l1, 2000, 100));
    CHECK_EQ(one_in(&c), 8);
    CHECK(marks_suit(c.l1, 5000, 100));
    CHECK_EQ(one_in(&c), 16);
    CHECK(marks_suit(c.l1, 10000, 100));
    CHECK_EQ(one_in(&c), 64);
    cache_close(&c);
}

/* A hit of a marked key costs more, so of many reads fewer are told. */
TEST(at_a_high_rate_a_small_cap_has_fewer_marks)
{
    struct cache c;
    open_marking(&c, NIGH_POLICY_LFU, 0);
    CHECK(marks_suit(c.l1, 300, 8 * MARKS_READS_MOST));
    CHECK_EQ(one_in(&c), 8);
    CHECK(!marks_suit(c.l1, 300, 12 * MARKS_READS_MOST)); /* not much more */
    CHECK(marks_suit(c.l1, 300, 1000 * MARKS_READS_MOST));
    CHECK_EQ(one_in(&c), 64);
    CHECK(marks_suit(c.l1, 300, 0));
    CHECK_EQ(one_in(&c), 2);
    cache_close(&c);
}

/* A recording says at its beginning of which keys it is. */
TEST(marks_are_never_fewer_than_was_asked_for)
{
    struct cache c;
    open_marking(&c, NIGH_POLICY_LFU, 4);
    marks_suit(c.l1, 100000, 0);
    CHECK_EQ(one_in(&c), 4);
    marks_suit(c.l1, 300, 1000 * MARKS_READS_MOST);
    CHECK_EQ(one_in(&c), 4);
    cache_close(&c);
    open_marking(&c, NIGH_POLICY_LFU, 1);
    CHECK(!marks_suit(c.l1, 300, 0));
    CHECK_EQ(one_in(&c), 1);
    cache_close(&c);
}

TEST(after_a_walk_hits_of_what_was_there_are_told_by_the_new_marks)
{
    for (size_t p = 0; p < ARRAY_COUNT(each_policy); p++) {
        struct cache c;
        uint64_t told, marked;
        open_marking(&c, each_policy[p], 0);
        for (unsigned i = 0; i < KEYS; i++)
            REQUIRE_EQ(cache_put_size(&c, i, 16), L1_STORED);
        hit_all(&c, 3, &told, &marked);
        REQUIRE(marks_suit(c.l1, 500, 0));
        marks_walk(c.l1);
        hit_all(&c, 3, &told, &marked);
        CHECK_EQ(told, marked);
        CHECK(told > KEYS);
        REQUIRE(marks_fewest(c.l1));
        marks_walk(c.l1);
        hit_all(&c, 3, &told, &marked);
        CHECK_EQ(told, marked);
        CHECK(told < KEYS / 4);
        cache_close(&c);
    }
}

/* ... marked or not. */
TEST(a_counter_counts_as_ever)
{
    struct cache c;
    open_marking(&c, NIGH_POLICY_LFU, 2);
    for (unsigned i = 0; i < 64; i++) {
        cache_put_size(&c, i, 16);
        struct l1_entry *e = entry_of(&c, i);
        for (unsigned hits = 0; hits < 6; hits++) {
            CHECK_EQ(entry_freq(e), hits < ENTRY_FREQ_MAX ? hits : ENTRY_FREQ_MAX);
            l1_touch(e, 0);
        }
        entry_freq_set(e, 1, true);
        CHECK_EQ(entry_freq(e), 1);
        CHECK(l1_touch(e, 0) & L1_TOUCHED_SAMPLED);
        CHECK(l1_touch(e, 0) & L1_TOUCHED_SAMPLED);
        CHECK(!(l1_touch(e, 0) & L1_TOUCHED_SAMPLED)); /* full: the policy has heard of it */
    }
    cache_close(&c);
}

TEST(generations_are_told_apart_as_ever)
{
    struct cache c;
    open_marking(&c, NIGH_POLICY_LRU, 2);
    for (unsigned i = 0; i < 64; i++) {
        cache_put_size(&c, i, 16);
        struct l1_entry *e = entry_of(&c, i);
        uint8_t now = GENERATION_BIT;
        for (unsigned n = 0; n < 100; n++) {
            l1_touch(e, now);
            CHECK_EQ(generation_age(now, entry_spare(e)), 0);
            CHECK(!(entry_spare(e) & GENERATION_NEW));
            CHECK_EQ(generation_age(generation_plus(now, 9), entry_spare(e)), 9);
            now = generation_plus(now, 1);
        }
    }
    cache_close(&c);
}

/* ---- what a refresh has brought ---- */

static void refresh(struct cache *c, unsigned number, size_t len)
{
    static const char bytes[64];
    struct l1_value value = cache_value(c, bytes, len);
    value.flags = L1_REFRESHED;
    REQUIRE_EQ(cache_store(c, number, &value), L1_STORED);
}

/* Hit a key as a reader does. Returns whether takers of marked keys would have been told. */
static bool hit(struct cache *c, unsigned number)
{
    struct l1_entry *e = entry_of(c, number);
    uint32_t touched = l1_touch(e, l1_generation(&c->space.hit));
    return (touched & L1_TOUCHED_MARKED) && (!l1_entry_refreshed(e) || l1_note_read(c->l1, e));
}

static uint64_t wasted(struct cache *c)
{
    return stats_read(&c->stats, STATS_REFRESH_WASTED);
}

/* Take a value out of the cache, in one of the ways. */
static void leave(struct cache *c, unsigned number, unsigned way)
{
    if (way == 0)
        cache_remove(c, number);
    else if (way == 1)
        cache_own(c, number, 16);
    else
        cache_put_size(c, number, way == 2 ? 16 : 40);
}

/* Of marked keys it is not known; as many others count twice. */
static unsigned counts_for(struct cache *c, unsigned number)
{
    struct name name;
    uint64_t hash = cache_key(c, &name, number).hash;
    return is_marked(c, number) ? 0
           : l1_mask_marks(l1_mark_mask(c->l1), hash - (UINT64_C(1) << L1_MARK_SHIFT)) ? 2 : 1;
}

/* A third is read; keys had been hit before, more or less often, or were not there. */
TEST(a_refreshed_value_is_wasted_if_it_leaves_unread)
{
    for (size_t p = 0; p < ARRAY_COUNT(each_policy); p++) {
        struct cache c;
        uint64_t expected = 0;
        open_marking(&c, each_policy[p], 8);
        for (unsigned i = 0; i < KEYS; i++) {
            for (unsigned n = 0; n < i % 7; n++) {
                if (n == 0)
                    cache_put_size(&c, i, 16);
                hit(&c, i);
            }
            refresh(&c, i, i % 2 ? 16 : 40);
            bool read = i % 3 == 0;
            for (unsigned n = 0; n < 5 && read; n++)
                CHECK_EQ(hit(&c, i), is_marked(&c, i));
            expected += read ? 0 : counts_for(&c, i);
            leave(&c, i, i / 3 % 4);
            CHECK_EQ(wasted(&c), expected);
        }
        CHECK(expected > KEYS / 2 && expected < KEYS);
        cache_close(&c);
    }
}

TEST(a_value_in_the_place_of_a_refreshed_one_is_told_as_its_key_is)
{
    for (size_t p = 0; p < ARRAY_COUNT(each_policy); p++) {
        struct cache c;
        uint64_t told, marked, expected = 0;
        open_marking(&c, each_policy[p], 8);
        for (unsigned i = 0; i < KEYS; i++) {
            expected += 2 * counts_for(&c, i);
            cache_put_size(&c, i, 16);
            refresh(&c, i, 16);
            refresh(&c, i, 16); /* the next one: that before was not read */
            cache_put_size(&c, i, 16);
        }
        hit_all(&c, 3, &told, &marked);
        CHECK_EQ(told, marked);
        CHECK_EQ(wasted(&c), expected);
        cache_close(&c);
    }
}
