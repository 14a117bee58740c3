// SPDX-License-Identifier: MIT
// The names of everything nigh keeps in Redis; the only file that spells them.

#include "l2/keys.h"

#include <stdio.h>

#include <nigh/error.h>

#define COLON bytes_of(":", 1)
#define LEASE bytes_of("!:lease:", 8)

enum { CLK, LOG_, INV, NIL, NAME_COUNT };

static const char *const names[NAME_COUNT] = {"!:clk", "!:log", "!:inv", "!:nil"};

uint32_t keys_partition_count(const struct keys *k)
{
    (void)k;
    return 1;
}

int keys_init(struct keys *k, struct mem *mem, const char *prefix)
{
    size_t base_len = strlen(prefix) + 1;
    size_t size = base_len + 1;
    for (int i = 0; i < NAME_COUNT; i++)
        size += base_len + strlen(names[i]) + 1;
    char *p = mem_alloc(mem, NULL, size);
    if (!p)
        return NIGH_ENOMEM;
    *k = (struct keys){.mem = mem, .block = p, .block_size = size};
    struct bytes *const fields[NAME_COUNT] = {&k->clk, &k->log, &k->channel, &k->nil};
    k->base = bytes_of(p, base_len);
    p += sprintf(p, "%s:", prefix) + 1;
    for (int i = 0; i < NAME_COUNT; i++) {
        int len = sprintf(p, "%s:%s", prefix, names[i]);
        *fields[i] = bytes_of(p, (size_t)len);
        p += len + 1;
    }
    return 0;
}

void keys_fini(struct keys *k)
{
    mem_free(k->mem, NULL, k->block, k->block_size);
}

void keys_add_data(const struct keys *k, struct command *c, const struct l2_key *key)
{
    const struct bytes parts[] = {k->base, key->space, COLON, key->schema, COLON, key->key};
    command_joined(c, parts, ARRAY_COUNT(parts));
}

void keys_add_lease(const struct keys *k, struct command *c, const struct l2_key *key)
{
    const struct bytes parts[] = {k->base, LEASE, key->space, COLON, key->key};
    command_joined(c, parts, ARRAY_COUNT(parts));
}

size_t keys_scratch(const struct keys *k, const struct l2_key *key)
{
    return 2 * k->base.len + LEASE.len + 3 * COLON.len + 2 * key->space.len + key->schema.len +
           2 * key->key.len;
}
