/* SPDX-License-Identifier: MIT */
/*
 * The control socket of a cache: its being there, and what may be said through it.
 */
#ifndef NIGH_CACHE_COMMANDS_H
#define NIGH_CACHE_COMMANDS_H

#include "cache/cache.h"

/* Open the control socket if the options have one, with what its commands need to know of them.
 * Errors: NIGH_EOPTION (explained), NIGH_ENOMEM, NIGH_ETHREAD: nothing is left. */
int commands_open(struct nigh *cache, const struct nigh_options *o);
/* Answer no more: returns when the last command has ended. */
void commands_close(struct nigh *cache);

#endif
