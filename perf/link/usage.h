/* SPDX-License-Identifier: MIT */
/*
 * The use of processes so far.
 */
#ifndef PERF_LINK_USAGE_H
#define PERF_LINK_USAGE_H

#include <stdint.h>
#include <sys/types.h>

struct usage {
    uint64_t server_ns; /* CPU time of another process, all its threads */
    uint64_t client_ns; /* of this one, or of the children that have ended */
    uint64_t switches;  /* of the client: by its own will, and not */
    uint64_t commands_us;
};

/* The time that Redis has spent in these commands, "get mget", by its own count. */
uint64_t usage_of_commands_us(const char *names);

struct usage usage_now(pid_t server);
struct usage usage_of_children(pid_t server);
struct usage usage_since(struct usage then, struct usage now);

#endif
