// SPDX-License-Identifier: MIT
/*
 * Feeding the mini caches of the curve; beginning, end, on and off.
 */
#include "l1/curve.h"

#include <string.h>

#include "l1/core.h"
#include "l1/policy.h"
#include "l1/shadow.h"

/* ---- feeding ---- */

static bool sees(const struct curve_point *p, uint64_t hash)
{
    return p->sample && !((uint32_t)(hash >> L1_MARK_SHIFT) & (p->sample - 1));
}

static uint32_t weight_of(const struct l1 *l1, uint64_t bytes)
{
    return l1->shard_entries_max ? 1 : (uint32_t)bytes;
}

static void store_in(const struct l1 *l1, struct curve_point *p, uint32_t hash, uint64_t bytes)
{
    struct lfu_choice choice = {0};
    if (!p->mini.lru)
        choice = shadows_choice(l1->policy_common);
    mini_store(&p->mini, &choice, hash, weight_of(l1, bytes));
    p->warm |= lfu_weight(&p->mini.lfu) + lfu_weight(&p->mini.lfu) / 16 > p->mini.lfu.capacity;
}

/* A read of a marked key, and the bytes of the entry that it hit; 0: it missed. */
struct curve_read {
    uint64_t hash;
    uint64_t bytes;
    uint32_t space;
};

/* Ask a mini cache. Returns its hits beyond the real cache's: 1, 0 or -1. */
static int read_point(const struct l1 *l1, struct curve_point *p, const struct curve_read *r)
{
    bool real = r->bytes > 0;
    bool found = mini_find(&p->mini, mini_hash(r->hash));
    int gained = found - real;
    p->reads++;
    p->hits += found;
    p->real += real;
    p->gained[mini_hash(r->hash) % CURVE_GROUPS] += gained;
    if (real && !found)
        store_in(l1, p, mini_hash(r->hash), r->bytes);
    return gained;
}

static void feed_locked(const struct l1 *l1, struct curve *c, const struct curve_read *r)
{
    struct curve_space *space = r->space < c->space_count ? &c->spaces[r->space] : NULL;
    c->seen++;
    for (uint32_t i = 0; i < L1_CURVE_POINTS; i++) {
        if (!sees(&c->points[i], r->hash))
            continue;
        int gained = read_point(l1, &c->points[i], r);
        if (space)
            space->gained[i] += gained;
    }
}

static void feed_read(struct l1 *l1, const struct curve_read *r)
{
    struct curve *c = &l1->curve;
    if (!curve_is_on(l1))
        return;
    if (pthread_mutex_trylock(&c->lock) != 0) {
        atomic_fetch_add_explicit(&c->lost, 1, memory_order_relaxed);
        return;
    }
    feed_locked(l1, c, r);
    pthread_mutex_unlock(&c->lock);
}

void l1_curve_hit(struct l1 *l1, const struct l1_entry *e, uint64_t hash)
{
    struct curve_read r = {hash, entry_charge(l1, e), entry_space(e)};
    feed_read(l1, &r);
}

/* Of a value that is there and was of no use, any other cache would have had no better one. */
static bool is_outdated(struct l1 *l1, const struct l1_key *key)
{
    rcu_enter();
    bool there = l1_find_rcu(l1, key);
    rcu_leave();
    return there;
}

void l1_curve_miss(struct l1 *l1, const struct l1_key *key)
{
    if (!curve_is_on(l1))
        return;
    if (is_outdated(l1, key))
        curve_remove(l1, key->hash);
    struct curve_read r = {key->hash, 0, key->space};
    feed_read(l1, &r);
}

void curve_store(struct l1 *l1, uint64_t hash, uint64_t bytes)
{
    struct curve *c = &l1->curve;
    if (!curve_is_on(l1) || pthread_mutex_trylock(&c->lock) != 0)
        return;
    for (uint32_t i = 0; i < L1_CURVE_POINTS; i++)
        if (sees(&c->points[i], hash))
            store_in(l1, &c->points[i], mini_hash(hash), bytes);
    pthread_mutex_unlock(&c->lock);
}

void curve_remove(struct l1 *l1, uint64_t hash)
{
    struct curve *c = &l1->curve;
    if (!curve_is_on(l1) || pthread_mutex_trylock(&c->lock) != 0)
        return;
    for (uint32_t i = 0; i < L1_CURVE_POINTS; i++)
        if (sees(&c->points[i], hash))
            mini_remove(&c->points[i].mini, mini_hash(hash));
    pthread_mutex_unlock(&c->lock);
}

/* ---- beginning and end ---- */

static void forget_all(struct curve *c)
{
    memset(c->points, 0, sizeof(c->points));
    for (uint32_t space = 0; space < c->space_count; space++)
        c->spaces[space] = (struct curve_space){0};
    c->hits = c->reads = c->seconds = 0;
    c->last_ns = c->seen = 0;
    atomic_store_explicit(&c->lost, 0, memory_order_relaxed);
}

bool l1_curve_set(struct l1 *l1, bool on)
{
    struct curve *c = &l1->curve;
    bool was = curve_is_on(l1);
    if (on == was || l1->policy->model == L1_MODEL_NONE)
        return was;
    pthread_mutex_lock(&c->lock);
    if (on) /* what happened meanwhile is not known */
        forget_all(c);
    pthread_mutex_unlock(&c->lock);
    atomic_store_explicit(&c->on, on, memory_order_relaxed);
    return on;
}

void curve_init(struct l1 *l1)
{
    pthread_mutex_init(&l1->curve.lock, NULL);
}

void curve_fini(struct l1 *l1)
{
    struct curve *c = &l1->curve;
    mem_free(l1->env->mem, NULL, c->block, c->block_bytes);
    mem_free(l1->env->mem, NULL, c->spaces, c->space_count * sizeof(*c->spaces));
    pthread_mutex_destroy(&c->lock);
}
