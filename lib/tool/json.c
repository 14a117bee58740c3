// SPDX-License-Identifier: MIT
/*
 * Reads the JSON of nigh_stats() and nigh_hot() into a list of paths and what is there: numbers and
 * strings of objects, up to four names deep. Those of objects in an array have all the same path,
 * in their order. Of arrays in an array, as the buckets of a histogram, the text is kept.
 *
 * A path is looked up by halves in a list that is sorted by it: a process with many spaces tells
 * thousands of numbers, and `nigh top` asks for most of them, of all processes, each second.
 */
#include "tool/tool.h"

#include <ctype.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 32

struct item {
    const char *names[4]; /* NULL: no more */
    const char *text;     /* NULL: a number, or: */
    const char *array;    /* what follows the bracket of an array */
    double number;
};

struct json {
    char *copy; /* names and strings lie in it */
    struct item *items;
    const struct item **sorted; /* by their paths, those of one path in their order */
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

/* Writes a character of \uXXXX as UTF-8. One that is 0 would end the string, and make keys alike
 * that are not: it becomes what it is shown as. */
static char *put_character(char *to, unsigned c)
{
    c = c ? c : '?';
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

/* Reads four hexadecimal digits. */
static bool read_hex(const char *at, unsigned *ret)
{
    unsigned c = 0;
    for (int i = 0; i < 4; i++, at++) {
        if (!isxdigit((unsigned char)*at))
            return false;
        c = 16 * c + (unsigned)(isdigit((unsigned char)*at) ? *at - '0' : (*at | 32) - 'a' + 10);
    }
    *ret = c;
    return true;
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
        } else if (r->at[1] == 'u' && read_hex(r->at + 2, &c)) {
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

static bool add(struct reader *r, struct item item)
{
    struct json *j = r->j;
    if (r->arrays > 1 || r->depth > 4)
        return true;
    if (j->count == j->size) {
        j->size = j->size ? 2 * j->size : 1024;
        struct item *items = realloc(j->items, j->size * sizeof(*items));
        if (!items)
            return false;
        j->items = items;
    }
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
            return add(r, (struct item){.number = i == 0});
        }
    }
    char *end;
    double number = strtod(r->at, &end);
    bool right = end != r->at;
    r->at = end;
    return right && add(r, (struct item){.number = number});
}

static bool read_value(struct reader *r)
{
    skip_blanks(r);
    if (*r->at == '"') {
        const char *text = read_string(r);
        return text && add(r, (struct item){.text = text});
    }
    if (take(r, '{'))
        return read_object(r);
    if (take(r, '['))
        return add(r, (struct item){.array = r->at}) && read_array(r);
    return read_word(r);
}

/* ---- looking up ---- */

static int compare_names(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) : (a != NULL) - (b != NULL);
}

static int compare_paths(const char *const a[4], const char *const b[4])
{
    int order = 0;
    for (int i = 0; i < 4 && order == 0; i++)
        order = compare_names(a[i], b[i]);
    return order;
}

static int compare_items(const void *a, const void *b)
{
    const struct item *x = *(const struct item *const *)a, *y = *(const struct item *const *)b;
    int order = compare_paths(x->names, y->names);
    return order ? order : (x > y) - (x < y);
}

static bool sort(struct json *j)
{
    j->sorted = calloc(j->count + 1, sizeof(const struct item *));
    if (!j->sorted)
        return false;
    for (size_t i = 0; i < j->count; i++)
        j->sorted[i] = &j->items[i];
    qsort(j->sorted, j->count, sizeof(const struct item *), compare_items);
    return true;
}

struct json *json_read(const char *text)
{
    struct json *j = calloc(1, sizeof(*j));
    if (!j)
        return NULL;
    j->copy = strdup(text);
    struct reader r = {.j = j, .at = j->copy};
    if (j->copy && read_value(&r) && sort(j))
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
    free(j->sorted);
    free(j);
}

