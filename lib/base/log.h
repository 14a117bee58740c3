/* SPDX-License-Identifier: MIT */
/*
 * The way out for messages: a callback of the host, or nothing.
 *
 * nigh logs state changes, never requests, and never what it also returns. Each call site is
 * limited to one message a second; what was held back is counted in the next one.
 */
#ifndef NIGH_BASE_LOG_H
#define NIGH_BASE_LOG_H

#include <stdatomic.h>
#include <stdint.h>

#include <nigh/options.h> /* nigh_log_fn, enum nigh_log_level */

#include "base/clock.h"

/* Keys: (c) constant after init. */
struct log {
    nigh_log_fn fn;            /* (c) NULL: silence */
    void *arg;                 /* (c) */
    const struct clock *clock; /* (c) measures the second; NULL: the kernel's */
};

struct log_site {
    _Atomic uint64_t next_ns; /* (a) before this time the site stays silent */
    _Atomic uint32_t held;    /* (a) messages held back since the last one */
};

__attribute__((format(printf, 4, 5))) void log_write(struct log *log, enum nigh_log_level level,
                                                     struct log_site *site, const char *fmt, ...);

#define LOG(log, level, ...)                                                                       \
    do {                                                                                           \
        static struct log_site site_;                                                              \
        log_write((log), (level), &site_, __VA_ARGS__);                                            \
    } while (0)

#endif
