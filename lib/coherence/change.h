/* SPDX-License-Identifier: MIT */
/*
 * Changes of our own: the script, and the local step once Redis has accepted it. Private to
 * coherence.
 */
#ifndef NIGH_COHERENCE_CHANGE_H
#define NIGH_COHERENCE_CHANGE_H

#include "coherence/core.h"
#include "coherence/probe.h"
#include "coherence/state.h"

/* Tries of a change while the list of schemas moves between question and answer. Then a caller
 * leaves the change to the queue, and the queue waits as after a failure. */
#define COHERENCE_NAMED_TRIES 4u

struct coherence_changes {
    _Atomic uint64_t calls; /* (a) ids given to changes: written with each, so on its own line */
    struct coherence_probe probe;
};

/* A change ready to be sent: its script's arguments in one block. */
struct coherence_script {
    void *block;
    size_t size;
    struct schema_list *schemas; /* names its keys in all schemas; a reference */
    struct l2_change change;
    uint64_t call;
    struct coherence_position known; /* when it was made: it gets a later one, if all is well */
    bool dropped; /* sent without the value that it should have had */
};
/* `writes`: the items' values; NULL: none has one. 0 or NIGH_ENOMEM. */
int coherence_script_make(struct coherence *c, const struct coherence_item *items, uint32_t count,
                          const struct coherence_write *writes, struct coherence_script *ret);
void coherence_script_free(struct coherence *c, struct coherence_script *s);

/*
 * Settles an accepted change, that is, does its local step: note its clock, raise floors, finish
 * the call. `key` does what sink.key would; NULL: sink.key itself. True: its clock is not the one
 * followed, so that the caller should wait for one.
 */
struct coherence_accepted {
    const struct coherence_item *items;
    uint32_t item_count;
    const struct l2_answer *answer;
    uint64_t call;
    uint64_t nonce;
    struct coherence_position known; /* when its script was made */
    uint64_t made_ns;  /* when the call began; 0: each item says it, if it is not now */
    const bool *noted; /* per item: `recent` has it; NULL: it has none */
    bool keeps;        /* as in struct coherence_change */
    bool wrote;        /* values were sent: the answer says of each whether it was set */
    bool queued;       /* ... by the queue: they are here already */
    const struct coherence_write *puts; /* not accepted: what is here until it is; NULL: nothing */
    uint32_t uncounted; /* items that count elsewhere, or did before */
    uint64_t (*key)(void *arg, const struct coherence_item *item, bool stored,
                    struct coherence_heard heard);
    void *arg;
};
bool coherence_settle(struct coherence *c, const struct coherence_accepted *a);
/* Settle a change that Redis has not accepted, once it is queued; `folded`: as one of all. */
void coherence_settle_queued(struct coherence *c, const struct coherence_accepted *a, bool folded);
void coherence_settle_queued_locked(struct coherence *c, const struct coherence_accepted *a,
                                    bool folded) REQUIRES(c->state->apply_lock);

#endif
