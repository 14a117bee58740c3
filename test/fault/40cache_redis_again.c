// SPDX-License-Identifier: MIT
// A clock met again: clients move to a promoted replica and back, an older copy of the data comes
// to life in place, a server restarts from its file. What was stamped before is never fresh again,
// on nodes that were there and on new ones.

#include "support/peer.h"
#include "support/relay.h"

#define NODES 3
#define CLK "nigh:!2:!clk"

/* One server, and nodes that reach it by a wire of their own. */
struct fleet {
    struct redis server;
    struct relay wire[NODES];
    struct world node[NODES];
    struct origin *origin;
};

static void fleet_begin(struct fleet *f, bool tcp)
{
    if (tcp)
        redis_start_tcp(&f->server, peer_server_args);
    else
        redis_start(&f->server, peer_server_args);
    f->origin = &f->node[0].origin;
    for (int i = 0; i < NODES; i++) {
        relay_open(&f->wire[i], &f->server);
        peer_open(&f->node[i], &(struct peer){.uri = f->wire[i].uri}, i ? f->origin : NULL);
    }
}

static void fleet_end(struct fleet *f)
{
    for (int i = 0; i < NODES; i++) {
        world_close(&f->node[i]);
        relay_close(&f->wire[i]);
    }
    redis_stop(&f->server);
}

static void run(const struct redis *server, const char *command)
{
    char *reply = redis_command(server, command);
    if (!CHECK(reply && reply[0] != '('))
        check_note("%s: %s", command, reply ? reply : "no answer");
    free(reply);
}

static int64_t resyncs(const struct fleet *f, int node)
{
    return world_count(&f->node[node], "resync");
}

struct moment {
    int64_t resyncs[NODES];
};

static struct moment now(const struct fleet *f)
{
    struct moment m;
    for (int i = 0; i < NODES; i++)
        m.resyncs[i] = resyncs(f, i);
    return m;
}

/* Each follows a clock that it did not follow at that moment, or the same one anew. */
static void all_notice(const struct fleet *f, struct moment since)
{
    for (int i = 0; i < NODES; i++)
        if (!CHECK_WITHIN(WORLD_PATIENCE_MS,
                          resyncs(f, i) > since.resyncs[i] && peer_is_ready(&f->node[i])))
            check_note("node %d", i);
}

/* All have the key as the origin has it; Redis, too. */
static void all_have(struct fleet *f, const char *key)
{
    for (int i = 0; i < NODES; i++)
        CHECK_WITHIN(WORLD_PATIENCE_MS, peer_sees_row(&f->node[i], f->origin, key));
    CHECK_WITHIN(WORLD_PATIENCE_MS, redis_integer(&f->server, "EXISTS nigh:!2:s:1:%s", key) == 1);
}

/* Nobody goes on calling the key's old value fresh, nor does who comes anew. */
static void nobody_has_old(struct fleet *f, const char *key)
{
    struct world fresh_node;
    for (int i = 0; i < NODES; i++)
        if (!CHECK_WITHIN(WORLD_PATIENCE_MS, peer_sees_row(&f->node[i], f->origin, key)))
            check_note("node %d of key %s", i, key);
    peer_open(&fresh_node, &(struct peer){.uri = f->server.uri}, f->origin);
    struct answer got = ask_fetch(fresh_node.space, key, NULL);
    CHECK(got.outcome != NIGH_FRESH || strcmp(got.text, peer_row(f->origin, key).text) == 0);
    world_close(&fresh_node);
}

/* What Redis has of the key is not called fresh by a node that has nothing of it in L1. */
static void nobody_takes(struct fleet *f, const char *key, const char *old)
{
    for (int i = 0; i < NODES; i++) {
        struct answer got = ask_get(f->node[i].space, key, NULL);
        if (!CHECK(got.outcome != NIGH_FRESH || strcmp(got.text, old) != 0))
            check_note("node %d of key %s", i, key);
    }
}

static bool gets(struct world *w, const char *key, const char *text)
{
    struct answer got = ask_get(w->space, key, NULL);
    return got.outcome == NIGH_FRESH && strcmp(got.text, text) == 0;
}

