/* SPDX-License-Identifier: MIT */
/*
 * Recording: requests of marked keys on their way from the threads that make them to the file
 * (trace.file).
 *
 *     a thread --(one buffer for a stripe of threads)--> nigh-trace --> trace_file.h
 *
 * Who makes a request leaves 32 bytes in his stripe's buffer, in a turn that lasts as long as that
 * takes; one that stays taken, and a buffer that is full, cost the request its place in the file,
 * and it is counted as dropped: nobody waits. The writer changes the buffer of a stripe for an
 * empty one, 20 times a second, more often where they fill fast, or when one is half full, and
 * merges what it got by time.
 *
 * What a hit of a marked key pays for this is a hash and a turn's one locked instruction: its time
 * is at hand. (A latch has a second locked instruction, for which the processor waits until the
 * event has reached its line: that of a buffer which another core has just read.)
 *
 * What a request brought is left beside it, in one go: its value's lifetimes and groups. When a
 * group falls that is left, too, if a recorded value has ever belonged to it: `borne` knows those.
 * A loaded value is noted before L1 has it, so the fall of its group finds the bit.
 *
 * Memory: two buffers of 256 KiB for each of 32 stripes; those that are never used are never
 * touched. It is general memory, beside the cap. A buffer has room for what a thread leaves in
 * 50 ms that has ten million hits a second, at one key in 64: the fewer rounds the writer has to
 * make, the less it takes from those who make requests.
 *
 * Without own threads each turn of the host's is a round.
 *
 * Keys: (c) constant after recording_open()  (t) the stripe's turn  (w) the writer, one thread at
 * a time (its own turn)  (a) atomic, relaxed
 */
#ifndef NIGH_CACHE_RECORDING_H
#define NIGH_CACHE_RECORDING_H

#include <nigh/options.h>
#include <nigh/trace.h>

#include "base/base.h"
#include "cache/sample.h"
#include "cache/trace_file.h"
#include "l1/l1.h"

#define RECORDING_EVENTS 8192u /* of a stripe, between two rounds */

/* A request on its way; its delta_us is not known yet. */
struct recording_event {
    uint64_t at_us;
    struct nigh_trace_record record;
};

struct recording_stripe {
    _Alignas(CACHE_LINE_BYTES) struct turn turn;
    uint32_t count;                 /* (t) */
    struct recording_event *events; /* (t) */
    _Atomic uint64_t dropped;       /* (a) for a full buffer, or a turn that was taken */
};

struct recording {
    struct nigh *cache;             /* (c) */
    struct recording_event *block;  /* (c) the memory of all buffers */
    struct service writer;          /* nigh-trace */
    struct turn turn;               /* to be the writer, without own threads */
    uint32_t mark_mask;             /* (c) of the marked keys, those with 0 here are recorded */
    struct hash unseeded;           /* (c) the same in each process: hash_bytes(), inlined */
    struct space_hash identity;     /* (c) ... */
    _Atomic uint64_t borne[GROUP_SLOTS_MAX / 64]; /* (a) a bit for each group */
    struct recording_event *spare[THREAD_STRIPES]; /* (w) empty buffers; then what was taken */
    uint32_t taken[THREAD_STRIPES]; /* (w) events in each */
    uint64_t pause_ns;              /* (w) between two rounds */
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

/* Leave a hit of a marked key for the writer, as sample_hit() has it. Threads: any; none waits. */
NIGH_OUTLINED void recording_add_hit(struct recording *r, const struct nigh_space *space,
                                     const struct l1_entry *e, enum nigh_trace_outcome outcome,
                                     uint64_t now);
/* Leave another request. Threads: as above. */
void recording_add(struct recording *r, const struct nigh_space *space, const struct l1_key *key,
                   struct sample_event event);
/* ... and the value that it brought, which L1 may keep. */
void recording_add_value(struct recording *r, const struct nigh_space *space,
                         const struct l1_key *key, struct sample_event event,
                         const struct l1_value *value);
/* Leave the fall of a group. Threads: as above. */
void recording_add_group(struct recording *r, uint16_t slot, bool soft);
/* Take the writer's turn, without own threads. */
void recording_turn(struct nigh *cache);

#endif
