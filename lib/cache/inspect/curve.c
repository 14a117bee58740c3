// SPDX-License-Identifier: MIT
/*
 * What another cap would bring, as text and JSON.
 */
#include "cache/inspect/curve.h"

#include <inttypes.h>

#include <nigh/inspect.h>

#include "cache/cache.h"
#include "cache/sample.h"
#include "cache/space.h"
#include "cache/space_l1.h"

#define KEEP_NS NS_PER_S
#define BAR_WIDTH 30

/* ---- on, off, kept ---- */

bool curve_is_set(const struct nigh *cache)
{
    return atomic_load_explicit(&cache->sample.wanted, memory_order_relaxed) & SAMPLE_FOR_CURVE;
}

void curve_set(struct nigh *cache, bool on)
{
    if (l1_curve_set(cache->l1, on))
        atomic_fetch_or_explicit(&cache->sample.wanted, SAMPLE_FOR_CURVE, memory_order_relaxed);
    else
        atomic_fetch_and_explicit(&cache->sample.wanted, ~(uint32_t)SAMPLE_FOR_CURVE,
                                  memory_order_relaxed);
}

/* Fit the curve, with the reads of all spaces that it is about. */
static void fit(struct nigh *cache)
{
    uint64_t hits = 0, misses = 0;
    for (uint32_t i = space_count(cache); i-- > 0;) {
        struct nigh_space *space = cache->spaces[i];
        if (space_l1_apart(space))
            continue;
        hits += stats_read(&space->stats, STATS_L1_FRESH) +
                stats_read(&space->stats, STATS_L1_STALE);
        misses += stats_read(&space->stats, STATS_L1_MISS);
    }
    l1_curve_keep(cache->l1, hits, hits + misses);
}

uint64_t curve_keep(struct nigh *cache)
{
    if (!curve_is_set(cache))
        return CLOCK_NEVER_NS;
    uint64_t now_ns = clock_now_ns(&cache->clock);
    uint64_t due_ns = atomic_load_explicit(&cache->sample.keep_ns, memory_order_relaxed);
    if (now_ns < due_ns)
        return due_ns;
    fit(cache);
    atomic_store_explicit(&cache->sample.keep_ns, now_ns + KEEP_NS, memory_order_relaxed);
    return now_ns + KEEP_NS;
}

/* ---- telling ---- */

static const char *const names[L1_CURVE_POINTS] = {"1/4", "1/2", "now", "2x", "4x", "8x"};
enum { POINT_NOW = 2, POINT_TWICE = 3 };

/* Write a size as people do: with three digits, or so. */
static void add_size(struct text *w, const struct l1_curve *c, uint64_t size)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
    double amount = (double)size;
    uint32_t unit = 0;
    char number[32];
    while (!c->by_count && amount >= 1024 && unit + 1 < ARRAY_COUNT(units)) {
        amount /= 1024;
        unit++;
    }
    snprintf(number, sizeof(number), amount < 10 && unit ? "%.2f" : amount < 100 && unit ? "%.1f"
                                                                                       : "%.0f",
             amount);
    text_add(w, "%9s %-6s", number, c->by_count ? "values" : units[unit]);
}

static void add_bar(struct text *w, double ratio)
{
    int full = (int)(ratio * BAR_WIDTH + 0.5);
    for (int i = 0; i < BAR_WIDTH; i++)
        text_add(w, "%s", i < full ? "#" : ".");
}

static double ratio_at(const struct l1_curve *c, uint32_t i)
{
    return i == POINT_NOW ? c->ratio : c->points[i].ratio;
}

/* Says when a point will be certain enough, at the rate of now. */
static void text_lacking(struct text *w, const struct l1_curve *c, const struct l1_curve_point *p)
{
    double per_second = p->sample ? c->reads_per_second / p->sample : 0;
    double left_s = per_second > 0 ? p->lacks / per_second : 0;
    if (left_s <= 0)
        text_add(w, "not enough seen yet, no sample lately\n");
    else if (left_s < 120)
        text_add(w, "not enough seen yet: %.0f s more at least\n", left_s + 1);
    else if (left_s < 7200)
        text_add(w, "not enough seen yet: %.0f min more at least\n", left_s / 60 + 1);
    else
        text_add(w, "not enough seen yet: %.0f h more at least\n", left_s / 3600 + 1);
}

