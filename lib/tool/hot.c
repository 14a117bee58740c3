// SPDX-License-Identifier: MIT
/*
 * The hottest keys of all processes together, in columns: what is hit, missed and changed most in a
 * space, and which tags and spaces are invalidated most.
 *
 * A key that stands out in one process and not in another counts there for nothing: its rate is
 * rather too low, by what each process leaves out as noise.
 */
#include "tool/tool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEYS_MAX 256
#define RATE_COLUMNS 10 /* with a blank behind it */
#define RATE_MAX 99999999.
#define GROUP_COLUMNS 34 /* of a tag or a space: "0.25/s space ", its name */
#define GROUP_NAME_COLUMNS 20

struct list {
    struct json_hot keys[KEYS_MAX]; /* hottest first */
    size_t count;
};

enum { HITS, MISSES, CHANGES, LISTS };
static const char *const names[LISTS] = {"hits", "misses", "changes"};

/* ---- adding up ---- */

/* Each process has hits and misses of its own, but hears of the changes of all. */
static void add(struct list *l, const struct json_hot *key, bool sums)
{
    size_t i = 0;
    while (i < l->count &&
           (strcmp(l->keys[i].name, key->name) != 0 || strcmp(l->keys[i].kind, key->kind) != 0))
        i++;
    if (i < l->count && sums)
        l->keys[i].rate += key->rate;
    else if (i < l->count)
        l->keys[i].rate = key->rate > l->keys[i].rate ? key->rate : l->keys[i].rate;
    else if (l->count < KEYS_MAX)
        l->keys[l->count++] = *key;
}

static int compare(const void *a, const void *b)
{
    double x = ((const struct json_hot *)a)->rate, y = ((const struct json_hot *)b)->rate;
    return (x < y) - (x > y);
}

/* Reads a list of all processes. What is as likely noise as not is left out, as in `hot`. */
static void read_list(struct json *const *of, size_t count, const char *space, const char *name,
                      struct list *ret)
{
    struct json_hot key;
    bool sums = name && name != names[CHANGES];
    ret->count = 0;
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; of[i] && json_hot(of[i], space, name, k, &key); k++)
            if (key.rate >= key.error)
                add(ret, &key, sums);
    qsort(ret->keys, ret->count, sizeof(ret->keys[0]), compare);
}

/* ---- showing ---- */

/* Adds a name, cut at so many columns and filled up to them, as bytes that no terminal acts on. */
static char *put_name(char *to, const char *name, size_t columns)
{
    size_t used = 0;
    for (const unsigned char *s = (const unsigned char *)name; *s && used < columns; s++) {
        bool c1 = *s == 0xc2 && s[1] >= 0x80 && s[1] < 0xa0;
        if (*s < ' ' || *s == 0x7f || c1) {
            *to++ = '?';
            s += c1;
        } else {
            *to++ = (char)*s;
            for (int rest = 3; rest > 0 && (s[1] & 0xc0) == 0x80; rest--)
                *to++ = (char)*++s; /* of a character */
        }
        used++;
    }
    for (; used < columns; used++)
        *to++ = ' ';
    *to = '\0';
    return to;
}

static char *put_rate(char *to, double rate, int columns)
{
    rate = rate > 0 ? rate : 0; /* nor is it a NaN */
    rate = rate < RATE_MAX ? rate : RATE_MAX;
    return to + sprintf(to, rate < 9.95 ? "%*.2f" : rate < 99.5 ? "%*.1f" : "%*.0f", columns, rate);
}

static char *put_cell(char *to, const struct list *l, size_t i, size_t columns)
{
    if (i >= l->count)
        return to + sprintf(to, "%*s", (int)columns, "");
    to = put_rate(to, l->keys[i].rate, RATE_COLUMNS - 1);
    *to++ = ' ';
    return put_name(to, l->keys[i].name, columns - RATE_COLUMNS);
}

/* Ends a line without the blanks at its end. */
static char *end_line(char *start, char *to)
{
    while (to > start && to[-1] == ' ')
        to--;
    *to++ = '\n';
    *to = '\0';
    return to;
}

static char *put_heading(char *to, size_t columns)
{
    for (int i = 0; i < LISTS; i++)
        to += sprintf(to, "%*s/s %*s", RATE_COLUMNS - 3, names[i], (int)columns - RATE_COLUMNS, "");
    return to;
}

char *hot_table(struct json *const *of, size_t count, const char *space, size_t columns,
                size_t rows)
{
    static struct list lists[LISTS];
    size_t width = columns / LISTS;
    size_t most = 0;
    for (int i = 0; i < LISTS; i++) {
        read_list(of, count, space, names[i], &lists[i]);
        most = lists[i].count > most ? lists[i].count : most;
    }
    most = most + 1 < rows ? most : rows - 1;
    if (most == 0 || width <= RATE_COLUMNS)
        return NULL;
    char *text = malloc((most + 1) * LISTS * (RATE_COLUMNS + 4 * width + 1));
    if (!text)
        return NULL;
    char *to = end_line(text, put_heading(text, width));
    for (size_t row = 0; row < most; row++) {
        char *start = to;
        for (int i = 0; i < LISTS; i++)
            to = put_cell(to, &lists[i], row, width);
        to = end_line(start, to);
    }
    return text;
}

char *hot_groups(struct json *const *of, size_t count, size_t columns)
{
    static struct list groups;
    read_list(of, count, NULL, NULL, &groups);
    char *text = groups.count > 0 ? malloc(4 * columns + GROUP_COLUMNS) : NULL;
    if (!text)
        return NULL;
    char *to = stpcpy(text, "changes  ");
    size_t used = strlen(text);
    for (size_t i = 0; i < groups.count && used + GROUP_COLUMNS <= columns; i++) {
        to = put_rate(to, groups.keys[i].rate, 0);
        to += sprintf(to, "/s %.5s ", groups.keys[i].kind);
        to = put_name(to, groups.keys[i].name, GROUP_NAME_COLUMNS);
        used += GROUP_COLUMNS;
    }
    end_line(text, to);
    return text;
}
