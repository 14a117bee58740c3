/* SPDX-License-Identifier: MIT */
/*
 * The way out for messages: to the host's hook, to stderr or syslog, or nowhere.
 *
 * nigh logs state changes, never requests, and never a failure that it also returns. Each call site
 * is limited to one message a second; the next message says how many were held back. The writer of
 * a message never waits for its reader: see log_queue.h.
 */
#ifndef NIGH_BASE_LOG_H
#define NIGH_BASE_LOG_H

#include <stdatomic.h>
#include <stdint.h>

#include <nigh/options.h> /* nigh_log_fn, enum nigh_log_level */

#include "base/clock.h"
#include "base/log_queue.h"

/* Keys: (c) constant after init; (o) only the thread that closes the log. */
struct log {
    nigh_log_fn fn;            /* (c) called in log_write() itself; NULL: the queue, or silence */
    void *arg;                 /* (c) */
    const struct clock *clock; /* (c) measures the second; NULL: the kernel's */
    struct log_queue *queue;   /* (c) NULL: no queue */
    uint64_t leave_ns;         /* (o) when a hook that blocks is left alone; 0: not closing yet */
};

struct log_site {
    _Atomic uint64_t next_ns; /* pair(log.site): before this time the site stays silent */
    _Atomic uint32_t held;    /* (a) messages held back since the last one */
};

/* Send messages from here on where `out` says, off the caller's thread: on a thread of their own,
 * or in log_turn(). Errors: NIGH_ENOMEM, NIGH_ETHREAD. */
int log_open(struct log *log, const struct log_out *out, bool own_thread);
/* The least level that goes out, which may be changed at any time. LOG_WARN by default, and to a
 * hook LOG_DEBUG. */
enum nigh_log_level log_level(const struct log *log);
void log_set_level(struct log *log, enum nigh_log_level level);
/* Hand out the queued messages, if there is no thread for it. A hook runs here, and may do whatever
 * a hook may do. */
void log_turn(struct log *log);
/* Wait until the queued messages have been handed out, LOG_PATIENCE_NS at most from the first such
 * call. False: a hook is still running. */
bool log_flush(struct log *log);
/* Flush the log and end it: nothing may be written any more. A hook that blocks is left alone, with
 * memory of its own. */
void log_close(struct log *log);
/* Returns how many lines were lost: nobody has seen them. */
uint64_t log_lost(const struct log *log);

#define LOG_PATIENCE_NS NS_PER_S

/* Write a message. Returns whether it went out: false if it was held back, or nobody listens. */
__attribute__((format(printf, 4, 5))) bool log_write(struct log *log, enum nigh_log_level level,
                                                     struct log_site *site, const char *fmt, ...);

/* Write a message from a site of its own. The value of the expression is log_write()'s. */
#define LOG(log, level, ...)                                                                       \
    __extension__({                                                                                \
        static struct log_site site_;                                                              \
        log_write((log), (level), &site_, __VA_ARGS__);                                            \
    })

#endif
