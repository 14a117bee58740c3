/* SPDX-License-Identifier: MIT */
/*
 * The kernel as a `struct l2_net`: non-blocking sockets, CLOEXEC, no SIGPIPE.
 */
#ifndef NIGH_L2_NET_H
#define NIGH_L2_NET_H

#include "l2/l2.h"

extern const struct l2_net net_kernel;

#endif
