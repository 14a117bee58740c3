/* SPDX-License-Identifier: MIT */
/*
 * The tags of a value on its way in, as the wire hashes of their names.
 */
#ifndef NIGH_CACHE_VALUE_TAGS_H
#define NIGH_CACHE_VALUE_TAGS_H

#include "base/base.h"

#define TAGS_FEW 4u

/* A list of tags; all zero, it is empty. A copy by value takes its place: only one of the two is
 * given to tags_fini(). */
struct tags {
    uint32_t count;
    uint32_t room;             /* tags that `many` can hold; 0: they are in `few` */
    uint8_t *many;             /* 8 B each, little-endian, as an envelope has them */
    uint8_t few[8 * TAGS_FEW]; /* enough for most values, without the allocator */
};

/* Add a tag. Errors: NIGH_ETAGS, NIGH_ENOMEM; NIGH_EINVAL for a name that no tag can have. */
int tags_add(struct tags *t, struct mem *mem, const char *tag);
/* Frees the list, which is empty then. */
void tags_fini(struct tags *t, struct mem *mem);

static inline const uint8_t *tags_hashes(const struct tags *t)
{
    return t->room ? t->many : t->few;
}

#endif
