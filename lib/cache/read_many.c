// SPDX-License-Identifier: MIT
/*
 * Reading many keys at once.
 *
 * L1 in batches: each step is taken for all keys of a batch before the next, so that their cache
 * misses overlap instead of following one another. A batch is as large as the misses that a core
 * keeps under way; one read section spans it (a microsecond or two).
 *
 * L2 in windows: all requests of a window are queued before the first answer is awaited, and the
 * I/O thread writes what is queued in one go. A request asks for as many keys as may be expected to
 * have a small reply (read_l2.c); what cannot be had that way is asked for key by key, again all at
 * once.
 */
#include "cache/async.h"
#include "cache/caller.h"
#include "cache/hit.h"
#include "cache/read_l1.h"
#include "cache/read_l2.h"

#define BATCH_KEYS 16u
#define WINDOW_KEYS 256u
#define WINDOW_REQUESTS 64u

/* The arguments of a call of nigh_get_many(). */
struct many {
    struct nigh_space *space;
    const struct nigh_key *keys;
    const struct nigh_call *call;
    struct nigh_value *values;
    int *outcomes;
};

/* ---- L1 ---- */

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
static NIGH_INLINED size_t read_all_as(uint32_t quiet, const struct many *m, size_t count)
{
    size_t misses = 0;
    bool may_be_plain = cache_takes_plain(m->space) && read_takes_any(m->call, quiet);
    for (size_t from = 0; from < count; from += BATCH_KEYS)
        misses +=
            read_batch(m, from, (uint32_t)u64_min(count - from, BATCH_KEYS), quiet, may_be_plain);
    return misses;
}

static NIGH_OUTLINED size_t read_all_quiet(const struct many *m, size_t count)
{
    return read_all_as(NIGH_QUIET, m, count);
}

static size_t read_all_l1(const struct many *m, size_t count)
{
    if (NIGH_UNLIKELY(FLAGS_OF(m->call) & NIGH_QUIET))
        return read_all_quiet(m, count);
    return read_all_as(0, m, count);
}

/* ---- L2 ---- */

/* Keys that L1 does not have. Those whose outcome is NIGH_PENDING are yet to be asked for. */
struct window {
    const struct many *many;
    struct read_l2 ticket; /* ticket and deadline, copied into each request */
    uint32_t count;
    uint32_t indices[WINDOW_KEYS];
    struct l1_key keys[WINDOW_KEYS];
};

/* A part of a window, in one request. */
struct part {
    uint32_t from;
    uint32_t count;
    struct read_l2 read;
};

static void set_outcome(const struct window *w, uint32_t n, int rc)
{
    w->many->outcomes[w->indices[n]] = rc;
    if (rc < 0)
        stats_count(&w->many->space->stats, STATS_READ_ERROR);
}

static void set_outcomes(const struct window *w, const struct part *p, int rc)
{
    for (uint32_t n = p->from; n < p->from + p->count; n++)
        set_outcome(w, n, rc);
}

static int ask(const struct window *w, struct part *p)
{
    struct nigh_space *space = w->many->space;
    p->read = w->ticket;
    return p->count > 1 ? read_l2_many_begin(space, &w->keys[p->from], p->count, &p->read)
                        : read_l2_begin(space, &w->keys[p->from], &p->read);
}

/* Take some parts of an answer, from the i-th on. Returns which is the next. */
static uint32_t take_some(const struct window *w, const struct part *p, uint32_t i,
                          struct l2_answer *answer)
{
    const struct many *m = w->many;
    uint32_t end;
    struct l1_shared *shared =
        read_l2_many_share(m->space, &w->keys[p->from], i, p->count, answer, m->call, &end);
    for (; i < end; i++) {
        uint32_t n = p->from + i;
        set_outcome(w, n, read_l2_many_take(m->space, &w->keys[n], i, answer, m->call, shared,
                                            p->read.ticket, &m->values[w->indices[n]]));
    }
    l1_shared_end(shared);
    return end;
}

static void take_many(const struct window *w, struct part *p)
{
    int error;
    struct l2_answer *answer = read_l2_many_wait(w->many->space, p->count, &p->read, &error);
    if (!answer) {
        set_outcomes(w, p, error);
        return;
    }
    for (uint32_t i = 0; i < p->count;)
        i = take_some(w, p, i, answer);
    l2_answer_free(answer);
}

