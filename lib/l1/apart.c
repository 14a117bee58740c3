/* SPDX-License-Identifier: MIT */
/*
 * A table apart: made like any other, for one space, when there is room for it in the family.
 */
#include "l1/core.h"

/* Passes of the reclaimer for which a new table waits for room: as many as lowering a cap of some
 * MiB takes. If there is no room by then, pins or references keep the bytes that are in the way. */
#define MAKE_PASSES 200u

/* Spaces with smaller caps get no huge pages: their tables would leave most of a page of 2 MiB
 * unused; and there may be many such spaces. */
#define HUGE_FROM_BYTES ((uint64_t)64 << 20)

/* Have tables whose caps are on their way down try again in the next pass, not later. */
static void hurry(struct l1 *root)
{
    pthread_mutex_lock(&root->reclaim_lock);
    for (struct l1 *m = root; m; m = family_next(m))
        m->shrink.retry_ns = 0;
    pthread_mutex_unlock(&root->reclaim_lock);
}

static bool add_in_time(struct l1 *root, struct l1 *apart, uint64_t bytes)
{
    uint64_t asked = 0;
    family_promise(root, bytes);
    bool added = family_add(root, apart, bytes, &asked);
    for (unsigned n = 0; !added && n < MAKE_PASSES && l1_evicts(root); n++) {
        hurry(root);
        (void)l1_reclaim(root);
        added = family_has_room(root, bytes) && family_add(root, apart, bytes, &asked);
    }
    family_settle_promise(root, bytes, added, asked);
    return added;
}

int l1_create_apart(struct l1 *l1, const struct l1_space *s, struct stats *stats,
                    uint64_t memory_bytes, struct l1 **ret_apart)
{
    struct l1_config config = l1->family.config;
    struct l1 *apart;
    if (config.entries)
        return NIGH_EINVAL;
    config.stats = stats;
    config.root = l1;
    config.memory_bytes = u64_min(memory_bytes, l1_memory(l1));
    config.limbo_bytes = 0;
    config.shards = 0;
    if (memory_bytes < HUGE_FROM_BYTES)
        config.huge_pages = NIGH_HUGE_NONE;
    int err = l1_create(&config, &apart);
    if (err)
        return err;
    apart->member.most_bytes = memory_bytes;
    apart->space_slots[s->label >> LABEL_SPACE_SHIFT] = (uint16_t)s->group_slot;
    uint64_t first = u64_max(apart->least_bytes, FAMILY_STEP_LEAST_BYTES);
    if (!add_in_time(l1, apart, first)) {
        l1_destroy(apart);
        return NIGH_ENOMEM;
    }
    *ret_apart = apart;
    return 0;
}
