// SPDX-License-Identifier: MIT
/*
 * Leases of running loads, extended every third of their time while the flight's deadline has not
 * passed: a loader that hangs must not keep the key from every other node. And how they end early.
 */
#include "cache/leases.h"

#include "cache/load.h"

void leases_init(struct leases *l)
{
    pthread_mutex_init(&l->lock, NULL);
    l->first = NULL;
}

void leases_fini(struct leases *l)
{
    pthread_mutex_destroy(&l->lock);
}

static uint64_t period_ns(uint32_t lease_ms)
{
    return lease_ms * NS_PER_MS / 3;
}

void leases_add(struct leases *l, struct load *load, uint64_t now_ns, uint32_t lease_ms)
{
    pthread_mutex_lock(&l->lock);
    load->extend_at_ns = now_ns + period_ns(lease_ms);
    load->lease_prev = NULL;
    load->lease_next = l->first;
    if (l->first)
        l->first->lease_prev = load;
    l->first = load;
    load->lease_listed = true;
    pthread_mutex_unlock(&l->lock);
}

void leases_remove(struct leases *l, struct load *load)
{
    pthread_mutex_lock(&l->lock);
    if (load->lease_listed) {
        if (load->lease_prev)
            load->lease_prev->lease_next = load->lease_next;
        else
            l->first = load->lease_next;
        if (load->lease_next)
            load->lease_next->lease_prev = load->lease_prev;
        load->lease_listed = false;
    }
    pthread_mutex_unlock(&l->lock);
}

static void given_back(void *cache, struct l2_answer *answer)
{
    l2_answer_free(answer);
    cache_note_answered(cache);
}

void leases_give_back(struct nigh_space *space, const struct l1_key *key, uint64_t token)
{
    struct nigh *cache = space->cache;
    struct l2_key name = cache_l2_key(space, key->data, key->len);
    struct l2_op op =
        l2_op_of(clock_deadline_ns(&cache->clock, cache->l2_deadline_ms), given_back, cache);
    uint8_t buffer[COHERENCE_FILL_FRAME_MAX];
    struct l2_frame frame = coherence_fill_frame(cache->coherence, name.space, name.key, buffer);
    cache_note_sent(cache);
    if (l2_release(cache->l2, &name, token, &frame, &op) != 0)
        cache_note_answered(cache);
}

static void extended(void *arg, struct l2_answer *answer)
{
    struct nigh_space *space = arg;
    if (answer->status == 0 && answer->verdict == L2_STORED)
        stats_count(&space->stats, STATS_LEASE_EXTENDED);
    l2_answer_free(answer);
}

/* Under the lock, so that the load cannot end meanwhile; queueing a request does not block. */
static void extend_locked(struct nigh *cache, struct load *load, uint64_t now_ns)
{
    struct l2_key key = cache_l2_key(load->space, load->key.data, load->key.len);
    struct l2_op op =
        l2_op_of(now_ns + cache->l2_deadline_ms * NS_PER_MS, extended, load->space);
    (void)l2_extend(cache->l2, &key, load->token, cache->lease_ms, &op); /* or it runs out */
    load->extend_at_ns = now_ns + period_ns(cache->lease_ms);
}

uint64_t leases_extend(struct nigh *cache)
{
    uint64_t now_ns = clock_now_ns(&cache->clock);
    uint64_t next_ns = now_ns + period_ns(cache->lease_ms);
    pthread_mutex_lock(&cache->leases.lock);
    for (struct load *load = cache->leases.first; load; load = load->lease_next) {
        if (now_ns >= load->extend_at_ns && now_ns < load->flight->deadline_ns)
            extend_locked(cache, load, now_ns);
        next_ns = u64_min(next_ns, u64_max(load->extend_at_ns, now_ns + NS_PER_MS));
    }
    pthread_mutex_unlock(&cache->leases.lock);
    return next_ns;
}
