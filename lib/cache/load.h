/* SPDX-License-Identifier: MIT */
/*
 * The miss: what a flight does in each of its states.
 *
 *   load.c         GET, LEASE, WAIT: does anybody have it, or may I load it
 *   load_run.c     LOAD: running the loader, here or on a worker; a loader that does not return
 *   load_finish.c  FILL, LAND: the answer into L2 (fenced by the token), L1 (fenced by the ticket)
 *
 * A load belongs to its flight (flight->work). Whoever holds the flight owns all fields, with two
 * exceptions: an outstanding request leaves `answer`, and a loader on a worker owns `fill`, until
 * each posts its event (pair(flight.mail) orders both).
 */
#ifndef NIGH_CACHE_LOAD_H
#define NIGH_CACHE_LOAD_H

#include "cache/cache.h"
#include "cache/caller.h"
#include "cache/fill.h"
#include "cache/lookup.h"

#define LOAD_LEASE_TRIES 3u /* unwanted values met by LEASE before loading without a lease */

/* Another's lease, as a flight that waits for it sees it. */
struct load_watch {
    uint64_t ends_ns;  /* as told; 0: never yet */
    uint64_t alive_ns; /* its holder is taken to live until then: it has extended it */
};

struct load {
    struct flight *flight;
    struct nigh_space *space;
    struct l1_key key;                  /* points into the flight */
    struct coherence_position position; /* in Redis, with the ticket (rule 1) */

    /* what the leader asked for */
    struct nigh_call call;              /* its limits and flags; pointers cleared */
    bool answer_stale;                  /* a stale value from L2 will do; a refresh goes on */

    /* L2 */
    struct l2_answer *answer;           /* of the outstanding request */
    struct l2_answer *looked_at;        /* an earlier one: its step may not come to its end */
    uint64_t rejected;                  /* fill id of the value that was there and is not wanted */
    uint64_t token;                     /* of the lease; 0: none */
    uint64_t connection;                /* that granted it */
    uint64_t home;
    bool unreadable;                    /* it does not decode, and is of no other version either */
    uint32_t lease_tries;
    struct load_watch watch;
    uint64_t fill_token;                /* of the fill that was sent; 0: none was */
    bool heard;                         /* a fill or an invalidation named the key meanwhile */

    /* the loader */
    struct nigh_fill fill;
    struct callback callback;
    struct worker_job job;
    uint64_t began_ns;
    bool counted;                       /* in space->loads */
    bool elsewhere;                     /* it runs as a job: the flight is another's, or nobody's */
    bool lost;                          /* its thread ended inside the loader */

    /* what there is to hand out */
    struct l1_entry *stale;             /* the best that may be handed out as stale; a reference */
    enum nigh_tier stale_tier;          /* where it was */
    struct l1_entry *fresh;             /* the answer; a reference */
    enum nigh_tier tier;                /* who gave the flight's result */

    /* leases list (leases lock) */
    struct load *lease_next;
    struct load *lease_prev;
    bool lease_listed;
    uint64_t extend_at_ns;
};

/* The work of a new flight, in its record. `call` may be NULL. */
void load_init(struct nigh_space *space, struct flight *f, const struct nigh_call *call,
               bool answer_stale);
/* flight_host.step and .free_result */
void load_step(void *arg, struct flight *f, uint32_t events);
void load_free(void *arg, struct flight *f);

/*
 * Refresh a key behind its caller, unless one flies, failed lately, or the cache closes. At most
 * `space.loads` at a time: when all is stale at once, thousands that ask Redis together would wait
 * for one another beyond their deadlines, and load without a lease. The next read begins another.
 */
void load_refresh(struct nigh_space *space, const struct l1_key *key);

/* ---- between the three files ---- */

/* Enter LOAD: run the loader, or land when that cannot be. */
void load_start(struct load *l);
/* A loader elsewhere answered (after a landing too) or was lost, or the flight was taken over. */
void load_continue(struct load *l, uint32_t events);
/* The loader has returned: its answer into the tiers, land. */
void load_finish(struct load *l);
/* It has failed: remember that, land. */
void load_fail(struct load *l);
/* In state FILL: L2 has answered a versioned fill. */
void load_filled(struct load *l);
/* Land with this outcome; `result` (may be NULL) passes its reference. */
void load_land(struct load *l, int outcome, struct l1_entry *result, enum nigh_tier tier);
/* Land with the stale value if there is one that may be handed out, else with `otherwise`. */
void load_land_stale(struct load *l, int otherwise);
/* done of every request of the flight: keep the answer, post REPLY, drop the reference. */
void load_replied(void *flight, struct l2_answer *answer);
/* Deadline of one request to L2 made now. */
uint64_t load_request_deadline_ns(const struct load *l);
/* Whether the key's last load failed so lately that the origin is to be spared: the flight has then
 * landed. Asked after L2, lest a remembered error hide what another node has loaded since. */
bool load_failed_lately(struct load *l);
/* Give the lease back, if one is held. */
void load_release_lease(struct load *l);

#endif
