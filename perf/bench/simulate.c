// SPDX-License-Identifier: MIT
/*
 * Exact LRU as a list through arrays; Belady and GDSF with a heap of who leaves next.
 */
#include "bench/simulate.h"

#include <string.h>

#include "support/fail.h"

void trace_free(struct trace *t)
{
    free(t->requests);
    free(t->at_us);
    free(t->brings);
    free(t->lives);
    free(t->changes);
    *t = (struct trace){0};
}

/* ---- LRU ---- */

#define NOBODY UINT32_MAX

struct lru_node {
    uint32_t newer, older;
    uint32_t size;
    bool cached;
    uint64_t fresh_until_us, stale_until_us;
};

struct lru {
    struct lru_node *nodes;
    uint32_t newest, oldest;
    uint64_t used, capacity;
};

static void lru_unlink(struct lru *l, uint32_t key)
{
    struct lru_node *n = &l->nodes[key];
    if (n->newer == NOBODY)
        l->newest = n->older;
    else
        l->nodes[n->newer].older = n->older;
    if (n->older == NOBODY)
        l->oldest = n->newer;
    else
        l->nodes[n->older].newer = n->newer;
}

static void lru_link(struct lru *l, uint32_t key)
{
    struct lru_node *n = &l->nodes[key];
    n->newer = NOBODY;
    n->older = l->newest;
    if (l->newest == NOBODY)
        l->oldest = key;
    else
        l->nodes[l->newest].newer = key;
    l->newest = key;
}

static void lru_remove(struct lru *l, uint32_t key)
{
    if (!l->nodes[key].cached)
        return;
    lru_unlink(l, key);
    l->nodes[key].cached = false;
    l->used -= l->nodes[key].size;
}

static void lru_put(struct lru *l, uint32_t key, uint32_t size, uint64_t at_us, struct life life)
{
    struct lru_node *n = &l->nodes[key];
    lru_remove(l, key);
    if (size > l->capacity || life.fresh_ms + (uint64_t)life.stale_ms == 0)
        return;
    while (l->used + size > l->capacity)
        lru_remove(l, l->oldest);
    n->cached = true;
    n->size = size;
    n->fresh_until_us = life_end_us(at_us, life, false);
    n->stale_until_us = life_end_us(at_us, life, true);
    l->used += size;
    lru_link(l, key);
}

/* Whether it is there, fresh or stale. */
static bool lru_request(struct lru *l, const struct trace *t, size_t i, uint32_t size)
{
    uint32_t key = t->requests[i].key;
    struct lru_node *n = &l->nodes[key];
    uint64_t at_us = trace_at_us(t, i);
    enum brings brings = trace_brings(t, i);
    bool hit = n->cached && at_us < n->stale_until_us;
    bool fresh = hit && at_us < n->fresh_until_us;
    if (brings != BRINGS_NOTHING && (!fresh || brings == BRINGS_ANYWAY)) {
        lru_put(l, key, size, at_us, trace_life(t, i));
    } else if (hit) {
        lru_unlink(l, key);
        lru_link(l, key);
    }
    return hit;
}

static void lru_change(struct lru *l, const struct change *c, bool by_bytes)
{
    switch (c->kind) {
    case CHANGE_PUT: lru_put(l, c->key, by_bytes ? c->size : 1, c->at_us, c->life); break;
    case CHANGE_INVALIDATED: lru_remove(l, c->key); break;
    case CHANGE_FELL: l->nodes[c->key].fresh_until_us = l->nodes[c->key].stale_until_us = 0; break;
    }
}

static uint64_t lru_run(const struct trace *t, uint64_t capacity, bool by_bytes)
{
    struct lru l = {must_alloc(t->unique, sizeof(*l.nodes)), NOBODY, NOBODY, 0, capacity};
    uint64_t hits = 0;
    for (size_t i = 0, next = 0; i < t->count; i++) {
        for (; next < t->change_count && t->changes[next].before <= i; next++)
            lru_change(&l, &t->changes[next], by_bytes);
        hits += lru_request(&l, t, i, by_bytes ? t->requests[i].size : 1);
    }
    free(l.nodes);
    return hits;
}

uint64_t simulate_lru(const struct trace *t, uint64_t capacity)
{
    return lru_run(t, capacity, false);
}

uint64_t simulate_lru_bytes(const struct trace *t, uint64_t capacity_bytes)
{
    return lru_run(t, capacity_bytes, true);
}

/* ---- who leaves next ---- */

struct turn {
    uint64_t rank; /* of the key, when this was pushed: the highest leaves first */
    uint32_t key;
};

/* A heap with the highest rank on top. A hit pushes the key anew; the older word is passed over
 * when it comes to the top. */
struct heap {
    struct turn *turns;
    size_t count, room;
};

