// SPDX-License-Identifier: MIT
// A policy is one file: here is one, SIEVE, of which lib/ knows nothing. It has a queue of its own
// beside the ring, in memory that the cap counts, and does exactly what its paper says.
//
// Source: Y. Zhang et al., SIEVE is Simpler than LRU: an Efficient Turn-Key Eviction Algorithm for
// Web Caches (2024).

#include <stdlib.h>

#include "l1/room.h"
#include "support/l1_cache.h"

/* ---- the policy ---- */

struct sieve_link {
    uint32_t newer, older;
};

struct sieve {
    struct sieve_link *links; /* by slot */
    uint32_t slots, newest, oldest, hand;
};

static uint32_t *newer_of(struct sieve *p, uint32_t slot)
{
    return slot == RING_NONE ? &p->oldest : &p->links[slot].newer;
}

static uint32_t *older_of(struct sieve *p, uint32_t slot)
{
    return slot == RING_NONE ? &p->newest : &p->links[slot].older;
}

static uint64_t sieve_bytes(const struct l1 *l1, uint32_t slots)
{
    return mem_array_charge(l1->mem, slots * sizeof(struct sieve_link));
}

static bool sieve_prepare(struct l1 *l1, struct l1_shard *s)
{
    struct sieve *p = s->policy;
    uint32_t slots = s->ring.capacity;
    if (slots == p->slots)
        return true;
    void *links = room_resize_locked(l1, s, p->links, p->slots * sizeof(*p->links),
                                     slots * sizeof(*p->links));
    if (!links)
        return slots < p->slots;
    p->links = links;
    p->slots = slots;
    return true;
}

static int sieve_init(struct l1 *l1, struct l1_shard *s)
{
    struct sieve *p = s->policy;
    p->newest = p->oldest = p->hand = RING_NONE;
    return sieve_prepare(l1, s) ? 0 : NIGH_ENOMEM;
}

static void sieve_fini(struct l1 *l1, struct l1_shard *s)
{
    struct sieve *p = s->policy;
    mem_array_free(l1->mem, p->links, p->slots * sizeof(*p->links));
}

static void sieve_insert(struct l1 *l1, struct l1_shard *s, uint32_t slot, uint64_t hash,
                         uint64_t bytes, struct l1_entry *old)
{
    struct sieve *p = s->policy;
    (void)l1, (void)hash, (void)bytes;
    if (!old)
        entry_freq_set(ring_entry(&s->ring, slot), 0, false);
    p->links[slot] = (struct sieve_link){.newer = RING_NONE, .older = p->newest};
    *newer_of(p, p->newest) = slot;
    p->newest = slot;
}

static void sieve_remove(struct l1 *l1, struct l1_shard *s, uint32_t slot, uint64_t bytes)
{
    struct sieve *p = s->policy;
    (void)l1, (void)bytes;
    struct sieve_link link = p->links[slot];
    *newer_of(p, link.older) = link.newer;
    *older_of(p, link.newer) = link.older;
    if (p->hand == slot)
        p->hand = link.newer;
}

static uint32_t sieve_victim(struct l1 *l1, struct l1_shard *s, uint64_t *ret_hash)
{
    struct sieve *p = s->policy;
    (void)l1, (void)ret_hash;
    for (uint32_t steps = 0; p->oldest != RING_NONE && steps <= 2 * p->slots; steps++) {
        uint32_t slot = p->hand == RING_NONE ? p->oldest : p->hand;
        struct l1_entry *e = ring_entry(&s->ring, slot);
        p->hand = slot;
        if (!entry_freq(e))
            return slot;
        entry_freq_set(e, 0, false);
        p->hand = p->links[slot].newer;
    }
    return RING_NONE;
}

static const struct l1_policy sieve = {
    .name = "sieve",
    .state_bytes = sizeof(struct sieve),
    .init = sieve_init,
    .fini = sieve_fini,
    .bytes = sieve_bytes,
    .prepare = sieve_prepare,
    .insert = sieve_insert,
    .remove = sieve_remove,
    .victim = sieve_victim,
};

/* ---- what it does in a cache ---- */

static void open_sieve(struct cache *c, uint64_t memory_bytes, uint32_t shards, uint64_t entries)
{
    fake_env_init(&c->fake, check_seed());
    struct l1_config config = cache_config(c, memory_bytes, shards);
    config.own_policy = &sieve;
    config.entries = entries;
    cache_open_config(c, config);
}

#define KEYS 3000u
#define ROOM 500u

/* SIEVE in an array: the queue from old to new. */
static struct {
    unsigned keys[ROOM];
    bool visited[KEYS], there[KEYS];
    unsigned count, hand;
} model;

