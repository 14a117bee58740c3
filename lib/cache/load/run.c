// SPDX-License-Identifier: MIT
/*
 * LOAD: running the loader.
 *
 * The loader runs on the thread that steps the flight, when that is a worker or a caller of a space
 * that lets callers load; otherwise as a job of the workers, which post ANSWER: the caller then
 * waits in the mailbox and its deadline binds it.
 *
 * A load for calls that do not wait is always a job, so that the flight, which nobody holds
 * meanwhile, can land at its deadline. Thousands of such jobs may be queued, so they take their
 * permit when a worker has come to them; one whose flight's time is over by then is not run.
 *
 * A loader may also return and leave the answer to somebody else. From then on all is as with a
 * loader on a worker: the flight waits for ANSWER, and may land before that at its deadline. Its
 * leader waits for it like a follower. The answering thread steps the flight itself, if nobody else
 * does: what is left to do never waits.
 *
 * A loader that does not return must not poison its key. If it throws or jumps away the load has
 * failed, like any that fails. If it ends its thread (pthread_exit, cancellation) flight_abandon()
 * has it tried once more; restart() is the same for a job.
 */
#include "cache/load/load.h"

#include "cache/load/crew.h"
#include "cache/value/freshness.h"
#include "cache/space_l1.h"

/* How often the keeper looks for deferred fills that nobody will answer. */
#define FORGET_NS NS_PER_S

/* ---- the loader's call ---- */

/* Set things right when a loader has not returned whose thread holds the flight. */
static void ended_holding(struct load *l, enum unwind_how how)
{
    load_uncount(l);
    fill_reset(&l->fill);
    if (how != UNWIND_EXIT && !l->callback.left) {
        load_fail(l);
        load_land(l); /* here, for the loop is gone with its frame */
    }
    if (how == UNWIND_EXCEPTION)
        l->flight->for_caller = false; /* the caller stays: run_caught() stops the exception */
    if (l->callback.owner)
        l->flight->blocking = false; /* the owner leaves the flight, with all others of the call */
    flight_abandon(l->flight);
}

/* Answer a flight that another thread holds, or nobody. */
static void answer(struct load *l)
{
    struct flight *f = l->flight;
    if (!l->callback.left)
        flight_post(f, FLIGHT_EV_ANSWER);
    flight_unref(f);
}

/* Set things right when the loader of such a flight has not returned. */
static void ended_elsewhere(struct load *l, enum unwind_how how)
{
    flight_load_end(l->flight);
    fill_reset(&l->fill);
    l->lost = how == UNWIND_EXIT;
    if (!l->lost)
        nigh_fill_error(&l->fill, 0);
    answer(l);
}

static void ended(struct callback *c, enum unwind_how how)
{
    struct load *l = CONTAINER_OF(c, struct load, callback);
    struct nigh *cache = c->left ? NULL : c->space->cache;
    if (l->elsewhere)
        ended_elsewhere(l, how);
    else
        ended_holding(l, how);
    if (cache) /* the load may be gone */
        drive_flush(cache);
}

/* Leave a loader, as the cache closes. The lease goes back; entries stay until the loader returns.
 * A flight that another thread holds is not touched before that one has landed it, which it does at
 * the deadline. */
static bool leave(struct callback *c)
{
    struct load *l = CONTAINER_OF(c, struct load, callback);
    struct flight *f = l->flight;
    if (l->elsewhere && !flight_has_landed(f))
        return false;
    load_uncount(l);
    fill_disown(&l->fill, NIGH_ECLOSED);
    load_release_lease(l);
    if (!l->elsewhere) {
        f->outcome = NIGH_ECLOSED;
        flight_land_stuck(f);
    }
    return true;
}

static void ask_loader(struct callback *c)
{
    struct load *l = CONTAINER_OF(c, struct load, callback);
    struct nigh_fill *fills[1] = {&l->fill};
    l->result = l->space->loader(l->space->arg, fills, 1);
}

enum called {
    CALLED_ANSWERED,
    CALLED_DEFERRED, /* the load may be gone already */
    CALLED_LEFT,     /* the cache has closed meanwhile */
};

