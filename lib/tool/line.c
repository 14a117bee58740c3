// SPDX-License-Identifier: MIT
/*
 * One line to a control socket, and its whole answer: an answer that does not end with an empty
 * line was cut off, and counts as none.
 */
#include "tool/tool.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define PATIENCE_S 15 /* others may be asked before us */

static void say(bool quiet, const char *path, const char *why)
{
    if (!quiet)
        fprintf(stderr, "nigh: %s: %s\n", path, why);
}

static int dial(const char *path, bool quiet)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    struct timeval patience = {.tv_sec = PATIENCE_S};
    if (strlen(path) >= sizeof(at.sun_path)) {
        say(quiet, path, "no socket has a path as long as this");
        return -1;
    }
    strcpy(at.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0) { /* connect() waits, too, where many wait to be accepted */
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    }
    if (fd < 0 || connect(fd, (struct sockaddr *)(void *)&at, sizeof(at)) != 0) {
        say(quiet, path, errno == ECONNREFUSED ? "nobody listens there any more"
                         : errno == EAGAIN     ? "the process does not answer"
                                               : strerror(errno));
        if (fd >= 0)
            close(fd);
        return -1;
    }
    return fd;
}

bool line_is_dead(const char *path)
{
    int fd = dial(path, true);
    bool dead = fd < 0 && errno == ECONNREFUSED;
    if (fd >= 0)
        close(fd);
    return dead;
}

static char *read_all(int fd, size_t *ret_len)
{
    size_t size = 65536;
    size_t len = 0;
    char *text = malloc(size);
    for (ssize_t n; text && (n = recv(fd, text + len, size - len - 1, 0)) > 0;) {
        len += (size_t)n;
        if (size - len > 1)
            continue;
        char *more = realloc(text, size *= 2);
        if (!more)
            free(text);
        text = more;
    }
    if (text)
        text[len] = '\0';
    *ret_len = len;
    return text;
}

char *line_ask(const char *path, const char *line, bool quiet)
{
    size_t len = 0;
    int fd = dial(path, quiet);
    if (fd < 0)
        return NULL;
    send(fd, line, strlen(line), MSG_NOSIGNAL); /* if it is refused, an answer says why */
    send(fd, "\n", 1, MSG_NOSIGNAL);
    char *text = read_all(fd, &len);
    close(fd);
    if (text && len >= 2 && strcmp(text + len - 2, "\n\n") == 0) {
        text[len - 1] = '\0';
        return text;
    }
    say(quiet, path, "the process does not answer");
    free(text);
    return NULL;
}

bool line_is_error(const char *answer)
{
    return strncmp(answer, "error: ", 7) == 0;
}

static bool is_plain(unsigned char c)
{
    return c > ' ' && c != '"' && c != '\\' && c != 0x7f;
}

static char *add_word(char *at, const char *word)
{
    *at++ = '"';
    for (const unsigned char *s = (const unsigned char *)word; *s; s++)
        at += sprintf(at, is_plain(*s) || *s == ' ' ? "%c" : "\\x%02x", *s);
    *at++ = '"';
    return at;
}

char *line_of(const char *first, char *const *words, size_t count)
{
    size_t size = strlen(first) + 1;
    for (size_t i = 0; i < count; i++)
        size += 4 * strlen(words[i]) + 4;
    char *line = malloc(size);
    if (!line)
        return NULL;
    char *at = stpcpy(line, first);
    for (size_t i = 0; i < count; i++) {
        *at++ = ' ';
        at = add_word(at, words[i]);
    }
    *at = '\0';
    return line;
}
