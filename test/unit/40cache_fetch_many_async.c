// SPDX-License-Identifier: MIT
// nigh_fetch_many_async: one completion for all keys, with what nigh_fetch_many would have given.

#include <stdio.h>
#include <stdlib.h>

#include "support/many.h"

#define LOAD_MS (3 * WORLD_PATIENCE_MS)
#define ERROR 42
#define MARK 777

struct loop {
    struct world w;
    struct nigh_queue *queue;
};

static void open_loop(struct loop *l, uint32_t batch)
{
    struct nigh_space_options so = NIGH_SPACE_OPTIONS_INIT;
    so.batch = batch;
    so.load_deadline_ms = LOAD_MS;
    so.error_ttl_ms = LOAD_MS;
    world_open(&l->w, NULL, &so);
    REQUIRE_EQ(nigh_queue_open(l->w.cache, &l->queue), 0);
}

static void close_loop(struct loop *l)
{
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&l->w, "async") == 0);
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&l->w, "pins") == 0);
    nigh_queue_close(l->queue);
    world_close(&l->w);
}

static int begin(struct loop *l, struct bunch *b, const struct nigh_call *call, uint64_t *ret_id)
{
    for (unsigned i = 0; i < b->count; i++)
        b->outcomes[i] = MARK;
    return nigh_fetch_many_async(l->queue, l->w.space, b->keys, b->count, call, b, b->values,
                                 b->outcomes, ret_id);
}

static struct nigh_completion poll_for(struct loop *l, uint32_t timeout_ms)
{
    struct nigh_completion c = {.id = 0};
    int n = nigh_queue_poll(l->queue, &c, 1, timeout_ms);
    if (n != 1)
        c.id = 0;
    return c;
}

static void finish(struct loop *l, struct bunch *b, uint64_t id)
{
    struct nigh_completion c = poll_for(l, WORLD_PATIENCE_MS);
    CHECK_EQ(c.id, id);
    CHECK_EQ(c.outcome, 0);
    CHECK(c.arg == b && !c.value.data);
    b->load_error = c.load_error;
    bunch_copy_out(b);
}

static bool key_is(const struct nigh_fill *fill, const char *name)
{
    size_t len;
    const char *key = nigh_fill_key(fill, &len);
    return len == strlen(name) && memcmp(key, name, len) == 0;
}

static int hold_slow(struct origin *o, struct nigh_fill *fill)
{
    return key_is(fill, "slow") ? origin_answer(o, fill) : nigh_fill_value(fill, "quick", 5);
}

TEST(one_completion_comes_for_all_keys_and_one_load)
{
    static struct bunch b;
    struct loop l;
    uint64_t id;
    open_loop(&l, 64);
    bunch_number(&b, "k", 40);
    CHECK_EQ(begin(&l, &b, NULL, &id), NIGH_PENDING);
    for (unsigned i = 0; i < b.count; i++)
        CHECK_EQ(b.outcomes[i], NIGH_PENDING);
    finish(&l, &b, id);
    bunch_check_all(&b, NIGH_FRESH, 1);
    CHECK_EQ(l.w.origin.loads, 1);
    CHECK_EQ(begin(&l, &b, NULL, &id), 0);
    bunch_copy_out(&b);
    bunch_check_all(&b, NIGH_FRESH, 1);
    CHECK_EQ(poll_for(&l, 0).id, 0);
    close_loop(&l);
}

TEST(loads_are_shared_in_calls_of_as_many_as_the_loader_takes)
{
    static struct bunch b;
    struct loop l;
    uint64_t id;
    for (uint32_t batch = 1; batch <= 16; batch *= 4) {
        open_loop(&l, batch);
        bunch_number(&b, "k", 40);
        CHECK_EQ(begin(&l, &b, NULL, &id), NIGH_PENDING);
        finish(&l, &b, id);
        bunch_check_all(&b, NIGH_FRESH, 1);
        CHECK_EQ(l.w.origin.loads, (40 + batch - 1) / batch);
        CHECK_EQ(l.w.origin.rows, 40);
        close_loop(&l);
    }
}

