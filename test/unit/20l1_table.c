// SPDX-License-Identifier: MIT
// The table finds what is there, through overflow and doubling, and stays bounded under collisions.

#include <pthread.h>

#include "l1/table.h"
#include "support/l1_cache.h"

TEST(found_until_removed_and_only_under_its_own_space)
{
    struct cache c;
    cache_open(&c, 1 << 20, 1);
    CHECK(!cache_has(&c, 1));
    CHECK_EQ(cache_put(&c, 1, "one", 3), L1_STORED);
    CHECK_EQ(cache_put(&c, 2, "two", 3), L1_STORED);
    CHECK(cache_has(&c, 1) && cache_has(&c, 2));
    struct l1_key other = l1_key_of(c.l1, CACHE_SPACE + 1, "key:00000001", 12);
    rcu_enter();
    CHECK(!l1_find_rcu(c.l1, &other));
    rcu_leave();
    cache_remove(&c, 1);
    CHECK(!cache_has(&c, 1) && cache_has(&c, 2));
    CHECK_EQ(stats_read(&c.stats, STATS_L1_REMOVE), 1);
    cache_audit(&c);
    cache_close(&c);
}

TEST(replaced_in_place)
{
    struct cache c;
    cache_open(&c, 1 << 20, 1);
    for (unsigned i = 0; i < 100; i++)
        CHECK_EQ(cache_put(&c, 5, &i, sizeof(i)), L1_STORED);
    CHECK_EQ(cache_gauges(&c).entries, 1);
    struct nigh_value v;
    REQUIRE(cache_pin(&c, 5, &v));
    CHECK_EQ(*(const unsigned char *)v.data, 99);
    l1_unpin(v.pin);
    cache_audit(&c);
    cache_close(&c);
}

TEST(keys_of_every_length_are_told_apart)
{
    struct cache c;
    cache_open(&c, 8 << 20, 1);
    static char text[NIGH_KEY_MAX + 1];
    memset(text, 'k', sizeof(text));
    for (size_t len = 1; len <= NIGH_KEY_MAX; len++) {
        struct l1_key key = l1_key_of(c.l1, 1, text, len);
        struct l1_value v = cache_value(&c, &len, sizeof(len));
        struct l1_entry *e;
        REQUIRE_EQ(l1_entry_create(c.l1, &key, &v, &e), 0);
        CHECK_EQ(l1_store(c.l1, &key, e), L1_STORED);
        l1_entry_unref(e);
    }
    struct l1_space space;
    l1_space_init(c.l1, 1, CACHE_SPACE_SLOT, &space);
    for (size_t len = 1; len <= NIGH_KEY_MAX; len++) {
        text[len - 1] = 'x'; /* the last byte differs */
        struct l1_key wrong = l1_key_of(c.l1, 1, text, len);
        size_t value_len;
        text[len - 1] = 'k';
        struct l1_key key = l1_key_of(c.l1, 1, text, len);
        wrong.hash = key.hash; /* so that only the bytes can tell */
        char copy[NIGH_KEY_MAX];
        memcpy(copy, text, len);
        copy[len - 1] = 'x';
        wrong.data = copy;
        rcu_enter();
        CHECK(!l1_find_rcu(c.l1, &wrong));
        struct l1_entry *e = l1_find_rcu(c.l1, &key);
        CHECK(e && memcmp(l1_entry_value(e).data, &len, sizeof(len)) == 0);
        CHECK(l1_is_value(&space, e, text, len, &value_len) && value_len == sizeof(len));
        CHECK(!l1_is_value(&space, e, copy, len, &value_len));
        rcu_leave();
    }
    cache_close(&c);
}

TEST(doubling_loses_nothing)
{
    struct cache c;
    cache_open(&c, 64 << 20, 1);
    unsigned count = 100000;
    for (unsigned i = 0; i < count; i++) {
        REQUIRE_EQ(cache_put(&c, i, &i, sizeof(i)), L1_STORED);
        if (i % 4096 == 0)
            cache_reclaim(&c);
    }
    CHECK_GE(stats_read(&c.stats, STATS_L1_GROW), 4);
    CHECK_EQ(stats_read(&c.stats, STATS_L1_EVICT), 0);
    for (unsigned i = 0; i < count; i++)
        CHECK(cache_has(&c, i));
    for (unsigned i = count; i < 2 * count; i++)
        CHECK(!cache_has(&c, i));
    cache_reclaim(&c);
    cache_audit(&c);
    cache_close(&c);
}

