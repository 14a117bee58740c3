// SPDX-License-Identifier: MIT
/*
 * `perf/run tune`: the curve is exact LRU's, the knee is where it is on curves that are drawn by
 * hand, shards are the fewest that do not differ from the best, and a log of 50,000 lines becomes a
 * line that nigh takes. Nothing here is about speed.
 */
#include "support/check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <nigh/nigh.h>

#include "bench/trace_make.h"
#include "support/random.h"
#include "tune/tune.h"

#define KEY_BYTES 24u
#define MIB       0x1p20

/* ---- the curve ---- */

/* A bucket of the curve is 2.2 % wide. */
TEST(curve_is_exact_lru)
{
    struct input in = {.rate = 1};
    static struct curve c;
    trace_make(&in.trace, "keys=3000,requests=60000,zipf=0.8,seed=7");
    input_set_sizes(&in, 1000);
    curve_make(&c, &in, KEY_BYTES, in.trace.count, 1);
    for (uint64_t objects = 10; objects < 3000; objects *= 2) {
        double at = curve_at(&c, (double)objects * curve_charge(KEY_BYTES, 1000));
        double requests = (double)in.trace.count;
        CHECK(at <= (double)simulate_lru(&in.trace, objects + 1) / requests + 1e-9);
        CHECK(at >= (double)simulate_lru(&in.trace, (uint64_t)((double)objects / 1.03)) / requests);
    }
    CHECK(fabs(curve_top(&c) - (1 - in.trace.unique / (double)in.trace.count)) < 1e-9);
    CHECK(fabs(c.footprint - in.trace.unique * curve_charge(KEY_BYTES, 1000)) < 1);
    input_free(&in);
}

TEST(sampled_curve_is_near_the_whole_one)
{
    struct input in = {.rate = 1};
    static struct curve whole, sampled;
    trace_make(&in.trace, "keys=20000,requests=200000,zipf=0.7,seed=3");
    curve_make(&whole, &in, KEY_BYTES, in.trace.count, 1);
    curve_make(&sampled, &in, KEY_BYTES, in.trace.count / 4, 1);
    for (double bytes = 4 * MIB; bytes < whole.footprint; bytes *= 2)
        CHECK(fabs(curve_at(&whole, bytes) - curve_at(&sampled, bytes)) < 0.03);
    CHECK(fabs(whole.footprint / sampled.footprint - 1) < 0.1);
    input_free(&in);
}

/* ---- the knee ---- */

static struct knee_point curve[16];

/* Doublings from 4 MiB, misses in thousandths. Returns the knee's size in MiB. */
static unsigned knee_mib(double worth, unsigned count, const double *misses)
{
    for (unsigned i = 0; i < count; i++)
        curve[i] = (struct knee_point){4 * MIB * (1u << i), misses[i] / 1000};
    knee_smooth(curve, count);
    return (unsigned)(curve[knee_find(curve, count, worth)].bytes / MIB);
}

TEST(what_is_left_goes_by_time_where_loads_have_one)
{
    struct replay_result few = {.hits = 0.9, .load_s = 80, .all_s = 100}, many = {.hits = 0.8};
    CHECK(fabs(replay_left(&few) - 0.8) < 1e-9); /* the tenth that it misses is the dear one */
    CHECK(fabs(replay_left(&many) - 0.2) < 1e-9);
}

TEST(knee_is_where_a_doubling_ceases_to_pay)
{
    const double bent[] = {700, 500, 300, 200, 196, 193, 191};
    const double steps[] = {900, 900, 900, 900, 900, 300, 299}; /* a loop of 100 MiB */
    const double flat[] = {500, 499.5, 499};
    const double hot[] = {60, 30, 15, 7, 6, 5.5}; /* each half of what is left */
    const double one[] = {123};
    const double noisy[] = {300, 200, 220, 199, 198};
    CHECK_EQ(knee_mib(0.01, 7, bent), 32);
    CHECK_EQ(knee_mib(0.01, 7, steps), 128);
    CHECK_EQ(knee_mib(0.01, 3, flat), 4);
    CHECK_EQ(knee_mib(0.01, 6, hot), 32);
    CHECK_EQ(knee_mib(0.01, 1, one), 4);
    CHECK_EQ(knee_mib(0.01, 5, noisy), 8);
    CHECK_EQ(knee_mib(0.001, 7, bent), 256);
    CHECK_EQ(knee_mib(0.15, 5, (const double[]){700, 500, 400, 330, 320}), 8);
}

