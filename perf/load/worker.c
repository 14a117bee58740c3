// SPDX-License-Identifier: MIT
/*
 * A thread that asks.
 *
 * As fast as it is answered: the end of a call is the beginning of the next, so each takes one look
 * at the clock. At a fixed rate each request has its time, whatever the one before took: a request
 * that had to wait for a slow one is late by that, and its latency says so. (Counting from when it
 * was sent would leave out just what the callers of a slow server wait for.) Source: G. Tene, wrk2
 * (github.com/giltene/wrk2), "coordinated omission".
 */
#include <math.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

#include "load/load.h"
#include "support/fail.h"

#define TICK_EVERY 256u  /* requests of a control, which nobody else ticks */
#define SLACK_NS   1000u /* of the kernel's timers: 50 us by default, which would be latency */

/* ---- keys ---- */

void load_key(uint64_t number, char *ret)
{
    static const char digits[] = "0123456789abcdef";
    memcpy(ret, "load:key", 8);
    for (int i = LOAD_KEY_BYTES - 1; i >= 8; i--, number >>= 4)
        ret[i] = digits[number & 15];
}

uint64_t load_key_number(const char *key)
{
    uint64_t number = 0;
    for (unsigned i = 8; i < LOAD_KEY_BYTES; i++)
        number = number << 4 | (uint64_t)(key[i] <= '9' ? key[i] - '0' : key[i] - 'a' + 10);
    return number;
}

const char *load_value(void)
{
    static char value[LOAD_VALUE_MAX];
    return value;
}

/* ---- one request ---- */

static void note_failure(struct load_worker *w, int rc)
{
    if (w->tally->failed++ == 0)
        w->tally->failure = rc;
}

static enum load_tier tier_of(const struct nigh_value *value)
{
    switch (nigh_value_tier(value)) {
    case NIGH_TIER_L2: return LOAD_L2;
    case NIGH_TIER_LOADER: return LOAD_LOADER;
    default: return LOAD_L1;
    }
}

static int put(struct load_worker *w, const char *key, uint64_t number)
{
    return nigh_put(w->space, key, LOAD_KEY_BYTES, load_value(), shape_size(w->shape, number),
                    NULL);
}

/* The control has no loader: what is missing is put. */
static enum load_tier read_one(struct load_worker *w, const char *key, uint64_t number)
{
    struct nigh_value value = NIGH_VALUE_INIT;
    int rc = w->control ? nigh_get(w->space, key, LOAD_KEY_BYTES, NULL, &value)
                        : nigh_fetch(w->space, key, LOAD_KEY_BYTES, NULL, &value);
    enum load_tier tier = tier_of(&value);
    w->tally->stale += rc == NIGH_STALE;
    nigh_release(&value);
    if (rc == NIGH_MISS) {
        tier = LOAD_LOADER;
        rc = put(w, key, number);
    }
    if (rc < 0)
        note_failure(w, rc);
    return tier;
}

/* Each thread of the control has a part of the keys to itself. */
static uint64_t own_key(const struct load_worker *w, uint64_t number)
{
    return w->control ? number - number % w->threads + w->thread : number;
}

static enum load_tier request(struct load_worker *w, struct shape_place *place, uint64_t since_ns)
{
    const struct load_settings *s = w->shared->settings;
    char key[LOAD_KEY_BYTES];
    uint64_t number = own_key(w, shape_next(w->shape, place, since_ns));
    double kind = s->write + s->invalidate > 0 ? random_unit(&place->random) : 1;
    enum load_tier tier = LOAD_WRITE;
    int rc;
    load_key(number, key);
    if (kind > s->write + s->invalidate)
        return read_one(w, key, number);
    if (kind <= s->write) {
        rc = put(w, key, number);
    } else {
        tier = LOAD_INVALIDATE;
        rc = nigh_invalidate(w->space, key, LOAD_KEY_BYTES, NULL);
    }
    if (rc < 0)
        note_failure(w, rc);
    return tier;
}

/* ---- all of them ---- */

static uint64_t stopped(const struct load_worker *w)
{
    return atomic_load_explicit(&w->shared->stop_ns, memory_order_relaxed);
}

static void tend(struct load_worker *w)
{
    w->tally->requests++;
    if (w->control && w->tally->requests % TICK_EVERY == 0)
        nigh_tick(w->cache);
}

static void ask_closed(struct load_worker *w, struct shape_place *place)
{
    for (uint64_t begin = now_ns(); !stopped(w);) {
        enum load_tier tier = request(w, place, begin - w->shared->begin_ns);
        uint64_t end = now_ns();
        hist_add(&w->tally->times[tier], end - begin);
        begin = end;
        tend(w);
    }
}

static void sleep_until(uint64_t ns)
{
    struct timespec t = {(time_t)(ns / PERF_NS_PER_S), (long)(ns % PERF_NS_PER_S)};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
}

/* Says how long after a request the next one of this thread is due. */
static double gap_ns(const struct load_worker *w, struct random_stream *random)
{
    const struct load_settings *s = w->shared->settings;
    double mean_ns = 1e9 * w->threads * s->nodes / s->rate;
    return s->poisson ? -log(random_unit(random)) * mean_ns : mean_ns;
}

/* At even gaps the threads of all nodes take turns. */
static double first_ns(const struct load_worker *w, struct random_stream *random)
{
    const struct load_settings *s = w->shared->settings;
    double turn = w->thread * s->nodes + w->node, turns = w->threads * s->nodes;
    return gap_ns(w, random) * (s->poisson ? 1 : turn / turns);
}

/* Counts what was due before the end and waited for a slow one: left out, just what a stall does to
 * those behind it would be missing. */
static void count_unsent(struct load_worker *w, struct random_stream *random, uint64_t began_ns,
                         double at_ns)
{
    uint64_t now = now_ns(), due;
    for (; (due = began_ns + (uint64_t)at_ns) < stopped(w); at_ns += gap_ns(w, random))
        hist_add(&w->tally->unsent, now - due);
}

static void ask_at_rate(struct load_worker *w, struct shape_place *place)
{
    struct random_stream seed = place->random, random = {random_next(&seed)}; /* keys have theirs */
    double at_ns = first_ns(w, &random);
    uint64_t began = now_ns();
    prctl(PR_SET_TIMERSLACK, SLACK_NS);
    for (; !stopped(w); at_ns += gap_ns(w, &random)) {
        uint64_t due = began + (uint64_t)at_ns, begin = now_ns();
        if (begin < due) {
            sleep_until(due);
            begin = now_ns();
        }
        if (stopped(w))
            break;
        enum load_tier tier = request(w, place, begin - w->shared->begin_ns);
        uint64_t end = now_ns();
        hist_add(&w->tally->times[tier], end - due);
        hist_add(&w->tally->calls, end - begin);
        tend(w);
    }
    count_unsent(w, &random, began, at_ns);
}

void *load_worker_run(void *arg)
{
    struct load_worker *w = arg;
    struct shape_place place = *w->place; /* a copy: the next thread's is on the same line */
    while (!atomic_load_explicit(&w->shared->go, memory_order_relaxed) && !stopped(w))
        sleep_ns(PERF_NS_PER_MS / 10);
    if (w->shared->settings->rate > 0)
        ask_at_rate(w, &place);
    else
        ask_closed(w, &place);
    *w->place = place;
    return NULL;
}