/* Changes reach everybody: nobody is left behind on another clock. */
static void all_are_in_touch(struct fleet *f)
{
    static unsigned touched;
    for (int i = 0; i < NODES; i++)
        CHECK_WITHIN(WORLD_PATIENCE_MS, peer_is_ready(&f->node[i]));
    for (int i = 0; i < NODES; i++) {
        char text[24];
        snprintf(text, sizeof(text), "touch %u", ++touched);
        CHECK_EQ(nigh_put(f->node[i].space, "touch", 5, text, strlen(text), NULL), 0);
        for (int k = 0; k < NODES; k++)
            if (!CHECK_WITHIN(WORLD_PATIENCE_MS, gets(&f->node[k], "touch", text)))
                check_note("node %d does not hear node %d", k, i);
    }
}

/* The key is changed by a node that is gone when this returns: nobody will tell it again. */
static void change_and_go(const struct redis *server, struct origin *origin, const char *key)
{
    struct world passing;
    peer_open(&passing, &(struct peer){.uri = server->uri}, origin);
    CHECK_EQ(peer_tell(&passing, NIGH_TARGET_KEY, key), 0);
    world_close(&passing);
}

/* ---- to another server, and back ---- */

static bool is_synced(const struct redis *replica, const struct redis *master)
{
    char *state = redis_command(replica, "INFO replication");
    bool up = state && strstr(state, "master_link_status:up");
    free(state);
    char *here = redis_command(replica, "DEBUG DIGEST");
    char *there = redis_command(master, "DEBUG DIGEST");
    bool same = here && there && strcmp(here, there) == 0;
    free(here);
    free(there);
    return up && same;
}

static void replica_start(struct redis *replica, const struct redis *master)
{
    redis_start(replica, peer_server_args);
    free(redis_command(replica, "REPLICAOF 127.0.0.1 %d", master->port));
    REQUIRE(CHECK_WITHIN(WORLD_PATIENCE_MS, is_synced(replica, master)));
}

static void move_all(struct fleet *f, const struct redis *server)
{
    struct moment before = now(f);
    for (int i = 0; i < NODES; i++)
        relay_lead(&f->wire[i], server);
    all_notice(f, before);
}

TEST(a_server_that_was_left_is_not_believed_when_it_is_met_again)
{
    struct fleet f;
    struct redis replica;
    fleet_begin(&f, true);
    all_have(&f, "k");
    all_have(&f, "t");
    replica_start(&replica, &f.server);
    run(&replica, "REPLICAOF NO ONE");
    move_all(&f, &replica);
    origin_commit(f.origin);
    change_and_go(&replica, f.origin, "k");
    change_and_go(&replica, f.origin, "t");
    for (int i = 0; i < NODES; i++)
        CHECK_WITHIN(WORLD_PATIENCE_MS, peer_sees_row(&f.node[i], f.origin, "k"));
    move_all(&f, &f.server); /* which has both as they were, and its clock */
    CHECK(peer_exists(&f.server, "nigh:!2:s:1:t"));
    nobody_takes(&f, "t", "t=1");
    nobody_takes(&f, "k", "k=1");
    nobody_has_old(&f, "k");
    nobody_has_old(&f, "t");
    all_are_in_touch(&f);
    /* And once more to the other, which has "k" as it was at the first visit. */
    origin_commit(f.origin);
    change_and_go(&f.server, f.origin, "k");
    for (int i = 0; i < NODES; i++)
        CHECK_WITHIN(WORLD_PATIENCE_MS, peer_sees_row(&f.node[i], f.origin, "k"));
    CHECK(peer_exists(&replica, "nigh:!2:s:1:k"));
    move_all(&f, &replica);
    nobody_takes(&f, "k", "k=2");
    nobody_has_old(&f, "k");
    all_are_in_touch(&f);
    fleet_end(&f);
    redis_stop(&replica);
}

/* A node that stays where it is does not take the others with it. */
TEST(one_node_that_comes_back_makes_the_clock_another_for_all)
{
    struct fleet f;
    struct redis replica;
    fleet_begin(&f, true);
    all_have(&f, "k");
    replica_start(&replica, &f.server);
    run(&replica, "REPLICAOF NO ONE");
    int64_t before = resyncs(&f, 0), stayed = resyncs(&f, 1);
    relay_lead(&f.wire[0], &replica);
    CHECK_WITHIN(WORLD_PATIENCE_MS, resyncs(&f, 0) > before && peer_is_ready(&f.node[0]));
    CHECK_EQ(resyncs(&f, 1), stayed);
    relay_lead(&f.wire[0], &f.server);
    CHECK_WITHIN(WORLD_PATIENCE_MS, resyncs(&f, 0) > before + 1 && peer_is_ready(&f.node[0]));
    for (int i = 1; i < NODES; i++)
        CHECK_WITHIN(WORLD_PATIENCE_MS, resyncs(&f, i) > stayed);
    all_are_in_touch(&f);
    fleet_end(&f);
    redis_stop(&replica);
}

