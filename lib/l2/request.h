/* SPDX-License-Identifier: MIT */
/*
 * A request, its answer, its bytes for the wire and its small reply: one block of a pool.
 *
 *     +---------+--------+---------------------- room ----------------------+
 *     | request | answer | bytes for the wire | the reply, if it fits behind |
 *     +---------+--------+--------------------------------------------------+
 *
 * A waiter gives up at the deadline, and a receiver keeps the answer as long as he likes, while the
 * request stays on its way until its reply has come. So the block has two holders: the pipeline,
 * until it is done with the request, and whoever has the answer, until l2_answer_free(). The last
 * of them gives it back. In steady state nothing else is allocated for a request, unless it is
 * larger than the room, or its reply is.
 */
#ifndef NIGH_L2_REQUEST_H
#define NIGH_L2_REQUEST_H

#include "l2/answer.h"
#include "l2/command.h"
#include "l2/l2.h"
#include "l2/script.h"

/* Keys: see client.h. */
struct request {
    struct request *next;        /* next in its list */
    struct answer *answer;       /* (i) `own`, until it is given away; then NULL */
    l2_done_fn done;             /* (c) NULL: a waiter gets the answer, or has left */
    void *arg;                   /* (c) */
    struct l2_sync *sync;        /* (s) waiter, or who drives for `done`; NULL: not, or no longer */
    bool holds_caller;           /* (c) somebody does nothing else until it is answered */
    bool lent;                   /* (c) has a `done`, and was begun by a caller who drives */
    answer_decode_fn decode;     /* (c) */
    const struct script *script; /* (c) NULL: a command that is no script */
    struct command_wire wire;            /* (i) empty: written and not needed again */
    size_t wire_len;             /* (c) */
    uint64_t sent_ns;            /* (i) */
    uint64_t excused_ns;         /* (i) the pipeline's, when it was sent: see "evidence" there */
    uint64_t deadline_ns;        /* (c) */
    bool patient;                /* (c) not given up while bytes move */
    uint64_t number;             /* (c) call number of a script: its answer begins with it */
    bool judged;                 /* (i) the breaker has its verdict, or will have none */
    struct pool *pool;           /* (c) */
    _Atomic uint32_t holders;    /* pair(l2.request): the pipeline, and the answer's owner */
    struct answer own;           /* belongs to whoever has the answer */
    size_t reply_at;             /* (c) where in `room` the reply's part begins */
    _Alignas(16) char room[];
};

/* Fits ordinary requests: a lease and its answer are some 300 and 700 bytes. */
#define REQUEST_BYTES 2048u
#define REQUEST_ROOM (REQUEST_BYTES - offsetof(struct request, room))

/* Makes the pool of such blocks. NULL: no memory. */
struct pool *request_pool_create(struct mem *mem);

/* Takes a block, with nothing in it but an empty answer, and begins the command in its room. NULL:
 * no memory. */
struct request *request_create(struct pool *pool, struct mem *mem, struct command *command);
/* Drops the pipeline's hold: it is done with the request, or never had it. An answer that has not
 * been given away is freed. */
void request_end(struct request *r);

/* Returns where the free part of its room begins, once the command is written. */
static inline size_t request_room_used(const struct request *r)
{
    size_t used = r->wire.block ? 0 : (size_t)(r->wire.data + r->wire.len - r->room);
    return used + 15 < REQUEST_ROOM ? (used + 15) / 16 * 16 : REQUEST_ROOM;
}

struct request_list {
    struct request *head;
    struct request **tail;
    uint32_t count;
};

static inline void request_list_init(struct request_list *l)
{
    *l = (struct request_list){.tail = &l->head};
}

static inline void request_list_push(struct request_list *l, struct request *r)
{
    r->next = NULL;
    *l->tail = r;
    l->tail = &r->next;
    l->count++;
}

struct request *request_list_pop(struct request_list *l);
/* Moves all of `from` into the empty `to`. */
void request_list_move(struct request_list *to, struct request_list *from);

#endif