static void text_point(struct text *w, const struct l1_curve *c, uint32_t i)
{
    const struct l1_curve_point *p = &c->points[i];
    text_add(w, "%-4s", names[i]);
    add_size(w, c, p->cap);
    text_add(w, "  %5.1f %%  ", 100 * ratio_at(c, i));
    if (i != POINT_NOW && !p->enough) {
        text_lacking(w, c, p);
        return;
    }
    add_bar(w, ratio_at(c, i));
    if (i == POINT_NOW)
        text_add(w, "  measured\n");
    else
        text_add(w, "  +- %.1f\n", 100 * p->error);
}

/* Says what the next doubling would bring, in reads a second. */
static void text_doubling(struct text *w, const struct l1_curve *c)
{
    double gain = c->points[POINT_TWICE].ratio - c->ratio;
    double more = gain > 0 ? gain * c->reads_per_second : 0;
    double misses = (1 - c->ratio) * c->reads_per_second;
    if (!c->points[POINT_TWICE].enough)
        text_add(w, "The next doubling: not enough seen yet.\n");
    else
        text_add(w, "The next doubling: %.0f more hits a second of %.0f reads, and as many\n"
                    "lookups in Redis, or loads, saved of %.0f misses.\n",
                 more, c->reads_per_second, misses);
}

/* Says which spaces are not in it. Returns how many are. */
static uint32_t text_apart(struct text *w, struct nigh *cache)
{
    uint32_t inside = 0, apart = 0;
    for (uint32_t i = 0; i < space_count(cache); i++) {
        struct nigh_space *space = cache->spaces[i];
        if (!space_l1_apart(space)) {
            inside++;
            continue;
        }
        text_add(w, apart++ ? ", " : "Without spaces that have, or had, a space.memory: ");
        text_add_name(w, bytes_of(space->name, space->name_len));
    }
    text_add(w, apart ? ".\n" : "");
    return inside;
}

static void text_whole(struct text *w, struct nigh *cache, const struct l1_curve *c, bool on)
{
    if (!c->has_model) {
        text_add(w, "curve: the policies lru and lfu have one, this one has none\n");
        return;
    }
    if (!on) {
        text_add(w, "curve: off\n");
        return;
    }
    if (text_apart(w, cache) == 0) {
        text_add(w, "curve: no space is left in it\n");
        return;
    }
    text_add(w, "    %-16s   hits expected of all reads\n",
             c->by_count ? "l1.entries" : "l1.memory");
    for (uint32_t i = 0; i < L1_CURVE_POINTS; i++)
        text_point(w, c, i);
    text_doubling(w, c);
}

static void json_whole(struct text *w, const struct l1_curve *c, bool on)
{
    text_add(w, "{\"on\":%s,\"model\":%s,\"unit\":\"%s\",\"ratio\":%.5f,\"reads_per_second\":%.1f,"
                "\"own_bytes\":%" PRIu64 ",\"points\":[",
             on ? "true" : "false", c->has_model ? "true" : "false",
             c->by_count ? "values" : "bytes", c->ratio, c->reads_per_second, c->own_bytes);
    for (uint32_t i = 0; on && i < L1_CURVE_POINTS; i++) {
        const struct l1_curve_point *p = &c->points[i];
        text_add(w, "%s{\"cap\":%" PRIu64 ",\"ratio\":%.5f,\"error\":%.5f,\"reads\":%" PRIu32
                    ",\"sample\":%" PRIu32 ",\"enough\":%s,\"lacks\":%" PRIu32 "}",
                 i ? "," : "", p->cap, p->ratio, p->error, p->reads, p->sample,
                 p->enough ? "true" : "false", p->lacks);
    }
    text_add(w, "]}\n");
}

long nigh_curve(struct nigh *cache, enum nigh_stats_format format, char *buffer, size_t size)
{
    int rc = cache_check_open(cache);
    if (rc == 0 && format != NIGH_STATS_TEXT && format != NIGH_STATS_JSON)
        rc = NIGH_EINVAL;
    if (rc != 0)
        return rc;
    struct l1_curve c;
    struct text w = text_into(buffer, size);
    if (curve_is_set(cache))
        fit(cache);
    bool on = l1_curve_read(cache->l1, &c);
    if (format == NIGH_STATS_JSON)
        json_whole(&w, &c, on);
    else
        text_whole(&w, cache, &c, on);
    return (long)w.needed;
}