TEST(a_knee_by_a_hair_has_another_size_near)
{
    struct knee_point under[] = {{4, 0.3}, {8, 0.2}, {16, 0.1902}, {32, 0.189}};
    struct knee_point over[] = {{4, 0.3}, {8, 0.2}, {16, 0.1898}, {32, 0.189}};
    struct knee_point clear[] = {{4, 0.3}, {8, 0.2}, {16, 0.196}, {32, 0.195}};
    CHECK_EQ(knee_find(under, 4, 0.01), 1);
    CHECK_EQ(knee_near(under, 4, 0.01), 2);
    CHECK_EQ(knee_find(over, 4, 0.01), 2);
    CHECK_EQ(knee_near(over, 4, 0.01), 1);
    CHECK_EQ(knee_near(clear, 4, 0.01), knee_find(clear, 4, 0.01));
}

TEST(misses_between_two_sizes_are_between_theirs)
{
    const double bent[] = {700, 500};
    knee_mib(0.01, 2, bent);
    CHECK(fabs(knee_misses_at(curve, 2, 1 * MIB) - 0.7) < 1e-9);
    CHECK(fabs(knee_misses_at(curve, 2, 4 * MIB * M_SQRT2) - 0.6) < 1e-9);
    CHECK(fabs(knee_misses_at(curve, 2, 99 * MIB) - 0.5) < 1e-9);
}

/* ---- shards ---- */

static bool differs; /* of the last one */

static unsigned chosen_of(const double (*figures)[5], unsigned count)
{
    static struct subject subjects[SHARDS_CANDIDATES_MAX];
    struct shards_result r = {.threads = 4, .count = count, .rounds = 5};
    for (unsigned i = 0; i < count; i++) {
        r.all[i].shards = 1u << i;
        memcpy(subjects[i].figures, figures[i], sizeof(figures[i]));
    }
    shards_judge(&r, subjects);
    differs = r.differs;
    return r.all[r.chosen].shards;
}

TEST(fewest_shards_that_are_as_good_as_the_best_are_chosen)
{
    const double clear[][5] = {
        {50, 50, 51, 50, 50}, {99, 100, 99, 99, 99}, {100, 100, 100, 101, 100}};
    const double worse[][5] = {
        {50, 50, 51, 50, 50}, {80, 80, 81, 80, 80}, {100, 100, 100, 101, 100}};
    /* the machine is half as fast in some rounds: that is no difference between them */
    const double tides[][5] = {{80, 40, 80, 40, 80}, {100, 50, 100, 50, 100}, {99, 50, 99, 49, 99}};
    const double equal[][5] = {
        {100, 90, 110, 100, 95}, {101, 92, 108, 99, 97}, {99, 94, 110, 98, 95}};
    const double nothing[3][5] = {{0}};
    CHECK_EQ(chosen_of(clear, 3), 2);
    CHECK(differs);
    CHECK_EQ(chosen_of(worse, 3), 4);
    CHECK(differs);
    CHECK_EQ(chosen_of(tides, 3), 2);
    CHECK(differs);
    CHECK_EQ(chosen_of(equal, 3), 1);
    CHECK(!differs);
    CHECK_EQ(chosen_of(nothing, 3), 1); /* rounds of a millisecond, on a busy machine */
    CHECK(!differs);
}

/* The best differs from itself by nothing, which says nothing about how much rounds differ. */
TEST(noise_is_that_of_the_others)
{
    static struct subject subjects[3];
    const double figures[][5] = {
        {40, 90, 30, 80, 60}, {60, 40, 80, 30, 90}, {100, 100, 100, 100, 100}};
    struct shards_result r = {.threads = 4, .count = 3, .rounds = 5};
    for (unsigned i = 0; i < 3; i++) {
        r.all[i].shards = 1u << i;
        memcpy(subjects[i].figures, figures[i], sizeof(figures[i]));
    }
    shards_judge(&r, subjects);
    CHECK_EQ(r.best, 2);
    CHECK_EQ(r.chosen, 2);
    CHECK(r.noise > 0.1);
    CHECK(!r.differs); /* so much noise is no reason for anything */
}

/* ---- all of it ---- */

#define LINES 50000u

static void make_log(const char *path)
{
    static const char *const others[] = {"\"POST /a HTTP/1.1\" 302 0",
                                         "\"GET /x HTTP/1.1\" 404 196"};
    struct trace t;
    FILE *f = fopen(path, "w");
    REQUIRE(f != NULL);
    trace_make(&t, "keys=8000,requests=50000,zipf=0.9,small=0.3,seed=5");
    for (unsigned i = 0; i < LINES; i++) {
        const struct request *q = &t.requests[i];
        if (i % 5000 == 17)
            fprintf(f, "no request at all\n");
        else if (i % 50 == 1)
            fprintf(f, "h - - [29/Nov/2026:10:%02u:%02u +0000] %s\n", i / 1000, i / 20 % 50,
                    others[i % 2]);
        else
            fprintf(f, "h - - [29/Nov/2026:10:%02u:%02u +0000] \"GET /p/%u HTTP/1.1\" 200 %u\n",
                    i / 1000, i / 20 % 50, q->key, q->size / 40 + 1);
    }
    trace_free(&t);
    REQUIRE(fclose(f) == 0);
}

