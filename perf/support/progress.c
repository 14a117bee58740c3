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

static unsigned parts, parts_done;
static uint64_t began_ns, said_ns;
static double share; /* of the whole; 0: nobody has said */

void progress_plan(unsigned count)
{
    parts = count ? count : 1;
    parts_done = 0;
    share = 0;
    began_ns = said_ns = now_ns();
}

void progress_next(void)
{
    parts_done++;
    share = parts ? (double)parts_done / parts : 0;
}

/* Writes a line, with the time that is left, if that is known. */
static void write_text(const char *before, const char *text, const char *after)
{
    double took_s = (double)(now_ns() - began_ns) / 1e9;
    if (share > 0 && share < 1)
        fprintf(stderr, "%s%3.0f %%, some %.0f s left: %s%s", before, 100 * share,
                took_s * (1 - share) / share, text, after);
    else
        fprintf(stderr, "%s%s%s", before, text, after);
    fflush(stderr);
}

/* What does not fit into the terminal's line is cut off: a line that went on in the next could not
 * be written over. */
static void write_over(const char *text)
{
    write_text("\r\033[K\033[?7l", text, "\033[?7h");
}

void progress(const char *fmt, ...)
{
    char text[TEXT_BYTES];
    va_list args;
    if (!isatty(STDERR_FILENO))
        return;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    write_over(text);
}

void progress_share(double done, const char *fmt, ...)
{
    char text[TEXT_BYTES];
    va_list args;
    bool terminal = isatty(STDERR_FILENO);
    if (parts_done >= parts)
        progress_plan(1);
    uint64_t now = now_ns(); /* not before the plan's */
    share = (parts_done + done) / parts;
    if (now - said_ns < (terminal ? REDRAW_NS : LINE_EVERY_NS))
        return;
    said_ns = now;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    if (terminal)
        write_over(text);
    else
        write_text("perf: ", text, "\n");
}

void progress_end(void)
{
    if (isatty(STDERR_FILENO))
        fputs("\r\033[K", stderr);
}
