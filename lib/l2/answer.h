/* SPDX-License-Identifier: MIT */
/*
 * Answers: what `done` is given, and the decoding of replies into them. An answer lies in the block
 * of its request, which is there before it is queued: no failure of memory can lose a callback.
 */
#ifndef NIGH_L2_ANSWER_H
#define NIGH_L2_ANSWER_H

#include "l2/l2.h"
#include "l2/reply.h"

struct answer {
    struct l2_answer public;
    struct mem *mem;
    struct reply *reply; /* what public.value and public.entries point into */
    const char *replid;  /* last told by the connection that answers; set before the decoding */
    size_t entries_size;
    uint32_t asked; /* many: for how many */
};

void answer_init(struct answer *answer, struct mem *mem);
/* Frees what it holds. */
void answer_fini(struct answer *answer);

/*
 * Take a reply that is no error into the answer. The reply stays with the caller, who hangs it into
 * the answer when the decoding has succeeded. 0; NIGH_EREDIS not what was asked for; NIGH_ENOMEM.
 */
typedef int (*answer_decode_fn)(struct answer *answer, const struct reply *reply);

int answer_decode_get(struct answer *answer, const struct reply *reply);
int answer_decode_many(struct answer *answer, const struct reply *reply);
/* {number, replid, head, time_ms, verdict, more, registered}: all scripts. `more` by verdict. What
 * is usual of LEASE and FILL is one string: number, verdict, clock. */
int answer_decode_script(struct answer *answer, const struct reply *reply);
/* The same; what is usual of TELL is one string: the stamp of its frame. */
int answer_decode_tell(struct answer *answer, const struct reply *reply);
/* The same; more: log entries, each after its sequence number. */
int answer_decode_beat(struct answer *answer, const struct reply *reply);
/* The same; more: the schemas, the number of slots, whether pages that are missing are as they
 * were, pages after their numbers. */
int answer_decode_resync(struct answer *answer, const struct reply *reply);

/* Whether a script's reply is to the call of this number. */
bool answer_is_to(const struct reply *reply, uint64_t number);

#endif
