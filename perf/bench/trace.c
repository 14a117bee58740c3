// SPDX-License-Identifier: MIT
/*
 * `trace`: what share of requests does nigh answer from its memory, beside exact LRU, GDSF (where
 * the cap is in bytes) and the best that any policy could (where it is on the count)?
 *
 * A capacity in objects is l1.entries. One in bytes is of payload, while nigh counts everything: so
 * the memory is found by trial with which just so many objects of the mean size fit, and those who
 * are compared get what nigh then has. Sizes are multiplied, for small caches, until nigh's own
 * tables and headers are small against the payload: the hit ratio does not depend on the unit.
 *
 * A recording of one key in so many is replayed in as small a part of the capacity.
 */
#include <stdio.h>

#include "bench/arena.h"
#include "bench/bench.h"
#include "bench/candidate.h"
#include "bench/measure.h"
#include "bench/replay.h"
#include "bench/trace_file.h"
#include "bench/trace_make.h"
#include "support/fail.h"
#include "support/table.h"

#define PAYLOAD_MIN_BYTES (16ull << 20)
#define OBJECTS_LEAST 16u /* that the memory is found with, if mean ones are larger */
#define TRIALS_MAX 12u
#define TRIAL_PRECISION 2000u /* stop within one in so many entries */

/* The capacity of one run, as asked for. */
struct capacity {
    uint64_t amount; /* objects, or bytes of payload */
    bool by_bytes;
    double rate; /* share of the keys that the trace has: it gets as large a part */
};

/* The hit ratios that others reach. */
static struct {
    struct reference_cell *cells;
    size_t count;
} reference;

