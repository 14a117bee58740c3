// SPDX-License-Identifier: MIT
// W-TinyLFU over plain nodes: a scan takes nothing, a loop keeps a part, what was popular gives
// way to what is, and of equally popular values the small ones stay. Traffic is made by hand or
// from the seed; bounds are far from what is seen, and far from what a broken part would give.

#include <stdlib.h>

#include "l1/lfu.h"
#include "support/check.h"

#define KEYS_MAX 20000u
#define NODES_MAX 2048u

/* A cache of numbers. */
struct world {
    struct lfu lfu;
    struct lfu_choice choice;
    uint32_t keys[NODES_MAX]; /* by node */
    bool hit[NODES_MAX];
    uint32_t nodes[KEYS_MAX]; /* by key; LFU_NONE */
    uint32_t sizes[KEYS_MAX];
    uint32_t free[NODES_MAX];
    uint32_t free_count;
};

static uint64_t hash_of(uint32_t key)
{
    uint64_t state = check_seed() + key;
    return check_random(&state);
}

static uint64_t node_hash(void *arg, uint32_t node)
{
    const struct world *w = arg;
    return hash_of(w->keys[node]);
}

static uint32_t node_weight(void *arg, uint32_t node)
{
    const struct world *w = arg;
    return w->sizes[w->keys[node]];
}

static bool node_harvest(void *arg, uint32_t node)
{
    struct world *w = arg;
    bool hit = w->hit[node];
    w->hit[node] = false;
    return hit;
}

static void node_prefetch(void *arg, uint32_t node)
{
    (void)arg;
    (void)node;
}

static const struct lfu_nodes nodes = {node_hash, node_weight, node_harvest, node_prefetch, NULL};

static struct world *world_open(uint64_t capacity, bool by_count, struct lfu_choice choice)
{
    struct world *w = calloc(1, sizeof(*w));
    REQUIRE(w);
    lfu_init(&w->lfu, &nodes, w, by_count);
    w->choice = choice;
    w->lfu.capacity = capacity;
    w->lfu.links = calloc(NODES_MAX, sizeof(struct lfu_link));
    uint32_t blocks = sketch_blocks_for(by_count ? (uint32_t)capacity : NODES_MAX / 2);
    sketch_grow(&w->lfu.sketch, malloc(sketch_bytes(blocks)), blocks);
    for (uint32_t key = 0; key < KEYS_MAX; key++) {
        w->nodes[key] = LFU_NONE;
        w->sizes[key] = 1;
    }
    for (uint32_t node = 0; node < NODES_MAX; node++)
        w->free[w->free_count++] = node;
    return w;
}

static void world_close(struct world *w)
{
    CHECK(lfu_is_valid(&w->lfu));
    CHECK_LE(lfu_weight(&w->lfu), w->lfu.capacity);
    free(w->lfu.links);
    free(w->lfu.sketch.words);
    free(w);
}

static void drop(struct world *w, uint32_t node)
{
    lfu_remove(&w->lfu, node, w->sizes[w->keys[node]]);
    w->nodes[w->keys[node]] = LFU_NONE;
    w->free[w->free_count++] = node;
}

static bool evict_one(struct world *w, struct lfu_incoming *incoming)
{
    uint32_t node = lfu_victim(&w->lfu, &w->choice, incoming);
    if (node == LFU_NONE || node == LFU_REFUSED)
        return false;
    if (node == w->lfu.hashed)
        CHECK_EQ(w->lfu.hash, hash_of(w->keys[node]));
    drop(w, node);
    return true;
}

static bool has(const struct world *w, uint32_t key)
{
    return w->nodes[key] != LFU_NONE;
}

/* Returns whether it was there; if not, it is brought in. */
static bool ask(struct world *w, uint32_t key)
{
    if (has(w, key))
        return w->hit[w->nodes[key]] = true;
    struct lfu_incoming incoming = {.hash = hash_of(key), .weight = w->sizes[key]};
    bool room = true;
    while (room && lfu_weight(&w->lfu) + w->sizes[key] > w->lfu.capacity)
        room = evict_one(w, &incoming);
    lfu_note_miss(&w->lfu, incoming.hash);
    if (!room)
        return false;
    uint32_t node = w->free[--w->free_count];
    w->keys[node] = key;
    w->hit[node] = false;
    w->nodes[key] = node;
    bool large = lfu_contests_at_once(&w->lfu, &w->choice, w->sizes[key]);
    lfu_insert(&w->lfu, node, w->sizes[key],
               incoming.admitted ? LFU_PLACED_MAIN : large ? LFU_NEXT : LFU_YOUNG);
    lfu_settle(&w->lfu, &w->choice);
    return false;
}

