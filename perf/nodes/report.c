// SPDX-License-Identifier: MIT
/*
 * The table, the verdict and the JSON of the main job.
 *
 * A row is a function from a result to a block of the table, so that two runs stand side by side
 * without either knowing of the other.
 */
#include "nodes/report.h"

#include <nigh/options.h>
#include <stdio.h>
#include <string.h>

#include "nodes/felt.h"
#include "support/fail.h"
#include "support/json.h"
#include "support/provenance.h"
#include "support/table.h"

static const char *const tier_names[TIER_COUNT] = {"L1", "L2", "loader"};
static const char *const fault_names[CHECKER_FAULT_COUNT] = {
    [CHECKER_LATE] = "fresh but late beyond the bound",
    [CHECKER_APPLIED] = "fresh though its node had applied a later invalidation",
    [CHECKER_MISTAKEN] = "not what was asked for",
};

static const char *const trouble_names[] = {
    [TROUBLE_AWAY] = "Redis away",
    [TROUBLE_RENEWED] = "everything renewed",
    [TROUBLE_ISSUED_AGAIN] = "changes issued again",
};

typedef struct table_block (*row_fn)(const struct result *r, int which);

static void row(const struct table *t, const struct result *const runs[], const char *label,
                row_fn fn, int which)
{
    struct table_block blocks[TABLE_BLOCKS_MAX];
    for (int i = 0; i < t->blocks; i++)
        blocks[i] = fn(runs[i], which);
    table_row(t, label, blocks);
}

static struct table_block wide(const char *text)
{
    return (struct table_block){{text, NULL, NULL, NULL}, 1};
}

static struct table_block cells(const char *a, const char *b, const char *c, const char *d)
{
    return (struct table_block){{a, b, c, d}, 0};
}

static const char *quantile(const struct hist *h, double fraction)
{
    return h->count ? table_time(hist_quantile(h, fraction)) : "-";
}

/* ---- rows ---- */

static uint64_t per_second(const struct result *r)
{
    return (uint64_t)((double)r->reads / r->seconds);
}

static struct table_block check_row(const struct result *r, int which)
{
    (void)which;
    return wide(r->plan.check ? "checked" : "check off");
}

static struct table_block rate_row(const struct result *r, int which)
{
    (void)which;
    return wide(table_count(per_second(r)));
}

static struct table_block tier_row(const struct result *r, int tier)
{
    uint64_t all = r->tiers[TIER_L1] + r->tiers[TIER_L2] + r->tiers[TIER_LOADER];
    const struct hist *h = &r->latency[tier];
    return cells(table_share(r->tiers[tier], all), quantile(h, 0.5), quantile(h, 0.99),
                 quantile(h, 0.999));
}

static struct table_block outcome_row(const struct result *r, int which)
{
    (void)which;
    return cells(table_share(r->outcomes[OUTCOME_FRESH], r->reads),
                 table_share(r->outcomes[OUTCOME_STALE], r->reads),
                 table_share(r->outcomes[OUTCOME_ABSENT], r->reads),
                 table_count(r->outcomes[OUTCOME_BUSY] + r->outcomes[OUTCOME_FAILED]));
}

static struct table_block update_row(const struct result *r, int which)
{
    (void)which;
    return wide(table_print("%s, %s queued", table_count(r->update.updates),
                           table_count(r->update.queued)));
}

static struct table_block times_row(const struct result *r, int which)
{
    const struct hist *h = which ? &r->update.lag : &r->update.commit_to_acceptance;
    if (!r->plan.check)
        return wide("-");
    return cells(table_count(h->count), quantile(h, 0.5), quantile(h, 0.99),
                 h->count ? table_time(h->max) : "-");
}

static struct table_block lateness_row(const struct result *r, int which)
{
    const struct hist *h = which ? &r->checked.lateness_stale : &r->checked.lateness_fresh;
    if (!r->plan.check)
        return wide("-");
    return cells(table_count(h->count), quantile(h, 0.5), quantile(h, 0.99),
                 h->count ? table_time(h->max) : "-");
}

