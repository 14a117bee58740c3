// SPDX-License-Identifier: MIT
/*
 * Reading: the ways into get and fetch, waiting or not.
 *
 * The hit finds and pins in a read section, then judges (read_hit()). A read that is no plain hit
 * begins anew: there the errors of the call are found and L1 is looked at once more, which costs
 * nothing beside what follows, while a hit carries nothing along for it.
 *
 * Everything after a miss takes its ticket first (rule 1): looking in L1 before the ticket is
 * harmless, since what L1 gave was judged there; but every look at L2 and at the origin must come
 * after the ticket.
 */
#include "cache/cache.h"
#include "cache/caller.h"
#include "cache/hot.h"
#include "cache/latency.h"
#include "cache/read/hit.h"
#include "cache/load/load.h"
#include "cache/read/missed.h"
#include "cache/queue/queue.h"
#include "cache/read/from_l1.h"

/* ---- the long way ---- */

/* Goes on after a miss. If the loader returns so late that the cache has closed without it, the
 * structs of the cache are there until caller_leave(). */
static int go_on(const struct missed *m, missed_fn *missed, struct nigh_value *ret)
{
    struct caller caller;
    uint64_t began_ns = latency_begin(m->space);
    caller_enter(&caller);
    int rc = missed(m, ret);
    if (rc < 0)
        stats_count(&m->space->stats, STATS_READ_ERROR);
    if (rc != NIGH_PENDING) /* else its completion is timed, or it is to bring nothing */
        latency_end(m->space, STATS_LATENCY_CALL, began_ns);
    drive_flush(m->space->cache);
    caller_leave(&caller);
    return rc;
}

/* Reads what L1 has not got. A call that is PENDING on a queue has no value to be written, and its
 * caller may have heard of its end already. */
static int read_missed(const struct missed *m, missed_fn *missed, struct nigh_value *ret_value)
{
    struct nigh_value value = NIGH_VALUE_INIT;
    int rc = NIGH_MISS;
    read_count_missed(m->space, m->call, 1);
    sample_miss(m->space, &m->key, m->call);
    USDT(miss, m->key.data, m->key.len, m->space->id);
    if (!(FLAGS_OF(m->call) & NIGH_QUIET))
        hot_miss(m->space, &m->key, FLAGS_OF(m->call) & NIGH_L1_ONLY);
    if (!(FLAGS_OF(m->call) & NIGH_L1_ONLY))
        rc = go_on(m, missed, &value);
    if (rc >= 0 && (rc != NIGH_PENDING || !m->queue))
        *ret_value = value;
    return rc;
}

/* Reads a key whose call has been checked. */
static int read_key(struct missed *m, const void *key, size_t key_len, missed_fn *missed,
                    struct nigh_value *ret_value)
{
    struct nigh_space *space = m->space;
    bool loads = missed == fetch_missed || missed == async_fetch_missed, refresh = false;
    int rc = NIGH_MISS;
    m->key = l1_key_of(space->cache->l1, space->id, key, key_len);
    if (!(FLAGS_OF(m->call) & NIGH_REFRESH))
        rc = read_l1(space, &m->key, m->call, ret_value, &refresh);
    if (refresh && loads && !(FLAGS_OF(m->call) & NIGH_L1_ONLY))
        load_refresh(space, &m->key);
    return rc == NIGH_MISS ? read_missed(m, missed, ret_value) : rc;
}

static NIGH_OUTLINED int read_long(struct nigh_space *space, const void *key, size_t key_len,
                                   const struct nigh_call *call, struct nigh_value *ret_value,
                                   missed_fn *missed)
{
    struct missed m = {.space = space, .call = call};
    int rc = cache_check_read(space, key, key_len, call);
    return rc == 0 ? read_key(&m, key, key_len, missed, ret_value) : rc;
}

static NIGH_OUTLINED int read_long_async(struct nigh_queue *queue, struct nigh_space *space,
                                         const void *key, size_t key_len,
                                         const struct nigh_call *call, void *arg,
                                         struct nigh_value *ret_value, uint64_t *ret_id,
                                         missed_fn *missed)
{
    struct missed m = {space, call, queue, arg, ret_id, {0}};
    int rc = cache_check(space, key, key_len, call);
    return rc == 0 ? read_key(&m, key, key_len, missed, ret_value) : rc;
}

/* ---- the sample that is timed ---- */

