// SPDX-License-Identifier: MIT
// Opening and closing, and the keeper's round.
//
// Close may find a beat or an attempt of the queue on its way, and the link calls `done` for them
// later: the last of them frees the memory (request.c).

#include "coherence/state.h"

/* Bounds the last try of the queue at close: closing should not take longer. */
#define CLOSE_MS 250u

static void link_up(void *arg)
{
    struct coherence *c = arg;
    coherence_queue_retry_now(c);
    coherence_beat_anew(c);
    coherence_poke(c);
}

static void destroy(struct coherence *c)
{
    struct mem *mem = c->config.env->mem;
    if (c->beat.request.answer)
        l2_answer_free(c->beat.request.answer);
    if (c->queue.request.answer)
        l2_answer_free(c->queue.request.answer);
    coherence_queue_fini(c);
    recent_fini(&c->recent);
    schemas_fini(&c->schemas, mem);
    mem_free(mem, NULL, c->own, COHERENCE_FINISHED_CALLS * sizeof(*c->own));
    mem_free(mem, NULL, c->nonces, COHERENCE_NONCES * sizeof(*c->nonces));
    if (c->groups)
        mem_pages_free(c->groups, c->config.group_slots * sizeof(*c->groups));
    pthread_mutex_destroy(&c->mail_lock);
    pthread_mutex_destroy(&c->apply_lock);
    mem_lines_free(mem, c, sizeof(*c));
}

void coherence_unref(struct coherence *c)
{
    /* pair(coherence.refs): releases what we did with it, and acquires what the others did if we
     * are the last: the other side of pair(coherence.refs) is this line in another thread */
    if (atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) == 1)
        destroy(c);
}

static int make_tables(struct coherence *c)
{
    c->groups = mem_pages_alloc(c->config.group_slots * sizeof(*c->groups));
    c->own = mem_alloc_zero(c->config.env->mem, COHERENCE_FINISHED_CALLS * sizeof(*c->own));
    c->nonces = mem_alloc_zero(c->config.env->mem, COHERENCE_NONCES * sizeof(*c->nonces));
    int rc = coherence_queue_init(c);
    rc = recent_init(&c->recent) == 0 ? rc : NIGH_ENOMEM;
    return c->groups && c->own && c->nonces ? rc : NIGH_ENOMEM;
}

int coherence_open(const struct coherence_config *config, struct coherence **ret_coherence)
{
    struct coherence *c = mem_lines_alloc_zero(config->env->mem, sizeof(*c));
    if (!c)
        return NIGH_ENOMEM;
    c->config = *config;
    c->incarnation = random_id(config->env->random);
    c->beat.request.coherence = c;
    c->beat.checked_listens = COHERENCE_LISTENS_NEVER;
    atomic_store_explicit(&c->epoch, 1, memory_order_relaxed); /* odd: no clock yet */
    atomic_store_explicit(&c->refs, 1, memory_order_relaxed);
    pthread_mutex_init(&c->apply_lock, NULL);
    pthread_mutex_init(&c->mail_lock, NULL);
    schemas_init(&c->schemas);
    int rc = make_tables(c);
    if (rc == 0)
        rc = coherence_listener_start(c);
    if (rc < 0) {
        coherence_unref(c);
        return rc;
    }
    l2_set_up_hook(config->l2, link_up, c);
    *ret_coherence = c;
    return 0;
}

uint64_t coherence_tick(struct coherence *c)
{
    if (!turn_take(&c->ticking))
        return clock_now_ns(c->config.env->clock) + NS_PER_MS;
    uint64_t beat_ns = coherence_beat_step(c);
    uint64_t next_ns = u64_min(beat_ns, coherence_queue_step(c));
    turn_give(&c->ticking);
    return next_ns;
}

static bool is_queue_empty(const struct coherence *c)
{
    return atomic_load_explicit(&c->queue.count, memory_order_relaxed) == 0;
}

/* The keeper has ended, so its rounds are ours. */
static void try_queue_once(struct coherence *c)
{
    uint64_t deadline_ns = clock_deadline_ns(c->config.env->clock, CLOSE_MS);
    coherence_queue_retry_now(c);
    while (!is_queue_empty(c) && l2_connected(c->config.l2)) {
        /* pair(coherence.mail): an answer left after this look changes the word */
        uint32_t mail = atomic_load_explicit(&c->mail, memory_order_acquire);
        coherence_tick(c);
        bool failed = c->queue.backoff_ms != 0 && !c->queue.request.busy;
        if (failed || is_queue_empty(c))
            return;
        if (park_wait(c->config.env->park, &c->mail, mail, deadline_ns) == NIGH_ETIMEDOUT)
            return;
    }
}

void coherence_close(struct coherence *c)
{
    l2_set_up_hook(c->config.l2, NULL, NULL);
    coherence_listener_stop(c);
    pthread_mutex_lock(&c->mail_lock);
    c->closed = true; /* no poke from here on: its receiver may be gone */
    pthread_mutex_unlock(&c->mail_lock);
    try_queue_once(c);
    coherence_unref(c);
}

const _Atomic uint64_t *coherence_trusted_until(const struct coherence *c)
{
    return &c->trusted_until;
}
