// SPDX-License-Identifier: MIT
/*
 * Reads the JSON of nigh_stats() into a list of paths and what is there: numbers and strings of
 * objects, up to four names deep. What lies in arrays is passed over.
 */
#include "tool/tool.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 32

struct item {
    const char *names[4]; /* NULL: no more */
    const char *text;     /* NULL: a number */
    double number;
};

struct json {
    char *copy; /* names and strings lie in it */
    struct item *items;
    size_t count, size;
};

struct reader {
    struct json *j;
    char *at;
    const char *path[DEPTH_MAX];
    int depth;
    int arrays;
};

static void skip_blanks(struct reader *r)
{
    r->at += strspn(r->at, " \t\r\n");
}

static bool take(struct reader *r, char c)
{
    skip_blanks(r);
    if (*r->at != c)
        return false;
    r->at++;
    return true;
}

/* Writes a character of \uXXXX as UTF-8. */
static char *put_character(char *to, unsigned c)
{
    if (c < 0x80) {
        *to++ = (char)c;
    } else if (c < 0x800) {
        *to++ = (char)(0xc0 | c >> 6);
        *to++ = (char)(0x80 | (c & 63));
    } else {
        *to++ = (char)(0xe0 | c >> 12);
        *to++ = (char)(0x80 | (c >> 6 & 63));
        *to++ = (char)(0x80 | (c & 63));
    }
    return to;
}

/* Reads a string in place. NULL: it is none. */
static const char *read_string(struct reader *r)
{
    if (!take(r, '"'))
        return NULL;
    char *start = r->at;
    char *to = start;
    for (; *r->at && *r->at != '"'; r->at++) {
        unsigned c;
        if (*r->at != '\\') {
            *to++ = *r->at;
        } else if (r->at[1] == 'u' && sscanf(r->at + 2, "%4x", &c) == 1 && strlen(r->at) > 5) {
            to = put_character(to, c);
            r->at += 5;
        } else if (*++r->at) {
            *to++ = *r->at == 'n' ? '\n' : *r->at == 't' ? '\t' : *r->at;
        } else {
            return NULL;
        }
    }
    if (*r->at != '"')
        return NULL;
    r->at++;
    *to = '\0';
    return start;
}

static bool add(struct reader *r, const char *text, double number)
{
    struct json *j = r->j;
    if (r->arrays > 0 || r->depth > 4)
        return true;
    if (j->count == j->size) {
        j->size = j->size ? 2 * j->size : 1024;
        struct item *items = realloc(j->items, j->size * sizeof(*items));
        if (!items)
            return false;
        j->items = items;
    }
    struct item item = {.text = text, .number = number};
    for (int i = 0; i < r->depth; i++)
        item.names[i] = r->path[i];
    j->items[j->count++] = item;
    return true;
}

static bool read_value(struct reader *r);

static bool read_object(struct reader *r)
{
    if (take(r, '}'))
        return true;
    if (r->depth == DEPTH_MAX)
        return false;
    r->depth++;
    do {
        r->path[r->depth - 1] = read_string(r);
        if (!r->path[r->depth - 1] || !take(r, ':') || !read_value(r))
            return false;
    } while (take(r, ','));
    r->depth--;
    return take(r, '}');
}

static bool read_array(struct reader *r)
{
    if (take(r, ']'))
        return true;
    if (++r->arrays > DEPTH_MAX)
        return false;
    do {
        if (!read_value(r))
            return false;
    } while (take(r, ','));
    r->arrays--;
    return take(r, ']');
}

static bool read_word(struct reader *r)
{
    static const char *const words[] = {"true", "false", "null"};
    for (size_t i = 0; i < 3; i++) {
        if (strncmp(r->at, words[i], strlen(words[i])) == 0) {
            r->at += strlen(words[i]);
            return add(r, NULL, i == 0);
        }
    }
    char *end;
    double number = strtod(r->at, &end);
    bool right = end != r->at;
    r->at = end;
    return right && add(r, NULL, number);
}

static bool read_value(struct reader *r)
{
    skip_blanks(r);
    if (*r->at == '"') {
        const char *text = read_string(r);
        return text && add(r, text, 0);
    }
    if (take(r, '{'))
        return read_object(r);
    return take(r, '[') ? read_array(r) : read_word(r);
}

struct json *json_read(const char *text)
{
    struct json *j = calloc(1, sizeof(*j));
    if (!j)
        return NULL;
    j->copy = strdup(text);
    struct reader r = {.j = j, .at = j->copy};
    if (j->copy && read_value(&r))
        return j;
    json_free(j);
    return NULL;
}

void json_free(struct json *j)
{
    if (!j)
        return;
    free(j->copy);
    free(j->items);
    free(j);
}

static bool same(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

static const struct item *find(const struct json *j, const char *const path[4])
{
    for (size_t i = 0; i < j->count; i++) {
        const char *const *names = j->items[i].names;
        if (same(names[0], path[0]) && same(names[1], path[1]) && same(names[2], path[2]) &&
            same(names[3], path[3]))
            return &j->items[i];
    }
    return NULL;
}

double json_number(const struct json *j, const char *a, const char *b, const char *c)
{
    const struct item *item = find(j, (const char *const[4]){a, b, c, NULL});
    return item ? item->number : 0;
}

double json_histogram(const struct json *j, const char *space, const char *name,
                      const char *quantile)
{
    const struct item *item = find(j, (const char *const[4]){"spaces", space, name, quantile});
    return item ? item->number : 0;
}

const char *json_string(const struct json *j, const char *a, const char *b, const char *c)
{
    const struct item *item = find(j, (const char *const[4]){a, b, c, NULL});
    return item ? item->text : NULL;
}

const char *json_name(const struct json *j, const char *a, size_t i)
{
    const char *last = NULL;
    for (size_t k = 0; k < j->count; k++) {
        const char *const *names = j->items[k].names;
        if (!same(names[0], a) || !names[1] || (last && strcmp(last, names[1]) == 0))
            continue;
        last = names[1];
        if (i-- == 0)
            return last;
    }
    return NULL;
}
