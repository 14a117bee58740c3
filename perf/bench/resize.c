// SPDX-License-Identifier: MIT
/*
 * `resize`: how long is a writer's lock held while a shard doubles, and do readers notice?
 *
 * One shard is filled up to the doubling beyond 16k entries, each put timed by the CPU clock of its
 * thread: the longest put is the doubling, and bounds the time that the lock was held from above.
 * A reader looks up keys that are there all the time. That it never waits is seen without a clock:
 * a thread that waits gives up the CPU, which the kernel counts.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/resource.h>

#include "bench/bench.h"
#include "bench/stage.h"
#include "support/fail.h"
#include "support/hist.h"

#define VALUE_BYTES 100u
#define READ_ENTRIES 1024u     /* there before the growth begins */
#define SHARD_ENTRIES 16384u
#define FILL_ENTRIES 24000u    /* a table of 4096 buckets doubles at 5.25 x 4096 = 21,504 */
#define GROWTHS_EXPECTED_MIN 3

/* ---- the writer: one shard, filled ---- */

/* CPU time of puts, less that of a usual one. */
struct growth {
    double longest_ns; /* whatever it did: it may have made the next table, before it is needed */
    double doubling_ns; /* the longest that doubled the table, under the lock */
    double entries;    /* that were in the shard then */
    long faults;       /* page faults in it */
    double usual_ns;
};

static struct nigh_space *open_shard(struct nigh **ret_cache)
{
    struct nigh_options options = NIGH_OPTIONS_INIT;
    struct nigh_space *space;
    options.l1_memory = 64u << 20;
    options.l1_shards = 1;
    if (nigh_open(&options, ret_cache) != 0 ||
        nigh_space_open(*ret_cache, "resize", NULL, NULL, NULL, NULL, &space) != 0)
        fail("cannot open a cache: %s", nigh_options_error());
    return space;
}

static long page_faults(void)
{
    struct rusage usage;
    getrusage(RUSAGE_THREAD, &usage);
    return usage.ru_minflt;
}

/* Only puts this long are asked whether they doubled the table: asking takes longer than a put. */
#define LONG_PUT_NS 20000u

static void note_long(struct growth *g, uint64_t took_ns, bool doubled, uint32_t number,
                      long faults)
{
    if ((double)took_ns > g->longest_ns)
        g->longest_ns = (double)took_ns;
    if (!doubled || (double)took_ns < g->doubling_ns)
        return;
    g->doubling_ns = (double)took_ns;
    g->entries = number;
    g->faults = faults;
}

/* Fill from `from` to `to`; the longest puts. */
static struct growth fill(struct nigh *cache, struct nigh_space *space, uint32_t from, uint32_t to)
{
    struct candidate_need need = {.value_bytes = VALUE_BYTES};
    struct growth g = {0};
    struct hist *usual = must_alloc(1, sizeof(*usual));
    int64_t grown = nigh_stats_value(cache, NULL, "l1_grow");
    for (uint32_t number = from; number < to; number++) {
        long faults = page_faults();
        uint64_t before = thread_cpu_ns();
        stage_put(&candidate_nigh, space, number, &need);
        uint64_t took = thread_cpu_ns() - before;
        hist_add(usual, took);
        if (took < LONG_PUT_NS)
            continue;
        faults = page_faults() - faults;
        int64_t now_grown = nigh_stats_value(cache, NULL, "l1_grow");
        note_long(&g, took, now_grown > grown, number, faults);
        grown = now_grown;
    }
    g.usual_ns = (double)hist_quantile(usual, 0.5);
    g.longest_ns -= g.usual_ns;
    g.doubling_ns -= g.usual_ns;
    free(usual);
    return g;
}

struct growth_run {
    struct growth growth;
    double longest_ns;
};

static double growth_round(void *arg)
{
    struct growth_run *run = arg;
    struct nigh *cache;
    struct nigh_space *space = open_shard(&cache);
    fill(cache, space, 0, SHARD_ENTRIES);
    run->growth = fill(cache, space, SHARD_ENTRIES, FILL_ENTRIES);
    run->longest_ns = run->growth.longest_ns > run->longest_ns ? run->growth.longest_ns
                                                               : run->longest_ns;
    if (nigh_stats_value(cache, NULL, "l1_grow") < GROWTHS_EXPECTED_MIN)
        fail("the shard did not grow as often as it should have");
    nigh_close(cache);
    return run->growth.doubling_ns;
}

