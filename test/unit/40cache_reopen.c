// SPDX-License-Identifier: MIT
/*
 * A process that opens and closes caches for ever keeps the size that it had after the first ones:
 * its mappings, its address space, its memory. NIGH_REOPENS=N: so many instead of 2,000.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <nigh/nigh.h>

#include "base/check.h"
#include "support/check.h"

enum { KEYS = 300, VALUE_MAX = 200 * 1024, MIB = 1024 * 1024 };

/* What comes once and stays: stocks, the allocator's own tables, the host's. Without arenas that
 * are used again each cache left two mappings, 4 MiB of addresses and 12 kB of memory. */
enum { MAPPINGS_MORE = 60, ADDRESSES_MORE_MIB = 256, MEMORY_MORE_MIB = 12 };

struct size_of_process {
    unsigned mappings;
    unsigned addresses_mib;
    unsigned memory_mib;
};

static struct size_of_process look(void)
{
    struct size_of_process s = {0};
    unsigned long pages = 0, resident = 0;
    FILE *f = fopen("/proc/self/maps", "r");
    REQUIRE(f);
    for (int c; (c = getc(f)) != EOF;)
        s.mappings += c == '\n';
    fclose(f);
    REQUIRE(f = fopen("/proc/self/statm", "r"));
    REQUIRE_EQ(fscanf(f, "%lu %lu", &pages, &resident), 2);
    fclose(f);
    s.addresses_mib = (unsigned)(pages / 256);
    s.memory_mib = (unsigned)(resident / 256);
    return s;
}

static unsigned reopens(void)
{
    const char *text = getenv("NIGH_REOPENS");
    return text ? (unsigned)atoi(text) : NIGH_SANITIZED ? 100 : 2000;
}

static void fill(struct nigh_space *space, uint64_t *random)
{
    static const char bytes[VALUE_MAX];
    for (unsigned key = 0; key < KEYS; key++) {
        size_t size = check_random(random) % (key % 32 ? 2000 : VALUE_MAX);
        int rc = nigh_put(space, &key, sizeof(key), bytes, size, NULL);
        CHECK(rc == 0 || rc == NIGH_REFUSED || rc == NIGH_EFULL);
    }
}

/* Caches of four kinds in turn: small, in huge pages, with spaces apart, with all its threads. */
static void open_and_close(unsigned turn, uint64_t *random)
{
    static const char *const policies[] = {"lfu", "lru", "ttl", "none"};
    struct nigh_options o = NIGH_OPTIONS_INIT;
    struct nigh_space_options so = NIGH_SPACE_OPTIONS_INIT;
    struct nigh *cache;
    struct nigh_space *space, *apart;
    o.l1_memory = turn % 8 == 1 ? 128u * MIB : 16u * MIB;
    o.l1_shards = 4;
    o.group_slots = 2048;
    o.workers = 1;
    o.threads = turn % 16 == 3 ? NIGH_THREADS_OWN : NIGH_THREADS_NONE;
    REQUIRE_EQ(nigh_options_set(&o, "l1.policy", policies[turn / 4 % 4]), 0);
    REQUIRE_EQ(nigh_open(&o, &cache), 0);
    REQUIRE_EQ(nigh_space_open(cache, "all", NULL, NULL, NULL, NULL, &space), 0);
    fill(space, random);
    if (turn % 4 == 2) {
        so.memory = 2u * MIB;
        REQUIRE_EQ(nigh_space_open(cache, "apart", &so, NULL, NULL, NULL, &apart), 0);
        fill(apart, random);
    }
    nigh_close(cache);
}

TEST(a_process_that_opens_and_closes_caches_does_not_grow)
{
    uint64_t random = check_seed();
    unsigned all = reopens(), first = all / 10;
    for (unsigned turn = 0; turn < first; turn++)
        open_and_close(turn, &random);
    struct size_of_process before = look();
    for (unsigned turn = first; turn < all; turn++)
        open_and_close(turn, &random);
    struct size_of_process after = look();
    check_note("%u caches: %u mappings, %u MiB of addresses, %u of memory", first, before.mappings,
               before.addresses_mib, before.memory_mib);
    check_note("%u caches: %u mappings, %u MiB of addresses, %u of memory", all, after.mappings,
               after.addresses_mib, after.memory_mib);
    if (!NIGH_ALLOCATOR_JEMALLOC || NIGH_SANITIZED)
        return; /* what malloc keeps is its own affair */
    CHECK_LE(after.mappings, before.mappings + MAPPINGS_MORE);
    CHECK_LE(after.addresses_mib, before.addresses_mib + ADDRESSES_MORE_MIB);
    CHECK_LE(after.memory_mib, before.memory_mib + MEMORY_MORE_MIB);
}

/* Many at once, so that a stock is filled and used up, and again. */
TEST(many_spaces_with_caps_come_and_go)
{
    enum { SPACES = 40 };
    struct size_of_process before = {0}, after;
    unsigned all = NIGH_SANITIZED ? 3 : 20;
    for (unsigned turn = 0; turn < all; turn++) {
        struct nigh_options o = NIGH_OPTIONS_INIT;
        struct nigh_space_options so = NIGH_SPACE_OPTIONS_INIT;
        struct nigh *cache;
        so.memory = MIB;
        o.l1_memory = 128u * MIB;
        o.group_slots = 2048;
        o.threads = NIGH_THREADS_NONE;
        REQUIRE_EQ(nigh_open(&o, &cache), 0);
        for (unsigned i = 0; i < SPACES; i++) {
            char name[16];
            struct nigh_space *space;
            snprintf(name, sizeof(name), "s%u", i);
            REQUIRE_EQ(nigh_space_open(cache, name, &so, NULL, NULL, NULL, &space), 0);
            CHECK_EQ(nigh_put(space, "k", 1, "v", 1, NULL), 0);
        }
        nigh_close(cache);
        if (turn == 1)
            before = look();
    }
    after = look();
    check_note("%u mappings, then %u; %u MiB of addresses, then %u", before.mappings,
               after.mappings, before.addresses_mib, after.addresses_mib);
    if (!NIGH_ALLOCATOR_JEMALLOC || NIGH_SANITIZED)
        return;
    CHECK_LE(after.mappings, before.mappings + MAPPINGS_MORE);
    CHECK_LE(after.addresses_mib, before.addresses_mib + ADDRESSES_MORE_MIB);
}
