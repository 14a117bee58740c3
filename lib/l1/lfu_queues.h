/* SPDX-License-Identifier: MIT */
/*
 * The queues of lfu: nodes in a row, linked by five bytes a node, with the sum of each part's
 * weights.
 */
#ifndef NIGH_L1_LFU_QUEUES_H
#define NIGH_L1_LFU_QUEUES_H

#include <string.h>

#include "l1/lfu.h"

/* ---- links ---- */

/* The five bytes of a link as a number: | part (2 bits) | prev | next (towards the newest) | */
#define LFU_PREV_SHIFT LFU_NODE_BITS
#define LFU_PART_SHIFT (2 * LFU_NODE_BITS)
#define LFU_NODE_MASK ((UINT64_C(1) << LFU_NODE_BITS) - 1)

static inline uint64_t lfu_link_of(const struct lfu *l, uint32_t node)
{
    const uint8_t *bytes = l->links[node].bytes;
    uint32_t low;
    memcpy(&low, bytes, sizeof(low));
    return low | (uint64_t)bytes[sizeof(low)] << 32;
}

static inline void lfu_set_link(struct lfu *l, uint32_t node, uint64_t link)
{
    uint8_t *bytes = l->links[node].bytes;
    uint32_t low = (uint32_t)link;
    memcpy(bytes, &low, sizeof(low));
    bytes[sizeof(low)] = (uint8_t)(link >> 32);
}

static inline uint64_t lfu_link_to(uint32_t part, uint32_t prev, uint32_t next)
{
    return (uint64_t)part << LFU_PART_SHIFT | (uint64_t)prev << LFU_PREV_SHIFT | next;
}

static inline uint32_t lfu_link_next(uint64_t link)
{
    return (uint32_t)(link & LFU_NODE_MASK);
}

static inline uint32_t lfu_link_prev(uint64_t link)
{
    return (uint32_t)(link >> LFU_PREV_SHIFT & LFU_NODE_MASK);
}

/* LFU_WINDOW, LFU_CONDEMNED, or LFU_MAIN for all of main's classes. */
static inline uint32_t lfu_link_part(uint64_t link)
{
    return (uint32_t)(link >> LFU_PART_SHIFT);
}

static inline uint32_t lfu_next_of(const struct lfu *l, uint32_t node)
{
    return lfu_link_next(lfu_link_of(l, node));
}

static inline uint32_t lfu_part_of(const struct lfu *l, uint32_t node)
{
    return lfu_link_part(lfu_link_of(l, node));
}

static inline void lfu_set_next(struct lfu *l, uint32_t node, uint32_t next)
{
    lfu_set_link(l, node, (lfu_link_of(l, node) & ~LFU_NODE_MASK) | next);
}

static inline void lfu_set_prev(struct lfu *l, uint32_t node, uint32_t prev)
{
    uint64_t others = lfu_link_of(l, node) & ~(LFU_NODE_MASK << LFU_PREV_SHIFT);
    lfu_set_link(l, node, others | (uint64_t)prev << LFU_PREV_SHIFT);
}

/* ---- queues ---- */

static inline uint32_t lfu_weight_of(const struct lfu *l, uint32_t node)
{
    return l->nodes->weight(l->arg, node);
}

static inline uint32_t lfu_class_of(uint32_t weight)
{
    return 31u - (uint32_t)__builtin_clz(weight | 1);
}

static inline uint32_t lfu_main_queue(uint32_t weight)
{
    return LFU_MAIN + lfu_class_of(weight);
}

static inline uint32_t lfu_part_of_queue(uint32_t queue)
{
    return queue < LFU_MAIN ? queue : LFU_MAIN;
}

static inline uint64_t *lfu_sum_of(struct lfu *l, uint32_t queue)
{
    return &l->weights[lfu_part_of_queue(queue)];
}

static inline void lfu_note_occupied(struct lfu *l, uint32_t queue)
{
    if (queue < LFU_MAIN)
        return;
    uint32_t bit = UINT32_C(1) << (queue - LFU_MAIN);
    if (l->oldest[queue] == LFU_NONE)
        l->occupied &= ~bit;
    else
        l->occupied |= bit;
}

static inline void lfu_forget_head(struct lfu *l, uint32_t queue)
{
    if (queue >= LFU_MAIN)
        l->valued &= ~(UINT32_C(1) << (queue - LFU_MAIN));
}

/* Let `node` follow `older` in a queue; LFU_NONE: begin the queue. */
static inline void lfu_set_next_of(struct lfu *l, uint32_t queue, uint32_t older, uint32_t node)
{
    if (older == LFU_NONE)
        l->oldest[queue] = node;
    else
        lfu_set_next(l, older, node);
}

/* Let `node` precede `newer` in a queue; LFU_NONE: end the queue. */
static inline void lfu_set_prev_of(struct lfu *l, uint32_t queue, uint32_t newer, uint32_t node)
{
    if (newer == LFU_NONE)
        l->newest[queue] = node;
    else
        lfu_set_prev(l, newer, node);
}

static inline void lfu_push_between(struct lfu *l, uint32_t queue, uint32_t node, uint32_t weight,
                                    uint32_t older, uint32_t newer)
{
    lfu_set_link(l, node, lfu_link_to(lfu_part_of_queue(queue), older, newer));
    lfu_set_next_of(l, queue, older, node);
    lfu_set_prev_of(l, queue, newer, node);
    *lfu_sum_of(l, queue) += weight;
    lfu_note_occupied(l, queue);
}

static inline void lfu_push_newest(struct lfu *l, uint32_t queue, uint32_t node, uint32_t weight)
{
    lfu_push_between(l, queue, node, weight, l->newest[queue], LFU_NONE);
}

static inline void lfu_push_oldest(struct lfu *l, uint32_t queue, uint32_t node, uint32_t weight)
{
    lfu_push_between(l, queue, node, weight, LFU_NONE, l->oldest[queue]);
    lfu_forget_head(l, queue);
}

static inline void lfu_unlink_node(struct lfu *l, uint32_t node, uint32_t weight)
{
    uint64_t link = lfu_link_of(l, node);
    uint32_t queue = lfu_link_part(link) == LFU_MAIN ? lfu_main_queue(weight) : lfu_link_part(link);
    uint32_t next = lfu_link_next(link);
    uint32_t prev = lfu_link_prev(link);
    lfu_set_next_of(l, queue, prev, next);
    lfu_set_prev_of(l, queue, next, prev);
    if (prev == LFU_NONE)
        lfu_forget_head(l, queue);
    *lfu_sum_of(l, queue) -= weight;
    lfu_note_occupied(l, queue);
}

#endif
