// SPDX-License-Identifier: MIT
/*
 * `trace`: what share of real requests does nigh answer from its memory, beside exact LRU and the
 * best that any policy could?
 *
 * Files are replayed through the public API in a cache without Redis: get, and on a miss put. It
 * runs in the mode without own threads, ticked by this one, so the same file gives the same hits.
 *
 * A capacity in objects is l1.entries. One in bytes is of payload, while nigh counts everything: so
 * the memory is found by trial with which just so many objects of the mean size fit, and those who
 * are compared get what nigh then has. Sizes are multiplied, for small caches, until nigh's own
 * tables and headers are small against the payload: the hit ratio does not depend on the unit.
 */
#include <stdio.h>

#include "bench/arena.h"
#include "bench/bench.h"
#include "bench/candidate.h"
#include "bench/measure.h"
#include "bench/trace_file.h"
#include "support/fail.h"

#define PAYLOAD_MIN_BYTES (16ull << 20)
#define OBJECT_BYTES 16u        /* of the values, where objects are counted */
#define OBJECT_ROOM_BYTES 512u  /* so much memory for each is no limit */
#define OBJECT_OVERHEAD_BYTES 64u
#define MEMORY_MIN_BYTES (4ull << 20)
#define TRIALS_MAX 12u
#define TRIAL_PRECISION 2000u /* stop within one in so many entries */
#define TICK_SHARE 64u /* of the capacity, put since the last tick: little is in limbo */
#define TTL_MS (24u * 3600 * 1000)

struct replay {
    struct nigh *cache;
    struct nigh_space *space;
    uint64_t capacity_bytes;
    uint64_t untended_bytes; /* put since the last tick */
    char *value;             /* as large as any */
};

/* What is asked for: the capacity of one run. */
struct capacity {
    uint64_t amount; /* objects, or bytes of payload */
    bool by_bytes;
};

/* How it is given to nigh. */
struct setting {
    uint64_t memory_bytes;
    uint32_t entries_max;  /* 0: no limit but memory */
    uint64_t object_bytes; /* value of each; by bytes: of a mean one */
    uint64_t scale;        /* bytes of ours per byte of the trace */
    uint64_t entries;      /* objects, by bytes mean ones, that fit */
};

/* ---- a cache ---- */

static void replay_open(struct replay *r, const struct bench_settings *s, uint64_t memory_bytes,
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
    if ((s->policy && nigh_options_set(&options, "l1.policy", s->policy) != 0) ||
        nigh_open(&options, &r->cache) != 0 ||
        nigh_space_open(r->cache, "trace", NULL, NULL, NULL, NULL, &r->space) != 0)
        fail("%s", nigh_options_error());
    r->capacity_bytes =
        entries_max ? (uint64_t)entries_max * (OBJECT_BYTES + OBJECT_OVERHEAD_BYTES) : memory_bytes;
    r->untended_bytes = 0;
}

static void replay_put(struct replay *r, uint32_t key, uint64_t size)
{
    int rc = nigh_put(r->space, &key, sizeof(key), r->value, size, NULL);
    if (rc != 0 && rc != NIGH_REFUSED) /* larger than L1 takes: not stored, as by any policy */
        fail("trace: put failed: %s", nigh_strerror(rc));
    r->untended_bytes += size + OBJECT_OVERHEAD_BYTES;
    if (r->untended_bytes > r->capacity_bytes / TICK_SHARE) {
        nigh_tick(r->cache);
        r->untended_bytes = 0;
    }
}

static bool replay_get(struct replay *r, uint32_t key)
{
    struct nigh_value value = NIGH_VALUE_INIT;
    int rc = nigh_get(r->space, &key, sizeof(key), &loop_call, &value);
    nigh_release(&value);
    return rc == NIGH_FRESH;
}

/* ---- its size ---- */

/* Entries of this size that a cache with so much memory holds. */
static uint64_t entries_with(const struct bench_settings *s, struct replay *r, uint64_t memory,
                             uint64_t object_bytes, uint64_t wanted)
{
    replay_open(r, s, memory, 0);
    for (uint32_t key = 0; key < wanted + wanted / 4 + 64; key++)
        replay_put(r, key, object_bytes);
    nigh_tick(r->cache);
    uint64_t entries = (uint64_t)nigh_stats_value(r->cache, NULL, "entries");
    nigh_close(r->cache);
    return entries;
}

