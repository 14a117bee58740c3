// SPDX-License-Identifier: MIT
// Redis absent, killed, restarted, stopped, full, emptied, while callers keep asking: each gets a
// value, a stale value marked stale, or a clear error, within its deadline.

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "support/origin.h"

#define CALL_MS 5000   /* the deadline of the calls made here */
#define SLACK_MS 20000 /* for a busy machine; a call without deadline would never end */
#define TOLD_AGAIN_MS 10000 /* so long an own change is remembered for a Redis that forgot it */

static int tagged(struct origin *o, struct nigh_fill *fill)
{
    CHECK_EQ(nigh_fill_add_tag(fill, "tag"), 0);
    return origin_answer(o, fill);
}

static struct answer timely_fetch(struct world *w, const char *key)
{
    struct nigh_call call = NIGH_CALL_INIT;
    call.deadline_ms = CALL_MS;
    uint64_t began_ms = check_now_ms();
    struct answer got = ask_fetch(w->space, key, &call);
    CHECK_LT(check_now_ms() - began_ms, CALL_MS + SLACK_MS);
    return got;
}

static int timely_invalidate(struct world *w, const char *key)
{
    uint64_t began_ms = check_now_ms();
    int rc = nigh_invalidate(w->space, key, strlen(key), NULL);
    CHECK_LT(check_now_ms() - began_ms, 250 + SLACK_MS); /* the default deadline of L2 */
    return rc;
}

static bool health_becomes(struct world *w, int wanted)
{
    return CHECK_WITHIN(WORLD_PATIENCE_MS, nigh_health(w->cache) == wanted);
}

/* ---- absent ---- */

TEST(redis_may_come_after_the_cache)
{
    struct redis server;
    struct world w;
    redis_start(&server, NULL);
    redis_kill(&server);
    struct nigh_options o = node_options(&server);
    origin_init(&w.origin);
    world_open_with(&w, &o, NULL, &w.origin);
    CHECK_EQ(nigh_health(w.cache), NIGH_EOFFLINE);
    CHECK_ANSWER(timely_fetch(&w, "k"), NIGH_FRESH, "k=1"); /* its own load: fresh for its call */
    CHECK_ANSWER(timely_fetch(&w, "k"), NIGH_STALE, "k=1"); /* stored, and nobody vouches for it */
    CHECK_EQ(ask_get(w.space, "other", NULL).outcome, NIGH_EOFFLINE);
    CHECK_EQ(timely_invalidate(&w, "k"), NIGH_QUEUED);
    origin_commit(&w.origin);
    CHECK_ANSWER(timely_fetch(&w, "k"), NIGH_FRESH, "k=2"); /* applied here at once */
    CHECK_EQ(nigh_drain(w.cache, 50), NIGH_ETIMEDOUT);
    CHECK_GE(world_count(&w, "queued"), 1);
    redis_restart(&server, REDIS_EMPTY);
    health_becomes(&w, NIGH_FRESH);
    CHECK_EQ(nigh_drain(w.cache, WORLD_PATIENCE_MS), 0);
    CHECK_EQ(world_count(&w, "queued"), 0);
    CHECK_WITHIN(WORLD_PATIENCE_MS, timely_fetch(&w, "k").outcome == NIGH_FRESH);
    CHECK_ANSWER(timely_fetch(&w, "k"), NIGH_FRESH, "k=2");
    world_close(&w);
    redis_stop(&server);
}

TEST(redis_may_never_come)
{
    struct world w;
    struct nigh_options o = NIGH_OPTIONS_INIT;
    o.l1_memory = 8u << 20;
    o.group_slots = 2048;
    o.redis_uri = "unix:///nonexistent/redis.sock";
    origin_init(&w.origin);
    world_open_with(&w, &o, NULL, &w.origin);
    CHECK_ANSWER(timely_fetch(&w, "k"), NIGH_FRESH, "k=1");
    CHECK_ANSWER(timely_fetch(&w, "k"), NIGH_STALE, "k=1");
    CHECK_EQ(timely_invalidate(&w, "k"), NIGH_QUEUED);
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&w, "l2_connect_failed") >= 1);
    world_close(&w); /* with an invalidation that nobody will ever accept */
}

