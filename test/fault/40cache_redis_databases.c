// SPDX-License-Identifier: MIT
// What others do in the same Redis: an application in another database, whose channels are the
// same, and large changes, which the log must not keep for ever.

#include "support/peer.h"
#include "support/relay.h"

/* ---- another database ---- */

struct databases {
    struct redis server;
    char uri[2][160];
    struct world w[2]; /* of database 0, of database 1, each with its own origin */
};

static void open_databases(struct databases *d)
{
    redis_start(&d->server, NULL);
    for (int i = 0; i < 2; i++) {
        snprintf(d->uri[i], sizeof(d->uri[i]), "%s?db=%d", d->server.uri, i);
        peer_open(&d->w[i], &(struct peer){.uri = d->uri[i]}, NULL);
    }
    atomic_store(&d->w[1].origin.generation, 1000); /* its rows are other ones */
}

static void close_databases(struct databases *d)
{
    world_close(&d->w[0]);
    world_close(&d->w[1]);
    redis_stop(&d->server);
}

TEST(databases_have_values_of_their_own)
{
    struct databases d;
    open_databases(&d);
    for (int turn = 0; turn < 4; turn++) {
        struct world *teller = &d.w[turn % 2], *other = &d.w[!(turn % 2)];
        CHECK(peer_sees_row(teller, &teller->origin, "k"));
        CHECK(peer_sees_row(other, &other->origin, "k"));
        struct peer_row kept = peer_row(&other->origin, "k");
        origin_commit(&teller->origin);
        CHECK_EQ(peer_tell(teller, NIGH_TARGET_KEY, "k"), 0);
        CHECK(peer_sees_row(teller, &teller->origin, "k"));
        CHECK(peer_sees(other, "k", kept.text));
        CHECK_EQ(nigh_put(teller->space, "put", 3, "v", 1, NULL), 0);
        CHECK_EQ(peer_tell(teller, NIGH_TARGET_KEY, "put"), 0);
    }
    CHECK_EQ(d.w[0].origin.loads, 3);
    CHECK_EQ(d.w[1].origin.loads, 3);
    close_databases(&d);
}

/* Not even a frame is heard: none would be of the clock that is followed. */
TEST(one_database_is_not_disturbed_by_the_other)
{
    enum { ROWS = 50 };
    struct databases d;
    struct nigh_target few[3];
    open_databases(&d);
    d.w[0].origin.script = peer_tagged;
    for (int i = 0; i < ROWS; i++) {
        char key[8];
        snprintf(key, sizeof(key), "k%d", i);
        CHECK(peer_sees_row(&d.w[0], &d.w[0].origin, key));
    }
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&d.w[0], "l2_fill") == ROWS);
    int64_t beats = world_count(&d.w[0], "beat"), resyncs = world_count(&d.w[0], "resync");
    int64_t frames = world_count(&d.w[0], "frame"), failed = world_count(&d.w[0], "beat_failed");
    for (int i = 0; i < 3; i++)
        few[i] = (struct nigh_target){.kind = NIGH_TARGET_KEY, .space = d.w[1].space,
                                      .name = "k1", .name_len = 2};
    few[1] = (struct nigh_target){.kind = NIGH_TARGET_TAG, .name = "tag", .name_len = 3};
    few[2] = (struct nigh_target){.kind = NIGH_TARGET_ALL};
    unsigned told = 0;
    while (told < 200 || world_count(&d.w[0], "beat") < beats + 3) {
        char key[8];
        snprintf(key, sizeof(key), "k%d", told++ % ROWS);
        CHECK_EQ(nigh_invalidate_many(d.w[1].cache, few, 3, NULL), 0);
        CHECK(peer_sees_row(&d.w[0], &d.w[0].origin, key));
        check_pause();
    }
    CHECK_EQ(d.w[0].origin.loads, ROWS);
    CHECK_EQ(world_count(&d.w[0], "resync"), resyncs);
    CHECK_EQ(world_count(&d.w[0], "frame"), frames);
    CHECK_EQ(world_count(&d.w[0], "frame_gap"), 0);
    CHECK_EQ(world_count(&d.w[0], "beat_failed"), failed);
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&d.w[1], "sequence") == told); /* it happened */
    close_databases(&d);
}