/* The memory with which `wanted` objects fit, by trial; a secant through what the last two gave. */
static void find_memory(const struct bench_settings *s, struct replay *r, struct setting *set,
                        uint64_t wanted)
{
    uint64_t per_object = arena_charge(set->object_bytes + OBJECT_OVERHEAD_BYTES) + 32;
    uint64_t memory = wanted * per_object * 9 / 8 + (1u << 20);
    uint64_t nearest = UINT64_MAX;
    for (unsigned trial = 0; trial < TRIALS_MAX && nearest > wanted / TRIAL_PRECISION; trial++) {
        memory = memory > MEMORY_MIN_BYTES ? memory : MEMORY_MIN_BYTES;
        uint64_t got = entries_with(s, r, memory, set->object_bytes, wanted);
        uint64_t off = got > wanted ? got - wanted : wanted - got;
        if (off < nearest) {
            nearest = off;
            set->memory_bytes = memory;
            set->entries = got;
        }
        progress("trace: trial %u: %lu entries of %lu", trial, (unsigned long)got,
                 (unsigned long)wanted);
        memory = got > wanted ? memory - off * per_object : memory + off * per_object;
    }
}

static uint64_t mean_size(const struct trace *t)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < t->count; i++)
        sum += t->requests[i].size;
    return sum / t->count + 1;
}

static struct setting setting_for(const struct bench_settings *s, struct replay *r,
                                  const struct trace *t, struct capacity c)
{
    struct setting set = {.scale = 1};
    if (!c.by_bytes) {
        set.object_bytes = OBJECT_BYTES;
        set.entries = c.amount;
        set.entries_max = (uint32_t)c.amount;
        set.memory_bytes = PAYLOAD_MIN_BYTES + c.amount * OBJECT_ROOM_BYTES;
        return set;
    }
    while (c.amount * set.scale < PAYLOAD_MIN_BYTES)
        set.scale *= 2;
    set.object_bytes = mean_size(t) * set.scale;
    find_memory(s, r, &set, c.amount * set.scale / set.object_bytes);
    return set;
}

/* ---- a run ---- */

struct outcome {
    uint64_t hits;
    uint64_t dropped; /* puts for which there was no room */
};

static struct outcome replay_trace(const struct bench_settings *s, struct replay *r,
                                   const struct trace *t, const struct setting *set, bool by_bytes)
{
    struct outcome o = {0};
    replay_open(r, s, set->memory_bytes, set->entries_max);
    for (size_t i = 0; i < t->count; i++) {
        const struct request *q = &t->requests[i];
        if (replay_get(r, q->key))
            o.hits++;
        else
            replay_put(r, q->key, by_bytes ? q->size * set->scale : set->object_bytes);
    }
    o.dropped = (uint64_t)nigh_stats_value(r->cache, NULL, "l1_refused_full");
    nigh_close(r->cache);
    return o;
}

static uint32_t largest_size(const struct trace *t)
{
    uint32_t largest = 0;
    for (size_t i = 0; i < t->count; i++)
        largest = t->requests[i].size > largest ? t->requests[i].size : largest;
    return largest;
}

static double percent(uint64_t hits, const struct trace *t)
{
    return 100.0 * (double)hits / (double)t->count;
}

/* What is summed up over all cells that have a reference. */
static struct {
    unsigned cells, gaps, caffeines;
    double share, above_lru, least_above_lru, gap, worst_gap, caffeine;
} total;

static void sum_up(double nigh, double lru, double belady, const struct reference_cell *ref)
{
    double above = nigh - lru;
    total.least_above_lru =
        total.cells == 0 || above < total.least_above_lru ? above : total.least_above_lru;
    total.cells++;
    total.share += belady > 0 ? nigh / belady : 1;
    total.above_lru += above;
    if (ref && ref->best > 0) {
        double gap = 100 * ref->best - nigh;
        total.worst_gap = total.gaps == 0 || gap > total.worst_gap ? gap : total.worst_gap;
        total.gap += gap;
        total.gaps++;
    }
    if (ref && ref->caffeine > 0) {
        total.caffeine += nigh - 100 * ref->caffeine;
        total.caffeines++;
    }
}

static void print_field(double value, bool known)
{
    if (known)
        printf("%9.2f", value);
    else
        printf("%9s", "-");
}