/* ---- killed and restarted ---- */

TEST(callers_are_served_while_redis_dies_and_comes_back)
{
    struct redis server;
    struct world w;
    redis_start(&server, NULL);
    node_open(&w, &server, NULL, NULL);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 200; i++) {
            char key[16];
            snprintf(key, sizeof(key), "k%d", (round * 137 + i) % 150);
            if (i == 50)
                redis_kill(&server);
            if (i == 150)
                redis_restart(&server, REDIS_EMPTY);
            struct answer got = timely_fetch(&w, key);
            CHECK(got.outcome == NIGH_FRESH || got.outcome == NIGH_STALE);
            CHECK_EQ(strncmp(got.text, key, strlen(key)), 0);
            if (i % 10 == 0) {
                int rc = timely_invalidate(&w, key);
                CHECK(rc == 0 || rc == NIGH_QUEUED);
            }
        }
        health_becomes(&w, NIGH_FRESH);
        CHECK_EQ(nigh_drain(w.cache, WORLD_PATIENCE_MS), 0);
    }
    CHECK_GE(world_count(&w, "l2_lost"), 3);
    CHECK_GE(world_count(&w, "resync"), 3);
    CHECK_EQ(world_count(&w, "load_failed"), 0);
    world_close(&w);
    redis_stop(&server);
}

TEST(a_restart_leaves_values_stale_and_refreshes_each_once)
{
    struct redis server;
    struct world w;
    redis_start(&server, NULL);
    node_open(&w, &server, NULL, NULL);
    CHECK_ANSWER(timely_fetch(&w, "k"), NIGH_FRESH, "k=1");
    redis_restart(&server, REDIS_EMPTY);
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&w, "resync") >= 1);
    health_becomes(&w, NIGH_FRESH);
    struct nigh_call l1_only = NIGH_CALL_INIT;
    l1_only.flags = NIGH_L1_ONLY;
    CHECK_ANSWER(ask_get(w.space, "k", &l1_only), NIGH_STALE, "k=1");
    CHECK_ANSWER(timely_fetch(&w, "k"), NIGH_STALE, "k=1");
    CHECK_WITHIN(WORLD_PATIENCE_MS, ask_get(w.space, "k", &l1_only).outcome == NIGH_FRESH);
    CHECK_EQ(w.origin.loads, 2);
    world_close(&w);
    redis_stop(&server);
}

/* What was queued while Redis was away reaches the other node once it is back. */
TEST(a_queued_invalidation_reaches_the_other_node_in_the_end)
{
    struct redis server;
    struct world a, b;
    patient_nodes_open(&a, &b, &server);
    a.origin.script = tagged;
    CHECK_ANSWER(ask_fetch(a.space, "k", NULL), NIGH_FRESH, "k=1");
    CHECK_ANSWER(ask_fetch(a.space, "t", NULL), NIGH_FRESH, "t=1");
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&a, "l2_fill") == 2);
    CHECK_ANSWER(ask_fetch(b.space, "k", NULL), NIGH_FRESH, "k=1");
    CHECK_ANSWER(ask_fetch(b.space, "t", NULL), NIGH_FRESH, "t=1");
    redis_save(&server); /* L2 comes back with the old values */
    redis_kill(&server);
    origin_commit(&a.origin);
    struct nigh_target tag = {.kind = NIGH_TARGET_TAG, .name = "tag", .name_len = 3};
    CHECK_EQ(timely_invalidate(&a, "k"), NIGH_QUEUED);
    CHECK_EQ(nigh_invalidate_many(a.cache, &tag, 1, NULL), NIGH_QUEUED);
    redis_restart(&server, REDIS_SAVED);
    CHECK_EQ(nigh_drain(a.cache, WORLD_PATIENCE_MS), 0);
    health_becomes(&b, NIGH_FRESH);
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&b, "sequence") == world_count(&a, "sequence"));
    CHECK_WITHIN(WORLD_PATIENCE_MS, strcmp(ask_fetch(b.space, "k", NULL).text, "k=2") == 0);
    CHECK_WITHIN(WORLD_PATIENCE_MS, strcmp(ask_fetch(b.space, "t", NULL).text, "t=2") == 0);
    nodes_close(&a, &b, &server);
}

