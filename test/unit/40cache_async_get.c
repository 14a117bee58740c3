// SPDX-License-Identifier: MIT
// Reading L2 without waiting, before a real Redis: what it had, a ticket for a put, and that the
// lease of a ticket which nobody got goes back. And calls that want no answer at all.

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#include "cache/cache.h"
#include "support/async.h"

#define SOON_MS WORLD_PATIENCE_MS
#define NOW 0

static struct redis server;
static struct world a, b; /* two nodes in front of a's origin */
static struct nigh_queue *queue; /* b's */

static void open_nodes(void)
{
    lasting_nodes_open(&a, &b, &server, 4 * SOON_MS);
    REQUIRE_EQ(nigh_queue_open(b.cache, &queue), 0);
}

static void close_nodes(void)
{
    nigh_queue_close(queue);
    nodes_close(&a, &b, &server);
}

#define TEST_NODES(name) TEST_BETWEEN(open_nodes, close_nodes, name)

static struct answer begin_get(const char *key, const struct nigh_call *call, uint64_t *ret_id)
{
    struct nigh_value value = NIGH_VALUE_INIT;
    int rc = nigh_get_async(queue, b.space, key, strlen(key), call, (void *)42, &value, ret_id);
    return answer_of(rc, &value);
}

static uint64_t pend(const char *key, const struct nigh_call *call)
{
    uint64_t id = 0;
    CHECK_EQ(begin_get(key, call, &id).outcome, NIGH_PENDING);
    CHECK_NE(id, 0);
    return id;
}

static bool is_leased(const char *key)
{
    return redis_integer(&server, "EXISTS nigh:!2:!lease:s:%s", key) == 1;
}

static struct nigh_call with(struct nigh_miss *miss)
{
    struct nigh_call call = NIGH_CALL_INIT;
    call.miss = miss;
    return call;
}

static struct nigh_call flagged(uint32_t flags)
{
    struct nigh_call call = NIGH_CALL_INIT;
    call.flags = flags;
    return call;
}

static void fill_l2(const char *key)
{
    int64_t fills = world_count(&a, "l2_fill");
    CHECK_EQ(ask_fetch(a.space, key, NULL).outcome, NIGH_FRESH);
    CHECK_WITHIN(SOON_MS, world_count(&a, "l2_fill") == fills + 1);
}

/* ---- get ---- */

TEST_NODES(what_l2_has_completes_the_call_and_enters_l1)
{
    fill_l2("k");
    uint64_t id = pend("k", NULL);
    struct ended e = poll_one(queue, SOON_MS);
    CHECK_ANSWER(e.answer, NIGH_FRESH, "k=1");
    CHECK_EQ(e.answer.tier, NIGH_TIER_L2);
    CHECK_EQ(e.id, id);
    CHECK_EQ(e.arg, 42);
    CHECK_ANSWER(begin_get("k", NULL, NULL), NIGH_FRESH, "k=1");
    CHECK_EQ(a.origin.loads, 1);
}

TEST_NODES(what_nobody_has_completes_as_a_miss_and_is_not_loaded)
{
    pend("k", NULL);
    CHECK_EQ(poll_one(queue, SOON_MS).answer.outcome, NIGH_MISS);
    CHECK_EQ(poll_one(queue, NOW).polled, 0);
    CHECK_EQ(a.origin.loads, 0);
    CHECK(!is_leased("k"));
}

TEST_NODES(a_miss_brings_a_ticket_when_it_is_polled)
{
    struct nigh_miss miss = NIGH_MISS_INIT;
    struct nigh_call call = with(&miss);
    pend("k", &call);
    struct pollfd p = {.fd = nigh_queue_fd(queue), .events = POLLIN};
    CHECK_WITHIN(SOON_MS, poll(&p, 1, 0) == 1);
    CHECK_EQ(miss.token, 0); /* not before it is handed out */
    CHECK_EQ(poll_one(queue, SOON_MS).answer.outcome, NIGH_MISS);
    CHECK_NE(miss.token, 0);
    CHECK(is_leased("k"));
    CHECK_EQ(nigh_put(b.space, "k", 1, "row", 3, &call), 0);
    CHECK_WITHIN(SOON_MS, !is_leased("k"));
    CHECK_ANSWER(ask_get(a.space, "k", NULL), NIGH_FRESH, "row");
}

