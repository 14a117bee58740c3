/* SPDX-License-Identifier: MIT */
/*
 * Asynchronous calls for tests: a completion, copied out and released.
 *
 *     struct answer a = begin_fetch(&w, queue, "k", NULL, 7, &id);
 *     CHECK_EQ(a.outcome, NIGH_PENDING);
 *     struct ended e = poll_one(queue, WORLD_PATIENCE_MS);
 *     CHECK_ANSWER(e.answer, NIGH_FRESH, "k=1");
 *     CHECK_EQ(e.arg, 7);
 */
#ifndef NIGH_TEST_ASYNC_H
#define NIGH_TEST_ASYNC_H

#include <string.h>

#include "support/origin.h"

struct ended {
    int polled; /* returned by nigh_queue_poll() */
    uint64_t id;
    uintptr_t arg;
    int load_error;
    struct answer answer;
};

/* Copies a value out, and releases it. */
static inline struct answer answer_of(int outcome, struct nigh_value *value)
{
    struct answer a = {.outcome = outcome, .len = value->len};
    a.tier = nigh_value_tier(value);
    a.version = nigh_value_version(value);
    size_t cut = a.len < sizeof(a.text) - 1 ? a.len : sizeof(a.text) - 1;
    if (cut)
        memcpy(a.text, value->data, cut);
    nigh_release(value);
    return a;
}

static inline struct answer begin_fetch(struct nigh_queue *queue, struct nigh_space *space,
                                        const char *key, const struct nigh_call *call,
                                        uintptr_t arg, uint64_t *ret_id)
{
    struct nigh_value value = NIGH_VALUE_INIT;
    int rc = nigh_fetch_async(queue, space, key, strlen(key), call, (void *)arg, &value, ret_id);
    return answer_of(rc, &value);
}

static inline struct ended poll_one(struct nigh_queue *queue, uint32_t timeout_ms)
{
    struct nigh_completion c = {.outcome = NIGH_MISS, .value = NIGH_VALUE_INIT};
    struct ended e = {.polled = nigh_queue_poll(queue, &c, 1, timeout_ms)};
    e.id = c.id;
    e.arg = (uintptr_t)c.arg;
    e.load_error = c.load_error;
    e.answer = answer_of(c.outcome, &c.value);
    return e;
}

#endif
