// SPDX-License-Identifier: MIT
/*
 * nigh_stats() and its kin: numbers in three forms, by name, and as a list.
 *
 * Counters come from the table in stats/counters.h, gauges from those in gauges.c; every form walks
 * them, so a number is named, explained and counted in one place.
 */
#include <string.h>

#include <nigh/stats.h>

#include "cache/report/formats.h"
#include "cache/report/gauges.h"
#include "cache/space.h"

long nigh_stats(struct nigh *cache, enum nigh_stats_format format, char *buffer, size_t size)
{
    static int (*const forms[])(struct nigh *cache, struct text *w) = {
        [NIGH_STATS_TEXT] = report_text,
        [NIGH_STATS_JSON] = report_json,
        [NIGH_STATS_PROMETHEUS] = report_prometheus,
    };
    struct text w = text_into(buffer, size);
    int rc = cache_check_open(cache);
    if (rc != 0)
        return rc;
    if ((size_t)format >= ARRAY_COUNT(forms))
        return NIGH_EINVAL;
    rc = forms[format](cache, &w);
    return rc != 0 ? rc : (long)w.needed;
}

/* ---- what there is ---- */

static struct nigh_stats_info info_of_space_gauge(const struct space_gauge *g)
{
    return (struct nigh_stats_info){g->name, g->what, NIGH_STATS_SPACE_GAUGE};
}

int nigh_stats_info(size_t i, struct nigh_stats_info *ret_info)
{
    if (i < gauges_of_cache_count) {
        const struct gauge *g = &gauges_of_cache[i];
        *ret_info = (struct nigh_stats_info){g->name, g->what, NIGH_STATS_GAUGE};
        return 0;
    }
    i -= gauges_of_cache_count;
    if (i < gauges_of_space_count) {
        *ret_info = info_of_space_gauge(&gauges_of_space[i]);
        return 0;
    }
    i -= gauges_of_space_count;
    if (i >= (size_t)STATS_COUNTER_COUNT + STATS_HISTOGRAM_COUNT)
        return NIGH_EINVAL;
    bool counts = i < STATS_COUNTER_COUNT;
    const struct stats_counter_info *c =
        counts ? &stats_counter_infos[i] : &stats_histogram_infos[i - STATS_COUNTER_COUNT];
    *ret_info = (struct nigh_stats_info){c->name, c->doc,
                                         counts ? NIGH_STATS_COUNTER : NIGH_STATS_HISTOGRAM};
    return 0;
}

void nigh_stats_print(FILE *out)
{
    static const char *const kinds[] = {"gauge", "of space", "counter", "times"};
    struct nigh_stats_info info;
    for (size_t i = 0; nigh_stats_info(i, &info) == 0; i++)
        fprintf(out, "%-20s %-8s %s\n", info.name, kinds[info.kind], info.what);
}

struct nigh_space *nigh_stats_space(struct nigh *cache, size_t i, const char **ret_name)
{
    if (cache_check_open(cache) != 0 || i >= space_count(cache))
        return NULL;
    if (ret_name)
        *ret_name = cache->spaces[i]->name;
    return cache->spaces[i];
}

/* ---- by name ---- */

static int find_counter(const char *name)
{
    for (int i = 0; i < STATS_COUNTER_COUNT; i++)
        if (strcmp(stats_counter_infos[i].name, name) == 0)
            return i;
    return -1;
}

static int64_t counter_sum(struct nigh *cache, enum stats_counter c)
{
    uint64_t sum = stats_read(&cache->stats, c);
    for (uint32_t i = 0; i < space_count(cache); i++)
        sum += stats_read(&cache->spaces[i]->stats, c);
    return (int64_t)sum;
}

static int64_t gauge_value(struct nigh *cache, const char *name)
{
    const struct gauge *gauge = gauges_find(name);
    struct gauges g;
    if (!gauge)
        return NIGH_EINVAL;
    gauges_read(cache, gauge->ask, &g);
    return (int64_t)gauge->value(&g);
}

static int64_t space_gauge_value(struct nigh_space *space, const char *name)
{
    const struct space_gauge *g = gauges_find_of_space(name);
    struct l1_level level = {0};
    if (!g || !gauges_has(space, g))
        return NIGH_EINVAL;
    if (g->needs == NEEDS_LEVEL)
        l1_level_read(space->cache->l1, &space->stats, &level);
    return (int64_t)g->value(space, &level);
}

int64_t nigh_stats_value(struct nigh *cache, const char *space_name, const char *name)
{
    int rc = cache_check_open(cache);
    if (rc != 0)
        return rc;
    if (!name)
        return NIGH_EINVAL;
    int counter = find_counter(name);
    if (!space_name)
        return counter >= 0 ? counter_sum(cache, (enum stats_counter)counter)
                            : gauge_value(cache, name);
    struct nigh_space *space = space_find(cache, bytes_of_string(space_name));
    if (!space || (counter >= 0 && stats_counter_infos[counter].owner == STATS_OWNER_C))
        return NIGH_EINVAL;
    return counter >= 0 ? (int64_t)stats_read(&space->stats, (enum stats_counter)counter)
                        : space_gauge_value(space, name);
}
