// SPDX-License-Identifier: MIT
/*
 * Comparing two runs. Where a row has a baseline its ratio is compared, for what a machine was busy
 * with then and now is in both sides of it; else the value.
 *
 * It is known between which figures the median lies (median_range()): a difference counts when
 * these do not overlap. Two runs of the same are told apart by it less than once in a hundred, and
 * more rounds see a smaller difference. In files that say nothing of it, a difference has to be
 * larger than the spread of either run. Of fewer than COMPARE_ROUNDS neither means anything: the
 * figures of two rounds may lie close together, or all on one side, by chance alone.
 */
#include "report/compare.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <string.h>

#include "support/fail.h"
#include "support/table.h"

#define LABEL_COLUMNS   46
#define UNSURE_COLUMNS  11
#define VERDICT_COLUMNS 13

static const char *const words[VERDICTS] = {
    [VERDICT_WITHIN] = "-",
    [VERDICT_BETTER] = "better",
    [VERDICT_WORSE] = "worse",
    [VERDICT_FEW] = "cannot tell",
};

static unsigned fewer_rounds(const struct row *then, const struct row *now)
{
    return then->rounds < now->rounds ? then->rounds : now->rounds;
}

static double larger_spread(const struct row *then, const struct row *now)
{
    return fmax(row_spread(then), row_spread(now));
}

static bool has_range(const struct row *r)
{
    return !isnan(r->low) && !isnan(r->high);
}

static bool overlap(const struct row *a, const struct row *b)
{
    return a->low <= b->high && b->low <= a->high;
}

/* By how much of what was then a figure may differ, in the direction in which it does, without
 * counting: beyond that the two ranges have nothing in common. */
static double unsure(const struct row *then, const struct row *now)
{
    if (!has_range(then) || !has_range(now))
        return larger_spread(then, now);
    double was = row_figure(then), is = row_figure(now);
    double room = is > was ? then->high - was + is - now->low : was - then->low + now->high - is;
    return room / fabs(was);
}

static double change(const struct row *then, const struct row *now)
{
    double was = row_figure(then), is = row_figure(now);
    if (was == is)
        return 0;
    return was != 0 ? (is - was) / fabs(was) : is > was ? INFINITY : -INFINITY;
}

enum verdict compare_verdict(const struct row *then, const struct row *now)
{
    double by = change(then, now);
    if (by == 0)
        return VERDICT_WITHIN;
    if (isnan(by) || fewer_rounds(then, now) < COMPARE_ROUNDS)
        return VERDICT_FEW;
    if (has_range(then) && has_range(now) ? overlap(then, now)
                                          : fabs(by) <= larger_spread(then, now))
        return VERDICT_WITHIN;
    if (row_has_truth(now))
        return fabs(now->ratio - 1) < fabs(then->ratio - 1) ? VERDICT_BETTER : VERDICT_WORSE;
    return (by > 0) == row_rises(now) ? VERDICT_BETTER : VERDICT_WORSE;
}

enum verdict compare_beside(const struct row *r)
{
    double by = r->ratio - 1;
    if (isnan(by) || r->rounds < COMPARE_ROUNDS)
        return VERDICT_FEW;
    if (has_range(r) ? r->low <= 1 && r->high >= 1 : fabs(by) <= row_spread(r))
        return VERDICT_WITHIN;
    return (by > 0) == row_rises(r) ? VERDICT_BETTER : VERDICT_WORSE;
}

/* ---- the table ---- */

const char *compare_cannot_tell(unsigned rounds)
{
    return table_print("cannot tell (%s)", table_some(rounds, "round"));
}

static const char *number(double x)
{
    if (isnan(x))
        return "-";
    double size = fabs(x);
    if (size >= 1e7 || (size > 0 && size < 0.0995))
        return table_print("%.3g", x);
    return table_print("%.*f", size < 9.995 ? 2 : size < 99.95 ? 1 : 0, x);
}

