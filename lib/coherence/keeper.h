/* SPDX-License-Identifier: MIT */
/*
 * The keeper as the other threads see it: requests whose answers come back to it, what is wished of
 * it, the poke that tells it, and who holds the node's memory. Private to coherence.
 */
#ifndef NIGH_COHERENCE_KEEPER_H
#define NIGH_COHERENCE_KEEPER_H

#include <pthread.h>

#include "coherence/core.h"

/* An outstanding request of the keeper. */
struct coherence_request {
    struct coherence *coherence; /* (c) referenced while busy */
    bool busy;                   /* (k) */
    struct l2_answer *answer;    /* (m) left by the I/O thread, taken by the keeper */
};

struct coherence_keeper {
    struct turn ticking;                      /* taken by the keeper, for all that is marked (k) */
    pthread_mutex_t mail_lock;
    bool closed;                              /* (m) no poke any more */
    void (*poke)(void *arg);                  /* (m) */
    void *poke_arg;                           /* (m) */
    _Atomic uint32_t mail;                    /* (a) futex word: bumped with each answer left */
    _Atomic uint32_t refs;                    /* (a) the owner's, one per outstanding request */
    void (*destroy)(struct coherence *c);     /* (c) called with the last reference */
    _Atomic bool beat_wanted;                 /* (a) a beat is wanted now */
};

void coherence_keeper_init(struct coherence_keeper *k, void (*destroy)(struct coherence *c));
void coherence_keeper_fini(struct coherence_keeper *k);
/* Makes no poke come from here on: its receiver may be gone. */
void coherence_keeper_close(struct coherence_keeper *k);
void coherence_keeper_poke(struct coherence *c);
/* Asks for a beat now. Any thread; several wishes are one. */
void coherence_keeper_want_beat(struct coherence *c);
/* A reference for a request whose answer does not come back to the keeper. */
void coherence_keeper_ref(struct coherence *c);
void coherence_keeper_unref(struct coherence *c);

/* Begins a request, which is then busy and referenced. Returns the op for its operation. */
struct l2_op coherence_request_begin(struct coherence_request *r, uint64_t deadline_ns);
/* Undoes that: the operation was not queued. */
void coherence_request_undo(struct coherence_request *r);
/* Keeper: takes the answer, if it has come (the caller's to free); then busy no more. */
struct l2_answer *coherence_request_take(struct coherence_request *r);

#endif
