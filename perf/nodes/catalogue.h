/* SPDX-License-Identifier: MIT */
/*
 * The package catalogue in SQLite. It never changes: what does is kept beside it (origin.h).
 *
 *   package  id, name, version
 *   record   package, text        apart, so that walks over packages touch few pages
 *   edge     package, position, name, target (NULL: nothing satisfies it)
 *   absent   id, name, mentions   names that occur only in dependencies
 *
 * An edge is one clause of Pre-Depends and Depends. Of its alternatives the first that the
 * catalogue can satisfy counts, as apt would choose: a package of that name, or the best provider
 * of a virtual name (by Priority, then by order). Where none can be satisfied the first name stays,
 * without a target. A clause that leads to the package itself, or where another clause of the same
 * package already led, makes no edge.
 *
 * A name that occurs in dependencies but has no record of its own (virtual names included) is one
 * that clients ask for in vain: real not-found traffic.
 */
#ifndef PERF_CATALOGUE_H
#define PERF_CATALOGUE_H

#include <stdint.h>

#include "support/text.h"

struct catalogue_info {
    uint64_t input_hash; /* XXH3-64 of the input as it was read */
    uint64_t input_bytes;
    uint32_t packages;
    uint32_t edges;
    uint32_t absent_names;
    uint32_t unsatisfied; /* edges without a target */
};

/* Make the database at `path` (which must not exist) from control text. */
void catalogue_build(const char *path, struct text input, struct catalogue_info *ret);

/* Reads what a database that catalogue_build() made says about itself; false: there is none, or of
 * another input or layout. */
bool catalogue_lookup(const char *path, struct text input, struct catalogue_info *ret);

#endif
