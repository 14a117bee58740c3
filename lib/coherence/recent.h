/* SPDX-License-Identifier: MIT */
/*
 * Own changes that Redis has accepted in the last RECENT_NS, each with the identity of the clock
 * that it was accepted under: told again when another one is followed (rule 13), because the server
 * that accepted them may have died with its tail, or have been no master any more.
 *
 * Notes lie in chunks, oldest first, one identity to a chunk. There are as many as the rate of
 * changes asks for, up to a cap of bytes; a chunk whose last note is too old is used again, or
 * given back. Where the cap is reached, or there is no memory, the oldest chunk goes: for its notes
 * a soft ALL is told instead, as long as one of them would be. How many names that is: RECENT_BYTES
 * for each that the queue may hold (coherence.queue), for what is told again goes through it. A key
 * of 32 bytes in a space of 6 takes 46: so of a node that changes R keys a second the last
 * coherence.queue / R seconds have names.
 *
 * Thread-safety: none; under the apply lock.
 */
#ifndef NIGH_COHERENCE_RECENT_H
#define NIGH_COHERENCE_RECENT_H

#include "coherence/coherence.h"

#define RECENT_NS (10 * NS_PER_S)
#define RECENT_BYTES 48u
#define RECENT_CHUNK_BYTES (64u << 10)
#define RECENT_CHUNKS_MIN 8u /* as many clocks in that time, also where the queue is small */
#define RECENT_LOST_MAX 4u

/* Notes that were dropped: when the last of them was made, and what accepted them; 0: several. */
struct recent_lost {
    uint64_t at_ns;    /* (l) 0: none */
    uint64_t identity; /* (l) */
};

struct recent {
    struct mem *mem;             /* (c) */
    uint32_t chunks_max;         /* (c) */
    uint32_t chunk_count;        /* (l) */
    struct recent_chunk *oldest; /* (l) */
    struct recent_chunk *newest; /* (l) */
    struct recent_lost lost[RECENT_LOST_MAX]; /* (l) */
};

/* `names`: as many as the queue may hold. */
void recent_init(struct recent *r, struct mem *mem, uint32_t names);
void recent_fini(struct recent *r);
void recent_note(struct recent *r, const struct coherence_item *item, uint64_t identity,
                 uint64_t now_ns);
/* Gives back the memory of what is too old. */
void recent_trim(struct recent *r, uint64_t now_ns);
/* Hands out the changes that are young enough and were accepted under another identity, each with
 * when it was made (or accepted, if it had not waited), and a soft ALL if some such were dropped.
 * They count as accepted under this one from here on: they are queued until they are. */
void recent_each(struct recent *r, uint64_t identity, uint64_t now_ns,
                 void (*each)(void *arg, const struct coherence_item *item), void *arg);

#endif
