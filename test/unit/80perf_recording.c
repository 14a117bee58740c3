// SPDX-License-Identifier: MIT
/*
 * Recordings of nigh's own (nigh/trace.h) as requests: what was asked for, what loads brought, and
 * what became of it.
 */
#include "support/check.h"

#include <stddef.h>
#include <string.h>

#include <nigh/options.h>
#include <nigh/trace.h>

#include "input/lives.h"
#include "support/given.h"

/* ---- requests and sizes ---- */

static struct {
    struct nigh_trace_header header;
    struct nigh_trace_record records[13];
} recording = {
    .header = {.magic = "NIGHTRCE",
               .version = 1,
               .header_bytes = 64,
               .record_bytes = 24,
               .sample = 64,
               .start_us = 1000000,
               .dropped = 3},
    .records =
        {
            {.op = NIGH_TRACE_SPACE, .size = 30},
            {.op = NIGH_TRACE_READ, .key = 99}, /* these two are a name, whatever they look like */
            {.op = NIGH_TRACE_READ, .key = 98},
            {.op = NIGH_TRACE_READ, .key = 7, .outcome = NIGH_TRACE_MISS, .delta_us = 10},
            {.op = NIGH_TRACE_LOAD, .key = 7, .outcome = NIGH_TRACE_FRESH, .size = 500,
             .cost_us = 1500},
            {.op = NIGH_TRACE_GAP, .delta_us = 4000000},
            {.op = NIGH_TRACE_READ, .key = 7, .outcome = NIGH_TRACE_FRESH, .size = 500},
            {.op = NIGH_TRACE_READ, .key = 8, .outcome = NIGH_TRACE_ABSENT},
            {.op = NIGH_TRACE_READ, .key = 9, .outcome = NIGH_TRACE_PROBE},
            {.op = NIGH_TRACE_INVALIDATE, .key = 7},
            {.op = NIGH_TRACE_PUT, .key = 8, .outcome = NIGH_TRACE_REFUSED, .size = 70},
            {.op = 200, .key = 1, .size = 1, .delta_us = 1000000}, /* of a later version */
            {.op = NIGH_TRACE_READ, .key = 7, .outcome = NIGH_TRACE_MISS},
        },
};

static const char *read_recording(struct input *in, size_t len)
{
    return given_read(in, INPUT_TRACE, ".trace", &recording, len);
}

TEST(recording_has_its_reads_and_the_sizes_of_its_loads)
{
    struct input in;
    CHECK_STR(read_recording(&in, sizeof(recording)), "");
    CHECK_EQ(in.trace.count, 4);
    CHECK_EQ(in.trace.requests[0].size, 500);
    CHECK_EQ(in.trace.requests[2].size, 70); /* there was none, later there was */
    CHECK_EQ(in.trace.requests[3].key, in.trace.requests[0].key);
    CHECK_EQ(in.trace.at_us[1], 4 * GIVEN_S);
    CHECK_EQ(in.trace.at_us[3], 5 * GIVEN_S);
    CHECK_EQ(in.invalidations, 1);
    REQUIRE(in.trace.change_count == 2);
    CHECK(in.trace.changes[0].kind == CHANGE_INVALIDATED && in.trace.changes[0].before == 3);
    CHECK_EQ(in.trace.changes[0].key, in.trace.requests[0].key);
    REQUIRE(in.load_us);
    CHECK(in.load_us[in.trace.requests[0].key] == 1500);
    CHECK(in.load_us[in.trace.requests[2].key] == 1500); /* never loaded: the mean */
    const struct change *put = &in.trace.changes[1];
    CHECK(put->kind == CHANGE_PUT && put->before == 3 && put->size == 70);
    CHECK_EQ(in.trace.changes[1].key, in.trace.requests[2].key);
    CHECK_EQ(in.dropped, 3);
    CHECK(in.rate == 1.0 / 64);
    input_free(&in);
}

/* Of the four reads the first one missed, and a load stored; the last one missed, and nothing came.
 * Between them key 7 hit: its values come by loads. Key 8 was put: but it was never missed. */
TEST(recording_tells_which_misses_store_nothing)
{
    struct input in;
    CHECK_STR(read_recording(&in, sizeof(recording)), "");
    REQUIRE_EQ(in.trace.count, 4);
    static const uint8_t brings[] = {BRINGS_IF_MISSED, BRINGS_IF_MISSED, BRINGS_NOTHING,
                                     BRINGS_NOTHING};
    CHECK(memcmp(in.trace.brings, brings, sizeof(brings)) == 0);
    input_free(&in);
}

