// SPDX-License-Identifier: MIT
/*
 * Reading many keys in L1, in batches: each step is taken for all keys of a batch before the next,
 * so that their cache misses overlap instead of following one another. A batch is as large as the
 * misses that a core keeps under way; one read section spans it (a microsecond or two).
 */
#include "cache/hot.h"
#include "cache/read/hit.h"
#include "cache/load/load.h"
#include "cache/read/many.h"
#include "cache/read/from_l1.h"

#define BATCH_KEYS 16u

/* The usable keys of a batch: those before the first that is malformed, or gets no pin. */
struct batch {
    uint32_t count;
    struct l1_entry *entries[BATCH_KEYS]; /* pinned, not judged yet; NULL: none was found */
};

/* Pin, for each key, the entry that may be the key's; the pin goes into the key's value. */
static void hold_batch_rcu(const struct l1_space *l1, const struct nigh_key *keys, uint32_t count,
                           struct nigh_value *values, struct batch *ret)
{
    const struct l1_bucket *buckets[BATCH_KEYS];
    uint64_t hashes[BATCH_KEYS];
    uint32_t n, held;
    for (n = 0; n < count && cache_key_fits(keys[n].data, keys[n].len); n++) {
        hashes[n] = l1_hash(l1, keys[n].data, keys[n].len);
        buckets[n] = l1_bucket_rcu(l1, hashes[n]);
        __builtin_prefetch(buckets[n]);
    }
    for (held = 0; held < n; held++) {
        struct l1_entry *e = l1_likely_rcu(l1, buckets[held], hashes[held]);
        uintptr_t pin = 0;
        if (NIGH_LIKELY(e)) {
            pin = l1_hold_rcu(e);
            if (NIGH_UNLIKELY(!pin))
                break;
            l1_entry_prefetch(e, keys[held].len);
        }
        ret->entries[held] = e;
        values[held].pin = pin;
    }
    ret->count = held;
}

/* Pin the entries of a batch, in one read section. Returns the time at which they may be judged:
 * later than anything is fresh, if trust had run out. */
static uint64_t hold_batch(struct nigh_space *space, const struct nigh_key *keys, uint32_t count,
                           struct nigh_value *values, struct batch *ret)
{
    struct rcu_section section;
    ret->count = 0;
    if (NIGH_UNLIKELY(!rcu_enter_short(&section)))
        return UINT64_MAX;
    uint64_t trusted_until_ns = freshness_trusted_until(space->cache);
    if (NIGH_LIKELY(cache_takes_plain(space)))
        hold_batch_rcu(&space->l1, keys, count, values, ret);
    rcu_leave_short(section);
    uint64_t now_ns = clock_coarse_ns(&space->cache->clock);
    return NIGH_LIKELY(now_ns < trusted_until_ns) ? now_ns : UINT64_MAX;
}

/* Hand out a pinned entry if it is a plain hit, else unpin it. */
static NIGH_INLINED bool take_held(struct nigh_space *space, const struct nigh_key *key,
                                   struct l1_entry *e, uint64_t now_ns, uint32_t quiet,
                                   struct nigh_value *value)
{
    size_t len;
    if (NIGH_UNLIKELY(!e) ||
        NIGH_UNLIKELY(!read_is_plain(space, e, key->data, key->len, now_ns, quiet, &len))) {
        l1_unpin(value->pin);
        return false;
    }
    value->data = e->bytes + key->len;
    value->len = len;
    return true;
}

static void note_miss(const struct many *m, const struct l1_key *key)
{
    sample_miss(m->space, key, m->call);
    if (!(FLAGS_OF(m->call) & NIGH_QUIET))
        hot_miss(m->space, key, FLAGS_OF(m->call) & NIGH_L1_ONLY);
}

