/* SPDX-License-Identifier: MIT */
/*
 * Recording: requests of marked keys on their way from the threads that make them to the file
 * (trace.file).
 *
 *     a thread --(one buffer for a stripe of threads)--> nigh-trace --> trace_file.h
 *
 * Who makes a request leaves 32 bytes in his stripe's buffer, under a latch that is held for as
 * long as that takes; one that stays held, and a buffer that is full, cost the request its place in
 * the file, and it is counted as dropped: nobody waits. The writer changes the buffer of a stripe
 * for an empty one, every ROUND or when one is half full, and merges what it got by time.
 *
 * What a request brought is left beside it, in one go: its value's lifetimes and groups. When a
 * group falls that is left, too, if a recorded value has ever belonged to it: `borne` knows those.
 * A loaded value is noted before L1 has it, so the fall of its group finds the bit.
 *
 * Memory: two buffers of 64 KiB for each of 32 stripes; those that are never used are never
 * touched. It is general memory, beside the cap.
 *
 * Without own threads each turn of the host's is a round.
 *
 * Keys: (c) constant after recording_open()  (l) the stripe's latch  (w) the writer, one thread at
 * a time (its turn)  (a) atomic, relaxed
 */
#ifndef NIGH_CACHE_RECORDING_H
#define NIGH_CACHE_RECORDING_H

#include <nigh/options.h>
#include <nigh/trace.h>

#include "base/base.h"
#include "cache/trace_file.h"
#include "l1/l1.h"

struct nigh;
struct nigh_space;

#define RECORDING_EVENTS 2048u /* of a stripe, between two rounds */

/* A request on its way; its delta_us is not known yet. */
struct recording_event {
    uint64_t at_us;
    struct nigh_trace_record record;
};

struct recording_stripe {
    _Alignas(CACHE_LINE_BYTES) struct latch lock;
    uint32_t count;                 /* (l) */
    uint64_t dropped;               /* (l) for a full buffer */
    struct recording_event *events; /* (l) */
    _Atomic uint64_t crowded;       /* (a) dropped, for the latch was held */
};

struct recording {
    struct nigh *cache;             /* (c) */
    struct recording_event *block;  /* (c) the memory of all buffers */
    struct service writer;          /* nigh-trace */
    struct turn turn;               /* to be the writer, without own threads */
    uint32_t mark_mask;             /* (c) of the marked keys, those with 0 here are recorded */
    _Atomic uint64_t borne[GROUP_SLOTS_MAX / 64]; /* (a) a bit for each group */
    struct recording_event *spare[THREAD_STRIPES]; /* (w) empty buffers; then what was taken */
    uint32_t taken[THREAD_STRIPES]; /* (w) events in each */
    uint32_t spaces_named;          /* (w) */
    uint64_t name_hashes[L1_SPACES_MAX + 1]; /* (w) by number of the space */
    uint64_t dropped;               /* (w) counted so far */
    uint64_t reads;                 /* (w) of any keys, until the last record */
    bool ended;                     /* (w) and said so */
    struct trace_file file;         /* (w) */
    struct recording_stripe stripes[THREAD_STRIPES];
};

/* Whether the options want a recording. */
static inline bool recording_wants(const struct nigh_options *o)
{
    return o->trace_file && o->trace_file[0];
}

/* Begin to record, if the options say so. Errors: NIGH_EOPTION, explained: the file cannot be
 * written; NIGH_ENOMEM; NIGH_ETHREAD. */
int recording_open(struct nigh *cache, const struct nigh_options *o);
/* Write what is buffered, and end. Late requests are not recorded. */
void recording_close(struct nigh *cache);
/* Free it, when no thread can make a request any more. */
void recording_destroy(struct nigh *cache);

/* Leave a request for the writer. Threads: any. Locks: the stripe's, if it is free. */
void recording_add(struct recording *r, const struct nigh_space *space, const struct l1_key *key,
                   struct nigh_trace_record record);
/* ... and the value that it brought, which L1 may keep. */
void recording_add_value(struct recording *r, const struct nigh_space *space,
                         const struct l1_key *key, struct nigh_trace_record record,
                         const struct l1_value *value);
/* Leave the fall of a group. Threads, locks: as above. */
void recording_add_group(struct recording *r, uint16_t slot, bool soft);
/* Take the writer's turn, without own threads. */
void recording_turn(struct nigh *cache);

#endif
