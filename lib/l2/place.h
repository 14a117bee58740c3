/* SPDX-License-Identifier: MIT */
/*
 * A place where a server listens: a host and a port, or the path of a unix socket.
 *
 * A place never changes, but its host's name is looked up anew for each connection (lookup.h). It
 * is counted: a server that Sentinels find elsewhere gets another place, while connections to the
 * old one still hold theirs. The last who drops it frees it, and nobody is woken by it then.
 *
 * Thread-safety: any thread may hold, drop and find.
 */
#ifndef NIGH_L2_PLACE_H
#define NIGH_L2_PLACE_H

#include "l2/l2.h"
#include "l2/lookup.h"
#include "l2/uri.h"

/* Keys: see link.h. */
struct place {
    _Atomic uint32_t holders; /* pair(l2.place) */
    struct mem *mem;          /* (c) */
    struct lookup *lookup;    /* (c) NULL: the host is no name */
    uint16_t port;            /* (c) 0: a unix socket */
    char host[URI_PLACE_MAX]; /* (c) or the path */
    char shown[URI_SHOWN_BYTES]; /* (c) for people: with its port */
};

/* Makes a place that the caller holds. `wake` is called when its name has been looked up: see
 * lookup_create(). NULL: no memory. */
struct place *place_create(struct mem *mem, const struct l2_net *net, const char *host,
                           uint16_t port, void (*wake)(void *arg), void *arg);
struct place *place_hold(struct place *p);
/* Drops a hold; NULL is fine. */
void place_drop(struct place *p);

static inline bool place_is(const struct place *p, const char *host, uint16_t port)
{
    return p->port == port && strcmp(p->host, host) == 0;
}

/* Finds what to connect to: an address, or the path. Returns as lookup_address(). */
int place_find(struct place *p, uint64_t now_ns, char address[L2_ADDRESS_BYTES],
               const char **ret_place);

#endif
