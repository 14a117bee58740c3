/* SPDX-License-Identifier: MIT */
/*
 * One line of an access log in the common or the combined format, of Apache, nginx and whoever
 * writes like them:
 *
 *     host ident user [10/Oct/2000:13:55:36 -0700] "GET /a?b=1 HTTP/1.1" 200 2326 "referer" "agent"
 *
 * A name in front, with or without a port, before a host and "-", is the site that was asked:
 *
 *     www.example.com:80 host - user [10/Oct/2000:13:55:36 -0700] ...
 *
 * (Apache's vhost_combined, nginx with $host first). It is no address: some write their proxy's or
 * their client's there, and each client were a site. No other text before the bracket, nor any
 * behind the size, is looked at. Any bytes may come: a log has what strangers send.
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
    struct text site; /* empty: none is named */
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
