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

static bool key_is_valid(const struct nigh_key *key)
{
    return key->data && key->len - 1 < NIGH_KEY_MAX;
}

static struct l1_key key_of(const struct many *m, size_t i)
{
    return l1_key_of(m->space->cache->l1, m->space->id, m->keys[i].data, m->keys[i].len);
}

/* ---- L1 ---- */

/* The entries of a batch of valid keys, NULL where there is none. */
static void find_rcu(const struct l1 *l1, const struct l1_key *keys, uint32_t count,
                     struct l1_entry **ret_entries)
{
    for (uint32_t i = 0; i < count; i++)
        l1_prefetch_bucket_rcu(l1, &keys[i]);
    for (uint32_t i = 0; i < count; i++)
        l1_prefetch_entry_rcu(l1, &keys[i]);
    for (uint32_t i = 0; i < count; i++)
        ret_entries[i] = l1_find_rcu(l1, &keys[i]);
}

static void read_batch(const struct many *m, const uint32_t *indices, uint32_t count)
{
    struct nigh *cache = m->space->cache;
    struct l1_key keys[BATCH_KEYS];
    struct l1_entry *entries[BATCH_KEYS];
    struct read_notes notes[BATCH_KEYS];
    uint32_t judged = 0; /* a bit for each that was no plain hit */
    uint32_t plain = 0;
    for (uint32_t i = 0; i < count; i++)
        keys[i] = key_of(m, indices[i]);
    rcu_enter();
    find_rcu(cache->l1, keys, count, entries);
    uint64_t now_ns = clock_coarse_ns(&cache->clock);
    for (uint32_t i = 0; i < count; i++) {
        struct nigh_value *value = &m->values[indices[i]];
        int *outcome = &m->outcomes[indices[i]];
        if (!entries[i])
            continue;
        if (NIGH_LIKELY(read_plain_rcu(cache, &keys[i], entries[i], m->call, now_ns, value))) {
            *outcome = NIGH_FRESH;
            plain++;
        } else {
            notes[i] = (struct read_notes){false, false};
            *outcome = read_judged_rcu(m->space, entries[i], m->call, now_ns, value, &notes[i]);
            judged |= 1u << i;
        }
    }
    rcu_leave();
    stats_add(&m->space->stats, STATS_L1_FRESH, plain);
    for (; judged; judged &= judged - 1) {
        uint32_t i = (uint32_t)__builtin_ctz(judged);
        read_count(m->space, m->call, m->outcomes[indices[i]], &notes[i]);
    }
}

/* Every key that may be had from L1 is; the others are NIGH_MISS, or NIGH_EKEY. */
static void read_all_l1(const struct many *m, size_t count)
{
    uint32_t indices[BATCH_KEYS];
    uint32_t n = 0;
    bool skip = FLAGS_OF(m->call) & NIGH_REFRESH;
    for (size_t i = 0; i < count; i++) {
        m->values[i] = (struct nigh_value)NIGH_VALUE_INIT;
        m->outcomes[i] = key_is_valid(&m->keys[i]) ? NIGH_MISS : NIGH_EKEY;
        if (m->outcomes[i] == NIGH_MISS && !skip)
            indices[n++] = (uint32_t)i;
        if (n == BATCH_KEYS || (i + 1 == count && n > 0)) {
            read_batch(m, indices, n);
            n = 0;
        }
    }
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

static size_t count_misses(const struct many *m, size_t count)
{
    size_t misses = 0;
    for (size_t i = 0; i < count; i++)
        misses += m->outcomes[i] == NIGH_MISS;
    return misses;
}

int nigh_get_many(struct nigh_space *space, const struct nigh_key *keys, size_t count,
                  const struct nigh_call *call, struct nigh_value *ret_values, int *ret_outcomes)
{
    struct many m = {space, keys, call, ret_values, ret_outcomes};
    if (cache_forked(space->cache))
        return NIGH_EFORKED;
    if (!cache_call_fits(call) || (call && call->miss) || count > UINT32_MAX)
        return NIGH_EINVAL;
    read_all_l1(&m, count);
    size_t misses = count_misses(&m, count);
    if (misses && !(FLAGS_OF(call) & NIGH_QUIET))
        stats_add(&space->stats, STATS_L1_MISS, misses);
    if (misses && !(FLAGS_OF(call) & NIGH_L1_ONLY))
        read_missed_l2(&m, count);
    return 0;
}
