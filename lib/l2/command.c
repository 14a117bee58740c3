// SPDX-License-Identifier: MIT
// Commands for the wire. In RESP a command is an array of strings, each behind its length:
//
//     *2 CRLF  $3 CRLF GET CRLF  $7 CRLF <the key> CRLF
//
// Written here, not by hiredis: its redisFormatCommandArgv() wants a table of arguments that lie
// somewhere and makes another copy of them in memory from malloc(), which took a fifth of a
// request. The bytes are the same (a test compares). The number of arguments, which the head tells,
// is known last, so room for the head is left before them, and filled from its end.

#include "l2/command.h"

#include <nigh/error.h>

#define COMMAND_MAX_BYTES ((size_t)1 << 30) /* Redis itself takes no string above 512 MiB */
#define DIGITS_MAX 20u                      /* decimals of a u64 */
#define HEAD_BYTES 16u                      /* "*4294967295\r\n", so that what follows is aligned */
#define GROW_BYTES 4096u
#define SHORT_BYTES 16u /* of which two loads of 8 bytes take all */

void command_init(struct command *c, struct mem *mem, void *room, size_t size)
{
    NIGH_CHECK(size >= HEAD_BYTES);
    *c = (struct command){.mem = mem, .buffer = room, .size = size, .len = HEAD_BYTES};
}

static void free_block(struct command *c)
{
    if (c->block_size)
        mem_free(c->mem, NULL, c->buffer, c->block_size);
    c->block_size = 0;
}

/* Makes room for `more` bytes: a large argument gets as much, many small ones half as much more. */
static NIGH_OUTLINED void grow(struct command *c, size_t more)
{
    size_t size = c->len + more + (more > c->len ? 0 : c->len / 2) + GROW_BYTES;
    bool allowed = more < COMMAND_MAX_BYTES && c->len + more < COMMAND_MAX_BYTES;
    char *grown = allowed ? mem_alloc(c->mem, NULL, size) : NULL;
    if (!grown) {
        c->no_memory = true;
        return;
    }
    memcpy(grown, c->buffer, c->len);
    free_block(c);
    c->buffer = grown;
    c->size = c->block_size = size;
}

/* Writes the digits so that they end before `end`; returns where they begin. */
static char *digits_before(char *end, uint64_t v)
{
    do {
        *--end = (char)('0' + v % 10);
        v /= 10;
    } while (v > 0);
    return end;
}

static char *put_crlf(char *at)
{
    memcpy(at, "\r\n", 2);
    return at + 2;
}

static NIGH_OUTLINED char *put_long_number(char *at, uint64_t v)
{
    char digits[DIGITS_MAX];
    const char *first = digits_before(digits + sizeof(digits), v);
    size_t count = (size_t)(digits + sizeof(digits) - first);
    memcpy(at, first, count);
    return at + count;
}

/* Puts a number, nearly always a length or a count of two digits at most: without a copy from
 * elsewhere, which would be a call of memcpy() for each argument. */
static char *put_number(char *at, uint64_t v)
{
    if (NIGH_UNLIKELY(v >= 100))
        return put_long_number(at, v);
    if (v >= 10)
        *at++ = (char)('0' + v / 10);
    *at++ = (char)('0' + v % 10);
    return at;
}

/* Begins an argument of `len` bytes; returns where they go, NULL: there is no memory for them. */
static char *begin(struct command *c, size_t len)
{
    size_t most = 1 + DIGITS_MAX + 2 + 2;
    if (NIGH_UNLIKELY(len > c->size - c->len || most > c->size - c->len - len))
        grow(c, len + most);
    if (c->no_memory)
        return NULL;
    char *at = c->buffer + c->len;
    *at = '$';
    c->count++;
    return put_crlf(put_number(at + 1, len));
}

static void end(struct command *c, char *at)
{
    c->len = (size_t)(put_crlf(at) - c->buffer);
}

void command_bytes(struct command *c, struct bytes b)
{
    command_joined(c, &b, 1);
}

void command_text(struct command *c, const char *text)
{
    command_bytes(c, bytes_of_string(text));
}

void command_number(struct command *c, uint64_t v)
{
    char digits[DIGITS_MAX];
    command_bytes(c, bytes_of(digits, (size_t)(put_number(digits, v) - digits)));
}

void command_le64(struct command *c, uint64_t v)
{
    char *at = begin(c, sizeof(v));
    if (!at)
        return;
    put_le64((uint8_t *)at, v);
    end(c, at + sizeof(v));
}

/* Puts a part without a call if it is short, as most are: colons, numbers, names of spaces. */
static char *put_part(char *at, struct bytes part)
{
    const char *from = part.data;
    if (part.len > SHORT_BYTES)
        return (char *)put_bytes(at, part);
    if (part.len >= 8) {
        memcpy(at, from, 8);
        memcpy(at + part.len - 8, from + part.len - 8, 8);
    } else if (part.len >= 4) {
        memcpy(at, from, 4);
        memcpy(at + part.len - 4, from + part.len - 4, 4);
    } else {
        for (size_t i = 0; i < part.len; i++)
            at[i] = from[i];
    }
    return at + part.len;
}

void command_joined(struct command *c, const struct bytes *parts, uint32_t count)
{
    size_t len = 0;
    for (uint32_t i = 0; i < count; i++)
        len += parts[i].len;
    char *at = begin(c, len);
    if (!at)
        return;
    for (uint32_t i = 0; i < count; i++)
        at = put_part(at, parts[i]);
    end(c, at);
}

int command_finish(struct command *c, struct command_wire *ret)
{
    if (c->no_memory) {
        free_block(c);
        return NIGH_ENOMEM;
    }
    char *args = c->buffer + HEAD_BYTES;
    put_crlf(args - 2);
    char *head = digits_before(args - 2, c->count);
    *--head = '*';
    *ret = (struct command_wire){
        .data = head,
        .len = (size_t)(c->buffer + c->len - head),
        .block = c->block_size ? c->buffer : NULL,
        .block_size = c->block_size,
    };
    return 0;
}

void command_wire_free(struct mem *mem, struct command_wire *wire)
{
    if (wire->block)
        mem_free(mem, NULL, wire->block, wire->block_size);
    *wire = (struct command_wire){.data = NULL};
}
