// SPDX-License-Identifier: MIT
/*
 * Starting and stopping a private redis-server.
 */
#include "support/redis_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
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

#define WORDS_MAX 60

struct command_line {
    char *words[WORDS_MAX + 1]; /* nobody writes to them: exec's type */
    int count;
};

static void add(struct command_line *c, char *word)
{
    if (c->count == WORDS_MAX)
        fail("too many words for redis-server");
    c->words[c->count++] = word;
}

static void add_option(struct command_line *c, char *name, char *value)
{
    add(c, name);
    add(c, value);
}

/* A Sentinel's file comes first; it is rewritten by it. */
static void add_role(struct command_line *c, const struct redis_server *server, char *conf,
                     char *master_port)
{
    if (server->is_sentinel)
        add_option(c, conf, "--sentinel");
    if (server->master_port) {
        add_option(c, "--replicaof", "127.0.0.1");
        add(c, master_port);
    }
}

/* The child's side: no terminal signal reaches it, and it does not outlive us. DEBUG is for the
 * fault that loads a snapshot in place; before version 7 it needed no permission. */
__attribute__((noreturn)) static void become_server(struct redis_server *server, bool debug)
{
    char log[300], conf[300], port[16], master_port[16];
    struct command_line c = {{"redis-server"}, 1};
    snprintf(log, sizeof(log), "%s/redis.log", server->folder);
    snprintf(conf, sizeof(conf), "%s/sentinel.conf", server->folder);
    snprintf(port, sizeof(port), "%d", server->port);
    snprintf(master_port, sizeof(master_port), "%d", server->master_port);
    add_role(&c, server, conf, master_port);
    add_option(&c, "--port", port);
    add_option(&c, "--bind", "127.0.0.1");
    add_option(&c, "--unixsocket", server->socket);
    add_option(&c, "--save", "");
    add_option(&c, "--appendonly", "no");
    add_option(&c, "--daemonize", "no");
    add_option(&c, "--dir", server->folder);
    add_option(&c, "--logfile", log);
    add_option(&c, "--loglevel", "warning");
    add_option(&c, "--repl-diskless-sync-delay", "0");
    if (debug && !server->is_sentinel)
        add_option(&c, "--enable-debug-command", "local");
    for (char *const *option = server->options; option && *option; option++)
        add(&c, *option);
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    execvp("redis-server", c.words);
    fprintf(stderr, "perf: there is no redis-server in PATH (apt-get install redis-server)\n");
    _exit(127);
}

/* Removes what a run before has left in the folder. */
static void begin_empty(const struct redis_server *server)
{
    char snapshot[300];
    snprintf(snapshot, sizeof(snapshot), "%s/dump.rdb", server->folder);
    unlink(snapshot);
    unlink(server->socket);
}

void redis_server_start(struct redis_server *server, const char *folder)
{
    bool debug = atoi(redis_server_version()) >= 7;
    snprintf(server->folder, sizeof(server->folder), "%s", folder);
    snprintf(server->socket, sizeof(server->socket), "%s/redis.sock", folder);
    begin_empty(server);
    server->pid = fork();
    if (server->pid == 0)
        become_server(server, debug);
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

bool redis_server_comes_up(struct redis_server *server)
{
    uint64_t until = now_ns() + START_NS;
    while (!redis_server_answers(server)) {
        if (redis_server_crashed(server) || now_ns() > until)
            return false;
        sleep_ns(LOOK_EVERY_NS);
    }
    return true;
}

void redis_server_wait(struct redis_server *server)
{
    if (!redis_server_comes_up(server))
        fail("redis-server does not start; see %s/redis.log", server->folder);
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

bool redis_server_signal(const struct redis_server *server, int signal_number)
{
    return server->pid != 0 && kill(server->pid, signal_number) == 0;
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

int redis_server_free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t size = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, size) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &size) != 0)
        fail("no port of 127.0.0.1 can be had");
    close(fd);
    return ntohs(address.sin_port);
}

const char *redis_server_version(void)
{
    static char version[32] = "unknown";
    if (strcmp(version, "unknown") != 0)
        return version;
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
