/* SPDX-License-Identifier: MIT */
/*
 * The origin behind the cache: reads a package page from SQLite, commits an update to it.
 *
 * Two databases: the catalogue, which never changes, and the revisions of the packages that were
 * updated (those that are not in it have revision 1), in WAL mode. Were they one, each commit would
 * empty the page cache of every connection, and a load would cost twice as much.
 *
 * One per thread (an SQLite connection and its prepared statements).
 */
#ifndef PERF_ORIGIN_H
#define PERF_ORIGIN_H

#include <stdbool.h>
#include <stdint.h>

#include "support/text.h"

struct origin;

/* Make the empty database of revisions, before anybody opens it: two connections that change its
 * mode together do not wait for each other. */
void origin_create(const char *revisions);

struct origin *origin_open(const char *revisions, const char *catalogue);
void origin_close(struct origin *origin);

/* A page and the names of its direct dependencies (its tags). Valid until the next call. */
struct origin_page {
    struct text page;
    const char *const *tags; /* ended by NUL each */
    uint32_t tag_count;
};

/* False: there is no package of this name. */
bool origin_load(struct origin *origin, struct text name, struct origin_page *ret);

/* Give a package its next revision, committed when this returns. */
uint32_t origin_update(struct origin *origin, uint32_t package);

#endif
