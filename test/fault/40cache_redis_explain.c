// SPDX-License-Identifier: MIT
// nigh_explain() with Redis and other nodes: every reason and every word about Redis that there is,
// each produced for real.

#include <stdlib.h>
#include <unistd.h>

#include "base/fault.h"
#include "cache/cache.h"
#include "support/explain.h"
#include "support/origin.h"
#include "support/peer.h"
#include "support/relay.h"

#define LATE_MS 500 /* of answers: later than callers wait, and than the breaker takes for slow */

static struct redis server;
static struct world a, b;

static void begin(const struct nigh_space_options *so)
{
    redis_start(&server, NULL);
    patient_open(&a, &server, NULL, so);
    patient_open(&b, &server, &a.origin, so);
}

static void end(void)
{
    world_close(&b);
    world_close(&a);
    redis_stop(&server);
}

static bool is_where(const struct world *w, const char *key, const char *where)
{
    return explain_has(w->space, key, "redis", where);
}

/* Have a value loaded by b: it is in Redis then, and not in a. */
static void load_in_b(const char *key)
{
    ask_fetch(b.space, key, NULL);
    CHECK_WITHIN(WORLD_PATIENCE_MS, !is_where(&a, key, "redis_none") &&
                                        !is_where(&a, key, "redis_leased"));
}

static int invalidate(struct world *w, enum nigh_target_kind kind, const char *name, uint32_t flags)
{
    struct nigh_target target = {
        .kind = kind, .space = w->space, .name = name, .name_len = strlen(name)};
    struct nigh_call call = call_flagged(flags);
    return nigh_invalidate_many(w->cache, &target, 1, &call);
}

/* ---- what Redis has ---- */

TEST(redis_has_it_or_not_and_who_may_load_it)
{
    begin(NULL);
    CHECK_REASON(a.space, "k", "no_trace", "Redis does not have it");
    CHECK_WHERE(a.space, "k", "redis_none");
    struct asker asker;
    origin_hold(&a.origin);
    asker_start(&asker, b.space, "k", NULL);
    CHECK_WITHIN(WORLD_PATIENCE_MS, atomic_load(&a.origin.held_loads) == 1);
    CHECK_REASON(a.space, "k", "no_trace", "another process has the right to load it");
    CHECK_WHERE(a.space, "k", "redis_leased");
    CHECK_REASON(b.space, "k", "loading", "this process has the right to load it");
    CHECK(explain_says(a.space, "k", "; one that may load waits for whoever has the right to "));
    origin_let_go(&a.origin);
    asker_join(&asker);
    CHECK_WITHIN(WORLD_PATIENCE_MS, is_where(&a, "k", "redis_fresh"));
    CHECK_REASON(a.space, "k", "no_trace", "Redis has it, fresh for");
    CHECK(explain_has(a.space, "k", "get", "NIGH_FRESH"));
    CHECK_EQ(world_count(&a, "l2_fresh"), 0); /* it was not read */
    CHECK_ANSWER(ask_get(a.space, "k", NULL), NIGH_FRESH, "k=1");
    CHECK(explain_says(a.space, "k", "\nRedis      the same, kept for "));
    end();
}

static int absent(struct origin *o, struct nigh_fill *fill)
{
    (void)o;
    return nigh_fill_absent(fill);
}

TEST(redis_knows_that_it_does_not_exist)
{
    begin(NULL);
    a.origin.script = absent;
    load_in_b("k");
    CHECK_WHERE(a.space, "k", "redis_absent");
    CHECK(explain_has(a.space, "k", "get", "NIGH_ABSENT"));
    end();
}

static int zeros(struct origin *o, struct nigh_fill *fill)
{
    static const char bytes[5000];
    (void)o;
    return nigh_fill_value(fill, bytes, sizeof(bytes));
}

