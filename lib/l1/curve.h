/* SPDX-License-Identifier: MIT */
/*
 * The curve: which share of the reads would hit if the cap were another.
 *
 * For each of six sizes there is a mini cache (mini.h) under the policy in force: W-TinyLFU with
 * the choice that the shards use now, or exact order of use for lru. It sees what happens to the
 * marked keys, or to a part of them, so that it has no more nodes than its memory allows.
 *
 * Under lfu the shards' choice is the best one for the present cap, and not for all: what is asked
 * again after 100 other keys fits into a tenth of 1,000 entries, and into the half of 200. So
 * there is a second mini cache of each size, whose window is at the other end (CURVE_OTHERWISE). A
 * point tells what that one of the two hits which leads: which has hit more of late, by more than
 * chance, much as shadows choose (shadow.h). So where the traffic is now of one kind and then of
 * another, the point follows as a cache of that size would. At the present size the shadows have
 * chosen.
 *
 * A mini cache's gain is the hits that it had beyond those of the real cache on the same reads, of
 * as many reads as its sample should have. A hot key hits in both, so whether it is among the
 * marked ones by chance changes no gain. That is why the gain is not divided by the reads that the
 * sample has: a key that gets half of all reads makes these half of what they should be, or 32
 * times as many. The mini cache of the present size has a gain, too, that should be 0: by so much
 * the model is off, at other sizes as well. So what is expected of a cap is
 *
 *     the real hit ratio, of all reads  +  the gain at the cap  -  the gain at the present one
 *
 * and less is subtracted of a larger cap beyond which a doubling brings less (curve_figures.c).
 *
 * The gains of each space are counted apart, and sum up to the whole's. A point speaks of a space
 * when it has seen ENOUGH_PART_READS of its keys, of half of the groups: of a space of few keys it
 * never does.
 *
 * Reads are those that hit or miss L1, probes (NIGH_L1_ONLY) among them: a hit does not know
 * whether it is one.
 *
 *     miss     asked of each mini cache, before the value is there
 *     floor    before the next one, of what was loaded: where its tags, its space, or all was
 *              invalidated last
 *     store    when L1 stores a value, or refuses it: with its charge, and how long it lives
 *     hit      asked; where a mini cache lacks the key it is stored, as a load would have done
 *     remove   invalidated, or there, not too old and of no use to a read: gone in all of them
 *
 * What falls below a tag's floor while the real cache has not got it answers reads in the mini
 * caches that have, which know of no tags. But each of their values has a stamp, about as in the
 * real cache: the position of floors (floors.h) when it came. So such a hit is taken back a moment
 * later, when the real cache has loaded the key and its tags are there.
 *
 * Lifetimes. Caches of several sizes load a key at several times, and so each mini cache knows of
 * each of its values when that one's life ends. A read after that misses. What it brings:
 *
 *     the real cache     the mini cache         then, in the mini cache
 *     --------------     ------------------     -----------------------------------------------
 *     misses, stores     has none               a life as long as that of the value stored
 *     misses, stores     has one                no load: its life goes on as it was
 *     misses, stores     has one, stale         a refresh: a new life, as in the first row
 *     misses, stores     has one below a floor  a load: the hit is taken back, and a new life
 *     hits               has none               a life as long as the real one's value had when
 *                                               it was born; where Redis has values, as is left
 *     stores, no miss    any                    a write, or a refresh: a new life
 *
 * A read that a stale value answers is a hit, as it is for the real cache. One approximation is
 * left: a value that has turned stale in a mini cache alone is refreshed when the real cache
 * refreshes its own.
 *
 * A full mini cache gives the room of what is too old free each second, as the real cache does. One
 * that has never been full keeps it: by that it knows a miss for a key that it has not seen come.
 * But from when this has taken its last node: else what grew too old would push out what lives.
 * Nor does a miss count for a key's popularity where the value lives much shorter than what is in
 * main (lfu_is_short()): each mini cache knows how long that is for itself.
 *
 * Sizes are those of the cap, with all bookkeeping: what is left of a cap for entries is measured
 * now and then (l1_curve_keep()), and a mini cache holds as much by its entries' charges.
 *
 * How many keys are marked follows the number of entries that the cap has room for (marks.h): one
 * in 64 of many, one in two of some hundred. l1_curve_keep() changes it. Where fewer are marked
 * than a mini cache has in its sample it is begun anew at once. Where more are, it takes them in
 * when its point is told, or if that is told no later for it: else it would break a promise
 * (curve_tell.c). What a point has told stays told until it has seen enough again, or until what it
 * told because the cache had room does not hold any more.
 *
 * Counts fade: they are halved, in a turn of l1_curve_keep(), when a point has FADE_FIRST reads,
 * then when it has twice as many, and so on up to FADE_MOST. What a point counted while its mini
 * cache filled is forgotten when that is full (with the present one, all is: the real cache was
 * empty, too); what the mini cache holds by then stays. Of one that never is, what it missed at
 * first soon counts little, for the last half of what it has seen is two thirds of what counts, or
 * more. curve_figures.c says when a point is told, and how sure that is.
 *
 * A mini cache of fewer than ENTRIES_FEW entries is too coarse to tell anything (10 points off, and
 * more): that is a cap with room for fewer than 64 values, or more where many reads have the marks
 * thinned.
 *
 * Requests wait for none of this: they leave events behind (window.h), and a busy cache is watched
 * in part of the time. The lock is for those who drain, fit and read.
 *
 * Memory: a thousandth of the cap, but at least CURVE_BYTES_LEAST and at most CURVE_BYTES_MOST, or
 * under lfu twice these; 488 to 976 bytes for each space; and 195 KiB for what threads leave. It is
 * general memory, beside the cap, and is kept when the curve is turned off.
 *
 * Keys: (l) lock  (a) atomic, relaxed
 *
 * Sources: C. Waldspurger, N. Park, A. Garthwaite, I. Ahmad, Efficient MRC Construction with SHARDS
 * (2015), for the sample by hash, and for SHARDS_adj: a sample's count of hits made good by the
 * reads that it should have; C. Waldspurger et al., Cache Modeling and Optimization using Miniature
 * Simulations (2017).
 */
