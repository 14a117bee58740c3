/* SPDX-License-Identifier: MIT */
/*
 * The core of `lfu`: a W-TinyLFU whose hits write nothing but two bits.
 *
 *     new --> window (FIFO, share w) --> contest --> main: a CLOCK ring per size class
 *                                           \-----> out     \----> out (lost a contest)
 *
 * A hit raises the node's 2-bit counter. Whoever moves the node harvests the counter: when it
 * leaves the window, and when the hand of its ring passes, one is added to the sketch if there
 * were hits; a miss adds one too. So the sketch knows how often a key was asked for while readers
 * write nothing shared but two bits. That hits are not added singly is no loss but a gain (0.1
 * points on average, 1.6 at most): they come in bursts, and a burst says little about the time
 * after it.
 *
 * When the window has outgrown its share, its oldest node contests with main's weakest: the hand of
 * each class stands at the oldest node that was not hit, and of those the one with the least
 *
 *     estimate / weight^a          a is 0, 2/3 or 1
 *
 * is the victim. The newcomer wins only if it is worth more than each victim it needs (a > 0), or
 * than all of them together and one more (a = 0). A tie is lost: otherwise a scan, whose keys are
 * all worth the same, would flush main. And one more, because the two are not looked at in the
 * same phase: the newcomer has just been asked for, the hand's node has not been for a while and
 * is, of keys that come round at the same rate, the one whose turn is next. Without it a loop
 * replaces what it is about to need (-0.9 points on average, -12 at worst). Others let a loser in
 * now and then (1 in 128), lest somebody who crafts collisions in the sketch locks keys out. Here
 * the hash is seeded, so nobody can; and that luck costs up to 30 points where a loop is a little
 * larger than the cache.
 *
 * Why size classes: in one ring, a victim of the wrong size frees far too much or too little. What
 * a large victim leaves free must not let the next ones in without a contest either, so under a cap
 * of bytes main is filled freely only while a 32nd of all is free.
 *
 * A candidate that loses leaves at once, from where it stands. Who is beaten may be several, and
 * waits in a queue of its own, `condemned`, until room is really needed.
 *
 * Nodes are numbers; what they stand for is behind `struct lfu_nodes`: the entries of a shard
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
#define LFU_NONE ((UINT32_C(1) << LFU_NODE_BITS) - 1) /* no node; so many nodes at most */
#define LFU_REFUSED (LFU_NONE - 1)                    /* the newcomer itself has to go */

#define LFU_CLASSES 32u /* floor(log2(weight)) */

enum lfu_queue_id {
    LFU_WINDOW,
    LFU_CONDEMNED,
    LFU_MAIN, /* + class */
    LFU_QUEUES = LFU_MAIN + LFU_CLASSES,
};

/* Five bytes: 19 bits each for the neighbours, and two for window, condemned or main: which class
 * of it, the node's weight tells. */
struct lfu_link {
    uint8_t bytes[5];
};

/* What nodes stand for. `arg` is lfu.arg. */
struct lfu_nodes {
    uint64_t (*hash)(void *arg, uint32_t node);
    uint32_t (*weight)(void *arg, uint32_t node); /* > 0; a change is told: lfu_renew() */
    bool (*harvest)(void *arg, uint32_t node);     /* was it hit since the last time? */
    void (*prefetch)(void *arg, uint32_t node);    /* it will be looked at soon */
};

/* What may be tuned: see shadow.h. */
struct lfu_choice {
    uint16_t window_permille;
    uint16_t exponent_thirds; /* 0, 2, 3 */
};

/* Somebody for whom room is made. */
struct lfu_incoming {
    uint64_t hash;
    uint64_t weight; /* 0: nobody */
    bool admitted;   /* it has won its contest */
};

/* A class's candidate for victim, as long as its hand does not move. */
struct lfu_head {
    int32_t value;
    uint32_t weight;
    uint32_t estimate;
};

struct lfu {
    const struct lfu_nodes *nodes;
    void *arg;
    struct lfu_link *links; /* by node */
    struct sketch sketch;
    uint64_t capacity;      /* weight it may hold */
    bool by_count;          /* every weight is 1 */
    uint8_t exponent_thirds; /* that the heads were valued with */
    uint32_t count;         /* nodes */
    uint32_t loser;         /* of the window, this lfu_victim()'s: harvested already; LFU_NONE */
    uint32_t rival;         /* main's last one in a contest of this lfu_victim(); LFU_NONE */
    uint32_t hashed;        /* the last one whose estimate this lfu_victim() wanted; LFU_NONE */
    uint64_t hash;          /* its */
    uint64_t weights[LFU_MAIN + 1]; /* window, condemned, main */
    uint32_t occupied; /* classes that have nodes */
    uint32_t valued;   /* classes whose head is valid */
    uint32_t oldest[LFU_QUEUES];
    uint32_t newest[LFU_QUEUES];
    struct lfu_head heads[LFU_CLASSES];
};

/* `links` and the sketch are its owner's to provide and to grow. */
void lfu_init(struct lfu *l, const struct lfu_nodes *nodes, void *arg, bool by_count);

enum lfu_place {
    LFU_YOUNG, /* the window's new end */
    LFU_NEXT,  /* its old end: contests next */
    LFU_PLACED_MAIN,
};
void lfu_insert(struct lfu *l, uint32_t node, uint32_t weight, enum lfu_place place);
/* `node` takes over from `old`, whose key it has: the same part, at the new end. */
void lfu_move(struct lfu *l, uint32_t node, uint32_t weight, uint32_t old);
/* Somebody is to leave, when room is needed next. */
static inline bool lfu_has_condemned(const struct lfu *l)
{
    return l->oldest[LFU_CONDEMNED] != LFU_NONE;
}
/* It is. */
bool lfu_is_condemned(const struct lfu *l, uint32_t node);
/* `node`, which weighed `before`, has another weight, or shall stay after all: the new end. */
void lfu_renew(struct lfu *l, uint32_t node, uint32_t before, uint32_t weight);
void lfu_remove(struct lfu *l, uint32_t node, uint32_t weight);
/* Somebody was asked for who is not there. */
void lfu_note_miss(struct lfu *l, uint64_t hash);
/* Give main what is free and due to it (a few nodes). */
void lfu_settle(struct lfu *l, const struct lfu_choice *choice);
/*
 * Who has to go next; it is still there (lfu_remove it, before anything else). LFU_NONE: nobody is
 * left. LFU_REFUSED: the incoming one, too large to wait in the window, has lost its contest.
 */
uint32_t lfu_victim(struct lfu *l, const struct lfu_choice *choice, struct lfu_incoming *incoming);
/*
 * Who has to go, up to `most` (<= LFU_MANY) at once: for a cap that comes down, where nobody waits
 * for the room. Without contests: who was hit stays, the others go in the order of their queues.
 * They are still there (lfu_remove them). Returns how many; fewer: nobody else is left.
 */
#define LFU_MANY 64u
uint32_t lfu_victims(struct lfu *l, const struct lfu_choice *choice, uint32_t *ret_nodes,
                     uint32_t most);
/* Too large to wait in the window: it contests at once. */
bool lfu_contests_at_once(const struct lfu *l, const struct lfu_choice *choice, uint64_t weight);

static inline uint64_t lfu_weight(const struct lfu *l)
{
    return l->weights[LFU_WINDOW] + l->weights[LFU_CONDEMNED] + l->weights[LFU_MAIN];
}

/* PARANOID: walks everything. */
bool lfu_is_valid(const struct lfu *l);

#endif
