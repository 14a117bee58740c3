// SPDX-License-Identifier: MIT
/*
 * Remembered loader errors.
 */
#include "cache/load/failures.h"

void failures_init(struct failures *f)
{
    pthread_mutex_init(&f->lock, NULL);
}

void failures_fini(struct failures *f)
{
    pthread_mutex_destroy(&f->lock);
}

static struct failure *slot_of(struct failures *f, uint64_t hash)
{
    return &f->slots[hash % FAILURE_SLOTS];
}

static bool is_of(const struct failure *slot, uint64_t hash)
{
    return atomic_load_explicit(&slot->hash, memory_order_relaxed) == hash;
}

/* Makes a slot remember nothing yet of a key. REQUIRES(lock) */
static void reset(struct failure *slot, uint64_t hash)
{
    atomic_store_explicit(&slot->hash, hash, memory_order_relaxed);
    slot->until_ns = slot->forget_ns = 0;
    slot->error = 0;
    slot->count = 0;
}

bool failures_find(struct failures *f, uint64_t hash, uint64_t now_ns, int *ret_error)
{
    struct failure *slot = slot_of(f, hash);
    if (!is_of(slot, hash))
        return false;
    pthread_mutex_lock(&f->lock);
    bool found = is_of(slot, hash) && slot->count > 0 && now_ns < slot->until_ns;
    if (found)
        *ret_error = slot->error;
    pthread_mutex_unlock(&f->lock);
    return found;
}

uint64_t failures_left_ns(struct failures *f, uint64_t hash, uint64_t now_ns, uint32_t *ret_count)
{
    struct failure *slot = slot_of(f, hash);
    uint64_t left_ns = 0;
    pthread_mutex_lock(&f->lock);
    *ret_count = is_of(slot, hash) ? slot->count : 0;
    if (*ret_count > 0 && now_ns < slot->until_ns)
        left_ns = slot->until_ns - now_ns;
    pthread_mutex_unlock(&f->lock);
    return left_ns;
}

void failures_note(struct failures *f, uint64_t hash, int error, uint64_t now_ns, uint32_t first_ms,
                   uint32_t max_ms)
{
    if (first_ms == 0 || max_ms == 0)
        return;
    pthread_mutex_lock(&f->lock);
    struct failure *slot = slot_of(f, hash);
    if (slot->count == 0)
        atomic_fetch_add_explicit(&f->used, 1, memory_order_relaxed);
    if (!is_of(slot, hash))
        reset(slot, hash);
    uint32_t doublings = slot->count < 16 ? slot->count : 16;
    uint64_t longest_ms = u64_max(max_ms, first_ms);
    uint64_t wait_ms = u64_min((uint64_t)first_ms << doublings, longest_ms);
    slot->count++;
    slot->error = error;
    slot->until_ns = now_ns + wait_ms * NS_PER_MS;
    slot->forget_ns = slot->until_ns + longest_ms * NS_PER_MS;
    pthread_mutex_unlock(&f->lock);
}

/* Gives a slot back to the table. REQUIRES(lock) */
static void free_slot(struct failures *f, struct failure *slot)
{
    reset(slot, 0);
    atomic_fetch_sub_explicit(&f->used, 1, memory_order_relaxed);
}

void failures_expire(struct failures *f, uint64_t now_ns)
{
    if (failures_none(f))
        return;
    pthread_mutex_lock(&f->lock);
    for (uint32_t i = 0; i < FAILURE_SLOTS; i++)
        if (f->slots[i].count > 0 && now_ns >= f->slots[i].forget_ns)
            free_slot(f, &f->slots[i]);
    pthread_mutex_unlock(&f->lock);
}

void failures_clear_slow(struct failures *f, uint64_t hash)
{
    struct failure *slot = slot_of(f, hash);
    if (!is_of(slot, hash))
        return;
    pthread_mutex_lock(&f->lock);
    if (is_of(slot, hash) && slot->count > 0)
        free_slot(f, slot);
    pthread_mutex_unlock(&f->lock);
}
