// SPDX-License-Identifier: MIT
/*
 * `write`: what does a write cost: a new key that pushes an old one out or fills an empty map, and
 * reads mixed with replacements?
 *
 * Beside the baselines run two builds of nigh that differ in one file: entries freed at once (wrong
 * with readers, so with one thread only) and by a call_rcu() each; nigh with the limbo that it has
 * by default; and, with several threads, a nigh for each of them (`apart`), which have no line in
 * common and are as large together as the one that the others share. Reclamation has threads of its
 * own; what they use is in the second figure, the CPU time of the whole process.
 */
#include <stdatomic.h>
#include <stdio.h>

#include "bench/bench.h"
#include "bench/stage.h"
#include "support/fail.h"
#include "support/table.h"

#define VALUE_BYTES 100u
#define ENTRANTS_MAX 16u
#define METRIC_UNIT "cpu ns/op"
#define CASE_NAME_MAX 56u

struct entrant {
    const char *title;
    const struct candidate *candidate;
    unsigned threads_max;
    bool is_apart;    /* each thread has one of its own; with one thread it takes no part */
    bool evicts_only; /* takes part where somebody has to leave */
};

static const struct entrant entrants[] = {
    {"nigh", &candidate_nigh, STAGE_THREADS_MAX, false, false},
    {"limbo", &candidate_limbo, STAGE_THREADS_MAX, false, false},
    {"nigh lru", &candidate_nigh_lru, 1, false, true},
    {"apart", &candidate_nigh, STAGE_THREADS_MAX, true, false},
    {"floor", &candidate_floor, STAGE_THREADS_MAX, false, false},
    {"unsafe", &candidate_unsafe, 1, false, false},
    {"call_rcu", &candidate_call_rcu, STAGE_THREADS_MAX, false, false},
    {"lfht", &candidate_lfht, STAGE_THREADS_MAX, false, false},
    {"mutex", &candidate_mutex, STAGE_THREADS_MAX, false, false},
    {"lru", &candidate_lru, STAGE_THREADS_MAX, false, false},
    {"tinylfu", &candidate_tinylfu, STAGE_THREADS_MAX, false, false},
    {"ck_ht", &candidate_ck, STAGE_THREADS_MAX, false, false},
    {"glib", &candidate_glib, STAGE_THREADS_MAX, false, false},
};
#define ENTRANTS (sizeof(entrants) / sizeof(entrants[0]))

enum kind { MIXED, EVICTS, FILLS };

struct write_case {
    const char *name;
    uint32_t entries;
    uint64_t sequence;
    enum kind kind;
    unsigned put_percent;
    uint64_t count; /* of each thread, per round */
};

/* The part of one of them in a round. */
struct writing {
    const struct entrant *entrant;
    const struct write_case *of;
    struct nigh_space *spaces[STAGE_THREADS_MAX]; /* of each thread; NULL: the first's */
    struct candidate_need need;
    struct sequence sequence;
    unsigned threads;
    uint64_t at;
    double process_ns[ROUNDS_MAX + 1]; /* per operation; of each round, the dropped one first */
    unsigned round;
    uint64_t dropped; /* when the rounds began; in the end, by them */
    _Atomic uint64_t puts;
    _Atomic uint64_t wrong;
    _Atomic uint64_t missed; /* lookups of keys that are not there: see dropped */
};

/* ---- a round ---- */

