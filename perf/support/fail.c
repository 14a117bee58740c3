// SPDX-License-Identifier: MIT
/*
 * Giving up in one line.
 */
#include "support/fail.h"

#include <stdarg.h>
#include <stdio.h>

#include "support/ending.h"

void fail(const char *fmt, ...)
{
    va_list args;
    ending_yield();
    va_start(args, fmt);
    fputs("perf: ", stderr);
    vfprintf(stderr, fmt, args);
    fputc('\n', stderr);
    va_end(args);
    exit(PERF_EXIT_BROKEN);
}

void *must_alloc(size_t count, size_t size)
{
    void *p = calloc(count ? count : 1, size);
    if (!p)
        fail("out of memory for %zu x %zu bytes", count, size);
    return p;
}

void *must_grow(void *p, size_t count, size_t size)
{
    void *grown = reallocarray(p, count ? count : 1, size);
    if (!grown)
        fail("out of memory for %zu x %zu bytes", count, size);
    return grown;
}

char *must_print(const char *fmt, ...)
{
    va_list args;
    char *text;
    va_start(args, fmt);
    if (vasprintf(&text, fmt, args) < 0)
        fail("out of memory");
    va_end(args);
    return text;
}

void sleep_ns(uint64_t ns)
{
    struct timespec t = {(time_t)(ns / PERF_NS_PER_S), (long)(ns % PERF_NS_PER_S)};
    nanosleep(&t, NULL);
}
