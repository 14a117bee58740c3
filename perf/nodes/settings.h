/* SPDX-License-Identifier: MIT */
/*
 * The command line of the main job.
 */
#ifndef PERF_SETTINGS_H
#define PERF_SETTINGS_H

#include <stdbool.h>

#include "nodes/shared.h"
#include "support/output.h"

struct settings {
    struct plan plan;        /* of the first run; the second differs in `check` */
    bool beside;             /* show a run without the checker beside the first */
    struct output output;
    const char *catalogue;   /* NULL: ask the package manager */
    const char *cache;       /* folder for the finished catalogue; NULL: keep none */
    bool own_redis;
    bool all_faults;         /* a run with each */
    int node;                /* not -1: this process is that node ... */
    int shared_fd;           /* ... of the job behind this descriptor */
};

/* Ends the process on --help and on what is wrong. */
void settings_parse(struct settings *s, int argc, char **argv);

#endif
