// SPDX-License-Identifier: MIT
#include "bench/replay.h"

#include "bench/loop.h"
#include "support/fail.h"

#define OBJECT_ROOM_BYTES 512u
#define MEMORY_LEAST_BYTES (16ull << 20)
#define TICK_SHARE 64u /* of the capacity, put since the last tick: little is in limbo */
#define TTL_MS (24u * 3600 * 1000)
#define CURVE_EVERY 4096u /* requests, where a process looks each second */

uint64_t replay_memory_for(uint64_t entries)
{
    return MEMORY_LEAST_BYTES + entries * OBJECT_ROOM_BYTES;
}

void replay_open(struct replay *r, const struct bench_settings *s, uint64_t memory_bytes,
                 uint32_t entries_max)
{
    struct nigh_options options = NIGH_OPTIONS_INIT;
    options.l1_memory = memory_bytes;
    options.l1_entries = entries_max;
    options.l1_shards = s->shards ? s->shards : 1;
    options.group_slots = 2048;
    options.threads = NIGH_THREADS_NONE;
    options.space.soft_ttl_ms = TTL_MS;
    options.space.value_max = NIGH_VALUE_MAX;
    if (nigh_options_set(&options, "curve", r->curve ? "on" : "off") != 0 ||
        (s->policy && nigh_options_set(&options, "l1.policy", s->policy) != 0) ||
        nigh_open(&options, &r->cache) != 0 ||
        nigh_space_open(r->cache, "trace", NULL, NULL, NULL, NULL, &r->space) != 0)
        fail("%s", nigh_options_error());
    r->capacity_bytes =
        entries_max ? (uint64_t)entries_max * (REPLAY_OBJECT_BYTES + REPLAY_OVERHEAD_BYTES)
                    : memory_bytes;
    r->untended_bytes = 0;
}

void replay_put(struct replay *r, uint32_t key, uint64_t size)
{
    if (size > NIGH_VALUE_MAX) {
        r->too_large++;
        return;
    }
    int rc = nigh_put(r->space, &key, sizeof(key), r->value, size, NULL);
    if (rc != 0 && rc != NIGH_REFUSED) /* larger than L1 takes: not stored, as by any policy */
        fail("trace: put failed: %s", nigh_strerror(rc));
    r->untended_bytes += size + REPLAY_OVERHEAD_BYTES;
    if (r->untended_bytes > r->capacity_bytes / TICK_SHARE) {
        nigh_tick(r->cache);
        r->untended_bytes = 0;
    }
}

static bool replay_get(struct replay *r, uint32_t key)
{
    struct nigh_value value = NIGH_VALUE_INIT;
    /* Those that ask L1 alone are no reads to the curve. */
    int rc = nigh_get(r->space, &key, sizeof(key), r->curve ? NULL : &loop_call, &value);
    nigh_release(&value);
    return rc == NIGH_FRESH;
}

struct replay_outcome replay_trace(struct replay *r, const struct bench_settings *s,
                                   const struct trace *t, const struct replay_setting *set)
{
    struct replay_outcome o = {0};
    replay_open(r, s, set->memory_bytes, set->entries_max);
    for (size_t i = 0; i < t->count; i++) {
        const struct request *q = &t->requests[i];
        if (replay_get(r, q->key)) {
            o.hits++;
            o.hit_bytes += q->size;
        } else {
            replay_put(r, q->key, set->by_bytes ? q->size * set->scale : set->object_bytes);
        }
        if (r->curve && i % CURVE_EVERY == 0)
            nigh_curve(r->cache, NIGH_STATS_JSON, NULL, 0);
    }
    o.dropped = (uint64_t)nigh_stats_value(r->cache, NULL, "l1_refused_full");
    if (r->curve)
        nigh_curve(r->cache, NIGH_STATS_JSON, r->curve, REPLAY_CURVE_BYTES);
    nigh_close(r->cache);
    return o;
}
