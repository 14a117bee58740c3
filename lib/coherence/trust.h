/* SPDX-License-Identifier: MIT */
/*
 * Trust: until when values may be called fresh (rule 9); and the server's time. Private to
 * coherence, but for the word that hits read: coherence_trusted_until().
 */
#ifndef NIGH_COHERENCE_TRUST_H
#define NIGH_COHERENCE_TRUST_H

#include "coherence/core.h"

struct coherence_trust {
    /* read by every hit; written with each beat, and nothing else on this line */
    _Alignas(CACHE_LINE_BYTES) _Atomic uint64_t trusted_until; /* (a) written by the keeper */
    _Atomic uint64_t server_offset_ms; /* (a) server's wall time - coarse clock; 0: never told */

    /* the keeper's own, but for `shown_ns` */
    _Alignas(CACHE_LINE_BYTES) _Atomic uint64_t lost_ns; /* (a) when trust ran out; 0: it has not */
    _Atomic uint64_t doubt_ns; /* (a) how long it was away, times that are over */
    _Atomic uint64_t shown_ns; /* (a) the most that coherence_trust_doubt_ns() has returned */
    bool held; /* (k) trust holds, as far as the sink has been told */
};

/* Keeper: all that Redis had executed at `sent_ns` is applied: trust counts from then. (An answer
 * that took longer than trust lasts gives none. The next beat is long due then.) */
void coherence_trust_extend(struct coherence *c, uint64_t sent_ns);
/* Keeper: tells the sink once when trust has run out; hits see it by themselves, in time. Returns
 * when it will. */
uint64_t coherence_trust_watch(struct coherence *c);
/* Returns how long trust has been away in all, since it held first: never less than before. Any
 * thread. */
uint64_t coherence_trust_doubt_ns(struct coherence *c);
/* Keeper: notes how far the server's clock is ahead of ours. Its time was read after the sending,
 * so this is too much by at most the way there. */
void coherence_trust_learn_time(struct coherence *c, const struct l2_clock *clock,
                                uint64_t sent_ns);

#endif