TEST(redis_has_it_compressed)
{
    struct nigh_space_options so = NIGH_SPACE_OPTIONS_INIT;
    if (!codec_is_built(CODEC_LZ4))
        return;
    so.compress = NIGH_COMPRESS_LZ4;
    begin(&so);
    a.origin.script = zeros;
    load_in_b("k");
    CHECK_REASON(a.space, "k", "no_trace", "Redis has it, fresh for");
    CHECK(explain_says(a.space, "k", "Redis      5000 B (lz4, "));
    end();
}

/* A writer of b's, while a is asked: nobody may load the key until the commit is told. */
static int explained_while_written(void *arg, const struct nigh_write_op *op)
{
    (void)op;
    CHECK_REASON(a.space, "k", "no_trace", "another process has the right to load it, or is "
                                           "writing it, for ");
    return origin_write(arg, op);
}

TEST(a_key_is_being_written_by_another_process)
{
    struct nigh_space *space;
    struct nigh *cache = NULL;
    begin(NULL);
    struct nigh_options o = patient_options(&server);
    REQUIRE_EQ(nigh_open(&o, &cache), 0);
    REQUIRE_EQ(nigh_space_open(cache, "s", NULL, origin_load, explained_while_written, &a.origin,
                               &space), 0);
    CHECK_WITHIN(WORLD_PATIENCE_MS, nigh_health(cache) == NIGH_FRESH);
    CHECK_GE(nigh_write(space, "k", 1, "v", 1, NULL), 0);
    nigh_close(cache);
    end();
}

TEST(redis_has_what_was_invalidated_with_its_space)
{
    begin(NULL);
    load_in_b("k");
    CHECK_EQ(invalidate(&b, NIGH_TARGET_SPACE, "", NIGH_SOFT), 0);
    CHECK_WITHIN(WORLD_PATIENCE_MS, is_where(&a, "k", "redis_outdated"));
    CHECK(explain_has(a.space, "k", "get", "NIGH_STALE"));
    CHECK_EQ(invalidate(&b, NIGH_TARGET_SPACE, "", 0), 0);
    CHECK_WITHIN(WORLD_PATIENCE_MS, is_where(&a, "k", "redis_gone"));
    CHECK(explain_has(a.space, "k", "get", "NIGH_MISS"));
    const char *why = explain_of(a.space, "k", NIGH_STATS_JSON);
    CHECK(strstr(why, "invalidated since (remembered last: the space was "
                      "invalidated by node "));
    end();
}

/* Whether one and the same explanation says where it is and what that gives: around the end of a
 * lifetime the next one may still find it younger, for each beat tells anew how far the clocks of
 * Redis and of this node are apart, but for the time that it took there. */
static bool is_where_for(const struct world *w, const char *where, const char *call,
                         const char *outcome)
{
    char there[64], gives[64];
    const char *text = explain_of(w->space, "k", NIGH_STATS_JSON);
    snprintf(there, sizeof(there), "\"redis\": \"%s\"", where);
    snprintf(gives, sizeof(gives), "\"%s\": \"%s\"", call, outcome);
    return strstr(text, there) && strstr(text, gives);
}

TEST(redis_has_what_is_stale_and_keeps_what_is_old)
{
    struct nigh_space_options so = NIGH_SPACE_OPTIONS_INIT;
    so.jitter_percent = NIGH_NONE;
    so.soft_ttl_ms = 200;
    so.stale_ms = 60 * 60 * 1000;
    begin(&so);
    load_in_b("k");
    CHECK_WITHIN(WORLD_PATIENCE_MS, is_where_for(&a, "redis_stale", "fetch", "NIGH_STALE"));
    end();
    so.stale_ms = NIGH_NONE;
    so.keep_ms = 60 * 60 * 1000;
    begin(&so);
    load_in_b("k");
    CHECK_WITHIN(WORLD_PATIENCE_MS, is_where_for(&a, "redis_kept", "get", "NIGH_MISS"));
    end();
}