TEST_NODES(the_put_of_such_a_ticket_is_fenced)
{
    struct nigh_miss miss = NIGH_MISS_INIT;
    struct nigh_call call = with(&miss);
    pend("k", &call);
    CHECK_EQ(poll_one(queue, SOON_MS).answer.outcome, NIGH_MISS);
    CHECK_EQ(nigh_invalidate(b.space, "k", 1, NULL), 0);
    CHECK_EQ(nigh_put(b.space, "k", 1, "old", 3, &call), NIGH_REFUSED);
    CHECK_EQ(ask_get(a.space, "k", NULL).outcome, NIGH_MISS);
}

TEST_NODES(who_began_the_call_does_not_wait_for_its_ticket)
{
    struct nigh_miss miss = NIGH_MISS_INIT;
    struct nigh_call call = with(&miss);
    pend("k", &call);
    CHECK_EQ(poll_one(queue, SOON_MS).answer.outcome, NIGH_MISS);
    CHECK_ANSWER(ask_fetch(b.space, "k", NULL), NIGH_FRESH, "k=1");
    CHECK_EQ(world_count(&b, "lease_held"), 0);
}

TEST_NODES(a_cancelled_call_writes_no_ticket_and_gives_its_lease_back)
{
    struct nigh_miss miss = NIGH_MISS_INIT;
    struct nigh_call call = with(&miss);
    for (int i = 0; i < 20; i++) { /* at whatever moment */
        uint64_t id = pend("k", &call);
        for (int pause = 0; pause < i % 5; pause++)
            check_pause();
        CHECK_EQ(nigh_cancel(queue, id), 0);
    }
    CHECK_WITHIN(SOON_MS, world_count(&b, "async") == 0 && !is_leased("k"));
    CHECK_EQ(miss.stamp, 0);
    CHECK_EQ(miss.token, 0);
    CHECK_EQ(poll_one(queue, NOW).polled, 0);
}

/* Redis executes no script for a while, so the lease is granted when nobody wants it any more. */
TEST_NODES(a_lease_that_comes_after_the_cancelling_goes_back)
{
    struct nigh_miss miss = NIGH_MISS_INIT;
    struct nigh_call call = with(&miss);
    free(redis_command(&server, "CLIENT PAUSE 60000 WRITE"));
    uint64_t id = pend("k", &call);
    /* As a rule: the read may stand behind a beat, which is a script. */
    for (int i = 0; i < 200 && world_count(&b, "l2_miss") == 0; i++)
        check_pause();
    for (int i = 0; i < 50; i++) /* then the lease has been asked for */
        check_pause();
    CHECK_EQ(nigh_cancel(queue, id), 0);
    free(redis_command(&server, "CLIENT UNPAUSE"));
    CHECK_WITHIN(SOON_MS, world_count(&b, "async") == 0 && !is_leased("k"));
    CHECK_ANSWER(ask_fetch(a.space, "k", NULL), NIGH_FRESH, "k=1");
    CHECK_EQ(world_count(&a, "lease_held"), 0);
    CHECK_EQ(miss.token, 0);
}

TEST_NODES(a_closed_queue_gives_the_leases_of_its_completions_back)
{
    struct nigh_miss misses[10];
    for (int i = 0; i < 10; i++) {
        char key[2] = {(char)('a' + i), 0};
        struct nigh_call call = with(&misses[i]);
        pend(key, &call);
    }
    CHECK_WITHIN(SOON_MS, world_count(&b, "lease_granted") >= 5);
    nigh_queue_close(queue);
    for (int i = 0; i < 10; i++) {
        char key[2] = {(char)('a' + i), 0};
        CHECK_WITHIN(SOON_MS, !is_leased(key));
    }
    CHECK_WITHIN(SOON_MS, world_count(&b, "async") == 0);
    REQUIRE_EQ(nigh_queue_open(b.cache, &queue), 0);
}

TEST_NODES(a_redis_that_is_silent_ends_the_call_at_its_deadline)
{
    struct nigh_call call = NIGH_CALL_INIT;
    call.deadline_ms = 50;
    redis_pause(&server);
    pend("k", &call);
    CHECK_EQ(poll_one(queue, SOON_MS).answer.outcome, NIGH_ETIMEDOUT);
    redis_resume(&server);
}

/* The answer has come, as a rule, but no worker is there to take it. Its ticket is good for a put
 * without the lease. */
