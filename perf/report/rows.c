// SPDX-License-Identifier: MIT
/*
 * Reading results. Files come from other machines and older versions: whatever is not a row ends in
 * a sentence that names the place, and nothing is taken for zero that is not there.
 */
#include "report/rows.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "support/fail.h"
#include "support/table.h"

#define MIB 0x1p20

/* ---- the main job's object ---- */

static double number_in(const json_t *object, const char *name)
{
    const json_t *j = json_object_get(object, name);
    return json_is_number(j) ? json_number_value(j) : NAN;
}

/* Adds a row unless the figure is missing. */
static void add(json_t *to, const char *name, const char *metric, const char *unit, double value,
                const char *limit, double limit_value)
{
    if (isnan(value))
        return;
    json_t *row = json_pack("{s:s, s:s, s:s, s:s, s:f, s:i, s:f}", "bench", "nodes", "case", name,
                            "metric", metric, "unit", unit, "value", value, "rounds", 1, "spread",
                            0.0);
    if (limit && !isnan(limit_value)) {
        json_object_set_new(row, "baseline", json_string(limit));
        json_object_set_new(row, "baseline_value", json_real(limit_value));
        json_object_set_new(row, "ratio",
                            limit_value != 0 ? json_real(value / limit_value) : json_null());
    }
    json_array_append_new(to, row);
}

static void add_quantiles(json_t *to, const char *name, const json_t *from)
{
    static const struct {
        const char *field, *metric;
    } all[] = {{"p50", "p50"}, {"p90", "p90"}, {"p99", "p99"}, {"p999", "p99.9"}, {"max", "max"}};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        double us = number_in(from, all[i].field); /* 0: none was timed */
        add(to, name, all[i].metric, "us", us > 0 ? us : NAN, NULL, 0);
    }
}

/* Not a latency of reads: quantiles as names, in place of metrics, keep it out of their picture. */
static void add_lag(json_t *to, const json_t *from)
{
    add(to, "p50", "lag to the other nodes", "us", number_in(from, "p50"), NULL, 0);
    add(to, "p99", "lag to the other nodes", "us", number_in(from, "p99"), NULL, 0);
}

static void add_lateness(json_t *to, const json_t *job)
{
    const json_t *late = json_object_get(job, "late_fresh_us");
    double bound = number_in(late, "bound");
    add(to, "fresh reads", "lateness, p50", "us", number_in(late, "p50"), "bound", bound);
    add(to, "fresh reads", "lateness, p99", "us", number_in(late, "p99"), "bound", bound);
    add(to, "fresh reads", "lateness, max", "us", number_in(late, "max"), "bound", bound);
    add(to, "fresh reads", "late", "count", number_in(late, "count"), NULL, 0);
}

/* Adds one figure of many; `limit` is what it should stay below. */
static void add_at(json_t *to, const char *name, const char *metric, const char *unit, double at_s,
                   double value, const char *limit, double limit_value)
{
    size_t before = json_array_size(to);
    add(to, name, metric, unit, value, limit, limit_value);
    if (json_array_size(to) > before)
        json_object_set_new(json_array_get(to, before), "at_s", json_real(at_s));
}

/* Adds a line for each node, from a list of their figures. */
static void add_nodes_at(json_t *to, const json_t *figures, const char *metric, const char *unit,
                         double at_s, double scale, const char *limit, double limit_value)
{
    const json_t *each;
    size_t i;
    char name[32];
    json_array_foreach(figures, i, each) {
        snprintf(name, sizeof(name), "node %zu", i);
        if (json_is_number(each))
            add_at(to, name, metric, unit, at_s, json_number_value(each) / scale, limit,
                   limit_value);
    }
}

static void add_over_time(json_t *to, const json_t *job)
{
    static const char *const names[] = {"l1", "l2", "loader"};
    double cap = number_in(job, "memory_cap_bytes") / MIB;
    const json_t *each;
    size_t i;
    json_array_foreach(json_object_get(job, "over_time"), i, each) {
        double at_s = number_in(each, "at_s");
        for (size_t n = 0; n < sizeof(names) / sizeof(names[0]); n++)
            add_at(to, names[n], "share over time", "percent", at_s,
                   100 * number_in(each, names[n]), NULL, 0);
        add_nodes_at(to, json_object_get(each, "memory_bytes"), "memory over time", "MiB", at_s,
                     MIB, "cap", cap);
        add_nodes_at(to, json_object_get(each, "fullest_shard"),
                     "the fullest shard, over time", "entries, of the mean", at_s, 1, NULL, 0);
    }
}

