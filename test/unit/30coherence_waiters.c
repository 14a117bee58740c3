// SPDX-License-Identifier: MIT
// Several changes of one key that wait together become one, and each who waits learns what became
// of its own.

#include "worlds/coherence.h"

static uint64_t local_key(void *arg, const struct coherence_item *item, bool stored,
                          struct coherence_heard heard)
{
    (void)item, (void)stored, (void)heard;
    world_note(arg, "own");
    return 0;
}

static void note_told(struct coherence_waiter *w)
{
    (*(unsigned *)w->arg)++;
}

/* Queues a change of "a" for which `waiter` waits: a put of `version`, or an invalidation. */
static void wait_behind(world *w, uint64_t version, bool put, struct coherence_waiter *waiter)
{
    static struct coherence_schema schema;
    static unsigned told;
    struct coherence_write write = {.schema = &schema, .mode = L2_SET_NEWER, .token = 5,
                                    .envelope = bytes_of_string("e"), .hard_ms = 1000};
    struct coherence_item item = world_key("a");
    item.version = version;
    *waiter = (struct coherence_waiter){.outcome = NIGH_PENDING, .done = note_told, .arg = &told};
    struct coherence_change change = {
        .items = &item,
        .item_count = 1,
        .writes = put ? &write : NULL,
        .deadline_ns = clock_deadline_ns(w->fake.env.clock, 10000),
        .background = true,
        .waiters = waiter,
        .local_key = put ? local_key : NULL,
        .local_arg = w,
    };
    CHECK_EQ(coherence_change(w->c, &change, NULL), NIGH_QUEUED);
}

/* Takes the script that carries them, executes it, and delivers its answer. */
static struct world_request send_behind(world *w, int status)
{
    coherence_tick(w->c);
    struct world_request *r = world_take(w, WORLD_CHANGE);
    if (!r)
        return (struct world_request){0};
    struct world_request sent = *r;
    world_execute(w, r);
    world_deliver(r, status);
    coherence_tick(w->c);
    return sent;
}

/* Redis compares with the item's version, 7: it would set 5 over another node's 6. */
TEST(a_value_older_than_a_queued_invalidation_is_dropped)
{
    struct coherence_waiter first, second;
    world w;
    world_open(&w);
    wait_behind(&w, 7, false, &first);
    wait_behind(&w, 5, true, &second);
    CHECK_EQ(stats_read(&w.stats, STATS_BACKGROUND_LOST), 1);
    struct world_request r = send_behind(&w, 0);
    CHECK_EQ(r.mode, L2_DELETE);
    CHECK_EQ(r.version, 7);
    CHECK_EQ(first.outcome, 0);
    CHECK_EQ(second.outcome, NIGH_REFUSED);
    world_settle(&w);
    CHECK_EQ(world_queued(&w), 0);
    world_close(&w);
}

/* ... but one that is as new as what was invalidated is what comes after it. */
TEST(a_value_as_new_as_a_queued_invalidation_is_sent)
{
    struct coherence_waiter first, second;
    world w;
    world_open(&w);
    wait_behind(&w, 7, false, &first);
    wait_behind(&w, 7, true, &second);
    struct world_request r = send_behind(&w, 0);
    CHECK_EQ(r.mode, L2_SET_NEWER);
    CHECK_EQ(r.version, 7);
    CHECK_EQ(second.outcome, 0);
    CHECK_EQ(stats_read(&w.stats, STATS_BACKGROUND_LOST), 0);
    world_settle(&w);
    world_close(&w);
}

/* The value whose outcome nobody knows is given up, and what it has said of the version stays. */
TEST(a_value_older_than_one_that_was_given_up_is_dropped)
{
    struct coherence_waiter first, second;
    world w;
    world_open(&w);
    wait_behind(&w, 7, true, &first);
    CHECK_EQ(send_behind(&w, NIGH_ETIMEDOUT).mode, L2_SET_NEWER);
    CHECK_EQ(first.outcome, NIGH_QUEUED);
    wait_behind(&w, 5, true, &second);
    CHECK_EQ(stats_read(&w.stats, STATS_BACKGROUND_LOST), 2);
    world_pass(&w, 3000);
    CHECK_EQ(second.outcome, NIGH_REFUSED);
    CHECK_EQ(world_queued(&w), 0);
    world_close(&w);
}

