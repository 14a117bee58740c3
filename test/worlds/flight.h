/* SPDX-License-Identifier: MIT */
/*
 * The world of the tests of lib/flight: a host whose steps are scripted, whose worker queue is a
 * list that the test runs when it likes, and which counts what must balance.
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
    _Atomic uint32_t events; /* gathered from all steps */
};

/* In fake time, for one thread at a time. */
void world_init(struct world *w, void (*script)(struct world *, struct flight *, uint32_t));
void world_fini(struct world *w);

/* With the kernel's clock and futex, for threads. */
void world_init_real(struct world *w, void (*script)(struct world *, struct flight *, uint32_t));
void world_fini_real(struct world *w);

/* As a worker: run one flight of the queue, if there is one. */
bool world_work(struct world *w);

/* All keys are one letter with one hash: the worst chain there can be. */
struct flight_join world_join_of(const char *key);
struct flight *world_join(struct world *w, const char *key, int role);

/* A step that loads: the whole flight in one go. */
void world_land(struct flight *f, int outcome);

/* START leads to a landing. */
void world_script_load(struct world *w, struct flight *f, uint32_t events);

/* START leaves a request on its way (to be ended by world_reply); its reply is the result. */
void world_script_ask(struct world *w, struct flight *f, uint32_t events);
void world_reply(struct world *w);

#endif
