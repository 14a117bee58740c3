/* SPDX-License-Identifier: MIT */
/*
 * Where the catalogue's text comes from on this machine.
 */
#ifndef PERF_SOURCE_H
#define PERF_SOURCE_H

#include "support/text.h"

struct source {
    struct text text; /* owned */
    const char *name; /* what was read, for people */
};

/*
 * `file` if it is given. Else `apt-cache dumpavail`; where apt's lists are empty, after an
 * `apt-get update` (through sudo when not root); failing that, the dpkg status file. What was
 * tried and what was taken is said on stderr. Ends the process when there is none of them.
 */
void source_read(struct source *source, const char *file);
void source_free(struct source *source);

#endif
