// SPDX-License-Identifier: MIT
/*
 * `hit`, its second table: what does each feature cost on a hit?
 *
 * The inlined core grows by a step at a time, in the independent loop, all in one cache; the row
 * "ttl, floors, trust, counters" is the four before it together. What a tag costs is shown twice:
 * while nothing newer was invalidated the newest floor answers for all; after some other tag was,
 * the floors of all groups of each value are looked at.
 */
#include <stdio.h>

#include "bench/bench.h"
#include "bench/stage.h"
#include "support/fail.h"

#define VALUE_BYTES 100u

enum state { PLAIN, TAGGED, TAGGED_RAISED, STATES }; /* of a cache and its values */

enum row {
    FIND, SECTION, PIN, TTL, FLOORS, TOUCH, COUNT, JUDGE, CLOCK, CALL, TAG, TAG_FLOORS,
    CALL_TAG_FLOORS, ROWS
};

/* Says of each row what is measured, in which cache, and the row whose cost it adds to. */
static const struct {
    const char *name;
    const struct candidate *candidate;
    enum state state;
    enum row base;
} rows[ROWS] = {
    [FIND] = {"find", &candidate_core[CORE_FIND], PLAIN, FIND},
    [SECTION] = {"read section", &candidate_core[CORE_SECTION], PLAIN, FIND},
    [PIN] = {"pin and release", &candidate_core[CORE_PIN], PLAIN, SECTION},
    [TTL] = {"lifetime", &candidate_core[CORE_TTL], PLAIN, PIN},
    [FLOORS] = {"floors, trust", &candidate_core[CORE_FLOORS], PLAIN, TTL},
    [TOUCH] = {"hit noted in the entry", &candidate_core[CORE_TOUCH], PLAIN, FLOORS},
    [COUNT] = {"hit counted", &candidate_core[CORE_COUNT], PLAIN, TOUCH},
    [JUDGE] = {"ttl, floors, trust, counters", &candidate_core[CORE_COUNT], PLAIN, PIN},
    [CLOCK] = {"coarse clock", &candidate_core[CORE_CLOCK], PLAIN, JUDGE},
    [CALL] = {"the call itself", &candidate_nigh, PLAIN, CLOCK},
    [TAG] = {"a tag, nothing invalidated", &candidate_core[CORE_COUNT], TAGGED, PIN},
    [TAG_FLOORS] = {"a tag, another invalidated", &candidate_core[CORE_COUNT], TAGGED_RAISED, PIN},
    [CALL_TAG_FLOORS] = {"the call, the same tag", &candidate_nigh, TAGGED_RAISED, CALL},
};

/* Returns by how much a round's own two figures differ, in the middle, and between what that lies:
 * see measure.h on ratios. */
static double added_ns(const struct subject *s, const struct subject *base, unsigned rounds,
                       double *ret_low, double *ret_high)
{
    double differences[ROUNDS_MAX];
    for (unsigned i = 0; i < rounds; i++)
        differences[i] = s->figures[i] - base->figures[i];
    median_range(differences, rounds, MEDIAN_SURE, ret_low, ret_high);
    return median(differences, rounds);
}

static void report(const char *size, const struct subject *subjects, unsigned rounds)
{
    printf("\n%s uniform, free: what a hit costs, CPU ns; added: to the step before, a tag: to\n"
           "\"pin and release\"; the median of the rounds' differences, so it does not sum up\n"
           "%-36s%10s%10s%18s\n",
           size, "", "in all", "added", "between");
    for (int i = 0; i < ROWS; i++) {
        const struct subject *base = &subjects[rows[i].base];
        double low, high, added = added_ns(&subjects[i], base, rounds, &low, &high);
        char name[56];
        snprintf(name, sizeof(name), "%s: %s", size, rows[i].name);
        printf("%-36s%10.1f", rows[i].name, median(subjects[i].figures, rounds));
        if (i == FIND || rounds == 1)
            printf("%10.1f%18s\n", added, "-");
        else
            printf("%10.1f%9.1f to %5.1f\n", added, low, high);
        result_add_rounds("features", name, "get", "cpu ns/lookup", &subjects[i], base, rounds);
        result_add("features", name, "added", "cpu ns/lookup", added, NULL, 0);
    }
}

/* ---- the caches ---- */

/* The core and the library are compiled apart, so each has caches of its own. */
static struct nigh_space *create(const struct candidate *c, enum state state, uint32_t entries)
{
    struct candidate_need need = {.entries = entries,
                                  .value_bytes = VALUE_BYTES,
                                  .tag = state == PLAIN ? NULL : "a tag"};
    struct nigh_space *space = stage_create(c, &need);
    if (state == TAGGED_RAISED)
        c->invalidate_tag(space, "another tag");
    return space;
}

static bool is_core(enum row row)
{
    return rows[row].candidate != &candidate_nigh;
}

static void bench_size(const struct bench_settings *s, const char *size, uint32_t entries,
                       uint64_t sequence_length, uint64_t count)
{
    struct nigh_space *spaces[2][STATES] = {{NULL}};
    struct lookup lookups[ROWS];
    struct subject subjects[ROWS];
    struct sequence sequence;
    sequence_make(&sequence, KEYS_UNIFORM, entries, sequence_length, 2);
    for (enum row r = 0; r < ROWS; r++) {
        struct nigh_space **space = &spaces[is_core(r)][rows[r].state];
        if (!*space)
            *space = create(rows[r].candidate, rows[r].state, entries);
        lookups[r] =
            (struct lookup){rows[r].candidate, {*space}, &sequence, LOOP_FREE, 1, count, 0};
        subjects[r] =
            (struct subject){.name = rows[r].name, .run = lookup_round, .arg = &lookups[r]};
    }
    rounds_run("features", subjects, ROWS, s->rounds);
    report(size, subjects, s->rounds);
    for (int core = 0; core < 2; core++)
        for (int state = 0; state < STATES; state++)
            if (spaces[core][state])
                (core ? &candidate_core[CORE_FULL] : &candidate_nigh)->destroy(spaces[core][state]);
    sequence_free(&sequence);
}

void bench_features(const struct bench_settings *s)
{
    bench_size(s, "10k", 10000, 1 << 14, s->quick ? 1 << 15 : 1 << 20);
    if (!s->quick)
        bench_size(s, "1M", 1000000, 1 << 20, 1 << 18);
}