static const char *change_text(double share)
{
    if (isnan(share))
        return "?";
    if (isinf(share))
        return "from 0";
    if (fabs(share) >= 99)
        return share > 0 ? "> 99x" : "< -99x";
    return table_print("%+.1f %%", 100 * share);
}

/* Prints a name, on a line of its own when it is longer than the column. */
static void print_label(const struct row *r, FILE *out)
{
    const char *label = r->baseline ? table_print("  %s / %s", r->name, r->baseline)
                                    : table_print("  %s", r->name);
    if (strlen(label) > LABEL_COLUMNS)
        fprintf(out, "%s\n%-*s", label, LABEL_COLUMNS, "");
    else
        fprintf(out, "%-*s", LABEL_COLUMNS, label);
}

static enum verdict print_row(const struct row *then, const struct row *now, FILE *out)
{
    enum verdict verdict = compare_verdict(then, now);
    double within = unsure(then, now);
    unsigned rounds = fewer_rounds(then, now);
    print_label(now, out);
    fprintf(out, "%10s%10s%10s", number(row_figure(then)), number(row_figure(now)),
            change_text(change(then, now)));
    if (verdict == VERDICT_FEW)
        fprintf(out, "%*s\n", UNSURE_COLUMNS + VERDICT_COLUMNS,
                compare_cannot_tell(rounds));
    else
        fprintf(out, "%*s%*s\n", UNSURE_COLUMNS,
                isfinite(within) ? table_print("%.1f %%", 100 * within) : "-",
                VERDICT_COLUMNS, words[verdict]);
    return verdict;
}

/* Finds the row that says the same; NULL: none. */
static const struct row *find(const struct rows *in, const struct row *like)
{
    for (size_t i = 0; i < in->count; i++)
        if (row_is_like(&in->all[i], like) && isnan(in->all[i].at_s))
            return &in->all[i];
    return NULL;
}

static void print_heading(const struct row *r, FILE *out)
{
    fprintf(out, "%s: %s\n", r->bench, row_quantity(r));
}

static void print_name(const struct row *r, FILE *out)
{
    fprintf(out, "  %s%s%s\n", r->name, r->baseline ? " / " : "", r->baseline ? r->baseline : "");
}

/* Is it there to be compared? Figures over time are not, nor words. */
static bool is_compared(const struct row *r)
{
    return isnan(r->at_s) && !r->text;
}

/* Names the rows of a heading that the other file has not. */
static size_t print_lonely_of(const struct rows *of, size_t first, const struct rows *other,
                              FILE *out)
{
    size_t count = 0;
    for (size_t i = first; i < of->count; i++) {
        const struct row *r = &of->all[i];
        if (!row_is_headed_like(r, &of->all[first]) || !is_compared(r) || find(other, r))
            continue;
        if (count++ == 0)
            print_heading(r, out);
        print_name(r, out);
    }
    return count;
}

static bool has_lonely(const struct rows *of, const struct rows *other)
{
    for (size_t i = 0; i < of->count; i++)
        if (is_compared(&of->all[i]) && !find(other, &of->all[i]))
            return true;
    return false;
}

static void print_lonely(const struct rows *of, const struct rows *other, FILE *out)
{
    if (!has_lonely(of, other))
        return;
    fprintf(out, "\nonly in %s:\n", of->path);
    for (size_t i = 0; i < of->count; i++)
        if (rows_is_first(of, i))
            print_lonely_of(of, i, other, out);
}

static size_t series_in(const struct rows *r)
{
    size_t count = 0;
    for (size_t i = 0; i < r->count; i++)
        count += !isnan(r->all[i].at_s);
    return count;
}

