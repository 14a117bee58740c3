/* SPDX-License-Identifier: MIT */
/*
 * Batches of retired entries: which of them are held (referenced or pinned) is decided at once.
 *
 *     batch:   entry, its slot, its shard, where it is from | ... | ... |      up to 16,384
 *     index:   by address, half full at most: the entry of a pin is found in about one step
 *
 * First all references are looked at and then all pins, once, whatever shards the entries are of: a
 * look at the pins of 1,000 threads takes as long as deciding on 1,000 entries, and a pass over
 * 4,096 shards that looked once for each took 80 % of a core.
 *
 * Why one look for a batch is as good as one for each entry. The argument (pin.h) is about a single
 * entry: it is past a grace period; its references are loaded, with acquire; every slot is loaded
 * after that. A batch keeps this order for each of its entries, because it loads all references
 * before any slot. More time between the two does no harm: an entry that has no reference and that
 * no reader can find gets neither a reference nor a pin any more, and an entry that loses one
 * meanwhile only stays until another pass.
 *
 * The memory is allocated at the beginning, in proportion to the cap, and charged to it: when
 * memory is short, freeing must not need any. If a pass has more entries than a batch has room for,
 * it takes several batches.
 */
#ifndef NIGH_L1_JUDGE_H
#define NIGH_L1_JUDGE_H

#include <stdbool.h>
#include <stdint.h>

struct l1_entry;

/* The list that an entry comes from: it also tells where the entry's bytes are counted. */
enum judge_origin { FROM_LIMBO, FROM_ASIDE, FROM_HELD, JUDGE_ORIGINS };

struct judged {
    struct l1_entry *entry;
    uint32_t slot;
    uint16_t shard;
    uint8_t origin; /* enum judge_origin */
    bool held;      /* set by batch_judge(): referenced or pinned */
};

/* Keys: (c) constant after creation  (g) reclaim lock */
struct batch {
    struct judged *entries; /* (c) -> (g) */
    uint16_t *index;        /* (c) -> (g) open addressing: place + 1, 0: empty */
    uint32_t max;           /* (c) entries that there is room for */
    uint32_t count;         /* (g) */
    uint32_t index_shift;   /* (g) 64 - log2 of the places in use */
    uint64_t slots_seen;    /* (g) pin slots read in the last look at the pins */
};

/* Return the number of entries that a batch has under a cap; and the bytes that it takes. */
uint32_t batch_max_for(uint64_t memory_bytes);
uint64_t batch_bytes(uint32_t max);
/* Errors: NIGH_ENOMEM */
int batch_init(struct batch *b, uint32_t max);
void batch_fini(struct batch *b);

static inline bool batch_is_full(const struct batch *b)
{
    return b->count == b->max;
}

static inline void batch_add(struct batch *b, struct judged entry)
{
    b->entries[b->count++] = entry;
}

/* Set `held` of all entries. Each is past a grace period that began after it could no longer be
 * found. */
void batch_judge(struct batch *b);

#endif
