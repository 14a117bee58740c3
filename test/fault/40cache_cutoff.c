// SPDX-License-Identifier: MIT
// One node is cut off from Redis while Redis goes on serving the other: what the other changes is
// accepted, and the one that cannot hear of it must not call anything fresh for longer than trust.
//
// Node a goes through a relay (support/relay.h), node b does not, and waits for Redis however slow
// the machine is. The cut is a silence unless a case says otherwise: connections stay open and
// nothing arrives, which takes longest to notice.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/origin.h"
#include "support/relay.h"

enum {
    TRUST_MS = 2000, /* longer than a busy machine keeps beats from being answered */
    BEAT_MS = 100,
    L2_MS = 2000, /* of the node that is cut off: the same */
    SLACK_MS = 5, /* of rounding; hits read the coarse clock, and so do we where we judge them */
};

struct scene {
    struct redis server;
    struct relay relay;
    struct world a;              /* behind the relay */
    struct world b;              /* in front of a's origin */
    _Atomic unsigned rows_read;  /* by loaders that may still be held */
    bool begins_absent;          /* generation 1 of the origin has no rows */
};

/* The row as it was when the load began; slow when the origin is held. */
static int slow_row(struct origin *o, struct nigh_fill *fill)
{
    struct scene *s = o->arg;
    char row[64];
    size_t key_len;
    const char *key = nigh_fill_key(fill, &key_len);
    unsigned generation = atomic_load(&o->generation);
    int len = snprintf(row, sizeof(row), "%.*s=%u", (int)key_len, key, generation);
    CHECK_EQ(nigh_fill_add_tag(fill, "tag"), 0);
    atomic_fetch_add(&s->rows_read, 1);
    while (atomic_load(&o->held))
        check_pause();
    return s->begins_absent && generation == 1 ? nigh_fill_absent(fill)
                                               : nigh_fill_value(fill, row, (size_t)len);
}

static void open_scene(struct scene *s, bool begins_absent)
{
    struct nigh_options o;
    struct nigh_space_options so = NIGH_SPACE_OPTIONS_INIT;
    so.load_deadline_ms = WORLD_PATIENCE_MS; /* of callers, too: they wait for the test */
    so.absent_ttl_ms = 600000;               /* so that an absence ends for the reason tested */
    s->begins_absent = begins_absent;
    s->rows_read = 0;
    redis_start(&s->server, NULL);
    relay_open(&s->relay, &s->server);
    o = patient_options(&s->server);
    origin_init(&s->a.origin);
    s->a.origin.arg = s;
    s->a.origin.script = slow_row;
    world_open_with(&s->b, &o, &so, &s->a.origin);
    o = node_options(&s->server);
    o.trust_ms = TRUST_MS;
    o.beat_ms = BEAT_MS;
    o.l2_deadline_ms = L2_MS;
    o.redis_uri = s->relay.uri;
    world_open_with(&s->a, &o, &so, &s->a.origin);
    struct world *nodes[] = {&s->a, &s->b};
    for (int i = 0; i < 2; i++)
        REQUIRE(CHECK_WITHIN(WORLD_PATIENCE_MS, nigh_health(nodes[i]->cache) == NIGH_FRESH &&
                                                    world_count(nodes[i], "listening") == 1));
}

static void close_scene(struct scene *s)
{
    world_close(&s->a);
    world_close(&s->b);
    relay_close(&s->relay);
    redis_stop(&s->server);
}

/* b commits and tells everybody; Redis accepts. Returns when. */
static uint64_t change_on_b(struct scene *s, const char *key)
{
    origin_commit(&s->a.origin);
    CHECK_EQ(nigh_invalidate(s->b.space, key, strlen(key), NULL), 0);
    return check_now_ms();
}

/* Later than any trust that a may still have from before `ms`. */
static void outlast_trust(struct scene *s, uint64_t ms)
{
    while (check_coarse_ms() <= ms + TRUST_MS + SLACK_MS)
        check_pause();
    CHECK_NE(nigh_health(s->a.cache), NIGH_FRESH);
}

