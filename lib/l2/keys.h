/* SPDX-License-Identifier: MIT */
/*
 * Names in Redis (COHERENCE "Redis, per partition"):
 *
 *     <prefix>:<space>:<schema>:<key>          a value's envelope
 *     <prefix>:!:lease:<space>:<key>           its load lease
 *     <prefix>:!:clk  <prefix>:!:log           the clock with the group table; the log
 *     <prefix>:!:inv                           the channel
 *     <prefix>:!:nil                           never exists: what a script deletes to be a write
 *
 * With more than one partition `{pN}:` follows the prefix, so that what a script touches shares a
 * slot. Prefix, space and schema hold neither ':' nor braces and do not begin with '!'.
 */
#ifndef NIGH_L2_KEYS_H
#define NIGH_L2_KEYS_H

#include "base/base.h"
#include "l2/command.h"
#include "l2/l2.h"

/* Keys: (c) all. */
struct keys {
    struct mem *mem;
    char *block;
    size_t block_size;
    struct bytes base; /* "<prefix>:" */
    struct bytes clk;
    struct bytes log;
    struct bytes channel;
    struct bytes nil;
};

/* 0 or NIGH_ENOMEM. */
int keys_init(struct keys *k, struct mem *mem, const char *prefix);
void keys_fini(struct keys *k);

/* How many partitions: 1 standalone, 64 in a cluster. */
uint32_t keys_partition_count(const struct keys *k);

/* Add a name as an argument; scratch needed: keys_scratch(). */
void keys_add_data(const struct keys *k, struct command *c, const struct l2_key *key);
void keys_add_lease(const struct keys *k, struct command *c, const struct l2_key *key);
/* Scratch for both names of a key. */
size_t keys_scratch(const struct keys *k, const struct l2_key *key);

#endif