static struct table_block violation_row(const struct result *r, int which)
{
    (void)which;
    if (!r->plan.check)
        return wide("not judged");
    return wide(table_print("%s in %s reads judged", table_count(checker_violations(&r->checked)),
                           table_count(r->checked.judged)));
}

static struct table_block loads_row(const struct result *r, int which)
{
    (void)which;
    if (!r->plan.check)
        return wide(table_count(r->loads));
    return wide(table_print("%s of %s pages", table_count(r->loads),
                           table_count(r->generations.keys)));
}

static struct table_block generations_row(const struct result *r, int which)
{
    const struct generations_result *g = &r->generations;
    if (!r->plan.check)
        return wide("not judged");
    if (which && r->away_seconds <= 0)
        return wide("Redis was never away");
    return wide(table_print("%u", which ? g->outage_loads_max : g->loads_max));
}

static struct table_block repeated_row(const struct result *r, int which)
{
    const struct generations_result *g = &r->generations;
    (void)which;
    if (!r->plan.check)
        return wide("-");
    return cells(table_count(g->by_invalidation), table_count(g->by_expiry),
                 table_count(g->by_renewal),
                 table_count(g->by_eviction + g->by_other_process));
}

static struct table_block origin_row(const struct result *r, int which)
{
    (void)which;
    return wide(table_print("%d of %d", r->origin_peak, r->origin_cap));
}

static struct table_block memory_row(const struct result *r, int which)
{
    (void)which;
    return wide(table_print("%s of %s", table_mib(r->memory_peak), table_mib(r->memory_cap)));
}

static struct table_block resident_row(const struct result *r, int which)
{
    (void)which;
    return wide(table_mib(r->resident_peak));
}

static struct table_block away_row(const struct result *r, int which)
{
    (void)which;
    return wide(r->plan.check ? table_print("%.2f s, %lld", r->away_seconds, (long long)r->resyncs)
                              : table_print("%lld", (long long)r->resyncs));
}

/* ---- what a fault did ---- */

/* Seconds since the run began. */
static double at(const struct result *r, uint64_t ns)
{
    return ((double)ns - (double)r->begin_ns) / 1e9;
}

static struct table_block fault_row(const struct result *r, int which)
{
    (void)which;
    return wide(table_print("%s at %g s", r->fault.kind->name, r->plan.fault_at));
}

static struct table_block event_row(const struct result *r, int event)
{
    if ((uint32_t)event >= r->fault.event_count)
        return wide("-");
    return wide(table_print("%.2f s", at(r, r->fault.events[event].ns)));
}

static struct table_block doubt_row(const struct result *r, int which)
{
    (void)which;
    return wide(table_print("%.2f s", r->doubt_seconds));
}

static struct table_block cost_row(const struct result *r, int which)
{
    (void)which;
    const char *stale = table_count(r->outcomes[OUTCOME_STALE]);
    if (!r->plan.check)
        return wide(stale);
    return wide(table_print("%s, %s", stale, table_count(r->generations.by_renewal)));
}

/* ---- the table ---- */

static void print_reads(const struct table *t, const struct result *const runs[])
{
    row(t, runs, "", check_row, 0);
    table_line(t);
    row(t, runs, "reads per second", rate_row, 0);
    table_heading(t, "", (const char *const[]){"share", "p50", "p99", "p99.9"});
    for (int tier = 0; tier < TIER_COUNT; tier++)
        row(t, runs, table_print("  from %s", tier_names[tier]), tier_row, tier);
    table_heading(t, "", (const char *const[]){"fresh", "stale", "absent", "refused"});
    row(t, runs, "answers", outcome_row, 0);
}

