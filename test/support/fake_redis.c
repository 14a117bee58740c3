// SPDX-License-Identifier: MIT
// A server that says what the test wants it to say.

#include "support/fake_redis.h"

void fake_redis_send(int fd, const void *data, size_t len)
{
    while (len > 0) {
        ssize_t n = send(fd, data, len, MSG_NOSIGNAL);
        if (n <= 0)
            return; /* the client has given up, as it may */
        data = (const char *)data + n;
        len -= (size_t)n;
    }
}

void fake_redis_say(int fd, const char *text)
{
    fake_redis_send(fd, text, strlen(text));
}

bool fake_redis_hear(int fd)
{
    char buffer[4096];
    return recv(fd, buffer, sizeof(buffer), 0) > 0;
}

bool fake_redis_handshake(int fd, const char *hello)
{
    static const char proper[] = "+OK\r\n"
                                 "$78\r\nrole:master\r\nmaster_replid:"
                                 "0123456789012345678901234567890123456789\r\nx:12345\r\n\r\n";
    char buffer[4096];
    size_t len = 0;
    while (len < sizeof(buffer) - 1) {
        ssize_t n = recv(fd, buffer + len, sizeof(buffer) - 1 - len, 0);
        if (n <= 0)
            return false;
        len += (size_t)n;
        buffer[len] = '\0';
        if (strstr(buffer, "PING\r\n"))
            break;
    }
    if (!hello && strstr(buffer, "HELLO\r\n"))
        fake_redis_say(fd, "-ERR unknown command 'HELLO'\r\n");
    fake_redis_say(fd, hello ? hello : proper);
    if (!hello)
        fake_redis_say(fd, strstr(buffer, "EVAL\r\n") ? "$-1\r\n+PONG\r\n" : "+PONG\r\n");
    return true;
}

void *fake_redis_run(void *arg)
{
    struct fake_redis *f = arg;
    int fd;
    while ((fd = accept(f->fd, NULL, NULL)) >= 0) {
        atomic_fetch_add(&f->accepted, 1);
        if (fake_redis_handshake(fd, f->hello) && f->serve)
            f->serve(fd, f->arg);
        close(fd);
    }
    return NULL;
}

void fake_redis_start(struct fake_redis *f, const char *hello, void (*serve)(int fd, void *arg),
                      void *arg)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    *f = (struct fake_redis){.hello = hello, .serve = serve, .arg = arg};
    strcpy(f->dir, "/tmp/nigh-fake-XXXXXX");
    REQUIRE(mkdtemp(f->dir));
    snprintf(f->path, sizeof(f->path), "%s/sock", f->dir);
    snprintf(f->uri, sizeof(f->uri), "unix://%s", f->path);
    strcpy(address.sun_path, f->path);
    f->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    REQUIRE(f->fd >= 0);
    REQUIRE_EQ(bind(f->fd, (struct sockaddr *)&address, sizeof(address)), 0);
    REQUIRE_EQ(listen(f->fd, 16), 0);
    REQUIRE_EQ(pthread_create(&f->thread, NULL, fake_redis_run, f), 0);
}

void fake_redis_stop(struct fake_redis *f)
{
    shutdown(f->fd, SHUT_RDWR); /* ends the accept */
    pthread_join(f->thread, NULL);
    close(f->fd);
    unlink(f->path);
    rmdir(f->dir);
}
