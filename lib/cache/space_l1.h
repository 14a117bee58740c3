/* SPDX-License-Identifier: MIT */
/*
 * Says which table of L1 has the entries of a space: that of all, or one apart (space.memory).
 *
 * Every store, removal and lookup of an entry asks here (but the plain hit, to which l1_space tells
 * it). A table apart is made with its space; or later, live, once: then the space moves, and what
 * it had in the table of all is not looked for any more.
 *
 * Moving, beside reads, puts, loads and invalidations that do not wait:
 *
 *     seen    where reads look               all | nowhere          |  apart
 *     home    where entries come and go      all | all |    apart
 *                                                      ^ p: the space's floor rises, hard
 *
 * Why no invalidated value is read. Take an invalidation that draws position f, raises the key's
 * floor, and then removes the entry from the home that it finds:
 *   - A read that begins after the invalidation returned and looks in the table of all began before
 *     `seen` left that table. Then home was that table when the invalidation asked, for home left
 *     it later.
 *   - A read that looks in the table apart has seen p's floor stand: the entry that it may find has
 *     a stamp s >= p. If the entry is outdated, s < f, so f was drawn after p; and the thread that
 *     draws a position sees what was done before earlier ones were drawn (pair(floors.now)): home
 *     was the table apart. There the entry was removed, or met the floor when it was stored.
 *   - A writer raises the floor under the lock of the home that it asked for before. So it asks
 *     again: by the same argument it then sees the move if anybody can see what it should have
 *     replaced, and invalidates the key there.
 * A store that was on its way puts its entry where nobody looks any more.
 *
 * The plain hit reads a copy of what it needs (l1_space), which cannot be written at once. So plain
 * hits are stopped for as long (cache_takes_plain()), and a grace period sees to it that none is
 * under way.
 */
#ifndef NIGH_CACHE_SPACE_L1_H
#define NIGH_CACHE_SPACE_L1_H

#include "cache/cache.h"

/* Returns the table where the space's entries come and go. */
static inline struct l1 *space_l1(const struct nigh_space *space)
{
    return atomic_load_explicit(&space->home, memory_order_acquire); /* pair(space.home) */
}

/* Returns the space's table apart; NULL: it has none. */
static inline struct l1 *space_l1_apart(const struct nigh_space *space)
{
    struct l1 *home = space_l1(space);
    return home == space->cache->l1 ? NULL : home;
}

/* Find an entry, in a read section. NULL: not there. */
static inline struct l1_entry *space_l1_find_rcu(const struct nigh_space *space,
                                                 const struct l1_key *key)
{
    /* pair(space.seen): acquire the floor that has risen, the entries that have gone */
    const struct l1 *l1 = atomic_load_explicit(&space->seen, memory_order_acquire);
    return NIGH_LIKELY(l1) ? l1_find_rcu(l1, key) : NULL;
}

/* Returns whether L1 still has what it had of a key with this stamp. A floor of the key that has
 * not risen above it is enough; one that has does not tell the contrary, for keys share floors. */
bool space_l1_still_has(const struct nigh_space *space, const struct l1_key *key, uint64_t stamp);

/* Count how a store went. */
void space_l1_count_store(struct nigh_space *space, enum l1_store_result result);

/* Do what l1_store(), l1_write_stamped(), l1_invalidate_others() do, in the space's home. None of
 * them counts. */
enum l1_store_result space_l1_store(struct nigh_space *space, const struct l1_key *key,
                                    struct l1_entry *e);
enum l1_store_result space_l1_write(struct nigh_space *space, const struct l1_key *key,
                                    const struct l1_value *value, uint64_t ticket, uint64_t heard,
                                    bool only_newer, uint64_t *ret_stamp);
uint64_t space_l1_invalidate(struct nigh_space *space, const struct l1_key *key, uint64_t version,
                             uint64_t own, uint64_t ticket, bool *ret_ticket_ok);

NIGH_OUTLINED void space_l1_follow_put(struct nigh_space *space, const struct l1_key *key,
                                       uint64_t version, const struct l1 *l1);

/* Put as l1_put() does. `l1` is the space's home as the caller has asked for it. */
static inline enum l1_store_result space_l1_put(struct nigh_space *space, struct l1 *l1,
                                                const struct l1_key *key, struct bytes value)
{
    enum l1_store_result result = l1_put(l1, key, value, &space->rules.plain);
    if (NIGH_UNLIKELY(space_l1(space) != l1)) /* the space moved meanwhile */
        space_l1_follow_put(space, key, 0, l1);
    return result;
}

/* Set the tables of a space that is being opened; `slot` is that of its group. */
int space_l1_open(struct nigh_space *space, uint16_t slot, uint64_t memory_bytes)
    REQUIRES(space->cache->spaces_lock);
/*
 * Set another cap, while the space is used; 0: none. Errors: NIGH_EINVAL the cap is too small for
 * the tables, or there is a cap on the number of entries; NIGH_ENOMEM: no room for a table.
 */
int space_l1_set_memory(struct nigh_space *space, uint64_t memory_bytes)
    REQUIRES(space->cache->spaces_lock);

#endif
