// SPDX-License-Identifier: MIT
// Commands for the wire, formatted by hiredis from arguments that lie in one allocation.

#include "l2/command.h"

#include <hiredis/hiredis.h>
#include <stdio.h>

#include <nigh/error.h>

#define COMMAND_MAX_BYTES (1u << 30) /* Redis itself takes no string above 512 MiB */

int command_init(struct command *c, struct mem *mem, uint32_t args_max, size_t scratch_bytes)
{
    size_t table = args_max * (sizeof(char *) + sizeof(size_t));
    size_t size = table + scratch_bytes;
    char *block = mem_alloc(mem, NULL, size);
    if (!block)
        return NIGH_ENOMEM;
    *c = (struct command){
        .mem = mem,
        .block = block,
        .block_size = size,
        .argv = (const char **)(void *)block,
        .lens = (size_t *)(void *)(block + args_max * sizeof(char *)),
        .max = args_max,
        .scratch = block + table,
        .scratch_left = scratch_bytes,
    };
    return 0;
}

void command_bytes(struct command *c, struct bytes b)
{
    NIGH_CHECK(c->count < c->max);
    c->argv[c->count] = b.len ? b.data : "";
    c->lens[c->count] = b.len;
    c->count++;
}

void command_text(struct command *c, const char *text)
{
    command_bytes(c, bytes_of_string(text));
}

static char *take_scratch(struct command *c, size_t len)
{
    NIGH_CHECK(len <= c->scratch_left);
    char *p = c->scratch;
    c->scratch += len;
    c->scratch_left -= len;
    return p;
}

void command_number(struct command *c, uint64_t v)
{
    char digits[COMMAND_NUMBER_BYTES + 1];
    int len = snprintf(digits, sizeof(digits), "%llu", (unsigned long long)v);
    char *p = take_scratch(c, (size_t)len);
    memcpy(p, digits, (size_t)len);
    command_bytes(c, bytes_of(p, (size_t)len));
}

void command_le64(struct command *c, uint64_t v)
{
    char *p = take_scratch(c, 8);
    put_le64(p, v);
    command_bytes(c, bytes_of(p, 8));
}

void command_joined(struct command *c, const struct bytes *parts, uint32_t count)
{
    char *start = c->scratch;
    size_t len = 0;
    for (uint32_t i = 0; i < count; i++) {
        char *p = take_scratch(c, parts[i].len);
        if (parts[i].len > 0)
            memcpy(p, parts[i].data, parts[i].len);
        len += parts[i].len;
    }
    command_bytes(c, bytes_of(start, len));
}

int command_finish(struct command *c, char **ret_wire, size_t *ret_len)
{
    char *wire = NULL;
    long long len = -1;
    size_t total = 0;
    for (uint32_t i = 0; i < c->count; i++)
        total += c->lens[i];
    /* hiredis uses malloc(), out of reach of mem's fault point; 0.14 counts bytes in an int. */
    if (!fault_fires(FAULT_ALLOC) && total < COMMAND_MAX_BYTES)
        len = redisFormatCommandArgv(&wire, (int)c->count, c->argv, c->lens);
    mem_free(c->mem, NULL, c->block, c->block_size);
    if (len < 0)
        return NIGH_ENOMEM;
    *ret_wire = wire;
    *ret_len = (size_t)len;
    return 0;
}

void command_wire_free(char *wire)
{
    redisFreeCommand(wire);
}
