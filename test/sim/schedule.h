/* SPDX-License-Identifier: MIT */
/*
 * A schedule: steps at times, any of which may be dropped; and the scenarios that draw them.
 */
#ifndef NIGH_SIM_SCHEDULE_H
#define NIGH_SIM_SCHEDULE_H

#include "sim/world.h"

#define STEPS_MAX 256

/* name, what the trace says: %n node, %k key */
enum step_kind {
    /* calls */
    STEP_FETCH,
    STEP_REFRESH,
    STEP_GET,
    STEP_GET_L1,
    STEP_GET_PUT,    /* nigh_get(); on a miss read the origin and put with the ticket;
                        b: 1 give it back */
    STEP_INVALIDATE, /* commit, then invalidate the key */
    STEP_TAG,        /* commit to all keys of the tag, then invalidate it; b: soft */
    STEP_TOGETHER,   /* the like of both for several keys at once, b + 4 calls */
    STEP_SPACE,
    STEP_ALL,
    STEP_WRITE,
    STEP_PUT,        /* commit, then put with the version; keys with versions only */
    STEP_SILENT,     /* commit and tell nobody */
    /* faults; ms: for how long */
    STEP_CUT,
    STEP_BLOCK,      /* b: 2 only answers, 3 only requests */
    STEP_PAUSE,
    STEP_PAUSE_REDIS,
    STEP_DEAF,
    STEP_SLOW,
    STEP_BUSY,
    STEP_SLOW_ORIGIN,
    STEP_ORIGIN_FAILS,
    STEP_EVICT,      /* key: 0 clk, 1 log, 2 leases, 3 data */
    STEP_RESTART,    /* b: 0 empty, 1 as it was, 2 from the copy */
    STEP_COPY,       /* what the replica has, or the file */
    STEP_FAILOVER,
    STEP_FLAP,       /* a node goes to the promoted replica, and back */
    STEP_FLAP_ALL,
    STEP_SPLIT,      /* a failover that nodes learn of one by one */
    STEP_RELOAD,
    STEP_DEMOTE,     /* made a replica, and a master again: no connection ends */
    STEP_SWAPDB,
    STEP_WALL,       /* the server's wall clock steps by `by_ms` */
    STEP_KINDS
};

struct step {
    uint64_t at_ns; /* after the beginning */
    enum step_kind kind;
    int node;
    int key;
    int b;
    uint32_t ms;
    int32_t by_ms;
};

struct scenario {
    const char *name;
    bool open;             /* finds what is known and not mended: only by name */
    int nodes_min, nodes_max;
    int keys_max;          /* 0: all */
    unsigned steps;
    uint32_t seconds;
    bool behind; /* half of the changes are made in the background */
    bool two_schemas, judges_back, judges_puts, judges_clocks, keeps_data;
    bool apart; /* most nodes keep their values out of Redis */
    uint32_t soft_ttl_ms;
    uint8_t weights[STEP_KINDS]; /* 0: never */
};

struct schedule {
    const struct scenario *scenario;
    uint64_t seed;
    int nodes;
    uint64_t end_ns;
    uint32_t count;
    struct step steps[STEPS_MAX];
};

extern const struct scenario scenarios[];
extern const unsigned scenario_count;
const struct scenario *scenario_find(const char *name);
void schedule_draw(struct schedule *s, const struct scenario *scenario, uint64_t seed);
/* One line about a step, as in "n1 fetch k3". */
void step_print(const struct step *s, char *text, size_t size);

/* Run it. NULL, or the name of the rule that was broken. */
const char *schedule_run(const struct schedule *s);
/* Drop steps as long as the same rule breaks. */
void schedule_shrink(struct schedule *s, const char *rule);

#endif