TEST(what_is_there_is_answered_at_once_and_may_be_used_at_once)
{
    static struct bunch b;
    struct loop l;
    uint64_t id;
    open_loop(&l, 64);
    CHECK_ANSWER(ask_fetch(l.w.space, "b", NULL), NIGH_FRESH, "b=1");
    origin_hold(&l.w.origin);
    bunch_init(&b, "a b a");
    bunch_add(&b, "");
    CHECK_EQ(begin(&l, &b, NULL, &id), NIGH_PENDING);
    CHECK_EQ(b.outcomes[0], NIGH_PENDING);
    CHECK_EQ(b.outcomes[1], NIGH_FRESH);
    CHECK(b.values[1].len == 3 && memcmp(b.values[1].data, "b=1", 3) == 0);
    CHECK_EQ(b.outcomes[3], NIGH_EKEY);
    origin_let_go(&l.w.origin);
    finish(&l, &b, id);
    CHECK_ANSWER(b.answers[0], NIGH_FRESH, "a=1");
    CHECK_ANSWER(b.answers[1], NIGH_FRESH, "b=1");
    CHECK_ANSWER(b.answers[2], NIGH_FRESH, "a=1");
    CHECK_EQ(l.w.origin.rows, 2);
    close_loop(&l);
}

static int answer_by_name(struct origin *o, struct nigh_fill *fill)
{
    if (key_is(fill, "bad"))
        return nigh_fill_error(fill, ERROR);
    return key_is(fill, "none") ? nigh_fill_absent(fill) : origin_answer(o, fill);
}

TEST(each_key_has_its_own_outcome)
{
    static struct bunch b;
    struct loop l;
    uint64_t id;
    open_loop(&l, 64);
    atomic_store(&l.w.origin.script, answer_by_name);
    bunch_init(&b, "a bad none");
    CHECK_EQ(begin(&l, &b, NULL, &id), NIGH_PENDING);
    finish(&l, &b, id);
    CHECK_ANSWER(b.answers[0], NIGH_FRESH, "a=1");
    CHECK_EQ(b.outcomes[1], NIGH_ELOADER);
    CHECK_EQ(b.outcomes[2], NIGH_ABSENT);
    CHECK_EQ(b.load_error, ERROR);
    CHECK_EQ(world_count(&l.w, "read_error"), 1);
    close_loop(&l);
}

TEST(at_the_deadline_the_completion_has_what_has_come)
{
    static struct bunch b;
    struct loop l;
    struct asker slow;
    struct nigh_call call = NIGH_CALL_INIT;
    uint64_t id;
    open_loop(&l, 64);
    atomic_store(&l.w.origin.script, hold_slow);
    origin_hold(&l.w.origin);
    asker_start(&slow, l.w.space, "slow", NULL);
    CHECK_WITHIN(WORLD_PATIENCE_MS, l.w.origin.held_loads == 1);
    CHECK_ANSWER(ask_fetch(l.w.space, "a", NULL), NIGH_FRESH, "quick");
    call.deadline_ms = 30;
    bunch_init(&b, "a slow");
    CHECK_EQ(begin(&l, &b, &call, &id), NIGH_PENDING);
    finish(&l, &b, id);
    CHECK_ANSWER(b.answers[0], NIGH_FRESH, "quick");
    CHECK_EQ(b.outcomes[1], NIGH_ETIMEDOUT);
    origin_let_go(&l.w.origin);
    asker_join(&slow);
    CHECK_ANSWER(slow.answer, NIGH_FRESH, "slow=1");
    close_loop(&l);
}

TEST(after_a_cancel_nothing_is_written_and_the_loads_go_on)
{
    static struct bunch b;
    struct loop l;
    uint64_t id;
    open_loop(&l, 64);
    origin_hold(&l.w.origin);
    bunch_init(&b, "a b");
    CHECK_EQ(begin(&l, &b, NULL, &id), NIGH_PENDING);
    CHECK_EQ(nigh_cancel(l.queue, id), 0);
    CHECK_EQ(nigh_cancel(l.queue, id), NIGH_MISS);
    origin_let_go(&l.w.origin);
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&l.w, "l1_store") == 2);
    CHECK_EQ(poll_for(&l, 0).id, 0);
    CHECK_EQ(b.outcomes[0], NIGH_PENDING);
    CHECK(!b.values[0].data);
    CHECK_EQ(begin(&l, &b, NULL, &id), 0);
    bunch_copy_out(&b);
    bunch_check_all(&b, NIGH_FRESH, 1);
    close_loop(&l);
}

