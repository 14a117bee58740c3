/* SPDX-License-Identifier: MIT */
/*
 * A part of the keys, with all their requests: a cache that is smaller by as much has the same hit
 * ratio on it.
 *
 * Source: C. Waldspurger et al., Efficient MRC Construction with SHARDS, FAST 2015: keys are chosen
 * by their hash, and what the choice has too many or too few requests of (a hot key, or its lack)
 * is made good by counting the difference as hits. An input that is a sample itself is made good in
 * the same way, by the reads of the process that recorded it.
 */
#ifndef PERF_TUNE_SAMPLE_H
#define PERF_TUNE_SAMPLE_H

#include "input/input.h"

struct sample {
    struct trace trace; /* numbers of keys are the input's */
    double expected; /* requests that so large a part should have */
    double rate;     /* of the keys of the input */
};

/* `rate` above 0; 1 or more: all. */
void sample_take(struct sample *s, const struct input *in, double rate, uint64_t seed);
void sample_free(struct sample *s);

#endif
