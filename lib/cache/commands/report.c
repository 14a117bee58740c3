// SPDX-License-Identifier: MIT
/*
 * Commands that show what the library's reports tell: the numbers, a key, hot keys, the curve.
 */
#include "cache/commands/command.h"

#include <unistd.h>

#include "cache/say.h"

struct report {
    struct nigh *cache;
    enum nigh_stats_format format;
};

/* The formats of reports; only stats has the last one. */
static const char *const formats[] = {
    [NIGH_STATS_TEXT] = "text", [NIGH_STATS_JSON] = "json", [NIGH_STATS_PROMETHEUS] = "prometheus"};
#define LAST_OF_STATS NIGH_STATS_PROMETHEUS
#define LAST_OF_OTHERS NIGH_STATS_JSON

/* Says what a word that is no format may have meant. */
static void refuse_format(struct command *c, struct bytes word, enum nigh_stats_format last)
{
    const char *there_are = last == LAST_OF_STATS ? "text, json and prometheus" : "text and json";
    char name[100] = "";
    struct text w = text_into(name, sizeof(name));
    text_add_name(&w, bytes_of(word.data, u64_min(word.len, 40)));
    if (space_find(c->cache, word))
        control_error(c->reply, "%s is a space, and this is not told of one space alone (get SPACE "
                                "NAME, hot SPACE and options SPACE are); a format is %s",
                      name, there_are);
    else
        control_error(c->reply, "no such format: %s; there are %s", name, there_are);
}

/* Reads the format that a report is asked for in, which has those up to `last`. False: an error has
 * been answered. */
static bool read_format(struct command *c, struct bytes word, enum nigh_stats_format last,
                        struct report *ret)
{
    for (unsigned i = 0; i <= last; i++) {
        if (!command_is_word(word, formats[i]))
            continue;
        ret->format = (enum nigh_stats_format)i;
        return true;
    }
    refuse_format(c, word, last);
    return false;
}

static long write_stats(void *arg, char *buffer, size_t size)
{
    struct report *r = arg;
    return nigh_stats(r->cache, r->format, buffer, size);
}

void command_stats(struct command *c)
{
    struct report r = {c->cache, NIGH_STATS_TEXT};
    if (c->count == 0 || read_format(c, c->words[0], LAST_OF_STATS, &r))
        command_append(c, write_stats, &r);
}

struct explained {
    struct nigh_space *space;
    struct bytes key;
    enum nigh_stats_format format;
};

static long write_explained(void *arg, char *buffer, size_t size)
{
    struct explained *e = arg;
    return nigh_explain(e->space, e->key.data, e->key.len, e->format, buffer, size);
}

void command_explain(struct command *c)
{
    struct report r = {c->cache, NIGH_STATS_TEXT};
    struct nigh_space *space = command_space(c, c->words[0]);
    if (!space || (c->count == 3 && !read_format(c, c->words[2], LAST_OF_OTHERS, &r)))
        return;
    struct explained e = {space, c->words[1], r.format};
    command_append(c, write_explained, &e);
}

struct hot_asked {
    struct nigh *cache;
    const char *space; /* NULL: all */
    enum nigh_stats_format format;
};

static long write_hot(void *arg, char *buffer, size_t size)
{
    struct hot_asked *h = arg;
    return nigh_hot(h->cache, h->space, h->format, buffer, size);
}

/* Whether a single word is a space: else it is the name of a format, and of no space. */
static bool names_space(struct command *c)
{
    struct bytes word = c->words[0];
    bool format = command_is_word(word, "text") || command_is_word(word, "json");
    return space_find(c->cache, word) || !format;
}

void command_hot(struct command *c)
{
    struct report r = {c->cache, NIGH_STATS_TEXT};
    bool named = c->count == 2 || (c->count == 1 && names_space(c));
    struct nigh_space *space = named ? command_space(c, c->words[0]) : NULL;
    if ((named && !space) ||
        (c->count > named && !read_format(c, c->words[c->count - 1], LAST_OF_OTHERS, &r)))
        return;
    struct hot_asked h = {c->cache, space ? space->name : NULL, r.format};
    command_append(c, write_hot, &h);
}

static long write_curve(void *arg, char *buffer, size_t size)
{
    struct report *r = arg;
    return nigh_curve(r->cache, r->format, buffer, size);
}

void command_curve(struct command *c)
{
    struct report r = {c->cache, NIGH_STATS_TEXT};
    if (c->count == 0 || read_format(c, c->words[0], LAST_OF_OTHERS, &r))
        command_append(c, write_curve, &r);
}

void command_version(struct command *c)
{
    struct coherence_gauges g = {0};
    char host[65] = "";
    gethostname(host, sizeof(host) - 1);
    if (c->cache->coherence)
        coherence_gauges_read(c->cache->coherence, &g);
    control_print(c->reply, "nigh %d.%d.%d, process %d", NIGH_VERSION_MAJOR, NIGH_VERSION_MINOR,
                  NIGH_VERSION_PATCH, (int)getpid());
    if (g.node)
        control_print(c->reply, ", node %04x", cache_node_name(g.node));
    control_print(c->reply, ", host %s, up for %s\n", host,
                  said_span(cache_uptime_ns(c->cache)).text);
}
