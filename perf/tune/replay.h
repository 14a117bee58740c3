/* SPDX-License-Identifier: MIT */
/*
 * Requests asked of nigh itself: a get, and on a miss a put, in a cache without Redis and without
 * threads of its own, whose clock and hash follow from the requests and the seed, so that the same
 * requests give the same hits. Puts and invalidations that
 * were recorded are done between them, as they came; where lifetimes were recorded values have
 * them, by the recorded times.
 *
 * A part of the keys (tune/sample.h) is asked of as small a part of the memory. Where that would be
 * less than L1 can work with, more of the keys are taken; where there are no more, because the
 * recording is a sample itself, every request is made for several keys that stand for those that
 * were not recorded.
 */
#ifndef PERF_TUNE_REPLAY_H
#define PERF_TUNE_REPLAY_H

#include <nigh/nigh.h>

#include "tune/sample.h"

#define REPLAY_QUARTERS 4u

struct replay_source {
    const struct input *in;
    uint32_t key_bytes;
    uint32_t value_max; /* space.value_max; 0: nigh's default */
    size_t most;    /* requests of one replay, more or less */
    uint64_t seed;  /* of the keys that are taken, and of L1's hash */
};

struct replay_result {
    double hits;                      /* share of the requests, 0 .. 1 */
    double quarters[REPLAY_QUARTERS]; /* the same for each quarter of them */
    double rate;                      /* of the keys that were recorded */
    double error; /* of `hits`, one standard error, for other keys might have been taken */
    double load_s; /* seconds that loads of what it missed take, of all keys; 0: not known */
    double all_s;  /* the same without any cache */
    double load_error; /* of their ratio, as `error` */
    size_t requests;
};

/* A cache as a replay has it: of which part of the keys, in how much memory. */
struct replay_scale {
    double rate;     /* of the keys of the input */
    unsigned copies; /* keys that each of them stands for */
    uint64_t memory; /* of the cache */
};

/* For a real cache of so many bytes, and at most so many requests. */
struct replay_scale replay_scale_of(const struct replay_source *src, uint64_t bytes, size_t most);

/* Returns what a replay leaves of the loads that there are without L1: of their time if that is
 * known, for dear ones are what a cache is for, else of their number. */
static inline double replay_left(const struct replay_result *r)
{
    return r->all_s > 0 ? r->load_s / r->all_s : 1 - r->hits;
}

struct replay_result replay_run(const struct replay_source *src, const char *policy, uint64_t bytes,
                                uint32_t shards);
/* Share of hits of exact LRU in so many bytes, asked for the same. */
double replay_lru(const struct replay_source *src, uint64_t bytes, size_t most);

/* ---- what the measurement of shards does, too ---- */

struct replay_cache {
    struct nigh *cache;
    struct nigh_space *space;
    uint32_t key_bytes;
    uint32_t value_max;
    unsigned copies;
    const char *value; /* bytes enough for any */
    bool *fell;        /* of each key: it is as if it was not there */
};

/* The options are the caller's but for memory, policy and shards; the end of the process if not. */
void replay_open(struct replay_cache *c, struct nigh_options *options,
                 const struct replay_source *src, const struct replay_scale *scale,
                 const char *policy, uint32_t shards);
void replay_close(struct replay_cache *c);
/* Ask for it, for each of its copies; what is missing is put. Returns the hits. */
unsigned replay_ask(const struct replay_cache *c, const struct request *q);

#endif
