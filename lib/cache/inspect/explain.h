/* SPDX-License-Identifier: MIT */
/*
 * Says where a key is, what a read of it would give now, and why: nigh_explain().
 *
 *     collect.c   looks at every tier and changes none: fills a struct explanation
 *     reasons.h   chooses the reason: a table, one row for each that there is
 *     explain.c, explain_json.c   the struct as text for people, and as JSON
 */
#ifndef NIGH_CACHE_INSPECT_EXPLAIN_H
#define NIGH_CACHE_INSPECT_EXPLAIN_H

#include "cache/cache.h"
#include "cache/inspect/room.h"
#include "cache/value/freshness.h"

#define EXPLAIN_FLOORS_MAX 8u /* tags beyond the first few are only counted */

/* A value that was found, and how it was judged: the inputs of value/verdict.h, and what they give
 * for a call without limits. */
struct explain_value {
    bool present;
    bool absent;             /* "does not exist" */
    enum l1_standing floors;
    enum verdict_lifetime lifetime;
    enum verdict_trust trust;
    enum verdict verdict;
    int outcome;             /* of a read that finds it: enum nigh_result */
    uint64_t len;
    uint64_t packed_len;     /* in Redis, compressed; 0: it is plain */
    unsigned codec;          /* ... how */
    uint64_t version;
    uint64_t stamp;          /* position of this node, or in Redis' order */
    bool has_times;          /* the next three are known */
    int64_t age_ns;          /* since its load */
    int64_t fresh_ns;        /* what it has left; negative: it ended so long ago */
    int64_t stale_ns;        /* the same, of being handed out as stale */
    uint64_t hard_ms;        /* what Redis keeps it for; 0: not known */
    uint32_t tag_count;
};

enum explain_floor_of { FLOOR_TAG, FLOOR_SPACE, FLOOR_ALL };

/* Whether what raised a floor was the key's own tag or space, or another one of the same slot. L1
 * has only the slots of a value's tags, Redis has their hashes. */
enum explain_own { OWN_UNKNOWN, OWN_YES, OWN_NO };

/* A group that is over the key, and the last invalidation of it. */
struct explain_floor {
    enum explain_floor_of of;
    uint16_t slot;
    uint64_t any, hard;  /* positions of this node; 0: never */
    bool covers;         /* the value in L1 is older ... */
    bool covers_hard;    /* ... and gone by it, not only stale */
    bool is_known;       /* what raised it is remembered: */
    struct bump bump;
    enum explain_own own;
    uint64_t ago_ns;
};

/* Why Redis was not asked, or what it said. */
enum explain_l2 {
    EXPLAIN_L2_NONE,    /* there is no Redis */
    EXPLAIN_L2_OFF,     /* its values stay out of it */
    EXPLAIN_L2_COVERED, /* a change that waits covers it */
    EXPLAIN_L2_AWAY,    /* not connected */
    EXPLAIN_L2_BREAKER, /* the breaker is open */
    EXPLAIN_L2_ERROR,   /* asked, and no answer: `error` */
    EXPLAIN_L2_LOOKED,  /* asked, and answered */
};

/* Why what lies in Redis is of no use. */
enum explain_bad {
    EXPLAIN_GOOD,
    EXPLAIN_FOREIGN, /* it is no envelope: another program's */
    EXPLAIN_FORMAT,  /* it is an envelope of another version of nigh */
    EXPLAIN_DAMAGED, /* it is no envelope of this key, or not as it was written */
    EXPLAIN_PACKED,  /* this node cannot decompress it */
};

struct explanation {
    struct nigh_space *space;
    struct l1_key key;

    /* the surroundings */
    uint64_t now_ns, wall_ns;           /* one moment, by which the times of events are told */
    uint64_t doubt_ago_ns;              /* since trust was back last; 0: it never came back */
    uint64_t heard_ns;                  /* ... and how long after its call a change was heard of
                                           then, at most, if it was on time at its node */
    struct coherence_late late;         /* changes that were not */
    uint64_t position;                  /* of this node */
    bool trusted;
    int64_t trust_ns;                   /* what trust has left; negative: lost so long ago */
    bool never_trusted;                 /* since this cache was opened */
    struct coherence_gauges coherence;  /* zeroed without Redis */
    struct l2_gauges link;
    struct l2_problem problem;          /* why there is no connection */
    bool crowded;                       /* Redis takes no values of this schema */
    bool closing;

    /* this process */
    struct explain_value l1;
    uint64_t key_floor;
    struct explain_floor floors[EXPLAIN_FLOORS_MAX];
    uint32_t floor_count;
    struct l1_fated fate;
    uint64_t evicted, refused;          /* of the space for want of room, since it was opened */
    uint64_t shed;                      /* ... and evicted because a cap came down */
    uint64_t evicted_1m, refused_1m;    /* ... in the last minute */
    struct room room;                   /* how full L1 is */
    bool room_is_wanted;                /* something had to go for want of it, at present */
    uint64_t room_wanted_ago_ns;        /* ... and so long ago last; UINT64_MAX: never */
    uint64_t evicted_age_ns;            /* a tenth of the evicted lived less; 0: not known */
    bool flies;
    struct flight_seen flight;
    int64_t flight_ns;                  /* time that it has left */
    uint64_t failed_ns;                 /* for so long its origin is spared; 0: it is not */
    uint32_t failures;
    int load_error;                     /* the loader's own */

    /* Redis */
    enum explain_l2 l2_state;
    int l2_error;
    enum explain_bad l2_bad;            /* what lies there is of no use */
    size_t l2_bad_len;                  /* its bytes; 0: none, or it is of another type */
    struct explain_value l2;
    uint64_t cost_us;
    uint32_t lease_ms;                  /* what somebody's right to load it has left; 0: nobody's */
    uint64_t lease_token;
    bool lease_is_ours;                 /* it is this process' */
    bool awaited;

    /* what calls would give now */
    int get;                            /* enum nigh_result, or an error */
    int fetch;                          /* the same; NIGH_PENDING: `fetch_does` */
    const char *fetch_does;             /* what it does beside, or instead: "calls the loader" */
};

/* Look at everything. Asks Redis, if that may be asked, and waits for the answer. */
void explain_collect(struct nigh_space *space, const void *key, size_t key_len,
                     struct explanation *ret);

void explain_json(struct text *w, const struct explanation *x);

#endif
