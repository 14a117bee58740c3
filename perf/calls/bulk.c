// SPDX-License-Identifier: MIT
/*
 * Many keys in one call, and many callers in one load.
 *
 * The first: a caller wants 32 keys that Redis has and L1 has not. The second: 64 threads miss,
 * each a name that nobody has asked for, before an origin that takes 1 ms for a question, of
 * however many names it is: one of which the round trip is most of the price.
 */
#include <stdatomic.h>
#include <stdio.h>

#include "link/link.h"
#include "support/fail.h"

#define ORIGIN_NS     PERF_NS_PER_MS
#define BATCH         64
#define BATCH_WAIT_US 200

struct bulk {
    const struct row *row;
    struct nigh *cache;
    struct nigh_space *space;
    _Atomic uint64_t loads;
};

static void close_bulk(void *self)
{
    struct bulk *b = self;
    nigh_close(b->cache);
    free(b);
}

/* ---- one caller, many keys ---- */

static const struct nigh_call keeps_out = {.size = sizeof(struct nigh_call),
                                           .flags = NIGH_NO_STORE};

static void *open_cold(const struct row *row)
{
    struct bulk *b = must_alloc(1, sizeof(*b));
    b->row = row;
    b->cache = link_cache_open_cold(link_prefix(row->audience), &b->space);
    return b;
}

static void fetch_singles(void *self, unsigned thread, uint64_t n)
{
    struct bulk *b = self;
    const struct nigh_key *keys = &link_world.keys[link_at(thread, n, b->row->keys)];
    for (unsigned i = 0; i < b->row->keys; i++) {
        struct nigh_value value = NIGH_VALUE_INIT;
        int rc = nigh_fetch(b->space, keys[i].data, keys[i].len, &keeps_out, &value);
        link_judge(rc, &value);
        nigh_release(&value);
    }
}

static void fetch_many(void *self, unsigned thread, uint64_t n)
{
    struct bulk *b = self;
    struct nigh_value values[LINK_BATCH_MAX];
    int outcomes[LINK_BATCH_MAX];
    unsigned count = b->row->keys;
    const struct nigh_key *keys = &link_world.keys[link_at(thread, n, count)];
    int rc = nigh_fetch_many(b->space, keys, count, &keeps_out, values, outcomes);
    if (rc != 0)
        fail("nigh_fetch_many: %s", nigh_strerror(rc));
    for (unsigned i = 0; i < count; i++) {
        link_judge(outcomes[i], &values[i]);
        nigh_release(&values[i]);
    }
}

/* ---- many callers, one load ---- */

static int load(void *arg, struct nigh_fill *const *fills, size_t count)
{
    struct bulk *b = arg;
    sleep_ns(ORIGIN_NS);
    for (size_t i = 0; i < count; i++)
        nigh_fill_value(fills[i], link_world.value, LINK_VALUE_BYTES);
    atomic_fetch_add(&b->loads, 1);
    return 0;
}

static uint64_t loads_of(void *self)
{
    struct bulk *b = self;
    return atomic_load(&b->loads);
}

static struct bulk *open_loads(const struct row *row, const char *prefix, bool gathers)
{
    struct bulk *b = must_alloc(1, sizeof(*b));
    struct nigh_options options = link_options(prefix);
    options.space.batch = gathers ? BATCH : 0;
    options.space.batch_wait_us = gathers ? BATCH_WAIT_US : 0;
    b->row = row;
    b->cache = link_cache_open_with(&options);
    b->space = link_space_open(b->cache, "loads", load, b);
    return b;
}

static void *open_alone(const struct row *row)
{
    return open_loads(row, "alone", false);
}

static void *open_gathered(const struct row *row)
{
    return open_loads(row, "gathered", true);
}

static void fetch_new(void *self, unsigned thread, uint64_t n)
{
    struct bulk *b = self;
    char key[32];
    struct nigh_value value = NIGH_VALUE_INIT;
    int len = snprintf(key, sizeof(key), "%02u:%010lu", thread, (unsigned long)n);
    int rc = nigh_fetch(b->space, key, (size_t)len, NULL, &value);
    if (rc != NIGH_FRESH || value.len != LINK_VALUE_BYTES)
        fail("nigh: a miss was: %s", nigh_strerror(rc));
    nigh_release(&value);
}

/* clang-format off */
const struct side side_fetch_singles = {
    "fetches", "get", .open = open_cold, .call = fetch_singles, .close = close_bulk};
const struct side side_fetch_many = {
    "fetch_many", "get mget", .open = open_cold, .call = fetch_many, .close = close_bulk};
const struct side side_miss_alone = {
    "alone", "get evalsha", .open = open_alone, .call = fetch_new, .close = close_bulk,
    .loads = loads_of};
const struct side side_miss_gathered = {
    "batch_wait", "get evalsha", .open = open_gathered, .call = fetch_new, .close = close_bulk,
    .loads = loads_of};
/* clang-format on */