TEST(redis_has_what_nobody_can_read)
{
    begin(NULL);
    free(redis_command(&server, "SET nigh:!2:s:1:k rubbish"));
    CHECK_WHERE(a.space, "k", "redis_foreign");
    CHECK(explain_has(a.space, "k", "get", "NIGH_MISS"));
    CHECK(strstr(explain_of(a.space, "k", NIGH_STATS_TEXT), "under its name (7 B) is another"));
    free(redis_command(&server, "RPUSH nigh:!2:s:1:list other"));
    CHECK_WHERE(a.space, "list", "redis_foreign");
    CHECK(strstr(explain_of(a.space, "list", NIGH_STATS_TEXT), "of another type than a string"));
    free(redis_command(&server, "SET nigh:!2:s:1:later NIGH~later"));
    CHECK_WHERE(a.space, "later", "redis_format");
    load_in_b("copied");
    free(redis_command(&server, "COPY nigh:!2:s:1:copied nigh:!2:s:1:copy"));
    CHECK_WHERE(a.space, "copy", "redis_bad");
    end();
}

#if NIGH_FAULTS
/* It was said to be damaged, and later that Redis gave no answer. (Other threads allocate, too, so
 * it may be theirs that fails.) */
TEST(what_this_process_has_no_memory_for_is_no_fault_of_redis)
{
    begin(NULL);
    load_in_b("k");
    unsigned failed = 0;
    for (uint64_t nth = 1; nth <= 12; nth++) {
        CHECK_WITHIN(WORLD_PATIENCE_MS, is_where(&a, "k", "redis_fresh"));
        fault_arm(FAULT_ALLOC, nth);
        const char *json = explain_of(a.space, "k", NIGH_STATS_JSON);
        fault_arm(FAULT_ALLOC, 0);
        CHECK(!strstr(json, "\"redis_bad\""));
        CHECK(!strstr(json, nigh_strerror(NIGH_ENOMEM)));
        failed += strstr(json, "\"redis_no_memory\"") != NULL;
    }
    CHECK_GT(failed, 0);
    end();
}
#endif

TEST(redis_does_not_hear_of_values)
{
    struct nigh_space_options so = NIGH_SPACE_OPTIONS_INIT;
    so.l2 = NIGH_L2_INVALIDATIONS;
    begin(&so);
    CHECK_WHERE(a.space, "k", "redis_off");
    CHECK(strstr(explain_of(a.space, "k", NIGH_STATS_TEXT), "space.l2 is invalidations"));
    end();
}

/* ---- other nodes ---- */

static void node_of(const struct world *w, char name[5])
{
    const char *at = strstr(explain_of(w->space, "k", NIGH_STATS_JSON), "\"node\": \"");
    memset(name, 0, 5);
    if (CHECK(at))
        memcpy(name, at + strlen("\"node\": \""), 4);
}

TEST(a_key_was_changed_by_another_node_which_is_named)
{
    char name[5], words[64];
    begin(NULL);
    node_of(&b, name);
    ask_fetch(a.space, "k", NULL);
    CHECK_EQ(invalidate(&b, NIGH_TARGET_KEY, "k", 0), 0);
    CHECK_WITHIN(WORLD_PATIENCE_MS, explain_has(a.space, "k", "reason", "changed"));
    snprintf(words, sizeof(words), "by node %s, heard of just now, ", name);
    CHECK_REASON(a.space, "k", "changed", words);
    CHECK_REASON(b.space, "k", "changed", "by this process");
    end();
}

static int tagged(struct origin *o, struct nigh_fill *fill)
{
    CHECK_EQ(nigh_fill_add_tag(fill, "tag"), 0);
    return origin_answer(o, fill);
}

TEST(a_tag_was_invalidated_by_another_node_which_is_named)
{
    char name[5], words[64];
    begin(NULL);
    node_of(&b, name);
    a.origin.script = tagged;
    ask_fetch(a.space, "k", NULL);
    CHECK_EQ(invalidate(&b, NIGH_TARGET_TAG, "tag", 0), 0);
    CHECK_WITHIN(WORLD_PATIENCE_MS, explain_has(a.space, "k", "reason", "invalidated_group"));
    snprintf(words, sizeof(words), "by node %s", name);
    CHECK_REASON(a.space, "k", "invalidated_group", words);
    CHECK_REASON(a.space, "k", "invalidated_group", "Tag \\u0022tag\\u0022");
    end();
}

