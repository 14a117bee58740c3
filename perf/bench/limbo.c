// SPDX-License-Identifier: MIT
/*
 * `limbo`: does memory stay under its caps when readers do not let go?
 *
 * A storm of writes runs while a reader is stuck inside a read section (a thread that was preempted
 * there), so that nothing retired can be freed; the same with an invalidation for every other put;
 * then a storm while values are held by pins for seconds.
 *
 * What is removed or replaced while limbo is full can be neither kept nor freed: nigh sets it
 * aside, charged as live (lib/l1/limbo.h). So it is shown beside limbo, and under the same cap.
 * The stuck reader opens its section in liburcu itself: nigh's sections are of the same flavour.
 */
#include <urcu/urcu-bp.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "bench/bench.h"
#include "bench/stage.h"
#include "support/fail.h"

#define MEMORY_BYTES (64ull << 20)
#define LIMBO_BYTES (4ull << 20)
#define ENTRIES 100000u
#define VALUE_BYTES 1000u
#define WRITERS 2u
#define WRITER_BATCH_BYTES (256u * 1280u) /* entries in hand when the cap is reached, generously */
#define PINS 200u
#define PINNED_BYTES 4096u
#define LOOK_EVERY_NS (PERF_NS_PER_MS / 2)

struct storm {
    struct nigh *cache;
    struct nigh_space *space;
    uint32_t entries;
    uint64_t duration_ns;
    bool invalidates; /* before every other put */
    _Atomic bool stop;
    _Atomic uint64_t puts;
    /* highest seen, by looking often */
    int64_t limbo_bytes;
    int64_t aside_bytes;
    int64_t pinned_bytes;
};

static void open_cache(struct storm *s)
{
    struct nigh_options options = NIGH_OPTIONS_INIT;
    options.l1_memory = MEMORY_BYTES;
    options.l1_limbo = LIMBO_BYTES;
    if (nigh_open(&options, &s->cache) != 0 ||
        nigh_space_open(s->cache, "limbo", NULL, NULL, NULL, NULL, &s->space) != 0)
        fail("cannot open a cache: %s", nigh_options_error());
}

static void *write_on(void *arg)
{
    struct storm *s = arg;
    struct step step;
    char value[VALUE_BYTES];
    uint64_t puts = 0;
    value_make(0, value, sizeof(value));
    for (; !atomic_load_explicit(&s->stop, memory_order_relaxed); puts++) {
        key_make((uint32_t)(puts % s->entries), &step);
        if (s->invalidates && puts % 2 &&
            nigh_invalidate(s->space, step.key, step.key_len, NULL) != 0)
            fail("limbo: nigh_invalidate failed");
        /* NIGH_REFUSED: the other writer was faster. */
        if (nigh_put(s->space, step.key, step.key_len, value, sizeof(value), NULL) < 0)
            fail("limbo: a put failed");
    }
    atomic_fetch_add(&s->puts, puts);
    return NULL;
}

/* The gauge of limbo counts all that is retired, also what is held by pins or set aside. */
static void look(struct storm *s)
{
    int64_t pinned = nigh_stats_value(s->cache, NULL, "pinned_bytes");
    int64_t aside = nigh_stats_value(s->cache, NULL, "aside_bytes");
    int64_t limbo = nigh_stats_value(s->cache, NULL, "limbo_bytes") - pinned - aside;
    s->aside_bytes = aside > s->aside_bytes ? aside : s->aside_bytes;
    s->pinned_bytes = pinned > s->pinned_bytes ? pinned : s->pinned_bytes;
    s->limbo_bytes = limbo > s->limbo_bytes ? limbo : s->limbo_bytes;
}

/* Writers for so long, and a look at the gauges all the time. */
static void rage(struct storm *s)
{
    pthread_t ids[WRITERS];
    uint64_t begin_ns = now_ns(), end_ns = begin_ns + s->duration_ns;
    for (unsigned i = 0; i < WRITERS; i++)
        if (pthread_create(&ids[i], NULL, write_on, s) != 0)
            fail("cannot start a thread");
    while (now_ns() < end_ns) {
        look(s);
        progress_share((double)(now_ns() - begin_ns) / (double)s->duration_ns, "limbo");
        sleep_ns(LOOK_EVERY_NS);
    }
    atomic_store(&s->stop, true);
    for (unsigned i = 0; i < WRITERS; i++)
        pthread_join(ids[i], NULL);
    progress_next();
    progress_end();
}

