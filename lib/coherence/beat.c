// SPDX-License-Identifier: MIT
// The beat: what keeps trust alive, and finds out what the channel has lost (rule 9).
//
// One request at a time, a beat or a resync, sent and judged by the keeper:
//
//   sent -> answer -> whole trail     trust counts from the time it was sent
//                  -> more            the next beat at once, no trust yet
//                  -> trail lost      forget the clock; a resync at once: trust from its sending
//                  -> rewound         as if lost, and the clock gets a new identity (rule 16)
//                  -> failed          the next beat in its time
//                  -> voided          discarded; another beat
//
// Why trust counts from the sending: Redis answered for what it had executed when it ran the
// script, which is some time after the sending and any time before the answer is looked at.
//
// Why a resync starts from no clock: its answer replaces the groups. Were a clock followed while it
// is on its way, a change of ours could be accepted and noted there, and then be overwritten by the
// answer, which is older. Without a clock that change moves `voids` and the answer is discarded.

#include "coherence/beat.h"
#include "coherence/apply.h"
#include "coherence/behind.h"
#include "coherence/keeper.h"
#include "coherence/listener.h"
#include "coherence/message.h"
#include "coherence/past.h"
#include "coherence/queue.h"
#include "coherence/recent.h"
#include "coherence/schemas.h"
#include "coherence/state.h"
#include "coherence/trust.h"

/* Entries asked for at once: an answer of some 100 KiB, applied in well under a millisecond. */
#define BEAT_ENTRIES 512u
/* Least time between beats on demand: gaps and bad frames may come at any rate, and one beat
 * answers many. The first is sent at once; while demands go on the time doubles, so that a hundred
 * nodes that all miss something all the time ask Redis some thousand times a second, not 20,000. */
#define BEAT_SPACING_NS (5 * NS_PER_MS)
#define BEAT_SPACING_MAX_NS (80 * NS_PER_MS)
#define BEAT_SPACING_JITTER_PERCENT 25u
/* Resyncs, whose answers may be large, are spaced in the same way. One recovery takes up to three
 * of them (a clock met, renewed, followed) and one that is void; those after them come of something
 * that will not end soon. */
#define RESYNC_FREE 4u
#define RESYNC_PAUSE_NS (100 * NS_PER_MS)
#define RESYNC_PAUSE_MAX_NS (2 * NS_PER_S)
#define RESYNC_JITTER_PERCENT 50u
/* A frame that is too large for the log comes by the channel, if at all, within so long. */
#define BEAT_LARGE_NS (250 * NS_PER_MS)
#define FIRST_LOOK_NS (5 * NS_PER_MS) /* between looks of who waits for the first clock */
#define BEAT_JITTER_PERCENT 10u /* parts nodes that were opened together */
/* A listener that hears nothing on a new connection either. */
#define DEAF_PAUSE_NS (10 * NS_PER_S)
#define DEAF_PAUSE_MAX_NS (80 * NS_PER_S)

static uint64_t beat_period_ns(const struct coherence *c)
{
    return c->config.beat_ms * NS_PER_MS;
}

/* Keeper: wishes for a beat, which needs no poke. */
static void want_another(struct coherence *c)
{
    atomic_store_explicit(&c->keeper->beat_wanted, true, memory_order_relaxed);
}

void coherence_beat_anew(struct coherence *c)
{
    atomic_store_explicit(&c->beat->vain, false, memory_order_relaxed);
    /* before the wish, which orders it: pair(coherence.beat) */
    atomic_store_explicit(&c->beat->link_new, true, memory_order_relaxed);
    coherence_keeper_want_beat(c);
}

/* ---- sending ---- */

static uint64_t send_due_ns(const struct coherence *c)
{
    const struct coherence_beat *b = c->beat;
    /* setting it pokes us */
    bool wanted = atomic_load_explicit(&c->keeper->beat_wanted, memory_order_relaxed);
    uint64_t due_ns = wanted || b->resync_next ? u64_min(b->earliest_ns, b->due_ns) : b->due_ns;
    return b->resync_next ? u64_max(due_ns, b->resync_at_ns) : due_ns;
}

