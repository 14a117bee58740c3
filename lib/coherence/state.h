/* SPDX-License-Identifier: MIT */
/*
 * The clock of Redis as this node knows it. Private to coherence.
 *
 * Two words say when what was known of it is void, each to those who cannot hold the apply lock
 * for so long:
 *
 *   view    for readers: they look at it before and after reading identity, home, known and groups.
 *           Odd: no clock is followed. If it is odd or has moved they know nothing (no lock, no
 *           retry: "no clock" is always a safe answer)
 *   voids   for the keeper's request: it remembers the word when it is sent; if the word has moved
 *           when the answer comes, the answer may be older than something met since, and is
 *           discarded (rule 8)
 *
 * state.c says which of them moves when.
 */
#ifndef NIGH_COHERENCE_STATE_H
#define NIGH_COHERENCE_STATE_H

#include <pthread.h>

#include "coherence/behind.h"
#include "coherence/chain.h"
#include "coherence/core.h"
#include "coherence/met.h"

/* Where the last bump of a group that was applied here stands in Redis' order. */
struct coherence_group {
    _Atomic uint64_t hard; /* (e) */
    _Atomic uint64_t soft; /* (e) */
};

struct coherence_state {
    pthread_mutex_t apply_lock;
    _Atomic uint64_t view;          /* (e) odd: no clock is followed. pair(coherence.view) */
    uint64_t voids;                 /* (l) counts what makes a request on its way void */
    _Atomic uint64_t identity;      /* (e) the followed clock's; 0: none */
    _Atomic uint64_t home;          /* (e) hash of the replid of its server */
    _Atomic uint64_t known;         /* (e) highest position that was executed */
    struct coherence_group *groups; /* (e) positions of their last bumps */
    struct coherence_chain chain;   /* (l) changes that are applied */
    uint64_t known_nonce;           /* (l) nonce of the change at `known` */
    uint64_t clk_id;                /* (l) id of the clock last followed; 0: none */
    uint8_t replid[L2_REPLID_BYTES]; /* (l) ... and replid of its server */
    uint64_t renew;                 /* (l) id of a clock that may not be followed as it is, or 0 */
    uint8_t renew_replid[L2_REPLID_BYTES]; /* (l) ... and replid of its server */
    uint64_t left_at;               /* (l) position of this node as it last forgot one; 0: never */
    const char *left_why;           /* (l) why it did; NULL: a clock is followed, or never was */
    uint64_t heard;                 /* (l) highest sequence that came through the channel */
    struct coherence_behind behind; /* (l) how far the channel is behind */
    uint32_t listeners;             /* (l) subscribers that heard this node's last change */
    struct met met;                 /* (l) identities that answers have shown */
    _Atomic uint32_t rounds;        /* (a) futex word: bumped when a clock is taken */
};

/* 0 or NIGH_ENOMEM. Fini also after a failed init. */
int coherence_state_init(struct coherence_state *s, const struct coherence_config *config);
void coherence_state_fini(struct coherence_state *s, const struct coherence_config *config);

/* Whether `identity` is the clock followed now. */
bool coherence_follows_locked(const struct coherence *c, uint64_t identity)
    REQUIRES(c->state->apply_lock);
void coherence_known_raise_locked(struct coherence *c, uint64_t sequence, uint64_t nonce)
    REQUIRES(c->state->apply_lock);
struct coherence_point coherence_known_locked(const struct coherence *c)
    REQUIRES(c->state->apply_lock);
/* A clock other than the one followed was met (rule 8): follow none, void the beat on its way. */
void coherence_forget_locked(struct coherence *c) REQUIRES(c->state->apply_lock);
/* The same, for another reason, told in words: Redis' log does not reach back. */
void coherence_forget_for_locked(struct coherence *c, const char *why)
    REQUIRES(c->state->apply_lock);
/* Forget the clock, and have it renewed: its history is not the one that was applied here
 * (rule 16). */
void coherence_rewound_locked(struct coherence *c) REQUIRES(c->state->apply_lock);
/* An answer of the data connection shows a clock. False: a later one has been seen already, and it
 * may have shown another. */
bool coherence_meet_locked(struct coherence *c, const struct l2_answer *answer)
    REQUIRES(c->state->apply_lock);
/* Whether an answer comes from a clock that has been left by now: later answers show another, which
 * does not know of a change that was accepted there. */
bool coherence_outlived_locked(struct coherence *c, const struct l2_answer *answer)
    REQUIRES(c->state->apply_lock);
bool coherence_outlived(struct coherence *c, const struct l2_answer *answer);
/* Whether the clock that a resync shows may be followed as it is; else it is renewed first
 * (rule 16). `known`: the last followed clock's, when the resync was sent. */
bool coherence_may_follow_locked(struct coherence *c, const struct l2_clock *clock,
                                 const struct coherence_point *known)
    REQUIRES(c->state->apply_lock);
/* Follow the clock of a resync. */
void coherence_follow_locked(struct coherence *c, const struct l2_answer *answer)
    REQUIRES(c->state->apply_lock);
/* Park until a clock is followed or the deadline. */
void coherence_wait_for_clock(struct coherence *c, uint64_t deadline_ns);

#endif
