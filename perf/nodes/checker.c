// SPDX-License-Identifier: MIT
/*
 * Judging a read: one load per version shown when everything is current, a walk when not.
 */
#include "nodes/checker.h"

#include <time.h>

#include "nodes/page.h"
#include "support/fail.h"

/* How far a machine's monotonic clock may run from true time: NTP slews by 500 ppm at most. */
#define DRIFT_PER_MILLION 500

static uint64_t coarse_step_ns(void)
{
    struct timespec step;
    clock_getres(CLOCK_MONOTONIC_COARSE, &step);
    return (uint64_t)step.tv_nsec;
}

uint64_t checker_bound_ns(uint32_t trust_ms, uint32_t late_ms)
{
    uint64_t trust_ns = trust_ms * PERF_NS_PER_MS;
    return trust_ns + trust_ns / 1000000 * DRIFT_PER_MILLION + coarse_step_ns() +
           late_ms * PERF_NS_PER_MS;
}

static void blame(const struct checker *c, const struct checker_read *read,
                  struct checker_tally *tally, const struct checker_example *what)
{
    tally->faults[what->fault]++;
    if (tally->example_count == CHECKER_EXAMPLES)
        return;
    struct checker_example *e = &tally->examples[tally->example_count++];
    *e = *what;
    e->key = read->key;
    e->node = c->node;
    e->tier = read->tier;
    e->begin_ns = read->begin_ns;
}

/* Returns how late a fresh read may be that began then. */
static uint64_t bound_at(const struct checker *c, uint64_t begin_ns)
{
    if (!c->allowance)
        return c->bound_ns;
    uint64_t from_ns = atomic_load_explicit(&c->allowance->from_ns, memory_order_relaxed);
    uint64_t over_ns = atomic_load_explicit(&c->allowance->over_ns, memory_order_relaxed);
    uint64_t most_ns = c->bound_ns + c->allowed_ns;
    bool counts = from_ns && begin_ns >= from_ns && (!over_ns || begin_ns <= over_ns + most_ns);
    return counts ? most_ns : c->bound_ns;
}

/* How late this version makes the read; blames what no lateness excuses. */
static uint64_t judge_version(const struct checker *c, const struct checker_read *read,
                              struct page_version shown, struct checker_tally *tally)
{
    struct history_outdated since =
        history_outdated(c->history, shown.package, shown.revision, c->node);
    uint64_t t = read->begin_ns;
    uint64_t late = since.accepted_ns && t > since.accepted_ns ? t - since.accepted_ns : 0;
    struct checker_example what = {
        .package = shown.package, .revision = shown.revision, .late_ns = late};
    if (read->fresh && late > bound_at(c, t)) {
        what.fault = CHECKER_LATE;
        blame(c, read, tally, &what);
    } else if (read->fresh && since.applied_ns && t > since.applied_ns) {
        what.fault = CHECKER_APPLIED;
        what.late_ns = t - since.applied_ns;
        blame(c, read, tally, &what);
    }
    return late;
}

static void note_lateness(const struct checker_read *read, uint64_t late,
                          struct checker_tally *tally)
{
    if (late == 0)
        return;
    if (read->fresh) {
        tally->late_fresh++;
        hist_add(&tally->lateness_fresh, late);
    } else {
        tally->late_stale++;
        hist_add(&tally->lateness_stale, late);
    }
}

static void judge_page(const struct checker *c, const struct checker_read *read,
                       const struct page_view *page, struct checker_tally *tally)
{
    uint64_t latest = 0;
    for (uint32_t i = 0; i < page->count; i++) {
        struct page_version shown = page_version_at(page, i);
        if (history_is_current(c->history, shown.package, shown.revision))
            continue;
        uint64_t late = judge_version(c, read, shown, tally);
        latest = late > latest ? late : latest;
    }
    note_lateness(read, latest, tally);
}

/* Every version that it shows is of a package that there is. */
static bool is_sound(const struct checker *c, const struct page_view *page)
{
    for (uint32_t i = 0; i < page->count; i++) {
        uint32_t package = page_version_at(page, i).package;
        if (package == 0 || package > c->packages)
            return false;
    }
    return true;
}

/* Whether this is what was asked for. */
static bool is_right(const struct checker *c, const struct checker_read *read,
                     struct page_view *ret_page)
{
    bool is_package = read->key <= c->packages;
    if (!read->page)
        return !is_package;
    return is_package && page_view_of(read->page, read->page_len, ret_page) &&
           ret_page->package == read->key && is_sound(c, ret_page);
}

void checker_judge(const struct checker *c, const struct checker_read *read,
                   struct checker_tally *tally)
{
    struct page_view page = {0};
    tally->judged++;
    if (!is_right(c, read, &page)) {
        struct checker_example what = {.fault = CHECKER_MISTAKEN, .package = page.package};
        blame(c, read, tally, &what);
        return;
    }
    judge_page(c, read, &page, tally);
}

void checker_tally_merge(struct checker_tally *into, const struct checker_tally *from)
{
    into->judged += from->judged;
    into->late_fresh += from->late_fresh;
    into->late_stale += from->late_stale;
    for (int i = 0; i < CHECKER_FAULT_COUNT; i++)
        into->faults[i] += from->faults[i];
    hist_merge(&into->lateness_fresh, &from->lateness_fresh);
    hist_merge(&into->lateness_stale, &from->lateness_stale);
    for (uint32_t i = 0; i < from->example_count && into->example_count < CHECKER_EXAMPLES; i++)
        into->examples[into->example_count++] = from->examples[i];
}

uint64_t checker_violations(const struct checker_tally *tally)
{
    uint64_t sum = 0;
    for (int i = 0; i < CHECKER_FAULT_COUNT; i++)
        sum += tally->faults[i];
    return sum;
}
