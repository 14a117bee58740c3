// SPDX-License-Identifier: MIT
/*
 * `hit`, its third table: what do the figures for people cost on a hit?
 *
 * The same 10,000 entries in caches that differ in nothing but what of it is on, in the independent
 * loop, in turns. Each is compared with the one that has nothing on, or as little as may be: that
 * hits are counted cannot be turned off. What is sampled by key is taken on a branch that is there
 * in any case, so two of these together may cost less than each alone.
 */
#include <stdio.h>

#include "bench/bench.h"
#include "bench/stage.h"
#include "support/fail.h"
#include "support/folder.h"

#define VALUE_BYTES 100u
#define ENTRIES     10000u
#define SEQUENCE    (1u << 14)
#define NONE        "curve=off,stats.latency=off,hot.keys=none"

enum row { OFF, LATENCY, HOT, CURVE, RECORDING, DEFAULTS, ALL, ROWS };

static const struct {
    const char *name;
    const char *options;
    bool records;
} rows[ROWS] = {
    [OFF] = {"none of it", NONE, false},
    [LATENCY] = {"latencies", "curve=off,hot.keys=none", false},
    [HOT] = {"hot keys", "curve=off,stats.latency=off", false},
    [CURVE] = {"the curve", "stats.latency=off,hot.keys=none", false},
    [RECORDING] = {"a recording", NONE, true},
    [DEFAULTS] = {"all but the recording", "curve=on", false},
    [ALL] = {"all of it", "curve=on", true},
};

static struct nigh_space *create(enum row row, const char *folder)
{
    char *file = must_print(",trace.file=%s/%d.trace", folder, (int)row);
    char *options = must_print("%s%s", rows[row].options, rows[row].records ? file : "");
    struct candidate_need need = {
        .entries = ENTRIES, .value_bytes = VALUE_BYTES, .options = options};
    struct nigh_space *space = stage_create(&candidate_nigh, &need);
    free(options);
    free(file);
    return space;
}

static void report(const struct subject *subjects, unsigned rounds)
{
    printf("\n10k uniform, free: what figures for people cost a hit, CPU ns\n");
    printf("%-28s%10s%10s%10s\n", "", "in all", "ratio", "spread");
    for (enum row r = 0; r < ROWS; r++) {
        char *name = must_print("telemetry: %s", rows[r].name);
        double ratios[ROUNDS_MAX];
        for (unsigned i = 0; i < rounds; i++)
            ratios[i] = subjects[r].figures[i] / subjects[OFF].figures[i];
        printf("%-28s%10.1f%10.3f%10.3f\n", rows[r].name, median(subjects[r].figures, rounds),
               median(ratios, rounds), spread(ratios, rounds));
        if (r != OFF)
            result_add_rounds("hit", name, "get", "cpu ns/lookup", &subjects[r], &subjects[OFF],
                              rounds);
        free(name);
    }
    fflush(stdout);
}

void bench_telemetry(const struct bench_settings *s)
{
    static struct subject subjects[ROWS];
    struct nigh_space *spaces[ROWS];
    struct lookup lookups[ROWS];
    struct sequence sequence;
    const char *folder = folder_create("nigh-telemetry");
    sequence_make(&sequence, KEYS_UNIFORM, ENTRIES, SEQUENCE, 4);
    for (enum row r = 0; r < ROWS; r++) {
        spaces[r] = create(r, folder);
        lookups[r] = (struct lookup){&candidate_nigh, {spaces[r]}, &sequence, LOOP_FREE, 1,
                                     s->quick ? 1 << 15 : 1 << 20, 0};
        subjects[r] =
            (struct subject){.name = rows[r].name, .run = lookup_round, .arg = &lookups[r]};
    }
    rounds_run("telemetry", subjects, ROWS, s->rounds);
    report(subjects, s->rounds);
    for (enum row r = 0; r < ROWS; r++)
        candidate_nigh.destroy(spaces[r]);
    sequence_free(&sequence);
    folder_remove();
}
