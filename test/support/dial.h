/* SPDX-License-Identifier: MIT */
/*
 * dial.h - who speaks through a control socket: connects, sends, reads to the end.
 *
 *     char answer[DIAL_BYTES];
 *     CHECK(dial_ask(path, "health\n", answer));  // until the connection is closed
 *     CHECK_STR(answer, "ok\n\n");
 */
#ifndef NIGH_TEST_DIAL_H
#define NIGH_TEST_DIAL_H

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "support/check.h"

#define DIAL_BYTES 65536u
#define DIAL_PATIENCE_S 60 /* for what must come; never a verdict about speed */

/* A connection; < 0: nobody listens there. */
static inline int dial_open(const char *path)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    struct timeval patience = {.tv_sec = DIAL_PATIENCE_S};
    REQUIRE(strlen(path) < sizeof(at.sun_path));
    memcpy(at.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    REQUIRE(fd >= 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    if (connect(fd, (struct sockaddr *)(void *)&at, sizeof(at)) == 0)
        return fd;
    close(fd);
    return -1;
}

static inline bool dial_send(int fd, const void *data, size_t len)
{
    for (const char *at = data; len > 0;) {
        ssize_t n = send(fd, at, len, MSG_NOSIGNAL);
        if (n <= 0)
            return false;
        at += n;
        len -= (size_t)n;
    }
    return true;
}

/* Reads until the other side closes, and closes. Returns how much; what does not fit is lost. */
static inline size_t dial_read_all(int fd, char answer[DIAL_BYTES])
{
    size_t len = 0;
    char more[4096];
    for (ssize_t n; (n = recv(fd, more, sizeof(more), 0)) > 0;) {
        size_t fits = len + (size_t)n < DIAL_BYTES ? (size_t)n : DIAL_BYTES - 1 - len;
        memcpy(answer + len, more, fits);
        len += fits;
    }
    answer[len] = '\0';
    close(fd);
    return len;
}

/* False: nobody listens. */
static inline bool dial_ask(const char *path, const char *line, char answer[DIAL_BYTES])
{
    answer[0] = '\0';
    int fd = dial_open(path);
    if (fd < 0)
        return false;
    dial_send(fd, line, strlen(line));
    dial_read_all(fd, answer);
    return true;
}

/* Reads until the text ends with this. */
static inline bool dial_read_until(int fd, const char *end, char answer[DIAL_BYTES])
{
    size_t len = 0;
    size_t end_len = strlen(end);
    while (len < DIAL_BYTES - 1) {
        ssize_t n = recv(fd, answer + len, 1, 0);
        if (n <= 0)
            break;
        answer[++len] = '\0';
        if (len >= end_len && strcmp(answer + len - end_len, end) == 0)
            return true;
    }
    answer[len] = '\0';
    return false;
}

#endif