/* ---- an older copy, in place ---- */

/* What an older copy knows nothing of: "k" has another row, and `more` others were changed. */
static void change_some(struct fleet *f, int more)
{
    for (int i = 0; i < more; i++) {
        char key[16];
        snprintf(key, sizeof(key), "other%d", i);
        CHECK_EQ(peer_tell(&f->node[i % NODES], NIGH_TARGET_KEY, key), 0);
    }
    origin_commit(f->origin);
    change_and_go(&f->server, f->origin, "k");
    for (int i = 0; i < NODES; i++)
        CHECK_WITHIN(WORLD_PATIENCE_MS, peer_sees_row(&f->node[i], f->origin, "k"));
}

TEST(a_database_that_is_swapped_back_is_not_believed)
{
    struct fleet f;
    fleet_begin(&f, false);
    all_have(&f, "k");
    for (int round = 0; round < 2; round++) {
        struct moment before = now(&f);
        run(&f.server, "SWAPDB 0 1");
        all_notice(&f, before);
        origin_commit(f.origin);
        change_and_go(&f.server, f.origin, "k");
        for (int i = 0; i < NODES; i++)
            CHECK_WITHIN(WORLD_PATIENCE_MS, peer_sees_row(&f.node[i], f.origin, "k"));
        before = now(&f);
        run(&f.server, "SWAPDB 0 1");
        all_notice(&f, before);
        nobody_has_old(&f, "k");
        all_are_in_touch(&f);
        all_have(&f, "k");
    }
    fleet_end(&f);
}

TEST(a_reload_of_an_older_file_is_noticed)
{
    static const int changes[] = {0, 1, 40};
    struct fleet f;
    fleet_begin(&f, false);
    for (size_t i = 0; i < sizeof(changes) / sizeof(*changes); i++) {
        all_have(&f, "k");
        redis_save(&f.server);
        change_some(&f, changes[i]);
        struct moment before = now(&f);
        run(&f.server, "DEBUG RELOAD NOSAVE");
        all_notice(&f, before);
        nobody_has_old(&f, "k");
        all_are_in_touch(&f);
    }
    fleet_end(&f);
}

/* All nodes see the older copy in the same moment, and each wants the clock to be another. */
TEST(many_nodes_renew_a_clock_once)
{
    struct fleet f;
    fleet_begin(&f, false);
    all_have(&f, "k");
    redis_save(&f.server);
    change_some(&f, 0); /* by none of them, so that they have nothing to tell again */
    struct moment before = now(&f);
    long long renewals = peer_commands(&f.server, "setrange");
    run(&f.server, "DEBUG RELOAD NOSAVE");
    redis_pause(&f.server);
    for (int i = 0; i < NODES; i++)
        CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&f.node[i], "in_flight") > 0);
    redis_resume(&f.server);
    all_notice(&f, before);
    int64_t beats[NODES];
    for (int i = 0; i < NODES; i++)
        beats[i] = world_count(&f.node[i], "beat");
    for (int i = 0; i < NODES; i++)
        CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&f.node[i], "beat") >= beats[i] + 2);
    CHECK_EQ(peer_commands(&f.server, "setrange") - renewals, 1); /* beats write none */
    nobody_has_old(&f, "k");
    all_are_in_touch(&f);
    fleet_end(&f);
}

/*
 * The copy has grown beyond what it had before anybody who knew the old history looked: by changes
 * of a node that did not. `lost`: the nodes that knew it hear of those changes only by their beats.
 */
