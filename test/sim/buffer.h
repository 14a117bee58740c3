/* SPDX-License-Identifier: MIT */
/*
 * A growing buffer of bytes, and the RESP that is written into one.
 */
#ifndef NIGH_SIM_BUFFER_H
#define NIGH_SIM_BUFFER_H

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"

struct buffer {
    char *data;
    size_t len;
    size_t size;
};

static inline void buffer_reserve(struct buffer *b, size_t more)
{
    if (b->len + more <= b->size)
        return;
    b->size = 2 * (b->len + more) + 64;
    b->data = realloc(b->data, b->size);
    if (!b->data)
        abort();
}

static inline void buffer_add(struct buffer *b, const void *data, size_t len)
{
    buffer_reserve(b, len);
    if (len)
        memcpy(b->data + b->len, data, len);
    b->len += len;
}

static inline void buffer_drop(struct buffer *b, size_t len)
{
    memmove(b->data, b->data + len, b->len - len);
    b->len -= len;
}

static inline void buffer_free(struct buffer *b)
{
    free(b->data);
    *b = (struct buffer){0};
}

static inline struct bytes buffer_bytes(const struct buffer *b)
{
    return bytes_of(b->data, b->len);
}

/* ---- RESP ---- */

static inline void resp_head(struct buffer *b, char type, long long number)
{
    char text[32];
    int len = snprintf(text, sizeof(text), "%c%lld\r\n", type, number);
    buffer_add(b, text, (size_t)len);
}

static inline void resp_number(struct buffer *b, long long number)
{
    resp_head(b, ':', number);
}

static inline void resp_array(struct buffer *b, long long count)
{
    resp_head(b, '*', count);
}

static inline void resp_bulk(struct buffer *b, const void *data, size_t len)
{
    resp_head(b, '$', (long long)len);
    buffer_add(b, data, len);
    buffer_add(b, "\r\n", 2);
}

static inline void resp_text(struct buffer *b, const char *text)
{
    resp_bulk(b, text, strlen(text));
}

static inline void resp_nil(struct buffer *b)
{
    buffer_add(b, "$-1\r\n", 5);
}

static inline void resp_line(struct buffer *b, const char *line)
{
    buffer_add(b, line, strlen(line));
    buffer_add(b, "\r\n", 2);
}

#endif
