// SPDX-License-Identifier: MIT
/*
 * Several loads in one call of the loader.
 *
 * A loader that does not return has answered some of its fills, perhaps. Those answers count, for
 * each fill is a load of its own; the others have failed, or are loaded once more if it has ended
 * its thread. (A loader of one key is judged as a whole, run.c.)
 */
#include "cache/load/batch.h"

#include "cache/load/fills.h"

#define FEW 128u

/* Answers the flights of loads whose call is over. `left`: the cache has closed without it. */
static void answer(struct load_list list, bool left)
{
    struct load *l;
    while ((l = load_list_shift(&list))) { /* a load may be gone once it is posted */
        struct flight *f = l->flight;
        if (!left)
            flight_post(f, FLIGHT_EV_ANSWER);
        flight_unref(f);
    }
}

/* Answers them on this thread, which steps those that nobody holds, and sends their fills
 * together. */
static void answer_here(struct load_list list)
{
    struct fills fills;
    struct load *l;
    bool many = list.count > 1;
    if (many)
        fills_begin(&fills);
    while ((l = load_list_shift(&list))) {
        struct flight *f = l->flight;
        if (many)
            fills_for(&fills, f);
        flight_post_here(f, FLIGHT_EV_ANSWER);
        flight_unref(f);
    }
    if (many)
        fills_end(&fills);
}

static struct load_list mates_of(struct load *first)
{
    struct load_list list = {first, first, 0};
    for (struct load *l = first; l; l = l->mate, list.count++)
        list.last = l;
    return list;
}

static void fail_open(struct load *first)
{
    for (struct load *l = first; l; l = l->mate)
        if (l->fill.kind == FILL_OPEN)
            nigh_fill_error(&l->fill, 0);
}

/* Leaves a flight for a caller whose frame is gone. */
static void leave_waited(struct flight *f)
{
    flight_waits_end();
    flight_leave(f);
}

/* Sets things right when the loader has not returned. */
static void ended(struct callback *c, enum unwind_how how)
{
    struct load *first = CONTAINER_OF(c, struct load, callback);
    struct flight *waited = first->waited;
    struct nigh *cache = c->left ? NULL : c->space->cache;
    for (struct load *l = first; l; l = l->mate) {
        flight_load_end(l->flight);
        fill_disown(&l->fill, NIGH_EINVAL);
        l->lost = how == UNWIND_EXIT && l->fill.kind == FILL_OPEN;
        if (l->fill.kind == FILL_OPEN)
            fill_reset(&l->fill);
    }
    if (how != UNWIND_EXIT)
        fail_open(first);
    answer(mates_of(first), c->left);
    if (waited && how != UNWIND_EXCEPTION) /* run_caught() stops that, and its frame stays */
        leave_waited(waited);
    if (cache)
        drive_flush(cache);
}

/* Leaves a loader as the cache closes, as soon as all its flights have landed: each does at its
 * deadline. */
static bool leave(struct callback *c)
{
    struct load *first = CONTAINER_OF(c, struct load, callback);
    for (struct load *l = first; l; l = l->mate)
        if (!flight_has_landed(l->flight))
            return false;
    for (struct load *l = first; l; l = l->mate) {
        load_uncount(l);
        fill_disown(&l->fill, NIGH_ECLOSED);
        load_release_lease(l);
    }
    return true;
}

static void ask(struct load *first, struct nigh_fill **fills)
{
    size_t n = 0;
    for (struct load *l = first; l; l = l->mate)
        fills[n++] = &l->fill;
    int rc = first->space->loader(first->space->arg, fills, n);
    for (struct load *l = first; l; l = l->mate)
        l->result = rc;
}

/* Calls of few take little of a stack that the loader needs, too. */
static NIGH_OUTLINED void ask_few(struct load *first)
{
    struct nigh_fill *fills[FEW];
    ask(first, fills);
}

static NIGH_OUTLINED void ask_many(struct load *first)
{
    struct nigh_fill *fills[NIGH_BATCH_MAX];
    ask(first, fills);
}

