// SPDX-License-Identifier: MIT
/*
 * Exact LRU as a list through arrays; Belady with a heap of next uses.
 */
#include "bench/simulate.h"

#include <stdbool.h>

#include "support/fail.h"

/* ---- LRU ---- */

#define NOBODY UINT32_MAX

struct lru_node {
    uint32_t newer, older;
    uint32_t size;
    bool cached;
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

static void lru_evict(struct lru *l)
{
    uint32_t key = l->oldest;
    lru_unlink(l, key);
    l->nodes[key].cached = false;
    l->used -= l->nodes[key].size;
}

static bool lru_request(struct lru *l, uint32_t key, uint32_t size)
{
    struct lru_node *n = &l->nodes[key];
    if (n->cached) {
        lru_unlink(l, key);
        lru_link(l, key);
        return true;
    }
    if (size > l->capacity)
        return false;
    while (l->used + size > l->capacity)
        lru_evict(l);
    n->cached = true;
    n->size = size;
    l->used += size;
    lru_link(l, key);
    return false;
}

static uint64_t lru_run(const struct trace *t, uint64_t capacity, bool by_bytes)
{
    struct lru l = {must_alloc(t->unique, sizeof(*l.nodes)), NOBODY, NOBODY, 0, capacity};
    uint64_t hits = 0;
    for (size_t i = 0; i < t->count; i++)
        hits += lru_request(&l, t->requests[i].key, by_bytes ? t->requests[i].size : 1);
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

struct use {
    uint32_t at; /* next use of the key, when this was pushed */
    uint32_t key;
};

/* A heap with the latest use on top. A hit pushes the key anew; the older word is passed over when
 * it comes to the top. */
struct heap {
    struct use *uses;
    size_t count, room;
};

static void heap_push(struct heap *h, struct use u)
{
    if (h->count == h->room) {
        h->room = h->room ? 2 * h->room : 1024;
        h->uses = must_grow(h->uses, h->room, sizeof(*h->uses));
    }
    size_t i = h->count++;
    for (; i > 0 && h->uses[(i - 1) / 2].at < u.at; i = (i - 1) / 2)
        h->uses[i] = h->uses[(i - 1) / 2];
    h->uses[i] = u;
}

static struct use heap_pop(struct heap *h)
{
    struct use top = h->uses[0];
    struct use last = h->uses[--h->count];
    size_t i = 0;
    for (size_t child; (child = 2 * i + 1) < h->count; i = child) {
        if (child + 1 < h->count && h->uses[child + 1].at > h->uses[child].at)
            child++;
        if (h->uses[child].at <= last.at)
            break;
        h->uses[i] = h->uses[child];
    }
    h->uses[i] = last;
    return top;
}

struct belady {
    struct heap heap;
    uint32_t *due;  /* next use of each key */
    bool *cached;
    uint64_t used;
};

static void belady_evict(struct belady *b)
{
    for (;;) {
        struct use top = heap_pop(&b->heap);
        if (b->cached[top.key] && b->due[top.key] == top.at) {
            b->cached[top.key] = false;
            b->used--;
            return;
        }
    }
}

uint64_t simulate_belady(const struct trace *t, uint64_t capacity)
{
    struct belady b = {.due = must_alloc(t->unique, sizeof(*b.due)),
                       .cached = must_alloc(t->unique, sizeof(*b.cached))};
    uint32_t *next = next_uses(t);
    uint64_t hits = 0;
    for (size_t i = 0; i < t->count && capacity > 0; i++) {
        uint32_t key = t->requests[i].key;
        if (b.cached[key]) {
            hits++;
        } else {
            if (b.used == capacity)
                belady_evict(&b);
            b.cached[key] = true;
            b.used++;
        }
        b.due[key] = next[i];
        heap_push(&b.heap, (struct use){next[i], key});
    }
    free(next);
    free(b.heap.uses);
    free(b.due);
    free(b.cached);
    return hits;
}
