// SPDX-License-Identifier: MIT
/*
 * Feeding the mini caches of the curve; beginning and end.
 */
#include "l1/curve.h"

#include <string.h>

#include "l1/core.h"
#include "l1/policy.h"
#include "l1/shadow.h"

/* Ends and middle of the windows that shadows choose from, in permille. */
#define WINDOW_SMALL  5u
#define WINDOW_MIDDLE 200u
#define WINDOW_LARGE  800u

/* ---- feeding ---- */

static bool sees(const struct curve_point *p, uint64_t hash)
{
    return p->sample && !((uint32_t)(hash >> L1_MARK_SHIFT) & (p->sample - 1));
}

static uint32_t weight_of(const struct l1 *l1, uint64_t bytes)
{
    return l1->shard_entries_max ? 1 : (uint32_t)bytes;
}

/* Returns the choice of the shards, or one with a window at the other end. */
static struct lfu_choice choice_of(const struct l1 *l1, enum curve_way way)
{
    if (l1->policy->model == L1_MODEL_LRU)
        return (struct lfu_choice){0};
    struct lfu_choice choice = shadows_choice(l1->policy_common);
    if (way == CURVE_OTHERWISE)
        choice.window_permille =
            choice.window_permille > WINDOW_MIDDLE ? WINDOW_SMALL : WINDOW_LARGE;
    return choice;
}

static void store_in(const struct l1 *l1, struct curve_point *p, enum curve_way way, uint32_t hash,
                     uint64_t bytes)
{
    struct lfu_choice choice = choice_of(l1, way);
    mini_store(&p->mini[way], &choice, hash, weight_of(l1, bytes));
    const struct lfu *lfu = &p->mini[CURVE_AS_NOW].lfu;
    p->warm |= lfu_weight(lfu) + lfu_weight(lfu) / 16 > lfu->capacity;
}

/* A read of a marked key, and the bytes of the entry that it hit; 0: it missed. */
struct curve_read {
    uint64_t hash;
    uint64_t bytes;
    uint32_t space;
};

/* Whether a mini cache would have a key that the real cache has, and lacks it only because it has
 * not seen how it came: one that is as large, and has never been full. */
static bool missed_it(const struct curve *c, const struct curve_point *p)
{
    return !p->warm && p >= &c->points[CURVE_NOW];
}

/* Ask a mini cache. Returns whether it hits. */
static bool read_mini(const struct l1 *l1, const struct curve *c, struct curve_point *p,
                      enum curve_way way, const struct curve_read *r)
{
    bool there = mini_find(&p->mini[way], mini_hash(r->hash));
    if (r->bytes && !there)
        store_in(l1, p, way, mini_hash(r->hash), r->bytes);
    return there || (r->bytes && missed_it(c, p));
}

/* Ask those of a point, and note their hits beyond the real cache's: 1, 0 or -1. */
static void read_point(const struct l1 *l1, const struct curve *c, struct curve_point *p,
                       struct curve_part *part, const struct curve_read *r)
{
    uint32_t group = mini_hash(r->hash) % CURVE_GROUPS;
    bool real = r->bytes > 0;
    for (enum curve_way way = CURVE_AS_NOW; way < c->ways; way++) {
        bool found = read_mini(l1, c, p, way, r);
        p->hits += way == CURVE_AS_NOW && found;
        p->gained[way][group] += found - real;
        if (part)
            part->gained[way][group % CURVE_SPACE_GROUPS] += found - real;
    }
    p->seen += p->seen < UINT32_MAX;
    p->reads++;
    p->real += real;
    if (!part)
        return;
    part->seen += part->seen < UINT32_MAX;
    part->groups |= UINT32_C(1) << group;
}

static void read_locked(const struct l1 *l1, struct curve *c, const struct curve_read *r)
{
    struct curve_space *space = r->space < c->space_count ? &c->spaces[r->space] : NULL;
    c->seen++;
    for (uint32_t i = 0; i < L1_CURVE_POINTS; i++)
        if (sees(&c->points[i], r->hash))
            read_point(l1, c, &c->points[i], space ? &space->parts[i] : NULL, r);
}

