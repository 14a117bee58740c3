// SPDX-License-Identifier: MIT
// The sketch counts every key at least as often as it was added, few much too often, large counts
// roughly, forgets by halves, and keeps what it knows when it is resized.

#include <stdlib.h>

#include "l1/sketch.h"
#include "support/check.h"

#define KEYS 1000u

static uint64_t hash_of(unsigned key)
{
    uint64_t state = check_seed() + key;
    return check_random(&state);
}

static void resize(struct sketch *s, uint32_t blocks)
{
    if (blocks < s->blocks)
        sketch_fold(s, blocks);
    void *words = realloc(s->words, sketch_bytes(blocks));
    REQUIRE(words);
    sketch_grow(s, words, blocks);
}

static void add_times(struct sketch *s, unsigned key, unsigned count)
{
    while (count--)
        sketch_add(s, hash_of(key));
}

static void open_with_keys(struct sketch *s, uint32_t blocks)
{
    *s = (struct sketch){0};
    resize(s, blocks);
    for (unsigned key = 0; key < KEYS; key++)
        add_times(s, key, key % 6);
}

static void check_least(const struct sketch *s)
{
    for (unsigned key = 0; key < KEYS; key++)
        CHECK_GE(sketch_estimate(s, hash_of(key)), key % 6);
}

TEST(never_too_low_and_seldom_too_high)
{
    struct sketch s;
    open_with_keys(&s, sketch_blocks_for(KEYS));
    check_least(&s);
    unsigned too_high = 0;
    for (unsigned key = 0; key < KEYS; key++)
        too_high += sketch_estimate(&s, hash_of(key)) > key % 6;
    CHECK_LT(too_high, KEYS / 8);
    free(s.words);
}

/* A crowded one: only the smallest counters rise, so what a key shares with a hotter one stays. */
TEST(a_hot_neighbour_does_not_make_hot)
{
    struct sketch s = {0};
    resize(&s, sketch_blocks_for(KEYS / 6));
    for (unsigned key = 0; key < KEYS; key++)
        add_times(&s, key, key % 4 ? 1 : 12);
    unsigned too_high = 0;
    for (unsigned key = 0; key < KEYS; key++)
        too_high += key % 4 && sketch_estimate(&s, hash_of(key)) > 2;
    CHECK_LT(too_high, KEYS / 20); /* 25; 90 when all counters rise */
    free(s.words);
}

TEST(counts_end_at_the_highest_level)
{
    struct sketch s = {0};
    resize(&s, 1);
    add_times(&s, 7, 10000);
    CHECK_EQ(sketch_estimate(&s, hash_of(7)), SKETCH_LEVEL_MAX);
    uint32_t added = s.added;
    add_times(&s, 7, 10);
    CHECK_EQ(s.added, added); /* what changes nothing makes nothing older */
    free(s.words);
}

/* Exact up to 6; above, on average over many keys. */
TEST(large_counts_are_roughly_right)
{
    const unsigned times[] = {4, 6, 8, 16, 32, 64, 500};
    for (unsigned n = 0; n < sizeof(times) / sizeof(times[0]); n++) {
        double sum = 0;
        for (unsigned key = 0; key < KEYS; key++) {
            struct sketch s = {.chance = key};
            resize(&s, 1);
            add_times(&s, key, times[n]);
            sum += sketch_count(sketch_estimate(&s, hash_of(key)));
            free(s.words);
        }
        double mean = sum / KEYS;
        bool exact = times[n] <= SKETCH_EXACT_MAX;
        CHECK(exact ? mean == times[n] : mean > times[n] * 0.85 && mean < times[n] * 1.15);
    }
}

/* Each level, whatever it has for neighbours in its word. */
TEST(ages_by_halves_when_enough_was_added)
{
    struct sketch s = {0};
    resize(&s, 4);
    for (unsigned i = 0; i < 4 * SKETCH_BLOCK_WORDS; i++)
        s.words[i] = UINT64_C(0xfedcba9876543210) << i % 16 * 4 |
                     (i % 16 ? UINT64_C(0xfedcba9876543210) >> (64 - i % 16 * 4) : 0);
    uint32_t before[100];
    for (unsigned key = 0; key < 100; key++)
        before[key] = sketch_count(sketch_estimate(&s, hash_of(key)));
    s.added = 32 * SKETCH_PERIOD - 1;
    CHECK(!sketch_age(&s, 32));
    s.added++;
    CHECK(sketch_age(&s, 32));
    for (unsigned key = 0; key < 100; key++) {
        CHECK_EQ(sketch_count(sketch_estimate(&s, hash_of(key))), before[key] / 2);
    }
    CHECK_EQ(s.added, 16 * SKETCH_PERIOD);
    CHECK(!sketch_age(&s, 32));
    free(s.words);
}

/* Any number of blocks after any other: keys find counters at least as high. */
TEST(no_estimate_falls_when_it_is_resized)
{
    static const uint32_t sizes[] = {1, 2, 3, 64, 65, 127, 128, 100, 33, 32, 31, 1, 500, 7};
    struct sketch s;
    open_with_keys(&s, 50);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        static uint8_t before[KEYS];
        for (unsigned key = 0; key < KEYS; key++)
            before[key] = (uint8_t)sketch_estimate(&s, hash_of(key));
        resize(&s, sizes[i]);
        for (unsigned key = 0; key < KEYS; key++)
            CHECK_GE(sketch_estimate(&s, hash_of(key)), before[key]);
    }
    check_least(&s);
    free(s.words);
}

/* Grown from small, it tells keys apart as well as one that was large from the first. */
TEST(a_grown_sketch_has_no_more_collisions)
{
    struct sketch s = {0};
    resize(&s, 1);
    for (uint32_t blocks = 2; blocks <= sketch_blocks_for(KEYS); blocks++)
        resize(&s, blocks);
    for (unsigned key = 0; key < KEYS; key++)
        add_times(&s, key, key % 6);
    unsigned too_high = 0;
    for (unsigned key = 0; key < KEYS; key++)
        too_high += sketch_estimate(&s, hash_of(key)) > key % 6;
    CHECK_LT(too_high, KEYS / 8);
    free(s.words);
}
