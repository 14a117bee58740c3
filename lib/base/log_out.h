/* SPDX-License-Identifier: MIT */
/*
 * The place where messages go: the host's hook, stderr, or syslog.
 */
#ifndef NIGH_BASE_LOG_OUT_H
#define NIGH_BASE_LOG_OUT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <nigh/options.h>

/* Keys: (c) constant after init  (w) only the thread that writes a message */
struct log_out {
    nigh_log_fn hook;    /* (c) NULL: as `to` says */
    void *arg;           /* (c) */
    enum nigh_log_to to; /* (c) */
    dev_t device;        /* (w) stderr's file when we looked last */
    ino_t inode;         /* (w) */
};

/* Choose the place: a hook if there is one, else what `to` names, by default stderr. Descriptor 2
 * is looked at more strictly by default than where stderr was asked for. False: messages go
 * nowhere, because `to` says so or descriptor 2 does not look like a place for them. */
bool log_out_init(struct log_out *out, nigh_log_fn hook, void *arg, enum nigh_log_to to);
/* The least level that goes out unless something else is said: a hook gets all, other places
 * warnings and errors. */
enum nigh_log_level log_out_level(const struct log_out *out);
/* Hand the message over. `wall_ns`: when it was written, for stderr; hook and syslog have their own
 * time. False: it is lost. Stderr never blocks; hook and syslog may. */
bool log_out_write(struct log_out *out, enum nigh_log_level level, uint64_t wall_ns,
                   const char *message);

#endif
