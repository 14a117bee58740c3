/* SPDX-License-Identifier: MIT */
/*
 * From a host's name to its addresses, without anybody waiting for a name server.
 *
 *     lookup_address() --- nothing known ---> thread "nigh-lookup" --- done ---> wake(arg)
 *           ^                                                                       |
 *           +------------------------- asked again: an address ---------------------+
 *
 * getaddrinfo() takes as long as it likes, tens of seconds where a name server is dead, and there
 * is no way to end it. So it has a thread of its own, one at a time per client, also where the
 * library starts no threads otherwise (threads=none): signals blocked, detached, gone when it has
 * answered. A client that closes leaves it behind; the last of both frees the record they share.
 *
 * Numeric hosts and unix sockets need none of this.
 */
#ifndef NIGH_L2_LOOKUP_H
#define NIGH_L2_LOOKUP_H

#include "l2/l2.h"

struct lookup;

/* Whether the host has to be looked up at all. */
bool lookup_is_name(const char *host);

/* `look_up` runs on the thread, and `wake` too, which must not block. NULL: no memory. */
struct lookup *lookup_create(const char *host, l2_look_up_fn look_up, void (*wake)(void *arg),
                             void *arg);
/* Leave it behind: `wake` is not called any more. NULL is fine. */
void lookup_leave(struct lookup *l);

/* Returns 1 with one of the addresses, the same until it fails; 0 while it is being looked up;
 * -errno when it was not found (-ENOENT: there is no such name), or there is no thread to look: the
 * next call tries again. Any thread. */
int lookup_address(struct lookup *l, uint64_t now_ns, char ret_address[L2_ADDRESS_BYTES]);
/* The address was of no use: take the next one. Any thread; NULL is fine. */
void lookup_failed(struct lookup *l);
/* The address was good: a later failure begins a new round of all. Any thread; NULL is fine. */
void lookup_worked(struct lookup *l);
/* Whether an address has not failed in this round: to be tried at once. NULL: no. */
bool lookup_has_more(struct lookup *l);

#endif
