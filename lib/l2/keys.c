// SPDX-License-Identifier: MIT
// The names of everything nigh keeps in Redis; the only file that spells them.

#include "l2/keys.h"

#include <stdio.h>

#include <nigh/error.h>
#include <nigh/options.h>

#define COLON bytes_of(":", 1)
/* Prefix, "!2", space and schema, and the colons between. */
#define COMMON_BYTES (3 * NIGH_NAME_MAX + 8)

/* The format of a name takes the prefix and, if it wants one, the database. */
struct name {
    const char *format;
    size_t at; /* in struct keys */
};

#define AT(field) offsetof(struct keys, field)

static const struct name names[] = {
    {"%s:!2:", AT(now.base)},
    {"%s:!2:!lease:", AT(now.lease)},
    {"%s:!2:!clk", AT(now.clk)},
    {"%s:!2:!inv:%u", AT(now.channel)},
    {"%s:!2:!nil", AT(nil)},
    {"%s:!:log", AT(log)},
    {"%s:!2:!log", AT(log_aside)},
    {"%s:", AT(old.base)},
    {"%s:!:lease:", AT(old.lease)},
    {"%s:!:clk", AT(old.clk)},
    {"%s:!:inv", AT(old.channel)},
};

#define NAME_ROOM 32u /* beside the prefix: the longest, and a database of 5 digits */

int keys_init(struct keys *k, struct mem *mem, const char *prefix, uint32_t db)
{
    size_t room = strlen(prefix) + NAME_ROOM;
    size_t size = ARRAY_COUNT(names) * room;
    char *p = mem_alloc(mem, NULL, size);
    if (!p)
        return NIGH_ENOMEM;
    *k = (struct keys){.mem = mem, .block = p, .block_size = size};
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        int len = snprintf(p, room, names[i].format, prefix, db);
        *(struct bytes *)(void *)((char *)k + names[i].at) = bytes_of(p, (size_t)len);
        p += room;
    }
    return 0;
}

void keys_fini(struct keys *k)
{
    if (k->block)
        mem_free(k->mem, NULL, k->block, k->block_size);
}

void keys_add_data(const struct key_names *n, struct command *c, const struct l2_key *key,
                   struct bytes schema)
{
    const struct bytes parts[] = {n->base, key->space, COLON, schema, COLON, key->key};
    command_joined(c, parts, ARRAY_COUNT(parts));
}

/* Puts the names' common part together once: it is short, as names of spaces and schemas are. */
void keys_add_many(const struct key_names *n, struct command *c, struct bytes space,
                   struct bytes schema, const struct bytes *keys, uint32_t count)
{
    char text[COMMON_BYTES];
    const struct bytes parts[] = {n->base, space, COLON, schema, COLON};
    size_t len = 0;
    for (size_t i = 0; i < ARRAY_COUNT(parts) && len + parts[i].len <= sizeof(text); i++) {
        memcpy(text + len, parts[i].data, parts[i].len);
        len += parts[i].len;
    }
    NIGH_CHECK(len == n->base.len + space.len + schema.len + 2);
    for (uint32_t i = 0; i < count; i++) {
        const struct bytes both[] = {bytes_of(text, len), keys[i]};
        command_joined(c, both, ARRAY_COUNT(both));
    }
}

void keys_add_lease(const struct key_names *n, struct command *c, const struct l2_key *key)
{
    const struct bytes parts[] = {n->lease, key->space, COLON, key->key};
    command_joined(c, parts, ARRAY_COUNT(parts));
}
