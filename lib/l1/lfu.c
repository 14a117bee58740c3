// SPDX-License-Identifier: MIT
/*
 * Queues, hands and contests.
 *
 * Work per call is bounded: a hand passes at most PASSES_MAX hit nodes, a contest takes at most
 * CONTEST_MAX victims, at most SETTLE_MAX nodes move to main freely. On average a victim costs one
 * contest, and a contest one look at the sketch: the values of the hands' nodes are kept.
 *
 * A cap that comes down evicts most of a cache. There a contest for each victim would cost two
 * misses of the processor's caches, for the sketch and for the entry, one after the other (340 ns a
 * victim, half of that without contests), and say little: a loser would have lost to the next node
 * too. So victims are taken in rows.
 */
#include "l1/lfu.h"

#include <string.h>

#include "base/base.h"
#include "l1/lfu_queues.h"

#define PASSES_MAX 64u
#define CONTEST_MAX 64u
#define SETTLE_MAX 16u
#define LOOK_AHEAD 4u

/* lfu_victims() takes a row from one queue before it asks again which queue is too long, and passes
 * at most so many nodes that were hit in a call. */
#define ROW 16u
#define MANY_PASSES_MAX 128u

/* Under a cap of bytes, main is filled freely only while it has 1/32 of the capacity free. */
#define FILL_SLACK_SHARE 32u
/* A newcomer larger than 1/4 of the window's share does not wait in the window. */
#define LARGE_PART 4u

/* Says how much more than its victims a newcomer must be worth: see lfu.h, "phase". */
#define LEAD 1u

#define WORTHLESS INT32_MIN /* a key never asked for: a tie at any weight */

/* ---- queues ---- */

/* Prefetch the node that will be looked at in LOOK_AHEAD steps. */
static void look_ahead(const struct lfu *l, uint32_t node)
{
    for (uint32_t step = 0; step < LOOK_AHEAD && node != LFU_NONE; step++)
        node = lfu_next_of(l, node);
    if (node != LFU_NONE)
        l->nodes->prefetch(l->arg, node);
}

/* ---- what a key is worth ---- */

static void count(struct lfu *l, uint64_t hash)
{
    sketch_add(&l->sketch, hash);
    if (sketch_age(&l->sketch, l->count))
        l->valued = 0;
}

static uint64_t hash_of(const struct lfu *l, uint32_t node)
{
    return node == l->next ? l->next_hash : l->nodes->hash(l->arg, node);
}

static void harvest(struct lfu *l, uint32_t node)
{
    if (l->nodes->harvest(l->arg, node))
        count(l, hash_of(l, node));
}

/* Estimates how often a node's key was asked for lately, as a level of the sketch. */
static uint32_t estimate_of(struct lfu *l, uint32_t node)
{
    l->hash = hash_of(l, node);
    l->hashed = node;
    return sketch_estimate(&l->sketch, l->hash);
}

/* 16 x log2 of the count that a level stands for. */
static const uint8_t level_log[SKETCH_LEVEL_MAX + 1] = {0,  0,  16, 25, 32,  37,  41,  45,
                                                        48, 64, 80, 96, 112, 128, 144, 160};

/* 16 x log2 of a weight, linear between powers of two: never off by more than 1.4. */
static int32_t weight_log(uint32_t weight)
{
    uint32_t log = lfu_class_of(weight);
    uint32_t rest = log >= 4 ? weight >> (log - 4) : weight << (4 - log);
    return (int32_t)(log * 16 + (rest & 15u));
}

/* 48 x log2(estimate / weight^a): a number that is only ever compared. */
static int32_t value_of(const struct lfu *l, uint32_t estimate, uint32_t weight)
{
    if (estimate == 0)
        return WORTHLESS;
    return 3 * level_log[estimate] - l->exponent_thirds * weight_log(weight);
}

/* ---- main's hands ---- */

