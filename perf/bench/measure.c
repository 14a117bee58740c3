// SPDX-License-Identifier: MIT
/*
 * Rounds, medians, threads.
 */
#include "bench/measure.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "support/fail.h"

/* ---- statistics ---- */

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

double median(const double *values, size_t count)
{
    double sorted[ROUNDS_MAX];
    if (count == 0 || count > ROUNDS_MAX)
        return 0;
    memcpy(sorted, values, count * sizeof(*values));
    qsort(sorted, count, sizeof(*sorted), by_size);
    return count % 2 ? sorted[count / 2] : (sorted[count / 2 - 1] + sorted[count / 2]) / 2;
}

double spread(const double *values, size_t count)
{
    double middle = median(values, count);
    double least = values[0];
    double most = values[0];
    for (size_t i = 1; i < count; i++) {
        least = values[i] < least ? values[i] : least;
        most = values[i] > most ? values[i] : most;
    }
    return middle > 0 ? (most - least) / middle : 0;
}

/* Whatever the values are distributed like, each is below the median with probability 1/2: so the
 * k-th smallest is above it with that of fewer than k heads in `count` throws. */
void median_range(const double *values, size_t count, double sure, double *ret_low,
                  double *ret_high)
{
    double sorted[ROUNDS_MAX], chance = 1, outside = 0;
    size_t k = 0;
    if (count == 0 || count > ROUNDS_MAX)
        return;
    memcpy(sorted, values, count * sizeof(*values));
    qsort(sorted, count, sizeof(*sorted), by_size);
    for (size_t i = 0; i < count; i++)
        chance /= 2;
    for (; k < count / 2 && (outside += 2 * chance) <= 1 - sure; k++)
        chance *= (double)(count - k) / (double)(k + 1);
    k = k ? k - 1 : 0;
    *ret_low = sorted[k];
    *ret_high = sorted[count - 1 - k];
}

void ratios_of(const double *a, const double *b, size_t count, double *ret)
{
    for (size_t i = 0; i < count && i < ROUNDS_MAX; i++)
        ret[i] = b[i] > 0 ? a[i] / b[i] : 0;
}

double median_ratio(const double *a, const double *b, size_t count)
{
    double ratios[ROUNDS_MAX];
    ratios_of(a, b, count, ratios);
    return median(ratios, count);
}

/* ---- rounds ---- */

void rounds_run(const char *what, struct subject *subjects, size_t count, unsigned rounds)
{
    for (unsigned round = 0; round <= rounds; round++)
        for (size_t i = 0; i < count; i++) {
            struct subject *s = &subjects[(i + round) % count];
            progress_share((double)(round * count + i) / (double)((rounds + 1) * count),
                           "%s: round %u of %u: %s", what, round, rounds, s->name);
            double figure = s->run(s->arg);
            if (round > 0)
                s->figures[round - 1] = figure;
        }
    progress_next();
    progress_end();
}

/* ---- clocks and threads ---- */

static uint64_t clock_ns(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (uint64_t)t.tv_sec * PERF_NS_PER_S + (uint64_t)t.tv_nsec;
}

uint64_t thread_cpu_ns(void)
{
    return clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

uint64_t process_cpu_ns(void)
{
    return clock_ns(CLOCK_PROCESS_CPUTIME_ID);
}

#define TEAM_MAX 64u

struct member {
    pthread_barrier_t *start;
    void (*body)(void *arg, unsigned thread);
    void *arg;
    unsigned index;
    uint64_t cpu_ns;
};

static void *member_main(void *arg)
{
    struct member *m = arg;
    if (m->start)
        pthread_barrier_wait(m->start);
    uint64_t before = thread_cpu_ns();
    m->body(m->arg, m->index);
    m->cpu_ns = thread_cpu_ns() - before;
    return NULL;
}

uint64_t team_run(unsigned threads, void (*body)(void *arg, unsigned thread), void *arg)
{
    struct member members[TEAM_MAX];
    pthread_t ids[TEAM_MAX];
    pthread_barrier_t start;
    uint64_t sum = 0;
    bool alone = threads == 1;
    if (threads == 0 || threads > TEAM_MAX)
        fail("%u threads: 1 to %u", threads, TEAM_MAX);
    pthread_barrier_init(&start, NULL, threads);
    for (unsigned i = 0; i < threads; i++) {
        members[i] = (struct member){alone ? NULL : &start, body, arg, i, 0};
        if (alone)
            member_main(&members[i]);
        else if (pthread_create(&ids[i], NULL, member_main, &members[i]) != 0)
            fail("cannot start a thread");
    }
    for (unsigned i = 0; i < threads; i++) {
        if (!alone)
            pthread_join(ids[i], NULL);
        sum += members[i].cpu_ns;
    }
    pthread_barrier_destroy(&start);
    return sum / threads;
}