/* Call the loader on this thread. */
static enum called call_loader(struct load *l, bool elsewhere)
{
    l->elsewhere = elsewhere;
    l->callback.space = l->space;
    l->callback.key = bytes_of(l->key.data, l->key.len);
    l->callback.what = "loader";
    l->callback.deadline_ns = l->flight->deadline_ns;
    l->callback.run = ask_loader;
    l->callback.ended = ended;
    l->callback.leave = leave;
    stats_count(&l->space->stats, STATS_LOAD);
    flight_load_begin(l->flight);
    bool here = callback_run(&l->callback);
    flight_load_end(l->flight);
    if (!here) {
        fill_disown(&l->fill, NIGH_ECLOSED); /* it may have been deferred as it was left */
        return CALLED_LEFT;
    }
    return load_returned(l) ? CALLED_ANSWERED : CALLED_DEFERRED;
}

/* ---- a deferred answer ---- */

/* Bring on a flight that waits for a deferred answer. */
static void post_deferred(struct load *l)
{
    struct nigh *cache = l->space->cache;
    struct flight *f = l->flight;
    flight_post_here(f, FLIGHT_EV_ANSWER);
    flight_unref(f);
    drive_flush(cache);
    /* pair(cache.deferred): the last look at the cache, which may be closed from here on */
    atomic_fetch_sub_explicit(&cache->deferred, 1, memory_order_release);
}

void load_answered(struct nigh_fill *fill)
{
    post_deferred(CONTAINER_OF(fill, struct load, fill));
}

static struct load *load_of(const struct nigh_fill *fill)
{
    return CONTAINER_OF((struct nigh_fill *)(uintptr_t)fill, struct load, fill);
}

static bool is_any(const struct nigh_fill *fill)
{
    (void)fill;
    return true;
}

/* Whether a fill has been overdue for as long as it had time. */
static bool is_lost(const struct nigh_fill *fill)
{
    const struct load *l = load_of(fill);
    uint64_t grace_ns = l->space->rules.load_deadline_ms * NS_PER_MS;
    return clock_now_ns(&l->space->cache->clock) >= fill->deadline_ns + grace_ns;
}

/* Gives up the next deferred fill that is wanted. */
static struct load *give_up(struct nigh *cache, int why, uint32_t *from,
                            bool (*wanted)(const struct nigh_fill *fill))
{
    struct nigh_fill *fill = defer_take(cache, why, from, wanted);
    if (!fill)
        return NULL;
    struct load *l = load_of(fill);
    l->refused = true;
    return l;
}

static bool has_deferred(struct nigh *cache)
{
    return atomic_load_explicit(&cache->deferred, memory_order_relaxed) > 0;
}

void load_end_deferred(struct nigh *cache)
{
    uint32_t from = 0;
    if (!has_deferred(cache))
        return;
    for (struct load *l; (l = give_up(cache, NIGH_ECLOSED, &from, is_any));)
        post_deferred(l);
}

static void forget(struct load *l)
{
    struct nigh_space *space = l->space;
    stats_count(&space->stats, STATS_LOAD_FORGOTTEN);
    LOG(space->cache->env.log, NIGH_LOG_WARN,
        "a deferred load of space \"%s\" is forgotten: no answer came by twice its time",
        space->name);
    post_deferred(l);
}

uint64_t load_keep_deferred(struct nigh *cache)
{
    uint64_t now_ns = clock_now_ns(&cache->clock);
    uint32_t from = 0;
    if (!has_deferred(cache))
        return CLOCK_NEVER_NS;
    if (now_ns < cache->forget_ns)
        return cache->forget_ns;
    cache->forget_ns = now_ns + FORGET_NS;
    for (struct load *l; (l = give_up(cache, NIGH_ETIMEDOUT, &from, is_lost));)
        forget(l);
    return cache->forget_ns;
}

void load_note_overdue(struct load *l)
{
    struct nigh_space *space = l->space;
    if (l->unanswered || !fill_waits(&l->fill) || cache_is_closing(space->cache))
        return;
    l->unanswered = true;
    load_uncount(l);
    load_uncount_behind(l);
    stats_count(&space->stats, STATS_LOAD_UNANSWERED);
    LOG(space->cache->env.log, NIGH_LOG_WARN,
        "a deferred load of space \"%s\" has no answer at its deadline", space->name);
}

