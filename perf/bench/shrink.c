// SPDX-License-Identifier: MIT
/*
 * `shrink`: how soon does resident memory follow a smaller l1.memory, and what do calls notice?
 *
 * A cache is filled, l1.memory is set down, and resident memory of the process (less what it was
 * before the cache) is watched until it is 1.10 of the new cap, while one thread does nothing, or
 * reads, or puts. Beside it stands what README promises: 1 s, 2 s per GiB given back, 1 s per GiB
 * that stays. `at bound` is resident memory by then, as a share of the cap.
 *
 * The puts are timed one by one, by the clock on the wall: what counts is who waits. So whatever
 * else wants the processors is in the figures, and those of the same puts in a full cache, just
 * before the change, stand beside them. Half of them are of keys that are there.
 *
 * Each case is a process of its own: what another has left behind is not in its resident memory.
 * Pages are as they are by default (--pages is for the others).
 *
 * CPU is that of nigh's own threads, moving and giving back included: what a busy machine does not
 * change. For a victim it is that over all entries that were evicted. While puts go on they evict
 * too: then it says nothing and is left out.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/arena.h"
#include "bench/bench.h"
#include "bench/stage.h"
#include "support/fail.h"
#include "support/hist.h"
#include "support/random.h"
#include "support/table.h"

#define MIB (1ull << 20)
#define VALUE_MAX 40000u
#define FULL 0.93      /* of the cap: nearly nothing has been evicted */
#define ARRIVED 1.10   /* of the cap */
#define LOOK_NS (2 * PERF_NS_PER_MS)
#define GIVE_UP_NS (30 * PERF_NS_PER_S)
#define BEFORE_NS PERF_NS_PER_S
#define LOOK_EVERY_PUTS 256u
#define SAMPLES 60u /* of resident memory until the bound */

enum load { IDLE, READS, PUTS, LOADS };
static const char *const load_names[] = {"idle", "reads", "puts"};

enum phase { WARM, BEFORE, DURING, AFTER, PHASES };

struct shrink_case {
    char name[32];
    uint32_t value_bytes; /* 0: mixed */
    enum load load;
    uint64_t from_bytes, to_bytes;
};

struct outcome {
    double given_back_bytes;
    double bound_s, arrived_s;
    bool never; /* it did not arrive until arrived_s */
    double at_bound; /* resident memory then, of the cap */
    double cpu_s;    /* of nigh's threads */
    double evicted;
    double resident[SAMPLES]; /* bytes, at equal distances */
    unsigned samples;
};

/* Shared with the process that ran it. */
struct shrink_run {
    const struct shrink_case *it;
    struct outcome outcome;
    struct nigh *cache;
    struct nigh_space *space;
    uint32_t keys; /* that were put */
    double resident_before;
    _Atomic int phase;
    _Atomic bool stop;
    struct hist waits[PHASES]; /* of puts */
    uint64_t worker_cpu_ns;    /* in DURING */
};

static char value_bytes[VALUE_MAX];

/* Half of the entries are below 100 B; those of 8 kB and more have most of the bytes. */
static uint32_t mixed_bytes(uint32_t number)
{
    uint32_t part = (uint32_t)(number * 2654435761u) % 100;
    if (part < 50)
        return 16 + part;
    if (part < 80)
        return 100 + part * 7;
    return part < 97 ? 1000 + part * 30 : 8000 * (part - 94);
}

static void put(struct shrink_run *r, uint32_t number)
{
    uint32_t bytes = r->it->value_bytes ? r->it->value_bytes : mixed_bytes(number);
    struct step step;
    key_make(number, &step);
    if (nigh_put(r->space, step.key, step.key_len, value_bytes, bytes, NULL) < 0)
        fail("shrink: a put failed");
}

static double resident(const struct shrink_run *r)
{
    return (double)process_resident_bytes() - r->resident_before;
}

static double stat(const struct shrink_run *r, const char *name)
{
    return (double)nigh_stats_value(r->cache, NULL, name);
}

/* ---- the load ---- */

static void read_one(struct shrink_run *r, uint32_t number)
{
    struct nigh_value value;
    struct step step;
    key_make(number, &step);
    if (nigh_get(r->space, step.key, step.key_len, &loop_call, &value) >= 0)
        nigh_release(&value);
}

static void put_timed(struct shrink_run *r, uint32_t number)
{
    int phase = atomic_load_explicit(&r->phase, memory_order_relaxed);
    uint64_t begin_ns = now_ns();
    put(r, number);
    hist_add(&r->waits[phase], now_ns() - begin_ns);
}