/* Redis comes back with what it had before an invalidation that it had accepted: its clock is
 * another then, so no stamp can be compared. Who has invalidated sees nothing older even so. */
static void tell_and_forget(enum nigh_target_kind kind, const char *name)
{
    struct redis server;
    struct world w;
    redis_start(&server, NULL);
    patient_open(&w, &server, NULL, NULL);
    w.origin.script = tagged;
    CHECK_ANSWER(ask_fetch(w.space, "t", NULL), NIGH_FRESH, "t=1");
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&w, "l2_fill") == 1);
    redis_save(&server);
    origin_commit(&w.origin);
    uint64_t told_ms = check_now_ms();
    struct nigh_target target = {kind, w.space, name, strlen(name), 0};
    int rc = nigh_invalidate_many(w.cache, &target, 1, NULL);
    CHECK(rc == 0 || rc == NIGH_QUEUED);
    CHECK_EQ(nigh_drain(w.cache, WORLD_PATIENCE_MS), 0);
    int64_t resyncs = world_count(&w, "resync");
    redis_restart(&server, REDIS_SAVED);
    bool old = false;
    CHECK_WITHIN(WORLD_PATIENCE_MS,
                 (old = old || strcmp(ask_get(w.space, "t", NULL).text, "t=1") == 0,
                  world_count(&w, "resync") > resyncs && nigh_health(w.cache) == NIGH_FRESH &&
                      nigh_drain(w.cache, 0) == 0));
    bool in_time = check_now_ms() - told_ms < TOLD_AGAIN_MS;
    CHECK(!old || !in_time);
    for (int i = 0; i < 20 && in_time; i++)
        CHECK(strcmp(ask_get(w.space, "t", NULL).text, "t=1") != 0);
    if (in_time)
        CHECK_ANSWER(ask_fetch(w.space, "t", NULL), NIGH_FRESH, "t=2");
    world_close(&w);
    redis_stop(&server);
}

TEST(what_this_node_has_told_is_not_read_from_an_l2_that_has_forgotten_it)
{
    tell_and_forget(NIGH_TARGET_TAG, "tag");
}

TEST(a_key_that_this_node_has_told_is_not_read_from_such_an_l2_either)
{
    tell_and_forget(NIGH_TARGET_KEY, "t");
}

/* While an invalidation waits, this node takes L2 for empty where it covers. Here Redis answers
 * reads all the time and only refuses what a change begins with. */
TEST(what_is_queued_is_not_read_from_l2)
{
    struct redis server;
    struct world w;
    struct nigh_options o;
    redis_start(&server, NULL);
    o = patient_options(&server);
    o.trust_ms = 60000; /* else doubt, which beats that are refused bring, would hide a mistake */
    o.beat_ms = 200;
    origin_init(&w.origin);
    w.origin.script = tagged;
    world_open_with(&w, &o, NULL, &w.origin);
    health_becomes(&w, NIGH_FRESH);
    CHECK_ANSWER(ask_fetch(w.space, "k", NULL), NIGH_FRESH, "k=1");
    CHECK_ANSWER(ask_fetch(w.space, "t", NULL), NIGH_FRESH, "t=1");
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&w, "l2_fill") == 2);
    free(redis_command(&server, "ACL SETUSER default -del"));
    origin_commit(&w.origin);
    struct nigh_target tag = {.kind = NIGH_TARGET_TAG, .name = "tag", .name_len = 3};
    CHECK_EQ(timely_invalidate(&w, "k"), NIGH_QUEUED);
    CHECK_ANSWER(timely_fetch(&w, "k"), NIGH_FRESH, "k=2");
    CHECK_EQ(nigh_invalidate_many(w.cache, &tag, 1, NULL), NIGH_QUEUED);
    CHECK_ANSWER(timely_fetch(&w, "t"), NIGH_FRESH, "t=2");
    CHECK_EQ(world_count(&w, "queued"), 2);
    free(redis_command(&server, "ACL SETUSER default +del"));
    CHECK_EQ(nigh_drain(w.cache, WORLD_PATIENCE_MS), 0);
    CHECK_ANSWER(timely_fetch(&w, "k"), NIGH_FRESH, "k=2");
    world_close(&w);
    redis_stop(&server);
}