/* Pass nodes that were hit, and value the one where the hand stops. The class is not empty. */
static void value_head(struct lfu *l, uint32_t class)
{
    uint32_t queue = LFU_MAIN + class;
    uint32_t node = l->oldest[queue];
    for (uint32_t passes = 0; passes < PASSES_MAX; passes++) {
        look_ahead(l, node);
        if (!l->nodes->harvest(l->arg, node))
            break;
        count(l, l->nodes->hash(l->arg, node));
        uint32_t weight = lfu_weight_of(l, node);
        lfu_unlink_node(l, node, weight);
        lfu_push_newest(l, queue, node, weight);
        node = l->oldest[queue];
    }
    struct lfu_head *head = &l->heads[class];
    head->estimate = estimate_of(l, node);
    head->weight = lfu_weight_of(l, node);
    head->value = value_of(l, head->estimate, head->weight);
    l->valued |= UINT32_C(1) << class;
}

/* The class whose head is worth least; of equals, the heaviest. LFU_CLASSES: main is empty. */
static uint32_t weakest_class(struct lfu *l)
{
    uint32_t weakest = LFU_CLASSES;
    for (uint32_t left = l->occupied; left;) {
        uint32_t class = lfu_class_of(left);
        left &= ~(UINT32_C(1) << class);
        if (!(l->valued >> class & 1))
            value_head(l, class);
        if (weakest == LFU_CLASSES || l->heads[class].value < l->heads[weakest].value)
            weakest = class;
    }
    return weakest;
}

/* Pass the class's head after all, if it was hit since it was valued. Returns whether it was. */
static bool was_hit(struct lfu *l, uint32_t class)
{
    uint32_t node = l->oldest[LFU_MAIN + class];
    if (!l->nodes->harvest(l->arg, node))
        return false;
    uint32_t weight = l->heads[class].weight;
    count(l, l->nodes->hash(l->arg, node));
    lfu_unlink_node(l, node, weight);
    lfu_push_newest(l, LFU_MAIN + class, node, weight);
    return true;
}

static void condemn(struct lfu *l, uint32_t node, uint32_t weight)
{
    lfu_unlink_node(l, node, weight);
    lfu_push_newest(l, LFU_CONDEMNED, node, weight);
}

/* ---- contests ---- */

struct contest {
    uint32_t estimate; /* the candidate's */
    int32_t value;
    uint64_t needed;        /* weight that victims have to free */
    uint64_t freed;         /* weight of victims so far */
    uint32_t victims;       /* number of victims so far */
    uint32_t victims_count; /* sum of the counts that the sketch has for them */
};

static bool loses_to(const struct lfu *l, const struct contest *c, const struct lfu_head *rival)
{
    return l->exponent_thirds ? rival->value >= c->value
                              : c->victims_count + sketch_count(rival->estimate) + LEAD >=
                                    sketch_count(c->estimate);
}

/* Put the victims condemned for a candidate that then lost back to the places where they stood. */
static void spare_condemned(struct lfu *l)
{
    while (l->newest[LFU_CONDEMNED] != LFU_NONE) {
        uint32_t node = l->newest[LFU_CONDEMNED];
        uint32_t weight = lfu_weight_of(l, node);
        lfu_unlink_node(l, node, weight);
        lfu_push_oldest(l, lfu_main_queue(weight), node, weight);
    }
}

/* Condemn the victims that a candidate needs, if it is worth more than they are. */
static bool wins(struct lfu *l, uint32_t estimate, uint32_t weight, uint64_t needed)
{
    struct contest c = {.estimate = estimate,
                        .value = value_of(l, estimate, weight),
                        .needed = needed};
    while (c.freed < c.needed) {
        uint32_t class = c.victims < CONTEST_MAX ? weakest_class(l) : LFU_CLASSES;
        if (class != LFU_CLASSES && was_hit(l, class))
            continue;
        if (class != LFU_CLASSES)
            l->rival = l->oldest[LFU_MAIN + class];
        if (class == LFU_CLASSES || loses_to(l, &c, &l->heads[class])) {
            spare_condemned(l);
            return false;
        }
        c.freed += l->heads[class].weight;
        c.victims_count += sketch_count(l->heads[class].estimate);
        c.victims++;
        condemn(l, l->oldest[LFU_MAIN + class], l->heads[class].weight);
    }
    return true;
}