static void bench_lock(const struct bench_settings *s)
{
    struct growth_run run = {.longest_ns = 0};
    struct subject subject = {.name = "nigh", .run = growth_round, .arg = &run};
    rounds_run("resize", &subject, 1, s->rounds);
    double hold_ns = median(subject.figures, s->rounds);
    double per_entry_ns = hold_ns / run.growth.entries;
    printf("\nresize: one shard doubles at %.0f entries (CPU time of the put that does it)\n",
           run.growth.entries);
    printf("%-40s%12.0f us (spread %.0f %%)\n", "  lock held, at most", hold_ns / 1e3,
           spread(subject.figures, s->rounds) * 100);
    printf("%-40s%12ld\n", "  page faults in it", run.growth.faults);
    printf("%-40s%12.1f ns\n", "  per entry", per_entry_ns);
    printf("%-40s%12.0f us\n", "  that is, for 16,384 entries",
           per_entry_ns * SHARD_ENTRIES / 1e3);
    printf("%-40s%12.1f us\n", "  a usual put", run.growth.usual_ns / 1e3);
    printf("%-40s%12.0f us\n", "  the longest, which makes the table", run.longest_ns / 1e3);
    result_add_rounds("resize", "one shard", "put that doubles", "cpu ns", &subject, NULL,
                      s->rounds);
    result_add("resize", "one shard", "per entry", "cpu ns/entry", per_entry_ns, NULL, 0);
    result_add("resize", "16,384 entries", "longest lock hold", "cpu ns",
               per_entry_ns * SHARD_ENTRIES, NULL, 0);
}

/* ---- a reader meanwhile ---- */

struct reader {
    struct nigh_space *space;
    const struct sequence *sequence;
    _Atomic bool stop;
    struct hist *latency; /* wall time */
    long waited;          /* times it gave up the CPU of itself */
};

static long voluntary_switches(void)
{
    struct rusage usage;
    getrusage(RUSAGE_THREAD, &usage);
    return usage.ru_nvcsw;
}

static void *read_on(void *arg)
{
    struct reader *r = arg;
    long before = voluntary_switches();
    for (uint64_t at = 0; !atomic_load_explicit(&r->stop, memory_order_relaxed); at++) {
        const struct step *step = &r->sequence->steps[at & (r->sequence->length - 1)];
        struct nigh_value value = NIGH_VALUE_INIT;
        uint64_t begin_ns = now_ns();
        int rc = nigh_get(r->space, step->key, step->key_len, &loop_call, &value);
        hist_add(r->latency, now_ns() - begin_ns);
        if (rc != NIGH_FRESH)
            fail("resize: a key that was there all the time was not found");
        nigh_release(&value);
    }
    r->waited = voluntary_switches() - before;
    return NULL;
}

/* A reader while `work` runs in this thread. */
static void read_beside(struct reader *r, void (*work)(void *arg), void *arg)
{
    pthread_t id;
    atomic_store(&r->stop, false);
    r->latency = must_alloc(1, sizeof(*r->latency));
    if (pthread_create(&id, NULL, read_on, r) != 0)
        fail("cannot start a thread");
    work(arg);
    atomic_store(&r->stop, true);
    pthread_join(id, NULL);
}

struct work {
    struct nigh *cache;
    struct nigh_space *space;
    uint32_t entries;
    uint64_t ns; /* that the growth took, for the control */
};

static void grow(void *arg)
{
    struct work *w = arg;
    uint64_t begin_ns = now_ns();
    fill(w->cache, w->space, READ_ENTRIES, w->entries);
    w->ns = now_ns() - begin_ns;
}

/* The control: as long, as busy, and nobody writes. */
static void spin(void *arg)
{
    const struct work *w = arg;
    uint64_t end_ns = now_ns() + w->ns;
    while (now_ns() < end_ns)
        continue;
}

static void report_reader(const char *name, const struct reader *r)
{
    printf("%-40s%12lu%12lu%12lu%12ld\n", name, (unsigned long)hist_quantile(r->latency, 0.5),
           (unsigned long)hist_quantile(r->latency, 0.999), (unsigned long)r->latency->max,
           r->waited);
}

static void bench_reader(const struct bench_settings *s)
{
    struct nigh *cache;
    struct sequence sequence;
    struct nigh_space *space = open_shard(&cache);
    struct work work = {cache, space, s->quick ? 50000 : 300000, 0};
    struct reader growing = {.space = space, .sequence = &sequence};
    struct reader control = growing;
    sequence_make(&sequence, KEYS_UNIFORM, READ_ENTRIES, 1 << 12, 4);
    fill(cache, space, 0, READ_ENTRIES);
    read_beside(&growing, grow, &work);
    long grown = (long)nigh_stats_value(cache, NULL, "l1_grow");
    read_beside(&control, spin, &work);
    printf("\nresize: a reader while one shard grows to %u entries (%ld doublings): ns\n"
           "%-40s%12s%12s%12s%12s\n", work.entries, grown, "", "p50", "p99.9", "max", "waited");
    report_reader("  while it grows", &growing);
    report_reader("  while nobody writes", &control);
    result_add("resize", "reader", "times waited", "count", (double)growing.waited, "idle",
               (double)control.waited);
    result_add("resize", "reader", "p99.9", "ns", (double)hist_quantile(growing.latency, 0.999),
               "idle", (double)hist_quantile(control.latency, 0.999));
    result_add("resize", "reader", "longest", "ns", (double)growing.latency->max, "idle",
               (double)control.latency->max);
    free(growing.latency);
    free(control.latency);
    nigh_close(cache);
    sequence_free(&sequence);
}

void bench_resize(const struct bench_settings *s)
{
    bench_lock(s);
    bench_reader(s);
}
