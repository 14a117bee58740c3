// SPDX-License-Identifier: MIT
/*
 * Commands about one name: an option or a number is shown, an option that is live is set; and the
 * list of options.
 */
#include "cache/commands/command.h"

#include <inttypes.h>

#include "base/base.h"
#include "cache/report/formats.h"
#include "cache/report/gauges.h"
#include "cache/report/shards.h"
#include "cache/set.h"
#include "cache/space_l1.h"

static void read_options(struct command *c, struct nigh_options *ret)
{
    struct nigh *cache = c->cache;
    *ret = c->commands->opened;
    pthread_mutex_lock(&cache->spaces_lock);
    set_read_live(cache, ret);
    pthread_mutex_unlock(&cache->spaces_lock);
}

struct options_asked {
    struct nigh_options options;
    bool of_space;
};

static long write_options(void *arg, char *buffer, size_t size)
{
    struct options_asked *o = arg;
    struct text w = text_into(buffer, size);
    options_show(&o->options, o->of_space, &w);
    return (long)w.needed;
}

void command_options(struct command *c)
{
    struct options_asked o = {.of_space = c->count == 1};
    struct nigh_space *space = o.of_space ? command_space(c, c->words[0]) : NULL;
    if (o.of_space && !space)
        return;
    read_options(c, &o.options);
    if (space)
        space_read_options(space, &o.options.space);
    command_append(c, write_options, &o);
}

/* Tells a time of a histogram, which is none while nothing was timed. */
static void print_time(struct command *c, const char *name, const struct histogram_sum *sum,
                       uint64_t ns)
{
    if (sum->count == 0)
        control_print(c->reply, ", %s -", name);
    else
        control_print(c->reply, ", %s %" PRIu64, name, ns);
}

/* Tells a histogram in one line. False: there is none of this name. */
static bool print_histogram(struct command *c, struct stats *stats, const char *name, int from,
                            int end)
{
    struct histogram_sum sum;
    int h = from;
    while (h < end && strcmp(stats_histogram_infos[h].name, name) != 0)
        h++;
    if (h == end)
        return false;
    stats_histogram_read(stats, (enum stats_histogram)h, &sum);
    control_print(c->reply, "count %" PRIu64, sum.count);
    for (size_t i = 0; i < REPORT_QUANTILES; i++)
        print_time(c, report_quantiles[i].name, &sum,
                   histogram_quantile_ns(&sum, report_quantiles[i].share));
    print_time(c, "max_ns", &sum, sum.max_ns);
    control_print(c->reply, "\n");
    return true;
}

/* A name, and whoever knows what it stands for. */
struct asked {
    bool (*show)(const struct asked *a, struct text *w); /* false: there is none of this name */
    const char *name;
    const struct nigh_options *options; /* of an option */
    struct nigh *cache;                 /* of what stats tells in words */
};

static bool show_option(const struct asked *a, struct text *w)
{
    return options_show_value(a->options, a->name, w);
}

static bool show_word(const struct asked *a, struct text *w)
{
    return gauges_write_word(a->cache, a->name, w);
}

static long write_shown(void *arg, char *buffer, size_t size)
{
    struct asked *a = arg;
    struct text w = text_into(buffer, size);
    a->show(a, &w);
    text_add(&w, "\n");
    return (long)w.needed;
}

/* False: there is none of this name, and nothing was told. */
static bool print_shown(struct command *c, struct asked a)
{
    struct text nowhere = text_into(NULL, 0);
    bool there = a.show(&a, &nowhere);
    if (there)
        command_append(c, write_shown, &a);
    return there;
}

static bool print_option(struct command *c, const struct nigh_options *o, const char *name)
{
    return print_shown(c, (struct asked){.show = show_option, .name = name, .options = o});
}

/* Tells what stats tells in words. */
static bool print_word(struct command *c, const char *name)
{
    return print_shown(c, (struct asked){.show = show_word, .name = name, .cache = c->cache});
}

/* ---- a name that there is not ---- */

/* Says that there is none of this name, and of which names or meanings the word is a part. */
static void refuse_name(struct command *c, bool of_space, const char *name, const char *refusal)
{
    char text[300] = "";
    struct command_meant m = {name, text_into(text, sizeof(text))};
    const char *option, *why;
    for (size_t i = 0; (option = options_name(i, &why)); i++)
        if (!of_space || strncmp(option, "space.", 6) == 0)
            command_meant_add(&m, option, why);
    for (size_t i = 0; !of_space && i < gauges_of_cache_count; i++)
        command_meant_add(&m, gauges_of_cache[i].name, gauges_of_cache[i].what);
    for (size_t i = 0; of_space && i < gauges_of_space_count; i++)
        command_meant_add(&m, gauges_of_space[i].name, gauges_of_space[i].what);
    if (m.names.needed)
        control_error(c->reply, "%s; some have to do with it: %s%s", refusal, text,
                      m.names.needed >= sizeof(text) ? " ..." : "");
    else
        control_error(c->reply, "%s", refusal);
}

