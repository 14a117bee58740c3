// SPDX-License-Identifier: MIT
/*
 * One line to control sockets, all of them at once, and their whole answers: an answer that does
 * not end with an empty line was cut off, and counts as none. Nothing blocks but poll(), until one
 * deadline for all: a process that is stopped costs the others nothing.
 *
 * Whatever listens at a path may be asked, by root, too: another program's socket is told from ours
 * by what it answers (our line is all we send, so it need not wait for more), no answer fills the
 * memory, and none has a byte that a terminal acts on.
 */
#include "tool/tool.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define SIZE_FIRST 65536u
#define SIZE_MOST (128u << 20) /* a process answers half of that at most */

static const char silent[] = "the process does not answer within the time: is it stopped?";
static const char foreign[] = "what it answers is none of nigh's, or was cut off: is it another "
                              "program's socket, or has the process just ended?";

/* A question on its way. */
struct asking {
    int fd;       /* < 0: it is over */
    size_t sent;  /* of the line */
    char *text;   /* what has come of the answer */
    size_t len, size;
    const char *why; /* there is no answer */
};

long long line_now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (long long)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Returns in words why a file could not be connected to. */
static const char *why_not(const char *path, int error)
{
    struct stat file;
    if (error == ECONNREFUSED && stat(path, &file) == 0 && !S_ISSOCK(file.st_mode))
        return "it is no socket: control.socket of the process names it";
    return error == ECONNREFUSED ? "nobody listens there any more: its process has ended"
           : error == EAGAIN     ? "the process does not answer: others wait already"
           : error == EACCES     ? "Permission denied: the process' own user and root may ask"
           : error == ENOENT     ? "No such file or directory: is the process running, and "
                                   "control.socket set?"
                                 : strerror(error);
}

static int dial(const char *path, const char **why)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    *why = "a socket's path has at most 107 bytes, and this is longer";
    if (strlen(path) >= sizeof(at.sun_path))
        return -1;
    strcpy(at.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)(void *)&at, sizeof(at)) == 0)
        return fd;
    int error = errno;
    *why = why_not(path, error);
    if (fd >= 0)
        close(fd);
    errno = error;
    return -1;
}

bool line_is_dead(const char *path)
{
    const char *why;
    int fd = dial(path, &why);
    bool dead = fd < 0 && errno == ECONNREFUSED;
    if (fd >= 0)
        close(fd);
    return dead;
}

static void finish(struct asking *a, const char *why)
{
    close(a->fd);
    a->fd = -1;
    a->why = why;
}

/* Sends what the socket takes, and then that this was all. A line that was refused need not be
 * whole: an answer says why. */
static void send_some(struct asking *a, const char *line, size_t len)
{
    ssize_t n = send(a->fd, line + a->sent, len - a->sent, MSG_NOSIGNAL);
    if (n > 0)
        a->sent += (size_t)n;
    else if (n < 0 && errno != EAGAIN && errno != EINTR)
        a->sent = len;
    if (a->sent == len)
        shutdown(a->fd, SHUT_WR);
}

static bool make_room(struct asking *a)
{
    if (a->size - a->len > 1)
        return true;
    size_t size = a->size ? 2 * a->size : SIZE_FIRST;
    char *text = size <= SIZE_MOST ? realloc(a->text, size) : NULL;
    if (!text)
        return false;
    a->text = text;
    a->size = size;
    return true;
}

static void receive_some(struct asking *a)
{
    if (!make_room(a)) {
        finish(a, a->size == SIZE_MOST ? foreign : "its answer does not fit into memory");
        return;
    }
    ssize_t n = recv(a->fd, a->text + a->len, a->size - a->len - 1, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    a->len += n > 0 ? (size_t)n : 0;
    a->text[a->len] = '\0';
    if (n > 0)
        return;
    bool whole = a->len >= 2 && strcmp(a->text + a->len - 2, "\n\n") == 0;
    if (whole)
        a->text[a->len - 1] = '\0';
    if (whole)
        line_make_harmless(a->text, a->len - 1);
    finish(a, whole ? NULL : a->len > 0 ? foreign : "the process does not answer");
}

void line_make_harmless(char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        bool c1 = c == 0xc2 && i + 1 < len && (text[i + 1] & 0xe0) == 0x80; /* of UTF-8 */
        if ((c < ' ' && c != '\n' && c != '\t') || c == 0x7f || c1)
            text[i] = '?';
        if (c1)
            text[++i] = '?';
    }
}

