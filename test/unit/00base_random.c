// SPDX-License-Identifier: MIT
/*
 * Randomness: ids do not repeat, in a child of fork neither; a seed does; jitter keeps its bounds.
 */
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/base.h"
#include "support/check.h"

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

TEST(ids_are_unique_and_never_0)
{
    static uint64_t ids[20000];
    struct random r[2];
    random_init(&r[0], 0);
    random_init(&r[1], 0);
    for (size_t i = 0; i < ARRAY_COUNT(ids); i++)
        ids[i] = random_id(&r[i % 2]);
    qsort(ids, ARRAY_COUNT(ids), sizeof(ids[0]), by_value);
    CHECK_NE(ids[0], 0);
    for (size_t i = 1; i < ARRAY_COUNT(ids); i++)
        CHECK_NE(ids[i], ids[i - 1]);
}

/* The state differs in its last bits. 10000 are expected, deviation 71: 7 of them. */
TEST(every_bit_of_an_id_is_a_coin)
{
    struct random r;
    unsigned ones[64] = {0};
    random_init(&r, 0);
    for (int i = 0; i < 20000; i++) {
        uint64_t id = random_id(&r);
        for (int bit = 0; bit < 64; bit++)
            ones[bit] += id >> bit & 1;
    }
    for (int bit = 0; bit < 64; bit++)
        CHECK(ones[bit] > 9500 && ones[bit] < 10500);
}

/* Has a child of fork draw from what it has inherited; gets its first ids. */
static void draw_in_child(struct random *r, uint64_t ids[2])
{
    int ends[2];
    REQUIRE_EQ(pipe(ends), 0);
    pid_t pid = fork();
    REQUIRE(pid >= 0);
    if (pid == 0) {
        uint64_t drawn[2] = {random_id(r), random_id(r)};
        _exit(write(ends[1], drawn, sizeof(drawn)) == (ssize_t)sizeof(drawn) ? 0 : 1);
    }
    close(ends[1]);
    REQUIRE_EQ(read(ends[0], ids, 2 * sizeof(ids[0])), (ssize_t)(2 * sizeof(ids[0])));
    close(ends[0]);
    int status;
    REQUIRE_EQ(waitpid(pid, &status, 0), pid);
    CHECK_EQ(status, 0);
}

/* They all go on from the same count, under the same key. */
TEST(parent_and_children_draw_different_ids)
{
    uint64_t ids[6];
    struct random r;
    random_init(&r, 0);
    random_id(&r);
    draw_in_child(&r, ids);
    draw_in_child(&r, ids + 2);
    ids[4] = random_id(&r);
    ids[5] = random_id(&r);
    qsort(ids, ARRAY_COUNT(ids), sizeof(ids[0]), by_value);
    for (size_t i = 1; i < ARRAY_COUNT(ids); i++)
        CHECK_NE(ids[i], ids[i - 1]);
}

TEST(seed_repeats_everything)
{
    struct random a, b, other;
    random_init(&a, check_seed() | 1);
    random_init(&b, check_seed() | 1);
    random_init(&other, (check_seed() | 1) + 1);
    for (int i = 0; i < 1000; i++) {
        uint64_t id = random_id(&a);
        CHECK_EQ(id, random_id(&b));
        CHECK_NE(id, random_id(&other));
        CHECK_EQ(random_below(&a, 1000), random_below(&b, 1000));
        random_below(&other, 1000);
    }
}

TEST(below_is_uniform_and_below)
{
    struct random r;
    unsigned seen[10] = {0};
    random_init(&r, check_seed() | 1);
    for (int i = 0; i < 100000; i++) {
        uint64_t n = random_below(&r, 10);
        REQUIRE(n < 10);
        seen[n]++;
    }
    for (int i = 0; i < 10; i++) /* 10000 expected, deviation 95: 6 of them on either side */
        CHECK(seen[i] > 9430 && seen[i] < 10570);
    CHECK_EQ(random_below(&r, 0), 0);
    CHECK_EQ(random_below(&r, 1), 0);
}

TEST(jitter_fills_its_range_and_no_more)
{
    struct random r;
    uint64_t lowest = UINT64_MAX, highest = 0;
    random_init(&r, check_seed() | 1);
    for (int i = 0; i < 100000; i++) {
        uint64_t n = random_jitter(&r, 1000, 10);
        lowest = u64_min(lowest, n);
        highest = u64_max(highest, n);
    }
    CHECK_EQ(lowest, 900);
    CHECK_EQ(highest, 1100);
}

TEST(jitter_of_extremes_does_not_wrap)
{
    struct random r;
    random_init(&r, check_seed() | 1);
    for (int i = 0; i < 1000; i++) {
        CHECK_EQ(random_jitter(&r, 1234, 0), 1234);
        CHECK_EQ(random_jitter(&r, 0, 50), 0);
        CHECK_EQ(random_jitter(&r, UINT64_MAX, 50), UINT64_MAX);
        CHECK_GE(random_jitter(&r, UINT64_MAX - 10, 50), UINT64_MAX - 20);
        CHECK_LE(random_jitter(&r, 100, 1000), 200);
        uint64_t half = random_jitter(&r, (uint64_t)1 << 63, 50);
        CHECK_GE(half, (uint64_t)1 << 62);
        CHECK_LE(half, 3 * ((uint64_t)1 << 62));
    }
}