/* Makes the name of another tag or space that shares the slot of this one. */
static void name_beside(enum wire_kind kind, const char *name, char ret[16])
{
    uint16_t slots[2] = {0, 1};
    for (unsigned i = 0; slots[0] != slots[1]; i++) {
        snprintf(ret, 16, "o%u", i);
        for (int n = 0; n < 2; n++) {
            struct bytes bytes = bytes_of_string(n ? name : ret);
            uint64_t hash = kind == WIRE_TAG ? hash_wire(kind, bytes_of("", 0), bytes)
                                             : hash_wire(kind, bytes, bytes_of("", 0));
            slots[n] = hash_group_slot(kind, hash, a.cache->group_slots);
        }
    }
}

/* Redis has the tags' hashes: where it has the value, whose tag it was is known. */
TEST(a_tag_was_invalidated_that_only_shares_the_slot)
{
    char other[16], words[100];
    begin(NULL);
    name_beside(WIRE_TAG, "tag", other);
    a.origin.script = tagged;
    ask_fetch(a.space, "k", NULL);
    CHECK_WITHIN(WORLD_PATIENCE_MS, peer_exists(&server, "nigh:!2:s:1:k"));
    CHECK_EQ(invalidate(&b, NIGH_TARGET_TAG, other, 0), 0);
    CHECK_WITHIN(WORLD_PATIENCE_MS, explain_has(a.space, "k", "reason", "invalidated_group"));
    snprintf(words, sizeof(words), "Tag \\u0022%s\\u0022 (not its own, but of the same slot) was "
                                   "invalidated by node", other);
    CHECK_REASON(a.space, "k", "invalidated_group", words);
    CHECK(strstr(explain_of(a.space, "k", NIGH_STATS_JSON), "\", \"own\": false"));
    CHECK_EQ(invalidate(&b, NIGH_TARGET_TAG, "tag", 0), 0);
    CHECK_WITHIN(WORLD_PATIENCE_MS,
                 strstr(explain_of(a.space, "k", NIGH_STATS_JSON),
                        "Tag \\u0022tag\\u0022 was invalidated by node"));
    CHECK(strstr(explain_of(a.space, "k", NIGH_STATS_JSON), "\", \"own\": true"));
    free(redis_command(&server, "DEL nigh:!2:s:1:k"));
    CHECK_REASON(a.space, "k", "invalidated_group",
                 "Tag \\u0022tag\\u0022 (its own, or one of the same slot) was");
    CHECK(strstr(explain_of(a.space, "k", NIGH_STATS_JSON), "\", \"own\": null"));
    end();
}

TEST(a_space_was_invalidated_that_only_shares_the_slot)
{
    char other[16], words[100];
    struct nigh_space *space;
    begin(NULL);
    name_beside(WIRE_SPACE, "s", other);
    ask_fetch(a.space, "k", NULL);
    REQUIRE_EQ(nigh_space_open(b.cache, other, NULL, NULL, NULL, NULL, &space), 0);
    struct nigh_target target = {.kind = NIGH_TARGET_SPACE, .space = space};
    CHECK_EQ(nigh_invalidate_many(b.cache, &target, 1, NULL), 0);
    CHECK_WITHIN(WORLD_PATIENCE_MS, explain_has(a.space, "k", "reason", "invalidated_group"));
    snprintf(words, sizeof(words), "Space \\u0022%s\\u0022 (not its own, but of the same slot) was "
                                   "invalidated by node", other);
    CHECK_REASON(a.space, "k", "invalidated_group", words);
    end();
}

