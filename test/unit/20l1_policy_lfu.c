// SPDX-License-Identifier: MIT
// `lfu` over a real shard: readers' hits arrive in the sketch and in the shadows, short lifetimes
// do not pass for popularity, and its tables grow and are cut with the ring.

#include "l1/lfu.h"
#include "l1/room.h"
#include "l1/shadow.h"
#include "support/l1_cache.h"

/* The first thing in a shard's state. */
static const struct lfu *core_of(struct cache *c)
{
    return c->l1->shards[0].policy;
}

/* The state of all shards. */
static struct shadows *shadows_of(struct cache *c)
{
    return c->l1->policy_common;
}

static void open_counted(struct cache *c, uint64_t entries, uint32_t shards)
{
    fake_env_init(&c->fake, check_seed());
    struct l1_config config = cache_config(c, 32u << 20, shards);
    config.entries = entries;
    cache_open_config(c, config);
}

/* Get, and on a miss put. */
static bool ask(struct cache *c, unsigned number)
{
    static unsigned asked;
    if (++asked % 64 == 0)
        l1_reclaim(c->l1);
    if (cache_note_hit(c, number))
        return true;
    cache_put_size(c, number, 16);
    return false;
}

static unsigned ask_range(struct cache *c, unsigned from, unsigned to)
{
    unsigned hits = 0;
    for (unsigned i = from; i < to; i++)
        hits += ask(c, i);
    return hits;
}

TEST(hits_of_readers_hold_against_a_scan)
{
    struct cache c;
    open_counted(&c, 1024, 2);
    for (unsigned round = 0; round < 8; round++)
        ask_range(&c, 0, 700);
    ask_range(&c, 10000, 20000);
    CHECK_GE(ask_range(&c, 0, 700), 640);
    CHECK_LE(cache_gauges(&c).entries, 1024);
    cache_audit(&c);
    cache_close(&c);
}

/* Under a cap of bytes a shard's capacity is what it holds, so there is always something free
 * beside it: what the last victim was larger than who came. If main took newcomers for that, each
 * would get in. */
TEST(what_is_free_between_two_victims_is_not_for_everybody)
{
    struct cache c;
    cache_open(&c, 4 << 20, 1);
    uint64_t random = check_seed();
    unsigned hits = 0;
    for (unsigned i = 0; i < 60000; i++) {
        if (i % 64 == 0)
            l1_reclaim(c.l1);
        uint64_t r = check_random(&random); /* each octave of keys as often: about a Zipf law */
        unsigned popular = (unsigned)((r >> 32) % 20000 >> r % 8);
        unsigned key = i % 3 ? 100000 + i : popular;
        if (cache_note_hit(&c, key))
            hits++;
        else
            cache_put_size(&c, key, 1000 + key * 7 % 500);
    }
    check_note("%u hits", hits);
    CHECK_GE(hits, 8200); /* 9,400; 7,300 if they did */
    cache_audit(&c);
    cache_close(&c);
}

/* In a loop only the smallest windows are good, and the shadows see that in what is reported. */
TEST(shards_use_the_window_that_shadows_choose)
{
    struct cache c;
    open_counted(&c, 768, 1);
    for (unsigned i = 0; i < 60000; i++) { /* new, once more soon after, never again */
        ask(&c, (1u << 20) + i + 300);
        ask(&c, (1u << 20) + i);
    }
    CHECK_GE(shadows_choice(shadows_of(&c)).window_permille, 400);
    for (unsigned round = 0; round < 80; round++)
        ask_range(&c, 0, 1000);
    CHECK_LE(shadows_choice(shadows_of(&c)).window_permille, 50);
    CHECK_GE(ask_range(&c, 0, 1000), 690);
    cache_close(&c);
}

/* What readers find is fed to the shadows as well as what they miss, hot keys again and again. */
TEST(hits_of_readers_reach_the_shadows)
{
    struct cache c;
    open_counted(&c, 768, 1);
    struct shadows *s = shadows_of(&c);
    for (unsigned round = 0; round < 100; round++) {
        ask_range(&c, 0, 100);
        ask(&c, 10000 + round);
    }
    uint32_t k = atomic_load_explicit(&s->mask, memory_order_relaxed) + 1;
    double hits = 0;
    for (unsigned i = 0; i < s->count; i++)
        hits = s->score[i] + s->hits[i] > hits ? s->score[i] + s->hits[i] : hits;
    CHECK_GE(hits, 100.0 * 100 / k / 4); /* of 9,900; scores fade */
    cache_close(&c);
}

