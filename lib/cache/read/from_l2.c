// SPDX-License-Identifier: MIT
/*
 * Reading L2 for calls that do not load: ask, judge, hand out, store in L1.
 */
#include "cache/read/from_l2.h"

#include "cache/latency.h"
#include "cache/misses.h"
#include "cache/value/freshness.h"
#include "cache/value/lookup.h"
#include "cache/value/sizes.h"
#include "cache/read/from_l1.h"

/* Ask for the lease. Returns the answer, or NULL: the lease could not be asked for. */
static struct l2_answer *ask_lease(struct nigh_space *space, const struct l1_key *key,
                                   uint64_t token, uint64_t rejected, uint64_t deadline_ns)
{
    struct nigh *cache = space->cache;
    struct l2_key l2_key = cache_l2_key(space, key->data, key->len);
    struct l2_lease lease = {token, rejected, leases_time_ms(space), false};
    struct l2_sync sync;
    struct l2_op op = l2_sync_op(&sync, &cache->env, deadline_ns);
    return l2_lease(cache->l2, &l2_key, &lease, &op) == 0 ? l2_sync_wait(&sync) : NULL;
}

bool read_l2_granted(struct nigh_space *space, const struct l1_key *key, uint64_t token,
                     const struct l2_answer *answer, struct nigh_miss *miss)
{
    struct nigh *cache = space->cache;
    latency_note(space, STATS_LATENCY_L2, answer->took_ns);
    if (answer->status == 0)
        coherence_note(cache->coherence, answer);
    if (answer->status == 0 && answer->verdict == L2_GRANTED) {
        stats_count(&space->stats, STATS_LEASE_GRANTED);
        miss->token = token;
        miss->connection = answer->connection;
        miss->home = answer->home;
        return true;
    }
    tickets_remove(space, key, token);
    if (answer->status != 0 && !atomic_load_explicit(&cache->l2_closed, memory_order_relaxed))
        leases_give_back(space, key, token);
    return false;
}

/* Take the lease for the put of a caller that has a ticket in its own memory (call->miss). */
static int lease_for_put(struct nigh_space *space, const struct l1_key *key, uint64_t rejected,
                         struct nigh_miss *miss, uint64_t deadline_ns, struct l2_answer **ret)
{
    uint64_t token = coherence_token(space->cache->coherence);
    struct ticket_holder holder = tickets_holder();
    if (!tickets_add(space, key, token, &holder))
        return NIGH_MISS;
    struct l2_answer *answer = ask_lease(space, key, token, rejected, deadline_ns);
    if (!answer) {
        tickets_remove(space, key, token);
        return NIGH_MISS;
    }
    if (!read_l2_granted(space, key, token, answer, miss) && answer->status == 0 &&
        answer->verdict == L2_VALUE) {
        *ret = answer;
        return NIGH_FRESH;
    }
    l2_answer_free(answer);
    return NIGH_MISS;
}

/* Hand out what L2 had; takes the reference of found->entry. */
static int hand_out(struct nigh_space *space, const struct l1_key *key, struct lookup *found,
                    const struct nigh_call *call, struct nigh_value *ret)
{
    struct l1_entry *e = found->entry;
    uint64_t now_ns = clock_coarse_ns(&space->cache->clock);
    int outcome = verdict_outcome(found->verdict, l1_entry_absent(e),
                                  freshness_acceptable(e, call, now_ns));
    if (found->storable && !(FLAGS_OF(call) & NIGH_NO_STORE))
        lookup_store(space, key, e);
    if (outcome == NIGH_ABSENT) {
        misses_count_absent(space, call);
        *ret = (struct nigh_value)NIGH_VALUE_INIT;
    } else if (outcome != NIGH_MISS) {
        l1_pin_ref(e, NIGH_TIER_L2, ret);
    }
    l1_entry_unref(e);
    return outcome;
}

static bool passes(const struct nigh_call *call)
{
    return FLAGS_OF(call) & NIGH_NO_STORE;
}

static int take_value(struct nigh_space *space, const struct l1_key *key, uint64_t ticket,
                      const struct lookup_of *of, const struct nigh_call *call,
                      struct lookup *found, struct nigh_value *ret)
{
    int rc = lookup_value(space, key, ticket, of, found);
    if (rc != 0)
        return rc;
    return found->entry ? hand_out(space, key, found, call, ret) : NIGH_MISS;
}

/* ---- one ---- */

/* Note what a miss knows of this node and of Redis, by which its put will be judged. */
static void fill_miss(const struct nigh *cache, uint64_t ticket, struct nigh_miss *miss)
{
    struct coherence_position at = {0, 0};
    if (cache->coherence)
        at = coherence_position(cache->coherence);
    *miss = (struct nigh_miss){.stamp = ticket,
                               .clock = at.identity,
                               .sequence = at.sequence,
                               .began_ns = clock_coarse_ns(&cache->clock)};
}

void read_l2_init(struct nigh_space *space, const struct nigh_call *call, struct read_l2 *ret)
{
    struct nigh *cache = space->cache;
    ret->ticket = l1_ticket(cache->l1);
    ret->deadline_ns = cache_l2_deadline_ns(cache, call);
    if (call && call->miss)
        fill_miss(cache, ret->ticket, call->miss);
}

int read_l2_may(struct nigh_space *space, const struct l1_key *key)
{
    struct nigh *cache = space->cache;
    if (lookup_l2_usable(space, key))
        return 0;
    return lookup_l2_has_values(space) && !l2_connected(cache->l2) ? NIGH_EOFFLINE : NIGH_MISS;
}

