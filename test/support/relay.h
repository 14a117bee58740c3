/* SPDX-License-Identifier: MIT */
/*
 * relay.h - a wire between one node and its Redis that a test may slow down, hold or cut, while
 * other nodes talk to the same Redis directly.
 *
 *     relay_open(&r, &server);
 *     o.redis_uri = r.uri;                 // this node goes through the relay
 *     relay_stop(&r);                      // silence: nothing moves, nothing is closed
 *     relay_go(&r);                        // what was held arrives now, in order
 *     relay_cut(&r);                       // every connection breaks; new ones may come
 *     relay_lead(&r, &other);              // the same, and new ones lead to another server
 *     relay_slow(&r, 100, 125000);         // 100 ms each way, 1 Mbit/s for each connection
 *     relay_deafen(&r, true);              // messages of subscriptions are lost, silently
 *     relay_hold(&r, true);                // ... or wait, in order, until it is false again
 *     relay_scatter(&r, &other);           // new connections lead there, those there are stay
 *     relay_speak3(&r);                    // new ones are in RESP3, until their client wants RESP2
 *     relay_close(&r);                     // after the node, before redis_stop()
 *
 * While it is stopped the kernel holds the bytes, and connections that were begun: whoever connects
 * succeeds and hears nothing, as behind a firewall that drops. Requests that their sender gave up
 * long ago still arrive on relay_go(), as they do on a real network.
 *
 * The relay waits for the server to take bytes, so the server is not to be paused under it.
 */
#ifndef NIGH_TEST_RELAY_H
#define NIGH_TEST_RELAY_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "support/redis.h"

#define RELAY_LINKS_MAX 64

/* One direction of a connection. */
struct relay_way {
    struct relay_chunk *first; /* chunks under way, each with the time of its arrival */
    struct relay_chunk **last;
    size_t held_bytes;
    uint64_t free_ns; /* when the last of it has passed */
};

struct relay_link {
    int client; /* -1: a free place */
    int server;
    struct relay_way up;
    struct relay_way down;
    bool listens; /* it has asked for a subscription */
};

/* Keys: (c) constant while open  (l) lock */
struct relay {
    char uri[128];                             /* (c) unix://..., for the node */
    char socket[96];                           /* (c) in the server's folder */
    char upstream[96];                         /* (l) the server's own socket */
    int listener;                              /* (c) */
    int bell;                                  /* (c) eventfd: the state has changed */
    pthread_t thread;                          /* (c) */
    pthread_mutex_t lock;                      /* held by the thread while it forwards */
    struct relay_link links[RELAY_LINKS_MAX];  /* (l) */
    bool stopped;                              /* (l) */
    bool deaf;                                 /* (l) */
    bool holding;                              /* (l) what subscriptions bring */
    bool speaks3;                              /* (l) */
    uint64_t late_ns;                          /* (l) */
    uint64_t bytes_per_s;                      /* (l) 0: no limit */
    bool closing;                              /* (l) */
};

/* From a socket in `folder` to that at `upstream`. What cannot be had ends the process. */
void relay_open_to(struct relay *r, const char *folder, const char *upstream);
void relay_close(struct relay *r);

static inline void relay_open(struct relay *r, const struct redis *server)
{
    relay_open_to(r, server->dir, server->socket);
}

/* When it returns, no byte that was not forwarded before will be until relay_go(). */
void relay_stop(struct relay *r);
void relay_go(struct relay *r);

/* Bytes of each direction come so late, and of each connection no more a second (0: no limit). What
 * is more than the wire holds is not read from its sender, as with a real one. */
void relay_slow(struct relay *r, unsigned late_ms, uint64_t bytes_per_s);

/* When it returns, the connections are closed; what they held is lost. Stopped stays stopped. */
void relay_cut(struct relay *r);
/* The address stays and its server is another: what a failover looks like to clients. */
void relay_lead_to(struct relay *r, const char *upstream);

static inline void relay_lead(struct relay *r, const struct redis *server)
{
    relay_lead_to(r, server->socket);
}

/* New connections lead to another server, those there are stay: a load balancer. */
void relay_scatter(struct relay *r, const struct redis *server);
/* New connections begin in RESP3, as those to a server or a proxy that prefers it. */
void relay_speak3(struct relay *r);

/* What a server publishes does not arrive, and nobody is told. */
void relay_deafen(struct relay *r, bool deaf);
/* What a server sends on connections that have asked for a subscription waits. */
void relay_hold(struct relay *r, bool holding);

#endif
