// SPDX-License-Identifier: MIT
/*
 * A miss as its caller sees it: no tier has the key, it is loaded, and Redis gets the value. Beside
 * it the least that a cache in Redis does: GET, and SET with a lifetime, without a lease, without
 * single flight, and without knowing of changes meanwhile. Loading takes no time here.
 */
#include <stdio.h>

#include "link/plain.h"
#include "support/fail.h"

#define KEY_BYTES 48u

struct loads {
    struct nigh *cache;
    struct nigh_space *space;
};

/* The n-th call of a thread asks for what nobody has asked for. */
static size_t name(char key[KEY_BYTES], const char *before, unsigned thread, uint64_t n)
{
    return (size_t)snprintf(key, KEY_BYTES, "%s%02u:%010lu", before, thread, (unsigned long)n);
}

static int load(void *arg, struct nigh_fill *const *fills, size_t count)
{
    (void)arg;
    for (size_t i = 0; i < count; i++)
        nigh_fill_value(fills[i], link_world.value, LINK_VALUE_BYTES);
    return 0;
}

static void *open_loads(const struct row *row)
{
    struct loads *s = must_alloc(1, sizeof(*s));
    struct nigh_space *data;
    s->cache = link_cache_open(link_prefix(row->audience), &data);
    s->space = link_space_open(s->cache, "loads", load, NULL);
    return s;
}

static void close_loads(void *self)
{
    struct loads *s = self;
    nigh_close(s->cache);
    free(s);
}

static void fetch(void *self, unsigned thread, uint64_t n)
{
    struct loads *s = self;
    char key[KEY_BYTES];
    struct nigh_value value = NIGH_VALUE_INIT;
    int outcome = nigh_fetch(s->space, key, name(key, "", thread, n), NULL, &value);
    if (outcome != NIGH_FRESH || nigh_value_tier(&value) != NIGH_TIER_LOADER)
        fail("nigh: a miss was: %s", nigh_strerror(outcome));
    nigh_release(&value);
}

static void get_and_set(void *self, unsigned thread, uint64_t n)
{
    char key[KEY_BYTES];
    size_t len = name(key, "plain:!2:loads:1:", thread, n);
    struct plain_args get = {.count = 0}, set = {.count = 0};
    plain_word(&get, "GET");
    plain_add(&get, key, len);
    freeReplyObject(plain_ask(self, thread, &get, REDIS_REPLY_NIL));
    plain_word(&set, "SET");
    plain_add(&set, key, len);
    plain_add(&set, link_world.value, LINK_VALUE_BYTES);
    plain_word(&set, "PX");
    plain_word(&set, "3600000");
    freeReplyObject(plain_ask(self, thread, &set, REDIS_REPLY_STATUS));
}

/* clang-format off */
const struct side side_nigh_miss = {
    "nigh", "get evalsha", .open = open_loads, .call = fetch, .close = close_loads};
const struct side side_hiredis_miss = {
    "hiredis GET, SET", "get set", .open = plain_open, .call = get_and_set, .close = plain_close};
/* clang-format on */
