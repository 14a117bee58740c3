/* SPDX-License-Identifier: MIT */
/*
 * Decompressing zstd, piece by piece. Where libzstd was not there at the build, unzstd_none.c
 * stands in, which says so.
 */
#ifndef PERF_INPUT_UNZSTD_H
#define PERF_INPUT_UNZSTD_H

#include <stdbool.h>
#include <stddef.h>

struct unzstd;

/* NULL: this build cannot. */
struct unzstd *unzstd_create(void);
void unzstd_destroy(struct unzstd *u);

/*
 * Take from in[*in_len] and make up to *out_len bytes; both are set to what was taken and made.
 * Returns NULL, or what is wrong with the input.
 */
const char *unzstd_step(struct unzstd *u, const void *in, size_t *in_len, void *out,
                        size_t *out_len);
/* Whether the input may end here. */
bool unzstd_is_whole(const struct unzstd *u);

#endif
