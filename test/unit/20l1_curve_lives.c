// SPDX-License-Identifier: MIT
// How long the mini caches of the curve have a value: for its lifetime, until it is invalidated, or
// until others want its room.

#include "support/l1_curve.h"

TEST(what_is_larger_than_a_mini_cache_under_lru_leaves_the_others_there)
{
    struct mini mini;
    static uint64_t block[1024];
    struct lfu_choice choice = {0};
    char *at = (char *)block;
    REQUIRE(mini_bytes(64) <= sizeof(block));
    mini_init(&mini, &at, 64, false);
    mini.lru = true;
    mini.lfu.capacity = 1000;
    for (uint32_t hash = 1; hash <= 5; hash++)
        mini_store(&mini, &choice, &(struct mini_value){hash, 200, 0, 0});
    mini_store(&mini, &choice, &(struct mini_value){6, 1001, 0, 0});
    CHECK(mini_look(&mini, 1) && mini_look(&mini, 5) && !mini_look(&mini, 6));
    mini_touch(&mini, mini_look(&mini, 1));
    mini_store(&mini, &choice, &(struct mini_value){7, 200, 0, 0});
    CHECK(!mini_look(&mini, 2) && mini_look(&mini, 3) && mini_look(&mini, 7));
}

/* ---- removals ---- */

/* Counts of all mini caches: of few keys the largest may have none in its sample. */
struct sums {
    uint64_t reads;
    int64_t gained; /* hits beyond those of the real cache */
};

static int64_t gained_by(const struct curve_point *p)
{
    int64_t sum = 0;
    for (uint32_t g = 0; g < CURVE_GROUPS; g++)
        sum += p->gained[g];
    return sum;
}

static struct sums sums_of(const struct cache *c)
{
    struct sums sums = {0};
    l1_curve_drain(c->l1);
    for (uint32_t i = 0; i < L1_CURVE_POINTS; i++) {
        const struct curve_point *p = &c->l1->curve.points[i];
        sums.reads += p->reads;
        sums.gained += gained_by(p);
    }
    return sums;
}

/* So many requests for 2,000 keys. */
static void ask_of_2000(struct cache *c, unsigned requests)
{
    for (unsigned i = 0; i < requests; i++) {
        ask(c, trace[i] % 2000);
        if (i % 64 == 0)
            rest(c);
        if (i % 512 == 0)
            keep(c, i, i + 1);
    }
}

TEST(what_was_invalidated_is_in_none_of_them)
{
    struct cache c;
    make_trace();
    open_watched(&c, NIGH_POLICY_LFU, CAP);
    ask_of_2000(&c, 100000); /* all of them fit */
    struct sums was = sums_of(&c);
    for (unsigned k = 0; k < 2000; k++) {
        cache_remove(&c, k);
        if (k % 64 == 0)
            rest(&c);
    }
    for (unsigned k = 0; k < 2000; k++) {
        CHECK(!ask(&c, k));
        if (k % 64 == 0)
            rest(&c);
    }
    struct sums is = sums_of(&c);
    CHECK(is.reads > was.reads);
    CHECK_EQ(is.gained, was.gained);
    cache_close(&c);
}

/* Such a read misses, for its value is too old, and would in a larger cache. */
TEST(a_value_that_is_there_and_of_no_use_is_a_miss_in_all_of_them)
{
    struct cache c;
    make_trace();
    open_watched(&c, NIGH_POLICY_LFU, CAP);
    ask_of_2000(&c, 20000);
    struct sums was = sums_of(&c);
    for (unsigned k = 0; k < 2000; k++) {
        struct name name;
        struct l1_key key = cache_key(&c, &name, k);
        if (l1_marks(c.l1, key.hash))
            l1_curve_miss(c.l1, &key);
        if (k % 64 == 0)
            rest(&c);
    }
    struct sums is = sums_of(&c);
    CHECK(is.reads > was.reads);
    CHECK_EQ(is.gained, was.gained);
    cache_close(&c);
}

/* ---- lifetimes ---- */

/* Six requests in ten milliseconds of a clock in the hand: a life of five seconds is 3,000 of them,
 * in which a cache of twice the present size would turn over. */
#define STEP_NS (5 * NS_PER_MS / 3)
#define LIVES_REQUESTS 40000u

