// SPDX-License-Identifier: MIT
/*
 * The hottest keys of all processes together, in columns: what is hit, missed and changed most in a
 * space, and which tags and spaces are invalidated most.
 *
 * A list of which there is nothing to say has no column: who invalidates by tags has no keys that
 * change, and the others have room for longer names.
 *
 * A key that stands out in one process and not in another counts there for nothing: its rate is
 * rather too low, by what each process leaves out as noise.
 */
#include "tool/tool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEYS_FIRST 256
#define RATE_COLUMNS 10 /* with a blank behind it */
#define RATE_MAX 99999999.
#define GROUP_NAME_COLUMNS 20
#define GROUP_COLUMNS 48 /* at most, of a tag or a space: "  12345678/s space ", its name */

struct list {
    const char *name;
    struct json_hot *keys; /* hottest first */
    size_t count, size;
    double rate, most; /* of all keys; what no key has more of */
};

enum { HITS, MISSES, CHANGES, LISTS };
static const char *const names[LISTS] = {"hits", "misses", "changes"};

/* ---- adding up ---- */

/* Without memory it is left out. */
static void add(struct list *l, const struct json_hot *key)
{
    if (l->count == l->size) {
        size_t size = l->size ? 2 * l->size : KEYS_FIRST;
        struct json_hot *keys = realloc(l->keys, size * sizeof(*keys));
        if (!keys)
            return;
        l->keys = keys;
        l->size = size;
    }
    l->keys[l->count++] = *key;
}

static int compare_names(const void *a, const void *b)
{
    const struct json_hot *x = a, *y = b;
    int order = strcmp(x->name, y->name);
    return order ? order : strcmp(x->kind, y->kind);
}

static int compare_rates(const void *a, const void *b)
{
    double x = ((const struct json_hot *)a)->rate, y = ((const struct json_hot *)b)->rate;
    int order = (x < y) - (x > y);
    return order ? order : compare_names(a, b);
}

/* Makes one of each name. Processes have hits and misses of their own, but each hears of the
 * changes of all. */
static void merge(struct list *l, bool sums)
{
    size_t count = 0;
    if (l->count == 0)
        return;
    qsort(l->keys, l->count, sizeof(l->keys[0]), compare_names);
    for (size_t i = 1; i < l->count; i++) {
        struct json_hot *last = &l->keys[count];
        const struct json_hot *key = &l->keys[i];
        if (compare_names(last, key) != 0)
            l->keys[++count] = *key;
        else if (sums)
            last->rate += key->rate;
        else if (key->rate > last->rate)
            last->rate = key->rate;
    }
    l->count = count + 1;
    qsort(l->keys, l->count, sizeof(l->keys[0]), compare_rates);
}

/* Adds what all keys of a process have: a key may be the first in each. */
static void add_whole(struct list *l, const struct json *of, const char *space, const char *name,
                      bool sums)
{
    struct json_hot_whole whole = json_hot_whole(of, space, name);
    double most = whole.rate * whole.share;
    l->most = sums ? l->most + most : most > l->most ? most : l->most;
    l->rate = sums ? l->rate + whole.rate : whole.rate > l->rate ? whole.rate : l->rate;
}

/* Reads a list of all processes. What is as likely noise as not is left out, as in `hot`. */
static void read_list(struct json *const *of, size_t count, const char *space, const char *name,
                      struct list *ret)
{
    struct json_hot key;
    bool sums = name && name != names[CHANGES];
    *ret = (struct list){.name = name};
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; of[i] && json_hot(of[i], space, name, k, &key); k++)
            if (key.rate >= key.error)
                add(ret, &key);
        if (of[i] && space)
            add_whole(ret, of[i], space, name, sums);
    }
    merge(ret, sums);
}

/* ---- showing ---- */

char *hot_put_name(char *to, const char *name, size_t columns)
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

/* Whether no key has as much as half of what all have: then the list says how even it is. */
static bool is_even(const struct list *l)
{
    return l->most > 0 && 2 * l->most <= l->rate;
}