TEST_NODES(workers_inside_loaders_keep_no_call_beyond_its_deadline)
{
    struct nigh_miss miss = NIGH_MISS_INIT;
    struct nigh_call call = with(&miss);
    struct nigh_queue *loads;
    REQUIRE_EQ(nigh_queue_open(b.cache, &loads), 0);
    origin_hold(&a.origin);
    for (uint32_t i = 0; i < 2 * WORKERS_MAX; i++) {
        char key[16];
        snprintf(key, sizeof(key), "load%u", i);
        CHECK_EQ(begin_fetch(loads, b.space, key, NULL, i, NULL).outcome, NIGH_PENDING);
    }
    CHECK_WITHIN(SOON_MS, a.origin.held_loads == b.cache->workers.size);
    call.deadline_ms = 50;
    pend("k", &call);
    CHECK_EQ(poll_one(queue, SOON_MS).answer.outcome, NIGH_ETIMEDOUT);
    CHECK_EQ(miss.token, 0);
    call.deadline_ms = 0;
    CHECK_EQ(nigh_put(b.space, "k", 1, "row", 3, &call), 0);
    origin_let_go(&a.origin);
    nigh_queue_close(loads);
    CHECK_WITHIN(SOON_MS, world_count(&b, "async") == 0 && !is_leased("k"));
    CHECK_ANSWER(ask_get(b.space, "k", NULL), NIGH_FRESH, "row");
}

TEST_NODES(a_closing_cache_completes_what_redis_has_not_answered)
{
    struct nigh_call call = NIGH_CALL_INIT;
    call.deadline_ms = 300;
    redis_pause(&server);
    pend("k", &call);
    world_close(&b);
    CHECK_EQ(poll_one(queue, SOON_MS).answer.outcome, NIGH_ECLOSED);
    CHECK_EQ(poll_one(queue, SOON_MS).polled, NIGH_ECLOSED);
    redis_resume(&server);
    nigh_queue_close(queue);
    patient_open(&b, &server, &a.origin, NULL);
    REQUIRE_EQ(nigh_queue_open(b.cache, &queue), 0);
}

TEST(without_redis_a_get_misses_at_once)
{
    struct nigh_miss miss = NIGH_MISS_INIT;
    struct nigh_call call = with(&miss);
    world_open(&b, NULL, NULL);
    REQUIRE_EQ(nigh_queue_open(b.cache, &queue), 0);
    CHECK_EQ(begin_get("k", &call, NULL).outcome, NIGH_MISS);
    CHECK_EQ(nigh_put(b.space, "k", 1, "row", 3, &call), 0);
    CHECK_ANSWER(begin_get("k", NULL, NULL), NIGH_FRESH, "row");
    nigh_queue_close(queue);
    world_close(&b);
}

TEST_NODES(a_redis_that_is_gone_is_told_at_once)
{
    redis_kill(&server);
    CHECK_WITHIN(SOON_MS, world_count(&b, "connected") == 0);
    CHECK_EQ(begin_get("k", NULL, NULL).outcome, NIGH_EOFFLINE);
    CHECK_EQ(world_count(&b, "async"), 0);
    redis_restart(&server, REDIS_EMPTY);
}

TEST_NODES(wrong_arguments_of_a_get_are_told_at_once)
{
    char long_key[NIGH_KEY_MAX + 1] = {'k'};
    struct nigh_value value = NIGH_VALUE_INIT;
    struct nigh_call call = flagged(NIGH_NO_WAIT);
    CHECK_EQ(nigh_get_async(NULL, b.space, "k", 1, NULL, NULL, &value, NULL), NIGH_EINVAL);
    CHECK_EQ(nigh_get_async(queue, NULL, "k", 1, NULL, NULL, &value, NULL), NIGH_EINVAL);
    CHECK_EQ(nigh_get_async(queue, b.space, "k", 1, NULL, NULL, NULL, NULL), NIGH_EINVAL);
    CHECK_EQ(nigh_get_async(queue, a.space, "k", 1, NULL, NULL, &value, NULL), NIGH_EINVAL);
    CHECK_EQ(nigh_get_async(queue, b.space, NULL, 1, NULL, NULL, &value, NULL), NIGH_EKEY);
    CHECK_EQ(nigh_get_async(queue, b.space, "k", 0, NULL, NULL, &value, NULL), NIGH_EKEY);
    CHECK_EQ(nigh_get_async(queue, b.space, long_key, sizeof(long_key), NULL, NULL, &value, NULL),
             NIGH_EKEY);
    CHECK_EQ(nigh_get_async(queue, b.space, "k", 1, &call, NULL, &value, NULL), NIGH_EINVAL);
    CHECK_EQ(nigh_fetch_async(queue, b.space, "k", 1, &call, NULL, &value, NULL), NIGH_EINVAL);
    CHECK_EQ(world_count(&b, "async"), 0);
}

/* ---- no answer wanted ---- */