static struct tune tuned;

/* The line with the file's name has no limit. Where loads have a time there is a table of it. */
static void check_report(bool has_times)
{
    char line[512], row[64];
    unsigned rows = 0, tables = 0;
    double hits = tuned.sizes[0].by[0].hits;
    FILE *text = tmpfile();
    tune_report(&tuned, text);
    rewind(text);
    snprintf(row, sizeof(row), "    4 MiB%8.2f", 100 * (1 - (1 - hits) * (1 - hits)));
    while (fgets(line, sizeof(line), text)) {
        if (!strstr(line, "access log") && !CHECK_LE(strcspn(line, "\n"), 100))
            check_note("%s", line);
        tables += strstr(line, "time of loads saved") != NULL;
        rows += strncmp(line, row, strlen(row)) == 0;
    }
    CHECK_EQ(tables, has_times);
    CHECK_EQ(rows, has_times);
    fclose(text);
}

/* A program, and the page, get the answer and its certainty, too, not figures alone. */
static void check_texts(const char *path, const char *answer)
{
    char want[4][256], line[4096];
    unsigned found = 0;
    snprintf(want[0], sizeof(want[0]), "\"NIGH_CONF\", \"unit\": \"text\", \"value\": null, "
                                       "\"text\": \"%s\"", answer);
    snprintf(want[1], sizeof(want[1]), "\"how sure\", \"unit\": \"text\"");
    snprintf(want[2], sizeof(want[2]), " are the first of their key");
    snprintf(want[3], sizeof(want[3]), "\"text\": \"l1.memory ");
    tune_results(&tuned);
    results_write(path, "tune");
    FILE *in = fopen(path, "r");
    REQUIRE(in);
    while (fgets(line, sizeof(line), in))
        for (unsigned i = 0; i < 4; i++)
            found += strstr(line, want[i]) != NULL;
    fclose(in);
    unlink(path);
    CHECK_EQ(found, 4);
}

TEST(log_becomes_a_line_that_nigh_takes)
{
    struct tune_settings s;
    struct nigh_options options = NIGH_OPTIONS_INIT;
    char path[256], line[128];
    const char *folder = getenv("TMPDIR");
    snprintf(path, sizeof(path), "%s/nigh-tune-XXXXXX", folder ? folder : "/tmp");
    close(mkstemp(path));
    make_log(path);
    tune_settings_init(&s);
    s.kind = INPUT_LOG;
    s.path = path;
    s.threads[0] = 2;
    s.rounds = 3;
    s.round_ns = 5000000;
    char *why = tune_run(&tuned, &s);
    unlink(path);
    CHECK_STR(why, NULL);
    CHECK_EQ(tuned.in.garbage, LINES / 5000);
    CHECK_EQ(tuned.in.first_garbage, 18);
    CHECK_GT(tuned.size_count, 1);
    tune_line(&tuned, line, sizeof(line));
    if (!CHECK_EQ(nigh_options_parse(&options, line), 0))
        check_note("%s: %s", line, nigh_options_error());
    CHECK_EQ(options.l1_memory, tuned.sizes[tuned.knee].bytes);
    CHECK_EQ(options.l1_shards > 0, tuned.shards[0].differs);
    CHECK(options.l1_policy == NIGH_POLICY_LFU || options.l1_policy == NIGH_POLICY_LRU);

    check_report(false);
    check_texts(path, line);
    for (unsigned i = 0; i < tuned.size_count; i++) /* as if the log told it */
        for (unsigned p = 0; p < tuned.policy_count; p++) {
            struct replay_result *r = &tuned.sizes[i].by[p];
            r->all_s = 200;
            r->load_s = 200 * (1 - r->hits) * (1 - r->hits);
        }
    check_report(true);
    tune_free(&tuned);
}

/* What space.value_max keeps out is a load whatever the memory: in the curve, too, which says how
 * much is worth a replay. */
