// SPDX-License-Identifier: MIT
/*
 * The report as text for people: the gauges in two columns, and of each space what is not 0.
 */
#include "cache/report/formats.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cache/report/gauges.h"
#include "cache/report/shards.h"
#include "cache/space.h"
#include "cache/say.h"

static void print_gauges(struct nigh *cache, struct text *w)
{
    struct gauges g;
    gauges_read(cache, GAUGES_ASK_ALL, &g);
    for (size_t i = 0; i < gauges_of_cache_count; i++)
        text_add(w, "%-20s %14" PRIu64 "%s", gauges_of_cache[i].name,
                     gauges_of_cache[i].value(&g),
                     i % 2 == 0 && i + 1 < gauges_of_cache_count ? "     " : "\n");
}

static void print_problems(struct nigh *cache, struct text *w)
{
    struct gauges_problem list[GAUGES_PROBLEMS];
    gauges_problems(cache, list);
    for (size_t i = 0; i < GAUGES_PROBLEMS; i++) {
        const struct gauges_problem *p = &list[i];
        if (p->is.text[0])
            text_add(w, "%s_problem%*s %s (for %s)\n", p->name, (int)(12 - strlen(p->name)), "",
                     p->is.text, said_span(p->is.for_ms * NS_PER_MS).text);
        if (!p->was.text[0])
            continue;
        text_add(w, "%s_outage%*s %s", p->name, (int)(13 - strlen(p->name)), "", p->was.first);
        if (strcmp(p->was.first, p->was.text) != 0)
            text_add(w, "; later: %s", p->was.text);
        text_add(w, " (ended %s, lasted %s)\n", said_when(p->was.ago_ms * NS_PER_MS).text,
                 said_span(p->was.lasted_ms * NS_PER_MS).text);
    }
}

static void print_past(struct nigh *cache, struct text *w)
{
    struct coherence_past past = {.resync.why = NULL};
    if (cache->coherence)
        coherence_past_read(cache->coherence, &past);
    if (past.doubt.why[0])
        text_add(w, "%-20s %s (ended %s, lasted %s)\n", "doubt_reason", past.doubt.why,
                 said_when(past.doubt.ago_ms * NS_PER_MS).text,
                 said_span(past.doubt.lasted_ms * NS_PER_MS).text);
    if (past.resync.why)
        text_add(w, "%-20s %s (%s)\n", "resync_reason", past.resync.why,
                 said_when(past.resync.ago_ms * NS_PER_MS).text);
}

static void print_names(struct nigh *cache, struct text *w)
{
    struct gauges_names names;
    gauges_names(cache, &names);
    text_add(w, "%-20s %14d", "pid", (int)getpid());
    if (names.node[0])
        text_add(w, "     %-20s %14s\n%-20s %14s", "node", names.node, "redis_evicts",
                 names.evicts);
    text_add(w, "\n");
}

static void print_number(struct text *w, const char *name, uint64_t value, const char *what)
{
    text_add(w, "  %-18s %14" PRIu64 "  %s\n", name, value, what);
}

static void print_counters(struct text *w, const uint64_t counts[STATS_COUNTER_COUNT])
{
    for (size_t i = 0; i < STATS_COUNTER_COUNT; i++)
        if (counts[i])
            print_number(w, stats_counter_infos[i].name, counts[i], stats_counter_infos[i].doc);
}

/* Write a time in three digits and a unit: 7 characters at most. */
static void print_time(struct text *w, uint64_t ns)
{
    static const struct {
        const char *unit;
        double ns;
    } units[] = {{"d", 86400e9}, {"h", 3600e9}, {"min", 60e9},
                 {"s", 1e9},     {"ms", 1e6},   {"us", 1e3}};
    char text[16] = "";
    struct text t = text_into(text, sizeof(text));
    size_t i = 0;
    while (i < ARRAY_COUNT(units) && (double)ns < units[i].ns)
        i++;
    if (i == ARRAY_COUNT(units)) {
        text_add(&t, "%" PRIu64 "ns", ns);
    } else {
        double n = (double)ns / units[i].ns;
        text_add(&t, "%.*f%s", n < 9.995 ? 2 : n < 99.95 ? 1 : 0, n, units[i].unit);
    }
    text_add(w, " %8s", text);
}

static void print_histogram(struct text *w, const char *name, const struct histogram_sum *sum)
{
    text_add(w, "  %-12s %10" PRIu64, name, sum->count);
    for (size_t i = 0; i < REPORT_QUANTILES; i++)
        print_time(w, histogram_quantile_ns(sum, report_quantiles[i].share));
    print_time(w, sum->max_ns);
    text_add(w, "\n");
}

static void print_histogram_head(struct text *w)
{
    text_add(w, "  %-12s %10s", "", "count");
    for (size_t i = 0; i < REPORT_QUANTILES; i++)
        text_add(w, " %8s", report_quantiles[i].text);
    text_add(w, " %8s\n", "max");
}

static void print_histograms(struct text *w, struct stats *stats, int from, int end)
{
    struct histogram_sum sum;
    bool any = false;
    for (int i = from; i < end; i++) {
        stats_histogram_read(stats, (enum stats_histogram)i, &sum);
        if (sum.count == 0)
            continue;
        if (!any)
            print_histogram_head(w);
        any = true;
        print_histogram(w, stats_histogram_infos[i].name, &sum);
    }
}

static void print_space(struct text *w, struct nigh_space *space)
{
    struct space_look look;
    gauges_look(space, &look);
    text_add(w, "\nspace ");
    text_add_name(w, report_space_name(space));
    text_add(w, "\n");
    for (size_t i = 0; i < gauges_of_space_count; i++) {
        const struct space_gauge *g = &gauges_of_space[i];
        uint64_t value = gauges_has(space, g) ? g->value(space, &look.level) : 0;
        if (value || i == 0 || (g->needs == NEEDS_CAP && gauges_has(space, g)))
            print_number(w, g->name, value, g->what);
    }
    print_counters(w, look.counts);
    print_histograms(w, &space->stats, 0, STATS_SPACE_HISTOGRAM_COUNT);
}

static void print_shards(struct nigh *cache, struct text *w)
{
    struct shards_spread spreads[SHARD_NUMBERS];
    shards_read(cache, spreads);
    text_add(w, "\nshards %26s %14s %14s\n", "least", "median", "most");
    for (size_t i = 0; i < SHARD_NUMBERS; i++)
        text_add(w, "  %-16s %14" PRIu64 " %14" PRIu64 " %14" PRIu64 "\n", shards_names[i],
                 spreads[i].least, spreads[i].median, spreads[i].most);
}

int report_text(struct nigh *cache, struct text *w)
{
    uint64_t counts[STATS_COUNTER_COUNT];
    print_gauges(cache, w);
    print_names(cache, w);
    print_problems(cache, w);
    print_past(cache, w);
    print_shards(cache, w);
    text_add(w, "\ncache, counted for %s\n", said_span(cache_uptime_ns(cache)).text);
    stats_read_all(&cache->stats, counts);
    print_counters(w, counts);
    print_histograms(w, &cache->stats, STATS_SPACE_HISTOGRAM_COUNT, STATS_HISTOGRAM_COUNT);
    for (uint32_t i = 0; i < space_count(cache); i++)
        print_space(w, cache->spaces[i]);
    return 0;
}
