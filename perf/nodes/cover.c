// SPDX-License-Identifier: MIT
/*
 * Windows sorted by their beginning, with the latest end so far beside each: of the windows that
 * begin in time, one touches the span iff the latest end among them reaches into it.
 */
#include "nodes/cover.h"

#include <stdlib.h>

#include "support/fail.h"

void cover_clear(struct cover *c)
{
    c->count = 0;
}

void cover_free(struct cover *c)
{
    free(c->windows);
    free(c->reach);
    *c = (struct cover){0};
}

void cover_add(struct cover *c, uint32_t node, uint64_t from_ns, uint64_t to_ns)
{
    if (c->count == c->capacity) {
        c->capacity = c->capacity ? c->capacity * 2 : 64;
        c->windows = must_grow(c->windows, c->capacity, sizeof(*c->windows));
        c->reach = must_grow(c->reach, c->capacity, sizeof(*c->reach));
    }
    c->windows[c->count++] = (struct cover_window){from_ns, to_ns, node};
}

static int by_beginning(const void *a, const void *b)
{
    const struct cover_window *x = a, *y = b;
    return (x->from_ns > y->from_ns) - (x->from_ns < y->from_ns);
}

static void raise(uint64_t *reach, uint64_t to_ns)
{
    if (to_ns > *reach)
        *reach = to_ns;
}

void cover_build(struct cover *c)
{
    struct cover_reach reach = {{0}};
    if (c->count)
        qsort(c->windows, c->count, sizeof(*c->windows), by_beginning);
    for (uint32_t i = 0; i < c->count; i++) {
        raise(&reach.to_ns[c->windows[i].node], c->windows[i].to_ns);
        raise(&reach.to_ns[COVER_ANY_NODE], c->windows[i].to_ns);
        c->reach[i] = reach;
    }
}

/* How many windows begin at or before `ns`. */
static uint32_t begun(const struct cover *c, uint64_t ns)
{
    uint32_t low = 0, high = c->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (c->windows[middle].from_ns <= ns)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool cover_touches(const struct cover *c, uint32_t node, uint64_t from_ns, uint64_t to_ns)
{
    uint32_t count = begun(c, to_ns);
    return count && c->reach[count - 1].to_ns[node] >= from_ns;
}
