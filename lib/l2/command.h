/* SPDX-License-Identifier: MIT */
/*
 * Building a command: collect the arguments, get the bytes for the wire.
 *
 *     struct command c;
 *     if (command_init(&c, mem, 3, COMMAND_NUMBER_BYTES))
 *         return NIGH_ENOMEM;
 *     command_text(&c, "PEXPIRE"); command_bytes(&c, key); command_number(&c, 500);
 *     command_finish(&c, &wire, &len);       // also frees what the builder held
 *
 * The caller says beforehand how many arguments there are and how many bytes of numbers and names
 * are made for them, so that one allocation holds the lot; it is checked.
 */
#ifndef NIGH_L2_COMMAND_H
#define NIGH_L2_COMMAND_H

#include "base/base.h"

#define COMMAND_NUMBER_BYTES 20u /* a u64 in decimals */

struct command {
    struct mem *mem;
    void *block;
    size_t block_size;
    const char **argv;
    size_t *lens;
    uint32_t count;
    uint32_t max;
    char *scratch;
    size_t scratch_left;
    uint64_t number; /* that a script's answer begins with; 0: a plain command */
};

/* 0 or NIGH_ENOMEM. */
int command_init(struct command *c, struct mem *mem, uint32_t args_max, size_t scratch_bytes);

/* In place: must stay until command_finish(). */
void command_bytes(struct command *c, struct bytes b);
void command_text(struct command *c, const char *text);
/* In decimals (<= COMMAND_NUMBER_BYTES of scratch), or as 8 bytes little-endian (8). */
void command_number(struct command *c, uint64_t v);
void command_le64(struct command *c, uint64_t v);
/* The parts joined into one argument (their sum of scratch). */
void command_joined(struct command *c, const struct bytes *parts, uint32_t count);

/* The wire form, to free with command_wire_free(). 0 or NIGH_ENOMEM. */
int command_finish(struct command *c, char **ret_wire, size_t *ret_len);
void command_wire_free(char *wire);

#endif
