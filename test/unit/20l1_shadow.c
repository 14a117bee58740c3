// SPDX-License-Identifier: MIT
// Shadow caches find the window that suits the traffic, and find another when it changes; they know
// how long values live and which are invalidated, have nodes enough for every choice, and stay
// within their part of the cap.

#include "l1/leave.h"
#include "l1/shadow.h"
#include "support/l1_cache.h"

#define ENTRIES 512u

static uint64_t hash_of(uint64_t key)
{
    uint64_t state = check_seed() + key;
    return check_random(&state);
}

static void make(struct shadows *s, struct mem *mem, bool by_count, uint64_t weight)
{
    shadows_init(s, by_count);
    struct shadows_size size = shadows_size_for(s, mem, ENTRIES, 64u << 20);
    REQUIRE(size.nodes);
    REQUIRE(shadows_claim(s, ENTRIES));
    size_t old_bytes;
    void *block = mem_alloc(mem, NULL, shadows_bytes(s, size.nodes));
    REQUIRE(block);
    CHECK(!shadows_move(s, block, size, weight, &old_bytes));
}

/* A request that the cache misses, at a time, for a value that lives so long. */
static struct shadows_request miss_of(uint64_t key, uint64_t now_ns, uint64_t life_ns)
{
    return (struct shadows_request){.hash = hash_of(key),
                                    .weight = 1,
                                    .now_ns = now_ns,
                                    .until_ns = now_ns + life_ns,
                                    .life_ns = life_ns};
}

static void feed_living(struct shadows *s, uint64_t key, uint64_t now_ns, uint64_t life_ns)
{
    struct shadows_request r = miss_of(key, now_ns, life_ns);
    shadows_feed(s, &r);
}

static void feed(struct shadows *s, uint64_t key, uint32_t weight)
{
    struct shadows_request r = miss_of(key, 0, NS_PER_S);
    r.weight = weight;
    shadows_feed(s, &r);
}

static uint64_t sampled_key(const struct shadows *s)
{
    uint64_t key = 0;
    while (!shadows_sampled(s, hash_of(key)))
        key++;
    return key;
}

/* While new ones were made the old ones ran out of nodes, which asks for others again. */
TEST(shadows_that_are_to_be_made_anew_compare_their_choices_no_sooner)
{
    struct shadows s;
    size_t old_bytes;
    struct mem *mem = mem_create();
    REQUIRE(mem);
    shadows_init(&s, false);
    struct shadows_size size = shadows_size_for(&s, mem, ENTRIES, 64u << 20);
    REQUIRE(shadows_claim(&s, ENTRIES));
    void *block = mem_alloc(mem, NULL, shadows_bytes(&s, size.nodes));
    REQUIRE(block);
    REQUIRE(shadows_claim(&s, 0));
    CHECK(!shadows_move(&s, block, size, ENTRIES, &old_bytes));
    struct shadows_request r = miss_of(sampled_key(&s), 0, NS_PER_S);
    CHECK(!shadows_feed(&s, &r));
    shadows_fini(&s, mem);
    mem_destroy(mem);
}

/* Each key once more after 128 others, then never again: only a large window holds it so long. */
static uint64_t come_again_soon(struct shadows *s, uint64_t from, unsigned count)
{
    for (uint64_t key = from; key < from + count; key++) {
        feed(s, key + 128, 1);
        feed(s, key, 1);
    }
    return from + count + 128;
}

static void loop(struct shadows *s, unsigned keys, unsigned rounds)
{
    for (unsigned round = 0; round < rounds; round++)
        for (unsigned key = 0; key < keys; key++)
            feed(s, key, 1);
}

TEST(the_window_follows_the_traffic)
{
    struct shadows s;
    struct mem *mem = mem_create();
    REQUIRE(mem);
    make(&s, mem, true, ENTRIES);
    uint64_t next = come_again_soon(&s, 1 << 20, 30000);
    CHECK_GE(shadows_choice(&s).window_permille, 400);
    loop(&s, 2 * ENTRIES, 60);
    CHECK_LE(shadows_choice(&s).window_permille, 50);
    come_again_soon(&s, next, 60000);
    CHECK_GE(shadows_choice(&s).window_permille, 400);
    shadows_fini(&s, mem);
    mem_destroy(mem);
}