static struct life all_5s(unsigned number)
{
    (void)number;
    return (struct life){5 * NS_PER_S, 0};
}

static struct life half_5s(unsigned number)
{
    return number % 2 ? all_5s(number) : for_ever(number);
}

static struct life stale_4s(unsigned number)
{
    (void)number;
    return (struct life){3 * NS_PER_S, 4 * NS_PER_S};
}

static double replay_living(struct cache *c, life_fn *life)
{
    uint64_t hits = 0, hits_first = 0;
    for (unsigned i = 0; i < LIVES_REQUESTS; i++) {
        if (i == LIVES_REQUESTS / 2)
            hits_first = hits;
        fake_env_advance(&c->fake, STEP_NS);
        hits += ask_living(c, trace[i], LARGE_VALUE, life);
        if (i % 64 == 0)
            cache_reclaim(c);
        if (i % 128 == 0)
            keep(c, hits, i + 1);
        if (i % 512 == 0)
            l1_expire(c->l1, UINT32_MAX);
    }
    keep(c, hits, LIVES_REQUESTS);
    return (double)(hits - hits_first) / (LIVES_REQUESTS - LIVES_REQUESTS / 2);
}

/* Other caps, really run, bring what the curve says at the present one. */
static void check_lives(enum nigh_policy policy, life_fn *life)
{
    struct cache c;
    struct l1_curve curve;
    double right[L1_CURVE_POINTS] = {0};
    make_trace();
    for (uint32_t i = 1; i < 5; i++) {
        fake_env_init(&c.fake, check_seed());
        struct l1_config config = cache_config(&c, (uint64_t)(CAP * curve_sizes[i]), 1);
        config.policy = policy;
        cache_open_config(&c, config);
        l1_curve_set(c.l1, i == CURVE_NOW);
        right[i] = replay_living(&c, life);
        if (i == CURVE_NOW)
            REQUIRE(l1_curve_read(c.l1, &curve));
        cache_close(&c);
    }
    compare(&curve, right, 6, 3);
}

TEST(under_lru_lifetimes_are_what_other_caps_bring)
{
    check_lives(NIGH_POLICY_LRU, all_5s);
}

TEST(under_lfu_lifetimes_are_what_other_caps_bring)
{
    check_lives(NIGH_POLICY_LFU, all_5s);
    check_lives(NIGH_POLICY_LFU, half_5s);
    check_lives(NIGH_POLICY_LFU, stale_4s);
}

/* Ask for 1,500 lasting values, which fit into twice the cap; of four requests three are for keys
 * that never come again, as of a client that asks for what does not exist. */
static void replay_with_strangers(struct cache *c)
{
    uint64_t hits = 0;
    for (unsigned i = 0; i < 4 * LIVES_REQUESTS; i++) {
        fake_env_advance(&c->fake, STEP_NS);
        hits += i % 4 ? ask_living(c, KEYS + i, VALUE, all_5s)
                      : ask_living(c, trace[i] % 1500, LARGE_VALUE, for_ever);
        if (i % 64 == 0)
            cache_reclaim(c);
        if (i % 128 == 0)
            keep(c, hits, i + 1);
        if (i % 512 == 0)
            l1_expire(c->l1, UINT32_MAX);
    }
}

static void check_strangers(enum nigh_policy policy)
{
    struct cache c;
    struct l1_curve curve;
    make_trace();
    open_watched(&c, policy, CAP);
    replay_with_strangers(&c);
    REQUIRE(l1_curve_read(c.l1, &curve));
    for (uint32_t i = CURVE_NOW + 1; i <= CURVE_NOW + 2; i++) {
        const struct l1_curve_point *p = &curve.points[i];
        bool right = p->enough && p->error < 0.12 && p->ratio - 2 * p->error < 0.26 &&
                     p->ratio + 2 * p->error > 0.2; /* four deviations: the seed is any */
        if (!CHECK(right))
            check_note("size %.0f: %.1f %% +- %.1f, not 25%s", p->size, 100 * p->ratio,
                       100 * p->error, p->enough ? "" : "; not told");
    }
    cache_close(&c);
}

/* A mini cache that has never been full keeps what is too old, and misses what no cache would have.
 * That neither keeps it from being told nor makes it promise more. */
TEST(keys_that_never_come_again_promise_nothing)
{
    check_strangers(NIGH_POLICY_LRU);
    check_strangers(NIGH_POLICY_LFU);
}

