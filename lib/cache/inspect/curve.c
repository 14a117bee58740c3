// SPDX-License-Identifier: MIT
/*
 * Prints what another cap would bring, as text and JSON.
 */
#include "cache/inspect/curve.h"

#include <inttypes.h>

#include <nigh/inspect.h>

#include "cache/cache.h"
#include "cache/sample.h"
#include "cache/space.h"
#include "cache/space_l1.h"

#define FIT_NS NS_PER_S
#define BAR_WIDTH 25
#define NAME_WIDTH 24
#define SHARES_SHOWN 16u

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

/* Fit the curve, and tell it the reads of each space that it is about: all that count in its hit
 * ratio, and probes (NIGH_L1_ONLY), whose hits are among them. Returns in how many nanoseconds to
 * drain it. Who asks (nigh_curve()) may do so at any time between the keeper's turns: a window that
 * ends early is a piece of the traffic as good as another. */
static uint64_t fit(struct nigh *cache)
{
    for (uint32_t i = space_count(cache); i-- > 0;) {
        struct nigh_space *space = cache->spaces[i];
        if (space_l1_apart(space))
            continue;
        uint64_t hits = stats_read(&space->stats, STATS_L1_FRESH) +
                        stats_read(&space->stats, STATS_L1_STALE);
        uint64_t misses = stats_read(&space->stats, STATS_L1_MISS) +
                          stats_read(&space->stats, STATS_L1_PROBE_MISS);
        l1_curve_count(cache->l1, space->id, hits, misses);
    }
    return l1_curve_keep(cache->l1);
}

uint64_t curve_keep(struct nigh *cache)
{
    struct curve_clock *due = &cache->curve_clock;
    if (!curve_is_set(cache))
        return CLOCK_NEVER_NS;
    uint64_t now_ns = clock_now_ns(&cache->clock);
    if (now_ns < due->drain_ns)
        return due->drain_ns;
    bool fits = now_ns >= due->fit_ns;
    if (fits)
        due->fit_ns = now_ns + FIT_NS;
    due->drain_ns = now_ns + (fits ? fit(cache) : l1_curve_drain(cache->l1));
    return due->drain_ns;
}

/* ---- telling ---- */

static const char *const names[L1_CURVE_POINTS] = {"1/4", "1/2", "now", "2x", "4x", "8x"};
enum { POINT_NOW = 2, POINT_TWICE = L1_CURVE_TWICE };

/* Write a size as people do: with three digits, or so. */
static void add_size(struct text *w, const struct l1_curve *c, uint64_t size)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
    double amount = (double)size;
    uint32_t unit = 0;
    char number[32] = "";
    struct text n = text_into(number, sizeof(number));
    while (!c->by_count && amount >= 1024 && unit + 1 < ARRAY_COUNT(units)) {
        amount /= 1024;
        unit++;
    }
    text_add(&n, amount < 10 && unit ? "%.2f" : amount < 100 && unit ? "%.1f" : "%.0f", amount);
    text_add(w, "%9s %-6s", number, c->by_count ? "values" : units[unit]);
}

static void add_bar(struct text *w, double ratio)
{
    int full = (int)(ratio * BAR_WIDTH + 0.5);
    for (int i = 0; i < BAR_WIDTH; i++)
        text_add(w, "%s", i < full ? "#" : ".");
}

/* Write a time as people do. */
static void add_time(struct text *w, double seconds)
{
    if (seconds < 120)
        text_add(w, "%.0f s", seconds);
    else if (seconds < 7200)
        text_add(w, "%.0f min", seconds / 60);
    else
        text_add(w, "%.0f h", seconds / 3600);
}

/* Whether it is said when a point will have seen enough. */
static bool is_promised(const struct l1_curve *c, uint32_t i)
{
    const struct l1_curve_point *p = &c->points[i];
    return i != POINT_NOW && p->possible && !p->enough && !p->few && p->lacks > 0 &&
           c->rate_promised > 0;
}

