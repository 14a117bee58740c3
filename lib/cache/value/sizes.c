// SPDX-License-Identifier: MIT
/*
 * Sizes requests for many keys. How large the values are is not known beforehand, and a reply comes
 * whole: requests for less wait behind it, and its own caller gets nothing of it before its end. So
 * a reply should have REPLY_BYTES. A value of the space is taken to be as large as the largest that
 * was seen, which is forgotten by and by; at first, as ONE_BYTES. A reply that did not come in time
 * may have been larger than that.
 */
#include "cache/value/sizes.h"

#define REPLY_BYTES (64u << 10)
#define ONE_BYTES (4u << 10)
#define FORGOTTEN 16u /* each reply lowers the largest by 1/16 of its lead over that reply's */

uint32_t sizes_count(const struct nigh_space *space)
{
    uint32_t bytes = atomic_load_explicit(&space->value_bytes, memory_order_relaxed);
    return (uint32_t)u64_min(REPLY_BYTES / (bytes ? bytes : ONE_BYTES), L2_MANY_MAX);
}

/* A lost update does no harm: the next reply tells it again. */
void sizes_learn(struct nigh_space *space, size_t largest)
{
    uint32_t bytes = atomic_load_explicit(&space->value_bytes, memory_order_relaxed);
    uint32_t seen = (uint32_t)u64_min(largest, REPLY_BYTES);
    uint32_t next = seen >= bytes ? seen : bytes - (bytes - seen) / FORGOTTEN;
    if (next != bytes)
        atomic_store_explicit(&space->value_bytes, next, memory_order_relaxed);
}

void sizes_learn_late(struct nigh_space *space, uint32_t count)
{
    uint32_t bytes = REPLY_BYTES / ((count + 3) / 4);
    if (bytes > atomic_load_explicit(&space->value_bytes, memory_order_relaxed))
        sizes_learn(space, bytes);
}

void sizes_learn_answer(struct nigh_space *space, struct l2_answer *answer, uint32_t count)
{
    size_t largest = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct bytes value;
        enum l2_verdict verdict = l2_answer_at(answer, i, &value);
        size_t len = verdict == L2_LEFT ? REPLY_BYTES : value.len;
        largest = len > largest ? len : largest;
    }
    if (largest > 0)
        sizes_learn(space, largest);
}
