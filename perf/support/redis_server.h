/* SPDX-License-Identifier: MIT */
/*
 * A private redis-server: a unix socket in a folder of ours, no port, no persistence, no service.
 *
 * It dies with us: it is told to end when its parent does, and is only ever signalled by its pid.
 */
#ifndef PERF_REDIS_SERVER_H
#define PERF_REDIS_SERVER_H

#include <stdbool.h>
#include <sys/types.h>

struct redis_server {
    pid_t pid; /* 0: none runs */
    char folder[256];
    char socket[300];
};

/* Begin to start one whose files are in `folder`. */
void redis_server_start(struct redis_server *server, const char *folder);
/* Whether it answers PING now. */
bool redis_server_answers(const struct redis_server *server);
/* Wait until it does; fails after 10 s, with the end of its log. */
void redis_server_wait(struct redis_server *server);
/* SIGKILL: it loses everything it held. */
void redis_server_kill(struct redis_server *server);
/* SIGTERM, and SIGKILL if that does not help within 2 s. Does nothing when none runs. */
void redis_server_stop(struct redis_server *server);
/* Whether it has ended without being told to. */
bool redis_server_crashed(struct redis_server *server);

/* "7.0.15", or "unknown". */
const char *redis_server_version(void);

#endif
