/* SPDX-License-Identifier: MIT */
/*
 * Deciding which entries are held: the references of all are loaded, then the slots of all pins.
 */
#include "l1/judge.h"

#include <string.h>

#include "l1/pin_scan.h"

/* At 20 bytes an entry, a batch takes 1/400 of the cap or less. Its largest size is what is retired
 * before a pass begins (half a MiB) in values of 32 bytes; and a place in the index has 16 bits. */
#define MEMORY_PER_ENTRY 8192u
#define BATCH_LEAST 256u
#define BATCH_MOST 16384u

#define INDEX_BITS_LEAST 6u
#define AHEAD 8u /* entries whose headers are prefetched */

uint32_t batch_max_for(uint64_t memory_bytes)
{
    uint64_t max = BATCH_LEAST;
    while (max < BATCH_MOST && 2 * max * MEMORY_PER_ENTRY <= memory_bytes)
        max *= 2;
    return (uint32_t)max;
}

uint64_t batch_bytes(uint32_t max)
{
    return max * (sizeof(struct judged) + 2 * sizeof(uint16_t));
}

int batch_init(struct batch *b, uint32_t max)
{
    struct judged *entries = mem_pages_alloc(batch_bytes(max));
    if (!entries)
        return NIGH_ENOMEM;
    void *index = entries + max;
    *b = (struct batch){.entries = entries, .index = index, .max = max};
    return 0;
}

void batch_fini(struct batch *b)
{
    mem_pages_free(b->entries, batch_bytes(b->max));
}

/* Clear the index, and use only twice as many of its places as there are entries: a small batch
 * clears few. */
static void index_clear(struct batch *b)
{
    uint32_t bits = INDEX_BITS_LEAST;
    while (UINT32_C(1) << bits < 2 * b->count)
        bits++;
    b->index_shift = 64 - bits;
    memset(b->index, 0, sizeof(*b->index) << bits);
}

static uint32_t index_of(const struct batch *b, const struct l1_entry *e)
{
    return (uint32_t)((uintptr_t)e * UINT64_C(0x9e3779b97f4a7c15) >> b->index_shift);
}

static uint32_t index_after(const struct batch *b, uint32_t i)
{
    return (i + 1) & ~(~UINT32_C(0) << (64 - b->index_shift));
}

static void index_add(struct batch *b, uint32_t place)
{
    uint32_t i = index_of(b, b->entries[place].entry);
    while (b->index[i])
        i = index_after(b, i);
    b->index[i] = (uint16_t)(place + 1);
}

static void mark_pinned(void *arg, const struct l1_entry *e)
{
    struct batch *b = arg;
    for (uint32_t i = index_of(b, e); b->index[i]; i = index_after(b, i)) {
        struct judged *j = &b->entries[b->index[i] - 1];
        if (j->entry == e)
            j->held = true;
    }
}

void batch_judge(struct batch *b)
{
    if (!b->count)
        return;
    index_clear(b);
    for (uint32_t i = 0; i < b->count; i++) {
        if (i + AHEAD < b->count)
            __builtin_prefetch(b->entries[i + AHEAD].entry);
        struct judged *j = &b->entries[i];
        /* pair(entry.refs) */
        uint32_t refs = atomic_load_explicit(&j->entry->refs, memory_order_acquire);
        j->held = entry_refs_count(refs) != 0;
        index_add(b, i);
    }
    b->slots_seen = pin_scan(mark_pinned, b);
}
