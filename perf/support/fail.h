/* SPDX-License-Identifier: MIT */
/*
 * How a measurement gives up, and what time it is: the two things every file here needs.
 *
 * A harness has nobody to hand an error to: what it cannot do it says in one line and ends. The
 * library never does this.
 */
#ifndef PERF_FAIL_H
#define PERF_FAIL_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#define PERF_NS_PER_US 1000ull
#define PERF_NS_PER_MS 1000000ull
#define PERF_NS_PER_S 1000000000ull
#define PERF_EXIT_BROKEN 2 /* could not measure; 1 says: measured, and a promise was broken */

/* Print "perf: ..." on stderr and end the process with PERF_EXIT_BROKEN. */
__attribute__((noreturn, format(printf, 1, 2))) void fail(const char *fmt, ...);

/* Memory or the end of the process; zeroed. */
void *must_alloc(size_t count, size_t size);
/* realloc that does not fail. */
void *must_grow(void *p, size_t count, size_t size);
/* printf into memory that the caller frees. */
__attribute__((format(printf, 1, 2))) char *must_print(const char *fmt, ...);

static inline uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * PERF_NS_PER_S + (uint64_t)t.tv_nsec;
}

/* Sleep; woken early by a signal. */
void sleep_ns(uint64_t ns);

#endif
