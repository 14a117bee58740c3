/* SPDX-License-Identifier: MIT */
/*
 * Finding for writers; placing, doubling.
 */
#include "l1/table.h"

/* Tables from this size on are whole pages, which go back to the kernel with them. */
#define TABLE_PAGES_BYTES (64u * 1024)

/* ---- finding, under the lock (readers: hit.h) ---- */

_Atomic uint64_t *table_word_of_key(struct l1_table *t, const struct l1_key *key)
{
    return table_find_word(t, key);
}

_Atomic uint64_t *table_word_of_entry(struct l1_table *t, uint64_t hash, const struct l1_entry *e)
{
    uint64_t sought = table_word_of(table_tag(hash, t->base_bits), e);
    for (struct l1_bucket *b = table_bucket(t, hash); b; b = bucket_more(b))
        for (unsigned i = 0; i < BUCKET_WORDS; i++)
            if (atomic_load_explicit(&b->words[i], memory_order_relaxed) == sought)
                return &b->words[i];
    return NULL;
}

struct l1_entry *table_chain_coldest(const struct l1_hit *hit, struct l1_table *t, uint64_t hash)
{
    struct l1_entry *coldest = NULL;
    for (struct l1_bucket *b = table_bucket(t, hash); b; b = bucket_more(b))
        for (unsigned i = 0; i < BUCKET_WORDS; i++) {
            struct l1_entry *e =
                table_word_entry(atomic_load_explicit(&b->words[i], memory_order_relaxed));
            if (e && (!coldest || entry_coldness(hit, e) > entry_coldness(hit, coldest)))
                coldest = e;
        }
    return coldest;
}

/* ---- changing ---- */

struct l1_place table_place(struct l1_table *t, uint64_t hash)
{
    struct l1_place place = {NULL, NULL, 0};
    for (struct l1_bucket *b = table_bucket(t, hash); b; b = bucket_more(b)) {
        place.last = b;
        place.length++;
        for (unsigned i = 0; i < BUCKET_WORDS; i++)
            if (!atomic_load_explicit(&b->words[i], memory_order_relaxed)) {
                place.word = &b->words[i];
                return place;
            }
    }
    return place;
}

uint64_t table_extend_bytes(const struct mem *mem)
{
    return mem_charge_apart(mem, sizeof(struct l1_bucket));
}

bool table_extend(struct mem *mem, struct l1_table *t, struct l1_bucket *last)
{
    struct l1_bucket *b = mem_alloc_apart(mem, sizeof(*b));
    if (!b)
        return false;
    memset(b, 0, sizeof(*b));
    t->charged_bytes += table_extend_bytes(mem);
    /* pair(table.more): the bucket is empty before a reader finds it */
    atomic_store_explicit(&last->more, b, memory_order_release);
    return true;
}

/* ---- doubling ---- */

/* A table that is being filled: no reader sees it yet. */
struct filling {
    struct mem *mem;
    struct l1_table *to;
    uint32_t extends_left;
};

/* An overflow bucket behind `last`; NULL: none is left, or no memory. */
static struct l1_bucket *filling_extend(struct filling *f, struct l1_bucket *last)
{
    if (!f->extends_left || !table_extend(f->mem, f->to, last))
        return NULL;
    f->extends_left--;
    return bucket_more(last);
}

/* The end of a chain that gets entries from one bucket only. */
struct chain_end {
    struct l1_bucket *last;
    unsigned used; /* words of it */
};

static bool chain_add(struct filling *f, struct chain_end *end, uint64_t word)
{
    if (NIGH_UNLIKELY(end->used == BUCKET_WORDS)) {
        struct l1_bucket *more = filling_extend(f, end->last);
        if (!more)
            return false;
        *end = (struct chain_end){more, 0};
    }
    atomic_store_explicit(&end->last->words[end->used++], word, memory_order_relaxed);
    return true;
}

/* Split a bucket into two, which get entries from nowhere else: so both are filled from the front,
 * without a look at what is there. */
