/* SPDX-License-Identifier: MIT */
/*
 * A few shadow caches, of metadata only, each with another window share, find the one that suits
 * the traffic.
 *
 * Each shadow is a W-TinyLFU (lfu.h) with another choice of window share w and, where the cap is in
 * bytes, of the exponent a. It sees the keys whose hash falls into a sample of 1/k and holds 1/k of
 * what the cache holds, so its hit ratio is about what the cache would have with that choice. One
 * choice is made for all shards: a shard's own sample would be too small to decide on.
 *
 * Shadows are told of misses by the writer that stores, and of hits by readers: a reader that
 * raises the counter of a sampled entry leaves its slot in a small buffer of the shard, where the
 * next writer finds it (policy_lfu.c). So a hit costs nothing more on other keys, nor on hot ones,
 * whose counters are full. A request that is lost is lost to all shadows alike.
 *
 * Lifetimes. A value that has ended is a miss, and its node leaves within about a second, as in the
 * cache. Else shadows count hits that never come, and the window is chosen by them: large ones keep
 * what was asked for a while ago, and long ended (20l1_shadow and 20l1_policy_lfu have such loads).
 * Shadows load a key at other times than the cache, and so each knows when its own value ends:
 *
 *     the cache          the shadow     then, in the shadow
 *     --------------     ----------     ---------------------------------------------------------
 *     misses, stores     has none       the same value: it ends when the cache's does
 *     misses, stores     has one        that one's life goes on: no hit prolongs it
 *     hits               has none       a load of its own: from now on a life as long as the
 *                                       cache's value has in all, stale part included
 *     hits               has one        its life goes on; or it ends when the cache's does, if
 *                                       that is later and no miss has brought the cache's value
 *                                       meanwhile: a refresh or a write has, as in any cache
 *
 * Two approximations: a value that Redis has would be loaded with what is left of its life, not
 * with all; and a shadow whose key the cache has loaded meanwhile does not hear of writes.
 *
 * Invalidations. A key that is invalidated leaves all shadows, whether the cache had it or not; a
 * write that is stored replaces its value in those that have it. An invalidation that finds the
 * lock taken is lost to all alike. What falls below the floor of a tag or a space while the cache
 * has not got it stays in the shadows that have: tags are not known here.
 *
 * After as many sampled requests as a shadow has entries, hits and differences are looked at and
 * fade by 3 %; the current choice is left when another leads by more than chance explains: requests
 * on which two shadows differ are tosses of a coin, whose sum has the deviation sqrt(differences).
 * Those for one hot key all fall the same way, and weigh more (shadow.c).
 *
 * A larger window takes its bytes from main, which gives up entries that were found to be worth
 * keeping. So a window grows by a twentieth of the capacity from one look to the next, however
 * large the one that was chosen: should that be a mistake, little is lost before it is seen.
 *
 * Memory: the end of a life has its place in a node in any case (mini.h), for the curve's sake. Up
 * to 1,544 nodes of about 30 bytes for each of 5 or 15 shadows (0.7 MB). Where that is
 * more than 1/64 of the cap the sample is finer and the nodes are fewer. Fewer than 32, as with
 * less than 2 MiB or so, would be of no use: then there are none, and the first choice stays.
 * Shadows are made when the cache is first full, and made anew when its number of entries has left
 * what k suits, or its cap has come down.
 *
 * Where sizes vary a choice that prefers small values holds many times the entries of one that does
 * not, and would seem to be worth less than it is if it ran out of nodes before it runs out of
 * bytes. That is noticed at the next look, and the shadows are made anew for twice as many entries,
 * with a finer sample.
 *
 * Thread-safety: the lock is taken under a shard's lock; below it are only those of memory.
 * Keys: (l) lock  (a) atomic, relaxed  (c) constant after init
 */
#ifndef NIGH_L1_SHADOW_H
#define NIGH_L1_SHADOW_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/base.h"
#include "l1/mini.h"

#define SHADOWS_MAX 15u
#define SHADOW_UNSAMPLED UINT32_MAX

/* Keys: (l) as below */
struct shadow {
    struct mini mini; /* (l) */
    bool was_starved; /* (l) starved at a look since it was made */
};

