// SPDX-License-Identifier: MIT
/*
 * `hit`: what does a lookup cost that finds its key, beside what others take for less?
 */
#include <stdio.h>
#include <string.h>

#include "bench/bench.h"
#include "bench/stage.h"
#include "support/fail.h"

#define VALUE_BYTES 100u
#define HOT_ENTRIES 128u
#define COLUMNS_MAX 8u
#define METRIC_UNIT "cpu ns/lookup"

struct size {
    const char *name;
    uint32_t entries;
    uint64_t sequence; /* lookups before the keys repeat */
    uint64_t count;    /* of a round, in a chain; independent ones: twice */
};

/* A sequence of 10k keys shall not push them out of the cache; one of 1M shall not repeat. */
static const struct size sizes[] = {
    {"10k", 10000, 1 << 14, 1 << 19},
    {"1M", 1000000, 1 << 20, 1 << 17},
    {"10M", 10000000, 1 << 21, 1 << 17},
};
static const struct size quick_size = {"10k", 10000, 1 << 14, 1 << 15};
static const struct size hot_size = {"128 hot", HOT_ENTRIES, 1 << 12, 1 << 20};

enum entrant { NIGH, COPY, CORE, LFHT, MUTEX, CK, GLIB, LIMIT, ENTRANTS };

static const struct candidate *const candidates[ENTRANTS] = {
    &candidate_nigh,  &candidate_nigh, &candidate_core[CORE_FULL], &candidate_lfht,
    &candidate_mutex, &candidate_ck,   &candidate_glib,            &candidate_limit,
};
static const char *const titles[ENTRANTS] = {"nigh",  "nigh copy", "core", "lfht",
                                             "mutex", "ck_ht",     "glib", "limit"};
static const char *const metrics[] = {"get", "get and copy", "get inlined"};

/* ---- a table ---- */

static void print_heading(const char *size, const char *keys)
{
    static bool explained;
    if (!explained)
        printf("\nnigh copy: values copied out, as mutex and glib do. core: nigh inlined into the "
               "loop.\nlfht, mutex, ck_ht, glib: hash tables without lifetimes, cap or counters. "
               "limit: two loads\nfrom as much memory and nothing else. Medians; a ratio is made "
               "in each round.\n");
    explained = true;
    printf("\n%s entries, %s: CPU ns per lookup; chain: the next key needs this value\n%-30s",
           size, keys, "");
    for (int i = 0; i < ENTRANTS; i++)
        printf("%*s", i == COPY ? 10 : 8, titles[i]);
    printf("\n");
}

static void print_row(const char *name, const struct subject *subjects, unsigned rounds)
{
    printf("%-30s", name);
    for (int i = 0; i < ENTRANTS; i++)
        printf("%*.1f", i == COPY ? 10 : 8, median(subjects[i].figures, rounds));
    printf("\n%-30s%8s", "  nigh's time / theirs", "");
    for (int i = COPY; i < ENTRANTS; i++)
        printf("%*.2f", i == COPY ? 10 : 8,
               median_ratio(subjects[NIGH].figures, subjects[i].figures, rounds));
    printf("\n");
    fflush(stdout);
}

/* ---- everybody beside everybody ---- */

static void add_results(const char *name, const struct subject *subjects, unsigned rounds)
{
    for (int who = NIGH; who <= CORE; who++)
        for (int base = LFHT; base < ENTRANTS; base++)
            result_add_rounds("hit", name, metrics[who], METRIC_UNIT, &subjects[who],
                              &subjects[base], rounds);
    result_add_rounds("hit", name, metrics[CORE], METRIC_UNIT, &subjects[CORE], &subjects[NIGH],
                      rounds);
}

static void measure_all(const struct bench_settings *s, const char *name,
                        struct nigh_space *const spaces[ENTRANTS], const struct sequence *sequence,
                        bool chain, unsigned threads, uint64_t count)
{
    struct lookup lookups[ENTRANTS];
    struct subject subjects[ENTRANTS];
    for (int i = 0; i < ENTRANTS; i++) {
        enum loop_kind kind = chain ? (i == COPY ? LOOP_CHAIN_COPY : LOOP_CHAIN)
                                    : (i == COPY ? LOOP_FREE_COPY : LOOP_FREE);
        lookups[i] = (struct lookup){candidates[i], {spaces[i]},               sequence, kind,
                                     threads,       chain ? count : 2 * count, 0};
        subjects[i] = (struct subject){.name = titles[i], .run = lookup_round, .arg = &lookups[i]};
    }
    rounds_run(name, subjects, ENTRANTS, s->rounds);
    print_row(name, subjects, s->rounds);
    add_results(name, subjects, s->rounds);
}

/* ---- many keys at a call ---- */

static const struct {
    unsigned keys;
    bool copies;
    enum loop_kind kind;
} batches[] = {
    {16, false, LOOP_BATCH_16},
    {16, true, LOOP_BATCH_16_COPY},
    {32, false, LOOP_BATCH_32},
    {32, true, LOOP_BATCH_32_COPY},
};
#define BATCHES (sizeof(batches) / sizeof(batches[0]))