/* Waits for what comes, for all. False: all is over, or the time. */
static bool step(struct asking *all, size_t count, const char *line, size_t len, long long end_ms)
{
    struct pollfd fds[TOOL_SOCKETS_MAX];
    long long left_ms = end_ms - line_now_ms();
    bool any = false;
    for (size_t i = 0; i < count; i++) {
        any |= all[i].fd >= 0;
        fds[i] = (struct pollfd){
            .fd = all[i].fd, .events = (short)(POLLIN | (all[i].sent < len ? POLLOUT : 0))};
    }
    if (!any || left_ms <= 0)
        return false;
    poll(fds, count, (int)left_ms);
    for (size_t i = 0; i < count; i++) {
        if (fds[i].revents & POLLOUT)
            send_some(&all[i], line, len);
        if (fds[i].revents & (POLLIN | POLLHUP | POLLERR))
            receive_some(&all[i]);
    }
    return true;
}

void lines_ask(const char *const *paths, size_t count, const char *line, unsigned timeout_ms,
               struct line_answer *ret)
{
    struct asking all[TOOL_SOCKETS_MAX];
    size_t len = strlen(line);
    char *sent = malloc(len + 2);
    memset(ret, 0, count * sizeof(*ret));
    if (!sent)
        return;
    sprintf(sent, "%s\n", line);
    for (size_t i = 0; i < count; i++) {
        all[i] = (struct asking){.fd = -1};
        all[i].fd = dial(paths[i], &all[i].why);
    }
    long long end_ms = line_now_ms() + timeout_ms;
    while (step(all, count, sent, len + 1, end_ms))
        ;
    for (size_t i = 0; i < count; i++) {
        if (all[i].fd >= 0)
            finish(&all[i], all[i].len > 0 ? foreign : silent);
        if (all[i].why)
            free(all[i].text);
        ret[i] = (struct line_answer){all[i].why ? NULL : all[i].text, all[i].why};
    }
    free(sent);
}

char *line_ask(const char *path, const char *line, unsigned timeout_ms)
{
    struct line_answer answer;
    lines_ask(&path, 1, line, timeout_ms, &answer);
    if (!answer.text)
        fprintf(stderr, "nigh: %s: %s\n", path, answer.why ? answer.why : "no memory");
    return answer.text;
}

bool line_is_error(const char *answer)
{
    return strncmp(answer, "error: ", 7) == 0;
}

static bool is_plain(unsigned char c)
{
    return c > ' ' && c != '"' && c != '\\' && c != 0x7f;
}

static bool is_escape(const char *s)
{
    return s[0] == '\\' && s[1] == 'x' && isxdigit((unsigned char)s[2]) &&
           isxdigit((unsigned char)s[3]);
}

size_t line_length(const char *word, bool escaped)
{
    size_t len = 0;
    for (const char *s = word; *s; s += escaped && is_escape(s) ? 4 : 1)
        len++;
    return len;
}

size_t line_unescape(char *word)
{
    char *to = word;
    for (const char *s = word; *s; s++) {
        unsigned byte = (unsigned char)*s;
        if (is_escape(s) && sscanf(s + 2, "%2x", &byte) == 1)
            s += 3;
        *to++ = (char)byte;
    }
    *to = '\0';
    return (size_t)(to - word);
}

static char *add_word(char *at, const char *word, bool escaped)
{
    *at++ = '"';
    for (const char *s = word; *s; s++) {
        unsigned char c = (unsigned char)*s;
        bool plain = is_plain(c) || c == ' ' || (escaped && is_escape(s));
        at += sprintf(at, plain ? "%c" : "\\x%02x", c);
    }
    *at++ = '"';
    return at;
}

char *line_of(const char *first, char *const *words, size_t count, bool escaped)
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
        at = add_word(at, words[i], escaped);
    }
    *at = '\0';
    return line;
}