/* The hand is at no key that comes after it has passed the newest: it begins anew then. */
static void model_move_hand(unsigned to)
{
    model.hand = to == model.count ? 0 : to;
}

static void model_evict(void)
{
    unsigned key = model.keys[model.hand];
    for (; model.visited[key]; key = model.keys[model.hand]) {
        model.visited[key] = false;
        model_move_hand(model.hand + 1);
    }
    model.there[key] = false;
    model.count--;
    memmove(&model.keys[model.hand], &model.keys[model.hand + 1],
            (model.count - model.hand) * sizeof(model.keys[0]));
    model_move_hand(model.hand);
}

/* Returns whether the key was there. */
static bool model_ask(unsigned key)
{
    if (model.there[key]) {
        model.visited[key] = true;
        return true;
    }
    if (model.count == ROOM)
        model_evict();
    model.keys[model.count++] = key;
    model.there[key] = true;
    model.visited[key] = false;
    return false;
}

TEST(a_policy_of_a_test_evicts_as_its_model_does)
{
    struct cache c;
    unsigned hits = 0, differ = 0;
    uint64_t random = check_seed();
    open_sieve(&c, 32u << 20, 1, ROOM);
    for (unsigned i = 0; i < 60000; i++) {
        uint64_t r = check_random(&random);
        unsigned key = (unsigned)((r >> 32) % KEYS >> (r & 3));
        bool there = cache_note_hit(&c, key);
        if (!there)
            CHECK_EQ(cache_own(&c, key, 16), L1_STORED);
        if (i % 64 == 0)
            l1_reclaim(c.l1);
        differ += there != model_ask(key);
        hits += there;
    }
    CHECK_EQ(differ, 0);
    CHECK_GT(hits, 20000);
    CHECK_EQ(cache_gauges(&c).entries, ROOM);
    CHECK_EQ(stats_read(&c.stats, STATS_L1_EVICT), 60000 - hits - ROOM);
    cache_audit(&c);
    cache_close(&c);
}

static bool has_room_for_all_slots(struct cache *c)
{
    for (uint32_t i = 0; i <= c->l1->shard_mask; i++) {
        const struct sieve *p = c->l1->shards[i].policy;
        if (p->slots != c->l1->shards[i].ring.capacity)
            return false;
    }
    return true;
}

static void ask_some(struct cache *c, uint64_t *random, unsigned count, unsigned keys)
{
    for (unsigned i = 0; i < count; i++) {
        unsigned key = (unsigned)(check_random(random) % keys);
        if (check_random(random) % 8 == 0)
            cache_remove(c, key);
        else if (!cache_note_hit(c, key) || check_random(random) % 4 == 0)
            cache_own(c, key, (size_t)(check_random(random) % 600));
        if (i % 64 == 0)
            l1_reclaim(c->l1);
    }
}

static void follow_cap(struct cache *c)
{
    for (int pass = 0; pass < 300; pass++) {
        l1_reclaim(c->l1);
        fake_env_advance(&c->fake, NS_PER_MS);
    }
}

/* Values of all sizes come, go, are replaced and moved together, while the cap moves. */
TEST(a_policy_of_a_test_lives_with_a_cap_in_bytes_that_moves)
{
    struct cache c;
    uint64_t random = check_seed();
    open_sieve(&c, 8u << 20, 4, 0);
    ask_some(&c, &random, 50000, 40000);
    CHECK_GT(stats_read(&c.stats, STATS_L1_EVICT), 1000);
    for (unsigned round = 0; round < 2; round++) {
        REQUIRE_EQ(l1_set_memory(c.l1, 3u << 20, 0), 0);
        follow_cap(&c);
        CHECK_LE(cache_gauges(&c).used_bytes, 3u << 20);
        CHECK(has_room_for_all_slots(&c));
        cache_audit(&c);
        ask_some(&c, &random, 5000, 40000);
        REQUIRE_EQ(l1_set_memory(c.l1, 8u << 20, 0), 0);
        ask_some(&c, &random, 20000, 40000);
        cache_audit(&c);
    }
    cache_close(&c);
}

/* Who was asked for stays, and a scan passes by. */
TEST(a_policy_of_a_test_keeps_what_was_hit)
{
    struct cache c;
    open_sieve(&c, 2u << 20, 1, 0);
    for (unsigned i = 0; i < 500; i++)
        REQUIRE_EQ(cache_put_size(&c, i, 100), L1_STORED);
    for (unsigned i = 0; i < 15000; i++) {
        CHECK(cache_note_hit(&c, i % 500));
        cache_put_size(&c, 1000 + i, 100);
        if (i % 64 == 0)
            l1_reclaim(c.l1);
    }
    CHECK_GT(stats_read(&c.stats, STATS_L1_EVICT), 1000);
    cache_audit(&c);
    cache_close(&c);
}