static NIGH_OUTLINED void read_one(const struct many *m, size_t i)
{
    bool refresh = false;
    m->values[i] = (struct nigh_value)NIGH_VALUE_INIT;
    m->outcomes[i] = NIGH_MISS;
    if (!cache_key_fits(m->keys[i].data, m->keys[i].len)) {
        m->outcomes[i] = NIGH_EKEY;
    } else if (!(FLAGS_OF(m->call) & NIGH_REFRESH)) {
        struct l1_key key = many_key(m, i);
        m->outcomes[i] = read_l1(m->space, &key, m->call, &m->values[i], &refresh);
        if (m->outcomes[i] == NIGH_MISS)
            note_miss(m, &key);
        if (refresh && m->fetches && !(FLAGS_OF(m->call) & NIGH_L1_ONLY))
            load_refresh(m->space, &key);
    }
}

/* Read `count` keys from `from` on: plain hits together, the others one by one. Returns how many
 * are missing. `quiet`: as in read_hit_as(). */
static NIGH_INLINED size_t read_batch(const struct many *m, size_t from, uint32_t count,
                                      uint32_t quiet, bool may_be_plain)
{
    struct nigh_space *space = m->space;
    const struct nigh_key *keys = m->keys + from;
    struct nigh_value *values = m->values + from;
    int *outcomes = m->outcomes + from;
    struct batch batch = {.count = 0};
    uint32_t hits = 0;
    size_t misses = 0;
    uint64_t now_ns = may_be_plain ? hold_batch(space, keys, count, values, &batch) : UINT64_MAX;
    for (uint32_t i = 0; i < count; i++) {
        if (NIGH_LIKELY(i < batch.count) &&
            NIGH_LIKELY(take_held(space, &keys[i], batch.entries[i], now_ns, quiet,
                                  &values[i]))) {
            outcomes[i] = NIGH_FRESH;
            hits++;
            continue;
        }
        read_one(m, from + i);
        misses += outcomes[i] == NIGH_MISS;
    }
    if (!quiet)
        stats_add(&space->stats, STATS_L1_FRESH, hits);
    return misses;
}

/* Read every key that may be had from L1; the others become NIGH_MISS, or NIGH_EKEY. Returns how
 * many are missing. */
static NIGH_INLINED size_t read_all_as(uint32_t quiet, const struct many *m)
{
    size_t misses = 0, count = m->count;
    bool may_be_plain = cache_takes_plain(m->space) && read_takes_any(m->call, quiet);
    for (size_t from = 0; from < count; from += BATCH_KEYS)
        misses +=
            read_batch(m, from, (uint32_t)u64_min(count - from, BATCH_KEYS), quiet, may_be_plain);
    return misses;
}

static NIGH_OUTLINED size_t read_all_quiet(const struct many *m)
{
    return read_all_as(NIGH_QUIET, m);
}

/* Note the hits that are of the thread's sample of reads, of which each key is one. */
static NIGH_OUTLINED void note_sample(const struct many *m)
{
    uint64_t now_ns = clock_coarse_ns(&m->space->cache->clock);
    uint64_t at = stats_self.sample.in;
    while (at <= m->count) {
        const struct nigh_key *key = &m->keys[at - 1];
        uint32_t stands_for = stats_sample_next(now_ns);
        if (m->outcomes[at - 1] == NIGH_FRESH)
            hot_hit(m->space, key->data, key->len, stands_for);
        at += stats_self.sample.in;
    }
    stats_self.sample.in = (uint32_t)(at - m->count);
}

static size_t read_all(const struct many *m)
{
    if (NIGH_UNLIKELY(FLAGS_OF(m->call) & NIGH_QUIET))
        return read_all_quiet(m);
    size_t misses = read_all_as(0, m);
    if (NIGH_LIKELY(m->count < stats_self.sample.in))
        stats_self.sample.in -= (uint32_t)m->count;
    else
        note_sample(m);
    return misses;
}

int many_check(const struct many *m)
{
    const struct nigh_call *call = m->call;
    if (cache_is_gone(m->space->cache))
        return cache_why_gone(m->space->cache);
    if (!cache_read_call_fits(call) || (call && call->miss) || m->count > UINT32_MAX ||
        (m->count > 0 && (!m->keys || !m->values || !m->outcomes)))
        return NIGH_EINVAL;
    return 0;
}

size_t many_read_l1(const struct many *m)
{
    size_t misses = read_all(m);
    read_count_missed(m->space, m->call, misses);
    return misses;
}
