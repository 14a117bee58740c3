// SPDX-License-Identifier: MIT
// Applying the changes of all nodes, in the order in which Redis executed them (rules 2, 7, 8).
//
// `applied` says up to where this node has applied everything; it moves in steps of one, whether a
// step comes by the channel, by the log of a beat, or by the local step of a change of this node
// that happens to be the next. A change that arrives again is not above it, and is dropped; one
// that arrives early is not applied but makes a beat fetch those that are missing, for nothing may
// be vouched for with a hole below it.
//
// The changes are a chain: each frame has a nonce and names that of the one before it. Where a
// frame or an answer says another nonce of a position than is known here, it tells another history:
// an older copy of the data was loaded in place, and has grown again. Nothing that was stamped
// before can be trusted then (rule 16). Compared are the predecessor of the change applied next;
// each entry of a beat that has come by the channel meanwhile, for that may have been the old
// history's; and `known`, for a change of ours may have been accepted ahead of `applied`.
//
// Own changes do their local step when the answer comes, out of order with what others did. That is
// sound: group positions and floors only rise, so early is as good as in time. Their frame is then
// skipped, but only if the step is done: between script and answer the writer's thread may be
// paused while a beat applies the log and vouches for it.

#include "coherence/apply.h"
#include "coherence/beat.h"
#include "coherence/behind.h"
#include "coherence/keeper.h"
#include "coherence/past.h"
#include "coherence/probe.h"
#include "coherence/message.h"
#include "coherence/queue.h"
#include "coherence/state.h"

/* ---- one item ---- */

static void raise_position(_Atomic uint64_t *position, uint64_t sequence)
{
    /* pair(coherence.view): readers look again at view after loading it; we hold the lock */
    if (sequence > atomic_load_explicit(position, memory_order_relaxed))
        atomic_store_explicit(position, sequence, memory_order_release);
}

/*
 * Raises the group's position in Redis' order, then its floor here. The other way round a reader
 * could take a ticket above the floor, get the old value from L2, judge it by the old position as
 * fresh and store it: it would be above every floor.
 */
static void apply_group_locked(struct coherence *c, const struct coherence_item *item,
                               uint64_t sequence) REQUIRES(c->state->apply_lock)
{
    uint16_t slot = coherence_item_slot(item, c->config.group_slots);
    struct coherence_group *g = &c->state->groups[slot];
    raise_position(item->soft ? &g->soft : &g->hard, sequence);
    uint64_t floor = c->config.sink.group(c->config.sink.arg, slot, item->soft);
    if (c->config.sink.raised)
        c->config.sink.raised(c->config.sink.arg, item, slot, floor);
}

uint64_t coherence_apply_item_locked(struct coherence *c, const struct coherence_item *item,
                                     uint64_t sequence)
{
    if (item->kind == WIRE_KEY)
        return c->config.sink.key(c->config.sink.arg, item);
    apply_group_locked(c, item, sequence);
    return 0;
}

void coherence_applied_locked(struct coherence *c, uint64_t sequence, uint64_t nonce)
{
    coherence_chain_advance(&c->state->chain, sequence, nonce);
    coherence_known_raise_locked(c, sequence, nonce);
}

/* ---- one frame ---- */

static struct coherence_call *own_call(const struct coherence *c, uint64_t call)
{
    return &c->apply->own[call % COHERENCE_FINISHED_CALLS];
}

void coherence_begin_call(struct coherence *c, uint64_t call, uint64_t made_ns)
{
    struct coherence_call *own = own_call(c, call);
    pthread_mutex_lock(&c->state->apply_lock);
    own->begun = call;
    own->made_ns = made_ns;
    pthread_mutex_unlock(&c->state->apply_lock);
}

void coherence_finish_call_locked(struct coherence *c, uint64_t call)
{
    own_call(c, call)->finished = call;
}

struct coherence_heard coherence_heard_locked(const struct coherence *c, uint64_t call)
{
    const struct coherence_call *own = own_call(c, call);
    return own->early == call ? own->heard : (struct coherence_heard){0, 0};
}

static bool is_own(const struct coherence *c, const struct coherence_message *m)
{
    return m->incarnation == c->incarnation;
}

static bool is_done_here_locked(const struct coherence *c, const struct coherence_message *m)
    REQUIRES(c->state->apply_lock)
{
    return is_own(c, m) && own_call(c, m->call)->finished == m->call;
}

