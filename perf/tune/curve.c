// SPDX-License-Identifier: MIT
/*
 * Stack distances by a Fenwick tree over requests and puts: where a key was used last stands its
 * charge, elsewhere nothing; what lies between two uses of a key is a difference of two sums. A key
 * that was put or loaded is there; one that was invalidated takes no room, one that fell does. A
 * look (input.h) at a key that is there counts as a use at every size, also where it would have
 * missed.
 */
#include "tune/curve.h"

#include <math.h>

#include "support/fail.h"

/* `perf/run memory`: 74 B beside key and value, and blocks are rounded up by a twentieth. */
#define BOOKKEEPING_BYTES 74.0
#define ROUNDED_UP        1.05
#define FLOORS_BYTES      (65536 * 16.0)

#define NEVER UINT32_MAX

double curve_charge(uint32_t key_bytes, uint32_t value_bytes)
{
    return ((double)key_bytes + (double)value_bytes) * ROUNDED_UP + BOOKKEEPING_BYTES;
}

double curve_room(double cap_bytes)
{
    return cap_bytes - FLOORS_BYTES;
}

/* ---- a tree of sums ---- */

struct sums {
    double *tree; /* from 1 on */
    size_t count;
};

static void sums_add(struct sums *s, size_t at, double value)
{
    for (at++; at <= s->count; at += at & -at)
        s->tree[at] += value;
}

/* Sums up all before `at`. */
static double sums_before(const struct sums *s, size_t at)
{
    double sum = 0;
    for (; at > 0; at -= at & -at)
        sum += s->tree[at];
    return sum;
}

/* ---- distances ---- */

static uint32_t bucket_of(double bytes)
{
    if (bytes < 1)
        return 0;
    double bucket = log2(bytes) * CURVE_STEPS;
    return bucket < CURVE_BUCKETS - 1 ? (uint32_t)bucket : CURVE_BUCKETS - 1;
}

struct walk {
    struct sums sums;
    uint32_t at;    /* the next place among them: each request has one, and each put */
    uint32_t *last; /* place of each key; NEVER: it has none, or has been invalidated */
    float *charges; /* of each key, there */
    bool *known;    /* it has been asked for, or put */
    bool *fell;     /* nobody gets it, but there is its charge */
    uint32_t key_bytes;
    double scale; /* from bytes of the sample to bytes of the real cache */
};

/* Take a key out, whose room is not anybody else's yet. */
static void walk_out(struct walk *w, uint32_t key)
{
    if (w->last[key] != NEVER)
        sums_add(&w->sums, w->last[key], -w->charges[key]);
    w->last[key] = NEVER;
}

/* Make a key the one that was used last. */
static void walk_in(struct curve *c, struct walk *w, uint32_t key, uint32_t size)
{
    float charge = (float)curve_charge(w->key_bytes, size);
    walk_out(w, key);
    if (!w->known[key])
        c->footprint += charge * w->scale;
    sums_add(&w->sums, w->at, charge);
    w->known[key] = true;
    w->fell[key] = false;
    w->charges[key] = charge;
    w->last[key] = w->at++;
}

static void walk_change(struct curve *c, struct walk *w, const struct change *what)
{
    switch (what->kind) {
    case CHANGE_PUT: walk_in(c, w, what->key, what->size); break;
    case CHANGE_INVALIDATED: walk_out(w, what->key); break;
    case CHANGE_FELL: w->fell[what->key] = true; break;
    }
}

/* `stores`: a miss of it does. */
static void walk_request(struct curve *c, struct walk *w, const struct request *q, bool stores)
{
    uint32_t last = w->last[q->key];
    if (last == NEVER || w->fell[q->key]) {
        c->cold++;
        if (!stores)
            return;
    } else {
        double between = sums_before(&w->sums, w->at) - sums_before(&w->sums, last + 1);
        double charge = curve_charge(w->key_bytes, q->size);
        c->hits[bucket_of((between + charge) * w->scale)]++;
    }
    walk_in(c, w, q->key, q->size);
}

/* A sample has a few requests too many or too few: the difference are hits that any cache has. */
static void adjust(struct curve *c, const struct sample *s)
{
    double more = s->expected - (double)s->trace.count;
    c->requests = s->expected;
    for (uint32_t i = 0; i < CURVE_BUCKETS; i++) {
        double taken = -more < c->hits[i] ? more : -c->hits[i];
        c->hits[i] += taken;
        more -= taken;
        if (more >= 0)
            return;
    }
}

void curve_make(struct curve *c, const struct input *in, uint32_t key_bytes, size_t most,
                uint64_t seed)
{
    struct sample s;
    const struct trace *t = &in->trace;
    sample_take(&s, in, (double)most / (double)t->count, seed);
    struct walk w = {.key_bytes = key_bytes, .scale = 1 / (s.rate * in->rate)};
    const struct trace *taken = &s.trace;
    size_t places = taken->count + taken->change_count;
    w.sums = (struct sums){must_alloc(places + 1, sizeof(double)), places};
    w.last = must_alloc(t->unique, sizeof(*w.last));
    w.charges = must_alloc(t->unique, sizeof(*w.charges));
    w.known = must_alloc(t->unique, sizeof(*w.known));
    w.fell = must_alloc(t->unique, sizeof(*w.fell));
    *c = (struct curve){0};
    for (uint32_t key = 0; key < t->unique; key++)
        w.last[key] = NEVER;
    for (size_t i = 0, next = 0; i < taken->count; i++) {
        for (; next < taken->change_count && taken->changes[next].before <= i; next++)
            walk_change(c, &w, &taken->changes[next]);
        walk_request(c, &w, &taken->requests[i], trace_brings(taken, i) != BRINGS_NOTHING);
    }
    adjust(c, &s);
    free(w.sums.tree);
    free(w.last);
    free(w.charges);
    free(w.known);
    free(w.fell);
    sample_free(&s);
}

double curve_at(const struct curve *c, double bytes)
{
    double hits = 0;
    for (uint32_t i = 0; i < bucket_of(bytes); i++)
        hits += c->hits[i];
    return c->requests > 0 ? hits / c->requests : 0;
}

double curve_top(const struct curve *c)
{
    return c->requests > 0 ? 1 - c->cold / c->requests : 0;
}
