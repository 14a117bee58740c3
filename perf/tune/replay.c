// SPDX-License-Identifier: MIT
/*
 * Replaying.
 */
#include "tune/replay.h"

#include <math.h>
#include <string.h>

#include "support/fail.h"
#include "support/seeded.h"
#include "tune/curve.h"

#define MEMORY_LEAST (4ull << 20)  /* of l1.memory */
#define MEMORY_GOOD  (16ull << 20) /* below, a slab more or less begins to show */
#define TICK_SHARE   64u           /* of the memory, put since the last tick: little is in limbo */
#define ENTRY_BYTES  96u           /* of an entry beside its value, for that */
#define COPIES_MAX   4096u
#define KEY_LEAST    ((uint32_t)sizeof(struct replay_key))
#define FLOORS_USUAL 65536u /* coherence.group_slots */
#define FLOORS_LEAST 2048u
#define FLOOR_BYTES  16.0
#define CLOCK_MOST_US (1ull << 47)
#define REQUEST_US   1u /* between two, where no value ends: what is due by time is done as often */

struct replay_key {
    uint32_t key;
    uint32_t copy;
};

/* ---- how large ---- */

struct replay_scale replay_scale_of(const struct replay_source *src, uint64_t bytes, size_t most)
{
    double whole = (double)bytes * src->in->rate; /* for all keys of the input */
    double least = (double)(bytes < MEMORY_GOOD ? bytes : MEMORY_GOOD);
    struct replay_scale s = {.rate = (double)most / (double)src->in->trace.count, .copies = 1};
    if (s.rate * whole < least)
        s.rate = least / whole;
    s.rate = s.rate < 1 ? s.rate : 1;
    while (s.rate * whole * s.copies < least && s.copies < COPIES_MAX)
        s.copies++;
    s.memory = (uint64_t)(s.rate * whole * s.copies);
    s.memory = s.memory < MEMORY_LEAST ? MEMORY_LEAST : s.memory;
    return s;
}

/* ---- a cache ---- */

static const char *any_value(void)
{
    static char value[NIGH_VALUE_MAX];
    return value;
}

/* A part of the keys has as large a part of the floors of groups, which are a good part of a small
 * cap; their number is a power of two, and memory makes good what that is off by. */
static void set_memory(struct nigh_options *options, const struct replay_scale *scale, double rate)
{
    double floors = FLOORS_USUAL * scale->rate * scale->copies * rate;
    options->group_slots = FLOORS_LEAST;
    while (options->group_slots < FLOORS_USUAL && options->group_slots * M_SQRT2 < floors)
        options->group_slots *= 2;
    double bytes = (double)scale->memory + (options->group_slots - floors) * FLOOR_BYTES;
    options->l1_memory = bytes < MEMORY_LEAST ? MEMORY_LEAST : (uint64_t)bytes;
}

void replay_open(struct replay_cache *c, struct nigh_options *options,
                 const struct replay_source *src, const struct replay_scale *scale,
                 const char *policy, uint32_t shards)
{
    *c = (struct replay_cache){
        .key_bytes = src->key_bytes,
        .value_max = src->value_max ? src->value_max : NIGH_DEFAULT_VALUE_MAX,
        .copies = scale->copies,
        .value = any_value(),
    };
    c->fell = must_alloc(src->in->trace.unique, sizeof(*c->fell));
    c->key_bytes = c->key_bytes < KEY_LEAST ? KEY_LEAST : c->key_bytes;
    c->key_bytes = c->key_bytes > NIGH_KEY_MAX ? NIGH_KEY_MAX : c->key_bytes;
    options->l1_shards = shards;
    set_memory(options, scale, src->in->rate);
    options->space.value_max = c->value_max;
    options->space.stale_ms = NIGH_NONE;
    options->space.jitter_percent = NIGH_NONE; /* what is recorded was spread already */
    options->space.soft_ttl_ms = NIGH_LIFETIME_MAX_MS;
    if (nigh_options_set(options, "l1.policy", policy) != 0 || nigh_open(options, &c->cache) != 0 ||
        nigh_space_open(c->cache, "tune", NULL, NULL, NULL, NULL, &c->space) != 0)
        fail("%s", nigh_options_error());
}

void replay_close(struct replay_cache *c)
{
    nigh_close(c->cache);
    free(c->fell);
}

static void name_key(char *ret, uint32_t key, unsigned copy)
{
    struct replay_key name = {key, copy};
    memcpy(ret, &name, sizeof(name));
}

static void put(const struct replay_cache *c, const char *key, uint32_t size, struct life life)
{
    struct nigh_call call = NIGH_CALL_INIT;
    if (size > c->value_max || life.fresh_ms + (uint64_t)life.stale_ms == 0)
        return; /* never stored */
    call.soft_ttl_ms = life.fresh_ms ? life.fresh_ms : NIGH_NONE;
    call.stale_ms = life.stale_ms ? life.stale_ms : NIGH_NONE;
    int rc = nigh_put(c->space, key, c->key_bytes, c->value, size,
                      life.fresh_ms == LIFE_FOREVER ? NULL : &call);
    if (rc < 0 && rc != NIGH_ENOMEM)
        fail("nigh_put: %s", nigh_strerror(rc));
}

