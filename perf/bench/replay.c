// SPDX-License-Identifier: MIT
#include "bench/replay.h"

#include <stdio.h>
#include <string.h>

#include "bench/loop.h"
#include "support/fail.h"
#include "support/seeded.h"

#define OBJECT_ROOM_BYTES 512u
#define MEMORY_LEAST_BYTES (16ull << 20)
#define TICK_SHARE 64u /* of the capacity, put since the last tick: little is in limbo */
#define TTL_MS (24u * 3600 * 1000)
#define CLOCK_MOST_US (1ull << 47) /* a cache's clock has room for some years */
#define CURVE_EVERY 4096u /* requests, where a process looks each second */
#define REQUEST_US 100u /* between two, where no times are known: the curve looks at the rate */
#define UNTIMED_US 1u   /* between two, where time is nothing to anybody */

uint64_t replay_memory_for(uint64_t entries)
{
    return MEMORY_LEAST_BYTES + entries * OBJECT_ROOM_BYTES;
}

static uint64_t clock_of(void *arg)
{
    return *(const uint64_t *)arg;
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
    if (r->clock_ns) { /* what is recorded was spread already */
        options.clock = clock_of;
        options.clock_arg = r->clock_ns;
        options.space.jitter_percent = options.space.stale_ms = NIGH_NONE;
    }
    seeded_begin(s->seed);
    if (nigh_options_set(&options, "curve", r->curve ? "on" : "off") != 0 ||
        (s->policy && nigh_options_set(&options, "l1.policy", s->policy) != 0) ||
        nigh_open(&options, &r->cache) != 0 ||
        nigh_space_open(r->cache, "trace", NULL, NULL, NULL, NULL, &r->space) != 0)
        fail("%s", nigh_options_error());
    seeded_end();
    r->capacity_bytes =
        entries_max ? (uint64_t)entries_max * (REPLAY_OBJECT_BYTES + REPLAY_OVERHEAD_BYTES)
                    : memory_bytes;
    r->untended_bytes = 0;
    r->due_ns = 0;
}

/* Do what is due in the cache, which says when there will be more. */
static void tick(struct replay *r)
{
    int ms = nigh_tick(r->cache);
    if (ms < 0)
        fail("trace: tick failed: %s", nigh_strerror(ms));
    r->untended_bytes = 0;
    if (r->clock_ns)
        r->due_ns = *r->clock_ns + (uint64_t)ms * PERF_NS_PER_MS;
}

static void put(struct replay *r, uint32_t key, uint64_t size, struct life life)
{
    struct nigh_call call = NIGH_CALL_INIT;
    if (life.fresh_ms + (uint64_t)life.stale_ms == 0)
        return;
    if (size > NIGH_VALUE_MAX) {
        r->too_large++;
        return;
    }
    call.soft_ttl_ms = life.fresh_ms ? life.fresh_ms : NIGH_NONE;
    call.stale_ms = life.stale_ms ? life.stale_ms : NIGH_NONE;
    int rc = nigh_put(r->space, &key, sizeof(key), r->value, size,
                      life.fresh_ms == LIFE_FOREVER ? NULL : &call);
    if (rc != 0 && rc != NIGH_REFUSED) /* larger than L1 takes: not stored, as by any policy */
        fail("trace: put failed: %s", nigh_strerror(rc));
    r->untended_bytes += size + REPLAY_OVERHEAD_BYTES;
    if (r->untended_bytes > r->capacity_bytes / TICK_SHARE)
        tick(r);
}

void replay_put(struct replay *r, uint32_t key, uint64_t size)
{
    put(r, key, size, (struct life){LIFE_FOREVER, 0});
}

static int get(struct replay *r, uint32_t key)
{
    struct nigh_value value = NIGH_VALUE_INIT;
    int rc = nigh_get(r->space, &key, sizeof(key), &loop_call, &value);
    nigh_release(&value);
    return rc;
}

/* ---- a trace ---- */

struct story {
    const struct trace *trace;
    const struct replay_setting *set;
    bool *fell; /* of each key: it is as if it was not there */
    uint64_t clock_ns;
};

/* Whether time is in it: values end, or the curve looks at the rate. */
static bool is_timed(const struct replay *r, const struct story *st)
{
    return st->trace->lives || r->curve;
}

