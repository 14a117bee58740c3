// SPDX-License-Identifier: MIT
// What is over. Why trust was lost is looked for twice: when it is lost, for what holds then may be
// over at the end; and when it is back, for only then is it known whether the link was lost
// meanwhile, and that is the better reason.

#include "coherence/past.h"

#include <stdio.h>
#include <string.h>

#include "coherence/beat.h"
#include "coherence/trust.h"

/* The keeper comes when trust runs out; if it comes so much later it was stopped. */
#define LATE_NS (500 * NS_PER_MS)

void past_init(struct past *p)
{
    pthread_mutex_init(&p->lock, NULL);
}

void past_fini(struct past *p)
{
    pthread_mutex_destroy(&p->lock);
}

static uint64_t now_ms(const struct coherence *c)
{
    return clock_now_ns(c->config.env->clock) / NS_PER_MS;
}

/* ---- trust ---- */

void past_lost(struct coherence *c, uint64_t until_ns)
{
    struct past *p = c->past;
    uint64_t now_ns = clock_coarse_ns(c->config.env->clock);
    uint64_t late_ns = now_ns > until_ns ? now_ns - until_ns : 0;
    struct l2_problem problem;
    p->lost_late_ms = late_ns >= LATE_NS ? late_ns / NS_PER_MS : 0;
    p->resynced = false;
    struct text why = text_into(p->lost_why, sizeof(p->lost_why));
    l2_problem_read(c->config.l2, &problem);
    if (p->lost_late_ms > 0)
        text_add(&why, "this process did not run, or was not ticked, for %.1f s at least",
                 (double)late_ns / 1e9);
    else if (atomic_load_explicit(&c->beat->old_told, memory_order_relaxed))
        text_add(&why, "nodes of an older nigh changed values");
    else if (problem.refused & L2_BEATS)
        text_add(&why, "redis refused: %s", problem.text);
    else
        text_add(&why, "redis was connected, but no beat was answered in time");
}

/* Writes why trust was away: because the link was, if that has ended meanwhile, and we were not
 * stopped for most of it. */
static void say_why(struct coherence *c, uint64_t away_ms, char *why, size_t size)
{
    struct l2_outage o;
    l2_outage_read(c->config.l2, &o);
    if (o.text[0] && o.ago_ms <= away_ms && 2 * c->past->lost_late_ms <= o.lasted_ms)
        snprintf(why, size, "redis was away: %s", o.first);
    else
        snprintf(why, size, "%s", c->past->lost_why);
}

void past_trusted(struct coherence *c, uint64_t away_ns)
{
    struct past *p = c->past;
    char why[sizeof(p->of.doubt.why)];
    uint64_t away_ms = away_ns / NS_PER_MS;
    say_why(c, away_ms, why, sizeof(why));
    pthread_mutex_lock(&p->lock);
    memcpy(p->of.doubt.why, why, sizeof(why));
    p->of.doubt.ago_ms = now_ms(c);
    p->of.doubt.lasted_ms = away_ms;
    p->of.doubt.heard_ms = p->heard_ms;
    p->heard_ms = 0;
    p->of.doubt.stale = p->resynced;
    pthread_mutex_unlock(&p->lock);
}

void past_resync(struct coherence *c, const char *why)
{
    struct past *p = c->past;
    p->resynced = true;
    pthread_mutex_lock(&p->lock);
    p->of.resync.why = why;
    p->of.resync.ago_ms = now_ms(c);
    pthread_mutex_unlock(&p->lock);
}

/* ---- what had waited ---- */

void past_delivered(struct coherence *c, const struct coherence_delivery *d)
{
    struct past *p = c->past;
    pthread_mutex_lock(&p->lock);
    p->of.delivery = *d;
    p->of.delivery.ago_ms = now_ms(c);
    pthread_mutex_unlock(&p->lock);
}

/* Nodes that come back from one outage deliver within seconds of one another: pauses between their
 * attempts are 2 s at most. What comes later is of another. */
#define LATE_APART_MS 10000u

/* Returns for how long Redis may have had what is heard of now: it came after the last beat that
 * vouched for all that was before it; and after the connection was begun, if the clock stood before
 * it then. */