TEST(a_completion_that_is_cancelled_or_closed_gives_its_values_back)
{
    static struct bunch b, other;
    struct loop l;
    uint64_t id, other_id;
    open_loop(&l, 64);
    bunch_init(&b, "a b");
    bunch_init(&other, "c d");
    CHECK_EQ(begin(&l, &b, NULL, &id), NIGH_PENDING);
    CHECK_EQ(begin(&l, &other, NULL, &other_id), NIGH_PENDING);
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&l.w, "l1_store") == 4 &&
                                        world_count(&l.w, "flights") == 0);
    CHECK_EQ(nigh_cancel(l.queue, id), 0);
    nigh_queue_close(l.queue);
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&l.w, "async") == 0);
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&l.w, "pins") == 0);
    CHECK_EQ(other.outcomes[0], NIGH_PENDING);
    world_close(&l.w);
}

TEST(a_closed_cache_completes_what_is_pending)
{
    static struct bunch b;
    struct loop l;
    uint64_t id;
    struct nigh_space_options so = NIGH_SPACE_OPTIONS_INIT;
    so.batch = 64;
    so.load_deadline_ms = 100;
    world_open(&l.w, NULL, &so);
    REQUIRE_EQ(nigh_queue_open(l.w.cache, &l.queue), 0);
    origin_hold(&l.w.origin);
    bunch_init(&b, "a b");
    CHECK_EQ(begin(&l, &b, NULL, &id), NIGH_PENDING);
    nigh_close(l.w.cache);
    struct nigh_completion c = poll_for(&l, 0);
    CHECK_EQ(c.id, id);
    CHECK(c.outcome == NIGH_ECLOSED || c.outcome == 0);
    for (unsigned i = 0; i < b.count; i++)
        CHECK_EQ(b.outcomes[i], c.outcome == 0 ? NIGH_ETIMEDOUT : NIGH_ECLOSED);
    origin_let_go(&l.w.origin);
    nigh_queue_close(l.queue);
    CHECK_WITHIN(WORLD_PATIENCE_MS, l.w.origin.finished == l.w.origin.loads);
}

TEST(a_wrong_call_writes_nothing)
{
    struct loop l, far;
    struct nigh_key key = {"k", 1};
    struct nigh_value value = {"untouched", 9, 0};
    struct nigh_call call = NIGH_CALL_INIT;
    int outcome = MARK;
    open_loop(&l, 64);
    open_loop(&far, 64);
    struct nigh_space *s = l.w.space;
    CHECK_EQ(nigh_fetch_many_async(NULL, s, &key, 1, NULL, NULL, &value, &outcome, NULL),
             NIGH_EINVAL);
    CHECK_EQ(nigh_fetch_many_async(far.queue, s, &key, 1, NULL, NULL, &value, &outcome, NULL),
             NIGH_EINVAL);
    CHECK_EQ(nigh_fetch_many_async(l.queue, NULL, &key, 1, NULL, NULL, &value, &outcome, NULL),
             NIGH_EINVAL);
    CHECK_EQ(nigh_fetch_many_async(l.queue, s, NULL, 1, NULL, NULL, &value, &outcome, NULL),
             NIGH_EINVAL);
    CHECK_EQ(nigh_fetch_many_async(l.queue, s, &key, 1, NULL, NULL, NULL, &outcome, NULL),
             NIGH_EINVAL);
    CHECK_EQ(nigh_fetch_many_async(l.queue, s, &key, 1, NULL, NULL, &value, NULL, NULL),
             NIGH_EINVAL);
    call.flags = NIGH_NO_WAIT;
    CHECK_EQ(nigh_fetch_many_async(l.queue, s, &key, 1, &call, NULL, &value, &outcome, NULL),
             NIGH_EINVAL);
    CHECK_EQ(nigh_fetch_many_async(l.queue, s, NULL, 0, NULL, NULL, NULL, NULL, NULL), 0);
    CHECK_EQ(outcome, MARK);
    CHECK_EQ(value.len, 9);
    close_loop(&far);
    close_loop(&l);
}

