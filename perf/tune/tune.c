// SPDX-License-Identifier: MIT
/*
 * The search: first the curve of exact LRU, which costs one pass; it says which sizes are worth a
 * replay. Then each policy at each of those, then sizes around the knee, then the shards.
 *
 * Beyond the first size with which LRU answers all but a thousandth of what any cache could, no
 * replay would tell anything new, unless the replays are not as near to that yet, for the curve
 * knows an entry's bytes only roughly. Below it all doublings are tried, also where the curve is
 * flat: lfu may answer a lot where LRU answers nothing (a loop larger than the cache).
 */
#include "tune/tune.h"

#include <string.h>
#include <unistd.h>

#include "support/fail.h"

#define MEMORY_LEAST        (4ull << 20) /* of l1.memory */
#define NEARLY_ALL          0.001
#define REPLAYS_NEARLY_ALL  0.005 /* of the requests, for limbo and slabs take their part */
#define KEY_BYTES_USUAL     24u
#define CURVE_REQUESTS_MOST ((size_t)4 << 20)

void tune_settings_init(struct tune_settings *s)
{
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    *s = (struct tune_settings){.policies = {"lfu", "lru"},
                                .worth = 0.01,
                                .value_bytes = 1024,
                                .key_bytes = KEY_BYTES_USUAL,
                                .value_max = NIGH_DEFAULT_VALUE_MAX,
                                .most = 2000000,
                                .rounds = 9,
                                .round_ns = 120 * PERF_NS_PER_MS,
                                .seed = 1};
    s->threads[0] = cpus < 1 ? 1 : cpus > SHARDS_THREADS_MAX ? SHARDS_THREADS_MAX : (unsigned)cpus;
}

bool tune_has_lives(const struct tune *t)
{
    return t->in.trace.lives != NULL;
}

bool tune_is_cut(const struct tune *t)
{
    return t->cut && t->knee + 1 == t->size_count;
}

/* ---- sizes ---- */

static double curve_of(const struct tune *t, uint64_t bytes)
{
    return curve_at(&t->curve, curve_room((double)bytes));
}

