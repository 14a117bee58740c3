// SPDX-License-Identifier: MIT
/*
 * Gathering loads.
 *
 * A gathering is loaded when it is as large as a call may be, at once, by whichever worker is free;
 * or when its time is over, by the job that the workers have for later. While all workers are busy
 * it goes on to grow: the busier the origin, the larger the calls. The job may find that another
 * gathering has begun since it was listed: then it is listed once more.
 *
 * Without own threads the job is a load like others, behind all flights that are left to a turn: so
 * what a turn finds is loaded together, at once. A caller that comes to wait for one of the
 * gathering runs the job.
 */
#include "cache/load/gather.h"

#include "cache/load/batch.h"

bool gather_takes(const struct nigh_space *space, bool waits)
{
    const struct rules *r = &space->rules;
    return r->batch_wait_us > 0 && r->batch > 1 && !(waits && space->cache->drive) &&
           !flight_is_loading();
}

static bool job_lands(struct worker_job *job, const _Atomic uint32_t *landed)
{
    struct gather *g = CONTAINER_OF(job, struct gather, job);
    latch_lock(&g->lock);
    bool lands = batch_lands(&g->list, landed);
    latch_unlock(&g->lock);
    return lands;
}

static void add_job(struct nigh_space *space, uint64_t due_ns)
{
    struct nigh *cache = space->cache;
    struct worker_job *job = &space->gather.job;
    if (cache->drive)
        workers_add_load(&cache->workers, job);
    else
        workers_add_later(&cache->workers, job, due_ns);
}

static void run_job(struct worker_job *job)
{
    struct gather *g = CONTAINER_OF(job, struct gather, job);
    struct nigh_space *space = CONTAINER_OF(g, struct nigh_space, gather);
    uint64_t now_ns = clock_now_ns(&space->cache->clock);
    const _Atomic uint32_t *waited = job->waited; /* once more in the list, the job is others' */
    struct load_list list = {0};
    latch_lock(&g->lock);
    bool early = now_ns < job->due_ns; /* the workers will not come again */
    bool due = early || space->cache->drive || now_ns >= g->due_ns;
    if (due) {
        list = g->list;
        g->list = (struct load_list){0};
    }
    bool again = g->list.count > 0;
    uint64_t due_ns = g->due_ns;
    g->listed = again;
    latch_unlock(&g->lock);
    if (again)
        add_job(space, due_ns);
    batch_run_for(list, waited);
}

/* Adds one. Returns what is to be loaded at once; *ret_lists: the workers are to have the job. */
static struct load_list add(struct gather *g, struct load *l, uint64_t wait_ns, bool *ret_lists)
{
    const struct nigh_space *space = l->space;
    uint64_t now_ns = clock_now_ns(&space->cache->clock);
    struct load_list full = {0};
    latch_lock(&g->lock);
    load_list_push(&g->list, l);
    if (g->list.count == 1)
        g->due_ns = now_ns + wait_ns;
    if (g->list.count == space->rules.batch) {
        full = g->list;
        g->list = (struct load_list){0};
    }
    *ret_lists = g->list.count > 0 && !g->listed;
    if (*ret_lists) {
        g->listed = true;
        g->job.run = run_job;
        g->job.lands = job_lands;
    }
    latch_unlock(&g->lock);
    return full;
}

void gather_add(struct nigh_space *space, struct load_list list)
{
    uint64_t wait_ns = space->rules.batch_wait_us * UINT64_C(1000);
    struct load *l;
    while ((l = load_list_shift(&list))) {
        bool lists;
        batch_queue(add(&space->gather, l, wait_ns, &lists));
        if (lists)
            add_job(space, clock_now_ns(&space->cache->clock) + wait_ns);
    }
}
