// SPDX-License-Identifier: MIT
// A private redis-server for tests (redis.h): child process, folder and raw commands.
//
// Every wait has a deadline and looks at a condition (PONG, or the child gone). Only the pid
// that we forked is ever signalled, and only until it is reaped, so that a recycled pid is
// never hit. hiredis writes without MSG_NOSIGNAL; SIGPIPE is held back around it here rather
// than ignored in the program, for the library under test must not need that.

#include "support/redis.h"

#include "support/check.h"
#include "support/server_clock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <hiredis/hiredis.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    ARGS_MAX = 64,
    START_MS = 20000, /* generous: sanitizers and eight other builds on two cores */
    COMMAND_MS = 20000, /* the same */
    PORTS_MAX = 20,
};

/* A port that was free a moment ago. */
static void take_port(struct redis *server)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t len = sizeof address;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    REQUIRE(fd >= 0);
    REQUIRE(bind(fd, (struct sockaddr *)&address, sizeof address) == 0);
    REQUIRE(getsockname(fd, (struct sockaddr *)&address, &len) == 0);
    close(fd);
    server->port = ntohs(address.sin_port);
    snprintf(server->uri, sizeof server->uri, "%s://127.0.0.1:%d",
             server->certs ? "rediss" : "redis", server->port);
}

/* In the child: only async-signal-safe calls, for the parent may have threads. */
static void exec_server(pid_t parent, char *const argv[])
{
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(126); /* the parent died before prctl could see it */
    int null = open("/dev/null", O_RDWR);
    dup2(null, STDIN_FILENO);
    dup2(null, STDOUT_FILENO);
    execvp(argv[0], argv);
    _exit(127);
}

/* Adds the options of a port that speaks TLS, whose file names live in `paths`. */
static size_t add_tls(const struct redis *server, char *argv[], size_t n, char paths[3][160])
{
    static const char *const files[3] = {"server.pem", "server.key", "ca.pem"};
    static char *const options[3] = {"--tls-cert-file", "--tls-key-file", "--tls-ca-cert-file"};
    argv[n++] = "--port";
    argv[n++] = "0";
    for (int i = 0; i < 3; i++) {
        snprintf(paths[i], 160, "%s/%s", server->certs, files[i]);
        argv[n++] = options[i];
        argv[n++] = paths[i];
    }
    argv[n++] = "--tls-auth-clients";
    argv[n++] = "optional";
    return n;
}

static void spawn(struct redis *server)
{
    char tls_paths[3][160];
    char port[16], log_path[96];
    snprintf(port, sizeof port, "%d", server->port);
    snprintf(log_path, sizeof log_path, "%s/redis.log", server->dir);
    char *program = getenv("NIGH_REDIS_SERVER");
    /* clang-format off */
    char *argv[ARGS_MAX] = {
        program && *program ? program : "redis-server",
        server->certs ? "--tls-port" : "--port", port,           "--bind", "127.0.0.1",
        "--unixsocket", server->socket,          "--dir",        server->dir,
        "--logfile",    log_path,                "--daemonize",  "no",
        "--save",       "",                      "--appendonly", "no",
        "--repl-diskless-sync-delay",            "0",
    };
    /* clang-format on */
    size_t n = 0;
    while (argv[n])
        n++;
    if (server->conf[0]) {
        memmove(&argv[2], &argv[1], n * sizeof argv[0]);
        argv[1] = server->conf;
        argv[n + 1] = "--sentinel";
        n += 2;
    }
    if (server->certs)
        n = add_tls(server, argv, n, tls_paths);
    for (char *const *arg = server->args; arg && *arg; arg++) {
        REQUIRE(n < ARGS_MAX - 1);
        argv[n++] = *arg;
    }
    pid_t parent = getpid();
    server->pid = fork();
    REQUIRE(server->pid >= 0);
    if (server->pid == 0)
        exec_server(parent, argv);
}

