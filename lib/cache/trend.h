/* SPDX-License-Identifier: MIT */
/*
 * What a space has been like lately: its hit ratios over a second, a minute and an hour, what it
 * has counted in the last minute, and how young those are that it evicts. And how late
 * changes come here of late.
 *
 * The keeper adds up each second what the space's counters have gained. A window is a pair of sums,
 * hits and reads, that fade: with each second they lose 1/(1 + T) of themselves, T being the
 * window's length in seconds. So a reader sees the ratio of the last T seconds or so, older reads
 * counting less and less; no ring of samples has to be kept, and a keeper that comes late (a host
 * that seldom ticks) does no harm.
 *
 * Counts of the last minute do not fade: who has raised a cap sees them end. They are kept in six
 * parts of ten seconds, of which the youngest is growing; so they are of 50 to 60 seconds.
 *
 * The age of the evicted is that which a tenth of those did not reach that went in the minute
 * before the last look; there is none if none went. So it lapses within two minutes. A histogram of
 * all time would hide that the traffic has changed.
 */
#ifndef NIGH_CACHE_TREND_H
#define NIGH_CACHE_TREND_H

#include <stdatomic.h>
#include <stdint.h>

#include "stats/stats.h"

struct nigh;

enum trend_tier { TREND_L1, TREND_L2, TREND_TIERS };
enum trend_window { TREND_SECOND, TREND_MINUTE, TREND_HOUR, TREND_WINDOWS };

/* What is told of the last minute. */
enum trend_count {
    TREND_EVICTED,
    TREND_REFUSED,
    TREND_FRESH,
    TREND_STALE,
    TREND_MISSES,
    TREND_MISS_ABSENT,
    TREND_MISS_OF, /* the first of the causes (misses.h), as the counters are in order */
    TREND_COUNTS = TREND_MISS_OF + STATS_MISS_OF_OTHER - STATS_MISS_OF_NEW + 1,
};
#define TREND_PARTS 6u

/* Keys: (k) keeper  (a) written by the keeper, read by anyone */
struct trend {
    struct {
        uint64_t hits, reads; /* (k) the counters' sums at the last look */
        double faded_hits[TREND_WINDOWS], faded_reads[TREND_WINDOWS]; /* (k) */
        _Atomic uint32_t ppm[TREND_WINDOWS]; /* (a) hits of a million reads; 0: there were none */
    } of[TREND_TIERS];
    struct {
        uint64_t count;              /* (k) the counter at the last look */
        uint64_t parts[TREND_PARTS]; /* (k) what it has gained in each part of the minute */
        _Atomic uint64_t lately;     /* (a) the same in all of them */
    } minute[TREND_COUNTS];
    uint64_t ages[HISTOGRAM_BUCKETS]; /* (k) of the evicted, at the last look */
    _Atomic uint64_t evicted_age_ns;  /* (a) 0: none was evicted lately */
    _Atomic uint64_t no_room_ns;      /* (a) the last look that found some evicted or refused */
};

/*
 * How late changes came here in the last half hour to an hour, and when the last one did: what the
 * histogram has gained since the older of two looks at it, which are half an hour apart.
 */
struct trend_lag {
    uint64_t was[2][HISTOGRAM_BUCKETS]; /* (k) the older first */
    uint64_t was_ns;                    /* (k) when the younger was looked at */
    uint64_t count;                     /* (k) of all time, at the last look */
    _Atomic uint64_t median_ns, p99_ns, longest_ns; /* (a) longest_ns 0: none came */
    _Atomic uint64_t heard_ns; /* (a) the look that found the last one; 0: none ever came */
};

/* When the keeper looked last. */
struct trend_clock {
    uint64_t look_ns;     /* (k) */
    uint64_t ages_ns;     /* (k) */
    uint64_t part;        /* (k) which part of a minute it was, counted on and on ... */
    uint64_t part_before; /* (k) ... and at the look before */
};

/* Returns what a counter has gained in the last minute. */
uint64_t trend_lately(const struct trend *t, enum trend_count which);
/* Keeper: look, if a second has passed. */
void trend_keep(struct nigh *cache);

#endif
