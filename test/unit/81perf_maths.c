// SPDX-License-Identifier: MIT
/*
 * The arithmetic of the benchmarks, by hand: a median that is off, a sampler that is not Zipf's or
 * an optimum that is none would make every figure wrong, and none look wrong.
 */
#include "support/check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/keys.h"
#include "bench/measure.h"
#include "bench/simulate.h"
#include "bench/trace_make.h"
#include "support/hist.h"

/* ---- medians ---- */

static bool near(double a, double b)
{
    return fabs(a - b) < 1e-9;
}

TEST(median_is_the_middle_whatever_the_order)
{
    const double odd[] = {9, 1, 5, 3, 100};
    const double even[] = {4, 1, 3, 2};
    CHECK(near(median(odd, 5), 5));
    CHECK(near(median(even, 4), 2.5));
    CHECK(near(median(odd, 1), 9));
    CHECK(near(median(odd, 0), 0));
    CHECK(near(odd[0], 9)); /* they stay as they were */
}

TEST(median_lies_in_its_range_however_many_rounds)
{
    double values[25], low, high;
    for (unsigned i = 0; i < 25; i++)
        values[i] = (i * 7 + 3) % 25; /* each of 0 to 24 */
    median_range(values, 1, MEDIAN_SURE, &low, &high);
    CHECK(near(low, values[0]) && near(high, values[0]));
    const double five[] = {3, 1, 5, 2, 4};
    median_range(five, 5, MEDIAN_SURE, &low, &high);
    CHECK(near(low, 1) && near(high, 5));
    median_range(values, 25, MEDIAN_SURE, &low, &high);
    CHECK(near(low, 7) && near(high, 17)); /* the 8th and 18th: 95.7 %; the 9th: 89.2 % */
    median_range(values, 25, 0.96, &low, &high);
    CHECK(near(low, 6) && near(high, 18));
    median_range(five, 5, 0.95, &low, &high); /* 93.75 % is all there is */
    CHECK(near(low, 1) && near(high, 5));
}

TEST(spread_is_relative_to_the_median)
{
    const double values[] = {10, 8, 12, 10, 11};
    CHECK(near(spread(values, 5), 0.4));
}

/* The neighbour's load doubles both sides of a round: the ratio does not see it. */
TEST(ratio_is_of_each_round)
{
    const double a[] = {1, 2, 1, 2, 1};
    const double b[] = {2, 4, 2, 4, 2};
    CHECK(near(median_ratio(a, b, 5), 0.5));
    CHECK(near(median(a, 5) / median(b, 5), 0.5));
    const double c[] = {1, 10, 1, 10, 1};
    const double d[] = {10, 100, 100, 10, 10};
    CHECK(near(median_ratio(c, d, 5), 0.1));
}

struct counter {
    unsigned runs;
    unsigned *order;
    unsigned *next;
    unsigned self;
};

static double count_round(void *arg)
{
    struct counter *c = arg;
    c->order[(*c->next)++] = c->self;
    return (double)c->runs++;
}

TEST(rounds_rotate_and_drop_the_first)
{
    unsigned order[12], next = 0;
    struct counter counters[3];
    struct subject subjects[3];
    for (unsigned i = 0; i < 3; i++) {
        counters[i] = (struct counter){0, order, &next, i};
        subjects[i] = (struct subject){.name = "x", .run = count_round, .arg = &counters[i]};
    }
    rounds_run("test", subjects, 3, 3);
    const unsigned expected[12] = {0, 1, 2, 1, 2, 0, 2, 0, 1, 0, 1, 2};
    CHECK_MEM(order, sizeof(order), expected, sizeof(expected));
    for (unsigned i = 0; i < 3; i++)
        CHECK(near(subjects[i].figures[0], 1)); /* not 0: that was the warm-up */
}

/* ---- results ---- */