#ifndef NIGH_L1_CURVE_H
#define NIGH_L1_CURVE_H

#include <pthread.h>

#include "l1/l1.h"
#include "l1/mini.h"
#include "l1/window.h"

#define CURVE_BYTES_LEAST (256u << 10)
#define CURVE_BYTES_MOST (7u << 20)

#define CURVE_GROUPS 32u
#define CURVE_SPACE_GROUPS 8u

/* How the policy works in a mini cache. */
enum curve_way {
    CURVE_AS_NOW,    /* as in the shards */
    CURVE_OTHERWISE, /* lfu: with a large window where theirs is small, and a small one else */
    CURVE_WAYS
};

struct curve_point {
    struct mini mini[CURVE_WAYS]; /* (l) of the second one nothing is set up under lru */
    uint32_t sample;    /* (l) one key in so many, a power of two; 0: there is no mini cache */
    bool warm;          /* (l) it has been full once */
    bool settled;       /* (l) ... and has forgotten what it counted before */
    bool guessed;       /* (l) what it has room for is known from few values: it may be more */
    bool swept;         /* (l) what is too old is removed: it was warm, or no node was free */
    bool few;           /* (l) it has room for fewer than ENTRIES_FEW entries */
    bool limited;       /* (l) by count: l1.memory has no room for more, as with all larger caps */
    double entries;     /* (l) for so many of mean size it has room */
    bool begun;         /* (l) it has seen a value stored, the first in the tick `began` */
    uint32_t began;     /* (l) */
    uint32_t turns;     /* (l) reads since its mini cache began, at most UINT32_MAX */
    uint32_t seen;      /* (l) those of them since it began to count */
    bool enough;        /* (l) that was enough: then it is, until what was counted is forgotten */
    uint32_t reads;     /* (l) as `seen`; fading, as what follows */
    uint32_t fills;     /* (l) loads that it might not have needed if it had begun earlier */
    double all;         /* (l) reads of any keys meanwhile */
    int32_t gained[CURVE_GROUPS]; /* (l) hits beyond the real ones, of groups of keys by hash */
    enum curve_way way; /* (l) whose hits these are */
    uint32_t looked;    /* (l) reads since it was looked which way leads */
    double lead[CURVE_GROUPS]; /* (l) hits otherwise beyond those as now; fading */
};

/* What a point has seen of a space. */
struct curve_part {
    uint32_t seen;   /* reads since the point began, at most UINT32_MAX */
    uint32_t groups; /* a bit for each of CURVE_GROUPS of whose keys one was read */
    uint32_t fills;  /* fading; as above, of its keys */
    int32_t gained[CURVE_SPACE_GROUPS]; /* fading; as above, of fewer groups */
};

#define CURVE_NOT_KNOWN (-1.0f)

/* What a point says of a cap. */
struct curve_figure {
    float ratio;    /* expected share of hits */
    float error;    /* "+-", of the difference to `now` */
    float now;      /* share of hits under the cap that was present when it was told */
    int32_t beside; /* that cap, as the point that would be about it now; may be out of range */
    uint64_t ns;    /* when it was told */
};

/* Keeps what points have said last, for those that have forgotten since. */
struct curve_told {
    struct curve_figure figures[L1_CURVE_POINTS];
    struct curve_figure foretold; /* what was told of the present cap while another one was it */
    bool is_foretold;
    uint32_t points; /* a bit for each of which there is a figure */
    uint32_t roomy;  /* ... for each that was told while the cache had room left */
};

