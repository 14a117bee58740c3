// SPDX-License-Identifier: MIT
// What goes to a real Redis behind the answer: callers have what was loaded before Redis has it.

#include "support/async.h"
#include "support/origin.h"

static struct redis server;
static struct world w;

/* Answers, but Redis stands still from here on. */
static int answer_without_redis(struct origin *o, struct nigh_fill *fill)
{
    redis_pause(&server);
    return origin_answer(o, fill);
}

static void begin(void)
{
    redis_start(&server, NULL);
    struct nigh_options o = patient_options(&server);
    o.lease_ms = WORLD_PATIENCE_MS; /* fills are late: no lease ends before */
    o.space.load_deadline_ms = 2 * WORLD_PATIENCE_MS;
    origin_init(&w.origin);
    world_open_with(&w, &o, NULL, &w.origin);
    REQUIRE(CHECK_WITHIN(WORLD_PATIENCE_MS, nigh_health(w.cache) == NIGH_FRESH));
    atomic_store(&w.origin.script, answer_without_redis);
}

static void end(void)
{
    world_close(&w);
    redis_stop(&server);
}

static void it_is_in_l1_and_then_in_redis(void)
{
    struct nigh_call probe = NIGH_CALL_INIT;
    probe.flags = NIGH_L1_ONLY;
    CHECK_ANSWER(ask_get(w.space, "k", &probe), NIGH_FRESH, "k=1");
    CHECK_EQ(world_count(&w, "l2_fill"), 0);
    redis_resume(&server);
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&w, "l2_fill") == 1);
    CHECK_EQ(redis_integer(&server, "EXISTS nigh:!2:s:1:k"), 1);
    CHECK_EQ(redis_integer(&server, "EXISTS nigh:!2:!lease:s:k"), 0);
}

TEST(a_caller_has_what_was_loaded_before_redis_has_it)
{
    begin();
    CHECK_ANSWER(ask_fetch(w.space, "k", NULL), NIGH_FRESH, "k=1");
    it_is_in_l1_and_then_in_redis();
    end();
}

TEST(a_queue_has_what_was_loaded_before_redis_has_it)
{
    struct nigh_queue *queue;
    begin();
    REQUIRE_EQ(nigh_queue_open(w.cache, &queue), 0);
    CHECK_EQ(begin_fetch(queue, w.space, "k", NULL, 7, NULL).outcome, NIGH_PENDING);
    struct ended e = poll_one(queue, WORLD_PATIENCE_MS);
    CHECK_ANSWER(e.answer, NIGH_FRESH, "k=1");
    it_is_in_l1_and_then_in_redis();
    nigh_queue_close(queue);
    end();
}
