// SPDX-License-Identifier: MIT
// Opening and closing, the keeper's round, and the gauges.
//
// Close may find a beat or an attempt of the queue on its way, and the link calls `done` for them
// later: the last of them frees the memory (keeper.c).

#include "coherence/apply.h"
#include "coherence/beat.h"
#include "coherence/change.h"
#include "coherence/combine.h"
#include "coherence/core.h"
#include "coherence/keeper.h"
#include "coherence/listener.h"
#include "coherence/past.h"
#include "coherence/queue.h"
#include "coherence/recent.h"
#include "coherence/retry.h"
#include "coherence/schemas.h"
#include "coherence/state.h"
#include "coherence/trust.h"

/* Bounds the last try of the queue at close: closing should not take longer. */
#define CLOSE_MS 250u

/* A node with its parts, in one block. Each begins a line: what one of them writes is on no line
 * that another one's readers want. */
struct whole {
    struct coherence public;
    _Alignas(CACHE_LINE_BYTES) struct coherence_trust trust;
    _Alignas(CACHE_LINE_BYTES) struct coherence_state state;
    _Alignas(CACHE_LINE_BYTES) struct coherence_changes changes;
    _Alignas(CACHE_LINE_BYTES) struct coherence_combine combine;
    _Alignas(CACHE_LINE_BYTES) struct coherence_apply apply;
    _Alignas(CACHE_LINE_BYTES) struct coherence_keeper keeper;
    _Alignas(CACHE_LINE_BYTES) struct coherence_beat beat;
    _Alignas(CACHE_LINE_BYTES) struct coherence_queue queue;
    _Alignas(CACHE_LINE_BYTES) struct coherence_retry retry;
    _Alignas(CACHE_LINE_BYTES) struct coherence_listener listener;
    _Alignas(CACHE_LINE_BYTES) struct recent recent;
    _Alignas(CACHE_LINE_BYTES) struct schemas schemas;
    _Alignas(CACHE_LINE_BYTES) struct past past;
};

static void link_up(void *arg)
{
    struct coherence *c = arg;
    coherence_retry_now(c);
    coherence_beat_anew(c);
    coherence_keeper_poke(c);
}

static void destroy(struct coherence *c)
{
    struct mem *mem = c->config.env->mem;
    coherence_beat_fini(c->beat);
    coherence_retry_fini(c);
    coherence_queue_fini(c);
    coherence_combine_fini(c->combine, mem);
    recent_fini(c->recent);
    schemas_fini(c->schemas, mem);
    past_fini(c->past);
    coherence_apply_fini(c->apply, mem);
    coherence_state_fini(c->state, &c->config);
    coherence_keeper_fini(c->keeper);
    mem_lines_free(mem, CONTAINER_OF(c, struct whole, public), sizeof(struct whole));
}

/* NULL: no memory. */
static struct coherence *create(const struct coherence_config *config)
{
    struct whole *w = mem_lines_alloc_zero(config->env->mem, sizeof(*w));
    if (!w)
        return NULL;
    w->public = (struct coherence){
        .config = *config,
        .incarnation = random_secret(config->env->random),
        .keeper = &w->keeper,
        .trust = &w->trust,
        .state = &w->state,
        .apply = &w->apply,
        .recent = &w->recent,
        .schemas = &w->schemas,
        .beat = &w->beat,
        .changes = &w->changes,
        .combine = &w->combine,
        .queue = &w->queue,
        .retry = &w->retry,
        .listener = &w->listener,
        .past = &w->past,
    };
    return &w->public;
}

/* Begins all parts, also those behind one that fails: destroy() ends them all. */
static int init_parts(struct coherence *c)
{
    struct mem *mem = c->config.env->mem;
    coherence_keeper_init(c->keeper, destroy);
    coherence_beat_init(c);
    schemas_init(c->schemas);
    past_init(c->past);
    recent_init(c->recent, mem, c->config.queue_items);
    coherence_combine_init(c->combine);
    int failed = coherence_state_init(c->state, &c->config);
    failed |= coherence_apply_init(c->apply, mem);
    failed |= coherence_queue_init(c);
    failed |= coherence_retry_init(c);
    return failed ? NIGH_ENOMEM : 0;
}