/* Returns the highest floor that stands for a key of a frame. */
static uint64_t floors_of_keys_locked(const struct coherence *c, struct coherence_message m)
    REQUIRES(c->state->apply_lock)
{
    struct coherence_item item;
    uint64_t highest = 0;
    while (coherence_message_next(&m, &item))
        if (item.kind == WIRE_KEY)
            highest = u64_max(highest, c->config.sink.floor(c->config.sink.arg, &item));
    return highest;
}

/* Applies a frame of ours whose call has not done its local step, and leaves a note for that. The
 * floors that it raises hide those that stood before. One of these may be of a change that Redis
 * has, or will have, after this one, and that this node has applied already: then the value of this
 * one must not come into L1. Keys share floors, so all are looked at before the first is raised:
 * else what one key of the frame has raised would count against the others.
 *
 * One floor for all keys of the frame is enough. It keeps out more than it must where a call puts
 * several, its frame outruns its answer, and another change of one of them came after the ticket:
 * then the others, too, are fetched by their next reads. A floor for each would want memory as the
 * frame is applied, and what to do without it. */
static void apply_early_locked(struct coherence *c, struct coherence_message m)
    REQUIRES(c->state->apply_lock)
{
    struct coherence_item item;
    struct coherence_heard heard = {.before = floors_of_keys_locked(c, m)};
    struct coherence_call *call = own_call(c, m.call);
    while (coherence_message_next(&m, &item)) {
        item.early = true;
        item.made_ns = call->begun == m.call ? call->made_ns : 0;
        if (item.kind == WIRE_KEY)
            item.own = coherence_queue_own(c, &item, true);
        heard.floor = u64_max(heard.floor, coherence_apply_item_locked(c, &item, m.sequence));
    }
    call->early = m.call;
    call->heard = heard;
}

static void apply_foreign_locked(struct coherence *c, struct coherence_message m)
    REQUIRES(c->state->apply_lock)
{
    struct coherence_item item;
    past_late(c, &m);
    while (coherence_message_next(&m, &item)) {
        item.node = m.incarnation;
        coherence_apply_item_locked(c, &item, m.sequence);
    }
}

/* Applies the frame after `applied`. Returns how many items were applied. */
static uint32_t apply_next_locked(struct coherence *c, struct coherence_message m)
    REQUIRES(c->state->apply_lock)
{
    bool done = is_done_here_locked(c, &m);
    if (!done && is_own(c, &m))
        apply_early_locked(c, m);
    else if (!done)
        apply_foreign_locked(c, m);
    coherence_applied_locked(c, m.sequence, m.nonce);
    return done ? 0 : m.item_count;
}

/* ---- the log, as a beat brought it ---- */

/* Applies an entry: WHOLE if it is applied. An entry that was written under another clock is a
 * hole, as a missing one is; an empty one was too large to be logged, and may still come by the
 * channel. */
static enum coherence_trail apply_entry_locked(struct coherence *c, struct bytes frame,
                                               uint64_t sequence,
                                               const struct coherence_point *known)
    REQUIRES(c->state->apply_lock)
{
    const struct coherence_chain *chain = &c->state->chain;
    struct coherence_message m;
    bool whole = coherence_message_decode(frame, &m) && m.sequence == sequence &&
                 coherence_follows_locked(c, m.identity);
    if (whole && !coherence_chain_agrees_beyond(chain, known, sequence, m.nonce))
        return COHERENCE_TRAIL_REWOUND;
    if (sequence <= chain->applied)
        return COHERENCE_TRAIL_WHOLE; /* came by the channel meanwhile */
    if (sequence == chain->applied + 1 && frame.len == 0)
        return COHERENCE_TRAIL_LARGE;
    if (sequence != chain->applied + 1 || !whole)
        return COHERENCE_TRAIL_LOST;
    if (!coherence_chain_goes_on_from(chain, m.previous))
        return COHERENCE_TRAIL_REWOUND;
    stats_add(c->config.stats, STATS_BEAT_APPLIED, apply_next_locked(c, m));
    return COHERENCE_TRAIL_WHOLE;
}

