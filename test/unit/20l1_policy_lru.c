// SPDX-License-Identifier: MIT
// `lru` evicts who was hit least recently: what a hand does with generations.
// (How near it comes to an exact order is in 20l1_lru_exact.c.)

#include "l1/leave.h"
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

/* To a quarter of a round: sixteen slots are one generation here. */
TEST(order_of_arrival_survives_many_rounds)
{
    struct cache c;
    cache_open_policy(&c, NIGH_POLICY_LRU, 1 << 20, 1);
    for (unsigned i = 0; i < 40; i++)
        cache_put_size(&c, i, 16);
    for (unsigned i = 40; i < 1000; i++) {
        evict(&c, 1);
        for (unsigned back = 1; back < 20; back++)
            CHECK(cache_has(&c, i - back));
        cache_reclaim(&c); /* so that slots are used again */
        cache_put_size(&c, i, 16);
        CHECK(i < 72 || !cache_has(&c, i - 72));
    }
    CHECK_LE(c.l1->shards[0].ring.capacity, 64);
    cache_close(&c);
}

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

/* Half as many hot ones as fit: a stream of others goes round and round beside them. */
static void stream_beside_hot(struct cache *c, unsigned hot, unsigned from, unsigned count)
{
    for (unsigned h = 0; h < hot; h++)
        cache_touch(c, h);
    for (unsigned i = from; i < from + count; i++) {
        for (unsigned h = 0; h < 16; h++)
            cache_touch(c, (16 * i + h) % hot);
        evict(c, 1);
        cache_put_size(c, i, 16);
        cache_reclaim(c);
    }
}

/* Open a cache of this policy in which hits of these few keys are not told: 20l1_marks.c. */
static void open_unmarked(struct cache *c)
{
    struct name name;
    for (uint64_t seed = check_seed();; seed++) {
        fake_env_init(&c->fake, seed);
        struct l1_config config = cache_config(c, 1 << 20, 1);
        config.policy = NIGH_POLICY_LRU;
        cache_open_config(c, config);
        if (!l1_marks(c->l1, cache_key(c, &name, 0).hash))
            return;
        cache_close(c);
    }
}

TEST(a_hit_stores_once_in_a_generation)
{
    struct cache c;
    open_unmarked(&c);
    uint8_t generation = l1_generation(&c.space.hit);
    cache_put_size(&c, 0, 16);
    struct l1_entry *e = entry_of(&c, 0);
    CHECK_EQ(entry_spare(e), generation | GENERATION_NEW);
    generation = l1_generation(&c.space.hit);
    CHECK(!l1_touch(e, generation));
    CHECK_EQ(entry_spare(e), generation);
    CHECK(!l1_touch(e, generation));
    CHECK_EQ(entry_spare(e), generation);
    cache_put_size(&c, 1, 16); /* one of two: so much is a generation while it fills */
    CHECK_EQ(generation_age(l1_generation(&c.space.hit), entry_spare(e)), 1);
    cache_touch(&c, 0);
    CHECK_EQ(entry_spare(e), l1_generation(&c.space.hit));
    cache_close(&c);
}

TEST(generations_go_round)
{
    uint8_t generation = GENERATION_BIT;
    for (unsigned i = 0; i < 200; i++) {
        uint8_t later = generation;
        for (unsigned age = 0; age <= GENERATION_MASK; age++) {
            CHECK(later & GENERATION_BIT && !(later & GENERATION_NEW));
            CHECK_EQ(generation_age(later, generation), age);
            CHECK_EQ(generation_age(later, generation | GENERATION_NEW), age);
            later = generation_plus(later, 1);
        }
        generation = generation_plus(generation, 1);
    }
}

TEST(what_is_hot_stays_and_what_was_hot_goes)
{
    struct cache c;
    cache_open_policy(&c, NIGH_POLICY_LRU, 1 << 20, 1);
    for (unsigned i = 0; i < 100; i++)
        cache_put_size(&c, i, 16);
    stream_beside_hot(&c, 50, 1000, 1000);
    for (unsigned i = 0; i < 50; i++)
        CHECK(cache_has(&c, i));
    for (unsigned i = 50; i < 100; i++)
        CHECK(!cache_has(&c, i));
    stream_beside_hot(&c, 20, 3000, 400);
    for (unsigned i = 0; i < 20; i++)
        CHECK(cache_has(&c, i));
    unsigned left = 0;
    for (unsigned i = 20; i < 50; i++)
        left += cache_has(&c, i);
    CHECK_LE(left, 3);
    cache_close(&c);
}

