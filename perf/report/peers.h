/* SPDX-License-Identifier: MIT */
/*
 * nigh and its peers: what the other programs of this folder measure side by side, in one table.
 */
#ifndef PERF_REPORT_PEERS_H
#define PERF_REPORT_PEERS_H

#include <stdbool.h>
#include <stdio.h>

#include "report/rows.h"
#include "support/output.h"

/* Measure and print; all results go to `o`, too. */
void peers_run(bool quick, struct output *o);

/* Print what was measured, and who is missing. */
void peers_print(const struct rows *rows, FILE *out);

#endif
