// SPDX-License-Identifier: MIT
/*
 * Files of other programs that perf/ reads: access logs, whose lines strangers wrote, and traces.
 * Faults are named; what is right is counted as it stands there.
 */
#include "support/check.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <nigh/options.h>
#include <nigh/trace.h>

#include "input/input.h"
#include "input/lives.h"
#include "input/log_line.h"
#include "input/stream.h"

#define S UINT64_C(1000000) /* in microseconds */

/* ---- lines ---- */

static enum log_verdict parse(const char *text, struct log_line *line)
{
    return log_line_parse(text_of(text), line);
}

static bool is(struct text t, const char *s)
{
    return text_is(t, s);
}

TEST(common_line_is_taken_apart)
{
    struct log_line l;
    CHECK_EQ(parse("127.0.0.1 - frank [10/Oct/2000:13:55:36 -0700] \"GET /apache_pb.gif HTTP/1.0\" "
                   "200 2326",
                   &l),
             LOG_REQUEST);
    CHECK(is(l.method, "GET"));
    CHECK(is(l.target, "/apache_pb.gif"));
    CHECK_EQ(l.status, 200);
    CHECK(l.has_bytes);
    CHECK_EQ(l.bytes, 2326);
    CHECK(l.has_time);
    CHECK_EQ(l.time_s, 971211336);
}

TEST(combined_line_keeps_the_query_and_ignores_what_follows)
{
    struct log_line l;
    CHECK_EQ(parse("::1 - - [29/Nov/2026:10:11:37 +0000] \"GET /a?b=%20&c HTTP/2.0\" 304 - "
                   "\"https://e/\" \"odd \\\" agent\" 0.001\r",
                   &l),
             LOG_REQUEST);
    CHECK(is(l.target, "/a?b=%20&c"));
    CHECK(!l.has_bytes);
    CHECK_EQ(l.status, 304);
}

TEST(target_may_hold_blanks_and_escaped_quotes)
{
    struct log_line l;
    CHECK_EQ(parse("h - - [x] \"GET /a b\\\"c HTTP/1.1\" 200 7", &l), LOG_REQUEST);
    CHECK(is(l.target, "/a b\\\"c"));
    CHECK(!l.has_time); /* another way to write it: no fault */
    CHECK_EQ(parse("h - - [x] \"GET /old\" 200 7", &l), LOG_REQUEST); /* HTTP/0.9 */
    CHECK(is(l.target, "/old"));
}

TEST(brackets_before_the_time_do_no_harm)
{
    static const char *const heads[] = {
        "[2001:db8::7]:443 ::1 - - [",
        "h - a[b [",
        "h - a]b [",
        "h - \"a [b] c\" [",
    };
    struct log_line l;
    for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
        char text[200];
        snprintf(text, sizeof(text), "%s10/Oct/2000:13:55:36 -0700] \"GET /[x] HTTP/1.1\" 200 7",
                 heads[i]);
        if (!CHECK_EQ(parse(text, &l), LOG_REQUEST))
            check_note("%s", text);
        CHECK(is(l.target, "/[x]"));
        CHECK(l.has_time);
    }
}

TEST(other_requests_are_not_counted_as_garbage)
{
    struct log_line l;
    CHECK_EQ(parse("h - - [x] \"POST /a HTTP/1.1\" 200 7", &l), LOG_OTHER);
    CHECK_EQ(parse("h - - [x] \"GET /a HTTP/1.1\" 404 7", &l), LOG_OTHER);
    CHECK_EQ(parse("h - - [x] \"GET /a HTTP/1.1\" 206 7", &l), LOG_OTHER);
    CHECK_EQ(parse("h - - [x] \"-\" 408 -", &l), LOG_OTHER);
    CHECK_EQ(parse("h - - [x] \"\\x16\\x03\" 400 226", &l), LOG_OTHER);
    CHECK_EQ(parse("h - - [x] \"GET  HTTP/1.1\" 200 1", &l), LOG_OTHER);
}

TEST(garbage_is_told_from_a_request)
{
    static const char *const lines[] = {
        "",
        "GET / HTTP/1.1",
        "h - - [29/Nov/2026",
        "h - - [x] GET / 200 1",
        "h - - [x] \"GET /cut",
        "h - - [x] \"GET /a\\",
        "h - - [x] \"GET / HTTP/1.1\" 20 1",
        "h - - [x] \"GET / HTTP/1.1\"",
        "h - - [x] \"GET / HTTP/1.1\" abc 1",
        "h - - [x] \"GET / HTTP/1.1\" 200 12x",
        "h - - [x] \"GET / HTTP/1.1\" 200 99999999999999999999",
    };
    struct log_line l;
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
        if (!CHECK_EQ(parse(lines[i], &l), LOG_GARBAGE))
            check_note("%s", lines[i]);
}

