// SPDX-License-Identifier: MIT
/*
 * Just enough of HTTP/1.1: servers under test answer with a Content-Length.
 */
#include "support/http.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/check.h"

void http_open(struct http *h, unsigned port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((in_port_t)port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    h->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    REQUIRE_EQ(connect(h->fd, (const struct sockaddr *)(const void *)&to, sizeof(to)), 0);
}

void http_close(struct http *h)
{
    if (h->fd >= 0)
        close(h->fd);
    h->fd = -1;
}

static bool fail(struct http *h)
{
    http_close(h);
    return false;
}

bool http_header(const struct http_answer *answer, const char *name, char *value, size_t size)
{
    size_t len = strlen(name);
    for (const char *line = strstr(answer->text, "\r\n"); line; line = strstr(line, "\r\n")) {
        line += 2;
        if (strncasecmp(line, name, len) == 0 && line[len] == ':') {
            const char *from = line + len + 1 + strspn(line + len + 1, " ");
            snprintf(value, size, "%.*s", (int)strcspn(from, "\r"), from);
            return true;
        }
    }
    return false;
}

/* Reads on until `len` bytes are there; false: the connection ended, or the answer is too long. */
static bool read_up_to(int fd, struct http_answer *a, size_t *have, size_t len)
{
    while (*have < len && len < sizeof(a->text)) {
        ssize_t n = read(fd, a->text + *have, sizeof(a->text) - 1 - *have);
        if (n <= 0)
            return false;
        *have += (size_t)n;
        a->text[*have] = 0;
    }
    return *have >= len;
}

static bool read_answer(int fd, struct http_answer *a, bool has_body)
{
    size_t have = 0;
    char *end = NULL, length[32];
    a->text[0] = 0;
    while (!end)
        if (!read_up_to(fd, a, &have, have + 1) || have >= sizeof(a->text) - 1)
            return false;
        else
            end = strstr(a->text, "\r\n\r\n");
    a->body = end + 4;
    end[2] = 0;
    a->status = atoi(strchr(a->text, ' ') ? strchr(a->text, ' ') : "0");
    a->body_len = has_body && a->status != 204 && a->status != 304 &&
                          http_header(a, "Content-Length", length, sizeof(length))
                      ? strtoul(length, NULL, 10)
                      : 0;
    return read_up_to(fd, a, &have, (size_t)(a->body - a->text) + a->body_len);
}

bool http_ask(struct http *h, const char *method, const char *path, const char *header,
              const char *body, struct http_answer *ret_answer)
{
    char request[4096];
    int len = snprintf(request, sizeof(request), "%s %s HTTP/1.1\r\nHost: test\r\n%s%s", method,
                       path, header ? header : "", header ? "\r\n" : "");
    REQUIRE(len > 0 && (size_t)len < sizeof(request));
    int more = body ? snprintf(request + len, sizeof(request) - (size_t)len,
                               "Content-Length: %zu\r\n\r\n%s", strlen(body), body)
                    : snprintf(request + len, sizeof(request) - (size_t)len, "\r\n");
    REQUIRE(more > 0 && (size_t)(len + more) < sizeof(request));
    if (send(h->fd, request, (size_t)(len + more), MSG_NOSIGNAL) != len + more)
        return fail(h);
    return read_answer(h->fd, ret_answer, strcmp(method, "HEAD") != 0) ? true : fail(h);
}
