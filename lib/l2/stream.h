/* SPDX-License-Identifier: MIT */
/*
 * A stream of bytes to a server, over a socket: what a connection reads from and writes to.
 *
 *     conn, solo ---> stream ---> struct l2_net: the socket, and the sleep on it
 *
 * The plain kind hands the socket's bytes through. A kind with a state of its own (TLS) may have to
 * write before it can read, and the reverse; it may have bytes that the socket does not show any
 * more; and it has to agree with the server on something first. So whoever sleeps asks the stream
 * what to wait for, and whether to sleep at all:
 *
 *     read or write == -EAGAIN    again when the socket is ready for what `read_waits` or
 *                                 `write_waits` says; whichever it is, both are tried
 *     holds                       a read gives bytes at once, whatever the socket says
 *
 * An error stays: whoever goes on gets it again.
 *
 * Nothing that was written stays inside: a byte that the stream has taken is with the kernel.
 *
 * Thread-safety: none, but for fd. Each stream is used by who drives (link.h); if that is a caller
 * who stands still in it when the connection is given up, it is left to him, who closes it.
 */
#ifndef NIGH_L2_STREAM_H
#define NIGH_L2_STREAM_H

#include "l2/l2.h"

/* Begins what a kind makes of it. Keys: see link.h. */
struct stream {
    const struct stream_kind *kind; /* (c) */
    const struct l2_net *net;       /* (c) */
    int fd;                         /* (c) -1: it is not ours any more */
    uint8_t read_waits;             /* (i) L2_FOR_INPUT, L2_FOR_ROOM: for the next read ... */
    uint8_t write_waits;            /* (i) ... and for the next write */
    bool holds;                     /* (i) */
    const char *problem;            /* (i) with STREAM_FAILED: what is wrong, for people */
};

/* A read, write or agree returns this if it failed in the stream itself; else it returns -errno. */
#define STREAM_FAILED (-100000)

struct stream_kind {
    const char *agreement; /* names what is agreed on, for people: "TLS handshake" */
    const char *silence;   /* the problem if that has no end in the time for connecting */
    /* Makes what the kind needs to know of a stream to the server at `host`, a name, an address or
     * a path, which is valid during the call; stream_open() does the rest. NULL: no memory. */
    struct stream *(*open)(const struct stream_kind *kind, struct mem *mem, const char *host);
    /* Makes a step towards what has to be agreed on before the first read and write. 1: agreed;
     * 0: again, as after -EAGAIN, and both `waits` are set; < 0: failed. NULL: nothing has to. */
    int (*agree)(struct stream *s);
    /* As read(2): 0 at the end. Bytes that it holds come first. */
    long (*read)(struct stream *s, void *buffer, size_t size);
    /* As send(2), often less than `size`. What was not taken comes again, at the beginning of the
     * next write, from wherever it lies by then, and perhaps with more behind it. */
    long (*write)(struct stream *s, const void *data, size_t size);
    /* Frees it. The socket, if it is ours still, is closed by the caller, behind any farewell. */
    void (*close)(struct stream *s, struct mem *mem);
    void *arg; /* shared by all streams of the kind */
};

/* The socket as it is. */
extern const struct stream_kind stream_plain;

/* Opens a stream over the connected, or connecting, socket, which it owns from here on. NULL: there
 * is no memory, and the socket is closed. */
struct stream *stream_open(const struct stream_kind *kind, struct mem *mem,
                           const struct l2_net *net, const char *host, int fd);
/* Closes it, and the socket. */
void stream_close(struct stream *s, struct mem *mem);
/* Frees it without a touch of the socket: that number is another's by now. */
void stream_disown(struct stream *s, struct mem *mem);

/* The plain one's are called here: one jump less for each read and write of most hosts. */
static inline long stream_read(struct stream *s, void *buffer, size_t size)
{
    if (NIGH_LIKELY(s->kind == &stream_plain))
        return s->net->read(s->net->arg, s->fd, buffer, size);
    return s->kind->read(s, buffer, size);
}

static inline long stream_write(struct stream *s, const void *data, size_t size)
{
    if (NIGH_LIKELY(s->kind == &stream_plain))
        return s->net->write(s->net->arg, s->fd, data, size);
    return s->kind->write(s, data, size);
}

/* Returns for what the socket has to be waited for, by one who also has something to write, or
 * not. */
static inline uint32_t stream_waits(const struct stream *s, bool writes)
{
    return s->read_waits | (writes ? s->write_waits : 0u);
}

#endif