/* ---- the log ---- */

#define LOG "nigh:!:log"
#define MANY 4096
#define NAME_LEN 250

static char names[MANY][NAME_LEN + 1];

/* Changes `count` keys with names of NAME_LEN, other ones at each turn. */
static void tell_long_names(struct world *w, int turn, int count)
{
    static struct nigh_target targets[MANY];
    for (int i = 0; i < count; i++) {
        int n = snprintf(names[i], sizeof(names[i]), "%d-%d-", turn, i);
        memset(names[i] + n, 'x', (size_t)(NAME_LEN - n));
        targets[i] = (struct nigh_target){.kind = NIGH_TARGET_KEY, .space = w->space,
                                          .name = names[i], .name_len = NAME_LEN};
    }
    int rc = nigh_invalidate_many(w->cache, targets, (size_t)count, NULL);
    CHECK(rc == 0 || rc == NIGH_QUEUED); /* a busy machine lets a connection fall silent */
    CHECK_EQ(nigh_drain(w->cache, WORLD_PATIENCE_MS), 0);
}

static long long log_bytes(const struct redis *server)
{
    return redis_integer(server, "MEMORY USAGE " LOG " SAMPLES 0");
}

static long long log_length(const struct redis *server)
{
    return redis_integer(server, "XLEN " LOG);
}

TEST(a_log_of_large_frames_is_bounded_in_bytes)
{
    static const int items[] = {MANY, 100, 240}; /* 1 MiB, 27 KiB and 64 KiB: of all kinds */
    static const int turns[] = {24, 1000, 300};
    struct redis server;
    struct world w;
    redis_start(&server, NULL);
    peer_open(&w, &(struct peer){.uri = server.uri, .beat_ms = PEER_QUIET_MS}, NULL);
    for (size_t i = 0; i < sizeof(items) / sizeof(*items); i++) {
        for (int turn = 0; turn < turns[i]; turn++)
            tell_long_names(&w, turn, items[i]);
        if (!CHECK_LE(log_bytes(&server), 20 << 20)) /* 24 MiB and more have gone through it */
            check_note("changes of %d keys, %d times", items[i], turns[i]);
    }
    CHECK_GE(log_length(&server), 64); /* it is a log all the same */
    world_close(&w);
    redis_stop(&server);
}

/* The log and the clock after `count` small changes, of which nobody here has heard. */
static void pretend_changes(const struct redis *server, long long count)
{
    static const char script[] =
        "for i = 1, tonumber(ARGV[1]) do "
        "redis.call('XADD', KEYS[2], string.format('%d-0', i), 'f', string.rep('x', 160)) end "
        "redis.call('SETRANGE', KEYS[1], 8, struct.pack('<I8', ARGV[1])) return 1";
    CHECK_EQ(redis_integer(server, "EVAL %s 2 nigh:!2:!clk " LOG " %lld", script, count), 1);
}

TEST(a_log_of_small_frames_keeps_16384_of_them)
{
    enum { PRETENDED = 17000, KEPT = 16384, NODE = 128 };
    struct redis server;
    struct world w;
    redis_start(&server, NULL);
    peer_open(&w, &(struct peer){.uri = server.uri}, NULL);
    pretend_changes(&server, PRETENDED);
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&w, "sequence") == PRETENDED);
    for (int i = 0; i < 200; i++)
        CHECK_EQ(peer_tell(&w, NIGH_TARGET_KEY, "k"), 0);
    CHECK_GE(log_length(&server), KEPT);
    CHECK_LE(log_length(&server), KEPT + NODE);
    world_close(&w);
    redis_stop(&server);
}

/* ---- who has missed something of it ---- */

struct missing {
    struct redis server;
    struct relay wire;
    struct world a;
    struct world b; /* by the wire */
    struct origin *origin;
    int64_t resyncs;
};

static void open_missing(struct missing *m)
{
    redis_start(&m->server, NULL);
    relay_open(&m->wire, &m->server);
    peer_open(&m->a, &(struct peer){.uri = m->server.uri}, NULL);
    m->origin = &m->a.origin;
    peer_open(&m->b, &(struct peer){.uri = m->wire.uri}, m->origin);
}

