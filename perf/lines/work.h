/* SPDX-License-Identifier: MIT */
/*
 * The traced side of lines.c: two threads that take turns on one cache, and marks in the trace.
 */
#ifndef NIGH_PERF_LINES_WORK_H
#define NIGH_PERF_LINES_WORK_H

#include <stdint.h>

/* Each thread stores to its marks' addresses before an operation and after it, and thread 0 to that
 * of a phase as one begins. They lie where they do in every process, so who reads the trace knows
 * them. */
#define WORK_MARKS_AT UINT64_C(0x7d0000000000)
#define WORK_MARK_BYTES UINT64_C(64)
enum work_mark { WORK_BEGIN_0, WORK_END_0, WORK_BEGIN_1, WORK_END_1, WORK_PHASE, WORK_MARKS };

enum work_op { WORK_HIT, WORK_PUT, WORK_MISS, WORK_OPS };
extern const char *const work_names[WORK_OPS];

/* In a phase thread 0 does one operation and thread 1 the other, turn by turn. */
struct work_phase {
    enum work_op ops[2];
};

/* Does them one after the other, on keys of different shards. Prints what lies where, as "NAME
 * ADDRESS BYTES" per line. Returns the exit status. */
int work_run(const struct work_phase *phases, unsigned count, unsigned rounds);

#endif