/* Of the three that become one item one has its value set. */
TEST(each_who_waits_learns_what_became_of_its_own)
{
    struct coherence_waiter newer, older, told;
    world w;
    world_open(&w);
    wait_behind(&w, 5, true, &newer);
    wait_behind(&w, 4, true, &older);
    wait_behind(&w, 3, false, &told);
    struct world_request r = send_behind(&w, 0);
    CHECK_EQ(r.mode, L2_SET_NEWER);
    CHECK_EQ(r.version, 5);
    CHECK_EQ(newer.outcome, 0);
    CHECK_EQ(older.outcome, NIGH_REFUSED);
    CHECK_EQ(told.outcome, 0);
    w.refuse_newer = true; /* another node's version 6 */
    wait_behind(&w, 5, true, &newer);
    wait_behind(&w, 3, false, &told);
    send_behind(&w, 0);
    CHECK_EQ(newer.outcome, NIGH_REFUSED);
    CHECK_EQ(told.outcome, 0); /* it was accepted: nothing was to be set */
    world_settle(&w);
    world_close(&w);
}

#if NIGH_FAULTS
/* Behind a value that waits, where the nth allocation fails. Returns what the call did. */
static int change_without_memory(world *w, enum l2_change_mode mode, uint64_t nth)
{
    static struct coherence_schema schema;
    struct coherence_write write = {.schema = &schema, .mode = mode, .token = 5,
                                    .envelope = bytes_of_string("e"), .hard_ms = 1000};
    struct coherence_item item = world_key("a");
    struct coherence_change change = {
        .items = &item,
        .item_count = 1,
        .writes = mode == L2_DELETE ? NULL : &write,
        .deadline_ns = clock_deadline_ns(w->fake.env.clock, 10000),
        .local_key = mode == L2_DELETE ? NULL : local_key,
        .local_arg = w,
    };
    fault_arm(FAULT_ALLOC, nth);
    int rc = coherence_change(w->c, &change, NULL);
    fault_arm(FAULT_ALLOC, 0);
    return rc;
}

/* A put that finds no memory to wait does nothing, as in the background: what waits goes on. What
 * a writer has committed, or invalidates, is told all the same, in the place of what waits. */
TEST(without_memory_to_wait_a_put_does_nothing)
{
    struct coherence_waiter first;
    for (uint64_t nth = 1; nth <= 2; nth++) { /* the waiter, the value */
        world w;
        world_open(&w);
        wait_behind(&w, 5, true, &first);
        world_notes(&w);
        CHECK_EQ(change_without_memory(&w, L2_SET, nth), NIGH_ENOMEM);
        CHECK_STR(world_notes(&w), "");
        CHECK_EQ(stats_read(&w.stats, STATS_INVALIDATE_QUEUED), 0);
        struct world_request r = send_behind(&w, 0);
        CHECK_EQ(r.mode, L2_SET_NEWER);
        CHECK_EQ(first.outcome, 0);
        world_settle(&w);
        wait_behind(&w, 5, true, &first);
        CHECK_EQ(change_without_memory(&w, L2_SET_TOKEN, nth), NIGH_QUEUED);
        CHECK_EQ(stats_read(&w.stats, STATS_INVALIDATE_QUEUED), 1);
        CHECK_EQ(send_behind(&w, 0).mode, L2_DELETE);
        world_settle(&w);
        wait_behind(&w, 5, true, &first);
        CHECK_EQ(change_without_memory(&w, L2_DELETE, 1), NIGH_QUEUED);
        CHECK_EQ(send_behind(&w, 0).mode, L2_DELETE);
        world_settle(&w);
        world_close(&w);
    }
}

/* One of its items finds no memory: it is queued once, as one of all, and nobody waits for it. */
TEST(without_memory_for_an_item_a_change_that_waits_is_folded_once)
{
    struct coherence_waiter first;
    world w;
    world_open(&w);
    wait_behind(&w, 5, true, &first);
    world_notes(&w);
    struct coherence_item items[] = {world_key("b"), world_key("a")};
    fault_arm(FAULT_ALLOC, 2); /* the waiters, the item of "b" */
    CHECK_EQ(world_change(&w, items, 2), NIGH_ENOMEM);
    fault_arm(FAULT_ALLOC, 0);
    CHECK_STR(world_notes(&w), "key s/b key s/a all~");
    CHECK_EQ(world_queued(&w), 2); /* "a", whose value has gone, and all */
    CHECK_EQ(stats_read(&w.stats, STATS_INVALIDATE_OVERFLOW), 1);
    CHECK_EQ(stats_read(&w.stats, STATS_INVALIDATE_QUEUED), 2);
    CHECK_EQ(send_behind(&w, 0).mode, L2_DELETE);
    CHECK_EQ(first.outcome, 0); /* accepted, and invalidated since */
    world_settle(&w);
    CHECK_EQ(world_queued(&w), 0);
    CHECK_EQ(w.slots[GROUP_SLOT_ALL][1], w.seq);
    world_close(&w);
}
#endif