/* Keys that miss because they expire do not drive out one that is asked for as often. */
TEST(a_short_lifetime_is_no_popularity)
{
    struct cache c;
    open_counted(&c, 256, 1);
    for (unsigned round = 0; round < 40; round++) { /* those in main are old, the window small */
        ask_range(&c, 0, 200);
        ask_range(&c, 10000 + 300 * round, 10300 + 300 * round);
        fake_env_advance(&c.fake, 10 * NS_PER_S);
    }
    for (unsigned round = 0; round < 40; round++) {
        struct l1_value v = cache_value(&c, "x", 1);
        v.fresh_until_ns = v.stale_until_ns = v.born_ns + NS_PER_S / 2;
        for (unsigned i = 0; i < 200; i++)
            cache_store(&c, 50000 + i, &v);
        fake_env_advance(&c.fake, NS_PER_S);
        l1_expire(c.l1, 1000000);
        l1_reclaim(c.l1);
    }
    CHECK_GE(ask_range(&c, 0, 200), 180);
    cache_close(&c);
}

/* Requests come 600 in a second of a clock in the hand. */
#define LIVING_REQUESTS 80000u

struct living {
    unsigned key;
    uint64_t life_ns; /* of what a miss brings; 0: for ever */
};

/* About a Zipf law: each octave of keys as often. */
static unsigned draw_popular(uint64_t *random, unsigned keys, unsigned octaves)
{
    uint64_t r = check_random(random);
    return (unsigned)((r >> 32) % keys >> r % octaves);
}

/* One value in two lives for ten seconds, the others for ever. */
static struct living half_10s(unsigned i, uint64_t *random)
{
    (void)i;
    unsigned key = draw_popular(random, 20000, 10);
    return (struct living){key, key % 2 ? 10 * NS_PER_S : 0};
}

/* Three requests in four are for keys that never come again, and live for five seconds: answers
 * "does not exist", for one. */
static struct living strangers_5s(unsigned i, uint64_t *random)
{
    if (i % 4)
        return (struct living){100000 + i, 5 * NS_PER_S};
    return (struct living){draw_popular(random, 1500, 3), 0};
}

/* Get, and on a miss store. */
static bool ask_living(struct cache *c, const struct living *l)
{
    fake_env_advance(&c->fake, NS_PER_S / 600);
    if (cache_note_hit(c, l->key))
        return true;
    struct l1_value v = cache_value(c, "x", 1);
    if (l->life_ns)
        v.fresh_until_ns = v.stale_until_ns = (uint64_t)v.born_ns + l->life_ns;
    cache_store(c, l->key, &v);
    return false;
}

/* Returns the hits of the second half of the requests, in permille of these. */
static unsigned replay_living(struct living (*draw)(unsigned i, uint64_t *random))
{
    struct cache c;
    unsigned hits = 0;
    uint64_t random = check_seed();
    open_counted(&c, 1000, 1);
    for (unsigned i = 0; i < LIVING_REQUESTS; i++) {
        struct living l = draw(i, &random);
        bool hit = ask_living(&c, &l);
        hits += hit && i >= LIVING_REQUESTS / 2;
        if (i % 64 == 0)
            l1_reclaim(c.l1);
        if (i % 128 == 0)
            l1_expire(c.l1, UINT32_MAX);
    }
    cache_close(&c);
    return hits * 1000 / (LIVING_REQUESTS / 2);
}

/* ... of values that live about as long as others stay; those of shorter ones do not. */
TEST(misses_count_where_a_value_lives_long_enough_to_be_worth_its_place)
{
    unsigned half = replay_living(half_10s);
    unsigned strangers = replay_living(strangers_5s);
    check_note("%u and %u permille of hits", half, strangers);
    CHECK_GE(half, 575);
    CHECK_GE(strangers, 197);
}

/* Sixteen shards of one cache do what one does. */
TEST(many_shards_are_as_good_as_one)
{
    unsigned hits[2] = {0};
    for (unsigned i = 0; i < 2; i++) {
        struct cache c;
        open_counted(&c, 4096, i ? 16 : 1);
        uint64_t random = check_seed();
        for (unsigned n = 0; n < 200000; n++) {
            uint64_t r = check_random(&random); /* popular by the logarithm: about a Zipf law */
            unsigned key = (unsigned)((r >> 32) % 20000 >> (r & 7));
            hits[i] += ask(&c, key);
        }
        cache_close(&c);
    }
    check_note("one shard: %u hits, sixteen: %u", hits[0], hits[1]);
    CHECK_GE(hits[1] * 100, hits[0] * 98);
}

TEST(tables_are_cut_with_the_ring)
{
    struct cache c;
    cache_open(&c, 16 << 20, 4);
    for (unsigned i = 0; i < 60000; i++)
        ask(&c, i);
    uint32_t most = core_of(&c)->slots;
    CHECK_EQ(most, c.l1->shards[0].ring.capacity);
    REQUIRE_EQ(l1_set_memory(c.l1, 4 << 20, 0), 0);
    for (int pass = 0; pass < 300; pass++) {
        l1_reclaim(c.l1);
        fake_env_advance(&c.fake, NS_PER_MS);
    }
    CHECK_LT(core_of(&c)->slots, most * 3 / 4);
    CHECK_EQ(core_of(&c)->slots, c.l1->shards[0].ring.capacity);
    cache_audit(&c);
    ask_range(&c, 0, 30000);
    cache_audit(&c);
    cache_close(&c);
}