/* Batches beside the same keys one at a time, by lfht and by nigh. */
static void measure_batches(const struct bench_settings *s, const char *name,
                            struct nigh_space *const spaces[ENTRANTS],
                            const struct sequence *sequence, uint64_t count)
{
    struct lookup lookups[BATCHES + 2];
    struct subject subjects[BATCHES + 2];
    const struct subject *lfht = &subjects[BATCHES], *single = &subjects[BATCHES + 1];
    for (size_t i = 0; i < BATCHES + 2; i++) {
        enum entrant who = i == BATCHES ? LFHT : NIGH;
        lookups[i] = (struct lookup){candidates[who], {spaces[who]}, sequence,
                                     i < BATCHES ? batches[i].kind : LOOP_FREE, 1, 2 * count, 0};
        subjects[i] = (struct subject){
            .name = i < BATCHES ? "batch" : titles[who], .run = lookup_round, .arg = &lookups[i]};
    }
    rounds_run(name, subjects, BATCHES + 2, s->rounds);
    printf("%-47s%8s%8s%8s%12s%14s\n", "", "nigh", "lfht", "one", "nigh / lfht", "one / nigh");
    for (size_t i = 0; i < BATCHES; i++) {
        char row[56];
        const char *metric = metrics[batches[i].copies ? COPY : NIGH];
        snprintf(row, sizeof(row), "%s of %u, 1 thread", name, batches[i].keys);
        result_add_rounds("hit", row, metric, METRIC_UNIT, &subjects[i], lfht, s->rounds);
        result_add_rounds("hit", row, metric, METRIC_UNIT, &subjects[i], single, s->rounds);
        printf("%-36s%-11s%8.1f%8.1f%8.1f%12.3f%14.2f\n", row, batches[i].copies ? "copied" : "",
               median(subjects[i].figures, s->rounds), median(lfht->figures, s->rounds),
               median(single->figures, s->rounds),
               median_ratio(subjects[i].figures, lfht->figures, s->rounds),
               median_ratio(single->figures, subjects[i].figures, s->rounds));
    }
    fflush(stdout);
}

/* ---- threads that share one table ---- */

/* Compares several threads' time with one's, by hits and by reads of the same table that leave
 * no trace: no counter moves, no bit of an entry is set. */
enum { HITS_ALONE, QUIET_ALONE, HITS, QUIET, SHARING };

static void measure_sharing(const struct bench_settings *s, const struct size *size,
                            struct nigh_space *space, unsigned threads)
{
    struct sequence sequence;
    char name[56];
    struct lookup lookups[SHARING];
    static struct subject subjects[SHARING], grown[2];
    sequence_make(&sequence, KEYS_UNIFORM, size->entries, size->sequence, 3);
    for (int i = 0; i < SHARING; i++) {
        const struct candidate *c = i % 2 ? &candidate_quiet : &candidate_nigh;
        lookups[i] = (struct lookup){c, {space}, &sequence, LOOP_FREE,
                                     i < HITS ? 1 : threads, size->count, 0};
        subjects[i] =
            (struct subject){.name = c->name, .run = lookup_round, .arg = &lookups[i]};
    }
    snprintf(name, sizeof(name), "%s, %u threads", size->name, threads);
    rounds_run(name, subjects, SHARING, s->rounds);
    for (int i = 0; i < 2; i++) {
        grown[i] = subjects[HITS + i];
        for (unsigned round = 0; round < s->rounds; round++)
            grown[i].figures[round] /= subjects[HITS_ALONE + i].figures[round];
    }
    result_add_rounds("hit", name, "sharing", "of one thread's time", &grown[0], &grown[1],
                      s->rounds);
    printf("%-20s%12.1f%12.1f%12.1f%12.1f%14.3f\n", name,
           median(subjects[HITS_ALONE].figures, s->rounds),
           median(subjects[HITS].figures, s->rounds),
           median(subjects[QUIET_ALONE].figures, s->rounds),
           median(subjects[QUIET].figures, s->rounds),
           median_ratio(grown[1].figures, grown[0].figures, s->rounds));
    fflush(stdout);
    sequence_free(&sequence);
}

static void bench_sharing(const struct bench_settings *s)
{
    const struct size *all[] = {&hot_size, &sizes[0], &sizes[1]};
    size_t count = s->quick ? 1 : 3;
    printf("\nthreads in one table: CPU ns per lookup; quiet: nothing shared is written\n");
    printf("%-20s%12s%12s%12s%12s%14s\n", "", "hit, 1", "hit, all", "quiet, 1", "quiet, all",
           "quiet / hit");
    for (size_t i = 0; i < count; i++) {
        struct candidate_need need = {.entries = all[i]->entries, .value_bytes = VALUE_BYTES};
        struct nigh_space *space = stage_create(&candidate_nigh, &need);
        for (const unsigned *threads = s->threads; *threads; threads++)
            if (*threads > 1)
                measure_sharing(s, all[i], space, *threads);
        candidate_nigh.destroy(space);
    }
}

/* ---- a size ---- */

