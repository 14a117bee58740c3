/* SPDX-License-Identifier: MIT */
/*
 * The three forms of nigh_stats(): a file for each.
 */
#ifndef NIGH_CACHE_REPORT_FORMATS_H
#define NIGH_CACHE_REPORT_FORMATS_H

#include "cache/cache.h"

/* Text leaves out what is 0; the others have all, so that a reader need not guess. Errors:
 * NIGH_ENOMEM, of Prometheus' form. */
int report_text(struct nigh *cache, struct text *w);
int report_json(struct nigh *cache, struct text *w);
int report_prometheus(struct nigh *cache, struct text *w);

/* The quantiles that are told of each histogram, as shares of 100,000. */
struct report_quantile {
    const char *text; /* for people */
    const char *name; /* for machines: nanoseconds */
    uint32_t share;
};
#define REPORT_QUANTILES 5u
static const struct report_quantile report_quantiles[REPORT_QUANTILES] = {
    {"p50", "p50_ns", 50000},      {"p90", "p90_ns", 90000},       {"p99", "p99_ns", 99000},
    {"p99.9", "p99_9_ns", 99900},  {"p99.99", "p99_99_ns", 99990},
};

static inline struct bytes report_space_name(const struct nigh_space *space)
{
    return bytes_of(space->name, space->name_len);
}

#endif