/* Makes rows of the object that `perf/run --json` writes. */
static json_t *rows_of_job(const json_t *job)
{
    static const char *const tiers[] = {"l1", "l2", "loader"};
    json_t *to = json_array();
    for (size_t i = 0; i < sizeof(tiers) / sizeof(tiers[0]); i++) {
        add(to, tiers[i], "share of the reads", "percent",
            100 * number_in(json_object_get(job, "share"), tiers[i]), NULL, 0);
        add_quantiles(to, tiers[i], json_object_get(json_object_get(job, "latency_us"), tiers[i]));
    }
    add_lag(to, json_object_get(job, "invalidation_lag_us"));
    add_lateness(to, job);
    add_over_time(to, job);
    add(to, "a node", "memory of L1", "bytes", number_in(job, "memory_peak_bytes"), "cap",
        number_in(job, "memory_cap_bytes"));
    add(to, "the origin", "loads at once", "count", number_in(job, "origin_concurrency_peak"),
        "cap", number_in(job, "origin_concurrency_cap"));
    add(to, "a generation", "loads", "count", number_in(job, "loads_per_generation_max"), "bound",
        1);
    add(to, "reads", "judged", "count", number_in(job, "reads_judged"), NULL, 0);
    add(to, "reads", "violations", "count", number_in(job, "violations"), NULL, 0);
    add(to, "reads", "requests", "1/s", number_in(job, "requests_per_second"), NULL, 0);
    return to;
}

/* Older files have the longest call, and how much of it its node was not let run. */
static double held_of(const json_t *fault)
{
    double held = number_in(fault, "held_us");
    return isnan(held) ? 0 : held;
}

/* Makes rows of what `perf/run --fault all --json` writes: one of each kind for every fault. */
static json_t *rows_of_faults(const json_t *faults)
{
    json_t *to = json_array();
    const json_t *each;
    size_t i;
    json_array_foreach(faults, i, each) {
        const char *name = json_string_value(json_object_get(each, "name"));
        if (!name)
            continue;
        add(to, name, "worst lateness", "us", number_in(each, "late_fresh_max_us"),
            "bound", number_in(each, "bound_us"));
        add(to, name, "worst call", "us",
            number_in(each, "worst_call_us") - held_of(each), "bound",
            number_in(each, "deadline_us"));
        add(to, name, "calls beyond their deadline", "count", number_in(each, "calls_overdue"),
            NULL, 0);
        add(to, name, "wrong reads", "count", number_in(each, "violations"), NULL, 0);
        add(to, name, "until all is fresh again", "s", number_in(each, "fresh_again_s"), NULL, 0);
        add(to, name, "reads judged", "count", number_in(each, "reads_judged"), NULL, 0);
    }
    return to;
}

/* Takes one of the main job's objects for the rows that it makes. */
static void make_rows(struct rows *r)
{
    json_t *faults = json_object_get(r->root, "faults"), *rows = NULL;
    if (json_is_array(faults))
        rows = rows_of_faults(faults);
    else if (json_object_get(r->root, "reads_judged"))
        rows = rows_of_job(r->root);
    if (!rows)
        return;
    static const char *const of_all[] = {"command", "machine", "build", "date"};
    json_t *each;
    size_t i;
    json_array_foreach(rows, i, each)
        for (size_t n = 0; n < sizeof(of_all) / sizeof(of_all[0]); n++) {
            json_t *text = json_object_get(r->root, of_all[n]);
            if (text)
                json_object_set(each, of_all[n], text);
        }
    json_decref(r->root);
    r->root = rows;
}

/* ---- rows ---- */

static const char *text_in(const json_t *object, const char *name)
{
    return json_string_value(json_object_get(object, name));
}

static bool take(struct row *r, const json_t *j)
{
    double rounds = number_in(j, "rounds");
    *r = (struct row){
        .bench = text_in(j, "bench"),
        .name = text_in(j, "case"),
        .metric = text_in(j, "metric"),
        .unit = text_in(j, "unit"),
        .baseline = text_in(j, "baseline"),
        .command = text_in(j, "command"),
        .text = text_in(j, "text"),
        .machine = text_in(j, "machine"),
        .build = text_in(j, "build"),
        .date = text_in(j, "date"),
        .value = number_in(j, "value"),
        .baseline_value = number_in(j, "baseline_value"),
        .ratio = number_in(j, "ratio"),
        .spread = number_in(j, "spread"),
        .ratio_spread = number_in(j, "ratio_spread"),
        .low = number_in(j, "low"),
        .high = number_in(j, "high"),
        .goal = number_in(j, "goal"),
        .at_s = number_in(j, "at_s"),
        .rounds = rounds >= 1 && rounds < 1e6 ? (unsigned)rounds : 1,
    };
    return r->bench && r->name && r->metric && r->unit;
}

