// SPDX-License-Identifier: MIT
/*
 * `hit`, its third table: what do the figures for people cost on a hit?
 *
 * The same 10,000 entries in caches that differ in nothing but what of it is on, in the independent
 * loop. Each is compared with the one that has nothing on, or as little as may be: that hits are
 * counted cannot be turned off. What is sampled by key is taken on a branch that is there in any
 * case, so two of these together may cost less than each alone.
 *
 * The costs are a hundredth or two of a hit; where a cache's memory happens to lie makes as much,
 * and who shares the processor makes ten times as much and changes within milliseconds. So:
 *
 *     slice      8 ms of one cache's hits
 *     turn       a slice of each cache, in an order drawn by chance; ratios are of slices of a turn
 *     placement  all caches made anew, TURNS turns; its ratio is the median of the turns' ratios
 *
 * A round is PLACEMENTS of these. What is told is the median of their ratios and the interval that
 * has the true median with 95 % probability, whatever chance is like (median_range()). Nothing is
 * left out.
 *
 * The row "none of it, again" is a second cache like the first: it should come out as 1.00, and by
 * as much as it does not nothing else can be believed.
 */
#include <stdio.h>
#include <stdlib.h>

#include "bench/bench.h"
#include "bench/stage.h"
#include "support/fail.h"
#include "support/folder.h"
#include "support/random.h"

#define VALUE_BYTES 100u
#define ENTRIES     10000u
#define SEQUENCE    (1u << 14)
#define SLICE       (1u << 17) /* hits */
#define TURNS       8u
#define PLACEMENTS  6u /* the fewest that have an interval */
#define SURE        0.95
#define NONE        "curve=off,stats.latency=off,hot.keys=none"

enum row { OFF, AGAIN, LATENCY, HOT, CURVE, RECORDING, DEFAULTS, ALL, ROWS };

static const struct {
    const char *name;
    const char *options;
    bool records;
} rows[ROWS] = {
    [OFF] = {"none of it", NONE, false},
    [AGAIN] = {"none of it, again", NONE, false},
    [LATENCY] = {"latencies", "curve=off,hot.keys=none", false},
    [HOT] = {"hot keys", "curve=off,stats.latency=off", false},
    [CURVE] = {"the curve", "stats.latency=off,hot.keys=none", false},
    [RECORDING] = {"a recording", NONE, true},
    [DEFAULTS] = {"all but the recording", "curve=on", false},
    [ALL] = {"all of it", "curve=on", true},
};

static struct nigh_space *create(enum row row, const char *folder, unsigned placement)
{
    char *file = must_print(",trace.file=%s/%d-%u.trace", folder, (int)row, placement);
    char *options = must_print("%s%s", rows[row].options, rows[row].records ? file : "");
    struct candidate_need need = {
        .entries = ENTRIES, .value_bytes = VALUE_BYTES, .options = options};
    struct nigh_space *space = stage_create(&candidate_nigh, &need);
    free(options);
    free(file);
    return space;
}

/* ---- measuring ---- */

static void shuffle(struct random_stream *random, enum row order[ROWS])
{
    for (uint32_t i = ROWS - 1; i > 0; i--) {
        uint32_t other = random_below(random, i + 1);
        enum row row = order[i];
        order[i] = order[other];
        order[other] = row;
    }
}

struct placement {
    struct lookup lookups[ROWS];
    double slices[ROWS][TURNS]; /* ns of a hit */
};

static void take_turn(struct placement *p, struct random_stream *random, enum row order[ROWS],
                      unsigned turn)
{
    shuffle(random, order);
    for (unsigned i = 0; i < ROWS; i++)
        p->slices[order[i]][turn] = lookup_round(&p->lookups[order[i]]);
}

/* Take all turns; the one before them warms up. */
static void measure(struct placement *p, struct random_stream *random, unsigned turns)
{
    enum row order[ROWS];
    for (enum row r = 0; r < ROWS; r++)
        order[r] = r;
    take_turn(p, random, order, 0);
    for (unsigned turn = 0; turn < turns; turn++)
        take_turn(p, random, order, turn);
}

/* Measure in caches that were made for it. A row's figure is its ratio, times the first one's. */
static void place(struct placement *p, struct subject *subjects, struct random_stream *random,
                  unsigned turns, unsigned at)
{
    measure(p, random, turns);
    for (enum row r = 0; r < ROWS; r++)
        subjects[r].figures[at] =
            median(p->slices[OFF], turns) * median_ratio(p->slices[r], p->slices[OFF], turns);
}

static void place_all(struct subject *subjects, unsigned placements, bool quick)
{
    struct random_stream random = random_stream_of(4, 0, 0);
    struct sequence sequence;
    const char *folder = folder_create("nigh-telemetry");
    sequence_make(&sequence, KEYS_UNIFORM, ENTRIES, SEQUENCE, 4);
    for (unsigned at = 0; at < placements; at++) {
        struct placement p;
        progress_share((double)at / placements, "telemetry: placement %u of %u", at + 1,
                       placements);
        for (enum row r = 0; r < ROWS; r++)
            p.lookups[r] = (struct lookup){&candidate_nigh, {create(r, folder, at)}, &sequence,
                                           LOOP_FREE, 1, quick ? 1 << 12 : SLICE, 0};
        place(&p, subjects, &random, quick ? 1 : TURNS, at);
        for (enum row r = 0; r < ROWS; r++)
            candidate_nigh.destroy(p.lookups[r].spaces[0]);
    }
    folder_remove();
    sequence_free(&sequence);
}

/* ---- the table ---- */

static void report_row(const struct subject *subject, const struct subject *off, unsigned rounds)
{
    double ratios[ROUNDS_MAX], low, high;
    ratios_of(subject->figures, off->figures, rounds, ratios);
    median_range(ratios, rounds, SURE, &low, &high);
    printf("%-28s%10.1f%10.3f   %.3f to %.3f\n", subject->name,
           median(subject->figures, rounds), median(ratios, rounds), low, high);
}

static void report(const struct subject *subjects, unsigned rounds)
{
    printf("\n10k uniform, free: what figures for people cost a hit, CPU ns\n");
    printf("%-28s%10s%10s   %s\n", "", "in all", "ratio", "95 % sure");
    for (enum row r = 0; r < ROWS; r++) {
        char *name = must_print("telemetry: %s", rows[r].name);
        report_row(&subjects[r], &subjects[OFF], rounds);
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
    unsigned placements = s->rounds * PLACEMENTS < ROUNDS_MAX ? s->rounds * PLACEMENTS : ROUNDS_MAX;
    for (enum row r = 0; r < ROWS; r++)
        subjects[r].name = rows[r].name;
    place_all(subjects, placements, s->quick);
    progress_next();
    progress_end();
    report(subjects, placements);
}