/* Spaces beats on demand: a demand that comes when the next one was just allowed is one of many. */
static void space_demands(struct coherence *c, bool wanted, uint64_t now_ns)
{
    struct coherence_beat *b = c->beat;
    if (now_ns >= b->earliest_ns + b->spacing_ns)
        b->spacing_ns = BEAT_SPACING_NS;
    else if (wanted)
        b->spacing_ns = u64_min(2 * b->spacing_ns, BEAT_SPACING_MAX_NS);
    b->earliest_ns = now_ns + random_jitter(c->config.env->random, b->spacing_ns,
                                            BEAT_SPACING_JITTER_PERCENT);
}

static void space_resyncs(struct coherence *c, uint64_t now_ns)
{
    struct coherence_beat *b = c->beat;
    uint64_t pause_ns = 0;
    if (now_ns >= b->resync_at_ns + RESYNC_PAUSE_MAX_NS)
        b->resyncs = 0;
    if (++b->resyncs >= RESYNC_FREE)
        pause_ns = RESYNC_PAUSE_NS << u64_min(b->resyncs - RESYNC_FREE, 10);
    pause_ns = u64_min(pause_ns, RESYNC_PAUSE_MAX_NS);
    b->resync_at_ns =
        now_ns + random_jitter(c->config.env->random, pause_ns, RESYNC_JITTER_PERCENT);
}

static void forget_spacing(struct coherence_beat *b)
{
    b->earliest_ns = b->resync_at_ns = 0;
    b->spacing_ns = BEAT_SPACING_NS;
    b->resyncs = 0;
}

static int queue_beat(struct coherence *c, const struct l2_op *op)
{
    struct l2_beat beat = {
        .after_seq = c->beat->after_seq,
        .limit = BEAT_ENTRIES,
        .nonce = random_id(c->config.env->random),
        .frame_head = coherence_message_head(),
    };
    return l2_beat(c->config.l2, &beat, op);
}

static int queue_resync(struct coherence *c, const struct l2_op *op)
{
    struct l2_resync resync = {.nonce = random_id(c->config.env->random)};
    uint8_t replid[L2_REPLID_BYTES], renew_replid[L2_REPLID_BYTES];
    pthread_mutex_lock(&c->state->apply_lock);
    memcpy(replid, c->state->replid, sizeof(replid));
    resync.replid = bytes_of(replid, sizeof(replid));
    resync.id = c->state->clk_id;
    resync.after_seq = c->state->chain.applied;
    resync.renew = c->state->renew;
    memcpy(renew_replid, c->state->renew_replid, sizeof(renew_replid));
    resync.renew_replid = bytes_of(renew_replid, sizeof(renew_replid));
    pthread_mutex_unlock(&c->state->apply_lock);
    return l2_resync(c->config.l2, &resync, op);
}

/* Gives half of the trust: a later answer would leave little of it, a lost one costs only one try.
 * (It is patient: on a thin wire a resync may take longer than trust, and a beat goes after it.) */
static uint64_t answer_deadline_ns(const struct coherence *c, uint64_t now_ns)
{
    return now_ns + c->config.trust_ms * NS_PER_MS / 2;
}

static void fail(struct coherence *c)
{
    stats_count(c->config.stats, STATS_BEAT_FAILED);
}

/* Whether no clock has been followed yet. */
static bool is_start(const struct coherence *c)
{
    return atomic_load_explicit(&c->state->rounds, memory_order_relaxed) == 0;
}

static void send(struct coherence *c, uint64_t now_ns)
{
    struct coherence_beat *b = c->beat;
    struct env *env = c->config.env;
    /* pair(coherence.beat): wishes from here on want another beat */
    bool wanted = atomic_exchange_explicit(&c->keeper->beat_wanted, false, memory_order_acquire);
    b->resync = b->resync_next;
    b->resync_next = false;
    space_demands(c, wanted, now_ns);
    if (b->resync)
        space_resyncs(c, now_ns);
    b->due_ns = now_ns + random_jitter(env->random, beat_period_ns(c), BEAT_JITTER_PERCENT);
    pthread_mutex_lock(&c->state->apply_lock);
    b->voids = c->state->voids;
    b->after_seq = c->state->chain.applied;
    b->known = coherence_known_locked(c);
    recent_trim(c->recent, now_ns);
    pthread_mutex_unlock(&c->state->apply_lock);
    b->asked_ns = now_ns;
    b->sent_ns = clock_coarse_ns(env->clock);
    struct l2_op op = coherence_request_begin(&b->request, answer_deadline_ns(c, now_ns));
    int rc = b->resync ? queue_resync(c, &op) : queue_beat(c, &op);
    if (rc < 0)
        coherence_request_undo(&b->request);
    bool no_link_yet = rc == NIGH_EOFFLINE && is_start(c);
    if (rc < 0 && !no_link_yet)
        fail(c);
}

