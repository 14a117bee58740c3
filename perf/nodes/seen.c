// SPDX-License-Identifier: MIT
/*
 * Changes that a node was seen to apply, sorted, so that a question is a binary search.
 */
#include "nodes/seen.h"

#include <stdlib.h>

#include "support/fail.h"

static int by_call(const void *a, const void *b)
{
    const struct seen_change *x = a, *y = b;
    return (x->call_ns > y->call_ns) - (x->call_ns < y->call_ns);
}

static void take(struct seen *s, const struct update *u, uint32_t node)
{
    uint64_t call = atomic_load_explicit(&u->call_ns, memory_order_relaxed);
    uint64_t applied = atomic_load_explicit(&u->applied_ns[node], memory_order_relaxed);
    if (call && applied && u->node != node)
        s->of_node[node][s->count[node]++] = (struct seen_change){call, applied};
}

/* Turns the times of each into the earliest from there on. */
static void settle(struct seen_change *changes, uint32_t count)
{
    if (count)
        qsort(changes, count, sizeof(*changes), by_call);
    for (uint32_t i = count; i-- > 1;)
        if (changes[i].applied_ns < changes[i - 1].applied_ns)
            changes[i - 1].applied_ns = changes[i].applied_ns;
}

void seen_build(struct seen *s, const struct history *history, uint32_t nodes)
{
    *s = (struct seen){.count = {0}};
    for (uint32_t node = 0; node < nodes; node++) {
        s->of_node[node] = must_alloc(history_count(history) + 1, sizeof(*s->of_node[node]));
        for (uint32_t i = 0; i < history_count(history); i++)
            take(s, &history->updates[i], node);
        settle(s->of_node[node], s->count[node]);
    }
}

void seen_free(struct seen *s)
{
    for (uint32_t node = 0; node < NODES_MAX; node++)
        free(s->of_node[node]);
}

uint64_t seen_by(const struct seen *s, uint32_t node, uint64_t accepted_ns, uint64_t latest_ns)
{
    const struct seen_change *changes = s->of_node[node];
    uint32_t low = 0, high = s->count[node];
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (changes[middle].call_ns < accepted_ns)
            low = middle + 1;
        else
            high = middle;
    }
    bool earlier = low < s->count[node] && changes[low].applied_ns < latest_ns;
    return earlier ? changes[low].applied_ns : latest_ns;
}
