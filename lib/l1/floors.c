/* SPDX-License-Identifier: MIT */
/*
 * Raising and judging floors.
 */
#include "l1/floors.h"

#include <nigh/error.h>

/* A key floor for each 512 bytes of memory: a collision refuses one fill in 16,384 at most. */
#define MEMORY_PER_KEY_FLOOR 512u

uint32_t floors_key_count(uint64_t memory_bytes)
{
    uint32_t count = KEY_FLOORS_MIN;
    while (count < KEY_FLOORS_MAX && count * 2ull * MEMORY_PER_KEY_FLOOR <= memory_bytes)
        count *= 2;
    return count;
}

static size_t groups_size(uint32_t group_count)
{
    return sizeof(struct group_floors) + group_count * sizeof(struct group_floor);
}

static size_t keys_size(uint32_t key_count)
{
    return key_count * sizeof(_Atomic uint64_t);
}

uint64_t floors_bytes(uint32_t group_count, uint32_t key_count)
{
    return groups_size(group_count) + keys_size(key_count);
}

int floors_init(struct l1_floors *f, uint32_t group_count, uint32_t key_count)
{
    f->groups = mem_pages_alloc(groups_size(group_count));
    if (!f->groups)
        return NIGH_ENOMEM;
    f->keys = mem_pages_alloc(keys_size(key_count));
    if (!f->keys) {
        mem_pages_free(f->groups, groups_size(group_count));
        return NIGH_ENOMEM;
    }
    f->group_count = group_count;
    f->key_count = key_count;
    atomic_init(&f->now, 0);
    atomic_init(&f->renewed, 0);
    return 0;
}

void floors_fini(struct l1_floors *f)
{
    mem_pages_free(f->keys, keys_size(f->key_count));
    mem_pages_free(f->groups, groups_size(f->group_count));
}

/* ---- raising ---- */

uint64_t floors_raise_group(struct l1_floors *f, uint16_t slot, bool soft)
{
    struct group_floor *floor = &f->groups->of[slot & (f->group_count - 1)];
    uint64_t position = floors_mark(f);
    if (!soft)
        floors_raise_to(&floor->hard, position);
    floors_raise_to(&floor->any, position);
    floors_raise_to(&f->groups->newest, STAMP_WORD(position));
    return position;
}

void floors_renew(struct l1_floors *f, uint64_t position)
{
    floors_raise_to(&f->renewed, position);
}

uint64_t floors_renewed(const struct l1_floors *f)
{
    /* pair(floors.renewed): what the caller looks at next is at least as new */
    return atomic_load_explicit(&f->renewed, memory_order_acquire);
}

/* ---- judging ---- */

uint64_t floors_of_key(const struct l1_floors *f, uint64_t hash)
{
    /* Relaxed: a storer's look is ordered against the remover's by the shard lock. */
    return atomic_load_explicit(floors_key(f, hash), memory_order_relaxed);
}

void floors_of_group(const struct l1_floors *f, uint16_t slot, uint64_t *ret_any,
                     uint64_t *ret_hard)
{
    const struct group_floor *floor = &f->groups->of[slot & (f->group_count - 1)];
    /* pair(floors.any): if `any` has risen, and `hard` with it, both are seen */
    *ret_any = atomic_load_explicit(&floor->any, memory_order_acquire);
    *ret_hard = atomic_load_explicit(&floor->hard, memory_order_relaxed);
}

static enum l1_standing judge_one(const struct l1_floors *f, uint64_t stamp, uint16_t slot)
{
    const struct group_floor *floor = &f->groups->of[slot & (f->group_count - 1)];
    /* pair(floors.any): if `any` has risen, and `hard` with it, both are seen */
    if (stamp >= atomic_load_explicit(&floor->any, memory_order_acquire))
        return L1_CURRENT;
    bool is_hard = stamp < atomic_load_explicit(&floor->hard, memory_order_relaxed);
    return is_hard ? L1_BELOW_HARD : L1_BELOW_SOFT;
}

enum l1_standing floors_judge_slow(const struct l1_floors *f, uint64_t stamp, uint16_t space_slot,
                                   const uint16_t *groups, uint32_t group_count)
{
    enum l1_standing worst = judge_one(f, stamp, GROUP_SLOT_ALL);
    enum l1_standing one = judge_one(f, stamp, space_slot);
    worst = one > worst ? one : worst;
    for (uint32_t i = 0; i < group_count && worst != L1_BELOW_HARD; i++) {
        one = judge_one(f, stamp, groups[i]);
        worst = one > worst ? one : worst;
    }
    return worst;
}
