// SPDX-License-Identifier: MIT
// The script of several calls: sending it, and its local step. See combined.h.
//
// - One script is one change: it has one number, one position, one frame, and one local step for
//   all its items, by whichever of the calls sees the answer first; nobody returns before. So its
//   frame is skipped exactly as a single call's is (rule 7): only when all its items are settled.
// - The script may be sent by any of them, by the I/O thread (it brings the answer that others wait
//   for), or by who was alone; so nothing of it belongs to a leader, whose deadline might be near.
//   It ends at the latest deadline of its calls. If all have left nobody settles: the frame is
//   applied.
// - An error of Redis may be about one name (an ACL), or about the size: each call then finds out
//   for itself. What was targeted wrongly never gets here: cache/write/invalidate.c.

#include "coherence/combined.h"
#include "coherence/change.h"
#include "coherence/keeper.h"
#include "coherence/schemas.h"
#include "coherence/state.h"

/* One is at work in Redis while the other is on the wire. In a crowd it is one alone: else half of
 * the callers would be on their way while the other half comes back, in scripts half as large. So
 * it stays for some scripts: small ones come in between. */
#define UNDER_WAY_MAX 2u
#define CROWD_SCRIPTS 8u
#define SPARE_MAX 4u

/* ---- states ---- */

static void set_state_locked(struct combined *b, uint32_t state)
    REQUIRES(b->coherence->combine->lock)
{
    /* pair(coherence.combined): after what belongs to it */
    atomic_store_explicit(&b->word, state, memory_order_release);
}

/* `b` may be retired by now, if all have left; waking nobody does no harm. */
static void wake(struct coherence *c, struct combined *b, int count)
{
    park_wake(c->config.env->park, &b->word, count);
}

struct combined *combined_retire_locked(struct coherence_combine *m, struct combined *b)
{
    if (m->spare_count == SPARE_MAX)
        return b;
    b->next = m->spare;
    m->spare = b;
    m->spare_count++;
    return NULL;
}

void combined_drop(struct coherence *c, struct combined *b)
{
    if (b)
        mem_free(c->config.env->mem, NULL, b, sizeof(*b));
}

/* Counts what was accepted. What a call queued that left counts once that is. */
static void count_locked(const struct combined *b) REQUIRES(b->coherence->combine->lock)
{
    struct stats *stats = b->coherence->config.stats;
    uint32_t items = b->item_count - b->left_items;
    stats_add(stats, STATS_INVALIDATE, items);
    if (b->calls > 1)
        stats_add(stats, STATS_INVALIDATE_COMBINED, items);
}

/* Ends it for all who wait; if nobody does it is retired. */
static void end(struct combined *b, uint32_t state)
{
    struct coherence *c = b->coherence;
    struct coherence_combine *m = c->combine;
    struct combined *dropped = NULL;
    pthread_mutex_lock(&m->lock);
    bool waited = b->waiting > 0;
    if (state == SETTLED)
        count_locked(b);
    set_state_locked(b, state);
    if (!waited)
        dropped = combined_retire_locked(m, b);
    pthread_mutex_unlock(&m->lock);
    if (waited)
        wake(c, b, PARK_ALL);
    combined_drop(c, dropped);
}

/* ---- sending ---- */

static void answered(void *arg, struct l2_answer *answer);

/* Sends what is marked SENT. < 0: it was not. */
static int send(struct combined *b)
{
    struct coherence *c = b->coherence;
    struct coherence_script script;
    NIGH_DCHECK(b->item_count > 0);
    int rc = coherence_script_make(c, b->items, b->item_count, NULL, &script);
    if (rc < 0)
        return rc;
    b->call = script.call;
    b->nonce = script.change.nonce;
    b->known = script.known;
    b->sent++;
    struct l2_op op = l2_op_of(b->deadline_ns, answered, b);
    coherence_keeper_ref(c);
    rc = l2_change(c->config.l2, &script.change, &op); /* `b` may be gone when it returns */
    coherence_script_free(c, &script);
    if (rc < 0)
        coherence_keeper_unref(c);
    return rc;
}

