/* SPDX-License-Identifier: MIT */
/*
 * deferring.h - an asynchronous client of the origin: its loader defers every answer.
 *
 *     struct client c;
 *     open_client(&c);
 *     pend(&c, "k");
 *     struct nigh_fill *fill = queried(&c, 1);   // the query has begun, and its loader returned
 *     CHECK_EQ(say(fill, "later"), 0);
 *     CHECK_ANSWER(poll_one(c.queue, PATIENTLY).answer, NIGH_FRESH, "later");
 *     CHECK_OVER(fill, NIGH_EINVAL);             // the name is nobody's any more
 *     close_client(&c);
 */
#ifndef NIGH_TEST_DEFERRING_H
#define NIGH_TEST_DEFERRING_H

#include <stdio.h>
#include <string.h>

#include "support/async.h"

#define PATIENTLY WORLD_PATIENCE_MS
#define LOAD_MS (3 * WORLD_PATIENCE_MS)
#define SHORT_MS 300u /* a deadline that a case waits for */
#define MANY 64

/* An asynchronous client of the origin: queries that have begun, in order. */
struct client {
    struct world w;
    struct nigh_queue *queue;
    struct nigh_fill *fills[MANY];
    _Atomic unsigned begun;
    char said[400]; /* the last warning */
    _Atomic unsigned warnings;
};

static inline int query(struct origin *o, struct nigh_fill *fill)
{
    struct client *c = o->arg;
    unsigned n = atomic_load(&c->begun);
    int rc = nigh_fill_defer(fill, &c->fills[n % MANY]);
    if (rc == 0)
        atomic_store(&c->begun, n + 1);
    return rc;
}

static inline void hear(void *arg, enum nigh_log_level level, const char *message)
{
    struct client *c = arg;
    if (level != NIGH_LOG_WARN)
        return;
    snprintf(c->said, sizeof(c->said), "%s", message);
    atomic_fetch_add(&c->warnings, 1);
}

static inline void open_client_with(struct client *c, struct nigh_options *o,
                                    const struct nigh_space_options *so)
{
    c->begun = 0;
    c->warnings = 0;
    o->log = hear;
    o->log_arg = c;
    world_open(&c->w, o, so);
    c->w.origin.arg = c;
    c->w.origin.script = query;
    REQUIRE_EQ(nigh_queue_open(c->w.cache, &c->queue), 0);
}

static inline struct nigh_options small(void)
{
    struct nigh_options o = NIGH_OPTIONS_INIT;
    o.l1_memory = 8u << 20;
    o.group_slots = 2048;
    return o;
}

static inline struct nigh_space_options patient_space(void)
{
    struct nigh_space_options so = NIGH_SPACE_OPTIONS_INIT;
    so.load_deadline_ms = LOAD_MS;
    return so;
}

static inline void open_client(struct client *c)
{
    struct nigh_options o = small();
    struct nigh_space_options so = patient_space();
    open_client_with(c, &o, &so);
}

static inline void close_client(struct client *c)
{
    nigh_queue_close(c->queue);
    world_close(&c->w);
}

/* Waits until so many queries have begun; returns the fill of the last one. */
static inline struct nigh_fill *queried(struct client *c, unsigned count)
{
    REQUIRE(CHECK_WITHIN(PATIENTLY, atomic_load(&c->begun) >= count));
    CHECK_WITHIN(PATIENTLY, world_count(&c->w, "load_deferred") >= count); /* it has returned */
    return c->fills[(count - 1) % MANY];
}

static inline int say(struct nigh_fill *fill, const char *text)
{
    return nigh_fill_value(fill, text, strlen(text));
}

static inline void pend(struct client *c, const char *key)
{
    CHECK_EQ(begin_fetch(c->queue, c->w.space, key, NULL, 1, NULL).outcome, NIGH_PENDING);
}

#define CHECK_OVER(fill, why)                                                                      \
    do {                                                                                           \
        size_t len_ = 7;                                                                           \
        uint64_t version_ = 7;                                                                     \
        CHECK_EQ(say((fill), "late"), (why));                                                      \
        CHECK_EQ(nigh_fill_uncacheable((fill), "late", 4), (why));                                 \
        CHECK_EQ(nigh_fill_absent(fill), (why));                                                   \
        CHECK_EQ(nigh_fill_error((fill), 1), (why));                                               \
        CHECK_EQ(nigh_fill_not_modified(fill), (why));                                             \
        CHECK_EQ(nigh_fill_set_ttl((fill), 1, 1), (why));                                          \
        CHECK_EQ(nigh_fill_set_version((fill), 1), (why));                                         \
        CHECK_EQ(nigh_fill_add_tag((fill), "t"), (why));                                           \
        CHECK(!nigh_fill_key((fill), &len_));                                                      \
        CHECK(!nigh_fill_previous((fill), &len_, &version_));                                      \
        CHECK_EQ(nigh_fill_time_left_ms(fill), 0);                                                 \
        CHECK(len_ == 7 && version_ == 7);                                                         \
    } while (0)

#endif