/* Move the cache's clock on, and do what is due by then. */
static void set_clock(struct replay *r, struct story *st, uint64_t at_us)
{
    st->clock_ns = PERF_NS_PER_S + (at_us < CLOCK_MOST_US ? at_us : CLOCK_MOST_US) * 1000;
    if (is_timed(r, st) && st->clock_ns >= r->due_ns)
        tick(r);
}

/* When a request was made, or would have been. */
static uint64_t at_us(const struct replay *r, const struct story *st, size_t i)
{
    if (!is_timed(r, st))
        return i * UNTIMED_US;
    return st->trace->at_us ? st->trace->at_us[i] : (uint64_t)i * REQUEST_US;
}

static uint64_t bytes_of(const struct story *st, uint32_t size)
{
    return st->set->by_bytes ? size * st->set->scale : st->set->object_bytes;
}

static void change(struct replay *r, struct story *st, const struct change *c)
{
    if (is_timed(r, st))
        set_clock(r, st, c->at_us);
    st->fell[c->key] = c->kind == CHANGE_FELL;
    if (c->kind == CHANGE_PUT)
        put(r, c->key, bytes_of(st, c->size), c->life);
    else if (c->kind == CHANGE_INVALIDATED)
        nigh_invalidate(r->space, &c->key, sizeof(c->key), NULL);
}

/* Returns whether there was an answer, if only a stale one. */
static bool ask(struct replay *r, struct story *st, size_t i)
{
    const struct request *q = &st->trace->requests[i];
    enum brings brings = trace_brings(st->trace, i);
    set_clock(r, st, at_us(r, st, i));
    int rc = st->fell[q->key] ? NIGH_MISS : get(r, q->key);
    if (brings == BRINGS_ANYWAY || (brings != BRINGS_NOTHING && rc != NIGH_FRESH)) {
        put(r, q->key, bytes_of(st, q->size), trace_life(st->trace, i));
        st->fell[q->key] = false;
    }
    return rc == NIGH_FRESH || rc == NIGH_STALE;
}

/* ---- what counts, lately ---- */

size_t replay_looks(size_t requests)
{
    return requests / CURVE_EVERY + 2;
}

/* Hits and requests, of which those before a look count less from then on. */
struct lately {
    size_t looks;
    double hits, requests;
    double was; /* reads that counted in the curve at the last look */
};

/* Look at the curve, of which `more` requests were made since the last time. Returns by how much it
 * lets all of them count less. */
static double look(struct replay *r, struct lately *l, double more)
{
    double reads = 0;
    nigh_curve(r->cache, NIGH_STATS_JSON, r->curve, REPLAY_CURVE_BYTES);
    const char *at = strstr(r->curve, "\"reads\":");
    if (!at || sscanf(at, "\"reads\":%lf", &reads) != 1)
        fail("trace --curve: this policy has no curve");
    double fade = l->was + more > 0 ? reads / (l->was + more) : 1;
    l->was = reads;
    return fade < 1 ? fade : 1;
}

static void note_look(struct replay *r, struct lately *l, double more)
{
    if (r->curve)
        r->fades[l->looks] = look(r, l, more);
    if (r->fades) {
        l->hits *= r->fades[l->looks];
        l->requests *= r->fades[l->looks];
    }
    l->looks++;
}

struct replay_outcome replay_trace(struct replay *r, const struct bench_settings *s,
                                   const struct trace *t, const struct replay_setting *set)
{
    struct replay_outcome o = {0};
    struct story st = {t, set, must_alloc(t->unique, sizeof(*st.fell)), PERF_NS_PER_S};
    struct lately lately = {0};
    r->clock_ns = &st.clock_ns;
    replay_open(r, s, set->memory_bytes, set->entries_max);
    for (size_t i = 0, next = 0; i < t->count; i++) {
        for (; next < t->change_count && t->changes[next].before <= i; next++)
            change(r, &st, &t->changes[next]);
        lately.requests++;
        if (ask(r, &st, i)) {
            o.hits++;
            lately.hits++;
            o.hit_bytes += t->requests[i].size;
        }
        if (i % CURVE_EVERY == CURVE_EVERY - 1)
            note_look(r, &lately, CURVE_EVERY);
    }
    note_look(r, &lately, (double)(t->count % CURVE_EVERY));
    o.lately = lately.requests > 0 ? lately.hits / lately.requests : 0;
    o.dropped = (uint64_t)nigh_stats_value(r->cache, NULL, "l1_refused_full");
    nigh_close(r->cache);
    r->clock_ns = NULL;
    free(st.fell);
    return o;
}
