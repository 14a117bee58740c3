/* SPDX-License-Identifier: MIT */
/*
 * An option: its row in the table of options.c, and its value from text and as text.
 */
#ifndef NIGH_CACHE_OPTION_H
#define NIGH_CACHE_OPTION_H

#include <string.h>

#include <nigh/options.h>

#include "base/base.h"

enum option_type {
    OPTION_U32,
    OPTION_U32_OR_NONE,
    OPTION_U64,
    OPTION_U64_OR_NONE,
    OPTION_STRING,
    OPTION_WORD
};
enum option_unit { UNIT_NONE, UNIT_BYTES, UNIT_MS, UNIT_US, UNIT_PERCENT };

struct option {
    const char *name;
    enum option_type type;
    size_t offset;
    bool live;             /* nigh_set() may change it while the cache is open */
    enum option_unit unit;
    uint64_t min, max;     /* bounds of a number that is given */
    uint64_t otherwise;    /* default; 0: explained in `why` */
    const char *words;     /* OPTION_WORD: "first,second" for 1, 2 */
    const char *why;
};

#define OPTION_DAY_MS (24u * 3600 * 1000)
#define OPTION_BY_DEFAULT "by default " /* in `why`, before what an explained default is */
#define OPTION_BLANKS " \t\r\n"
#define OPTION_BYTES_MAX (1ull << 46) /* as good as none: its range is printed without an end */

static inline bool option_is_64(const struct option *o)
{
    return o->type == OPTION_U64 || o->type == OPTION_U64_OR_NONE;
}

static inline bool option_may_be_none(const struct option *o)
{
    return o->type == OPTION_U32_OR_NONE || o->type == OPTION_U64_OR_NONE;
}

/* Whether a number may be given as the word "default": it has one, which is not a number. */
static inline bool option_has_default(const struct option *o)
{
    return o->otherwise == 0 && !option_may_be_none(o) && strstr(o->why, OPTION_BY_DEFAULT);
}

/* Returns how the option's field holds "none". */
static inline uint64_t option_none(const struct option *o)
{
    return option_is_64(o) ? NIGH_UNCAPPED : NIGH_NONE;
}

static inline void *option_field(const struct option *o, struct nigh_options *s)
{
    return (char *)s + o->offset;
}

/* Read `text` into its field. Errors, explained by error_note(): NIGH_EOPTION; NIGH_ENOMEM. */
int option_set(const struct option *o, struct nigh_options *s, const char *text);
/* Returns NIGH_EOPTION, explained: the value `text` is out of the option's range. */
int option_out_of_range(const struct option *o, const char *text);

/* Returns the length of a text without the blanks at its end. */
size_t option_trimmed(const char *text);

/* Show its value, whole. Where nothing was said: what that means, as the table has it ("by default
 * the system's"), or "none". */
void option_show(const struct option *o, const struct nigh_options *s, struct text *w);

/* Write default and range for the printed table: 24 and 64 bytes are enough. */
void option_default_text(const struct option *o, char *text, size_t size);
void option_range_text(const struct option *o, char *text, size_t size);

#endif