static _Atomic bool stop;

static void *read_one(void *arg)
{
    struct cache *c = arg;
    uint64_t missed = 0;
    while (!atomic_load_explicit(&stop, memory_order_relaxed))
        missed += !cache_has(c, 0);
    CHECK_EQ(missed, 0);
    return NULL;
}

TEST(a_reader_never_misses_during_doubling)
{
    struct cache c;
    cache_open(&c, 64 << 20, 1);
    CHECK_EQ(cache_put_size(&c, 0, 8), L1_STORED);
    atomic_store_explicit(&stop, false, memory_order_relaxed);
    pthread_t reader;
    REQUIRE_EQ(pthread_create(&reader, NULL, read_one, &c), 0);
    for (unsigned i = 1; i < 50000; i++) {
        REQUIRE_EQ(cache_put_size(&c, i, 8), L1_STORED);
        if (i % 4096 == 0)
            cache_reclaim(&c);
    }
    atomic_store_explicit(&stop, true, memory_order_relaxed);
    pthread_join(reader, NULL);
    CHECK_GE(stats_read(&c.stats, STATS_L1_GROW), 3);
    cache_close(&c);
}

/* The next number whose key falls into the first of 2^bits buckets. */
static unsigned next_collision(struct cache *c, unsigned number, unsigned bits)
{
    struct name name;
    do
        number++;
    while (cache_key(c, &name, number).hash & ((1u << bits) - 1));
    return number;
}

TEST(colliding_keys_cost_a_bounded_chain_and_no_memory)
{
    struct cache c;
    cache_open(&c, 4 << 20, 1);
    unsigned number = 0, numbers[200], there = 0;
    for (int i = 0; i < 200; i++) {
        number = next_collision(&c, number, 14);
        numbers[i] = number;
        CHECK_EQ(cache_put_size(&c, number, 16), L1_STORED);
        CHECK(cache_has(&c, number));
        cache_reclaim(&c);
    }
    for (int i = 0; i < 200; i++)
        there += cache_has(&c, numbers[i]);
    CHECK_EQ(there, BUCKET_CHAIN_MAX * BUCKET_WORDS);
    CHECK_GT(stats_read(&c.stats, STATS_L1_LONG_CHAIN), 0);
    CHECK_LT(stats_read(&c.stats, STATS_L1_GROW), 3);
    cache_audit(&c);
    cache_close(&c);
}

/* Without a shard: words and tags as a reader meets them. */
TEST(a_wrong_tag_or_an_empty_word_is_no_match)
{
    struct cache c;
    cache_open(&c, 1 << 20, 1);
    struct mem *mem = c.l1->mem;
    struct l1_table *t = table_create(mem, 0, 0);
    REQUIRE(t);
    struct name name;
    struct l1_key key = cache_key(&c, &name, 3);
    struct l1_value v = cache_value(&c, "v", 1);
    struct l1_entry *e;
    REQUIRE_EQ(l1_entry_create(c.l1, &key, &v, &e), 0);
    uint64_t tag = table_tag(key.hash, 0);
    for (unsigned i = 0; i < BUCKET_WORDS; i++) {
        table_publish(&t->buckets[0].words[i], tag ^ 1, e);
        CHECK(!bucket_find_rcu(&t->buckets[0], 0, &key));
        table_publish(&t->buckets[0].words[i], tag, e);
        CHECK(bucket_find_rcu(&t->buckets[0], 0, &key) == e);
        CHECK(table_word_of_entry(t, key.hash, e) == &t->buckets[0].words[i]);
        CHECK(table_word_of_key(t, &key) == &t->buckets[0].words[i]);
        table_clear(&t->buckets[0].words[i]);
        CHECK(!bucket_find_rcu(&t->buckets[0], 0, &key));
    }
    key.hash = 0; /* tag 0 must not match empty words */
    CHECK(!bucket_find_rcu(&t->buckets[0], 0, &key));
    table_destroy(mem, t);
    l1_entry_unref(e);
    cache_close(&c);
}