static uint64_t window_share(const struct lfu *l, const struct lfu_choice *choice)
{
    uint64_t share = l->capacity * choice->window_permille / 1000; /* 48 bits and 10 */
    return l->by_count && share == 0 ? 1 : share;
}

bool lfu_contests_at_once(const struct lfu *l, const struct lfu_choice *choice, uint64_t weight)
{
    return !l->by_count && weight > window_share(l, choice) / LARGE_PART;
}

/* The weight that main must give up to take a node of `weight` within its share; at least 1. */
static uint64_t main_needs(const struct lfu *l, uint64_t share, uint64_t weight)
{
    uint64_t wanted = l->weights[LFU_MAIN] + weight;
    uint64_t most = l->capacity - share;
    return wanted > most ? wanted - most : 1;
}

static void move_to_main(struct lfu *l, uint32_t node, uint32_t weight)
{
    lfu_unlink_node(l, node, weight);
    lfu_push_newest(l, lfu_main_queue(weight), node, weight);
}

/* Prepare the node that contests after `node`: its hash leads to two lines, in the sketch and at
 * home, that would be waited for one after the other. The node itself is at hand by now. */
static void prepare_next(struct lfu *l, uint32_t node)
{
    l->next = lfu_next_of(l, node);
    if (l->next == LFU_NONE)
        return;
    l->next_hash = l->nodes->hash(l->arg, l->next);
    sketch_prefetch(&l->sketch, l->next_hash);
    if (l->nodes->prefetch_home)
        l->nodes->prefetch_home(l->arg, l->next_hash);
}

/* Let the window's oldest node contest with main: the nodes it beats are condemned, and it moves to
 * main; else it is the loser. */
static void contest_oldest(struct lfu *l, uint64_t share)
{
    uint32_t node = l->oldest[LFU_WINDOW];
    uint32_t weight = lfu_weight_of(l, node);
    look_ahead(l, node);
    harvest(l, node);
    uint32_t estimate = estimate_of(l, node);
    prepare_next(l, node);
    if (wins(l, estimate, weight, main_needs(l, share, weight)))
        move_to_main(l, node, weight);
    else
        l->loser = node;
}

static void condemn_weakest(struct lfu *l)
{
    uint32_t class = weakest_class(l);
    uint32_t node = class == LFU_CLASSES ? l->oldest[LFU_WINDOW] : l->oldest[LFU_MAIN + class];
    if (node != LFU_NONE)
        condemn(l, node, lfu_weight_of(l, node));
}

/* ---- public ---- */

static void adopt(struct lfu *l, const struct lfu_choice *choice)
{
    if (l->exponent_thirds != choice->exponent_thirds)
        l->valued = 0;
    l->exponent_thirds = (uint8_t)choice->exponent_thirds;
}

static uint64_t slack_of(const struct lfu *l)
{
    return l->by_count ? 0 : l->capacity / FILL_SLACK_SHARE;
}

/* Whether a node may be due to move to main, whatever its weight. As a rule main is full. */
static bool may_settle(const struct lfu *l, uint64_t share)
{
    return l->weights[LFU_WINDOW] > share &&
           l->weights[LFU_MAIN] + slack_of(l) < l->capacity - share;
}

static NIGH_OUTLINED void settle(struct lfu *l, uint64_t share)
{
    uint64_t slack = slack_of(l);
    uint64_t most = l->capacity - share;
    for (uint32_t moves = 0; moves < SETTLE_MAX && l->weights[LFU_WINDOW] > share; moves++) {
        uint32_t node = l->oldest[LFU_WINDOW];
        uint32_t weight = lfu_weight_of(l, node);
        if (l->weights[LFU_MAIN] + weight + slack > most)
            return;
        look_ahead(l, node);
        harvest(l, node);
        move_to_main(l, node, weight);
    }
}