static unsigned ask_range(struct world *w, uint32_t from, uint32_t to)
{
    unsigned hits = 0;
    for (uint32_t key = from; key < to; key++)
        hits += ask(w, key);
    return hits;
}

static const struct lfu_choice small_window = {50, 0};

TEST(a_scan_takes_nothing_from_what_is_asked_for_again)
{
    struct world *w = world_open(128, true, small_window);
    for (unsigned round = 0; round < 8; round++)
        ask_range(w, 0, 100);
    ask_range(w, 1000, 2280); /* ten times as many as fit; far more would be a new time */
    CHECK_GE(ask_range(w, 0, 100), 95);
    world_close(w);
}

/* The node that contests next has been hashed ahead. Until it does it may leave, and its number be
 * another key's. */
TEST(a_hash_made_ahead_is_forgotten_with_its_node)
{
    struct world *w = world_open(60, true, small_window); /* a window of three */
    uint64_t random = check_seed();
    unsigned dropped = 0;
    for (unsigned i = 0; i < 20000; i++) {
        ask(w, (uint32_t)(check_random(&random) % 200));
        if (w->lfu.next != LFU_NONE && i % 3 == 0) {
            drop(w, w->lfu.next);
            dropped++;
        }
    }
    CHECK_GT(dropped, 100);
    world_close(w);
}

/* Each key of a loop is worth the same, and who has just been asked for is not needed soonest. */
TEST(a_loop_larger_than_the_cache_keeps_a_part)
{
    static const unsigned loops[] = {140, 400, 1000};
    for (size_t i = 0; i < sizeof(loops) / sizeof(loops[0]); i++) {
        struct world *w = world_open(128, true, small_window);
        for (unsigned round = 0; round < 50; round++)
            ask_range(w, 0, loops[i]);
        unsigned hits = 0;
        for (unsigned round = 0; round < 50; round++)
            hits += ask_range(w, 0, loops[i]);
        CHECK_GE(hits / 50, 128 * 80 / 100);
        world_close(w);
    }
}

TEST(what_was_popular_gives_way_to_what_is)
{
    struct world *w = world_open(128, true, small_window);
    for (unsigned round = 0; round < 200; round++)
        ask_range(w, 0, 120);
    CHECK_GE(ask_range(w, 0, 120), 114);
    for (unsigned round = 0; round < 100; round++) /* a hundred times as many, and no longer */
        ask_range(w, 5000, 5120);
    CHECK_GE(ask_range(w, 5000, 5120), 108);
    world_close(w);
}

TEST(what_is_asked_for_twice_gets_in)
{
    struct world *w = world_open(128, true, small_window);
    ask_range(w, 0, 1000); /* nobody's favourites */
    for (unsigned round = 0; round < 4; round++) {
        ask_range(w, 5000, 5020);
        ask_range(w, 6000 + 100 * round, 6100 + 100 * round);
    }
    CHECK_GE(ask_range(w, 5000, 5020), 16);
    world_close(w);
}

/* Hits in the window count when it is left: without them two misses are not enough. */
TEST(hits_in_the_window_count)
{
    struct world *w = world_open(128, true, small_window);
    ask_range(w, 0, 1000);
    for (unsigned round = 0; round < 2; round++) {
        for (uint32_t key = 5000; key < 5020; key++) {
            ask(w, key);
            CHECK(ask(w, key));
        }
        ask_range(w, 6000 + 100 * round, 6100 + 100 * round);
    }
    unsigned there = 0;
    for (uint32_t key = 5000; key < 5020; key++)
        there += has(w, key);
    CHECK_GE(there, 16);
    world_close(w);
}

/* The window is for what is asked for again soon: it stays in a large one, in a small one not. */
TEST(the_window_holds_what_is_new)
{
    unsigned hits[2] = {0};
    for (unsigned i = 0; i < 2; i++) {
        struct world *w = world_open(200, true, (struct lfu_choice){i ? 800 : 5, 0});
        for (unsigned round = 0; round < 20; round++)
            ask_range(w, 0, 150);
        for (uint32_t key = 1000; key < 6000; key++) {
            ask(w, key);
            hits[i] += ask(w, key - 50);
        }
        world_close(w);
    }
    CHECK_GE(hits[1], 4500);
    CHECK_LT(hits[0], 1500);
}

