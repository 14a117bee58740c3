// SPDX-License-Identifier: MIT
/*
 * The report in the text format of Prometheus, version 0.0.4.
 *
 *     # HELP nigh_l1_miss_total reads that L1 could not answer, and that looked further
 *     # TYPE nigh_l1_miss_total counter
 *     nigh_l1_miss_total{space="users"} 17
 *
 * All samples of a metric stand together, as the format wants it, and have the same labels. What
 * spaces count has a sample for each; where something counts that is of no space, too (a call, the
 * table that spaces share), one more for space="!none", which no space can be called. What the
 * cache alone counts has one without a label. So sum() of a counter is nigh_stats_value() of the
 * whole cache, and nothing has to be left out. A gauge of the cache is a sum already, so gauges of
 * spaces have another name (nigh_space_...). Counters that are 0 are there, too: rate() does not
 * see the first count of one that appears with it.
 *
 * Units are seconds and bytes, whatever the other forms have.
 */
#include "cache/report/formats.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <nigh/error.h>

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

/* Sums since the cache, or redis, was started, which are with the gauges since no thread counts
 * them in a set. */
static bool only_rises(const struct gauge *gauge)
{
    static const char *const names[] = {"lock_waits", "lock_wait_us", "doubt_ms", "log_lost",
                                        "redis_evicted_keys"};
    for (size_t i = 0; i < ARRAY_COUNT(names); i++)
        if (strcmp(gauge->name, names[i]) == 0)
            return true;
    return false;
}

/* Says how a name and its number become base units: what ends in _us or _ms is in seconds, what
 * ends in _ppm a ratio. */
struct unit {
    int name_len;
    const char *suffix;
    int digits; /* behind the point */
    uint64_t one;
};

static struct unit unit_of(const char *name)
{
    static const struct {
        const char *end;
        struct unit unit;
    } units[] = {{"_us", {0, "_seconds", 6, 1000000}},
                 {"_ms", {0, "_seconds", 3, 1000}},
                 {"_ppm", {0, "_ratio", 6, 1000000}}};
    size_t len = strlen(name);
    for (size_t i = 0; i < ARRAY_COUNT(units); i++) {
        size_t end = strlen(units[i].end);
        struct unit unit = units[i].unit;
        unit.name_len = (int)(len - end);
        if (len > end && strcmp(name + len - end, units[i].end) == 0)
            return unit;
    }
    return (struct unit){(int)len, "", 0, 1};
}

static void print_in(struct text *w, const struct unit *unit, uint64_t value)
{
    text_add(w, " %" PRIu64, value / unit->one);
    if (unit->digits)
        text_add(w, ".%0*" PRIu64, unit->digits, value % unit->one);
    text_add(w, "\n");
}

static void print_gauge(struct text *w, const struct gauge *gauge, uint64_t value)
{
    struct unit unit = unit_of(gauge->name);
    char name[64], suffix[24];
    bool rises = only_rises(gauge);
    snprintf(name, sizeof(name), "%.*s", unit.name_len, gauge->name);
    snprintf(suffix, sizeof(suffix), "%s%s", unit.suffix, rises ? "_total" : "");
    begin(w, name, suffix, rises ? "counter" : "gauge", gauge->what);
    text_add(w, PREFIX "%s%s", name, suffix);
    print_in(w, &unit, value);
}

static void print_gauges(struct nigh *cache, struct text *w)
{
    struct gauges g;
    gauges_read(cache, GAUGES_ASK_ALL, &g);
    for (size_t i = 0; i < gauges_of_cache_count; i++)
        print_gauge(w, &gauges_of_cache[i], gauges_of_cache[i].value(&g));
}

/* Write a span of time about a connection. */
static void print_span(struct text *w, const struct gauges_problem *p, const char *kind,
                       uint64_t ms, const char *what)
{
    char name[48], doc[128];
    snprintf(name, sizeof(name), "%s_%s", p->name, kind);
    snprintf(doc, sizeof(doc), "%s %s", what, p->what);
    begin(w, name, "_seconds", "gauge", doc);
    text_add(w, PREFIX "%s_seconds %" PRIu64 ".%03" PRIu64 "\n", name, ms / 1000, ms % 1000);
}

static void print_problems(struct nigh *cache, struct text *w)
{
    struct gauges_problem list[GAUGES_PROBLEMS];
    gauges_problems(cache, list);
    for (size_t i = 0; i < GAUGES_PROBLEMS; i++) {
        print_span(w, &list[i], "problem", list[i].is.for_ms, "for how long there has been no");
        print_span(w, &list[i], "outage", list[i].was.lasted_ms,
                   "how long the last outage that is over has lasted, of the");
        print_span(w, &list[i], "outage_ago", list[i].was.ago_ms,
                   "since when it is over (0: there was none), of the");
    }
}

/* Write what is no number in labels, as is the custom. */
static void print_names(struct nigh *cache, struct text *w)
{
    struct gauges_names names;
    gauges_names(cache, &names);
    begin(w, "node", "_info", "gauge", "1: the node's name, its process, what a full redis does");
    text_add(w, PREFIX "node_info{node=");
    text_add_label(w, bytes_of_string(names.node));
    text_add(w, ",pid=\"%d\",redis_evicts=", (int)getpid());
    text_add_label(w, bytes_of_string(names.evicts));
    text_add(w, "} 1\n");
}

/* The spaces, each looked at once: the format wants all samples of a metric together, so one space
 * cannot be read after the other. */
struct looks {
    uint32_t count;
    struct space_look *of;
};