/* Reads as a plain hit, notes it for whoever samples, and may time it. In a function of its own, so
 * that the others, which are many where the sample is thin, are a decrement and a branch longer,
 * and nothing else. */
static NIGH_OUTLINED bool read_hit_timed(struct nigh_space *space, const void *key, size_t key_len,
                                         const struct nigh_call *call, struct nigh_value *ret)
{
    uint32_t stands_for = stats_sample_next(clock_coarse_ns(&space->cache->clock));
    bool wanted = !(FLAGS_OF(call) & NIGH_QUIET);
    bool timed = stats_sample_is_timed(stands_for) && wanted;
    uint64_t began_ns = timed ? latency_begin(space) : 0;
    bool hit = read_hit(space, key, key_len, call, ret);
    if (hit)
        latency_end_hit(space, began_ns);
    if (hit && wanted) {
        hot_hit(space, key, key_len, stands_for);
        USDT(hit, key, key_len, space->id);
    }
    return hit;
}

static NIGH_OUTLINED int read_sampled(struct nigh_space *space, const void *key, size_t key_len,
                                      const struct nigh_call *call, struct nigh_value *ret_value,
                                      missed_fn *missed)
{
    if (read_hit_timed(space, key, key_len, call, ret_value))
        return NIGH_FRESH;
    return read_long(space, key, key_len, call, ret_value, missed);
}

static NIGH_OUTLINED int read_sampled_async(struct nigh_queue *queue, struct nigh_space *space,
                                            const void *key, size_t key_len,
                                            const struct nigh_call *call, void *arg,
                                            struct nigh_value *ret_value, uint64_t *ret_id,
                                            missed_fn *missed)
{
    if (read_hit_timed(space, key, key_len, call, ret_value))
        return NIGH_FRESH;
    return read_long_async(queue, space, key, key_len, call, arg, ret_value, ret_id, missed);
}

/* ---- calls that wait ---- */

int nigh_get(struct nigh_space *space, const void *key, size_t key_len,
             const struct nigh_call *call, struct nigh_value *ret_value)
{
    if (stats_is_sampled())
        return read_sampled(space, key, key_len, call, ret_value, get_missed);
    if (NIGH_LIKELY(read_hit(space, key, key_len, call, ret_value)))
        return NIGH_FRESH;
    return read_long(space, key, key_len, call, ret_value, get_missed);
}

int nigh_fetch(struct nigh_space *space, const void *key, size_t key_len,
               const struct nigh_call *call, struct nigh_value *ret_value)
{
    if (stats_is_sampled())
        return read_sampled(space, key, key_len, call, ret_value, fetch_missed);
    if (NIGH_LIKELY(read_hit(space, key, key_len, call, ret_value)))
        return NIGH_FRESH;
    return read_long(space, key, key_len, call, ret_value, fetch_missed);
}

/* ---- calls that do not ---- */

static NIGH_INLINED int read_async(struct nigh_queue *queue, struct nigh_space *space,
                                   const void *key, size_t key_len, const struct nigh_call *call,
                                   void *arg, struct nigh_value *ret_value, uint64_t *ret_id,
                                   missed_fn *missed)
{
    if (NIGH_UNLIKELY(!queue || !space || !ret_value || queue_cache(queue) != space->cache))
        return NIGH_EINVAL;
    if (stats_is_sampled())
        return read_sampled_async(queue, space, key, key_len, call, arg, ret_value, ret_id,
                                  missed);
    if (NIGH_LIKELY(read_hit(space, key, key_len, call, ret_value)))
        return NIGH_FRESH;
    return read_long_async(queue, space, key, key_len, call, arg, ret_value, ret_id, missed);
}

int nigh_get_async(struct nigh_queue *queue, struct nigh_space *space, const void *key,
                   size_t key_len, const struct nigh_call *call, void *arg,
                   struct nigh_value *ret_value, uint64_t *ret_id)
{
    return read_async(queue, space, key, key_len, call, arg, ret_value, ret_id, async_get_missed);
}

int nigh_fetch_async(struct nigh_queue *queue, struct nigh_space *space, const void *key,
                     size_t key_len, const struct nigh_call *call, void *arg,
                     struct nigh_value *ret_value, uint64_t *ret_id)
{
    return read_async(queue, space, key, key_len, call, arg, ret_value, ret_id,
                      async_fetch_missed);
}
