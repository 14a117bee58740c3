// SPDX-License-Identifier: MIT
/*
 * nigh_hot(): the keys that are hit, missed and changed most, and the tags and spaces that are
 * invalidated most, as text for people and as JSON.
 *
 * A rate is the middle of what Space-Saving leaves possible (top.h: the true count is not above the
 * count, nor more than the error below it). How far it may be off is half of that, and the noise of
 * the sample: twice its standard deviation. A key of which less than SURE samples are certain is
 * noise; in text, so is one whose rate is not above what it may be off.
 *
 * Where no key stands out of a list, that is told, and how even it is: no key has more than the
 * highest counter and the noise of the sample, of all that was counted.
 */
#include <inttypes.h>

#include <nigh/inspect.h>

#include "cache/cache.h"
#include "cache/hot.h"
#include "cache/space.h"

#define SURE 2.0
#define EVEN 0.5             /* no key has more than this part: they are spread */
#define RATE_COLUMNS 11
#define RATE_LEAST 0.005     /* a second: less would be shown as 0.00 */
#define SHOWN_BYTES 50       /* of a key, in text: then a line has 80 columns */
#define SHOWN_GROUP_BYTES 43 /* of a tag or a space, behind the word for what it is */

/* The three lists of a space, and that of the cache. */
enum { HITS, MISSES, CHANGES, LISTS };
static const struct {
    const char *name, *heading;
} lists[LISTS] = {
    [HITS] = {"hits", "hits/s"},
    [MISSES] = {"misses", "misses/s"},
    [CHANGES] = {"changes", "changes/s"},
};

static struct top *list_of(struct nigh_space *space, int list)
{
    struct top *all[LISTS] = {&space->hot.hits, &space->hot.misses, &space->hot.changes};
    return all[list];
}

/* A key as it is shown. */
struct shown {
    double rate, off;
    struct bytes key;
    bool cut; /* the key is longer */
};

static struct shown show(const struct top_rate *r)
{
    return (struct shown){
        .rate = r->rate - r->error / 2,
        .off = r->error / 2 + 2 * root_of(r->variance),
        .key = bytes_of(r->key, u64_min(r->key_len, TOP_KEY_BYTES)),
        .cut = r->key_len > TOP_KEY_BYTES,
    };
}

/* Returns the share of all keys' rate that no key has more of, by chance hardly; 1: not known. */
static double share_of(const struct top_whole *whole)
{
    double most = whole->most + 2 * root_of(whole->variance);
    return most < whole->rate ? most / whole->rate : 1;
}

static struct top_whole read_whole(struct nigh *cache, struct top *list)
{
    return top_read_whole(list, clock_coarse_ns(&cache->clock));
}

static uint32_t read_list(struct nigh *cache, struct top *list, struct top_rate rates[TOP_MOST])
{
    return top_read(list, rates, cache->hot_keys, SURE, clock_coarse_ns(&cache->clock));
}

/* Whether a group may be over keys of a space: a tag, which is of no space, all, or itself. */
static bool is_over(const struct top_rate *r, const struct nigh_space *space)
{
    size_t len = u64_min(space->name_len, TOP_KEY_BYTES);
    return r->key[0] != HOT_SPACE ||
           (r->key_len == 1 + len &&
            memcmp(r->key + 1, space->name, u64_min(len, TOP_KEY_BYTES - 1)) == 0);
}

/* Reads the groups; of `only` one space, those that may be over its keys. */
static uint32_t read_groups(struct nigh *cache, const struct nigh_space *only,
                            struct top_rate rates[TOP_MOST])
{
    uint32_t most = only ? TOP_MOST : (uint32_t)cache->hot_keys, kept = 0;
    uint32_t count = top_read(&cache->hot_groups, rates, most, SURE,
                              clock_coarse_ns(&cache->clock));
    for (uint32_t i = 0; i < count && kept < cache->hot_keys; i++)
        if (!only || is_over(&rates[i], only))
            rates[kept++] = rates[i];
    return kept;
}

/* Takes the letter of its kind off the key of a group. Returns the word for it. */
static const char *kind_of(struct shown *s)
{
    const char *key = s->key.data;
    char letter = key[0];
    s->key = bytes_of(key + 1, s->key.len - 1);
    return letter == HOT_TAG ? "tag" : letter == HOT_SPACE ? "space" : "all";
}

