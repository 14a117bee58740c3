/* SPDX-License-Identifier: MIT */
/*
 * Removing what a measurement left in a Redis that is not ours.
 */
#ifndef PERF_REDIS_SWEEP_H
#define PERF_REDIS_SWEEP_H

#include <stdbool.h>

/* Delete every key that begins with `prefix` from the Redis behind `uri` (redis:// or unix://, as
 * nigh takes it). False: it could not be done, said on stderr. */
bool redis_sweep(const char *uri, const char *prefix);

#endif
