// SPDX-License-Identifier: MIT
/*
 * The list of results, and its JSON.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "bench/measure.h"
#include "support/fail.h"
#include "support/json.h"
#include "support/provenance.h"

static struct result *results;
static size_t result_count;

static struct result *append(const char *bench, const char *name, const char *metric,
                             const char *unit)
{
    results = must_grow(results, result_count + 1, sizeof(*results));
    struct result *r = &results[result_count++];
    *r = (struct result){.bench = bench, .name = must_print("%s", name), .metric = metric,
                         .unit = unit, .at_s = -1};
    return r;
}

void result_add_rounds(const char *bench, const char *name, const char *metric, const char *unit,
                       const struct subject *subject, const struct subject *baseline,
                       unsigned rounds)
{
    struct result *r = append(bench, name, metric, unit);
    r->value = median(subject->figures, rounds);
    r->spread = spread(subject->figures, rounds);
    r->rounds = rounds;
    median_range(subject->figures, rounds, MEDIAN_SURE, &r->low, &r->high);
    if (!baseline)
        return;
    r->baseline = baseline->name;
    r->baseline_value = median(baseline->figures, rounds);
    double ratios[ROUNDS_MAX];
    ratios_of(subject->figures, baseline->figures, rounds, ratios);
    r->ratio = median(ratios, rounds);
    r->ratio_spread = spread(ratios, rounds);
    median_range(ratios, rounds, MEDIAN_SURE, &r->low, &r->high);
}

void result_add(const char *bench, const char *name, const char *metric, const char *unit,
                double value, const char *baseline, double baseline_value)
{
    struct result *r = append(bench, name, metric, unit);
    r->value = value;
    r->rounds = 1;
    r->baseline = baseline;
    r->baseline_value = baseline_value;
    r->ratio = baseline && baseline_value != 0 ? value / baseline_value : 0;
}

void result_add_at(const char *bench, const char *name, const char *metric, const char *unit,
                   double at_s, double value, const char *limit, double limit_value)
{
    result_add(bench, name, metric, unit, value, limit, limit_value);
    results[result_count - 1].at_s = at_s;
}

void result_add_text(const char *bench, const char *name, const char *metric, const char *text)
{
    struct result *r = append(bench, name, metric, "text");
    r->value = NAN;
    r->text = must_print("%s", text);
}

const struct result *result_find(const char *bench, const char *name, const char *metric,
                                 const char *baseline)
{
    for (size_t i = 0; i < result_count; i++) {
        const struct result *r = &results[i];
        if (strcmp(r->bench, bench) == 0 && strcmp(r->name, name) == 0 &&
            strcmp(r->metric, metric) == 0 &&
            (!baseline || (r->baseline && strcmp(r->baseline, baseline) == 0)))
            return r;
    }
    return NULL;
}

void result_set_goal(const struct result *r, double goal)
{
    results[r - results].goal = goal;
}

/* ---- those that --only leaves out ---- */

static char **left_out;
static size_t left_out_count;

void result_leave_out(const char *name)
{
    for (size_t i = 0; i < left_out_count; i++)
        if (strcmp(left_out[i], name) == 0)
            return;
    left_out = must_grow(left_out, left_out_count + 1, sizeof(*left_out));
    left_out[left_out_count++] = must_print("%s", name);
}

bool result_wanted(const char *only, const char *name)
{
    if (!only || strstr(name, only))
        return true;
    result_leave_out(name);
    return false;
}

static const char *why_so_few;

void result_say_why_so_few(const char *why)
{
    why_so_few = why;
}

static _Noreturn void fail_empty(const struct output *o)
{
    if (left_out_count == 0)
        fail("nothing was measured");
    fprintf(stderr, "The cases of perf/run %s, with these options:\n", o->command);
    for (size_t i = 0; i < left_out_count; i++)
        fprintf(stderr, "  %s\n", left_out[i]);
    fail("nothing was measured: what --only says is in the name of none of these%s",
         why_so_few ? why_so_few : "");
}

/* ---- JSON ---- */

/* JSON has no infinities. */
static void write_number(FILE *out, const char *name, double value)
{
    fprintf(out, ", \"%s\": ", name);
    if (isfinite(value))
        fprintf(out, "%.6g", value);
    else
        fputs("null", out);
}

static void write_text(FILE *out, const char *before, const char *name, const char *text)
{
    fprintf(out, "%s\"%s\": ", before, name);
    json_text(out, text);
}

static void write_one(FILE *out, const struct result *r, const char *command)
{
    write_text(out, "  {", "bench", r->bench);
    write_text(out, ", ", "case", r->name);
    write_text(out, ", ", "metric", r->metric);
    write_text(out, ", ", "unit", r->unit);
    write_number(out, "value", r->value);
    if (r->text)
        write_text(out, ", ", "text", r->text);
    if (r->baseline) {
        write_text(out, ", ", "baseline", r->baseline);
        write_number(out, "baseline_value", r->baseline_value);
        write_number(out, "ratio", r->ratio);
    } else {
        fputs(", \"baseline\": null, \"baseline_value\": null, \"ratio\": null", out);
    }
    fprintf(out, ", \"rounds\": %u", r->rounds);
    write_number(out, "spread", r->spread);
    if (r->ratio_spread > 0)
        write_number(out, "ratio_spread", r->ratio_spread);
    if (r->rounds > 1) {
        write_number(out, "low", r->low);
        write_number(out, "high", r->high);
    }
    if (r->goal > 0)
        write_number(out, "goal", r->goal);
    if (r->at_s >= 0)
        write_number(out, "at_s", r->at_s);
    write_text(out, ", ", "command", command);
    provenance_json(out, ", ");
    fputc('}', out);
}

void results_write(const char *path, const char *command)
{
    FILE *out = fopen(path, "w");
    if (!out)
        fail("cannot write %s: %m", path);
    fputs("[\n", out);
    for (size_t i = 0; i < result_count; i++) {
        write_one(out, &results[i], command);
        fputs(i + 1 < result_count ? ",\n" : "\n", out);
    }
    fputs("]\n", out);
    output_close(out, path);
}

void results_output(struct output *o)
{
    if (result_count == 0)
        fail_empty(o);
    const char *path = output_json(o);
    if (path)
        results_write(path, o->line);
    output_page(o);
}