/* A curve of 100 keys, of which one is followed through the mini cache of the present size. */
struct followed {
    struct cache c;
    struct l1_key key;
    struct name name;
};

static void follow(struct followed *f)
{
    open_small(&f->c, NIGH_POLICY_LFU, 400, true);
    for (unsigned k = 0; k < 100; k++)
        ask(&f->c, k);
    keep(&f->c, 0, 100);
    REQUIRE_EQ(l1_mark_mask(f->c.l1), 1);
    l1_curve_drain(f->c.l1); /* the next window opens with the new marks */
    f->key = cache_key(&f->c, &f->name, find_key(&f->c, 1000, true));
}

static uint64_t now_of(const struct followed *f)
{
    return clock_now_ns(f->c.fake.env.clock);
}

/* A value comes that lives for so many seconds, the last `stale` of which a read has it
 * refreshed. */
static void comes(struct followed *f, uint64_t seconds, uint64_t stale)
{
    curve_store(f->c.l1, f->key.hash, f->key.space,
                &(struct curve_value){.bytes = 1,
                                      .now_ns = now_of(f),
                                      .until_ns = now_of(f) + seconds * NS_PER_S,
                                      .stale_ns = stale * NS_PER_S});
}

/* In so many ms the mini cache of the present size has the value no more, and has it until then. */
static bool ends_in(struct followed *f, uint64_t ms)
{
    l1_curve_drain(f->c.l1);
    struct mini_node *node =
        mini_look(&f->c.l1->curve.points[CURVE_NOW].mini[CURVE_AS_NOW], mini_hash(f->key.hash));
    int64_t left = node ? (int32_t)(node->until - window_tick(now_of(f))) : -1;
    int64_t right = (int64_t)(ms * NS_PER_MS >> WINDOW_TICK_SHIFT);
    bool ends = left <= right + 1 && left >= right - right / 128 - 5; /* a 128th, and cut ticks */
    if (!ends)
        check_note("%" PRId64 " ticks left, not %" PRId64, left, right);
    return ends;
}

TEST(a_mini_cache_gives_a_value_the_life_that_its_own_load_would_have_given)
{
    struct followed f;
    follow(&f);
    comes(&f, 5, 0);
    CHECK(ends_in(&f, 5000));
    fake_env_advance(&f.c.fake, 3 * NS_PER_S);
    l1_curve_miss(f.c.l1, &f.key); /* of the real cache; this one answers, and does not load */
    comes(&f, 5, 0);
    CHECK(ends_in(&f, 2000));
    comes(&f, 5, 0); /* without a miss: it is written */
    CHECK(ends_in(&f, 5000));
    fake_env_advance(&f.c.fake, 4 * NS_PER_S);
    l1_curve_miss(f.c.l1, &f.key);
    comes(&f, 5, 2); /* it answers with a stale value, and refreshes it */
    CHECK(ends_in(&f, 5000));
    fake_env_advance(&f.c.fake, 6 * NS_PER_S);
    l1_curve_miss(f.c.l1, &f.key); /* its own is too old, too */
    comes(&f, 5, 2);
    CHECK(ends_in(&f, 5000));
    cache_close(&f.c);
}

/* Returns what the present point has hit less than the real cache. */
static int64_t missed_by(struct followed *f)
{
    l1_curve_drain(f->c.l1);
    return -gained_by(&f->c.l1->curve.points[CURVE_NOW]);
}

/* The real cache misses the key, and loads it. Of its groups none has a floor above that. */
static int64_t hit_and_load(struct followed *f, uint64_t floor)
{
    int64_t before = missed_by(f);
    l1_curve_miss(f->c.l1, &f->key);
    curve_store(f->c.l1, f->key.hash, f->key.space,
                &(struct curve_value){.bytes = 1,
                                      .now_ns = now_of(f),
                                      .until_ns = now_of(f) + 60 * NS_PER_S,
                                      .floor = floor});
    return before - missed_by(f);
}

/* A mini cache answers what the real one misses. That its value was invalidated by tag is known
 * when the real one has loaded another, and so has its tags: until then it counts as a hit. */
