/* SPDX-License-Identifier: MIT */
/*
 * Writing a command for the wire, argument by argument, into memory that the caller has:
 *
 *     struct command c;
 *     command_init(&c, mem, room, sizeof(room));
 *     command_text(&c, "PEXPIRE"); command_bytes(&c, key); command_number(&c, 500);
 *     if (command_finish(&c, &wire))
 *         return NIGH_ENOMEM;
 *     ... wire.data, wire.len ...
 *     command_wire_free(mem, &wire);
 *
 * A command that does not fit into the room moves to a block of `mem`. When there is none, the rest
 * is left out, and command_finish() says so: in between nothing needs to be checked.
 */
#ifndef NIGH_L2_COMMAND_H
#define NIGH_L2_COMMAND_H

#include "base/base.h"

struct request;

struct command {
    struct mem *mem;
    char *buffer;      /* the head, which comes last, then the arguments */
    size_t size;
    size_t len;
    size_t block_size; /* the buffer's, if it is a block of mem; 0: it is the room */
    uint32_t count;    /* arguments so far */
    bool no_memory;
    uint64_t number;   /* call number of a script: its answer begins with it; 0: no script */
    struct request *request; /* becomes this request; NULL: none */
};

void command_init(struct command *c, struct mem *mem, void *room, size_t size);

void command_bytes(struct command *c, struct bytes b);
void command_text(struct command *c, const char *text);
/* A number in decimals, or as 8 bytes little-endian. */
void command_number(struct command *c, uint64_t v);
void command_le64(struct command *c, uint64_t v);
/* Joins the parts into one argument. */
void command_joined(struct command *c, const struct bytes *parts, uint32_t count);

/* The bytes for the wire; `data` lies in the room, or in the block. */
struct command_wire {
    char *data; /* NULL: none */
    size_t len;
    void *block;
    size_t block_size;
};

/* 0 or NIGH_ENOMEM. */
int command_finish(struct command *c, struct command_wire *ret);
void command_wire_free(struct mem *mem, struct command_wire *wire);

#endif
