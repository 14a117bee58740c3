// SPDX-License-Identifier: MIT
/*
 * Replaying.
 */
#include "tune/replay.h"

#include <string.h>

#include "support/fail.h"

#define MEMORY_LEAST (4ull << 20)  /* of l1.memory */
#define MEMORY_GOOD  (16ull << 20) /* below, a slab more or less begins to show */
#define TICK_SHARE   64u           /* of the memory, put since the last tick: little is in limbo */
#define ENTRY_BYTES  96u           /* of an entry beside its value, for that */
#define COPIES_MAX   4096u
#define KEY_LEAST    ((uint32_t)sizeof(struct replay_key))

struct replay_key {
    uint32_t key;
    uint32_t copy;
};

/* ---- how large ---- */

struct replay_scale replay_scale_of(const struct replay_source *src, uint64_t bytes, size_t most)
{
    double whole = (double)bytes * src->in->rate; /* for all keys of the input */
    double least = (double)(bytes < MEMORY_GOOD ? bytes : MEMORY_GOOD);
    struct replay_scale s = {.rate = (double)most / (double)src->in->trace.count, .copies = 1};
    if (s.rate * whole < least)
        s.rate = least / whole;
    s.rate = s.rate < 1 ? s.rate : 1;
    while (s.rate * whole * s.copies < least && s.copies < COPIES_MAX)
        s.copies++;
    s.memory = (uint64_t)(s.rate * whole * s.copies);
    s.memory = s.memory < MEMORY_LEAST ? MEMORY_LEAST : s.memory;
    return s;
}

/* ---- a cache ---- */

static const char *any_value(void)
{
    static char value[NIGH_DEFAULT_VALUE_MAX];
    return value;
}

void replay_open(struct replay_cache *c, struct nigh_options *options,
                 const struct replay_source *src, const struct replay_scale *scale,
                 const char *policy, uint32_t shards)
{
    uint64_t ttl_ms = src->ttl_s * 1000;
    *c = (struct replay_cache){
        .key_bytes = src->key_bytes, .copies = scale->copies, .value = any_value()};
    c->key_bytes = c->key_bytes < KEY_LEAST ? KEY_LEAST : c->key_bytes;
    c->key_bytes = c->key_bytes > NIGH_KEY_MAX ? NIGH_KEY_MAX : c->key_bytes;
    options->l1_memory = scale->memory;
    options->l1_shards = shards;
    options->group_slots = 2048;
    options->space.stale_ms = NIGH_NONE;
    options->space.soft_ttl_ms =
        ttl_ms && ttl_ms < NIGH_LIFETIME_MAX_MS ? (uint32_t)ttl_ms : NIGH_LIFETIME_MAX_MS;
    if (nigh_options_set(options, "l1.policy", policy) != 0 || nigh_open(options, &c->cache) != 0 ||
        nigh_space_open(c->cache, "tune", NULL, NULL, NULL, NULL, &c->space) != 0)
        fail("%s", nigh_options_error());
}

void replay_close(struct replay_cache *c)
{
    nigh_close(c->cache);
}

static void name_key(char *ret, uint32_t key, unsigned copy)
{
    struct replay_key name = {key, copy};
    memcpy(ret, &name, sizeof(name));
}

static void put(const struct replay_cache *c, const char *key, uint32_t size)
{
    if (size > NIGH_DEFAULT_VALUE_MAX)
        return; /* never stored */
    int rc = nigh_put(c->space, key, c->key_bytes, c->value, size, NULL);
    if (rc < 0 && rc != NIGH_ENOMEM)
        fail("nigh_put: %s", nigh_strerror(rc));
}

static bool ask_one(const struct replay_cache *c, const char *key, uint32_t size, bool stores)
{
    struct nigh_value value = NIGH_VALUE_INIT;
    int rc = nigh_get(c->space, key, c->key_bytes, NULL, &value);
    nigh_release(&value);
    if (rc != NIGH_FRESH && stores)
        put(c, key, size);
    return rc == NIGH_FRESH;
}

static unsigned ask_copies(const struct replay_cache *c, const struct request *q, bool stores)
{
    char key[NIGH_KEY_MAX] = {0};
    unsigned hits = 0;
    for (unsigned copy = 0; copy < c->copies; copy++) {
        name_key(key, q->key, copy);
        hits += ask_one(c, key, q->size, stores);
    }
    return hits;
}