int read_l2_begin(struct nigh_space *space, const struct l1_key *key, struct read_l2 *r)
{
    struct nigh *cache = space->cache;
    struct l2_key l2_key = cache_l2_key(space, key->data, key->len);
    struct l2_op op = l2_sync_op(&r->sync, &cache->env, r->deadline_ns);
    return l2_get(cache->l2, &l2_key, &op);
}

int read_l2_take(struct nigh_space *space, const struct l1_key *key, const struct nigh_call *call,
                 uint64_t ticket, const struct l2_answer *answer, uint64_t *ret_rejected,
                 struct nigh_value *ret)
{
    struct lookup_of of = {answer->verdict, answer->value, answer->home, false, passes(call), NULL};
    struct lookup found = {.verdict = VERDICT_GONE};
    *ret_rejected = 0;
    if (answer->status != 0) {
        stats_count(&space->stats, STATS_L2_ERROR);
        return answer->status;
    }
    int rc = take_value(space, key, ticket, &of, call, &found, ret);
    if (answer->value.len > 0)
        sizes_learn(space, answer->value.len);
    *ret_rejected = found.fill_id;
    return rc;
}

int read_l2_end(struct nigh_space *space, const struct l1_key *key, const struct nigh_call *call,
                struct read_l2 *r, uint64_t *ret_rejected, struct nigh_value *ret)
{
    struct l2_answer *answer = l2_sync_wait(&r->sync);
    latency_note(space, STATS_LATENCY_L2, answer->took_ns);
    int rc = read_l2_take(space, key, call, r->ticket, answer, ret_rejected, ret);
    l2_answer_free(answer);
    if (rc != NIGH_MISS || !call || !call->miss)
        return rc;
    struct l2_answer *value;
    rc = lease_for_put(space, key, *ret_rejected, call->miss, r->deadline_ns, &value);
    if (rc == NIGH_MISS)
        return NIGH_MISS;
    rc = read_l2_take(space, key, call, r->ticket, value, ret_rejected, ret);
    l2_answer_free(value);
    return rc;
}

/* ---- many at once ---- */

/* Bounds shared memory: a caller that holds one value holds so much in memory at most, or only that
 * value. Some dozens of small ones are enough to share the cost of an allocation. */
#define SHARED_MAX_BYTES ((size_t)8 << 10)

int read_l2_many_begin(struct nigh_space *space, const struct l1_key *keys, uint32_t count,
                       struct read_l2 *r)
{
    struct nigh *cache = space->cache;
    struct bytes names[L2_MANY_MAX];
    struct l2_op op = l2_sync_op(&r->sync, &cache->env, r->deadline_ns);
    for (uint32_t i = 0; i < count; i++)
        names[i] = bytes_of(keys[i].data, keys[i].len);
    return l2_get_many(cache->l2, bytes_of(space->name, space->name_len),
                       bytes_of_string(space->schema), names, count, &op);
}

struct l2_answer *read_l2_many_wait(struct nigh_space *space, uint32_t count, struct read_l2 *r,
                                    int *ret_error)
{
    struct l2_answer *answer = l2_sync_wait(&r->sync);
    int rc = answer->status;
    latency_note(space, STATS_LATENCY_L2, answer->took_ns);
    if (rc == 0) {
        sizes_learn_answer(space, answer, count);
        return answer;
    }
    l2_answer_free(answer);
    stats_count(&space->stats, STATS_L2_ERROR);
    if (rc == NIGH_ETIMEDOUT || rc == NIGH_EOFFLINE)
        sizes_learn_late(space, count);
    *ret_error = rc == NIGH_EREDIS && !l2_takes_many(space->cache->l2) ? NIGH_PENDING : rc;
    return NULL;
}

static size_t bytes_at(const struct l1_key *keys, uint32_t i, struct l2_answer *answer)
{
    struct bytes value;
    l2_answer_at(answer, i, &value);
    return keys[i].len + value.len;
}

struct l1_shared *read_l2_many_share(struct nigh_space *space, const struct l1_key *keys,
                                     uint32_t from, uint32_t count, struct l2_answer *answer,
                                     const struct nigh_call *call, uint32_t *ret_end)
{
    size_t bytes = 0, more;
    uint32_t end = from;
    *ret_end = count;
    if (!passes(call))
        return NULL;
    while (end < count && bytes + (more = bytes_at(keys, end, answer)) <= SHARED_MAX_BYTES) {
        bytes += more;
        end++;
    }
    *ret_end = end > from ? end : from + 1;
    return end > from + 1 ? l1_shared_create(space->cache->l1, end - from, bytes) : NULL;
}

int read_l2_many_take(struct nigh_space *space, const struct l1_key *key, uint32_t i,
                      struct l2_answer *answer, const struct nigh_call *call,
                      struct l1_shared *shared, uint64_t ticket, uint64_t *ret_rejected,
                      struct nigh_value *ret)
{
    uint64_t home = l2_home_at(answer, i);
    struct lookup_of of = {.home = home, .passes = passes(call), .shared = shared};
    struct lookup found = {.verdict = VERDICT_GONE};
    of.verdict = l2_answer_at(answer, i, &of.value);
    if (of.verdict == L2_LEFT)
        return NIGH_PENDING;
    int rc = take_value(space, key, ticket, &of, call, &found, ret);
    *ret_rejected = found.fill_id;
    return rc;
}
