/* SPDX-License-Identifier: MIT */
/*
 * Which key is asked for next, and how large its value is.
 *
 * Keys are numbers; their values' sizes follow from the number, so that every node and every load
 * agrees on them.
 */
#ifndef PERF_LOAD_SHAPE_H
#define PERF_LOAD_SHAPE_H

#include <stdbool.h>
#include <stdint.h>

#include "bench/simulate.h"
#include "support/random.h"
#include "support/sampler.h"

enum shape_kind {
    SHAPE_ZIPF,    /* the r-th most popular in proportion to 1 / r^s */
    SHAPE_UNIFORM, /* all alike */
    SHAPE_HOTSPOT, /* nine in ten for a hundredth of the keys, which moves on every so often */
    SHAPE_SCAN,    /* half of it after Zipf, the other half all keys in turn */
    SHAPE_CHURN,   /* after Zipf over the newest keys, while new ones appear */
    SHAPE_TRACE,   /* as recorded, over and over; each thread begins elsewhere */
};

enum size_kind { SIZE_FIXED, SIZE_UNIFORM, SIZE_LOGNORMAL };

struct sizes {
    enum size_kind kind;
    double a, b; /* bytes; least and most; median and deviation of the logarithm */
};

struct shape {
    enum shape_kind kind;
    uint32_t keys;
    double exponent; /* of Zipf */
    double pace;     /* HOTSPOT: moves a second; CHURN: new keys a second */
    struct sizes sizes;
    struct sampler sampler; /* ZIPF, SCAN, CHURN */
    struct trace trace;     /* TRACE */
    uint32_t *trace_sizes;  /* TRACE: of each key */
    uint64_t seed;
};

/* One thread goes by this. */
struct shape_place {
    struct random_stream random;
    uint64_t at; /* SCAN, TRACE: the next one */
};

/* "zipf:0.99", "uniform", "hotspot:1", "scan", "churn:1000"; the end of the process if not. The
 * trace is the caller's, and makes it SHAPE_TRACE. */
void shape_parse(struct shape *shape, const char *text);
/* "1k", "uniform:100-10k", "lognormal:1k:1.5". */
void shape_parse_sizes(struct shape *shape, const char *text);
/* After both. */
void shape_init(struct shape *shape);

struct shape_place shape_place_of(const struct shape *shape, unsigned node, unsigned thread);
/* `since_ns` is the time since the run began. */
uint64_t shape_next(const struct shape *shape, struct shape_place *place, uint64_t since_ns);
uint32_t shape_size(const struct shape *shape, uint64_t key);

#endif