static bool same(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

/* Finds the i-th at a path. NULL: there are not so many. */
static const struct item *find_at(const struct json *j, const char *const path[4], size_t i)
{
    size_t first = 0;
    for (size_t end = j->count; first < end;) {
        size_t middle = first + (end - first) / 2;
        if (compare_paths(j->sorted[middle]->names, path) < 0)
            first = middle + 1;
        else
            end = middle;
    }
    bool there = i < j->count - first && compare_paths(j->sorted[first + i]->names, path) == 0;
    return there ? j->sorted[first + i] : NULL;
}

static const struct item *find(const struct json *j, const char *a, const char *b, const char *c)
{
    return find_at(j, (const char *const[4]){a, b, c, NULL}, 0);
}

double json_number(const struct json *j, const char *a, const char *b, const char *c)
{
    const struct item *item = find(j, a, b, c);
    return item ? item->number : 0;
}

double json_sum(const struct json *j, const char *a, const char *name)
{
    double sum = 0;
    for (size_t i = 0; i < j->count; i++) {
        const char *const *names = j->items[i].names;
        bool wanted = same(names[0], a) && names[1] && same(names[2], name) && !names[3];
        sum += wanted ? j->items[i].number : 0;
    }
    return sum;
}

const char *json_string(const struct json *j, const char *a, const char *b, const char *c)
{
    const struct item *item = find(j, a, b, c);
    return item ? item->text : NULL;
}

const char *json_element(const struct json *j, const char *a, size_t i)
{
    const struct item *item = find_at(j, (const char *const[4]){a}, i + 1); /* behind its array */
    return item ? item->text : NULL;
}

bool json_hot(const struct json *j, const char *space, const char *list, size_t i,
              struct json_hot *ret)
{
    const char *const of_space[4] = {"spaces", space, list};
    const char *const of_groups[4] = {"groups"};
    static const char *const fields[] = {"key", "rate", "error", "name", "kind"};
    const struct item *found[5];
    for (size_t k = 0; k < 5; k++) {
        const char *path[4] = {NULL};
        memcpy(path, space ? of_space : of_groups, sizeof(path));
        path[space ? 3 : 1] = fields[k];
        found[k] = find_at(j, path, i);
    }
    const struct item *name = space ? found[0] : found[3];
    const char *kind = found[4] ? found[4]->text : "";
    if (!name || !name->text || !kind || !found[1] || !found[2])
        return false;
    *ret = (struct json_hot){.name = name->text, .rate = found[1]->number,
                             .error = found[2]->number, .kind = kind};
    return true;
}

struct json_hot_whole json_hot_whole(const struct json *j, const char *space, const char *list)
{
    const struct item *rate = find_at(j, (const char *const[4]){"spaces", space, "rates", list}, 0);
    const struct item *share =
        find_at(j, (const char *const[4]){"spaces", space, "shares", list}, 0);
    bool told = rate && share && rate->number > 0 && share->number > 0 && share->number < 1;
    return (struct json_hot_whole){told ? rate->number : 0, told ? share->number : 1};
}

/* ---- histograms ---- */

struct bucket {
    uint64_t edge_ns, count;
};

/* Reads the next of "[edge, count], ...". Returns what follows; NULL: there is none. */
static const char *read_bucket(const char *at, struct bucket *ret)
{
    char *end;
    at = at ? at + strspn(at, " ,") : "";
    if (*at != '[')
        return NULL;
    ret->edge_ns = strtoull(at + 1, &end, 10);
    ret->count = strtoull(end + strspn(end, " ,"), &end, 10);
    return *end == ']' ? end + 1 : NULL;
}

/* Returns how many a histogram had of a bucket; its buckets are in order, and so are the calls. */
static uint64_t count_before(const char **before, uint64_t edge_ns)
{
    struct bucket b;
    for (const char *next; (next = read_bucket(*before, &b)) && b.edge_ns <= edge_ns;) {
        *before = next;
        if (b.edge_ns == edge_ns)
            return b.count;
    }
    return 0;
}

/* Sums what has come since, up to a number; all: UINT64_MAX. Returns the edge that was reached. */
static uint64_t sum_since(const char *before, const char *now, uint64_t most, uint64_t *ret_sum)
{
    struct bucket b = {0, 0};
    *ret_sum = 0;
    while (*ret_sum < most && (now = read_bucket(now, &b))) {
        uint64_t had = count_before(&before, b.edge_ns);
        if (had > b.count)
            break; /* another process */
        *ret_sum += b.count - had;
    }
    return b.edge_ns;
}

static const char *buckets_of(const struct json *j, const char *space, const char *name)
{
    const struct item *item =
        space ? find_at(j, (const char *const[4]){"spaces", space, name, "buckets"}, 0)
              : find(j, "cache", name, "buckets");
    return item ? item->array : NULL;
}

double json_quantile_since(const struct json *before, const struct json *now, const char *space,
                           const char *name, double share)
{
    const char *had = buckets_of(before, space, name);
    const char *has = buckets_of(now, space, name);
    uint64_t all, sum;
    sum_since(had, has, UINT64_MAX, &all);
    uint64_t rank = (uint64_t)((double)all * share);
    return all > 0 ? (double)sum_since(had, has, rank + (rank < all), &sum) : 0;
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
