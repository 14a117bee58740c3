/* SPDX-License-Identifier: MIT */
/*
 * Hears what Sentinels call out: a subscription of +switch-master and +promoted-slave at one of
 * them, for a link.
 *
 * A link that has lost its server asks by itself (seek.c). This is for the time in between: for the
 * old master that lives on beside the new one, and for the pause before the next attempt. What is
 * missed here is met by the next attempt, or by the old master, which becomes a replica, and then
 * ends its connections, some 10 s behind the promotion.
 *
 * The Sentinel that leads a failover calls out +switch-master only when it has turned the other
 * replicas, too: up to `failover-timeout` behind the promotion, where one of them is slow. But it
 * calls out +promoted-slave when the new master has said that it is one, and names that from then
 * on when it is asked. The others, who hear of it from the leader, call out +switch-master at once.
 * A user who may not subscribe +promoted-slave hears the rest.
 *
 * It follows the Sentinel that named the master last; one that is dead, silent, or not heeded any
 * more is left for the next, with pauses that double up to 5 s. Behind each subscription that one
 * is also asked who the master is, for what it called out before.
 *
 * It waits for nothing: its socket is watched by `poll_fd`, on which the thread that steps it
 * sleeps. One connection, no thread.
 *
 * Thread-safety: the thread that steps the channel (h).
 */
#ifndef NIGH_L2_SWITCH_H
#define NIGH_L2_SWITCH_H

#include "l2/link.h"

struct switches;

/* NULL: no memory. */
struct switches *switch_create(struct link *link, int poll_fd);
void switch_destroy(struct switches *w);
/* Does what can be done now. Returns when to come again, if the socket is not ready before. */
uint64_t switch_step(struct switches *w, uint64_t now_ns);

#endif