TEST(recording_tells_all_reads_of_its_process)
{
    struct input in;
    CHECK_STR(read_recording(&in, sizeof(recording)), "");
    CHECK_EQ(in.reads, 0); /* an older one does not */
    CHECK(input_expected(&in) == 4);
    input_free(&in);
    recording.header.reads = 640;
    CHECK_STR(read_recording(&in, sizeof(recording)), "");
    CHECK_EQ(in.reads, 640);
    CHECK(input_expected(&in) == 10);
    input_free(&in);
    recording.header.reads = 3; /* of 4: its process was killed */
    CHECK_STR(read_recording(&in, sizeof(recording)), "");
    CHECK_EQ(in.reads, 0);
    recording.header.reads = 0;
    input_free(&in);
}

/* ---- ... that tell what becomes of values ---- */

#define RECORD(...) ((struct nigh_trace_record){__VA_ARGS__})

static struct {
    struct nigh_trace_header header;
    struct nigh_trace_record records[64];
} lived;
static size_t lived_count;

static void record(struct nigh_trace_record q)
{
    q.space = q.op == NIGH_TRACE_GROUP ? 0 : 1;
    q.delta_us = 1000000;
    lived.records[lived_count++] = q;
}

/* A miss, a load, what L1 may keep of it: for a minute and 5 s more. */
static void record_load(uint64_t key, uint32_t first_group, uint32_t second_group)
{
    record(RECORD(.op = NIGH_TRACE_READ, .key = key, .outcome = NIGH_TRACE_MISS));
    record(RECORD(.op = NIGH_TRACE_LOAD, .key = key, .size = 100, .cost_us = 10));
    record(RECORD(.op = NIGH_TRACE_LIFE, .key = key, .size = 60000, .cost_us = 5000));
    record(RECORD(.op = NIGH_TRACE_GROUPS, .key = key, .size = first_group | second_group << 16));
}

static void record_read(uint64_t key, enum nigh_trace_outcome outcome)
{
    record(RECORD(.op = NIGH_TRACE_READ, .key = key, .outcome = outcome));
}

static void record_fall(uint64_t group, bool soft)
{
    record(RECORD(.op = NIGH_TRACE_GROUP, .key = group,
                  .outcome = soft ? NIGH_TRACE_STALE : NIGH_TRACE_FRESH));
}

static void record_anew(void)
{
    lived.header = recording.header;
    lived.header.version = 2;
    lived_count = 0;
    record(RECORD(.op = NIGH_TRACE_SPACE, .cost_us = 900));
}

static const char *read_lived(struct input *in)
{
    return given_read(in, INPUT_TRACE, ".trace", &lived,
                   sizeof(lived.header) + lived_count * sizeof(lived.records[0]));
}

TEST(what_falls_with_a_group_was_invalidated_once)
{
    struct input in;
    record_anew();
    record_load(1, 7, 8);
    record_load(2, 8, 9);
    record_fall(7, false); /* key 1 */
    record_fall(8, false); /* key 2: nobody has asked for key 1 since */
    record_fall(9, true);  /* nothing is gone */
    record_read(1, NIGH_TRACE_MISS);
    record_fall(900, false); /* the space: key 1 */
    record_load(2, 5, 0);
    record_fall(8, false); /* nobody is in it any more */
    record_fall(0, false); /* all: key 2 */
    record_read(2, NIGH_TRACE_MISS);
    CHECK_STR(read_lived(&in), "");
    static const struct {
        uint32_t key;
        size_t before;
    } falls[] = {{0, 2}, {1, 2}, {0, 3}, {1, 4}};
    CHECK(in.has_lives);
    REQUIRE_EQ(in.trace.change_count, 4);
    for (size_t i = 0; i < 4; i++) {
        CHECK_EQ(in.trace.changes[i].key, falls[i].key);
        CHECK_EQ(in.trace.changes[i].before, falls[i].before);
        CHECK_EQ(in.trace.changes[i].kind, CHANGE_FELL);
    }
    input_free(&in);
}