static struct answer l1_get(struct world *w, const char *key)
{
    struct nigh_call call = NIGH_CALL_INIT;
    call.flags = NIGH_L1_ONLY;
    return ask_get(w->space, key, &call);
}

static bool l1_has_fresh(struct world *w, const char *key, const char *row)
{
    struct answer got = l1_get(w, key);
    return got.outcome == NIGH_FRESH && strcmp(got.text, row) == 0;
}

static bool is_trusted(const struct world *w)
{
    return nigh_health(w->cache) == NIGH_FRESH;
}

static bool caught_up(const struct scene *s)
{
    return is_trusted(&s->a) && world_count(&s->a, "sequence") == world_count(&s->b, "sequence");
}

/* ---- a load that began before ---- */

/* A load on a that has read the row and does not come back. */
static void begin_slow_load(struct scene *s, struct asker *leader)
{
    unsigned before = s->rows_read;
    origin_hold(&s->a.origin);
    asker_start(leader, s->a.space, "k", NULL);
    CHECK_WITHIN(WORLD_PATIENCE_MS, s->rows_read == before + 1);
}

static void join_slow_load(struct scene *s, struct asker *follower)
{
    int64_t before = world_count(&s->a, "flight_joined");
    asker_start(follower, s->a.space, "k", NULL);
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&s->a, "flight_joined") == before + 1);
}

TEST(a_follower_in_doubt_is_not_given_as_fresh_what_was_read_before_its_call)
{
    struct scene s;
    struct asker leader, followers[3];
    open_scene(&s, false);
    begin_slow_load(&s, &leader);
    relay_stop(&s.relay);
    outlast_trust(&s, change_on_b(&s, "k"));
    for (int i = 0; i < 3; i++)
        join_slow_load(&s, &followers[i]);
    origin_let_go(&s.a.origin);
    asker_join(&leader);
    CHECK_ANSWER(leader.answer, NIGH_FRESH, "k=1"); /* its call began before the change */
    for (int i = 0; i < 3; i++) {
        asker_join(&followers[i]);
        struct answer *got = &followers[i].answer;
        if (strcmp(got->text, "k=2") != 0) /* else it loaded anew, which is as good */
            CHECK_ANSWER(*got, NIGH_STALE, "k=1");
    }
    CHECK_NE(l1_get(&s.a, "k").outcome, NIGH_FRESH);
    relay_go(&s.relay);
    CHECK_WITHIN(WORLD_PATIENCE_MS, caught_up(&s));
    CHECK_STR(ask_fetch(s.a.space, "k", NULL).text, "k=2");
    CHECK_WITHIN(WORLD_PATIENCE_MS, ask_fetch(s.a.space, "k", NULL).outcome == NIGH_FRESH);
    close_scene(&s);
}

TEST(a_follower_in_doubt_is_not_told_of_an_absence_that_was_read_before_its_call)
{
    struct scene s;
    struct asker leader, follower;
    open_scene(&s, true);
    begin_slow_load(&s, &leader);
    relay_stop(&s.relay);
    outlast_trust(&s, change_on_b(&s, "k"));
    join_slow_load(&s, &follower);
    origin_let_go(&s.a.origin);
    asker_join(&leader);
    CHECK_EQ(leader.answer.outcome, NIGH_ABSENT);
    asker_join(&follower);
    CHECK_ANSWER(follower.answer, NIGH_FRESH, "k=2"); /* an absence has no stale form: loads anew */
    relay_go(&s.relay);
    CHECK_WITHIN(WORLD_PATIENCE_MS, caught_up(&s));
    CHECK_STR(ask_fetch(s.a.space, "k", NULL).text, "k=2");
    close_scene(&s);
}

