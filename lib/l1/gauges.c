/* SPDX-License-Identifier: MIT */
/*
 * The gauges: sums over shards and tables of what is charged, resident, held, and what for.
 */
#include "l1/gauges.h"

#include "l1/pin_scan.h"
#include "l1/shard.h"
#include "l1/tally.h"

uint64_t gauges_pages_bytes(struct l1 *l1)
{
    uint64_t first_tables = (l1->shard_mask + 1u) * table_bytes(l1->mem, l1->hit.base_bits);
    uint64_t sum = l1->fixed_bytes - first_tables;
    for (uint32_t i = 0; i <= l1->shard_mask; i++) {
        l1_shard_lock(&l1->shards[i]);
        sum += l1_shard_pages_bytes_locked(&l1->shards[i]);
        l1_shard_unlock(l1, &l1->shards[i]);
    }
    return sum;
}

/* Sums over the shards of a table. */
struct shard_sums {
    uint64_t spare, limbo_spare, held, tables, unstored, entries, waits, wait_ns;
};

#define GAUGES_AHEAD 4u /* shards whose lines are prefetched */
#define GAUGES_LOCKED                                                                              \
    (L1_GAUGE_USED | L1_GAUGE_TABLES | L1_GAUGE_LIMBO | L1_GAUGE_PINNED | L1_GAUGE_ENTRIES |       \
     L1_GAUGE_WAITS)

static void sum_shard(struct l1 *l1, struct l1_shard *s, unsigned which, struct shard_sums *sums)
{
    if (which & L1_GAUGE_UNSTORED)
        sums->unstored += atomic_load_explicit(&s->unstored_bytes, memory_order_relaxed);
    if (!(which & GAUGES_LOCKED))
        return;
    l1_shard_lock(s);
    sums->spare += s->spare_bytes;
    sums->entries += s->entries;
    sums->waits += s->lock_waits;
    sums->wait_ns += s->lock_wait_ns;
    if (which & (L1_GAUGE_LIMBO | L1_GAUGE_PINNED)) {
        sums->limbo_spare += s->limbo_spare_bytes;
        sums->held += s->held_bytes;
    }
    if (which & L1_GAUGE_TABLES)
        sums->tables += l1_shard_tables_bytes_locked(s);
    l1_shard_unlock(l1, s);
}

/* Each gauge costs the lines that it needs of each shard. With very many shards they are in none of
 * the processor's caches, so they are fetched ahead. */
static struct shard_sums sum_shards(struct l1 *l1, unsigned which)
{
    struct shard_sums sums = {0};
    if (!(which & (GAUGES_LOCKED | L1_GAUGE_UNSTORED)))
        return sums;
    for (uint32_t i = 0; i <= l1->shard_mask; i++) {
        const struct l1_shard *ahead = &l1->shards[(i + GAUGES_AHEAD) & l1->shard_mask];
        __builtin_prefetch(&ahead->lock, 1);
        __builtin_prefetch(&ahead->spare_bytes);
        if (which & (L1_GAUGE_LIMBO | L1_GAUGE_PINNED))
            __builtin_prefetch(&ahead->held_bytes);
        sum_shard(l1, &l1->shards[i], which, &sums);
    }
    return sums;
}

static uint64_t resident_bytes(struct l1 *l1)
{
    struct mem_stats stats;
    mem_stats_peek(l1->mem, &stats);
    return stats.resident_bytes ? stats.resident_bytes + gauges_pages_bytes(l1) : 0;
}

static uint64_t less(uint64_t sum, uint64_t part)
{
    return sum - u64_min(part, sum); /* not read at one time: `part` may be the larger */
}

static uint64_t policy_charge(struct l1 *l1)
{
    return l1->policy->common_charge ? l1->policy->common_charge(l1) : 0;
}

