// SPDX-License-Identifier: MIT
/*
 * memcached over a unix socket, where it is installed: each thread has a connection and waits.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "link/link.h"
#include "support/fail.h"

#define START_NS     (10 * PERF_NS_PER_S)
#define ANSWER_MAX   256u
#define SOCKET_BYTES 108 /* as the kernel has it */

struct memcached {
    unsigned threads;
    pid_t pid;
    char socket[SOCKET_BYTES];
    int fds[LINK_THREADS_MAX];
};

__attribute__((noreturn)) static void become_server(const char *socket)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    execlp("memcached", "memcached", "-u", "root", "-s", socket, "-t", "1", "-m", "64",
           (char *)NULL);
    _exit(127);
}

static int try_connect(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    memcpy(address.sun_path, path, strlen(path));
    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
        return fd;
    close(fd);
    return -1;
}

/* Sends a text, and reads until what comes back ends as told. */
static size_t ask(int fd, const char *text, size_t len, char *answer, const char *end)
{
    size_t got = 0, end_len = strlen(end);
    if (send(fd, text, len, MSG_NOSIGNAL) != (ssize_t)len)
        fail("memcached: %m");
    while (got < end_len || memcmp(answer + got - end_len, end, end_len) != 0) {
        ssize_t n = recv(fd, answer + got, ANSWER_MAX - got, 0);
        if (n <= 0)
            fail("memcached: a wrong answer");
        got += (size_t)n;
    }
    return got;
}

static void fill(int fd)
{
    char text[512], answer[ANSWER_MAX];
    for (unsigned i = 0; i < LINK_KEYS; i++) {
        const struct nigh_key *k = &link_world.plain[i];
        int len = snprintf(text, sizeof(text), "set %.*s 0 0 %u\r\n%.*s\r\n", (int)k->len,
                           (const char *)k->data, LINK_VALUE_BYTES, (int)LINK_VALUE_BYTES,
                           link_world.value);
        ask(fd, text, (size_t)len, answer, "STORED\r\n");
    }
}

static bool is_installed(void)
{
    return system("command -v memcached >/dev/null 2>&1") == 0;
}

static void *open_memcached(const struct row *row)
{
    if (!is_installed()) {
        link_why("not installed");
        return NULL;
    }
    struct memcached *m = must_alloc(1, sizeof(*m));
    m->threads = row->threads;
    if (snprintf(m->socket, SOCKET_BYTES, "%s/memcached.sock", link_world.server.folder) >=
        SOCKET_BYTES)
        fail("the temporary folder's name is too long for a socket");
    m->pid = fork();
    if (m->pid == 0)
        become_server(m->socket);
    for (uint64_t until = now_ns() + START_NS; (m->fds[0] = try_connect(m->socket)) < 0;
         sleep_ns(PERF_NS_PER_MS))
        if (now_ns() > until || waitpid(m->pid, NULL, WNOHANG) != 0)
            fail("memcached does not start");
    for (unsigned i = 1; i < m->threads; i++)
        m->fds[i] = try_connect(m->socket);
    fill(m->fds[0]);
    return m;
}

static void call(void *self, unsigned thread, uint64_t n)
{
    struct memcached *m = self;
    const struct nigh_key *k = &link_world.plain[link_at(thread, n, 1)];
    char text[64], answer[ANSWER_MAX];
    memcpy(text, "get ", 4);
    memcpy(text + 4, k->data, k->len);
    memcpy(text + 4 + k->len, "\r\n", 2);
    if (ask(m->fds[thread], text, k->len + 6, answer, "END\r\n") < LINK_VALUE_BYTES)
        fail("memcached: no value");
}

static void close_memcached(void *self)
{
    struct memcached *m = self;
    for (unsigned i = 0; i < m->threads; i++)
        close(m->fds[i]);
    kill(m->pid, SIGTERM);
    waitpid(m->pid, NULL, 0);
    unlink(m->socket);
    free(m);
}

static pid_t server(void *self)
{
    const struct memcached *m = self;
    return m->pid;
}

const struct side side_memcached = {"memcached", .open = open_memcached, .call = call,
                                    .close = close_memcached, .server = server};
