/* SPDX-License-Identifier: MIT */
/*
 * One line of an access log in the common or the combined format, of Apache, nginx and whoever
 * writes like them:
 *
 *     host ident user [10/Oct/2000:13:55:36 -0700] "GET /a?b=1 HTTP/1.1" 200 2326 "referer" "agent"
 *
 * Text before the bracket and behind the size is not looked at, so that a virtual host in
 * front or times behind do no harm. Any bytes may come: a log has what strangers send.
 */
#ifndef PERF_INPUT_LOG_LINE_H
#define PERF_INPUT_LOG_LINE_H

#include <stdint.h>

#include "support/text.h"

enum log_verdict {
    LOG_REQUEST, /* a GET, answered with 200 or 304: a cache would have been asked for it */
    LOG_OTHER,   /* another request */
    LOG_GARBAGE, /* no line of such a log */
};

struct log_line {
    struct text method;
    struct text target; /* path and query */
    unsigned status;
    uint64_t bytes;
    bool has_bytes; /* "-" says nothing about the size, nor does a 304 */
    bool has_time;
    int64_t time_s; /* since 1970 */
};

/* `line` without its newline. Garbage leaves *ret undefined. */
enum log_verdict log_line_parse(struct text line, struct log_line *ret);

#endif
