/* SPDX-License-Identifier: MIT */
/*
 * explain.h - what nigh_explain() says of a key, asked for parts of it.
 */
#ifndef NIGH_TEST_EXPLAIN_H
#define NIGH_TEST_EXPLAIN_H

#include <stdio.h>
#include <string.h>

#include <nigh/nigh.h>

#include "support/check.h"

#define EXPLAIN_BYTES 16384

static inline const char *explain_of(struct nigh_space *space, const char *key,
                                     enum nigh_stats_format format)
{
    static _Thread_local char buffer[EXPLAIN_BYTES];
    long len = nigh_explain(space, key, strlen(key), format, buffer, sizeof(buffer));
    if (!CHECK(len > 0 && len < EXPLAIN_BYTES && (size_t)len == strlen(buffer)))
        buffer[0] = 0;
    return buffer;
}

/* Whether the JSON has this field as this string. */
static inline bool explain_has(struct nigh_space *space, const char *key, const char *field,
                               const char *value)
{
    char part[128];
    snprintf(part, sizeof(part), "\"%s\": \"%s\"", field, value);
    return strstr(explain_of(space, key, NIGH_STATS_JSON), part);
}

/* Whether the reason is this row, and the sentence has these words. */
static inline bool explain_is(struct nigh_space *space, const char *key, const char *reason,
                              const char *words)
{
    bool is = explain_has(space, key, "reason", reason);
    const char *why = strstr(explain_of(space, key, NIGH_STATS_JSON), "\"why\": ");
    bool says = why && strstr(why, words) && strstr(why, words) < strstr(why, "\"reason\"");
    if (!is || !says)
        check_note("%s", explain_of(space, key, NIGH_STATS_TEXT));
    return is && says;
}

/* Whether the text, its lines joined, has these words. */
static inline bool explain_says(struct nigh_space *space, const char *key, const char *words)
{
    char joined[EXPLAIN_BYTES];
    const char *text = explain_of(space, key, NIGH_STATS_TEXT);
    size_t len = 0;
    for (const char *at = text; *at; at++) {
        bool goes_on = *at == '\n' && at[1] == ' ';
        joined[len++] = goes_on ? ' ' : *at;
        at += goes_on ? strspn(at + 1, " ") : 0;
    }
    joined[len] = '\0';
    bool says = strstr(joined, words);
    if (!says)
        check_note("%s", text);
    return says;
}

#define CHECK_REASON(space, key, reason, words) CHECK(explain_is(space, key, reason, words))
#define CHECK_WHERE(space, key, where)                                                             \
    __extension__({                                                                                \
        bool is_ = explain_has(space, key, "redis", where);                                        \
        if (!CHECK(is_))                                                                           \
            check_note("%s", explain_of(space, key, NIGH_STATS_TEXT));                             \
        is_;                                                                                       \
    })

#endif
