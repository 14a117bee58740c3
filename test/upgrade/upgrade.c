// SPDX-License-Identifier: MIT
// An upgrade from wire version 1 as it rolls: what nodes of both versions may show meanwhile.
//
// Cases that have to wait for trust do so for many sites (prefixes of one server) at once.

#include <stdlib.h>
#include <string.h>

#include "upgrade/sites.h"

#define DOUBT_LOG "nodes of an older nigh change values"

/* New nodes call a schema so; old ones have "1". */
static const char *const new_schemas[] = {"1", "2"};

/* ---- what new nodes change ---- */

/* The key's own value is told by L1 and by two nodes that have it in Redis only. Each of them hears
 * of the change when its own channel brings it, or stops trusting: in its time, and not in that of
 * the other. */
static void check_obeyed(struct node *first, struct node *second, enum kind kind, unsigned row)
{
    struct node *nodes[] = {first, second};
    bool obeyed = true;
    for (unsigned i = 0; i < 2; i++)
        obeyed = CHECK_WITHIN(BOUND_MS, shows_nowhere(nodes[i], row, 1)) && obeyed;
    for (unsigned i = 0; i < 2; i++)
        obeyed = CHECK(!shows_anywhere(nodes[i], row, 1)) && obeyed; /* and it stays so */
    obeyed = CHECK_WITHIN(PATIENCE_MS, has_fresh(first, "fetch", row, 2)) && obeyed;
    if (!obeyed)
        check_note("after %s by a new node", kind_name(kind));
}

/* With another schema the names of old values are not known to who deletes them: what Redis has of
 * a key stays fresh to old nodes for its lifetime. L1 obeys, and groups do. */
static void check_obeyed_in_l1(struct node *first, enum kind kind, unsigned row)
{
    if (!CHECK_WITHIN(BOUND_MS, !shows_fresh(first, "peek", row, 1)))
        check_note("after %s by a new node with another schema", kind_name(kind));
}

static void new_changes(struct redis *server, const char *prefix, const char *schema)
{
    struct site s;
    struct node first, second, new;
    bool same = strcmp(schema, "1") == 0;
    site_open(&s, server, prefix);
    node_open(&first, &s, BUILD_OLD, "1");
    node_open(&second, &s, BUILD_OLD, "1");
    node_open(&new, &s, BUILD_NEW, schema);
    MUST_COME(is_trusted(&first) && is_trusted(&second) && is_trusted(&new));
    MUST_COME(knows_old_nodes(&s));
    for (unsigned i = 0; i < 2 * KINDS; i++) { /* with and without versions */
        enum kind kind = (enum kind)(i / 2);
        site_commit(&s, i, 1);
        MUST_COME(has_fresh(&first, "fetch", i, 1) && has_fresh(&first, "peek", i, 1) &&
                  has_fresh(&second, "look", i, 1));
        CHECK_EQ(site_change(&s, &new, kind, i, 2), 0);
        if (same || kind >= TAG)
            check_obeyed(&first, &second, kind, i);
        else
            check_obeyed_in_l1(&first, kind, i);
    }
    node_close(&first);
    node_close(&second);
    node_close(&new);
}

TEST(old_nodes_obey_new_ones)
{
    struct redis server;
    redis_start(&server, NULL);
    new_changes(&server, "a", new_schemas[0]);
    new_changes(&server, "b", new_schemas[1]);
    redis_stop(&server);
}

/* ---- what old nodes change ---- */

#define QUIET_ROW 40u /* that only old nodes use */

struct pair {
    struct site site;
    struct node old, new;
    enum kind kind;
    unsigned doubts; /* lines in the log of `new` before */
    uint64_t since_ms, last_ms; /* the old node's changes: without a break since then, and until */
    bool broken; /* there was a break: this machine was too busy */
    bool judged;
};

