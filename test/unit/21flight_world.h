/* SPDX-License-Identifier: MIT */
/*
 * What the tests of lib/flight share: a host whose steps are scripted, whose worker queue is a list
 * that the test runs when it likes, and which counts what must balance.
 */
#ifndef NIGH_TEST_FLIGHT_WORLD_H
#define NIGH_TEST_FLIGHT_WORLD_H

#include <pthread.h>

#include "flight/flight.h"
#include "support/check.h"
#include "support/fake_env.h"

#define WORLD_LATER (FAKE_ENV_START_NS + NS_PER_S) /* a deadline in the fake time */

struct world {
    struct fake_env fake;
    struct env real;
    struct env *env;
    struct flight_table *table;
    void (*script)(struct world *w, struct flight *f, uint32_t events); /* one step */
    void *arg;                                                          /* the script's own */
    struct flight *target;                                              /* the test's own */
    pthread_mutex_t lock;
    struct flight *queue; /* (lock) given to host->run, newest first */
    unsigned queued;      /* (lock) */
    _Atomic unsigned steps;
    _Atomic unsigned loads;
    _Atomic unsigned freed;
    _Atomic uint32_t events; /* of all steps */
};

static inline void world_run(void *arg, struct flight *f)
{
    struct world *w = arg;
    pthread_mutex_lock(&w->lock);
    f->run_next = w->queue;
    w->queue = f;
    w->queued++;
    pthread_mutex_unlock(&w->lock);
}

static inline void world_step(void *arg, struct flight *f, uint32_t events)
{
    struct world *w = arg;
    w->steps++;
    w->events |= events;
    w->script(w, f, events);
}

static inline void world_free(void *arg, struct flight *f)
{
    struct world *w = arg;
    CHECK_EQ(f->landed, 1);
    w->freed++;
}

static inline void world_open(struct world *w, struct env *env,
                              void (*script)(struct world *, struct flight *, uint32_t))
{
    w->env = env;
    w->script = script;
    pthread_mutex_init(&w->lock, NULL);
    struct flight_table_config config = {env, {world_run, world_step, world_free, w, 0}};
    REQUIRE_EQ(flight_table_create(&config, &w->table), 0);
}

/* In fake time, for one thread at a time. */
static inline void world_init(struct world *w,
                              void (*script)(struct world *, struct flight *, uint32_t))
{
    *w = (struct world){.script = NULL};
    fake_env_init(&w->fake, check_seed());
    world_open(w, &w->fake.env, script);
}

static inline void world_fini(struct world *w)
{
    CHECK_EQ(flight_count(w->table), 0);
    CHECK_EQ(w->queued, 0);
    flight_table_destroy(w->table);
    pthread_mutex_destroy(&w->lock);
    fake_env_fini(&w->fake);
}

/* With the kernel's clock and futex, for threads. */
static inline void world_init_real(struct world *w,
                                   void (*script)(struct world *, struct flight *, uint32_t))
{
    *w = (struct world){.script = NULL};
    REQUIRE_EQ(env_init_real(&w->real, true), 0);
    world_open(w, &w->real, script);
}

static inline void world_fini_real(struct world *w)
{
    CHECK_EQ(flight_count(w->table), 0);
    flight_table_destroy(w->table);
    pthread_mutex_destroy(&w->lock);
    env_fini(&w->real);
}

/* As a worker: run one flight of the queue, if there is one. */
static inline bool world_work(struct world *w)
{
    pthread_mutex_lock(&w->lock);
    struct flight *f = w->queue;
    if (f) {
        w->queue = f->run_next;
        w->queued--;
    }
    pthread_mutex_unlock(&w->lock);
    if (f)
        flight_run(f);
    return f != NULL;
}

/* All keys are one letter with one hash: the worst chain there can be. */
static inline struct flight_join world_join_of(const char *key)
{
    return (struct flight_join){
        .key = {.space = NULL, .space_id = 1, .hash = 7, .data = key, .len = 1},
        .ticket = 10,
        .key_floor_ok = 0,
        .deadline_ns = CLOCK_NEVER_NS,
        .waiters_max = 100,
    };
}

static inline struct flight *world_join(struct world *w, const char *key, int role)
{
    struct flight_join join = world_join_of(key);
    struct flight *f = NULL;
    REQUIRE_EQ(flight_join(w->table, &join, &f), role);
    return f;
}

/* A step that loads: the whole flight in one go. */
static inline void world_land(struct flight *f, int outcome)
{
    f->outcome = outcome;
    flight_land(f);
}

/* START leads to a landing. */
static inline void world_script_load(struct world *w, struct flight *f, uint32_t events)
{
    if (!(events & FLIGHT_EV_START))
        return;
    w->loads++;
    world_land(f, NIGH_FRESH);
}

/* START leaves a request on its way (to be ended by world_reply); its reply is the result. */
static inline void world_script_ask(struct world *w, struct flight *f, uint32_t events)
{
    if (events & FLIGHT_EV_START) {
        flight_ref(f);
        w->target = f;
    }
    if ((events & (FLIGHT_EV_REPLY | FLIGHT_EV_DEADLINE)) && f->state != FLIGHT_LAND)
        world_land(f, (events & FLIGHT_EV_REPLY) ? NIGH_FRESH : NIGH_ETIMEDOUT);
}

static inline void world_reply(struct world *w)
{
    flight_post(w->target, FLIGHT_EV_REPLY);
    flight_unref(w->target);
}

#endif
