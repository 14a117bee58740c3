// SPDX-License-Identifier: MIT
/*
 * The updater: commits, then tells nigh what has changed.
 *
 * Updates come as a Poisson process. Most go to any package alike, as uploads do. One in 16 goes by
 * popularity, so that the tags that most pages carry fall too, now and then. One in 4 is aimed at
 * a page that some node is loading at this moment: the races that an invalidation must win.
 */
#include "nodes/member.h"

#include <string.h>

#include "nodes/origin.h"
#include "support/fail.h"

#define DEADLINE_NS (NIGH_DEFAULT_L2_DEADLINE_MS * PERF_NS_PER_MS)

#define FLOOD_KEYS 26u
#define FLOOD_KEY_BYTES 1000u

#define POPULAR_ONE_IN 16
#define AIMED_ONE_IN 4
#define LOOK_AROUND_NS (50 * PERF_NS_PER_MS) /* for the end of the run, while waiting */

struct updater {
    struct member *member;
    struct update_tally *tally;
    struct random_stream random;
    struct origin *origin;
    uint64_t next_ns;
};

/* Returns what a node drawn at random is loading, or began to load last; 0: nothing yet. */
static uint32_t aim(struct updater *u)
{
    uint32_t node = random_below(&u->random, u->member->plan->nodes);
    return atomic_load_explicit(&u->member->shared->nodes[node].loading, memory_order_relaxed);
}

static uint32_t draw(struct updater *u)
{
    const struct population *p = u->member->population;
    uint32_t aimed = random_below(&u->random, AIMED_ONE_IN) == 0 ? aim(u) : 0;
    if (aimed)
        return aimed;
    if (random_below(&u->random, POPULAR_ONE_IN) == 0)
        return 1 + sampler_draw(&p->popular, &u->random);
    return 1 + random_below(&u->random, p->packages);
}

/* The page itself, the pages that show it, and the probe behind them: one frame, in this order. */
static int invalidate(struct updater *u, uint32_t package, uint32_t update)
{
    struct member *m = u->member;
    struct text name = m->population->names[package];
    char probe[PROBE_NAME_BYTES];
    struct nigh_target targets[3] = {
        {NIGH_TARGET_KEY, m->pages, name.data, name.len, 0},
        {NIGH_TARGET_TAG, NULL, name.data, name.len, 0},
        {NIGH_TARGET_KEY, m->probes, probe, prober_name(probe, update), 0},
    };
    return nigh_invalidate_many(m->cache, targets, m->plan->check ? 3 : 2, NULL);
}

static void note_result(struct updater *u, int result)
{
    u->tally->updates++;
    if (result == NIGH_QUEUED)
        u->tally->queued++;
    else if (result != 0)
        u->tally->failed++;
}

static void update_unchecked(struct updater *u)
{
    uint32_t package = draw(u);
    origin_update(u->origin, package);
    note_result(u, invalidate(u, package, 0));
}

/* Every time is taken on the mild side of what it stands for: see history.h. */
static void update_checked(struct updater *u)
{
    struct member *m = u->member;
    uint32_t index = history_reserve(&m->history);
    if (index == HISTORY_FULL)
        fail("more updates than the history holds");
    struct update *shared = &m->history.updates[index];
    prober_ask(m, index);
    struct update what = {.package = draw(u), .node = m->number};
    what.revision = origin_update(u->origin, what.package);
    what.committed_ns = now_ns();
    history_commit(&m->history, index, &what);
    atomic_store_explicit(&shared->call_ns, now_ns(), memory_order_relaxed);
    uint64_t ran = stalls_ran(&m->self->stalls), begin = now_ns();
    int result = invalidate(u, what.package, index);
    uint64_t returned = now_ns(), took = returned - begin;
    calls_note(&u->tally->calls, DEADLINE_NS, took, stalls_in(&m->self->stalls, ran, took));
    note_result(u, result);
    if (result == NIGH_QUEUED) /* pair(history.queued) */
        atomic_store_explicit(&shared->queued, true, memory_order_release);
    if (result == 0)
        history_accepted(&m->history, index, returned);
    if (result >= 0)
        history_applied(&m->history, index, m->number, returned);
    if (result == 0)
        hist_add(&u->tally->commit_to_acceptance, returned - what.committed_ns);
    /* pair(history.returned): the last word about this update */
    atomic_store_explicit(&shared->returned_ns, returned, memory_order_release);
}

/* Names that nobody reads, long ones: what other nodes have to hear grows by 26 KB. */
static void flood_if_asked(const struct updater *u)
{
    struct member *m = u->member;
    if (!atomic_load_explicit(&m->shared->flood, memory_order_relaxed))
        return;
    static _Thread_local char names[FLOOD_KEYS][FLOOD_KEY_BYTES];
    struct nigh_target targets[FLOOD_KEYS];
    for (uint32_t i = 0; i < FLOOD_KEYS; i++) {
        memset(names[i], 'a' + (int)i, FLOOD_KEY_BYTES);
        targets[i] = (struct nigh_target){NIGH_TARGET_KEY, m->probes, names[i], FLOOD_KEY_BYTES, 0};
    }
    (void)nigh_invalidate_many(m->cache, targets, FLOOD_KEYS, NULL); /* nothing depends on it */
}

/* False: the run has ended. */
static bool wait_for_turn(struct updater *u)
{
    for (uint64_t now = now_ns(); now < u->next_ns; now = now_ns()) {
        if (shared_stopped(u->member->shared))
            return false;
        flood_if_asked(u);
        uint64_t left = u->next_ns - now;
        sleep_ns(left < LOOK_AROUND_NS ? left : LOOK_AROUND_NS);
    }
    return !shared_stopped(u->member->shared);
}

void *updater_run(void *arg)
{
    struct member *m = arg;
    double per_second = m->plan->updates_per_second / m->plan->nodes;
    struct updater u = {.member = m, .tally = &m->self->update, .next_ns = now_ns()};
    if (per_second <= 0)
        return NULL;
    u.random = random_stream_of(m->plan->seed, m->number, THREADS_MAX);
    u.origin = origin_open(m->plan->revisions, m->plan->catalogue);
    for (;;) {
        u.next_ns += random_gap_ns(&u.random, per_second);
        flood_if_asked(&u); /* also where it never has to wait */
        if (!wait_for_turn(&u))
            break;
        if (m->plan->check)
            update_checked(&u);
        else
            update_unchecked(&u);
    }
    origin_close(u.origin);
    return NULL;
}