/* A chosen window that is too large has cost little by the time it is seen. */
TEST(a_window_grows_step_by_step)
{
    struct shadows s;
    struct mem *mem = mem_create();
    REQUIRE(mem);
    make(&s, mem, true, ENTRIES);
    unsigned before = shadows_choice(&s).window_permille, most = before;
    for (uint64_t key = 1 << 20; key < (1 << 20) + 30000; key++) {
        feed(&s, key + 128, 1);
        feed(&s, key, 1);
        unsigned window = shadows_choice(&s).window_permille;
        CHECK_LE(window, before + 50);
        before = window;
        most = window > most ? window : most;
    }
    CHECK_GE(most, 400);
    shadows_fini(&s, mem);
    mem_destroy(mem);
}

/* ---- lifetimes ---- */

#define STEP_NS (10 * NS_PER_MS)

/* In each step a key comes, another comes again after 128 steps, and one of a loop that is larger
 * than the cache: of that a small window keeps the more. */
static void come_again_beside_a_loop(struct shadows *s, uint64_t from, unsigned count,
                                     uint64_t life_ns)
{
    for (uint64_t i = from; i < from + count; i++) {
        feed_living(s, (1 << 20) + i + 128, i * STEP_NS, life_ns);
        feed_living(s, (1 << 20) + i, i * STEP_NS, life_ns);
        feed_living(s, i % (ENTRIES * 5 / 4), i * STEP_NS, 10000 * NS_PER_S);
    }
}

/* What lives shorter than it takes to come again never hits, in a window of any size. */
TEST(the_window_is_not_chosen_by_hits_that_never_come)
{
    struct shadows s;
    struct mem *mem = mem_create();
    REQUIRE(mem);
    make(&s, mem, true, ENTRIES);
    come_again_beside_a_loop(&s, 0, 40000, 200 * STEP_NS);
    CHECK_GE(shadows_choice(&s).window_permille, 400);
    come_again_beside_a_loop(&s, 40000, 60000, 100 * STEP_NS);
    CHECK_LE(shadows_choice(&s).window_permille, 50);
    shadows_fini(&s, mem);
    mem_destroy(mem);
}

/* A key that is followed through a shadow. */
struct followed {
    struct shadows s;
    struct mem *mem;
    uint64_t now_ns;
    uint64_t key;
};

static void follow(struct followed *f)
{
    f->mem = mem_create();
    REQUIRE(f->mem);
    make(&f->s, f->mem, true, ENTRIES);
    f->key = sampled_key(&f->s);
    f->now_ns = 1000 * NS_PER_S;
}

static void unfollow(struct followed *f)
{
    shadows_fini(&f->s, f->mem);
    mem_destroy(f->mem);
}

static uint32_t tick_now(const struct followed *f)
{
    return (uint32_t)(f->now_ns >> 23); /* as in shadow.c */
}

/* Ask after so many seconds. The cache hits a value that is `age` seconds old, or misses (0); it
 * lives for five seconds in all. Returns how many ms are left to the shadow's, rounded. */
static int64_t left_after(struct followed *f, uint64_t seconds, uint64_t age)
{
    f->now_ns += seconds * NS_PER_S;
    struct shadows_request r = miss_of(f->key, f->now_ns, 5 * NS_PER_S);
    r.hit = age;
    r.until_ns -= age * NS_PER_S;
    shadows_feed(&f->s, &r);
    struct mini_node *node = mini_look(&f->s.all[0].mini, mini_hash(r.hash));
    REQUIRE(node);
    int64_t ms = (int32_t)(node->until - tick_now(f)) * (INT64_C(1) << 23) / 1000000;
    return (ms + 50) / 100 * 100;
}

