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

/* Draw the next position. Stamps of entries have 48 bits. A million changes a second take nine
 * years to use them up; twenty million, as many as a machine's cores can draw from one word, 163
 * days of nothing else. If positions wrapped, invalidated entries would be fresh again: so the
 * check ends the process. */
static uint64_t draw(struct l1_floors *f)
{
    /* pair(floors.now) */
    uint64_t position = atomic_fetch_add_explicit(&f->now, 1, memory_order_acq_rel) + 1;
    NIGH_CHECK(position <= ENTRY_STAMP_MASK);
    return position;
}

/* Raise a floor to `position`, if it is lower. Returns the floor as it was. */
static uint64_t raise_to(_Atomic uint64_t *floor, uint64_t position)
{
    uint64_t was = atomic_load_explicit(floor, memory_order_relaxed);
    /* pair(floors.newest), pair(floors.any), pair(floors.renewed): after the floors that were
     * raised before it, and the clock that was taken, so that a reader that goes on to them finds
     * them; no other order is needed */
    while (was < position &&
           !atomic_compare_exchange_weak_explicit(floor, &was, position, memory_order_release,
                                                  memory_order_relaxed))
        continue;
    return was;
}

uint64_t floors_raise_group(struct l1_floors *f, uint16_t slot, bool soft)
{
    struct group_floor *floor = &f->groups->of[slot & (f->group_count - 1)];
    uint64_t position = draw(f);
    if (!soft)
        raise_to(&floor->hard, position);
    raise_to(&floor->any, position);
    raise_to(&f->groups->newest, STAMP_WORD(position));
    return position;
}

/* The floor of a key: by bits of the hash that a usual table uses for neither shard, bucket nor
 * tag, so the keys of a crowded bucket do not share a floor. */
static _Atomic uint64_t *key_floor(const struct l1_floors *f, uint64_t hash)
{
    return &f->keys[hash >> 34 & (f->key_count - 1)];
}

uint64_t floors_raise_key(struct l1_floors *f, uint64_t hash, uint64_t ticket, bool *ret_ok)
{
    uint64_t position = draw(f);
    *ret_ok = ticket >= raise_to(key_floor(f, hash), position);
    return position;
}

void floors_prefetch_key(const struct l1_floors *f, uint64_t hash)
{
    __builtin_prefetch(key_floor(f, hash), 1);
    __builtin_prefetch(&f->now, 1); /* most likely in another writer's cache */
}

void floors_renew(struct l1_floors *f, uint64_t position)
{
    raise_to(&f->renewed, position);
}

uint64_t floors_renewed(const struct l1_floors *f)
{
    /* pair(floors.renewed): what the caller looks at next is at least as new */
    return atomic_load_explicit(&f->renewed, memory_order_acquire);
}

uint64_t floors_mark(struct l1_floors *f)
{
    return draw(f);
}

/* ---- judging ---- */

uint64_t floors_of_key(const struct l1_floors *f, uint64_t hash)
{
    /* Relaxed: a storer's look is ordered against the remover's by the shard lock. */
    return atomic_load_explicit(key_floor(f, hash), memory_order_relaxed);
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
