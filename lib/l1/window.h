/* SPDX-License-Identifier: MIT */
/*
 * Windows: what happens to marked keys, on its way from the threads that do it to the mini caches
 * of the curve.
 *
 *     a thread --(one buffer for a stripe of threads)--> l1_curve_drain() --> curve.c
 *
 * Who makes a request leaves 16 bytes, in a turn that is only tried, and goes on. To ask all mini
 * caches takes hundreds of instructions, and lines that the thread's own work has not got; that is
 * done by whoever drains: the keeper, or a tick.
 *
 * A window is open from a drain until a buffer is full. Then it is closed to all threads, until the
 * next drain, which is WINDOW_LEAST_NS away. What happens meanwhile is lost: to all mini caches
 * alike, to what the real cache is said to have hit, and to what is stored and removed, so that
 * what they see is whole pieces of the traffic. How many reads are lost is counted. Of requests
 * that are as likely now as they were a moment ago, pieces put together are as good as all of it;
 * popularity that rises and falls within some hundredths of a second looks slower than it is.
 *
 * So a thread that makes up to 12,800 events a second is seen whole, which at one key in 64 is
 * 800,000 reads, and one that makes more costs no more than that. While buffers stay emptier,
 * drains are further apart, up to WINDOW_MOST_NS: an idle cache wakes nobody for this.
 *
 * The order of one thread's events is kept. Those of several are as far apart as a window is long.
 * But each has its time, and of values how long they live: in ticks of 8.4 ms, and lifetimes of
 * more than two seconds to 1/128 of themselves.
 *
 * Keys: (c) constant once made  (t) the stripe's turn  (d) whoever drains, one thread at a time
 * (a) atomic, relaxed
 */
#ifndef NIGH_L1_WINDOW_H
#define NIGH_L1_WINDOW_H

#include "base/base.h"
#include "l1/entry.h"

#define WINDOW_TICK_SHIFT 23 /* of events' times: 8.4 ms */
#define WINDOW_LIFE_BITS 8   /* mantissa, with ENTRY_EXPONENT_BITS of exponent */
#define WINDOW_STALE_BITS 3  /* ... */
#define WINDOW_AT_BITS 13    /* ticks, modulo 69 s */

#define WINDOW_EVENTS 256u /* of a stripe, in a window */
#define WINDOW_LEAST_NS (20 * NS_PER_MS)
#define WINDOW_MOST_NS NS_PER_S

enum window_what {
    WINDOW_HIT,      /* a read that hit */
    WINDOW_MISS,     /* ... that missed */
    WINDOW_OUTDATED, /* ... that missed, for what was there was of no use: it is gone everywhere */
    WINDOW_STORE,    /* stored, or refused */
    WINDOW_REMOVE,   /* gone for another reason than want of room, or the end of its life */
};

struct window_event {
    enum window_what what;
    uint32_t hash;   /* mini_hash() of the key's */
    uint32_t sample; /* of the same, the 20 bits by which keys are sampled */
    uint32_t space;  /* all but REMOVE */
    uint64_t bytes;  /* HIT, STORE: the entry's charge */
    uint32_t at;     /* tick, as window_tick() */
    uint64_t life;   /* HIT, STORE: ticks from then on, for which a value lives */
    uint64_t stale;  /* ... and of them the last ones, in which it is stale */
};

/* An event as it is left. */
struct window_packed {
    uint64_t hash : 32;
    uint64_t sample : 20;
    uint64_t space : 10;
    uint64_t : 2;
    uint64_t bytes : 27;
    uint64_t what : 3;
    uint64_t life : WINDOW_LIFE_BITS + ENTRY_EXPONENT_BITS;
    uint64_t stale : WINDOW_STALE_BITS + ENTRY_EXPONENT_BITS;
    uint64_t at : WINDOW_AT_BITS;
};

_Static_assert(sizeof(struct window_packed) == 16 && L1_SPACES_MAX < 1 << 10 &&
                   NIGH_VALUE_MAX <= 1 << 26,
               "all have their bits, and an entry is charged less than twice its value");

struct window_stripe {
    _Alignas(CACHE_LINE_BYTES) struct turn turn;
    uint32_t count;        /* (t) */
    _Atomic uint64_t lost; /* (a) reads; only rises. Threads that share the stripe may lose some */
    struct window_packed events[WINDOW_EVENTS]; /* (t) */
};

struct window {
    _Atomic bool open;             /* (a) */
    struct window_stripe *stripes; /* (c) */
    uint64_t pause_ns;             /* (d) between two drains */
    uint32_t most;                 /* (d) events that a stripe had when it was drained last */
};

/* Make the buffers, once. False: no memory. */
bool window_make(struct window *w, struct mem *mem);
void window_free(struct window *w, struct mem *mem);
/* Bytes of the buffers, once they are made. */
size_t window_bytes(const struct window *w);

static inline bool window_is_open(const struct window *w)
{
    return atomic_load_explicit(&w->open, memory_order_relaxed);
}

/* Returns the tick of a time. It wraps: ticks are compared as differences. */
static inline uint32_t window_tick(uint64_t ns)
{
    return (uint32_t)(ns >> WINDOW_TICK_SHIFT);
}

/* Leave an event for who drains: in an open window. In a closed one, count a read as lost. Threads:
 * any; none waits. */
void window_add(struct window *w, const struct window_event *event);
void window_lose_read(struct window *w);

/*
 * Draining: window_take() for each of THREAD_STRIPES stripes, then window_open().
 */

/* Take what a stripe has, in order, unless a thread is just leaving something there: then it is for
 * the next drain. Returns how many events; adds the reads that were lost. */
uint32_t window_take(struct window *w, uint32_t stripe, struct window_packed ret[WINDOW_EVENTS],
                     uint64_t *lost);
/* Returns what an event says, which is no newer than `now` and no older than a minute. */
struct window_event window_unpack(const struct window_packed *packed, uint32_t now);
/* Begin the next window. Returns in how many nanoseconds to drain it. */
uint64_t window_open(struct window *w);
/* End it, and forget what is in it. Returns the reads that were lost, ever. */
uint64_t window_close(struct window *w);

#endif