/* Each time the key is on 512 rolls anew, whose old places nobody needs. */
TEST(a_key_of_many_tags_that_comes_and_goes_takes_no_more_memory)
{
    struct input in = {.rate = 1};
    struct builder b = {.in = &in, .has_story = true, .most_bytes = UINT64_MAX};
    struct lives *l = lives_new(&b);
    uint64_t after_ten = 0;
    lives_space(l, 1, 900);
    for (unsigned i = 0; i < 100; i++) {
        builder_add(&b, 7, 100, i);
        lives_request(l, 7, 1, i, true);
        lives_value(l, 7, 1, i, (struct life){LIFE_FOREVER, 0}, LIVES_BY_LOAD);
        for (uint16_t tag = 0; tag < NIGH_TAGS_MAX; tag++)
            lives_group_of(l, 7, 2000 + tag);
        if (i % 3 == 0)
            lives_invalidated(l, 7);
        after_ten = i == 10 ? b.other_bytes : after_ten;
    }
    CHECK_EQ(b.other_bytes, after_ten);
    CHECK_EQ(in.trace.change_count, 0);
    lives_fall(l, 2100, 1000); /* it was invalidated when i was 99 */
    CHECK_EQ(in.trace.change_count, 0);
    lives_value(l, 7, 1, 1000, (struct life){LIFE_FOREVER, 0}, LIVES_BY_LOAD);
    lives_fall(l, 2100, 1000); /* this value has no tag */
    CHECK_EQ(in.trace.change_count, 0);
    lives_group_of(l, 7, 2100);
    lives_fall(l, 2100, 1001);
    lives_fall(l, 900, 1001);
    CHECK_EQ(in.trace.change_count, 1);
    lives_free(l);
    builder_end(&b);
    input_free(&in);
}

/* Requests bring what their load did, or the last one; where Redis is asked, what is left of it. */
TEST(requests_bring_values_as_long_lived_as_those_were)
{
    struct input in;
    record_anew();
    record_load(1, 0, 0);
    record_read(1, NIGH_TRACE_FRESH);
    record_read(1, NIGH_TRACE_STALE);
    record(RECORD(.op = NIGH_TRACE_LOAD, .key = 1, .size = 100));
    record(RECORD(.op = NIGH_TRACE_LIFE, .key = 1, .size = 30000));
    record_read(2, NIGH_TRACE_MISS);
    record(RECORD(.op = NIGH_TRACE_L2, .key = 2, .size = 100));
    record(RECORD(.op = NIGH_TRACE_LIFE, .key = 2, .size = 9000, .cost_us = 3000));
    record_read(2, NIGH_TRACE_FRESH);
    record(RECORD(.op = NIGH_TRACE_PUT, .key = 3, .size = 10));
    record(RECORD(.op = NIGH_TRACE_LIFE, .key = 3, .size = 5));
    record_read(4, NIGH_TRACE_MISS);
    record(RECORD(.op = NIGH_TRACE_LOAD, .key = 4, .size = 10)); /* not to be kept */
    CHECK_STR(read_lived(&in), "");
    static const struct life lives[] = {{60000, 5000}, {60000, 5000}, {30000, 0}, {9000, 3000},
                                        {8000, 3000}};
    static const uint8_t brings[] = {BRINGS_IF_MISSED, BRINGS_IF_MISSED, BRINGS_ANYWAY,
                                     BRINGS_IF_MISSED, BRINGS_IF_MISSED, BRINGS_NOTHING};
    REQUIRE_EQ(in.trace.count, 6);
    CHECK(memcmp(in.trace.brings, brings, sizeof(brings)) == 0);
    for (size_t i = 0; i < 5; i++) {
        CHECK_EQ(in.trace.lives[i].fresh_ms, lives[i].fresh_ms);
        CHECK_EQ(in.trace.lives[i].stale_ms, lives[i].stale_ms);
    }
    REQUIRE_EQ(in.trace.change_count, 1);
    CHECK_EQ(in.trace.changes[0].kind, CHANGE_PUT);
    CHECK_EQ(in.trace.changes[0].life.fresh_ms, 5);
    input_free(&in);
}

/* The process may still be writing, or was killed. */
TEST(recording_without_its_last_bytes_is_read)
{
    struct input in;
    const size_t first_read = offsetof(typeof(recording), records[4]);
    for (size_t len = sizeof(NIGH_TRACE_MAGIC); len <= sizeof(recording); len++) {
        const char *why = read_recording(&in, len);
        if (len < sizeof(recording.header))
            CHECK(given_says(why, "cut off in its header"));
        else if (len < first_read)
            CHECK(given_says(why, "has no requests"));
        else
            CHECK_STR(why, "");
        CHECK_EQ(in.cut, len > sizeof(recording.header) &&
                             (len - sizeof(recording.header)) % sizeof(recording.records[0]) > 0);
        input_free(&in);
    }
    CHECK_STR(read_recording(&in, sizeof(recording) - 5), "");
    CHECK_EQ(in.trace.count, 3);
    input_free(&in);
    recording.header.version = 3;
    CHECK(given_says(read_recording(&in, sizeof(recording)), "of version 3"));
    recording.header.version = 1;
    input_free(&in);
}
