/* SPDX-License-Identifier: MIT */
/*
 * http.h - a client of HTTP/1.1 for tests: one kept connection, one request at a time.
 */
#ifndef NIGH_TEST_HTTP_H
#define NIGH_TEST_HTTP_H

#include <stdbool.h>
#include <stddef.h>

#define HTTP_ANSWER_MAX 16384

struct http {
    int fd; /* -1: not connected, or no longer */
};

struct http_answer {
    int status;
    const char *body; /* in text; ended by NUL */
    size_t body_len;
    char text[HTTP_ANSWER_MAX]; /* the whole of it; the head is ended by NUL before the body */
};

/* Connect to this port of the loopback. */
void http_open(struct http *h, unsigned port);
void http_close(struct http *h);

/**
 * Send a request and read its answer, which must have a Content-Length unless it has no body.
 *
 * @param header   a line, or NULL
 * @param body     a string, or NULL
 *
 * Returns   whether a whole answer came; if not, the connection is closed
 */
bool http_ask(struct http *h, const char *method, const char *path, const char *header,
              const char *body, struct http_answer *ret_answer);

/* A header of the answer, into `value`; false: there is none. */
bool http_header(const struct http_answer *answer, const char *name, char *value, size_t size);

#endif
