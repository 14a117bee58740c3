// SPDX-License-Identifier: MIT
/*
 * A pairing heap. Each timer is due no earlier than its parent, and that is all the order there is:
 * a new timer becomes a child of the root, or the root. When a timer leaves, its children are
 * joined in pairs, then the pairs one after the other from the last on: that is what keeps the
 * average low.
 *
 * Source: Fredman, Sedgewick, Sleator, Tarjan, The Pairing Heap (1986).
 */
#include "base/timers.h"

#include <stddef.h>

/* Joins two heaps, of which either may be none. The root of a heap has neither next nor prev. */
static struct timer *join(struct timer *a, struct timer *b)
{
    if (!a || !b)
        return a ? a : b;
    if (b->due_ns < a->due_ns) {
        struct timer *later = a;
        a = b;
        b = later;
    }
    b->prev = a;
    b->next = a->child;
    if (b->next)
        b->next->prev = b;
    a->child = b;
    return a;
}

static struct timer *cut_first(struct timer **list)
{
    struct timer *t = *list;
    if (t) {
        *list = t->next;
        t->next = t->prev = NULL;
    }
    return t;
}

static struct timer *join_children(struct timer *t)
{
    struct timer *children = t->child, *pairs = NULL, *all = NULL;
    t->child = NULL;
    while (children) {
        struct timer *a = cut_first(&children);
        struct timer *pair = join(a, cut_first(&children));
        pair->next = pairs;
        pairs = pair;
    }
    while (pairs)
        all = join(all, cut_first(&pairs));
    return all;
}

void timers_add(struct timers *ts, struct timer *t, uint64_t due_ns)
{
    *t = (struct timer){.due_ns = due_ns};
    ts->first = join(ts->first, t);
}

void timers_remove(struct timers *ts, struct timer *t)
{
    struct timer *children = join_children(t);
    if (t == ts->first) {
        ts->first = children;
        return;
    }
    if (t->next)
        t->next->prev = t->prev;
    if (t->prev->child == t)
        t->prev->child = t->next;
    else
        t->prev->next = t->next;
    ts->first = join(ts->first, children);
}
