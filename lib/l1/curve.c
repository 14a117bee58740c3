// SPDX-License-Identifier: MIT
/*
 * Feeding the mini caches of the curve; beginning and end.
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

/* Whether a mini cache would have a key that the real cache has, and lacks it only because it has
 * not seen how it came: one that is as large, and has never been full. */
static bool missed_it(const struct curve *c, const struct curve_point *p)
{
    return !p->warm && p >= &c->points[CURVE_NOW];
}

/* Ask a mini cache. Returns its hits beyond the real cache's: 1, 0 or -1. */
static int read_point(const struct l1 *l1, const struct curve *c, struct curve_point *p,
                      const struct curve_read *r)
{
    bool real = r->bytes > 0;
    bool there = mini_find(&p->mini, mini_hash(r->hash));
    bool found = there || (real && missed_it(c, p));
    int gained = found - real;
    p->seen += p->seen < UINT32_MAX;
    p->reads++;
    p->hits += found;
    p->real += real;
    p->gained[mini_hash(r->hash) % CURVE_GROUPS] += gained;
    if (real && !there)
        store_in(l1, p, mini_hash(r->hash), r->bytes);
    return gained;
}

static void note_in(struct curve_part *part, uint64_t hash, int gained)
{
    uint32_t group = mini_hash(hash) % CURVE_GROUPS;
    part->seen += part->seen < UINT32_MAX;
    part->groups |= UINT32_C(1) << group;
    part->gained[group % CURVE_SPACE_GROUPS] += gained;
}

static void read_locked(const struct l1 *l1, struct curve *c, const struct curve_read *r)
{
    struct curve_space *space = r->space < c->space_count ? &c->spaces[r->space] : NULL;
    c->seen++;
    for (uint32_t i = 0; i < L1_CURVE_POINTS; i++) {
        if (!sees(&c->points[i], r->hash))
            continue;
        int gained = read_point(l1, c, &c->points[i], r);
        if (space)
            note_in(&space->parts[i], r->hash, gained);
    }
}

static void remove_locked(struct curve *c, uint64_t hash)
{
    for (uint32_t i = 0; i < L1_CURVE_POINTS; i++)
        if (sees(&c->points[i], hash))
            mini_remove(&c->points[i].mini, mini_hash(hash));
}

static void store_locked(const struct l1 *l1, struct curve *c, uint64_t hash, uint64_t bytes)
{
    for (uint32_t i = 0; i < L1_CURVE_POINTS; i++)
        if (sees(&c->points[i], hash))
            store_in(l1, &c->points[i], mini_hash(hash), bytes);
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
