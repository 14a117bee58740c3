// SPDX-License-Identifier: MIT
// A space whose values stay out of Redis (space.l2=invalidations), on two nodes: nothing of them is
// there, changes reach both, and each loads for itself.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/async.h"
#include "support/origin.h"

static struct redis server;
static struct world a, b;

static void open_one(struct world *w, struct origin *origin, enum nigh_space_l2 l2,
                     const char *schema)
{
    struct nigh_options o = patient_options(&server);
    o.space.l2 = l2;
    o.space.schema = schema;
    origin_init(&w->origin);
    world_open_with(w, &o, NULL, origin ? origin : &w->origin);
    CHECK_WITHIN(WORLD_PATIENCE_MS, nigh_health(w->cache) == NIGH_FRESH);
}

/* Both before one origin, node a's. */
static void begin(void)
{
    redis_start(&server, NULL);
    open_one(&a, NULL, NIGH_L2_INVALIDATIONS, NULL);
    open_one(&b, &a.origin, NIGH_L2_INVALIDATIONS, NULL);
}

static void end(void)
{
    world_close(&b);
    world_close(&a);
    redis_stop(&server);
}

static bool has_text(struct world *w, const char *key, const char *text)
{
    struct answer got = ask_fetch(w->space, key, NULL);
    return got.outcome == NIGH_FRESH && strcmp(got.text, text) == 0;
}

static int64_t changes_heard(const struct world *w)
{
    return world_count(w, "frame_applied") + world_count(w, "beat_applied");
}

static struct nigh_call call_with(uint64_t version)
{
    struct nigh_call call = NIGH_CALL_INIT;
    call.version = version;
    return call;
}

/* A call of Redis' that a value would need. */
static long calls_of(const char *command)
{
    char *info = redis_command(&server, "INFO commandstats");
    char name[64];
    REQUIRE(info);
    snprintf(name, sizeof(name), "cmdstat_%s:calls=", command);
    const char *at = strstr(info, name);
    long calls = at ? atol(strchr(at, '=') + 1) : 0;
    free(info);
    return calls;
}

static void nothing_is_in_redis(void)
{
    char *names = redis_command(&server, "KEYS nigh:!2:s:*");
    char *leases = redis_command(&server, "KEYS nigh:!2:!lease:*");
    CHECK_STR(names, "");
    CHECK_STR(leases, "");
    free(names);
    free(leases);
    CHECK_EQ(calls_of("get"), 0);
    CHECK_EQ(calls_of("mget"), 0);
    CHECK_EQ(calls_of("set"), 0);
}

static int no_row(struct origin *o, struct nigh_fill *fill)
{
    (void)o;
    return nigh_fill_absent(fill);
}

static void read_in_every_way(struct world *w)
{
    struct nigh_key keys[] = {{"many1", 5}, {"many2", 5}};
    struct nigh_value values[2];
    int outcomes[2];
    CHECK_ANSWER(ask_fetch(w->space, "k", NULL), NIGH_FRESH, "k=1");
    CHECK_EQ(ask_get(w->space, "other", NULL).outcome, NIGH_MISS);
    CHECK_EQ(nigh_get_many(w->space, keys, 2, NULL, values, outcomes), 0);
    CHECK_EQ(outcomes[0], NIGH_MISS);
    CHECK_EQ(outcomes[1], NIGH_MISS);
    atomic_store(&w->origin.script, no_row);
    CHECK_EQ(ask_fetch(w->space, "none", NULL).outcome, NIGH_ABSENT);
    atomic_store(&w->origin.script, NULL);
}

static void read_asynchronously(struct world *w)
{
    struct nigh_queue *queue;
    struct nigh_completion done;
    struct nigh_value value = NIGH_VALUE_INIT;
    REQUIRE_EQ(nigh_queue_open(w->cache, &queue), 0);
    CHECK_EQ(nigh_get_async(queue, w->space, "other", 5, NULL, NULL, &value, NULL), NIGH_MISS);
    CHECK_EQ(nigh_fetch_async(queue, w->space, "later", 5, NULL, NULL, &value, NULL),
             NIGH_PENDING);
    CHECK_WITHIN(WORLD_PATIENCE_MS, nigh_queue_poll(queue, &done, 1, 0) == 1);
    CHECK_EQ(done.outcome, NIGH_FRESH);
    nigh_release(&done.value);
    nigh_queue_close(queue);
}