/* Says in the first cell of a list in which no key stands out how even it is. */
static char *put_even(char *to, const struct list *l, size_t columns)
{
    char text[80] = "";
    double among = l->most > 0 ? l->rate / l->most : 0;
    if (is_even(l))
        snprintf(text, sizeof(text), "%*snone above 1 in %u", RATE_COLUMNS - 9, "",
                 (unsigned)(among < RATE_MAX ? among : RATE_MAX));
    return hot_put_name(to, text, columns);
}

static char *put_cell(char *to, const struct list *l, size_t i, size_t columns)
{
    if (i == 0 && l->count == 0)
        return put_even(to, l, columns);
    if (i >= l->count)
        return to + sprintf(to, "%*s", (int)columns, "");
    to = put_rate(to, l->keys[i].rate, RATE_COLUMNS - 1);
    *to++ = ' ';
    return hot_put_name(to, l->keys[i].name, columns - RATE_COLUMNS);
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

static char *put_heading(char *to, const struct list *lists, size_t count, size_t columns)
{
    for (size_t i = 0; i < count; i++)
        to += sprintf(to, "%*s/s %*s", RATE_COLUMNS - 3, lists[i].name,
                      (int)columns - RATE_COLUMNS, "");
    return to;
}

static char *table_of(const struct list *lists, size_t count, size_t width, size_t rows)
{
    char *text = malloc((rows + 1) * count * (RATE_COLUMNS + 4 * width + 1));
    if (!text)
        return NULL;
    char *to = end_line(text, put_heading(text, lists, count, width));
    for (size_t row = 0; row < rows; row++) {
        char *start = to;
        for (size_t i = 0; i < count; i++)
            to = put_cell(to, &lists[i], row, width);
        to = end_line(start, to);
    }
    return text;
}

char *hot_table(struct json *const *of, size_t count, const char *space, size_t columns,
                size_t rows)
{
    struct list lists[LISTS];
    size_t shown = 0, most = 0;
    for (int i = 0; i < LISTS; i++) {
        struct list *l = &lists[shown];
        read_list(of, count, space, names[i], l);
        size_t cells = l->count > 0 ? l->count : is_even(l);
        most = cells > most ? cells : most;
        shown += cells > 0; /* what has none has no memory, either */
    }
    most = most + 1 < rows ? most : rows - 1;
    size_t width = shown > 0 ? columns / shown : 0;
    char *text = most > 0 && width > RATE_COLUMNS ? table_of(lists, shown, width, most) : NULL;
    for (size_t i = 0; i < shown; i++)
        free(lists[i].keys);
    return text;
}

/* Adds one in so many columns, if it fits there. Returns how many it has. */
static size_t put_group(char *to, const struct json_hot *group, size_t columns)
{
    size_t name_columns = strlen(group->name);
    char *start = to;
    name_columns = name_columns < GROUP_NAME_COLUMNS ? name_columns : GROUP_NAME_COLUMNS;
    to = put_rate(stpcpy(to, "  "), group->rate, 0);
    to += sprintf(to, "/s %.5s ", group->kind);
    size_t used = (size_t)(to - start) + name_columns;
    to = hot_put_name(to, group->name, name_columns);
    *(used <= columns ? to : start) = '\0';
    return used <= columns ? used : 0;
}

char *hot_groups(struct json *const *of, size_t count, size_t columns)
{
    struct list groups;
    read_list(of, count, NULL, NULL, &groups);
    char *text = groups.count > 0 ? malloc(4 * columns + 4 * GROUP_COLUMNS) : NULL;
    char *to = text ? stpcpy(text, "changes") : NULL;
    size_t left = columns - strlen("changes");
    for (size_t i = 0, used = 1; text && i < groups.count && used > 0; i++) {
        used = put_group(to, &groups.keys[i], left);
        left -= used;
        to += strlen(to);
    }
    if (text)
        end_line(text, to);
    free(groups.keys);
    return text;
}