/* All that was accepted a trust time before its call had been applied when it took its ticket. */
TEST(a_follower_that_came_in_trust_gets_its_load_fresh_though_it_lands_in_doubt)
{
    struct scene s;
    struct asker leader, follower;
    open_scene(&s, false);
    begin_slow_load(&s, &leader);
    join_slow_load(&s, &follower);
    relay_stop(&s.relay);
    outlast_trust(&s, change_on_b(&s, "k"));
    origin_let_go(&s.a.origin);
    asker_join(&leader);
    asker_join(&follower);
    CHECK_ANSWER(leader.answer, NIGH_FRESH, "k=1");
    CHECK_ANSWER(follower.answer, NIGH_FRESH, "k=1");
    close_scene(&s);
}

/* Heard again before the landing: floors decide then, as ever. */
static void land_after_the_cut(bool changed, const char *wanted, unsigned loads)
{
    struct scene s;
    struct asker leader, follower;
    open_scene(&s, false);
    begin_slow_load(&s, &leader);
    relay_stop(&s.relay);
    outlast_trust(&s, changed ? change_on_b(&s, "k") : check_now_ms());
    join_slow_load(&s, &follower);
    relay_go(&s.relay);
    CHECK_WITHIN(WORLD_PATIENCE_MS, caught_up(&s));
    origin_let_go(&s.a.origin);
    asker_join(&leader);
    asker_join(&follower);
    CHECK_ANSWER(leader.answer, NIGH_FRESH, "k=1");
    CHECK_ANSWER(follower.answer, NIGH_FRESH, wanted);
    CHECK_EQ(s.a.origin.loads, loads);
    close_scene(&s);
}

TEST(a_follower_whose_node_is_trusted_at_the_landing_shares_the_load)
{
    land_after_the_cut(false, "k=1", 1);
}

TEST(a_follower_whose_node_hears_of_the_change_before_the_landing_loads_anew)
{
    land_after_the_cut(true, "k=2", 2);
}

/* ---- what is stored ---- */

static void fill_both(struct scene *s, const char *key, const char *row)
{
    int64_t fills = world_count(&s->a, "l2_fill");
    CHECK_ANSWER(ask_fetch(s->a.space, key, NULL), NIGH_FRESH, row);
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&s->a, "l2_fill") == fills + 1);
    CHECK_ANSWER(ask_fetch(s->b.space, key, NULL), NIGH_FRESH, row);
}

/* The last call that was told FRESH must have begun within trust of the cut. */
static void watch_hits_turn_stale(struct scene *s, uint64_t cut_ms)
{
    struct answer got;
    uint64_t began_ms;
    do {
        began_ms = check_coarse_ms();
        got = l1_get(&s->a, "k");
        if (got.outcome == NIGH_FRESH && !CHECK_LE(began_ms, cut_ms + TRUST_MS + SLACK_MS))
            break;
    } while (got.outcome == NIGH_FRESH);
    CHECK_ANSWER(got, NIGH_STALE, "k=1");
}

TEST(hits_turn_stale_within_trust_of_the_cut)
{
    struct scene s;
    open_scene(&s, false);
    fill_both(&s, "k", "k=1");
    for (int how = 0; how < 4; how++) {
        relay_stop(&s.relay);
        uint64_t cut_ms = check_now_ms();
        if (how % 2)
            relay_cut(&s.relay);
        CHECK_EQ(nigh_invalidate(s.b.space, "other", 5, NULL), 0);
        watch_hits_turn_stale(&s, cut_ms);
        CHECK_EQ(l1_get(&s.a, "k").outcome, NIGH_STALE); /* and stay so */
        relay_go(&s.relay);
        CHECK_WITHIN(WORLD_PATIENCE_MS, caught_up(&s));
        CHECK_WITHIN(WORLD_PATIENCE_MS, l1_has_fresh(&s.a, "k", "k=1")); /* nothing is missed */
    }
    close_scene(&s);
}

