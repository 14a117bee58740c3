// SPDX-License-Identifier: MIT
// A socket that is two buffers.

#include "support/fake_wire.h"

int wire_connect(void *arg, const char *place, uint16_t port)
{
    (void)arg, (void)place, (void)port;
    return WIRE_FD;
}

long wire_read(void *arg, int fd, void *buffer, size_t size)
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

long wire_write(void *arg, int fd, const void *data, size_t size)
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

void wire_close(void *arg, int fd)
{
    struct wire *w = arg;
    (void)fd;
    w->closed++;
}

int wire_wait(void *arg, int fd, uint32_t events, int wake_fd, uint64_t wait_ns)
{
    struct wire *w = arg;
    (void)fd, (void)events, (void)wake_fd, (void)wait_ns;
    return w->at < w->len ? L2_NET_READY : 0;
}

void wire_say(struct wire *w, const char *reply)
{
    size_t len = strlen(reply);
    if (w->at == w->len)
        w->at = w->len = 0;
    REQUIRE(w->len + len <= sizeof(w->in));
    memcpy(w->in + w->len, reply, len);
    w->len += len;
}

void wire_open(struct wire *w)
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
                "master_replid:0123456789012345678901234567890123456789\r\n\r\n"
                "$-1\r\n+PONG\r\n");
    for (int i = 0; i < 10 && !l2_connected(w->l2); i++)
        l2_step(w->l2, 0);
    REQUIRE(l2_connected(w->l2));
}

void wire_end(struct wire *w)
{
    l2_close(w->l2);
    stats_fini(&w->stats);
    fake_env_fini(&w->fake);
}