/* ---- files ---- */

static char path[256];

static const char *file_of(const char *ending, const void *bytes, size_t len)
{
    const char *folder = getenv("TMPDIR");
    snprintf(path, sizeof(path), "%s/nigh-input-XXXXXX%s", folder ? folder : "/tmp", ending);
    int fd = mkstemps(path, (int)strlen(ending));
    REQUIRE(fd >= 0);
    REQUIRE(write(fd, bytes, len) == (ssize_t)len);
    close(fd);
    return path;
}

/* Returns what input_read() says of it: "" for nothing. The text lives until the next call. */
static const char *read_as(struct input *in, enum input_kind kind, const char *ending,
                           const void *bytes, size_t len)
{
    static char *why;
    free(why);
    why = input_read(in, kind, file_of(ending, bytes, len));
    unlink(path);
    return why ? why : "";
}

static const char *read_log(struct input *in, const char *text)
{
    return read_as(in, INPUT_LOG, ".log", text, strlen(text));
}

TEST(log_becomes_requests_with_sizes_and_times)
{
    struct input in;
    CHECK_STR(read_log(&in, "h - - [29/Nov/2026:10:00:00 +0000] \"GET /a HTTP/1.1\" 200 100\n"
                            "what is this\n"
                            "\n"
                            "h - - [29/Nov/2026:10:00:05 +0000] \"GET /b HTTP/1.1\" 200 300\n"
                            "h - - [29/Nov/2026:10:00:04 +0000] \"GET /a HTTP/1.1\" 304 -\n"
                            "h - - [29/Nov/2026:10:01:00 +0000] \"GET /c HTTP/1.1\" 304 0\n"
                            "h - - [29/Nov/2026:10:02:00 +0000] \"PUT /a HTTP/1.1\" 200 1"),
              "");
    CHECK_EQ(in.trace.count, 4);
    CHECK_EQ(in.trace.unique, 3);
    CHECK_EQ(in.lines, 7);
    CHECK_EQ(in.others, 1);
    CHECK_EQ(in.garbage, 1);
    CHECK_EQ(in.first_garbage, 2);
    CHECK_EQ(in.key_bytes, 2);
    CHECK_EQ(in.trace.requests[2].key, 0);
    CHECK_EQ(in.trace.requests[2].size, 100); /* as the other line says */
    CHECK_EQ(in.trace.requests[3].size, 200); /* no line says: the mean */
    CHECK_EQ(in.unsized, 1);
    CHECK_EQ(in.trace.at_us[1], 5 * S);
    CHECK_EQ(in.trace.at_us[2], 5 * S); /* a clock never goes back */
    CHECK_EQ(in.trace.at_us[3], 60 * S);
    input_free(&in);
}

/* As the shell orders access.log.*.gz: the newest first. */
TEST(files_in_the_wrong_order_are_put_in_order)
{
    struct input in;
    CHECK_STR(read_log(&in, "h - - [x] \"GET /c HTTP/1.1\" 200 3\n"
                            "h - - [29/Nov/2026:10:00:00 +0000] \"GET /c HTTP/1.1\" 200 3\n"
                            "h - - [29/Nov/2026:10:00:09 +0000] \"GET /d HTTP/1.1\" 200 4\n"
                            "h - - [28/Nov/2026:10:00:00 +0000] \"GET /a HTTP/1.1\" 200 1\n"
                            "h - - [28/Nov/2026:10:00:00 +0000] \"GET /b HTTP/1.1\" 200 2\n"),
              "");
    CHECK(in.turned);
    for (unsigned i = 0; i < 2; i++)
        CHECK_EQ(in.trace.requests[i].size, i + 1);
    CHECK_EQ(in.trace.requests[3].size, 3);
    CHECK_EQ(in.trace.requests[4].size, 4);
    CHECK_EQ(in.trace.at_us[1], 0 * S);
    CHECK_EQ(in.trace.at_us[2], 86400 * S);
    CHECK_EQ(in.trace.at_us[4], 86409 * S);
    input_free(&in);
}

TEST(log_of_304_alone_has_no_sizes)
{
    struct input in;
    CHECK_STR(read_log(&in, "h - - [x] \"GET /a HTTP/1.1\" 304 -\n"
                            "h - - [x] \"GET /b HTTP/1.1\" 304 0\n"),
              "");
    CHECK(!in.has_sizes);
    CHECK_EQ(in.unsized, 0);
    CHECK_EQ(in.trace.requests[1].size, 0);
    input_free(&in);
}

