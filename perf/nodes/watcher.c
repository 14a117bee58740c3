// SPDX-License-Identifier: MIT
/*
 * The watcher: notes when this node's link to Redis is not what it should be.
 *
 * Redis counts as away from before the first sign of trouble until its clock has been read over a
 * new data connection, or until the signs stop; everything became stale around each
 * resynchronisation, each loss of trust, and from when the clock that was followed turned out to be
 * another until one is followed again. After a resynchronisation the node may have changes to issue
 * once more, to a server that does not know them: that lasts until nothing has been queued for some
 * looks. What it notes too wide makes generations.c milder for that moment, so it looks often.
 *
 * It also learns of the acceptance of queued invalidations: when nigh_drain() says that none is
 * left, all that were queued before the question have been accepted.
 */
#include "nodes/member.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "support/fail.h"

#define LOOK_EVERY_NS (2 * PERF_NS_PER_MS)
#define MEMORY_EVERY 16 /* looks */
#define CALM_LOOKS 5    /* looks without a sign of trouble, or with nothing queued, end it */
#define OPEN_MAX 256    /* queued updates looked after at a time */

/* Counters whose rise means that Redis did not answer as it should. */
static const char *const signs[] = {"l2_lost",     "l2_timeout",      "l2_error",
                                    "l2_refused",  "l2_breaker_open", "l2_connect_failed",
                                    "l2_bad_reply", "l2_fill_error"};
#define SIGN_COUNT (sizeof(signs) / sizeof(signs[0]))

struct watcher {
    struct member *member;
    int64_t seen[SIGN_COUNT];
    int64_t resyncs;
    int64_t renewals;
    int64_t following;   /* a clock of Redis */
    bool trusted;
    uint64_t last_ns;    /* when the look before began */
    uint64_t away_ns;    /* since when Redis is away; 0: it is not */
    uint64_t known_ns;   /* ... and since when the clients know */
    uint64_t unknown_ns; /* since when no clock of it is followed; 0: one is */
    uint64_t again_ns;   /* since when changes may be issued again; 0: none are */
    uint32_t calm;
    uint32_t unqueued;   /* looks with nothing queued */
    uint32_t settled;  /* updates before this one need no look any more */
    uint64_t turn;
};

int64_t watcher_stat(const struct member *m, const char *name)
{
    return nigh_stats_value(m->cache, NULL, name);
}

/* Notes what is seen now: it happened before the time is read here, after the last look began. */
static void note(struct watcher *w, enum trouble_kind kind, uint64_t from_ns)
{
    uint64_t known_ns = kind == TROUBLE_AWAY ? w->known_ns : 0;
    struct trouble t = {from_ns, known_ns, now_ns(), w->member->number, kind};
    if (w->member->plan->check)
        loads_add_trouble(&w->member->loads, &t);
}

static bool sees_trouble(struct watcher *w)
{
    bool any = false;
    for (size_t i = 0; i < SIGN_COUNT; i++) {
        int64_t value = watcher_stat(w->member, signs[i]);
        any |= value != w->seen[i];
        w->seen[i] = value;
    }
    return any;
}

static void set_away(struct watcher *w, uint64_t since_ns)
{
    w->away_ns = since_ns;
    /* Everybody can see it before the clock is read: seq_cst, for a store may wait in its core. */
    atomic_store_explicit(&w->member->self->away, since_ns != 0, memory_order_seq_cst);
    w->known_ns = now_ns();
}

static bool follows_clock(struct watcher *w)
{
    return watcher_stat(w->member, "connected") == 1 && watcher_stat(w->member, "following") == 1;
}

static void watch_link(struct watcher *w, bool resynced)
{
    bool trouble = sees_trouble(w);
    w->calm = trouble ? 0 : w->calm + 1;
    if (trouble && w->away_ns == 0)
        set_away(w, w->last_ns);
    if (w->away_ns && follows_clock(w) && (resynced || w->calm >= CALM_LOOKS)) {
        note(w, TROUBLE_AWAY, w->away_ns);
        set_away(w, 0);
    }
}

/* From meeting a foreign clock until one is followed. Without a connection only the beginning and
 * the end are noted: Redis is away in between, and that is judged more strictly. */
static void watch_clock(struct watcher *w, int64_t following)
{
    bool unknown = following == 0 && watcher_stat(w->member, "connected") == 1;
    if (w->unknown_ns && !unknown)
        note(w, TROUBLE_RENEWED, w->unknown_ns);
    if (!unknown)
        w->unknown_ns = 0;
    else if (w->unknown_ns == 0)
        w->unknown_ns = w->last_ns;
}

static void watch_renewals(struct watcher *w)
{
    int64_t renewals = w->resyncs + watcher_stat(w->member, "trust_lost");
    int64_t following = watcher_stat(w->member, "following");
    if (renewals != w->renewals || following != w->following)
        note(w, TROUBLE_RENEWED, w->last_ns);
    w->renewals = renewals;
    w->following = following;
    watch_clock(w, following);
}

static void watch_changes(struct watcher *w, bool resynced)
{
    bool queued = watcher_stat(w->member, "queued") > 0;
    w->unqueued = queued || resynced ? 0 : w->unqueued + 1;
    if (resynced && w->again_ns == 0)
        w->again_ns = w->last_ns;
    if (w->again_ns && w->unqueued >= CALM_LOOKS) {
        note(w, TROUBLE_ISSUED_AGAIN, w->again_ns);
        w->again_ns = 0;
    }
}