/* The rows of the table in shadow.h. */
TEST(a_shadow_gives_a_value_the_life_that_its_own_load_would_have_given)
{
    struct followed f;
    follow(&f);
    CHECK_EQ(left_after(&f, 0, 0), 5000); /* both load it */
    CHECK_EQ(left_after(&f, 2, 2), 3000); /* and hit */
    CHECK_EQ(left_after(&f, 1, 1), 4000); /* the cache's was refreshed, or written */
    CHECK_EQ(left_after(&f, 3, 0), 1000); /* the cache has lost it; the shadow answers */
    CHECK_EQ(left_after(&f, 0, 1), 1000); /* and knows nothing of the cache's new value */
    CHECK_EQ(left_after(&f, 2, 3), 5000); /* its own has ended: it loads one itself */
    CHECK_EQ(left_after(&f, 2, 5), 3000); /* and does not lose it with the cache's */
    CHECK_EQ(left_after(&f, 4, 0), 5000);
    unfollow(&f);
}

/* A hit that a writer tells of later was one. */
TEST(what_was_hit_had_not_ended)
{
    struct followed f;
    follow(&f);
    (void)left_after(&f, 0, 0);
    uint32_t before = f.s.hits[0];
    struct shadows_request r = miss_of(f.key, f.now_ns + 7 * NS_PER_S, 5 * NS_PER_S);
    r.hit = true;
    r.until_ns = f.now_ns + 5 * NS_PER_S;
    shadows_feed(&f.s, &r);
    CHECK_EQ(f.s.hits[0], before + 1);
    unfollow(&f);
}

/* ... so that they do not push out what lives. */
TEST(values_that_have_ended_leave_within_about_a_second)
{
    struct followed f;
    follow(&f);
    for (uint64_t key = 0; key < ENTRIES / 2; key++)
        feed_living(&f.s, key, f.now_ns, key % 2 ? 4 * NS_PER_S : 60 * NS_PER_S);
    uint32_t all = f.s.all[0].mini.lfu.count;
    for (unsigned step = 0; step < 52; step++)
        feed_living(&f.s, f.key, f.now_ns + step * 100 * NS_PER_MS, 60 * NS_PER_S);
    uint32_t left = f.s.all[0].mini.lfu.count;
    CHECK(left > all / 4 && left < all * 3 / 4);
    unfollow(&f);
}

/* Another thread's miss that is a tick older is no reason to look at all nodes, of all shadows. */
TEST(a_miss_that_comes_out_of_order_sweeps_nothing)
{
    struct followed f;
    follow(&f);
    for (uint64_t key = 0; key < ENTRIES / 2; key++)
        feed_living(&f.s, key, f.now_ns, NS_PER_S / 4);
    uint64_t later_ns = f.now_ns + NS_PER_S / 2;
    feed_living(&f.s, f.key, later_ns, 60 * NS_PER_S);
    uint32_t left = f.s.all[0].mini.lfu.count;
    CHECK_GT(left, 10);
    for (unsigned i = 0; i < 10; i++) {
        feed_living(&f.s, f.key, later_ns - 10 * NS_PER_MS, 60 * NS_PER_S);
        CHECK_EQ(f.s.all[0].mini.lfu.count, left);
        feed_living(&f.s, f.key, later_ns, 60 * NS_PER_S);
        left = f.s.all[0].mini.lfu.count;
    }
    CHECK_GT(left, 1);
    unfollow(&f);
}

/* ---- invalidations ---- */

static unsigned shadows_that_have(const struct followed *f, uint64_t key)
{
    unsigned have = 0;
    for (uint32_t i = 0; i < f->s.count; i++)
        have += mini_look(&f->s.all[i].mini, mini_hash(hash_of(key))) != NULL;
    return have;
}

TEST(a_key_that_is_invalidated_leaves_all_shadows)
{
    struct followed f;
    follow(&f);
    uint64_t other = f.key + 1;
    while (!shadows_sampled(&f.s, hash_of(other)))
        other++;
    feed_living(&f.s, other, f.now_ns, 5 * NS_PER_S);
    CHECK_EQ(left_after(&f, 0, 0), 5000);
    shadows_remove(&f.s, hash_of(f.key));
    CHECK_EQ(shadows_that_have(&f, f.key), 0);
    CHECK_EQ(shadows_that_have(&f, other), f.s.count);
    shadows_remove(&f.s, hash_of(f.key)); /* is not there */
    uint32_t before = f.s.hits[0];
    CHECK_EQ(left_after(&f, 2, 0), 5000); /* all miss, and load */
    CHECK_EQ(f.s.hits[0], before);
    unfollow(&f);
}