/* Both have 1, and trust. */
static void pair_open(struct pair *p, struct redis *server, unsigned i)
{
    char prefix[8];
    p->kind = (enum kind)(i % KINDS);
    snprintf(prefix, sizeof(prefix), "p%u", i);
    site_open(&p->site, server, prefix);
    node_open(&p->old, &p->site, BUILD_OLD, "1");
    node_open(&p->new, &p->site, BUILD_NEW, new_schemas[i / KINDS]);
}

static void pair_prime(struct pair *p)
{
    for (unsigned row = 0; row < 2; row++)
        site_commit(&p->site, row, 1);
    MUST_COME(is_trusted(&p->old));
    site_settle(&p->site, &p->new);
    for (unsigned row = 0; row < 2; row++) {
        MUST_COME(has_fresh(&p->old, "fetch", row, 1));
        MUST_COME(has_fresh(&p->new, "fetch", row, 1) && has_fresh(&p->new, "look", row, 1));
    }
    p->doubts = node_logged(&p->new, DOUBT_LOG);
}

/* Said once; in a break it may have trusted, and doubted again. */
static bool check_said_once(struct pair *p)
{
    unsigned said = node_logged(&p->new, DOUBT_LOG) - p->doubts;
    return p->broken ? CHECK_GE(said, 1) : CHECK_EQ(said, 1);
}

static void check_in_doubt(struct pair *p)
{
    bool doubts = CHECK(!is_trusted(&p->new));
    for (unsigned row = 0; row < 2; row++)
        doubts = CHECK(!shows_anywhere(&p->new, row, 1)) && doubts;
    doubts = check_said_once(p) && doubts;
    if (!doubts)
        check_note("%s after %s by an old node", p->new.log_path, kind_name(p->kind));
}

static void check_trusts_again(struct pair *p)
{
    bool trusts = MUST_COME(is_trusted(&p->new));
    for (unsigned row = 0; row < 2; row++) {
        trusts = CHECK(!shows_anywhere(&p->new, row, 1)) && trusts;
        trusts = CHECK_WITHIN(PATIENCE_MS, has_fresh(&p->new, "fetch", row, 2)) && trusts;
        trusts = CHECK_WITHIN(PATIENCE_MS, has_fresh(&p->old, "fetch", row, 2)) && trusts;
    }
    trusts = check_said_once(p) && trusts;
    if (!trusts)
        check_note("%s after %s by an old node", p->new.log_path, kind_name(p->kind));
}

/* Nodes are calm again when nothing has been changed for longer. */
#define BREAK_MS (TRUST_MS / 2)

/* Another change by the old node; judged after the first by which it has gone on long enough. */
static void go_on(struct pair *p)
{
    if (p->judged)
        return;
    site_change(&p->site, &p->old, p->kind, QUIET_ROW, (uint64_t)p->last_ms);
    uint64_t now_ms = check_now_ms();
    if (now_ms > p->last_ms + BREAK_MS) {
        p->since_ms = now_ms;
        p->broken = true;
    }
    p->last_ms = now_ms;
    if (now_ms < p->since_ms + BOUND_MS)
        return;
    check_in_doubt(p);
    p->judged = true;
}

static bool all_judged(struct pair *pairs, unsigned count)
{
    bool all = true;
    for (unsigned i = 0; i < count; i++) {
        go_on(&pairs[i]);
        all = all && pairs[i].judged;
    }
    return all;
}

