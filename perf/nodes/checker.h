/* SPDX-License-Identifier: MIT */
/*
 * Judges every read against the history of updates.
 *
 * A read that shows revision v of a package, by a call begun at t, is late by t minus the moment
 * at which an invalidation for a later revision had been accepted by Redis. A read is wrong when
 *
 *   late       it was answered FRESH and is late beyond the bound: the trust time, the drift of the
 *              clock, and the granularity of the clock that a hit reads
 *   applied    it was answered FRESH, and its node had applied such an invalidation before t: no
 *              bound excuses that
 *   mistaken   it is not the page that was asked for, or a package was answered "absent", or an
 *              absent name with a page
 *
 * Why no read is wronged: acceptance and application are noted later than they happen and t is
 * taken before the call, so a read is never judged later than it was. What this lets through is a
 * lateness that exceeds the bound by less than the time a call takes to return.
 */
#ifndef PERF_CHECKER_H
#define PERF_CHECKER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "nodes/history.h"
#include "support/hist.h"

#define CHECKER_EXAMPLES 4

enum checker_fault { CHECKER_LATE, CHECKER_APPLIED, CHECKER_MISTAKEN, CHECKER_FAULT_COUNT };

/* One violation, for people. */
struct checker_example {
    enum checker_fault fault;
    uint32_t key;      /* asked for */
    uint32_t package;  /* shown */
    uint32_t revision; /* shown */
    uint32_t node;
    uint32_t tier;
    uint64_t begin_ns;
    uint64_t late_ns;
};

/* Written by one thread. */
struct checker_tally {
    uint64_t judged;
    uint64_t late_fresh; /* fresh reads that were late at all */
    uint64_t late_stale;
    uint64_t faults[CHECKER_FAULT_COUNT];
    struct hist lateness_fresh; /* of the late ones, ns */
    struct hist lateness_stale;
    struct checker_example examples[CHECKER_EXAMPLES];
    uint32_t example_count;
};

/* When reads may be later than the bound says, because of a fault. Keys: (a) relaxed: of reads that
 * begin at these moments nobody knows */
struct checker_allowance {
    _Atomic uint64_t from_ns; /* (a) when the fault began; 0: not yet, or there is none */
    _Atomic uint64_t over_ns; /* (a) when it was over; 0: not yet */
};

struct checker {
    const struct history *history;
    uint32_t packages; /* keys above are absent names */
    uint32_t node;
    uint64_t bound_ns;
    uint64_t allowed_ns; /* more than that, ... */
    const struct checker_allowance *allowance; /* ... then, and as long afterwards; NULL: never */
};

struct checker_read {
    uint32_t key;
    uint32_t tier;     /* for people only */
    uint64_t begin_ns; /* before the call */
    bool fresh;
    const void *page;  /* NULL: absent */
    size_t page_len;
};

/* The bound for a trust time: (1 + drift) x trust + step of CLOCK_MONOTONIC_COARSE, and what a
 * fault adds to it. */
uint64_t checker_bound_ns(uint32_t trust_ms, uint32_t late_ms);

void checker_judge(const struct checker *c, const struct checker_read *read,
                   struct checker_tally *tally);

void checker_tally_merge(struct checker_tally *into, const struct checker_tally *from);
uint64_t checker_violations(const struct checker_tally *tally);

#endif