TEST(values_above_the_limit_are_loads_at_any_size)
{
    enum { COUNT = 400 };
    static struct curve c;
    struct input in = {.rate = 1, .trace = {.count = COUNT, .unique = 2}};
    struct replay_source src = {.in = &in, .key_bytes = KEY_BYTES, .most = COUNT};
    in.trace.requests = calloc(COUNT, sizeof(*in.trace.requests));
    REQUIRE(in.trace.requests);
    for (unsigned i = 0; i < COUNT; i++)
        in.trace.requests[i] = (struct request){i % 2, i % 2 ? 2u << 20 : 100};
    CHECK_EQ(input_set_value_max(&in, 4u << 20), 0);
    src.value_max = 4u << 20;
    curve_make(&c, &in, KEY_BYTES, COUNT, 1);
    CHECK(fabs(curve_top(&c) - 0.995) < 1e-9 && c.footprint > MIB);
    CHECK(fabs(replay_run(&src, "lru", 64u << 20, 1).hits - 0.995) < 1e-9);
    CHECK_EQ(input_set_value_max(&in, 1u << 20), COUNT / 2);
    src.value_max = 1u << 20;
    curve_make(&c, &in, KEY_BYTES, COUNT, 1);
    CHECK(fabs(curve_top(&c) - 0.4975) < 1e-9 && c.footprint < MIB);
    CHECK(fabs(replay_run(&src, "lru", 64u << 20, 1).hits - 0.4975) < 1e-9);
    CHECK(fabs(replay_lru(&src, 64u << 20, COUNT) - 0.4975) < 1e-9);
    input_free(&in);
}

/* What differs between two runs is the traffic then, or an option, not chance. */
TEST(a_replay_can_be_repeated)
{
    enum { COUNT = 40000, KEYS = 8000, BYTES = 2000 };
    struct input in = {.rate = 1, .trace = {.count = COUNT, .unique = KEYS}};
    struct replay_source src = {.in = &in, .key_bytes = KEY_BYTES, .most = COUNT, .seed = 1};
    struct random_stream r = {1};
    in.trace.requests = calloc(COUNT, sizeof(*in.trace.requests));
    REQUIRE(in.trace.requests);
    for (unsigned i = 0; i < COUNT; i++)
        in.trace.requests[i] =
            (struct request){random_below(&r, 1 + random_below(&r, KEYS)), BYTES};
    double hits = replay_run(&src, "lfu", 4u << 20, 1).hits;
    for (unsigned i = 0; i < 3; i++)
        CHECK(replay_run(&src, "lfu", 4u << 20, 1).hits == hits);
    bool other = false;
    for (src.seed = 2; src.seed < 6; src.seed++)
        other |= replay_run(&src, "lfu", 4u << 20, 1).hits != hits;
    CHECK(other);
    input_free(&in);
}

/* Hits of nigh under lru are those of the curve, within what lru promises and what the curve's
 * idea of an entry's bytes is off by. */
TEST(replays_agree_with_the_curve)
{
    struct input in = {.rate = 1};
    static struct curve c;
    trace_make(&in.trace, "keys=20000,requests=100000,zipf=0.8,seed=2");
    input_set_sizes(&in, 1000);
    curve_make(&c, &in, KEY_BYTES, in.trace.count, 1);
    struct replay_source src = {.in = &in, .key_bytes = KEY_BYTES, .most = in.trace.count};
    for (uint64_t bytes = 4u << 20; bytes <= 16u << 20; bytes *= 2) {
        double hits = replay_run(&src, "lru", bytes, 1).hits;
        double by_curve = curve_at(&c, curve_room((double)bytes));
        if (!CHECK(fabs(hits - by_curve) < 0.05))
            check_note("%.3f, the curve says %.3f", hits, by_curve);
    }
    input_free(&in);
}

/* Hits of four keys asked for in turn, 1,000 times: by the curve, and by replay in 4 MiB. */
static void check_hits(struct input *in, double share)
{
    static struct curve c;
    struct replay_source src = {.in = in, .key_bytes = KEY_BYTES, .most = in->trace.count};
    curve_make(&c, in, KEY_BYTES, in->trace.count, 1);
    CHECK(fabs(curve_at(&c, 4 * MIB) - share) < 0.005);
    CHECK(fabs(replay_run(&src, "lru", 4u << 20, 1).hits - share) < 0.005);
    if (in->load_us) { /* each miss takes a millisecond */
        struct replay_result r = replay_run(&src, "lru", 4u << 20, 1);
        CHECK(fabs(r.all_s - 1) < 0.001 && fabs(r.load_s - (1 - share)) < 0.005);
    }
    CHECK(fabs(c.footprint - 4 * curve_charge(KEY_BYTES, 100)) < 1);
}