static void print_space_gauge(struct text *w, const struct looks *looks,
                              const struct space_gauge *g)
{
    struct unit unit = unit_of(g->name);
    char name[64];
    snprintf(name, sizeof(name), "space_%.*s", unit.name_len, g->name);
    begin(w, name, unit.suffix, "gauge", g->what);
    for (uint32_t i = 0; i < looks->count; i++) {
        struct nigh_space *space = looks->of[i].space;
        if (!gauges_has(space, g))
            continue;
        text_add(w, PREFIX "%s%s{space=", name, unit.suffix);
        text_add_label(w, report_space_name(space));
        text_add(w, "}");
        print_in(w, &unit, g->value(space, &looks->of[i].level));
    }
}

/* `of_none`: the count that belongs to no space. */
static void print_counter(struct text *w, const struct looks *looks, enum stats_counter c,
                          uint64_t of_none)
{
    const struct stats_counter_info *info = &stats_counter_infos[c];
    begin(w, info->name, "_total", "counter", info->doc);
    if (info->owner != STATS_OWNER_S)
        text_add(w, PREFIX "%s_total%s %" PRIu64 "\n", info->name,
                 info->owner == STATS_OWNER_E ? "{space=\"!none\"}" : "", of_none);
    for (uint32_t i = 0; i < looks->count && info->owner != STATS_OWNER_C; i++)
        print_space_sample(w, info->name, "_total", looks->of[i].space, looks->of[i].counts[c]);
}

/* ---- histograms ---- */

/* The edges: all powers of two between these, so that each is that of a bucket, too. (A value that
 * is exactly the edge, to the nanosecond, counts as above.) */
#define LOWEST_POWER 6u /* 64 ns */
#define LOWEST_AGE 20u  /* of ages: 1 ms */
#define EDGES 30u       /* beside the lowest: up to 69 s, and 13 days */

static void print_seconds(struct text *w, uint64_t ns)
{
    text_add(w, "%" PRIu64 ".%09" PRIu64, ns / (uint64_t)NS_PER_S,
             ns % (uint64_t)NS_PER_S);
}

/* Begin a sample: with a label for the space, unless that is NULL. `le`: a further label. */
static void begin_sample(struct text *w, const char *name, const char *suffix,
                         const struct nigh_space *space, const char *le)
{
    text_add(w, PREFIX "%s_seconds%s", name, suffix);
    if (!space && !le)
        return;
    text_add(w, "{%s", space ? "space=" : "");
    if (space)
        text_add_label(w, report_space_name(space));
    if (le)
        text_add(w, "%sle=\"%s\"", space ? "," : "", le);
    text_add(w, "}");
}

static void print_buckets(struct text *w, const char *name, const struct nigh_space *space,
                          const struct histogram_sum *sum, uint32_t lowest)
{
    for (uint32_t power = lowest; power <= lowest + EDGES; power++) {
        char edge[32];
        struct text le = text_into(edge, sizeof(edge));
        print_seconds(&le, UINT64_C(1) << power);
        begin_sample(w, name, "_bucket", space, edge);
        text_add(w, " %" PRIu64 "\n", histogram_below(sum, power));
    }
    begin_sample(w, name, "_bucket", space, "+Inf");
    text_add(w, " %" PRIu64 "\n", sum->count);
}

static void print_histogram_of(struct text *w, struct stats *stats, const struct nigh_space *space,
                               enum stats_histogram h)
{
    const char *name = stats_histogram_infos[h].name;
    struct histogram_sum sum;
    stats_histogram_read(stats, h, &sum);
    print_buckets(w, name, space, &sum, h == STATS_EVICTED_AGE ? LOWEST_AGE : LOWEST_POWER);
    begin_sample(w, name, "_sum", space, NULL);
    text_add(w, " ");
    print_seconds(w, sum.sum_ns);
    text_add(w, "\n");
    begin_sample(w, name, "_count", space, NULL);
    text_add(w, " %" PRIu64 "\n", sum.count);
}

static void print_histogram(struct nigh *cache, struct text *w, enum stats_histogram h)
{
    begin(w, stats_histogram_infos[h].name, "_seconds", "histogram", stats_histogram_infos[h].doc);
    if (stats_histogram_infos[h].owner == STATS_OWNER_C) {
        print_histogram_of(w, &cache->stats, NULL, h);
        return;
    }
    for (uint32_t i = 0; i < space_count(cache); i++)
        print_histogram_of(w, &cache->spaces[i]->stats, cache->spaces[i], h);
}

static void print_spaces(struct nigh *cache, struct text *w, const struct looks *looks)
{
    uint64_t of_none[STATS_COUNTER_COUNT];
    stats_read_all(&cache->stats, of_none);
    for (size_t i = 0; i < gauges_of_space_count; i++)
        print_space_gauge(w, looks, &gauges_of_space[i]);
    for (int c = 0; c < STATS_COUNTER_COUNT; c++)
        print_counter(w, looks, (enum stats_counter)c, of_none[c]);
}

int report_prometheus(struct nigh *cache, struct text *w)
{
    struct looks looks = {.count = space_count(cache)};
    size_t size = looks.count * sizeof(*looks.of);
    looks.of = looks.count ? mem_lines_alloc_zero(cache->env.mem, size) : NULL;
    if (looks.count && !looks.of)
        return NIGH_ENOMEM;
    for (uint32_t i = 0; i < looks.count; i++)
        gauges_look(cache->spaces[i], &looks.of[i]);
    print_gauges(cache, w);
    print_names(cache, w);
    print_problems(cache, w);
    print_spaces(cache, w, &looks);
    for (int h = 0; h < STATS_HISTOGRAM_COUNT; h++)
        print_histogram(cache, w, (enum stats_histogram)h);
    if (looks.of)
        mem_lines_free(cache->env.mem, looks.of, size);
    return 0;
}