static void outgrow(struct fleet *f, int more, bool lost)
{
    struct world newcomer;
    all_have(f, "k");
    redis_save(&f->server);
    change_some(f, 4); /* five positions, that of "k" the last */
    struct moment before = now(f);
    for (int i = 0; i < NODES; i++)
        relay_stop(&f->wire[i]);
    run(&f->server, "DEBUG RELOAD NOSAVE");
    peer_open(&newcomer, &(struct peer){.uri = f->server.uri}, f->origin);
    for (int i = 0; i < 5 + more; i++)
        CHECK_EQ(peer_tell(&newcomer, NIGH_TARGET_KEY, "unrelated"), 0);
    for (int i = 0; i < NODES; i++) {
        if (lost)
            relay_cut(&f->wire[i]);
        relay_go(&f->wire[i]);
    }
    all_notice(f, before);
    nobody_has_old(f, "k");
    CHECK_WITHIN(WORLD_PATIENCE_MS, peer_sees_row(&newcomer, f->origin, "k"));
    all_are_in_touch(f);
    world_close(&newcomer);
}

TEST(an_older_copy_that_has_grown_again_is_another_history)
{
    struct fleet f;
    fleet_begin(&f, false);
    for (int lost = 0; lost < 2; lost++) {
        outgrow(&f, 0, lost); /* as long as the old one */
        outgrow(&f, 1, lost);
        outgrow(&f, 30, lost);
    }
    fleet_end(&f);
}

/* A node that beats once in a minute: its own change is the first that it hears of the copy. The
 * frame of it comes at the same time, hence more than once. */
TEST(the_own_change_of_a_node_tells_it_that_the_history_is_another)
{
    struct redis server;
    struct relay wire;
    struct world quiet, anew;
    redis_start(&server, peer_server_args);
    relay_open(&wire, &server);
    peer_open(&quiet, &(struct peer){.uri = wire.uri, .beat_ms = PEER_QUIET_MS}, NULL);
    struct origin *origin = &quiet.origin;
    for (int round = 0; round < 8; round++) {
        CHECK_WITHIN(WORLD_PATIENCE_MS, peer_sees_row(&quiet, origin, "k"));
        CHECK_WITHIN(WORLD_PATIENCE_MS, peer_exists(&server, "nigh:!2:s:1:k"));
        struct peer_row old = peer_row(origin, "k");
        redis_save(&server);
        origin_commit(origin);
        change_and_go(&server, origin, "k");
        CHECK_WITHIN(WORLD_PATIENCE_MS, peer_sees_row(&quiet, origin, "k"));
        int64_t before = world_count(&quiet, "resync");
        relay_stop(&wire);
        run(&server, "DEBUG RELOAD NOSAVE");
        change_and_go(&server, origin, "unrelated");
        relay_go(&wire);
        int rc = peer_tell(&quiet, NIGH_TARGET_KEY, "mine");
        CHECK(rc == 0 || rc == NIGH_QUEUED);
        if (!CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&quiet, "resync") > before))
            check_note("round %d", round);
        peer_open(&anew, &(struct peer){.uri = server.uri}, origin);
        struct answer got = ask_fetch(anew.space, "k", NULL);
        CHECK(got.outcome != NIGH_FRESH || strcmp(got.text, old.text) != 0);
        world_close(&anew);
    }
    world_close(&quiet);
    relay_close(&wire);
    redis_stop(&server);
}

TEST(an_emptied_server_is_another_each_time)
{
    struct fleet f;
    fleet_begin(&f, false);
    for (int round = 0; round < 3; round++) {
        all_have(&f, "k");
        origin_commit(f.origin);
        struct moment before = now(&f);
        run(&f.server, "FLUSHALL");
        int rc = peer_tell(&f.node[round], NIGH_TARGET_KEY, "k"); /* before any beat, mostly */
        CHECK(rc == 0 || rc == NIGH_QUEUED);
        all_notice(&f, before);
        nobody_has_old(&f, "k");
        all_are_in_touch(&f);
    }
    fleet_end(&f);
}

TEST(a_restart_from_an_older_file_gives_no_old_value_as_fresh)
{
    struct fleet f;
    fleet_begin(&f, false);
    all_have(&f, "k");
    redis_save(&f.server);
    for (int round = 0; round < 2; round++) { /* from the same file, twice */
        change_some(&f, 3);
        struct moment before = now(&f);
        redis_restart(&f.server, REDIS_SAVED);
        all_notice(&f, before);
        nobody_has_old(&f, "k");
        all_are_in_touch(&f);
        all_have(&f, "k");
    }
    fleet_end(&f);
}
