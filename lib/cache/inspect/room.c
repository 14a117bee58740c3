// SPDX-License-Identifier: MIT
/*
 * Reads the caps, and tells the one that is in the way.
 */
#include "cache/inspect/room.h"

#include <inttypes.h>

#include "cache/space_l1.h"

#define FULL_BUT 8u                     /* but for this part */
#define AT_PRESENT_NS (10 * NS_PER_S)   /* a keeper may be late */

/* Look at a table; the table of all has the numbers of all. */
static void look_at(struct l1 *l1, const char *memory, struct room *ret)
{
    struct l1_gauges g;
    uint64_t entries_cap = l1_entries_cap(l1);
    l1_gauges_read(l1, L1_GAUGE_USED | L1_GAUGE_TABLES | (entries_cap ? L1_GAUGE_ENTRIES : 0), &g);
    *ret = (struct room){
        .cap = memory, .used = g.used_bytes, .most = g.cap_bytes, .tables = g.tables_bytes};
    if (entries_cap &&
        (double)g.entries * (double)ret->most > (double)ret->used * (double)entries_cap)
        *ret = (struct room){"l1.entries", true, g.entries, entries_cap, 0, false};
    ret->is_full = ret->used >= ret->most - ret->most / FULL_BUT;
}

/* A space's own cap lies within l1.memory, of which others may have taken the rest: then that is
 * what the space lacks. */
void room_look(const struct nigh_space *space, struct room *ret)
{
    struct l1 *apart = space_l1_apart(space);
    struct room own;
    look_at(space->cache->l1, "l1.memory", ret);
    if (!apart)
        return;
    look_at(apart, "space.memory", &own);
    if (own.most < ret->most && (own.is_full || !ret->is_full))
        *ret = own;
}

uint64_t room_wanted_ago_ns(const struct nigh_space *space)
{
    uint64_t at_ns = atomic_load_explicit(&space->trend.no_room_ns, memory_order_relaxed);
    uint64_t now_ns = clock_now_ns(&space->cache->clock);
    return at_ns == 0 ? UINT64_MAX : now_ns > at_ns ? now_ns - at_ns : 0;
}

bool room_is_wanted(const struct nigh_space *space)
{
    return room_wanted_ago_ns(space) <= AT_PRESENT_NS;
}

void room_say(struct text *w, const struct room *r)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double part = 1;
    size_t unit = 0;
    for (; (double)r->most / part >= 1024 && unit + 1 < ARRAY_COUNT(units); unit++)
        part *= 1024;
    if (r->by_count)
        text_add(w, "%" PRIu64 " of %" PRIu64 " values of %s", r->used, r->most, r->cap);
    else
        text_add(w, "%.1f of %.1f %s of %s, %.1f of it tables", (double)r->used / part,
                 (double)r->most / part, units[unit], r->cap, (double)r->tables / part);
}