TEST(new_nodes_doubt_while_old_ones_change)
{
    enum { PAIRS = 2 * KINDS };
    static struct pair pairs[PAIRS];
    struct redis server;
    redis_start(&server, NULL);
    for (unsigned i = 0; i < PAIRS; i++)
        pair_open(&pairs[i], &server, i);
    for (unsigned i = 0; i < PAIRS; i++)
        pair_prime(&pairs[i]);
    for (unsigned i = 0; i < PAIRS; i++)
        for (unsigned row = 0; row < 2; row++)
            CHECK_EQ(site_change(&pairs[i].site, &pairs[i].old, pairs[i].kind, row, 2), 0);
    for (unsigned i = 0; i < PAIRS; i++)
        pairs[i].since_ms = pairs[i].last_ms = check_now_ms();
    /* They go on with something else. */
    CHECK_WITHIN(6 * PATIENCE_MS, all_judged(pairs, PAIRS));
    for (unsigned i = 0; i < PAIRS; i++)
        check_trusts_again(&pairs[i]);
    for (unsigned i = 0; i < PAIRS; i++) {
        node_close(&pairs[i].old);
        node_close(&pairs[i].new);
    }
    redis_stop(&server);
}

/* One change and no more: nobody may miss it. */
TEST(one_change_by_an_old_node_is_enough)
{
    static struct pair pairs[KINDS];
    struct redis server;
    redis_start(&server, NULL);
    for (unsigned i = 0; i < KINDS; i++)
        pair_open(&pairs[i], &server, i);
    for (unsigned i = 0; i < KINDS; i++)
        pair_prime(&pairs[i]);
    for (unsigned i = 0; i < KINDS; i++) {
        site_commit(&pairs[i].site, 1, 2);
        CHECK_EQ(site_change(&pairs[i].site, &pairs[i].old, pairs[i].kind, 0, 2), 0);
        node_close(&pairs[i].old);
    }
    uint64_t end_ms = check_now_ms() + BOUND_MS;
    CHECK_WITHIN(2 * BOUND_MS, check_now_ms() > end_ms);
    for (unsigned i = 0; i < KINDS; i++)
        if (!CHECK(!shows_anywhere(&pairs[i].new, 0, 1)))
            check_note("%s after one %s", pairs[i].new.log_path, kind_name(pairs[i].kind));
    for (unsigned i = 0; i < KINDS; i++) {
        MUST_COME(has_fresh(&pairs[i].new, "fetch", 0, 2));
        node_close(&pairs[i].new);
    }
    redis_stop(&server);
}

/* ---- values ---- */

TEST(they_leave_each_others_values_alone)
{
    enum { NODES = 4, ROWS = 50, MS = 3000 };
    struct redis server;
    struct site s;
    struct node nodes[NODES];
    redis_start(&server, NULL);
    site_open(&s, &server, "v");
    for (unsigned i = 0; i < NODES; i++)
        node_open(&nodes[i], &s, i < NODES / 2 ? BUILD_OLD : BUILD_NEW, "1");
    site_settle(&s, &nodes[NODES - 1]);
    MUST_COME(is_trusted(&nodes[0]) && is_trusted(&nodes[1]));
    MUST_COME(is_trusted(&nodes[2]));
    uint64_t end_ms = check_now_ms() + MS;
    unsigned fresh = 0, reads = 0;
    for (unsigned pass = 0; pass < 2 || check_now_ms() < end_ms; pass++)
        for (unsigned row = 0; row < ROWS; row++)
            for (unsigned i = 0; i < NODES; i++, reads++)
                fresh += has_fresh(&nodes[i], reads % 3 ? "fetch" : "look", row, 0);
    CHECK_GE(fresh + NODES * ROWS, reads); /* a look may come before the first load */
    for (unsigned row = 0; row < ROWS; row++) {
        CHECK_EQ(atomic_load(&s.origin->loads[BUILD_OLD][row]), 1);
        CHECK_EQ(atomic_load(&s.origin->loads[BUILD_NEW][row]), 1);
    }
    for (unsigned i = 0; i < NODES; i++)
        node_close(&nodes[i]);
    redis_stop(&server);
}

/* ---- old nodes go, and come ---- */

/* Calls of one command so far, those of scripts among them. */
static long long calls_of(const struct redis *server, const char *command)
{
    char name[32];
    snprintf(name, sizeof(name), "cmdstat_%s:calls=", command);
    char *text = redis_command(server, "INFO commandstats");
    const char *at = text ? strstr(text, name) : NULL;
    long long calls = at ? atoll(at + strlen(name)) : 0;
    free(text);
    return calls;
}

