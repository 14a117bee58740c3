/* SPDX-License-Identifier: MIT */
/*
 * Applying changes: those of the channel, of a beat's log, and our own. Private to coherence.
 */
#ifndef NIGH_COHERENCE_APPLY_H
#define NIGH_COHERENCE_APPLY_H

#include "coherence/chain.h"
#include "coherence/core.h"
#include "coherence/state.h"

/* A finished call is looked for when its frame comes back, microseconds later: this many are
 * remembered. The frame of a forgotten call is applied again, which costs a reload of its keys and
 * nothing else. */
#define COHERENCE_FINISHED_CALLS 4096u

/* Remembers one of our calls. */
struct coherence_call {
    uint64_t begun;                /* (l) the id of the call that has this place ... */
    uint64_t made_ns;              /* (l) ... and when the oldest of its items was made */
    uint64_t finished;             /* (l) the id of the call whose local step is done ... */
    uint64_t early;                /* (l) ... of the call whose frame came before that step ... */
    struct coherence_heard heard;  /* (l) ... and what this frame did */
};

struct coherence_apply {
    struct coherence_call *own; /* (l) own calls, direct-mapped by id */
};

/* 0 or NIGH_ENOMEM. */
int coherence_apply_init(struct coherence_apply *a, struct mem *mem);
void coherence_apply_fini(struct coherence_apply *a, struct mem *mem);

/* Applies rule 2 to one item: a group's position, then the sink's floor. Sequence 0: its position
 * is unknown. Returns the floor of a key. */
uint64_t coherence_apply_item_locked(struct coherence *c, const struct coherence_item *item,
                                     uint64_t sequence) REQUIRES(c->state->apply_lock);
/* Moves `applied` and `known`, after the items of `sequence`. */
void coherence_applied_locked(struct coherence *c, uint64_t sequence, uint64_t nonce)
    REQUIRES(c->state->apply_lock);
/* Notes when the items of a call of ours were made, the oldest of them: for its frame, should that
 * come before the local step, or after it where that did not know the position. */
void coherence_begin_call(struct coherence *c, uint64_t call, uint64_t made_ns);
/* Returns what the frame of a call of ours has done before its local step. */
struct coherence_heard coherence_heard_locked(const struct coherence *c, uint64_t call)
    REQUIRES(c->state->apply_lock);
/* Notes that the local step of a call of ours is done at its position: its frame may be skipped. */
void coherence_finish_call_locked(struct coherence *c, uint64_t call)
    REQUIRES(c->state->apply_lock);

enum coherence_trail {
    COHERENCE_TRAIL_WHOLE, /* everything Redis had is applied */
    COHERENCE_TRAIL_MORE,  /* the trail goes on beyond what the answer holds */
    COHERENCE_TRAIL_LARGE, /* the next frame was too large for the log */
    COHERENCE_TRAIL_LOST,  /* missing changes are not in the log, or the clock is another */
    COHERENCE_TRAIL_REWOUND, /* a change applied or accepted here is not in its history */
};
/* Applies the log entries of a beat. `known`: when the beat was sent; the answer must show it. */
enum coherence_trail coherence_apply_log_locked(struct coherence *c, const struct l2_answer *answer,
                                                const struct coherence_point *known)
    REQUIRES(c->state->apply_lock);
/* Take a frame that the listener heard, and one that it heard on the channel of wire version 1. */
void coherence_push(struct coherence *c, struct bytes payload);
void coherence_push_old(struct coherence *c, struct bytes payload);

#endif
