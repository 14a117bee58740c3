/* SPDX-License-Identifier: MIT */
/*
 * redis.h - a private redis-server for a test: started, killed, paused and restarted at will.
 *
 * It lives in its own mkdtemp folder and listens on a unix socket there (and on a free TCP
 * port of the loopback when asked), so tests run side by side and beside the system's own.
 * It is told to die with the thread that started it (PR_SET_PDEATHSIG): call redis_start and
 * redis_restart from a thread that outlives the server's use, as the case's own does. These
 * calls never return failure: a server that does not do as told ends the test program, and a
 * machine without redis-server fails the test rather than skipping it.
 */
#ifndef NIGH_TEST_REDIS_H
#define NIGH_TEST_REDIS_H

#include <stdbool.h>
#include <sys/types.h>

struct redis {
    pid_t pid;       /* 0 while killed */
    int port;        /* 0 unless started with redis_start_tcp or redis_start_tls */
    const char *certs; /* the folder of its certificates, if that port speaks TLS */
    char dir[64];    /* the folder: redis.sock, redis.log, dump.rdb */
    char socket[96];
    char uri[128];   /* unix://... or, with a port, redis://127.0.0.1:port, or rediss:// */
    unsigned command_ms; /* how long redis_command() waits; 0: for any machine */
    char *const *args;
    char conf[96];   /* "", or the file that it reads first: a Sentinel's, which it rewrites */
};

enum redis_data {
    REDIS_EMPTY, /* comes back without data */
    REDIS_SAVED, /* comes back with what redis_save() or SAVE last wrote */
};

/* Start and wait for PONG. args: more options ("--maxmemory", "1mb", ..., NULL), or NULL;
 * they must stay valid as long as the server may be restarted. */
void redis_start(struct redis *server, char *const *args);
void redis_start_tcp(struct redis *server, char *const *args);
/* The port speaks TLS, with the pair "server" of the folder (certs.h), and nothing else. */
void redis_start_tls(struct redis *server, const char *certs, char *const *args);

/* The same, a Sentinel with these lines of configuration; with `certs` its port speaks TLS. */
void redis_start_sentinel(struct redis *server, const char *certs, char *const *args,
                          const char *conf);

/* Kill it (if it lives) and remove its folder. */
void redis_stop(struct redis *server);

/* SIGKILL and reap: clients see the connection break. */
void redis_kill(struct redis *server);

/* SIGSTOP, SIGCONT: clients see silence. */
void redis_pause(struct redis *server);
void redis_resume(struct redis *server);

/* Write its data where REDIS_SAVED finds it again. */
void redis_save(struct redis *server);

/* Kill it if it lives, then start it again on the same socket and port. */
void redis_restart(struct redis *server, enum redis_data data);

/*
 * Run one command, given as for hiredis ("SET %s %b", ...), on a connection of its own and
 * return the reply as text to free(): a string as it is, an integer in decimals, nil as
 * "(nil)", an error as "(error) ...", an array as its elements joined by newlines. NULL when
 * the server does not answer: after twenty seconds, or command_ms of a server that will not.
 */
char *redis_command(const struct redis *server, const char *format, ...);

/* Runs a command whose reply is an integer; fails the test when it is something else. */
long long redis_integer(const struct redis *server, const char *format, ...);

#endif
