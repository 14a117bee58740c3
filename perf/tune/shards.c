// SPDX-License-Identifier: MIT
/*
 * Caches that differ in their shards alone take turns, round by round, all of them filled before.
 *
 * In a round counts what a cache did beside the mean of all caches in it, for a machine that
 * others use is slower in some rounds. Two numbers of shards are as good as each other when they
 * differ by no more than rounds do (half the distance of the quartiles), but 2 % at least, for so
 * little is no reason for anything, and 10 % at most, for noise is no reason either. Where even the
 * worst is as good as the best by that, or the noise is above 10 %, or there was one round, nothing
 * was measured that would be a reason to leave nigh's own default.
 */
#include "tune/shards.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "support/fail.h"

#define REQUESTS_MOST  400000u
#define REQUESTS_LEAST 10000u
#define MEMORY_SHARE   4u /* of what is free, for all caches together */

struct team {
    struct replay_cache cache;
    const struct sample *sample;
    unsigned threads;
    uint64_t round_ns;
    size_t at[SHARDS_THREADS_MAX]; /* the next request of each */
    _Atomic bool stop;             /* relaxed: a request more or less */
    _Atomic uint64_t asked;        /* relaxed: read after the threads have ended */
};

struct asker {
    struct team *team;
    unsigned number;
};

/* ---- a round ---- */

static void *ask(void *arg)
{
    struct asker *a = arg;
    struct team *t = a->team;
    uint64_t asked = 0;
    size_t at = t->at[a->number];
    while (!atomic_load_explicit(&t->stop, memory_order_relaxed)) {
        replay_ask(&t->cache, &t->sample->trace.requests[at]);
        at = at + 1 < t->sample->trace.count ? at + 1 : 0;
        asked++;
    }
    t->at[a->number] = at;
    atomic_fetch_add_explicit(&t->asked, asked, memory_order_relaxed);
    return NULL;
}

static double run_round(void *arg)
{
    struct team *t = arg;
    struct asker askers[SHARDS_THREADS_MAX];
    pthread_t ids[SHARDS_THREADS_MAX];
    atomic_store_explicit(&t->stop, false, memory_order_relaxed);
    atomic_store_explicit(&t->asked, 0, memory_order_relaxed);
    uint64_t began = now_ns();
    for (unsigned i = 0; i < t->threads; i++) {
        askers[i] = (struct asker){t, i};
        if (pthread_create(&ids[i], NULL, ask, &askers[i]) != 0)
            fail("cannot start a thread");
    }
    sleep_ns(t->round_ns);
    atomic_store_explicit(&t->stop, true, memory_order_relaxed);
    for (unsigned i = 0; i < t->threads; i++)
        pthread_join(ids[i], NULL);
    uint64_t asked = atomic_load_explicit(&t->asked, memory_order_relaxed);
    return (double)asked * t->cache.copies * 1e9 / (double)(now_ns() - began);
}

/* ---- caches ---- */

static void team_open(struct team *t, const struct replay_source *src,
                      const struct replay_scale *scale, const char *policy, unsigned shards)
{
    struct nigh_options options = NIGH_OPTIONS_INIT;
    replay_open(&t->cache, &options, src, scale, policy, shards);
    for (size_t i = 0; i < t->sample->trace.count; i++)
        replay_ask(&t->cache, &t->sample->trace.requests[i]);
    for (unsigned i = 0; i < t->threads; i++)
        t->at[i] = i * t->sample->trace.count / t->threads;
}

/* As much of the keys as the caches have room for in this machine, all at once. */
static struct replay_scale scale_for(const struct replay_source *src, uint64_t bytes,
                                     unsigned count)
{
    uint64_t room = (uint64_t)sysconf(_SC_AVPHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE) /
                    MEMORY_SHARE / count;
    size_t most = REQUESTS_MOST;
    struct replay_scale s = replay_scale_of(src, bytes, most);
    while (s.memory > room && most > REQUESTS_LEAST)
        s = replay_scale_of(src, bytes, most /= 2);
    return s;
}