/* A request, and what it does. */
struct asked {
    struct request request;
    enum brings brings;
    struct life life;
};

static struct asked asked_of(const struct trace *t, size_t i)
{
    return (struct asked){t->requests[i], trace_brings(t, i), trace_life(t, i)};
}

/* A stale value is an answer, too, and the request brings a fresh one. */
static bool ask_one(const struct replay_cache *c, const char *key, const struct asked *a)
{
    struct nigh_value value = NIGH_VALUE_INIT;
    int rc = NIGH_MISS;
    if (!c->fell[a->request.key])
        rc = nigh_get(c->space, key, c->key_bytes, NULL, &value);
    nigh_release(&value);
    if (a->brings == BRINGS_ANYWAY || (a->brings != BRINGS_NOTHING && rc != NIGH_FRESH))
        put(c, key, a->request.size, a->life);
    return rc == NIGH_FRESH || rc == NIGH_STALE;
}

static unsigned ask_copies(const struct replay_cache *c, const struct asked *a)
{
    char key[NIGH_KEY_MAX] = {0};
    unsigned hits = 0;
    for (unsigned copy = 0; copy < c->copies; copy++) {
        name_key(key, a->request.key, copy);
        hits += ask_one(c, key, a);
    }
    if (c->fell[a->request.key] && a->brings != BRINGS_NOTHING)
        c->fell[a->request.key] = false;
    return hits;
}

unsigned replay_ask(const struct replay_cache *c, const struct request *q)
{
    return ask_copies(c, &(struct asked){*q, BRINGS_IF_MISSED, {LIFE_FOREVER, 0}});
}

/* Returns the bytes that went through limbo for it, roughly. */
static uint64_t change(const struct replay_cache *c, const struct change *what)
{
    char key[NIGH_KEY_MAX] = {0};
    for (unsigned copy = 0; copy < c->copies; copy++) {
        name_key(key, what->key, copy);
        if (what->kind == CHANGE_PUT)
            put(c, key, what->size, what->life);
        else if (what->kind == CHANGE_INVALIDATED)
            nigh_invalidate(c->space, key, c->key_bytes, NULL);
    }
    c->fell[what->key] = what->kind == CHANGE_FELL;
    return c->copies * (uint64_t)(what->size + ENTRY_BYTES);
}

/* ---- a run ---- */

static uint64_t clock_of(void *arg)
{
    return *(const uint64_t *)arg;
}

/* A cache's clock has room for some years. */
static uint64_t clock_at(uint64_t at_us)
{
    return PERF_NS_PER_S + (at_us < CLOCK_MOST_US ? at_us : CLOCK_MOST_US) * 1000;
}

/* No machine's clock: what it was busy with would be in the hits. */
static uint64_t request_at(const struct trace *t, size_t i)
{
    return clock_at(t->lives ? trace_at_us(t, i) : i * REQUEST_US);
}

/* Requests that the sample has too few of are hits: tune/sample.h. */
static double share_of(double hits, double more, double expected)
{
    double share = expected > 0 ? (hits + more) / expected : 0;
    return share < 0 ? 0 : share > 1 ? 1 : share;
}

/*
 * Each key was taken or not, for itself, and what it misses with it: a sum of independent terms,
 * whose variance the sample tells (Horvitz and Thompson, A generalization of sampling without
 * replacement from a finite universe, JASA 47, 1952). Requests are no terms of theirs: hits are
 * what misses leave. Not in it is that a sample of larger keys than the others has less room for
 * each.
 */
static double error_of(const struct sample *s, const float *misses, double rate)
{
    double squares = 0;
    for (uint32_t key = 0; key < s->trace.unique; key++)
        squares += (double)misses[key] * misses[key];
    return rate < 1 && s->expected > 0 ? sqrt((1 - rate) * squares) / s->expected : 0;
}

/*
 * The same of the share of the loads' time that is left, y / x * n / expected: y is the time of
 * what was missed, x that of all loads, n the number of requests, each a sum over the keys of the
 * sample. To the first order a key counts by what its parts of the three do together (W. Cochran,
 * Sampling Techniques, 3rd ed. 1977, chapter 6). What hot keys weigh in x and n goes out that way.
 */
static double load_error_of(const struct input *in, const struct sample *s, const float *misses,
                            double left, double rate)
{
    const struct trace *t = &s->trace;
    double squares = 0, x = 0, y = 0;
    bool expects = in->rate >= 1 || in->reads; /* else n is all that is known of it */
    if (!in->load_us || rate >= 1)
        return 0;
    uint32_t *asked = must_alloc(t->unique, sizeof(*asked));
    for (size_t i = 0; i < t->count; i++)
        asked[t->requests[i].key]++;
    for (uint32_t key = 0; key < t->unique; key++) {
        x += (double)in->load_us[key] * asked[key];
        y += (double)in->load_us[key] * misses[key];
    }
    for (uint32_t key = 0; key < t->unique && y > 0; key++) {
        double load = in->load_us[key];
        double part = load * misses[key] / y - load * asked[key] / x +
                      (double)asked[key] / (double)t->count * expects;
        squares += part * part;
    }
    free(asked);
    return left * sqrt((1 - rate) * squares);
}

