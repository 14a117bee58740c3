/* SPDX-License-Identifier: MIT */
/*
 * The core of `lfu`: a W-TinyLFU whose hits write nothing but two bits.
 *
 *     new --> window (FIFO, share w) --> contest --> main: a CLOCK ring per size class
 *                                           \-----> out     \----> out (lost a contest)
 *
 * A hit raises the node's 2-bit counter. A writer that moves the node harvests the counter: when
 * the node leaves the window, and when the hand of its ring passes, one is added to the sketch if
 * there were hits; a miss adds one too. So the sketch knows how often a key was asked for while
 * readers write nothing shared but two bits. Not adding each hit is no loss but a gain (0.1 points
 * on average, 1.6 at most): hits come in bursts, and a burst says little about the time after it.
 *
 * When the window has outgrown its share, its oldest node contests with main's weakest: the hand of
 * each class stands at its oldest node that was not hit, and of these nodes the one with the least
 *
 *     estimate / weight^a          a is 0, 2/3 or 1
 *
 * is the victim. The newcomer wins only if it is worth more than each victim it needs (a > 0), or
 * than all of them together and one more (a = 0). A tie is lost: otherwise a scan, whose keys are
 * all worth the same, would flush main. "And one more", because the two are not looked at in the
 * same phase: the newcomer has just been asked for; the hand's node has not been for a while and
 * is, of keys that come round at the same rate, the one whose turn is next. Without that one a loop
 * replaces the very keys it is about to need (-0.9 points on average, -12 at worst). Other caches
 * let a loser in now and then (1 in 128), lest an attacker who crafts collisions in the sketch
 * locks keys out. Here the hash is seeded, so nobody can craft them; and letting losers in costs up
 * to 30 points where a loop is a little larger than the cache.
 *
 * Why size classes: in one ring, a victim of the wrong size frees far too much or too little. Nor
 * must the space that a large victim leaves free let the next newcomers in without a contest: so
 * under a cap of bytes main is filled freely only while a 32nd of all is free.
 *
 * A candidate that loses leaves at once, from its place in the queue. The nodes that a winner beats
 * may be several: they wait in a queue of their own, `condemned`, until room is really needed.
 *
 * Nodes are numbers; `struct lfu_nodes` reaches what they stand for: the entries of a shard
 * (policy_lfu.c), or the metadata of a shadow cache (shadow.c). Bits per node: 40 in its link, 64
 * in the sketch, two in the entry.
 *
 * Sources: G. Einziger, R. Friedman, B. Manes, TinyLFU: A Highly Efficient Cache Admission Policy
 * (2017); G. Einziger et al., Adaptive Software Cache Management (2018); F. Corbato, A Paging
 * Experiment with the Multics System (1968). Size classes as in GDSF with the hand's order in place
 * of a clock value.
 */
#ifndef NIGH_L1_LFU_H
#define NIGH_L1_LFU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "l1/sketch.h"

#define LFU_NODE_BITS 19
#define LFU_NONE ((UINT32_C(1) << LFU_NODE_BITS) - 1) /* no node: nodes have lower numbers */
#define LFU_REFUSED (LFU_NONE - 1)                    /* no victim: the newcomer itself has to go */

#define LFU_CLASSES 32u /* floor(log2(weight)) */

enum lfu_queue_id {
    LFU_WINDOW,
    LFU_CONDEMNED,
    LFU_MAIN, /* + class */
    LFU_QUEUES = LFU_MAIN + LFU_CLASSES,
};

/* Five bytes: 19 bits for each neighbour, and two that say window, condemned or main. Which of
 * main's classes follows from the node's weight. */
struct lfu_link {
    uint8_t bytes[5];
};

/* The owner's functions, which know what a node stands for. `arg` is lfu.arg. */
struct lfu_nodes {
    uint64_t (*hash)(void *arg, uint32_t node);
    uint32_t (*weight)(void *arg, uint32_t node); /* > 0; lfu_renew() tells of a change */
    bool (*harvest)(void *arg, uint32_t node);     /* whether it was hit since last asked */
    void (*prefetch)(void *arg, uint32_t node);    /* ask for a node needed soon */
    /* Ask for what is needed to remove a node of this hash soon. NULL: nothing. */
    void (*prefetch_home)(void *arg, uint64_t hash);
};

/* Parameters that shadows tune at run time: see shadow.h. */
struct lfu_choice {
    uint16_t window_permille;
    uint16_t exponent_thirds; /* 0, 2, 3 */
};

/* The newcomer for which room is made. */
struct lfu_incoming {
    uint64_t hash;
    uint64_t weight; /* 0: there is no newcomer */
    bool admitted;   /* has won its contest */
};

