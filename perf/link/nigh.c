// SPDX-License-Identifier: MIT
/*
 * nigh itself, by its public calls. NIGH_REFRESH makes a read ask Redis whatever L1 has, and
 * NIGH_NO_STORE keeps what it brings out of L1, so each of these reads goes to Redis and back.
 */
#include <stdio.h>
#include <string.h>

#include "link/link.h"
#include "support/fail.h"

#define TRUST_NS      (20 * PERF_NS_PER_S)
#define LOOK_EVERY_NS PERF_NS_PER_MS
/* Nobody here wants to know what a busy machine does to a deadline of 250 ms. */
#define DEADLINE_MS   20000u
#define HEARD_BEHIND  16
#define HEARD_LOOK_NS (20 * PERF_NS_PER_US)

struct near {
    const struct row *row;
    struct nigh *cache;
    struct nigh_space *space;
    struct nigh *hearer; /* another node, or NULL */
};

static const struct nigh_call asks_redis = {.size = sizeof(struct nigh_call),
                                            .flags = NIGH_REFRESH | NIGH_NO_STORE};

struct nigh_options link_options(const char *prefix)
{
    struct nigh_options options = NIGH_OPTIONS_INIT;
    options.l1_memory = 64u << 20;
    options.redis_prefix = prefix;
    options.l2_deadline_ms = DEADLINE_MS;
    options.space.soft_ttl_ms = 3600u * 1000;
    return options;
}

struct nigh *link_cache_open_with(struct nigh_options *options)
{
    struct nigh *cache;
    char *uri = must_print("unix://%s", link_world.server.socket);
    if (!options->redis_uri)
        options->redis_uri = uri;
    int rc = nigh_open(options, &cache);
    if (rc != 0)
        fail("nigh does not open: %s: %s", nigh_strerror(rc), nigh_options_error());
    if (options->redis_uri == uri)
        options->redis_uri = NULL;
    free(uri);
    for (uint64_t until = now_ns() + TRUST_NS; nigh_health(cache) != NIGH_FRESH;
         sleep_ns(LOOK_EVERY_NS))
        if (now_ns() > until)
            fail("nigh does not come to trust: %s", nigh_strerror(nigh_health(cache)));
    return cache;
}

struct nigh_space *link_space_open(struct nigh *cache, const char *name, nigh_loader_fn loader,
                                   void *arg)
{
    struct nigh_space *space;
    int rc = nigh_space_open(cache, name, NULL, loader, NULL, arg, &space);
    if (rc != 0)
        fail("nigh_space_open: %s", nigh_strerror(rc));
    return space;
}

struct nigh *link_cache_open(const char *prefix, struct nigh_space **ret_space)
{
    struct nigh_options options = link_options(prefix);
    struct nigh *cache = link_cache_open_with(&options);
    *ret_space = link_space_open(cache, "data", NULL, NULL);
    return cache;
}

static void *open_near(const struct row *row)
{
    struct near *s = must_alloc(1, sizeof(*s));
    s->row = row;
    s->cache = link_cache_open(link_prefix(row->audience), &s->space);
    return s;
}

void link_near_close(void *self)
{
    struct near *s = self;
    nigh_close(s->cache);
    if (s->hearer)
        nigh_close(s->hearer);
    free(s);
}

/* ---- reading ---- */

void link_fill(struct nigh_space *space)
{
    for (unsigned i = 0; i < LINK_KEYS; i++) {
        const struct nigh_key *k = &link_world.keys[i];
        int rc = nigh_put(space, k->data, k->len, link_world.value, LINK_VALUE_BYTES, NULL);
        if (rc != NIGH_OK)
            fail("nigh_put: %s", nigh_strerror(rc));
    }
}

static int load_nothing(void *arg, struct nigh_fill *const *fills, size_t count)
{
    (void)arg, (void)fills, (void)count;
    fail("nigh: a read from Redis came to its loader");
}

/* The values come from another node: in this one's L1 they would be in the way. */
struct nigh *link_cache_open_cold(const char *prefix, struct nigh_space **ret_space)
{
    struct nigh_options options = link_options(prefix);
    struct nigh_space *filled;
    struct nigh *filler = link_cache_open(prefix, &filled);
    link_fill(filled);
    nigh_close(filler);
    struct nigh *cache = link_cache_open_with(&options);
    *ret_space = link_space_open(cache, "data", load_nothing, NULL);
    return cache;
}

void *link_near_open(const struct row *row, struct nigh_options *options)
{
    struct near *s = must_alloc(1, sizeof(*s));
    s->row = row;
    s->cache = link_cache_open_with(options);
    s->space = link_space_open(s->cache, "data", NULL, NULL);
    link_fill(s->space);
    return s;
}

