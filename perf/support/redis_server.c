// SPDX-License-Identifier: MIT
/*
 * Starting and stopping a private redis-server.
 */
#include "support/redis_server.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/fail.h"

#define START_NS (10 * PERF_NS_PER_S)
#define STOP_NS (2 * PERF_NS_PER_S)
#define LOOK_EVERY_NS (2 * PERF_NS_PER_MS)

/* The child's side: no terminal signal reaches it, and it does not outlive us. */
__attribute__((noreturn)) static void become_server(const struct redis_server *server)
{
    char log[300];
    snprintf(log, sizeof(log), "%s/redis.log", server->folder);
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    execlp("redis-server", "redis-server", "--port", "0", "--unixsocket", server->socket,
           "--save", "", "--appendonly", "no", "--daemonize", "no", "--dir", server->folder,
           "--logfile", log, "--loglevel", "warning", (char *)NULL);
    fprintf(stderr, "perf: there is no redis-server in PATH (apt-get install redis-server)\n");
    _exit(127);
}

void redis_server_start(struct redis_server *server, const char *folder)
{
    snprintf(server->folder, sizeof(server->folder), "%s", folder);
    snprintf(server->socket, sizeof(server->socket), "%s/redis.sock", folder);
    unlink(server->socket);
    server->pid = fork();
    if (server->pid == 0)
        become_server(server);
    if (server->pid < 0)
        fail("cannot fork");
}

bool redis_server_answers(const struct redis_server *server)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct timeval patience = {0, 200000};
    char pong[7] = "";
    if (strlen(server->socket) >= sizeof(address.sun_path))
        fail("the path of the socket is too long: %s", server->socket);
    strcpy(address.sun_path, server->socket);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    bool answers = connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0 &&
                   send(fd, "PING\r\n", 6, MSG_NOSIGNAL) == 6 && recv(fd, pong, 7, 0) == 7 &&
                   memcmp(pong, "+PONG\r\n", 7) == 0;
    close(fd);
    return answers;
}

bool redis_server_crashed(struct redis_server *server)
{
    if (server->pid == 0 || waitpid(server->pid, NULL, WNOHANG) != server->pid)
        return false;
    server->pid = 0;
    return true;
}

void redis_server_wait(struct redis_server *server)
{
    uint64_t until = now_ns() + START_NS;
    while (!redis_server_answers(server)) {
        if (redis_server_crashed(server) || now_ns() > until)
            fail("redis-server does not start; see %s/redis.log", server->folder);
        sleep_ns(LOOK_EVERY_NS);
    }
}

static void reap(struct redis_server *server)
{
    waitpid(server->pid, NULL, 0);
    server->pid = 0;
}

void redis_server_kill(struct redis_server *server)
{
    if (server->pid == 0)
        return;
    kill(server->pid, SIGKILL);
    reap(server);
}

void redis_server_stop(struct redis_server *server)
{
    if (server->pid == 0)
        return;
    kill(server->pid, SIGTERM);
    for (uint64_t until = now_ns() + STOP_NS; now_ns() < until; sleep_ns(LOOK_EVERY_NS))
        if (redis_server_crashed(server))
            return;
    redis_server_kill(server);
}

const char *redis_server_version(void)
{
    static char version[32] = "unknown";
    FILE *in = popen("redis-server --version 2>/dev/null", "re");
    char line[256];
    if (!in)
        return version;
    if (fgets(line, sizeof(line), in)) {
        const char *at = strstr(line, "v=");
        if (at)
            sscanf(at, "v=%31s", version);
    }
    pclose(in);
    return version;
}
