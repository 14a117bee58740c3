/* SPDX-License-Identifier: MIT */
/*
 * `compress`: what space.compress saves and costs, on the main job's pages or on files.
 *
 * Three tables over the same pages, which are sorted by size: what lies in Redis; each library at
 * several levels, nigh's own among them, in memory alone; and reads and puts through nigh and a
 * private Redis (rows of link/rows.c).
 */
#ifndef PERF_COMPRESS_COMPRESS_H
#define PERF_COMPRESS_COMPRESS_H

#include "link/link.h"
#include "support/text.h"

#define PAGES_KINDS 3u

/* Pages of about one size. */
struct pages {
    const char *name; /* the last words of the rows that are about them */
    size_t least, most; /* bytes of each */
    struct text *page;
    unsigned count;
    size_t bytes; /* of all */
};

extern struct pages pages_kinds[PAGES_KINDS];

/* Read them: the files of a folder, if `folder` is not NULL, else pages of the catalogue
 * (nodes/prepare.h). End the process if there are none. */
void pages_read(const char *folder, const char *catalogue, const char *cache);

/* Say what lies in Redis of each, by each codec. */
void stored_run(void);
/* Measure the libraries by themselves. */
void levels_run(void);

extern const struct side side_read_plain, side_read_lz4, side_read_zstd;
extern const struct side side_put_plain, side_put_lz4, side_put_zstd;

#endif
