// SPDX-License-Identifier: MIT
/*
 * `write`: what does a write cost: a new key that pushes an old one out, and reads mixed with
 * replacements?
 *
 * Beside the baselines run two builds of nigh that differ in one file: entries freed at once (wrong
 * with readers, so with one thread only) and by a call_rcu() each. Reclamation has threads of its
 * own; what they use is in the second figure, the CPU time of the whole process.
 */
#include <stdatomic.h>
#include <stdio.h>

#include "bench/bench.h"
#include "bench/stage.h"
#include "support/fail.h"

#define VALUE_BYTES 100u
#define ENTRANTS_MAX 8u
#define METRIC_UNIT "cpu ns/op"

struct entrant {
    const char *title;
    const struct candidate *candidate;
    unsigned threads_max;
};

static const struct entrant entrants[] = {
    {"nigh", &candidate_nigh, 2},       {"unsafe", &candidate_unsafe, 1},
    {"call_rcu", &candidate_call_rcu, 2}, {"lfht", &candidate_lfht, 2},
    {"mutex", &candidate_mutex, 2},     {"ck_ht", &candidate_ck, 2},
    {"glib", &candidate_glib, 2},
};
#define ENTRANTS (sizeof(entrants) / sizeof(entrants[0]))

/* What one of them does in a round. */
struct writing {
    const struct entrant *entrant;
    struct nigh_space *space;
    const struct sequence *sequence;
    unsigned threads;
    unsigned put_percent;
    uint64_t count; /* of each thread, per round */
    uint64_t at;
    double process_ns[ROUNDS_MAX + 1]; /* per operation; of each round, the dropped one first */
    unsigned round;
    _Atomic uint64_t wrong;
    _Atomic uint64_t missed; /* lookups of keys that are not there: see dropped */
};

/* ---- a round ---- */

static uint64_t get_one(struct writing *w, const struct step *step)
{
    const struct candidate *c = w->entrant->candidate;
    struct nigh_value value;
    uint64_t word;
    if (c->get(w->space, step->key, step->key_len, &loop_call, &value) != NIGH_FRESH) {
        atomic_fetch_add_explicit(&w->missed, 1, memory_order_relaxed);
        return 0;
    }
    memcpy(&word, value.data, sizeof(word));
    c->release(&value);
    return word ^ step->number;
}

static void write_some(void *arg, unsigned thread)
{
    struct writing *w = arg;
    const struct candidate *c = w->entrant->candidate;
    uint64_t at = w->at + thread * (w->sequence->length / w->threads);
    uint64_t dice = at * 2 + 1;
    uint64_t wrong = 0;
    char value[VALUE_BYTES];
    value_make(0, value, sizeof(value));
    for (uint64_t n = 0; n < w->count; n++, at++) {
        const struct step *step = &w->sequence->steps[at & (w->sequence->length - 1)];
        dice = dice * 6364136223846793005u + 1442695040888963407u;
        if ((dice >> 33) % 100 < w->put_percent) {
            uint64_t word = step->number;
            memcpy(value, &word, sizeof(word));
            /* NIGH_REFUSED: the other thread was faster. */
            wrong |= c->put(w->space, step->key, step->key_len, value, sizeof(value), NULL) < 0;
        } else {
            wrong |= get_one(w, step);
        }
    }
    atomic_fetch_or(&w->wrong, wrong);
}

static double write_round(void *arg)
{
    struct writing *w = arg;
    uint64_t before = process_cpu_ns();
    uint64_t cpu_ns = team_run(w->threads, write_some, w);
    if (w->entrant->candidate->settle)
        w->entrant->candidate->settle(w->space);
    double all = (double)(process_cpu_ns() - before);
    w->process_ns[w->round++] = all / (double)(w->count * w->threads);
    w->at += w->count;
    if (w->wrong)
        fail("%s: a lookup gave a wrong value, or a put failed", w->entrant->title);
    return (double)cpu_ns / (double)w->count;
}

/* ---- a case ---- */

struct write_case {
    const char *name;
    uint32_t entries;
    uint64_t sequence;
    enum keys_order order;
    unsigned put_percent;
    unsigned threads;
    uint64_t count;
    bool bounded;
};

/* A full limbo drops puts, and a policy refuses some: that costs less than storing, and must not
 * pass for speed. */
static void print_losses(const struct writing *w)
{
    const struct candidate *c = w->entrant->candidate;
    uint64_t dropped = c->dropped ? c->dropped(w->space) : 0;
    if (dropped || w->missed)
        printf("  %s: %lu puts were dropped, %lu lookups found nothing\n", w->entrant->title,
               (unsigned long)dropped, (unsigned long)w->missed);
}

