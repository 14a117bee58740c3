// SPDX-License-Identifier: MIT
/*
 * The command spaces: what each holds and how it is read, and what else takes of l1.memory.
 *
 * Names come first, as in any list, in a column as wide as the longest needs. One that is too long
 * for 80 columns has a line of its own, with its numbers below: nothing is cut, and nothing out of
 * line.
 */
#include "cache/commands/command.h"

#include <inttypes.h>
#include <stdio.h>

#include "cache/inspect/reasons.h"
#include "cache/report/gauges.h"

#define NAME_LEAST 12u
#define NAME_MOST 29u

/* A space's name as it is shown. */
struct name {
    char text[4 * NIGH_NAME_MAX + 1];
    int columns;
};

static struct name name_of(const char *name)
{
    struct name n;
    struct text w = text_into(n.text, sizeof(n.text));
    text_add_name(&w, bytes_of_string(name));
    n.columns = (int)text_columns(n.text);
    return n;
}

/* Returns the width of the column of names: that of the longest that fits. */
static int names_columns(struct command *c)
{
    int most = NAME_LEAST;
    for (uint32_t i = 0; i < space_count(c->cache); i++) {
        struct name n = name_of(c->cache->spaces[i]->name);
        if (n.columns > most && n.columns <= (int)NAME_MOST)
            most = n.columns;
    }
    return most;
}

/* Tells a name, and fills its column. */
static void print_name(struct command *c, const char *name, int columns)
{
    struct name n = name_of(name);
    if (n.columns > columns)
        control_print(c->reply, "%s\n%*s", n.text, columns, "");
    else
        control_print(c->reply, "%s%*s", n.text, columns - n.columns, "");
}

/* Tells bytes in a column of 12 characters; none: a dash. */
static void print_bytes(struct command *c, int64_t bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double amount = (double)bytes;
    size_t unit = 0;
    for (; amount >= 1024 && unit + 1 < ARRAY_COUNT(units); unit++)
        amount /= 1024;
    if (bytes <= 0)
        control_print(c->reply, " %11s", "-");
    else
        control_print(c->reply, unit ? " %7.1f %-3s" : " %7.0f %-3s", amount, units[unit]);
}

/* Tells of a space what one visit to each shard shows. */
static void print_space(struct command *c, struct nigh_space *space, int columns)
{
    const struct trend *t = &space->trend;
    struct space_look look;
    gauges_look(space, &look);
    print_name(c, space->name, columns);
    control_print(c->reply, " %10" PRIu64, look.level.entries);
    print_bytes(c, (int64_t)look.level.bytes);
    print_bytes(c, nigh_stats_value(c->cache, space->name, "memory_cap_bytes"));
    if (trend_reads(t, TREND_L1, TREND_MINUTE) > 0)
        control_print(c->reply, " %6.1f", trend_hits_ppm(t, TREND_L1, TREND_MINUTE) / 1e4);
    else
        control_print(c->reply, " %6s", "-");
    control_print(c->reply, " %3" PRIu64 " s\n",
                  (uint64_t)((trend_span_ns(t, TREND_MINUTE) + NS_PER_S / 2) / NS_PER_S));
}

/* Tells why some lines are of less than a minute: all reasons that there are. */
static void print_since(struct command *c)
{
    const char *told[TREND_SINCE_REASONS];
    unsigned count = 0;
    for (uint32_t i = 0; i < space_count(c->cache) && count < TREND_SINCE_REASONS; i++) {
        const char *since = minute_since(&c->cache->spaces[i]->trend);
        unsigned before = 0;
        while (before < count && told[before] != since)
            before++;
        if (!since || before < count)
            continue;
        control_print(c->reply, "%s%s", count ? ", or " : "of last: less than a minute ", since);
        told[count++] = since;
    }
    control_print(c->reply, count ? "\n" : "");
}

static void print_part(struct command *c, const char *name, int64_t bytes, const char *what)
{
    control_print(c->reply, "  %-10s", name);
    print_bytes(c, bytes);
    control_print(c->reply, "  %s\n", what);
}

/* Tells what is used of l1.memory: parts that add up, for values are what the others are not. */
static void print_memory(struct command *c)
{
    struct gauges g;
    char percent[40];
    gauges_read(c->cache, L1_GAUGE_USED | L1_GAUGE_TABLES | L1_GAUGE_LIMBO | L1_GAUGE_UNSTORED, &g);
    const struct l1_gauges *l1 = &g.l1;
    uint64_t others = l1->tables_bytes + l1->limbo_bytes + l1->unstored_bytes;
    uint64_t values = l1->used_bytes - u64_min(l1->used_bytes, others);
    control_print(c->reply, "l1.memory\n");
    print_part(c, "values", (int64_t)values, "of all spaces, with keys and heads");
    print_part(c, "floors", (int64_t)l1->floors_bytes,
               "of coherence.group_slots, 16 B each, and of keys");
    print_part(c, "tables", (int64_t)(l1->tables_bytes - l1->floors_bytes),
               "to find values, in what order they go, why they went");
    print_part(c, "limbo", (int64_t)l1->limbo_bytes, "removed, but perhaps still read or held");
    print_part(c, "unstored", (int64_t)l1->unstored_bytes, "on their way, or handed out without");
    snprintf(percent, sizeof(percent), "%.0f %% of the cap",
             100.0 * (double)l1->used_bytes / (double)u64_max(l1->cap_bytes, 1));
    print_part(c, "in all", (int64_t)l1->used_bytes, percent);
}

void command_spaces(struct command *c)
{
    int columns = names_columns(c);
    if (space_count(c->cache) == 0) {
        control_print(c->reply, "no space is open\n");
        return;
    }
    control_print(c->reply, "%-*s %10s %11s %11s %6s %s\n", columns, "space", "entries", "charged",
                  "own cap", "L1 %", "of last");
    for (uint32_t i = 0; i < space_count(c->cache); i++)
        print_space(c, c->cache->spaces[i], columns);
    print_since(c);
    print_memory(c);
}
