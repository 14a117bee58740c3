// SPDX-License-Identifier: MIT
/*
 * Drawing objects and their sizes.
 */
#include "bench/trace_make.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "bench/keys.h"
#include "support/fail.h"
#include "support/sampler.h"

#define SIZE_MIN 50.0
#define SIZE_MAX_BYTES (1024.0 * 1024)
#define SIZE_SPREAD 5.0 /* deviations between the two ends: one object in eighty lies on an end */
#define NOT_SEEN UINT32_MAX

struct spec {
    double keys, requests, zipf, small, seed;
};

/* ---- what is wanted ---- */

static void take_field(struct spec *s, const char *text, const char *name, double value)
{
    const struct {
        const char *name;
        double *field, least, most;
    } fields[] = {
        {"keys", &s->keys, 1, 1 << 28},        {"requests", &s->requests, 1, UINT32_MAX - 1.0},
        {"zipf", &s->zipf, 0, 4},              {"small", &s->small, -1, 1},
        {"seed", &s->seed, 0, UINT32_MAX},
    };
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
        if (strcmp(name, fields[i].name) == 0 && value >= fields[i].least &&
            value <= fields[i].most) {
            *fields[i].field = value;
            return;
        }
    fail("--generate %s: %s=%g is not known; see --help", text, name, value);
}

static struct spec spec_of(const char *text)
{
    struct spec s = {.keys = 100000, .requests = 2000000, .zipf = 0.9, .small = 0.7, .seed = 1};
    int read = 0;
    for (const char *at = text; *at; at += read) {
        char name[16];
        double value;
        if (sscanf(at, "%15[a-z]=%lf%n", name, &value, &read) != 2 ||
            (at[read] != '\0' && at[read] != ','))
            fail("--generate %s: name=value,... is wanted; see --help", text);
        take_field(&s, text, name, value);
        read += at[read] == ',';
    }
    return s;
}

/* ---- sizes ---- */

/* A normal variable (Box and Muller). */
static double normal(struct random_stream *r)
{
    double distance = sqrt(-2 * log(random_unit(r)));
    return distance * cos(2 * M_PI * random_unit(r));
}

/* Returns the value that a normal variable is below with this probability, by halving. */
static double normal_quantile(double share)
{
    double low = -9, high = 9;
    for (int i = 0; i < 50; i++) {
        double middle = (low + high) / 2;
        if (erfc(-middle / M_SQRT2) / 2 < share)
            low = middle;
        else
            high = middle;
    }
    return low;
}

static uint32_t draw_size(const struct spec *s, uint32_t rank, struct random_stream *r)
{
    double middle = log(SIZE_MIN * SIZE_MAX_BYTES) / 2;
    double deviation = log(SIZE_MAX_BYTES / SIZE_MIN) / SIZE_SPREAD;
    double place = normal_quantile((rank + 0.5) / s->keys);
    double off = s->small * place + sqrt(1 - s->small * s->small) * normal(r);
    return (uint32_t)fmin(fmax(exp(middle + deviation * off), SIZE_MIN), SIZE_MAX_BYTES);
}

/* ---- the trace ---- */

static void draw_requests(struct trace *t, const struct sampler *sampler, const uint32_t *sizes,
                          struct random_stream *r)
{
    uint32_t *number = must_alloc(sampler->count, sizeof(*number));
    memset(number, 0xff, sampler->count * sizeof(*number));
    for (size_t i = 0; i < t->count; i++) {
        uint32_t rank = sampler_draw(sampler, r);
        if (number[rank] == NOT_SEEN)
            number[rank] = t->unique++;
        t->requests[i] = (struct request){number[rank], sizes[rank]};
    }
    free(number);
}

void trace_make(struct trace *t, const char *text)
{
    struct spec s = spec_of(text);
    uint32_t keys = (uint32_t)s.keys;
    struct random_stream r = random_stream_of((uint64_t)s.seed, 0, 0);
    struct sampler sampler;
    uint32_t *weights = must_alloc(keys, sizeof(*weights));
    uint32_t *sizes = must_alloc(keys, sizeof(*sizes));
    *t = (struct trace){.count = (size_t)s.requests};
    t->requests = must_alloc(t->count, sizeof(*t->requests));
    zipf_weights(weights, keys, s.zipf);
    sampler_init(&sampler, weights, keys);
    for (uint32_t rank = 0; rank < keys; rank++)
        sizes[rank] = draw_size(&s, rank, &r);
    draw_requests(t, &sampler, sizes, &r);
    sampler_free(&sampler);
    free(sizes);
    free(weights);
}

uint64_t trace_bytes(const struct trace *t)
{
    uint32_t *sizes = must_alloc(t->unique, sizeof(*sizes));
    uint64_t sum = 0;
    for (size_t i = 0; i < t->count; i++)
        sizes[t->requests[i].key] = t->requests[i].size;
    for (uint32_t key = 0; key < t->unique; key++)
        sum += sizes[key];
    free(sizes);
    return sum;
}