static void run_one(const struct bench_settings *s, const char *name, const struct trace *t,
                    struct capacity c, const struct reference_cell *ref)
{
    struct replay r = {0};
    char label[56];
    snprintf(label, sizeof(label), "%s %lu%s", name, (unsigned long)c.amount,
             c.by_bytes ? " B" : "");
    r.value = must_alloc(1, c.by_bytes ? largest_size(t) * (PAYLOAD_MIN_BYTES / c.amount + 1) * 2
                                       : OBJECT_BYTES);
    struct setting set = setting_for(s, &r, t, c);
    progress("trace: %s", label);
    struct outcome o = replay_trace(s, &r, t, &set, c.by_bytes);
    uint64_t fair = c.by_bytes ? set.entries * set.object_bytes / set.scale : set.entries;
    double nigh = percent(o.hits, t);
    double lru = percent(c.by_bytes ? simulate_lru_bytes(t, fair) : simulate_lru(t, fair), t);
    double belady = c.by_bytes ? 0 : percent(simulate_belady(t, fair), t);
    progress_end();
    printf("%-26s%11lu", label, (unsigned long)fair);
    print_field(nigh, true);
    print_field(lru, true);
    print_field(nigh - lru, true);
    print_field(belady, !c.by_bytes);
    print_field(belady > 0 ? nigh / belady : 0, !c.by_bytes);
    print_field(ref ? 100 * ref->best - nigh : 0, ref && ref->best > 0);
    printf("%s\n", o.dropped ? "  (puts dropped)" : "");
    fflush(stdout);
    result_add("trace", label, "hit ratio", "percent", nigh, "lru", lru);
    if (!c.by_bytes) {
        result_add("trace", label, "hit ratio", "percent", nigh, "belady", belady);
        sum_up(nigh, lru, belady, ref);
    }
    if (ref && ref->best > 0)
        result_add("trace", label, "hit ratio", "percent", nigh, "field", 100 * ref->best);
    if (ref && ref->caffeine > 0)
        result_add("trace", label, "hit ratio", "percent", nigh, "caffeine", 100 * ref->caffeine);
    result_add("trace", label, "puts dropped", "count", (double)o.dropped, NULL, 0);
    free(r.value);
}

static void run_file(const struct bench_settings *s, const char *path,
                     const struct reference_cell *cells, size_t cell_count)
{
    struct trace t;
    char *name = trace_name(path);
    bool any = false;
    trace_read(&t, path);
    for (size_t i = 0; i < cell_count; i++)
        if (strcmp(cells[i].trace, name) == 0) {
            struct capacity c = {cells[i].capacity, cells[i].by_bytes};
            run_one(s, name, &t, c, &cells[i]);
            any = true;
        }
    if (s->objects || s->bytes) {
        run_one(s, name, &t, (struct capacity){s->objects ? s->objects : s->bytes, !s->objects},
                NULL);
    } else if (!any) { /* a hundredth and a tenth of the keys: where caches live */
        run_one(s, name, &t, (struct capacity){t.unique / 100 + 1, false}, NULL);
        run_one(s, name, &t, (struct capacity){t.unique / 10 + 1, false}, NULL);
    }
    trace_free(&t);
    free(name);
}

void bench_trace(const struct bench_settings *s)
{
    struct reference_cell *cells = NULL;
    size_t cell_count = s->reference ? reference_read(s->reference, &cells) : 0;
    if (s->file_count == 0)
        fail("trace: which file? (perf/run trace FILE.t8.zst ...)");
    printf("\ntrace: share of requests answered, %%; policy %s, %u shard%s\n%-26s%11s%9s%9s%9s%9s"
           "%9s%9s\n", s->policy ? s->policy : "as by default", s->shards ? s->shards : 1,
           s->shards > 1 ? "s" : "", "", "capacity", "nigh", "lru", "-lru", "belady", "share",
           "gap");
    for (int i = 0; i < s->file_count; i++)
        run_file(s, s->files[i], cells, cell_count);
    if (total.cells > 1)
        printf("%-26s%11s%9s%9s%9.2f%9s%9.3f", "mean", "", "", "", total.above_lru / total.cells,
               "", total.share / total.cells);
    if (total.gaps > 0)
        printf("%9.2f", total.gap / total.gaps);
    if (total.cells > 1)
        printf("\n%-26s%11s%9s%9s%9.2f%9s%9s", "worst", "", "", "", total.least_above_lru, "", "");
    if (total.gaps > 0)
        printf("%9.2f", total.worst_gap);
    printf("\n");
    if (total.caffeines > 0)
        printf("above caffeine 2.6.2: %.2f points on average\n",
               total.caffeine / total.caffeines);
    free(cells);
}
