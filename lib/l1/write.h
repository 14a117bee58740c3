/* SPDX-License-Identifier: MIT */
/*
 * The long way of a write, for the plain put that needs it.
 */
#ifndef NIGH_L1_WRITE_H
#define NIGH_L1_WRITE_H

#include "l1/shard.h"

struct own_write {
    const struct l1_key *key;
    const struct l1_value *value;
    uint64_t ticket;
    uint64_t heard;  /* floor of the key that the writer has raised already; 0: none */
    bool only_newer; /* an equal version is refused, too */
    size_t size;
    uint64_t bytes;        /* charged */
    struct l1_entry *made; /* large: made before, with a reference; NULL: none */
    uint64_t *ret_stamp;
};

/* Store the value under the lock; `word`: that of the key's entry, or NULL. For any value, if that
 * is large made before. */
NIGH_OUTLINED enum l1_store_result write_long_locked(struct l1 *l1, struct l1_shard *s,
                                                     const struct own_write *w,
                                                     _Atomic uint64_t *word) REQUIRES(s->lock);

#endif
