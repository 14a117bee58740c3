/* SPDX-License-Identifier: MIT */
/*
 * The way out for messages: to the host's hook, to stderr or syslog, or nowhere.
 *
 * nigh logs state changes, never requests, and never what it also returns. Each call site is
 * limited to one message a second; what was held back is counted in the next one. Who writes a
 * message never waits for who reads it: see log_queue.h.
 */
#ifndef NIGH_BASE_LOG_H
#define NIGH_BASE_LOG_H

#include <stdatomic.h>
#include <stdint.h>

#include <nigh/options.h> /* nigh_log_fn, enum nigh_log_level */

#include "base/clock.h"
#include "base/log_queue.h"

/* Keys: (c) constant after init; (o) the one that closes. */
struct log {
    nigh_log_fn fn;            /* (c) called in log_write() itself; NULL: the queue's, or silence */
    void *arg;                 /* (c) */
    const struct clock *clock; /* (c) measures the second; NULL: the kernel's */
    struct log_queue *queue;   /* (c) NULL: there is none */
    uint64_t leave_ns;         /* (o) when a hook that blocks is left alone; 0: not closing yet */
};

struct log_site {
    _Atomic uint64_t next_ns; /* pair(log.site): before this time the site stays silent */
    _Atomic uint32_t held;    /* (a) messages held back since the last one */
};

/* From here on messages go where `out` says, off the caller's thread: on one of their own, or in
 * log_turn(). Errors: NIGH_ENOMEM, NIGH_ETHREAD. */
int log_open(struct log *log, const struct log_out *out, bool own_thread);
/* Hand out what is queued, if there is no thread for it. A hook may do in it what it likes. */
void log_turn(struct log *log);
/* Wait until what is queued has been handed out, LOG_PATIENCE_NS at most from the first such call.
 * False: a hook is still at it. */
bool log_flush(struct log *log);
/* The same, and the end of it: nothing may be written any more. A hook that blocks is left alone,
 * with memory of its own. */
void log_close(struct log *log);
/* Lines that nobody has seen. */
uint64_t log_lost(const struct log *log);

#define LOG_PATIENCE_NS NS_PER_S

/* Whether it was said, and not held back. (Where nobody hears nothing is.) */
__attribute__((format(printf, 4, 5))) bool log_write(struct log *log, enum nigh_log_level level,
                                                     struct log_site *site, const char *fmt, ...);

/* Its value is log_write()'s. */
#define LOG(log, level, ...)                                                                       \
    __extension__({                                                                                \
        static struct log_site site_;                                                              \
        log_write((log), (level), &site_, __VA_ARGS__);                                            \
    })

#endif