static void *open_filled(const struct row *row)
{
    struct near *s = open_near(row);
    link_fill(s->space);
    return s;
}

void link_judge(int outcome, const struct nigh_value *value)
{
    if (outcome != NIGH_FRESH || value->len != LINK_VALUE_BYTES ||
        nigh_value_tier(value) != NIGH_TIER_L2)
        fail("nigh: a read from Redis was: %s", nigh_strerror(outcome));
}

void link_near_get(void *self, unsigned thread, uint64_t n)
{
    struct near *s = self;
    const struct nigh_key *k = &link_world.keys[link_at(thread, n, 1)];
    struct nigh_value value = NIGH_VALUE_INIT;
    link_judge(nigh_get(s->space, k->data, k->len, &asks_redis, &value), &value);
    nigh_release(&value);
}

static void get_many(void *self, unsigned thread, uint64_t n)
{
    struct near *s = self;
    struct nigh_value values[LINK_BATCH_MAX];
    int outcomes[LINK_BATCH_MAX];
    unsigned count = s->row->keys;
    const struct nigh_key *keys = &link_world.keys[link_at(thread, n, count)];
    int rc = nigh_get_many(s->space, keys, count, &asks_redis, values, outcomes);
    if (rc != 0)
        fail("nigh_get_many: %s", nigh_strerror(rc));
    for (unsigned i = 0; i < count; i++) {
        link_judge(outcomes[i], &values[i]);
        nigh_release(&values[i]);
    }
}

/* ---- changing ---- */

static void change(struct near *s, const struct nigh_target *targets, size_t count)
{
    int rc = nigh_invalidate_many(s->cache, targets, count, NULL);
    if (rc != NIGH_OK)
        fail("nigh_invalidate_many: %s", nigh_strerror(rc));
}

static void change_key(void *self, unsigned thread, uint64_t n)
{
    struct near *s = self;
    const struct nigh_key *k = &link_world.keys[link_at(thread, n, 1)];
    int rc = nigh_invalidate(s->space, k->data, k->len, NULL);
    if (rc != NIGH_OK)
        fail("nigh_invalidate: %s", nigh_strerror(rc));
}

static void change_tag(void *self, unsigned thread, uint64_t n)
{
    const struct nigh_key *k = &link_world.keys[link_at(thread, n, 1)];
    struct nigh_target tag = {.kind = NIGH_TARGET_TAG, .name = k->data, .name_len = k->len};
    change(self, &tag, 1);
}

static void change_keys(void *self, unsigned thread, uint64_t n)
{
    struct near *s = self;
    struct nigh_target targets[LINK_BATCH_MAX];
    unsigned at = link_at(thread, n, s->row->keys);
    for (unsigned i = 0; i < s->row->keys; i++) {
        const struct nigh_key *k = &link_world.keys[at + i];
        targets[i] = (struct nigh_target){NIGH_TARGET_KEY, s->space, k->data, k->len, 0};
    }
    change(s, targets, s->row->keys);
}

/* ---- hearing ---- */

static void *open_heard(const struct row *row)
{
    struct nigh_space *space;
    struct near *s = open_near(row);
    s->hearer = link_cache_open(link_prefix(row->audience), &space);
    return s;
}

static int64_t applied(struct nigh *cache)
{
    return nigh_stats_value(cache, NULL, "sequence");
}

/* Goes on when the other node has applied nearly all: what it does not keep up with would be in
 * buffers, or fetched from the log. */
static void change_heard_keys(void *self, unsigned thread, uint64_t n)
{
    struct near *s = self;
    change_keys(self, thread, n);
    while (applied(s->hearer) + HEARD_BEHIND < applied(s->cache))
        sleep_ns(HEARD_LOOK_NS);
}

/* clang-format off */
const struct side side_nigh_get = {
    "nigh", "get", .open = open_filled, .call = link_near_get, .close = link_near_close};
const struct side side_nigh_many = {
    "nigh", "get mget", .open = open_filled, .call = get_many, .close = link_near_close};
const struct side side_nigh_key = {
    "nigh", "evalsha", .open = open_near, .call = change_key, .close = link_near_close};
const struct side side_nigh_tag = {
    "nigh, a tag", "evalsha", .open = open_near, .call = change_tag, .close = link_near_close};
const struct side side_nigh_heard = {
    "nigh, heard", "evalsha", .open = open_heard, .call = change_heard_keys,
    .close = link_near_close};
const struct side side_nigh_keys = {
    "nigh", "evalsha", .open = open_near, .call = change_keys, .close = link_near_close};
/* clang-format on */
