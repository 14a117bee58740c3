/* SPDX-License-Identifier: MIT */
/*
 * A private redis-server: a unix socket in a folder of ours, no persistence, no service; a port of
 * 127.0.0.1 only where a replica needs one (replication knows TCP alone).
 *
 * It dies with us: it is told to end when its parent does, and is only ever signalled by its pid.
 */
#ifndef PERF_REDIS_SERVER_H
#define PERF_REDIS_SERVER_H

#include <stdbool.h>
#include <sys/types.h>

struct redis_server {
    pid_t pid;       /* 0: none runs */
    int port;        /* of 127.0.0.1; 0: none. Whoever starts it chooses */
    int master_port; /* it begins as a replica of that one; 0: as a master. Likewise */
    bool is_sentinel;        /* configured by sentinel.conf in the folder. Likewise */
    char *const *options;    /* more of them, ended by NULL; NULL: none. Likewise */
    char folder[256];
    char socket[300];
};

/* Begin to start one, empty, whose files are in `folder`. */
void redis_server_start(struct redis_server *server, const char *folder);
/* Whether it answers PING now. */
bool redis_server_answers(const struct redis_server *server);
/* Wait until it does, for 10 s at most; false: it does not start. */
bool redis_server_comes_up(struct redis_server *server);
/* Waits until the server answers, or ends the process. */
void redis_server_wait(struct redis_server *server);
/* SIGKILL: it loses everything it held. */
void redis_server_kill(struct redis_server *server);
/* Send it another signal: SIGSTOP, SIGCONT. False: it does not run. */
bool redis_server_signal(const struct redis_server *server, int signal_number);
/* SIGTERM, and SIGKILL if that does not help within 2 s. Does nothing when none runs. */
void redis_server_stop(struct redis_server *server);
/* Whether it has ended without being told to. */
bool redis_server_crashed(struct redis_server *server);

/* A port of 127.0.0.1 that nobody uses at this moment. */
int redis_server_free_port(void);

/* "7.0.15", or "unknown". */
const char *redis_server_version(void);

#endif
