// SPDX-License-Identifier: MIT
/*
 * The tables of `load`.
 */
#include <math.h>
#include <stdio.h>

#include "load/load.h"
#include "support/fail.h"
#include "support/options.h"
#include "support/table.h"

#define BEHIND_MOST 0.02 /* of what is due: one that keeps up has as much under way, no more */

static const char *const tier_names[LOAD_TIERS] = {"L1", "L2", "load", "write", "invalidate"};

/* How it scales: in each round as a multiple of the first number of threads in that round. */
struct scaling {
    struct subject ours, control;
    double of_control, low, high; /* median_range() of ours / control */
};

static struct scaling scaling_of(const struct load_result *r, const struct load_level *l)
{
    const struct load_level *first = &r->levels[0];
    struct scaling s = {.ours.name = "nigh", .control.name = "control"};
    double ratios[ROUNDS_MAX];
    ratios_of(l->ops.figures, first->ops.figures, r->rounds, s.ours.figures);
    ratios_of(l->control.figures, first->control.figures, r->rounds, s.control.figures);
    ratios_of(s.ours.figures, s.control.figures, r->rounds, ratios);
    s.of_control = median(ratios, r->rounds);
    median_range(ratios, r->rounds, MEDIAN_SURE, &s.low, &s.high);
    return s;
}

/* ---- what was asked ---- */

static const char *shown(const char *text)
{
    char *without = options_without_secrets(text);
    const char *kept = table_print("%s", without);
    free(without);
    return kept;
}

static void print_load(const struct load_result *r, FILE *out)
{
    const struct load_settings *s = r->settings;
    double reads = 1 - s->write - s->invalidate;
    fprintf(out, "%s, %s over %s, values %s, L1 %.0f MiB, redis: %s\n",
            table_some(s->nodes, "node"), s->shape_text, table_some(s->shape.keys, "key"),
            s->sizes_text, (double)s->memory_bytes / 0x1p20,
            s->redis ? shown(s->redis) : "a private one");
    fprintf(out, "%g %% reads, %g %% writes, %g %% invalidations; a load takes %s; ", 100 * reads,
            100 * s->write, 100 * s->invalidate,
            s->origin_ns ? table_time(s->origin_ns) : "no time");
    fprintf(out, "%s\n", s->rate > 0 ? "at a fixed rate" : "as fast as they are answered");
    if (s->rate > 0)
        fprintf(out, "%s requests/s are due, %s; latency counts from then\n",
                table_count((uint64_t)s->rate),
                s->poisson ? "at random (Poisson)" : "at even gaps");
    for (unsigned i = 0; i < s->set_count; i++)
        fprintf(out, "set: %s\n", shown(s->sets[i]));
}

/* ---- how it scales ---- */

static void print_scaling(const struct load_result *r, FILE *out)
{
    const struct load_settings *s = r->settings;
    const struct load_level *first = &r->levels[0];
    fprintf(out, "\n%8s%13s%8s%14s%9s%16s%15s%16s\n", "threads", "requests/s", "spread",
            table_print("x %s", table_some(first->threads, "thread")), "control",
            "of the control", "between", "answered by L1");
    for (unsigned i = 0; i < r->count; i++) {
        const struct load_level *l = &r->levels[i];
        struct scaling scaling = scaling_of(r, l);
        uint64_t reads = 0;
        for (unsigned t = LOAD_L1; t <= LOAD_LOADER; t++)
            reads += l->all.times[t].count;
        fprintf(out, "%8u%13s%8s%14.2f", l->threads,
                table_count((uint64_t)median(l->ops.figures, r->rounds)),
                r->rounds > 1 ? table_print("%.2f", spread(l->ops.figures, r->rounds)) : "-",
                median(scaling.ours.figures, r->rounds));
        if (s->control)
            fprintf(out, "%9.2f%16.2f", median(scaling.control.figures, r->rounds),
                    scaling.of_control);
        else
            fprintf(out, "%9s%16s", "-", "-");
        fprintf(out, "%15s%16s\n",
                s->control && i > 0 && r->rounds > 1
                    ? table_print("%.2f to %.2f", scaling.low, scaling.high)
                    : "-",
                table_share(l->all.times[LOAD_L1].count, reads));
    }
}

/* ---- latencies ---- */