static uint64_t machine_bytes(void)
{
    return (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* Where `bytes` belongs, or NULL: it is there, or there is no room. */
static struct tune_size *insert_size(struct tune *t, uint64_t bytes)
{
    unsigned at = t->size_count;
    if (t->size_count == TUNE_SIZES_MAX)
        return NULL;
    while (at > 0 && t->sizes[at - 1].bytes > bytes)
        at--;
    if (at > 0 && t->sizes[at - 1].bytes == bytes)
        return NULL;
    memmove(&t->sizes[at + 1], &t->sizes[at], (t->size_count - at) * sizeof(t->sizes[0]));
    double lru = tune_has_lives(t) ? replay_lru(&t->source, bytes, CURVE_REQUESTS_MOST)
                                   : curve_of(t, bytes);
    t->sizes[at] = (struct tune_size){.bytes = bytes, .lru = lru};
    t->size_count++;
    return &t->sizes[at];
}

static uint64_t memory_most(const struct tune *t)
{
    uint64_t most = t->settings->memory_max ? t->settings->memory_max : machine_bytes() / 2;
    return most < MEMORY_LEAST ? MEMORY_LEAST : most >> 20 << 20;
}

static void choose_sizes(struct tune *t)
{
    uint64_t most = memory_most(t);
    uint64_t bytes = MEMORY_LEAST;
    double top = curve_top(&t->curve) - NEARLY_ALL;
    for (; bytes < most && curve_of(t, bytes) < top; bytes *= 2)
        insert_size(t, bytes);
    t->cut = bytes > most || (bytes == most && curve_of(t, bytes) < top);
    insert_size(t, bytes < most ? bytes : most);
}

/* ---- replays ---- */

static double cost_of(const struct tune *t, uint64_t bytes)
{
    struct replay_scale s = replay_scale_of(&t->source, bytes, t->settings->most);
    return (double)t->in.trace.count * s.rate * s.copies;
}

static void replay_size(struct tune *t, struct tune_size *size, double *done, double all)
{
    for (unsigned p = 0; p < t->policy_count; p++) {
        progress_share(*done / all, "replay in %.0f MiB, %s", (double)size->bytes / 0x1p20,
                       t->settings->policies[p]);
        size->by[p] = replay_run(&t->source, t->settings->policies[p], size->bytes, 1);
        *done += cost_of(t, size->bytes);
    }
}

static void replay_all(struct tune *t)
{
    double done = 0, all = 0;
    for (unsigned i = 0; i < t->size_count; i++)
        all += cost_of(t, t->sizes[i].bytes) * t->policy_count;
    for (unsigned i = 0; i < t->size_count; i++)
        replay_size(t, &t->sizes[i], &done, all);
    progress_end();
}

/* ---- the choice ---- */

static void points_of(const struct tune *t, unsigned policy, bool by_time, struct knee_point *ret)
{
    for (unsigned i = 0; i < t->size_count; i++) {
        const struct replay_result *r = &t->sizes[i].by[policy];
        ret[i] = (struct knee_point){(double)t->sizes[i].bytes,
                                     by_time ? replay_left(r) : 1 - r->hits};
    }
    knee_smooth(ret, t->size_count);
}

void tune_points(const struct tune *t, bool by_time, struct knee_point *ret)
{
    points_of(t, t->policy, by_time, ret);
}

bool tune_knows_time(const struct tune *t)
{
    return t->sizes[0].by[0].all_s > 0;
}

static unsigned knee_of(const struct tune *t, unsigned policy)
{
    struct knee_point points[TUNE_SIZES_MAX];
    points_of(t, policy, true, points);
    return (unsigned)knee_find(points, t->size_count, t->settings->worth);
}

static double most_hits(const struct tune *t, const struct tune_size *size)
{
    double most = 0;
    for (unsigned p = 0; p < t->policy_count; p++)
        most = size->by[p].hits > most ? size->by[p].hits : most;
    return most;
}

/* Doublings beyond what the curve thought to be all, for as long as they bring anything. */
static void replay_beyond(struct tune *t)
{
    uint64_t most = memory_most(t);
    double done = 0;
    while (t->size_count + 2 < TUNE_SIZES_MAX && !tune_has_lives(t)) {
        const struct tune_size *last = &t->sizes[t->size_count - 1];
        if (last->bytes * 2 > most ||
            most_hits(t, last) > curve_top(&t->curve) - REPLAYS_NEARLY_ALL)
            return;
        replay_size(t, insert_size(t, last->bytes * 2), &done, cost_of(t, most) * 4);
        if (most_hits(t, &t->sizes[t->size_count - 1]) <
            most_hits(t, &t->sizes[t->size_count - 2]) + REPLAYS_NEARLY_ALL)
            return;
    }
}

/* The policy that leaves least to load at the knee of the first. What is no reason for more memory
 * is none against the first policy either. */
static void choose(struct tune *t)
{
    unsigned knee = knee_of(t, 0);
    t->policy = 0;
    for (unsigned p = 1; p < t->policy_count; p++) {
        const struct replay_result *by = t->sizes[knee].by;
        double margin = t->policy == 0 ? t->settings->worth : 0;
        if (replay_left(&by[p]) < replay_left(&by[t->policy]) - margin)
            t->policy = p;
    }
    t->knee = knee_of(t, t->policy);
}

/* Sizes between the doublings, on both sides of the knee. */
static void refine(struct tune *t)
{
    uint64_t knee = t->sizes[t->knee].bytes;
    uint64_t most = t->sizes[t->size_count - 1].bytes;
    uint64_t tried[] = {knee / 4 * 3, knee / 2 * 3};
    double done = 0;
    progress_plan(1);
    for (unsigned i = 0; i < sizeof(tried) / sizeof(tried[0]); i++) {
        struct tune_size *size =
            tried[i] >= MEMORY_LEAST && tried[i] < most ? insert_size(t, tried[i]) : NULL;
        if (size)
            replay_size(t, size, &done, cost_of(t, tried[i]) * 4);
    }
    progress_end();
    choose(t);
}

/* 0: nigh's own default, for nothing speaks against it. Who names one number has chosen it. */
static unsigned chosen_shards(const struct tune *t)
{
    const struct shards_result *r = &t->shards[t->shards_count - 1];
    return r->differs || r->count == 1 ? r->all[r->chosen].shards : 0;
}

/* From 1 to eight for each thread, but not so many that a shard has no room to work with. */
static void usual_shards(unsigned *ret, unsigned threads, uint64_t bytes)
{
    unsigned count = 0;
    for (unsigned shards = 1; shards <= 8 * threads && count < SHARDS_CANDIDATES_MAX; shards *= 2)
        if (shards == 1 || bytes / shards >= (1u << 20))
            ret[count++] = shards;
    ret[count] = 0;
}

static void measure_shards(struct tune *t)
{
    const struct tune_settings *s = t->settings;
    uint64_t bytes = t->sizes[t->knee].bytes;
    for (unsigned i = 0; s->threads[i]; i++) {
        unsigned usual[SHARDS_CANDIDATES_MAX + 1];
        usual_shards(usual, s->threads[i], bytes);
        shards_measure(&t->shards[i], &t->source, s->policies[t->policy], bytes, s->threads[i],
                       s->shards[0] ? s->shards : usual, s->rounds, s->round_ns);
        t->shards_count++;
    }
    t->check = replay_run(&t->source, s->policies[t->policy], bytes, chosen_shards(t));
}

/* ---- all of it ---- */

static struct life life_of_ttl(uint64_t ttl_s)
{
    uint64_t ms = ttl_s * 1000;
    return (struct life){ms < LIFE_FOREVER ? (uint32_t)ms : LIFE_FOREVER - 1, 0};
}

static char *read_input(struct tune *t)
{
    const struct tune_settings *s = t->settings;
    char *why = input_read(&t->in, s->kind, s->path);
    if (why)
        return why;
    if (s->ttl_s && !input_span_s(&t->in))
        return must_print("%s has no times, so --ttl cannot be followed", s->path);
    if (s->ttl_s)
        input_set_life(&t->in, life_of_ttl(s->ttl_s));
    if (!t->in.has_sizes)
        input_set_sizes(&t->in, s->value_bytes);
    t->too_large = input_set_value_max(&t->in, s->value_max);
    t->source = (struct replay_source){
        .in = &t->in,
        .key_bytes = t->in.key_bytes ? t->in.key_bytes : s->key_bytes,
        .value_max = s->value_max,
        .most = s->most,
        .seed = s->seed,
    };
    return NULL;
}

char *tune_run(struct tune *t, const struct tune_settings *s)
{
    *t = (struct tune){.settings = s};
    while (s->policies[t->policy_count])
        t->policy_count++;
    progress("reading %s", s->path);
    char *why = read_input(t);
    if (why)
        return why;
    progress("stack distances of %zu requests", t->in.trace.count);
    curve_make(&t->curve, &t->in, t->source.key_bytes, CURVE_REQUESTS_MOST, s->seed);
    if (curve_top(&t->curve) <= 0 && t->too_large > 0)
        return must_print("%s has no request that L1 would answer: %zu of %zu are for values above "
                          "%s,\nwhich space.value_max does not let in (--value-max SIZE replays "
                          "with a larger one),\nand the others for keys that were not there before",
                          s->path, t->too_large, t->in.trace.count, tune_size(s->value_max));
    if (curve_top(&t->curve) <= 0)
        return must_print("%s has no request that a cache could have answered: none of %zu is for "
                          "a key that was there before",
                          s->path, t->in.trace.count);
    choose_sizes(t);
    progress_plan(1);
    replay_all(t);
    replay_beyond(t);
    choose(t);
    refine(t);
    measure_shards(t);
    return NULL;
}

void tune_free(struct tune *t)
{
    input_free(&t->in);
}

void tune_line(const struct tune *t, char *ret, size_t size)
{
    unsigned shards = chosen_shards(t);
    int len = snprintf(ret, size, "l1.memory=%llum,l1.policy=%s",
                       (unsigned long long)(t->sizes[t->knee].bytes >> 20),
                       t->settings->policies[t->policy]);
    if (shards)
        len += snprintf(ret + len, size - (size_t)len, ",l1.shards=%u", shards);
    uint32_t value_max = t->settings->value_max, mib = 1u << 20;
    bool whole = value_max % mib == 0;
    if (value_max != NIGH_DEFAULT_VALUE_MAX)
        snprintf(ret + len, size - (size_t)len, ",space.value_max=%u%s",
                 whole ? value_max / mib : value_max, whole ? "m" : "");
}