static void print_case(const char *name, const struct subject *subjects,
                       const struct writing *writings, size_t count, unsigned rounds)
{
    printf("%-24s", name);
    for (size_t i = 0; i < count; i++)
        printf("%10.1f", median(subjects[i].figures, rounds));
    printf("\n%-24s", "  nigh's time / theirs");
    for (size_t i = 0; i < count; i++)
        printf("%10.2f", median_ratio(subjects[0].figures, subjects[i].figures, rounds));
    printf("\n%-24s", "  with helper threads");
    for (size_t i = 0; i < count; i++)
        printf("%10.1f", median(writings[i].process_ns + 1, rounds));
    printf("\n");
    for (size_t i = 0; i < count; i++)
        print_losses(&writings[i]);
    fflush(stdout);
}

static void add_results(const char *name, const struct subject *subjects,
                        const struct writing *writings, size_t count, unsigned rounds)
{
    struct subject all[ENTRANTS_MAX];
    for (size_t i = 0; i < count; i++) {
        all[i] = subjects[i];
        memcpy(all[i].figures, writings[i].process_ns + 1, rounds * sizeof(double));
    }
    for (size_t i = 1; i < count; i++) {
        result_add_rounds("write", name, "operation", METRIC_UNIT, &subjects[0], &subjects[i],
                          rounds);
        result_add_rounds("write", name, "operation, all threads", METRIC_UNIT, &all[0], &all[i],
                          rounds);
    }
}

static void run_case(const struct bench_settings *s, const struct write_case *wc)
{
    static struct writing writings[ENTRANTS_MAX];
    struct subject subjects[ENTRANTS_MAX];
    struct candidate_need need = {
        .entries = wc->entries, .value_bytes = VALUE_BYTES, .bounded = wc->bounded};
    struct sequence sequence;
    size_t count = 0;
    sequence_make(&sequence, wc->order, (uint32_t)(wc->bounded ? wc->sequence : wc->entries),
                  wc->sequence, 1);
    for (size_t i = 0; i < ENTRANTS; i++) {
        const struct entrant *e = &entrants[i];
        if (wc->threads > e->threads_max)
            continue;
        struct writing *w = &writings[count];
        *w = (struct writing){.entrant = e, .space = stage_create(e->candidate, &need),
                              .sequence = &sequence, .threads = wc->threads,
                              .put_percent = wc->put_percent, .count = wc->count,
                              .at = wc->bounded ? wc->entries : 0};
        subjects[count++] = (struct subject){.name = e->title, .run = write_round, .arg = w};
    }
    rounds_run(wc->name, subjects, count, s->rounds);
    print_case(wc->name, subjects, writings, count, s->rounds);
    add_results(wc->name, subjects, writings, count, s->rounds);
    for (size_t i = 0; i < count; i++)
        writings[i].entrant->candidate->destroy(writings[i].space);
    sequence_free(&sequence);
}

static void print_heading(const char *what, unsigned threads)
{
    printf("\n%s\n%-24s", what, "");
    for (size_t i = 0; i < ENTRANTS; i++)
        if (threads <= entrants[i].threads_max)
            printf("%10s", entrants[i].title);
    printf("\n");
}

/* New keys come in turn, twice as many as fit: each has long been evicted when it comes again. */
static const struct write_case cases[] = {
    {"insert+evict 10k", 10000, 1 << 15, KEYS_IN_TURN, 100, 1, 1 << 18, true},
    {"insert+evict 1M", 1000000, 1 << 21, KEYS_IN_TURN, 100, 1, 1 << 18, true},
    {"95/5 10k, 1 thread", 10000, 1 << 14, KEYS_UNIFORM, 5, 1, 1 << 19, false},
    {"50/50 10k, 1 thread", 10000, 1 << 14, KEYS_UNIFORM, 50, 1, 1 << 18, false},
    {"95/5 1M, 1 thread", 1000000, 1 << 20, KEYS_UNIFORM, 5, 1, 1 << 18, false},
    {"50/50 1M, 1 thread", 1000000, 1 << 20, KEYS_UNIFORM, 50, 1, 1 << 17, false},
    {"95/5 10k, 2 threads", 10000, 1 << 14, KEYS_UNIFORM, 5, 2, 1 << 19, false},
    {"50/50 10k, 2 threads", 10000, 1 << 14, KEYS_UNIFORM, 50, 2, 1 << 18, false},
    {"95/5 1M, 2 threads", 1000000, 1 << 20, KEYS_UNIFORM, 5, 2, 1 << 18, false},
    {"50/50 1M, 2 threads", 1000000, 1 << 20, KEYS_UNIFORM, 50, 2, 1 << 17, false},
};

void bench_write(const struct bench_settings *s)
{
    unsigned threads = 0;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct write_case wc = cases[i];
        if ((s->quick && wc.entries > 10000) || (s->only && !strstr(wc.name, s->only)))
            continue;
        if (s->quick)
            wc.count >>= 4;
        if (wc.threads != threads)
            print_heading(wc.threads == 1 ? "write: CPU ns per operation, one thread"
                                          : "write: CPU ns per operation, two threads",
                          wc.threads);
        threads = wc.threads;
        run_case(s, &wc);
    }
}
