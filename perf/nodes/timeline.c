// SPDX-License-Identifier: MIT
/*
 * Samples: nodes take them at about the same times, so the n-th of each belong together.
 */
#include "nodes/timeline.h"

#include <nigh/nigh.h>
#include <stdlib.h>
#include <string.h>

#include "support/fail.h"

struct timeline_sample *timeline_due(struct timeline *t, double seconds)
{
    uint64_t every_ns = (uint64_t)(seconds * 1e9 / TIMELINE_SAMPLES);
    uint64_t now = now_ns();
    if (t->count > TIMELINE_SAMPLES)
        return NULL;
    if (t->count > 0 && now < t->samples[0].at_ns + t->count * every_ns)
        return NULL;
    struct timeline_sample *s = &t->samples[t->count++];
    *s = (struct timeline_sample){.at_ns = now};
    return s;
}

double timeline_fullest(struct nigh *cache)
{
    static const char field[] = "\"entries\":";
    double most = 0, all = 0, shards = 0;
    long len = nigh_stats_shards(cache, NIGH_STATS_JSON, NULL, 0);
    char *text = must_alloc(1, len > 0 ? (size_t)len + 1 : 1);
    if (len > 0)
        nigh_stats_shards(cache, NIGH_STATS_JSON, text, (size_t)len + 1);
    for (const char *at = text; (at = strstr(at, field)); shards++) {
        double entries = strtod(at += strlen(field), NULL);
        most = entries > most ? entries : most;
        all += entries;
    }
    free(text);
    return all > 0 ? most * shards / all : 0;
}

/* ---- JSON ---- */

static uint32_t count_of(const struct timeline *nodes, uint32_t count)
{
    uint32_t least = TIMELINE_SAMPLES + 1;
    for (uint32_t i = 0; i < count; i++)
        least = nodes[i].count < least ? nodes[i].count : least;
    return least;
}

/* Shares of what all nodes have answered since the sample before. */
static void json_shares(const struct timeline *nodes, uint32_t count, uint32_t n, FILE *out)
{
    static const char *const names[TIMELINE_TIERS] = {"l1", "l2", "loader"};
    uint64_t answered[TIMELINE_TIERS] = {0}, all = 0;
    for (uint32_t i = 0; i < count; i++)
        for (unsigned tier = 0; tier < TIMELINE_TIERS; tier++) {
            uint64_t more = nodes[i].samples[n].answered[tier] -
                            nodes[i].samples[n - 1].answered[tier];
            answered[tier] += more;
            all += more;
        }
    for (unsigned tier = 0; all && tier < TIMELINE_TIERS; tier++)
        fprintf(out, ", \"%s\": %.6f", names[tier], (double)answered[tier] / (double)all);
}

void timeline_json(const struct timeline *nodes, uint32_t count, uint64_t begin_ns, FILE *out)
{
    uint32_t samples = count_of(nodes, count);
    fprintf(out, "  \"over_time\": [");
    for (uint32_t n = 1; n < samples; n++) {
        uint64_t at = nodes[0].samples[n].at_ns;
        fprintf(out, "%s\n    {\"at_s\": %.3f", n > 1 ? "," : "",
                (double)(int64_t)(at - begin_ns) / 1e9);
        json_shares(nodes, count, n, out);
        fprintf(out, ",\n     \"memory_bytes\": [");
        for (uint32_t i = 0; i < count; i++)
            fprintf(out, "%s%llu", i ? ", " : "",
                    (unsigned long long)nodes[i].samples[n].memory_bytes);
        fprintf(out, "], \"fullest_shard\": [");
        for (uint32_t i = 0; i < count; i++)
            fprintf(out, "%s%.4f", i ? ", " : "", nodes[i].samples[n].fullest);
        fprintf(out, "]}");
    }
    fprintf(out, "],\n");
}