/* ---- text ---- */

/* Adds a number of people's: three digits at least, no more after the point than say something. */
static void add_rate(struct text *w, double rate, int columns)
{
    text_add(w, rate < 9.95 ? "%*.2f" : rate < 99.5 ? "%*.1f" : "%*.0f", columns, rate);
}

/* Adds a key that fits into its column: what is escaped is longer than it was. */
static void add_key(struct text *w, const struct shown *s, size_t most)
{
    char buffer[4 * TOP_KEY_BYTES + 1] = "";
    struct text t = text_into(buffer, sizeof(buffer));
    text_add_name(&t, s->key);
    size_t len = u64_min(t.needed, most);
    while (len > 0 && ((unsigned char)buffer[len] & 0xc0) == 0x80)
        len--; /* not within a character */
    bool cut = s->cut || t.needed > len;
    text_add(w, "  %.*s%s\n", (int)len, buffer, cut ? "..." : "");
}

/* Adds a line with what stands out; what does not is left out. The first has the heading. */
static bool text_line(struct text *w, const struct top_rate *r, const char *heading, bool group)
{
    struct shown s = show(r);
    if (s.off > s.rate)
        return false;
    if (heading)
        text_add(w, "%s%*s%*s  %s\n", group ? "\n" : "", RATE_COLUMNS, heading, RATE_COLUMNS, "+-",
                 group ? "tag, space or all" : "key");
    add_rate(w, s.rate, RATE_COLUMNS);
    add_rate(w, s.off, RATE_COLUMNS);
    if (group)
        text_add(w, "  %-5s", kind_of(&s));
    add_key(w, &s, group ? SHOWN_GROUP_BYTES : SHOWN_BYTES);
    return true;
}

/* Returns whether anything of it stands out. */
static bool text_rates(struct text *w, const struct top_rate *rates, uint32_t count,
                       const char *heading, bool groups)
{
    bool any = false;
    for (uint32_t i = 0; i < count; i++)
        any |= text_line(w, &rates[i], any ? NULL : heading, groups);
    return any;
}

static bool text_list(struct text *w, struct nigh *cache, struct top *list, const char *heading)
{
    struct top_rate rates[TOP_MOST];
    return text_rates(w, rates, read_list(cache, list, rates), heading, false);
}

/* Says how evenly spread is what does not stand out. */
static void add_even(struct text *w, const struct top_whole *whole, const char *too_few)
{
    double share = share_of(whole);
    if (share <= EVEN)
        text_add(w, "none has more than 1 in %u of them\n", (unsigned)(1 / share));
    else
        text_add(w, "%s\n", too_few);
}

/* Says of a list of which no key stands out how much there was, and how evenly spread. */
static void text_even(struct text *w, struct nigh *cache, struct top *list, const char *name)
{
    struct top_whole whole = read_whole(cache, list);
    if (whole.rate < RATE_LEAST)
        return;
    text_add(w, "  %s: no key stands out of ", name);
    add_rate(w, whole.rate, 0);
    text_add(w, "/s: ");
    add_even(w, &whole, "too few were looked at to tell");
}

/* Says the same of tags, spaces and all; but of `only` one space not if it may be another that
 * stands out. */
static void text_even_groups(struct text *w, struct nigh *cache, const struct nigh_space *only)
{
    struct top_whole whole = read_whole(cache, &cache->hot_groups);
    if (whole.rate < RATE_LEAST || (only && share_of(&whole) > EVEN))
        return;
    text_add(w, "\n");
    add_rate(w, whole.rate, 0);
    text_add(w, " changes/s by tag, space or all: ");
    add_even(w, &whole, "too few to rank");
}

static void text_groups(struct text *w, struct nigh *cache, const struct nigh_space *only)
{
    struct top_rate rates[TOP_MOST];
    if (!text_rates(w, rates, read_groups(cache, only, rates), "changes/s", true))
        text_even_groups(w, cache, only);
}

static void text_space(struct text *w, struct nigh_space *space)
{
    text_add(w, "space ");
    text_add_name(w, bytes_of(space->name, space->name_len));
    text_add(w, "\n");
    size_t heading = w->needed;
    for (int list = 0; list < LISTS; list++)
        if (!text_list(w, space->cache, list_of(space, list), lists[list].heading))
            text_even(w, space->cache, list_of(space, list), lists[list].name);
    if (w->needed == heading)
        text_add(w, "  no key stands out: none was asked for lately\n");
}