TEST(a_fetch_in_doubt_is_stale_from_l1_and_fresh_only_from_its_own_load)
{
    struct scene s;
    open_scene(&s, false);
    fill_both(&s, "k", "k=1");
    relay_stop(&s.relay);
    outlast_trust(&s, change_on_b(&s, "k"));
    CHECK_ANSWER(ask_fetch(s.a.space, "k", NULL), NIGH_STALE, "k=1");
    CHECK_WITHIN(WORLD_PATIENCE_MS, strcmp(ask_fetch(s.a.space, "k", NULL).text, "k=2") == 0);
    unsigned loads = s.a.origin.loads; /* one refresh in doubt, not one for each call */
    for (int i = 0; i < 50; i++)
        CHECK_ANSWER(ask_fetch(s.a.space, "k", NULL), NIGH_STALE, "k=2");
    CHECK_EQ(s.a.origin.loads, loads);
    CHECK_ANSWER(ask_fetch(s.a.space, "new", NULL), NIGH_FRESH, "new=2");
    close_scene(&s);
}

TEST(after_the_cut_what_was_invalidated_is_gone_and_the_rest_is_fresh)
{
    static const char *const keys[] = {"changed", "kept"};
    struct scene s;
    open_scene(&s, false);
    for (int i = 0; i < 2; i++) {
        char row[32];
        snprintf(row, sizeof(row), "%s=1", keys[i]);
        fill_both(&s, keys[i], row);
    }
    relay_stop(&s.relay);
    outlast_trust(&s, change_on_b(&s, "changed"));
    CHECK_ANSWER(l1_get(&s.a, "changed"), NIGH_STALE, "changed=1");
    CHECK_ANSWER(l1_get(&s.a, "kept"), NIGH_STALE, "kept=1");
    relay_go(&s.relay);
    CHECK_WITHIN(WORLD_PATIENCE_MS, caught_up(&s));
    CHECK_EQ(l1_get(&s.a, "changed").outcome, NIGH_MISS);
    CHECK_WITHIN(WORLD_PATIENCE_MS, l1_has_fresh(&s.a, "kept", "kept=1"));
    CHECK_ANSWER(ask_fetch(s.a.space, "changed", NULL), NIGH_FRESH, "changed=2");

    relay_stop(&s.relay);
    struct nigh_target tag = {.kind = NIGH_TARGET_TAG, .name = "tag", .name_len = 3};
    CHECK_EQ(nigh_invalidate_many(s.b.cache, &tag, 1, NULL), 0);
    outlast_trust(&s, check_now_ms());
    relay_go(&s.relay);
    CHECK_WITHIN(WORLD_PATIENCE_MS, caught_up(&s));
    for (int i = 0; i < 2; i++)
        CHECK_EQ(l1_get(&s.a, keys[i]).outcome, NIGH_MISS);
    close_scene(&s);
}

TEST(an_absence_ends_within_trust_of_the_cut)
{
    struct scene s;
    open_scene(&s, true);
    CHECK_EQ(ask_fetch(s.a.space, "k", NULL).outcome, NIGH_ABSENT);
    CHECK_EQ(l1_get(&s.a, "k").outcome, NIGH_ABSENT);
    relay_stop(&s.relay);
    uint64_t cut_ms = check_now_ms(), began_ms;
    change_on_b(&s, "k");
    do
        began_ms = check_coarse_ms();
    while (l1_get(&s.a, "k").outcome == NIGH_ABSENT &&
           CHECK_LE(began_ms, cut_ms + TRUST_MS + SLACK_MS));
    CHECK_EQ(l1_get(&s.a, "k").outcome, NIGH_MISS);
    CHECK_ANSWER(ask_fetch(s.a.space, "k", NULL), NIGH_FRESH, "k=2");
    relay_go(&s.relay);
    CHECK_WITHIN(WORLD_PATIENCE_MS, caught_up(&s));
    CHECK_EQ(l1_get(&s.a, "k").outcome, NIGH_MISS); /* what doubt had loaded was invalidated, too */
    CHECK_ANSWER(ask_fetch(s.a.space, "k", NULL), NIGH_FRESH, "k=2");
    close_scene(&s);
}

