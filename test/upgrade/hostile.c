// SPDX-License-Identifier: MIT
// What lies under the old names is no clock or no log, or Redis has no memory left: new nodes work,
// and old ones are told.

#include "upgrade/sites.h"

/* ---- nobody but new nodes ---- */

static void check_works(struct site *s, struct node *n, unsigned row)
{
    MUST_COME(is_trusted(n));
    site_commit(s, row, 1);
    MUST_COME(has_fresh(n, "fetch", row, 1));
    CHECK_EQ(site_change(s, n, INVALIDATE, row, 2), 0);
    CHECK(!shows_fresh(n, "peek", row, 1));
    MUST_COME(has_fresh(n, "fetch", row, 2));
}

static void garbage(struct redis *server, const char *prefix, const char *make)
{
    struct site s;
    struct node new;
    site_open(&s, server, prefix);
    node_open(&new, &s, BUILD_NEW, "1");
    check_works(&s, &new, 0);
    site_redis(&s, make); /* while it runs ... */
    check_works(&s, &new, 2);
    uint64_t end_ms = check_now_ms() + 1500;
    MUST_COME(check_now_ms() > end_ms); /* a beat has met it */
    check_works(&s, &new, 4);
    node_close(&new);
    node_open(&new, &s, BUILD_NEW, "1"); /* ... and when it starts */
    check_works(&s, &new, 6);
    node_close(&new);
}

TEST(garbage_under_the_name_of_the_old_clock)
{
    struct redis server;
    redis_start(&server, NULL);
    garbage(&server, "l", "RPUSH %s:!:clk a b c");
    garbage(&server, "s", "SET %s:!:clk short");
    garbage(&server, "t", "SET %s:!:clk longer-than-sixteen-bytes-but-no-clock");
    garbage(&server, "m", "SETRANGE %s:!:clk 40000 x");
    redis_stop(&server);
}

/* ---- with old nodes ---- */

TEST(garbage_under_the_names_of_the_logs)
{
    struct redis server;
    struct site s;
    struct node old, new;
    redis_start(&server, NULL);
    site_open(&s, &server, "l");
    node_open(&old, &s, BUILD_OLD, "1");
    node_open(&new, &s, BUILD_NEW, "1");
    site_settle(&s, &new);
    site_commit(&s, 0, 1);
    MUST_COME(has_fresh(&old, "fetch", 0, 1));
    site_redis(&s, "DEL %s:!:log");
    site_redis(&s, "RPUSH %s:!:log a");
    site_redis(&s, "DEL %s:!2:!log");
    site_redis(&s, "RPUSH %s:!2:!log a");
    check_works(&s, &new, 2);
    CHECK_EQ(site_change(&s, &new, INVALIDATE, 0, 2), 0);
    CHECK_WITHIN(BOUND_MS, !shows_fresh(&old, "peek", 0, 1));
    CHECK(!shows_anywhere(&old, 0, 1));
    CHECK_GT(site_integer(&s, "XLEN %s:!:log"), 0);
    CHECK_GT(site_integer(&s, "XLEN %s:!2:!log"), 0);
    node_close(&old);
    node_close(&new);
    redis_stop(&server);
}

TEST(old_nodes_are_told_when_memory_is_full)
{
    struct redis server;
    struct site s;
    struct node old, new;
    redis_start(&server, NULL);
    site_open(&s, &server, "f");
    node_open(&old, &s, BUILD_OLD, "1");
    node_open(&new, &s, BUILD_NEW, "1");
    site_settle(&s, &new);
    for (unsigned row = 0; row < KINDS; row++) {
        site_commit(&s, row, 1);
        MUST_COME(has_fresh(&old, "fetch", row, 1));
    }
    site_redis(&s, "CONFIG SET maxmemory 1");
    for (unsigned row = 0; row < KINDS; row++) {
        CHECK_EQ(site_change(&s, &new, (enum kind)row, row, 2), 0);
        CHECK_WITHIN(BOUND_MS, !shows_fresh(&old, "peek", row, 1));
        CHECK(!shows_anywhere(&old, row, 1));
    }
    MUST_COME(is_trusted(&new));
    CHECK_EQ(site_change(&s, &old, INVALIDATE, 0, 3), 0); /* seen, although beats write then */
    MUST_COME(!is_trusted(&new));
    MUST_COME(is_trusted(&new));
    CHECK(!shows_fresh(&new, "peek", 0, 2));
    node_close(&old);
    node_close(&new);
    redis_stop(&server);
}