static void take(const struct window *w, struct part *p)
{
    const struct many *m = w->many;
    if (p->count > 1)
        take_many(w, p);
    else
        set_outcome(w, p->from, read_l2_end(m->space, &w->keys[p->from], m->call, &p->read,
                                            &m->values[w->indices[p->from]]));
}

/* Find the next keys that are pending, up to `most`, side by side. False: there is none. */
static bool next_part(const struct window *w, uint32_t most, uint32_t *at, struct part *ret)
{
    const int *outcomes = w->many->outcomes;
    while (*at < w->count && outcomes[w->indices[*at]] != NIGH_PENDING)
        ++*at;
    *ret = (struct part){.from = *at};
    while (*at < w->count && ret->count < most && outcomes[w->indices[*at]] == NIGH_PENDING) {
        ++*at;
        ret->count++;
    }
    return ret->count > 0;
}

/* Ask for all keys that are pending, up to `most` in a request. Keys that are pending afterwards
 * were asked for in vain. */
static void ask_pending(const struct window *w, uint32_t most)
{
    struct part parts[WINDOW_REQUESTS];
    for (uint32_t at = 0; at < w->count;) {
        uint32_t asked = 0;
        while (asked < WINDOW_REQUESTS && next_part(w, most, &at, &parts[asked])) {
            int rc = ask(w, &parts[asked]);
            if (rc == 0)
                asked++;
            else
                set_outcomes(w, &parts[asked], rc);
        }
        for (uint32_t i = 0; i < asked; i++)
            take(w, &parts[i]);
    }
}

static void read_window(struct window *w)
{
    const struct nigh_space *space = w->many->space;
    if (w->count && l2_takes_many(space->cache->l2))
        ask_pending(w, read_l2_many_count(space));
    ask_pending(w, 1);
    w->count = 0;
}

/* Add a missed key to the window. If L2 may not be asked about it, its outcome says so already. */
static void add_missed(struct window *w, uint32_t i)
{
    const struct many *m = w->many;
    struct l1_key *key = &w->keys[w->count];
    *key = key_of(m, i);
    int rc = read_l2_may(m->space, key);
    w->indices[w->count] = i;
    set_outcome(w, w->count, rc == 0 ? NIGH_PENDING : rc);
    w->count += rc == 0;
}

static NIGH_OUTLINED void read_missed_l2(const struct many *m, size_t count)
{
    struct caller caller;
    struct window w = {.many = m};
    caller_enter(&caller);
    read_l2_init(m->space, m->call, &w.ticket);
    for (size_t i = 0; i < count; i++) {
        if (m->outcomes[i] == NIGH_MISS)
            add_missed(&w, (uint32_t)i);
        if (w.count == WINDOW_KEYS)
            read_window(&w);
    }
    read_window(&w);
    drive_flush(m->space->cache);
    caller_leave(&caller);
}

/* Asks L2 for each missed key, and waits for none. */
static NIGH_OUTLINED void look_behind(const struct many *m, size_t count)
{
    struct caller caller;
    caller_enter(&caller);
    for (size_t i = 0; i < count; i++) {
        if (m->outcomes[i] != NIGH_MISS)
            continue;
        struct l1_key key = key_of(m, i);
        m->outcomes[i] = async_look_behind(m->space, &key, m->call);
        if (m->outcomes[i] < 0)
            stats_count(&m->space->stats, STATS_READ_ERROR);
    }
    drive_flush(m->space->cache);
    caller_leave(&caller);
}

int nigh_get_many(struct nigh_space *space, const struct nigh_key *keys, size_t count,
                  const struct nigh_call *call, struct nigh_value *ret_values, int *ret_outcomes)
{
    struct many m = {space, keys, call, ret_values, ret_outcomes};
    if (cache_is_gone(space->cache))
        return cache_why_gone(space->cache);
    if (!cache_read_call_fits(call) || (call && call->miss) || count > UINT32_MAX ||
        (count > 0 && (!keys || !ret_values || !ret_outcomes)))
        return NIGH_EINVAL;
    size_t misses = read_all_l1(&m, count);
    read_count_missed(space, call, misses);
    if (!misses || (FLAGS_OF(call) & NIGH_L1_ONLY))
        return 0;
    if (FLAGS_OF(call) & NIGH_NO_WAIT)
        look_behind(&m, count);
    else
        read_missed_l2(&m, count);
    return 0;
}
