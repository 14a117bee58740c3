// SPDX-License-Identifier: MIT
/*
 * Numbers with units.
 */
#include "support/parse.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "support/fail.h"

struct unit {
    const char *name;
    double factor;
};

/* clang-format off */
static const struct unit counts[] = {{"", 1}, {"k", 1e3}, {"m", 1e6}, {NULL, 0}};
static const struct unit sizes[] = {
    {"", 1}, {"k", 0x1p10}, {"m", 0x1p20}, {"g", 0x1p30}, {"t", 0x1p40},
    {"kib", 0x1p10}, {"mib", 0x1p20}, {"gib", 0x1p30}, {"tib", 0x1p40}, {NULL, 0}};
static const struct unit times[] = {
    {"us", 1e3}, {"ms", 1e6}, {"s", 1e9}, {"m", 60e9}, {"h", 3600e9}, {"d", 86400e9}, {NULL, 0}};
/* clang-format on */

/* NaN: it is no number with one of these units. */
static double read_with(const char *text, const struct unit *units)
{
    char *end;
    double value = strtod(text, &end);
    if (end == text)
        return NAN;
    for (; units->name; units++)
        if (strcasecmp(end, units->name) == 0)
            return value * units->factor;
    return NAN;
}

double parse_number(const char *name, const char *text, double least, double most)
{
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end || !(value >= least && value <= most))
        fail("--%s %s: a number from %g to %g is wanted", name, text, least, most);
    return value;
}

/* Says a number as it would be typed: with the largest unit that it is whole in. */
static const char *typed(uint64_t value, const struct unit *units, char ret[32])
{
    const struct unit *best = units;
    for (const struct unit *u = units; u->name; u++)
        if (value && value % (uint64_t)u->factor == 0 && u->factor > best->factor)
            best = u;
    snprintf(ret, 32, "%llu%s", (unsigned long long)(value / (uint64_t)best->factor), best->name);
    return ret;
}

static uint64_t whole(const char *name, const char *text, const struct unit *units, uint64_t least,
                      uint64_t most, const char *example)
{
    double value = read_with(text, units);
    char from[32], to[32];
    if (!(value >= (double)least && value <= (double)most))
        fail("--%s %s: from %s to %s is wanted, as %s", name, text, typed(least, units, from),
             typed(most, units, to), example);
    return (uint64_t)value;
}

uint64_t parse_count(const char *name, const char *text, uint64_t least, uint64_t most)
{
    return whole(name, text, counts, least, most, "\"100\" or \"250k\"");
}

uint64_t parse_bytes(const char *name, const char *text, uint64_t least, uint64_t most)
{
    return whole(name, text, sizes, least, most, "\"4096\", \"64k\" or \"96MiB\" (bytes)");
}

uint64_t parse_time(const char *name, const char *text)
{
    double value = strcmp(text, "none") == 0 ? 0 : read_with(text, times);
    if (!(value >= 0 && value < 0x1p62))
        fail("--%s %s: a time is wanted, as \"200us\", \"30s\" or \"none\"", name, text);
    return (uint64_t)value;
}

unsigned parse_list(const char *name, const char *text, unsigned most, unsigned limit,
                    unsigned *ret_list)
{
    unsigned count = 0;
    for (const char *at = text; at; at = strchr(at, ','), at = at ? at + 1 : NULL) {
        char one[16];
        if (count == most)
            fail("--%s %s: %u numbers at most", name, text, most);
        snprintf(one, sizeof(one), "%.*s", (int)strcspn(at, ","), at);
        ret_list[count++] = (unsigned)parse_number(name, one, 1, limit);
    }
    ret_list[count] = 0;
    return count;
}
