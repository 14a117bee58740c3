/* SPDX-License-Identifier: MIT */
/*
 * Making a request trace: popularity after Zipf, sizes that spread over five decades.
 *
 * Every request draws one of `keys` objects, the r-th most popular with a probability in proportion
 * to 1 / r^zipf, whatever was drawn before. An object's size is log-normal between 50 B and 1 MiB.
 * `small` ties the two: it is the correlation between how popular an object is and how small, each
 * as a normal variable (a Gaussian copula): at 0 a popular object is as large as any, at 1 nothing
 * is smaller than what is more popular.
 */
#ifndef PERF_BENCH_TRACE_MAKE_H
#define PERF_BENCH_TRACE_MAKE_H

#include "bench/simulate.h"

/*
 * From "name=value,...": keys (100000), requests (2000000), zipf (0.9), small (0.7), seed (1). Ends
 * the process on anything else. The same text makes the same trace.
 */
void trace_make(struct trace *t, const char *spec);
/* The sum of the sizes of all objects that were asked for. */
uint64_t trace_bytes(const struct trace *t);

#endif
