// SPDX-License-Identifier: MIT
/*
 * Judging how long calls took.
 */
#include "nodes/calls.h"

void calls_note(struct calls *c, uint64_t deadline_ns, uint64_t took_ns, uint64_t stalled_ns)
{
    uint64_t allowed = deadline_ns + stalled_ns + CALLS_SLACK_NS;
    struct calls call = {.worst_ns = took_ns > stalled_ns ? took_ns - stalled_ns : 0,
                         .longest_ns = took_ns};
    if (took_ns > allowed) {
        call.overdue = 1;
        call.overdue_ns = took_ns - allowed;
    }
    calls_add(c, &call);
}

void calls_add(struct calls *into, const struct calls *from)
{
    if (from->worst_ns > into->worst_ns)
        into->worst_ns = from->worst_ns;
    if (from->longest_ns > into->longest_ns)
        into->longest_ns = from->longest_ns;
    into->overdue += from->overdue;
    if (from->overdue_ns > into->overdue_ns)
        into->overdue_ns = from->overdue_ns;
}
