/* SPDX-License-Identifier: MIT */
/*
 * The keys that come most often, in fixed memory: Space-Saving (Metwally, Agrawal, El Abbadi 2005)
 * over a stream whose past fades.
 *
 * There are as many counters as `capacity`. A key that has one is counted there. Any other key
 * takes over the lowest counter with its count, and notes that count as its possible error. So, of
 * W counted altogether:
 *
 *     count - error <= truth <= count        error <= W / capacity
 *
 * and a key whose share is above 1 / capacity has a counter. All counts, errors and W halve every
 * TOP_HALF_LIFE_S, in steps that keep these bounds, and the time that they stand for fades with
 * them: a rate is a count by that time.
 *
 * Adding waits for nobody: who finds the latch taken leaves the sample out. A counter is found by
 * the chain of its hash: of a key that has none, all of them would have to be looked at else.
 */
#ifndef NIGH_CACHE_TOP_H
#define NIGH_CACHE_TOP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/base.h"

#define TOP_KEY_BYTES 64u /* kept of a longer key */
#define TOP_HALF_LIFE_S 60u
#define TOP_MOST 64u         /* keys that can be read at once */
#define TOP_SPAN_LEAST_S 0.1 /* a rate is not measured over less */

struct top_entry {
    double count, error;
    double squares;             /* of what the samples in `count` stand for, added up: its noise */
    uint64_t hash;              /* the key's */
    uint16_t next;              /* in its chain: a counter's number, from 1 on; 0: none */
    uint16_t key_len;           /* the whole key's */
    uint8_t key[TOP_KEY_BYTES]; /* its beginning */
};

/* Zeroed but for `capacity`: empty. It allocates at its first sample. Keys: (c) constant
 * (l) latch */
struct top {
    struct latch latch;
    uint32_t capacity;         /* (c) 0: nothing is counted */
    uint32_t used;             /* (l) */
    struct top_entry *entries; /* (l) */
    uint16_t *heads;           /* (l) of the chains, as many as counters; as `next` */
    uint32_t hand;             /* (l) from here on may be counters that are as low as ... */
    double least;              /* (l) ... this; none is lower */
    double total;              /* (l) W */
    double span_s;             /* (l) time that the counts stand for, up to `step_ns` */
    uint64_t step_ns;          /* (l) when all faded last; 0: never began */
};

/* A key; `rate`: a second, `error`: the rate may be lower by so much. */
struct top_rate {
    double rate, error;
    double variance; /* of the rate, by the chance of a sample */
    uint32_t key_len;
    uint8_t key[TOP_KEY_BYTES];
};

/* All keys together, and what no key has more of: the highest counter. */
struct top_whole {
    double rate;           /* a second; 0: nothing was counted lately */
    double most, variance; /* the rate of that counter, and its variance */
};

void top_fini(struct top *t, struct mem *mem);
/* Count a key `weight` times: it is a sample that stands for so many. */
void top_add(struct top *t, struct mem *mem, uint64_t hash, struct bytes key, double weight,
             uint64_t now_ns);
/* Read up to `most` keys, the most frequent first, without those of which less than `least` samples
 * are sure. Returns how many. Waits for the latch. */
uint32_t top_read(struct top *t, struct top_rate *ret, uint32_t most, double least,
                  uint64_t now_ns);
/* Read what they are together. Waits for the latch. */
struct top_whole top_read_whole(struct top *t, uint64_t now_ns);

#endif
