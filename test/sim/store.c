// SPDX-License-Identifier: MIT
// Keys in an array, looked through by hash: a schedule has some dozens of them.

#include "sim/store.h"

static uint64_t hash_of(struct bytes key)
{
    return hash_bytes(key);
}

/* ---- one value ---- */

static void empty(struct value *v)
{
    buffer_free(&v->string);
    for (size_t i = 0; i < v->entry_count; i++)
        buffer_free(&v->entries[i].fields);
    free(v->entries);
    for (size_t i = 0; i < v->item_count; i++)
        buffer_free(&v->items[i]);
    free(v->items);
}

static void value_free(struct value *v)
{
    empty(v);
    free(v->key);
    free(v);
}

static struct buffer copy_of(const struct buffer *b)
{
    struct buffer copy = {0};
    buffer_add(&copy, b->data, b->len);
    return copy;
}

static struct value *value_copy(const struct value *v)
{
    struct value *c = malloc(sizeof(*c));
    if (!c)
        abort();
    *c = *v;
    c->key = malloc(v->key_len + 1);
    memcpy(c->key, v->key, v->key_len);
    c->string = copy_of(&v->string);
    c->entries = v->entry_count ? malloc(v->entry_count * sizeof(*c->entries)) : NULL;
    c->entry_size = v->entry_count;
    for (size_t i = 0; i < v->entry_count; i++) {
        c->entries[i] = v->entries[i];
        c->entries[i].fields = copy_of(&v->entries[i].fields);
    }
    c->items = v->item_count ? malloc(v->item_count * sizeof(*c->items)) : NULL;
    for (size_t i = 0; i < v->item_count; i++)
        c->items[i] = copy_of(&v->items[i]);
    return c;
}

/* ---- streams ---- */

void stream_add(struct value *v, uint64_t ms, uint64_t seq, struct bytes fields)
{
    if (v->entry_count == v->entry_size) {
        v->entry_size = v->entry_size ? 2 * v->entry_size : 16;
        v->entries = realloc(v->entries, v->entry_size * sizeof(*v->entries));
        if (!v->entries)
            abort();
    }
    struct stream_entry *e = &v->entries[v->entry_count++];
    *e = (struct stream_entry){.ms = ms, .seq = seq};
    buffer_add(&e->fields, fields.data, fields.len);
    v->last_ms = ms;
    v->last_seq = seq;
}

size_t stream_trim(struct value *v, size_t keep)
{
    if (v->entry_count <= keep)
        return 0;
    size_t gone = v->entry_count - keep;
    for (size_t i = 0; i < gone; i++)
        buffer_free(&v->entries[i].fields);
    memmove(v->entries, v->entries + gone, keep * sizeof(*v->entries));
    v->entry_count = keep;
    return gone;
}

/* ---- databases ---- */

static long index_of(const struct db *db, struct bytes key)
{
    uint64_t hash = hash_of(key);
    for (size_t i = 0; i < db->count; i++) {
        const struct value *v = db->values[i];
        if (v->hash == hash && v->key_len == key.len && memcmp(v->key, key.data, key.len) == 0)
            return (long)i;
    }
    return -1;
}

static void remove_at(struct db *db, long i)
{
    value_free(db->values[i]);
    db->values[i] = db->values[--db->count];
}

static void add(struct db *db, struct value *v)
{
    if (db->count == db->size) {
        db->size = db->size ? 2 * db->size : 32;
        db->values = realloc(db->values, db->size * sizeof(*db->values));
        if (!db->values)
            abort();
    }
    db->values[db->count++] = v;
}

struct value *store_find(struct store *s, unsigned db, struct bytes key, uint64_t wall_ms)
{
    long i = index_of(&s->dbs[db], key);
    if (i < 0)
        return NULL;
    struct value *v = s->dbs[db].values[i];
    if (v->dies_ms == 0 || v->dies_ms > wall_ms)
        return v;
    remove_at(&s->dbs[db], i);
    return NULL;
}

struct value *store_make(struct store *s, unsigned db, struct bytes key, enum value_type type)
{
    struct value *v;
    long i = index_of(&s->dbs[db], key);
    if (i >= 0) {
        v = s->dbs[db].values[i];
        empty(v);
    } else {
        v = malloc(sizeof(*v));
        if (!v)
            abort();
        add(&s->dbs[db], v);
        v->key = malloc(key.len + 1);
        memcpy(v->key, key.data, key.len);
    }
    *v = (struct value){.key = v->key, .key_len = key.len, .hash = hash_of(key), .type = type};
    return v;
}

bool store_remove(struct store *s, unsigned db, struct bytes key, uint64_t wall_ms)
{
    if (!store_find(s, db, key, wall_ms))
        return false;
    remove_at(&s->dbs[db], index_of(&s->dbs[db], key));
    return true;
}

void store_clear(struct store *s)
{
    for (unsigned d = 0; d < STORE_DBS; d++) {
        while (s->dbs[d].count > 0)
            remove_at(&s->dbs[d], 0);
        free(s->dbs[d].values);
        s->dbs[d] = (struct db){0};
    }
}

void store_copy(struct store *to, const struct store *from)
{
    store_clear(to);
    for (unsigned d = 0; d < STORE_DBS; d++)
        for (size_t i = 0; i < from->dbs[d].count; i++)
            add(&to->dbs[d], value_copy(from->dbs[d].values[i]));
}

void store_swap_dbs(struct store *s, unsigned a, unsigned b)
{
    struct db was = s->dbs[a];
    s->dbs[a] = s->dbs[b];
    s->dbs[b] = was;
}