static void *work(void *arg)
{
    struct shrink_run *r = arg;
    struct random_stream random = random_stream_of(1, 0, 0);
    uint64_t begin_ns = 0;
    int phase = WARM;
    while (!atomic_load_explicit(&r->stop, memory_order_relaxed)) {
        int now = atomic_load_explicit(&r->phase, memory_order_relaxed);
        if (now != phase && now == DURING)
            begin_ns = thread_cpu_ns();
        else if (now != phase && now == AFTER)
            r->worker_cpu_ns = thread_cpu_ns() - begin_ns;
        phase = now;
        if (r->it->load == READS)
            read_one(r, random_below(&random, r->keys));
        else
            put_timed(r, random_below(&random, 2 * r->keys));
    }
    return NULL;
}

/* ---- the run ---- */

static void fill(struct shrink_run *r)
{
    while (stat(r, "memory_bytes") < FULL * (double)r->it->from_bytes) {
        progress("shrink: %s: %u entries", r->it->name, r->keys);
        for (uint32_t i = 0; i < LOOK_EVERY_PUTS; i++)
            put(r, r->keys++);
    }
}

static void open_cache(struct shrink_run *r)
{
    struct nigh_options options = NIGH_OPTIONS_INIT;
    options.l1_memory = r->it->from_bytes;
    r->resident_before = (double)process_resident_bytes();
    if (nigh_open(&options, &r->cache) != 0 ||
        nigh_space_open(r->cache, "shrink", NULL, NULL, NULL, NULL, &r->space) != 0)
        fail("cannot open a cache: %s", nigh_options_error());
}

static void set_memory(struct shrink_run *r)
{
    char text[32];
    snprintf(text, sizeof(text), "%lu", (unsigned long)r->it->to_bytes);
    if (nigh_set(r->cache, "l1.memory", text) != 0)
        fail("shrink: l1.memory cannot be set");
}

/* Keep resident memory for the picture: so many times until the bound. */
static void keep_sample(struct outcome *o, double s, double bytes)
{
    while (o->samples < SAMPLES && s >= o->bound_s * o->samples / SAMPLES)
        o->resident[o->samples++] = bytes;
}

/* Until it has arrived and the bound is over. */
static void watch(struct shrink_run *r)
{
    struct outcome *o = &r->outcome;
    double cap = (double)r->it->to_bytes;
    double evicted = stat(r, "l1_evict");
    uint64_t cpu_ns = process_cpu_ns() - thread_cpu_ns();
    o->given_back_bytes = resident(r) - cap;
    o->bound_s = 1 + 2 * o->given_back_bytes / 0x1p30 + cap / 0x1p30;
    atomic_store(&r->phase, DURING);
    uint64_t begin_ns = now_ns();
    set_memory(r);
    double s = 0;
    while (s * 1e9 < GIVE_UP_NS && (o->arrived_s == 0 || s < o->bound_s)) {
        sleep_ns(LOOK_NS);
        double share = resident(r) / cap;
        s = (double)(now_ns() - begin_ns) / 1e9;
        keep_sample(o, s, share * cap);
        if (s <= o->bound_s)
            o->at_bound = share;
        o->never = o->arrived_s == 0 && share > ARRIVED;
        if (o->arrived_s > 0 || (o->never && s * 1e9 < GIVE_UP_NS))
            continue;
        atomic_store(&r->phase, AFTER);
        o->arrived_s = s;
        o->cpu_s = (double)(process_cpu_ns() - thread_cpu_ns() - cpu_ns) / 1e9;
        o->evicted = stat(r, "l1_evict") - evicted;
    }
}

static void run_case(struct shrink_run *r)
{
    pthread_t worker;
    open_cache(r);
    fill(r);
    if (r->it->load != IDLE && pthread_create(&worker, NULL, work, r) != 0)
        fail("cannot start a thread");
    if (r->it->load == PUTS) { /* until evicting has become steady, and then for as long */
        sleep_ns(BEFORE_NS / 2);
        atomic_store(&r->phase, BEFORE);
        sleep_ns(BEFORE_NS);
    }
    watch(r);
    atomic_store(&r->stop, true);
    if (r->it->load != IDLE)
        pthread_join(worker, NULL);
    r->outcome.cpu_s -= (double)r->worker_cpu_ns / 1e9;
    progress_end();
    nigh_close(r->cache);
}

