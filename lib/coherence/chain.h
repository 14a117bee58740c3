/* SPDX-License-Identifier: MIT */
/*
 * The chain of changes, as far as it is applied: up to which position, and the nonces of the last
 * ones. Each frame has a nonce and names that of the one before it; where a frame or an answer says
 * another nonce of a position than is known here, it tells another history (rule 16).
 *
 * Thread-safety: none; under the apply lock.
 */
#ifndef NIGH_COHERENCE_CHAIN_H
#define NIGH_COHERENCE_CHAIN_H

#include "coherence/coherence.h"

/* Nonces of the last changes applied: more than arrive by the channel while a beat is on its way.
 * An answer that stands further back is taken for too old, and another beat is sent. */
#define COHERENCE_CHAIN_NONCES 4096u

/* A change in the order of Redis. */
struct coherence_point {
    uint64_t sequence;
    uint64_t nonce;
};

/* Keys: (l) all. */
struct coherence_chain {
    uint64_t applied;     /* (l) position up to which all changes are applied */
    uint64_t *nonces;     /* (l) nonces of the last changes applied, by position */
    uint64_t nonces_from; /* (l) first position whose nonce is known */
};

/* 0 or NIGH_ENOMEM. Fini also after a failed init. */
int coherence_chain_init(struct coherence_chain *chain, struct mem *mem);
void coherence_chain_fini(struct coherence_chain *chain, struct mem *mem);

/* Begins anew, at a position of another clock. */
void coherence_chain_begin(struct coherence_chain *chain, uint64_t sequence, uint64_t nonce);

/* Moves on, if this is the next change. */
void coherence_chain_advance(struct coherence_chain *chain, uint64_t sequence, uint64_t nonce);

/* Whether the nonce of a position up to `applied` is remembered. */
bool coherence_chain_remembers(const struct coherence_chain *chain, uint64_t sequence);

/* Whether a change at this position, up to `applied`, can be the one that is known there. */
bool coherence_chain_agrees(const struct coherence_chain *chain, uint64_t sequence, uint64_t nonce);

/* Whether `previous`, which the change after the last applied names, is the nonce that is known of
 * the last applied. */
bool coherence_chain_goes_on_from(const struct coherence_chain *chain, uint64_t previous);

/* Whether a change at this position agrees with the chain, and with `known`. */
bool coherence_chain_agrees_beyond(const struct coherence_chain *chain,
                                   const struct coherence_point *known, uint64_t sequence,
                                   uint64_t nonce);

/* Whether the clock in an answer goes on from `known`, which had been executed when the answer was
 * asked for: it does not stand before that, nor with another change than the one known there. */
bool coherence_chain_reaches(const struct coherence_chain *chain, const struct l2_clock *clock,
                             const struct coherence_point *known);

#endif
