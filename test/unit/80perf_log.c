// SPDX-License-Identifier: MIT
/*
 * Access logs, whose lines strangers wrote: garbage is told from requests, and what is right is
 * counted as it stands there.
 */
#include "support/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "input/log_line.h"
#include "support/given.h"

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

/* Those of two sites for the same path were one key. */
TEST(a_site_in_front_is_told_from_clients)
{
    static const struct {
        const char *head, *site;
    } all[] = {
        {"www.example.com:80 192.0.2.7 - - ", "www.example.com:80"}, /* vhost_combined */
        {"www.example.com 2001:db8::7 - - ", "www.example.com"},     /* nginx, $host first */
        {"localhost:8080 client.example.net - frank ", "localhost:8080"},
        {"a_b-2.example:443 ::1 - frank m ", "a_b-2.example:443"},
        {"192.0.2.7 - - ", ""},
        {"client.example.net - frank ", ""},
        {"client.example.net - frank m - ", ""},
        {"client.example.net ident frank ", ""},
        {"192.0.2.7 198.51.100.1 - - ", ""},    /* a client and its proxy */
        {"192.0.2.7:4711 198.51.100.1 - - ", ""},
        {"2001:db8::7 198.51.100.1 - - ", ""},
        {"fe80::a:80 198.51.100.1 - - ", ""},
        {"[2001:db8::7]:443 ::1 - - ", ""},
        {"192.0.2.7, 198.51.100.1 - - ", ""},   /* X-Forwarded-For */
        {"_ 192.0.2.7 - - ", ""},               /* nobody's */
        {":80 192.0.2.7 - - ", ""},
        {"www.example.com:80x 192.0.2.7 - - ", ""},
        {"www.example.com", ""},
        {"", ""},
    };
    struct log_line l;
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        char text[200];
        snprintf(text, sizeof(text), "%s[10/Oct/2000:13:55:36 -0700] \"GET /a HTTP/1.1\" 200 7",
                 all[i].head);
        CHECK_EQ(parse(text, &l), LOG_REQUEST);
        if (!CHECK(is(l.site, all[i].site)))
            check_note("%s: %.*s", text, (int)l.site.len, l.site.data);
        CHECK(is(l.target, "/a"));
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

static const char *read_log(struct input *in, const char *text)
{
    return given_read(in, INPUT_LOG, ".log", text, strlen(text));
}

TEST(the_same_path_of_two_sites_is_two_keys)
{
    struct input in;
    CHECK_STR(read_log(&in, "a.example:80 192.0.2.7 - - [x] \"GET /a HTTP/1.1\" 200 100\n"
                            "b.example:80 192.0.2.7 - - [x] \"GET /a HTTP/1.1\" 200 300\n"
                            "a.example:80 192.0.2.8 - - [x] \"GET /a HTTP/1.1\" 200 100\n"
                            "192.0.2.9 - - [x] \"GET /a HTTP/1.1\" 200 700\n"),
              "");
    CHECK_EQ(in.trace.count, 4);
    CHECK_EQ(in.trace.unique, 3);
    CHECK_EQ(in.trace.requests[0].key, in.trace.requests[2].key);
    CHECK_EQ(in.trace.requests[1].size, 300);
    CHECK_EQ(in.sited, 3);
    CHECK_STR(in.site, "a.example:80");
    CHECK_EQ(in.key_bytes, (3 * 14 + 2) / 4);
    input_free(&in);
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
    CHECK_EQ(in.trace.at_us[1], 5 * GIVEN_S);
    CHECK_EQ(in.trace.at_us[2], 5 * GIVEN_S); /* a clock never goes back */
    CHECK_EQ(in.trace.at_us[3], 60 * GIVEN_S);
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
    CHECK_EQ(in.trace.at_us[1], 0 * GIVEN_S);
    CHECK_EQ(in.trace.at_us[2], 86400 * GIVEN_S);
    CHECK_EQ(in.trace.at_us[4], 86409 * GIVEN_S);
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

TEST(file_that_is_no_log_is_refused_with_its_first_line)
{
    struct input in;
    const char *why = read_log(&in, "#!/bin/sh\necho one\necho two\n");
    CHECK(given_says(why, "no access log"));
    CHECK(given_says(why, "3 of 3 lines are no requests; line 1: \"#!/bin/sh\""));
    input_free(&in);
    CHECK(given_says(read_log(&in, ""), "is empty"));
    input_free(&in);
    CHECK(given_says(read_log(&in, "h - - [x] \"POST /a HTTP/1.1\" 200 1\n"), "could be cached"));
    input_free(&in);
}

/* Other servers' habits are no garbage. */
TEST(lines_in_other_clothes_are_the_same_requests)
{
    static const char *const texts[] = {
        "\xef\xbb\xbf" GIVEN_LINE GIVEN_LINE, /* UTF-8, and says so */
        "2001:db8::7 - - [29/Nov/2026:15:30:00 +0530] \"GET /a HTTP/2\" 200 100 \"-\" \"x\" 0.1\r\n"
        "::1 - \"a b\" [29/Nov/2026:10:00:00 +0000] \"GET /a HTTP/2.0\" 200 100\r\n",
        "e.org:80 " GIVEN_LINE "\ne.org:80 ::1 - \"a b\" "
        "[29/Nov/2026:10:00:00 +0000] \"GET /a HTTP/2.0\" 200 100\n",
        "Nov 29 10:00:00 web nginx: " GIVEN_LINE "\n" GIVEN_LINE,
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
