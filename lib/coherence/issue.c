// SPDX-License-Identifier: MIT
// Issuing a change: alone, with others, or by the queue.
//
//   background     queue, then floors, as below: whatever becomes of it later, it counts here now
//   comes after    something of its keys is queued that it must not overtake: queued behind that,
//                  and waited for (change_after()); past the deadline, or without a connection, it
//                  stays queued without its value
//   accepted       0; under a clock that is not followed: wait for a beat younger than the change
//   refused        NIGH_REFUSED: accepted, but for the value
//   moved          nothing yet: Redis lists other schemas than keys were named by; again
//   outlived       a later answer shows another clock: its server was left; as the next
//   anything else  queue, then floors: L2 is not believed for what is queued, and that must hold
//                  before a reader can take a ticket above the floor (as a group's position before
//                  its floor)
//
// Several values in one change are not queued behind something here. Their caller asks
// coherence_comes_after() first, and changes such keys one by one (cache/write/put_many.c), so that
// each has an outcome of its own. What is queued between that question and the call came at the
// same time as the call, so either order is right; that is why nothing here asserts it.

#include "coherence/change.h"
#include "coherence/combine.h"
#include "coherence/keeper.h"
#include "coherence/message.h"
#include "coherence/queue.h"
#include "coherence/schemas.h"
#include "coherence/state.h"

/* ---- not accepted ---- */

/* Returns the worst that happened to an item: 0 all queued, NIGH_REFUSED full, NIGH_ENOMEM. */
static int queue_items(struct coherence *c, const struct coherence_change *change)
{
    int worst = 0;
    for (uint32_t i = 0; i < change->item_count; i++) {
        struct coherence_item item = change->items[i];
        item.made_ns = change->made_ns;
        int rc = coherence_queue_put(c, &item, false);
        if (rc == NIGH_ENOMEM || (rc != 0 && worst == 0))
            worst = rc;
    }
    return worst;
}

/* Describes a change that is settled here before Redis has it. */
static struct coherence_accepted queued_here(const struct coherence_change *change)
{
    return (struct coherence_accepted){
        .items = change->items,
        .item_count = change->item_count,
        .made_ns = change->made_ns,
        .key = change->local_key,
        .arg = change->local_arg,
    };
}

static int queue_change(struct coherence *c, const struct coherence_change *change)
{
    struct coherence_accepted here = queued_here(change);
    int rc = queue_items(c, change);
    coherence_settle_queued(c, &here, rc != 0);
    stats_add(c->config.stats, STATS_INVALIDATE_QUEUED, change->item_count);
    coherence_keeper_poke(c);
    return rc == NIGH_ENOMEM ? NIGH_ENOMEM : NIGH_QUEUED;
}

/* Leaves the change to the queue from the beginning. Queue and local step are one under the apply
 * lock: a value that is put here must not be accepted before its entry's stamp is known. The keeper
 * need not be told while the queue has something already: it comes back to that until it is
 * accepted. */
static int change_behind(struct coherence *c, const struct coherence_change *change)
{
    struct coherence_accepted here = queued_here(change);
    bool first = false;
    here.puts = change->writes;
    pthread_mutex_lock(&c->state->apply_lock);
    int rc = coherence_queue_put_room(c, change, &first);
    bool done = rc == 0 || (rc == NIGH_ENOMEM && !change->writes);
    if (done)
        coherence_settle_queued_locked(c, &here, rc == NIGH_ENOMEM);
    pthread_mutex_unlock(&c->state->apply_lock);
    if (first && done)
        coherence_keeper_poke(c);
    return rc == 0 ? NIGH_QUEUED : rc;
}

static int change_in_background(struct coherence *c, const struct coherence_change *change)
{
    int rc = change_behind(c, change);
    if (rc == NIGH_QUEUED)
        stats_add(c->config.stats, STATS_BACKGROUND, change->item_count);
    else if (rc == NIGH_EBUSY)
        stats_add(c->config.stats, STATS_BACKGROUND_BUSY, change->item_count);
    return rc;
}

/* ---- after what is queued ---- */

/* Waits in a call for all its items. */
struct after {
    struct park *park;
    _Atomic uint32_t left; /* futex word. pair(coherence.after) */
};