static uint64_t available_bytes(void)
{
    char line[128];
    unsigned long kib = 0;
    FILE *f = fopen("/proc/meminfo", "r");
    while (f && fgets(line, sizeof(line), f))
        if (sscanf(line, "MemAvailable: %lu", &kib) == 1)
            break;
    if (f)
        fclose(f);
    return (uint64_t)kib << 10;
}

#define BATCH 0u /* for a number of threads: one, which asks for many at a call */

static void case_name(const struct size *size, enum keys_order order, unsigned threads, bool chain,
                      char *ret, size_t bytes)
{
    const char *keys = order == KEYS_ZIPF ? "zipf" : "uniform";
    if (threads == BATCH)
        snprintf(ret, bytes, "%s %s, batch", size->name, keys);
    else
        snprintf(ret, bytes, "%s %s, %s, %u thread%s", size->name, keys, chain ? "chain" : "free",
                 threads, threads > 1 ? "s" : "");
}

static void lookups_of(const struct bench_settings *s, const struct size *size,
                       struct nigh_space *const spaces[ENTRANTS], enum keys_order order)
{
    struct sequence sequence;
    char name[56];
    bool headed = false;
    sequence_make(&sequence, order, size->entries, size->sequence, 1);
    for (const unsigned *threads = s->threads; *threads; threads++)
        for (int free = 0; free < 2; free++) {
            case_name(size, order, *threads, !free, name, sizeof(name));
            if (!result_wanted(s->only, name))
                continue;
            if (!headed)
                print_heading(size->name, order == KEYS_ZIPF ? "zipf" : "uniform");
            headed = true;
            measure_all(s, name, spaces, &sequence, !free, *threads, size->count);
        }
    case_name(size, order, BATCH, false, name, sizeof(name));
    if (result_wanted(s->only, name))
        measure_batches(s, name, spaces, &sequence, size->count);
    sequence_free(&sequence);
}

static void bench_size(const struct bench_settings *s, const struct size *size)
{
    struct candidate_need need = {.entries = size->entries, .value_bytes = VALUE_BYTES};
    struct nigh_space *spaces[ENTRANTS];
    uint64_t wanted = (uint64_t)size->entries * 300 * (ENTRANTS - 1);
    if (available_bytes() < wanted)
        fail("%s entries need about %lu MiB for all candidates", size->name,
             (unsigned long)(wanted >> 20));
    for (int i = 0; i < ENTRANTS; i++)
        spaces[i] = i == COPY ? spaces[NIGH] : stage_create(candidates[i], &need);
    lookups_of(s, size, spaces, KEYS_UNIFORM);
    lookups_of(s, size, spaces, KEYS_ZIPF);
    for (int i = 0; i < ENTRANTS; i++)
        if (i != COPY)
            candidates[i]->destroy(spaces[i]);
}

static bool order_wanted(const struct bench_settings *s, const struct size *size,
                         enum keys_order order)
{
    char name[56];
    case_name(size, order, BATCH, false, name, sizeof(name));
    bool wanted = result_wanted(s->only, name);
    for (const unsigned *threads = s->threads; *threads && !wanted; threads++)
        for (int chain = 0; chain < 2; chain++) {
            case_name(size, order, *threads, chain, name, sizeof(name));
            wanted = wanted || result_wanted(s->only, name);
        }
    return wanted;
}

static bool size_wanted(const struct bench_settings *s, const struct size *size)
{
    return order_wanted(s, size, KEYS_UNIFORM) || order_wanted(s, size, KEYS_ZIPF);
}

/* ---- the parts, for progress ---- */

static unsigned count_lookups(const struct bench_settings *s, const struct size *size)
{
    char name[56];
    unsigned count = 0;
    for (enum keys_order order = KEYS_UNIFORM; order <= KEYS_ZIPF; order++) {
        for (const unsigned *threads = s->threads; *threads; threads++)
            for (int chain = 0; chain < 2; chain++) {
                case_name(size, order, *threads, chain, name, sizeof(name));
                count += result_wanted(s->only, name);
            }
        case_name(size, order, BATCH, false, name, sizeof(name));
        count += result_wanted(s->only, name);
    }
    return count;
}

static unsigned count_parts(const struct bench_settings *s, size_t size_count)
{
    unsigned count = 0, several = 0;
    for (size_t i = 0; i < size_count; i++)
        count += count_lookups(s, &sizes[i]);
    for (const unsigned *threads = s->threads; *threads; threads++)
        several += *threads > 1;
    if (result_wanted(s->only, "sharing"))
        count += several * (s->quick ? 1 : 3);
    if (result_wanted(s->only, "features"))
        count += s->quick ? 1 : 2;
    return count + result_wanted(s->only, "telemetry");
}

void bench_hit(const struct bench_settings *s)
{
    size_t count = s->quick ? 1 : s->full ? 3 : 2;
    progress_plan(count_parts(s, count));
    for (size_t i = 0; i < count; i++)
        if (size_wanted(s, &sizes[i]))
            bench_size(s, s->quick ? &quick_size : &sizes[i]);
    if (result_wanted(s->only, "sharing"))
        bench_sharing(s);
    if (result_wanted(s->only, "features"))
        bench_features(s);
    if (result_wanted(s->only, "telemetry"))
        bench_telemetry(s);
}