static void run_job(struct worker_job *job)
{
    struct load *l = CONTAINER_OF(job, struct load, job);
    struct flight *f = l->flight; /* with the job's reference */
    enum called called = CALLED_ANSWERED;
    l->refused = !l->counted && (load_comes_too_late(l) || !load_admit(l));
    if (cache_is_closing(l->space->cache))
        nigh_fill_error(&l->fill, 0);
    else if (!l->refused)
        called = call_loader(l, true);
    if (called == CALLED_DEFERRED)
        flight_unref(f);
    else
        answer(l);
}

/* Whether the loader runs on this thread. */
static bool runs_here(const struct load *l)
{
    if (l->space->cache->drive)
        return true; /* no worker exists */
    if (l->async && !l->flight->blocking)
        return false;
    return workers_on_worker() || (!l->space->rules.run_on_worker && !l->flight->background);
}

static enum load_next run(struct load *l, bool here)
{
    load_list_lease(l);
    if (here) {
        if (call_loader(l, false) != CALLED_ANSWERED)
            return NEXT_REST;
        load_uncount(l);
        return NEXT_FILL;
    }
    flight_ref(l->flight);
    l->job.run = run_job;
    workers_add_load(&l->space->cache->workers, &l->job);
    return NEXT_REST;
}

/* ---- entering LOAD ---- */

/* Find the value that L1 still has of the key, if the loader may see it or it may be handed out as
 * stale. */
static struct l1_entry *previous(struct load *l)
{
    struct nigh *cache = l->space->cache;
    struct moment moment = freshness_moment(cache);
    rcu_enter();
    struct l1_entry *e = space_l1_find_rcu(l->space, &l->key);
    enum verdict verdict = e ? freshness_verdict(cache, e, &moment) : VERDICT_GONE;
    if (verdict == VERDICT_GONE || l1_entry_absent(e))
        e = NULL;
    if (e)
        l1_entry_ref(e);
    rcu_leave();
    return e;
}

static enum load_next too_many(struct load *l)
{
    stats_count(&l->space->stats, STATS_LOAD_BUSY);
    return load_land_stale(l, NIGH_EBUSY);
}

enum load_next load_run(struct load *l)
{
    if (l->flight->state != FLIGHT_LOAD)
        flight_enter(l->flight, FLIGHT_LOAD);
    load_look_anew(l);
    if (!l->stale && !l->l1_empty) {
        l->stale = previous(l);
        l->stale_tier = NIGH_TIER_L1;
    }
    if (!l->space->loader)
        return load_land_stale(l, NIGH_MISS);
    if (cache_is_closing(l->space->cache)) /* nigh_close() waits for loaders; none begins */
        return load_land_stale(l, NIGH_ECLOSED);
    if (load_failed_lately(l))
        return load_land_stale(l, NIGH_ELOADER);
    if (!l->fill.previous && l->stale) {
        l1_entry_ref(l->stale);
        l->fill.previous = l->stale;
    }
    if (crew_takes(l)) {
        crew_take(l);
        return NEXT_REST;
    }
    bool here = runs_here(l);
    if ((here || !l->async) && !load_admit(l))
        return too_many(l);
    return run(l, here);
}

/* End a load that was not run, or is not waited for: it came too late, there were too many, or the
 * cache closes. */
static enum load_next unrun(struct load *l)
{
    bool closing = cache_is_closing(l->space->cache);
    fill_reset(&l->fill);
    if (!closing && !load_comes_too_late(l))
        return too_many(l);
    load_release_lease(l);
    if (l->flight->state == FLIGHT_LAND)
        return NEXT_REST;
    return load_land_stale(l, closing ? NIGH_ECLOSED : NIGH_ETIMEDOUT);
}

/* Run the loader once more, as the worker that ran it is gone; the second time, give up. */
static enum load_next restart(struct load *l)
{
    l->lost = false;
    if (l->flight->state == FLIGHT_LAND)
        return NEXT_REST;
    if (l->flight->replaced++ > 0)
        return load_land_stale(l, NIGH_ELOADER);
    stats_count(&l->space->stats, STATS_FLIGHT_REPLACED);
    return NEXT_LOAD;
}

enum load_next load_continue(struct load *l, uint32_t events)
{
    if (!(events & FLIGHT_EV_ANSWER)) {
        stats_count(&l->space->stats, STATS_FLIGHT_REPLACED); /* taken over from a leader lost */
        return NEXT_LOAD;
    }
    load_uncount(l);
    if (l->refused)
        return unrun(l);
    return l->lost ? restart(l) : NEXT_FILL;
}