static bool double_bucket(struct filling *f, struct l1_table *from, uint64_t index)
{
    unsigned next_bit = WORD_POINTER_BITS + from->bits - from->base_bits;
    struct chain_end ends[2] = {{&f->to->buckets[index], 0},
                                {&f->to->buckets[index | UINT64_C(1) << from->bits], 0}};
    for (struct l1_bucket *b = &from->buckets[index]; b; b = bucket_more(b))
        for (unsigned i = 0; i < BUCKET_WORDS; i++) {
            uint64_t word = atomic_load_explicit(&b->words[i], memory_order_relaxed);
            if (word && !chain_add(f, &ends[word >> next_bit & 1], word))
                return false;
        }
    return true;
}

bool table_double(struct mem *mem, struct l1_table *from, struct l1_table *to, uint32_t extend_max)
{
    struct filling f = {mem, to, extend_max};
    for (uint64_t index = 0; index < UINT64_C(1) << from->bits; index++)
        if (!double_bucket(&f, from, index))
            return false;
    return true;
}

/* Put a word into a chain that gets entries from several buckets. */
static bool place_unpublished(struct filling *f, uint64_t index, uint64_t word)
{
    struct l1_place place = table_place(f->to, index);
    if (!place.word && !filling_extend(f, place.last))
        return false;
    if (!place.word)
        place = table_place(f->to, index);
    atomic_store_explicit(place.word, word, memory_order_relaxed);
    return true;
}

/* Buckets whose index differs only in the bits that fall away become one. */
bool table_fold(struct mem *mem, struct l1_table *from, struct l1_table *to, uint32_t extend_max)
{
    struct filling f = {mem, to, extend_max};
    uint64_t mask = (UINT64_C(1) << to->bits) - 1;
    for (uint64_t index = 0; index < UINT64_C(1) << from->bits; index++)
        for (struct l1_bucket *b = &from->buckets[index]; b; b = bucket_more(b))
            for (unsigned i = 0; i < BUCKET_WORDS; i++) {
                uint64_t word = atomic_load_explicit(&b->words[i], memory_order_relaxed);
                if (word && !place_unpublished(&f, index & mask, word))
                    return false;
            }
    return true;
}

/* ---- memory ---- */

/* The arena aligns to 16, a bucket wants a line. */
static size_t block_size(uint32_t bits)
{
    size_t bytes = sizeof(struct l1_table) + (sizeof(struct l1_bucket) << bits);
    return bytes >= TABLE_PAGES_BYTES ? bytes : bytes + CACHE_LINE_BYTES - 16;
}

static bool is_pages(size_t block_bytes)
{
    return block_bytes >= TABLE_PAGES_BYTES;
}

size_t table_pages_bytes(const struct l1_table *t)
{
    return is_pages(t->block_bytes) ? t->block_bytes : 0;
}

uint64_t table_bytes(const struct mem *mem, uint32_t bits)
{
    size_t size = block_size(bits);
    return is_pages(size) ? (size + 4095) & ~(size_t)4095 : mem_charge_apart(mem, size);
}

struct l1_table *table_create(struct mem *mem, uint32_t bits, uint32_t base_bits)
{
    size_t size = block_size(bits);
    void *block = is_pages(size) ? mem_pages_alloc_of(mem, size) : mem_alloc_apart(mem, size);
    if (!block)
        return NULL;
    if (is_pages(size))
        mem_pages_touch(block, size);
    else
        memset(block, 0, size);
    uintptr_t at = ((uintptr_t)block + CACHE_LINE_BYTES - 1) & ~(uintptr_t)(CACHE_LINE_BYTES - 1);
    struct l1_table *t = (struct l1_table *)at;
    t->block = block;
    t->block_bytes = size;
    t->charged_bytes = table_bytes(mem, bits);
    t->bits = bits;
    t->base_bits = base_bits;
    return t;
}

static void free_chain(struct mem *mem, struct l1_bucket *b)
{
    while (b) {
        struct l1_bucket *more = bucket_more(b);
        mem_free_apart(mem, b, sizeof(*b));
        b = more;
    }
}

void table_destroy(struct mem *mem, struct l1_table *t)
{
    for (uint64_t i = 0; i < UINT64_C(1) << t->bits; i++)
        free_chain(mem, bucket_more(&t->buckets[i]));
    if (is_pages(t->block_bytes))
        mem_pages_free(t->block, t->block_bytes);
    else
        mem_free_apart(mem, t->block, t->block_bytes);
}