/* Frames that ten changes publish. */
static long long published(struct site *s, struct node *n)
{
    long long before = calls_of(s->server, "publish");
    for (unsigned i = 0; i < 10; i++)
        CHECK_EQ(node_ask(n, "invalidate k%u", i).outcome, 0);
    return calls_of(s->server, "publish") - before;
}

/* Without old nodes a beat has one cheap look for them, and nothing else is dearer. */
static void check_beats_cheap(struct site *s)
{
    long long beats = calls_of(s->server, "evalsha"), looks = calls_of(s->server, "getrange");
    long long expires = calls_of(s->server, "pexpire"), writes = calls_of(s->server, "setrange");
    MUST_COME(calls_of(s->server, "evalsha") >= beats + 3);
    looks = calls_of(s->server, "getrange") - looks;
    CHECK_LE(looks, 2 * (calls_of(s->server, "evalsha") - beats)); /* of both clocks */
    CHECK_EQ(calls_of(s->server, "pexpire"), expires);
    CHECK_EQ(calls_of(s->server, "setrange"), writes);
}

TEST(old_nodes_go)
{
    struct redis server;
    struct site s;
    struct node old, new;
    redis_start(&server, NULL);
    site_open(&s, &server, "g");
    node_open(&old, &s, BUILD_OLD, "1");
    node_open(&new, &s, BUILD_NEW, "1");
    site_settle(&s, &new);
    node_close(&old);
    CHECK_EQ(published(&s, &new), 20);
    long long left_ms = site_integer(&s, "PTTL %s:!:clk");
    CHECK_GT(left_ms, 86400000 - PATIENCE_MS * 2);
    CHECK_LE(left_ms, 86400000);
    MUST_COME(is_trusted(&new));
    CHECK_EQ(site_integer(&s, "EXISTS %s:!2:!log"), 1);

    char *token = clock_bytes(&s, 32, 39);
    site_redis(&s, "DEL %s:!:clk");
    MUST_COME(!knows_old_nodes(&s));
    char *token_now = clock_bytes(&s, 32, 39);
    CHECK(strcmp(token, token_now) != 0);
    free(token);
    free(token_now);
    CHECK_EQ(published(&s, &new), 10);
    CHECK_EQ(site_integer(&s, "EXISTS %s:!:clk"), 0);
    CHECK_EQ(site_integer(&s, "EXISTS %s:!2:!log"), 0); /* nobody would ever delete it */
    MUST_COME(is_calm(&s));                             /* once more, everything gets stale */
    MUST_COME(is_trusted(&new));
    MUST_COME(has_fresh(&new, "fetch", 20, 0));
    long long resyncs = node_ask(&new, "stat resync").outcome;
    MUST_COME(has_fresh(&new, "look", 20, 0));
    check_beats_cheap(&s);
    MUST_COME(has_fresh(&new, "peek", 20, 0));
    CHECK_EQ(node_ask(&new, "stat resync").outcome, resyncs); /* the trail is whole */
    node_close(&new);
    redis_stop(&server);
}

