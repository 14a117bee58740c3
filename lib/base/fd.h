/* SPDX-License-Identifier: MIT */
/*
 * Descriptors that stay open: never 0, 1 or 2.
 *
 * A host may have closed its standard descriptors. What is opened next gets their numbers, and then
 * somebody's printf() goes into our stream to Redis.
 */
#ifndef NIGH_BASE_FD_H
#define NIGH_BASE_FD_H

/* `fd`, or in its place a duplicate above the standard ones (CLOEXEC). < 0: there is none, errno
 * says why; so for an `fd` < 0. */
int fd_above_standard(int fd);

#endif
