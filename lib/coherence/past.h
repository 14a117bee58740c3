/* SPDX-License-Identifier: MIT */
/*
 * Remembers what is over, for who asks minutes later: the last time without trust, the last resync,
 * the last changes that had to wait for Redis, here and at other nodes (coherence_past_read()).
 * Private to coherence.
 *
 * Nothing is decided by it. Each is of one moment, so that the reason, the time and what became of
 * the values belong together.
 *
 * Thread-safety: the keeper tells, and who applies frames, under the apply lock; any thread reads;
 * the lock is a leaf.
 */
#ifndef NIGH_COHERENCE_PAST_H
#define NIGH_COHERENCE_PAST_H

#include <pthread.h>

#include "coherence/core.h"
#include "coherence/message.h"

/* So many nodes' last late frames are remembered. Those of two that share a place may count twice
 * if sent twice. */
#define PAST_SENDERS 64u

/* The last late frame of a node. */
struct past_sender {
    uint64_t node;     /* (p) 0: free */
    uint64_t first;    /* (p) wire hash of its first item */
    uint64_t heard_ms; /* (p) a time here */
    uint32_t items;    /* (p) */
};

/* Keys: (p) `lock`; (k) keeper */
struct past {
    pthread_mutex_t lock;
    struct coherence_past of;           /* (p) its ages are times here, in ms */
    struct past_sender senders[PAST_SENDERS]; /* (p) by incarnation */
    char lost_why[COHERENCE_WHY_BYTES]; /* (k) why trust was lost ... */
    uint64_t lost_late_ms;              /* (k) ... so much too late was that noticed; 0: in time */
    bool resynced;                      /* (k) a clock was taken since */
    uint64_t heard_ms; /* (p) so long Redis had had what came since trust ran out, at most */
};

void past_init(struct past *p);
void past_fini(struct past *p);
/* Keeper: trust has run out at `until_ns`. */
void past_lost(struct coherence *c, uint64_t until_ns);
/* Keeper: it is back, after `away_ns`. */
void past_trusted(struct coherence *c, uint64_t away_ns);
/* Keeper: a clock was taken that is not the first. `why`: the one before it was left. */
void past_resync(struct coherence *c, const char *why);
/* Keeper: all are delivered that had waited; its age is not looked at. */
void past_delivered(struct coherence *c, const struct coherence_delivery *d);
/* A frame of another node is applied: notes it if it comes without trust, or had waited there. */
void past_late(struct coherence *c, const struct coherence_message *m);

#endif
