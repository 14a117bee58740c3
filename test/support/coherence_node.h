/* SPDX-License-Identifier: MIT */
/*
 * coherence_node.h - a node without a cache, for tests against a real server: link, keeper and
 * listener threads, and a sink that remembers what it was told.
 *
 * Keys are named "k0", "k1", ...; a key's version is what the sink remembers it by.
 */
#ifndef NIGH_TEST_COHERENCE_NODE_H
#define NIGH_TEST_COHERENCE_NODE_H

#include <stdio.h>
#include <stdlib.h>

#include "coherence/coherence.h"
#include "support/check.h"

#define NODE_SLOTS GROUP_SLOTS_MIN
#define NODE_KEYS 256
#define NODE_PATIENCE_MS 20000 /* a test's, never its verdict */
#define NODE_SILENCE_MS 1000   /* then a change is queued of who knows that Redis is silent */

struct node {
    struct env env;
    struct stats stats;
    struct l2 *l2;
    struct coherence *c;
    struct service keeper;
    uint32_t trust_ms;

    _Atomic uint64_t keys[NODE_KEYS];         /* highest version heard of each */
    _Atomic unsigned key_count;
    _Atomic unsigned groups[NODE_SLOTS][2];   /* hard, soft */
    _Atomic unsigned fills, wakes, losses;
};

uint64_t node_group(void *arg, uint16_t slot, bool soft);
void node_renew(void *arg, uint64_t left_at);
uint64_t node_key(void *arg, const struct coherence_item *item);
uint64_t node_floor(void *arg, const struct coherence_item *item);
void node_fill(void *arg, const struct coherence_item *item);
void node_wake(void *arg);
struct bytes node_schema(void *arg, struct bytes space);
void node_lost(void *arg);
uint64_t node_keep(void *arg);
void node_poke(void *arg);
struct node_options {
    const char *uri;
    uint32_t trust_ms;
    uint32_t beat_ms;
    uint32_t group_slots; /* 0: NODE_SLOTS */
};

struct node *node_start(struct node_options o);
void node_stop(struct node *n);
struct coherence_gauges node_gauges(struct node *n);
bool node_ready(struct node *n);

/* Both follow the same clock, and have applied the same. */
bool node_agree(struct node *a, struct node *b);
uint64_t node_count(struct node *n, enum stats_counter counter);
int node_change_within(struct node *n, const struct coherence_item *item, uint32_t ms,
                       struct coherence_position *ret_position);
int node_change(struct node *n, const struct coherence_item *item,
                struct coherence_position *ret_position);

/* Invalidate "k<index>" with that version. */
int node_change_key_within(struct node *n, unsigned index, uint64_t version, uint32_t ms);
int node_change_key(struct node *n, unsigned index, uint64_t version);
struct coherence_item node_tag(const char *tag, bool soft);

/* Slot of the group of space "s", where the number of slots is NODE_SLOTS. */
uint16_t node_space_slot(void);

#endif