/* Says when a point will have seen enough, at the rate of now. */
static void text_lacking(struct text *w, const struct l1_curve *c, uint32_t i)
{
    text_add(w, "not yet");
    if (is_promised(c, i)) {
        text_add(w, ": in ");
        add_time(w, c->points[i].lacks / c->rate_promised + 1);
        text_add(w, " at most, at %.0f reads a second", c->rate_promised);
    }
    text_add(w, "\n");
}

/* Whether it was told before, and is about to be told anew. */
static bool is_old(const struct l1_curve_point *p)
{
    return p->possible && p->enough && p->age_ns >= NS_PER_S;
}

/* Whether it is said over which time the present cap was measured. */
static bool is_measured(const struct l1_curve *c)
{
    const struct l1_curve_point *p = &c->points[POINT_NOW];
    return p->enough && !is_old(p) && c->reads_per_second > 0;
}

/* Tells a point; of the present cap, which is measured, over which time. */
static void text_told(struct text *w, const struct l1_curve *c, const struct l1_curve_point *p,
                      bool measured)
{
    text_add(w, "%5.1f %%  ", 100 * p->ratio);
    add_bar(w, p->ratio);
    if (!measured)
        text_add(w, "  +- %.1f", 100 * p->error);
    else if (!is_measured(c))
        text_add(w, "  measured");
    else {
        text_add(w, "  measured over ");
        add_time(w, c->reads / c->reads_per_second);
    }
    if (is_old(p)) {
        text_add(w, ", ");
        add_time(w, (double)p->age_ns / NS_PER_S);
        text_add(w, " ago");
    }
    text_add(w, "\n");
}

/* Says what "ago" means, if it was said. */
static void text_age(struct text *w, const struct l1_curve *c)
{
    bool any = false;
    for (uint32_t i = 0; i < L1_CURVE_POINTS; i++)
        any |= is_old(&c->points[i]);
    if (any)
        text_add(w, "\"ago\": seen then, and moved as \"now\" has since, until enough is seen "
                    "anew.\n");
}

/* Says why "measured over" is of so short a time, where it began anew. */
static void text_since(struct text *w, const struct l1_curve *c)
{
    static const char *const since[] = {
        [L1_CURVE_SINCE_BEGUN] = "since the curve was begun",
        [L1_CURVE_SINCE_CAP] = "since the cap was set",
        [L1_CURVE_SINCE_FILLED] = "since the sample of the present cap was full",
    };
    if (is_measured(c) && c->since != L1_CURVE_SINCE_LONG)
        text_add(w, "\"measured\": %s.\n", since[c->since]);
}

/* Says what breaks such promises, if there are any. */
static void text_promises(struct text *w, const struct l1_curve *c)
{
    bool any = false;
    for (uint32_t i = 0; i < L1_CURVE_POINTS; i++)
        any |= is_promised(c, i);
    if (any)
        text_add(w, "\"at most\": smaller values, or many more reads, may begin it anew.\n");
}

static void text_point(struct text *w, const struct l1_curve *c, uint32_t i)
{
    const struct l1_curve_point *p = &c->points[i];
    text_add(w, "%-4s", names[i]);
    add_size(w, c, p->cap);
    text_add(w, "  ");
    if (p->enough)
        text_told(w, c, p, i == POINT_NOW);
    else if (p->few && i != POINT_NOW)
        text_add(w, "too few values to tell: one key in %" PRIu32 " is watched\n", p->sample);
    else if (i == POINT_NOW)
        text_add(w, "not yet: too few reads\n");
    else
        text_lacking(w, c, i);
}

/* Says what the next doubling would bring, in reads a second. */
static void text_doubling(struct text *w, const struct l1_curve *c)
{
    double gain = c->points[POINT_TWICE].ratio - c->ratio;
    double more = gain > 0 ? gain * c->reads_per_second : 0;
    double misses = (1 - c->ratio) * c->reads_per_second;
    if (c->points[POINT_TWICE].few)
        text_add(w, "The next doubling: too few values to tell.\n");
    else if (!c->points[POINT_TWICE].enough || !c->points[POINT_NOW].enough)
        text_add(w, "The next doubling: not enough seen yet.\n");
    else
        text_add(w, "The next doubling: %.0f +- %.0f more hits a second of %.0f reads,\n"
                    "and as many fewer lookups in Redis, or loads, of %.0f misses.\n",
                 more, c->points[POINT_TWICE].error * c->reads_per_second, c->reads_per_second,
                 misses);
}