struct shadows {
    pthread_mutex_t lock;
    bool by_count;            /* (c) */
    uint32_t count;           /* (c) */
    _Atomic uint32_t choice;  /* (a) written (l): index of what the shards use, or move towards */
    _Atomic uint32_t window_permille; /* (a) written (l): window share in use now */
    _Atomic uint32_t mask;    /* (a) written (l): a hash with 0 in it is sampled; or _UNSAMPLED */
    _Atomic uint64_t made_for; /* (a) for a cache of so many entries; 0: to be made (anew) */
    struct shadow *all;       /* (l) NULL: not made yet */
    size_t block_bytes;       /* (l) */
    uint32_t period;          /* (l) sampled requests between two looks */
    uint32_t fed;             /* (l) sampled requests since the last look */
    uint32_t swept;           /* (l) tick up to which nodes were swept: see sweep() */
    uint32_t hits[SHADOWS_MAX];    /* (l) since the last look */
    uint32_t differs[SHADOWS_MAX]; /* (l) requests on which it and the choice differed */
    double score[SHADOWS_MAX];     /* (l) hits, fading */
    double doubt[SHADOWS_MAX];     /* (l) differences, fading */
};

void shadows_init(struct shadows *s, bool by_count);
void shadows_fini(struct shadows *s, struct mem *mem);
/* Bytes charged for the shadows. */
uint64_t shadows_charge(struct shadows *s, const struct mem *mem);

/* The choice that shards use now. */
struct lfu_choice shadows_choice(const struct shadows *s);

/* Whether the shadows suit a cache of so many entries. */
bool shadows_suit(const struct shadows *s, uint64_t entries);
/* Claim the making of shadows for a cache of so many entries. True: the caller makes them; false:
 * somebody else does. With 0 entries: tell that they could not be made. */
bool shadows_claim(struct shadows *s, uint64_t entries);
struct shadows_size {
    uint32_t nodes;  /* per shadow; 0: none */
    uint32_t mask;   /* the sample's, see struct shadows */
    uint32_t period; /* requests between two looks at the choices */
};
/* Find the size of shadows for a cache of so many entries under such a cap. */
struct shadows_size shadows_size_for(struct shadows *s, const struct mem *mem,
                                     uint64_t entries, uint64_t cap_bytes);
size_t shadows_bytes(const struct shadows *s, uint32_t nodes);
/*
 * Begin anew in `block` (shadows_bytes(nodes)), as 1/(mask + 1) of a cache of that weight; choice
 * and scores stay. Returns the old block (NULL at first).
 */
void *shadows_move(struct shadows *s, void *block, struct shadows_size size, uint64_t weight,
                   size_t *ret_old_bytes);
/* Bytes that the shadows take, if that is too much under such a cap; else 0. */
uint64_t shadows_excess(struct shadows *s, const struct mem *mem, uint64_t cap_bytes);
/* Free shadows that take too much: the next insert makes smaller ones. Returns the bytes to give
 * back. */
uint64_t shadows_shrink(struct shadows *s, struct mem *mem, uint64_t cap_bytes);
/* The cache's weight has changed. */
void shadows_resize(struct shadows *s, uint64_t weight);

static inline bool shadows_sampled(const struct shadows *s, uint64_t hash)
{
    /* Samples by other bits than those that choose a bucket and, up to 256 shards, a shard. */
    uint32_t mask = atomic_load_explicit(&s->mask, memory_order_relaxed);
    return mask != SHADOW_UNSAMPLED && !((uint32_t)(hash >> 36) & mask);
}

/* A request for a key, and the value that the cache has for it now. */
struct shadows_request {
    uint64_t hash;
    uint32_t weight;
    bool hit; /* it was there; else it has been loaded, and stored or refused */
    uint64_t now_ns;
    uint64_t until_ns; /* the end of its life */
    uint64_t life_ns;  /* all of it: a miss's is counted from now */
};

/* Feed a request, if its key is sampled. True: a period is over (shadows_resize may be due). */
bool shadows_feed(struct shadows *s, const struct shadows_request *r);
/* Remove a key, if it is sampled: its value is gone for another reason than want of room. */
void shadows_remove(struct shadows *s, uint64_t hash);

#endif
