// SPDX-License-Identifier: MIT
/*
 * The way of a call for many keys that waits: into L1, and from there on by the function that gets
 * or fetches what is missing.
 */
#include "cache/read/many.h"

#include "cache/caller.h"
#include "cache/latency.h"
#include "cache/read/from_l1.h"

/* Goes on after misses. If a loader returns so late that the cache has closed without it, the
 * structs of the cache are there until caller_leave(). */
static NIGH_OUTLINED void go_on(const struct many *m, many_missed_fn *missed)
{
    struct caller caller;
    uint64_t began_ns = latency_begin(m->space);
    caller_enter(&caller);
    missed(m);
    if (!(FLAGS_OF(m->call) & NIGH_NO_WAIT))
        latency_end(m->space, STATS_LATENCY_CALL, began_ns);
    drive_flush(m->space->cache);
    caller_leave(&caller);
}

int many_read(const struct many *m, many_missed_fn *bring, many_missed_fn *behind)
{
    int rc = many_check(m);
    if (rc == 0 && many_read_l1(m) > 0 && !(FLAGS_OF(m->call) & NIGH_L1_ONLY))
        go_on(m, FLAGS_OF(m->call) & NIGH_NO_WAIT ? behind : bring);
    return rc;
}