static bool answers(const struct redis *server)
{
    char *reply = redis_command(server, "PING");
    bool pong = reply && (strcmp(reply, "PONG") == 0 || strstr(reply, "NOAUTH"));
    free(reply);
    return pong;
}

static bool exited(struct redis *server)
{
    int status;
    if (waitpid(server->pid, &status, WNOHANG) != server->pid)
        return false;
    server->pid = 0;
    check_note(WIFEXITED(status) && WEXITSTATUS(status) == 127
                   ? "redis-server is not in PATH: apt-get install redis-server"
                   : "redis-server ended while starting (status %#x)", status);
    return true;
}

static void print_log(const struct redis *server)
{
    char path[96], line[512];
    snprintf(path, sizeof path, "%s/redis.log", server->dir);
    FILE *log = fopen(path, "re");
    while (log && fgets(line, sizeof line, log))
        check_note("redis.log: %.*s", (int)strcspn(line, "\n"), line);
    if (log)
        fclose(log);
}

/* Whether it answers in the end; if not, it is gone. */
static bool comes_up(struct redis *server)
{
    spawn(server);
    uint64_t end_ms = check_now_ms() + START_MS;
    while (!answers(server)) {
        if (exited(server))
            return false;
        if (check_now_ms() > end_ms) {
            redis_kill(server);
            return false;
        }
        check_pause();
    }
    return true;
}

/* Another process may have taken the port, for a moment mostly: of this many tries one will do. */
static void launch(struct redis *server, bool may_move)
{
    for (int tries = server->port ? PORTS_MAX : 1; !comes_up(server); tries--) {
        print_log(server);
        if (tries == 1) {
            redis_stop(server);
            REQUIRE(!"redis-server starts");
        }
        if (may_move)
            take_port(server);
        check_pause();
    }
}

static void prepare(struct redis *server, const char *certs, char *const *args)
{
    const char *parent = getenv("TMPDIR");
    *server = (struct redis){.args = args, .certs = certs};
    if (!parent || strlen(parent) > 30)
        parent = "/tmp"; /* a socket's path is limited to 107 bytes */
    snprintf(server->dir, sizeof server->dir, "%s/nigh-redis-XXXXXX", parent);
    REQUIRE(mkdtemp(server->dir));
    snprintf(server->socket, sizeof server->socket, "%s/redis.sock", server->dir);
    snprintf(server->uri, sizeof server->uri, "unix://%s", server->socket);
}

static void start(struct redis *server, bool tcp, const char *certs, char *const *args)
{
    prepare(server, certs, args);
    if (tcp)
        take_port(server);
    launch(server, tcp);
}

void redis_start(struct redis *server, char *const *args)
{
    start(server, false, NULL, args);
}

void redis_start_tcp(struct redis *server, char *const *args)
{
    start(server, true, NULL, args);
}

void redis_start_tls(struct redis *server, const char *certs, char *const *args)
{
    start(server, true, certs, args);
}

void redis_start_sentinel(struct redis *server, const char *certs, char *const *args,
                          const char *conf)
{
    prepare(server, certs, args);
    snprintf(server->conf, sizeof server->conf, "%s/sentinel.conf", server->dir);
    FILE *out = fopen(server->conf, "we");
    REQUIRE(out && fputs(conf, out) >= 0 && fclose(out) == 0);
    take_port(server);
    launch(server, true);
}

void server_clock_start(struct redis *server, char *const *args)
{
    setenv("LD_PRELOAD", NIGH_TEST_SERVER_CLOCK, 1);
    redis_start(server, args);
    unsetenv("LD_PRELOAD");
}

void server_clock_move(const struct redis *server, long long seconds)
{
    char path[96], aside[96];
    snprintf(path, sizeof path, "%s/" SERVER_CLOCK_FILE, server->dir);
    snprintf(aside, sizeof aside, "%s/" SERVER_CLOCK_FILE ".new", server->dir);
    FILE *out = fopen(aside, "we");
    REQUIRE(out);
    fprintf(out, "%lld\n", seconds);
    REQUIRE(fclose(out) == 0 && rename(aside, path) == 0);
}