static void open_counted(struct cache *c)
{
    fake_env_init(&c->fake, check_seed());
    struct l1_config config = cache_config(c, 32u << 20, 1);
    config.entries = ENTRIES;
    cache_open_config(c, config);
}

static void get_or_load(struct cache *c, unsigned number)
{
    if (!cache_note_hit(c, number))
        cache_put_size(c, number, 16);
}

/* Take a value that a writer has stored out of the cache, as if for want of room. Returns its
 * stamp. */
static uint64_t evict(struct cache *c, unsigned number)
{
    struct name name;
    struct l1_key key = cache_key(c, &name, number);
    struct l1_shard *s = l1_shard_of(c->l1, key.hash);
    l1_shard_lock(s);
    struct l1_entry *e = table_entry_in(table_word_of_key(shard_table_locked(s), &key));
    REQUIRE(e);
    uint64_t stamp = l1_entry_stamp(e);
    l1_shard_drop_locked(c->l1, s, e, L1_FATE_EVICTED);
    l1_shard_unlock(c->l1, s);
    return stamp;
}

static unsigned shadows_that_hold(struct cache *c, uint64_t hash)
{
    const struct shadows *s = c->l1->policy_common;
    unsigned have = 0;
    for (uint32_t i = 0; i < s->count; i++)
        have += mini_look(&s->all[i].mini, mini_hash(hash)) != NULL;
    return have;
}

/* The cache has let go what a writer put; larger ones may have it still, and have what is true. */
TEST(a_writers_own_invalidation_leaves_what_he_has_put_to_the_shadows)
{
    struct cache c;
    open_counted(&c);
    for (unsigned i = 0; i < 2 * ENTRIES; i++)
        get_or_load(&c, i);
    const struct shadows *s = c.l1->policy_common;
    struct name name;
    unsigned number = 2 * ENTRIES;
    while (!shadows_sampled(s, cache_key(&c, &name, number).hash))
        number++;
    struct l1_key key = cache_key(&c, &name, number);
    REQUIRE_EQ(cache_own(&c, number, 16), L1_STORED);
    unsigned have = shadows_that_hold(&c, key.hash);
    CHECK_GT(have, 0);
    uint64_t own = evict(&c, number);
    l1_invalidate_others(c.l1, &key, 0, own, l1_ticket(c.l1), NULL);
    CHECK_EQ(shadows_that_hold(&c, key.hash), have);
    l1_invalidate_others(c.l1, &key, 0, 0, l1_ticket(c.l1), NULL);
    CHECK_EQ(shadows_that_hold(&c, key.hash), 0);
    cache_close(&c);
}

static void invalidate(struct cache *c, unsigned number)
{
    struct name name;
    struct l1_key key = cache_key(c, &name, number);
    l1_invalidate_key(c->l1, &key, 0, l1_ticket(c->l1), NULL);
}

/* The same as come_again_beside_a_loop(), in a cache. A key that comes again is invalidated before,
 * or not. */
static void ask_beside_a_loop(struct cache *c, unsigned from, unsigned count, bool invalidates)
{
    for (unsigned i = from; i < from + count; i++) {
        if (i % 64 == 0)
            l1_reclaim(c->l1);
        get_or_load(c, (1u << 20) + i + 128);
        if (invalidates)
            invalidate(c, (1u << 20) + i + 64);
        get_or_load(c, (1u << 20) + i);
        get_or_load(c, i % (ENTRIES * 5 / 4));
    }
}

/* Shadows hear of invalidations of what the cache holds, and of what it does not. */
TEST(the_window_is_not_chosen_by_hits_of_what_was_invalidated)
{
    struct cache c;
    open_counted(&c);
    const struct shadows *s = c.l1->policy_common;
    ask_beside_a_loop(&c, 0, 6000, false);
    CHECK_GE(shadows_choice(s).window_permille, 400);
    ask_beside_a_loop(&c, 6000, 6000, true); /* they are in the window */
    CHECK_LE(shadows_choice(s).window_permille, 50);
    ask_beside_a_loop(&c, 12000, 6000, true); /* they have left it before */
    CHECK_LE(shadows_choice(s).window_permille, 50);
    cache_close(&c);
}