/* The frame may be gone when it wakes: waking nobody does no harm. */
static void after_done(struct coherence_waiter *w)
{
    struct after *a = w->arg;
    struct park *park = a->park;
    /* pair(coherence.after): the outcome is there */
    if (atomic_fetch_sub_explicit(&a->left, 1, memory_order_release) == 1)
        park_wake(park, &a->left, PARK_ALL);
}

/* Parks until all are told. False: the deadline has passed. */
static bool wait_for_all(struct after *a, uint64_t deadline_ns)
{
    for (;;) {
        /* pair(coherence.after): what they were told */
        uint32_t left = atomic_load_explicit(&a->left, memory_order_acquire);
        if (left == 0)
            return true;
        if (park_wait(a->park, &a->left, left, deadline_ns) == NIGH_ETIMEDOUT)
            return false;
    }
}

/* Leaves those that are not told. The others are just being told. */
static void leave_all(struct coherence *c, const struct coherence_change *change, struct after *a)
{
    for (uint32_t i = 0; i < change->item_count; i++)
        if (coherence_leave(c, &change->items[i], &change->waiters[i]))
            after_done(&change->waiters[i]);
    wait_for_all(a, CLOCK_NEVER_NS);
}

static int worst_outcome(const struct coherence_change *change)
{
    int worst = 0;
    for (uint32_t i = 0; i < change->item_count; i++) {
        int outcome = change->waiters[i].outcome;
        worst = worst == NIGH_QUEUED || outcome == 0 ? worst : outcome;
    }
    return worst == NIGH_ECLOSED ? NIGH_QUEUED : worst;
}

/* Ends a change that found no memory to wait, or for its value, so that nothing of it is queued. It
 * must not overtake what waits: a put does nothing, what a writer has committed is told. */
static int change_not_after(struct coherence *c, const struct coherence_change *change)
{
    bool put = change->writes && change->writes->mode != L2_SET_TOKEN;
    return put ? NIGH_ENOMEM : queue_change(c, change);
}

/* Queues the change behind what waits of its keys, and waits for it. */
static int change_after(struct coherence *c, struct coherence_change change)
{
    struct mem *mem = c->config.env->mem;
    struct after a = {.park = c->config.env->park, .left = change.item_count};
    size_t size = change.item_count * sizeof(*change.waiters);
    change.waiters = mem_alloc(mem, NULL, size);
    if (!change.waiters)
        return change_not_after(c, &change);
    for (uint32_t i = 0; i < change.item_count; i++)
        change.waiters[i] =
            (struct coherence_waiter){.outcome = NIGH_QUEUED, .done = after_done, .arg = &a};
    int rc = change_behind(c, &change);
    if (rc == NIGH_QUEUED) {
        if (!l2_connected(c->config.l2) || !wait_for_all(&a, change.deadline_ns))
            leave_all(c, &change, &a);
        rc = worst_outcome(&change);
    }
    mem_free(mem, NULL, change.waiters, size);
    if (rc == NIGH_ENOMEM && change.writes)
        return change_not_after(c, &change);
    if (rc == NIGH_QUEUED || rc == NIGH_ENOMEM) /* the latter as one of all */
        stats_add(c->config.stats, STATS_INVALIDATE_QUEUED, change.item_count);
    return rc;
}

/* ---- the call ---- */

static int send_script(struct coherence *c, const struct coherence_change *change,
                       const struct coherence_write *writes, struct l2_sync *sync,
                       struct coherence_script *ret)
{
    int rc = coherence_script_make(c, change->items, change->item_count, writes, ret);
    if (rc < 0)
        return rc;
    struct l2_op op = l2_sync_op(sync, c->config.env, change->deadline_ns);
    rc = l2_change(c->config.l2, &ret->change, &op);
    coherence_script_free(c, ret);
    return rc;
}

/* Runs the script. Returns the answer, whatever it says; NULL: the script was not sent. Where there
 * is no room in flight for a value, there is for the news of the change. */
static struct l2_answer *run_script(struct coherence *c, const struct coherence_change *change,
                                    struct coherence_script *ret)
{
    struct l2_sync sync;
    int rc = send_script(c, change, change->writes, &sync, ret);
    bool drops = rc == NIGH_EBUSY && change->writes;
    if (drops)
        rc = send_script(c, change, NULL, &sync, ret);
    ret->dropped = drops;
    return rc < 0 ? NULL : l2_sync_wait(&sync);
}

