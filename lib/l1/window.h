/* SPDX-License-Identifier: MIT */
/*
 * Windows: what happens to marked keys, on its way from the threads that do it to the mini caches
 * of the curve.
 *
 *     a thread --(one buffer for a stripe of threads)--> l1_curve_drain() --> curve.c
 *
 * Who makes a request leaves 24 bytes, in a turn that is only tried, and goes on. To ask all mini
 * caches takes hundreds of instructions, and lines that the thread's own work has not got; that is
 * done by whoever drains: the keeper, or a tick. Lifetimes are left as they are: to round them into
 * fewer bits takes a hit as many instructions as to leave the event.
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
 * But each has its time, and of values how long they live, in ticks of 8.4 ms.
 *
 * Keys: (c) constant once made  (t) the stripe's turn  (d) whoever drains, one thread at a time
 * (a) atomic, relaxed
 */
#ifndef NIGH_L1_WINDOW_H
#define NIGH_L1_WINDOW_H

#include "base/base.h"
#include "l1/entry.h"

#define WINDOW_TICK_SHIFT 23 /* of events' times: 8.4 ms */
#define WINDOW_LIFE_MOST (UINT32_C(1) << 30) /* ticks: 104 days, which a difference can tell */

#define WINDOW_EVENTS 256u /* of a stripe, in a window */
#define WINDOW_LEAST_NS (20 * NS_PER_MS)
#define WINDOW_MOST_NS NS_PER_S

enum window_what {
    WINDOW_HIT,      /* a read that hit */
    WINDOW_MISS,     /* ... that missed */
    WINDOW_OUTDATED, /* ... that missed, for what was there was of no use: it is gone everywhere */
    WINDOW_STORE,    /* stored, or refused */
    WINDOW_REMOVE,   /* gone for another reason than want of room, or the end of its life */
    WINDOW_FLOOR,    /* before STORE: of a group of what was loaded a hard floor rose at `at` */
};

struct window_event {
    enum window_what what;
    uint32_t hash;   /* mini_hash() of the key's */
    uint32_t sample; /* of the same, the 20 bits by which keys are sampled */
    uint32_t space;  /* all but REMOVE */
    uint64_t bytes;  /* HIT, STORE: the entry's charge */
    uint32_t at;     /* tick, as window_tick(); FLOOR: a position (floors.h), the low 32 bits */
    uint32_t life;   /* HIT, STORE: ticks from then on, for which a value lives; window_life() */
    uint32_t stale;  /* ... and of them the last ones, in which it is stale */
};

#define WINDOW_SAMPLE_BITS 20
#define WINDOW_SPACE_SHIFT (32 + WINDOW_SAMPLE_BITS)
#define WINDOW_BYTES_BITS 29
#define WINDOW_WHAT_SHIFT (32 + WINDOW_BYTES_BITS)

/* An event as it is left, from the low bits on. In words: of bit-fields the compiler would make
 * them one by one in another place, and a hit would have to wait for that. */
struct window_packed {
    uint64_t key;  /* hash (32) | sample (20) | space (10) */
    uint64_t what; /* at (32) | bytes (29) | what (3) */
    uint64_t life; /* life (32) | stale (32) */
};

_Static_assert(sizeof(struct window_packed) == 24 && L1_SPACES_MAX < 1 << 10 &&
                   NIGH_VALUE_MAX <= 1 << (WINDOW_BYTES_BITS - 1) && WINDOW_FLOOR < 1 << 3,
               "all have their bits, and an entry is charged less than twice its value");

struct window_stripe {
    _Alignas(CACHE_LINE_BYTES) struct turn turn;
    uint32_t count;        /* (t) */
    _Atomic uint64_t lost; /* (a) reads; where threads share the stripe it may fall: lose_read() */
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

/* Returns a duration in ticks, up to the longest. */
static inline uint32_t window_life(uint64_t ticks)
{
    return (uint32_t)u64_min(ticks, WINDOW_LIFE_MOST);
}

static inline struct window_packed window_pack(struct window_event e)
{
    uint64_t sample = e.sample & ((1u << WINDOW_SAMPLE_BITS) - 1);
    return (struct window_packed){
        .key = e.hash | sample << 32 | (uint64_t)e.space << WINDOW_SPACE_SHIFT,
        .what = e.at | e.bytes << 32 | (uint64_t)e.what << WINDOW_WHAT_SHIFT,
        .life = e.life | (uint64_t)e.stale << 32,
    };
}

/* Returns what an event says. */
static inline struct window_event window_unpack(const struct window_packed *p)
{
    return (struct window_event){
        .what = (enum window_what)(p->what >> WINDOW_WHAT_SHIFT),
        .hash = (uint32_t)p->key,
        .sample = (uint32_t)(p->key >> 32) & ((1u << WINDOW_SAMPLE_BITS) - 1),
        .space = (uint32_t)(p->key >> WINDOW_SPACE_SHIFT),
        .bytes = p->what >> 32 & ((1u << WINDOW_BYTES_BITS) - 1),
        .at = (uint32_t)p->what,
        .life = (uint32_t)p->life,
        .stale = (uint32_t)(p->life >> 32),
    };
}

/* Count an event as lost, if it is a read. Returns NULL. */
NIGH_OUTLINED struct window_stripe *window_lose(struct window_stripe *s, enum window_what what);

/* Returns this thread's stripe, whose turn is taken, with room for an event. NULL: that is lost.
 * Whoever finds no place ends the window for all: what fills the last one may well be followed by
 * the drain. */
static inline struct window_stripe *window_enter(struct window *w, enum window_what what)
{
    struct window_stripe *s = &w->stripes[thread_stripe()];
    if (NIGH_UNLIKELY(!turn_take(&s->turn)))
        return window_lose(s, what);
    if (NIGH_LIKELY(s->count < WINDOW_EVENTS))
        return s;
    turn_give(&s->turn);
    atomic_store_explicit(&w->open, false, memory_order_relaxed);
    return window_lose(s, what);
}

/* Leave an event for who drains: in an open window. In a closed one, count a read as lost. Inline,
 * so that a hit writes the event where it is to stay. Threads: any; none waits. */
static inline void window_add(struct window *w, struct window_event event)
{
    struct window_stripe *s = window_enter(w, event.what);
    if (NIGH_UNLIKELY(!s))
        return;
    s->events[s->count++] = window_pack(event);
    turn_give(&s->turn);
}
void window_lose_read(struct window *w);

/*
 * Draining: window_take() for each of THREAD_STRIPES stripes, then window_open().
 */

/* Take what a stripe has, in order, unless a thread is just leaving something there: then it is for
 * the next drain. Returns how many events; adds the reads that were lost. */
uint32_t window_take(struct window *w, uint32_t stripe, struct window_packed ret[WINDOW_EVENTS],
                     uint64_t *lost);
/* Begin the next window. Returns in how many nanoseconds to drain it. */
uint64_t window_open(struct window *w);
/* End it, and forget what is in it. Returns the reads that were lost, ever. */
uint64_t window_close(struct window *w);

#endif