unsigned replay_ask(const struct replay_cache *c, const struct request *q)
{
    return ask_copies(c, q, true);
}

/* Returns the bytes that went through limbo for it, roughly. */
static uint64_t change(const struct replay_cache *c, const struct change *what)
{
    char key[NIGH_KEY_MAX] = {0};
    for (unsigned copy = 0; copy < c->copies; copy++) {
        name_key(key, what->key, copy);
        if (what->is_put)
            put(c, key, what->size);
        else
            nigh_invalidate(c->space, key, c->key_bytes, NULL);
    }
    return c->copies * (uint64_t)(what->size + ENTRY_BYTES);
}

/* ---- a run ---- */

static uint64_t clock_of(void *arg)
{
    return *(const uint64_t *)arg;
}

/* Requests that the sample has too few of are hits: tune/sample.h. */
static double share_of(double hits, double more, double expected)
{
    double share = expected > 0 ? (hits + more) / expected : 0;
    return share < 0 ? 0 : share > 1 ? 1 : share;
}

static struct replay_result sum_up(const struct sample *s, const double *hits, unsigned copies)
{
    struct replay_result r = {.rate = s->rate, .requests = s->count};
    double more = s->expected - (double)s->count, all = 0;
    for (unsigned q = 0; q < REPLAY_QUARTERS; q++) {
        r.quarters[q] =
            share_of(hits[q] / copies, more / REPLAY_QUARTERS, s->expected / REPLAY_QUARTERS);
        all += hits[q] / copies;
    }
    r.hits = share_of(all, more, s->expected);
    return r;
}

/* Counts in seconds of the whole process what is and what could have been loaded. */
static void add_load(struct replay_result *r, const struct replay_source *src,
                     const struct sample *s, uint32_t key, double misses)
{
    if (!src->in->load_us)
        return;
    double load_s = src->in->load_us[key] / 1e6 / s->rate / src->in->rate;
    r->load_s += load_s * misses;
    r->all_s += load_s;
}

static void ask_all(struct replay_cache *c, const struct replay_source *src, const struct sample *s,
                    uint64_t memory, uint64_t *now, double *hits, struct replay_result *loads)
{
    uint64_t untended = 0;
    for (size_t i = 0, next = 0; i < s->count; i++) {
        const struct request *q = &s->requests[i];
        for (; next < s->change_count && s->changes[next].before <= i; next++)
            untended += change(c, &s->changes[next]);
        if (s->at_s)
            *now = (1 + (uint64_t)s->at_s[i]) * PERF_NS_PER_S;
        unsigned answered = ask_copies(c, q, !s->looks || !s->looks[i]);
        hits[i * REPLAY_QUARTERS / s->count] += answered;
        add_load(loads, src, s, q->key, 1 - (double)answered / c->copies);
        untended += (uint64_t)(c->copies - answered) * (q->size + ENTRY_BYTES);
        if (untended > memory / TICK_SHARE) {
            nigh_tick(c->cache);
            untended = 0;
        }
    }
}

struct replay_result replay_run(const struct replay_source *src, const char *policy, uint64_t bytes,
                                uint32_t shards)
{
    struct nigh_options options = NIGH_OPTIONS_INIT;
    struct replay_cache c;
    struct sample s;
    double hits[REPLAY_QUARTERS] = {0};
    uint64_t now = PERF_NS_PER_S;
    struct replay_scale scale = replay_scale_of(src, bytes, src->most);
    options.threads = NIGH_THREADS_NONE;
    if (src->ttl_s) {
        options.clock = clock_of;
        options.clock_arg = &now;
    }
    sample_take(&s, src->in, scale.rate, src->seed);
    replay_open(&c, &options, src, &scale, policy, shards);
    struct replay_result loads = {0};
    ask_all(&c, src, &s, scale.memory, &now, hits, &loads);
    struct replay_result r = sum_up(&s, hits, scale.copies);
    r.load_s = loads.load_s;
    r.all_s = loads.all_s;
    replay_close(&c);
    sample_free(&s);
    return r;
}
