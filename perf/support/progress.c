// SPDX-License-Identifier: MIT
/*
 * Progress lines.
 */
#include "support/progress.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

#include "support/fail.h"

#define LINE_EVERY_NS (10 * PERF_NS_PER_S) /* where lines stay */
#define REDRAW_NS     (100 * PERF_NS_PER_MS)
#define TEXT_BYTES    128

static uint64_t began_ns, said_ns;

void progress(const char *fmt, ...)
{
    va_list args;
    if (!isatty(STDERR_FILENO))
        return;
    va_start(args, fmt);
    fputs("\r\033[K", stderr);
    vfprintf(stderr, fmt, args);
    va_end(args);
    fflush(stderr);
}

void progress_begin(void)
{
    began_ns = said_ns = now_ns();
}

void progress_share(double done, const char *fmt, ...)
{
    char text[TEXT_BYTES];
    va_list args;
    uint64_t now = now_ns();
    bool terminal = isatty(STDERR_FILENO);
    if (now - said_ns < (terminal ? REDRAW_NS : LINE_EVERY_NS))
        return;
    said_ns = now;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    double left = done > 0 ? (double)(now - began_ns) / 1e9 * (1 - done) / done : 0;
    fprintf(stderr, "%s%3.0f %%, some %.0f s left: %s%s",
            terminal ? "\r\033[K" : "perf: ", 100 * done, left, text, terminal ? "" : "\n");
    fflush(stderr);
}

void progress_end(void)
{
    if (isatty(STDERR_FILENO))
        fputs("\r\033[K", stderr);
}