TEST(invalidated_keys_miss_unless_they_are_put)
{
    enum { COUNT = 1000 };
    struct input in = {.rate = 1, .trace = {.count = COUNT, .unique = 4}};
    in.trace.requests = calloc(COUNT, sizeof(*in.trace.requests));
    in.trace.changes = calloc(2 * COUNT, sizeof(*in.trace.changes));
    REQUIRE(in.trace.requests && in.trace.changes);
    for (unsigned i = 0; i < COUNT; i++)
        in.trace.requests[i] = (struct request){i % 4, 100};
    check_hits(&in, 0.996);
    in.load_us = calloc(in.trace.unique, sizeof(*in.load_us));
    REQUIRE(in.load_us);
    for (unsigned key = 0; key < in.trace.unique; key++)
        in.load_us[key] = 1000;
    for (unsigned i = 8; i < COUNT; i += 2) /* two of the keys, before each of their requests */
        in.trace.changes[in.trace.change_count++] = (struct change){.key = i % 4, .before = i};
    check_hits(&in, 0.5);
    in.trace.change_count = 0;
    for (unsigned i = 8; i < COUNT; i += 2) {
        in.trace.changes[in.trace.change_count++] = (struct change){.key = i % 4, .before = i};
        in.trace.changes[in.trace.change_count++] =
            (struct change){i % 4, 100, i, 0, {LIFE_FOREVER, 0}, CHANGE_PUT};
    }
    check_hits(&in, 0.996);
    input_free(&in);
}

/* A value that is put before anybody asks is there. */
TEST(keys_that_are_put_first_do_not_miss)
{
    enum { COUNT = 1000 };
    struct input in = {.rate = 1, .trace = {.count = COUNT, .unique = 4}};
    in.trace.requests = calloc(COUNT, sizeof(*in.trace.requests));
    in.trace.changes = calloc(4, sizeof(*in.trace.changes));
    REQUIRE(in.trace.requests && in.trace.changes);
    for (unsigned i = 0; i < COUNT; i++)
        in.trace.requests[i] = (struct request){i % 4, 100};
    for (; in.trace.change_count < 4; in.trace.change_count++)
        in.trace.changes[in.trace.change_count] = (struct change){
            (uint32_t)in.trace.change_count, 100, 0, 0, {LIFE_FOREVER, 0}, CHANGE_PUT};
    check_hits(&in, 1);
    static struct curve c;
    curve_make(&c, &in, KEY_BYTES, COUNT, 1);
    CHECK(c.cold == 0);
    input_free(&in);
}

/* Between two requests of a key others are put, that nobody asks for: they take room. */
TEST(what_is_put_takes_room)
{
    enum { COUNT = 200, PUTS = 60 };
    struct input in = {.rate = 1, .trace = {.count = COUNT, .unique = 1 + COUNT * PUTS}};
    static struct curve c;
    in.trace.requests = calloc(COUNT, sizeof(*in.trace.requests)); /* of key 0 */
    in.trace.changes = calloc((size_t)COUNT * PUTS, sizeof(*in.trace.changes));
    REQUIRE(in.trace.requests && in.trace.changes);
    for (; in.trace.change_count < (size_t)COUNT * PUTS; in.trace.change_count++)
        in.trace.changes[in.trace.change_count] = (struct change){
            .key = 1 + (uint32_t)in.trace.change_count, .size = 1000,
            .before = in.trace.change_count / PUTS, .life = {LIFE_FOREVER, 0}, .kind = CHANGE_PUT};
    curve_make(&c, &in, KEY_BYTES, COUNT, 1);
    CHECK(curve_at(&c, PUTS / 2 * curve_charge(KEY_BYTES, 1000)) == 0);
    CHECK(curve_at(&c, PUTS * 2 * curve_charge(KEY_BYTES, 1000)) > 0.99);
    input_free(&in);
}

/* Requests that store nothing when they miss, and a put of two of the four keys in the middle. */
TEST(looks_hit_what_was_put_alone)
{
    enum { COUNT = 1000 };
    struct input in = {.rate = 1, .trace = {.count = COUNT, .unique = 4}};
    static struct curve c;
    in.trace.requests = calloc(COUNT, sizeof(*in.trace.requests));
    in.trace.brings = calloc(COUNT, sizeof(*in.trace.brings));
    in.trace.changes = calloc(2, sizeof(*in.trace.changes));
    REQUIRE(in.trace.requests && in.trace.brings && in.trace.changes);
    for (unsigned i = 0; i < COUNT; i++) {
        in.trace.requests[i] = (struct request){i % 4, 100};
        in.trace.brings[i] = BRINGS_NOTHING;
    }
    for (; in.trace.change_count < 2; in.trace.change_count++)
        in.trace.changes[in.trace.change_count] = (struct change){
            (uint32_t)in.trace.change_count, 100, COUNT / 2, 0, {LIFE_FOREVER, 0}, CHANGE_PUT};
    struct replay_source src = {.in = &in, .key_bytes = KEY_BYTES, .most = COUNT};
    curve_make(&c, &in, KEY_BYTES, COUNT, 1);
    CHECK(fabs(curve_at(&c, 4 * MIB) - 0.25) < 1e-9);
    CHECK(fabs(replay_run(&src, "lru", 4u << 20, 1).hits - 0.25) < 1e-9);
    input_free(&in);
}

