/* SPDX-License-Identifier: MIT */
/*
 * Debian's control format: records of "Field: value" between empty lines, and lists of relations.
 *
 * Source: deb-control(5) and Debian Policy 5.1 and 7.1. Nothing is copied: every text points into
 * the input.
 */
#ifndef PERF_CONTROL_H
#define PERF_CONTROL_H

#include <stdbool.h>

#include "support/text.h"

/* The fields that the catalogue needs; a missing one is empty. */
struct control_record {
    struct text whole;
    struct text package;
    struct text version;
    struct text priority;
    struct text status; /* only in the dpkg status file */
    struct text depends;
    struct text pre_depends;
    struct text provides;
};

/* Cut the next record off *rest; false at the end. */
bool control_next(struct text *rest, struct control_record *ret);

/* Cut the next clause ("a (>= 1) | b") off a relation field. */
bool control_next_clause(struct text *field, struct text *ret_clause);

/* Cut the next bare name off a clause: no version, architecture or profile. */
bool control_next_name(struct text *clause, struct text *ret_name);

#endif