bool curve_twice(struct nigh *cache, struct curve_twice *ret)
{
    struct l1_curve c;
    if (!l1_curve_read(cache->l1, &c) || !c.points[POINT_NOW].enough ||
        !c.points[POINT_TWICE].enough)
        return false;
    double more = c.points[POINT_TWICE].ratio - c.ratio;
    *ret = (struct curve_twice){more, c.points[POINT_TWICE].error, more * c.reads_per_second};
    return true;
}

/* ---- by space ---- */

/* A space, and what it has of the curve. */
struct share {
    const struct nigh_space *space;
    struct l1_curve_space part;
};

/* Whether it is known what the next doubling would bring a space. */
static bool has_gain(const struct share *s)
{
    return s->part.points[POINT_NOW].enough && s->part.points[POINT_TWICE].enough;
}

static double gain_of(const struct share *s)
{
    double more = s->part.points[POINT_TWICE].ratio - s->part.ratio;
    return has_gain(s) ? more * s->part.reads_per_second : 0;
}

/* Lists the `most` spaces that the next doubling would bring the most hits, the first one first.
 * Returns how many, and in `*ret_known` how many there are. */
static uint32_t list_shares(struct nigh *cache, struct share *ret, uint32_t most,
                            uint32_t *ret_known)
{
    uint32_t count = 0;
    *ret_known = 0;
    for (uint32_t i = 0; i < space_count(cache); i++) {
        struct share s = {.space = cache->spaces[i]};
        if (space_l1_apart(s.space) || !l1_curve_read_space(cache->l1, s.space->id, &s.part))
            continue;
        ++*ret_known;
        uint32_t at = count < most ? count++ : most;
        for (; at > 0 && gain_of(&ret[at - 1]) < gain_of(&s); at--)
            if (at < most)
                ret[at] = ret[at - 1];
        if (at < most)
            ret[at] = s;
    }
    return count;
}

static void text_share(struct text *w, const struct l1_curve *c, const struct share *s)
{
    char name[4 * NIGH_NAME_MAX + 1];
    struct text into = text_into(name, sizeof(name));
    text_add_name(&into, bytes_of(s->space->name, s->space->name_len));
    int columns = (int)text_columns(name);
    if (columns > NAME_WIDTH) /* has a line of its own */
        text_add(w, "%s\n%*s", name, NAME_WIDTH, "");
    else
        text_add(w, "%s%*s", name, NAME_WIDTH - columns, "");
    for (uint32_t i = 0; i < L1_CURVE_POINTS; i++)
        if (!c->points[i].possible)
            continue;
        else if (s->part.points[i].enough)
            text_add(w, " %6.1f", 100 * s->part.points[i].ratio);
        else
            text_add(w, "      -");
    text_add(w, has_gain(s) ? " %12.0f\n" : "            -\n", gain_of(s));
}

/* Says which space profits, where there are several. */
static void text_shares(struct text *w, struct nigh *cache, const struct l1_curve *c)
{
    struct share shares[SHARES_SHOWN];
    uint32_t known, count = list_shares(cache, shares, SHARES_SHOWN, &known);
    if (known < 2)
        return;
    text_add(w, "\n%-*s", NAME_WIDTH, "of the reads of a space");
    for (uint32_t i = 0; i < L1_CURVE_POINTS; i++)
        if (c->points[i].possible)
            text_add(w, " %6s", names[i]);
    text_add(w, "  2x: hits/s\n");
    for (uint32_t i = 0; i < count; i++)
        text_share(w, c, &shares[i]);
    if (count < known)
        text_add(w, "and %" PRIu32 " more, which the next doubling brings less\n", known - count);
}

