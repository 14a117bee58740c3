// SPDX-License-Identifier: MIT
/*
 * In place of one function of lib/l1/limbo.c: what is retired is freed at once. With a reader in
 * the way that is a use after free; with one thread that holds no value it is the least that
 * freeing can cost.
 */
#include "l1/limbo.h"

#include "l1/budget.h"

void limbo_retire_locked(struct l1 *l1, struct l1_shard *s, uint32_t slot, uint64_t bytes)
{
    entry_free(l1, s->cache, ring_entry(&s->ring, slot));
    ring_give(&s->ring, slot);
    budget_give_locked(l1, s, bytes);
}
