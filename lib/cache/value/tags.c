// SPDX-License-Identifier: MIT
/*
 * The tags of a value on its way in.
 *
 * They are kept as hashes and not as names: hashes are all that an envelope has, and the slots of
 * an entry are computed from them. The list doubles, so that the most a value may have costs a few
 * allocations.
 */
#include "cache/value/tags.h"

#include <string.h>

#include <nigh/nigh.h>

static int grow(struct tags *t, struct mem *mem)
{
    uint32_t room = t->room ? 2 * t->room : 4 * TAGS_FEW;
    uint8_t *many = mem_alloc(mem, NULL, 8 * (size_t)room);
    if (!many)
        return NIGH_ENOMEM;
    memcpy(many, tags_hashes(t), 8 * (size_t)t->count);
    uint32_t count = t->count;
    tags_fini(t, mem);
    t->count = count;
    t->room = room;
    t->many = many;
    return 0;
}

int tags_add(struct tags *t, struct mem *mem, const char *tag)
{
    size_t len = tag ? strnlen(tag, NIGH_KEY_MAX + 1) : 0;
    if (len == 0 || len > NIGH_KEY_MAX)
        return NIGH_EINVAL;
    if (t->count == NIGH_TAGS_MAX)
        return NIGH_ETAGS;
    int rc = t->count == (t->room ? t->room : TAGS_FEW) ? grow(t, mem) : 0;
    if (rc != 0)
        return rc;
    uint64_t hash = hash_wire(WIRE_TAG, bytes_of("", 0), bytes_of(tag, len));
    uint8_t *hashes = t->room ? t->many : t->few;
    put_le64(hashes + 8 * (size_t)t->count++, hash);
    return 0;
}

void tags_fini(struct tags *t, struct mem *mem)
{
    if (t->room)
        mem_free(mem, NULL, t->many, 8 * (size_t)t->room);
    t->count = 0;
    t->room = 0;
    t->many = NULL;
}