/* The only new node restarts, and meanwhile old ones change what it has left in Redis. */
TEST(the_first_upgraded_host_restarts)
{
    struct redis server;
    struct site s;
    struct node old, new;
    redis_start(&server, NULL);
    site_open(&s, &server, "c");
    node_open(&old, &s, BUILD_OLD, "1");
    node_open(&new, &s, BUILD_NEW, "1");
    site_settle(&s, &new);
    for (unsigned row = 0; row < KINDS; row++) {
        site_commit(&s, row, 1);
        MUST_COME(has_fresh(&new, "fetch", row, 1) && has_fresh(&new, "look", row, 1));
    }
    node_close(&new);
    for (unsigned row = 0; row < KINDS; row++)
        CHECK_EQ(site_change(&s, &old, (enum kind)row, row, 2), 0);
    uint64_t end_ms = check_now_ms() + BOUND_MS;
    CHECK_WITHIN(2 * BOUND_MS, check_now_ms() > end_ms);
    node_open(&new, &s, BUILD_NEW, "1");
    bool shown = false, trusted = false;
    for (end_ms = check_now_ms() + PATIENCE_MS; !trusted && check_now_ms() < end_ms;) {
        trusted = is_trusted(&new) && is_calm(&s);
        for (unsigned row = 0; row < KINDS; row++) /* a fetch would load it */
            shown = shows_fresh(&new, "look", row, 1) || shown;
    }
    CHECK(!shown);
    for (unsigned row = 0; row < KINDS; row++)
        MUST_COME(has_fresh(&new, "fetch", row, 2));
    node_close(&old);
    node_close(&new);
    redis_stop(&server);
}

/* What an old node left behind in Redis has been changed by new ones since. told: its clock was
 * still there, and new nodes wrote into it; else it is another when the old node comes back. */
static void downgrade(struct redis *server, const char *prefix, bool told)
{
    struct site s;
    struct node old, new;
    site_open(&s, server, prefix);
    node_open(&old, &s, BUILD_OLD, "1");
    MUST_COME(is_trusted(&old)); /* what is loaded before is not for Redis */
    for (unsigned row = 0; row < KINDS; row++) {
        site_commit(&s, row, 1);
        MUST_COME(has_fresh(&old, "fetch", row, 1) && has_fresh(&old, "look", row, 1));
    }
    node_close(&old);
    if (!told)
        site_redis(&s, "DEL %s:!:clk");
    node_open(&new, &s, BUILD_NEW, "1");
    MUST_COME(is_trusted(&new));
    if (told)
        MUST_COME(knows_old_nodes(&s));
    for (unsigned row = 0; row < KINDS; row++)
        CHECK_EQ(site_change(&s, &new, (enum kind)row, row, 2), 0);

    node_open(&old, &s, BUILD_OLD, "1");
    MUST_COME(is_trusted(&old));
    for (unsigned row = 0; row < KINDS; row++) {
        CHECK(!shows_anywhere(&old, row, 1));
        MUST_COME(has_fresh(&old, "fetch", row, 2));
    }
    /* Changed before a beat of the new node may have seen the old one. */
    CHECK_EQ(site_change(&s, &new, INVALIDATE, 0, 3), 0);
    CHECK_WITHIN(BOUND_MS, !shows_fresh(&old, "peek", 0, 2) && !shows_fresh(&old, "look", 0, 2));
    site_settle(&s, &new);
    CHECK_EQ(site_change(&s, &new, INVALIDATE, 1, 3), 0);
    CHECK_WITHIN(BOUND_MS, !shows_fresh(&old, "peek", 1, 2) && !shows_fresh(&old, "look", 1, 2));
    CHECK(!shows_anywhere(&old, 0, 2));
    node_close(&old);
    node_close(&new);
}

TEST(one_host_is_downgraded)
{
    struct redis server;
    redis_start(&server, NULL);
    downgrade(&server, "d", true);
    downgrade(&server, "e", false);
    redis_stop(&server);
}