/* ---- JSON ---- */

static void json_rates(struct text *w, const struct top_rate *rates, uint32_t count, bool group)
{
    text_add(w, "[");
    for (uint32_t i = 0; i < count; i++) {
        struct shown s = show(&rates[i]);
        text_add(w, "%s{", i ? ", " : "");
        if (group)
            text_add(w, "\"kind\": \"%s\", ", kind_of(&s));
        text_add(w, group ? "\"name\": " : "\"key\": ");
        text_add_json(w, s.key);
        text_add(w, ", \"cut\": %s, \"rate\": %.3f, \"error\": %.3f}", s.cut ? "true" : "false",
                 s.rate, s.off);
    }
    text_add(w, "]");
}

static void json_list(struct text *w, struct nigh *cache, struct top *list)
{
    struct top_rate rates[TOP_MOST];
    json_rates(w, rates, read_list(cache, list, rates), false);
}

/* Adds, of each list, the rate of all its keys, and the share that no key has more of. */
static void json_whole(struct text *w, struct nigh_space *space)
{
    struct top_whole all[LISTS];
    for (int list = 0; list < LISTS; list++)
        all[list] = read_whole(space->cache, list_of(space, list));
    text_add(w, ", \"rates\": {");
    for (int list = 0; list < LISTS; list++)
        text_add(w, "%s\"%s\": %.3f", list ? ", " : "", lists[list].name, all[list].rate);
    text_add(w, "}, \"shares\": {");
    for (int list = 0; list < LISTS; list++)
        text_add(w, "%s\"%s\": %.6f", list ? ", " : "", lists[list].name, share_of(&all[list]));
    text_add(w, "}");
}

static void json_space(struct text *w, struct nigh_space *space)
{
    text_add_json(w, bytes_of(space->name, space->name_len));
    text_add(w, ": {");
    for (int list = 0; list < LISTS; list++) {
        text_add(w, "%s\"%s\": ", list ? ", " : "", lists[list].name);
        json_list(w, space->cache, list_of(space, list));
    }
    json_whole(w, space);
    text_add(w, "}");
}

/* ---- the call ---- */

static void write_spaces(struct text *w, struct nigh *cache, const struct nigh_space *only,
                         enum nigh_stats_format format)
{
    size_t before = w->needed;
    for (uint32_t i = 0; i < space_count(cache); i++) {
        if (only && only != cache->spaces[i])
            continue;
        bool first = w->needed == before;
        if (format == NIGH_STATS_JSON) {
            text_add(w, first ? "" : ", ");
            json_space(w, cache->spaces[i]);
        } else {
            text_add(w, first ? "" : "\n");
            text_space(w, cache->spaces[i]);
        }
    }
}

static void json_cache(struct text *w, struct nigh *cache, const struct nigh_space *only)
{
    struct top_rate rates[TOP_MOST];
    text_add(w, "{\"half_life_s\": %u, \"spaces\": {", TOP_HALF_LIFE_S);
    write_spaces(w, cache, only, NIGH_STATS_JSON);
    text_add(w, "}, \"groups\": ");
    json_rates(w, rates, read_groups(cache, only, rates), true);
    text_add(w, "}\n");
}

static void text_cache(struct text *w, struct nigh *cache, const struct nigh_space *only)
{
    write_spaces(w, cache, only, NIGH_STATS_TEXT);
    text_groups(w, cache, only);
    text_add(w, "Rates are of lately: what came %u s ago counts half.\n", TOP_HALF_LIFE_S);
}

long nigh_hot(struct nigh *cache, const char *space, enum nigh_stats_format format, char *buffer,
              size_t size)
{
    struct text w = text_into(buffer, size);
    int rc = cache_check_open(cache);
    if (rc != 0)
        return rc;
    const struct nigh_space *only = space ? space_find(cache, bytes_of_string(space)) : NULL;
    if ((space && !only) || (format != NIGH_STATS_TEXT && format != NIGH_STATS_JSON))
        return NIGH_EINVAL;
    if (format == NIGH_STATS_JSON)
        json_cache(&w, cache, only);
    else if (cache->hot_keys == 0)
        text_add(&w, "hot.keys is none: no requests are sampled\n");
    else
        text_cache(&w, cache, only);
    return (long)w.needed;
}
