// SPDX-License-Identifier: MIT
/*
 * A value of an option: numbers with units, words, strings; what is wrong with it, and its range.
 */
#include "cache/option.h"

#include <inttypes.h>
#include <stdatomic.h>
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
    else if (o->unit == UNIT_US)
        snprintf(text, size, "%" PRIu64 "%s", n % 1000 ? n : n / 1000, n % 1000 ? "us" : "ms");
    else
        snprintf(text, size, "%" PRIu64 "%s", n, o->unit == UNIT_PERCENT ? "%" : "");
}

static void format(const struct option *o, uint64_t value, char *text, size_t size)
{
    if (value == 0) {
        snprintf(text, size, "%s", option_may_be_none(o) ? "none" : "-");
    } else if (o->type == OPTION_WORD) {
        const char *w = o->words;
        for (uint64_t place = 1; place < value; place++)
            w += strcspn(w, ",") + 1;
        snprintf(text, size, "%.*s", (int)strcspn(w, ","), w);
    } else if (option_may_be_none(o) && value == option_none(o)) {
        snprintf(text, size, "none");
    } else {
        format_number(o, value, text, size);
    }
}

void option_default_text(const struct option *o, char *text, size_t size)
{
    format(o, o->otherwise, text, size);
}

/* Says what holds where nothing was said, as the table does. */
static void show_unsaid(const struct option *o, struct text *w)
{
    const char *said = strstr(o->why, OPTION_BY_DEFAULT);
    size_t len = said ? strcspn(said, ";") : 0;
    if (said && strcmp(said, OPTION_BY_DEFAULT "none") != 0)
        text_add(w, "%.*s", (int)len, said);
    else
        text_add(w, o->type == OPTION_STRING || said ? "none" : "0");
}

void option_show(const struct option *o, const struct nigh_options *s, struct text *w)
{
    const void *field = (const char *)s + o->offset;
    uint64_t value = 0;
    char text[64];
    if (o->type == OPTION_STRING) {
        const char *string = *(const char *const *)field;
        if (string && *string)
            text_add(w, "%s", string);
        else
            show_unsaid(o, w);
        return;
    }
    memcpy(&value, field, option_is_64(o) ? sizeof(uint64_t) : sizeof(uint32_t));
    value = value ? value : o->otherwise;
    if (value == 0 && !option_may_be_none(o)) {
        show_unsaid(o, w);
        return;
    }
    format(o, value, text, sizeof(text));
    text_add(w, "%s", text);
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
    bool endless = o->max == OPTION_BYTES_MAX;
    snprintf(text, size, "%s ..%s%s%s", low, endless ? "" : " ", endless ? "" : high,
             option_may_be_none(o) ? ", none" : "");
}

/* ---- reading a value ---- */

struct scale {
    const char *suffix;
    uint64_t factor;
};

/* The units of a number, up to the one without a suffix. A time has no bare form: "60" was meant as
 * seconds by its writer and read as milliseconds. A bare size means bytes everywhere. */
static const struct scale byte_scales[] = {
    {"b", 1},          {"k", 1u << 10},  {"kib", 1u << 10}, {"m", 1u << 20},   {"mib", 1u << 20},
    {"g", 1u << 30},   {"gib", 1u << 30}, {"t", 1ull << 40}, {"tib", 1ull << 40}, {"", 1},
};
static const struct scale ms_scales[] = {
    {"ms", 1},      {"s", 1000},    {"m", 60000},
    {"min", 60000}, {"h", 3600000}, {"d", OPTION_DAY_MS},
};
static const struct scale us_scales[] = {{"us", 1}, {"ms", 1000}, {"s", 1000000}};
static const struct scale percent_scales[] = {{"%", 1}, {"", 1}};
static const struct scale plain_scales[] = {{"", 1}};

static const struct {
    const struct scale *scales;
    size_t count;
    const char *wanted;
} units[] = {
    [UNIT_NONE] = {plain_scales, ARRAY_COUNT(plain_scales), "a whole number is wanted"},
    [UNIT_BYTES] = {byte_scales, ARRAY_COUNT(byte_scales),
                    "bytes are wanted, in units of k, m, g, t or KiB, MiB, GiB, TiB"},
    [UNIT_MS] = {ms_scales, ARRAY_COUNT(ms_scales),
                 "a time is wanted, in units of ms, s, m, h, d"},
    [UNIT_US] = {us_scales, ARRAY_COUNT(us_scales), "a time is wanted, in units of us, ms, s"},
    [UNIT_PERCENT] = {percent_scales, ARRAY_COUNT(percent_scales),
                      "a whole number of percent is wanted"},
};

static bool find_scale(enum option_unit unit, const char *suffix, size_t len, uint64_t *ret)
{
    for (size_t i = 0; i < units[unit].count; i++) {
        const struct scale *scale = &units[unit].scales[i];
        if (strlen(scale->suffix) == len && strncasecmp(scale->suffix, suffix, len) == 0) {
            *ret = scale->factor;
            return true;
        }
    }
    return false;
}

static int wrong_word(const struct option *o, const char *value)
{
    return error_note(NIGH_EOPTION, "%s=%.60s: one of %s", o->name, value, o->words);
}

static bool is_time(const struct option *o)
{
    return o->unit == UNIT_MS || o->unit == UNIT_US;
}

