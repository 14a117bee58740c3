/* SPDX-License-Identifier: MIT */
/*
 * fake_redis.h - a server that misbehaves: a thread on a unix socket that runs `serve(fd)` for each
 * connection, after it has answered the client's handshake as a proper master would.
 */
#ifndef NIGH_TEST_FAKE_REDIS_H
#define NIGH_TEST_FAKE_REDIS_H

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "support/check.h"

struct fake_redis {
    char dir[64];
    char uri[128];
    char path[96];
    int fd;
    pthread_t thread;
    _Atomic unsigned accepted;
    const char *hello; /* NULL: a proper handshake */
    void (*serve)(int fd, void *arg);
    void *arg;
};

void fake_redis_send(int fd, const void *data, size_t len);
void fake_redis_say(int fd, const char *text);

/* Wait for the client to send something; false when it is gone. */
bool fake_redis_hear(int fd);

/* Read up to the PING that ends the handshake; false when the client is gone. */
bool fake_redis_handshake(int fd, const char *hello);
void *fake_redis_run(void *arg);
void fake_redis_start(struct fake_redis *f, const char *hello, void (*serve)(int fd, void *arg),
                      void *arg);

/* After the client has closed its connections. */
void fake_redis_stop(struct fake_redis *f);

#endif
