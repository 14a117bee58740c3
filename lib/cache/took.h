/* SPDX-License-Identifier: MIT */
/*
 * What requests to Redis took of late: what the histograms of all spaces have gained since the
 * older of two notes, of which the keeper takes one each half minute; before the second of them,
 * since the opening. A histogram of all time would hide that Redis has become slow this minute.
 *
 * A request that was given up has no time, and is counted apart: else a server that answers
 * nothing within the deadlines would look quick.
 */
#ifndef NIGH_CACHE_TOOK_H
#define NIGH_CACHE_TOOK_H

#include <stdint.h>

#include "stats/stats.h"

struct nigh;

struct took_note {
    uint64_t at_ns; /* 0: the opening */
    uint64_t buckets[HISTOGRAM_BUCKETS], given_up;
};

/* Zeroed: nothing is noted yet. Keys: (l) latch */
struct took_notes {
    struct latch latch;
    struct took_note older, newer; /* (l) */
};

struct took {
    uint64_t count; /* answered; 0: the times are, too */
    uint64_t median_ns, p99_ns;
    uint64_t slow;     /* of those answered: by which the server counts as failing, at least */
    uint64_t given_up; /* requests of all kinds, those of changes and beats too */
    uint64_t span_ns;
    bool since_opening;
};

/* Keeper: take a note, if half a minute has passed. */
void took_keep(struct nigh *cache);
/* Tell of the last half minute to a minute. Only with redis.uri. Threads: any. */
void took_read(struct nigh *cache, struct took *ret);

#endif
