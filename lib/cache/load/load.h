/* SPDX-License-Identifier: MIT */
/*
 * The miss: steps a flight through its states.
 *
 *   load.c         the loop; GET, LEASE, WAIT: does anybody have it, or may I load it
 *   run.c          LOAD: running the loader, here or on a worker; a loader that does not return
 *   batch.h        ... for several loads in one call
 *   finish.c       FILL, LAND: the answer into L2 (fenced by the token), L1 (fenced by the ticket)
 *
 * The step into a state is a function that does its part and returns the next step, which `enum
 * load_next` names by its state. The loop in load_step() takes them until one rests, because it
 * waits for an event or all is done. No step calls another: a later answer to a step (from Redis, a
 * worker, the keeper) is posted as an event, and the loop goes on, on the thread that holds the
 * flight then.
 *
 *   GET ---> LEASE <--> WAIT              each may lead to LOAD (without L2), and to LAND
 *               |
 *               +-----> LOAD ---> FILL ---> LAND
 *
 * A load belongs to its flight (flight->work). The flight's holder owns all fields, with two
 * exceptions: an outstanding request leaves `answer`, and a loader on a worker owns `fill`, until
 * each posts its event (pair(flight.mail) orders both). So does whoever has a deferred fill, from
 * the loader's return to the answer: for the flight he is a loader elsewhere that still runs.
 */
#ifndef NIGH_CACHE_LOAD_LOAD_H
#define NIGH_CACHE_LOAD_LOAD_H

#include "cache/cache.h"
#include "cache/caller.h"
#include "cache/load/fill.h"
#include "cache/value/lookup.h"

struct crew;
struct parts;

#define LOAD_LEASE_TRIES 3u /* further unwanted values from LEASE before loading without a lease */

/* Another's lease, as a flight that waits for it sees it. */
struct load_watch {
    uint64_t ends_ns;  /* end of the lease, as Redis told it; 0: never told yet */
    uint64_t alive_ns; /* until then its holder counts as alive, for it has extended the lease */
};

/* States of the lease that `token` names: whose it is. */
enum load_lease {
    LOAD_LEASE_NONE,  /* not ours: it was not asked for, or another has it */
    LOAD_LEASE_ASKED, /* ours, perhaps: given back if no answer comes */
    LOAD_LEASE_OURS,
    LOAD_LEASE_SPENT, /* left to the fill that was sent, which drops it */
};

/* Says what has been asked of L2 before the load began. */
enum load_known {
    LOAD_KNOWS_NOTHING,
    LOAD_KNOWS_MISS,   /* L2 has nothing of the key */
    LOAD_KNOWS_FAILED, /* L2 could not be asked */
};

/* The result that a flight brings to all who wait for it, as they see it once it has landed. */
struct landing {
    uint64_t ticket;
    int outcome;            /* enum nigh_result */
    int error;              /* the loader's own */
    struct l1_entry *entry; /* the flight's reference; NULL: none */
    enum nigh_tier tier;    /* where the result came from */
    bool refreshed;         /* the leader wanted nothing that was there before (NIGH_REFRESH) */
};

struct load {
    struct flight *flight;
    struct nigh_space *space;
    struct l1_key key;                  /* points into the flight */
    struct coherence_position position; /* in Redis, with the flight's ticket (rule 1) */

    /* the leader's request */
    struct nigh_call call;              /* limits and flags; pointers cleared */
    bool answer_stale;                  /* a stale value from L2 will do; a refresh goes on */
    bool async;                         /* began by a call that does not wait */
    bool refreshes;                     /* began without a caller, to replace what was there */
    bool behind;                        /* counted in space->behind */
    bool l1_empty;                      /* a look at L1, in this step, found nothing of the key */
    enum load_known known;

    /* L2 */
    struct l2_answer *answer;           /* answer to the outstanding request */
    uint64_t rejected;                  /* fill id of the value that was there and is not wanted */
    enum load_lease lease;
    uint64_t token;                     /* names the lease that was asked for last */
    uint64_t connection;                /* connection that granted the lease */
    uint64_t home;
    bool unreadable;                    /* L2's value does not decode, nor is of another version */
    bool looked;                        /* L2 has told what it has, or that it has nothing */
    bool alone;                         /* asks alone: what it found has no room in an answer with
                                         * others */
    uint32_t lease_tries;
    struct load_watch watch;
    bool heard;                         /* a fill or an invalidation named the key meanwhile */

    /* the loader */
    struct nigh_fill fill;
    struct callback callback;
    struct worker_job job;
    uint64_t began_ns;
    bool counted;                       /* has a permit of space->loads ... */
    uint32_t stripe;                    /* ... to be given back to this stripe ... */
    struct load_permit *shared;         /* ... by the last who shares it; NULL: it is its own */
    bool elsewhere;                     /* runs as a job: the flight is HELD by another, or not */
    bool lost;                          /* the loader's thread ended inside it */
    bool refused;                       /* the loader has not been called: too many, or too late; or
                                         * its deferred answer is not awaited: the cache closes */
    int result;                         /* returned by the loader */
    bool unanswered;                    /* no deferred answer by the deadline */
    struct crew *crew;                  /* decides with these what is loaded; NULL: alone */
    struct parts *parts;                /* answer about it and others; NULL: none */
    uint32_t place;                     /* ... its place in that */
    struct load *mate;                  /* the next of those that share a call of the loader */
    struct flight *waited;              /* the first's: what the caller waits for in whose frame
                                         * the loader runs; NULL: nothing, or its owner knows */

