/* SPDX-License-Identifier: MIT */
/*
 * Answers: what `done` is given, and the decoding of replies into them. An answer lies in the block
 * of its request, which is taken before that is queued: no failure of memory can lose a callback.
 */
#ifndef NIGH_L2_ANSWER_H
#define NIGH_L2_ANSWER_H

#include "l2/l2.h"
#include "l2/reply.h"

/* The answers to a batch that is on several servers: see get_many.c. */
struct gathered {
    size_t size; /* the block's, which begins with this */
    uint32_t part_count;
    uint8_t part_of[L2_MANY_MAX];  /* names the answer that has a key ... */
    uint8_t place_of[L2_MANY_MAX]; /* ... and where */
    struct l2_answer **parts;      /* NULL: there is none, the request was refused */
};

struct answer {
    struct l2_answer public;
    struct mem *mem;
    struct reply *reply; /* public.value and public.entries point into it */
    const char *replid;  /* last told by the connection that answers; set before the decoding */
    size_t entries_size;
    uint32_t asked; /* keys that were asked for, if they were many */
    struct gathered *gathered; /* NULL: `reply` has all */
};

void answer_init(struct answer *answer, struct mem *mem);
/* Frees what it holds. */
void answer_fini(struct answer *answer);

/*
 * Take a reply that is no error into the answer. The reply stays with the caller, who hangs it into
 * the answer when the decoding has succeeded. 0; NIGH_EREDIS not what was asked for; NIGH_ENOMEM.
 */
typedef int (*answer_decode_fn)(struct answer *answer, const struct reply *reply);

int answer_decode_status(struct answer *answer, const struct reply *reply);
int answer_decode_get(struct answer *answer, const struct reply *reply);
/* Takes a text for people, or nil, which is an empty one. */
int answer_decode_text(struct answer *answer, const struct reply *reply);
int answer_decode_many(struct answer *answer, const struct reply *reply);
/* Takes {number, replid, head, time_ms, verdict, more, registered}, from any script; the verdict
 * says what `more` is. The usual answer to LEASE and FILL is one string: number, verdict, clock. */
int answer_decode_script(struct answer *answer, const struct reply *reply);
/* As answer_decode_script(); the usual answer to TELL is one string: the stamp of its frame. */
int answer_decode_tell(struct answer *answer, const struct reply *reply);
/* As answer_decode_script(); `more`: the value, the lease, and the ms that each has left. */
int answer_decode_peek(struct answer *answer, const struct reply *reply);
/* As answer_decode_script(); `more`: what each key got, or its verdict. */
int answer_decode_leases(struct answer *answer, const struct reply *reply);
int answer_decode_fills(struct answer *answer, const struct reply *reply);
/* As answer_decode_script(); `more`: log entries, each after its sequence number. */
int answer_decode_beat(struct answer *answer, const struct reply *reply);
/* As answer_decode_script(); `more`: the schemas, the number of slots, whether missing pages have
 * not changed, and the pages, each after its number. */
int answer_decode_resync(struct answer *answer, const struct reply *reply);

/* Take the fields that every script's answer has. 0 or NIGH_EREDIS. */
int answer_decode_common(struct answer *answer, const struct reply *reply);
/* Returns the array that `more` is; NULL: it is none. */
const struct reply *answer_more(const struct reply *reply);

/* Returns hash(replid, id) of a clock; 0 is kept for "no clock". */
uint64_t answer_clock_identity(const char *replid, const uint8_t *id);

/* Whether a script's reply is to the call of this number. */
bool answer_is_to(const struct reply *reply, uint64_t number);

#endif