TEST(a_put_was_refused)
{
    struct nigh_call call = NIGH_CALL_INIT;
    begin(NULL);
    call.version = 5;
    CHECK_EQ(nigh_put(b.space, "k", 1, "five", 4, &call), 0);
    /* else a may hear of that put after it has noted the refusal of its own */
    CHECK_WITHIN(WORLD_PATIENCE_MS, explain_has(a.space, "k", "reason", "changed"));
    call.version = 3;
    CHECK_EQ(nigh_put(a.space, "k", 1, "three", 5, &call), NIGH_REFUSED);
    CHECK_WITHIN(WORLD_PATIENCE_MS, explain_has(a.space, "k", "reason", "put_refused"));
    CHECK_REASON(a.space, "k", "put_refused", "Redis has it, fresh");
    end();
}

TEST(keys_that_a_node_puts_itself_are_told_among_those_that_change)
{
    char buffer[EXPLAIN_BYTES];
    begin(NULL);
    for (unsigned i = 0; i < 300; i++)
        CHECK_EQ(nigh_put(a.space, "k", 1, "v", 1, NULL), 0);
    CHECK_GT(nigh_hot(a.cache, NULL, NIGH_STATS_JSON, buffer, sizeof(buffer)), 0);
    CHECK(strstr(buffer, "\"changes\": [{\"key\": \"k\""));
    end();
}

TEST(redis_takes_no_ninth_schema)
{
    struct world w[9];
    redis_start(&server, NULL);
    for (unsigned i = 0; i < 9; i++) {
        const char schema[] = {(char)('1' + i), 0};
        struct nigh_space_options so = NIGH_SPACE_OPTIONS_INIT;
        so.schema = schema;
        patient_open(&w[i], &server, i ? &w[0].origin : NULL, &so);
        ask_fetch(w[i].space, "k", NULL);
        if (i < 8)
            CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&w[i], "l2_fill") == 1);
    }
    CHECK_WITHIN(WORLD_PATIENCE_MS, strstr(explain_of(w[8].space, "k", NIGH_STATS_JSON),
                                           "\"schema_refused\": true"));
    CHECK(strstr(explain_of(w[8].space, "k", NIGH_STATS_TEXT), "no values of this schema"));
    CHECK(strstr(explain_of(w[0].space, "k", NIGH_STATS_JSON), "\"schema_refused\": false"));
    for (unsigned i = 9; i-- > 0;)
        world_close(&w[i]);
    redis_stop(&server);
}

/* ---- Redis does not answer ---- */

/* Whether a look has found Redis silent. If this thread is late the breaker has opened before. */
static bool times_out(struct relay *wire)
{
    bool seen = false;
    for (unsigned i = 0; i < 20 && !seen; i++) {
        relay_slow(wire, 0, 0);
        CHECK_WITHIN(WORLD_PATIENCE_MS, is_where(&a, "k", "redis_none"));
        relay_slow(wire, LATE_MS, 0);
        seen = is_where(&a, "k", "redis_error");
    }
    return seen;
}

TEST(redis_is_slow_and_then_not_asked)
{
    struct relay wire;
    redis_start(&server, NULL);
    relay_open(&wire, &server);
    struct nigh_options o = patient_options(&server);
    o.redis_uri = wire.uri;
    o.l2_deadline_ms = 100;
    origin_init(&a.origin);
    world_open_with(&a, &o, NULL, &a.origin);
    CHECK_WITHIN(WORLD_PATIENCE_MS, nigh_health(a.cache) == NIGH_FRESH);
    relay_slow(&wire, LATE_MS, 0);
    CHECK_WITHIN(WORLD_PATIENCE_MS,
                 invalidate(&a, NIGH_TARGET_KEY, "changed", NIGH_BACKGROUND) == NIGH_QUEUED &&
                     is_where(&a, "changed", "redis_covered"));
    CHECK(times_out(&wire));
    CHECK_WITHIN(WORLD_PATIENCE_MS, is_where(&a, "k", "redis_breaker"));
    world_close(&a);
    relay_close(&wire);
    redis_stop(&server);
}

