// SPDX-License-Identifier: MIT
/*
 * The page's contents: for each file its pictures, behind them its tables, closed until asked for.
 */
#include "report/report.h"

#include <math.h>
#include <string.h>

#include "report/page.h"
#include "report/pictures.h"
#include "support/table.h"

static void cell(FILE *out, double x)
{
    fputs("<td class=\"n\">", out);
    if (isfinite(x))
        fprintf(out, "%.4g", x);
    fputs("</td>", out);
}

static void text_cell(FILE *out, const char *text)
{
    fputs("<td>", out);
    page_text(out, text ? text : "");
    fputs("</td>", out);
}

/* Only what the file itself says: a spread is no interval. */
static void range_cell(FILE *out, const struct row *r)
{
    fputs("<td class=\"n\">", out);
    if (r->rounds > 1 && isfinite(r->low) && isfinite(r->high))
        fprintf(out, "%.4g to %.4g", r->low, r->high);
    fputs("</td>", out);
}

static void write_row(FILE *out, const struct row *r)
{
    fputs("<tr>", out);
    text_cell(out, r->metric);
    text_cell(out, r->name);
    cell(out, r->value);
    text_cell(out, r->unit);
    text_cell(out, r->baseline);
    cell(out, r->baseline_value);
    cell(out, r->ratio);
    cell(out, isfinite(row_spread(r)) ? 100 * row_spread(r) : NAN);
    range_cell(out, r);
    cell(out, r->goal);
    fprintf(out, "<td class=\"n\">%u</td></tr>\n", r->rounds);
}

static bool is_first_of_bench(const struct rows *rows, size_t i)
{
    for (size_t j = 0; j < i; j++)
        if (strcmp(rows->all[j].bench, rows->all[i].bench) == 0)
            return false;
    return true;
}

/* Writes the rows of one bench, one heading after the other. Series are in pictures only. */
static void write_table(FILE *out, const struct rows *rows, size_t first)
{
    const char *bench = rows->all[first].bench;
    fputs("<details><summary>", out);
    page_text(out, bench);
    fputs(": the figures</summary>\n<div class=\"scroll\"><table>\n<tr><th>metric</th><th>case"
          "</th><th class=\"n\">value</th><th>unit</th><th>beside</th><th class=\"n\">value</th>"
          "<th class=\"n\">ratio</th><th class=\"n\">spread, %</th><th class=\"n\">between</th>"
          "<th class=\"n\">goal</th><th class=\"n\">rounds</th></tr>\n",
          out);
    for (size_t i = first; i < rows->count; i++) {
        if (!rows_is_first(rows, i) || strcmp(rows->all[i].bench, bench) != 0)
            continue;
        for (size_t j = i; j < rows->count; j++)
            if (row_is_headed_like(&rows->all[i], &rows->all[j]) && isnan(rows->all[j].at_s) &&
                !rows->all[j].text)
                write_row(out, &rows->all[j]);
    }
    fputs("</table></div></details>\n", out);
}

static bool meets(const struct row *r)
{
    return row_rises(r) ? row_figure(r) >= r->goal : row_figure(r) <= r->goal;
}

static void write_goals(FILE *out, const struct rows *rows)
{
    size_t goals = 0, met = 0;
    for (size_t i = 0; i < rows->count; i++)
        if (isfinite(rows->all[i].goal)) {
            goals++;
            met += meets(&rows->all[i]);
        }
    if (goals)
        fprintf(out, "<p>Goals met: %zu of %zu.</p>\n", met, goals);
}

/* What was asked for, and of what: without it nobody knows what figures are of. */
static void write_commands(FILE *out, const struct rows *rows)
{
    for (size_t i = 0; i < rows->count; i++)
        if (rows_is_first_of_command(rows, i)) {
            fputs("<p><code>perf/run ", out);
            page_text(out, rows->all[i].command);
            fputs("</code></p>\n", out);
        }
    const struct row *first = &rows->all[0];
    if (!first->machine || !first->build || !first->date)
        return;
    fputs("<p>", out);
    page_text(out, table_print("%s; nigh %s, %s", first->machine, first->build, first->date));
    fputs("</p>\n", out);
}

/* A word or a line to paste, or sentences, whose lines stay lines. */
static void write_text(FILE *out, const char *text)
{
    bool is_line = !strchr(text, '\n');
    fputs(is_line ? "<code>" : "", out);
    for (const char *at = text; *at; at += strspn(at, "\n")) {
        int len = (int)strcspn(at, "\n");
        fputs(at > text ? "<br/>" : "", out);
        page_text(out, table_print("%.*s", len, at));
        at += len;
    }
    fputs(is_line ? "</code>" : "", out);
}

/* What was found, in words. */
static void write_texts(FILE *out, const struct rows *rows)
{
    for (size_t i = 0; i < rows->count; i++) {
        const struct row *r = &rows->all[i];
        if (!r->text)
            continue;
        fputs("<p>", out);
        page_text(out, table_print("%s, %s: ", r->name, r->metric));
        write_text(out, r->text);
        fputs("</p>\n", out);
    }
}

static const char *name_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

unsigned report_write(const struct rows *files, size_t count, FILE *out)
{
    unsigned pictures = 0;
    page_begin(out, "nigh: measurements");
    fputs("<p>A bar or a dot is the median of the rounds, the thin line on it between which "
          "figures that lies (14 times of 15, of 5 rounds or more), a red line a goal or a limit; "
          "blue is better than what it stands beside, orange worse, grey neither for sure; violet "
          "is not judged. Ratios were measured side by side in one run and hold on a busy machine; "
          "absolute figures do not. The tables are below the pictures.</p>\n",
          out);
    for (size_t i = 0; i < count; i++) {
        fputs("<h2>", out);
        page_text(out, name_of(files[i].path));
        fputs("</h2>\n", out);
        write_commands(out, &files[i]);
        write_texts(out, &files[i]);
        write_goals(out, &files[i]);
        pictures += pictures_draw(&files[i], out);
        for (size_t r = 0; r < files[i].count; r++)
            if (is_first_of_bench(&files[i], r))
                write_table(out, &files[i], r);
    }
    page_end(out);
    table_end();
    return pictures;
}