/* The node at a class's hand, its next victim, as valued until the hand moves. */
struct lfu_head {
    int32_t value;
    uint32_t weight;
    uint32_t estimate;
};

struct lfu {
    const struct lfu_nodes *nodes;
    void *arg;
    struct lfu_link *links; /* by node */
    uint32_t slots;         /* nodes that the owner has got links for; its business alone */
    struct sketch sketch;
    uint64_t capacity;      /* greatest total weight */
    bool by_count;          /* every weight is 1 */
    uint8_t exponent_thirds; /* with which the heads were valued */
    uint32_t count;         /* nodes */
    /* left by the last lfu_victim(); LFU_NONE where there was none */
    uint32_t loser;         /* window's node that lost its contest: harvested already */
    uint32_t rival;         /* main's last node in a contest */
    uint32_t hashed;        /* last node whose estimate was looked up */
    uint64_t hash;          /* hash of `hashed` */
    uint32_t next;          /* node that contests next, if it is prepared; else LFU_NONE */
    uint64_t next_hash;     /* hash of `next` */
    uint64_t weights[LFU_MAIN + 1]; /* window, condemned, main */
    uint32_t occupied; /* bit for each class that has nodes */
    uint32_t valued;   /* bit for each class whose head is valid */
    uint32_t oldest[LFU_QUEUES];
    uint32_t newest[LFU_QUEUES];
    struct lfu_head heads[LFU_CLASSES];
};

/* Empty all queues. The owner provides `links` and the sketch, and grows them. */
void lfu_init(struct lfu *l, const struct lfu_nodes *nodes, void *arg, bool by_count);

enum lfu_place {
    LFU_YOUNG, /* the window's new end */
    LFU_NEXT,  /* the window's old end: contests next */
    LFU_PLACED_MAIN,
};
void lfu_insert(struct lfu *l, uint32_t node, uint32_t weight, enum lfu_place place);
/* Insert `node`, which has the key of `old`, at the new end of main if `old` is there, else of the
 * window. */
void lfu_move(struct lfu *l, uint32_t node, uint32_t weight, uint32_t old);
/* Whether any node is condemned: to leave as soon as room is needed. */
static inline bool lfu_has_condemned(const struct lfu *l)
{
    return l->oldest[LFU_CONDEMNED] != LFU_NONE;
}
/* Whether this node is condemned. */
bool lfu_is_condemned(const struct lfu *l, uint32_t node);
/* Move `node`, whose weight was `before`, to the new end of main if it is there, else of the
 * window: it has another weight, or is condemned and shall stay after all. */
void lfu_renew(struct lfu *l, uint32_t node, uint32_t before, uint32_t weight);
void lfu_remove(struct lfu *l, uint32_t node, uint32_t weight);
/* Whether a value lives so shortly, beside the mean age of main's rivals, that a miss for it says
 * little of what it is worth there: policy_lfu.c. Both in the same units. */
static inline bool lfu_is_short(uint64_t life, uint64_t residence)
{
    return life < residence / 2;
}
/* Count a miss: a key was asked for that is not there. */
void lfu_note_miss(struct lfu *l, uint64_t hash);
/* Move a few nodes from a window above its share to main, while main has space due to it. */
void lfu_settle(struct lfu *l, const struct lfu_choice *choice);
/*
 * The node that has to go next; it is still there (lfu_remove it, before any other call).
 * LFU_NONE: no node is left. LFU_REFUSED: the newcomer, too large to wait in the window, has lost
 * its contest.
 */
uint32_t lfu_victim(struct lfu *l, const struct lfu_choice *choice, struct lfu_incoming *incoming);
/*
 * The nodes that have to go, up to `most` (<= LFU_MANY) at once: for a cap that comes down, where
 * no newcomer waits for the room. There are no contests: a node that was hit stays, the others go
 * in the order of their queues. They are still there (lfu_remove them). Returns how many; fewer
 * than `most`: no other node is left.
 */
#define LFU_MANY 64u
uint32_t lfu_victims(struct lfu *l, const struct lfu_choice *choice, uint32_t *ret_nodes,
                     uint32_t most);
/* Whether a newcomer of this weight is too large to wait in the window, and contests at once. */
bool lfu_contests_at_once(const struct lfu *l, const struct lfu_choice *choice, uint64_t weight);

static inline uint64_t lfu_weight(const struct lfu *l)
{
    return l->weights[LFU_WINDOW] + l->weights[LFU_CONDEMNED] + l->weights[LFU_MAIN];
}

/* PARANOID: walks everything. */
bool lfu_is_valid(const struct lfu *l);

#endif
