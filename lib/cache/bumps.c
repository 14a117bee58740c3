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

void bumps_note(struct bumps *b, const struct bump *bump, struct bytes name)
{
    size_t len = u64_min(name.len, BUMP_NAME_MAX);
    pthread_mutex_lock(&b->lock);
    struct bump *at = &b->list[b->next++ % BUMPS_KEPT];
    *at = *bump;
    at->name_len = (uint16_t)len;
    if (len > 0)
        memcpy(at->name, name.data, len);
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
