/* SPDX-License-Identifier: MIT */
/*
 * The three forms of nigh_stats(): a file for each.
 */
#ifndef NIGH_CACHE_REPORT_FORMATS_H
#define NIGH_CACHE_REPORT_FORMATS_H

#include "cache/cache.h"

/* Text leaves out what is 0; the others have all, so that a reader need not guess. */
void report_text(struct nigh *cache, struct text *w);
void report_json(struct nigh *cache, struct text *w);
void report_prometheus(struct nigh *cache, struct text *w);

static inline struct bytes report_space_name(const struct nigh_space *space)
{
    return bytes_of(space->name, space->name_len);
}

#endif