/* ---- answers ---- */

static uint32_t listens_now(const struct coherence *c)
{
    return atomic_load_explicit(&c->listener->listens, memory_order_relaxed); /* just a hint */
}

/* Reconnects the listener; where that was of no use the last time, as where a node may change but
 * not publish, ever more seldom: each time it is two lines in the log. */
static void give_up_listener(struct coherence *c, uint64_t heard)
{
    struct coherence_beat *b = c->beat;
    bool again = b->deaf_pause_ns && heard == b->deaf_at;
    if (again && b->sent_ns < b->deaf_until_ns)
        return;
    b->deaf_pause_ns = again ? u64_min(2 * b->deaf_pause_ns, DEAF_PAUSE_MAX_NS) : DEAF_PAUSE_NS;
    b->deaf_until_ns = b->sent_ns + b->deaf_pause_ns;
    b->deaf_at = heard;
    l2_channel_reconnect(c->listener->channel);
}

/*
 * Reconnects a listener that has not heard by now the changes that Redis had a whole beat ago: it
 * hears nothing, whatever its socket says. Beats pull what it misses, so this is about delay, not
 * about truth. Changes from before it subscribed, or under another clock, prove nothing: the count
 * starts anew.
 */
static void watch_listener(struct coherence *c, uint64_t sequence, uint64_t heard)
{
    struct coherence_beat *b = c->beat;
    uint32_t listens = listens_now(c);
    uint64_t apart_ns = beat_period_ns(c) * (100 - BEAT_JITTER_PERCENT) / 100;
    if (listens != b->checked_listens)
        b->heard_base = sequence;
    else if (b->sent_ns - b->checked_ns < apart_ns)
        return;
    else if (COHERENCE_LISTENING(listens) && u64_max(heard, b->heard_base) < b->checked_seq)
        give_up_listener(c, heard);
    b->checked_listens = listens;
    b->checked_seq = sequence;
    b->checked_ns = b->sent_ns;
}

static struct coherence_told told_locked(const struct coherence *c, const struct l2_answer *a)
    REQUIRES(c->state->apply_lock)
{
    struct l2_mark mark = l2_mark_read(c->config.l2);
    if (mark.identity != a->clock.identity)
        mark.identity = 0;
    return (struct coherence_told){
        .mark = mark,
        .sequence = a->clock.sequence,
        .asked_ns = c->beat->asked_ns,
        .now_ns = clock_now_ns(c->config.env->clock),
        .heard = c->state->heard,
        .listens = listens_now(c),
    };
}

/* Measures how far the channel is behind what the answer tells. A trail that goes on in the next
 * answer is judged there: only then is applied here what this one tells. */
static void time_behind_locked(struct coherence *c, const struct l2_answer *a,
                               enum coherence_trail trail) REQUIRES(c->state->apply_lock)
{
    struct coherence_told told = told_locked(c, a);
    uint64_t ns;
    bool followed = trail == COHERENCE_TRAIL_WHOLE || trail == COHERENCE_TRAIL_LARGE;
    if (followed && coherence_behind_told(&c->state->behind, &told, &ns))
        stats_time(c->config.stats, STATS_COHERENCE_LAG, ns);
}

/* Whether the answer may be used at all, whatever is in it. A guest without a clock hears of its
 * own beats, and of those of other guests: beats on demand would be answers to each other. */
static bool usable(struct coherence *c, const struct l2_answer *a)
{
    if (a->status == 0 && a->clock.identity != 0)
        return true;
    atomic_store_explicit(&c->beat->vain, true, memory_order_relaxed);
    if (c->config.guest)
        c->beat->earliest_ns = c->beat->due_ns;
    fail(c);
    return false;
}

/*
 * Whether the answer may be older than something that was met since its request was sent: then
 * another beat is wanted. A later answer with the same clock is nothing of the kind: where writers
 * are busy there is always one.
 */
static bool outdated_locked(struct coherence *c, const struct l2_answer *a)
    REQUIRES(c->state->apply_lock)
{
    bool outlived = coherence_outlived_locked(c, a);
    if (!outlived && c->beat->voids == c->state->voids)
        return false;
    fail(c);
    want_another(c);
    return true;
}