static void print_sum(const size_t counts[VERDICTS], size_t series, FILE *out)
{
    size_t judged = counts[VERDICT_BETTER] + counts[VERDICT_WORSE] + counts[VERDICT_WITHIN];
    fprintf(out,
            "\n%zu better and %zu worse by more than rounds differ by; %zu within that (-)\n",
            counts[VERDICT_BETTER], counts[VERDICT_WORSE], counts[VERDICT_WITHIN]);
    if (judged)
        fprintf(out, "Of a hundred figures that are judged one may count by chance alone.\n");
    if (counts[VERDICT_FEW])
        fprintf(out,
                "%zu cannot be told: %u rounds in each file would do (--rounds %u); what a run "
                "measures but\nonce is of 1 round whatever --rounds says, and only more runs "
                "tell.\n",
                counts[VERDICT_FEW], COMPARE_ROUNDS, COMPARE_ROUNDS);
    if (series)
        fprintf(out, "figures over time are not compared: %s (see perf/run report)\n",
                table_some(series, "row"));
}

/* Prints what both have under one heading. */
static void print_common(const struct rows *then, const struct rows *now, size_t first,
                         size_t counts[VERDICTS], FILE *out)
{
    bool headed = false;
    for (size_t i = first; i < now->count; i++) {
        const struct row *r = &now->all[i], *was = find(then, r);
        if (!was || !is_compared(r) || !row_is_headed_like(r, &now->all[first]))
            continue;
        if (!headed)
            print_heading(r, out);
        headed = true;
        counts[print_row(was, r, out)]++;
    }
}

/* The one that measured the same kind of figures; NULL: none, or it is not known. */
static const char *command_of(const struct rows *in, const char *bench)
{
    for (size_t i = 0; i < in->count; i++)
        if (strcmp(in->all[i].bench, bench) == 0)
            return in->all[i].command;
    return NULL;
}

/* Says where the two files were not asked for alike: that may be all the difference. */
static void print_other_options(const struct rows *then, const struct rows *now, FILE *out)
{
    for (size_t i = 0; i < now->count; i++) {
        if (!rows_is_first_of_command(now, i))
            continue;
        const char *is = now->all[i].command, *was = command_of(then, now->all[i].bench);
        if (was && strcmp(was, is) != 0)
            fprintf(out,
                    "\nNot the same was asked for, so what differs may be the options':\n"
                    "  then: perf/run %s\n  now:  perf/run %s\n",
                    was, is);
    }
}

/* Says which answers are others; of one of several lines there are figures. */
static void print_other_texts(const struct rows *then, const struct rows *now, FILE *out)
{
    for (size_t i = 0; i < now->count; i++) {
        const struct row *is = &now->all[i], *was = is->text ? find(then, is) : NULL;
        if (was && was->text && strcmp(was->text, is->text) != 0 && !strchr(is->text, '\n'))
            fprintf(out, "\n%s: %s, %s:\n  then: %s\n  now:  %s\n", is->bench, is->name,
                    is->metric, was->text, is->text);
    }
}

/* Prints a file's name, and of what its figures are, as far as it says. */
static void print_file(const char *before, const struct rows *r, FILE *out)
{
    const struct row *first = &r->all[0];
    fprintf(out, "%s %s\n", before, r->path);
    if (first->build && first->date)
        fprintf(out, "      nigh %s, %s\n", first->build, first->date);
}

/* Of two machines even ratios differ: by their caches, their CPUs, their kernels. */
static void print_other_machine(const struct rows *then, const struct rows *now, FILE *out)
{
    const char *was = then->all[0].machine, *is = now->all[0].machine;
    if (was && is && strcmp(was, is) != 0)
        fprintf(out,
                "\nNot the same machine: what differs need not be nigh's, and values say nothing "
                "of it.\n  then: %s\n  now:  %s\n",
                was, is);
}

bool compare_has_common(const struct rows *then, const struct rows *now)
{
    for (size_t i = 0; i < now->count; i++)
        if (is_compared(&now->all[i]) && find(then, &now->all[i]))
            return true;
    return false;
}