    /* values to hand out */
    struct l1_entry *stale;             /* the best that may be handed out as stale; a reference */
    enum nigh_tier stale_tier;          /* where the stale value was found */
    struct l1_entry *fresh;             /* the answer, until L2 has taken it; a reference */
    struct landing to_land;             /* handed out by LAND; a reference */
    bool refresh_behind;                /* ... and another flight is to bring something better */
    enum nigh_tier tier;                /* where the result came from; constant once landed */

    /* leases list (leases lock) */
    struct list_link lease_link;
    bool lease_listed;
    uint64_t extend_at_ns;
};

/* Describe how a caller that has taken this ticket joins the flight of a key, or begins one. */
struct flight_join load_join_of(struct nigh_space *space, const struct l1_key *key,
                                uint64_t ticket);
/* Begin the load of a new flight, in the flight's record. `call` may be NULL. */
void load_init(struct nigh_space *space, struct flight *f, const struct nigh_call *call,
               bool answer_stale);
/* The functions of the flight's host: flight_host.step and .free_result. */
void load_step(void *arg, struct flight *f, uint32_t events);
void load_free(void *arg, struct flight *f);

/*
 * Refresh a key behind its caller, unless a flight of the key is under way, its load failed lately,
 * or the cache closes. At most `space.loads` flights at a time have no caller: when all is stale at
 * once, thousands that ask Redis together would wait for one another beyond their deadlines, and
 * load without a lease. A key left out is refreshed by a later read.
 */
void load_refresh(struct nigh_space *space, const struct l1_key *key);

/*
 * Begin the load of a key behind a call that does not wait for it, unless a flight of the key is
 * under way. NIGH_PENDING: one is. NIGH_ELOADER: one is, too, but only to ask L2, for the last load
 * failed lately. NIGH_MISS: the space has no loader, nor L2 a value. NIGH_EBUSY: as many such loads
 * fly as may, refreshes among them. With a crew the load has taken its first step as one of it.
 */
int load_behind(struct nigh_space *space, const struct l1_key *key, const struct nigh_call *call,
                struct crew *crew);

/* nigh_fill.answered: a deferred answer has come. Does the rest of the load on this thread, unless
 * another one steps the flight. */
void load_answered(struct nigh_fill *fill);
/* Give up the loads that wait for deferred answers, as the cache closes. */
void load_end_deferred(struct nigh *cache);
/* Keeper: give up those that have waited for twice their time. Returns when to come again. */
uint64_t load_keep_deferred(struct nigh *cache);

/* Returns the result of a flight that has landed. */
struct landing load_landing(const struct flight *f);

/* ---- between the three files: the steps ---- */

enum load_next {
    NEXT_REST,  /* no step: an event will come, or all is done */
    NEXT_GET,   /* ask what L1 and L2 have */
    NEXT_LEASE, /* ask whether it may be loaded */
    NEXT_LOAD,  /* run the loader */
    NEXT_FILL,  /* the loader has answered: into the tiers; a load that overran does it landed */
    NEXT_LAND,  /* all callers get l->to_land */
};

enum load_next load_run(struct load *l);
enum load_next load_fill(struct load *l);
/* Give all callers l->to_land. The step of that name is land() in load.c, which does this. */
void load_land(struct load *l);

/* Take ticket and position anew, if they have moved on, as a step begins to look or to load. */
void load_look_anew(struct load *l);
/* Take a permit, unless the space loads as much as it may. */
bool load_admit(struct load *l);
/* Give back the permit of a load that has ended, one way or another, and take the load off the
 * keeper's list. */
void load_uncount(struct load *l);
/* Let those of a call (`first` and its mates) whose fills the loader has deferred share its permit:
 * that goes back with the last of them. */
void load_share_permit(struct load *first);
/* Count a flight without a caller as over: with its memory, or before, if nobody knows when. */
void load_uncount_behind(struct load *l);
/* Whether the flight's time is over, so that a load which begins now is for nobody. */
bool load_comes_too_late(const struct load *l);
/* Have the lease extended until the load has ended. */
void load_list_lease(struct load *l);
/* Take the return of the loader, which was l->result. False: its answer is deferred, and the load
 * may be gone already. */
bool load_returned(struct load *l);

/* Go on after a loader elsewhere answered (perhaps after the landing) or was lost, or after the
 * flight was taken over. */
enum load_next load_continue(struct load *l, uint32_t events);
/* Count a load that lacks its deferred answer at its deadline as running no longer. */
void load_note_overdue(struct load *l);
/* The loader has failed: remember that. */
enum load_next load_fail(struct load *l);
/* Go on in state FILL, when L2 has answered a versioned fill. */
enum load_next load_filled(struct load *l, const struct l2_answer *answer);

/* ---- how a step lands ---- */

/* Land with this outcome; the reference of `entry` (may be NULL) goes over to the landing. */
enum load_next load_land_with(struct load *l, int outcome, struct l1_entry *entry,
                              enum nigh_tier tier);
/* Land with the value that was found before the load, mostly a stale one, if it may be handed out,
 * else with `otherwise`. */
enum load_next load_land_stale(struct load *l, int otherwise);
/* Whether the last load of a key failed so lately that the origin is to be spared; then *ret_error
 * is the loader's error. */
bool load_key_failed(struct nigh_space *space, const struct l1_key *key, int *ret_error);
/* Whether that is so for a load that may be answered with the error: the step then lands
 * stale, with NIGH_ELOADER otherwise. Asked after L2, lest a remembered error hide what another
 * node has loaded since. */
bool load_failed_lately(struct load *l);

/* The `done` of every request of the flight: keep the answer, post REPLY, drop the reference. */
void load_replied(void *flight, struct l2_answer *answer);
/* Give the lease back, if it is ours or may be. */
void load_release_lease(struct load *l);

#endif