void redis_kill(struct redis *server)
{
    if (server->pid == 0)
        return;
    kill(server->pid, SIGKILL);
    while (waitpid(server->pid, NULL, 0) < 0 && errno == EINTR)
        ;
    server->pid = 0;
}

static int remove_path(const char *path, const struct stat *info, int type, struct FTW *walk)
{
    (void)info, (void)type, (void)walk;
    return remove(path);
}

void redis_stop(struct redis *server)
{
    redis_kill(server);
    nftw(server->dir, remove_path, 8, FTW_DEPTH | FTW_PHYS);
}

void redis_pause(struct redis *server)
{
    int status;
    REQUIRE(server->pid > 0 && kill(server->pid, SIGSTOP) == 0);
    REQUIRE(waitpid(server->pid, &status, WUNTRACED) == server->pid && WIFSTOPPED(status));
}

void redis_resume(struct redis *server)
{
    REQUIRE(server->pid > 0 && kill(server->pid, SIGCONT) == 0);
}

void redis_save(struct redis *server)
{
    char *reply = redis_command(server, "SAVE");
    REQUIRE(reply && strcmp(reply, "OK") == 0);
    free(reply);
}

void redis_restart(struct redis *server, enum redis_data data)
{
    char path[96];
    redis_kill(server);
    unlink(server->socket);
    snprintf(path, sizeof path, "%s/dump.rdb", server->dir);
    if (data == REDIS_EMPTY)
        unlink(path);
    launch(server, false);
}

/* Holds SIGPIPE back, runs the command, and swallows the SIGPIPE it may have caused. */
static redisReply *command(const struct redis *server, const char *format, va_list args)
{
    sigset_t pipe_only, before;
    unsigned ms = server->command_ms ? server->command_ms : COMMAND_MS;
    struct timeval limit = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
    redisReply *reply = NULL;
    sigemptyset(&pipe_only);
    sigaddset(&pipe_only, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe_only, &before);
    redisContext *context = redisConnectUnixWithTimeout(server->socket, limit);
    if (context && !context->err && redisSetTimeout(context, limit) == REDIS_OK)
        reply = redisvCommand(context, format, args);
    if (context)
        redisFree(context);
    if (!sigismember(&before, SIGPIPE))
        sigtimedwait(&pipe_only, NULL, &(struct timespec){0});
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return reply;
}

static void reply_text(FILE *out, const redisReply *reply)
{
    switch (reply->type) {
    case REDIS_REPLY_INTEGER:
        fprintf(out, "%lld", reply->integer);
        break;
    case REDIS_REPLY_NIL:
        fputs("(nil)", out);
        break;
    case REDIS_REPLY_ARRAY:
        for (size_t i = 0; i < reply->elements; i++) {
            if (i > 0)
                fputc('\n', out);
            reply_text(out, reply->element[i]);
        }
        break;
    case REDIS_REPLY_ERROR:
        fputs("(error) ", out);
        fwrite(reply->str, 1, reply->len, out);
        break;
    default:
        fwrite(reply->str, 1, reply->len, out);
        break;
    }
}

char *redis_command(const struct redis *server, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    redisReply *reply = command(server, format, args);
    va_end(args);
    if (!reply)
        return NULL;
    char *text = NULL;
    size_t len;
    FILE *out = open_memstream(&text, &len);
    REQUIRE(out);
    reply_text(out, reply);
    REQUIRE(fclose(out) == 0);
    freeReplyObject(reply);
    return text;
}

long long redis_integer(const struct redis *server, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    redisReply *reply = command(server, format, args);
    va_end(args);
    REQUIRE(reply && reply->type == REDIS_REPLY_INTEGER);
    long long value = reply->integer;
    freeReplyObject(reply);
    return value;
}