static struct replay_result sum_up(const struct sample *s, const double *hits, unsigned copies)
{
    struct replay_result r = {.rate = s->rate, .requests = s->trace.count};
    double more = s->expected - (double)s->trace.count, all = 0;
    for (unsigned q = 0; q < REPLAY_QUARTERS; q++) {
        r.quarters[q] =
            share_of(hits[q] / copies, more / REPLAY_QUARTERS, s->expected / REPLAY_QUARTERS);
        all += hits[q] / copies;
    }
    r.hits = share_of(all, more, s->expected);
    return r;
}

/* Counts in seconds of the whole process what is and what could have been loaded. */
static void add_load(struct replay_result *r, const struct replay_source *src,
                     const struct sample *s, uint32_t key, double misses)
{
    if (!src->in->load_us)
        return;
    double load_s = src->in->load_us[key] / 1e6 / s->rate / src->in->rate;
    r->load_s += load_s * misses;
    r->all_s += load_s;
}

/* What became of the requests. */
struct tally {
    double hits[REPLAY_QUARTERS]; /* of all copies */
    float *misses;                /* of each key, in the mean of its copies */
    struct replay_result loads;
};

static void ask_all(struct replay_cache *c, const struct replay_source *src, const struct sample *s,
                    uint64_t memory, uint64_t *now, struct tally *ret)
{
    const struct trace *t = &s->trace;
    uint64_t untended = 0;
    for (size_t i = 0, next = 0; i < t->count; i++) {
        for (; next < t->change_count && t->changes[next].before <= i; next++) {
            if (t->lives)
                *now = clock_at(t->changes[next].at_us);
            untended += change(c, &t->changes[next]);
        }
        *now = request_at(t, i);
        struct asked asked = asked_of(t, i);
        unsigned answered = ask_copies(c, &asked);
        double missed = 1 - (double)answered / c->copies;
        ret->hits[i * REPLAY_QUARTERS / t->count] += answered;
        ret->misses[asked.request.key] += (float)missed;
        add_load(&ret->loads, src, s, asked.request.key, missed);
        untended += (uint64_t)(c->copies - answered) * (asked.request.size + ENTRY_BYTES);
        if (untended > memory / TICK_SHARE) {
            nigh_tick(c->cache);
            untended = 0;
        }
    }
}

struct replay_result replay_run(const struct replay_source *src, const char *policy, uint64_t bytes,
                                uint32_t shards)
{
    struct nigh_options options = NIGH_OPTIONS_INIT;
    struct replay_cache c;
    struct sample s;
    struct tally tally = {.misses = must_alloc(src->in->trace.unique, sizeof(*tally.misses))};
    uint64_t now = PERF_NS_PER_S;
    struct replay_scale scale = replay_scale_of(src, bytes, src->most);
    options.threads = NIGH_THREADS_NONE;
    options.clock = clock_of;
    options.clock_arg = &now;
    sample_take(&s, src->in, scale.rate, src->seed);
    seeded_begin(src->seed);
    replay_open(&c, &options, src, &scale, policy, shards);
    ask_all(&c, src, &s, scale.memory, &now, &tally);
    struct replay_result r = sum_up(&s, tally.hits, scale.copies);
    double rate = s.rate * src->in->rate;
    r.error = error_of(&s, tally.misses, rate);
    r.load_s = tally.loads.load_s;
    /* requests that the sample has too few of are loads, too, without L1 */
    r.all_s = s.trace.count ? tally.loads.all_s * s.expected / (double)s.trace.count : 0;
    r.load_error = load_error_of(src->in, &s, tally.misses, replay_left(&r), rate);
    replay_close(&c);
    seeded_end();
    sample_free(&s);
    free(tally.misses);
    return r;
}

/* ---- exact LRU ---- */

static uint32_t charge_of(uint32_t key_bytes, uint32_t size)
{
    double bytes = curve_charge(key_bytes, size);
    return bytes < UINT32_MAX ? (uint32_t)bytes : UINT32_MAX;
}

/* Make of the values' sizes what each of them takes in L1. */
static void charge_all(struct trace *t, uint32_t key_bytes)
{
    for (size_t i = 0; i < t->count; i++)
        t->requests[i].size = charge_of(key_bytes, t->requests[i].size);
    for (size_t i = 0; i < t->change_count; i++)
        t->changes[i].size = charge_of(key_bytes, t->changes[i].size);
}

double replay_lru(const struct replay_source *src, uint64_t bytes, size_t most)
{
    struct sample s;
    sample_take(&s, src->in, (double)most / (double)src->in->trace.count, src->seed);
    charge_all(&s.trace, src->key_bytes);
    uint64_t room = (uint64_t)(curve_room((double)bytes) * s.rate * src->in->rate);
    double hits = (double)simulate_lru_bytes(&s.trace, room);
    double share = share_of(hits, s.expected - (double)s.trace.count, s.expected);
    sample_free(&s);
    return share;
}
