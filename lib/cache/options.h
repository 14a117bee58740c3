/* SPDX-License-Identifier: MIT */
/*
 * The options table, and what the rest of the cache asks of it.
 */
#ifndef NIGH_CACHE_OPTIONS_H
#define NIGH_CACHE_OPTIONS_H

#include <nigh/options.h>

#include "base/base.h"

/* Copy what the caller's header version has, apply NIGH_CONF, fill in defaults, check ranges, and
 * take this process's part of what several share. Errors, all explained: NIGH_EINVAL a size is
 * wrong, or a reserve not 0; NIGH_EOPTION. */
int options_resolve(const struct nigh_options *given, struct nigh_options *ret);
/* Set an option as nigh_options_set() does, if it may change while a cache is open; else
 * NIGH_EOPTION (explained). */
int options_change(struct nigh_options *s, const char *name, const char *value);
/* Set an option of a space's own in the same way. */
int options_change_space(struct nigh_space_options *s, const char *name, const char *value);
/* Errors: NIGH_EOPTION (explained): l1.limbo is more than half of l1.memory. */
int options_check_limbo(const struct nigh_options *s);
/* Returns NIGH_EOPTION, explained: L1 found that l1.memory does not hold its tables. */
int options_memory_too_small(const struct nigh_options *s);
/* Resolve the options of a space as options_resolve() does; those that it leaves out (NULL: all)
 * are still 0. */
int options_resolve_space(const struct nigh_space_options *given, uint64_t processes,
                          struct nigh_space_options *ret);
/* Make the caps of all processes those of one, and back (the live ones). Errors: NIGH_EOPTION
 * (explained): a part is below the range. */
int options_share(struct nigh_options *s);
int options_share_space(struct nigh_space_options *s, uint64_t processes);
void options_unshare(struct nigh_options *s);
/* Returns the codec of a space's values in Redis. */
static inline unsigned options_codec(const struct nigh_space_options *s)
{
    return s->compress > NIGH_COMPRESS_NONE ? s->compress - (unsigned)NIGH_COMPRESS_NONE
                                            : (unsigned)CODEC_NONE;
}
/* Returns the i-th field that is a string; NULL: there are not so many. */
const char **options_string(struct nigh_options *s, size_t i);
/* Show all options, or those of spaces alone, as they are in `s`. */
void options_show(const struct nigh_options *s, bool of_spaces, struct text *w);
/* Returns the name of the i-th option, and what it is for; NULL: there are not so many. */
const char *options_name(size_t i, const char **ret_why);
/* Show the value of one. False: there is none of this name. */
bool options_show_value(const struct nigh_options *s, const char *name, struct text *w);
/* Fill in what a space leaves out, and say "none" by 0: from its cache's defaults, then from the
 * table. Memory and schema stay as they are. */
void options_inherit(struct nigh_space_options *space, const struct nigh_space_options *defaults);

#endif
