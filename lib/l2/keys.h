/* SPDX-License-Identifier: MIT */
/*
 * Names in Redis (l2/README.md "Names"). Wire version 2 has its own, so that nodes of two
 * versions leave each other's values alone:
 *
 *     <prefix>:!2:<space>:<schema>:<key>     a value's envelope
 *     <prefix>:!2:!lease:<space>:<key>       its load lease
 *     <prefix>:!2:!clk                       the clock with the group table
 *     <prefix>:!:log                         the log; <prefix>:!2:!log while version 1 has that one
 *     <prefix>:!2:!inv:<db>                  the channel: channels know no databases
 *     <prefix>:!2:!nil                       never exists: a script deletes it, to be a write
 *
 * and those of version 1, which a change names too while such nodes are there:
 *
 *     <prefix>:<space>:<schema>:<key>  <prefix>:!:lease:<space>:<key>
 *     <prefix>:!:clk  <prefix>:!:log  <prefix>:!:inv
 *
 * Prefix, space and schema hold neither ':' nor braces and do not begin with '!'.
 */
#ifndef NIGH_L2_KEYS_H
#define NIGH_L2_KEYS_H

#include "base/base.h"
#include "l2/command.h"
#include "l2/l2.h"

/* Names that each wire version has. Keys: (c) all. */
struct key_names {
    struct bytes base;  /* before the space of a value */
    struct bytes lease; /* before the space of a lease */
    struct bytes clk;
    struct bytes channel;
};

/* Keys: (c) all. */
struct keys {
    struct mem *mem;
    char *block;
    size_t block_size;
    struct key_names now;
    struct key_names old; /* wire version 1's */
    struct bytes log;     /* version 1's log while it has one, else ours */
    struct bytes log_aside;
    struct bytes nil;
};

/* 0 or NIGH_ENOMEM. */
int keys_init(struct keys *k, struct mem *mem, const char *prefix, uint32_t db);
void keys_fini(struct keys *k);

/* Add a name as an argument. `schema`: the key's own, or another one. */
void keys_add_data(const struct key_names *names, struct command *c, const struct l2_key *key,
                   struct bytes schema);
/* Add the names of many values of one space and schema. */
void keys_add_many(const struct key_names *names, struct command *c, struct bytes space,
                   struct bytes schema, const struct bytes *keys, uint32_t count);
void keys_add_lease(const struct key_names *names, struct command *c, const struct l2_key *key);

#endif
