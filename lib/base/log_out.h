/* SPDX-License-Identifier: MIT */
/*
 * Where messages go: the host's hook, stderr, or syslog.
 */
#ifndef NIGH_BASE_LOG_OUT_H
#define NIGH_BASE_LOG_OUT_H

#include <stdbool.h>
#include <sys/types.h>

#include <nigh/options.h>

/* Keys: (c) constant after init  (w) who writes */
struct log_out {
    nigh_log_fn hook;    /* (c) NULL: as `to` says */
    void *arg;           /* (c) */
    enum nigh_log_to to; /* (c) */
    dev_t device;        /* (w) stderr: the file that it was when we looked last */
    ino_t inode;         /* (w) */
};

/* Choose: a hook if there is one, else what `to` names; by default stderr, with more doubt whether
 * descriptor 2 is one than where it was asked for. False: nobody is to hear anything, or there
 * is no stderr that could be meant. */
bool log_out_init(struct log_out *out, nigh_log_fn hook, void *arg, enum nigh_log_to to);
/* Whether messages of this level go there: a hook gets all, others warnings and errors. */
bool log_out_wants(const struct log_out *out, enum nigh_log_level level);
/* Hand it over. False: it is lost. Stderr never blocks; hook and syslog may. */
bool log_out_write(struct log_out *out, enum nigh_log_level level, const char *message);

#endif
