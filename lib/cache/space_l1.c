// SPDX-License-Identifier: MIT
/*
 * Entries of a space, in the table where they belong; and the move to a table apart.
 */
#include "cache/space_l1.h"

#define UNCAPPED UINT64_MAX

/* ---- entries ---- */

bool space_l1_still_has(const struct nigh_space *space, const struct l1_key *key, uint64_t stamp)
{
    if (l1_key_current(space->cache->l1, key, stamp))
        return true;
    rcu_enter();
    const struct l1_entry *e = space_l1_find_rcu(space, key);
    bool there = e && l1_entry_stamp(e) == stamp;
    rcu_leave();
    return there;
}

/* An entry that was created for another table than it would be looked for in is not stored at
 * all. */
enum l1_store_result space_l1_store(struct nigh_space *space, const struct l1_key *key,
                                    struct l1_entry *e)
{
    struct l1 *l1 = space_l1(space);
    if (NIGH_UNLIKELY(!l1_entry_loose(e) && l1_of_entry(e) != l1))
        return L1_REFUSED_FULL;
    return l1_store(l1, key, e);
}

void space_l1_count_store(struct nigh_space *space, enum l1_store_result result)
{
    static const enum stats_counter counters[] = {
        [L1_STORED] = STATS_L1_STORE,
        [L1_REFUSED_FLOOR] = STATS_L1_REFUSED_FLOOR,
        [L1_REFUSED_VERSION] = STATS_L1_REFUSED_VERSION,
        [L1_REFUSED_FULL] = STATS_L1_REFUSED_FULL,
    };
    stats_count(&space->stats, counters[result]);
}

void space_l1_follow_put(struct nigh_space *space, const struct l1_key *key, uint64_t version,
                         const struct l1 *l1)
{
    for (struct l1 *home; (home = space_l1(space)) != l1; l1 = home)
        l1_invalidate_key(home, key, version, 0, NULL);
}

enum l1_store_result space_l1_write(struct nigh_space *space, const struct l1_key *key,
                                    const struct l1_value *value, uint64_t ticket, uint64_t heard,
                                    bool only_newer, uint64_t *ret_stamp)
{
    struct l1 *l1 = space_l1(space);
    enum l1_store_result result =
        l1_write_stamped(l1, key, value, ticket, heard, only_newer, ret_stamp);
    space_l1_follow_put(space, key, value->version, l1);
    return result;
}

uint64_t space_l1_invalidate(struct nigh_space *space, const struct l1_key *key, uint64_t version,
                             uint64_t own, uint64_t ticket, bool *ret_ticket_ok)
{
    struct l1 *l1 = space_l1(space);
    uint64_t position = l1_invalidate_others(l1, key, version, own, ticket, ret_ticket_ok);
    space_l1_follow_put(space, key, version, l1);
    return position;
}

/* ---- tables ---- */

static void set(_Atomic(struct l1 *) *at, struct l1 *l1)
{
    atomic_store_explicit(at, l1, memory_order_release); /* pair(space.home), pair(space.seen) */
}

int space_l1_open(struct nigh_space *space, uint16_t slot, uint64_t memory_bytes)
{
    struct l1 *l1 = space->cache->l1;
    l1_space_init(l1, space->id, slot, &space->l1);
    int rc = l1_space_count_in(l1, space->id, &space->stats);
    if (rc != 0)
        return rc;
    if (memory_bytes) {
        rc = l1_create_apart(l1, &space->l1, &space->stats, memory_bytes, &l1);
        if (rc != 0)
            return rc;
        l1_space_move(&space->l1, l1);
    }
    set(&space->home, l1);
    set(&space->seen, l1);
    return 0;
}

static void move(struct nigh_space *space, struct l1 *apart) REQUIRES(space->cache->spaces_lock)
{
    struct l1 *all = space->cache->l1;
    uint32_t plain = atomic_load_explicit(&space->plain_forks, memory_order_relaxed);
    cache_turn_plain(space, plain, CACHE_MOVES);
    rcu_wait(); /* no plain hit is under way now, and none begins */
    set(&space->seen, NULL);
    set(&space->home, apart);
    l1_raise_group(all, (uint16_t)space->l1.group_slot, false);
    l1_space_move(&space->l1, apart);
    set(&space->seen, apart);
    cache_turn_plain(space, CACHE_MOVES, plain);
    l1_drop_space(all, space->id);
}

int space_l1_set_memory(struct nigh_space *space, uint64_t memory_bytes)
{
    struct l1 *apart = space_l1_apart(space);
    if (apart)
        return l1_set_most(apart, memory_bytes ? memory_bytes : UNCAPPED);
    if (!memory_bytes)
        return 0;
    int rc = l1_create_apart(space->cache->l1, &space->l1, &space->stats, memory_bytes, &apart);
    if (rc == 0)
        move(space, apart);
    return rc;
}
