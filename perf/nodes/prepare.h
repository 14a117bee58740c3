/* SPDX-License-Identifier: MIT */
/*
 * The finished catalogue: found where an earlier run has left it, or made now.
 */
#ifndef PERF_PREPARE_H
#define PERF_PREPARE_H

/*
 * Says what was read, and gives the path of the database, which the caller frees. `file` NULL: the
 * catalogue of this machine (source.h). It is kept in `cache`, if that is not NULL, for the next
 * run; else in `folder`, which is temporary.
 */
char *catalogue_prepare(const char *file, const char *cache, const char *folder);

#endif
