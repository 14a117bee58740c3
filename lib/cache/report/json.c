// SPDX-License-Identifier: MIT
/*
 * The report as JSON (RFC 8259) for machines: one object, all numbers in it.
 */
#include "cache/report/formats.h"

#include <inttypes.h>
#include <unistd.h>

#include "cache/report/gauges.h"
#include "cache/report/shards.h"
#include "cache/space.h"

/* Writes those that count where these were read: a 0 of any other would be taken for its count. */
static void print_counters(struct text *w, const uint64_t counts[STATS_COUNTER_COUNT],
                           enum stats_owner where)
{
    const char *comma = "";
    for (size_t i = 0; i < STATS_COUNTER_COUNT; i++) {
        const struct stats_counter_info *info = &stats_counter_infos[i];
        if (info->owner != where && info->owner != STATS_OWNER_E)
            continue;
        text_add(w, "%s\"%s\": %" PRIu64, comma, info->name, counts[i]);
        comma = ", ";
    }
}

static void print_problems(struct nigh *cache, struct text *w)
{
    struct gauges_problem list[GAUGES_PROBLEMS];
    gauges_problems(cache, list);
    for (size_t i = 0; i < GAUGES_PROBLEMS; i++) {
        const struct gauges_problem *p = &list[i];
        text_add(w, ", \"%s_problem\": ", p->name);
        text_add_json(w, bytes_of_string(p->is.text));
        text_add(w, ", \"%s_problem_ms\": %" PRIu64 ", \"%s_problem_first\": ", p->name,
                 p->is.for_ms, p->name);
        text_add_json(w, bytes_of_string(p->is.first));
        text_add(w, ", \"%s_outage\": ", p->name);
        text_add_json(w, bytes_of_string(p->was.text));
        text_add(w, ", \"%s_outage_first\": ", p->name);
        text_add_json(w, bytes_of_string(p->was.first));
        text_add(w, ", \"%s_outage_ms\": %" PRIu64 ", \"%s_outage_ago_ms\": %" PRIu64, p->name,
                 p->was.lasted_ms, p->name, p->was.ago_ms);
    }
}

/* Write why trust was lost, and a clock left, the last time: "" if they never were. */
static void print_past(struct nigh *cache, struct text *w)
{
    struct coherence_past past = {.resync.why = NULL};
    if (cache->coherence)
        coherence_past_read(cache->coherence, &past);
    text_add(w, ", \"doubt_reason\": ");
    text_add_json(w, bytes_of_string(past.doubt.why));
    text_add(w, ", \"resync_reason\": ");
    text_add_json(w, bytes_of_string(past.resync.why ? past.resync.why : ""));
}

static void print_names(struct nigh *cache, struct text *w)
{
    struct gauges_names names;
    gauges_names(cache, &names);
    text_add(w, ", \"pid\": %d, \"node\": \"%s\", \"redis_evicts\": ", (int)getpid(),
             names.node);
    text_add_json(w, bytes_of_string(names.evicts));
}

/* Write the buckets that have something, each as [its highest value, how many]. */
static void print_buckets(struct text *w, const struct histogram_sum *sum)
{
    const char *comma = "";
    for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        if (sum->buckets[i] == 0)
            continue;
        text_add(w, "%s[%" PRIu64 ", %" PRIu64 "]", comma, histogram_edge_ns(i), sum->buckets[i]);
        comma = ", ";
    }
}

static void print_histograms(struct text *w, struct stats *stats, int from, int end)
{
    struct histogram_sum sum;
    for (int i = from; i < end; i++) {
        stats_histogram_read(stats, (enum stats_histogram)i, &sum);
        text_add(w, ", \"%s\": {\"count\": %" PRIu64 ", \"sum_ns\": %" PRIu64,
                 stats_histogram_infos[i].name, sum.count, sum.sum_ns);
        for (size_t k = 0; k < REPORT_QUANTILES; k++)
            text_add(w, ", \"%s\": %" PRIu64, report_quantiles[k].name,
                     histogram_quantile_ns(&sum, report_quantiles[k].share));
        text_add(w, ", \"max_ns\": %" PRIu64 ", \"buckets\": [", sum.max_ns);
        print_buckets(w, &sum);
        text_add(w, "]}");
    }
}

static void print_space(struct text *w, struct nigh_space *space)
{
    struct space_look look;
    gauges_look(space, &look);
    text_add_json(w, report_space_name(space));
    text_add(w, ": {");
    print_counters(w, look.counts, STATS_OWNER_S);
    for (size_t i = 0; i < gauges_of_space_count; i++) {
        const struct space_gauge *g = &gauges_of_space[i];
        if (gauges_has(space, g))
            text_add(w, ", \"%s\": %" PRIu64, g->name, g->value(space, &look.level));
    }
    print_histograms(w, &space->stats, 0, STATS_SPACE_HISTOGRAM_COUNT);
    text_add(w, "}");
}

static void print_shards(struct nigh *cache, struct text *w)
{
    struct shards_spread spreads[SHARD_NUMBERS];
    shards_read(cache, spreads);
    text_add(w, ", \"shards\": {");
    for (size_t i = 0; i < SHARD_NUMBERS; i++)
        text_add(w, "%s\"%s\": {\"least\": %" PRIu64 ", \"median\": %" PRIu64 ", \"most\": %" PRIu64
                 "}", i ? ", " : "", shards_names[i], spreads[i].least, spreads[i].median,
                 spreads[i].most);
    text_add(w, "}");
}

int report_json(struct nigh *cache, struct text *w)
{
    struct gauges g;
    uint64_t counts[STATS_COUNTER_COUNT];
    gauges_read(cache, GAUGES_ASK_ALL, &g);
    text_add(w, "{\"gauges\": {");
    for (size_t i = 0; i < gauges_of_cache_count; i++)
        text_add(w, "%s\"%s\": %" PRIu64, i ? ", " : "", gauges_of_cache[i].name,
                     gauges_of_cache[i].value(&g));
    text_add(w, "}");
    print_names(cache, w);
    print_problems(cache, w);
    print_past(cache, w);
    print_shards(cache, w);
    text_add(w, ", \"cache\": {");
    stats_read_all(&cache->stats, counts);
    print_counters(w, counts, STATS_OWNER_C);
    print_histograms(w, &cache->stats, STATS_SPACE_HISTOGRAM_COUNT, STATS_HISTOGRAM_COUNT);
    text_add(w, "}, \"spaces\": {");
    for (uint32_t i = 0; i < space_count(cache); i++) {
        text_add(w, "%s", i ? ", " : "");
        print_space(w, cache->spaces[i]);
    }
    text_add(w, "}}\n");
    return 0;
}