TEST(the_queue_is_bounded)
{
    struct world w;
    struct nigh_options o = NIGH_OPTIONS_INIT;
    o.l1_memory = 8u << 20;
    o.group_slots = 2048;
    o.queue_items = 16;
    o.redis_uri = "unix:///nonexistent/redis.sock";
    origin_init(&w.origin);
    world_open_with(&w, &o, NULL, &w.origin);
    CHECK_ANSWER(ask_fetch(w.space, "unrelated", NULL), NIGH_FRESH, "unrelated=1");
    for (int i = 0; i < 100; i++) {
        char key[16];
        snprintf(key, sizeof(key), "k%d", i);
        int rc = nigh_invalidate(w.space, key, strlen(key), NULL);
        CHECK_EQ(rc, NIGH_QUEUED);
        CHECK_LE(world_count(&w, "queued"), 17);
    }
    CHECK_GE(world_count(&w, "invalidate_overflow"), 1);
    world_close(&w);
}

/* ---- stopped ---- */

TEST(a_silent_redis_costs_trust_not_callers)
{
    struct redis server;
    struct world w;
    redis_start(&server, NULL);
    node_open(&w, &server, NULL, NULL);
    CHECK_ANSWER(timely_fetch(&w, "k"), NIGH_FRESH, "k=1");
    redis_pause(&server);
    uint64_t paused_ms = check_now_ms();
    struct answer got;
    do { /* fresh until the trust of the last beat (1 s) has run out */
        got = timely_fetch(&w, "k");
        CHECK(got.outcome == NIGH_FRESH || got.outcome == NIGH_STALE);
    } while (got.outcome == NIGH_FRESH && check_now_ms() < paused_ms + WORLD_PATIENCE_MS);
    CHECK_ANSWER(got, NIGH_STALE, "k=1");
    for (int i = 0; i < 20; i++) {
        char key[16];
        snprintf(key, sizeof(key), "n%d", i);
        CHECK_EQ(timely_fetch(&w, key).outcome, NIGH_FRESH); /* loads of their own */
        CHECK_EQ(timely_fetch(&w, key).outcome, NIGH_STALE); /* nothing stored is fresh */
        CHECK_EQ(timely_fetch(&w, "k").outcome, NIGH_STALE);
    }
    CHECK_EQ(timely_invalidate(&w, "k"), NIGH_QUEUED);
    CHECK_GE(world_count(&w, "trust_lost"), 1);
    CHECK(nigh_health(w.cache) == NIGH_STALE || nigh_health(w.cache) == NIGH_EOFFLINE);
    redis_resume(&server);
    health_becomes(&w, NIGH_FRESH);
    CHECK_EQ(nigh_drain(w.cache, WORLD_PATIENCE_MS), 0);
    CHECK_WITHIN(WORLD_PATIENCE_MS, timely_fetch(&w, "k").outcome == NIGH_FRESH);
    world_close(&w);
    redis_stop(&server);
}

TEST(a_get_does_not_wait_longer_than_it_was_told)
{
    struct redis server;
    struct world w;
    struct nigh_call call = NIGH_CALL_INIT;
    redis_start(&server, NULL);
    node_open(&w, &server, NULL, NULL);
    redis_pause(&server);
    call.deadline_ms = 30;
    uint64_t began_ms = check_now_ms();
    int rc = ask_get(w.space, "k", &call).outcome;
    CHECK(rc == NIGH_ETIMEDOUT || rc == NIGH_EOFFLINE);
    CHECK_LT(check_now_ms() - began_ms, SLACK_MS);
    redis_resume(&server);
    world_close(&w);
    redis_stop(&server);
}

/* ---- full, emptied ---- */

