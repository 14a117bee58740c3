// SPDX-License-Identifier: MIT
/*
 * Files that perf/ is given, of whatever kind: what cannot be read is named, what never ends is
 * given up, and traces of other programs are told from one another, and whole ones from cut ones.
 */
#include "support/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "input/stream.h"
#include "support/given.h"

/* ---- what is no file, or none that can be read ---- */

static bool is_refused(enum input_kind kind, const char *path, const char *words)
{
    struct input in;
    char *why = input_read(&in, kind, path);
    bool refused = given_says(why, words);
    free(why);
    input_free(&in);
    return refused;
}

TEST(what_is_no_readable_file_is_said)
{
    CHECK(is_refused(INPUT_LOG, "/tmp", "is a folder"));
    CHECK(is_refused(INPUT_TRACE, "/nonexistent/x.t8",
                     "cannot read /nonexistent/x.t8: No such file"));
    CHECK(is_refused(INPUT_LOG, "/dev/zero", "is a device"));
    CHECK(given_refused(INPUT_TRACE, ".bin", "\1\2345678", 7, "no trace that is known"));
}

/* Somebody who has it packed, or in another alphabet, is told how to give it. */
TEST(what_has_to_be_unpacked_first_is_said)
{
    static const struct {
        const char *bytes, *word;
        size_t len;
    } files[] = {
        {"\x1f\x8b\x08xxxxx", "put zcat ", 8},
        {"BZh91AY&SY", "put bzcat ", 10},
        {"\xfd" "7zXZ\0xx", "put xzcat ", 8},
        {"\x04\x22\x4d\x18xxxx", "put lz4cat ", 8},
        {"PK\x03\x04xxxx", "put unzip -p ", 8},
        {"\xff\xfeh\0 \0-\0 \0", "iconv -f UTF-16 ", 10},
        {"\xfe\xff\0h\0 \0-\0 ", "iconv -f UTF-16 ", 10},
        {"h\0 \0-\0 \0", "iconv -f UTF-16 ", 8},
        {"{\"method\": \"GET\"}", "JSON", 17},
        {"NIGHTRCE\2\0\0\0\1\0\0\0", "with --trace", 16},
        {"\1\0\0\0\1\0\0\0\2\0\0\0\1\1\0\0", "--trace", 16},
    };
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
        CHECK(given_refused(INPUT_LOG, ".log", files[i].bytes, files[i].len, files[i].word));
}

/* /dev/zero in a pipe, or a core dump: a line of 64 MiB and more, and garbage that never ends. */
TEST(what_goes_on_for_ever_is_given_up)
{
    given_make(".log", GIVEN_LINE, strlen(GIVEN_LINE));
    REQUIRE(truncate(given_path, 70 << 20) == 0);
    CHECK(is_refused(INPUT_LOG, given_path, "a line of more than 64 MiB"));
    unlink(given_path);

    size_t len = 2200000;
    char *text = malloc(len);
    for (size_t i = 0; i < len; i++)
        text[i] = i % 2 ? '\n' : 'x';
    CHECK(given_refused(INPUT_LOG, ".log", text, len, "1000000 of 1000000 lines"));
    free(text);
}

/* 20,000 requests of as many keys would take more. */
TEST(what_memory_has_no_room_for_is_refused)
{
    enum { COUNT = 20000 };
    struct input in;
    struct request *requests = calloc(COUNT, sizeof(*requests));
    for (uint32_t i = 0; i < COUNT; i++)
        requests[i] = (struct request){i, 100};
    given_make(".t8", requests, COUNT * sizeof(*requests));
    char *why = input_read_within(&in, INPUT_TRACE, given_path, 600000);
    CHECK(given_says(why, "more requests than there is memory for (8192 so far)"));
    free(why);
    input_free(&in);
    CHECK_STR(input_read_within(&in, INPUT_TRACE, given_path, 6000000), NULL);
    CHECK_EQ(in.trace.count, COUNT);
    unlink(given_path);
    input_free(&in);
    free(requests);
}

/* A log goes on being written: what came later is another day's. */
TEST(file_that_grows_is_as_long_as_it_was)
{
    char *why;
    struct text line;
    unsigned lines = 0;
    struct stream *s = input_stream_open(given_make(".log", GIVEN_LINE, strlen(GIVEN_LINE)), &why);
    REQUIRE(s != NULL);
    FILE *f = fopen(given_path, "a");
    fputs(GIVEN_LINE, f);
    fclose(f);
    while (input_stream_line(s, &line))
        lines++;
    CHECK_EQ(lines, 1);
    input_stream_close(s);
    unlink(given_path);
}