static void write_in_every_way(struct world *w)
{
    struct nigh_call versioned = call_with(7);
    struct nigh_miss miss;
    struct nigh_call ticket = NIGH_CALL_INIT;
    ticket.miss = &miss;
    CHECK_EQ(nigh_put(w->space, "put", 3, "mine", 4, NULL), 0);
    CHECK_EQ(nigh_put(w->space, "newer", 5, "mine", 4, &versioned), 0);
    CHECK_EQ(nigh_write(w->space, "written", 7, "mine", 4, &versioned), 0);
    CHECK_EQ(nigh_write(w->space, "plain", 5, "mine", 4, NULL), 0);
    CHECK_EQ(ask_get(w->space, "missed", &ticket).outcome, NIGH_MISS);
    CHECK_EQ(nigh_put(w->space, "missed", 6, "mine", 4, &ticket), 0);
    CHECK_EQ(ask_get(w->space, "absent", &ticket).outcome, NIGH_MISS);
    CHECK_EQ(nigh_put_absent(w->space, "absent", 6, &ticket), 0);
    CHECK_EQ(ask_get(w->space, "given back", &ticket).outcome, NIGH_MISS);
    nigh_miss_release(w->space, "given back", 10, &miss);
    const struct nigh_pair pairs[] = {
        {.key = {"pair1", 5}, .value = "mine", .len = 4},
        {.key = {"pair2", 5}, .value = "mine", .len = 4, .version = 7},
        {.key = {"newer", 5}, .value = "older", .len = 5, .version = 6},
    };
    int outcomes[3];
    CHECK_EQ(nigh_put_many(w->space, pairs, 3, NULL, outcomes), 0);
    CHECK_EQ(outcomes[0], 0);
    CHECK_EQ(outcomes[1], 0);
    CHECK_EQ(outcomes[2], NIGH_REFUSED);
    CHECK_ANSWER(ask_get(w->space, "pair1", NULL), NIGH_FRESH, "mine");
    CHECK_ANSWER(ask_get(w->space, "pair2", NULL), NIGH_FRESH, "mine");
    CHECK_ANSWER(ask_get(w->space, "newer", NULL), NIGH_FRESH, "mine");
}

TEST(no_value_and_no_lease_is_in_Redis_whatever_is_called)
{
    begin();
    read_in_every_way(&a);
    read_asynchronously(&a);
    write_in_every_way(&a);
    CHECK_EQ(nigh_drain(a.cache, WORLD_PATIENCE_MS), 0);
    nothing_is_in_redis();
    CHECK_EQ(world_count(&a, "l2_miss") + world_count(&a, "l2_fresh"), 0);
    CHECK_EQ(world_count(&a, "lease_granted") + world_count(&a, "l2_fill"), 0);
    end();
}

TEST(each_process_loads_once)
{
    begin();
    for (int i = 0; i < 3; i++) {
        CHECK_ANSWER(ask_fetch(a.space, "k", NULL), NIGH_FRESH, "k=1");
        CHECK_ANSWER(ask_fetch(b.space, "k", NULL), NIGH_FRESH, "k=1");
    }
    CHECK_EQ(a.origin.loads, 2);
    end();
}

/* ---- changes ---- */

static int tagged(struct origin *o, struct nigh_fill *fill)
{
    nigh_fill_add_tag(fill, "t");
    return origin_answer(o, fill);
}

TEST(an_invalidation_of_any_kind_reaches_the_other_node)
{
    static const char *const rows[] = {"k=1", "k=2", "k=3", "k=4", "k=5"};
    begin();
    const struct nigh_target targets[] = {
        {.kind = NIGH_TARGET_KEY, .space = a.space, .name = "k", .name_len = 1},
        {.kind = NIGH_TARGET_TAG, .name = "t", .name_len = 1},
        {.kind = NIGH_TARGET_SPACE, .space = a.space},
        {.kind = NIGH_TARGET_ALL},
    };
    atomic_store(&a.origin.script, tagged);
    for (int i = 0; i < 4; i++) {
        CHECK_ANSWER(ask_fetch(b.space, "k", NULL), NIGH_FRESH, rows[i]);
        origin_commit(&a.origin);
        CHECK_EQ(nigh_invalidate_many(a.cache, &targets[i], 1, NULL), 0);
        CHECK_ANSWER(ask_fetch(a.space, "k", NULL), NIGH_FRESH, rows[i + 1]);
        CHECK_WITHIN(WORLD_PATIENCE_MS, has_text(&b, "k", rows[i + 1]));
    }
    nothing_is_in_redis();
    end();
}