/* A day is over and an old node lives still: it makes its clock anew. */
TEST(the_old_clock_expires_under_a_living_node)
{
    struct redis server;
    struct site s;
    struct node old, new;
    redis_start(&server, NULL);
    site_open(&s, &server, "x");
    node_open(&old, &s, BUILD_OLD, "1");
    node_open(&new, &s, BUILD_NEW, "1");
    site_settle(&s, &new);
    for (unsigned row = 0; row < 2; row++) {
        site_commit(&s, row, 1);
        MUST_COME(has_fresh(&old, "fetch", row, 1));
        MUST_COME(has_fresh(&new, "fetch", row, 1));
    }
    site_redis(&s, "DEL %s:!:clk");
    CHECK_EQ(site_change(&s, &new, INVALIDATE, 0, 2), 0);
    CHECK_WITHIN(BOUND_MS, !shows_fresh(&old, "peek", 0, 1) && !shows_fresh(&old, "peek", 1, 1));
    CHECK(!shows_anywhere(&old, 0, 1));
    CHECK(!shows_fresh(&old, "look", 1, 1));
    MUST_COME(has_fresh(&old, "fetch", 0, 2));
    MUST_COME(has_fresh(&old, "fetch", 1, 1));
    MUST_COME(site_integer(&s, "PTTL %s:!:clk") > 0);
    site_settle(&s, &new);
    CHECK_EQ(site_change(&s, &new, INVALIDATE, 1, 2), 0);
    CHECK_WITHIN(BOUND_MS, !shows_fresh(&old, "peek", 1, 1));
    CHECK(!shows_anywhere(&old, 1, 1));
    CHECK_EQ(site_change(&s, &old, INVALIDATE, 1, 3), 0);
    CHECK_WITHIN(BOUND_MS, !shows_fresh(&new, "peek", 1, 2));
    node_close(&old);
    node_close(&new);
    redis_stop(&server);
}

/* The old node's value outlives a put of less: unless the node has lost trust about then, for what
 * it stored before is stale to it. */
static bool keeps_its_put(struct site *s, struct node *old, struct node *new, unsigned row)
{
    enum { REFUSED = 6 };
    CHECK_EQ(site_change(s, old, PUT, row, 9), 0);
    CHECK_EQ(node_ask(new, "put k%u 5 5", row).outcome, REFUSED);
    return has_fresh(old, "look", row, 9);
}

/* A version that an old node has put is known to new ones. (Not the other way round.) */
TEST(a_put_below_what_an_old_node_has_put_is_refused)
{
    struct redis server;
    struct site s;
    struct node old, new;
    redis_start(&server, NULL);
    site_open(&s, &server, "n");
    node_open(&old, &s, BUILD_OLD, "1");
    node_open(&new, &s, BUILD_NEW, "1");
    MUST_COME(is_trusted(&old) && is_trusted(&new) && knows_old_nodes(&s));
    unsigned row = 0;
    while (!keeps_its_put(&s, &old, &new, row)) {
        REQUIRE((row += 2) < ORIGIN_ROWS); /* those that have versions */
        MUST_COME(is_trusted(&old));
    }
    CHECK_EQ(site_change(&s, &new, PUT, row, 10), 0);
    CHECK_WITHIN(BOUND_MS, !shows_fresh(&old, "peek", row, 9));
    CHECK(!shows_anywhere(&old, row, 9));
    node_close(&old);
    node_close(&new);
    redis_stop(&server);
}

/* However much they change, who has seen it once looks again at the usual pace. */
TEST(many_changes_by_old_nodes_want_few_beats)
{
    struct redis server;
    struct site s;
    struct node old, new;
    redis_start(&server, NULL);
    site_open(&s, &server, "h");
    node_open(&old, &s, BUILD_OLD, "1");
    node_open(&new, &s, BUILD_NEW, "1");
    site_settle(&s, &new);
    long long beats = node_ask(&new, "stat beat").outcome;
    uint64_t start_ms = check_now_ms();
    for (unsigned i = 0; i < 1000 || check_now_ms() < start_ms + 1000; i++)
        CHECK_EQ(site_change(&s, &old, INVALIDATE, 0, 1), 0);
    beats = node_ask(&new, "stat beat").outcome - beats;
    CHECK_GT(beats, 0);
    CHECK_LE(beats, 5 + 2 * (long long)(check_now_ms() - start_ms) / 1000); /* one a second */
    node_close(&old);
    node_close(&new);
    redis_stop(&server);
}