TEST(an_absence_that_nobody_changed_stands_again_after_the_cut)
{
    struct scene s;
    open_scene(&s, true);
    CHECK_EQ(ask_fetch(s.a.space, "k", NULL).outcome, NIGH_ABSENT);
    relay_stop(&s.relay);
    CHECK_EQ(nigh_invalidate(s.b.space, "other", 5, NULL), 0);
    outlast_trust(&s, check_now_ms());
    CHECK_EQ(l1_get(&s.a, "k").outcome, NIGH_MISS);
    relay_go(&s.relay);
    CHECK_WITHIN(WORLD_PATIENCE_MS, caught_up(&s));
    CHECK_WITHIN(WORLD_PATIENCE_MS, l1_get(&s.a, "k").outcome == NIGH_ABSENT);
    CHECK_EQ(s.a.origin.loads, 1);
    close_scene(&s);
}

/* ---- what is written ---- */

static bool b_reads(struct scene *s, const char *key, const char *row)
{
    return strcmp(ask_fetch(s->b.space, key, NULL).text, row) == 0;
}

TEST(writes_of_a_node_that_is_cut_off_are_queued_and_arrive_after_it)
{
    struct scene s;
    open_scene(&s, false);
    fill_both(&s, "invalidated", "invalidated=1");
    fill_both(&s, "written", "written=1");
    fill_both(&s, "put", "put=1");
    for (int how = 0; how < 2; how++) {
        char row[32], text[16];
        relay_stop(&s.relay);
        if (how == 1)
            relay_cut(&s.relay);
        snprintf(text, sizeof(text), "=%u", origin_commit(&s.a.origin));
        CHECK_EQ(nigh_invalidate(s.a.space, "invalidated", 11, NULL), NIGH_QUEUED);
        CHECK_EQ(nigh_write(s.a.space, "written", 7, "x", 1, NULL), NIGH_QUEUED);
        CHECK_EQ(nigh_put(s.a.space, "put", 3, "x", 1, NULL), NIGH_QUEUED);
        CHECK_EQ(nigh_drain(s.a.cache, 1), NIGH_ETIMEDOUT);
        CHECK_EQ(l1_get(&s.a, "invalidated").outcome, NIGH_MISS); /* applied here at once */
        CHECK_EQ(l1_get(&s.a, "written").outcome, NIGH_MISS);
        CHECK_EQ(l1_get(&s.a, "put").outcome, NIGH_MISS);
        outlast_trust(&s, check_now_ms());
        relay_go(&s.relay);
        CHECK_EQ(nigh_drain(s.a.cache, WORLD_PATIENCE_MS), 0);
        CHECK_WITHIN(WORLD_PATIENCE_MS, caught_up(&s));
        snprintf(row, sizeof(row), "invalidated%s", text);
        CHECK_WITHIN(WORLD_PATIENCE_MS, b_reads(&s, "invalidated", row));
        snprintf(row, sizeof(row), "written%s", text);
        CHECK_WITHIN(WORLD_PATIENCE_MS, b_reads(&s, "written", row));
        snprintf(row, sizeof(row), "put%s", text);
        CHECK_WITHIN(WORLD_PATIENCE_MS, b_reads(&s, "put", row));
        CHECK_STR(ask_fetch(s.a.space, "put", NULL).text, row);
    }
    close_scene(&s);
}

TEST(a_tag_queued_while_cut_off_reaches_the_other_node)
{
    struct scene s;
    struct nigh_target tag = {.kind = NIGH_TARGET_TAG, .name = "tag", .name_len = 3};
    open_scene(&s, false);
    fill_both(&s, "k", "k=1");
    relay_stop(&s.relay);
    origin_commit(&s.a.origin);
    CHECK_EQ(nigh_invalidate_many(s.a.cache, &tag, 1, NULL), NIGH_QUEUED);
    CHECK_ANSWER(l1_get(&s.b, "k"), NIGH_FRESH, "k=1"); /* not accepted, so not yet anyone else's */
    relay_go(&s.relay);
    CHECK_EQ(nigh_drain(s.a.cache, WORLD_PATIENCE_MS), 0);
    CHECK_WITHIN(WORLD_PATIENCE_MS, b_reads(&s, "k", "k=2"));
    close_scene(&s);
}
