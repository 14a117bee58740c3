// SPDX-License-Identifier: MIT
/*
 * A ring of invalidations.
 */
#include "cache/bumps.h"

#include <string.h>

void bumps_init(struct bumps *b)
{
    pthread_mutex_init(&b->lock, NULL);
}

void bumps_fini(struct bumps *b)
{
    pthread_mutex_destroy(&b->lock);
}

/* Returns when this process made the last one of that name; 0: that is not known. */
static uint64_t last_own_ns_locked(const struct bumps *b, const struct bump *bump,
                                   struct bytes name) REQUIRES(b->lock)
{
    uint64_t last_ns = 0;
    for (uint32_t i = 0; i < BUMPS_KEPT; i++) {
        const struct bump *at = &b->list[i];
        bool same = at->floor != 0 && at->node == 0 && at->slot == bump->slot &&
                    at->kind == bump->kind && bytes_equal(bytes_of(at->name, at->name_len), name);
        last_ns = same ? u64_max(last_ns, at->at_ns) : last_ns;
    }
    return last_ns;
}

void bumps_note(struct bumps *b, const struct bump *bump, struct bytes name)
{
    struct bytes kept = bytes_of(name.data, u64_min(name.len, BUMP_NAME_MAX));
    pthread_mutex_lock(&b->lock);
    uint64_t own_ns = bump->node ? 0 : last_own_ns_locked(b, bump, kept);
    struct bump *at = &b->list[b->next++ % BUMPS_KEPT];
    *at = *bump;
    at->at_ns = u64_max(bump->at_ns, own_ns);
    at->name_len = (uint16_t)kept.len;
    put_bytes(at->name, kept);
    pthread_mutex_unlock(&b->lock);
}

bool bumps_find(struct bumps *b, uint16_t slot, uint64_t floor, struct bump *ret)
{
    bool found = false;
    pthread_mutex_lock(&b->lock);
    for (uint32_t i = 0; i < BUMPS_KEPT && !found; i++) {
        found = floor != 0 && b->list[i].floor == floor && b->list[i].slot == slot;
        if (found)
            *ret = b->list[i];
    }
    pthread_mutex_unlock(&b->lock);
    return found;
}
