/* SPDX-License-Identifier: MIT */
/*
 * Faults: what befalls the private Redis, its connections or a node in the middle of a run.
 *
 * A fault is a course of steps, each due some time after (or before) the moment that the command
 * line gives. The coordinator's loop calls fault_drive(); a step is a few commands and no waiting.
 * What comes when it comes (Sentinels agree, Redis cuts a listener off) is looked for, and the next
 * step has to wait for it; the run goes on meanwhile, at most for FAULT_PATIENCE_NS.
 * There is one table: --help, the report and the JSON say what stands there.
 *
 * What a fault makes Redis forget under a clock that stays the same is told to the history, so that
 * reads are judged by what could be known (history.h).
 */
#ifndef PERF_FAULT_H
#define PERF_FAULT_H

#include <stdbool.h>
#include <stdint.h>

#include <sys/types.h>

#include "nodes/history.h"
#include "nodes/servers.h"

#define FAULT_STEPS_MAX 12
/* Sentinels that see a clock jump, as on a busy machine, do nothing for 30 s. */
#define FAULT_PATIENCE_S 120
#define FAULT_KINDS_MAX 32

struct fault;
struct shared;

struct fault_step {
    double after_s;                 /* the moment of the fault; negative: before it */
    bool (*take)(struct fault *f);  /* false: servers.error says why the run cannot go on */
    const char *what;               /* for people, 18 characters at most; NULL: no news */
    bool again;                     /* taken again and again, until the next is due */
    bool (*until)(struct fault *f); /* the next is not due before this is so; NULL: at any time */
};

/* The node processes, which some faults befall. */
struct fault_nodes {
    pid_t *pids;
    uint32_t count;
    struct shared *shared;
    void (*start)(void *arg, uint32_t node); /* begins one anew, that was killed */
    void *arg;
};

/* What shows that a fault was felt (felt.h). */
enum fault_sign {
    FAULT_COUNTS = 1,       /* its steps count what it hit */
    FAULT_TAKES_TRUST = 2,  /* a node could call nothing fresh */
    FAULT_TAKES_REDIS = 4,  /* a node noticed that Redis did not answer as it should */
    FAULT_RENEWS = 8,       /* a node met Redis anew */
    FAULT_DELAYS = 16,      /* a fresh read was late */
};

struct fault_kind {
    const char *name;
    const char *does; /* a line of --help */
    enum servers_kind wants;
    uint32_t nodes;         /* at least */
    uint32_t late_ms;       /* reads may be so much later because of it than the bound says */
    bool calls_hold;        /* no call may end with an error because of it */
    uint32_t signs;         /* of enum fault_sign: any of them will do */
    struct fault_step steps[FAULT_STEPS_MAX]; /* up to the first without `take` */
};

/* When a step was taken. */
struct fault_event {
    const char *what;
    uint64_t ns;
};

/* A fault in a run. Written by the coordinator alone. */
struct fault {
    const struct fault_kind *kind; /* NULL: none is made */
    uint64_t begin_ns;             /* of the run */
    double at_s;
    uint64_t bound_ns;  /* of trust: so long nodes may take to learn of it */
    uint64_t up_ns;     /* Redis is there again since; 0: it was never gone */
    uint32_t next;      /* step */
    uint64_t stopped_ns; /* since when a node stands still */
    bool repeats;       /* a step that ends with the next is on */
    bool waits;         /* for `until` of the step taken last */
    uint64_t since_ns;  /* since when */
    uint64_t looked_ns; /* when last */
    bool asked;         /* Sentinels have agreed to replace the master */
    uint64_t left_ns;   /* when they were asked */
    int before;         /* what it was that is to change: a port, lines of a log */
    int64_t lost;       /* listeners that a node had lost before */
    uint32_t count;     /* FAULT_COUNTS: how many */
    const char *counted; /* ... of what; one of them */
    uint32_t event_count;
    struct fault_event events[FAULT_STEPS_MAX];
    const char *prefix; /* of the nodes' names in Redis */
    struct fault_nodes nodes;
    struct servers *servers;
    struct history *history;
};

/* By its number, from 0; NULL: there is no such. */
const struct fault_kind *fault_kind(uint32_t number);
/* Finds one by its name; NULL: there is no such. */
const struct fault_kind *fault_named(const char *name, uint32_t *ret_number);
/* How long before the moment of the fault its course begins, and how long after it ends. */
double fault_lead_s(const struct fault_kind *kind);
double fault_tail_s(const struct fault_kind *kind);

/* Take the step that is due, if one is. False: the run cannot go on. */
bool fault_drive(struct fault *f, uint64_t now);
/* Whether its course has ended, or there is none. */
bool fault_is_over(const struct fault *f);

#endif
