/* SPDX-License-Identifier: MIT */
/*
 * The memory that coordinator and nodes share: the plan of the run, its state, and all that was
 * counted. One memfd, inherited by the node processes, so nothing is left behind when they die.
 *
 * Keys: (c) constant once the nodes are started   (a) atomic
 *       (t) written by its one thread, read by the coordinator after that node has ended
 */
#ifndef PERF_SHARED_H
#define PERF_SHARED_H

#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "nodes/calls.h"
#include "nodes/checker.h"
#include "nodes/history.h"
#include "nodes/loads.h"
#include "nodes/stalls.h"
#include "nodes/timeline.h"
#include "support/hist.h"

#define THREADS_MAX 64
#define PATH_BYTES 512

/* The plan of a run. Keys: all (c) */
struct plan {
    double seconds;
    double updates_per_second; /* of all nodes together */
    double fault_at;
    uint32_t fault; /* 1 + its number (fault.h); 0: none */
    uint32_t nodes;
    uint32_t threads;
    uint32_t loads_per_node; /* cap on loads at once */
    uint32_t trust_ms;
    uint32_t late_ms; /* what a fault adds to the bound */
    uint64_t seed;
    bool check;
    char memory[32]; /* as nigh_options_set() takes them; empty: nigh's default */
    char shards[16];
    char policy[16];
    char redis_uri[PATH_BYTES];
    char redis_prefix[64];
    char password_file[PATH_BYTES]; /* empty: none */
    char tls_ca[PATH_BYTES];        /* likewise */
    char catalogue[PATH_BYTES];
    char revisions[PATH_BYTES];
};

enum tier { TIER_L1, TIER_L2, TIER_LOADER, TIER_COUNT };
enum outcome {
    OUTCOME_FRESH,
    OUTCOME_STALE,
    OUTCOME_ABSENT, /* the last of those that answer */
    OUTCOME_BUSY,
    OUTCOME_FAILED,
    OUTCOME_COUNT
};

/* The sightings of one application thread. */
struct client_tally {
    _Atomic uint64_t reads;               /* (a) also for the progress line */
    uint64_t outcomes[OUTCOME_COUNT];     /* (t) */
    _Atomic uint64_t tiers[TIER_COUNT];   /* (a) reads answered, absent ones too */
    struct hist latency[TIER_COUNT]; /* (t) */
    struct checker_tally checked;         /* (t) */
    int32_t failure;                      /* (t) the last error that is not "busy" */
    struct calls calls;                   /* (t) */
};

/* The sightings of a node's updater and prober. */
struct update_tally {
    uint64_t updates;                      /* (t) */
    uint64_t queued;                       /* (t) */
    uint64_t failed;                       /* (t) */
    struct hist commit_to_acceptance; /* (t) */
    struct hist lag;                  /* (t) call at another node -> applied here */
    uint64_t probes_unseen;                /* (t) */
    struct calls calls;                    /* (t) those that tell Redis */
};

/* Keys: all (a) */
struct probe {
    _Atomic uint32_t wanted; /* 1 + number of the update whose probe is to be put */
    _Atomic uint32_t ready;  /* the same, once it is in L1 there */
};

struct node {
    _Atomic bool away;        /* (a) its link to Redis is not what it should be */
    _Atomic uint32_t loading; /* (a) package whose load began last; 0: none yet */
    _Atomic int32_t origin_now; /* (a) its loader calls that are running */
    struct stalls stalls;     /* (a) */
    _Atomic uint64_t doubt_end_ns; /* (a) when stored values could not be called fresh last */
    _Atomic bool trusted; /* (a) they can be */
    _Atomic uint64_t resynced_ns; /* (a) when it has met a clock of Redis last */
    _Atomic int64_t listeners_lost; /* (a) connections for changes that have ended */
    sem_t probe_wanted;       /* wakes the prober */
    struct probe probes[NODES_MAX]; /* by the node that updates */
    uint64_t memory_peak;     /* (t) as nigh accounts it */
    uint64_t memory_cap;      /* (t) */
    uint64_t resident_peak;   /* (t) of the whole process */
    int64_t resyncs;          /* (t) */
    uint64_t doubt_ns;        /* (t) how long stored values could not be called fresh */
    int64_t queued_at_end;    /* (t) */
    struct timeline timeline; /* (t) */
    struct update_tally update;
    struct client_tally clients[THREADS_MAX];
};

struct shared {
    struct plan plan;
    uint32_t packages;             /* (c) */
    uint32_t update_capacity;      /* (c) */
    uint32_t load_capacity;        /* (c) */
    size_t bytes;                  /* (c) of all of it */
    _Atomic uint32_t ready;        /* (a) nodes that may start */
    _Atomic bool start;            /* (a) */
    _Atomic bool stop;             /* (a) */
    struct checker_allowance allowance; /* (a) for the fault */
    _Atomic bool flood;            /* (a) updaters change much that nobody reads */
    _Atomic int32_t origin_now;    /* (a) loader calls running, all nodes */
    _Atomic int32_t origin_peak;   /* (a) */
    _Atomic uint64_t origin_loads; /* (a) */
    struct node nodes[NODES_MAX];
};

/* Zeroed, in a memfd whose descriptor a child inherits. */
struct shared *shared_create(const struct plan *plan, uint32_t packages, int *ret_fd);
struct shared *shared_attach(int fd);
void shared_free(struct shared *shared, int fd);

struct history shared_history(struct shared *shared);
struct loads shared_loads(struct shared *shared);

/* Around one call of the loader; and of those that a killed node was in. */
void shared_origin_enter(struct shared *shared, uint32_t node);
void shared_origin_leave(struct shared *shared, uint32_t node);
void shared_origin_lost(struct shared *shared, uint32_t node);

static inline bool shared_stopped(const struct shared *shared)
{
    return atomic_load_explicit(&shared->stop, memory_order_relaxed);
}

#endif