static void print_truth(const struct table *t, const struct result *const runs[])
{
    table_line(t);
    row(t, runs, "updates", update_row, 0);
    table_heading(t, "", (const char *const[]){"count", "p50", "p99", "max"});
    row(t, runs, "commit to acceptance", times_row, 0);
    row(t, runs, "call to the other nodes", times_row, 1);
    row(t, runs, "late reads, fresh", lateness_row, 0);
    row(t, runs, "late reads, stale", lateness_row, 1);
    row(t, runs, "violations", violation_row, 0);
}

static void print_origin(const struct table *t, const struct result *const runs[])
{
    table_line(t);
    row(t, runs, "loads", loads_row, 0);
    row(t, runs, "most per generation", generations_row, 0);
    row(t, runs, "  per process, no Redis", generations_row, 1);
    table_heading(t, "", (const char *const[]){"changed", "expired", "renewed", "lost"});
    row(t, runs, "loaded again because", repeated_row, 0);
    row(t, runs, "loads at once, peak", origin_row, 0);
    row(t, runs, "memory of L1, peak", memory_row, 0);
    row(t, runs, "  whole process", resident_row, 0);
    row(t, runs, "Redis away, resyncs", away_row, 0);
}

static struct table_block felt_row(const struct result *r, int which)
{
    (void)which;
    const char *felt = r->plan.check ? felt_how(r) : "-";
    return wide(felt ? felt : "NOTHING");
}

static void print_fault(const struct table *t, const struct result *const runs[])
{
    const struct fault *f = &runs[0]->fault;
    if (!f->kind)
        return;
    table_line(t);
    row(t, runs, "fault made", fault_row, 0);
    for (uint32_t i = 0; i < f->event_count; i++)
        row(t, runs, table_print("  %s", f->events[i].what), event_row, (int)i);
    row(t, runs, "  felt", felt_row, 0);
    row(t, runs, "  without trust, longest", doubt_row, 0);
    row(t, runs, "  stale answers, renewals", cost_row, 0);
}

void report_table(const struct result *const runs[], int count)
{
    struct table t = {stdout, count};
    const struct result *r = runs[0];
    const struct plan *p = &r->plan;
    printf("\n%s x %s, L1 %s each, %g updates/s, %g s, seed %llu%s\n",
           table_some(p->nodes, "node"), table_some(p->threads, "thread"), p->memory,
           p->updates_per_second, p->seconds, (unsigned long long)p->seed,
           r->fault.kind ? table_print(", %s at %g s", r->fault.kind->name, p->fault_at) : "");
    printf("bound: a fresh read is at most %.1f ms late (trust %u ms + drift + clock step%s)\n\n",
           (double)r->bound_ns / 1e6, p->trust_ms,
           p->late_ms ? table_print(" + %u ms: %s", p->late_ms, r->fault.kind->name) : "");
    print_reads(&t, runs);
    print_truth(&t, runs);
    print_origin(&t, runs);
    print_fault(&t, runs);
    table_line(&t);
}

/* ---- the verdict ---- */

static void print_wrong_reads(const struct result *r)
{
    for (uint32_t i = 0; i < r->checked.example_count; i++) {
        const struct checker_example *e = &r->checked.examples[i];
        printf("  at %.4f s, node %u, %s: asked for %u, shown %u #%u, late by %s: %s\n",
               at(r, e->begin_ns), e->node, tier_names[e->tier], e->key, e->package, e->revision,
               table_time(e->late_ns), fault_names[e->fault]);
    }
}

static void print_load(const struct result *r, const struct load *l)
{
    static const char *const looks[] = {"", ", L1 was empty", ", L1 had it"};
    printf(" node %u %.4f-%.4f-%.4f s%s;", l->node, at(r, l->begin_ns), at(r, l->start_ns),
           at(r, l->end_ns), looks[l->look]);
}

static void print_repeated_loads(const struct result *r)
{
    for (uint32_t i = 0; i < r->generations.example_count; i++) {
        const struct generations_example *e = &r->generations.examples[i];
        printf("  page %u:", e->first.key);
        print_load(r, &e->first);
        print_load(r, &e->second);
        printf("\n");
    }
}