/* Values of the other node lie there, in a schema of their own. */
TEST(nodes_that_differ_in_it_hear_each_other)
{
    redis_start(&server, NULL);
    open_one(&a, NULL, NIGH_L2_INVALIDATIONS, "1");
    open_one(&b, &a.origin, NIGH_L2_VALUES, "2");
    CHECK_ANSWER(ask_fetch(b.space, "k", NULL), NIGH_FRESH, "k=1");
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&b, "l2_fill") == 1);
    CHECK_ANSWER(ask_fetch(a.space, "k", NULL), NIGH_FRESH, "k=1");
    CHECK_EQ(redis_integer(&server, "EXISTS nigh:!2:s:2:k"), 1);
    CHECK_EQ(redis_integer(&server, "EXISTS nigh:!2:s:1:k"), 0);
    origin_commit(&a.origin);
    CHECK_EQ(nigh_invalidate(a.space, "k", 1, NULL), 0);
    CHECK_EQ(redis_integer(&server, "EXISTS nigh:!2:s:2:k"), 0);
    CHECK_WITHIN(WORLD_PATIENCE_MS, has_text(&b, "k", "k=2"));
    CHECK_ANSWER(ask_fetch(a.space, "k", NULL), NIGH_FRESH, "k=2");
    origin_commit(&a.origin);
    CHECK_EQ(nigh_invalidate(b.space, "k", 1, NULL), 0);
    CHECK_WITHIN(WORLD_PATIENCE_MS, has_text(&a, "k", "k=3"));
    end();
}

/* ---- puts and writes ---- */

TEST(a_put_stays_here_and_takes_the_value_of_others)
{
    begin();
    CHECK_ANSWER(ask_fetch(b.space, "k", NULL), NIGH_FRESH, "k=1");
    origin_commit(&a.origin);
    CHECK_EQ(nigh_put(a.space, "k", 1, "k=2", 3, NULL), 0);
    CHECK_ANSWER(ask_get(a.space, "k", NULL), NIGH_FRESH, "k=2");
    CHECK_WITHIN(WORLD_PATIENCE_MS, has_text(&b, "k", "k=2"));
    CHECK_EQ(a.origin.loads, 2); /* both of node b */
    end();
}

TEST(a_put_with_a_version_gives_way_to_one_as_new)
{
    struct nigh_call five = call_with(5), six = call_with(6);
    begin();
    CHECK_EQ(nigh_put(a.space, "k", 1, "six", 3, &six), 0);
    CHECK_EQ(nigh_put(a.space, "k", 1, "five", 4, &five), NIGH_REFUSED);
    CHECK_EQ(nigh_put(a.space, "k", 1, "again", 5, &six), NIGH_REFUSED);
    CHECK_ANSWER(ask_get(a.space, "k", NULL), NIGH_FRESH, "six");
    CHECK_EQ(nigh_put(b.space, "k", 1, "five", 4, &five), 0); /* it knows of no six */
    CHECK_ANSWER(ask_get(a.space, "k", NULL), NIGH_FRESH, "six");
    end();
}

TEST(a_newer_version_put_elsewhere_takes_an_older_one)
{
    struct nigh_call five = call_with(5), six = call_with(6);
    begin();
    int64_t before = changes_heard(&b);
    CHECK_EQ(nigh_put(a.space, "k", 1, "five", 4, &five), 0);
    CHECK_WITHIN(WORLD_PATIENCE_MS, changes_heard(&b) > before); /* lest it end the next put's */
    CHECK_EQ(nigh_put(b.space, "k", 1, "six", 3, &six), 0);
    CHECK_WITHIN(WORLD_PATIENCE_MS, ask_get(a.space, "k", NULL).outcome == NIGH_MISS);
    CHECK_ANSWER(ask_get(b.space, "k", NULL), NIGH_FRESH, "six");
    end();
}