/* Whether a call is beyond the quantile: of fewer calls it would be the longest of them. */
static bool has_quantile(const struct hist *h, double fraction)
{
    return (double)h->count * (1 - fraction) > 1 - 1e-9;
}

static const char *quantile(const struct hist *h, double fraction)
{
    return has_quantile(h, fraction) ? table_time(hist_quantile(h, fraction)) : "-";
}

static void print_times(const char *threads, const char *name, const struct hist *h, uint64_t all,
                        FILE *out)
{
    fprintf(out, "%8s  %-16s%14s%10s%12s%12s%12s%12s\n", threads, name, table_count(h->count),
            table_share(h->count, all), quantile(h, 0.5), quantile(h, 0.99), quantile(h, 0.999),
            table_time(h->max));
}

static const char *kind_name(unsigned kind)
{
    return kind == LOAD_SINCE_DUE ? "all, since due"
           : kind == LOAD_CALLS   ? "calls alone"
                                  : tier_names[kind];
}

/* The calls of a kind. Since due: what came of all that was, also of what had not begun at the end;
 * empty, as calls alone, where there is no fixed rate. */
static struct hist times_of(const struct load_tally *t, unsigned kind)
{
    if (kind < LOAD_TIERS)
        return t->times[kind];
    if (kind == LOAD_CALLS || t->calls.count == 0)
        return t->calls;
    struct hist all = t->unsent;
    for (unsigned i = 0; i < LOAD_TIERS; i++)
        hist_merge(&all, &t->times[i]);
    return all;
}

static void print_latency(const struct load_result *r, FILE *out)
{
    fprintf(out, "\n%8s  %-16s%14s%10s%12s%12s%12s%12s\n", "threads", "by", "requests", "share",
            "p50", "p99", "p99.9", "max");
    for (unsigned i = 0; i < r->count; i++) {
        const struct load_level *l = &r->levels[i];
        const char *threads = table_print("%u", l->threads);
        uint64_t all = l->all.requests + l->all.unsent.count;
        for (unsigned kind = 0; kind < LOAD_KINDS; kind++) {
            struct hist times = times_of(&l->all, kind);
            if (times.count == 0)
                continue;
            print_times(threads, kind_name(kind), &times, kind < LOAD_TIERS ? l->all.requests : all,
                        out);
            threads = "";
        }
    }
}

/* ---- what a reader should know ---- */

static const char *threads_of(const struct load_level *l)
{
    return table_some(l->threads, "thread");
}

static uint64_t clock_ns(void)
{
    uint64_t begin = now_ns();
    for (int i = 0; i < 1000; i++)
        now_ns();
    return (now_ns() - begin) / 1000;
}

/* At random there may be fewer requests than the rate says, of which none is late: what counts is
 * what was due. */
static void print_troubles(const struct load_result *r, FILE *out)
{
    for (unsigned i = 0; i < r->count; i++) {
        const struct load_level *l = &r->levels[i];
        uint64_t due = l->all.requests + l->all.unsent.count;
        if (l->all.failed)
            fprintf(out, "%s: %s failed; first: %s\n", threads_of(l),
                    table_some(l->all.failed, "request"), nigh_strerror(l->all.failure));
        if (l->all.stale)
            fprintf(out, "%s: %s answer%s stale\n", threads_of(l), table_count(l->all.stale),
                    l->all.stale > 1 ? "s were" : " was");
        if (l->all.unsent.count)
            fprintf(out,
                    "%s: %s request%s due and had not begun when the round ended;\n"
                    "\"all, since due\" has %s as late as by then: it is more\n",
                    threads_of(l), table_count(l->all.unsent.count),
                    l->all.unsent.count > 1 ? "s were" : " was",
                    l->all.unsent.count > 1 ? "them" : "it");
        if ((double)l->all.unsent.count > BEHIND_MOST * (double)due)
            fprintf(out,
                    "%s: did not keep up, %s of %s that were due had begun:\n"
                    "latencies grow for as long as it runs\n",
                    threads_of(l), table_count(l->all.requests), table_some(due, "request"));
    }
}