/* ---- the choice ---- */

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Each round's figures in parts of its mean. */
static void level_rounds(const struct shards_result *r, const struct subject *subjects,
                         double (*ret)[ROUNDS_MAX])
{
    for (unsigned round = 0; round < r->rounds; round++) {
        double sum = 0;
        for (unsigned i = 0; i < r->count; i++)
            sum += subjects[i].figures[round];
        for (unsigned i = 0; i < r->count; i++)
            ret[i][round] = sum > 0 ? subjects[i].figures[round] * r->count / sum : 0;
    }
}

static double noise_of(const double *one, const double *best, unsigned rounds)
{
    double ratios[ROUNDS_MAX];
    for (unsigned i = 0; i < rounds; i++)
        ratios[i] = best[i] > 0 ? one[i] / best[i] : 0;
    qsort(ratios, rounds, sizeof(*ratios), by_size);
    return (ratios[rounds - 1 - rounds / 4] - ratios[rounds / 4]) / 2;
}

static double tolerance_of(const struct shards_one *one)
{
    return fmin(fmax(one->noise, SHARDS_TOLERANCE_LEAST), SHARDS_TOLERANCE_MOST);
}

static bool is_as_good(const struct shards_one *one)
{
    return one->of_best >= 1 - tolerance_of(one);
}

static bool any_differs(const struct shards_result *r)
{
    for (unsigned i = 0; i < r->count; i++)
        if (!is_as_good(&r->all[i]))
            return r->rounds > 1 && r->noise <= SHARDS_TOLERANCE_MOST;
    return false;
}

void shards_judge(struct shards_result *r, const struct subject *subjects)
{
    static double level[SHARDS_CANDIDATES_MAX][ROUNDS_MAX];
    unsigned best = 0;
    level_rounds(r, subjects, level);
    for (unsigned i = 1; i < r->count; i++)
        if (median(level[i], r->rounds) > median(level[best], r->rounds))
            best = i;
    double noises[SHARDS_CANDIDATES_MAX];
    double most = median(level[best], r->rounds); /* 0: rounds too short for any request */
    unsigned others = 0;
    r->best = r->chosen = best;
    for (unsigned i = r->count; i-- > 0;) {
        struct shards_one *one = &r->all[i];
        one->ops = median(subjects[i].figures, r->rounds);
        one->of_best = most > 0 ? median(level[i], r->rounds) / most : 1;
        one->noise = noise_of(level[i], level[best], r->rounds);
        r->chosen = is_as_good(one) ? i : r->chosen;
        if (i != best)
            noises[others++] = one->noise;
    }
    r->noise = others ? median(noises, others) : 0;
    r->differs = any_differs(r);
}

void shards_measure(struct shards_result *ret, const struct replay_source *src, const char *policy,
                    uint64_t bytes, unsigned threads, const unsigned *candidates, unsigned rounds,
                    uint64_t round_ns)
{
    static struct subject subjects[SHARDS_CANDIDATES_MAX];
    static char names[SHARDS_CANDIDATES_MAX][24];
    struct team *teams = must_alloc(SHARDS_CANDIDATES_MAX, sizeof(*teams));
    struct sample s;
    *ret = (struct shards_result){.threads = threads, .rounds = rounds};
    while (candidates[ret->count])
        ret->count++;
    struct replay_scale scale = scale_for(src, bytes, ret->count);
    sample_take(&s, src->in, scale.rate, src->seed);
    for (unsigned i = 0; i < ret->count; i++) {
        ret->all[i].shards = candidates[i];
        snprintf(names[i], sizeof(names[i]), "%u shard%s", candidates[i],
                 candidates[i] > 1 ? "s" : "");
        progress("shards: filling a cache of %s", names[i]);
        teams[i].sample = &s;
        teams[i].threads = threads;
        teams[i].round_ns = round_ns;
        team_open(&teams[i], src, &scale, policy, candidates[i]);
        subjects[i] = (struct subject){names[i], run_round, &teams[i], {0}};
    }
    progress_plan(1);
    rounds_run("shards", subjects, ret->count, rounds);
    shards_judge(ret, subjects);
    for (unsigned i = 0; i < ret->count; i++)
        replay_close(&teams[i].cache);
    sample_free(&s);
    free(teams);
}
