// SPDX-License-Identifier: MIT
/*
 * `hit`, its second table: what does each feature cost on a hit?
 *
 * The inlined core grows by a step at a time, in the independent loop, all in one cache. What a tag
 * costs is shown twice: while nothing newer was invalidated the newest floor answers for all; after
 * some other tag was, the floors of all groups of each value are looked at.
 */
#include <stdio.h>

#include "bench/bench.h"
#include "bench/stage.h"
#include "support/fail.h"

#define VALUE_BYTES 100u

enum row { FIND, PIN, JUDGE, CLOCK, CALL, FLOORS, TAG, TAG_FLOORS, CALL_TAG_FLOORS, ROWS };

/* Of each row: what is measured, in which cache, and the row whose cost it adds to. */
static const struct {
    const char *name;
    const struct candidate *candidate;
    bool tagged, raised;
    enum row base;
} rows[ROWS] = {
    [FIND] = {"find", &candidate_core[CORE_FIND], false, false, FIND},
    [PIN] = {"pin and release", &candidate_core[CORE_PIN], false, false, FIND},
    [JUDGE] = {"ttl, floors, trust, counters", &candidate_core[CORE_JUDGE], false, false, PIN},
    [CLOCK] = {"coarse clock", &candidate_core[CORE_CLOCK], false, false, JUDGE},
    [CALL] = {"the call itself", &candidate_nigh, false, false, CLOCK},
    [FLOORS] = {"floors, another tag invalidated", &candidate_core[CORE_JUDGE], false, true, PIN},
    [TAG] = {"a tag, nothing invalidated", &candidate_core[CORE_JUDGE], true, false, PIN},
    [TAG_FLOORS] = {"a tag, another invalidated", &candidate_core[CORE_JUDGE], true, true, PIN},
    [CALL_TAG_FLOORS] = {"the same, the call itself", &candidate_nigh, true, true, CALL},
};

static void invalidate_another(struct nigh_space *space)
{
    struct nigh_target target = {.kind = NIGH_TARGET_TAG, .name = "another", .name_len = 7};
    if (nigh_invalidate_many(candidate_nigh_cache(space), &target, 1, NULL) != 0)
        fail("nigh_invalidate_many failed");
}

static void report(const char *size, const struct subject *subjects, unsigned rounds)
{
    printf("\n%s uniform, free: what a hit costs, CPU ns\n%-36s%10s%10s%10s\n", size, "", "in all",
           "added", "share");
    for (int i = 0; i < ROWS; i++) {
        const struct subject *base = &subjects[rows[i].base];
        double all = median(subjects[i].figures, rounds);
        double ratio = median_ratio(subjects[i].figures, base->figures, rounds);
        double added = all - median(base->figures, rounds);
        char name[56];
        snprintf(name, sizeof(name), "%s: %s", size, rows[i].name);
        printf("%-36s%10.1f%10.1f%9.1f%%\n", rows[i].name, all, added, (ratio - 1) * 100);
        result_add_rounds("features", name, "get", "cpu ns/lookup", &subjects[i], base, rounds);
        result_add("features", name, "added", "cpu ns/lookup", added, NULL, 0);
    }
}

/* The core and the library have caches of their own: their structs are compiled apart. */
static struct nigh_space *create(const struct candidate *c, uint32_t entries, bool tagged)
{
    struct candidate_need need = {.entries = entries, .value_bytes = VALUE_BYTES,
                                  .tag = tagged ? "a tag" : NULL};
    return stage_create(c, &need);
}

static void bench_size(const struct bench_settings *s, const char *size, uint32_t entries,
                       uint64_t sequence_length, uint64_t count)
{
    struct lookup lookups[ROWS];
    struct subject subjects[ROWS];
    struct sequence sequence;
    sequence_make(&sequence, KEYS_UNIFORM, entries, sequence_length, 2);
    struct nigh_space *core = create(&candidate_core[CORE_FULL], entries, false);
    struct nigh_space *own = create(&candidate_nigh, entries, false);
    (void)lookups;
    (void)subjects;
    (void)core;
    (void)own;
    (void)s;
    (void)size;
    (void)count;
}