enum coherence_trail coherence_apply_log_locked(struct coherence *c, const struct l2_answer *answer,
                                                const struct coherence_point *known)
{
    const struct l2_clock *clock = &answer->clock;
    const struct coherence_chain *chain = &c->state->chain;
    enum coherence_trail trail = COHERENCE_TRAIL_WHOLE;
    if (!coherence_follows_locked(c, clock->identity))
        return COHERENCE_TRAIL_LOST;
    if (!coherence_chain_reaches(chain, clock, known))
        return COHERENCE_TRAIL_REWOUND;
    for (uint32_t i = 0; i < answer->entry_count && trail == COHERENCE_TRAIL_WHOLE; i++)
        trail = apply_entry_locked(c, answer->entries[i], answer->entry_seqs[i], known);
    if (trail != COHERENCE_TRAIL_WHOLE)
        return trail;
    if (!coherence_chain_reaches(chain, clock, known)) /* now that more has been applied */
        return COHERENCE_TRAIL_REWOUND;
    coherence_known_raise_locked(c, clock->sequence, clock->nonce);
    if (clock->sequence > chain->applied)
        return answer->entry_count > 0 ? COHERENCE_TRAIL_MORE : COHERENCE_TRAIL_LOST;
    bool remembered = coherence_chain_remembers(chain, clock->sequence);
    return remembered ? COHERENCE_TRAIL_WHOLE : COHERENCE_TRAIL_MORE;
}

/* ---- the channel ---- */

static void time_behind_locked(struct coherence *c) REQUIRES(c->state->apply_lock)
{
    uint64_t ns;
    if (coherence_behind_heard(&c->state->behind, c->state->heard, c->config.env->clock, &ns))
        stats_time(c->config.stats, STATS_COHERENCE_LAG, ns);
}

/*
 * Takes a frame of the channel (rule 8). False: a beat must tell what this frame alone does not.
 *
 * A frame of another clock is no reason to forget the one that is followed: the listener may hear
 * another server than the one that answers (one that was left, say). The beat tells.
 */
static bool push_locked(struct coherence *c, const struct coherence_message *m)
    REQUIRES(c->state->apply_lock)
{
    const struct coherence_chain *chain = &c->state->chain;
    if (!coherence_follows_locked(c, m->identity))
        return false;
    c->state->heard = u64_max(c->state->heard, m->sequence);
    time_behind_locked(c);
    if (m->sequence <= chain->applied)
        return coherence_chain_agrees(chain, m->sequence, m->nonce);
    if (m->sequence != chain->applied + 1) {
        coherence_known_raise_locked(c, m->sequence, m->nonce);
        stats_count(c->config.stats, STATS_FRAME_GAP);
        return false;
    }
    if (!coherence_chain_goes_on_from(chain, m->previous)) {
        coherence_rewound_locked(c);
        return false;
    }
    stats_add(c->config.stats, STATS_FRAME_APPLIED, apply_next_locked(c, *m));
    return true;
}

/* A fill wakes those that wait for the lease of its key: they ask Redis, so nothing is judged
 * here. */
static void hear_fill(struct coherence *c, struct coherence_message m)
{
    struct coherence_item item;
    while (coherence_message_next(&m, &item))
        c->config.sink.fill(c->config.sink.arg, &item);
}

void coherence_push(struct coherence *c, struct bytes payload)
{
    struct coherence_message m;
    stats_count(c->config.stats, STATS_FRAME);
    if (!coherence_message_decode(payload, &m)) {
        stats_count(c->config.stats, STATS_FRAME_BAD);
        coherence_keeper_want_beat(c); /* the bad frame may have been an invalidation */
        return;
    }
    if (m.sequence == 0) {
        hear_fill(c, m);
        return;
    }
    pthread_mutex_lock(&c->state->apply_lock);
    bool in_order = push_locked(c, &m);
    pthread_mutex_unlock(&c->state->apply_lock);
    coherence_probe_heard(c, m.nonce);
    if (!in_order)
        coherence_keeper_want_beat(c);
}

/* Only a beat's look tells that a node of wire version 1 has changed something. Once it has told
 * that, more frames of such nodes, at whatever rate, say nothing new. */
void coherence_push_old(struct coherence *c, struct bytes payload)
{
    bool told = atomic_load_explicit(&c->beat->old_told, memory_order_relaxed);
    if (!told && coherence_message_of_old_node(payload))
        coherence_keeper_want_beat(c);
}

/* ---- life ---- */

int coherence_apply_init(struct coherence_apply *a, struct mem *mem)
{
    a->own = mem_alloc_zero(mem, COHERENCE_FINISHED_CALLS * sizeof(*a->own));
    return a->own ? 0 : NIGH_ENOMEM;
}

void coherence_apply_fini(struct coherence_apply *a, struct mem *mem)
{
    mem_free(mem, NULL, a->own, COHERENCE_FINISHED_CALLS * sizeof(*a->own));
}