static void close_missing(struct missing *m)
{
    world_close(&m->a);
    world_close(&m->b);
    relay_close(&m->wire);
    redis_stop(&m->server);
}

/* The key of the last tell_long_names() in the middle, as text. */
static const char *middle_name(int turn, int count)
{
    static char name[NAME_LEN + 1];
    int n = snprintf(name, sizeof(name), "%d-%d-", turn, count / 2);
    memset(name + n, 'x', (size_t)(NAME_LEN - n));
    return name;
}

static struct answer fetch_b(struct missing *m, const char *name)
{
    return ask_fetch(m->b.space, name, NULL);
}

/* The row is longer than what an answer shows: what ends it is told by its length and freshness. */
static int loads_by_b(struct missing *m)
{
    return (int)world_count(&m->b, "load");
}

/* While the wire is dead; what was said meanwhile is lost with its connections. */
static void cut_off(struct missing *m, void (*meanwhile)(struct missing *m))
{
    m->resyncs = world_count(&m->b, "resync");
    relay_stop(&m->wire);
    meanwhile(m);
    relay_cut(&m->wire);
    relay_go(&m->wire);
}

static void tell_one(struct missing *m)
{
    CHECK_EQ(peer_tell(&m->a, NIGH_TARGET_KEY, "k"), 0);
}

static void tell_too_much(struct missing *m)
{
    tell_long_names(&m->a, 0, MANY);
    tell_one(m);
}

TEST(who_missed_a_small_change_learns_it_from_the_log)
{
    struct missing m;
    open_missing(&m);
    CHECK(peer_sees(&m.b, "k", "k=1"));
    CHECK(peer_sees(&m.b, "bystander", "bystander=1"));
    origin_commit(m.origin);
    cut_off(&m, tell_one);
    CHECK_WITHIN(WORLD_PATIENCE_MS, peer_sees(&m.b, "k", "k=2"));
    CHECK_WITHIN(WORLD_PATIENCE_MS, peer_is_ready(&m.b)); /* not merely loaded in doubt */
    CHECK(peer_sees(&m.b, "bystander", "bystander=1"));
    CHECK_EQ(world_count(&m.b, "resync"), m.resyncs);
    close_missing(&m);
}

/* The frame was too large for the log, which has an empty place for it. */
TEST(who_missed_a_change_that_the_log_lost_calls_nothing_fresh_before_it_has_looked)
{
    struct missing m;
    open_missing(&m);
    const char *name = middle_name(0, MANY);
    CHECK_EQ(fetch_b(&m, name).outcome, NIGH_FRESH);
    CHECK_EQ(fetch_b(&m, name).tier, NIGH_TIER_L1);
    CHECK(peer_sees(&m.b, "k", "k=1"));
    int loads = loads_by_b(&m);
    origin_commit(m.origin);
    cut_off(&m, tell_too_much);
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&m.b, "resync") > m.resyncs);
    CHECK_WITHIN(WORLD_PATIENCE_MS, peer_sees(&m.b, "k", "k=2"));
    CHECK_WITHIN(WORLD_PATIENCE_MS, fetch_b(&m, name).outcome == NIGH_FRESH);
    CHECK_GE(loads_by_b(&m), loads + 2); /* both were loaded anew */
    CHECK_EQ(world_count(&m.b, "sequence"), world_count(&m.a, "sequence"));
    close_missing(&m);
}

static void tell_more_than_is_kept(struct missing *m)
{
    tell_one(m);
    for (int turn = 0; turn < 600; turn++) /* 15 MiB, of which 8 are kept */
        tell_long_names(&m->a, turn, 100);
}

TEST(who_missed_more_than_the_log_keeps_calls_nothing_fresh_before_it_has_looked)
{
    struct missing m;
    open_missing(&m);
    CHECK(peer_sees(&m.b, "k", "k=1"));
    origin_commit(m.origin);
    cut_off(&m, tell_more_than_is_kept);
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&m.b, "resync") > m.resyncs);
    CHECK_WITHIN(WORLD_PATIENCE_MS, peer_sees(&m.b, "k", "k=2"));
    close_missing(&m);
}