TEST(line_without_end_does_not_swallow_the_next)
{
    struct input in;
    size_t len = 300000;
    char *text = malloc(len + 200);
    memset(text, 'x', len);
    strcpy(text + len, "\nh - - [x] \"GET /a HTTP/1.1\" 200 1\n"
                       "h - - [x] \"GET /b HTTP/1.1\" 200 2\n");
    CHECK_STR(read_log(&in, text), "");
    CHECK_EQ(in.lines, 3);
    CHECK_EQ(in.garbage, 1);
    CHECK_EQ(in.trace.count, 2);
    input_free(&in);
    free(text);
}

static bool says(const char *why, const char *part)
{
    if (strstr(why, part))
        return true;
    check_note("it says: %s", why);
    return false;
}

TEST(file_that_is_no_log_is_refused_with_its_first_line)
{
    struct input in;
    const char *why = read_log(&in, "#!/bin/sh\necho one\necho two\n");
    CHECK(says(why, "no access log"));
    CHECK(says(why, "3 of 3 lines are no requests; line 1: \"#!/bin/sh\""));
    input_free(&in);
    CHECK(says(read_log(&in, ""), "is empty"));
    input_free(&in);
    CHECK(says(read_log(&in, "h - - [x] \"POST /a HTTP/1.1\" 200 1\n"), "could be cached"));
    input_free(&in);
}

TEST(what_is_no_readable_file_is_said)
{
    struct input in;
    char *why = input_read(&in, INPUT_LOG, "/tmp");
    CHECK(says(why, "is a folder"));
    free(why);
    input_free(&in);
    why = input_read(&in, INPUT_TRACE, "/nonexistent/x.t8");
    CHECK(says(why, "cannot read /nonexistent/x.t8: No such file"));
    free(why);
    input_free(&in);
    why = input_read(&in, INPUT_LOG, "/dev/zero");
    CHECK(says(why, "is a device"));
    free(why);
    input_free(&in);
    CHECK(says(read_as(&in, INPUT_TRACE, ".bin", "\1\2345678", 7), "no trace that is known"));
    input_free(&in);
}

#define LINE "h - - [29/Nov/2026:10:00:00 +0000] \"GET /a HTTP/1.1\" 200 100\n"

/* Somebody who has it packed, or in another alphabet, is told how to give it. */
TEST(what_has_to_be_unpacked_first_is_said)
{
    static const struct {
        const char *bytes, *word;
        size_t len;
    } files[] = {
        {"\x1f\x8b\x08xxxxx", "\"zcat ", 8},
        {"BZh91AY&SY", "\"bzcat ", 10},
        {"\xfd" "7zXZ\0xx", "\"xzcat ", 8},
        {"\x04\x22\x4d\x18xxxx", "\"lz4cat ", 8},
        {"PK\x03\x04xxxx", "\"unzip -p ", 8},
        {"\xff\xfeh\0 \0-\0 \0", "iconv -f UTF-16 ", 10},
        {"\xfe\xff\0h\0 \0-\0 ", "iconv -f UTF-16 ", 10},
        {"h\0 \0-\0 \0", "iconv -f UTF-16 ", 8},
        {"{\"method\": \"GET\"}", "JSON", 17},
        {"NIGHTRCE\2\0\0\0\1\0\0\0", "with --trace", 16},
        {"\1\0\0\0\1\0\0\0\2\0\0\0\1\1\0\0", "--trace", 16},
    };
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        struct input in;
        CHECK(says(read_as(&in, INPUT_LOG, ".log", files[i].bytes, files[i].len), files[i].word));
        input_free(&in);
    }
}

/* Other servers' habits are no garbage. */
TEST(lines_in_other_clothes_are_the_same_requests)
{
    static const char *const texts[] = {
        "\xef\xbb\xbf" LINE LINE, /* UTF-8, and says so */
        "2001:db8::7 - - [29/Nov/2026:15:30:00 +0530] \"GET /a HTTP/2\" 200 100 \"-\" \"x\" 0.1\r\n"
        "e.org:80 ::1 - \"a b\" [29/Nov/2026:10:00:00 +0000] \"GET /a HTTP/2.0\" 200 100\r\n",
        "Nov 29 10:00:00 web nginx: " LINE "\n" LINE,
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct input in;
        CHECK_STR(read_log(&in, texts[i]), "");
        CHECK_EQ(in.trace.count, 2);
        CHECK_EQ(in.trace.unique, 1);
        CHECK_EQ(in.garbage, 0);
        CHECK(in.trace.at_us && in.trace.at_us[1] == 0 && !in.turned);
        input_free(&in);
    }
}

