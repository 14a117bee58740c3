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
        lookups[i] = (struct lookup){candidates[i], {spaces[i], spaces[i]}, sequence, kind,
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

/* ---- threads that share against threads that do not ---- */

static void measure_sharing(const struct bench_settings *s, const struct size *size,
                            struct nigh_space *one, struct nigh_space *other)
{
    struct sequence sequence;
    char name[56];
    struct lookup shared = {&candidate_nigh, {one, one}, &sequence, LOOP_FREE, 2, size->count, 0};
    struct lookup apart = {&candidate_nigh, {one, other}, &sequence, LOOP_FREE, 2, size->count, 0};
    struct subject subjects[2] = {
        {.name = "one cache", .run = lookup_round, .arg = &shared},
        {.name = "a cache each", .run = lookup_round, .arg = &apart},
    };
    sequence_make(&sequence, KEYS_UNIFORM, size->entries, size->sequence, 3);
    snprintf(name, sizeof(name), "%s, 2 threads", size->name);
    rounds_run(name, subjects, 2, s->rounds);
    result_add_rounds("hit", name, "sharing", METRIC_UNIT, &subjects[0], &subjects[1], s->rounds);
    printf("%-30s%10.1f%14.1f%22.3f\n", name, median(subjects[0].figures, s->rounds),
           median(subjects[1].figures, s->rounds),
           median_ratio(subjects[1].figures, subjects[0].figures, s->rounds));
    sequence_free(&sequence);
}

static void bench_sharing(const struct bench_settings *s)
{
    const struct size *all[] = {&hot_size, &sizes[0], &sizes[1]};
    size_t count = s->quick ? 1 : 3;
    printf("\ntwo threads in one cache, and each in its own: CPU ns per lookup\n");
    printf("%-30s%10s%14s%22s\n", "", "shared", "apart", "apart / shared");
    for (size_t i = 0; i < count; i++) {
        struct candidate_need need = {.entries = all[i]->entries, .value_bytes = VALUE_BYTES};
        struct nigh_space *one = stage_create(&candidate_nigh, &need);
        struct nigh_space *other = stage_create(&candidate_nigh, &need);
        measure_sharing(s, all[i], one, other);
        candidate_nigh.destroy(one);
        candidate_nigh.destroy(other);
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

enum { CASES = 5, BATCHED = CASES - 1 }; /* of a size and an order: four of single lookups */

static void case_name(const struct size *size, enum keys_order order, int number, char *ret,
                      size_t bytes)
{
    const char *keys = order == KEYS_ZIPF ? "zipf" : "uniform";
    if (number == BATCHED)
        snprintf(ret, bytes, "%s %s, batch", size->name, keys);
    else
        snprintf(ret, bytes, "%s %s, %s, %d thread%s", size->name, keys,
                 number % 2 ? "free" : "chain", number / 2 + 1, number / 2 ? "s" : "");
}

static bool is_wanted(const struct bench_settings *s, const char *name)
{
    return !s->only || strstr(name, s->only);
}

static void lookups_of(const struct bench_settings *s, const struct size *size,
                       struct nigh_space *const spaces[ENTRANTS], enum keys_order order)
{
    struct sequence sequence;
    char name[56];
    sequence_make(&sequence, order, size->entries, size->sequence, 1);
    bool headed = false;
    for (int i = 0; i < CASES; i++) {
        case_name(size, order, i, name, sizeof(name));
        if (!is_wanted(s, name))
            continue;
        if (i < BATCHED && !headed)
            print_heading(size->name, order == KEYS_ZIPF ? "zipf" : "uniform");
        headed = true;
        if (i == BATCHED)
            measure_batches(s, name, spaces, &sequence, size->count);
        else
            measure_all(s, name, spaces, &sequence, i % 2 == 0, (unsigned)i / 2 + 1, size->count);
    }
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

static bool size_wanted(const struct bench_settings *s, const struct size *size)
{
    bool wanted = false;
    char name[56];
    for (int i = 0; i < 2 * CASES; i++) {
        case_name(size, i < CASES ? KEYS_UNIFORM : KEYS_ZIPF, i % CASES, name, sizeof(name));
        wanted = wanted || is_wanted(s, name);
    }
    return wanted;
}

void bench_hit(const struct bench_settings *s)
{
    size_t count = s->quick ? 1 : s->full ? 3 : 2;
    for (size_t i = 0; i < count; i++)
        if (size_wanted(s, &sizes[i]))
            bench_size(s, s->quick ? &quick_size : &sizes[i]);
    if (is_wanted(s, "sharing"))
        bench_sharing(s);
    if (is_wanted(s, "features"))
        bench_features(s);
}
