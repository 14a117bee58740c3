/* SPDX-License-Identifier: MIT */
/*
 * Measures how far the channel is behind Redis, for the changes of all nodes: on a node that only
 * reads, too. Private to coherence.
 *
 * A frame carries no time, and nodes' clocks are not compared. But the answer of each beat tells a
 * position of Redis' order, and when the channel has brought that one is known here. One sample for
 * each answer that tells of news, the time from its sending by Redis to the channel's bringing it:
 *
 *   brought before the answer      the answer's way: half of the time since it was asked for
 *   brought after it               that, and the time until then
 *   subscribed anew before that    that, and the time until then: it was at least so much
 *   no channel since the beat      the time since that beat was sent: this one brings what is new,
 *   before this one                which has waited no longer; or since the connection was begun,
 *                                  if the clock stood then where that beat had told: a bound,
 *                                  which the other samples are not
 *
 * What the channel brings between two beats gives no sample, and of what a beat tells of only the
 * rest of its way is seen: where the channel lags and changes are rare, the middle of the histogram
 * is too low, its upper end is not. A resync gives no sample, for it is counted (`resync`); nor
 * does the beat behind it, which may tell of a change from between the resync and the subscription:
 * that one the channel never brings.
 *
 * Thread-safety: under the apply lock. The keeper tells, the listener hears.
 */
#ifndef NIGH_COHERENCE_BEHIND_H
#define NIGH_COHERENCE_BEHIND_H

#include "coherence/core.h"

/* Keys: (l) all. */
struct coherence_behind {
    uint64_t told;     /* (l) position that a beat's answer told last */
    uint64_t asked_ns; /* (l) when that beat was sent */
    uint32_t listens;  /* (l) the listener's count at its answer: odd while subscribed */
    uint64_t owed;     /* (l) position that the channel has still to bring; 0: none */
    uint64_t owed_ns;  /* (l) ... when Redis told it */
    uint64_t most_ns;  /* (l) the longest sample that is a bound, since it was taken; 0: none is */
};

/* An answer, and what was known when it was looked at. */
struct coherence_told {
    uint64_t sequence; /* Redis' position */
    uint64_t asked_ns; /* when the beat was sent */
    uint64_t now_ns;
    uint64_t heard;    /* highest position that the channel has brought */
    uint32_t listens;  /* the listener's count */
    struct l2_mark mark; /* of the connection that answers; identity 0: it is not of this clock */
};

/* Begin with a clock that is followed now, as a resync told it. */
void coherence_behind_begin(struct coherence_behind *b, const struct coherence_told *told);
/* Take a beat's answer, which is applied. True: there is a sample, `*ret_ns`. */
bool coherence_behind_told(struct coherence_behind *b, const struct coherence_told *told,
                           uint64_t *ret_ns);
/* Take a position that the channel has brought. The same. */
bool coherence_behind_heard(struct coherence_behind *b, uint64_t sequence,
                            const struct clock *clock, uint64_t *ret_ns);
/* Returns the longest sample that is a bound, of those since the last call; 0: none is. */
uint64_t coherence_behind_take_most(struct coherence_behind *b);
/* Returns for how long the channel has owed a position; 0: it owes none. */
uint64_t coherence_behind_ns(const struct coherence_behind *b, uint64_t now_ns);

#endif