void lfu_settle(struct lfu *l, const struct lfu_choice *choice)
{
    uint64_t share = window_share(l, choice);
    if (NIGH_UNLIKELY(may_settle(l, share)))
        settle(l, share);
}

/* Condemn a node, or find the loser. False: the newcomer itself has lost. */
static bool decide(struct lfu *l, const struct lfu_choice *choice, struct lfu_incoming *incoming)
{
    adopt(l, choice);
    uint64_t share = window_share(l, choice);
    if (!incoming->admitted && incoming->weight &&
        lfu_contests_at_once(l, choice, incoming->weight)) {
        /* The miss that brings the newcomer is noted when it is stored, but counts already. */
        uint32_t estimate = sketch_estimate(&l->sketch, incoming->hash);
        incoming->admitted = wins(l, estimate < SKETCH_EXACT_MAX ? estimate + 1 : estimate,
                                  (uint32_t)incoming->weight,
                                  main_needs(l, share, incoming->weight));
        return incoming->admitted;
    }
    if (NIGH_UNLIKELY(may_settle(l, share)))
        settle(l, share);
    uint64_t window = l->weights[LFU_WINDOW] + (incoming->admitted ? 0 : incoming->weight);
    if (window > share && l->oldest[LFU_WINDOW] != LFU_NONE)
        contest_oldest(l, share);
    else
        condemn_weakest(l);
    return true;
}

uint32_t lfu_victim(struct lfu *l, const struct lfu_choice *choice, struct lfu_incoming *incoming)
{
    l->loser = l->rival = l->hashed = LFU_NONE;
    if (l->oldest[LFU_CONDEMNED] == LFU_NONE && !decide(l, choice, incoming))
        return LFU_REFUSED;
    return l->loser != LFU_NONE ? l->loser : l->oldest[LFU_CONDEMNED];
}

/* List the condemned nodes, those that have waited longest first. */
static uint32_t list_condemned(const struct lfu *l, uint32_t *ret_nodes, uint32_t most)
{
    uint32_t n = 0;
    uint32_t node = l->oldest[LFU_CONDEMNED];
    for (; n < most && node != LFU_NONE; node = lfu_next_of(l, node))
        ret_nodes[n++] = node;
    return n;
}

/* The queue to take a row from: the window if it is above its share, else main's weakest class.
 * LFU_QUEUES: no node is left. */
static uint32_t queue_to_cut(struct lfu *l, uint64_t share)
{
    if (l->weights[LFU_WINDOW] > share && l->oldest[LFU_WINDOW] != LFU_NONE)
        return LFU_WINDOW;
    uint32_t class = weakest_class(l);
    if (class != LFU_CLASSES)
        return LFU_MAIN + class;
    return l->oldest[LFU_WINDOW] != LFU_NONE ? (uint32_t)LFU_WINDOW : (uint32_t)LFU_QUEUES;
}

/* Condemn `length` nodes from a queue's old end; all are prefetched before the first is looked at.
 * A node that was hit goes to main instead, while `*passes` last. Returns how many it condemned. */
static uint32_t condemn_row(struct lfu *l, uint32_t queue, uint32_t length, uint32_t *passes)
{
    uint32_t condemned = 0;
    uint32_t node = l->oldest[queue];
    for (uint32_t n = 0; n < length && node != LFU_NONE; n++, node = lfu_next_of(l, node))
        l->nodes->prefetch(l->arg, node);
    for (uint32_t n = 0; n < length && l->oldest[queue] != LFU_NONE; n++) {
        node = l->oldest[queue];
        uint32_t weight = lfu_weight_of(l, node);
        if (*passes && l->nodes->harvest(l->arg, node)) {
            --*passes;
            count(l, l->nodes->hash(l->arg, node));
            move_to_main(l, node, weight);
        } else {
            condemn(l, node, weight);
            condemned++;
        }
    }
    return condemned;
}

