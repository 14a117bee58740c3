/* SPDX-License-Identifier: MIT */
/*
 * Requests for the marked keys, one in 64 by hash or, in a small cache, more (l1_marks()), for
 * whoever wants to see them: a recording, the curve.
 *
 * Who sees every request for some keys, and none for others, can tell what a cache of another size
 * would have had; who sees one request in 64 of all cannot. (When the marks change the curve begins
 * anew; a recording's keys are marked all the time.) A hit asks for nothing new: l1_touch() tells a
 * marked entry by the note that every hit looks at, and only then this file is called. All else
 * that is noted has to do with a key whose hash is known.
 *
 * With nothing wanted a hit of a marked key costs a call and a load more: less than an instruction
 * for the mean hit.
 */
#ifndef NIGH_CACHE_SAMPLE_H
#define NIGH_CACHE_SAMPLE_H

#include <nigh/trace.h>

#include "cache/cache.h"

/* Takers of requests for marked keys; bits of sample.wanted. */
enum {
    SAMPLE_FOR_TRACE = 1,
    SAMPLE_FOR_CURVE = 2,
};

/* An event of a key. */
struct sample_event {
    enum nigh_trace_op op;
    enum nigh_trace_outcome outcome;
    uint32_t size;    /* the value's */
    uint32_t cost_us; /* a load's */
};

static inline bool sample_takes(const struct nigh_space *space, uint64_t hash)
{
    const struct nigh *cache = space->cache;
    return NIGH_UNLIKELY(atomic_load_explicit(&cache->sample.wanted, memory_order_relaxed)) &&
           NIGH_UNLIKELY(l1_marks(cache->l1, hash));
}

/* Note a hit that l1_touch() has answered with `touched`, not 0; `outcome`: FRESH, STALE or ABSENT.
 * The entry is pinned, or was found in the caller's section. `now`: in ticks, in which a hit has
 * it in a register, while to keep the nanoseconds would cost each hit an instruction. Threads:
 * any. */
NIGH_OUTLINED void sample_hit(struct nigh_space *space, struct l1_entry *e, uint32_t touched,
                              enum nigh_trace_outcome outcome, uint64_t now);
/* Note what happened to a marked key. Waits for nothing. Threads: any. Locks: leaves, if free. */
NIGH_OUTLINED void sample_note_marked(struct nigh_space *space, const struct l1_key *key,
                                      struct sample_event event);

/* ... and the value that it brought, as L1 may keep it; NULL: L1 may not. */
NIGH_OUTLINED void sample_note_value(struct nigh_space *space, const struct l1_key *key,
                                     struct sample_event event, const struct l1_value *value);
/* Note that the values of a group are gone, or stale. Threads: any. Locks: as above. */
void sample_note_group(struct nigh *cache, uint16_t slot, bool soft);

/* Note what happened to a key, if it is marked and somebody wants to know. */
static inline void sample_note(struct nigh_space *space, const struct l1_key *key,
                               struct sample_event event)
{
    if (sample_takes(space, key->hash))
        sample_note_marked(space, key, event);
}

/* Note a read that L1 has not answered. */
static inline void sample_miss(struct nigh_space *space, const struct l1_key *key,
                               const struct nigh_call *call)
{
    uint32_t flags = call ? call->flags : 0;
    if (!(flags & (NIGH_QUIET | NIGH_REFRESH)))
        sample_note(space, key, (struct sample_event){
            NIGH_TRACE_READ, flags & NIGH_L1_ONLY ? NIGH_TRACE_PROBE : NIGH_TRACE_MISS, 0, 0});
}

#endif