static void get_of_space(struct command *c, struct nigh_space *space, const char *name)
{
    struct nigh_options o = NIGH_OPTIONS_INIT;
    int64_t count = nigh_stats_value(c->cache, space->name, name);
    space_read_options(space, &o.space);
    if (strncmp(name, "space.", 6) == 0 && print_option(c, &o, name))
        return;
    if (count >= 0)
        control_print(c->reply, "%" PRId64 "\n", count);
    else if (nigh_stats_value(c->cache, NULL, name) >= 0)
        control_error(c->reply, "%s is not told of one space: get %s", name, name);
    else if (!print_histogram(c, &space->stats, name, 0, STATS_SPACE_HISTOGRAM_COUNT))
        refuse_name(c, true, name, "a space has no option, counter, gauge or histogram of this "
                                   "name: stats and options SPACE list them");
}

/* Tells how the shards share a number. False: there is none of this name. */
static bool print_spread(struct command *c, const char *name)
{
    struct shards_spread spreads[SHARD_NUMBERS];
    size_t n = 0;
    while (n < SHARD_NUMBERS && strcmp(shards_names[n], name) != 0)
        n++;
    if (n == SHARD_NUMBERS)
        return false;
    shards_read(c->cache, spreads);
    control_print(c->reply, "of a shard: least %" PRIu64 ", median %" PRIu64 ", most %" PRIu64 "\n",
                  spreads[n].least, spreads[n].median, spreads[n].most);
    return true;
}

static void get_of_cache(struct command *c, const char *name)
{
    struct nigh_options o;
    read_options(c, &o);
    int64_t count = nigh_stats_value(c->cache, NULL, name);
    if (print_option(c, &o, name))
        return;
    if (count >= 0)
        control_print(c->reply, "%" PRId64 "\n", count);
    else if (!print_word(c, name) && !print_spread(c, name) &&
             !print_histogram(c, &c->cache->stats, name, STATS_SPACE_HISTOGRAM_COUNT,
                              STATS_HISTOGRAM_COUNT))
        refuse_name(c, false, name, "no option, counter, gauge or histogram of this name (one of a "
                                    "space: get SPACE NAME): stats and options list them");
}

void command_get(struct command *c)
{
    struct nigh_space *space = c->count == 2 ? command_space(c, c->words[0]) : NULL;
    const char *name = command_string(c, c->words[c->count - 1]);
    if (!name || (c->count == 2 && !space))
        return;
    if (space)
        get_of_space(c, space, name);
    else
        get_of_cache(c, name);
}

static void set(struct command *c, struct nigh_space *space, const char *name, const char *value)
{
    int rc = space ? nigh_space_set(space, name, value) : nigh_set(c->cache, name, value);
    if (rc != 0)
        command_fail(c, rc);
    else
        control_print(c->reply, "ok\n");
}

/* The spaces, or one of them, that have no table of their own, and what L1 has of them. */
struct shared {
    int64_t spaces;
    int64_t entries;
};

static struct shared look_at_shared(struct command *c, const struct nigh_space *only)
{
    struct shared all = {0, 0};
    for (uint32_t i = 0; i < space_count(c->cache); i++) {
        const struct nigh_space *space = c->cache->spaces[i];
        if ((only && space != only) || space_l1_apart(space))
            continue;
        all.spaces++;
        all.entries += nigh_stats_value(c->cache, space->name, "entries");
    }
    return all;
}

/* Sets a cap on spaces, NULL: on all that have none of their own. Where it is the first one, L1 has
 * nothing of them from then on, which nobody expects of an "ok". */
static void set_space_memory(struct command *c, struct nigh_space *space, const char *name,
                             const char *value)
{
    struct shared before = look_at_shared(c, space);
    set(c, space, name, value);
    struct shared after = look_at_shared(c, space);
    int64_t moved = before.spaces - after.spaces, dropped = before.entries - after.entries;
    if (moved == 1 && dropped > 0)
        control_print(c->reply, "note: the space has a table of its own from now on, which begins "
                                "empty: L1 has dropped %" PRId64 " value%s of it, and brings %s "
                                "again when asked for\n", dropped, plural((uint64_t)dropped),
                      dropped == 1 ? "it" : "them");
    else if (moved > 1 && dropped > 0)
        control_print(c->reply, "note: %" PRId64 " spaces have tables of their own from now on, "
                                "which begin empty: L1 has dropped %" PRId64 " values of them, and "
                                "brings them again as they are asked for\n", moved, dropped);
}

void command_set(struct command *c)
{
    struct nigh_space *space = c->count == 3 ? command_space(c, c->words[0]) : NULL;
    const char *name = command_string(c, c->words[c->count - 2]);
    const char *value = command_string(c, c->words[c->count - 1]);
    if (!name || !value || (c->count == 3 && !space))
        return;
    if (strcmp(name, "space.memory") == 0)
        set_space_memory(c, space, name, value);
    else
        set(c, space, name, value);
}

void command_log(struct command *c)
{
    const char *level = command_string(c, c->words[0]);
    if (level)
        set(c, NULL, "log.level", level);
}
