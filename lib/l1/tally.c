// SPDX-License-Identifier: MIT
/*
 * More tallies as spaces get sets of their own, and sums over shards for who reads a set.
 *
 * Larger arrays take the place of all shards' smaller ones in one block, shard by shard, under its
 * lock: who holds the lock sees one array or the other, whole.
 */
#include "l1/tally.h"

#include <nigh/error.h>

static uint32_t shard_count(const struct l1 *l1)
{
    return l1->shard_mask + 1;
}

static size_t block_bytes(const struct l1 *l1, uint32_t mask)
{
    return (size_t)shard_count(l1) * (mask + 1) * sizeof(struct tally);
}

/* ---- reading ---- */

static void add_tally(struct tally *sum, const struct tally *t)
{
    sum->came += t->came;
    sum->bytes += t->bytes;
    for (int i = 0; i < TALLY_CAUSES; i++)
        sum->left[i] += t->left[i];
}

/* Ids of spaces: from `first` on, and before `end`. */
struct ids {
    uint32_t first, end;
};

/* Bound the ids that may count in a set: all for a table's own, and most often one for another. So
 * what a reader does in a shard does not grow with the number of spaces. */
static struct ids bound_ids(const struct l1 *l1, const struct stats *set)
{
    struct ids ids = {0, L1_SPACES_MAX + 1};
    if (l1->stats == set)
        return ids;
    if (!l1->space_stats)
        return (struct ids){0, 0};
    while (ids.end > 0 && l1_stats_of(l1, ids.end - 1) != set)
        ids.end--;
    while (ids.first < ids.end && l1_stats_of(l1, ids.first) != set)
        ids.first++;
    return ids;
}

static void add_shard(struct l1 *l1, struct l1_shard *s, const struct ids *ids,
                      const struct stats *set, struct tally *sum)
{
    l1_shard_lock(s);
    for (uint32_t i = ids->first; i < ids->end && i <= s->tally_mask; i++)
        if (l1_stats_of(l1, i) == set)
            add_tally(sum, &s->tallies[i]);
    l1_shard_unlock(l1, s);
}

/* Sum up what all tables of the family count in a set. */
static struct tally read_family(struct l1 *root, const struct stats *set)
{
    struct tally sum = {0};
    for (struct l1 *m = root; m; m = family_next(m)) {
        struct ids ids = bound_ids(m, set);
        for (uint32_t i = 0; ids.first < ids.end && i < shard_count(m); i++)
            add_shard(m, &m->shards[i], &ids, set, &sum);
    }
    return sum;
}

static struct l1_level level_of(const struct tally *sum)
{
    struct l1_level level = {sum->came, sum->bytes};
    for (int i = 0; i < TALLY_CAUSES; i++)
        level.entries -= sum->left[i];
    return level;
}

static void add_left(const struct tally *sum, uint64_t counts[STATS_COUNTER_COUNT])
{
    counts[STATS_L1_EVICT] += sum->left[TALLY_EVICTED] + sum->left[TALLY_SHED];
    counts[STATS_L1_SHED] += sum->left[TALLY_SHED];
    counts[STATS_L1_DROP] += sum->left[TALLY_DROPPED];
    counts[STATS_L1_EXPIRE] += sum->left[TALLY_EXPIRED];
    counts[STATS_L1_REMOVE] += sum->left[TALLY_REMOVED];
}

void l1_level_read(struct l1 *l1, const struct stats *set, struct l1_level *ret)
{
    struct tally sum = read_family(l1->member.root, set);
    *ret = level_of(&sum);
}

void l1_level_count(struct l1 *l1, const struct stats *set, struct l1_level *ret,
                    uint64_t counts[STATS_COUNTER_COUNT])
{
    struct tally sum = read_family(l1->member.root, set);
    *ret = level_of(&sum);
    add_left(&sum, counts);
}

static void add_counts(void *arg, const struct stats *set, uint64_t counts[STATS_COUNTER_COUNT])
{
    struct tally sum = read_family(arg, set);
    add_left(&sum, counts);
}

static void let_ask(struct l1 *root, struct stats *set)
{
    struct stats_source source = {STATS_L1_EVICT, STATS_L1_REMOVE, add_counts, root};
    stats_set_source(set, &source);
}

uint64_t tally_bytes_locked(struct l1_shard *s)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i <= s->tally_mask; i++)
        sum += s->tallies[i].bytes;
    return sum;
}

/* ---- making ---- */

void tally_init(struct l1 *l1, struct tally *first)
{
    for (uint32_t i = 0; i < shard_count(l1); i++)
        l1->shards[i].tallies = &first[i];
    if (l1->member.root == l1)
        let_ask(l1, l1->stats);
}

void tally_fini(struct l1 *l1)
{
    if (l1->member.root == l1)
        stats_set_source(l1->stats, NULL);
    if (l1->tallies)
        mem_lines_free(l1->env->mem, l1->tallies, block_bytes(l1, l1->shards[0].tally_mask));
}

uint64_t l1_level_bytes(struct l1 *l1)
{
    struct l1_shard *s = &l1->shards[0]; /* all have as many */
    l1_shard_lock(s);
    uint32_t mask = s->tally_mask;
    l1_shard_unlock(l1, s);
    return mask ? block_bytes(l1, mask) : 0;
}

static void give_larger(struct l1 *l1, struct l1_shard *s, struct tally *larger, uint32_t mask)
{
    l1_shard_lock(s);
    memcpy(larger, s->tallies, (s->tally_mask + 1) * sizeof(*larger));
    s->tallies = larger;
    s->tally_mask = mask;
    l1_shard_unlock(l1, s);
}

/* Have a tally in each shard for the space. */
static int make_room(struct l1 *l1, uint32_t space_id)
{
    uint32_t before = l1->shards[0].tally_mask, mask = before;
    while (mask < space_id)
        mask = 2 * mask + 1;
    if (mask == before)
        return 0;
    struct tally *old = l1->tallies, *block = mem_lines_alloc_zero(l1->env->mem,
                                                                   block_bytes(l1, mask));
    if (!block)
        return NIGH_ENOMEM;
    for (uint32_t i = 0; i < shard_count(l1); i++)
        give_larger(l1, &l1->shards[i], &block[(size_t)i * (mask + 1)], mask);
    l1->tallies = block;
    if (old)
        mem_lines_free(l1->env->mem, old, block_bytes(l1, before));
    return 0;
}

int l1_space_count_in(struct l1 *l1, uint32_t space_id, struct stats *stats)
{
    int err = make_room(l1, space_id);
    if (err)
        return err;
    atomic_store_explicit(&l1->space_stats[space_id], stats, memory_order_relaxed);
    let_ask(l1, stats);
    return 0;
}
