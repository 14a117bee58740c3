// SPDX-License-Identifier: MIT
/*
 * The shared history of updates.
 *
 * An update is a list node of its package: readers walk from the latest. Two nodes may commit to
 * one package in one order and be accepted in the other, so a walk looks at all of them; there are
 * a few dozen at most.
 */
#include "nodes/history.h"

#include "support/fail.h"

#define LINE_BYTES 64

/* Stands before the rest: the count and what Redis forgot. */
struct head {
    _Atomic uint32_t count;
    struct history_oblivion oblivion;
};

_Static_assert(sizeof(struct head) <= LINE_BYTES, "the head is one line");

static size_t rounded(size_t bytes)
{
    return (bytes + LINE_BYTES - 1) / LINE_BYTES * LINE_BYTES;
}

size_t history_bytes(uint32_t packages, uint32_t capacity)
{
    size_t by_package = rounded(((size_t)packages + 1) * sizeof(uint32_t));
    return LINE_BYTES + 2 * by_package + (size_t)capacity * sizeof(struct update);
}

struct history history_at(void *memory, uint32_t packages, uint32_t capacity)
{
    size_t by_package = rounded(((size_t)packages + 1) * sizeof(uint32_t));
    uint8_t *at = memory;
    struct history h = {.packages = packages, .capacity = capacity};
    struct head *head = memory;
    h.count = &head->count;
    h.oblivion = &head->oblivion;
    h.last = (void *)(at + LINE_BYTES);
    h.judged = (void *)(at + LINE_BYTES + by_package);
    h.updates = (void *)(at + LINE_BYTES + 2 * by_package);
    return h;
}

uint32_t history_reserve(struct history *h)
{
    uint32_t index = atomic_fetch_add_explicit(h->count, 1, memory_order_relaxed);
    if (index < h->capacity)
        return index;
    atomic_fetch_sub_explicit(h->count, 1, memory_order_relaxed);
    return HISTORY_FULL;
}

void history_commit(struct history *h, uint32_t index, const struct update *what)
{
    struct update *u = &h->updates[index];
    _Atomic uint32_t *last = &h->last[what->package];
    u->package = what->package;
    u->revision = what->revision;
    u->node = what->node;
    u->committed_ns = what->committed_ns;
    u->previous = atomic_load_explicit(last, memory_order_relaxed);
    /* pair(history.last): the fields above are visible to who finds the update */
    while (!atomic_compare_exchange_weak_explicit(last, &u->previous, index + 1,
                                                  memory_order_release, memory_order_relaxed))
        continue;
}

static void raise_judged(struct history *h, const struct update *u)
{
    _Atomic uint32_t *judged = &h->judged[u->package];
    uint32_t old = atomic_load_explicit(judged, memory_order_relaxed);
    /* pair(history.judged) */
    while (old < u->revision &&
           !atomic_compare_exchange_weak_explicit(judged, &old, u->revision, memory_order_release,
                                                  memory_order_relaxed))
        continue;
}

static void note_first(_Atomic uint64_t *time, uint64_t ns)
{
    uint64_t none = 0;
    atomic_compare_exchange_strong_explicit(time, &none, ns, memory_order_relaxed,
                                            memory_order_relaxed);
}

void history_accepted(struct history *h, uint32_t index, uint64_t ns)
{
    note_first(&h->updates[index].accepted_ns, ns);
    raise_judged(h, &h->updates[index]);
}

void history_applied(struct history *h, uint32_t index, uint32_t node, uint64_t ns)
{
    note_first(&h->updates[index].applied_ns[node], ns);
    raise_judged(h, &h->updates[index]);
}

uint32_t history_count(const struct history *h)
{
    return atomic_load_explicit(h->count, memory_order_acquire);
}

void history_snapshot(struct history *h, uint64_t ns)
{
    atomic_store_explicit(&h->oblivion->snapshot_ns, ns, memory_order_relaxed);
}

void history_forgetting(struct history *h, uint64_t ns)
{
    /* pair(history.oblivion): the time of the snapshot is visible to who sees this */
    atomic_store_explicit(&h->oblivion->begin_ns, ns, memory_order_release);
}

void history_forgotten(struct history *h, uint64_t end_ns, uint64_t known_ns)
{
    atomic_store_explicit(&h->oblivion->known_ns, known_ns, memory_order_relaxed);
    /* pair(history.oblivion_end): known_ns is visible with it */
    atomic_store_explicit(&h->oblivion->end_ns, end_ns, memory_order_release);
}

#define NOT_YET UINT64_MAX

/* Tells what Redis has forgotten, as a reader sees it now. */
struct forgotten {
    uint64_t snapshot_ns; /* NOT_YET: nothing */
    uint64_t end_ns;
    uint64_t known_ns;
};

static struct forgotten forgotten_now(const struct history *h)
{
    struct forgotten f = {NOT_YET, NOT_YET, NOT_YET};
    const struct history_oblivion *o = h->oblivion;
    /* pair(history.oblivion): nobody reads from a snapshot whose loading is not announced here */
    if (atomic_load_explicit(&o->begin_ns, memory_order_acquire) == 0)
        return f;
    f.snapshot_ns = atomic_load_explicit(&o->snapshot_ns, memory_order_relaxed);
    /* pair(history.oblivion_end) */
    uint64_t end = atomic_load_explicit(&o->end_ns, memory_order_acquire);
    if (end) {
        f.end_ns = end;
        f.known_ns = atomic_load_explicit(&o->known_ns, memory_order_relaxed);
    }
    return f;
}

/* A time noted at an update called at `call`, as it counts: `until` for what was forgotten. */
static uint64_t as_it_counts(const struct forgotten *f, uint64_t call, uint64_t noted,
                             uint64_t until)
{
    bool lost = noted >= f->snapshot_ns && call <= until && noted < until;
    return lost ? until : noted;
}

static void take_earlier(uint64_t *best, uint64_t ns)
{
    if (ns != NOT_YET && (*best == 0 || ns < *best))
        *best = ns;
}

static void take_update(struct history_outdated *out, const struct forgotten *f,
                        const struct update *u, uint32_t node)
{
    uint64_t call = atomic_load_explicit(&u->call_ns, memory_order_relaxed);
    uint64_t accepted = atomic_load_explicit(&u->accepted_ns, memory_order_relaxed);
    uint64_t applied = atomic_load_explicit(&u->applied_ns[node], memory_order_relaxed);
    if (accepted)
        take_earlier(&out->accepted_ns, as_it_counts(f, call, accepted, f->end_ns));
    if (applied)
        take_earlier(&out->applied_ns, as_it_counts(f, call, applied, f->known_ns));
}

struct history_outdated history_outdated(const struct history *h, uint32_t package,
                                         uint32_t revision, uint32_t node)
{
    struct history_outdated out = {0, 0};
    struct forgotten forgotten = forgotten_now(h);
    /* pair(history.last) */
    uint32_t at = atomic_load_explicit(&h->last[package], memory_order_acquire);
    while (at) {
        const struct update *u = &h->updates[at - 1];
        if (u->revision > revision)
            take_update(&out, &forgotten, u, node);
        at = u->previous;
    }
    return out;
}
