/* SPDX-License-Identifier: MIT */
/*
 * What a simulated Redis holds: databases of keys. A key lives until a time on the server's wall
 * clock, as Redis' do, so that a clock that steps lets keys die early or late.
 */
#ifndef NIGH_SIM_STORE_H
#define NIGH_SIM_STORE_H

#include "sim/buffer.h"

#define STORE_DBS 4

enum value_type { TYPE_STRING, TYPE_STREAM, TYPE_LIST, TYPE_HASH };

/* One entry of a stream: two numbers of its id, and its fields as a RESP array. */
struct stream_entry {
    uint64_t ms, seq;
    struct buffer fields;
};

struct value {
    char *key;
    size_t key_len;
    uint64_t hash;
    enum value_type type;
    uint64_t dies_ms;             /* wall clock; 0: never */
    struct buffer string;         /* STRING */
    struct stream_entry *entries; /* STREAM */
    size_t entry_count, entry_size;
    uint64_t last_ms, last_seq;   /* STREAM: id of the last entry ever */
    struct buffer *items;         /* LIST; HASH: field, value, field, value ... */
    size_t item_count;
};

struct db {
    struct value **values;
    size_t count, size;
};

struct store {
    struct db dbs[STORE_DBS];
};

/* NULL: not there, or dead by then (and removed). */
struct value *store_find(struct store *s, unsigned db, struct bytes key, uint64_t wall_ms);
/* An empty one of that type, in place of whatever was there. */
struct value *store_make(struct store *s, unsigned db, struct bytes key, enum value_type type);
bool store_remove(struct store *s, unsigned db, struct bytes key, uint64_t wall_ms);
void store_clear(struct store *s);
void store_copy(struct store *to, const struct store *from);
void store_swap_dbs(struct store *s, unsigned a, unsigned b);

void stream_add(struct value *v, uint64_t ms, uint64_t seq, struct bytes fields);
/* Keep the last `keep` entries. Returns how many went. */
size_t stream_trim(struct value *v, size_t keep);

#endif