/* All shards' hands make the time: four quarters of four rings. */
TEST(a_generation_is_a_quarter_of_all_rings)
{
    struct cache c;
    cache_open_policy(&c, NIGH_POLICY_LRU, 2 << 20, 4);
    for (unsigned i = 0; i < 200; i++)
        cache_put_size(&c, i, 16);
    for (unsigned i = 0; i < 200; i++)
        cache_touch(&c, i);
    for (unsigned round = 0; round < 3; round++) {
        uint8_t began = l1_generation(&c.space.hit);
        for (unsigned i = 0; i < 4; i++) {
            struct l1_shard *s = &c.l1->shards[i];
            uint64_t hash;
            l1_shard_lock(s);
            for (uint32_t slot = 0; slot < s->ring.capacity / 4; slot++)
                policy_lru.victim(c.l1, s, &hash); /* finds at least one slot further on */
            l1_shard_unlock(c.l1, s);
        }
        CHECK_GE(generation_age(l1_generation(&c.space.hit), began), 1);
    }
    cache_close(&c);
}

/* A scan does not take the time of what is hit; keys that are hit once each get all of it. */
TEST(newcomers_have_less_time_while_none_is_hit)
{
    struct cache c;
    cache_open_policy(&c, NIGH_POLICY_LRU, 1 << 20, 1);
    const uint32_t *never_hit = c.l1->shards[0].policy; /* the first thing in its state */
    for (unsigned i = 0; i < 100; i++)
        cache_put_size(&c, i, 16);
    stream_beside_hot(&c, 50, 1000, 1000);
    CHECK_GT(*never_hit, 62000);
    for (unsigned i = 5000; i < 7000; i++) {
        evict(&c, 1);
        cache_put_size(&c, i, 16);
        cache_touch(&c, i);
        cache_reclaim(&c);
    }
    CHECK_LT(*never_hit, 2000);
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
    evict(&c, 1); /* they are the same age: in order of arrival */
    CHECK(!cache_has(&c, 3) && cache_has(&c, 5));
    cache_close(&c);
}

TEST(a_replaced_value_keeps_its_popularity)
{
    struct cache c;
    cache_open_policy(&c, NIGH_POLICY_LRU, 1 << 20, 1);
    for (unsigned i = 0; i < 10; i++)
        cache_put_size(&c, i, 16);
    cache_touch(&c, 0);
    cache_put_size(&c, 0, 16);
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
    uint8_t began = l1_generation(&c.space.hit);
    evict(&c, 3); /* a quarter of the ring is more than three times as much may be looked at */
    CHECK_GT(c.l1->shards[0].ring.capacity, 1600);
    CHECK_LE(generation_age(l1_generation(&c.space.hit), began), 1);
    CHECK_EQ(cache_gauges(&c).entries, 1997);
    cache_close(&c);
}

TEST(an_empty_shard_has_no_victim)
{
    struct cache c;
    cache_open_policy(&c, NIGH_POLICY_LRU, 1 << 20, 1);
    struct l1_shard *s = &c.l1->shards[0];
    uint64_t hash = 0;
    l1_shard_lock(s);
    CHECK_EQ(l1_shard_evict_locked(c.l1, s), 0);
    CHECK_EQ(policy_lru.victim(c.l1, s, &hash), RING_NONE);
    l1_shard_unlock(c.l1, s);
    cache_close(&c);
}

/* The beginning of its state, as policy_lru.c has it. */
struct lru_state {
    uint32_t never_hit, hand, inserts, next;
    uint64_t next_hash;
};

/* Whether the hash made ahead, if there is one, is that of the entry in its slot. */
static bool next_is_right(struct cache *c, unsigned *count)
{
    const struct l1_shard *s = &c->l1->shards[0];
    const struct lru_state *lru = s->policy;
    *count += lru->next != RING_NONE;
    return lru->next == RING_NONE ||
           (ring_is_live(s->ring.words[lru->next]) &&
            entry_hash(c->l1, ring_entry(&s->ring, lru->next)) == lru->next_hash);
}

static void remove_next(struct cache *c)
{
    struct l1_shard *s = &c->l1->shards[0];
    const struct lru_state *lru = s->policy;
    l1_shard_lock(s);
    if (lru->next != RING_NONE)
        l1_shard_remove_locked(c->l1, s, ring_entry(&s->ring, lru->next), L1_FATE_EVICTED);
    l1_shard_unlock(c->l1, s);
}

/* The next victim is hashed ahead. Until it goes its key may be removed, its slot be another key's,
 * and that one grow old: under a wrong hash it would not be found in the table. */
TEST(a_hash_made_ahead_is_forgotten_with_its_entry)
{
    struct cache c;
    unsigned known = 0;
    uint64_t random = check_seed();
    cache_open_policy(&c, NIGH_POLICY_LRU, 1 << 20, 1);
    for (unsigned i = 0; i < 40000; i++) {
        if (check_random(&random) % 4 == 0)
            remove_next(&c);
        else
            cache_put_size(&c, i, 100);
        CHECK(next_is_right(&c, &known));
        if (i % 64 == 0)
            cache_reclaim(&c);
    }
    CHECK_GT(known, 1000);
    cache_audit(&c);
    cache_close(&c);
}