static void print_troubles(const struct result *r)
{
    for (uint32_t i = 0; i < r->trouble_count; i++) {
        const struct trouble *t = &r->troubles[i];
        printf("  node %u: %s from %.4f to %.4f s\n", t->node, trouble_names[t->kind],
               at(r, t->from_ns), at(r, t->to_ns));
    }
}

static void print_examples(const struct result *r)
{
    print_wrong_reads(r);
    print_repeated_loads(r);
    print_troubles(r);
}

/* Say it if it is broken. */
static int broken(bool is, const char *what, uint64_t seen, uint64_t allowed)
{
    if (!is)
        return 0;
    printf("BROKEN: %s: %s, allowed %s\n", what, table_count(seen), table_count(allowed));
    return 1;
}

/* Calls beyond their deadline, by more than the node's stalls. */
static int broken_calls(const char *what, const struct calls *c)
{
    if (c->overdue == 0)
        return 0;
    printf("BROKEN: calls beyond their deadline: %s %s, the worst by %s more than the node's "
           "stalls and %s\n",
           table_count(c->overdue), what, table_time(c->overdue_ns), table_time(CALLS_SLACK_NS));
    return 1;
}

static uint64_t failed_calls(const struct result *r)
{
    return r->outcomes[OUTCOME_FAILED] + r->update.failed;
}

static int check_promises(const struct result *r)
{
    const struct generations_result *g = &r->generations;
    uint64_t violations = checker_violations(&r->checked);
    uint64_t origin = (uint64_t)r->origin_peak, cap = (uint64_t)r->origin_cap;
    int count = broken(violations > 0, "reads that were wrong", violations, 0);
    count += broken(g->loads_max > 1, "loads of one generation", g->loads_max, 1);
    count += broken(g->outage_loads_max > 1, "loads of one generation in one process, Redis away",
                    g->outage_loads_max, 1);
    count += broken(origin > cap, "loads at once", origin, cap);
    count += broken(r->memory_peak > r->memory_cap, "bytes in L1", r->memory_peak, r->memory_cap);
    count += broken_calls("reads", &r->calls);
    count += broken_calls("changes", &r->update.calls);
    count += broken(r->untrusting > 0, "nodes that were never fresh again", r->untrusting, 0);
    if (r->fault.kind && r->fault.kind->calls_hold)
        count += broken(failed_calls(r) > 0, "calls that failed", failed_calls(r), 0);
    count += broken(r->never_accepted > 0, "invalidations never accepted", r->never_accepted, 0);
    count += broken(r->loads_lost > 0, "records that did not fit: not all is judged",
                    r->loads_lost, 0);
    return count;
}

int report_verdict(const struct result *r)
{
    int count = check_promises(r);
    if (count)
        print_examples(r);
    if (r->failure)
        printf("note: reads ended with an error %s, at last with %d\n",
               table_some(r->outcomes[OUTCOME_FAILED], "time"), r->failure);
    if (r->fault.kind && r->plan.check && !felt_how(r))
        printf("note: nothing was felt of %s: the run does not show what it is for\n",
               r->fault.kind->name);
    if (count == 0 && r->plan.check)
        printf("kept: every promise (%s reads judged)\n", table_count(r->checked.judged));
    return count;
}

/* ---- JSON ---- */

static void json_latency(FILE *out, const struct result *r, int tier, const char *name,
                         const char *end)
{
    const struct hist *h = &r->latency[tier];
    fprintf(out, "    \"%s\": {\"p50\": %.3f, \"p99\": %.3f, \"p999\": %.3f}%s\n", name,
            (double)hist_quantile(h, 0.5) / 1e3, (double)hist_quantile(h, 0.99) / 1e3,
            (double)hist_quantile(h, 0.999) / 1e3, end);
}

