/* SPDX-License-Identifier: MIT */
/*
 * A bounded writer of text: what does not fit into the buffer is counted and left out. And names,
 * which may be any bytes, as text or JSON.
 *
 *     struct text w = text_into(buffer, size);
 *     text_add(&w, "%u values\n", n);
 *     ... w.needed: bytes without the final NUL, whether they fitted or not
 */
#ifndef NIGH_BASE_TEXT_H
#define NIGH_BASE_TEXT_H

#include <stdarg.h>

#include "base/bytes.h"

struct text {
    char *at;
    size_t room;   /* left at `at`; the text so far is ended with a NUL unless this was 0 */
    size_t needed;
};

/* `buffer` may be NULL: then the text is only counted. */
static inline struct text text_into(char *buffer, size_t size)
{
    return (struct text){buffer, buffer ? size : 0, 0};
}

/* The ending of a noun of which there are so many. */
static inline const char *plural(uint64_t n)
{
    return n == 1 ? "" : "s";
}

/* Print, whatever the host's locale. */
__attribute__((format(printf, 2, 3))) void text_add(struct text *w, const char *fmt, ...);
__attribute__((format(printf, 2, 0))) void text_add_args(struct text *w, const char *fmt,
                                                         va_list args);
/* Add bytes for people to read: controls, backslashes and what is no UTF-8 as \xNN. */
void text_add_name(struct text *w, struct bytes name);
/* Returns how many columns a text takes that text_add_name() has made: one for each character. */
size_t text_columns(const char *text);
/* Add bytes as a string of JSON (RFC 8259), quotes included: a byte that is no UTF-8 is taken for a
 * character of Latin-1. */
void text_add_json(struct text *w, struct bytes name);
/* Add bytes as the value of a label in Prometheus' text format, quotes included: what
 * text_add_name() would add, with its backslashes doubled. */
void text_add_label(struct text *w, struct bytes name);
/* Add a path, with the number of this process in the place of each {pid}. */
void text_add_path(struct text *w, const char *path);

#endif