/* /dev/zero in a pipe, or a core dump: a line of 64 MiB and more, and garbage that never ends. */
TEST(what_goes_on_for_ever_is_given_up)
{
    struct input in;
    file_of(".log", LINE, strlen(LINE));
    REQUIRE(truncate(path, 70 << 20) == 0);
    char *why = input_read(&in, INPUT_LOG, path);
    CHECK(says(why, "a line of more than 64 MiB"));
    unlink(path);
    free(why);
    input_free(&in);

    size_t len = 2200000;
    char *text = malloc(len);
    for (size_t i = 0; i < len; i++)
        text[i] = i % 2 ? '\n' : 'x';
    CHECK(says(read_as(&in, INPUT_LOG, ".log", text, len), "1000000 of 1000000 lines"));
    free(text);
    input_free(&in);
}

/* 20,000 requests of as many keys would take more. */
TEST(what_memory_has_no_room_for_is_refused)
{
    enum { COUNT = 20000 };
    struct input in;
    struct request *requests = calloc(COUNT, sizeof(*requests));
    for (uint32_t i = 0; i < COUNT; i++)
        requests[i] = (struct request){i, 100};
    file_of(".t8", requests, COUNT * sizeof(*requests));
    char *why = input_read_within(&in, INPUT_TRACE, path, 600000);
    CHECK(says(why, "more requests than there is memory for (8192 so far)"));
    free(why);
    input_free(&in);
    CHECK_STR(input_read_within(&in, INPUT_TRACE, path, 6000000), NULL);
    CHECK_EQ(in.trace.count, COUNT);
    unlink(path);
    input_free(&in);
    free(requests);
}

/* A log goes on being written: what came later is another day's. */
TEST(file_that_grows_is_as_long_as_it_was)
{
    char *why;
    struct text line;
    unsigned lines = 0;
    struct stream *s = input_stream_open(file_of(".log", LINE, strlen(LINE)), &why);
    REQUIRE(s != NULL);
    FILE *f = fopen(path, "a");
    fputs(LINE, f);
    fclose(f);
    while (input_stream_line(s, &line))
        lines++;
    CHECK_EQ(lines, 1);
    input_stream_close(s);
    unlink(path);
}

TEST(pipe_is_read_until_it_ends)
{
    struct input in;
    int fds[2];
    char name[64];
    REQUIRE(pipe(fds) == 0);
    REQUIRE(write(fds[1], LINE LINE, 2 * strlen(LINE)) == (ssize_t)(2 * strlen(LINE)));
    close(fds[1]);
    snprintf(name, sizeof(name), "/proc/self/fd/%d", fds[0]);
    CHECK_STR(input_read(&in, INPUT_LOG, name), NULL);
    CHECK_EQ(in.trace.count, 2);
    close(fds[0]);
    input_free(&in);
}

/* ---- traces ---- */

static const unsigned char t8[] = {1,   0, 0, 0, 100, 0, 0, 0, 2,   0, 0, 0,
                                   200, 0, 0, 0, 1,   0, 0, 0, 100, 0, 0, 0};
static const unsigned char t8_zst[] = {/* the same */
                                       0x28, 0xb5, 0x2f, 0xfd, 0x24, 0x18, 0xc1, 0x00, 0x00, 0x01,
                                       0x00, 0x00, 0x00, 0x64, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00,
                                       0x00, 0xc8, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x64,
                                       0x00, 0x00, 0x00, 0xa5, 0x92, 0x3a, 0x6c};

static void check_three(const struct input *in)
{
    CHECK_EQ(in->trace.count, 3);
    CHECK_EQ(in->trace.unique, 2);
    CHECK_EQ(in->trace.requests[1].key, 1);
    CHECK_EQ(in->trace.requests[1].size, 200);
    CHECK_EQ(in->trace.requests[2].key, 0);
    CHECK(in->has_sizes);
}

TEST(trace_is_read_compressed_or_not)
{
    struct input in;
    CHECK_STR(read_as(&in, INPUT_TRACE, ".t8", t8, sizeof(t8)), "");
    check_three(&in);
    CHECK(!in.trace.at_us);
    input_free(&in);
    const char *why = read_as(&in, INPUT_TRACE, ".t8.zst", t8_zst, sizeof(t8_zst));
    if (!strstr(why, "libzstd-dev was not there")) {
        CHECK_STR(why, "");
        check_three(&in);
        input_free(&in);
        for (size_t len = 1; len < sizeof(t8_zst); len++) {
            CHECK(says(read_as(&in, INPUT_TRACE, ".t8.zst", t8_zst, len), "cut off"));
            input_free(&in);
        }
        unsigned char more[sizeof(t8_zst) + 1] = {0};
        memcpy(more, t8_zst, sizeof(t8_zst));
        CHECK(says(read_as(&in, INPUT_TRACE, ".t8.zst", more, sizeof(more)), "is broken"));
        input_free(&in);
        more[20] ^= 1;
        CHECK(says(read_as(&in, INPUT_TRACE, ".t8.zst", more, sizeof(t8_zst)), "is broken"));
    }
    input_free(&in);
}