TEST(pipe_is_read_until_it_ends)
{
    struct input in;
    int fds[2];
    char name[64];
    static const char lines[] = GIVEN_LINE GIVEN_LINE;
    REQUIRE(pipe(fds) == 0);
    REQUIRE(write(fds[1], lines, strlen(lines)) == (ssize_t)strlen(lines));
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
    CHECK_STR(given_read(&in, INPUT_TRACE, ".t8", t8, sizeof(t8)), "");
    check_three(&in);
    CHECK(!in.trace.at_us);
    input_free(&in);
    const char *why = given_read(&in, INPUT_TRACE, ".t8.zst", t8_zst, sizeof(t8_zst));
    if (!strstr(why, "libzstd-dev was not there")) {
        CHECK_STR(why, "");
        check_three(&in);
        for (size_t len = 1; len < sizeof(t8_zst); len++)
            CHECK(given_refused(INPUT_TRACE, ".t8.zst", t8_zst, len, "cut off"));
        unsigned char more[sizeof(t8_zst) + 1] = {0};
        memcpy(more, t8_zst, sizeof(t8_zst));
        CHECK(given_refused(INPUT_TRACE, ".t8.zst", more, sizeof(more), "is broken"));
        more[20] ^= 1;
        CHECK(given_refused(INPUT_TRACE, ".t8.zst", more, sizeof(t8_zst), "is broken"));
    }
    input_free(&in);
}

TEST(trace_that_is_cut_off_is_said)
{
    CHECK(given_refused(INPUT_TRACE, ".t8", t8, sizeof(t8) - 3,
                        "is cut off: its request 3 has 5 of 8 bytes"));
    CHECK(given_refused(INPUT_TRACE, ".t8", t8, 0, "is empty"));
}

static const unsigned char oracle[] = {
    10, 0, 0, 0, 9, 8, 7, 6, 5, 4, 3, 2, 0, 4, 0, 0, 2,   0,   0,   0,   0,   0,   0,   0,
    70, 0, 0, 0, 9, 8, 7, 6, 5, 4, 3, 2, 0, 4, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255};

TEST(oracle_trace_has_ids_and_times)
{
    struct input in;
    CHECK_STR(given_read(&in, INPUT_TRACE, ".oracleGeneral", oracle, sizeof(oracle)), "");
    CHECK_EQ(in.trace.count, 2);
    CHECK_EQ(in.trace.unique, 1);
    CHECK_EQ(in.trace.requests[0].size, 1024);
    CHECK_EQ(in.trace.at_us[1], 60 * GIVEN_S);
    input_free(&in);
}

/* Returns what is said of bytes that come through a pipe, where no name tells what they are: of
 * gzip's, say, which nobody unpacks here. */
static char *piped(struct input *in, const void *bytes, size_t len)
{
    const char *path = given_make("", bytes, len);
    REQUIRE(freopen(path, "rb", stdin));
    unlink(path);
    return input_read(in, INPUT_TRACE, "-");
}

TEST(trace_without_a_name_is_known_by_its_bytes)
{
    static const char nothing[16] = "\1\2\3\4\377\377\377\377";
    struct input in;
    CHECK_STR(piped(&in, oracle, sizeof(oracle)), NULL);
    CHECK_STR(in.format, "oracleGeneral trace");
    CHECK_EQ(in.trace.count, 2);
    input_free(&in);
    CHECK_STR(piped(&in, t8, sizeof(t8)), NULL);
    check_three(&in);
    input_free(&in);
    char *why = piped(&in, nothing, sizeof(nothing));
    CHECK(why && given_says(why, "stdin is no trace that is known here"));
    free(why);
    input_free(&in);
    CHECK_STR(given_read(&in, INPUT_TRACE, ".trace", oracle, sizeof(oracle)), "");
    CHECK_EQ(in.trace.count, 2);
    input_free(&in);
}

/* Nothing but their names tells them apart. */
TEST(trace_that_is_not_what_its_name_says_is_refused)
{
    unsigned char many[sizeof(oracle) * 16];
    CHECK(given_refused(INPUT_TRACE, ".t8", GIVEN_LINE, strlen(GIVEN_LINE), "is text, no trace"));
    CHECK(given_refused(INPUT_TRACE, ".oracleGeneral", GIVEN_LINE, strlen(GIVEN_LINE), "is text"));
    CHECK(given_refused(INPUT_TRACE, ".t8", oracle, sizeof(oracle), "sizes are above 64 MiB"));
    for (size_t i = 0; i < 16; i++)
        memcpy(many + i * sizeof(oracle), oracle, sizeof(oracle));
    CHECK(given_refused(INPUT_TRACE, ".oracleGeneral", many, sizeof(many),
                        "its times go back 15 times in 32 requests"));
    for (size_t cut = 1; cut < sizeof(oracle) / 2; cut++)
        CHECK(given_refused(INPUT_TRACE, ".oracleGeneral", oracle, sizeof(oracle) - cut,
                            "is cut off"));
}

TEST(trace_whose_sizes_are_ones_has_none)
{
    static const unsigned char ones[] = {1, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0};
    struct input in;
    CHECK_STR(given_read(&in, INPUT_TRACE, ".t8", ones, sizeof(ones)), "");
    CHECK(!in.has_sizes);
    input_set_sizes(&in, 512);
    CHECK_EQ(in.trace.requests[1].size, 512);
    input_free(&in);
}