static uint64_t unheard_ms(const struct coherence *c, const struct coherence_message *m)
{
    uint64_t now_ns = clock_coarse_ns(c->config.env->clock);
    uint64_t until_ns = atomic_load_explicit(&c->trust->trusted_until, memory_order_relaxed);
    uint64_t after_ns = until_ns - u64_min(until_ns, c->config.trust_ms * NS_PER_MS);
    struct l2_mark mark = l2_mark_read(c->config.l2);
    if (mark.identity == m->identity && m->sequence > mark.sequence)
        after_ns = u64_max(after_ns, mark.after_ns);
    return until_ns ? (now_ns - u64_min(now_ns, after_ns)) / NS_PER_MS : 0;
}

static bool in_doubt(const struct coherence *c)
{
    uint64_t until_ns = atomic_load_explicit(&c->trust->trusted_until, memory_order_relaxed);
    return clock_coarse_ns(c->config.env->clock) >= until_ns;
}

/* Returns how long after its call a change is heard now, at most: what it has waited (which is told
 * rounded down), its way to Redis, and how long it was there. */
static uint64_t heard_after_ms(uint64_t waited_ms, uint64_t unheard)
{
    return waited_ms + 100 + COHERENCE_LATE_MS + unheard;
}

/*
 * Counts the items of a late frame, each once. An attempt whose answer was lost may have been
 * executed, and is made again: with the same items, and perhaps more behind them, for nothing
 * leaves a queue before it is accepted, and the oldest go first. So a frame that begins with the
 * same thing as the node's last late one is that again, if it was late then: a change that was made
 * since has waited for less than the time between the two. Half of what makes it late is for their
 * ways, which may differ.
 */
static uint32_t count_once_locked(struct past *p, const struct coherence_message *m,
                                  uint64_t waited_ms, uint64_t now) REQUIRES(p->lock)
{
    struct past_sender *last = &p->senders[m->incarnation % PAST_SENDERS];
    struct coherence_message items = *m;
    struct coherence_item item;
    uint64_t first = coherence_message_next(&items, &item) ? coherence_item_hash(&item) : 0;
    bool again = last->node == m->incarnation && last->first == first &&
                 now - last->heard_ms + COHERENCE_LATE_MS / 2 <= waited_ms;
    uint32_t counted = again ? last->items : 0;
    *last = (struct past_sender){m->incarnation, first, now, u32_max(m->item_count, counted)};
    return last->items - counted;
}

void past_late(struct coherence *c, const struct coherence_message *m)
{
    struct past *p = c->past;
    struct coherence_late *l = &p->of.late;
    uint64_t waited_ms = coherence_call_waited_ms(m->call);
    bool late = waited_ms >= COHERENCE_LATE_MS, doubt = in_doubt(c);
    if (!late && !doubt)
        return;
    uint64_t now = now_ms(c), unheard = unheard_ms(c, m);
    pthread_mutex_lock(&p->lock);
    if (doubt)
        p->heard_ms = u64_max(p->heard_ms, unheard);
    if (!late) {
        pthread_mutex_unlock(&p->lock);
        return;
    }
    uint32_t count = count_once_locked(p, m, waited_ms, now);
    if (now >= l->ago_ms + LATE_APART_MS)
        *l = (struct coherence_late){.since_ms = now};
    l->count += count;
    l->ago_ms = now;
    l->heard_ms = u64_max(l->heard_ms, heard_after_ms(waited_ms, unheard));
    if (waited_ms > l->waited_ms) {
        l->waited_ms = waited_ms;
        l->node = m->incarnation;
    }
    pthread_mutex_unlock(&p->lock);
    stats_add(c->config.stats, STATS_FRAME_LATE, count);
}

/* ---- reading ---- */

static void make_age(uint64_t *ms, bool was, uint64_t now)
{
    *ms = was && now > *ms ? now - *ms : 0;
}

void coherence_past_read(struct coherence *c, struct coherence_past *ret)
{
    struct past *p = c->past;
    uint64_t now = now_ms(c);
    pthread_mutex_lock(&p->lock);
    *ret = p->of;
    pthread_mutex_unlock(&p->lock);
    make_age(&ret->doubt.ago_ms, ret->doubt.why[0] != '\0', now);
    make_age(&ret->resync.ago_ms, ret->resync.why != NULL, now);
    make_age(&ret->delivery.ago_ms, ret->delivery.count > 0, now);
    make_age(&ret->late.since_ms, ret->late.count > 0, now);
    make_age(&ret->late.ago_ms, ret->late.count > 0, now);
}