/* Returns how long a span is that follows the words, in seconds; 0: they are not there. */
static double span_behind(const char *text, const char *words)
{
    const char *at = strstr(text, words);
    char *end;
    double span = at ? strtod(at + strlen(words), &end) : 0;
    return at && strncmp(end, " ms", 3) == 0 ? span / 1000 : span;
}

/* A change that was made before trust was lost is within the bound, for that counts from a beat.
 * The reason in the JSON is one line. */
static void check_bound(double made_ago)
{
    const char *text = explain_of(a.space, "k", NIGH_STATS_JSON);
    double bound = span_behind(text, " UTC (as trust came back: at most ");
    double doubt = (double)world_count(&a, "doubt_last_ms") / 1e3;
    CHECK(strstr(text, " after the call)"));
    CHECK(bound >= made_ago);
    CHECK(bound >= doubt + node_options(&server).trust_ms / 1e3);
}

/* A node that was cut off hears of a change as it is back, and dates it by that. */
static bool hears_late(struct relay *wire)
{
    bool seen = false;
    for (unsigned i = 0; i < 20 && !seen; i++) {
        relay_stop(wire);
        CHECK_EQ(invalidate(&b, NIGH_TARGET_KEY, "k", 0), 0);
        uint64_t made_ms = check_now_ms();
        CHECK_WITHIN(WORLD_PATIENCE_MS, nigh_health(a.cache) != NIGH_FRESH);
        double made_ago = (double)(check_now_ms() - made_ms) / 1e3;
        relay_cut(wire);
        relay_go(wire);
        CHECK_WITHIN(WORLD_PATIENCE_MS, nigh_health(a.cache) == NIGH_FRESH);
        seen = explain_says(a.space, "k", " UTC (as trust came back: ");
        if (seen)
            check_bound(made_ago);
    }
    return seen;
}

TEST(a_change_is_dated_by_when_it_was_heard_of)
{
    struct relay wire;
    redis_start(&server, NULL);
    relay_open(&wire, &server);
    struct nigh_options o = node_options(&server);
    o.redis_uri = wire.uri;
    origin_init(&a.origin);
    world_open_with(&a, &o, NULL, &a.origin);
    patient_open(&b, &server, &a.origin, NULL);
    CHECK_WITHIN(WORLD_PATIENCE_MS, nigh_health(a.cache) == NIGH_FRESH);
    CHECK(hears_late(&wire));
    CHECK_REASON(a.space, "k", "changed", ", heard of ");
    world_close(&b);
    world_close(&a);
    relay_close(&wire);
    redis_stop(&server);
}

/* ---- own changes that waited ---- */

#define OUTAGE_MS 1500
#define TICK_MS 270 /* of what L1 remembers of keys */

/* Returns how long ago what follows the words in the JSON was, in ms; -1: they are not there. */
static long ago_of(const struct world *w, const char *key, const char *words)
{
    const char *at = strstr(explain_of(w->space, key, NIGH_STATS_JSON), words);
    const char *ago = at ? strstr(at, "\"ago_ms\": ") : NULL;
    return ago ? strtol(ago + strlen("\"ago_ms\": "), NULL, 10) : -1;
}

/* When a change was made that waited: between the two. */
struct waited {
    uint64_t from_ms, to_ms;
};

static void wait_queued(enum nigh_target_kind kind, const char *name, struct waited *ret)
{
    ret->from_ms = check_now_ms();
    CHECK_EQ(invalidate(&a, kind, name, kind == NIGH_TARGET_KEY ? 0 : NIGH_SOFT), NIGH_QUEUED);
    ret->to_ms = check_now_ms();
}

static void check_dated(const char *words, const struct waited *made)
{
    uint64_t from_ms = check_now_ms();
    long ago = ago_of(&a, "k", words);
    CHECK_GE(ago + TICK_MS, (long)(from_ms - made->to_ms));
    CHECK_LE(ago - TICK_MS, (long)(check_now_ms() - made->from_ms));
}

static void check_dates(const struct waited made[3])
{
    check_dated("\"last\": {\"what\": \"changed\"", &made[0]);
    check_dated("{\"of\": \"tag\"", &made[1]);
    check_dated("{\"of\": \"space\"", &made[2]);
}

