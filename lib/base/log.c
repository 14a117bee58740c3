// SPDX-License-Identifier: MIT
/*
 * Messages to the host, at most one a second from each call site.
 *
 * When threads reach a site together, one of them wins the compare-and-swap of the site's next time
 * and speaks; each of the others counts its message as held back. A count that arrives after the
 * winner's exchange belongs to the next message, so no message is missing from the sum.
 */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>

#define SITE_PAUSE_NS NS_PER_S

static uint64_t log_time_ns(const struct log *log)
{
    static const struct clock kernel;
    return clock_coarse_ns(log->clock ? log->clock : &kernel);
}

/*
 * Decides whether a message of this site may go out now. All caches share a site, but each may have
 * a clock of its own. By one clock the next time is at most one pause away, so a next time that is
 * more than two pauses away comes from another clock, and silence until then could last for years.
 * The site is read before the clock. In the other order a thread that is stopped in between would
 * compare a time long past, take the next time for another clock's, and speak too early.
 */
static bool may_speak(const struct log *log, struct log_site *site)
{
    /* pair(log.site): the thread that wrote this time had read the clock before we read it */
    uint64_t next = atomic_load_explicit(&site->next_ns, memory_order_acquire);
    uint64_t now = log_time_ns(log);
    return (now >= next || next - now > 2 * SITE_PAUSE_NS) &&
           /* pair(log.site): published after our reading of the clock */
           atomic_compare_exchange_strong_explicit(&site->next_ns, &next, now + SITE_PAUSE_NS,
                                                   memory_order_release, memory_order_relaxed);
}

static bool is_heard(const struct log *log, enum nigh_log_level level)
{
    return log && (log->queue ? log_queue_wants(log->queue, level) : log->fn != NULL);
}

bool log_write(struct log *log, enum nigh_log_level level, struct log_site *site, const char *fmt,
               ...)
{
    if (!is_heard(log, level))
        return false;
    if (!may_speak(log, site)) {
        atomic_fetch_add_explicit(&site->held, 1, memory_order_relaxed);
        return false;
    }
    uint32_t held = atomic_exchange_explicit(&site->held, 0, memory_order_relaxed);

    char message[LOG_LINE_BYTES];
    va_list args;
    va_start(args, fmt);
    int len = vsnprintf(message, sizeof(message), fmt, args);
    va_end(args);
    if (held > 0 && len >= 0 && len < (int)LOG_LINE_BYTES)
        snprintf(message + len, LOG_LINE_BYTES - (size_t)len, " (%u like it held back)", held);
    if (log->queue)
        log_queue_push(log->queue, level, message);
    else
        log->fn(log->arg, level, message);
    return true;
}

/* ---- the queue of messages ---- */

int log_open(struct log *log, const struct log_out *out, bool own_thread)
{
    return log_queue_create(out, own_thread, &log->queue);
}

enum nigh_log_level log_level(const struct log *log)
{
    return log->queue ? log_queue_level(log->queue) : NIGH_LOG_DEBUG;
}

void log_set_level(struct log *log, enum nigh_log_level level)
{
    if (log->queue)
        log_queue_set_level(log->queue, level);
}

void log_turn(struct log *log)
{
    if (log->queue)
        log_queue_turn(log->queue);
}

static uint64_t leave_ns(struct log *log)
{
    if (log->leave_ns == 0)
        log->leave_ns = clock_kernel_ns(CLOCK_MONOTONIC) + LOG_PATIENCE_NS;
    return log->leave_ns;
}

bool log_flush(struct log *log)
{
    return !log->queue || log_queue_flush(log->queue, leave_ns(log));
}

void log_close(struct log *log)
{
    if (log->queue)
        log_queue_destroy(log->queue, leave_ns(log));
    log->queue = NULL;
}

uint64_t log_lost(const struct log *log)
{
    return log->queue ? log_queue_lost(log->queue) : 0;
}