void compare_print(const struct rows *then, const struct rows *now, FILE *out)
{
    size_t counts[VERDICTS] = {0};
    print_file("then:", then, out);
    print_file("now: ", now, out);
    fprintf(out,
            "Ratios where a baseline is named, else values: these differ, too, by what else the\n"
            "machine did then and now, which no spread tells.\n");
    print_other_machine(then, now, out);
    print_other_options(then, now, out);
    fputc('\n', out);
    fprintf(out, "%-*s%10s%10s%10s%*s\n", LABEL_COLUMNS, "", "then", "now", "change",
            UNSURE_COLUMNS, "unsure");
    for (size_t i = 0; i < now->count; i++)
        if (rows_is_first(now, i))
            print_common(then, now, i, counts, out);
    print_other_texts(then, now, out);
    print_lonely(then, now, out);
    print_lonely(now, then, out);
    print_sum(counts, series_in(then) + series_in(now), out);
    table_end();
}

/* ---- what is worse ---- */

size_t compare_print_worse(const struct rows *then, const struct rows *now, double percent,
                           size_t *ret_judged, FILE *out)
{
    size_t worse = 0, judged = 0;
    for (size_t i = 0; i < now->count; i++) {
        const struct row *is = &now->all[i], *was = find(then, is);
        if (!was || !is_compared(is) || fewer_rounds(was, is) < COMPARE_ROUNDS ||
            compare_verdict(was, is) == VERDICT_FEW)
            continue;
        judged++;
        if (compare_verdict(was, is) != VERDICT_WORSE || 100 * fabs(change(was, is)) <= percent)
            continue;
        if (worse++ == 0)
            fprintf(out, "\nWorse by more than %g %%:\n", percent);
        fprintf(out, "%10s  %s: %s: %s%s%s\n", change_text(change(was, is)), is->bench,
                row_quantity(is), is->name, is->baseline ? " / " : "",
                is->baseline ? is->baseline : "");
    }
    if (worse == 0 && judged > 0)
        fprintf(out, "\nWorse by more than %g %%: none of %zu that could be told\n", percent,
                judged);
    *ret_judged = judged;
    table_end();
    return worse;
}

/* ---- JSON ---- */

static void set_number(json_t *to, const char *name, double x)
{
    json_object_set_new(to, name, isfinite(x) ? json_real(x) : json_null());
}

static void set_text(json_t *to, const char *name, const char *text)
{
    json_object_set_new(to, name, text ? json_string(text) : json_null());
}

/* A row as any other, whose baseline is what was then, and the verdict. */
static json_t *row_of(const struct row *was, const struct row *is)
{
    json_t *row = json_object();
    const char *name = is->baseline ? table_print("%s / %s", is->name, is->baseline) : is->name;
    set_text(row, "bench", is->bench);
    set_text(row, "case", name);
    set_text(row, "metric", is->metric);
    set_text(row, "unit", is->unit);
    set_number(row, "value", row_figure(is));
    set_text(row, "baseline", "then");
    set_number(row, "baseline_value", row_figure(was));
    set_number(row, "ratio", row_figure(was) != 0 ? row_figure(is) / row_figure(was) : NAN);
    set_number(row, "ratio_spread", unsure(was, is));
    json_object_set_new(row, "rounds", json_integer(fewer_rounds(was, is)));
    set_text(row, "verdict", compare_verdict(was, is) == VERDICT_WITHIN
                                 ? "within"
                                 : words[compare_verdict(was, is)]);
    set_text(row, "command", is->command);
    set_text(row, "machine", is->machine);
    set_text(row, "build", is->build);
    set_text(row, "date", is->date);
    return row;
}

void compare_json(const struct rows *then, const struct rows *now, const char *path)
{
    json_t *all = json_array();
    for (size_t i = 0; i < now->count; i++) {
        const struct row *is = &now->all[i], *was = find(then, is);
        if (was && is_compared(is))
            json_array_append_new(all, row_of(was, is));
    }
    if (json_dump_file(all, path, JSON_INDENT(1)) != 0)
        fail("cannot write all of %s: %s", path, strerror(errno));
    json_decref(all);
    table_end();
}