/* What is told of a space at each cap: an array of it. */
enum array { RATIOS, ERRORS, ENOUGH };

static void json_array(struct text *w, const struct l1_curve *c, const struct l1_curve_space *part,
                       enum array which)
{
    static const char *const array_names[] = {"ratios", "errors", "enough"};
    bool any = false;
    text_add(w, ",\"%s\":[", array_names[which]);
    for (uint32_t i = 0; i < L1_CURVE_POINTS; i++) {
        if (!c->points[i].possible)
            continue;
        text_add(w, "%s", any ? "," : "");
        any = true;
        if (which == ENOUGH)
            text_add(w, "%s", part->points[i].enough ? "true" : "false");
        else
            text_add(w, "%.5f", which == RATIOS ? part->points[i].ratio : part->points[i].error);
    }
    text_add(w, "]");
}

static void json_shares(struct text *w, struct nigh *cache, const struct l1_curve *c)
{
    bool any = false;
    for (uint32_t i = 0; i < space_count(cache); i++) {
        struct share s = {.space = cache->spaces[i]};
        if (space_l1_apart(s.space) || !l1_curve_read_space(cache->l1, s.space->id, &s.part))
            continue;
        text_add(w, "%s{\"name\":", any ? "," : "");
        text_add_json(w, bytes_of(s.space->name, s.space->name_len));
        text_add(w, ",\"ratio\":%.5f,\"reads_per_second\":%.1f", s.part.ratio,
                 s.part.reads_per_second);
        json_array(w, c, &s.part, RATIOS);
        json_array(w, c, &s.part, ERRORS);
        json_array(w, c, &s.part, ENOUGH);
        text_add(w, "}");
        any = true;
    }
}

/* ---- all of it ---- */

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
        if (c->points[i].possible)
            text_point(w, c, i);
    text_since(w, c);
    text_promises(w, c);
    text_age(w, c);
    text_doubling(w, c);
    text_shares(w, cache, c);
}

static void json_points(struct text *w, const struct l1_curve *c)
{
    bool any = false;
    for (uint32_t i = 0; i < L1_CURVE_POINTS; i++) {
        const struct l1_curve_point *p = &c->points[i];
        if (!p->possible)
            continue;
        text_add(w, "%s{\"size\":%g,\"cap\":%" PRIu64 ",\"ratio\":%.5f,\"error\":%.5f,"
                    "\"enough\":%s,\"few\":%s,\"age\":%.0f,\"lacks\":%.0f,\"reads\":%" PRIu32
                    ",\"sample\":%" PRIu32 "}",
                 any ? "," : "", p->size, p->cap, p->ratio, p->error, p->enough ? "true" : "false",
                 p->few ? "true" : "false", (double)p->age_ns / NS_PER_S, p->lacks, p->reads,
                 p->sample);
        any = true;
    }
}

static const char *since_word(enum l1_curve_since since)
{
    static const char *const words[] = {
        [L1_CURVE_SINCE_BEGUN] = "begun",
        [L1_CURVE_SINCE_CAP] = "cap",
        [L1_CURVE_SINCE_FILLED] = "filled",
        [L1_CURVE_SINCE_LONG] = "long",
    };
    return words[since];
}

static void json_whole(struct text *w, struct nigh *cache, const struct l1_curve *c, bool on)
{
    text_add(w, "{\"on\":%s,\"model\":%s,\"unit\":\"%s\",\"ratio\":%.5f,\"reads\":%.0f,"
                "\"reads_per_second\":%.1f,\"since\":\"%s\",\"own_bytes\":%" PRIu64 ",\"points\":[",
             on ? "true" : "false", c->has_model ? "true" : "false",
             c->by_count ? "values" : "bytes", c->ratio, c->reads, c->reads_per_second,
             since_word(c->since), c->own_bytes);
    if (on)
        json_points(w, c);
    text_add(w, "],\"spaces\":[");
    if (on)
        json_shares(w, cache, c);
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
        json_whole(&w, cache, &c, on);
    else
        text_whole(&w, cache, &c, on);
    return (long)w.needed;
}