static uint64_t less(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
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
static void find_memory(const struct bench_settings *s, struct replay *r,
                        struct replay_setting *set, uint64_t wanted)
{
    uint64_t per_object = arena_charge(set->object_bytes + REPLAY_OVERHEAD_BYTES) + 32;
    uint64_t memory = wanted * per_object * 9 / 8 + (1u << 20);
    uint64_t nearest = UINT64_MAX;
    for (unsigned trial = 0; trial < TRIALS_MAX && nearest > wanted / TRIAL_PRECISION; trial++) {
        memory = memory > REPLAY_MEMORY_MIN_BYTES ? memory : REPLAY_MEMORY_MIN_BYTES;
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

static uint64_t requested_bytes(const struct trace *t)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < t->count; i++)
        sum += t->requests[i].size;
    return sum;
}

static uint64_t amount_of(struct capacity c)
{
    uint64_t amount = c.rate < 1 ? (uint64_t)((double)c.amount * c.rate + 0.5) : c.amount;
    return amount > 0 ? amount : 1;
}

static struct replay_setting setting_for(const struct bench_settings *s, struct replay *r,
                                  const struct trace *t, struct capacity c)
{
    struct replay_setting set = {.scale = 1, .by_bytes = c.by_bytes};
    uint64_t amount = amount_of(c);
    if (!c.by_bytes) {
        set.object_bytes = REPLAY_OBJECT_BYTES;
        set.entries = amount;
        set.entries_max = (uint32_t)amount;
        set.memory_bytes = replay_memory_for(amount);
        return set;
    }
    while (amount * set.scale < PAYLOAD_MIN_BYTES)
        set.scale *= 2;
    uint64_t payload = amount * set.scale;
    uint64_t mean = (requested_bytes(t) / t->count + 1) * set.scale;
    set.object_bytes = less(mean, payload / OBJECTS_LEAST);
    find_memory(s, r, &set, payload / set.object_bytes);
    return set;
}

/* ---- a run ---- */

static double percent(uint64_t part, uint64_t of)
{
    return 100.0 * (double)part / (double)of;
}

/* Ratios that nigh is compared with, in percent; 0: not known. */
struct others {
    double lru, optimum, gdsf, field, caffeine;
};

/* Sums over all cells that have a reference. */
static struct {
    unsigned cells, gaps, caffeines;
    double share, above_lru, least_above_lru, gap, worst_gap, caffeine;
} total;

static void sum_up(double nigh, const struct others *o)
{
    double above = nigh - o->lru;
    total.least_above_lru =
        total.cells == 0 || above < total.least_above_lru ? above : total.least_above_lru;
    total.cells++;
    total.share += o->optimum > 0 ? nigh / o->optimum : 1;
    total.above_lru += above;
    if (o->field > 0) {
        double gap = o->field - nigh;
        total.worst_gap = total.gaps == 0 || gap > total.worst_gap ? gap : total.worst_gap;
        total.gap += gap;
        total.gaps++;
    }
    if (o->caffeine > 0) {
        total.caffeine += nigh - o->caffeine;
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

static struct others others_of(const struct trace *t, uint64_t capacity, bool by_bytes,
                               const struct reference_cell *ref)
{
    struct others o = {0};
    if (by_bytes) {
        o.lru = percent(simulate_lru_bytes(t, capacity), t->count);
        o.gdsf = percent(simulate_gdsf(t, capacity), t->count);
    } else {
        o.lru = percent(simulate_lru(t, capacity), t->count);
        o.optimum = percent(simulate_belady(t, capacity), t->count);
    }
    if (ref) {
        o.field = 100 * ref->best;
        o.caffeine = 100 * ref->caffeine;
    }
    return o;
}

static void print_row(const char *label, uint64_t capacity, double nigh, const struct others *o)
{
    printf("%-26s%11lu%9.2f%9.2f%9.2f", label, (unsigned long)capacity, nigh, o->lru,
           nigh - o->lru);
    print_field(o->optimum, o->optimum > 0);
    print_field(o->optimum > 0 ? nigh / o->optimum : 0, o->optimum > 0);
    print_field(o->gdsf, o->gdsf > 0);
    print_field(o->field - nigh, o->field > 0);
}

static void add_results(const char *label, double nigh, const struct others *o)
{
    const struct {
        const char *name;
        double percent;
    } all[] = {{"lru", o->lru},     {"belady", o->optimum},    {"gdsf", o->gdsf},
               {"field", o->field}, {"caffeine", o->caffeine}};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        if (i == 0 || all[i].percent > 0)
            result_add("trace", label, "hit ratio", "percent", nigh, all[i].name, all[i].percent);
}

static void run_one(const struct bench_settings *s, const char *name, const struct trace *t,
                    struct capacity c, const struct reference_cell *ref)
{
    struct replay r = {0};
    char label[56];
    snprintf(label, sizeof(label), "%s %lu%s", name, (unsigned long)c.amount,
             c.by_bytes ? " B" : "");
    r.value = must_alloc(1, NIGH_VALUE_MAX);
    struct replay_setting set = setting_for(s, &r, t, c);
    if (s->curve) {
        free(r.value);
        replay_beside_curve(s, label, t, &set);
        return;
    }
    progress_share(0, "trace: %s", label);
    struct replay_outcome o = replay_trace(&r, s, t, &set);
    free(r.value);
    uint64_t fair = c.by_bytes ? set.entries * set.object_bytes / set.scale : set.entries;
    double nigh = percent(o.hits, t->count);
    struct others others = others_of(t, fair, c.by_bytes, ref);
    progress_end();
    print_row(label, fair, nigh, &others);
    if (c.by_bytes)
        printf("%9.2f", percent(o.hit_bytes, requested_bytes(t)));
    if (o.dropped)
        printf("  (%s dropped)", table_some(o.dropped, "put"));
    if (r.too_large)
        printf("  (%s for values above %u MiB, never stored)",
               table_some(r.too_large, "request"), NIGH_VALUE_MAX >> 20);
    printf("\n");
    table_end();
    fflush(stdout);
    add_results(label, nigh, &others);
    result_add("trace", label, "puts dropped", "count", (double)o.dropped, NULL, 0);
    if (!c.by_bytes)
        sum_up(nigh, &others);
}

/* A hundredth and a tenth of the objects, or of their bytes: where caches live. */
static void run_usual(const struct bench_settings *s, const char *name, const struct trace *t,
                      bool by_bytes)
{
    uint64_t all = by_bytes ? trace_bytes(t) : t->unique;
    run_one(s, name, t, (struct capacity){all / 100 + 1, by_bytes, 1}, NULL);
    run_one(s, name, t, (struct capacity){all / 10 + 1, by_bytes, 1}, NULL);
}

static void print_rate(const char *name, double rate)
{
    if (rate < 1)
        printf("%s has one key in %.0f: capacities that are asked for are of the whole, those "
               "printed are its\npart. Hits are the sample's, too few or too many by the most "
               "popular keys (tune makes that good)\n", name, 1 / rate);
}

/* `by_bytes`: sizes are what it was made for. `rate`: share of the keys that it has. */
static void run_trace(const struct bench_settings *s, const char *name, const struct trace *t,
                      bool by_bytes, double rate)
{
    bool any = false;
    for (size_t i = 0; i < reference.count; i++)
        if (strcmp(reference.cells[i].trace, name) == 0) {
            const struct reference_cell *cell = &reference.cells[i];
            run_one(s, name, t, (struct capacity){cell->capacity, cell->by_bytes, rate}, cell);
            any = true;
        }
    if (s->objects)
        run_one(s, name, t, (struct capacity){s->objects, false, rate}, NULL);
    if (s->bytes)
        run_one(s, name, t, (struct capacity){s->bytes, true, rate}, NULL);
    if (!any && !s->objects && !s->bytes)
        run_usual(s, name, t, by_bytes);
}

static void print_heading(const struct bench_settings *s)
{
    if (s->curve) {
        replay_print_curve_heading();
        return;
    }
    printf("\ntrace: share of requests answered, %%; policy %s, %u shard%s\n", s->policy ? s->policy
           : "as by default", s->shards ? s->shards : 1, s->shards > 1 ? "s" : "");
    puts("capacity: objects, or bytes (B) of payload; -lru: points above lru; share: of belady;\n"
         "gap: points below the best of --reference; bytes: share of the bytes asked for");
    printf("%-26s%11s%9s%9s%9s%9s%9s%9s%9s%9s\n", "", "capacity", "nigh", "lru", "-lru", "belady",
           "share", "gdsf", "gap", "bytes");
}

static void print_totals(const struct bench_settings *s)
{
    if (s->curve)
        replay_print_curve_total();
    if (total.cells > 1) {
        printf("%-26s%11s%9s%9s%9.2f%9s%9.3f%9s", "mean", "", "", "", total.above_lru / total.cells,
               "", total.share / total.cells, "");
        print_field(total.gaps ? total.gap / total.gaps : 0, total.gaps);
        printf("\n%-26s%11s%9s%9s%9.2f%9s%9s%9s", "worst", "", "", "", total.least_above_lru, "",
               "", "");
        print_field(total.worst_gap, total.gaps);
        printf("\n");
    }
    if (total.caffeines > 0)
        printf("above caffeine 2.6.2: %.2f points on average\n",
               total.caffeine / total.caffeines);
}

void bench_trace(const struct bench_settings *s)
{
    struct trace t;
    if (s->file_count == 0 && !s->generate)
        fail("trace: which file? (perf/run trace FILE.t8.zst ..., or --generate SPEC)");
    if (s->reference)
        reference.count = reference_read(s->reference, &reference.cells);
    print_heading(s);
    progress_plan((unsigned)s->file_count + (s->generate != NULL));
    if (s->generate) {
        trace_make(&t, s->generate);
        run_trace(s, "made", &t, true, 1);
        progress_next();
        trace_free(&t);
    }
    for (int i = 0; i < s->file_count; i++) {
        char *name = trace_name(s->files[i]);
        double rate = trace_read(&t, s->files[i]);
        print_rate(name, rate);
        run_trace(s, name, &t, false, rate);
        progress_next();
        trace_free(&t);
        free(name);
    }
    print_totals(s);
    free(reference.cells);
}
