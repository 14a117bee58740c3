// SPDX-License-Identifier: MIT
/*
 * `trace --curve`: how far is the live curve (nigh_curve()) off?
 *
 * The trace is replayed with the curve on, as 10,000 requests a second. What it says at the end of
 * the caps that it speaks of is compared with a replay of the same trace under each of them, whose
 * requests count as they do in the curve: the older ones less. What the curve says not to believe,
 * for it has seen too little or has room for too few values, is not compared.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/measure.h"
#include "bench/replay.h"
#include "support/fail.h"

#define POINTS 6
#define POINT_NOW 2

static const char *const names[POINTS] = {"1/4", "1/2", "now", "2x", "4x", "8x"};

struct point {
    uint64_t cap;
    double said; /* percent */
    double came;
    bool known; /* enough was seen, and it was replayed */
};

static struct {
    unsigned cells, points;
    double off, worst;
} total;

void replay_print_curve_heading(void)
{
    printf("\ncurve: hits that it expects of other caps, and those that come, %%\n%-34s", "");
    for (int i = 0; i < POINTS; i++)
        printf("%9s", names[i]);
    printf("\n");
}

/* What nigh_curve() says. */
static void read_points(const char *json, struct point points[POINTS])
{
    memset(points, 0, POINTS * sizeof(*points));
    for (const char *at = json; (at = strstr(at, "{\"size\":")); at++) {
        struct point p = {0};
        double size;
        char enough[6];
        if (sscanf(at, "{\"size\":%lf,\"cap\":%lu,\"ratio\":%lf,\"error\":%*f,\"enough\":%5[a-z]",
                   &size, &p.cap, &p.said, enough) != 4)
            fail("trace --curve: nigh_curve() says something else");
        int i = POINT_NOW + (int)lround(log2(size));
        p.said *= 100;
        p.known = i == POINT_NOW || strcmp(enough, "true") == 0;
        points[i] = p;
    }
}

static void replay_at(const struct bench_settings *s, struct replay *r, const struct trace *t,
                      struct replay_setting set, struct point *p)
{
    if (set.entries_max) {
        set.entries_max = (uint32_t)p->cap;
        set.memory_bytes = replay_memory_for(p->cap);
    } else {
        set.memory_bytes = p->cap;
    }
    if (p->known)
        p->came = 100.0 * replay_trace(r, s, t, &set).lately;
}

static void print_line(const char *label, const char *what, const struct point points[POINTS],
                       double (*value)(const struct point *))
{
    printf("%-28s%-6s", label, what);
    for (int i = 0; i < POINTS; i++)
        if (points[i].known)
            printf("%9.2f", value(&points[i]));
        else
            printf("%9s", "-");
    printf("\n");
}

static double said(const struct point *p)
{
    return p->said;
}

static double came(const struct point *p)
{
    return p->came;
}

static void sum_up(const char *label, const struct point points[POINTS])
{
    double off = 0;
    unsigned count = 0;
    for (int i = 0; i < POINTS; i++) {
        double error = fabs(points[i].said - points[i].came);
        if (i == POINT_NOW || !points[i].known)
            continue;
        off += error;
        count++;
        total.worst = error > total.worst ? error : total.worst;
        char name[80];
        snprintf(name, sizeof(name), "%s, %s", label, names[i]);
        result_add("trace", name, "curve", "percent", points[i].said, "came", points[i].came);
    }
    if (count == 0)
        return;
    total.cells++;
    total.points += count;
    total.off += off / count;
}

void replay_beside_curve(const struct bench_settings *s, const char *label, const struct trace *t,
                         const struct replay_setting *set)
{
    char json[REPLAY_CURVE_BYTES] = "";
    struct point points[POINTS];
    struct replay r = {.value = must_alloc(1, NIGH_VALUE_MAX),
                       .curve = json,
                       .fades = must_alloc(replay_looks(t->count), sizeof(double))};
    progress_share(0, "trace: %s, the curve", label);
    replay_trace(&r, s, t, set);
    read_points(json, points);
    r.curve = NULL;
    for (int i = 0; i < POINTS; i++) {
        progress_share((double)(i + 1) / (POINTS + 1), "trace: %s, %s", label, names[i]);
        replay_at(s, &r, t, *set, &points[i]);
    }
    free(r.fades);
    free(r.value);
    progress_end();
    print_line(label, "says", points, said);
    print_line("", "comes", points, came);
    fflush(stdout);
    sum_up(label, points);
}

void replay_print_curve_total(void)
{
    if (total.cells)
        printf("off by %.2f points in the mean of %u, %u points in all; %.2f at worst\n",
               total.off / total.cells, total.cells, total.points, total.worst);
    else
        printf("the curve told nothing: too few requests or too small a cache\n");
}