/* In place, and weighed anew where that has changed. */
TEST(replaced_values_of_all_sizes_leave_the_queues_whole)
{
    struct cache c;
    cache_open(&c, 1 << 20, 1);
    uint64_t random = check_seed();
    for (unsigned i = 0; i < 30000; i++) {
        unsigned number = (unsigned)(check_random(&random) % 4000);
        size_t len = check_random(&random) % 4 ? 100 : check_random(&random) % 1500;
        if (check_random(&random) % 2)
            cache_own(&c, number, len);
        else
            cache_put_size(&c, number, len);
        if (i % 64 == 0)
            l1_reclaim(c.l1);
        if (i % 1000 == 0) {
            CHECK(lfu_is_valid(core_of(&c)));
            cache_audit(&c);
        }
    }
    CHECK_GT(stats_read(&c.stats, STATS_L1_EVICT), 1000);
    cache_close(&c);
}

/* A shard's ring may be larger than what the policy has memory for: only limbo lies up there. */
static bool slots_are_the_policys(const struct l1_shard *s)
{
    for (uint32_t slot = ((const struct lfu *)s->policy)->slots; slot < s->ring.capacity; slot++)
        if (ring_is_live(s->ring.words[slot]))
            return false;
    return true;
}

/* Who has to go next: it will be found again. */
static unsigned next_victim(struct cache *c, struct l1_shard *s)
{
    struct lfu_choice choice = shadows_choice(shadows_of(c));
    struct lfu_incoming nobody = {.weight = 0};
    struct lfu *core = s->policy;
    unsigned number = 0;
    l1_shard_lock(s);
    uint32_t slot = lfu_victim(core, &choice, &nobody);
    REQUIRE(slot < s->ring.capacity);
    struct bytes key = l1_entry_key(ring_entry(&s->ring, slot));
    for (size_t i = strlen("key:"); i < key.len; i++)
        number = number * 10 + (unsigned)(((const char *)key.data)[i] - '0');
    l1_shard_unlock(c->l1, s);
    return number;
}

/* Room is made by evicting the very one that is to be replaced: then its key is a new one, and
 * needs what new ones do. (It was stored in a slot for which the policy had no place yet.) */
TEST(a_value_whose_old_one_was_evicted_for_it_is_a_new_one)
{
    struct cache c;
    cache_open(&c, 1u << 20, 1);
    struct l1_shard *s = &c.l1->shards[0];
    for (unsigned i = 0; i < 8000; i++) {
        cache_own(&c, i, 100);
        if (i % 64 == 0)
            l1_reclaim(c.l1);
    }
    cache_reclaim(&c);
    unsigned number = next_victim(&c, s);
    REQUIRE(cache_has(&c, number));
    uint64_t evicted = stats_read(&c.stats, STATS_L1_EVICT);
    uint32_t capacity = s->ring.capacity;
    s->ring.free = L1_LIST_EMPTY; /* so the ring grows, and there is no room for that either */
    s->spare_bytes = 0;
    while (budget_borrow(c.l1, 16))
        continue;
    cache_own(&c, number, 100);
    CHECK_GT(stats_read(&c.stats, STATS_L1_EVICT), evicted);
    CHECK_GT(s->ring.capacity, capacity);
    CHECK(slots_are_the_policys(s));
    CHECK(lfu_is_valid(core_of(&c)));
    cache_close(&c);
}

/* Who asks why values were not stored can tell a contest from a lack of room. */
TEST(newcomers_that_lose_are_counted)
{
    struct cache c;
    cache_open(&c, 4 << 20, 1);
    for (unsigned i = 0; i < 3000; i++)
        cache_put_size(&c, i, 1000);
    for (unsigned round = 0; round < 3; round++)
        for (unsigned i = 0; i < 3000; i++)
            cache_note_hit(&c, i);
    for (unsigned i = 0; i < 2000; i++) { /* until it is full, and its hands have seen the hits */
        cache_put_size(&c, 10000 + i, 1000);
        if (i % 64 == 0)
            l1_reclaim(c.l1);
    }
    CHECK_EQ(stats_read(&c.stats, STATS_L1_REFUSED_POLICY), 0); /* these wait in the window */
    unsigned refused = 0;
    for (unsigned i = 0; i < 20; i++) {
        refused += cache_put_size(&c, 20000 + i, 100000) == L1_REFUSED_FULL;
        l1_reclaim(c.l1);
    }
    CHECK_GE(refused, 1);
    CHECK_EQ(stats_read(&c.stats, STATS_L1_REFUSED_POLICY), refused);
    cache_audit(&c);
    cache_close(&c);
}
