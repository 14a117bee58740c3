// SPDX-License-Identifier: MIT
// Redis falls silent, and dies, while ten thousand calls are pending on one queue: each completes
// once, with a value or a clear error, and none of them keeps the loop.

#include <stdio.h>
#include <stdlib.h>

#include "support/async.h"

#define CALLS 10000u
#define CALL_MS 5000
#define SLACK_MS 60000 /* for a busy machine; a call that is lost never ends */

static struct redis server;
static struct world w;
static struct nigh_queue *queue;

struct ending {
    unsigned outcomes[64]; /* by outcome + 32 */
    unsigned count;
    bool seen[CALLS];
};

static void open_loop(void)
{
    redis_start(&server, NULL);
    struct nigh_options o = node_options(&server);
    struct nigh_space_options so = NIGH_SPACE_OPTIONS_INIT;
    o.l1_memory = 64u << 20;
    so.error_ttl_ms = NIGH_NONE;
    origin_init(&w.origin);
    world_open_with(&w, &o, &so, &w.origin);
    CHECK_WITHIN(WORLD_PATIENCE_MS, nigh_health(w.cache) == NIGH_FRESH);
    REQUIRE_EQ(nigh_queue_open(w.cache, &queue), 0);
}

static void close_loop(void)
{
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&w, "async") == 0);
    nigh_queue_close(queue);
    world_close(&w);
    redis_stop(&server);
}

/* Every second call is of a key that another asks for, too; every fifth only asks L2. */
static int begin(unsigned i, struct nigh_value *value)
{
    char key[16];
    struct nigh_call call = NIGH_CALL_INIT;
    int len = snprintf(key, sizeof(key), "k%u", i / 2);
    call.deadline_ms = CALL_MS;
    void *arg = (void *)(uintptr_t)i;
    if (i % 5 == 0)
        return nigh_get_async(queue, w.space, key, (size_t)len, &call, arg, value, NULL);
    return nigh_fetch_async(queue, w.space, key, (size_t)len, &call, arg, value, NULL);
}

static void note(struct ending *e, unsigned i, int outcome, struct nigh_value *value)
{
    char row[16];
    REQUIRE(i < CALLS && outcome > -32 && outcome < 32);
    CHECK(!e->seen[i]);
    e->seen[i] = true;
    e->outcomes[outcome + 32]++;
    e->count++;
    int len = snprintf(row, sizeof(row), "k%u=1", i / 2);
    if (outcome == NIGH_FRESH || outcome == NIGH_STALE)
        CHECK_MEM(value->data, value->len, row, (size_t)len);
    nigh_release(value);
}

static void begin_all(struct ending *e)
{
    for (unsigned i = 0; i < CALLS; i++) {
        struct nigh_value value = NIGH_VALUE_INIT;
        int rc = begin(i, &value);
        if (rc != NIGH_PENDING)
            note(e, i, rc, &value);
    }
}

static void poll_all(struct ending *e)
{
    struct nigh_completion done[64];
    uint64_t end_ms = check_now_ms() + CALL_MS + SLACK_MS;
    while (e->count < CALLS && check_now_ms() < end_ms) {
        int n = nigh_queue_poll(queue, done, 64, 100);
        for (int i = 0; i < n; i++)
            note(e, (unsigned)(uintptr_t)done[i].arg, done[i].outcome, &done[i].value);
    }
    CHECK_EQ(e->count, CALLS);
    CHECK_EQ(nigh_queue_poll(queue, done, 64, 0), 0);
}

/* Returns how many ended in a way that a fault explains. */
static unsigned explained(const struct ending *e)
{
    static const int ways[] = {NIGH_FRESH,    NIGH_STALE,  NIGH_MISS,    NIGH_ETIMEDOUT,
                               NIGH_EOFFLINE, NIGH_EREDIS, NIGH_ELOADER, NIGH_EBUSY};
    unsigned count = 0;
    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        unsigned n = e->outcomes[ways[i] + 32];
        count += n;
        if (n)
            check_note("%u x %s", n, nigh_result_name(ways[i]));
    }
    return count;
}

TEST(ten_thousand_pending_calls_survive_the_death_of_redis)
{
    static struct ending e;
    open_loop();
    redis_pause(&server);
    begin_all(&e);
    CHECK_GT(world_count(&w, "async"), CALLS / 10);
    redis_kill(&server);
    poll_all(&e);
    CHECK_EQ(explained(&e), CALLS);
    CHECK_GT(e.outcomes[NIGH_FRESH + 32], 0); /* the origin was there all the time */
    redis_restart(&server, REDIS_EMPTY);
    close_loop();
}

TEST(ten_thousand_pending_calls_end_while_redis_is_silent)
{
    static struct ending e;
    open_loop();
    redis_pause(&server);
    begin_all(&e);
    poll_all(&e);
    CHECK_EQ(explained(&e), CALLS);
    redis_resume(&server);
    close_loop();
}

TEST(ten_thousand_pending_calls_are_dropped_with_their_queue)
{
    static struct ending e;
    open_loop();
    redis_pause(&server);
    begin_all(&e);
    nigh_queue_close(queue);
    redis_resume(&server);
    CHECK_WITHIN(CALL_MS + SLACK_MS, world_count(&w, "async") == 0);
    CHECK_WITHIN(CALL_MS + SLACK_MS, world_count(&w, "flights") == 0);
    REQUIRE_EQ(nigh_queue_open(w.cache, &queue), 0);
    close_loop();
}

TEST(a_cache_closes_with_ten_thousand_pending_calls)
{
    static struct ending e;
    open_loop();
    redis_pause(&server);
    begin_all(&e);
    world_close(&w);
    struct nigh_completion done;
    while (nigh_queue_poll(queue, &done, 1, NIGH_NONE) == 1)
        note(&e, (unsigned)(uintptr_t)done.arg, done.outcome, &done.value);
    CHECK_EQ(e.count, CALLS);
    /* Most are NIGH_ECLOSED; on a machine that takes seconds to begin them, all may be late. */
    nigh_queue_close(queue);
    redis_resume(&server);
    redis_stop(&server);
}
