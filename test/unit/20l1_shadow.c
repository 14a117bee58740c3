// SPDX-License-Identifier: MIT
// Shadow caches find the window that suits the traffic, and find another when it changes; they
// have nodes enough for every choice, and stay within their part of the cap.

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

static void feed(struct shadows *s, uint64_t key, uint32_t weight)
{
    uint64_t hash = hash_of(key);
    if (shadows_sampled(s, hash))
        shadows_feed(s, hash, weight);
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
    uint64_t key = 0;
    while (!shadows_sampled(&s, hash_of(key)))
        key++;
    CHECK(!shadows_feed(&s, hash_of(key), 1));
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