/* Says how the first table was made; the help has the same. */
static void print_method(const struct load_result *r, FILE *out)
{
    fprintf(out,
            "Requests/s and ratios: medians of %s; a ratio is made in each, so it is no "
            "quotient of\ntwo columns. spread: (most - least) / median of the requests/s.\n",
            table_some(r->rounds, "round"));
    if (!r->settings->control)
        return;
    fprintf(out,
            "control: each thread with a cache of its own over its part of the keys, without "
            "Redis or loads:\nwhat this machine makes of so many threads. More than it: calls "
            "that wait, side by side.\n");
    if (r->count < 2 || r->rounds < 2)
        return;
    if (r->rounds < MEDIAN_ROUNDS)
        fprintf(out, "between: the least and the most of so few rounds; %u would say more.\n",
                MEDIAN_ROUNDS);
    else
        fprintf(out, "between: there \"of the control\" lies, 14 times of 15.\n");
}

void load_report(const struct load_result *r, FILE *out)
{
    if (r->settings->quick)
        fprintf(out, "--quick: a smoke run; its figures mean nothing\n");
    print_load(r, out);
    print_scaling(r, out);
    print_latency(r, out);
    fputc('\n', out);
    print_troubles(r, out);
    if (r->rounds < r->settings->rounds)
        fprintf(out, "stopped: after %u of %u rounds\n", r->rounds, r->settings->rounds);
    print_method(r, out);
    fprintf(out, "Times include one look at the clock, %s.\n", table_time(clock_ns()));
    table_end();
}

static const struct {
    const char *metric, *of_round;
    double quantile;
} quantiles[] = {
    [LOAD_P50] = {"p50", "p50 of a round", 0.5},
    [LOAD_P99] = {"p99", "p99 of a round", 0.99},
    {"p99.9", NULL, 0.999},
};
#define QUANTILES (sizeof(quantiles) / sizeof(quantiles[0]))

void load_note_round(struct load_level *l, unsigned round, const struct load_tally *t)
{
    for (unsigned kind = 0; kind < LOAD_KINDS; kind++) {
        struct hist times = times_of(t, kind);
        for (unsigned q = 0; q < LOAD_ROUND_QUANTILES; q++)
            l->round_quantiles[kind][q].figures[round] =
                has_quantile(&times, quantiles[q].quantile)
                    ? hist_estimate(&times, quantiles[q].quantile)
                    : NAN;
    }
}

static bool all_rounds_have(const struct subject *s, unsigned rounds)
{
    for (unsigned i = 0; i < rounds; i++)
        if (isnan(s->figures[i]))
            return false;
    return true;
}

/* Of all calls, as the table has it, and of each round's: these say how much it varies, which is
 * what two runs are compared by. */
static void add_times(const struct load_level *l, unsigned kind, unsigned rounds)
{
    char full[56];
    struct hist times = times_of(&l->all, kind);
    snprintf(full, sizeof(full), "%s, %s", threads_of(l), kind_name(kind));
    for (unsigned q = 0; q < QUANTILES; q++)
        if (has_quantile(&times, quantiles[q].quantile))
            result_add("load", full, quantiles[q].metric, "ns",
                       (double)hist_quantile(&times, quantiles[q].quantile), NULL, 0);
    if (times.count > 0)
        result_add("load", full, "max", "ns", (double)times.max, NULL, 0);
    for (unsigned q = 0; q < LOAD_ROUND_QUANTILES; q++)
        if (all_rounds_have(&l->round_quantiles[kind][q], rounds))
            result_add_rounds("load", full, quantiles[q].of_round, "ns",
                              &l->round_quantiles[kind][q], NULL, rounds);
}

void load_results(const struct load_result *r)
{
    const struct load_settings *s = r->settings;
    for (unsigned i = 0; i < r->count; i++) {
        const struct load_level *l = &r->levels[i];
        const char *name = threads_of(l);
        result_add_rounds("load", name, "requests", "1/s", &l->ops, s->control ? &l->control : NULL,
                          r->rounds);
        if (s->control && i > 0) {
            struct scaling scaling = scaling_of(r, l);
            result_add_rounds("load", name, "scaling", "times", &scaling.ours, &scaling.control,
                              r->rounds);
        }
        for (unsigned kind = 0; kind < LOAD_KINDS; kind++)
            add_times(l, kind, r->rounds);
        if (s->rate > 0)
            result_add("load", name, "not begun", "count", (double)l->all.unsent.count, NULL, 0);
        result_add("load", name, "failed", "count", (double)l->all.failed, NULL, 0);
    }
    table_end();
}