TEST(a_ticket_is_void_after_a_change_by_the_other)
{
    struct nigh_miss miss;
    struct nigh_call call = NIGH_CALL_INIT;
    call.miss = &miss;
    begin();
    CHECK_EQ(ask_get(a.space, "k", &call).outcome, NIGH_MISS);
    int64_t before = changes_heard(&a);
    CHECK_EQ(nigh_invalidate(b.space, "k", 1, NULL), 0);
    CHECK_WITHIN(WORLD_PATIENCE_MS, changes_heard(&a) > before);
    CHECK_EQ(nigh_put(a.space, "k", 1, "old", 3, &call), NIGH_REFUSED);
    CHECK_EQ(ask_get(a.space, "k", &call).outcome, NIGH_MISS);
    CHECK_EQ(nigh_put(a.space, "k", 1, "new", 3, &call), 0);
    CHECK_ANSWER(ask_get(a.space, "k", NULL), NIGH_FRESH, "new");
    end();
}

TEST(a_write_tells_the_other_and_keeps_a_version)
{
    struct nigh_call call = call_with(9);
    begin();
    CHECK_ANSWER(ask_fetch(b.space, "k", NULL), NIGH_FRESH, "k=1");
    CHECK_EQ(nigh_write(a.space, "k", 1, "k=2", 3, &call), 0);
    CHECK_ANSWER(ask_get(a.space, "k", NULL), NIGH_FRESH, "k=2");
    CHECK_WITHIN(WORLD_PATIENCE_MS, ask_get(b.space, "k", NULL).outcome == NIGH_MISS);
    CHECK_EQ(nigh_write(a.space, "k", 1, "k=3", 3, NULL), 0);
    CHECK_EQ(ask_get(a.space, "k", NULL).outcome, NIGH_MISS); /* in which order nobody knows */
    CHECK_EQ(calls_of("set"), 0); /* no fence */
    end();
}

/* Where nothing makes room in L1, and Redis is given nothing, the value is nowhere. */
TEST(a_put_that_has_no_room_here_says_so)
{
    static char value[20000];
    struct nigh_options o;
    bool one = false, many = false;
    char key[16];
    redis_start(&server, NULL);
    o = patient_options(&server);
    o.space.l2 = NIGH_L2_INVALIDATIONS;
    o.l1_memory = 8u << 20;
    o.l1_policy = NIGH_POLICY_NONE;
    o.l1_shards = 1;
    o.group_slots = 2048;
    o.queue_items = 1024;
    origin_init(&a.origin);
    world_open_with(&a, &o, NULL, &a.origin);
    CHECK_WITHIN(WORLD_PATIENCE_MS, nigh_health(a.cache) == NIGH_FRESH);
    for (int i = 0; i < 4000 && !(one && many); i += 2) {
        size_t len = (size_t)snprintf(key, sizeof(key), "k%d", i);
        int outcome, rc = nigh_put(a.space, key, len, value, sizeof(value), NULL);
        CHECK(rc == 0 || rc == NIGH_EFULL);
        if (rc != 0)
            CHECK_EQ(ask_get(a.space, key, NULL).outcome, NIGH_MISS);
        one = one || rc == NIGH_EFULL;
        len = (size_t)snprintf(key, sizeof(key), "k%d", i + 1);
        const struct nigh_pair pair = {.key = {key, len}, .value = value, .len = sizeof(value)};
        CHECK_EQ(nigh_put_many(a.space, &pair, 1, NULL, &outcome), 0);
        CHECK(outcome == 0 || outcome == NIGH_EFULL);
        if (outcome != 0)
            CHECK_EQ(ask_get(a.space, key, NULL).outcome, NIGH_MISS);
        many = many || outcome == NIGH_EFULL;
    }
    CHECK(one && many);
    world_close(&a);
    redis_stop(&server);
}

/* ---- without Redis ---- */

TEST(without_Redis_a_get_misses_and_a_fetch_loads)
{
    begin();
    redis_kill(&server);
    CHECK_WITHIN(WORLD_PATIENCE_MS, nigh_stats_value(a.cache, NULL, "connected") == 0);
    CHECK_EQ(ask_get(a.space, "k", NULL).outcome, NIGH_MISS);
    CHECK_ANSWER(ask_fetch(a.space, "k", NULL), NIGH_FRESH, "k=1");
    CHECK_EQ(nigh_put(a.space, "k", 1, "mine", 4, NULL), NIGH_QUEUED);
    CHECK_EQ(ask_get(a.space, "k", NULL).outcome, NIGH_MISS); /* not accepted, so not kept */
    end();
}
