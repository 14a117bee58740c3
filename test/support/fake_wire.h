/* SPDX-License-Identifier: MIT */
/*
 * fake_wire.h - an L2 client on made-up time, and the wire that it reads from, in the test's hand.
 *
 *     struct wire w;
 *     wire_open(&w);                               // connected; nothing moves by itself
 *     l2_get(w.l2, &key, &op);
 *     fake_env_advance(&w.fake, 200 * NS_PER_MS);
 *     wire_say(&w, "$-1\r\n");                     // what the server answers, or a part of it
 *     l2_step(w.l2, 0);
 *     wire_end(&w);
 *
 * What is written is counted and dropped, `take` bytes of it at most.
 */
#ifndef NIGH_TEST_FAKE_WIRE_H
#define NIGH_TEST_FAKE_WIRE_H

#include <errno.h>
#include <string.h>

#include "l2/client.h"
#include "support/check.h"
#include "support/fake_env.h"

#define WIRE_FD 1000000 /* nobody's */
#define WIRE_BYTES (1u << 20)

struct wire {
    struct fake_env fake;
    struct stats stats;
    struct l2_net net;
    struct l2 *l2;
    char in[WIRE_BYTES]; /* said, and not read yet: in[at .. len) */
    size_t at;
    size_t len;
    size_t take;    /* the socket has room for so many bytes */
    size_t written;
    uint64_t write_ns; /* a call to write takes so long */
    unsigned closed;
};

int wire_connect(void *arg, const char *place, uint16_t port);
long wire_read(void *arg, int fd, void *buffer, size_t size);
long wire_write(void *arg, int fd, const void *data, size_t size);
void wire_close(void *arg, int fd);
int wire_wait(void *arg, int fd, uint32_t events, int wake_fd, uint64_t wait_ns);
void wire_say(struct wire *w, const char *reply);
void wire_open(struct wire *w);
void wire_end(struct wire *w);

#endif
