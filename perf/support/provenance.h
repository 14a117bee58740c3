/* SPDX-License-Identifier: MIT */
/*
 * What figures are of, beside the command: who reads them later, or beside others, has no other way
 * to know.
 */
#ifndef PERF_PROVENANCE_H
#define PERF_PROVENANCE_H

#include <stdio.h>

/* "AMD EPYC-Milan Processor, 2 CPUs, 8 GiB, Linux 6.1.0": CPUs that this process may use. */
const char *provenance_machine(void);
/* "0.1.0 (v0.1-7-g6e5bf36)": nigh's version and, where perf/run knows it, the checkout's. */
const char *provenance_build(void);
/* "2026-11-30 18:40 UTC" */
const char *provenance_date(void);

/* Write all three as fields of a JSON object, each after `before`. */
void provenance_json(FILE *out, const char *before);

#endif
