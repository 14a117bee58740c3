/* SPDX-License-Identifier: MIT */
/*
 * The struct of a node: what is constant in it, and its parts. Each part is a struct in its owner's
 * header, so the includes of a .c file say which of them it touches. Private to coherence.
 *
 *   keeper.h     requests and wishes on their way to the keeper
 *   trust.h      until when values may be called fresh
 *   state.h      Redis' clock as this node knows it, under the apply lock
 *   apply.h      the own calls that were settled
 *   recent.h     own changes that may have to be told again
 *   schemas.h    what a change has to delete
 *   beat.h       the request that extends trust
 *   change.h     numbers of own changes
 *   combine.h    own changes that travel together
 *   queue.h      changes that Redis has not accepted
 *   retry.h      ... and trying again
 *   listener.h   the channel and its thread
 *   past.h       what is over, for who asks then
 *
 * Locks, none held across I/O or a callback of the application:
 *   apply lock   everything about the clock, the groups, the finished calls; then the sink's own
 *   queue lock   the queue's items (leaf)
 *   schemas lock the list of schemas in use, and how long ours are registered (leaf)
 *   combine lock changes that wait to travel together (leaf)
 *   mail lock    answers left by the I/O thread, the poke; only wakes are under it (drive lock)
 *
 * Threads: the keeper runs coherence_tick, the listener hears frames, the I/O thread only leaves
 * answers, any thread asks, notes and changes.
 *
 * Keys, in all structs of coherence:
 *   (c) constant after open               (l) apply lock
 *   (a) atomic, any thread                (q) queue lock
 *   (k) keeper, that is, `ticking`        (s) schemas lock
 *   (e) written under the apply lock,     (m) mail lock
 *       read between two looks at `view`
 */
#ifndef NIGH_COHERENCE_CORE_H
#define NIGH_COHERENCE_CORE_H

#include "coherence/coherence.h"

/* Written at open only: misses and changes on all cores read it. */
struct coherence {
    struct coherence_config config;      /* (c) */
    uint64_t incarnation;                /* (c) names this node in its frames */
    struct coherence_keeper *keeper;     /* (c) */
    struct coherence_trust *trust;       /* (c) */
    struct coherence_state *state;       /* (c) */
    struct coherence_apply *apply;       /* (c) */
    struct recent *recent;               /* (c) */
    struct schemas *schemas;             /* (c) */
    struct coherence_beat *beat;         /* (c) */
    struct coherence_changes *changes;   /* (c) */
    struct coherence_combine *combine;   /* (c) */
    struct coherence_queue *queue;       /* (c) */
    struct coherence_retry *retry;       /* (c) */
    struct coherence_listener *listener; /* (c) */
    struct past *past;                   /* (c) */
};

#endif
