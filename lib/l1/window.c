// SPDX-License-Identifier: MIT
/*
 * Leaving events, taking them, and how long to wait between windows.
 */
#include "l1/window.h"

#include <string.h>

#define TRIES 64u /* for a turn that lasts for some ten instructions */
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

/* ---- leaving an event ---- */

/* A load and a store: a thread that rests between them takes back what others of its stripe have
 * counted meanwhile. */
static void lose_read(struct window_stripe *s)
{
    uint64_t lost = atomic_load_explicit(&s->lost, memory_order_relaxed);
    atomic_store_explicit(&s->lost, lost + 1, memory_order_relaxed);
}

struct window_stripe *window_lose(struct window_stripe *s, enum window_what what)
{
    if (what <= WINDOW_OUTDATED)
        lose_read(s);
    return NULL;
}

void window_lose_read(struct window *w)
{
    lose_read(&w->stripes[thread_stripe()]);
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
