// SPDX-License-Identifier: MIT
// Descriptors that end a sleep: rung, emptied, watched.
//
// A host may close all descriptors that it does not know (closefrom). Whoever finds ours gone notes
// it, and no number is touched from then on, for it may be anybody's by now.

#include <sys/epoll.h>
#include <unistd.h>

#include "l2/client.h"

bool l2_is_gone(const struct l2 *l2)
{
    return atomic_load_explicit(&l2->gone, memory_order_relaxed);
}

void wake_ring(struct l2 *l2, int wake_fd)
{
    uint64_t one = 1;
    if (l2_is_gone(l2))
        return;
    ssize_t n = write(wake_fd, &one, sizeof(one));
    (void)n; /* a full counter has woken it already */
}

void wake_empty(int wake_fd)
{
    uint64_t count;
    ssize_t n = read(wake_fd, &count, sizeof(count));
    (void)n; /* how often it was rung does not matter */
}

void wake_heed(struct link *link, int ready)
{
    if (ready & L2_NET_GONE)
        atomic_store_explicit(&link->l2->gone, true, memory_order_relaxed);
    if (ready & L2_NET_WOKEN)
        wake_empty(link->wake_fd);
}

void wake_io(struct link *link)
{
    wake_ring(link->l2, link->wake_fd);
}

int wake_watch(int poll_fd, int fd)
{
    struct epoll_event event = {.events = EPOLLIN};
    return poll_fd < 0 || epoll_ctl(poll_fd, EPOLL_CTL_ADD, fd, &event) == 0 ? 0 : NIGH_ETHREAD;
}