/* Hits see by the clock that trust has ended; the counter of it rises when a thread of nigh's has
 * come to it. */
static void watch_trust(struct watcher *w, uint64_t now)
{
    bool trusted = nigh_health(w->member->cache) == NIGH_FRESH;
    if (w->trusted && !trusted)
        note(w, TROUBLE_RENEWED, w->last_ns);
    w->trusted = trusted;
    atomic_store_explicit(&w->member->self->trusted, trusted, memory_order_relaxed);
    if (trusted)
        return;
    w->member->self->doubt_ns += now - w->last_ns;
    atomic_store_explicit(&w->member->self->doubt_end_ns, now, memory_order_relaxed);
}

static bool is_open(const struct update *u)
{
    /* pair(history.queued): whose update it is was written before */
    return atomic_load_explicit(&u->queued, memory_order_acquire) &&
           atomic_load_explicit(&u->accepted_ns, memory_order_relaxed) == 0;
}

/* Updates that can no longer become open need no further look. */
static void skip_settled(struct watcher *w)
{
    const struct history *h = &w->member->history;
    for (uint32_t count = history_count(h); w->settled < count; w->settled++) {
        const struct update *u = &h->updates[w->settled];
        if (atomic_load_explicit(&u->returned_ns, memory_order_acquire) == 0 || is_open(u))
            return; /* pair(history.returned): `queued` is visible with it */
    }
}

/* The open ones are listed before the question: one that is queued after it is no part of it. */
static void settle_queued(struct watcher *w)
{
    struct member *m = w->member;
    uint32_t open[OPEN_MAX], opens = 0;
    skip_settled(w);
    for (uint32_t i = w->settled; i < history_count(&m->history) && opens < OPEN_MAX; i++)
        if (is_open(&m->history.updates[i]) && m->history.updates[i].node == m->number)
            open[opens++] = i;
    if (opens == 0 || nigh_drain(m->cache, 0) != 0)
        return;
    uint64_t accepted = now_ns();
    while (opens)
        history_accepted(&m->history, open[--opens], accepted);
}

/* Counts this process' own pages: those of the database file, which SQLite maps, are shared. */
static uint64_t resident_bytes(void)
{
    unsigned long pages = 0, shared = 0;
    FILE *in = fopen("/proc/self/statm", "re");
    if (in && fscanf(in, "%*u %lu %lu", &pages, &shared) != 2)
        pages = shared = 0;
    if (in)
        fclose(in);
    return (uint64_t)(pages - shared) * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void watch_memory(struct watcher *w)
{
    struct node *self = w->member->self;
    uint64_t resident = resident_bytes();
    uint64_t peak = (uint64_t)watcher_stat(w->member, "memory_peak_bytes");
    self->resident_peak = resident > self->resident_peak ? resident : self->resident_peak;
    self->memory_peak = peak > self->memory_peak ? peak : self->memory_peak;
}

static void watch_course(struct watcher *w)
{
    struct node *self = w->member->self;
    struct timeline_sample *s = timeline_due(&self->timeline, w->member->plan->seconds);
    if (!s)
        return;
    for (uint32_t i = 0; i < w->member->plan->threads; i++)
        for (int tier = 0; tier < TIER_COUNT; tier++)
            s->answered[tier] += atomic_load_explicit(&self->clients[i].tiers[tier],
                                                      memory_order_relaxed);
    s->memory_bytes = (uint64_t)watcher_stat(w->member, "memory_bytes");
    s->fullest = timeline_fullest(w->member->cache);
}

static void look(struct watcher *w)
{
    uint64_t begin = now_ns();
    int64_t resyncs = watcher_stat(w->member, "resync");
    bool resynced = resyncs != w->resyncs;
    w->resyncs = resyncs;
    if (resynced)
        atomic_store_explicit(&w->member->self->resynced_ns, now_ns(), memory_order_relaxed);
    atomic_store_explicit(&w->member->self->listeners_lost,
                          watcher_stat(w->member, "listener_lost"), memory_order_relaxed);
    watch_link(w, resynced);
    watch_renewals(w);
    watch_changes(w, resynced);
    watch_trust(w, begin);
    if (w->member->plan->check)
        settle_queued(w);
    if (w->turn++ % MEMORY_EVERY == 0)
        watch_memory(w);
    watch_course(w);
    w->last_ns = begin;
}

/* Ends with the run what is not over by then. */
static void note_unfinished(struct watcher *w)
{
    if (w->away_ns)
        note(w, TROUBLE_AWAY, w->away_ns);
    if (w->unknown_ns)
        note(w, TROUBLE_RENEWED, w->unknown_ns);
    if (w->again_ns)
        note(w, TROUBLE_ISSUED_AGAIN, w->again_ns);
}

void watcher_run(struct member *m)
{
    struct watcher w = {.member = m, .last_ns = now_ns()};
    w.resyncs = watcher_stat(m, "resync");
    w.renewals = w.resyncs + watcher_stat(m, "trust_lost");
    w.following = watcher_stat(m, "following");
    sees_trouble(&w);
    while (!shared_stopped(m->shared)) {
        look(&w);
        sleep_ns(LOOK_EVERY_NS);
    }
    nigh_drain(m->cache, 2000);
    look(&w);
    note_unfinished(&w);
    m->self->memory_cap = (uint64_t)watcher_stat(m, "memory_cap_bytes");
    m->self->resyncs = w.resyncs;
    m->self->queued_at_end = nigh_drain(m->cache, 0) != 0;
}