/* One key in 16 of skewed requests is seen: the sample has a most popular one too many (seed 11),
 * or lacks them (12). By all reads of the process that is made good; without them the curve is far
 * off. */
TEST(curve_of_a_skewed_sample_is_that_of_the_whole_by_its_reads)
{
    static struct curve whole, by_reads, without;
    struct input in = {.rate = 1};
    double lacks = 0, has_more = 0;
    trace_make(&in.trace, "keys=300000,requests=1200000,zipf=1.0,seed=6");
    input_set_sizes(&in, 1000);
    curve_make(&whole, &in, KEY_BYTES, in.trace.count, 1);
    for (uint64_t seed = 11; seed <= 12; seed++) {
        struct sample s;
        sample_take(&s, &in, 1.0 / 16, seed * 1000003);
        struct input part = {.rate = 1.0 / 16};
        part.trace = s.trace;
        curve_make(&without, &part, KEY_BYTES, s.trace.count, 1);
        part.reads = in.trace.count;
        curve_make(&by_reads, &part, KEY_BYTES, s.trace.count, 1);
        for (double bytes = 16 * MIB; bytes <= 256 * MIB; bytes *= 2) {
            double truth = curve_at(&whole, bytes);
            double off = curve_at(&without, bytes) - truth;
            if (!CHECK(fabs(curve_at(&by_reads, bytes) - truth) < 0.01))
                check_note("%.4f, the truth is %.4f", curve_at(&by_reads, bytes), truth);
            lacks = fmin(lacks, off);
            has_more = fmax(has_more, off);
        }
        sample_free(&s);
    }
    CHECK(lacks < -0.05);
    CHECK(has_more > 0.05);
    input_free(&in);
}

/* One key in eight, in an eighth of the memory: a recording that is a sample gives what the whole
 * would. */
TEST(replay_of_a_sample_is_near_that_of_the_whole)
{
    struct input in = {.rate = 1};
    trace_make(&in.trace, "keys=40000,requests=200000,zipf=0.6,seed=4");
    input_set_sizes(&in, 1000);
    struct replay_source src = {.in = &in, .key_bytes = KEY_BYTES, .most = in.trace.count};
    double whole = replay_run(&src, "lfu", 16u << 20, 1).hits;

    struct sample s;
    sample_take(&s, &in, 0.125, 9);
    struct input part = {.rate = 0.125};
    part.trace = s.trace;
    struct replay_source of_part = {.in = &part, .key_bytes = KEY_BYTES, .most = s.trace.count};
    CHECK_EQ(replay_scale_of(&of_part, 16u << 20, s.trace.count).copies, 8);
    double sampled = replay_run(&of_part, "lfu", 16u << 20, 1).hits;
    if (!CHECK(fabs(whole - sampled) < 0.05))
        check_note("%.3f of the whole, %.3f of the sample", whole, sampled);
    sample_free(&s);
    input_free(&in);
}

/* Some keys are ten times as dear as others. */
static void make_dear(struct input *in)
{
    in->load_us = calloc(in->trace.unique, sizeof(*in->load_us));
    REQUIRE(in->load_us);
    for (uint32_t key = 0; key < in->trace.unique; key++)
        in->load_us[key] = (float)(1000 + key * 2654435761u % 9000);
}

static double square(double x)
{
    return x * x;
}

/* Ten samples of one key in eight: they are off as far as they say, in the mean of squares; of hits
 * and of the time of loads. */
TEST(a_sample_says_how_far_off_it_may_be)
{
    enum { SAMPLES = 10 };
    struct input in = {.rate = 1};
    double squares = 0, of_loads = 0;
    trace_make(&in.trace, "keys=8000,requests=25000,zipf=0.9,seed=4");
    input_set_sizes(&in, 1000);
    make_dear(&in);
    struct replay_source src = {.in = &in, .key_bytes = KEY_BYTES, .most = in.trace.count};
    struct replay_result whole = replay_run(&src, "lru", 4u << 20, 1);
    CHECK(whole.error == 0 && whole.load_error == 0);
    for (uint64_t seed = 1; seed <= SAMPLES; seed++) {
        struct sample s;
        sample_take(&s, &in, 0.125, seed * 1000003);
        struct input part = {.rate = 0.125, .reads = in.trace.count, .load_us = in.load_us};
        part.trace = s.trace;
        struct replay_source of_part = {.in = &part, .key_bytes = KEY_BYTES, .most = s.trace.count};
        struct replay_result r = replay_run(&of_part, "lru", 4u << 20, 1);
        squares += square((r.hits - whole.hits) / r.error) / SAMPLES;
        of_loads += square((replay_left(&r) - replay_left(&whole)) / r.load_error) / SAMPLES;
        sample_free(&s);
    }
    if (!CHECK(squares > 0.25 && squares < 4))
        check_note("%.2f times what they say", sqrt(squares));
    if (!CHECK(of_loads > 0.25 && of_loads < 4))
        check_note("loads: %.2f times what they say", sqrt(of_loads));
    input_free(&in);
}

