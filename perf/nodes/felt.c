// SPDX-License-Identifier: MIT
/*
 * Looking for the signs of a fault.
 */
#include "nodes/felt.h"

#include "support/fail.h"
#include "support/table.h"

/* Without a fault 99 % of changes reach the other node within 20 ms; what no message tells is found
 * by a beat, and these are a second apart. */
#define LATE_NS (50 * PERF_NS_PER_MS)

const char *felt_how(const struct result *r)
{
    const struct fault *f = &r->fault;
    uint32_t signs = f->kind->signs;
    uint64_t late_ns = r->checked.lateness_fresh.max;
    if (signs & FAULT_COUNTS && f->count > 0)
        return table_print("%u %s%s cut off", f->count, f->counted, f->count > 1 ? "s" : "");
    if (signs & FAULT_TAKES_TRUST && r->doubt_seconds > 0)
        return table_print("no trust %.1f s", r->doubt_seconds);
    if (signs & FAULT_TAKES_REDIS && r->away_seconds > 0)
        return table_print("away %.2f s", r->away_seconds);
    if (signs & FAULT_RENEWS && r->resyncs > 0)
        return table_print("%lld resyncs", (long long)r->resyncs);
    if (signs & FAULT_DELAYS && late_ns > LATE_NS)
        return table_print("late %s", table_time(late_ns));
    return NULL;
}
