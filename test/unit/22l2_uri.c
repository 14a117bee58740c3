// SPDX-License-Identifier: MIT
// Redis URIs: what is understood, and that every mistake is named.

#include "l2/uri.h"

#include <stdio.h>
#include <string.h>

#include "support/check.h"

static void check_good(const char *text, const struct uri *expected)
{
    struct uri uri;
    const char *wrong = uri_parse(text, &uri);
    check_note("%s", text);
    if (!CHECK_STR(wrong, NULL))
        return;
    CHECK_STR(uri.place, expected->place);
    CHECK_EQ(uri.port, expected->port);
    CHECK_EQ(uri.tls, expected->tls);
    CHECK_EQ(uri.db, expected->db);
    CHECK_STR(uri.user, expected->user);
    CHECK_STR(uri.password, expected->password);
    CHECK_EQ(uri.has_password, expected->has_password);
}

static void check_bad(const char *text, const char *word)
{
    struct uri uri = {.port = 7};
    const char *wrong = uri_parse(text, &uri);
    check_note("%s: %s", text, wrong ? wrong : "accepted");
    CHECK(wrong && strstr(wrong, word));
    CHECK_EQ(uri.port, 7); /* untouched */
}

TEST(tcp)
{
    check_good("redis://localhost", &(struct uri){.place = "localhost", .port = 6379});
    check_good("redis://localhost/", &(struct uri){.place = "localhost", .port = 6379});
    check_good("redis://10.0.0.1:7000/3",
               &(struct uri){.place = "10.0.0.1", .port = 7000, .db = 3});
    check_good("redis://[::1]:7000", &(struct uri){.place = "::1", .port = 7000});
    check_good("redis://[::1]", &(struct uri){.place = "::1", .port = 6379});
    check_good("redis://ann:s%3Ac%40t%2F@h:1/2",
               &(struct uri){.place = "h", .port = 1, .db = 2, .user = "ann",
                             .password = "s:c@t/", .has_password = true});
    check_good("redis://:secret@h", &(struct uri){.place = "h", .port = 6379,
                                                  .password = "secret", .has_password = true});
    check_good("redis://ann@h", &(struct uri){.place = "h", .port = 6379, .user = "ann"});
    check_good("redis://a:p@q@h", &(struct uri){.place = "h", .port = 6379, .user = "a",
                                                .password = "p@q", .has_password = true});
}

TEST(tls)
{
    check_good("rediss://h", &(struct uri){.place = "h", .port = 6379, .tls = true});
    check_good("rediss://ann:pw@[::1]:7000/3",
               &(struct uri){.place = "::1", .port = 7000, .db = 3, .user = "ann",
                             .password = "pw", .has_password = true, .tls = true});
}

TEST(unix_socket)
{
    check_good("unix:///run/redis.sock", &(struct uri){.place = "/run/redis.sock"});
    check_good("unix:///run/redis.sock?db=15", &(struct uri){.place = "/run/redis.sock", .db = 15});
    check_good("unix://u:p@/run/a@b:c.sock",
               &(struct uri){.place = "/run/a@b:c.sock", .user = "u", .password = "p",
                             .has_password = true});
}

static void check_shown(const char *text, const char *expected)
{
    struct uri uri;
    REQUIRE(!uri_parse(text, &uri));
    CHECK_STR(uri.shown, expected);
}

TEST(what_people_are_shown)
{
    check_shown("redis://user:secret@example", "example:6379");
    check_shown("redis://10.0.0.1:7000/3", "10.0.0.1:7000");
    check_shown("redis://[::1]:7000", "[::1]:7000");
    check_shown("unix:///run/redis.sock?db=2", "/run/redis.sock");
}

static void check_sentinel(const char *text, uint32_t i, const char *place, uint16_t port)
{
    struct uri uri;
    REQUIRE(!uri_parse(text, &uri));
    REQUIRE(i < uri.sentinel_count);
    CHECK_STR(uri.sentinels[i].place, place);
    CHECK_EQ(uri.sentinels[i].port, port);
}

TEST(sentinels)
{
    struct uri uri;
    const char *text = "redis+sentinel://ann:s%2C@a,b:7,[::1]:8,[::2]/my.master-1?db=3";
    REQUIRE(!uri_parse(text, &uri));
    CHECK_EQ(uri.sentinel_count, 4);
    CHECK_STR(uri.master, "my.master-1");
    CHECK_STR(uri.shown, "my.master-1");
    CHECK_STR(uri.user, "ann");
    CHECK_STR(uri.password, "s,");
    CHECK_EQ(uri.db, 3);
    CHECK(!uri.tls);
    check_sentinel(text, 0, "a", 26379);
    check_sentinel(text, 1, "b", 7);
    check_sentinel(text, 2, "::1", 8);
    check_sentinel(text, 3, "::2", 26379);
    check_sentinel("redis+sentinel://a%2Cb:7%2cc/m", 1, "b", 7); /* in NIGH_CONF */
    check_sentinel("redis+sentinel://a%2Cb:7%2cc/m", 2, "c", 26379);
    REQUIRE(!uri_parse("rediss+sentinel://a/m", &uri));
    CHECK(uri.tls);
}

TEST(mistakes_are_named)
{
    char path[200] = "unix:///";
    char host[400] = "redis://";
    check_bad("", "redis://");
    check_bad("http://h", "redis://");
    check_bad("rediss://", "host");
    check_bad("rediss:///run/redis.sock", "host");
    check_bad("rediss:", "rediss://");
    check_bad("redis://", "host");
    check_bad("redis://:80", "host");
    check_bad("redis://h:", "port");
    check_bad("redis://h:0", "port");
    check_bad("redis://h:65536", "port");
    check_bad("redis://h:99999999999", "port");
    check_bad("redis://h:12a", "port");
    check_bad("redis://h/x", "database");
    check_bad("redis://h/65536", "database");
    check_bad("redis://h/1/2", "database");
    check_bad("redis://h?db=1", "query");
    check_bad("redis://[::1", "bracket");
    check_bad("redis://[::1]x", "port");
    check_bad("redis://u%zz:p@h", "user name");
    check_bad("redis://u:p%2@h", "password");
    check_bad("redis://u:p%00@h", "password");
    check_bad("unix://run/redis.sock", "begins with");
    check_bad("unix://", "begins with");
    check_bad("redis+sentinel://", "host");
    check_bad("redis+sentinel:///m", "host");
    check_bad("redis+sentinel://a", "name is missing");
    check_bad("redis+sentinel://a/", "name is missing");
    check_bad("redis+sentinel://a/?db=1", "name is missing");
    check_bad("redis+sentinel://a,/m", "host");
    check_bad("redis+sentinel://,a/m", "host");
    check_bad("redis+sentinel://a,,b/m", "host");
    check_bad("redis+sentinel://a:0,b/m", "port");
    check_bad("redis+sentinel://a/m%20n", "name");
    check_bad("redis+sentinel://a/m/1", "?db");
    check_bad("redis+sentinel://a/m?db=x", "?db");
    check_bad("redis+sentinel://a/m#1", "?db");
    check_bad("redis+sentinel://1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17/m", "16 Sentinels");
    check_bad("unix:///", "path");
    check_bad("unix:///a?db=", "?db");
    check_bad("unix:///a?x=1", "?db");
    check_bad(memset(path + 8, 'a', 108) ? path : "", "path");
    check_bad(memset(host + 8, 'a', 256) ? host : "", "host");
}
