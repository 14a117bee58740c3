/* SPDX-License-Identifier: MIT */
/*
 * loop.h - a loop: a queue, and the world whose calls complete on it.
 *
 *     struct loop l;
 *     open_loop(&l);
 *     uint64_t id = pend(&l, "k", 42);                 // a call that waits
 *     struct ended e = poll_one(l.queue, PATIENTLY);   // has its end
 *     close_loop(&l);
 */
#ifndef NIGH_TEST_LOOP_H
#define NIGH_TEST_LOOP_H

#include <poll.h>

#include "support/async.h"

#define NOW 0
#define PATIENTLY WORLD_PATIENCE_MS
#define LOAD_MS (3 * WORLD_PATIENCE_MS)
#define MANY 200

struct loop {
    struct world w;
    struct nigh_queue *queue;
};

static inline void open_loop_with(struct loop *l, const struct nigh_options *o,
                                  const struct nigh_space_options *so)
{
    world_open(&l->w, o, so);
    REQUIRE_EQ(nigh_queue_open(l->w.cache, &l->queue), 0);
}

static inline void open_loop(struct loop *l)
{
    struct nigh_space_options so = NIGH_SPACE_OPTIONS_INIT;
    so.load_deadline_ms = LOAD_MS;
    open_loop_with(l, NULL, &so);
}

static inline void close_loop(struct loop *l)
{
    CHECK_WITHIN(PATIENTLY, world_count(&l->w, "async") == 0); /* a landing frees the cancelled */
    nigh_queue_close(l->queue);
    world_close(&l->w);
}

static inline struct answer fetch(struct loop *l, const char *key, uintptr_t arg, uint64_t *ret_id)
{
    return begin_fetch(l->queue, l->w.space, key, NULL, arg, ret_id);
}

static inline uint64_t pend(struct loop *l, const char *key, uintptr_t arg)
{
    uint64_t id = 0;
    CHECK_EQ(fetch(l, key, arg, &id).outcome, NIGH_PENDING);
    CHECK_NE(id, 0);
    return id;
}

static inline struct nigh_call within(uint32_t ms)
{
    struct nigh_call call = NIGH_CALL_INIT;
    call.deadline_ms = ms;
    return call;
}

static inline bool is_readable(struct nigh_queue *queue)
{
    struct pollfd p = {.fd = nigh_queue_fd(queue), .events = POLLIN};
    REQUIRE(p.fd > 2);
    return poll(&p, 1, 0) == 1;
}

static pthread_t loading_thread; /* that note_thread() was on */

static inline int note_thread(struct origin *o, struct nigh_fill *fill)
{
    loading_thread = pthread_self();
    return origin_answer(o, fill);
}

#endif
