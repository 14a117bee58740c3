// SPDX-License-Identifier: MIT
/*
 * Gathering loads.
 *
 * A gathering is loaded when it is as large as a call may be, at once, by whichever worker is free;
 * or when its time is over, by the job that the workers have for later. While all workers are busy
 * it goes on to grow: the busier the origin, the larger the calls. The job may find that another
 * gathering has begun since it was listed: then it is listed once more.
 */
#include "cache/load/gather.h"

#include "cache/load/batch.h"

bool gather_takes(const struct nigh_space *space)
{
    const struct rules *r = &space->rules;
    return r->batch_wait_us > 0 && r->batch > 1 && !space->cache->drive && !flight_is_loading();
}

static void run_job(struct worker_job *job)
{
    struct gather *g = CONTAINER_OF(job, struct gather, job);
    struct nigh_space *space = CONTAINER_OF(g, struct nigh_space, gather);
    uint64_t now_ns = clock_now_ns(&space->cache->clock);
    struct load_list list = {0};
    latch_lock(&g->lock);
    bool early = now_ns < job->due_ns; /* the workers will not come again */
    bool due = early || now_ns >= g->due_ns;
    if (due) {
        list = g->list;
        g->list = (struct load_list){0};
    }
    bool again = g->list.count > 0;
    uint64_t due_ns = g->due_ns;
    g->listed = again;
    latch_unlock(&g->lock);
    if (again)
        workers_add_later(&space->cache->workers, job, due_ns);
    batch_run(list, NULL);
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
            workers_add_later(&space->cache->workers, &space->gather.job,
                              clock_now_ns(&space->cache->clock) + wait_ns);
    }
}
