/* SPDX-License-Identifier: MIT */
/*
 * A value as it travels: compressed, where its space says so and that makes it smaller.
 *
 * It is compressed by the thread that makes its envelope, and made whole by the one that judges
 * what L2 had: a caller or a worker, or without own threads whoever drives, but never the I/O
 * thread. What a read meets may be of any space option, and of any build: what cannot be made whole
 * is a miss, once in the log, and counted by lookup.c (`l2_unpack_failed`). It is not deleted, for
 * other nodes may be able to.
 */
#ifndef NIGH_CACHE_VALUE_PACKED_H
#define NIGH_CACHE_VALUE_PACKED_H

#include "cache/cache.h"

struct packed {
    struct bytes bytes; /* what to send, or the value */
    uint32_t plain_len; /* of what to send: as in an envelope */
    void *buffer;       /* has them; NULL: they are where they were */
    size_t size;
};

/* Compress a value, if it is to be and gets smaller by an eighth; else hand it through. */
struct packed packed_of(struct nigh_space *space, struct bytes plain);
/* Find the value in a payload. Errors: NIGH_MISS it cannot be made whole; NIGH_ENOMEM. */
int packed_open(struct nigh_space *space, const struct l2_envelope *e, struct packed *ret);
void packed_free(struct nigh_space *space, struct packed *p);

#endif
