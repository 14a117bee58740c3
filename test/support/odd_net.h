/* SPDX-License-Identifier: MIT */
/*
 * odd_net.h - the kernel's sockets, of which a read gives a part, or nothing yet, and a write takes
 * as little: what a stream over them has to bear.
 */
#ifndef NIGH_TEST_ODD_NET_H
#define NIGH_TEST_ODD_NET_H

#include <errno.h>
#include <stdatomic.h>

#include "l2/net.h"
#include "support/check.h"

static inline uint64_t odd_net_draw(void)
{
    static _Atomic uint64_t drawn;
    uint64_t dice = check_seed() + atomic_fetch_add(&drawn, 1) * 0x9E3779B97F4A7C15u;
    return check_random(&dice);
}

/* Returns how much of `size` bytes goes this time; 0: nothing. */
static inline size_t odd_net_part(size_t size)
{
    uint64_t drawn = odd_net_draw();
    if (drawn % 4 == 0)
        return 0;
    return drawn % 4 == 1 ? 1 + (drawn >> 8) % u64_min(size, 40) : size;
}

static inline long odd_net_read(void *arg, int fd, void *buffer, size_t size)
{
    size_t part = odd_net_part(size);
    return part ? net_kernel.read(arg, fd, buffer, part) : -EAGAIN;
}

static inline long odd_net_write(void *arg, int fd, const void *data, size_t size)
{
    size_t part = odd_net_part(size);
    return part ? net_kernel.write(arg, fd, data, part) : -EAGAIN;
}

static inline struct l2_net odd_net(void)
{
    struct l2_net net = net_kernel;
    net.read = odd_net_read;
    net.write = odd_net_write;
    return net;
}

#endif
