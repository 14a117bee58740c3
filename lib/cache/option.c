// SPDX-License-Identifier: MIT
/*
 * A value of an option: numbers with units, words, strings; what is wrong with it, and its range.
 */
#include "cache/option.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- a value as text ---- */

static void format_number(const struct option *o, uint64_t n, char *text, size_t size)
{
    if (o->unit == UNIT_BYTES && n >= (1u << 20) && n % (1u << 20) == 0)
        snprintf(text, size, "%" PRIu64 "MiB", n >> 20);
    else if (o->unit == UNIT_MS && n >= OPTION_DAY_MS && n % OPTION_DAY_MS == 0)
        snprintf(text, size, "%" PRIu64 "d", n / OPTION_DAY_MS);
    else if (o->unit == UNIT_MS && n >= 1000 && n % 1000 == 0)
        snprintf(text, size, "%" PRIu64 "s", n / 1000);
    else if (o->unit == UNIT_MS)
        snprintf(text, size, "%" PRIu64 "ms", n);
    else
        snprintf(text, size, "%" PRIu64 "%s", n, o->unit == UNIT_PERCENT ? "%" : "");
}

void option_default_text(const struct option *o, char *text, size_t size)
{
    if (o->type == OPTION_WORD) {
        const char *w = o->words;
        for (uint64_t place = 1; place < o->otherwise; place++)
            w += strcspn(w, ",") + 1;
        snprintf(text, size, "%.*s", (int)strcspn(w, ","), w);
    } else if (o->otherwise == 0) {
        snprintf(text, size, "-");
    } else {
        format_number(o, o->otherwise, text, size);
    }
}

void option_range_text(const struct option *o, char *text, size_t size)
{
    char low[24];
    char high[24];
    if (o->type == OPTION_STRING || o->type == OPTION_WORD) {
        snprintf(text, size, "%s", o->words ? o->words : "text");
        return;
    }
    format_number(o, o->min, low, sizeof(low));
    format_number(o, o->max, high, sizeof(high));
    if (o->max == OPTION_BYTES_MAX)
        snprintf(text, size, "%s ..", low);
    else
        snprintf(text, size, "%s .. %s%s", low, high,
                 o->type == OPTION_U32_OR_NONE ? ", none" : "");
}

/* ---- reading a value ---- */

struct scale {
    const char *suffix;
    uint64_t factor;
};

static const struct scale byte_scales[] = {
    {"", 1},          {"b", 1},          {"k", 1u << 10},  {"kib", 1u << 10},     {"m", 1u << 20},
    {"mib", 1u << 20}, {"g", 1u << 30}, {"gib", 1u << 30}, {"t", 1ull << 40}, {"tib", 1ull << 40},
};
static const struct scale ms_scales[] = {
    {"", 1},        {"ms", 1},      {"s", 1000},          {"m", 60000},
    {"min", 60000}, {"h", 3600000}, {"d", OPTION_DAY_MS},
};
static const struct scale plain_scales[] = {{"", 1}, {"%", 1}};

static bool find_scale(enum option_unit unit, const char *suffix, uint64_t *ret)
{
    const struct scale *scales = unit == UNIT_BYTES ? byte_scales
                                 : unit == UNIT_MS  ? ms_scales
                                                    : plain_scales;
    size_t count = unit == UNIT_BYTES ? ARRAY_COUNT(byte_scales)
                   : unit == UNIT_MS  ? ARRAY_COUNT(ms_scales)
                                      : ARRAY_COUNT(plain_scales);
    for (size_t i = 0; i < count; i++) {
        if (strcasecmp(scales[i].suffix, suffix) == 0) {
            *ret = scales[i].factor;
            return true;
        }
    }
    return false;
}

static int wrong_word(const struct option *o, const char *value)
{
    return error_note(NIGH_EOPTION, "%s=%.60s: one of %s", o->name, value, o->words);
}

static int wrong_syntax(const struct option *o, const char *value)
{
    static const char *const wanted[] = {
        [UNIT_NONE] = "a number",
        [UNIT_BYTES] = "bytes, in units of k, m, g, t or KiB, MiB, GiB, TiB",
        [UNIT_MS] = "a time, in units of ms, s, m, h, d",
        [UNIT_PERCENT] = "a number of percent",
    };
    return error_note(NIGH_EOPTION, "%s=%.60s: %s is wanted%s", o->name, value, wanted[o->unit],
                      o->type == OPTION_U32_OR_NONE ? ", or none" : "");
}

int option_out_of_range(const struct option *o, const char *value)
{
    char range[64];
    option_range_text(o, range, sizeof(range));
    return error_note(NIGH_EOPTION, "%s=%.60s: out of range, which is %s", o->name, value, range);
}

static int parse_number(const struct option *o, const char *text, uint64_t *ret)
{
    char *end;
    uint64_t factor;
    if (strcasecmp(text, "none") == 0 && o->type == OPTION_U32_OR_NONE) {
        *ret = NIGH_NONE;
        return 0;
    }
    if (text[0] < '0' || text[0] > '9')
        return wrong_syntax(o, text);
    uint64_t value = strtoull(text, &end, 10); /* UINT64_MAX when it is larger: out of range */
    if (!find_scale(o->unit, end, &factor))
        return wrong_syntax(o, text);
    if (value > o->max / factor || value * factor < o->min)
        return option_out_of_range(o, text);
    *ret = value * factor;
    return 0;
}

/* 1-based place of the word in the option's list; 0: none of them. */
static unsigned parse_word(const struct option *o, const char *text)
{
    size_t len = strlen(text);
    unsigned place = 1;
    for (const char *w = o->words; w; place++) {
        size_t w_len = strcspn(w, ",");
        if (len == w_len && strncmp(w, text, len) == 0)
            return place;
        w = w[w_len] ? w + w_len + 1 : NULL;
    }
    return 0;
}

/* Strings set by name outlive every options struct: kept for the life of the process, each once. */
static const char *keep_string(const char *text)
{
    struct kept {
        struct kept *next;
        char text[];
    };
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static struct kept *first;
    pthread_mutex_lock(&lock);
    struct kept *k = first;
    while (k && strcmp(k->text, text) != 0)
        k = k->next;
    if (!k && (k = malloc(sizeof(*k) + strlen(text) + 1))) {
        memcpy(k->text, text, strlen(text) + 1);
        k->next = first;
        first = k;
    }
    pthread_mutex_unlock(&lock);
    return k ? k->text : NULL;
}

int option_set(const struct option *o, struct nigh_options *s, const char *value)
{
    void *field = option_field(o, s);
    uint64_t number = 0; /* for compilers that do not see parse_number() through */
    unsigned place;
    int rc;
    switch (o->type) {
    case OPTION_STRING:
        *(const char **)field = keep_string(value);
        return *(const char **)field ? 0 : NIGH_ENOMEM;
    case OPTION_WORD:
        place = parse_word(o, value);
        if (place == 0)
            return wrong_word(o, value);
        memcpy(field, &place, sizeof(place)); /* every such enum is an unsigned int */
        return 0;
    default:
        rc = parse_number(o, value, &number);
        if (rc != 0)
            return rc;
        if (o->type == OPTION_U64)
            *(uint64_t *)field = number;
        else
            *(uint32_t *)field = (uint32_t)number;
        return 0;
    }
}