static void ask_loader(struct callback *c)
{
    struct load *first = CONTAINER_OF(c, struct load, callback);
    if (first->space->rules.batch <= FEW)
        ask_few(first);
    else
        ask_many(first);
}

static void begin(struct load *first)
{
    struct callback *c = &first->callback;
    for (struct load *l = first; l; l = l->mate) {
        l->elsewhere = true;
        l->began_ns = first->began_ns;
        c->deadline_ns = u64_max(c->deadline_ns, l->flight->deadline_ns);
        if (l->mate)
            flight_load_begin_with(l->flight, l->mate->flight);
        else
            flight_load_begin(l->flight);
    }
}

/* Takes out those whose answers are deferred. */
static struct load_list part_answered(struct load_list list)
{
    struct load_list answered = {0};
    struct load *l;
    while ((l = load_list_shift(&list))) {
        struct flight *f = l->flight;
        if (load_returned(l))
            load_list_push(&answered, l);
        else
            flight_unref(f);
    }
    return answered;
}

/* Calls the loader, and takes out those whose answers are deferred. False: the cache has closed. */
static bool call_loader(struct load_list *list, struct flight *waited)
{
    struct load *first = list->first;
    struct callback *c = &first->callback;
    first->waited = waited;
    c->space = first->space;
    c->key = bytes_of(first->key.data, first->key.len);
    c->what = "loader";
    c->deadline_ns = 0;
    c->run = ask_loader;
    c->ended = ended;
    c->leave = leave;
    stats_count(&first->space->stats, STATS_LOAD);
    begin(first);
    bool here = callback_run(c);
    for (struct load *l = first; l; l = l->mate)
        flight_load_end(l->flight);
    for (struct load *l = first; l && !here; l = l->mate)
        fill_disown(&l->fill, NIGH_ECLOSED); /* it may have been deferred as it was left */
    if (!here)
        return false;
    load_share_permit(first);
    *list = part_answered(*list);
    return true;
}

/* Takes out those whose time is over. */
static struct load_list part_late(struct load_list *list)
{
    struct load_list all = *list, late = {0};
    struct load *l;
    *list = (struct load_list){0};
    while ((l = load_list_shift(&all))) {
        l->refused = load_comes_too_late(l);
        load_list_push(l->refused ? &late : list, l);
    }
    return late;
}

static void run(struct load_list list, struct flight *waited)
{
    struct load_list late = part_late(&list);
    struct load *first = list.first;
    answer_here(late);
    if (!first)
        return;
    bool left = false;
    if (cache_is_closing(first->space->cache)) {
        fail_open(first);
    } else if (load_admit(first)) {
        left = !call_loader(&list, waited);
    } else {
        for (struct load *l = first; l; l = l->mate)
            l->refused = true;
    }
    if (left)
        answer(list, true);
    else
        answer_here(list);
}

void batch_run(struct load_list list)
{
    run(list, NULL);
}

/* ---- left to others ---- */

bool batch_lands(const struct load_list *list, const _Atomic uint32_t *landed)
{
    const struct load *l = list->first;
    while (l && &l->flight->landed != landed)
        l = l->mate;
    return l;
}

void batch_run_for(struct load_list list, const _Atomic uint32_t *landed)
{
    run(list, landed ? flight_of_landed(landed) : NULL);
}

static struct load_list list_of(struct worker_job *job)
{
    return mates_of(CONTAINER_OF(job, struct load, job));
}

static void run_job(struct worker_job *job)
{
    batch_run_for(list_of(job), job->waited);
}

static bool job_lands(struct worker_job *job, const _Atomic uint32_t *landed)
{
    struct load_list list = list_of(job);
    return batch_lands(&list, landed);
}

void batch_queue(struct load_list list)
{
    while (list.first) {
        struct nigh_space *space = list.first->space;
        struct load_list call = {0};
        while (list.first && call.count < space->rules.batch)
            load_list_push(&call, load_list_shift(&list));
        call.first->job.run = run_job;
        call.first->job.lands = job_lands;
        workers_add_load(&space->cache->workers, &call.first->job);
    }
}