static void again_at_once(struct coherence *c, bool resync)
{
    c->beat->resync_next = resync;
    c->beat->earliest_ns = 0;
    want_another(c);
}

/* Extends trust, but not while nodes of wire version 1 change values: those changes are not in our
 * order, and nothing is vouched for before such nodes rest. */
static void vouch(struct coherence *c, const struct l2_answer *a)
{
    bool old_told = atomic_load_explicit(&c->beat->old_told, memory_order_relaxed);
    stats_count(c->config.stats, STATS_BEAT);
    coherence_trust_learn_time(c, &a->clock, c->beat->sent_ns);
    if (!a->clock.old_moved)
        coherence_trust_extend(c, c->beat->sent_ns);
    if (a->clock.old_moved && !old_told)
        LOG(c->config.env->log, NIGH_LOG_WARN,
            "nodes of an older nigh change values under this prefix: nothing stored is fresh while "
            "they do");
    /* just a hint to the listener; regular beats look by themselves */
    atomic_store_explicit(&c->beat->old_told, a->clock.old_moved, memory_order_relaxed);
}

static void beat_whole(struct coherence *c, const struct l2_answer *a, uint64_t heard)
{
    vouch(c, a);
    watch_listener(c, a->clock.sequence, heard);
}

/* Gives a large frame time, for it may be on its way to the listener: beats are sent for a while,
 * and only then is the trail lost. */
static enum coherence_trail patient(struct coherence *c, enum coherence_trail trail)
{
    struct coherence_beat *b = c->beat;
    uint64_t now_ns = clock_now_ns(c->config.env->clock);
    if (trail != COHERENCE_TRAIL_LARGE)
        b->large_ns = 0;
    else if (b->large_ns == 0)
        b->large_ns = now_ns;
    bool waits = COHERENCE_LISTENING(listens_now(c)) && now_ns - b->large_ns < BEAT_LARGE_NS;
    return trail == COHERENCE_TRAIL_LARGE && !waits ? COHERENCE_TRAIL_LOST : trail;
}

/* Where the clock is another, that is the reason, and not how long the log is. */
static void lose_trail_locked(struct coherence *c, const struct l2_answer *a)
    REQUIRES(c->state->apply_lock)
{
    if (!coherence_follows_locked(c, a->clock.identity)) {
        coherence_forget_locked(c);
        return;
    }
    stats_count(c->config.stats, STATS_LOG_SHORT);
    coherence_forget_for_locked(c, "redis' log did not reach back to what was applied here");
}

static void beat_answered(struct coherence *c, const struct l2_answer *a)
{
    if (!usable(c, a))
        return;
    pthread_mutex_lock(&c->state->apply_lock);
    bool outdated = outdated_locked(c, a);
    enum coherence_trail trail = COHERENCE_TRAIL_LOST;
    if (!outdated)
        trail = patient(c, coherence_apply_log_locked(c, a, &c->beat->known));
    if (!outdated && trail == COHERENCE_TRAIL_LOST)
        lose_trail_locked(c, a);
    if (!outdated && trail == COHERENCE_TRAIL_REWOUND)
        coherence_rewound_locked(c);
    if (!outdated)
        time_behind_locked(c, a, trail);
    uint64_t heard = c->state->heard;
    pthread_mutex_unlock(&c->state->apply_lock);
    if (outdated)
        return;
    if (trail == COHERENCE_TRAIL_WHOLE)
        beat_whole(c, a, heard);
    else if (trail == COHERENCE_TRAIL_LARGE)
        coherence_keeper_want_beat(c);
    else
        again_at_once(c, trail != COHERENCE_TRAIL_MORE);
}

/* Whether the clock has our number of group slots. A node with another number would look for groups
 * elsewhere: there is no safe reading. */
static bool clk_fits(struct coherence *c, const struct l2_answer *a)
{
    bool same = a->slots == c->config.group_slots;
    atomic_store_explicit(&c->beat->slots_there, same ? 0 : a->slots, memory_order_relaxed);
    if (same)
        return true;
    atomic_store_explicit(&c->beat->vain, true, memory_order_relaxed);
    LOG(c->config.env->log, NIGH_LOG_ERROR,
        "coherence.group_slots is %u here but %u in redis: until they agree no value is called "
        "fresh here, and no change of this node reaches others",
        c->config.group_slots, a->slots);
    stats_count(c->config.stats, STATS_GROUP_SLOTS_DIFFER);
    c->beat->earliest_ns = c->beat->due_ns; /* the next will be the same, and answers are large */
    fail(c);
    return false;
}

