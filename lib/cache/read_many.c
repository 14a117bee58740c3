// SPDX-License-Identifier: MIT
/*
 * Reading many keys at once.
 *
 * L1 in batches: each step is taken for all keys of a batch before the next, so that their cache
 * misses overlap instead of following one another. A batch is as large as the misses that a core
 * keeps under way; one read section spans it (a microsecond or two).
 *
 * L2 in windows: all requests of a window are queued before the first answer is awaited, and the
 * I/O thread writes what is queued in one go.
 */
#include "cache/read_l1.h"
#include "cache/read_l2.h"

#define BATCH_KEYS 16u
#define WINDOW_REQUESTS 64u

/* What a call of nigh_get_many() works on. */
struct many {
    struct nigh_space *space;
    const struct nigh_key *keys;
    const struct nigh_call *call;
    struct nigh_value *values;
    int *outcomes;
};

/* ---- L1 ---- */

/*
 * So many keys from `from` on, if all are in order and the call takes any fresh value. Returns a
 * bit for each that was a plain hit; for the others nothing was done.
 */
static uint32_t read_batch(const struct many *m, size_t from, uint32_t count)
{
    const struct nigh *cache = m->space->cache;
    struct l1_key keys[BATCH_KEYS];
    struct l1_guess guesses[BATCH_KEYS];
    struct l1_entry *entries[BATCH_KEYS];
    uint32_t hits = 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct nigh_key *key = &m->keys[from + i];
        if (NIGH_UNLIKELY(!cache_key_fits(key->data, key->len)))
            return 0;
        keys[i] = l1_key_inlined(cache->l1, m->space->id, key->data, key->len);
        guesses[i] = l1_guess(cache->l1, &keys[i]);
    }
    struct moment moment = freshness_moment(cache);
    if (!moment.is_trusted)
        return 0;
    rcu_enter();
    for (uint32_t i = 0; i < count; i++)
        entries[i] = l1_candidate_rcu(cache->l1, &keys[i], &guesses[i]);
    for (uint32_t i = 0; i < count; i++) {
        struct l1_entry *e = l1_confirm_rcu(cache->l1, &keys[i], &guesses[i], entries[i]);
        if (NIGH_LIKELY(e) && NIGH_LIKELY(read_plain_rcu(cache, &keys[i], e, moment.now_ns,
                                                         &m->values[from + i])))
            hits |= 1u << i;
    }
    rcu_leave();
    stats_add(&m->space->stats, STATS_L1_FRESH, (uint64_t)__builtin_popcount(hits));
    return hits;
}

static struct l1_key key_of(const struct many *m, size_t i)
{
    return l1_key_of(m->space->cache->l1, m->space->id, m->keys[i].data, m->keys[i].len);
}

static NIGH_OUTLINED void read_one(const struct many *m, size_t i)
{
    bool refresh;
    m->values[i] = (struct nigh_value)NIGH_VALUE_INIT;
    m->outcomes[i] = NIGH_MISS;
    if (!cache_key_fits(m->keys[i].data, m->keys[i].len)) {
        m->outcomes[i] = NIGH_EKEY;
    } else if (!(FLAGS_OF(m->call) & NIGH_REFRESH)) {
        struct l1_key key = key_of(m, i);
        m->outcomes[i] = read_l1(m->space, &key, m->call, &m->values[i], &refresh);
    }
}

/* Every key that may be had from L1 is; the others are NIGH_MISS, or NIGH_EKEY. Returns how many
 * are missing. */
static size_t read_all_l1(const struct many *m, size_t count)
{
    size_t misses = 0;
    bool may_be_plain = read_takes_any(m->call);
    for (size_t from = 0; from < count; from += BATCH_KEYS) {
        uint32_t n = (uint32_t)u64_min(count - from, BATCH_KEYS);
        uint32_t hits = may_be_plain ? read_batch(m, from, n) : 0;
        for (uint32_t i = 0; i < n; i++) {
            if (NIGH_LIKELY(hits >> i & 1))
                m->outcomes[from + i] = NIGH_FRESH;
            else
                read_one(m, from + i);
            misses += m->outcomes[from + i] == NIGH_MISS;
        }
    }
    return misses;
}

/* ---- L2 ---- */

struct window {
    uint32_t count;
    uint32_t indices[WINDOW_REQUESTS];
    struct l1_key keys[WINDOW_REQUESTS];
    struct read_l2 reads[WINDOW_REQUESTS];
};

static void take_answers(const struct many *m, struct window *w)
{
    for (uint32_t n = 0; n < w->count; n++) {
        uint32_t i = w->indices[n];
        int rc = read_l2_end(m->space, &w->keys[n], m->call, &w->reads[n], &m->values[i]);
        m->outcomes[i] = rc;
        if (rc < 0)
            stats_count(&m->space->stats, STATS_READ_ERROR);
    }
    w->count = 0;
}

static void ask(const struct many *m, struct window *w, uint32_t i, const struct read_l2 *ticket)
{
    uint32_t n = w->count;
    w->keys[n] = key_of(m, i);
    w->reads[n] = *ticket;
    int rc = read_l2_begin(m->space, &w->keys[n], &w->reads[n]);
    if (rc == 0) {
        w->indices[n] = i;
        w->count++;
        return;
    }
    m->outcomes[i] = rc;
    if (rc < 0)
        stats_count(&m->space->stats, STATS_READ_ERROR);
}

static NIGH_OUTLINED void read_missed_l2(const struct many *m, size_t count)
{
    struct window w = {.count = 0};
    struct read_l2 ticket;
    read_l2_init(m->space, m->call, &ticket);
    for (size_t i = 0; i < count; i++) {
        if (m->outcomes[i] == NIGH_MISS)
            ask(m, &w, (uint32_t)i, &ticket);
        if (w.count == WINDOW_REQUESTS)
            take_answers(m, &w);
    }
    take_answers(m, &w);
}

int nigh_get_many(struct nigh_space *space, const struct nigh_key *keys, size_t count,
                  const struct nigh_call *call, struct nigh_value *ret_values, int *ret_outcomes)
{
    struct many m = {space, keys, call, ret_values, ret_outcomes};
    if (cache_forked(space->cache))
        return NIGH_EFORKED;
    if (!cache_call_fits(call) || (call && call->miss) || count > UINT32_MAX)
        return NIGH_EINVAL;
    size_t misses = read_all_l1(&m, count);
    if (misses && !(FLAGS_OF(call) & NIGH_QUIET))
        stats_add(&space->stats, STATS_L1_MISS, misses);
    if (misses && !(FLAGS_OF(call) & NIGH_L1_ONLY))
        read_missed_l2(&m, count);
    return 0;
}
