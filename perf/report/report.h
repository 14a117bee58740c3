/* SPDX-License-Identifier: MIT */
/*
 * `report`: results as one page of HTML.
 */
#ifndef PERF_REPORT_REPORT_H
#define PERF_REPORT_REPORT_H

#include <stdio.h>

#include "report/rows.h"

/* Write the page. Returns the number of its pictures. */
unsigned report_write(const struct rows *files, size_t count, FILE *out);

#endif