int coherence_open(const struct coherence_config *config, struct coherence **ret_coherence)
{
    struct coherence *c = create(config);
    if (!c)
        return NIGH_ENOMEM;
    int rc = init_parts(c);
    if (rc == 0)
        rc = coherence_listener_start(c);
    if (rc < 0) {
        coherence_keeper_unref(c);
        return rc;
    }
    l2_set_up_hook(config->l2, link_up, c);
    *ret_coherence = c;
    return 0;
}

uint64_t coherence_tick(struct coherence *c)
{
    if (!turn_take(&c->keeper->ticking))
        return clock_now_ns(c->config.env->clock) + NS_PER_MS;
    uint64_t beat_ns = coherence_beat_step(c);
    uint64_t next_ns = u64_min(beat_ns, coherence_retry_step(c));
    turn_give(&c->keeper->ticking);
    return next_ns;
}

/* The keeper has ended, so its rounds are ours. */
static void try_queue_once(struct coherence *c)
{
    uint64_t deadline_ns = clock_deadline_ns(c->config.env->clock, CLOSE_MS);
    _Atomic uint32_t *word = &c->keeper->mail;
    coherence_retry_now(c);
    while (coherence_queued_count(c) > 0 && l2_connected(c->config.l2)) {
        /* pair(coherence.mail): an answer left after this look changes the word */
        uint32_t mail = atomic_load_explicit(word, memory_order_acquire);
        coherence_tick(c);
        bool failed = c->retry->backoff_ms != 0 && !c->retry->request.busy;
        if (failed || coherence_queued_count(c) == 0)
            return;
        if (park_wait(c->config.env->park, word, mail, deadline_ns) == NIGH_ETIMEDOUT)
            return;
    }
}

uint32_t coherence_close(struct coherence *c)
{
    l2_set_up_hook(c->config.l2, NULL, NULL);
    coherence_listener_stop(c);
    coherence_keeper_close(c->keeper);
    try_queue_once(c);
    uint32_t left = coherence_queued_count(c);
    coherence_queue_shut(c);
    coherence_keeper_unref(c);
    return left;
}

void coherence_ref(struct coherence *c)
{
    coherence_keeper_ref(c);
}

void coherence_unref(struct coherence *c)
{
    coherence_keeper_unref(c);
}

uint32_t coherence_trust_ms(const struct coherence *c)
{
    return c->config.trust_ms;
}

uint64_t coherence_take_lag_most_ns(struct coherence *c)
{
    pthread_mutex_lock(&c->state->apply_lock); /* within which it is counted, too */
    uint64_t ns = coherence_behind_take_most(&c->state->behind);
    pthread_mutex_unlock(&c->state->apply_lock);
    return ns;
}

void coherence_gauges_read(struct coherence *c, struct coherence_gauges *ret)
{
    uint32_t listens = atomic_load_explicit(&c->listener->listens, memory_order_relaxed);
    uint64_t now_ns = clock_now_ns(c->config.env->clock);
    pthread_mutex_lock(&c->state->apply_lock);
    ret->identity = coherence_position(c).identity;
    ret->known = coherence_known_locked(c).sequence;
    ret->applied = c->state->chain.applied;
    ret->behind_ms = coherence_behind_ns(&c->state->behind, now_ns) / NS_PER_MS;
    ret->listeners = c->state->listeners;
    pthread_mutex_unlock(&c->state->apply_lock);
    /* pair(coherence.trust): the floors of what the beat brought are raised */
    uint64_t until_ns = atomic_load_explicit(coherence_trusted_until(c), memory_order_acquire);
    ret->trusted = clock_coarse_ns(c->config.env->clock) < until_ns;
    ret->doubt_ms = coherence_trust_doubt_ns(c) / NS_PER_MS;
    ret->listening = COHERENCE_LISTENING(listens);
    ret->queued = coherence_queued_count(c);
    ret->node = c->incarnation;
    ret->slots_there = atomic_load_explicit(&c->beat->slots_there, memory_order_relaxed);
    ret->old_nodes_move = atomic_load_explicit(&c->beat->old_told, memory_order_relaxed);
}