static void heap_push(struct heap *h, struct turn turn)
{
    if (h->count == h->room) {
        h->room = h->room ? 2 * h->room : 1024;
        h->turns = must_grow(h->turns, h->room, sizeof(*h->turns));
    }
    size_t i = h->count++;
    for (; i > 0 && h->turns[(i - 1) / 2].rank < turn.rank; i = (i - 1) / 2)
        h->turns[i] = h->turns[(i - 1) / 2];
    h->turns[i] = turn;
}

static struct turn heap_pop(struct heap *h)
{
    struct turn top = h->turns[0];
    struct turn last = h->turns[--h->count];
    size_t i = 0;
    for (size_t child; (child = 2 * i + 1) < h->count; i = child) {
        if (child + 1 < h->count && h->turns[child + 1].rank > h->turns[child].rank)
            child++;
        if (h->turns[child].rank <= last.rank)
            break;
        h->turns[i] = h->turns[child];
    }
    h->turns[i] = last;
    return top;
}

struct ranked {
    struct heap heap;
    uint64_t *ranks; /* of each key */
    bool *cached;
};

static struct ranked ranked_new(const struct trace *t)
{
    return (struct ranked){.ranks = must_alloc(t->unique, sizeof(uint64_t)),
                           .cached = must_alloc(t->unique, sizeof(bool))};
}

static void ranked_free(struct ranked *r)
{
    free(r->heap.turns);
    free(r->ranks);
    free(r->cached);
}

/* Notes that a key is cached, with this rank. */
static void ranked_set(struct ranked *r, uint32_t key, uint64_t rank)
{
    r->cached[key] = true;
    r->ranks[key] = rank;
    heap_push(&r->heap, (struct turn){rank, key});
}

static uint32_t ranked_evict(struct ranked *r)
{
    for (;;) {
        struct turn top = heap_pop(&r->heap);
        if (r->cached[top.key] && r->ranks[top.key] == top.rank) {
            r->cached[top.key] = false;
            return top.key;
        }
    }
}

/* ---- Belady ---- */

#define NEVER UINT32_MAX

/* The next use of each request's key; NEVER after the last. */
static uint32_t *next_uses(const struct trace *t)
{
    uint32_t *next = must_alloc(t->count, sizeof(*next));
    uint32_t *seen = must_alloc(t->unique, sizeof(*seen));
    for (uint32_t k = 0; k < t->unique; k++)
        seen[k] = NEVER;
    for (size_t i = t->count; i-- > 0;) {
        next[i] = seen[t->requests[i].key];
        seen[t->requests[i].key] = (uint32_t)i;
    }
    free(seen);
    return next;
}

uint64_t simulate_belady(const struct trace *t, uint64_t capacity)
{
    struct ranked cache = ranked_new(t);
    uint32_t *next = next_uses(t);
    uint64_t hits = 0, used = 0;
    for (size_t i = 0; i < t->count && capacity > 0; i++) {
        uint32_t key = t->requests[i].key;
        if (cache.cached[key])
            hits++;
        else if (used < capacity)
            used++;
        else
            ranked_evict(&cache);
        ranked_set(&cache, key, next[i]);
    }
    free(next);
    ranked_free(&cache);
    return hits;
}

/* ---- GDSF ---- */

/* High for what is worth little. Doubles above 0 are in the order of their bits. */
static uint64_t rank_of_worth(double worth)
{
    uint64_t bits;
    memcpy(&bits, &worth, sizeof(bits));
    return ~bits;
}

static double worth_of_rank(uint64_t rank)
{
    double worth;
    uint64_t bits = ~rank;
    memcpy(&worth, &bits, sizeof(worth));
    return worth;
}

uint64_t simulate_gdsf(const struct trace *t, uint64_t capacity_bytes)
{
    struct ranked cache = ranked_new(t);
    uint32_t *asked = must_alloc(t->unique, sizeof(*asked)); /* since it came */
    uint32_t *sizes = must_alloc(t->unique, sizeof(*sizes));
    uint64_t hits = 0, used = 0;
    double clock = 0; /* what the last one that left was worth */
    for (size_t i = 0; i < t->count; i++) {
        const struct request *q = &t->requests[i];
        if (cache.cached[q->key]) {
            hits++;
            asked[q->key]++;
        } else {
            if (q->size > capacity_bytes)
                continue;
            while (used + q->size > capacity_bytes) {
                uint32_t victim = ranked_evict(&cache);
                used -= sizes[victim];
                clock = worth_of_rank(cache.ranks[victim]);
            }
            used += q->size;
            sizes[q->key] = q->size;
            asked[q->key] = 1;
        }
        ranked_set(&cache, q->key, rank_of_worth(clock + (double)asked[q->key] / sizes[q->key]));
    }
    ranked_free(&cache);
    free(asked);
    free(sizes);
    return hits;
}