/* Whether Redis has them, and they have come back from it. */
static bool are_back(void)
{
    struct coherence_gauges g;
    coherence_gauges_read(a.cache->coherence, &g);
    return g.queued == 0 && g.trusted && g.applied > 0 && g.applied == g.known;
}

/* Changes a key, its tag and its space one after the other while Redis is away. They lie so far
 * apart that none can be taken for another, and come back together. */
static void changes_wait(void (*leave)(struct redis *r), void (*come_back)(struct redis *r))
{
    struct waited made[3];
    redis_start(&server, NULL);
    node_open(&a, &server, NULL, NULL);
    a.origin.script = tagged;
    leave(&server);
    wait_queued(NIGH_TARGET_KEY, "k", &made[0]);
    CHECK_WITHIN(WORLD_PATIENCE_MS, check_now_ms() >= made[0].to_ms + OUTAGE_MS);
    ask_fetch(a.space, "k", NULL);
    wait_queued(NIGH_TARGET_TAG, "tag", &made[1]);
    CHECK_WITHIN(WORLD_PATIENCE_MS, check_now_ms() >= made[1].to_ms + OUTAGE_MS);
    wait_queued(NIGH_TARGET_SPACE, "", &made[2]);
    CHECK_WITHIN(WORLD_PATIENCE_MS, check_now_ms() >= made[2].to_ms + OUTAGE_MS);
    check_dates(made);
    come_back(&server);
    CHECK_WITHIN(WORLD_PATIENCE_MS, are_back());
    ask_fetch(a.space, "k", NULL); /* the key's change took what has the tag */
    check_dates(made);
    world_close(&a);
    redis_stop(&server);
}

static void come_back_empty(struct redis *r)
{
    redis_restart(r, REDIS_EMPTY);
}

TEST(a_change_that_waited_for_a_new_redis_is_dated_by_its_call)
{
    changes_wait(redis_kill, come_back_empty);
}

TEST(a_change_that_waited_for_a_silent_redis_is_dated_by_its_call)
{
    changes_wait(redis_pause, redis_resume);
}

/* Time passes by fake clock, all work is done by ticks. */
TEST(without_own_threads_it_is_dated_by_its_call_too)
{
    redis_start(&server, NULL);
    struct nigh_options o = world_options(&a), node = node_options(&server);
    o.redis_uri = node.redis_uri;
    o.group_slots = node.group_slots;
    o.l1_memory = node.l1_memory;
    origin_init(&a.origin);
    world_open_with(&a, &o, NULL, &a.origin);
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_tick(&a) >= 0 && nigh_health(a.cache) == NIGH_FRESH);
    redis_kill(&server);
    CHECK_EQ(invalidate(&a, NIGH_TARGET_KEY, "k", 0), NIGH_QUEUED);
    CHECK_EQ(invalidate(&a, NIGH_TARGET_SPACE, "", 0), NIGH_QUEUED);
    world_advance(&a, 20000);
    redis_restart(&server, REDIS_EMPTY);
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_tick(&a) >= 0 && are_back());
    CHECK_GE(ago_of(&a, "k", "\"last\": {\"what\": \"changed\""), 20000);
    CHECK_GE(ago_of(&a, "k", "{\"of\": \"space\""), 20000);
    world_close(&a);
    redis_stop(&server);
}