TEST(beyond_async_max_each_key_is_refused)
{
    static struct bunch b, other;
    struct loop l;
    uint64_t id;
    struct nigh_options o = NIGH_OPTIONS_INIT;
    struct nigh_space_options so = NIGH_SPACE_OPTIONS_INIT;
    o.async_max = 1;
    so.load_deadline_ms = LOAD_MS;
    world_open(&l.w, &o, &so);
    REQUIRE_EQ(nigh_queue_open(l.w.cache, &l.queue), 0);
    origin_hold(&l.w.origin);
    bunch_init(&b, "a b");
    bunch_init(&other, "c d");
    CHECK_EQ(begin(&l, &b, NULL, &id), NIGH_PENDING);
    CHECK_EQ(begin(&l, &other, NULL, NULL), 0);
    CHECK_EQ(other.outcomes[0], NIGH_EBUSY);
    CHECK_EQ(other.outcomes[1], NIGH_EBUSY);
    origin_let_go(&l.w.origin);
    finish(&l, &b, id);
    bunch_check_all(&b, NIGH_FRESH, 1);
    close_loop(&l);
}

TEST(without_own_threads_a_poll_loads)
{
    static struct bunch b;
    struct loop l;
    uint64_t id;
    struct nigh_options o = world_options(&l.w);
    struct nigh_space_options so = NIGH_SPACE_OPTIONS_INIT;
    so.batch = 64;
    world_open(&l.w, &o, &so);
    REQUIRE_EQ(nigh_queue_open(l.w.cache, &l.queue), 0);
    bunch_init(&b, "a b c");
    CHECK_EQ(begin(&l, &b, NULL, &id), NIGH_PENDING);
    finish(&l, &b, id);
    bunch_check_all(&b, NIGH_FRESH, 1);
    CHECK_EQ(l.w.origin.rows, 3);
    close_loop(&l);
}

#define OUTSTANDING 10000u

TEST(ten_thousand_are_outstanding_and_each_completes)
{
    struct pair {
        struct nigh_key keys[2];
        char names[2][12];
        struct nigh_value values[2];
        int outcomes[2];
    } *pairs = calloc(OUTSTANDING, sizeof(*pairs));
    struct loop l;
    REQUIRE(pairs);
    open_loop(&l, 256);
    origin_hold(&l.w.origin);
    unsigned pending = 0, fresh = 0;
    for (unsigned i = 0; i < OUTSTANDING; i++) {
        for (unsigned k = 0; k < 2; k++) { /* each key is one of two calls' */
            int len = snprintf(pairs[i].names[k], sizeof(pairs[i].names[k]), "k-%u", i + k);
            pairs[i].keys[k] = (struct nigh_key){pairs[i].names[k], (size_t)len};
        }
        pending += nigh_fetch_many_async(l.queue, l.w.space, pairs[i].keys, 2, NULL, &pairs[i],
                                         pairs[i].values, pairs[i].outcomes,
                                         NULL) == NIGH_PENDING;
    }
    CHECK_EQ(pending, OUTSTANDING);
    origin_let_go(&l.w.origin);
    while (pending > 0) {
        struct nigh_completion c = poll_for(&l, WORLD_PATIENCE_MS);
        struct pair *p = c.arg;
        if (!CHECK(c.id != 0))
            break;
        pending--;
        for (unsigned k = 0; k < 2; k++) {
            fresh += p->outcomes[k] == NIGH_FRESH;
            nigh_release(&p->values[k]);
        }
    }
    CHECK_EQ(fresh, 2 * OUTSTANDING);
    CHECK_EQ(l.w.origin.rows, OUTSTANDING + 1);
    close_loop(&l);
    free(pairs);
}
