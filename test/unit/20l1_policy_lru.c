// SPDX-License-Identifier: MIT
// `lru` evicts the oldest, unless it was hit since.

#include "l1/room.h"
#include "support/l1_cache.h"

static void evict(struct cache *c, unsigned count)
{
    struct l1_shard *s = &c->l1->shards[0];
    l1_shard_lock(s);
    while (count--)
        REQUIRE(l1_shard_evict_locked(c->l1, s));
    l1_shard_unlock(c->l1, s);
}

TEST(the_oldest_goes_first)
{
    struct cache c;
    cache_open_policy(&c, NIGH_POLICY_LRU, 1 << 20, 1);
    for (unsigned i = 0; i < 40; i++)
        cache_put_size(&c, i, 16);
    for (unsigned i = 0; i < 40; i++) {
        CHECK(cache_has(&c, i));
        evict(&c, 1);
        CHECK(!cache_has(&c, i));
        CHECK(i == 39 || cache_has(&c, i + 1));
    }
    CHECK_EQ(stats_read(&c.stats, STATS_L1_EVICT), 40);
    cache_close(&c);
}

TEST(order_of_arrival_survives_many_rounds)
{
    struct cache c;
    cache_open_policy(&c, NIGH_POLICY_LRU, 1 << 20, 1);
    for (unsigned i = 0; i < 40; i++)
        cache_put_size(&c, i, 16);
    for (unsigned i = 40; i < 1000; i++) {
        evict(&c, 1);
        CHECK(!cache_has(&c, i - 40));
        CHECK(cache_has(&c, i - 39));
        cache_reclaim(&c); /* so that slots are used again */
        cache_put_size(&c, i, 16);
    }
    CHECK_LE(c.l1->shards[0].ring.capacity, 64);
    cache_close(&c);
}

static uint8_t freq_of(struct cache *c, unsigned number)
{
    struct name name;
    struct l1_key key = cache_key(c, &name, number);
    rcu_enter();
    struct l1_entry *e = l1_find_rcu(c->l1, &key);
    uint8_t freq = e ? entry_freq(e) : 0;
    rcu_leave();
    return freq;
}

/* Three hits, or more: passed twice, with half the count each time. */
TEST(hits_give_two_more_rounds_at_most)
{
    struct cache c;
    cache_open_policy(&c, NIGH_POLICY_LRU, 1 << 20, 1);
    for (unsigned i = 0; i < 16; i++)
        cache_put_size(&c, i, 16);
    cache_touch(&c, 3);
    uint8_t freq = 3;
    unsigned passed = 0;
    for (unsigned i = 100; cache_has(&c, 3); i++) {
        REQUIRE(i < 1000);
        cache_put_size(&c, i, 16);
        evict(&c, 1);
        cache_reclaim(&c);
        if (freq_of(&c, 3) == freq)
            continue;
        CHECK_EQ(freq_of(&c, 3), freq / 2);
        freq /= 2;
        passed++;
    }
    CHECK_EQ(passed, 2);
    cache_close(&c);
}

TEST(who_was_hit_is_passed)
{
    struct cache c;
    cache_open_policy(&c, NIGH_POLICY_LRU, 1 << 20, 1);
    for (unsigned i = 0; i < 16; i++)
        cache_put_size(&c, i, 16);
    cache_touch(&c, 3);
    cache_touch(&c, 5);
    evict(&c, 14); /* all the others: one round */
    CHECK(cache_has(&c, 3) && cache_has(&c, 5));
    CHECK_EQ(cache_gauges(&c).entries, 2);
    evict(&c, 1); /* their hits are used up by rounds */
    CHECK(!cache_has(&c, 3) && cache_has(&c, 5));
    cache_close(&c);
}

TEST(a_replaced_value_keeps_its_popularity)
{
    struct cache c;
    cache_open_policy(&c, NIGH_POLICY_LRU, 1 << 20, 1);
    cache_put_size(&c, 0, 16);
    cache_touch(&c, 0);
    cache_put_size(&c, 0, 16);
    for (unsigned i = 1; i < 10; i++)
        cache_put_size(&c, i, 16);
    evict(&c, 9);
    CHECK(cache_has(&c, 0));
    cache_close(&c);
}

/* It keeps its age, but a write is a use. */
TEST(a_replaced_value_gets_another_round)
{
    struct cache c;
    cache_open_policy(&c, NIGH_POLICY_LRU, 1 << 20, 1);
    for (unsigned i = 0; i < 10; i++)
        cache_put_size(&c, i, 16);
    cache_own(&c, 2, 16);
    evict(&c, 9);
    CHECK(cache_has(&c, 2));
    CHECK_EQ(cache_gauges(&c).entries, 1);
    cache_close(&c);
}

TEST(work_per_victim_is_bounded_when_all_are_hot)
{
    struct cache c;
    cache_open_policy(&c, NIGH_POLICY_LRU, 4 << 20, 1);
    for (unsigned i = 0; i < 2000; i++) {
        cache_put_size(&c, i, 16);
        cache_touch(&c, i);
    }
    evict(&c, 1);
    unsigned cooled = 0;
    struct l1_ring *r = &c.l1->shards[0].ring;
    for (uint32_t slot = 0; slot < r->capacity; slot++)
        cooled += ring_is_live(r->words[slot]) && entry_freq(ring_entry(r, slot)) < 3;
    CHECK_EQ(cooled, 128);
    CHECK_EQ(cache_gauges(&c).entries, 1999);
    cache_close(&c);
}

TEST(an_empty_shard_has_no_victim)
{
    struct cache c;
    cache_open_policy(&c, NIGH_POLICY_LRU, 1 << 20, 1);
    struct l1_shard *s = &c.l1->shards[0];
    l1_shard_lock(s);
    CHECK_EQ(l1_shard_evict_locked(c.l1, s), 0);
    CHECK_EQ(policy_lru.victim(c.l1, s), RING_NONE);
    l1_shard_unlock(c.l1, s);
    cache_close(&c);
}
