/* SPDX-License-Identifier: MIT */
/*
 * Which of many retired entries somebody holds: decided for all of a pass at once.
 *
 *     batch:   entry, its slot, its shard, where it is from | ... | ... |      up to 16,384
 *     index:   by address, half full at most: what a pin names is found in about one step
 *
 * All references are looked at first and all pins then, once, whatever shards the entries are of: a
 * look at the pins of 1,000 threads takes as long as judging 1,000 entries, and a pass over 4,096
 * shards that had looked once for each took 80 % of a core.
 *
 * Why one look for a batch is as good as one for each entry. The argument (pin.h) is about a single
 * entry: it is past a grace period; its references are loaded, with acquire; every slot is loaded
 * after that. A batch keeps this order for each of its entries, as it has all of the first before
 * any of the second. That more time lies between them is no harm: an entry without a reference that
 * nobody can find gets neither a reference nor a pin any more, and one that has lost either
 * meanwhile is kept for another pass.
 *
 * The memory is there from the beginning, in proportion to the cap, and charged to it: when memory
 * is short, to free some must not need any. If a pass has more entries than there is room for, they
 * are judged in as many batches.
 */
#ifndef NIGH_L1_JUDGE_H
#define NIGH_L1_JUDGE_H

#include <stdbool.h>
#include <stdint.h>

struct l1_entry;

/* Where an entry comes from, which is where its bytes are counted. */
enum judge_origin { FROM_LIMBO, FROM_ASIDE, FROM_HELD, JUDGE_ORIGINS };

struct judged {
    struct l1_entry *entry;
    uint32_t slot;
    uint16_t shard;
    uint8_t origin; /* enum judge_origin */
    bool held;      /* after batch_judge(): somebody has it */
};

/* Keys: (c) constant after creation  (g) reclaim lock */
struct batch {
    struct judged *entries; /* (c) -> (g) */
    uint16_t *index;        /* (c) -> (g) open addressing: place + 1, 0: empty */
    uint32_t max;           /* (c) entries there is room for */
    uint32_t count;         /* (g) */
    uint32_t index_shift;   /* (g) 64 - log2 of the places in use */
    uint64_t slots_seen;    /* (g) at the last look at the pins */
};

/* How many entries suit a cap, and what they take. */
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

/* Decide for all whether they are held. They are past a grace period begun after each could no
 * longer be found. */
void batch_judge(struct batch *b);

#endif