static void remove_locked(struct curve *c, uint64_t hash)
{
    for (uint32_t i = 0; i < L1_CURVE_POINTS; i++)
        for (enum curve_way way = CURVE_AS_NOW; way < c->ways; way++)
            if (sees(&c->points[i], hash))
                mini_remove(&c->points[i].mini[way], mini_hash(hash));
}

static void store_locked(const struct l1 *l1, struct curve *c, uint64_t hash, uint64_t bytes)
{
    for (uint32_t i = 0; i < L1_CURVE_POINTS; i++)
        for (enum curve_way way = CURVE_AS_NOW; way < c->ways; way++)
            if (sees(&c->points[i], hash))
                store_in(l1, &c->points[i], way, mini_hash(hash), bytes);
}

static void feed_locked(const struct l1 *l1, struct curve *c, const struct window_event *e)
{
    if (e->what == WINDOW_OUTDATED || e->what == WINDOW_REMOVE)
        remove_locked(c, e->hash);
    if (e->what == WINDOW_STORE)
        store_locked(l1, c, e->hash, e->bytes);
    else if (e->what != WINDOW_REMOVE)
        read_locked(l1, c, &(struct curve_read){e->hash, e->bytes, e->space});
}

uint64_t curve_drain_locked(const struct l1 *l1, struct curve *c)
{
    struct window_event events[WINDOW_EVENTS];
    uint64_t lost = 0;
    for (uint32_t stripe = 0; stripe < THREAD_STRIPES; stripe++) {
        uint32_t count = window_take(&c->window, stripe, events, &lost);
        for (uint32_t i = 0; i < count; i++)
            feed_locked(l1, c, &events[i]);
    }
    c->lost += (double)(lost - c->lost_before);
    c->lost_before = lost;
    return window_open(&c->window);
}

uint64_t l1_curve_drain(struct l1 *l1)
{
    struct curve *c = &l1->curve;
    if (!curve_is_on(l1))
        return WINDOW_MOST_NS;
    pthread_mutex_lock(&c->lock);
    uint64_t pause_ns = curve_drain_locked(l1, c);
    pthread_mutex_unlock(&c->lock);
    return pause_ns;
}

/* ---- what happens ---- */

/* Whether a window is open: what an event says is not looked for where nobody takes it. */
static bool takes(const struct l1 *l1)
{
    return curve_is_on(l1) && window_is_open(&l1->curve.window);
}

static bool takes_read(struct l1 *l1)
{
    bool takes_it = takes(l1);
    if (!takes_it && curve_is_on(l1))
        window_lose_read(&l1->curve.window);
    return takes_it;
}

static void add(struct l1 *l1, enum window_what what, uint64_t hash, uint64_t bytes, uint32_t space)
{
    window_add(&l1->curve.window, (struct window_event){hash, (uint32_t)bytes, (uint16_t)space,
                                                        (uint16_t)what});
}

void l1_curve_hit(struct l1 *l1, const struct l1_entry *e)
{
    if (takes_read(l1))
        add(l1, WINDOW_HIT, entry_hash(l1, e), entry_charge(l1, e), entry_space(e));
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
    if (takes_read(l1))
        add(l1, is_outdated(l1, key) ? WINDOW_OUTDATED : WINDOW_MISS, key->hash, 0, key->space);
}

void curve_store(struct l1 *l1, uint64_t hash, uint64_t bytes)
{
    if (takes(l1))
        add(l1, WINDOW_STORE, hash, bytes, 0);
}

void curve_remove(struct l1 *l1, uint64_t hash)
{
    if (takes(l1))
        add(l1, WINDOW_REMOVE, hash, 0, 0);
}

/* ---- beginning and end ---- */

void curve_init(struct l1 *l1)
{
    pthread_mutex_init(&l1->curve.lock, NULL);
}

void curve_fini(struct l1 *l1)
{
    struct curve *c = &l1->curve;
    window_free(&c->window, l1->env->mem);
    mem_free(l1->env->mem, NULL, c->block, c->block_bytes);
    mem_free(l1->env->mem, NULL, c->spaces, c->space_count * sizeof(*c->spaces));
    pthread_mutex_destroy(&c->lock);
}
