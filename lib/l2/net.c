// SPDX-License-Identifier: MIT
// The kernel's sockets. Every call is non-blocking except the wait, and the look-up of a host's
// name, which runs on a thread of its own (lookup.c). With several addresses each attempt takes
// the next one, so a host whose first address is dead is reached on the second attempt.
//
// No getsockopt(SO_ERROR) after a connect: a send on a socket that failed to connect returns that
// error, and one that is still connecting returns EAGAIN.

#include "l2/net.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <nigh/error.h>

/* Bounds the bytes that the kernel may hold unsent: otherwise some megabytes, which take a thin
 * wire half a minute in which we would see nothing move. */
static const int unsent_max = 128 << 10;

/* Bounds a sleep: a host that closes all descriptors (closefrom) closes ours, which does not end
 * the sleep on them, and then nobody can. */
#define WAIT_MAX_NS NS_PER_S

static int connect_to(const struct sockaddr *address, socklen_t len)
{
    if (fault_fires(FAULT_SOCKET))
        return -EMFILE;
    int type = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
    int fd = fd_above_standard(socket(address->sa_family, type, 0));
    if (fd < 0)
        return -errno;
    int on = 1;
    if (address->sa_family != AF_UNIX) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent_max, sizeof(unsent_max));
    }
    int failed = fault_fires(FAULT_CONNECT) ? ECONNREFUSED : connect(fd, address, len) ? errno : 0;
    if (failed && failed != EINPROGRESS) {
        close(fd);
        return -failed;
    }
    return fd;
}

static int connect_unix(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t len = strlen(path);
    if (len >= sizeof(address.sun_path))
        return -ENAMETOOLONG;
    memcpy(address.sun_path, path, len);
    return connect_to((const struct sockaddr *)(const void *)&address, sizeof(address));
}

/* 0 or -errno. */
static int ask_names(const char *host, const char *service, int flags, struct addrinfo **ret)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = flags};
    int error = getaddrinfo(host, service, &hints, ret);
    switch (error) {
    case 0: return 0;
    case EAI_SYSTEM: return -errno;
    case EAI_AGAIN: return -EAGAIN;
    case EAI_NONAME: return -ENOENT;
    default: return -EHOSTUNREACH;
    }
}

static int connect_tcp(const char *address, uint16_t port)
{
    struct addrinfo *list = NULL;
    char service[8];
    snprintf(service, sizeof(service), "%u", port);
    int error = ask_names(address, service, AI_NUMERICHOST | AI_NUMERICSERV, &list);
    if (error)
        return error;
    int fd = connect_to(list->ai_addr, list->ai_addrlen);
    freeaddrinfo(list);
    return fd;
}

static int net_look_up(const char *host, struct l2_addresses *ret)
{
    struct addrinfo *list = NULL;
    int error = ask_names(host, NULL, 0, &list);
    if (error)
        return error;
    ret->count = 0;
    for (const struct addrinfo *a = list; a && ret->count < L2_ADDRESSES_MAX; a = a->ai_next)
        if (getnameinfo(a->ai_addr, a->ai_addrlen, ret->text[ret->count], L2_ADDRESS_BYTES, NULL,
                        0, NI_NUMERICHOST) == 0)
            ret->count++;
    freeaddrinfo(list);
    return 0;
}

static int net_connect(void *arg, const char *host_or_path, uint16_t port)
{
    (void)arg;
    return port ? connect_tcp(host_or_path, port) : connect_unix(host_or_path);
}

static long net_read(void *arg, int fd, void *buffer, size_t size)
{
    (void)arg;
    if (fault_fires(FAULT_READ))
        return -ECONNRESET;
    ssize_t n = recv(fd, buffer, size, MSG_DONTWAIT);
    return n < 0 ? -errno : n;
}

static long net_write(void *arg, int fd, const void *data, size_t size)
{
    (void)arg;
    if (fault_fires(FAULT_WRITE))
        return -EPIPE;
    ssize_t n = send(fd, data, size, MSG_NOSIGNAL | MSG_DONTWAIT);
    return n < 0 ? -errno : n;
}

static void net_close(void *arg, int fd)
{
    (void)arg;
    close(fd);
}

static void net_cut(void *arg, int fd)
{
    (void)arg;
    shutdown(fd, SHUT_RDWR);
}

static int wait_for(struct pollfd fds[2], uint64_t wait_ns)
{
    struct timespec limit = {
        .tv_sec = (time_t)(wait_ns / NS_PER_S),
        .tv_nsec = (long)(wait_ns % NS_PER_S),
    };
    return ppoll(fds, 2, &limit, NULL);
}

static int wait_on(int fd, short events, int wake_fd, uint64_t wait_ns)
{
    struct pollfd fds[2] = {
        {.fd = fd, .events = events},
        {.fd = wake_fd, .events = POLLIN},
    };
    if (wait_for(fds, u64_min(wait_ns, WAIT_MAX_NS)) <= 0)
        return 0; /* time, or a signal: the caller looks at everything anyway */
    if ((fds[0].revents | fds[1].revents) & POLLNVAL)
        return L2_NET_GONE;
    return (fds[0].revents ? L2_NET_READY : 0) | (fds[1].revents ? L2_NET_WOKEN : 0);
}

static int net_wait(void *arg, int fd, uint32_t events, int wake_fd, uint64_t wait_ns)
{
    int for_input = events & L2_FOR_INPUT ? POLLIN : 0;
    int for_room = events & L2_FOR_ROOM ? POLLOUT : 0;
    (void)arg;
    return wait_on(fd, (short)(for_input | for_room), wake_fd, wait_ns);
}

static int net_wait_end(void *arg, int fd, int wake_fd, uint64_t wait_ns)
{
    (void)arg;
    return wait_on(fd, POLLRDHUP, wake_fd, wait_ns);
}

const struct l2_net net_kernel = {
    .look_up = net_look_up,
    .connect = net_connect,
    .read = net_read,
    .write = net_write,
    .close = net_close,
    .wait = net_wait,
    .wait_end = net_wait_end,
    .cut = net_cut,
};