static uint64_t get_one(struct writing *w, struct nigh_space *space, const struct step *step)
{
    const struct candidate *c = w->entrant->candidate;
    struct nigh_value value;
    uint64_t word;
    if (c->get(space, step->key, step->key_len, &loop_call, &value) != NIGH_FRESH) {
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
    struct nigh_space *space = w->spaces[thread] ? w->spaces[thread] : w->spaces[0];
    uint64_t at = w->at + thread * (w->sequence.length / w->threads);
    uint64_t dice = at * 2 + 1;
    uint64_t wrong = 0, puts = 0;
    char value[VALUE_BYTES];
    value_make(0, value, sizeof(value));
    for (uint64_t n = 0; n < w->of->count; n++, at++) {
        const struct step *step = &w->sequence.steps[at & (w->sequence.length - 1)];
        dice = dice * 6364136223846793005u + 1442695040888963407u;
        if ((dice >> 33) % 100 < w->of->put_percent) {
            uint64_t word = step->number;
            memcpy(value, &word, sizeof(word));
            puts++;
            /* NIGH_REFUSED: the other thread was faster. */
            wrong |= c->put(space, step->key, step->key_len, value, sizeof(value), NULL) < 0;
        } else {
            wrong |= get_one(w, space, step);
        }
    }
    atomic_fetch_or(&w->wrong, wrong);
    atomic_fetch_add(&w->puts, puts);
}

static uint64_t dropped(const struct writing *w)
{
    const struct candidate *c = w->entrant->candidate;
    uint64_t sum = 0;
    for (unsigned i = 0; c->dropped && i < STAGE_THREADS_MAX && w->spaces[i]; i++)
        sum += c->dropped(w->spaces[i]);
    return sum;
}

static void destroy_spaces(struct writing *w)
{
    for (unsigned i = 0; i < STAGE_THREADS_MAX && w->spaces[i]; i++) {
        w->entrant->candidate->destroy(w->spaces[i]);
        w->spaces[i] = NULL;
    }
}

/* Every round fills another one, from its first key on. */
static void begin_filling(struct writing *w)
{
    w->spaces[0] = w->entrant->candidate->create(&w->need);
    w->at = 0;
    w->dropped -= dropped(w);
}

static void end_filling(struct writing *w)
{
    w->dropped += dropped(w);
    destroy_spaces(w);
}

static double write_round(void *arg)
{
    struct writing *w = arg;
    const struct candidate *c = w->entrant->candidate;
    bool fills = w->of->kind == FILLS;
    if (fills)
        begin_filling(w);
    uint64_t before = process_cpu_ns();
    uint64_t cpu_ns = team_run(w->threads, write_some, w);
    for (unsigned i = 0; c->settle && i < STAGE_THREADS_MAX && w->spaces[i]; i++)
        c->settle(w->spaces[i]);
    double all = (double)(process_cpu_ns() - before);
    w->process_ns[w->round++] = all / (double)(w->of->count * w->threads);
    w->at += w->of->count;
    if (w->wrong && !(c->is_unsafe && w->threads > 1))
        fail("%s: a lookup gave a wrong value, or a put failed", w->entrant->title);
    if (fills)
        end_filling(w);
    return (double)cpu_ns / (double)w->of->count;
}

/* ---- a case ---- */

/* A full limbo drops puts, and a policy refuses some: that costs less than storing, and must not
 * pass for speed. */
static double dropped_percent(const struct writing *w)
{
    return w->puts ? 100.0 * (double)w->dropped / (double)w->puts : 0;
}

/* Prints a line for each: there are too many of them for columns. */
static void print_one(const struct subject *nigh, const struct subject *s, unsigned rounds)
{
    const struct writing *w = s->arg;
    double ratios[ROUNDS_MAX], low, high;
    ratios_of(nigh->figures, s->figures, rounds, ratios);
    median_range(ratios, rounds, MEDIAN_SURE, &low, &high);
    printf("  %-22s%10.1f%14.1f%16.2f%18.2f%16s\n", s->name, median(s->figures, rounds),
           median(w->process_ns + 1, rounds), dropped_percent(w), median(ratios, rounds),
           s != nigh && rounds > 1 ? table_print("%.2f to %.2f", low, high) : "-");
}

static void print_case(const char *name, const struct subject *subjects, size_t count,
                       unsigned rounds)
{
    printf("%-24s%10s%14s%16s%18s%16s\n", name, "CPU ns", "with helpers", "not stored, %",
           "nigh's / theirs", "between");
    for (size_t i = 0; i < count; i++)
        print_one(&subjects[0], &subjects[i], rounds);
    for (size_t i = 0; i < count; i++) {
        const struct writing *w = subjects[i].arg;
        if (w->missed || w->wrong)
            printf("  %s: %s found nothing%s\n", w->entrant->title,
                   table_some(w->missed, "lookup"),
                   w->wrong ? ", some met what was being written" : "");
    }
    table_end();
    fflush(stdout);
}

static void add_results(const char *name, const struct subject *subjects, size_t count,
                        unsigned rounds)
{
    static struct subject all[ENTRANTS_MAX];
    for (size_t i = 0; i < count; i++) {
        const struct writing *w = subjects[i].arg;
        all[i] = subjects[i];
        memcpy(all[i].figures, w->process_ns + 1, rounds * sizeof(double));
        result_add("write", name, "puts not stored, %", "%", dropped_percent(w), subjects[i].name,
                   0);
    }
    for (size_t i = 1; i < count; i++) {
        result_add_rounds("write", name, "operation", METRIC_UNIT, &subjects[0], &subjects[i],
                          rounds);
        result_add_rounds("write", name, "operation, all threads", METRIC_UNIT, &all[0], &all[i],
                          rounds);
    }
}

static bool takes_part(const struct entrant *e, const struct write_case *wc, unsigned threads)
{
    return threads <= e->threads_max && !(e->is_apart && threads == 1) &&
           !(e->evicts_only && wc->kind != EVICTS);
}

static void writing_init(struct writing *w, const struct entrant *e, const struct write_case *wc,
                         unsigned threads)
{
    unsigned parts = e->is_apart ? threads : 1;
    bool in_turn = wc->kind != MIXED;
    uint32_t keys = (uint32_t)(wc->kind == EVICTS ? wc->sequence : wc->entries) / parts;
    memset((void *)w, 0, sizeof(*w));
    w->entrant = e;
    w->of = wc;
    w->threads = threads;
    w->need = (struct candidate_need){.entries = wc->entries / parts,
                                      .value_bytes = VALUE_BYTES,
                                      .bounded = wc->kind == EVICTS};
    sequence_make(&w->sequence, in_turn ? KEYS_IN_TURN : KEYS_UNIFORM, keys, wc->sequence, 1);
    w->at = wc->kind == EVICTS ? wc->entries : 0;
    for (unsigned i = 0; wc->kind != FILLS && i < parts; i++)
        w->spaces[i] = stage_create(e->candidate, &w->need);
    w->dropped = 0 - dropped(w);
}

static void writing_fini(struct writing *w)
{
    destroy_spaces(w);
    sequence_free(&w->sequence);
}

static void run_case(const struct bench_settings *s, const struct write_case *wc, const char *name,
                     unsigned threads)
{
    static struct writing writings[ENTRANTS_MAX];
    static struct subject subjects[ENTRANTS_MAX];
    size_t count = 0;
    for (size_t i = 0; i < ENTRANTS; i++) {
        if (!takes_part(&entrants[i], wc, threads))
            continue;
        struct writing *w = &writings[count];
        writing_init(w, &entrants[i], wc, threads);
        subjects[count++] =
            (struct subject){.name = entrants[i].title, .run = write_round, .arg = w};
    }
    rounds_run(name, subjects, count, s->rounds);
    for (size_t i = 0; i < count; i++)
        writings[i].dropped += dropped(&writings[i]);
    print_case(name, subjects, count, s->rounds);
    add_results(name, subjects, count, s->rounds);
    for (size_t i = 0; i < count; i++)
        writing_fini(&writings[i]);
}

/* New keys come in turn, twice as many as fit: each has long been evicted when it comes again. */
static const struct write_case cases[] = {
    {"insert+evict 10k", 10000, 1 << 15, EVICTS, 100, 1 << 18},
    {"insert+evict 1M", 1000000, 1 << 21, EVICTS, 100, 1 << 18},
    {"fill 256k", 1 << 18, 1 << 18, FILLS, 100, 1 << 18},
    {"95/5 10k", 10000, 1 << 14, MIXED, 5, 1 << 19},
    {"50/50 10k", 10000, 1 << 14, MIXED, 50, 1 << 18},
    {"95/5 1M", 1000000, 1 << 20, MIXED, 5, 1 << 18},
    {"50/50 1M", 1000000, 1 << 20, MIXED, 50, 1 << 17},
};

static void print_heading(unsigned threads, bool *headed)
{
    if (!*headed)
        printf("\nwrite: CPU ns per operation, %u thread%s\n", threads, threads == 1 ? "" : "s");
    *headed = true;
}

#define CASES (sizeof(cases) / sizeof(cases[0]))

/* Names a case; returns whether it is wanted. Those that are not mixed have one writer, to whom
 * every key is new. */
static bool choose_case(const struct bench_settings *s, const struct write_case *wc,
                        unsigned threads, char ret_name[CASE_NAME_MAX])
{
    bool mixed = wc->kind == MIXED;
    snprintf(ret_name, CASE_NAME_MAX, mixed ? "%s, %u thread%s" : "%s", wc->name, threads,
             threads == 1 ? "" : "s");
    return !(s->quick && wc->entries > 10000) && (mixed || threads == 1) &&
           result_wanted(s->only, ret_name);
}

static void bench_threads(const struct bench_settings *s, unsigned threads)
{
    bool headed = false;
    for (size_t i = 0; i < CASES; i++) {
        struct write_case wc = cases[i];
        char name[CASE_NAME_MAX];
        if (!choose_case(s, &wc, threads, name))
            continue;
        if (s->quick)
            wc.count >>= 4;
        print_heading(threads, &headed);
        run_case(s, &wc, name, threads);
    }
}

void bench_write(const struct bench_settings *s)
{
    char name[CASE_NAME_MAX];
    unsigned parts = 0;
    for (const unsigned *threads = s->threads; *threads; threads++)
        for (size_t i = 0; i < CASES; i++)
            parts += choose_case(s, &cases[i], *threads, name);
    progress_plan(parts);
    for (const unsigned *threads = s->threads; *threads; threads++)
        bench_threads(s, *threads);
}
