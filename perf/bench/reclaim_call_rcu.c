// SPDX-License-Identifier: MIT
/*
 * In place of one function of lib/l1/limbo.c: a call_rcu() for each retired entry, whose callback
 * frees it.
 *
 * The heads lie outside the entries, which have no room for them: one for each slot of each shard's
 * ring, in memory that is reserved as a whole and touched by use. Pins are not looked at: whoever
 * measures with this holds no value while he writes.
 */
#include "l1/limbo.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "l1/budget.h"

#define SLOTS_MAX (UINT64_C(1) << 18) /* of a shard */
#define SHARDS_MAX 256u

struct deferred {
    struct rcu_head head;
    struct l1 *l1;
    struct l1_shard *shard;
    uint32_t slot;
};

static struct deferred *heads[L1_CACHES_MAX]; /* made by the first writer, alone then */

static struct deferred *head_of(struct l1 *l1, struct l1_shard *s, uint32_t slot)
{
    struct deferred **of = &heads[l1->id];
    if (!*of)
        *of = mmap(NULL, SHARDS_MAX * SLOTS_MAX * sizeof(**of), PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (*of == MAP_FAILED || l1->shard_mask >= SHARDS_MAX || slot >= SLOTS_MAX)
        abort();
    return *of + (uint64_t)(s - l1->shards) * SLOTS_MAX + slot;
}

static void free_entry(struct rcu_head *head)
{
    struct deferred *d = caa_container_of(head, struct deferred, head);
    struct l1_shard *s = d->shard;
    l1_shard_lock(s);
    struct l1_entry *e = ring_entry(&s->ring, d->slot);
    uint64_t bytes = mem_charge(d->l1->mem, entry_size(e));
    entry_free(d->l1, s->cache, e);
    ring_give(&s->ring, d->slot);
    atomic_fetch_sub_explicit(&d->l1->limbo, bytes, memory_order_relaxed);
    budget_give_locked(d->l1, s, bytes);
    l1_shard_unlock(d->l1, s);
}

void limbo_retire_locked(struct l1 *l1, struct l1_shard *s, uint32_t slot, uint64_t bytes)
{
    struct deferred *d = head_of(l1, s, slot);
    struct l1_list unlinked = L1_LIST_EMPTY;
    ring_push(&s->ring, &unlinked, slot); /* no longer live: the policy passes it */
    d->l1 = l1;
    d->shard = s;
    d->slot = slot;
    atomic_fetch_add_explicit(&l1->limbo, bytes, memory_order_relaxed);
    urcu_bp_call_rcu(&d->head, free_entry);
}