/* Whatever vectors a machine has: they propose the words that the plain loop does. */
TEST(every_way_of_scanning_proposes_the_same_words)
{
    uint64_t random = check_seed();
    struct l1_bucket b;
    for (int round = 0; round < 20000; round++) {
        uint64_t tag = check_random(&random) & 0xffff;
        for (unsigned i = 0; i < BUCKET_WORDS; i++) {
            uint64_t word = check_random(&random);
            if (check_random(&random) % 3 == 0) /* also: the tag in the wrong place */
                word = tag << WORD_POINTER_BITS | tag << 32 | tag;
            else if (check_random(&random) % 3 == 0)
                word = (tag ^ 1) << WORD_POINTER_BITS | tag << 32 | tag << 16 | tag;
            atomic_init(&b.words[i], word);
        }
        uintptr_t link = (uintptr_t)(tag << WORD_POINTER_BITS);
        atomic_init(&b.more, (struct l1_bucket *)link); /* never followed: only scanned */
        uint64_t plain = bucket_match_scalar(&b, tag), mask = bucket_match(&b, tag);
        CHECK_EQ(__builtin_popcountll(mask), __builtin_popcountll(plain));
        for (; mask; mask &= mask - 1)
            CHECK(plain >> MATCH_INDEX(mask) & 1);
    }
}

TEST(a_hit_finds_its_key_and_takes_no_other_for_it)
{
    enum { COUNT = 30000 };
    struct cache c;
    cache_open(&c, 16 << 20, 1);
    struct name name;
    struct nigh_value v;
    unsigned found = 0;
    for (unsigned i = 0; i < COUNT; i++)
        CHECK_EQ(cache_put(&c, i, &i, sizeof(i)), L1_STORED);
    CHECK_GT(stats_read(&c.stats, STATS_L1_GROW), 0);
    for (unsigned i = 0; i < 2 * COUNT; i++) {
        struct l1_key key = cache_key(&c, &name, i);
        CHECK_EQ(l1_hash(&c.space, key.data, key.len), key.hash);
        if (!cache_hit(&c.space, key.data, key.len, &v))
            continue;
        found++;
        CHECK_MEM(v.data, v.len, &i, sizeof(i));
        CHECK_LT(i, COUNT);
        l1_unpin(v.pin);
    }
    CHECK_GT(found, COUNT / 100 * 97); /* of the others, another came first */
    cache_close(&c);
}

TEST(a_hit_takes_neither_an_absence_nor_another_space_or_length_for_its_key)
{
    struct cache c;
    cache_open(&c, 1 << 20, 1);
    struct l1_space other;
    struct name name;
    struct nigh_value v;
    size_t len;
    struct l1_key key = cache_key(&c, &name, 1);
    CHECK_EQ(cache_put(&c, 1, "one", 3), L1_STORED);
    rcu_enter();
    struct l1_entry *e = l1_find_rcu(c.l1, &key);
    CHECK(l1_is_value(&c.space, e, key.data, key.len, &len) && len == 3);
    CHECK(!l1_is_value(&c.space, e, key.data, key.len - 1, &len));
    struct name second; /* larger than its key: gcc 12 warns of all branches on the length */
    struct l1_key unlike = cache_key(&c, &second, 2);
    CHECK(!l1_is_value(&c.space, e, unlike.data, unlike.len, &len));
    l1_space_init(c.l1, CACHE_SPACE + 1, CACHE_SPACE_SLOT, &other);
    CHECK(!l1_is_value(&other, e, key.data, key.len, &len));
    rcu_leave();
    struct l1_value absence = cache_value(&c, "", 0);
    absence.flags = L1_ABSENT;
    CHECK_EQ(cache_store(&c, 1, &absence), L1_STORED);
    CHECK(cache_has(&c, 1) && !cache_hit(&c.space, key.data, key.len, &v));
    cache_close(&c);
}
