/* SPDX-License-Identifier: MIT */
/*
 * Was each generation of each key loaded once? Judged after the run, from the logs.
 *
 * A generation of a page ends with (lib/coherence/README.md "Promises", one load)
 *
 *   an accepted invalidation   of the key, of one of its tags, or of any tag in the same group
 *                              slot. It is under way from the call until every node has applied
 *                              it (seen.h); a load under way at the same time may belong to
 *                              either side
 *   an expiry                  of a page after its soft lifetime, of an "absent" after its own
 *   a renewal                  the trail or the trust of a node was lost, or the clock of Redis
 *                              changed: everything that node had is stale
 *   an invalidation once more  of what a node had changed shortly before it met another clock: the
 *                              server that it left may have been the only one that knew. Under way
 *                              from the renewal until nothing is queued there any more
 *   a forgetful Redis          it loaded an older snapshot in place: what was stored since is gone
 *
 * Two loads of a key that follow one another, with none of these between the beginning of the first
 * and the start of the second, are two loads of one generation. While a node cannot reach Redis
 * this is asked of that node's own loads only, and of those of two nodes that both had Redis; and a
 * page that had left its L1 (a look said so, begun after the earlier load had ended) may be loaded
 * again: it was gone from every tier in reach.
 */
#ifndef PERF_GENERATIONS_H
#define PERF_GENERATIONS_H

#include <stdint.h>

#include "nodes/history.h"
#include "nodes/loads.h"
#include "nodes/population.h"

#define GENERATIONS_EXAMPLES 8

struct generations_rules {
    uint32_t nodes;
    uint32_t group_slots;
    uint64_t value_ttl_ns;     /* the least that a page may live, jitter included */
    uint64_t absent_ttl_ns;    /* the same for "absent" */
    uint64_t bound_ns;         /* of trust: a node has applied what was accepted so long ago */
    uint64_t turn_ns;          /* a probe is gone: so soon its node loads as after the change */
    uint64_t end_ns;           /* of the run */
    uint64_t redis_up_ns;      /* Redis is there again: what was queued before was accepted later */
    uint64_t again_ns;         /* a node issues again what it has changed so long ago, not more */
};

/* Two loads of one generation. */
struct generations_example {
    struct load first;
    struct load second;
};

struct generations_result {
    uint64_t loads;
    uint64_t keys;              /* loaded at all */
    uint64_t repeated;          /* loads that follow another load of their key */
    uint64_t by_invalidation;   /* ... and what explains them */
    uint64_t by_expiry;
    uint64_t by_renewal;
    uint64_t by_eviction;       /* while Redis was away */
    uint64_t by_other_process;  /* while Redis was away */
    uint64_t unexplained;
    uint32_t loads_max;         /* in one generation, Redis in reach */
    uint32_t outage_loads_max;  /* in one generation and process, Redis away */
    uint32_t example_count;
    struct generations_example examples[GENERATIONS_EXAMPLES];
};

void generations_judge(const struct history *history, struct loads *loads,
                       const struct population *population, const struct generations_rules *rules,
                       struct generations_result *ret);

#endif
