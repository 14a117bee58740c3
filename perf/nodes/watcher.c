// SPDX-License-Identifier: MIT
/*
 * The watcher: notes when this node's link to Redis is not what it should be.
 *
 * Redis counts as away from before the first sign of trouble until the data connection is made
 * anew, or until the signs stop; everything became stale around each resynchronisation, each loss
 * of trust, and when the clock that was followed turned out to be another. What it notes too wide
 * makes generations.c milder for that moment, so it looks often.
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
#define CALM_LOOKS 5    /* looks without a sign of trouble end it */
#define OPEN_MAX 256    /* queued updates looked after at a time */

/* Counters whose rise means that Redis did not answer as it should. */
static const char *const signs[] = {"l2_lost",     "l2_timeout",      "l2_error",
                                    "l2_refused",  "l2_breaker_open", "l2_connect_failed",
                                    "l2_bad_reply", "l2_fill_error"};
#define SIGN_COUNT (sizeof(signs) / sizeof(signs[0]))

struct watcher {
    struct member *member;
    int64_t seen[SIGN_COUNT];
    int64_t connects;
    int64_t renewals;
    int64_t following; /* a clock of Redis */
    uint64_t last_ns;  /* when the look before began */
    uint64_t away_ns;  /* since when Redis is away; 0: it is not */
    uint32_t calm;
    uint32_t settled;  /* updates before this one need no look any more */
    uint64_t turn;
};

int64_t watcher_stat(const struct member *m, const char *name)
{
    return nigh_stats_value(m->cache, NULL, name);
}

/* What is seen now happened before the time is read here, and after the look before began. */
static void note(struct watcher *w, enum trouble_kind kind, uint64_t from_ns)
{
    struct trouble t = {from_ns, now_ns(), w->member->number, kind};
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
    atomic_store_explicit(&w->member->self->away, since_ns != 0, memory_order_relaxed);
}

static void watch_link(struct watcher *w)
{
    int64_t connects = watcher_stat(w->member, "l2_connect");
    bool reconnected = connects != w->connects;
    bool trouble = sees_trouble(w);
    w->connects = connects;
    w->calm = trouble ? 0 : w->calm + 1;
    if (trouble && w->away_ns == 0)
        set_away(w, w->last_ns);
    bool linked = watcher_stat(w->member, "connected") == 1;
    if (w->away_ns && linked && (reconnected || w->calm >= CALM_LOOKS)) {
        note(w, TROUBLE_AWAY, w->away_ns);
        set_away(w, 0);
    }
}

static void watch_renewals(struct watcher *w)
{
    int64_t renewals = watcher_stat(w->member, "resync") + watcher_stat(w->member, "trust_lost");
    int64_t following = watcher_stat(w->member, "following");
    if (renewals == w->renewals && following == w->following)
        return;
    w->renewals = renewals;
    w->following = following;
    note(w, TROUBLE_RENEWED, w->last_ns);
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

/* Of this process alone: pages of the database file, which SQLite maps, are shared. */
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

static void look(struct watcher *w)
{
    uint64_t begin = now_ns();
    watch_link(w);
    watch_renewals(w);
    if (w->member->plan->check)
        settle_queued(w);
    if (w->turn++ % MEMORY_EVERY == 0)
        watch_memory(w);
    w->last_ns = begin;
}

void watcher_run(struct member *m)
{
    struct watcher w = {.member = m, .last_ns = now_ns()};
    w.connects = watcher_stat(m, "l2_connect");
    w.renewals = watcher_stat(m, "resync") + watcher_stat(m, "trust_lost");
    w.following = watcher_stat(m, "following");
    sees_trouble(&w);
    while (!shared_stopped(m->shared)) {
        look(&w);
        sleep_ns(LOOK_EVERY_NS);
    }
    nigh_drain(m->cache, 2000);
    look(&w);
    if (w.away_ns)
        note(&w, TROUBLE_AWAY, w.away_ns);
    m->self->memory_cap = (uint64_t)watcher_stat(m, "memory_cap_bytes");
    m->self->resyncs = watcher_stat(m, "resync");
    m->self->queued_at_end = nigh_drain(m->cache, 0) != 0;
}