uint32_t combined_places_locked(const struct coherence_combine *m)
{
    return m->crowd > 0 ? 1 : UNDER_WAY_MAX;
}

void combined_note_crowd_locked(struct coherence_combine *m, uint32_t calls)
{
    if (calls > UNDER_WAY_MAX)
        m->crowd = CROWD_SCRIPTS;
    else
        m->crowd -= m->crowd > 0;
}

struct combined *combined_take_locked(struct coherence_combine *m, bool counts)
{
    struct combined *b = m->pending;
    m->pending = NULL;
    if (b) {
        b->counts = counts;
        combined_note_crowd_locked(m, b->calls);
        set_state_locked(b, SENT);
    }
    return b;
}

void combined_send(struct combined *b)
{
    if (send(b) < 0)
        end(b, UNKNOWN);
}

void coherence_combine_end(struct coherence *c)
{
    struct coherence_combine *m = c->combine;
    for (;;) {
        pthread_mutex_lock(&m->lock);
        bool full = m->under_way > combined_places_locked(m);
        struct combined *b = full ? NULL : combined_take_locked(m, true);
        m->under_way -= !b;
        pthread_mutex_unlock(&m->lock);
        if (!b || send(b) == 0)
            return;
        end(b, UNKNOWN);
    }
}

/* On the I/O thread: leaves the answer to one of the calls, and sends what has waited for it. */
static void answered(void *arg, struct l2_answer *answer)
{
    struct combined *b = arg;
    struct coherence *c = b->coherence;
    struct coherence_combine *m = c->combine;
    struct combined *dropped = NULL;
    pthread_mutex_lock(&m->lock);
    bool counts = b->counts;
    bool waited = b->waiting > 0;
    b->counts = false;
    b->answer = answer;
    set_state_locked(b, ANSWERED);
    if (!waited)
        dropped = combined_retire_locked(m, b);
    pthread_mutex_unlock(&m->lock);
    if (waited)
        wake(c, b, 1);
    else
        l2_answer_free(answer);
    combined_drop(c, dropped);
    if (counts)
        coherence_combine_end(c);
    coherence_keeper_unref(c);
}

/* ---- settling ---- */

/* Whether the answer is ours to settle. */
static bool claim(struct combined *b)
{
    struct coherence_combine *m = b->coherence->combine;
    pthread_mutex_lock(&m->lock);
    bool ours = combined_state(b) == ANSWERED;
    if (ours)
        set_state_locked(b, SETTLING);
    pthread_mutex_unlock(&m->lock);
    return ours;
}

static void accepted(struct combined *b, const struct l2_answer *answer)
{
    struct coherence_accepted a = {
        .items = b->items,
        .item_count = b->item_count,
        .answer = answer,
        .call = b->call,
        .nonce = b->nonce,
        .known = b->known,
        .uncounted = b->item_count, /* until nobody can leave any more: end() */
    };
    b->outcome.unfollowed = coherence_settle(b->coherence, &a);
    b->outcome.position =
        (struct coherence_position){answer->clock.identity, answer->clock.sequence};
}

/* Returns the state that the answer leads to: SENT if it has to be sent again. */
static uint32_t judge(struct combined *b, const struct l2_answer *answer)
{
    struct coherence *c = b->coherence;
    if (coherence_told_schemas(c, answer))
        return b->sent < COHERENCE_NAMED_TRIES ? SENT : UNKNOWN;
    if (answer->status == NIGH_EREDIS && b->calls > 1)
        return APART;
    if (answer->status != 0 || coherence_outlived(c, answer))
        return UNKNOWN;
    accepted(b, answer);
    return SETTLED;
}

static void settle(struct combined *b)
{
    struct coherence_combine *m = b->coherence->combine;
    struct l2_answer *answer = b->answer;
    uint32_t state = judge(b, answer);
    l2_answer_free(answer);
    if (state != SENT) {
        end(b, state);
        return;
    }
    pthread_mutex_lock(&m->lock);
    set_state_locked(b, SENT);
    pthread_mutex_unlock(&m->lock);
    combined_send(b);
}

bool combined_settle(struct combined *b)
{
    bool ours = claim(b);
    if (ours)
        settle(b);
    return ours;
}