/* ---- what was recorded, live and replayed ---- */

#define TAGS 400u
#define LIVE_BYTES (5ull << 20)

/* A process with two spaces under a mixed load, on a clock of its own. */
struct live {
    struct nigh *cache;
    struct nigh_space *pages, *users;
    struct trace asked;
    uint64_t now_ns;
    char path[64];
};

static uint64_t live_clock(void *arg)
{
    return ((struct live *)arg)->now_ns;
}

static void name_of(uint32_t key, char ret[KEY_BYTES + 1])
{
    snprintf(ret, KEY_BYTES + 1, "%0*u", (int)KEY_BYTES, key);
}

/* One key in eight lives for some seconds, and one in 50 does not exist. */
static int live_load(void *arg, struct nigh_fill *const fills[], size_t n)
{
    static const char bytes[2048];
    (void)arg;
    for (size_t i = 0; i < n; i++) {
        size_t len;
        char tag[16];
        uint32_t key = (uint32_t)strtoul(nigh_fill_key(fills[i], &len), NULL, 10);
        for (unsigned t = 0; t < key % 6; t++) {
            snprintf(tag, sizeof(tag), "%u", (key / 6 + t * 31) % TAGS);
            nigh_fill_add_tag(fills[i], tag);
        }
        if (key % 8 == 3)
            nigh_fill_set_ttl(fills[i], 2000 + key % 4000, key % 16 == 3 ? NIGH_NONE : 1500);
        if (key % 50 == 7)
            nigh_fill_absent(fills[i]);
        else
            nigh_fill_value(fills[i], bytes, 100 + key % 1500);
    }
    return 0;
}

static void live_open(struct live *l, const char *policy, uint32_t sample)
{
    struct nigh_options o = NIGH_OPTIONS_INIT;
    const char *folder = getenv("TMPDIR");
    *l = (struct live){.now_ns = 1000000000};
    snprintf(l->path, sizeof(l->path), "%s/nigh-live-XXXXXX", folder ? folder : "/tmp");
    close(mkstemp(l->path));
    trace_make(&l->asked, "keys=16000,requests=50000,zipf=0.9,seed=8");
    o.threads = NIGH_THREADS_NONE;
    o.clock = live_clock;
    o.clock_arg = l;
    o.l1_memory = LIVE_BYTES;
    o.l1_shards = 1;
    o.trace_file = l->path;
    o.trace_sample = sample;
    o.log_to = NIGH_LOG_TO_NONE;
    o.space.soft_ttl_ms = 40000;
    o.space.stale_ms = 5000;
    REQUIRE_EQ(nigh_options_set(&o, "l1.policy", policy), 0);
    REQUIRE_EQ(nigh_open(&o, &l->cache), 0);
    REQUIRE_EQ(nigh_space_open(l->cache, "pages", NULL, live_load, NULL, NULL, &l->pages), 0);
    REQUIRE_EQ(nigh_space_open(l->cache, "users", NULL, live_load, NULL, NULL, &l->users), 0);
}

static void live_invalidate(struct live *l, enum nigh_target_kind kind, uint32_t name, bool soft)
{
    char text[KEY_BYTES + 1];
    struct nigh_call call = NIGH_CALL_INIT;
    struct nigh_target target = {kind, l->pages, text, 0, 0};
    if (kind == NIGH_TARGET_KEY)
        name_of(name, text);
    else
        snprintf(text, sizeof(text), "%u", name);
    if (kind == NIGH_TARGET_TAG || kind == NIGH_TARGET_ALL)
        target.space = NULL;
    if (kind == NIGH_TARGET_KEY || kind == NIGH_TARGET_TAG)
        target.name_len = strlen(text);
    else
        target.name = NULL;
    call.flags = soft ? NIGH_SOFT : 0;
    CHECK_EQ(nigh_invalidate_many(l->cache, &target, 1, &call), 0);
}

