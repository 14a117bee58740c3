// SPDX-License-Identifier: MIT
/*
 * Drawing keys.
 */
#include "load/shape.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "bench/keys.h"
#include "support/fail.h"
#include "support/parse.h"

#define HOT_SHARE  100u /* the hot ones are one key in so many */
#define HOT_OF_TEN 9u   /* requests of ten that are for them */
#define SIZE_MOST  (1u << 20)
#define TEXT_BYTES 64

/* ---- from words ---- */

/* Reads what follows "name:" or, without a colon, returns `otherwise`. */
static double number_of(const char *text, double otherwise, double least, double most)
{
    const char *colon = strchr(text, ':');
    return colon ? parse_number("shape", colon + 1, least, most) : otherwise;
}

static bool begins(const char *text, const char *word)
{
    size_t n = strlen(word);
    return strncmp(text, word, n) == 0 && (text[n] == '\0' || text[n] == ':');
}

void shape_parse(struct shape *s, const char *text)
{
    s->exponent = 0.99;
    if (begins(text, "zipf")) {
        s->kind = SHAPE_ZIPF;
        s->exponent = number_of(text, s->exponent, 0, 4);
    } else if (begins(text, "uniform")) {
        s->kind = SHAPE_UNIFORM;
    } else if (begins(text, "hotspot")) {
        s->kind = SHAPE_HOTSPOT;
        s->pace = number_of(text, 1, 0, 1e6);
    } else if (begins(text, "scan")) {
        s->kind = SHAPE_SCAN;
    } else if (begins(text, "churn")) {
        s->kind = SHAPE_CHURN;
        s->pace = number_of(text, 1000, 0, 1e9);
    } else {
        fail("--shape %s: zipf:S, uniform, hotspot:MOVES_A_SECOND, scan or churn:KEYS_A_SECOND is "
             "wanted",
             text);
    }
}

static void bad_sizes(const char *text)
{
    fail("--size %s: as \"1k\", \"uniform:100-10k\" or \"lognormal:1k:1.5\" is wanted", text);
}

void shape_parse_sizes(struct shape *s, const char *text)
{
    char first[TEXT_BYTES];
    const char *rest = strchr(text, ':');
    char mark = begins(text, "uniform") ? '-' : ':';
    s->sizes = (struct sizes){.kind = SIZE_FIXED};
    if (!rest) {
        s->sizes.a = (double)parse_bytes("size", text, 1, SIZE_MOST);
        return;
    }
    const char *second = strchr(rest + 1, mark);
    if (!second || (size_t)(second - rest) >= sizeof(first))
        bad_sizes(text);
    snprintf(first, sizeof(first), "%.*s", (int)(second - rest - 1), rest + 1);
    s->sizes.a = (double)parse_bytes("size", first, 1, SIZE_MOST);
    if (begins(text, "uniform")) {
        s->sizes.kind = SIZE_UNIFORM;
        s->sizes.b = (double)parse_bytes("size", second + 1, (uint64_t)s->sizes.a, SIZE_MOST);
    } else if (begins(text, "lognormal")) {
        s->sizes.kind = SIZE_LOGNORMAL;
        s->sizes.b = parse_number("size", second + 1, 0, 5);
    } else {
        bad_sizes(text);
    }
}

/* ---- drawing ---- */

void shape_init(struct shape *s)
{
    if (s->kind == SHAPE_TRACE) {
        s->keys = s->trace.unique;
        s->trace_sizes = must_alloc(s->keys, sizeof(*s->trace_sizes));
        for (size_t i = 0; i < s->trace.count; i++)
            s->trace_sizes[s->trace.requests[i].key] = s->trace.requests[i].size;
        return;
    }
    if (s->kind == SHAPE_UNIFORM || s->kind == SHAPE_HOTSPOT)
        return;
    uint32_t *weights = must_alloc(s->keys, sizeof(*weights));
    zipf_weights(weights, s->keys, s->exponent);
    sampler_init(&s->sampler, weights, s->keys);
    free(weights);
}

struct shape_place shape_place_of(const struct shape *s, unsigned node, unsigned thread)
{
    struct shape_place p = {.random = random_stream_of(s->seed, node, thread)};
    p.at = random_next(&p.random);
    return p;
}

/* Takes one of the hot ones, neighbours in number, or any of all. */
static uint64_t hot_key(const struct shape *s, struct shape_place *p, uint64_t since_ns)
{
    uint32_t hot = s->keys / HOT_SHARE ? s->keys / HOT_SHARE : 1;
    if (random_below(&p->random, 10) >= HOT_OF_TEN)
        return random_below(&p->random, s->keys);
    uint64_t moved = (uint64_t)((double)since_ns / 1e9 * s->pace);
    return (moved * hot + random_below(&p->random, hot)) % s->keys;
}

uint64_t shape_next(const struct shape *s, struct shape_place *p, uint64_t since_ns)
{
    switch (s->kind) {
    case SHAPE_UNIFORM: return random_below(&p->random, s->keys);
    case SHAPE_HOTSPOT: return hot_key(s, p, since_ns);
    case SHAPE_SCAN:
        if (random_below(&p->random, 2))
            return p->at++ % s->keys;
        break;
    case SHAPE_CHURN:
        return s->keys + (uint64_t)((double)since_ns / 1e9 * s->pace) -
               sampler_draw(&s->sampler, &p->random);
    case SHAPE_TRACE: return s->trace.requests[p->at++ % s->trace.count].key;
    case SHAPE_ZIPF: break;
    }
    return sampler_draw(&s->sampler, &p->random);
}

uint32_t shape_size(const struct shape *s, uint64_t key)
{
    struct random_stream r = random_stream_of(s->seed ^ key, 0, 1);
    double size = s->trace_sizes ? s->trace_sizes[key % s->keys] : s->sizes.a;
    if (s->trace_sizes || s->sizes.kind == SIZE_FIXED)
        return size < 1 ? 1 : size > SIZE_MOST ? SIZE_MOST : (uint32_t)size;
    if (s->sizes.kind == SIZE_UNIFORM)
        size += (s->sizes.b - s->sizes.a + 1) * (1 - random_unit(&r));
    if (s->sizes.kind == SIZE_LOGNORMAL)
        size *= exp(s->sizes.b * sqrt(-2 * log(random_unit(&r))) * cos(2 * M_PI * random_unit(&r)));
    return size < 1 ? 1 : size > SIZE_MOST ? SIZE_MOST : (uint32_t)size;
}
