// SPDX-License-Identifier: MIT
/*
 * Choosing keys by hash.
 */
#include "tune/sample.h"

#include "support/fail.h"
#include "support/random.h"

static bool is_chosen(uint32_t key, double rate, uint64_t seed)
{
    struct random_stream r = {seed + key};
    return random_unit(&r) <= rate;
}

static void take_change(struct sample *s, const struct change *c, uint64_t seed)
{
    struct trace *t = &s->trace;
    if (s->rate < 1 && !is_chosen(c->key, s->rate, seed))
        return;
    t->changes[t->change_count] = *c;
    t->changes[t->change_count++].before = t->count;
}

static void take_request(struct trace *to, const struct trace *from, size_t i)
{
    size_t at = to->count++;
    to->requests[at] = from->requests[i];
    if (to->at_us)
        to->at_us[at] = from->at_us[i];
    if (to->brings)
        to->brings[at] = from->brings[i];
    if (to->lives)
        to->lives[at] = from->lives[i];
}

static void *room_like(const void *there, size_t count, size_t size)
{
    return there ? must_alloc(count, size) : NULL;
}

void sample_take(struct sample *s, const struct input *in, double rate, uint64_t seed)
{
    const struct trace *t = &in->trace;
    rate = rate < 1 ? rate : 1;
    *s = (struct sample){.rate = rate, .expected = rate * input_expected(in)};
    s->trace = (struct trace){
        .requests = must_alloc(t->count, sizeof(*t->requests)),
        .at_us = room_like(t->at_us, t->count, sizeof(*t->at_us)),
        .brings = room_like(t->brings, t->count, sizeof(*t->brings)),
        .lives = room_like(t->lives, t->count, sizeof(*t->lives)),
        .changes = must_alloc(t->change_count, sizeof(*t->changes)),
        .unique = t->unique,
    };
    for (size_t i = 0, c = 0; i < t->count; i++) {
        for (; c < t->change_count && t->changes[c].before <= i; c++)
            take_change(s, &t->changes[c], seed);
        if (rate >= 1 || is_chosen(t->requests[i].key, rate, seed))
            take_request(&s->trace, t, i);
    }
}

void sample_free(struct sample *s)
{
    trace_free(&s->trace);
    *s = (struct sample){0};
}
