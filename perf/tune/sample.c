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
    if (s->rate < 1 && !is_chosen(c->key, s->rate, seed))
        return;
    s->changes[s->change_count] = *c;
    s->changes[s->change_count++].before = s->count;
}

void sample_take(struct sample *s, const struct input *in, double rate, uint64_t seed)
{
    const struct trace *t = &in->trace;
    rate = rate < 1 ? rate : 1;
    *s = (struct sample){.rate = rate, .expected = rate * input_expected(in)};
    s->requests = must_alloc(t->count, sizeof(*s->requests));
    s->at_s = in->at_s ? must_alloc(t->count, sizeof(*s->at_s)) : NULL;
    s->looks = in->looks ? must_alloc(t->count, sizeof(*s->looks)) : NULL;
    s->changes = must_alloc(in->change_count, sizeof(*s->changes));
    for (size_t i = 0, c = 0; i < t->count; i++) {
        for (; c < in->change_count && in->changes[c].before <= i; c++)
            take_change(s, &in->changes[c], seed);
        if (rate < 1 && !is_chosen(t->requests[i].key, rate, seed))
            continue;
        if (s->at_s)
            s->at_s[s->count] = in->at_s[i];
        if (s->looks)
            s->looks[s->count] = in->looks[i];
        s->requests[s->count++] = t->requests[i];
    }
}

void sample_free(struct sample *s)
{
    free(s->requests);
    free(s->at_s);
    free(s->looks);
    free(s->changes);
    *s = (struct sample){0};
}
