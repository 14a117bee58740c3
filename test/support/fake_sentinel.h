/* SPDX-License-Identifier: MIT */
/*
 * fake_sentinel.h - a Sentinel that says what a test wants: one thread, on a free port of the
 * loopback.
 *
 *     fake_sentinel_start(&one);
 *     fake_sentinel_name(&one, "127.0.0.1", server.port);     // the answer, from here on
 *     fake_sentinel_answer(&one, "-NOAUTH no\r\n");           // ... or any other
 *     fake_sentinel_call(&one, "mymaster 127.0.0.1 1 127.0.0.1 2"); // +switch-master
 *     fake_sentinel_stop(&one);                               // before or after the client ends
 */
#ifndef NIGH_TEST_FAKE_SENTINEL_H
#define NIGH_TEST_FAKE_SENTINEL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#define FAKE_SENTINEL_LINKS 16
#define FAKE_SENTINEL_BYTES 4096

struct fake_sentinel_link {
    int fd; /* -1: a free place */
    bool subscribed;
    unsigned len;
    char in[FAKE_SENTINEL_BYTES];
};

/* Keys: (c) constant while it runs  (l) lock  (t) its thread */
struct fake_sentinel {
    int port;                  /* (c) */
    int fd;                    /* (c) */
    pthread_t thread;          /* (c) */
    pthread_mutex_t lock;
    char answer[512];          /* (l) to the question who the master is; "": none, ever */
    char call[512];            /* (l) to be called out; "": nothing */
    char channel[64];          /* (l) where */
    const char *forbids;       /* (l) a channel that nobody may subscribe; NULL: none */
    char login[256];           /* (l) "USER PASSWORD" that AUTH has to bring; "": none is asked */
    _Atomic bool stop;
    _Atomic unsigned accepted; /* connections */
    _Atomic unsigned asked;    /* questions */
    _Atomic unsigned subscribed;
    struct fake_sentinel_link links[FAKE_SENTINEL_LINKS]; /* (t) */
};

void fake_sentinel_start(struct fake_sentinel *f);
void fake_sentinel_stop(struct fake_sentinel *f);

void fake_sentinel_answer(struct fake_sentinel *f, const char *reply);
void fake_sentinel_name(struct fake_sentinel *f, const char *host, int port);
void fake_sentinel_call(struct fake_sentinel *f, const char *payload);
void fake_sentinel_call_on(struct fake_sentinel *f, const char *channel, const char *payload);
void fake_sentinel_forbid(struct fake_sentinel *f, const char *channel);
void fake_sentinel_login(struct fake_sentinel *f, const char *user, const char *password);

#endif