static char *take_all(struct rows *r)
{
    r->all = must_alloc(json_array_size(r->root), sizeof(*r->all));
    for (; r->count < json_array_size(r->root); r->count++)
        if (!take(&r->all[r->count], json_array_get(r->root, r->count)))
            return must_print("%s: entry %zu is no row of results: bench, case, metric and unit "
                              "are texts",
                              r->path, r->count + 1);
    return r->count ? NULL : must_print("%s: there are no results in it", r->path);
}

char *rows_read(struct rows *ret, const char *path)
{
    json_error_t error;
    *ret = (struct rows){.path = must_print("%s", path),
                         .root = json_load_file(path, 0, &error)};
    if (!ret->root)
        return error.line > 0 ? must_print("%s: no JSON: line %d: %s", path, error.line, error.text)
                              : must_print("%s: %s", path, error.text);
    make_rows(ret);
    if (!json_is_array(ret->root))
        return must_print("%s: JSON, but not of perf/run's: an array of results is wanted", path);
    return take_all(ret);
}

void rows_free(struct rows *r)
{
    json_decref(r->root);
    free(r->all);
    free(r->path);
    *r = (struct rows){0};
}

/* ---- what a row means ---- */

double row_figure(const struct row *r)
{
    return r->baseline && !isnan(r->ratio) && r->baseline_value != 0 ? r->ratio : r->value;
}

double row_spread(const struct row *r)
{
    if (r->rounds < 2)
        return NAN;
    return r->baseline && !isnan(r->ratio_spread) ? r->ratio_spread : r->spread;
}

struct row_range row_range(const struct row *r)
{
    double half = fabs(row_figure(r)) * row_spread(r) / 2;
    if (r->rounds > 1 && !isnan(r->low) && !isnan(r->high))
        return (struct row_range){r->low, r->high};
    return (struct row_range){row_figure(r) - half, row_figure(r) + half};
}

const char *row_quantity(const struct row *r)
{
    bool says_unit = strcmp(r->metric, r->unit) == 0;
    return says_unit ? r->metric : table_print("%s, %s", r->metric, r->unit);
}

double row_unit_ns(const struct row *r)
{
    return strcmp(r->unit, "ns") == 0   ? 1
           : strcmp(r->unit, "us") == 0 ? 1e3
           : strcmp(r->unit, "ms") == 0 ? 1e6
                                        : 0;
}

bool row_rises(const struct row *r)
{
    static const char *const units[] = {"op/s", "1/s", "percent", "times"};
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
        if (strcmp(r->unit, units[i]) == 0)
            return true;
    return false;
}

bool row_has_limit(const struct row *r)
{
    static const char *const limits[] = {"bound", "cap", "goal"};
    for (size_t i = 0; r->baseline && i < sizeof(limits) / sizeof(limits[0]); i++)
        if (strcmp(r->baseline, limits[i]) == 0)
            return true;
    return false;
}

bool row_has_truth(const struct row *r)
{
    return r->baseline && strcmp(r->baseline, "came") == 0;
}

bool row_has_control(const struct row *r)
{
    return r->baseline && strcmp(r->baseline, "control") == 0;
}

bool row_is_rate_of_control(const struct row *r)
{
    return row_has_control(r) && strcmp(r->unit, "1/s") == 0;
}

bool row_has_floor(const struct row *r)
{
    return r->baseline && (strcmp(r->baseline, "limit") == 0 || strcmp(r->baseline, "floor") == 0);
}

bool row_has_best(const struct row *r)
{
    return r->baseline && strcmp(r->baseline, "the best") == 0;
}

static bool is_same(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

bool row_is_headed_like(const struct row *a, const struct row *b)
{
    return is_same(a->bench, b->bench) && is_same(a->metric, b->metric) &&
           is_same(a->unit, b->unit);
}

bool row_is_like(const struct row *a, const struct row *b)
{
    return row_is_headed_like(a, b) && is_same(a->name, b->name) &&
           is_same(a->baseline, b->baseline);
}

bool rows_is_first(const struct rows *r, size_t i)
{
    for (size_t j = 0; j < i; j++)
        if (row_is_headed_like(&r->all[j], &r->all[i]))
            return false;
    return true;
}

bool rows_is_first_of_command(const struct rows *r, size_t i)
{
    for (size_t j = 0; j < i; j++)
        if (is_same(r->all[j].command, r->all[i].command))
            return false;
    return r->all[i].command;
}