/* How late the late ones were, and the bound that none may exceed. */
static void json_lateness(FILE *out, const struct result *r)
{
    const struct hist *h = &r->checked.lateness_fresh;
    fprintf(out,
            "  \"late_fresh_us\": {\"count\": %llu, \"p50\": %.3f, \"p99\": %.3f, "
            "\"max\": %.3f, \"bound\": %.3f},\n",
            (unsigned long long)h->count, (double)hist_quantile(h, 0.5) / 1e3,
            (double)hist_quantile(h, 0.99) / 1e3, (double)h->max / 1e3, (double)r->bound_ns / 1e3);
}

static void json_shares(FILE *out, const struct result *r)
{
    uint64_t all = r->tiers[TIER_L1] + r->tiers[TIER_L2] + r->tiers[TIER_LOADER];
    double whole = all ? (double)all : 1;
    fprintf(out, "  \"share\": {\"l1\": %.6f, \"l2\": %.6f, \"loader\": %.6f},\n",
            (double)r->tiers[TIER_L1] / whole, (double)r->tiers[TIER_L2] / whole,
            (double)r->tiers[TIER_LOADER] / whole);
}

static void json_counts(FILE *out, const struct result *r)
{
    fprintf(out, "  \"reads_judged\": %llu,\n", (unsigned long long)r->checked.judged);
    fprintf(out, "  \"violations\": %llu,\n",
            (unsigned long long)checker_violations(&r->checked));
    fprintf(out, "  \"trust_bound_ms\": %u,\n", r->plan.trust_ms);
    fprintf(out, "  \"probes_unseen\": %llu,\n", (unsigned long long)r->update.probes_unseen);
    fprintf(out, "  \"loads_per_generation_max\": %u,\n", r->generations.loads_max);
    fprintf(out, "  \"outage_loads_per_process_max\": %u,\n", r->generations.outage_loads_max);
    fprintf(out, "  \"origin_concurrency_peak\": %d,\n", r->origin_peak);
    fprintf(out, "  \"origin_concurrency_cap\": %d,\n", r->origin_cap);
    fprintf(out, "  \"memory_peak_bytes\": %llu,\n", (unsigned long long)r->memory_peak);
    fprintf(out, "  \"memory_cap_bytes\": %llu,\n", (unsigned long long)r->memory_cap);
    fprintf(out, "  \"requests_per_second\": %llu,\n", (unsigned long long)per_second(r));
}

static void json_fault(FILE *out, const struct result *r)
{
    const struct fault *f = &r->fault;
    if (!f->kind) {
        fprintf(out, "  \"fault\": null,\n");
        return;
    }
    fprintf(out, "  \"fault\": {\"name\": \"%s\", \"at_s\": %g, \"steps\": [", f->kind->name,
            r->plan.fault_at);
    for (uint32_t i = 0; i < f->event_count; i++)
        fprintf(out, "%s\n    {\"what\": \"%s\", \"at_s\": %.3f}", i ? "," : "",
                f->events[i].what, at(r, f->events[i].ns));
    fprintf(out, "],\n    \"away_s\": %.3f, \"trust_lost_s\": %.3f, \"stale_reads\": %llu,\n",
            r->away_seconds, r->doubt_seconds,
            (unsigned long long)r->outcomes[OUTCOME_STALE]);
    fprintf(out, "    \"loads_renewed\": %llu, \"resyncs\": %lld, \"felt\": \"%s\"},\n",
            (unsigned long long)r->generations.by_renewal, (long long)r->resyncs,
            r->plan.check && felt_how(r) ? felt_how(r) : "");
}

static FILE *json_begin(const struct output *o)
{
    FILE *out = fopen(o->json, "we");
    if (!out)
        fail("cannot write %s: %m", o->json);
    fprintf(out, "{\"command\": ");
    json_text(out, o->line);
    provenance_json(out, ",\n  ");
    fprintf(out, ",\n");
    return out;
}