TEST(trace_that_is_cut_off_is_said)
{
    struct input in;
    CHECK(says(read_as(&in, INPUT_TRACE, ".t8", t8, sizeof(t8) - 3),
               "is cut off: after 2 requests of 8 bytes there are 5 more"));
    input_free(&in);
    CHECK(says(read_as(&in, INPUT_TRACE, ".t8", t8, 0), "is empty"));
    input_free(&in);
}

static const unsigned char oracle[] = {
    10, 0, 0, 0, 9, 8, 7, 6, 5, 4, 3, 2, 0, 4, 0, 0, 2,   0,   0,   0,   0,   0,   0,   0,
    70, 0, 0, 0, 9, 8, 7, 6, 5, 4, 3, 2, 0, 4, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255};

TEST(oracle_trace_has_ids_and_times)
{
    struct input in;
    CHECK_STR(read_as(&in, INPUT_TRACE, ".oracleGeneral", oracle, sizeof(oracle)), "");
    CHECK_EQ(in.trace.count, 2);
    CHECK_EQ(in.trace.unique, 1);
    CHECK_EQ(in.trace.requests[0].size, 1024);
    CHECK_EQ(in.trace.at_us[1], 60 * S);
    input_free(&in);
}

/* Nothing but their names tells them apart. */
TEST(trace_that_is_not_what_its_name_says_is_refused)
{
    unsigned char many[sizeof(oracle) * 16];
    struct input in;
    CHECK(says(read_as(&in, INPUT_TRACE, ".t8", LINE, strlen(LINE)), "is text, no trace"));
    input_free(&in);
    CHECK(says(read_as(&in, INPUT_TRACE, ".oracleGeneral", LINE, strlen(LINE)), "is text"));
    input_free(&in);
    CHECK(says(read_as(&in, INPUT_TRACE, ".t8", oracle, sizeof(oracle)), "sizes are above 64 MiB"));
    input_free(&in);
    for (size_t i = 0; i < 16; i++)
        memcpy(many + i * sizeof(oracle), oracle, sizeof(oracle));
    CHECK(says(read_as(&in, INPUT_TRACE, ".oracleGeneral", many, sizeof(many)),
               "its times go back 15 times in 32 requests"));
    input_free(&in);
    for (size_t cut = 1; cut < sizeof(oracle) / 2; cut++) {
        CHECK(says(read_as(&in, INPUT_TRACE, ".oracleGeneral", oracle, sizeof(oracle) - cut),
                   "is cut off"));
        input_free(&in);
    }
}

TEST(trace_whose_sizes_are_ones_has_none)
{
    static const unsigned char ones[] = {1, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0};
    struct input in;
    CHECK_STR(read_as(&in, INPUT_TRACE, ".t8", ones, sizeof(ones)), "");
    CHECK(!in.has_sizes);
    input_set_sizes(&in, 512);
    CHECK_EQ(in.trace.requests[1].size, 512);
    input_free(&in);
}

/* ---- recordings of nigh's own ---- */

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
    return read_as(in, INPUT_TRACE, ".trace", &recording, len);
}

TEST(recording_has_its_reads_and_the_sizes_of_its_loads)
{
    struct input in;
    CHECK_STR(read_recording(&in, sizeof(recording)), "");
    CHECK_EQ(in.trace.count, 4);
    CHECK_EQ(in.trace.requests[0].size, 500);
    CHECK_EQ(in.trace.requests[2].size, 70); /* there was none, later there was */
    CHECK_EQ(in.trace.requests[3].key, in.trace.requests[0].key);
    CHECK_EQ(in.trace.at_us[1], 4 * S);
    CHECK_EQ(in.trace.at_us[3], 5 * S);
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
    return read_as(in, INPUT_TRACE, ".trace", &lived,
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
            CHECK(says(why, "cut off in its header"));
        else if (len < first_read)
            CHECK(says(why, "has no requests"));
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
    CHECK(says(read_recording(&in, sizeof(recording)), "of version 3"));
    recording.header.version = 1;
    input_free(&in);
}
