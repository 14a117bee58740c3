// SPDX-License-Identifier: MIT
// The kernel's sockets as the client wants them: never blocking, never inherited, never a signal.

#include "l2/net.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/check.h"
#include "support/redis.h"

static const struct l2_net *const net = &net_kernel;

TEST(sockets_neither_block_nor_are_inherited)
{
    struct redis server;
    redis_start_tcp(&server, NULL);
    int fds[2] = {
        net->connect(net->arg, server.socket, 0),
        net->connect(net->arg, "127.0.0.1", (uint16_t)server.port),
    };
    for (int i = 0; i < 2; i++) {
        REQUIRE(fds[i] >= 0);
        CHECK(fcntl(fds[i], F_GETFL) & O_NONBLOCK);
        CHECK(fcntl(fds[i], F_GETFD) & FD_CLOEXEC);
        CHECK_WITHIN(20000, net->write(net->arg, fds[i], "PING\r\n", 6) == 6);
        char pong[16];
        CHECK_WITHIN(20000, net->read(net->arg, fds[i], pong, sizeof(pong)) == 7);
        CHECK_EQ(net->read(net->arg, fds[i], pong, sizeof(pong)), -EAGAIN);
        net->close(net->arg, fds[i]);
    }
    redis_stop(&server);
}

TEST(failures_are_numbers)
{
    char path[200];
    memset(path, 'a', sizeof(path));
    path[sizeof(path) - 1] = '\0';
    CHECK_EQ(net->connect(net->arg, "/nonexistent/socket", 0), -ENOENT);
    CHECK_EQ(net->connect(net->arg, path, 0), -ENAMETOOLONG);
    CHECK_LT(net->connect(net->arg, "no..host", 1), 0);
}

TEST(a_closed_peer_sends_no_signal)
{
    int pair[2];
    signal(SIGPIPE, SIG_DFL);
    REQUIRE_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    close(pair[1]);
    CHECK_EQ(net->write(net->arg, pair[0], "x", 1), -EPIPE);
    char c;
    CHECK_EQ(net->read(net->arg, pair[0], &c, 1), 0);
    close(pair[0]);
}

TEST(waiting_ends_by_socket_wake_up_or_time)
{
    int pair[2];
    REQUIRE_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    int wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    REQUIRE(wake_fd >= 0);
    CHECK_EQ(net->wait(net->arg, pair[0], L2_FOR_INPUT, wake_fd, 0), 0);
    CHECK_EQ(net->wait(net->arg, -1, L2_FOR_ROOM, wake_fd, NS_PER_MS), 0);
    CHECK_EQ(net->wait(net->arg, pair[0], L2_FOR_INPUT | L2_FOR_ROOM, wake_fd, CLOCK_NEVER_NS),
             L2_NET_READY);
    CHECK_EQ(net->wait(net->arg, pair[0], L2_FOR_ROOM, wake_fd, CLOCK_NEVER_NS), L2_NET_READY);
    CHECK_EQ(write(pair[1], "x", 1), 1);
    CHECK_EQ(net->wait(net->arg, pair[0], L2_FOR_INPUT, wake_fd, CLOCK_NEVER_NS), L2_NET_READY);
    CHECK_EQ(eventfd_write(wake_fd, 1), 0);
    CHECK_EQ(net->wait(net->arg, -1, L2_FOR_INPUT, wake_fd, CLOCK_NEVER_NS), L2_NET_WOKEN);
    CHECK_EQ(net->wait(net->arg, pair[0], L2_FOR_INPUT, wake_fd, CLOCK_NEVER_NS),
             L2_NET_READY | L2_NET_WOKEN);
    close(pair[0]);
    close(pair[1]);
    close(wake_fd);
}
