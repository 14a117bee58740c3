// SPDX-License-Identifier: MIT
// The life of any stream, and the plain one: the socket's bytes as they are.
//
// The plain one never changes what it waits for, input to read and room to write, and never holds
// anything: its read and its write are the socket's.

#include "l2/stream.h"

struct stream *stream_open(const struct stream_kind *kind, struct mem *mem,
                           const struct l2_net *net, const char *host, int fd)
{
    struct stream *s = kind->open(kind, mem, host);
    if (!s) {
        net->close(net->arg, fd);
        return NULL;
    }
    s->kind = kind;
    s->net = net;
    s->fd = fd;
    s->read_waits = L2_FOR_INPUT;
    s->write_waits = L2_FOR_ROOM;
    s->holds = false;
    s->problem = NULL;
    return s;
}

void stream_close(struct stream *s, struct mem *mem)
{
    const struct l2_net *net = s->net;
    int fd = s->fd;
    s->kind->close(s, mem);
    net->close(net->arg, fd);
}

void stream_disown(struct stream *s, struct mem *mem)
{
    s->fd = -1;
    s->kind->close(s, mem);
}

/* ---- plain ---- */

static struct stream *plain_open(const struct stream_kind *kind, struct mem *mem, const char *host)
{
    (void)kind, (void)host;
    return mem_alloc(mem, NULL, sizeof(struct stream));
}

static long plain_read(struct stream *s, void *buffer, size_t size)
{
    return s->net->read(s->net->arg, s->fd, buffer, size);
}

static long plain_write(struct stream *s, const void *data, size_t size)
{
    return s->net->write(s->net->arg, s->fd, data, size);
}

static void plain_close(struct stream *s, struct mem *mem)
{
    mem_free(mem, NULL, s, sizeof(*s));
}

const struct stream_kind stream_plain = {
    .open = plain_open,
    .read = plain_read,
    .write = plain_write,
    .close = plain_close,
};
