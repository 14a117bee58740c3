// SPDX-License-Identifier: MIT
/*
 * Leaving events, taking them, and how long to wait between windows.
 */
#include "l1/window.h"

#include <string.h>

#define TRIES 64u /* for a turn that lasts for some ten instructions */
#define LIFE_MASK ((1u << (WINDOW_LIFE_BITS + ENTRY_EXPONENT_BITS)) - 1)
#define STALE_MASK ((1u << (WINDOW_STALE_BITS + ENTRY_EXPONENT_BITS)) - 1)
#define AT_MASK ((1u << WINDOW_AT_BITS) - 1)
#define STRIPES_BYTES (THREAD_STRIPES * sizeof(struct window_stripe))

bool window_make(struct window *w, struct mem *mem)
{
    if (!w->stripes)
        w->stripes = mem_lines_alloc_zero(mem, STRIPES_BYTES);
    return w->stripes;
}

void window_free(struct window *w, struct mem *mem)
{
    mem_lines_free(mem, w->stripes, STRIPES_BYTES);
}

size_t window_bytes(const struct window *w)
{
    return w->stripes ? STRIPES_BYTES : 0;
}

/* ---- events ---- */

/* Bytes of an event. A lifetime is rounded down. */
static struct window_packed pack(const struct window_event *e)
{
    return (struct window_packed){
        .hash = e->hash,
        .sample = e->sample & ((1u << 20) - 1),
        .space = e->space & L1_SPACES_MAX,
        .bytes = u64_min(e->bytes, (1u << 27) - 1) & ((1u << 27) - 1),
        .what = e->what & 7u,
        .life = entry_ticks_pack(e->life, WINDOW_LIFE_BITS) & LIFE_MASK,
        .stale = entry_ticks_pack(e->stale, WINDOW_STALE_BITS) & STALE_MASK,
        .at = e->at & AT_MASK,
    };
}

struct window_event window_unpack(const struct window_packed *packed, uint32_t now)
{
    return (struct window_event){
        .what = (enum window_what)packed->what,
        .hash = packed->hash & UINT32_MAX,
        .sample = packed->sample,
        .space = packed->space,
        .bytes = packed->bytes,
        .at = now - ((now - (uint32_t)packed->at) & AT_MASK),
        .life = entry_ticks_unpack(packed->life, WINDOW_LIFE_BITS),
        .stale = entry_ticks_unpack(packed->stale, WINDOW_STALE_BITS),
    };
}

/* ---- leaving an event ---- */

static struct window_stripe *own_stripe(struct window *w)
{
    return &w->stripes[thread_stripe()];
}

/* A load and a store: where threads share a stripe some counts are lost, too. */
static void lose_read(struct window_stripe *s)
{
    uint64_t lost = atomic_load_explicit(&s->lost, memory_order_relaxed);
    atomic_store_explicit(&s->lost, lost + 1, memory_order_relaxed);
}

void window_lose_read(struct window *w)
{
    lose_read(own_stripe(w));
}

static void lose(struct window_stripe *s, const struct window_event *event)
{
    if (event->what <= WINDOW_OUTDATED)
        lose_read(s);
}

static bool leave_in_turn(struct window_stripe *s, const struct window_event *event)
{
    if (s->count == WINDOW_EVENTS)
        return false;
    s->events[s->count++] = pack(event);
    return true;
}

/* Whoever finds no place ends the window for all: what fills the last one may well be followed by
 * the drain. */
void window_add(struct window *w, const struct window_event *event)
{
    struct window_stripe *s = own_stripe(w);
    if (!turn_take(&s->turn)) {
        lose(s, event);
        return;
    }
    bool left = leave_in_turn(s, event);
    turn_give(&s->turn);
    if (NIGH_UNLIKELY(!left)) {
        lose(s, event);
        atomic_store_explicit(&w->open, false, memory_order_relaxed);
    }
}

/* ---- draining ---- */

static bool take_turn(struct window_stripe *s)
{
    for (unsigned tries = 0; tries < TRIES; tries++)
        if (turn_take(&s->turn))
            return true;
    return false;
}

uint32_t window_take(struct window *w, uint32_t stripe, struct window_packed ret[WINDOW_EVENTS],
                     uint64_t *lost)
{
    struct window_stripe *s = &w->stripes[stripe];
    uint32_t count = 0;
    if (take_turn(s)) {
        count = s->count;
        memcpy(ret, s->events, count * sizeof(*ret));
        s->count = 0;
        turn_give(&s->turn);
    }
    *lost += atomic_load_explicit(&s->lost, memory_order_relaxed);
    w->most = count > w->most ? count : w->most;
    return count;
}

/* Halving the pause at a half, and doubling it below an eighth, leaves a buffer between a sixteenth
 * and a half full while the traffic stays as it is. */
uint64_t window_open(struct window *w)
{
    if (!window_is_open(w))
        w->pause_ns = WINDOW_LEAST_NS;
    else if (w->most > WINDOW_EVENTS / 2)
        w->pause_ns = u64_max(w->pause_ns / 2, WINDOW_LEAST_NS);
    else if (w->most < WINDOW_EVENTS / 8)
        w->pause_ns = u64_min(u64_max(2 * w->pause_ns, WINDOW_LEAST_NS), WINDOW_MOST_NS);
    w->most = 0;
    atomic_store_explicit(&w->open, true, memory_order_relaxed);
    return w->pause_ns;
}

uint64_t window_close(struct window *w)
{
    struct window_packed events[WINDOW_EVENTS];
    uint64_t lost = 0;
    atomic_store_explicit(&w->open, false, memory_order_relaxed);
    for (uint32_t i = 0; i < THREAD_STRIPES; i++)
        (void)window_take(w, i, events, &lost);
    return lost;
}