static void clock_taken(struct coherence *c, const struct l2_answer *a, const char *why)
{
    if (!is_start(c)) {
        past_resync(c, why);
        LOG(c->config.env->log, NIGH_LOG_WARN,
            "redis is another, or has lost the trail: what was stored before is stale");
        stats_count(c->config.stats, STATS_RESYNC);
    }
    vouch(c, a);
    c->beat->checked_listens = COHERENCE_LISTENS_NEVER;
    /* pair(coherence.rounds): the clock was taken before the word changes */
    atomic_fetch_add_explicit(&c->state->rounds, 1, memory_order_release);
    park_wake(c->config.env->park, &c->state->rounds, PARK_ALL);
    c->config.sink.wake(c->config.sink.arg);
}

static void tell_again(void *arg, const struct coherence_item *item)
{
    coherence_queue_put(arg, item, true); /* an item that does not fit is folded there */
}

/*
 * Rule 13. Queues own changes of the last seconds before the clock is followed: while they are
 * queued, L2 is not believed for what they cover. The server that we come from had accepted them,
 * and this one may not know them.
 */
static void tell_recent_locked(struct coherence *c, uint64_t identity)
    REQUIRES(c->state->apply_lock)
{
    recent_each(c->recent, identity, clock_now_ns(c->config.env->clock), tell_again, c);
}

static void resync_answered(struct coherence *c, const struct l2_answer *a)
{
    if (!usable(c, a) || !clk_fits(c, a))
        return;
    coherence_trust_learn_time(c, &a->clock, c->beat->sent_ns); /* who has a position has a time */
    schemas_learn(c->schemas, c->config.env->mem, &a->clock, a->value);
    pthread_mutex_lock(&c->state->apply_lock);
    bool outdated = outdated_locked(c, a);
    bool follow = !outdated && coherence_may_follow_locked(c, &a->clock, &c->beat->known);
    const char *why = c->state->left_why;
    if (follow) {
        tell_recent_locked(c, a->clock.identity);
        coherence_follow_locked(c, a);
        struct coherence_told told = told_locked(c, a);
        coherence_behind_begin(&c->state->behind, &told);
    }
    pthread_mutex_unlock(&c->state->apply_lock);
    if (follow)
        clock_taken(c, a, why);
    else
        again_at_once(c, true);
}

/* Nobody tells who waits that no connection was made, or that an answer has brought nothing: he
 * looks now and then. */
bool coherence_wait_for_first(struct coherence *c, uint64_t deadline_ns)
{
    const struct env *env = c->config.env;
    /* pair(coherence.rounds): what its answer has told is there once the first clock is taken */
    while (atomic_load_explicit(&c->state->rounds, memory_order_acquire) == 0) {
        uint64_t now_ns = clock_now_ns(env->clock);
        bool vain = atomic_load_explicit(&c->beat->vain, memory_order_relaxed);
        if (now_ns >= deadline_ns || vain || !l2_is_awaited(c->config.l2))
            return false;
        park_wait(env->park, &c->state->rounds, 0, u64_min(deadline_ns, now_ns + FIRST_LOOK_NS));
    }
    return true;
}

uint64_t coherence_beat_step(struct coherence *c)
{
    struct coherence_beat *b = c->beat;
    struct l2_answer *answer = coherence_request_take(&b->request);
    if (answer) {
        if (b->resync)
            resync_answered(c, answer);
        else
            beat_answered(c, answer);
        l2_answer_free(answer);
    }
    uint64_t now_ns = clock_now_ns(c->config.env->clock);
    if (atomic_exchange_explicit(&b->link_new, false, memory_order_relaxed))
        forget_spacing(b);
    if (!b->request.busy && now_ns >= send_due_ns(c))
        send(c, now_ns);
    uint64_t trust_ns = coherence_trust_watch(c);
    return b->request.busy ? trust_ns : u64_min(trust_ns, send_due_ns(c));
}

/* ---- life ---- */

void coherence_beat_init(struct coherence *c)
{
    c->beat->request.coherence = c;
    c->beat->checked_listens = COHERENCE_LISTENS_NEVER;
}

void coherence_beat_fini(struct coherence_beat *b)
{
    if (b->request.answer)
        l2_answer_free(b->request.answer);
}
