/* SPDX-License-Identifier: MIT */
/*
 * Descriptors that stay open: never 0, 1 or 2.
 *
 * A host may have closed its standard descriptors. The files and sockets that are opened next get
 * their numbers, and then somebody's printf() goes into our stream to Redis.
 */
#ifndef NIGH_BASE_FD_H
#define NIGH_BASE_FD_H

/* Returns `fd`, or if that is a standard descriptor closes it and returns a duplicate above them
 * (CLOEXEC). < 0: that failed, or `fd` was < 0 already; errno says why. */
int fd_above_standard(int fd);

#endif
