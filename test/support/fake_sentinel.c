// SPDX-License-Identifier: MIT
// A Sentinel for tests (fake_sentinel.h): a poll(2) loop that knows five commands.

#include "support/fake_sentinel.h"

#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/check.h"

#define WORDS_MAX 8
#define LOOK_MS 10

/* ---- what it says ---- */

static void say(const struct fake_sentinel_link *l, const char *text)
{
    ssize_t n = send(l->fd, text, strlen(text), MSG_NOSIGNAL);
    (void)n; /* a client that is gone */
}

/* REQUIRES(lock) */
static void subscribe(struct fake_sentinel *f, struct fake_sentinel_link *l, const char *channel)
{
    char text[128];
    if (f->forbids && strcmp(channel, f->forbids) == 0) {
        say(l, "-NOPERM No permissions to access a channel\r\n");
        return;
    }
    snprintf(text, sizeof text, "*3\r\n$9\r\nsubscribe\r\n$%zu\r\n%s\r\n:1\r\n",
             strlen(channel), channel);
    say(l, text);
    l->subscribed = true;
    atomic_fetch_add(&f->subscribed, 1);
}

/* REQUIRES(lock) */
static void log_in(struct fake_sentinel *f, struct fake_sentinel_link *l, char *words[], int count)
{
    char given[256];
    snprintf(given, sizeof given, "%s %s", count > 2 ? words[1] : "", words[count - 1]);
    say(l, strcmp(given, f->login) == 0 ? "+OK\r\n" : "-WRONGPASS invalid\r\n");
}

static void obey(struct fake_sentinel *f, struct fake_sentinel_link *l, char *words[], int count)
{
    pthread_mutex_lock(&f->lock);
    if (strcasecmp(words[0], "AUTH") == 0)
        log_in(f, l, words, count);
    else if (strcasecmp(words[0], "CLIENT") == 0)
        say(l, "+OK\r\n");
    else if (strcasecmp(words[0], "PING") == 0)
        say(l, l->subscribed ? "*2\r\n$4\r\npong\r\n$0\r\n\r\n" : "+PONG\r\n");
    else if (strcasecmp(words[0], "SUBSCRIBE") == 0)
        subscribe(f, l, words[1]);
    else if (strcasecmp(words[0], "SENTINEL") == 0)
        atomic_fetch_add(&f->asked, 1), say(l, f->answer);
    else
        say(l, "-ERR unknown command\r\n");
    pthread_mutex_unlock(&f->lock);
}

/* ---- what it hears ---- */

/* Takes one command from the beginning of the input. Returns its bytes; 0: it is not whole. */
static unsigned take(struct fake_sentinel *f, struct fake_sentinel_link *l)
{
    char *words[WORDS_MAX], *at = l->in, *end;
    int count = atoi(at + 1);
    for (int i = -1; i < count; i++) {
        end = memmem(at, (size_t)(l->in + l->len - at), "\r\n", 2);
        if (!end)
            return 0;
        int len = i < 0 ? 0 : atoi(at + 1);
        at = end + 2;
        if (i < 0)
            continue;
        if (at + len + 2 > l->in + l->len)
            return 0;
        words[i] = at;
        at += len + 2;
    }
    for (int i = 0; i < count; i++)
        words[i][strcspn(words[i], "\r")] = '\0';
    obey(f, l, words, count);
    return (unsigned)(at - l->in);
}

static void hear(struct fake_sentinel *f, struct fake_sentinel_link *l)
{
    ssize_t n = recv(l->fd, l->in + l->len, sizeof l->in - l->len, MSG_DONTWAIT);
    if (n <= 0) {
        close(l->fd);
        *l = (struct fake_sentinel_link){.fd = -1};
        return;
    }
    l->len += (unsigned)n;
    for (unsigned took; l->len > 0 && (took = take(f, l)) > 0;) {
        memmove(l->in, l->in + took, l->len - took);
        l->len -= took;
    }
}

static void welcome(struct fake_sentinel *f)
{
    int fd = accept4(f->fd, NULL, NULL, SOCK_CLOEXEC);
    for (int i = 0; fd >= 0 && i < FAKE_SENTINEL_LINKS; i++)
        if (f->links[i].fd < 0) {
            f->links[i].fd = fd;
            atomic_fetch_add(&f->accepted, 1);
            return;
        }
    if (fd >= 0)
        close(fd);
}

