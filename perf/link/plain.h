/* SPDX-License-Identifier: MIT */
/*
 * Connections of hiredis, one for each thread, used as its manual shows.
 */
#ifndef PERF_LINK_PLAIN_H
#define PERF_LINK_PLAIN_H

#include <hiredis/hiredis.h>
#include <string.h>

#include "link/link.h"

#define PLAIN_ARGS_MAX (LINK_BATCH_MAX + 8)

struct plain {
    const struct row *row;
    redisContext *connections[LINK_THREADS_MAX];
    char script[41]; /* its digest; empty: none */
};

/* A command being put together. */
struct plain_args {
    const char *data[PLAIN_ARGS_MAX];
    size_t lens[PLAIN_ARGS_MAX];
    int count;
};

static inline void plain_add(struct plain_args *a, const void *data, size_t len)
{
    a->data[a->count] = data;
    a->lens[a->count++] = len;
}

static inline void plain_word(struct plain_args *a, const char *word)
{
    plain_add(a, word, strlen(word));
}

redisContext *plain_connect(void);
void *plain_open(const struct row *row);
void plain_close(void *self);
/* Add so many keys, from the one that the call begins with. */
void plain_keys(struct plain_args *a, unsigned at, unsigned count);
/* Load a script into Redis and keep its digest. */
void plain_load(struct plain *p, const char *text);
/* Send, wait, and judge the reply's type; the reply is the caller's. */
redisReply *plain_ask(struct plain *p, unsigned thread, const struct plain_args *a, int type);
void plain_send(struct plain *p, unsigned thread, const struct plain_args *a);
redisReply *plain_take(struct plain *p, unsigned thread, int type);

#endif