/* "60": 60 of what? */
static int no_unit(const struct option *o, const char *value, const char *digits, size_t len)
{
    int n = (int)(len < 20 ? len : 20);
    bool zero = strspn(digits, "0") >= len;
    const char *smaller = o->unit == UNIT_US ? "us" : "ms";
    const char *larger = o->unit == UNIT_US ? "ms" : "s";
    if (zero && option_may_be_none(o))
        return error_note(NIGH_EOPTION, "%s=%.60s: a time needs its unit; no time at all is none",
                          o->name, value);
    return error_note(NIGH_EOPTION, "%s=%.60s: a time needs its unit: %.*s%s or %.*s%s", o->name,
                      value, n, digits, smaller, n, digits, larger);
}

/* Explains why something that people write elsewhere is not read here; "" for anything else. */
static const char *hint(const struct option *o, const char *rest)
{
    static const char *const decimal[] = {"kb", "mb", "gb", "tb"};
    if (o->unit != UNIT_BYTES && !is_time(o))
        return "";
    if (rest[0] == '.')
        return "; without a fraction, in a smaller unit";
    if (rest[strcspn(rest, "0123456789")] != '\0')
        return "; one number and one unit";
    for (size_t i = 0; i < ARRAY_COUNT(decimal) && o->unit == UNIT_BYTES; i++)
        if (strncasecmp(rest, decimal[i], 2) == 0)
            return " (which of 1000 and 1024 is meant?)";
    return "";
}

static int wrong_syntax(const struct option *o, const char *value, const char *rest)
{
    const char *word = option_may_be_none(o)   ? ", or none"
                       : option_has_default(o) ? ", or default"
                                               : "";
    return error_note(NIGH_EOPTION, "%s=%.60s: %s%s%s", o->name, value, units[o->unit].wanted, word,
                      hint(o, rest));
}

int option_out_of_range(const struct option *o, const char *value)
{
    char range[64];
    option_range_text(o, range, sizeof(range));
    size_t digits = strspn(value, "0123456789");
    bool bare_bytes = o->unit == UNIT_BYTES && digits > 0 && value[digits] == '\0';
    return error_note(NIGH_EOPTION, "%s=%.60s%s: out of range, which is %s", o->name, value,
                      bare_bytes ? " (bytes)" : "", range);
}

size_t option_trimmed(const char *text)
{
    size_t len = strlen(text);
    while (len > 0 && strchr(OPTION_BLANKS, text[len - 1]))
        len--;
    return len;
}

static bool is_word(const char *text, size_t len, const char *word)
{
    return len == strlen(word) && strncasecmp(text, word, len) == 0;
}

/* Blanks around the number, and between it and its unit, mislead nobody. */
static int parse_number(const struct option *o, const char *value, uint64_t *ret)
{
    const char *text = value + strspn(value, OPTION_BLANKS);
    size_t digits = strspn(text, "0123456789");
    const char *unit = text + digits + strspn(text + digits, OPTION_BLANKS);
    size_t unit_len = option_trimmed(unit);
    uint64_t factor;
    if (option_may_be_none(o) && is_word(text, option_trimmed(text), "none")) {
        *ret = option_none(o);
        return 0;
    }
    if (option_has_default(o) && is_word(text, option_trimmed(text), "default")) {
        *ret = 0;
        return 0;
    }
    if (digits > 0 && unit_len == 0 && is_time(o))
        return no_unit(o, value, text, digits);
    if (digits == 0 || !find_scale(o->unit, unit, unit_len, &factor))
        return wrong_syntax(o, value, unit);
    uint64_t number = strtoull(text, NULL, 10); /* UINT64_MAX when it is larger: out of range */
    if (number == 0 && o->type == OPTION_U64_OR_NONE) { /* no cap, as some write it */
        *ret = option_none(o);
        return 0;
    }
    if (number > o->max / factor || number * factor < o->min)
        return option_out_of_range(o, value);
    *ret = number * factor;
    return 0;
}

/* Returns the 1-based place of the word in the option's list; 0: it is none of them. */
static unsigned parse_word(const struct option *o, const char *value)
{
    const char *text = value + strspn(value, OPTION_BLANKS);
    size_t len = option_trimmed(text);
    unsigned place = 1;
    for (const char *w = o->words; w; place++) {
        size_t w_len = strcspn(w, ",");
        if (len == w_len && strncmp(w, text, len) == 0)
            return place;
        w = w[w_len] ? w + w_len + 1 : NULL;
    }
    return 0;
}

/* Keeps a string for the life of the process: set by name, it outlives every options struct. Each
 * is kept once, or by two threads at the same moment twice: a lock might be held at a fork, and the
 * child opens a cache of its own. */
static const char *keep_string(const char *text)
{
    struct kept {
        struct kept *next;
        char text[];
    };
    static _Atomic(struct kept *) first;
    /* pair(option.kept): the string is whole */
    struct kept *before = atomic_load_explicit(&first, memory_order_acquire);
    for (const struct kept *k = before; k; k = k->next)
        if (strcmp(k->text, text) == 0)
            return k->text;
    struct kept *k = malloc(sizeof(*k) + strlen(text) + 1);
    if (!k)
        return NULL;
    memcpy(k->text, text, strlen(text) + 1);
    do
        k->next = before;
    while (!atomic_compare_exchange_weak_explicit(&first, &before, k,
                                                  memory_order_release, /* pair(option.kept) */
                                                  memory_order_relaxed));
    return k->text;
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
        if (option_is_64(o))
            *(uint64_t *)field = number;
        else
            *(uint32_t *)field = (uint32_t)number;
        return 0;
    }
}