/* A mean age below 0 was one of 400 days, beside which each life is short: then no miss counts. */
TEST(requests_out_of_order_make_rivals_no_younger_than_new)
{
    static const struct lfu_choice choice = {50, 0};
    struct mem *mem = mem_create();
    struct mini mini;
    REQUIRE(mem);
    void *block = mem_alloc(mem, NULL, mini_bytes(64));
    REQUIRE(block);
    char *at = block;
    mini_init(&mini, &at, 64, true);
    mini.lfu.capacity = 64;
    for (uint64_t key = 0; key < 2000; key++) {
        uint32_t tick = key < 64 ? 1000 : 900;
        mini_store(&mini, &choice,
                   &(struct mini_value){mini_hash(hash_of(key)), 1, tick, 1u << 30});
    }
    CHECK_EQ(mini.residence, 0);
    mem_free(mem, NULL, block, mini_bytes(64));
    mem_destroy(mem);
}

/* Small values and large ones that are asked for alike: density matters for requests. */
TEST(the_exponent_stays_where_sizes_matter)
{
    struct shadows s;
    struct mem *mem = mem_create();
    REQUIRE(mem);
    make(&s, mem, false, ENTRIES * 1000);
    uint64_t random = check_seed();
    for (unsigned i = 0; i < 100000; i++) {
        uint64_t key = check_random(&random) % 2000;
        feed(&s, key, key % 2 ? 8000 : 100);
    }
    CHECK_GT(shadows_choice(&s).exponent_thirds, 0);
    shadows_fini(&s, mem);
    mem_destroy(mem);
}

/* A choice that prefers small values holds more of them than the others hold in all. */
TEST(they_are_made_anew_when_nodes_are_short)
{
    struct shadows s;
    struct mem *mem = mem_create();
    REQUIRE(mem);
    make(&s, mem, false, ENTRIES * 1000);
    uint32_t mask = shadows_size_for(&s, mem, ENTRIES, 64u << 20).mask;
    uint64_t random = check_seed();
    CHECK(shadows_suit(&s, ENTRIES));
    for (unsigned i = 0; i < 100000 && shadows_suit(&s, ENTRIES); i++)
        feed(&s, check_random(&random) % 20000, 100);
    CHECK(!shadows_suit(&s, ENTRIES)); /* 5,120 would fit */
    CHECK_GT(shadows_size_for(&s, mem, ENTRIES, 64u << 20).mask, mask);
    shadows_fini(&s, mem);
    mem_destroy(mem);
}

TEST(they_take_no_more_than_their_part)
{
    struct shadows s;
    struct mem *mem = mem_create();
    REQUIRE(mem);
    shadows_init(&s, false);
    for (uint64_t cap = 256u << 10; cap <= UINT64_C(1) << 40; cap *= 2) {
        struct shadows_size size = shadows_size_for(&s, mem, cap / 200, cap);
        CHECK_LE(size.nodes, 1544); /* of 5e9 entries, too */
        if (size.nodes)
            CHECK_LE(mem_charge(mem, shadows_bytes(&s, size.nodes)), cap / 64);
        else
            CHECK_LT(cap, 4u << 20); /* too small to be of use */
    }
    shadows_fini(&s, mem);
    mem_destroy(mem);
}

TEST(they_go_when_the_cap_comes_down_and_the_choice_stays)
{
    struct shadows s;
    struct mem *mem = mem_create();
    REQUIRE(mem);
    make(&s, mem, true, ENTRIES);
    come_again_soon(&s, 1 << 20, 30000);
    uint16_t window = shadows_choice(&s).window_permille;
    uint64_t charge = shadows_charge(&s, mem);
    CHECK_EQ(shadows_excess(&s, mem, 64u << 20), 0);
    CHECK_EQ(shadows_shrink(&s, mem, 64u << 20), 0);
    CHECK_EQ(shadows_excess(&s, mem, charge), charge);
    CHECK_EQ(shadows_shrink(&s, mem, charge), charge);
    CHECK_EQ(shadows_charge(&s, mem), 0);
    CHECK(!shadows_sampled(&s, 0));
    CHECK(!shadows_suit(&s, ENTRIES)); /* so the next insert makes others */
    CHECK_EQ(shadows_choice(&s).window_permille, window);
    shadows_fini(&s, mem);
    mem_destroy(mem);
}
