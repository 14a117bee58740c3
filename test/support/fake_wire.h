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

static inline int wire_connect(void *arg, const char *place, uint16_t port)
{
    (void)arg, (void)place, (void)port;
    return WIRE_FD;
}

static inline long wire_read(void *arg, int fd, void *buffer, size_t size)
{
    struct wire *w = arg;
    size_t len = u64_min(size, w->len - w->at);
    (void)fd;
    if (len == 0)
        return -EAGAIN;
    memcpy(buffer, w->in + w->at, len);
    w->at += len;
    return (long)len;
}

static inline long wire_write(void *arg, int fd, const void *data, size_t size)
{
    struct wire *w = arg;
    size_t len = u64_min(size, w->take);
    (void)fd, (void)data;
    if (len == 0)
        return -EAGAIN;
    w->take -= len;
    w->written += len;
    fake_env_advance(&w->fake, w->write_ns);
    return (long)len;
}

static inline void wire_close(void *arg, int fd)
{
    struct wire *w = arg;
    (void)fd;
    w->closed++;
}

static inline int wire_wait(void *arg, int fd, bool want_write, int wake_fd, uint64_t wait_ns)
{
    struct wire *w = arg;
    (void)fd, (void)want_write, (void)wake_fd, (void)wait_ns;
    return w->at < w->len ? L2_NET_READY : 0;
}

static inline void wire_say(struct wire *w, const char *reply)
{
    size_t len = strlen(reply);
    if (w->at == w->len)
        w->at = w->len = 0;
    REQUIRE(w->len + len <= sizeof(w->in));
    memcpy(w->in + w->len, reply, len);
    w->len += len;
}

static inline void wire_open(struct wire *w)
{
    memset(w, 0, sizeof(*w));
    w->take = SIZE_MAX;
    w->net = (struct l2_net){.connect = wire_connect, .read = wire_read, .write = wire_write,
                             .close = wire_close, .wait = wire_wait, .arg = w};
    fake_env_init(&w->fake, 1);
    REQUIRE_EQ(stats_init(&w->stats, w->fake.env.mem), 0);
    const struct l2_config config = {
        .env = &w->fake.env, .stats = &w->stats, .net = &w->net, .uri = "redis://127.0.0.1",
        .prefix = "t", .group_slots = GROUP_SLOTS_MIN, .reply_max_bytes = WIRE_BYTES};
    REQUIRE_EQ(l2_open(&config, &w->l2), 0);
    wire_say(w, "+OK\r\n$69\r\nrole:master\r\n"
                "master_replid:0123456789012345678901234567890123456789\r\n\r\n+PONG\r\n");
    for (int i = 0; i < 10 && !l2_connected(w->l2); i++)
        l2_step(w->l2, 0);
    REQUIRE(l2_connected(w->l2));
}

static inline void wire_end(struct wire *w)
{
    l2_close(w->l2);
    stats_fini(&w->stats);
    fake_env_fini(&w->fake);
}

#endif
