// SPDX-License-Identifier: MIT
/*
 * Messages to the host, at most one a second from each call site.
 *
 * Of threads that reach a site together one wins the compare-and-swap of its next time and speaks;
 * the others count themselves as held. A count that arrives between the winner's exchange and its
 * message belongs to the next one: no message is lost from the sum.
 */
#include "base/log.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

#include "base/clock.h"

#define MESSAGE_BYTES 512 /* one line; longer text is cut */
#define SITE_PAUSE_NS NS_PER_S

static uint64_t log_time_ns(const struct log *log)
{
    static const struct clock kernel;
    return clock_coarse_ns(log->clock ? log->clock : &kernel);
}

/* A site is one for all caches, whose clocks may be several: a next time that is further away than
 * a pause is another clock's, and silence until then could last for years. */
static bool may_speak(struct log_site *site, uint64_t now)
{
    uint64_t next = atomic_load_explicit(&site->next_ns, memory_order_relaxed);
    return (now >= next || next - now > SITE_PAUSE_NS) &&
           atomic_compare_exchange_strong_explicit(&site->next_ns, &next, now + SITE_PAUSE_NS,
                                                   memory_order_relaxed, memory_order_relaxed);
}

void log_write(struct log *log, enum nigh_log_level level, struct log_site *site, const char *fmt,
               ...)
{
    if (!log || !log->fn)
        return;
    if (!may_speak(site, log_time_ns(log))) {
        atomic_fetch_add_explicit(&site->held, 1, memory_order_relaxed);
        return;
    }
    uint32_t held = atomic_exchange_explicit(&site->held, 0, memory_order_relaxed);

    char message[MESSAGE_BYTES];
    va_list args;
    va_start(args, fmt);
    int len = vsnprintf(message, sizeof(message), fmt, args);
    va_end(args);
    if (held > 0 && len >= 0 && len < MESSAGE_BYTES)
        snprintf(message + len, (size_t)(MESSAGE_BYTES - len), " (%u like it held back)", held);
    log->fn(log->arg, level, message);
}
