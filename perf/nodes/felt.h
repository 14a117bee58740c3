/* SPDX-License-Identifier: MIT */
/*
 * Whether a fault was felt: a run in which it did nothing shows nothing.
 *
 * What the nodes themselves noticed counts, and what the fault's steps have counted; not what the
 * coordinator tells the judges about a node that it has stopped or killed.
 */
#ifndef PERF_FELT_H
#define PERF_FELT_H

#include "nodes/job.h"

/* Says by which of its signs the fault of a judged run was felt; NULL: by none of them. */
const char *felt_how(const struct result *r);

#endif
