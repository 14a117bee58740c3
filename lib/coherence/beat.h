/* SPDX-License-Identifier: MIT */
/*
 * The beat: the keeper's request that extends trust and fetches what the channel lost. Private to
 * coherence.
 */
#ifndef NIGH_COHERENCE_BEAT_H
#define NIGH_COHERENCE_BEAT_H

#include "coherence/chain.h"
#include "coherence/core.h"
#include "coherence/keeper.h"

struct coherence_beat {
    struct coherence_request request;
    bool resync;          /* (k) the outstanding request is a resync */
    bool resync_next;     /* (k) the trail is lost: the next request is one */
    uint64_t voids;       /* (k) `voids` when it was sent */
    uint64_t after_seq;   /* (k) `applied` when it was sent */
    struct coherence_point known; /* (k) `known` when it was sent: the answer goes on from it */
    uint64_t large_ns;    /* (k) since when beats find a large frame not yet heard; or 0 */
    _Atomic bool old_told; /* (a) nodes of wire version 1 change values: seen here, and logged */
    _Atomic uint32_t slots_there; /* (a) Redis' group slots, where they are not ours; 0: they are */
    uint64_t asked_ns;    /* (k) when it was sent, by the precise clock: nothing is judged by it */
    uint64_t sent_ns;     /* (k) coarse clock, read before it was queued: trust counts from here */
    uint64_t due_ns;      /* (k) when the next regular beat is due */
    uint64_t earliest_ns; /* (k) no beat on demand is sent before */
    uint64_t spacing_ns;  /* (k) least time between beats on demand, now */
    uint64_t resync_at_ns; /* (k) no resync is sent before */
    uint32_t resyncs;     /* (k) resyncs of late: without a pause of some seconds in between */
    _Atomic bool vain;    /* (a) an answer has brought no clock: the next may be the same */
    _Atomic bool link_new; /* (a) the connection is another: no spacing holds */
    uint64_t checked_ns;  /* (k) when the listener was last looked after ... */
    uint64_t checked_seq; /* (k) ... and Redis' position then: to be heard by the next look */
    uint64_t heard_base;  /* (k) position of Redis when the listener had just subscribed */
    uint32_t checked_listens; /* (k) `listens` then */
    uint64_t deaf_at;     /* (k) what it had heard when it was reconnected last ... */
    uint64_t deaf_until_ns; /* (k) ... which is not done again before, if it has heard no more */
    uint64_t deaf_pause_ns; /* (k) the pause up to then; 0: it was never reconnected */
};

void coherence_beat_init(struct coherence *c);
void coherence_beat_fini(struct coherence_beat *b);
/* The link is up: whatever was spaced out before, ask now. Any thread. */
void coherence_beat_anew(struct coherence *c);
uint64_t coherence_beat_step(struct coherence *c);

#endif
