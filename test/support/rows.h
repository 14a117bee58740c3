/* SPDX-License-Identifier: MIT */
/*
 * rows.h - rows that change under readers of all kinds, for tortures.
 *
 * A value is a row's generation. row_change() makes the next and invalidates the key; row_judge()
 * wants no value older than the last invalidation that had returned when its call began: `least`,
 * which the reader takes from row->told before. The origin is asked once a generation at the most:
 * row->loads <= row->invalidated + 1.
 */
#ifndef NIGH_TEST_ROWS_H
#define NIGH_TEST_ROWS_H

#include <stdatomic.h>
#include <string.h>

#include <nigh/nigh.h>

#include "support/check.h"

struct row {
    _Atomic unsigned generation;  /* the origin's */
    _Atomic unsigned told;        /* the last generation of which the cache was told */
    _Atomic unsigned invalidated; /* how often, counted before */
    _Atomic unsigned loads;
};

/* Answers a fill. Returns the row's generation. */
static inline unsigned row_load(struct row *row, struct nigh_fill *fill)
{
    row->loads++;
    unsigned generation = row->generation;
    CHECK_EQ(nigh_fill_value(fill, &generation, sizeof(generation)), 0);
    return generation;
}

/* Takes the next generation, and tells the cache, by a key of one byte. */
static inline void row_change(struct row *row, struct nigh_space *space, char key)
{
    unsigned generation = ++row->generation;
    row->invalidated++;
    CHECK_EQ(nigh_invalidate(space, &key, 1, NULL), 0);
    row->told = generation;
}

/* Judges a value of the row `number`, and releases it. */
static inline void row_judge(int outcome, struct nigh_value *value, unsigned number, unsigned least)
{
    unsigned generation = 0;
    if (CHECK(outcome == NIGH_FRESH && value->len == sizeof(generation))) {
        memcpy(&generation, value->data, sizeof(generation));
        if (!CHECK_GE(generation, least))
            check_note("row %u", number);
    } else {
        check_note("%s", nigh_result_name(outcome));
    }
    nigh_release(value);
}

#endif
