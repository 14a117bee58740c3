/* SPDX-License-Identifier: MIT */
/*
 * What a web server answers for an outcome of nigh: status, headers, body. It knows no web library.
 *
 *   Cache-Control   max-age counts from when the page was made, as Age does: so it is the page's
 *                   age and what is left of its fresh time
 *   Age             whole seconds since the page was loaded, in whichever process that was
 *   ETag            the page's version; a request that has it already gets 304
 *   Surrogate-Key   the packages on the page: what a cache of HTTP before this server purges by
 *   Cache-Status    which tier had it (RFC 9211)
 */
#ifndef EXAMPLE_ANSWER_H
#define EXAMPLE_ANSWER_H

#include <stddef.h>

#include <nigh/nigh.h>

#define ANSWER_HEADERS_MAX 6

struct answer_header {
    const char *name;
    const char *value; /* in the answer's text, or in the value */
};

/* Valid as long as the value, which stays the caller's. */
struct answer {
    int status;
    struct answer_header headers[ANSWER_HEADERS_MAX];
    int header_count;
    const void *body; /* a web library sends it but for 304, and for HEAD */
    size_t body_len;
    char text[256];
    size_t text_len;
};

/**
 * Answer a read of a page.
 *
 * @param outcome         what nigh_fetch() returned
 * @param value           what it handed out
 * @param if_none_match   that header of the request; NULL: it has none
 */
void answer_read(struct nigh *cache, int outcome, const struct nigh_value *value,
                 const char *if_none_match, struct answer *ret_answer);

/**
 * Commit an update of a package, tell every node, and answer.
 *
 * 204: every node has been told, or will notice within coherence.trust that it has not. 202: it is
 * seen here, and Redis will be told as soon as it can be. The new revision is the ETag's.
 */
void answer_update(struct nigh *cache, const char *database, const char *name, size_t name_len,
                   const char *summary, size_t summary_len, struct answer *ret_answer);

/* Answer with nigh's counters as JSON. The body is the caller's to free(). */
void answer_stats(struct nigh *cache, struct answer *ret_answer, char **ret_body);

/* Answer with a status alone. */
void answer_status(int status, struct answer *ret_answer);

#endif
