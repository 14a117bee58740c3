/* SPDX-License-Identifier: MIT */
/*
 * The simulated network: connections from nodes to servers, each of them in order, all of them
 * independent of one another. It is the library's struct l2_net, one per node.
 */
#ifndef NIGH_SIM_NET_H
#define NIGH_SIM_NET_H

#include "l2/l2.h"
#include "sim/server.h"

void net_init(uint64_t seed);
void net_fini(void);
/* The l2_net of a node. */
const struct l2_net *net_of(int node);

/* Which server a node's next connection goes to. */
void net_route(int node, int server);
int net_routed(int node);
/* Cut the node's connections (to one server; -1: to any). What is under way may still arrive. */
void net_cut(int node, int server);
void net_cut_server(int server);
/* Nothing passes that way, or either way, until then; it is not lost. */
enum net_way { NET_UP = 1, NET_DOWN = 2, NET_BOTH = 3 };
void net_block(int node, int server, enum net_way way, uint64_t until_ns);
/* What is published to the node's listener is lost until then. */
void net_deaf(int node, uint64_t until_ns);
/* Longest usual way, one direction. */
void net_set_delay(uint64_t usual_ns, unsigned slow_percent, uint64_t slow_ns);
/* Answers take so much longer. */
void net_set_late(uint64_t late_ns);
/* End a node's waits at once: its tasks are about to end. */
void net_stop(int node);
/* Whether the node has an open connection to a server other than this. */
bool net_elsewhere(int node, int server);

#endif