/* Small and 32 times larger values, asked for alike: by density (a = 1) the small ones stay. */
TEST(of_equals_the_small_ones_stay)
{
    struct world *w = world_open(64000, false, (struct lfu_choice){50, 3});
    uint64_t random = check_seed();
    for (uint32_t key = 0; key < 1000; key++)
        w->sizes[key] = key % 2 ? 3200 : 100;
    for (unsigned i = 0; i < 60000; i++)
        ask(w, (uint32_t)(check_random(&random) % 1000));
    unsigned small = 0, large = 0;
    for (uint32_t key = 0; key < 1000; key++)
        *(key % 2 ? &large : &small) += has(w, key);
    CHECK_GE(small, 400);
    CHECK_LE(large, 20);
    world_close(w);
}

/* What a large victim leaves free must not let the next ones in without a contest. */
TEST(a_scan_of_mixed_sizes_takes_little)
{
    struct world *w = world_open(100000, false, (struct lfu_choice){50, 1});
    uint64_t random = check_seed();
    for (uint32_t key = 0; key < KEYS_MAX; key++)
        w->sizes[key] = key < 300 ? 200 : 40 << check_random(&random) % 8;
    for (unsigned round = 0; round < 8; round++)
        ask_range(w, 0, 300);
    ask_range(w, 1000, 6000);
    unsigned there = 0; /* asked for in turn, they would push one another out */
    for (uint32_t key = 0; key < 300; key++)
        there += has(w, key);
    CHECK_GE(there, 200);
    world_close(w);
}

/* While there is room nobody contests, and the window keeps no more than its share: what came
 * first shall not be thrown out first. */
TEST(what_comes_while_there_is_room_goes_on_to_main)
{
    struct world *w = world_open(100000, false, (struct lfu_choice){50, 1});
    for (uint32_t key = 0; key < 400; key++)
        w->sizes[key] = 200;
    ask_range(w, 0, 400);
    CHECK_EQ(lfu_weight(&w->lfu), 80000);
    CHECK_EQ(w->lfu.weights[LFU_CONDEMNED], 0);
    CHECK_EQ(w->lfu.weights[LFU_WINDOW], 5000);
    world_close(w);
}

TEST(queues_stay_whole_whatever_comes)
{
    struct world *w = world_open(50000, false, (struct lfu_choice){200, 1});
    uint64_t random = check_seed();
    for (uint32_t key = 0; key < KEYS_MAX; key++)
        w->sizes[key] = 1 + (uint32_t)(check_random(&random) % 2 ? 40 : 9000);
    for (unsigned i = 0; i < 20000; i++) {
        uint32_t key = (uint32_t)(check_random(&random) % 2000);
        if (has(w, key) && check_random(&random) % 8 == 0) {
            uint32_t node = w->nodes[key];
            lfu_remove(&w->lfu, node, w->sizes[key]);
            w->nodes[key] = LFU_NONE;
            w->free[w->free_count++] = node;
        } else if (has(w, key) && check_random(&random) % 8 == 0) {
            uint32_t before = w->sizes[key];
            w->sizes[key] = before / 3 + 1;
            lfu_renew(&w->lfu, w->nodes[key], before, w->sizes[key]);
        } else {
            ask(w, key);
        }
        if (i % 1000 == 0)
            CHECK(lfu_is_valid(&w->lfu));
    }
    world_close(w);
}

TEST(a_condemned_one_that_is_renewed_stays)
{
    struct world *w = world_open(100, true, small_window);
    ask_range(w, 0, 100);
    struct lfu_incoming incoming = {.hash = hash_of(1000), .weight = 1};
    for (unsigned i = 0; i < 4; i++) /* the window's oldest wins */
        lfu_note_miss(&w->lfu, hash_of(w->keys[w->lfu.oldest[LFU_WINDOW]]));
    uint32_t victim = lfu_victim(&w->lfu, &w->choice, &incoming);
    CHECK(lfu_is_condemned(&w->lfu, victim));
    lfu_renew(&w->lfu, victim, 1, 1);
    CHECK(!lfu_is_condemned(&w->lfu, victim));
    CHECK(lfu_is_valid(&w->lfu));
    CHECK_NE(lfu_victim(&w->lfu, &w->choice, &incoming), victim);
    world_close(w);
}

