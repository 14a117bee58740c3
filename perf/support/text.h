/* SPDX-License-Identifier: MIT */
/*
 * A piece of somebody else's text: never owned, not ended by NUL.
 */
#ifndef PERF_TEXT_H
#define PERF_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct text {
    const char *data;
    size_t len;
};

static inline struct text text_of(const char *s)
{
    return (struct text){s, strlen(s)};
}

static inline bool text_is(struct text t, const char *s)
{
    return t.len == strlen(s) && memcmp(t.data, s, t.len) == 0;
}

/* Cut what stands before the next `mark` off the front of *rest; false when nothing is left. */
static inline bool text_cut(struct text *rest, char mark, struct text *ret)
{
    if (rest->len == 0)
        return false;
    const char *end = memchr(rest->data, mark, rest->len);
    size_t len = end ? (size_t)(end - rest->data) : rest->len;
    *ret = (struct text){rest->data, len};
    len += end ? 1 : 0;
    rest->data += len;
    rest->len -= len;
    return true;
}

static inline struct text text_trim(struct text t)
{
    while (t.len && strchr(" \t\n\r", t.data[0])) {
        t.data++;
        t.len--;
    }
    while (t.len && strchr(" \t\n\r", t.data[t.len - 1]))
        t.len--;
    return t;
}

#endif