TEST(results_are_found_by_their_names)
{
    struct subject a = {.name = "a", .figures = {2, 4, 6}};
    struct subject b = {.name = "b", .figures = {4, 8, 12}};
    result_add_rounds("bench", "case", "metric", "ns", &a, &b, 3);
    result_add("bench", "alone", "metric", "bytes", 7, NULL, 0);
    const struct result *r = result_find("bench", "case", "metric", "b");
    REQUIRE(r);
    CHECK(near(r->value, 4) && near(r->baseline_value, 8) && near(r->ratio, 0.5));
    CHECK_EQ(r->rounds, 3);
    CHECK(near(r->spread, 1));
    CHECK(!result_find("bench", "case", "metric", "c"));
    r = result_find("bench", "alone", "metric", NULL);
    REQUIRE(r);
    CHECK(near(r->value, 7) && !r->baseline);
}

TEST(results_with_long_names_are_found_too)
{
    char name[200];
    memset(name, 'n', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    result_add("bench", name, "metric", "bytes", 7, "b", 1);
    const struct result *r = result_find("bench", name, "metric", "b");
    REQUIRE(r);
    result_set_goal(r, 8);
    CHECK(near(r->goal, 8));
}

TEST(results_are_json_whatever_their_names)
{
    char path[] = "/tmp/nigh-results-XXXXXX", text[4096] = "";
    int fd = mkstemp(path);
    REQUIRE(fd >= 0);
    result_add("bench", "a \"b\" \\c\n\xff \xc3\xbc", "metric", "bytes", 7, "1\\2", 1);
    results_write(path, "hit --only \"x\"");
    CHECK(read(fd, text, sizeof(text) - 1) > 0);
    CHECK(strstr(text, "\"case\": \"a \\u0022b\\u0022 \\u005cc\\u000a\\u00ff \xc3\xbc\","));
    CHECK(strstr(text, "\"baseline\": \"1\\u005c2\","));
    CHECK(strstr(text, "\"command\": \"hit --only \\u0022x\\u0022\","));
    close(fd);
    unlink(path);
}

/* ---- keys ---- */

TEST(keys_and_values_say_their_number)
{
    struct step a, b;
    char value[100];
    uint64_t word;
    uint32_t number;
    key_make(123456, &a);
    key_make(123456, &b);
    CHECK_MEM(a.key, a.key_len, b.key, b.key_len);
    memcpy(&number, a.key, sizeof(number));
    CHECK_EQ(number, 123456);
    value_make(123456, value, sizeof(value));
    memcpy(&word, value, sizeof(word));
    CHECK_EQ(word, 123456);
    uint32_t shortest = UINT32_MAX, longest = 0;
    for (uint32_t n = 0; n < 1000; n++) {
        key_make(n, &a);
        shortest = a.key_len < shortest ? a.key_len : shortest;
        longest = a.key_len > longest ? a.key_len : longest;
    }
    CHECK_EQ(shortest, KEY_BYTES_MIN);
    CHECK_EQ(longest, KEY_BYTES_MAX);
}

static int downwards(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a;
    uint32_t y = *(const uint32_t *)b;
    return (x < y) - (x > y);
}

/* Draws against the formula, rank by rank, within five standard deviations. */
TEST(zipf_draws_what_the_formula_says)
{
    enum { KEYS = 1000, RANKS = 50 };
    const uint64_t draws = 1 << 20;
    static uint32_t counts[KEYS];
    struct sequence s;
    double sum = 0;
    memset(counts, 0, sizeof(counts));
    sequence_make(&s, KEYS_ZIPF, KEYS, draws, 7);
    for (uint64_t i = 0; i < draws; i++)
        counts[s.steps[i].number]++;
    sequence_free(&s);
    qsort(counts, KEYS, sizeof(counts[0]), downwards);
    for (uint32_t rank = 0; rank < KEYS; rank++)
        sum += zipf_share(rank, KEYS);
    CHECK(fabs(sum - 1) < 1e-6);
    /* Sorted counts follow the ranks only while neighbours are farther apart than chance. */
    for (uint32_t rank = 0; rank < 10; rank++) {
        double expected = zipf_share(rank, KEYS) * (double)draws;
        if (!CHECK(fabs(counts[rank] - expected) < 5 * sqrt(expected)))
            check_note("rank %u: %u draws, %.0f expected", rank, counts[rank], expected);
    }
    double first = 0, drawn = 0;
    for (uint32_t rank = 0; rank < RANKS; rank++) {
        first += zipf_share(rank, KEYS);
        drawn += counts[rank];
    }
    CHECK(fabs(drawn / (double)draws - first) < 0.005);
}

TEST(zipf_is_scattered_over_the_numbers)
{
    struct sequence s;
    uint64_t low = 0;
    sequence_make(&s, KEYS_ZIPF, 1000, 1 << 14, 7);
    for (uint64_t i = 0; i < s.length; i++)
        low += s.steps[i].number < 100;
    sequence_free(&s);
    /* The hundred most popular of a thousand have 70 %; any hundred by number have their share. */
    CHECK_LT(low, (1u << 14) / 2);
}

TEST(sequences_in_turn_go_round)
{
    struct sequence s;
    sequence_make(&s, KEYS_IN_TURN, 5, 8, 1);
    const uint32_t expected[8] = {0, 1, 2, 3, 4, 0, 1, 2};
    for (unsigned i = 0; i < 8; i++)
        CHECK_EQ(s.steps[i].number, expected[i]);
    sequence_free(&s);
}

/* ---- simulated policies ---- */

static struct trace trace_of(const char *text, struct request *requests)
{
    struct trace t = {.requests = requests, .count = strlen(text), .unique = 0};
    for (size_t i = 0; i < t.count; i++) {
        requests[i] = (struct request){(uint32_t)(text[i] - 'a'), 1};
        t.unique = requests[i].key >= t.unique ? requests[i].key + 1 : t.unique;
    }
    return t;
}

/*
 * Room for three, the well-known string of FIFO's anomaly:
 *
 *              a b c d a b e a b c d e
 *     optimum  . . . . h h . h h . . h    c leaves for d, d for e; a and b when nobody asks again
 *     lru      . . . . . . . h h . . .
 */
TEST(belady_and_lru_by_hand)
{
    struct request requests[32];
    struct trace t = trace_of("abcdabeabcde", requests);
    CHECK_EQ(simulate_belady(&t, 3), 5);
    CHECK_EQ(simulate_lru(&t, 3), 2);
    CHECK_EQ(simulate_belady(&t, 5), 7);
    CHECK_EQ(simulate_lru(&t, 5), 7);
    CHECK_EQ(simulate_belady(&t, 1), 0);
    CHECK_EQ(simulate_belady(&t, 0), 0);
}

/* A loop one longer than the cache: LRU never hits, the optimum nearly always. */
TEST(belady_beats_a_loop)
{
    struct request requests[300];
    struct trace t = {.requests = requests, .count = 300, .unique = 4};
    for (size_t i = 0; i < 300; i++)
        requests[i] = (struct request){(uint32_t)(i % 4), 1};
    CHECK_EQ(simulate_lru(&t, 3), 0);
    CHECK_GE(simulate_belady(&t, 3), 190);
    CHECK_LE(simulate_belady(&t, 3), 200);
}

/* The best over every choice of victim, by trying them all. */
static unsigned best_hits(const struct trace *t, size_t at, uint32_t cached, unsigned room)
{
    if (at == t->count)
        return 0;
    uint32_t bit = 1u << t->requests[at].key;
    if (cached & bit)
        return 1 + best_hits(t, at + 1, cached, room);
    if ((unsigned)__builtin_popcount(cached) < room)
        return best_hits(t, at + 1, cached | bit, room);
    unsigned best = 0;
    for (uint32_t victim = 1; victim <= cached; victim <<= 1) {
        unsigned hits = cached & victim
                            ? best_hits(t, at + 1, (cached & ~victim) | bit, room) : 0;
        best = hits > best ? hits : best;
    }
    return best;
}

TEST(belady_is_the_best_of_all_choices)
{
    uint64_t state = check_seed();
    for (unsigned n = 0; n < 100; n++) {
        struct request requests[12];
        struct trace t = {.requests = requests, .count = 12, .unique = 5};
        for (size_t i = 0; i < t.count; i++)
            requests[i] = (struct request){(uint32_t)(check_random(&state) % 5), 1};
        for (unsigned room = 1; room <= 4; room++)
            CHECK_EQ(simulate_belady(&t, room), best_hits(&t, 0, 0, room));
    }
}

TEST(lru_by_bytes_makes_room_for_the_newcomer)
{
    struct request requests[] = {{0, 40}, {1, 40}, {0, 40}, {2, 60}, {0, 40}, {1, 40}, {3, 200},
                                 {1, 40}};
    struct trace t = {.requests = requests,
                      .count = sizeof(requests) / sizeof(requests[0]),
                      .unique = 4};
    /* 2 pushes 1 out, not 0; 1 pushes 2 out; 3 is larger than the cache and pushes nobody out */
    CHECK_EQ(simulate_lru_bytes(&t, 100), 3);
}

/*
 * Room for 100. The worth of each is requests / size above that of who left last:
 *
 *     0 (40 B) 1/40, then 2/40; 1 (60 B) 1/60; 2 (50 B) pushes 1 out, and begins at 1/60 + 1/50;
 *     1 pushes 2 out, not 0, which was asked for twice; 3 is larger than the cache
 */
TEST(gdsf_by_hand)
{
    struct request requests[] = {{0, 40}, {1, 60}, {0, 40}, {2, 50}, {0, 40}, {1, 60}, {3, 200},
                                 {2, 50}, {0, 40}};
    struct trace t = {.requests = requests,
                      .count = sizeof(requests) / sizeof(requests[0]),
                      .unique = 4};
    CHECK_EQ(simulate_gdsf(&t, 100), 3);
    CHECK_EQ(simulate_gdsf(&t, 400), 5);
    CHECK_EQ(simulate_gdsf(&t, 1000), 5);
}

/* Two small ones in turn, each followed by a large one that nobody asks for again: room for the
 * large ones is made by large ones. */
TEST(gdsf_lets_small_ones_stay)
{
    struct request requests[64];
    struct trace t = {.requests = requests, .count = 64, .unique = 34};
    for (uint32_t i = 0; i < 64; i++)
        requests[i] = i % 2 ? (struct request){2 + i / 2, 90} : (struct request){i / 2 % 2, 5};
    CHECK_EQ(simulate_gdsf(&t, 100), 30);
    CHECK_EQ(simulate_lru_bytes(&t, 100), 0);
}

/* ---- made traces ---- */

#define MADE_KEYS 1000u

/* Sums over all objects and over all requests. */
struct made {
    uint64_t bytes;
    uint32_t most; /* requests for the most popular */
    double object_log, request_log; /* means of log(size) */
};

static struct made look_at(const struct trace *t)
{
    struct made m = {0};
    uint32_t counts[MADE_KEYS] = {0}, sizes[MADE_KEYS], seen = 0;
    for (size_t i = 0; i < t->count; i++) {
        const struct request *q = &t->requests[i];
        REQUIRE(q->key <= seen && q->key < MADE_KEYS); /* numbered by first appearance */
        if (q->key == seen) {
            sizes[seen++] = q->size;
            m.bytes += q->size;
            m.object_log += log(q->size);
        }
        REQUIRE(q->size == sizes[q->key] && q->size >= 50 && q->size <= 1 << 20);
        m.request_log += log(q->size) / (double)t->count;
        if (++counts[q->key] > m.most)
            m.most = counts[q->key];
    }
    m.object_log /= seen;
    REQUIRE(t->unique == seen);
    return m;
}

TEST(made_traces_are_what_their_text_says)
{
    struct trace t;
    trace_make(&t, "keys=1000,requests=100000,zipf=0.99,small=0.7,seed=3");
    struct made m = look_at(&t);
    CHECK_EQ(trace_bytes(&t), m.bytes);
    double expected = zipf_share(0, MADE_KEYS) * 100000;
    CHECK(fabs(m.most - expected) < 5 * sqrt(expected));
    CHECK(fabs(m.object_log - log(50.0 * (1 << 20)) / 2) < 0.5);
    CHECK(m.request_log < m.object_log - 1); /* what is popular is small */
    trace_free(&t);
    trace_make(&t, "keys=1000,requests=100000,zipf=0,small=0");
    m = look_at(&t);
    CHECK_LT(m.most, 200); /* of 100 each */
    CHECK(fabs(m.request_log - m.object_log) < 0.2);
    trace_free(&t);
}

TEST(made_traces_are_the_same_for_the_same_text)
{
    struct trace t, again, other;
    trace_make(&t, "keys=1000,requests=1000,seed=3");
    trace_make(&again, "seed=3,small=0.7,zipf=0.9,requests=1000,keys=1000");
    trace_make(&other, "keys=1000,requests=1000");
    const size_t bytes = 1000 * sizeof(*t.requests);
    CHECK_MEM(t.requests, bytes, again.requests, bytes);
    CHECK(memcmp(t.requests, other.requests, bytes) != 0);
    trace_free(&t);
    trace_free(&again);
    trace_free(&other);
}

/* ---- histograms ---- */

static struct hist told;

static uint64_t only_value_told(uint64_t value)
{
    memset(&told, 0, sizeof(told));
    hist_add(&told, value);
    hist_add(&told, UINT64_MAX); /* or the maximum would round down for us */
    return hist_quantile(&told, 0.5);
}

TEST(quantile_is_never_too_small_and_at_most_a_32nd_too_large)
{
    uint64_t seed = check_seed();
    for (uint64_t value = 0; value < 64; value++)
        CHECK_EQ(only_value_told(value), value);
    for (unsigned power = 6; power < HIST_POWERS; power++) {
        for (uint64_t i = 0; i < 50; i++) {
            uint64_t base = (uint64_t)1 << power;
            uint64_t value = i < 3 ? base + i : base + check_random(&seed) % base;
            CHECK_GE(only_value_told(value), value);
            CHECK_LE(only_value_told(value) - value, value / HIST_STEPS);
        }
    }
}

TEST(quantiles_of_known_samples)
{
    static struct hist merged;
    memset(&told, 0, sizeof(told));
    CHECK_EQ(hist_quantile(&told, 0.5), 0);
    for (uint64_t value = 1; value <= 100000; value++)
        hist_add(&told, value);
    for (unsigned permille = 1; permille < 1000; permille++) {
        CHECK_GE(hist_quantile(&told, permille / 1000.0), permille * 100);
        CHECK_LE(hist_quantile(&told, permille / 1000.0), permille * 100 * 33 / 32);
    }
    CHECK_EQ(hist_quantile(&told, 0), 1);
    CHECK_EQ(hist_quantile(&told, 1), 100000); /* the maximum is kept exactly */
    hist_merge(&merged, &told);
    hist_merge(&merged, &told);
    CHECK_EQ(merged.count, 200000);
    CHECK_EQ(merged.max, 100000);
    CHECK_EQ(hist_quantile(&merged, 0.5), hist_quantile(&told, 0.5));
    CHECK_EQ(hist_above(&merged, 63), 2 * (100000 - 63));
}

/* Rounds of 245 ns and of 250 ns had all 247 and all 255: a difference of 3 %, and a sure one. */
TEST(an_estimate_is_not_bound_to_the_edges)
{
    memset(&told, 0, sizeof(told));
    CHECK(hist_estimate(&told, 0.5) == 0);
    for (uint64_t value = 1; value <= 100000; value++)
        hist_add(&told, value);
    for (unsigned permille = 1; permille < 1000; permille++)
        CHECK(fabs(hist_estimate(&told, permille / 1000.0) - permille * 100) <= 1.5);
    CHECK(hist_estimate(&told, 1) == 100000);
    for (uint64_t middle = 230; middle < 260; middle++) {
        memset(&told, 0, sizeof(told));
        for (uint64_t value = middle - 20; value <= middle + 20; value++)
            hist_add(&told, value);
        CHECK(fabs(hist_estimate(&told, 0.5) - (double)middle) <= 1);
    }
    for (uint64_t value = 0; value < 64; value++) {
        memset(&told, 0, sizeof(told));
        hist_add(&told, value);
        CHECK(hist_estimate(&told, 0.5) <= (double)value);
        CHECK(hist_estimate(&told, 0.5) >= (double)value * 31 / 32);
    }
}

TEST(values_beyond_the_last_edge_are_told_as_the_maximum)
{
    memset(&told, 0, sizeof(told));
    hist_add(&told, UINT64_MAX);
    hist_add(&told, (uint64_t)1 << 50);
    CHECK_EQ(told.count, 2);
    CHECK_GE(hist_quantile(&told, 0.5), (uint64_t)1 << 39);
    CHECK_EQ(told.max, UINT64_MAX);
}
