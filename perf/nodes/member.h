/* SPDX-License-Identifier: MIT */
/*
 * One node process: its cache, its threads, and what they share.
 *
 *   clients   application threads: draw a name, fetch its page, judge it
 *   updater   commits updates and invalidates what shows them
 *   prober    measures how long other nodes' invalidations take to arrive
 *   watcher   the main thread: notes when Redis is out of reach
 *   control   sleeps, and so finds out when the node was not let run (stalls.h)
 *   loader    runs on clients and on nigh's workers, with an SQLite connection per thread
 */
#ifndef PERF_MEMBER_H
#define PERF_MEMBER_H

#include <nigh/nigh.h>
#include <pthread.h>

#include "nodes/checker.h"
#include "nodes/loads.h"
#include "nodes/population.h"
#include "nodes/shared.h"

#define LOAD_DEADLINE_MS NIGH_DEFAULT_LOAD_DEADLINE_MS
#define PROBE_NAME_BYTES 32

/* Keys: all (c) once the threads run; what they point to takes care of itself. */
struct member {
    struct shared *shared;
    struct node *self;
    uint32_t number;
    const struct plan *plan;
    struct population *population;
    struct history history;
    struct loads loads;
    struct checker checker;
    struct nigh *cache;
    struct nigh_space *pages;
    struct nigh_space *probes;
};

/* Run node `number` of the job whose memory is behind `fd`. Returns the exit status. */
int member_run(int fd, uint32_t number);

/* ---- loader.c ---- */

/* Tell the loader about the call that it may be part of; thread-local. */
void loader_expect(uint64_t begin_ns, enum load_look look, uint64_t look_ns);
/* Whether the loader has run on this thread since loader_expect(). */
bool loader_has_run(void);
/* nigh_loader_fn of the space of pages; `arg` is the member. */
int loader_run(void *arg, struct nigh_fill *const fills[], size_t n);

/* ---- the threads; `arg` of each as said ---- */

struct client {
    struct member *member;
    uint32_t number;
    pthread_t thread;
};
void *client_run(void *arg);  /* struct client */
void *updater_run(void *arg); /* struct member */
void *prober_run(void *arg);  /* struct member */

/* The key of the probe that travels with an update. */
size_t prober_name(char name[PROBE_NAME_BYTES], uint32_t update);
/* Ask the other nodes to have the probe of `update` in their L1; waits for them, but not long. */
void prober_ask(struct member *m, uint32_t update);

/* The main thread's turn while the job runs; returns when it has been stopped. */
void watcher_run(struct member *m);
/* A counter or gauge of the whole cache. */
int64_t watcher_stat(const struct member *m, const char *name);

#endif