/* Runs the script, again if need be, until the schemas that it names are those that Redis knows. */
static struct l2_answer *run_until_named(struct coherence *c, const struct coherence_change *change,
                                         struct coherence_script *ret)
{
    for (int turn = 1;; turn++) {
        struct l2_answer *answer = run_script(c, change, ret);
        if (!answer || !coherence_told_schemas(c, answer) || turn == COHERENCE_NAMED_TRIES)
            return answer;
        l2_answer_free(answer);
    }
}

/* Returns the registration of the space that the values are of. */
static struct coherence_schema *schema_of(const struct coherence_change *change)
{
    uint32_t i = 0;
    while (change->writes[i].mode == L2_DELETE && i + 1 < change->item_count)
        i++;
    return change->writes[i].schema;
}

static int accepted(struct coherence *c, const struct coherence_change *change,
                    const struct l2_answer *answer, const struct coherence_script *s,
                    struct coherence_position *ret_position)
{
    struct coherence_accepted a = {
        .items = change->items,
        .item_count = change->item_count,
        .answer = answer,
        .call = s->call,
        .nonce = s->change.nonce,
        .known = s->known,
        .made_ns = change->made_ns,
        .wrote = change->writes && !s->dropped,
        .keeps = change->keeps,
        .key = change->local_key,
        .arg = change->local_arg,
    };
    if (coherence_settle(c, &a))
        coherence_wait_for_clock(c, change->deadline_ns);
    if (ret_position)
        *ret_position = (struct coherence_position){answer->clock.identity, answer->clock.sequence};
    bool crowded = a.wrote && coherence_registered(c, schema_of(change), answer);
    return crowded || s->dropped || answer->verdict == L2_REFUSED ? NIGH_REFUSED : 0;
}

static int judge_answer(struct coherence *c, const struct coherence_change *change,
                        const struct l2_answer *answer, const struct coherence_script *s,
                        struct coherence_position *ret_position)
{
    if (answer->status != 0 || answer->verdict == L2_MOVED || coherence_outlived(c, answer))
        return queue_change(c, change);
    return accepted(c, change, answer, s, ret_position);
}

static int change_alone(struct coherence *c, const struct coherence_change *change, bool counts,
                        struct coherence_position *ret_position)
{
    struct coherence_script script;
    struct l2_answer *answer = run_until_named(c, change, &script);
    if (counts)
        coherence_combine_end(c);
    if (!answer)
        return queue_change(c, change);
    int rc = judge_answer(c, change, answer, &script, ret_position);
    l2_answer_free(answer);
    return rc;
}

/* The local step is done, with that of the others. */
static int change_combined(struct coherence *c, const struct coherence_change *change,
                           const struct combine_outcome *outcome,
                           struct coherence_position *ret_position)
{
    if (outcome->unfollowed)
        coherence_wait_for_clock(c, change->deadline_ns);
    if (ret_position)
        *ret_position = outcome->position;
    return 0;
}

/* Issues a change that is not in the background; it says when it was made. */
static int issue(struct coherence *c, const struct coherence_change *change,
                 struct coherence_position *ret_position)
{
    struct combine_outcome outcome;
    if (coherence_comes_after(c, change) && (!change->writes || change->item_count == 1))
        return change_after(c, *change);
    if (coherence_tail_size(change->items, change->item_count) > l2_argument_max(c->config.l2))
        return queue_change(c, change); /* many long names: the queue sends fewer at once */
    switch (coherence_combine(c, change, &outcome)) {
    case COMBINE_ALONE: return change_alone(c, change, true, ret_position);
    case COMBINE_APART: return change_alone(c, change, false, ret_position);
    case COMBINE_SETTLED: return change_combined(c, change, &outcome, ret_position);
    case COMBINE_UNKNOWN: break;
    }
    return queue_change(c, change);
}

int coherence_change(struct coherence *c, const struct coherence_change *change,
                     struct coherence_position *ret_position)
{
    struct coherence_change made = *change;
    NIGH_DCHECK(change->item_count > 0 && change->item_count <= COHERENCE_ITEMS_MAX);
    if (change->background)
        return change_in_background(c, change);
    made.made_ns = clock_coarse_ns(c->config.env->clock);
    return issue(c, &made, ret_position);
}
