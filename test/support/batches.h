/* SPDX-License-Identifier: MIT */
/*
 * batches.h - spaces whose loader is called for many keys at once, and calls for many.
 */
#ifndef NIGH_TEST_BATCHES_H
#define NIGH_TEST_BATCHES_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/many.h"

/* Loads that a case holds may take this: longer than a busy machine needs to bring it about. */
#define LOAD_MS (3 * WORLD_PATIENCE_MS)
#define ERROR 42

static inline struct nigh_space_options batches(uint32_t batch)
{
    struct nigh_space_options so = NIGH_SPACE_OPTIONS_INIT;
    so.batch = batch;
    so.load_deadline_ms = LOAD_MS;
    so.error_ttl_ms = LOAD_MS;
    return so;
}

static inline void open_world(struct world *w, uint32_t batch, enum nigh_run_on run_on)
{
    struct nigh_space_options so = batches(batch);
    so.run_on = run_on;
    world_open(w, NULL, &so);
}

static inline struct nigh_call with_flags(uint32_t flags)
{
    struct nigh_call call = NIGH_CALL_INIT;
    call.flags = flags;
    return call;
}

static inline bool key_is(const struct nigh_fill *fill, const char *name)
{
    size_t len;
    const char *key = nigh_fill_key(fill, &len);
    return len == strlen(name) && memcmp(key, name, len) == 0;
}

/* A world of threads in which no time passes but by world_advance(). */
static inline void open_gathering(struct world *w, uint32_t batch)
{
    struct nigh_options o = world_options(w);
    struct nigh_space_options so = exact_space();
    o.threads = NIGH_THREADS_OWN;
    o.workers = 2;
    so.batch = batch;
    so.batch_wait_us = 50000;
    so.load_deadline_ms = 3600000;
    world_open(w, &o, &so);
}

#endif