void report_json(const struct result *r, const struct output *o)
{
    FILE *out = json_begin(o);
    json_counts(out, r);
    json_shares(out, r);
    if (r->plan.check)
        json_lateness(out, r);
    json_fault(out, r);
    timeline_json(r->timelines, r->plan.nodes, r->begin_ns, out);
    fprintf(out, "  \"latency_us\": {\n");
    json_latency(out, r, TIER_L1, "l1", ",");
    json_latency(out, r, TIER_L2, "l2", ",");
    json_latency(out, r, TIER_LOADER, "loader", "");
    fprintf(out, "  },\n");
    fprintf(out, "  \"invalidation_lag_us\": {\"p50\": %.3f, \"p99\": %.3f}\n}\n",
            (double)hist_quantile(&r->update.lag, 0.5) / 1e3,
            (double)hist_quantile(&r->update.lag, 0.99) / 1e3);
    output_close(out, o->json);
}

/* ---- a run with each fault ---- */

/* The bound of most, and of each that adds to it. */
static void print_bounds(const struct result *runs, int count)
{
    printf("bound of lateness: %s", table_time(checker_bound_ns(runs[0].plan.trust_ms, 0)));
    for (int i = 0; i < count; i++)
        if (runs[i].plan.late_ms)
            printf(", in %s %s", runs[i].fault.kind->name, table_time(runs[i].bound_ns));
    printf("\nfresh again: since the fault's first step; worst call: of reads, without what the "
           "node was\nnot let run meanwhile; longest: with that; felt: what shows that the fault "
           "did something\n");
}

void report_faults(const struct result *runs, int count)
{
    printf("\n%-18s %8s %6s %10s %11s %10s %8s %8s  %s\n", "fault", "judged", "wrong",
           "worst late", "fresh again", "worst call", "longest", "overdue", "felt");
    for (int i = 0; i < count; i++) {
        const struct result *r = &runs[i];
        const struct hist *late = &r->checked.lateness_fresh;
        const char *felt = felt_how(r);
        printf("%-18s %8s %6s %10s %9.2f s %10s %8s %8s  %s\n", r->fault.kind->name,
               table_count(r->checked.judged), table_count(checker_violations(&r->checked)),
               late->count ? table_time(late->max) : "-", r->fresh_seconds,
               table_time(r->calls.worst_ns), table_time(r->calls.longest_ns),
               table_count(r->calls.overdue + r->update.calls.overdue), felt ? felt : "NOTHING");
    }
    if (count)
        print_bounds(runs, count);
}

void report_faults_json(const struct result *runs, int count, const struct output *o)
{
    FILE *out = json_begin(o);
    fprintf(out, "\"faults\": [");
    for (int i = 0; i < count; i++) {
        const struct result *r = &runs[i];
        fprintf(out, "%s\n  {\"name\": \"%s\", \"reads_judged\": %llu, \"violations\": %llu,\n",
                i ? "," : "", r->fault.kind->name, (unsigned long long)r->checked.judged,
                (unsigned long long)checker_violations(&r->checked));
        fprintf(out,
                "   \"late_fresh_max_us\": %.3f, \"bound_us\": %.3f, "
                "\"fresh_again_s\": %.3f,\n",
                (double)r->checked.lateness_fresh.max / 1e3, (double)r->bound_ns / 1e3,
                r->fresh_seconds);
        fprintf(out, "   \"worst_call_us\": %.3f, \"longest_us\": %.3f, \"deadline_us\": %u,\n",
                (double)r->calls.worst_ns / 1e3, (double)r->calls.longest_ns / 1e3,
                NIGH_DEFAULT_LOAD_DEADLINE_MS * 1000);
        fprintf(out, "   \"calls_overdue\": %llu, \"felt\": \"%s\"}",
                (unsigned long long)(r->calls.overdue + r->update.calls.overdue),
                felt_how(r) ? felt_how(r) : "");
    }
    fprintf(out, "\n]}\n");
    output_close(out, o->json);
}