static void report(const char *name, struct storm *s)
{
    double peak = (double)nigh_stats_value(s->cache, NULL, "memory_peak_bytes");
    double refused = (double)nigh_stats_value(s->cache, NULL, "l1_refused_full");
    printf("%-34s%10.2f%10.2f%10.2f%10.2f%12.0f%12.0f\n", name,
           (double)s->limbo_bytes / 0x1p20,
           (double)s->aside_bytes / 0x1p20, (double)s->pinned_bytes / 0x1p20, peak / 0x1p20,
           (double)s->puts, refused);
    result_add("limbo", name, "peak limbo", "bytes", (double)s->limbo_bytes, "cap",
               (double)(LIMBO_BYTES + WRITERS * WRITER_BATCH_BYTES));
    result_add("limbo", name, "peak memory", "bytes", peak, "cap", (double)MEMORY_BYTES);
    result_add("limbo", name, "peak set aside", "bytes", (double)s->aside_bytes, NULL, 0);
    result_add("limbo", name, "peak pinned", "bytes", (double)s->pinned_bytes, NULL, 0);
    result_add("limbo", name, "puts dropped", "share", refused / (double)s->puts, NULL, 0);
}

/* ---- a reader that is stuck ---- */

struct stuck {
    pthread_barrier_t inside;
    _Atomic bool leave;
};

static void *stay_inside(void *arg)
{
    struct stuck *stuck = arg;
    urcu_bp_read_lock();
    pthread_barrier_wait(&stuck->inside);
    while (!atomic_load_explicit(&stuck->leave, memory_order_relaxed))
        sleep_ns(PERF_NS_PER_MS);
    urcu_bp_read_unlock();
    return NULL;
}

static void storm_stuck(uint64_t duration_ns, bool invalidates)
{
    struct storm s = {
        .entries = ENTRIES, .duration_ns = duration_ns, .invalidates = invalidates};
    struct stuck stuck = {.leave = false};
    char name[56];
    pthread_t id;
    open_cache(&s);
    pthread_barrier_init(&stuck.inside, NULL, 2);
    if (pthread_create(&id, NULL, stay_inside, &stuck) != 0)
        fail("cannot start a thread");
    pthread_barrier_wait(&stuck.inside);
    rage(&s);
    atomic_store(&stuck.leave, true);
    pthread_join(id, NULL);
    pthread_barrier_destroy(&stuck.inside);
    snprintf(name, sizeof(name), "reader stuck %lu ms%s",
             (unsigned long)(duration_ns / PERF_NS_PER_MS), invalidates ? ", invalidating" : "");
    report(name, &s);
    nigh_close(s.cache);
}

/* ---- values that are held ---- */

static void hold(struct storm *s, struct nigh_value values[PINS])
{
    struct candidate_need need = {.value_bytes = PINNED_BYTES};
    for (uint32_t i = 0; i < PINS; i++) {
        struct step step;
        key_make(s->entries + i, &step);
        stage_put(&candidate_nigh, s->space, s->entries + i, &need);
        if (nigh_get(s->space, step.key, step.key_len, &loop_call, &values[i]) != NIGH_FRESH)
            fail("limbo: a value just put was not there");
        if (nigh_invalidate(s->space, step.key, step.key_len, NULL) != 0)
            fail("limbo: nigh_invalidate failed");
    }
}

/* Checks that what was held is what was put, after all that, and lets it go. */
static void let_go(struct storm *s, struct nigh_value values[PINS])
{
    char expected[PINNED_BYTES];
    for (uint32_t i = 0; i < PINS; i++) {
        value_make(s->entries + i, expected, sizeof(expected));
        if (values[i].len != sizeof(expected) ||
            memcmp(values[i].data, expected, sizeof(expected)) != 0)
            fail("limbo: a held value has changed");
        nigh_release(&values[i]);
    }
}

static void storm_pinned(uint64_t duration_ns)
{
    struct storm s = {.entries = ENTRIES, .duration_ns = duration_ns};
    struct nigh_value values[PINS];
    char name[56];
    open_cache(&s);
    hold(&s, values);
    rage(&s);
    let_go(&s, values);
    snprintf(name, sizeof(name), "%u values held %lu ms", PINS,
             (unsigned long)(duration_ns / PERF_NS_PER_MS));
    report(name, &s);
    nigh_close(s.cache);
}

void bench_limbo(const struct bench_settings *s)
{
    printf("\nlimbo: %u writers against readers that do not let go; cap %.0f MiB, limbo %.0f MiB\n"
           "limbo: retired, waits for readers; aside: the same when limbo was full, charged as "
           "live; pinned:\nheld as values; peak: of all memory; dropped: puts that found no room\n"
           "%-34s%10s%10s%10s%10s%12s%12s\n", WRITERS, (double)MEMORY_BYTES / 0x1p20,
           (double)LIMBO_BYTES / 0x1p20, "MiB", "limbo", "aside", "pinned", "peak", "puts",
           "dropped");
    progress_plan(3);
    storm_stuck(200 * PERF_NS_PER_MS, false);
    storm_stuck(200 * PERF_NS_PER_MS, true);
    storm_pinned((s->quick ? 300 : 3000) * PERF_NS_PER_MS);
}