TEST(a_full_redis_still_takes_invalidations)
{
    struct redis server;
    struct world a, b;
    patient_nodes_open(&a, &b, &server);
    CHECK_ANSWER(ask_fetch(a.space, "k", NULL), NIGH_FRESH, "k=1");
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&a, "l2_fill") == 1);
    CHECK_ANSWER(ask_fetch(b.space, "k", NULL), NIGH_FRESH, "k=1");
    free(redis_command(&server, "CONFIG SET maxmemory-policy noeviction"));
    free(redis_command(&server, "CONFIG SET maxmemory 1"));
    origin_commit(&a.origin);
    CHECK_EQ(timely_invalidate(&a, "k"), 0);
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&b, "sequence") == 1);
    CHECK_ANSWER(timely_fetch(&b, "k"), NIGH_FRESH, "k=2"); /* no lease to be had: its own load */
    CHECK_ANSWER(timely_fetch(&b, "k"), NIGH_FRESH, "k=2");
    CHECK_EQ(a.origin.loads, 2);
    int64_t beats = world_count(&b, "beat"), failed = world_count(&b, "beat_failed");
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&b, "beat") >= beats + 8);
    CHECK_EQ(timely_fetch(&b, "k").outcome, NIGH_FRESH);
    CHECK_EQ(world_count(&b, "beat_failed"), failed); /* they go on, so trust does */
    int rc = nigh_put(a.space, "p", 1, "v", 1, NULL);
    CHECK(rc == 0 || rc == NIGH_QUEUED);
    nodes_close(&a, &b, &server);
}

TEST(flushall_is_noticed)
{
    struct redis server;
    struct world a, b;
    nodes_open(&a, &b, &server);
    for (int i = 0; i < 5; i++) {
        CHECK_WITHIN(WORLD_PATIENCE_MS, timely_fetch(&a, "k").outcome == NIGH_FRESH);
        CHECK_WITHIN(WORLD_PATIENCE_MS, timely_fetch(&b, "k").outcome == NIGH_FRESH);
        int64_t before = world_count(&b, "resync");
        free(redis_command(&server, "FLUSHALL"));
        CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&b, "resync") > before);
        origin_commit(&a.origin);
        int rc = timely_invalidate(&a, "k"); /* under the new clock it must still arrive */
        CHECK(rc == 0 || rc == NIGH_QUEUED);
        CHECK_WITHIN(WORLD_PATIENCE_MS,
                     ask_fetch(b.space, "k", NULL).text[2] == (char)('2' + i));
    }
    nodes_close(&a, &b, &server);
}

TEST(evicted_bookkeeping_is_noticed)
{
    static const char *const lost[] = {"nigh:!2:!clk", "nigh:!:log"};
    struct redis server;
    struct world a, b;
    nodes_open(&a, &b, &server);
    for (int i = 0; i < 4; i++) {
        CHECK_WITHIN(WORLD_PATIENCE_MS, timely_fetch(&b, "k").outcome == NIGH_FRESH);
        free(redis_command(&server, "DEL %s", lost[i % 2]));
        origin_commit(&a.origin);
        int rc = timely_invalidate(&a, "k");
        CHECK(rc == 0 || rc == NIGH_QUEUED);
        CHECK_WITHIN(WORLD_PATIENCE_MS,
                     ask_fetch(b.space, "k", NULL).text[2] == (char)('2' + i));
    }
    nodes_close(&a, &b, &server);
}

TEST(connections_cut_by_the_server_are_made_again)
{
    struct redis server;
    struct world a, b;
    nodes_open(&a, &b, &server);
    for (int i = 0; i < 6; i++) {
        CHECK_WITHIN(WORLD_PATIENCE_MS, timely_fetch(&b, "k").outcome == NIGH_FRESH);
        free(redis_command(&server, i % 2 ? "CLIENT KILL TYPE normal" : "CLIENT KILL TYPE pubsub"));
        origin_commit(&a.origin);
        int rc = timely_invalidate(&a, "k");
        CHECK(rc == 0 || rc == NIGH_QUEUED);
        CHECK_EQ(nigh_drain(a.cache, WORLD_PATIENCE_MS), 0);
        CHECK_WITHIN(WORLD_PATIENCE_MS,
                     ask_fetch(b.space, "k", NULL).text[2] == (char)('2' + i));
    }
    nodes_close(&a, &b, &server);
}