/* Something is changed now and then. */
static void live_change(struct live *l, size_t i, uint32_t key)
{
    if (i % 40 == 3)
        live_invalidate(l, NIGH_TARGET_KEY, key, false);
    if (i % 500 == 7)
        live_invalidate(l, NIGH_TARGET_TAG, key % TAGS, i % 1500 == 7);
    if (i % 15000 == 17)
        live_invalidate(l, NIGH_TARGET_SPACE, 0, false);
    if (i == 35000)
        live_invalidate(l, NIGH_TARGET_ALL, 0, false);
}

static void live_ask(struct live *l, size_t i)
{
    const struct request *q = &l->asked.requests[i];
    struct nigh_space *space = q->key % 3 ? l->pages : l->users;
    struct nigh_value value = NIGH_VALUE_INIT;
    char name[KEY_BYTES + 1];
    name_of(q->key, name);
    l->now_ns += 1500000; /* 75 seconds in all */
    if (i % 25 == 9)
        CHECK_EQ(nigh_put(space, name, KEY_BYTES, name, 20, NULL), 0);
    else
        CHECK(nigh_fetch(space, name, KEY_BYTES, NULL, &value) >= 0);
    nigh_release(&value);
    live_change(l, i, l->asked.requests[(i * 7) % l->asked.count].key);
    if (i % 10 == 0)
        nigh_tick(l->cache);
}

/* Returns the share of reads that L1 answered. */
static double live_run(struct live *l)
{
    for (size_t i = 0; i < l->asked.count; i++)
        live_ask(l, i);
    double hits = nigh_stats_value(l->cache, NULL, "l1_fresh") +
                  nigh_stats_value(l->cache, NULL, "l1_stale");
    double share = hits / (hits + nigh_stats_value(l->cache, NULL, "l1_miss"));
    nigh_close(l->cache);
    trace_free(&l->asked);
    return share;
}

/* A process that was recorded, and what the file makes of it. */
struct replayed {
    double live, lru;
    struct replay_result by;
};

static struct replayed live_and_replayed(const char *policy, uint32_t sample)
{
    struct live l;
    struct input in;
    live_open(&l, policy, sample);
    struct replayed r = {.live = live_run(&l)};
    char *why = input_read(&in, INPUT_TRACE, l.path);
    CHECK_STR(why, NULL);
    CHECK_EQ(in.dropped, 0);
    struct replay_source src = {.in = &in, .key_bytes = KEY_BYTES, .most = in.trace.count};
    r.by = replay_run(&src, policy, LIVE_BYTES, 1);
    r.lru = replay_lru(&src, LIVE_BYTES, in.trace.count);
    unlink(l.path);
    input_free(&in);
    return r;
}

static void check_live(const char *policy, uint32_t sample, double off)
{
    struct replayed r = live_and_replayed(policy, sample);
    CHECK(fabs(r.live - r.lru) < off + 0.04);
    if (!CHECK(fabs(r.live - r.by.hits) < off))
        check_note("%s, 1/%u: live %.4f, replayed %.4f, exact LRU %.4f", policy, sample, r.live,
                   r.by.hits, r.lru);
}

/* Without lifetimes the first would be 1.2 points off. Which keys are in a sample is luck: it
 * mostly stands for the whole within a point. */
TEST(a_recording_replays_to_what_happened)
{
    check_live("lfu", 1, 0.005);
    check_live("lru", 8, 0.06);
}

/* Prints the table of perf/README.md, from as many recordings for each row as NIGH_RECORDINGS says;
 * nothing without it. */
static void show_recordings(const char *policy, uint32_t sample, unsigned count)
{
    double live = 0, off = 0, squares = 0, said = 0;
    for (unsigned i = 0; i < count; i++) {
        struct replayed r = live_and_replayed(policy, sample);
        double points = 100 * (r.by.hits - r.live);
        live += 100 * r.live / count;
        off += points / count;
        squares += points * points / count;
        said += 100 * r.by.error / count;
    }
    printf("%s %10u %8.2f %12.2f %12.2f %12.2f\n", policy, sample, live, off, sqrt(squares), said);
}

TEST(recordings_are_shown_beside_what_happened)
{
    static const char *const policies[] = {"lfu", "lru"};
    static const uint32_t samples[] = {1, 8, 64};
    const char *recordings = getenv("NIGH_RECORDINGS");
    unsigned count = recordings ? (unsigned)atoi(recordings) : 0;
    if (count > 0)
        printf("    1 key of     live  off by: mean  of squares       as said\n");
    for (unsigned p = 0; p < 2 && count > 0; p++)
        for (unsigned s = 0; s < 3; s++)
            show_recordings(policies[p], samples[s], count);
}