/* A space in the curve. */
struct curve_space {
    uint64_t last_hits;   /* (l) as counted last */
    uint64_t last_misses; /* (l) */
    bool counted;         /* (l) once */
    double hits, reads;   /* (l) of all its keys; fading */
    struct curve_part parts[L1_CURVE_POINTS]; /* (l) of its marked keys */
    struct curve_told told; /* (l) */
};

/* The point that is the present cap. */
#define CURVE_NOW 2u

struct curve {
    pthread_mutex_t lock;
    _Atomic bool on;      /* (a) pair(curve.on): there are buffers for what happens */
    bool made;            /* (l) */
    bool short_of_room;   /* (l) that of `struct l1`, as of the last turn: all figures by one */
    void *block;          /* (l) */
    size_t block_bytes;   /* (l) */
    uint32_t ways;        /* (l) mini caches of a size */
    bool large_window;    /* (l) lfu: that of the shards is at the large end */
    uint32_t nodes;       /* (l) of each mini cache */
    uint32_t walks;       /* (l) through all entries that the marks still want */
    uint32_t finer;       /* (l) a bit for each point that the marks of now allow a finer sample */
    uint32_t fade_at;     /* (l) reads of a point at which counts are halved next */
    uint64_t last_ns;     /* (l) when it was last kept; 0: never */
    uint32_t position;    /* (l) of floors, as of the last drain: the low 32 bits */
    uint32_t swept;       /* (l) tick of the last curve_sweep_locked() */
    uint64_t rate_ns;     /* (l) since when `rate_reads` were counted */
    double rate_reads;    /* (l) */
    double rate;          /* (l) reads a second, in the last half second or more */
    double rate_lately;   /* (l) ... in the last ten seconds or so; 0: not known */
    double hits, reads;   /* (l) of all, fading as those of the points do */
    double seconds;       /* (l) in which these reads were made */
    enum l1_curve_since since; /* (l) ... and which these are */
    double cap;           /* (l) that all this is about */
    double memory;        /* (l) l1.memory, where that limits what a cap by count can hold */
    uint64_t seen;        /* (l) reads of marked keys that fell into windows */
    double lost;          /* (l) and those that did not */
    uint64_t lost_before; /* (l) ever, as counted last; never fading */
    struct window window; /* what has happened since the last drain; (d) is (l) here */
    struct curve_space *spaces; /* (l) by number of the space */
    uint32_t space_count;       /* (l) */
    struct curve_point points[L1_CURVE_POINTS]; /* (l) */
    struct curve_told told;                     /* (l) */
};

/* The sizes of the points, in caps of now. */
extern const double curve_sizes[L1_CURVE_POINTS];
/* Returns the cap, in bytes or values; while it comes down, the one that it will be. Locks: cap. */
double curve_cap(struct l1 *l1);
/* Whether a cap is near enough to another one for what was counted or told of that. Beside a space
 * with space.memory that of the others is moved by some hundredths again and again. */
#define CURVE_CAP_SLACK (1.0 / 16)
bool curve_is_about(double cap, double other);

/* Begin and end, with the table. */
void curve_init(struct l1 *l1);
void curve_fini(struct l1 *l1);

/* Ask the mini caches for what fell into the window, and open the next one. Returns in how many
 * nanoseconds to drain that. Locks: the curve's is held. */
uint64_t curve_drain_locked(const struct l1 *l1, struct curve *c);

/* Remove from full mini caches what is too old, each second. Locks: the curve's is held. */
void curve_sweep_locked(const struct l1 *l1, struct curve *c);

/* Whether a point can be begun anew, at such a sample, and be told no later than is promised
 * (curve_tell.c). Locks: the curve's is held. */
bool curve_may_begin(const struct curve *c, uint32_t i, uint32_t sample);

/* A value that is stored, or refused. */
struct curve_value {
    uint64_t bytes; /* charged */
    uint64_t now_ns;
    uint64_t until_ns; /* the end of its life */
    uint64_t stale_ns; /* the last part of it, in which a read has it refreshed */
    uint64_t floor;    /* of what was loaded: curve_floor() */
};

/* Returns at which position a hard floor of a value's groups rose last; 0: at none. What was loaded
 * before is of no use. */
uint64_t curve_floor(const struct l1 *l1, const struct l1_entry *e);

/* Tell of a marked key's value that L1 stores, or has refused; and that a key's value is gone for
 * another reason than want of room, or its age. Threads: any. Locks: a leaf, if it is free. */
void curve_store(struct l1 *l1, uint64_t hash, uint32_t space, const struct curve_value *v);
void curve_store_entry(struct l1 *l1, uint64_t hash, const struct l1_entry *e, uint64_t bytes,
                       uint64_t now_ns, bool loaded);
void curve_remove(struct l1 *l1, uint64_t hash);

#endif
