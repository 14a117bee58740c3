// SPDX-License-Identifier: MIT
/*
 * The report in the text format of Prometheus, version 0.0.4.
 *
 *     # HELP nigh_l1_miss_total reads that L1 could not answer, and that looked further
 *     # TYPE nigh_l1_miss_total counter
 *     nigh_l1_miss_total 0
 *     nigh_l1_miss_total{space="users"} 17
 *
 * All samples of a metric stand together, as the format wants it. A counter has one sample without
 * a label, for what belongs to no space, and one for each space: their sum is nigh_stats_value() of
 * the whole cache. A gauge of the cache is a sum already, so gauges of spaces have another name
 * (nigh_space_...): sum() of neither counts anything twice. Counters that are 0 are there, too:
 * rate() does not see the first count of one that appears with it.
 *
 * Units are seconds and bytes, whatever the other forms have.
 */
#include "cache/report/formats.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cache/report/gauges.h"
#include "cache/space.h"

#define PREFIX "nigh_"

/* Begin a metric. No text of ours has a backslash or a newline, which HELP would have to escape. */
static void begin(struct text *w, const char *name, const char *suffix, const char *type,
                  const char *what)
{
    text_add(w, "# HELP " PREFIX "%s%s %s\n# TYPE " PREFIX "%s%s %s\n", name, suffix, what,
                 name, suffix, type);
}

static void print_space_sample(struct text *w, const char *name, const char *suffix,
                               const struct nigh_space *space, uint64_t value)
{
    text_add(w, PREFIX "%s%s{space=", name, suffix);
    text_add_label(w, report_space_name(space));
    text_add(w, "} %" PRIu64 "\n", value);
}

/* Print a gauge; one that ends in _us or _ms becomes one in seconds. */
static void print_gauge(struct text *w, const struct gauge *gauge, uint64_t value)
{
    char name[64];
    size_t len = strlen(gauge->name);
    unsigned digits = !strcmp(gauge->name + len - 3, "_us") ? 6
                      : !strcmp(gauge->name + len - 3, "_ms") ? 3 : 0;
    uint64_t unit = digits == 6 ? 1000000 : digits == 3 ? 1000 : 1;
    snprintf(name, sizeof(name), "%.*s", (int)(digits ? len - 3 : len), gauge->name);
    begin(w, name, digits ? "_seconds" : "", "gauge", gauge->what);
    text_add(w, PREFIX "%s%s %" PRIu64, name, digits ? "_seconds" : "", value / unit);
    if (digits)
        text_add(w, ".%0*" PRIu64, (int)digits, value % unit);
    text_add(w, "\n");
}

static void print_gauges(struct nigh *cache, struct text *w)
{
    struct gauges g;
    gauges_read(cache, GAUGES_ASK_ALL, &g);
    for (size_t i = 0; i < gauges_of_cache_count; i++)
        print_gauge(w, &gauges_of_cache[i], gauges_of_cache[i].value(&g));
}

static void print_problems(struct nigh *cache, struct text *w)
{
    struct gauges_problem list[GAUGES_PROBLEMS];
    gauges_problems(cache, list);
    for (size_t i = 0; i < GAUGES_PROBLEMS; i++) {
        uint64_t ms = list[i].is.for_ms;
        begin(w, list[i].name, "_seconds", "gauge", list[i].what);
        text_add(w, PREFIX "%s_seconds %" PRIu64 ".%03" PRIu64 "\n", list[i].name, ms / 1000,
                     ms % 1000);
    }
}

static void print_space_gauge(struct nigh *cache, struct text *w, const struct space_gauge *g)
{
    text_add(w, "# HELP " PREFIX "space_%s %s\n# TYPE " PREFIX "space_%s gauge\n", g->name,
                 g->what, g->name);
    for (uint32_t i = 0; i < space_count(cache); i++) {
        struct nigh_space *space = cache->spaces[i];
        if (gauges_has(space, g))
            print_space_sample(w, "space_", g->name, space, g->value(space));
    }
}

static void print_counter(struct nigh *cache, struct text *w, enum stats_counter c)
{
    const struct stats_counter_info *info = &stats_counter_infos[c];
    begin(w, info->name, "_total", "counter", info->doc);
    text_add(w, PREFIX "%s_total %" PRIu64 "\n", info->name, stats_read(&cache->stats, c));
    for (uint32_t i = 0; i < space_count(cache); i++)
        print_space_sample(w, info->name, "_total", cache->spaces[i],
                           stats_read(&cache->spaces[i]->stats, c));
}

/* ---- histograms ---- */

/* The edges: all powers of two between these, so that each is that of a bucket, too. (A value that
 * is exactly the edge, to the nanosecond, counts as above.) */
#define LOWEST_POWER 6u   /* 64 ns */
#define HIGHEST_POWER 36u /* 69 s */

static void print_seconds(struct text *w, uint64_t ns)
{
    text_add(w, "%" PRIu64 ".%09" PRIu64, ns / (uint64_t)NS_PER_S,
             ns % (uint64_t)NS_PER_S);
}

static void begin_sample(struct text *w, const char *name, const char *suffix,
                         const struct nigh_space *space)
{
    text_add(w, PREFIX "%s_seconds%s{space=", name, suffix);
    text_add_label(w, report_space_name(space));
}

static void print_buckets(struct text *w, const char *name, const struct nigh_space *space,
                          const struct histogram_sum *sum)
{
    for (uint32_t power = LOWEST_POWER; power <= HIGHEST_POWER; power++) {
        begin_sample(w, name, "_bucket", space);
        text_add(w, ",le=\"");
        print_seconds(w, UINT64_C(1) << power);
        text_add(w, "\"} %" PRIu64 "\n", histogram_below(sum, power));
    }
    begin_sample(w, name, "_bucket", space);
    text_add(w, ",le=\"+Inf\"} %" PRIu64 "\n", sum->count);
}

static void print_histogram_of(struct nigh_space *space, struct text *w, enum stats_histogram h)
{
    const char *name = stats_histogram_infos[h].name;
    struct histogram_sum sum;
    stats_histogram_read(&space->stats, h, &sum);
    print_buckets(w, name, space, &sum);
    begin_sample(w, name, "_sum", space);
    text_add(w, "} ");
    print_seconds(w, sum.sum_ns);
    text_add(w, "\n");
    begin_sample(w, name, "_count", space);
    text_add(w, "} %" PRIu64 "\n", sum.count);
}

static void print_histogram(struct nigh *cache, struct text *w, enum stats_histogram h)
{
    begin(w, stats_histogram_infos[h].name, "_seconds", "histogram", stats_histogram_infos[h].doc);
    for (uint32_t i = 0; i < space_count(cache); i++)
        print_histogram_of(cache->spaces[i], w, h);
}

void report_prometheus(struct nigh *cache, struct text *w)
{
    print_gauges(cache, w);
    print_problems(cache, w);
    for (size_t i = 0; i < gauges_of_space_count; i++)
        print_space_gauge(cache, w, &gauges_of_space[i]);
    for (int c = 0; c < STATS_COUNTER_COUNT; c++)
        print_counter(cache, w, (enum stats_counter)c);
    for (int h = 0; h < STATS_HISTOGRAM_COUNT; h++)
        print_histogram(cache, w, (enum stats_histogram)h);
}