static void run_apart(struct shrink_run *r)
{
    int status = 0;
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        run_case(r);
        _exit(0);
    }
    if (child < 0 || waitpid(child, &status, 0) != child || status != 0)
        fail("shrink: a case was not measured");
}

/* ---- the table ---- */

static double quantile_us(const struct hist *h, double fraction)
{
    return (double)hist_quantile(h, fraction) / 1e3;
}

static void report_waits(const char *name, const struct shrink_run *r)
{
    static const struct {
        const char *metric;
        double fraction;
    } quantiles[] = {{"put p50", 0.5}, {"put p99", 0.99}, {"put p99.99", 0.9999}};
    const struct hist *before = &r->waits[BEFORE], *during = &r->waits[DURING];
    for (size_t i = 0; i < sizeof(quantiles) / sizeof(quantiles[0]); i++) {
        double was = quantile_us(before, quantiles[i].fraction);
        double is = quantile_us(during, quantiles[i].fraction);
        if (i < 2)
            printf("%9.1f", is);
        else
            printf("%7.0f /%5.0f", is, was);
        result_add("shrink", name, quantiles[i].metric, "us", is, "before", was);
    }
    printf("%7.0f", (double)during->max / 1e3);
    result_add("shrink", name, "put max", "us", (double)during->max / 1e3, "before",
               (double)before->max / 1e3);
}

static void report(const struct shrink_run *r)
{
    const struct outcome *o = &r->outcome;
    const char *name = r->it->name;
    printf("%-13s%9s%7.2f%9.3f%8.2f", name,
           table_print(o->never ? "> %.0f" : "%.2f", o->arrived_s), o->bound_s, o->at_bound,
           o->cpu_s);
    result_add("shrink", name, "arrived", "s", o->arrived_s, "bound", o->bound_s);
    result_add("shrink", name, "CPU", "s", o->cpu_s, NULL, 0);
    for (unsigned i = 0; i < o->samples; i++)
        result_add_at("shrink", name, "resident memory", "MiB", o->bound_s * i / SAMPLES,
                      o->resident[i] / (double)MIB, "cap", (double)r->it->to_bytes / (double)MIB);
    result_add("shrink", name, "resident at bound", "share of the cap", o->at_bound, NULL, 0);
    if (r->it->load == PUTS) {
        printf("%10s", "-");
        report_waits(name, r);
    } else {
        double each_ns = o->evicted > 0 ? o->cpu_s * 1e9 / o->evicted : 0;
        printf("%7.0f ns", each_ns);
        result_add("shrink", name, "CPU per evicted entry", "ns", each_ns, NULL, 0);
    }
    printf("\n");
    fflush(stdout);
}

static void measure(const struct shrink_case *it)
{
    struct shrink_run *r = mmap(NULL, sizeof(*r), PROT_READ | PROT_WRITE,
                                MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (r == MAP_FAILED)
        fail("out of memory");
    r->it = it;
    run_apart(r);
    report(r);
    munmap(r, sizeof(*r));
}

void bench_shrink(const struct bench_settings *s)
{
    static const struct {
        const char *name;
        uint32_t value_bytes;
    } cases[] = {{"mixed", 0}, {"16 B", 16}, {"100 B", 100}};
    uint64_t from = (s->quick ? 128 : s->full ? 2048 : 512) * MIB;
    uint64_t to = (s->quick ? 48 : s->full ? 256 : 64) * MIB;
    printf("\nshrink: l1.memory from %lu to %lu MiB; puts in us, p99.99 during / before\n"
           "1.10 at: seconds until resident memory is 1.10 of the new cap; bound: what is promised "
           "for that;\nat bound: resident memory by then, of the cap\n"
           "%-13s%9s%7s%9s%8s%10s%9s%9s%14s%7s\n", (unsigned long)(from / MIB),
           (unsigned long)(to / MIB), "values, load", "1.10 at", "bound", "at bound", "CPU s",
           "a victim", "p50", "p99", "p99.99", "max");
    progress_plan(LOADS * sizeof(cases) / sizeof(cases[0]));
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        for (enum load load = IDLE; load < LOADS; load++) {
            struct shrink_case it = {.value_bytes = cases[i].value_bytes,
                                     .load = load, .from_bytes = from, .to_bytes = to};
            snprintf(it.name, sizeof(it.name), "%s, %s", cases[i].name, load_names[load]);
            progress_share(0, "shrink: %s", it.name);
            if (result_wanted(s->only, it.name))
                measure(&it);
            progress_next();
        }
}