TEST(trust_was_lost_with_redis)
{
    struct nigh_space_options so = NIGH_SPACE_OPTIONS_INIT;
    so.absent_ttl_ms = 60 * 60 * 1000;
    redis_start(&server, NULL);
    node_open(&a, &server, NULL, &so);
    ask_fetch(a.space, "k", NULL);
    a.origin.script = absent;
    ask_fetch(a.space, "absent", NULL);
    a.origin.script = NULL;
    redis_kill(&server);
    CHECK_WITHIN(WORLD_PATIENCE_MS, nigh_health(a.cache) == NIGH_EOFFLINE);
    CHECK_REASON(a.space, "k", "doubt", "ago: Redis is not connected (");
    CHECK(explain_has(a.space, "k", "get", "NIGH_STALE"));
    CHECK_WHERE(a.space, "other", "redis_away");
    CHECK(explain_has(a.space, "other", "get", "NIGH_EOFFLINE"));
    CHECK_REASON(a.space, "absent", "doubt_absent", "does not believe that");
    ask_fetch(a.space, "new", NULL);
    CHECK_REASON(a.space, "new", "learnt", "loaded since trust was lost");
    redis_restart(&server, REDIS_EMPTY);
    CHECK_WITHIN(WORLD_PATIENCE_MS, nigh_health(a.cache) == NIGH_FRESH);
    CHECK_REASON(a.space, "k", "stale_clock", "met another clock in Redis");
    CHECK_REASON(a.space, "absent", "absent_clock", "met another clock in Redis");
    world_close(&a);
    redis_stop(&server);
}

TEST(in_doubt_nothing_is_used_where_doubt_is_a_miss)
{
    redis_start(&server, NULL);
    struct nigh_options o = node_options(&server);
    o.on_doubt = NIGH_DOUBT_MISS;
    origin_init(&a.origin);
    world_open_with(&a, &o, NULL, &a.origin);
    CHECK_WITHIN(WORLD_PATIENCE_MS, nigh_health(a.cache) == NIGH_FRESH);
    ask_fetch(a.space, "k", NULL);
    redis_kill(&server);
    CHECK_WITHIN(WORLD_PATIENCE_MS, nigh_health(a.cache) == NIGH_EOFFLINE);
    CHECK_REASON(a.space, "k", "doubt_miss", "coherence.on_doubt is miss");
    world_close(&a);
    redis_stop(&server);
}

/* A node that was stopped finds trust over before its next beat is answered. */
TEST(redis_answers_and_is_not_trusted_yet)
{
    redis_start(&server, NULL);
    patient_open(&b, &server, NULL, NULL);
    struct nigh_options o = world_options(&a);
    struct nigh_options node = node_options(&server);
    o.redis_uri = node.redis_uri;
    o.group_slots = node.group_slots;
    o.l1_memory = node.l1_memory;
    origin_init(&a.origin);
    world_open_with(&a, &o, NULL, &a.origin);
    CHECK_WITHIN(WORLD_PATIENCE_MS,
                 world_tick(&a) >= 0 && nigh_health(a.cache) == NIGH_FRESH);
    ask_fetch(b.space, "k", NULL);
    CHECK_WITHIN(WORLD_PATIENCE_MS, peer_exists(&server, "nigh:!2:s:1:k"));
    bool seen = false;
    for (unsigned i = 0; i < 100 && !seen; i++) {
        world_advance(&a, 4000);
        seen = is_where(&a, "k", "redis_doubt");
        CHECK_WITHIN(WORLD_PATIENCE_MS,
                     world_tick(&a) >= 0 && nigh_health(a.cache) == NIGH_FRESH);
    }
    CHECK(seen);
    world_close(&a);
    world_close(&b);
    redis_stop(&server);
}

TEST(group_slots_are_not_those_in_redis)
{
    redis_start(&server, NULL);
    patient_open(&b, &server, NULL, NULL);
    struct nigh_options o = patient_options(&server);
    o.group_slots = 4096;
    o.log_to = NIGH_LOG_TO_NONE;
    origin_init(&a.origin);
    world_open_with(&a, &o, NULL, &a.origin);
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&a, "group_slots_differ") > 0);
    ask_fetch(a.space, "k", NULL);
    CHECK(strstr(explain_of(a.space, "k", NIGH_STATS_TEXT), "group_slots is 4096 here but 2048"));
    CHECK(strstr(explain_of(a.space, "k", NIGH_STATS_TEXT), "has not been won since the start"));
    world_close(&a);
    world_close(&b);
    redis_stop(&server);
}
