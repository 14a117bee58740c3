// SPDX-License-Identifier: MIT
/*
 * The table, and what goes into the JSON: nigh's figure beside that of each other side of its row.
 *
 * A side has one line of figures; below them are nigh's over those of each side that a goal names,
 * with the goal in brackets where its figure stands.
 */
#include <stdio.h>
#include <string.h>

#include "link/link.h"

#define LABEL_COLUMNS 20
#define LAST_COLUMNS  7
#define CELL_BYTES    48

static const struct {
    const char *title;
    int columns;
    const char *metric;
    const char *unit;
    bool rises; /* more is better */
} metrics[METRICS] = {
    [METRIC_OPS] = {"op/s", 10, "op/s", "op/s", true},
    [METRIC_P50] = {"p50 us", 11, "p50", "us", false},
    [METRIC_P99] = {"p99 us", 10, "p99", "us", false},
    [METRIC_SERVER] = {"server us", 10, "server CPU", "us/op", false},
    [METRIC_COMMANDS] = {"commands", 10, "time in commands", "us/op", false},
    [METRIC_LOADS] = {"loads", 12, "loads", "per op", false},
    [METRIC_CLIENT] = {"client us", 10, "client CPU", "us/op", false},
    [METRIC_SWITCHES] = {"switches", 9, "switches", "per op", false},
};

static bool is_shown(size_t metric)
{
    return metric != (link_world.suite->has_loads ? METRIC_COMMANDS : METRIC_LOADS);
}

void link_heading(void)
{
    printf("%-*s", LABEL_COLUMNS, "");
    for (size_t i = 0; i < METRICS; i++)
        if (is_shown(i))
            printf("%*s", metrics[i].columns, metrics[i].title);
    printf("%*s\n", LAST_COLUMNS, "x op/s");
}

static double figure_of(const struct entrant *e, enum metric m)
{
    return median(e->figures[m].figures, link_world.rounds);
}

static double ratio_of(const struct entrant *a, const struct entrant *b, enum metric m)
{
    return median_ratio(a->figures[m].figures, b->figures[m].figures, link_world.rounds);
}

static void print_figures(const struct entrant *e, const struct entrant *first)
{
    printf("  %-*s", LABEL_COLUMNS - 2, e->side->name);
    if (!e->self) {
        printf("  %s\n", e->why);
        return;
    }
    for (size_t m = 0; m < METRICS; m++) {
        if (!is_shown(m))
            continue;
        double figure = figure_of(e, (enum metric)m);
        int decimals = m == METRIC_OPS ? 0 : figure < 9.995 ? 2 : figure < 99.95 ? 1 : 0;
        if (figure > 0)
            printf("%*.*f", metrics[m].columns, decimals, figure);
        else
            printf("%*s", metrics[m].columns, "-");
    }
    printf("%*.2f\n", LAST_COLUMNS, ratio_of(e, first, METRIC_OPS));
}

static const struct bar *bar_of(const struct row *row, const char *against, size_t metric)
{
    for (size_t i = 0; i < LINK_BARS_MAX && row->bars[i].against; i++)
        if (strcmp(row->bars[i].against, against) == 0 && row->bars[i].metric == metric &&
            row->bars[i].limit > 0)
            return &row->bars[i];
    return NULL;
}

/* "1.46[1.8]", ".4" for 0.4 */
static void print_ratio(double ratio, const struct bar *bar, int columns)
{
    char text[CELL_BYTES], limit[16] = "";
    int decimals = ratio < 9.995 ? 2 : 1;
    if (ratio == 0) { /* of nothing */
        printf("%*s", columns, "-");
        return;
    }
    if (bar) {
        char digits[12];
        snprintf(digits, sizeof(digits), "%.3g", bar->limit);
        snprintf(limit, sizeof(limit), "[%s]", digits[0] == '0' ? digits + 1 : digits);
    }
    snprintf(text, sizeof(text), "%.*f%s", decimals, ratio, limit);
    printf("%*s", columns, text);
}

/* Returns how many goals against this side are missed. */
static unsigned print_ratios(const struct row *row, const struct entrant *nigh,
                             const struct entrant *other, unsigned *ret_bars)
{
    unsigned missed = 0;
    char label[LINK_NAME_BYTES + 12];
    snprintf(label, sizeof(label), "    / %s", other->side->name);
    printf("%-*s", LABEL_COLUMNS, label);
    for (size_t m = 0; m < METRICS; m++) {
        if (!is_shown(m))
            continue;
        const struct bar *bar = bar_of(row, other->side->name, m);
        double ratio = ratio_of(nigh, other, (enum metric)m);
        print_ratio(ratio, bar, metrics[m].columns);
        if (bar) {
            ++*ret_bars;
            missed += metrics[m].rises ? ratio < bar->limit : ratio > bar->limit;
        }
    }
    printf("\n");
    return missed;
}

static bool is_named(const struct row *row, const char *name)
{
    for (size_t i = 0; i < LINK_BARS_MAX && row->bars[i].against; i++)
        if (strcmp(row->bars[i].against, name) == 0)
            return true;
    return false;
}

/* nigh, or what of nigh the row is about: always the second side. */
static const struct entrant *nigh_of(const struct entrant *entrants)
{
    return &entrants[1];
}

static void add_result(const struct row *row, const struct entrant *nigh,
                       const struct entrant *other, size_t m)
{
    const char *command = link_world.suite->command;
    const struct bar *bar = bar_of(row, other->side->name, m);
    result_add_rounds(command, row->name, metrics[m].metric, metrics[m].unit, &nigh->figures[m],
                      &other->figures[m], link_world.rounds);
    if (bar)
        result_set_goal(result_find(command, row->name, metrics[m].metric, other->side->name),
                        bar->limit);
}

static void add_results(const struct row *row, const struct entrant *entrants, size_t count)
{
    const struct entrant *nigh = nigh_of(entrants);
    for (size_t i = 0; i < count; i++)
        for (size_t m = 0; m < METRICS && entrants[i].self && &entrants[i] != nigh; m++)
            add_result(row, nigh, &entrants[i], m);
}

unsigned link_show(const struct row *row, const struct entrant *entrants, size_t count,
                   unsigned *ret_bars)
{
    const struct entrant *nigh = nigh_of(entrants);
    unsigned missed = 0;
    printf("%s\n", row->name);
    for (size_t i = 0; i < count; i++)
        print_figures(&entrants[i], &entrants[0]);
    for (size_t i = 0; i < count; i++)
        if (nigh->self && entrants[i].self && is_named(row, entrants[i].side->name))
            missed += print_ratios(row, nigh, &entrants[i], ret_bars);
    fflush(stdout);
    if (nigh->self)
        add_results(row, entrants, count);
    return missed;
}
