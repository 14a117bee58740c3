// SPDX-License-Identifier: MIT
/*
 * Instead of lib/l1/reclaim.c: a call_rcu() for each retired entry, whose callback frees it.
 *
 * The heads lie outside the entries, which have no room for them: one for each slot of each shard's
 * ring, in memory that is reserved as a whole and touched by use. Pins are not looked at: whoever
 * measures with this holds no value while he writes.
 */
#include "l1/reclaim.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "l1/room.h"

#define SLOTS_MAX (UINT64_C(1) << 18) /* of a shard */
#define SHARDS_MAX 256u

struct deferred {
    struct rcu_head head;
    struct l1 *l1;
    struct l1_shard *shard;
    uint32_t slot;
};

struct deferred_table {
    struct rcu_head head;
    struct l1 *l1;
    struct l1_table *table;
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
    room_give_locked(d->l1, s, bytes);
    l1_shard_unlock(d->l1, s);
}

static void free_table(struct rcu_head *head)
{
    struct deferred_table *d = caa_container_of(head, struct deferred_table, head);
    uint64_t bytes = d->table->charged_bytes;
    table_destroy(d->l1->mem, NULL, d->table);
    atomic_fetch_sub_explicit(&d->l1->limbo, bytes, memory_order_relaxed);
    room_return(d->l1, bytes);
    free(d);
}

bool reclaim_limbo_full(const struct l1 *l1)
{
    return atomic_load_explicit(&l1->limbo, memory_order_relaxed) >= l1->limbo_cap_bytes;
}

uint64_t reclaim_retire_locked(struct l1 *l1, struct l1_shard *s, uint32_t slot)
{
    struct deferred *d = head_of(l1, s, slot);
    uint64_t bytes = mem_charge(l1->mem, entry_size(ring_entry(&s->ring, slot)));
    struct l1_list unlinked = L1_LIST_EMPTY;
    ring_push(&s->ring, &unlinked, slot); /* no longer live: the policy passes it */
    d->l1 = l1;
    d->shard = s;
    d->slot = slot;
    atomic_fetch_add_explicit(&l1->limbo, bytes, memory_order_relaxed);
    urcu_bp_call_rcu(&d->head, free_entry);
    return bytes;
}

void reclaim_retire_table_locked(struct l1 *l1, struct l1_shard *s, struct l1_table *t)
{
    struct deferred_table *d = malloc(sizeof(*d));
    (void)s;
    if (!d)
        abort();
    d->l1 = l1;
    d->table = t;
    atomic_fetch_add_explicit(&l1->limbo, t->charged_bytes, memory_order_relaxed);
    urcu_bp_call_rcu(&d->head, free_table);
}

void reclaim_free_ready_locked(struct l1 *l1, struct l1_shard *s, uint32_t most)
{
    (void)l1;
    (void)s;
    (void)most;
}

uint64_t l1_reclaim(struct l1 *l1)
{
    (void)l1;
    return CLOCK_NEVER_NS;
}

void l1_pins_read(struct l1 *l1, uint64_t *ret_pins, uint64_t *ret_bytes)
{
    (void)l1;
    *ret_pins = 0;
    *ret_bytes = 0;
}

void l1_set_reclaim_poke(struct l1 *l1, void (*poke)(void *arg), void *arg)
{
    l1->poke_arg = arg;
    l1->poke = poke;
}