static void call_out(struct fake_sentinel *f)
{
    static const char form[] = "*3\r\n$7\r\nmessage\r\n$%zu\r\n%s\r\n$%zu\r\n%s\r\n";
    char text[1024] = "";
    pthread_mutex_lock(&f->lock);
    if (f->call[0])
        snprintf(text, sizeof text, form, strlen(f->channel), f->channel, strlen(f->call), f->call);
    f->call[0] = '\0';
    pthread_mutex_unlock(&f->lock);
    for (int i = 0; text[0] && i < FAKE_SENTINEL_LINKS; i++)
        if (f->links[i].fd >= 0 && f->links[i].subscribed)
            say(&f->links[i], text);
}

static void *run(void *arg)
{
    struct fake_sentinel *f = arg;
    while (!atomic_load(&f->stop)) {
        struct pollfd fds[FAKE_SENTINEL_LINKS + 1];
        for (int i = 0; i < FAKE_SENTINEL_LINKS; i++)
            fds[i] = (struct pollfd){.fd = f->links[i].fd, .events = POLLIN};
        fds[FAKE_SENTINEL_LINKS] = (struct pollfd){.fd = f->fd, .events = POLLIN};
        poll(fds, FAKE_SENTINEL_LINKS + 1, LOOK_MS);
        for (int i = 0; i < FAKE_SENTINEL_LINKS; i++)
            if (fds[i].revents)
                hear(f, &f->links[i]);
        if (fds[FAKE_SENTINEL_LINKS].revents)
            welcome(f);
        call_out(f);
    }
    return NULL;
}

/* ---- life ---- */

void fake_sentinel_start(struct fake_sentinel *f)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t len = sizeof address;
    memset(f, 0, sizeof *f);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    f->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    REQUIRE(f->fd >= 0 && bind(f->fd, (struct sockaddr *)&address, sizeof address) == 0);
    REQUIRE(getsockname(f->fd, (struct sockaddr *)&address, &len) == 0);
    REQUIRE(listen(f->fd, FAKE_SENTINEL_LINKS) == 0);
    f->port = ntohs(address.sin_port);
    for (int i = 0; i < FAKE_SENTINEL_LINKS; i++)
        f->links[i].fd = -1;
    pthread_mutex_init(&f->lock, NULL);
    REQUIRE_EQ(pthread_create(&f->thread, NULL, run, f), 0);
}

void fake_sentinel_stop(struct fake_sentinel *f)
{
    atomic_store(&f->stop, true);
    pthread_join(f->thread, NULL);
    for (int i = 0; i < FAKE_SENTINEL_LINKS; i++)
        if (f->links[i].fd >= 0)
            close(f->links[i].fd);
    close(f->fd);
    pthread_mutex_destroy(&f->lock);
}

static void set(struct fake_sentinel *f, char *text, size_t size, const char *to)
{
    pthread_mutex_lock(&f->lock);
    snprintf(text, size, "%s", to);
    pthread_mutex_unlock(&f->lock);
}

void fake_sentinel_answer(struct fake_sentinel *f, const char *reply)
{
    set(f, f->answer, sizeof f->answer, reply);
}

void fake_sentinel_name(struct fake_sentinel *f, const char *host, int port)
{
    char reply[256], digits[16];
    int len = snprintf(digits, sizeof digits, "%d", port);
    snprintf(reply, sizeof reply, "*2\r\n$%zu\r\n%s\r\n$%d\r\n%s\r\n", strlen(host), host, len,
             digits);
    fake_sentinel_answer(f, reply);
}

void fake_sentinel_call(struct fake_sentinel *f, const char *payload)
{
    fake_sentinel_call_on(f, "+switch-master", payload);
}

void fake_sentinel_call_on(struct fake_sentinel *f, const char *channel, const char *payload)
{
    set(f, f->channel, sizeof f->channel, channel);
    set(f, f->call, sizeof f->call, payload);
}

void fake_sentinel_forbid(struct fake_sentinel *f, const char *channel)
{
    pthread_mutex_lock(&f->lock);
    f->forbids = channel;
    pthread_mutex_unlock(&f->lock);
}

void fake_sentinel_login(struct fake_sentinel *f, const char *user, const char *password)
{
    char both[256];
    snprintf(both, sizeof both, "%s %s", user, password);
    set(f, f->login, sizeof f->login, both);
}