TEST_NODES(a_fetch_that_does_not_wait_loads_behind)
{
    struct nigh_call call = flagged(NIGH_NO_WAIT);
    origin_hold(&a.origin);
    CHECK_EQ(ask_fetch(b.space, "k", &call).outcome, NIGH_PENDING);
    CHECK_WITHIN(SOON_MS, a.origin.held_loads == 1);
    CHECK_EQ(ask_fetch(b.space, "k", &call).outcome, NIGH_PENDING); /* of the same load */
    origin_let_go(&a.origin);
    CHECK_WITHIN(SOON_MS, ask_fetch(b.space, "k", &call).outcome == NIGH_FRESH);
    CHECK_ANSWER(ask_fetch(b.space, "k", &call), NIGH_FRESH, "k=1");
    CHECK_EQ(a.origin.loads, 1);
    CHECK_EQ(poll_one(queue, NOW).polled, 0);
}

TEST_NODES(it_refreshes_what_is_stale_and_is_told_of_failures)
{
    struct nigh_call call = flagged(NIGH_NO_WAIT), brief = NIGH_CALL_INIT;
    brief.soft_ttl_ms = 1;
    CHECK_EQ(nigh_put(b.space, "k", 1, "old", 3, &brief), 0);
    CHECK_WITHIN(SOON_MS, ask_fetch(b.space, "k", &call).outcome == NIGH_STALE ||
                              world_count(&b, "refresh") == 1);
    CHECK_WITHIN(SOON_MS, strcmp(ask_fetch(b.space, "k", &call).text, "k=1") == 0);
}

static int fail(struct origin *o, struct nigh_fill *fill)
{
    (void)o;
    return nigh_fill_error(fill, 99);
}

TEST_NODES(it_is_told_of_a_failure_that_is_remembered)
{
    struct nigh_call call = flagged(NIGH_NO_WAIT);
    a.origin.script = fail;
    CHECK_EQ(ask_fetch(b.space, "k", &call).outcome, NIGH_PENDING);
    CHECK_WITHIN(SOON_MS, ask_fetch(b.space, "k", &call).outcome == NIGH_ELOADER);
    CHECK_EQ(nigh_load_error(), 99);
}

TEST_NODES(a_get_that_does_not_wait_brings_what_l2_has)
{
    struct nigh_call call = flagged(NIGH_NO_WAIT);
    fill_l2("k");
    CHECK_EQ(ask_get(b.space, "k", &call).outcome, NIGH_PENDING);
    CHECK_WITHIN(SOON_MS, ask_get(b.space, "k", &call).outcome == NIGH_FRESH);
    CHECK_EQ(ask_get(b.space, "nobody has it", &call).outcome, NIGH_PENDING);
    CHECK_WITHIN(SOON_MS, world_count(&b, "async") == 0);
    CHECK_EQ(a.origin.loads, 1);
}

TEST_NODES(so_does_one_of_many_keys)
{
    struct nigh_call call = flagged(NIGH_NO_WAIT);
    const struct nigh_key keys[] = {{"k", 1}, {"", 0}, {"l", 1}};
    struct nigh_value values[3];
    int outcomes[3];
    fill_l2("k");
    fill_l2("l");
    CHECK_EQ(nigh_get_many(b.space, keys, 3, &call, values, outcomes), 0);
    CHECK_EQ(outcomes[0], NIGH_PENDING);
    CHECK_EQ(outcomes[1], NIGH_EKEY);
    CHECK_EQ(outcomes[2], NIGH_PENDING);
    for (int i = 0; i < 3; i++)
        nigh_release(&values[i]);
    CHECK_WITHIN(SOON_MS, ask_get(b.space, "k", &call).outcome == NIGH_FRESH &&
                              ask_get(b.space, "l", &call).outcome == NIGH_FRESH);
}

TEST_NODES(not_waiting_goes_with_reads_that_keep_what_they_begin)
{
    struct nigh_miss miss = NIGH_MISS_INIT;
    struct nigh_call call = flagged(NIGH_NO_WAIT), ticket = with(&miss);
    CHECK_EQ(nigh_put(b.space, "k", 1, "v", 1, &call), NIGH_EINVAL);
    CHECK_EQ(nigh_invalidate(b.space, "k", 1, &call), NIGH_EINVAL);
    ticket.flags = NIGH_NO_WAIT;
    CHECK_EQ(ask_get(b.space, "k", &ticket).outcome, NIGH_EINVAL);
    call.flags |= NIGH_NO_STORE;
    CHECK_EQ(ask_fetch(b.space, "k", &call).outcome, NIGH_EINVAL);
    call.flags = NIGH_NO_WAIT | NIGH_L1_ONLY;
    CHECK_EQ(ask_fetch(b.space, "k", &call).outcome, NIGH_MISS);
    CHECK_EQ(a.origin.loads, 0);
}
