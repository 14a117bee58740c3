// SPDX-License-Identifier: MIT
/*
 * Stack distances by a Fenwick tree over the requests: where a key was asked for last stands its
 * charge, elsewhere nothing; what lies between two requests of a key is a difference of two sums.
 */
#include "tune/curve.h"

#include <math.h>

#include "support/fail.h"

/* `perf/run memory`: 74 B beside key and value, and blocks are rounded up by a twentieth. */
#define BOOKKEEPING_BYTES 74.0
#define ROUNDED_UP        1.05

#define NEVER UINT32_MAX

double curve_charge(uint32_t key_bytes, uint32_t value_bytes)
{
    return ((double)key_bytes + (double)value_bytes) * ROUNDED_UP + BOOKKEEPING_BYTES;
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
    uint32_t *last; /* request of each key */
    float *charges; /* of each key, since then */
    bool *gone;     /* invalidated since then, and not put */
    uint32_t key_bytes;
    double scale; /* from bytes of the sample to bytes of the real cache */
};

static void walk_one(struct curve *c, struct walk *w, size_t i, const struct request *q)
{
    float charge = (float)curve_charge(w->key_bytes, q->size);
    uint32_t last = w->last[q->key];
    if (last == NEVER || w->gone[q->key])
        c->cold++;
    if (last == NEVER) {
        c->footprint += charge * w->scale;
    } else if (w->gone[q->key]) {
        sums_add(&w->sums, last, -w->charges[q->key]); /* its room was not anybody else's */
    } else {
        double between = sums_before(&w->sums, i) - sums_before(&w->sums, last + 1);
        c->hits[bucket_of((between + charge) * w->scale)]++;
        sums_add(&w->sums, last, -w->charges[q->key]);
    }
    sums_add(&w->sums, i, charge);
    w->charges[q->key] = charge;
    w->gone[q->key] = false;
    w->last[q->key] = (uint32_t)i;
}

/* A sample has a few requests too many or too few: the difference are hits that any cache has. */
static void adjust(struct curve *c, const struct sample *s)
{
    double more = s->expected - (double)s->count;
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
    w.sums = (struct sums){must_alloc(s.count + 1, sizeof(double)), s.count};
    w.last = must_alloc(t->unique, sizeof(*w.last));
    w.charges = must_alloc(t->unique, sizeof(*w.charges));
    w.gone = must_alloc(t->unique, sizeof(*w.gone));
    *c = (struct curve){0};
    for (uint32_t key = 0; key < t->unique; key++)
        w.last[key] = NEVER;
    for (size_t i = 0, next = 0; i < s.count; i++) {
        for (; next < s.change_count && s.changes[next].before <= i; next++)
            w.gone[s.changes[next].key] = !s.changes[next].is_put;
        walk_one(c, &w, i, &s.requests[i]);
    }
    adjust(c, &s);
    free(w.sums.tree);
    free(w.last);
    free(w.charges);
    free(w.gone);
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