/* It was counted for its last hits when it contested, and not once more when it goes. */
TEST(a_loser_leaves_from_where_it_stands)
{
    struct world *w = world_open(100, true, small_window);
    ask_range(w, 0, 100);
    uint32_t oldest = w->lfu.oldest[LFU_WINDOW];
    uint64_t hash = hash_of(w->keys[oldest]);
    w->hit[oldest] = true;
    for (uint32_t node = 0; node < 100; node++) /* as popular as it is going to be */
        if (node != oldest)
            lfu_note_miss(&w->lfu, hash_of(w->keys[node]));
    struct lfu_incoming incoming = {.hash = hash_of(1000), .weight = 1};
    uint32_t before = sketch_estimate(&w->lfu.sketch, hash);
    CHECK_EQ(lfu_victim(&w->lfu, &w->choice, &incoming), oldest);
    CHECK(!lfu_is_condemned(&w->lfu, oldest));
    CHECK_EQ(sketch_estimate(&w->lfu.sketch, hash), before + 1);
    w->hit[oldest] = true;
    lfu_remove(&w->lfu, oldest, 1);
    CHECK_EQ(sketch_estimate(&w->lfu.sketch, hash), before + 1);
    CHECK_EQ(lfu_weight(&w->lfu), 99);
    CHECK(lfu_is_valid(&w->lfu));
    w->nodes[w->keys[oldest]] = LFU_NONE;
    w->free[w->free_count++] = oldest;
    world_close(w);
}

/* For a cap that comes down. Returns how many left. */
static uint32_t evict_many(struct world *w, uint32_t most)
{
    uint32_t victims[LFU_MANY];
    uint32_t n = lfu_victims(&w->lfu, &w->choice, victims, most);
    CHECK_LE(n, most);
    for (uint32_t i = 0; i < n; i++) {
        CHECK(lfu_is_condemned(&w->lfu, victims[i]));
        lfu_remove(&w->lfu, victims[i], w->sizes[w->keys[victims[i]]]);
        w->nodes[w->keys[victims[i]]] = LFU_NONE;
        w->free[w->free_count++] = victims[i];
    }
    CHECK(lfu_is_valid(&w->lfu));
    return n;
}

TEST(of_many_victims_at_once_none_was_hit)
{
    enum { ENTRIES = 1000 };
    struct world *w = world_open(ENTRIES, true, small_window);
    ask_range(w, 0, ENTRIES);
    for (uint32_t key = 0; key < ENTRIES; key += 10)
        ask(w, key);
    for (unsigned evicted = 0; evicted < 800;)
        evicted += evict_many(w, evicted % 3 ? LFU_MANY : 7);
    for (uint32_t key = 0; key < ENTRIES; key += 10)
        CHECK(has(w, key));
    world_close(w);
}

TEST(many_victims_are_found_also_where_all_were_hit)
{
    enum { ENTRIES = 2000 };
    struct world *w = world_open(ENTRIES, true, small_window);
    ask_range(w, 0, ENTRIES);
    ask_range(w, 0, ENTRIES);
    CHECK_EQ(evict_many(w, LFU_MANY), LFU_MANY);
    unsigned evicted = LFU_MANY;
    for (uint32_t n = 1; n > 0; evicted += n)
        n = evict_many(w, LFU_MANY);
    CHECK_EQ(evicted, ENTRIES);
    CHECK_EQ(lfu_weight(&w->lfu), 0);
    world_close(w);
}

TEST(many_victims_of_all_sizes)
{
    struct world *w = world_open(50000, false, (struct lfu_choice){200, 2});
    uint64_t random = check_seed();
    for (uint32_t key = 0; key < KEYS_MAX; key++)
        w->sizes[key] = 1 + (uint32_t)(check_random(&random) % 4000);
    for (unsigned i = 0; i < 20000; i++) {
        ask(w, (uint32_t)(check_random(&random) % 400));
        if (i % 500 == 0)
            evict_many(w, 1 + (uint32_t)(check_random(&random) % LFU_MANY));
    }
    while (evict_many(w, LFU_MANY))
        continue;
    CHECK_EQ(lfu_weight(&w->lfu), 0);
    world_close(w);
}