TEST(what_was_answered_below_a_floor_is_taken_back)
{
    struct followed f;
    follow(&f);
    const struct curve_space *space = &f.c.l1->curve.spaces[f.key.space];
    uint32_t group = mini_hash(f.key.hash) % CURVE_SPACE_GROUPS;
    CHECK_EQ(hit_and_load(&f, 0), 0);
    CHECK_EQ(hit_and_load(&f, 0), 1);
    int32_t was = space->parts[CURVE_NOW].gained[group];
    uint64_t floor = l1_raise_group(f.c.l1, GROUP_SLOT_TAGS, false);
    fake_env_advance(&f.c.fake, 20 * NS_PER_S);
    CHECK_EQ(hit_and_load(&f, floor), 0);
    CHECK(ends_in(&f, 60000)); /* it was loaded there, too */
    CHECK_EQ(space->parts[CURVE_NOW].gained[group], was);
    CHECK_EQ(hit_and_load(&f, floor), 1); /* what is there now is younger */
    CHECK_EQ(space->parts[CURVE_NOW].gained[group], was + 1);
    cache_close(&f.c);
}

/* Of a value that is found too old it is known that it had come: its read is a miss, also in a mini
 * cache that has never been full, which is believed to have what it has not seen come. */
TEST(what_is_too_old_misses_and_is_loaded_anew)
{
    struct followed f;
    follow(&f);
    struct l1_value value = cache_value(&f.c, "v", 1);
    value.fresh_until_ns = value.stale_until_ns = now_of(&f) + 60 * NS_PER_S;
    struct l1_entry *e;
    REQUIRE_EQ(l1_entry_create(f.c.l1, &f.key, &value, &e), 0);
    comes(&f, 5, 0);
    int64_t before = missed_by(&f);
    fake_env_advance(&f.c.fake, 20 * NS_PER_S);
    l1_curve_hit(f.c.l1, e, l1_ticks_of(now_of(&f)), false); /* from elsewhere, as old as it is */
    CHECK_EQ(missed_by(&f), before + 1);
    CHECK(ends_in(&f, 40000));
    fake_env_advance(&f.c.fake, 50 * NS_PER_S);
    l1_curve_hit(f.c.l1, e, l1_ticks_of(now_of(&f)), true); /* from its origin */
    CHECK_EQ(missed_by(&f), before + 2);
    CHECK(ends_in(&f, 60000));
    l1_curve_hit(f.c.l1, e, l1_ticks_of(now_of(&f)), true);
    CHECK_EQ(missed_by(&f), before + 2);
    l1_entry_unref(e);
    cache_close(&f.c);
}

/* An event says when it was, and how long a value lives, whenever it is drained. */
TEST(an_event_is_as_it_was_left)
{
    struct fake_env fake;
    fake_env_init(&fake, check_seed());
    struct window w = {.stripes = NULL};
    struct window_packed packed[WINDOW_EVENTS];
    uint64_t lost = 0;
    REQUIRE(window_make(&w, fake.env.mem));
    window_open(&w);
    for (unsigned i = 0; i < WINDOW_EVENTS + 3; i++)
        window_add(&w, (struct window_event){.what = (enum window_what)(i % (WINDOW_FLOOR + 1)),
                                             .hash = UINT32_MAX,
                                             .sample = 0xfffff,
                                             .space = L1_SPACES_MAX,
                                             .bytes = 2u * NIGH_VALUE_MAX,
                                             .at = i * 77777777u,
                                             .life = window_life((uint64_t)i * i << 20),
                                             .stale = window_life(i)});
    CHECK(!window_is_open(&w));
    REQUIRE_EQ(window_take(&w, thread_stripe(), packed, &lost), WINDOW_EVENTS);
    for (unsigned i = 0; i < WINDOW_EVENTS; i++) {
        struct window_event is = window_unpack(&packed[i]);
        CHECK(is.hash == UINT32_MAX && is.sample == 0xfffff && is.space == L1_SPACES_MAX);
        CHECK(is.bytes == 2u * NIGH_VALUE_MAX && is.what == i % (WINDOW_FLOOR + 1));
        CHECK(is.at == i * 77777777u && is.stale == i);
        CHECK_EQ(is.life, i < 32 ? i * i << 20 : WINDOW_LIFE_MOST);
    }
    CHECK_EQ(lost, 1); /* of the three that had no room, one was a read */
    window_free(&w, fake.env.mem);
    fake_env_fini(&fake);
}
