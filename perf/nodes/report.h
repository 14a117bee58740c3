/* SPDX-License-Identifier: MIT */
/*
 * What a run's figures say: to people, to machines, and as an exit status.
 */
#ifndef PERF_REPORT_H
#define PERF_REPORT_H

#include "nodes/job.h"
#include "support/output.h"

/* One table with the runs (1 or 2) side by side. */
void report_table(const struct result *const runs[], int count);

/* Print what was promised and not kept, in one line each. Returns how many. */
int report_verdict(const struct result *r);

/* One line for each fault, of a run of its own; and the same as JSON. */
void report_faults(const struct result *runs, int count);
void report_faults_json(const struct result *runs, int count, const struct output *o);

/* The figures as one JSON object. Ends the process when the file cannot be written. */
void report_json(const struct result *r, const struct output *o);

#endif
