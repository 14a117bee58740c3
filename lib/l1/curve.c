// SPDX-License-Identifier: MIT
/*
 * Feeding the mini caches of the curve; beginning, end, on and off.
 */
#include "l1/curve.h"

#include <string.h>

#include "l1/core.h"
#include "l1/policy.h"
#include "l1/shadow.h"

#define COUNT_MOST (1u << 17)   /* reads of a point, after which all counts are halved */

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

static void halve(struct curve_point *p)
{
    p->reads /= 2;
    p->hits /= 2;
    p->real /= 2;
    for (uint32_t g = 0; g < CURVE_GROUPS; g++) {
        p->groups[g].reads /= 2;
        p->groups[g].gained /= 2;
    }
}

static void fade(struct curve *c)
{
    for (uint32_t i = 0; i < L1_CURVE_POINTS; i++)
        halve(&c->points[i]);
    c->hits /= 2;
    c->reads /= 2;
    c->seconds /= 2;
}

/* Count a read, with the bytes of the entry that it hit; 0: it missed. */
static void read_point(const struct l1 *l1, struct curve_point *p, uint64_t hash, uint64_t bytes)
{
    bool real = bytes > 0;
    bool found = mini_find(&p->mini, mini_hash(hash));
    p->reads++;
    p->hits += found;
    p->real += real;
    struct curve_group *group = &p->groups[mini_hash(hash) % CURVE_GROUPS];
    group->reads++;
    group->gained += found - real;
    if (real && !found)
        store_in(l1, p, mini_hash(hash), bytes);
}

static void feed_read(struct l1 *l1, uint64_t hash, uint64_t bytes)
{
    struct curve *c = &l1->curve;
    if (!curve_is_on(l1) || pthread_mutex_trylock(&c->lock) != 0)
        return;
    bool many = false;
    for (uint32_t i = 0; i < L1_CURVE_POINTS; i++)
        if (sees(&c->points[i], hash)) {
            read_point(l1, &c->points[i], hash, bytes);
            many |= c->points[i].reads >= COUNT_MOST;
        }
    if (many)
        fade(c);
    pthread_mutex_unlock(&c->lock);
}

void l1_curve_hit(struct l1 *l1, const struct l1_entry *e, uint64_t hash)
{
    feed_read(l1, hash, entry_charge(l1, e));
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
    feed_read(l1, key->hash, 0);
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

bool l1_curve_set(struct l1 *l1, bool on)
{
    struct curve *c = &l1->curve;
    bool was = curve_is_on(l1);
    if (on == was || l1->policy->model == L1_MODEL_NONE)
        return was;
    pthread_mutex_lock(&c->lock);
    if (on) { /* what happened meanwhile is not known */
        memset(c->points, 0, sizeof(c->points));
        c->hits = c->reads = c->seconds = 0;
        c->last_ns = 0;
    }
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
    pthread_mutex_destroy(&c->lock);
}