uint32_t lfu_victims(struct lfu *l, const struct lfu_choice *choice, uint32_t *ret_nodes,
                     uint32_t most)
{
    adopt(l, choice);
    uint64_t share = window_share(l, choice);
    uint32_t passes = MANY_PASSES_MAX;
    uint32_t n = list_condemned(l, ret_nodes, most);
    while (n < most) {
        uint32_t queue = queue_to_cut(l, share);
        if (queue == LFU_QUEUES)
            break;
        n += condemn_row(l, queue, most - n < ROW ? most - n : ROW, &passes);
    }
    return list_condemned(l, ret_nodes, most);
}

void lfu_insert(struct lfu *l, uint32_t node, uint32_t weight, enum lfu_place place)
{
    l->count++;
    if (place == LFU_PLACED_MAIN)
        lfu_push_newest(l, lfu_main_queue(weight), node, weight);
    else if (place == LFU_NEXT)
        lfu_push_oldest(l, LFU_WINDOW, node, weight);
    else
        lfu_push_newest(l, LFU_WINDOW, node, weight);
}

void lfu_move(struct lfu *l, uint32_t node, uint32_t weight, uint32_t old)
{
    bool in_main = lfu_part_of(l, old) == LFU_MAIN;
    lfu_insert(l, node, weight, in_main ? LFU_PLACED_MAIN : LFU_YOUNG);
}

bool lfu_is_condemned(const struct lfu *l, uint32_t node)
{
    return l->oldest[LFU_CONDEMNED] != LFU_NONE && lfu_part_of(l, node) == LFU_CONDEMNED;
}

void lfu_renew(struct lfu *l, uint32_t node, uint32_t before, uint32_t weight)
{
    bool in_main = lfu_part_of(l, node) == LFU_MAIN;
    lfu_unlink_node(l, node, before);
    lfu_push_newest(l, in_main ? lfu_main_queue(weight) : LFU_WINDOW, node, weight);
}

void lfu_remove(struct lfu *l, uint32_t node, uint32_t weight)
{
    if (node != l->loser && lfu_part_of(l, node) != LFU_CONDEMNED)
        harvest(l, node);
    l->loser = LFU_NONE;
    if (node == l->next)
        l->next = LFU_NONE; /* another key may become a node of this number */
    lfu_unlink_node(l, node, weight);
    l->count--;
}

void lfu_note_miss(struct lfu *l, uint64_t hash)
{
    count(l, hash);
}

void lfu_init(struct lfu *l, const struct lfu_nodes *nodes, void *arg, bool by_count)
{
    memset(l, 0, sizeof(*l));
    l->nodes = nodes;
    l->arg = arg;
    l->by_count = by_count;
    l->loser = l->next = LFU_NONE;
    for (uint32_t queue = 0; queue < LFU_QUEUES; queue++)
        l->oldest[queue] = l->newest[queue] = LFU_NONE;
}

/* ---- walking ---- */

static bool queue_is_valid(const struct lfu *l, uint32_t queue, uint32_t *count, uint64_t *weight)
{
    uint32_t prev = LFU_NONE;
    for (uint32_t node = l->oldest[queue]; node != LFU_NONE; node = lfu_next_of(l, node)) {
        uint32_t w = lfu_weight_of(l, node);
        uint64_t link = lfu_link_of(l, node);
        if (lfu_link_part(link) != lfu_part_of_queue(queue) || lfu_link_prev(link) != prev ||
            ++*count > l->count)
            return false;
        if (queue >= LFU_MAIN && lfu_main_queue(w) != queue)
            return false;
        *weight += w;
        prev = node;
    }
    bool occupied = queue >= LFU_MAIN && (l->occupied >> (queue - LFU_MAIN) & 1);
    return l->newest[queue] == prev && (queue < LFU_MAIN || occupied == (prev != LFU_NONE));
}

bool lfu_is_valid(const struct lfu *l)
{
    uint32_t count = 0;
    uint64_t weights[LFU_MAIN + 1] = {0};
    for (uint32_t queue = 0; queue < LFU_QUEUES; queue++)
        if (!queue_is_valid(l, queue, &count, &weights[queue < LFU_MAIN ? queue : LFU_MAIN]))
            return false;
    return count == l->count && memcmp(weights, l->weights, sizeof(weights)) == 0;
}
