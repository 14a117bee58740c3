// SPDX-License-Identifier: MIT
/*
 * Drawing keys.
 */
#include "bench/keys.h"

#include <math.h>
#include <sys/mman.h>

#include "support/fail.h"
#include "support/random.h"
#include "support/sampler.h"

#define HUGE_BYTES ((size_t)2 << 20)
#define KEY_SEED 0x6b6579u
#define SCATTER_SEED 0x73636174u

/* ---- keys and values ---- */

void key_make(uint32_t number, struct step *ret)
{
    struct random_stream r = random_stream_of(KEY_SEED, 0, number);
    for (size_t i = 0; i < KEY_BYTES_MAX; i += sizeof(uint64_t)) {
        uint64_t word = random_next(&r);
        memcpy(ret->key + i, &word, sizeof(word));
    }
    memcpy(ret->key, &number, sizeof(number));
    ret->key_len = KEY_BYTES_MIN + random_below(&r, KEY_BYTES_MAX - KEY_BYTES_MIN + 1);
    ret->number = number;
}

void value_make(uint32_t number, void *buffer, size_t size)
{
    uint64_t word = number;
    memset(buffer, (int)(number & 0xff), size);
    memcpy(buffer, &word, sizeof(word));
}

/* ---- Zipf ---- */

void zipf_weights(uint32_t *weights, uint32_t count, double exponent)
{
    for (uint32_t i = 0; i < count; i++)
        weights[i] = (uint32_t)lround(UINT32_MAX / pow(i + 1.0, exponent));
}

double zipf_share(uint32_t rank, uint32_t count)
{
    double sum = 0;
    for (uint32_t i = 0; i < count; i++)
        sum += 1 / pow(i + 1.0, ZIPF_EXPONENT);
    return 1 / pow(rank + 1.0, ZIPF_EXPONENT) / sum;
}

/* A random permutation (Fisher and Yates): rank to number. */
static uint32_t *scatter(uint32_t count)
{
    struct random_stream r = random_stream_of(SCATTER_SEED, 0, 0);
    uint32_t *place = must_alloc(count, sizeof(*place));
    for (uint32_t i = 0; i < count; i++)
        place[i] = i;
    for (uint32_t i = count - 1; i > 0; i--) {
        uint32_t j = random_below(&r, i + 1);
        uint32_t kept = place[i];
        place[i] = place[j];
        place[j] = kept;
    }
    return place;
}

static void fill_zipf(struct sequence *s, uint32_t entries, struct random_stream *r)
{
    struct sampler sampler;
    uint32_t *weights = must_alloc(entries, sizeof(*weights));
    uint32_t *place = scatter(entries);
    zipf_weights(weights, entries, ZIPF_EXPONENT);
    sampler_init(&sampler, weights, entries);
    for (uint64_t i = 0; i < s->length; i++)
        key_make(place[sampler_draw(&sampler, r)], &s->steps[i]);
    sampler_free(&sampler);
    free(weights);
    free(place);
}

/* ---- sequences ---- */

static uint32_t common_seed;

void keys_set_seed(uint32_t seed)
{
    common_seed = seed;
}

void sequence_make(struct sequence *s, enum keys_order order, uint32_t entries, uint64_t length,
                   uint64_t seed)
{
    struct random_stream r = random_stream_of(seed, common_seed, 0);
    s->length = length;
    s->steps = huge_alloc(length * sizeof(*s->steps));
    if (order == KEYS_ZIPF) {
        fill_zipf(s, entries, &r);
        return;
    }
    for (uint64_t i = 0; i < length; i++)
        key_make(order == KEYS_UNIFORM ? random_below(&r, entries) : (uint32_t)(i % entries),
                 &s->steps[i]);
}

void sequence_free(struct sequence *s)
{
    huge_free(s->steps, s->length * sizeof(*s->steps));
    *s = (struct sequence){0};
}

/* ---- memory ---- */

static size_t huge_round(size_t size)
{
    return (size + HUGE_BYTES - 1) & ~(HUGE_BYTES - 1);
}

void *huge_alloc(size_t size)
{
    size_t bytes = huge_round(size);
    char *at = mmap(NULL, bytes + HUGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                    -1, 0);
    if (at == MAP_FAILED)
        fail("no memory (%zu MiB)", bytes >> 20);
    size_t before = huge_round((uintptr_t)at) - (uintptr_t)at;
    if (before)
        munmap(at, before);
    if (before < HUGE_BYTES)
        munmap(at + before + bytes, HUGE_BYTES - before);
    madvise(at + before, bytes, MADV_HUGEPAGE); /* refused: 4 KiB pages, for everybody */
    return at + before;
}

void huge_free(void *p, size_t size)
{
    if (p)
        munmap(p, huge_round(size));
}