void gauges_read_own(struct l1 *l1, unsigned which, struct l1_gauges *ret)
{
    struct shard_sums sums = sum_shards(l1, which);
    struct l1_gauges g = {.shards = l1->shard_mask + 1};
    g.aside_bytes = atomic_load_explicit(&l1->aside, memory_order_relaxed);
    /* A thread that used so much may have noted it after the cap came down. */
    g.peak_bytes = u64_min(atomic_load_explicit(&l1->peak, memory_order_relaxed),
                           l1_limit(&l1->cap_bytes));
    if (which & L1_GAUGE_USED)
        g.used_bytes = less(atomic_load_explicit(&l1->used, memory_order_relaxed), sums.spare);
    if (which & L1_GAUGE_TABLES) /* the first tables are fixed bytes */
        g.tables_bytes = l1->fixed_bytes + policy_charge(l1) + sums.tables -
                         (uint64_t)g.shards * table_bytes(l1->mem, l1->hit.base_bits);
    if (which & L1_GAUGE_TABLES && l1->floors == &l1->own_floors)
        g.floors_bytes = floors_bytes(l1->floors->group_count, l1->floors->key_count);
    if (which & L1_GAUGE_LIMBO)
        g.limbo_bytes = sums.held + g.aside_bytes +
                        less(atomic_load_explicit(&l1->limbo, memory_order_relaxed),
                             sums.limbo_spare);
    if (which & L1_GAUGE_RESIDENT)
        g.resident_bytes = resident_bytes(l1);
    if (which & L1_GAUGE_ENTRIES)
        g.entries = sums.entries;
    if (which & L1_GAUGE_PINNED)
        g.pinned_bytes = sums.held;
    if (which & L1_GAUGE_WAITS) {
        g.lock_waits = sums.waits;
        g.lock_wait_ns = sums.wait_ns;
    }
    g.unstored_bytes = sums.unstored;
    *ret = g;
}

static void add_gauges(struct l1_gauges *sum, const struct l1_gauges *g)
{
    sum->used_bytes += g->used_bytes;
    sum->peak_bytes += g->peak_bytes;
    sum->resident_bytes += g->resident_bytes;
    sum->tables_bytes += g->tables_bytes;
    sum->floors_bytes += g->floors_bytes;
    sum->limbo_bytes += g->limbo_bytes;
    sum->aside_bytes += g->aside_bytes;
    sum->unstored_bytes += g->unstored_bytes;
    sum->pinned_bytes += g->pinned_bytes;
    sum->entries += g->entries;
    sum->shards += g->shards;
    sum->lock_waits += g->lock_waits;
    sum->lock_wait_ns += g->lock_wait_ns;
}

uint64_t l1_entries_cap(const struct l1 *l1)
{
    return (uint64_t)l1->shard_entries_max * (l1->shard_mask + 1u);
}

void l1_shards_each(struct l1 *l1, void (*visit)(void *arg, const struct l1_shard_gauges *g),
                    void *arg)
{
    for (; l1; l1 = family_next(l1))
        for (uint32_t i = 0; i <= l1->shard_mask; i++) {
            struct l1_shard *s = &l1->shards[i];
            l1_shard_lock(s);
            struct l1_shard_gauges g = {s->entries, tally_bytes_locked(s),
                                        s->lock_waits, s->lock_wait_ns};
            l1_shard_unlock(l1, s);
            visit(arg, &g);
        }
}

void l1_gauges_read(struct l1 *l1, unsigned which, struct l1_gauges *ret)
{
    struct l1_gauges sum, g;
    if (which & L1_GAUGE_RESIDENT)
        mem_stats_renew(); /* once for all tables */
    gauges_read_own(l1, which, &sum);
    sum.cap_bytes = l1_memory(l1);
    for (struct l1 *m = l1; l1 == l1->member.root && (m = family_next(m));) {
        gauges_read_own(m, which, &g);
        add_gauges(&sum, &g);
    }
    *ret = sum;
}

uint64_t l1_pins(const struct l1 *l1)
{
    uint64_t sum = 0;
    for (; l1; l1 = family_next(l1))
        sum += pin_count_of(l1->id);
    return sum;
}

void l1_pins_read(struct l1 *l1, uint64_t *ret_pins, uint64_t *ret_bytes)
{
    struct l1_gauges g;
    l1_gauges_read(l1, L1_GAUGE_PINNED, &g);
    *ret_pins = l1_pins(l1);
    *ret_bytes = g.pinned_bytes;
}
