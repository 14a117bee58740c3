/* SPDX-License-Identifier: MIT */
/*
 * TLS as a kind of stream (stream.h): certificates, whom to believe, and sessions to resume.
 *
 *     tls_create() ---> tls_kind() ---> a stream of it for each connection to a rediss:// server
 *         |                                 |
 *     files of certificates            sessions, by the host that they were made with
 *
 * What is read from files is one context, which each stream takes along from its opening: files
 * that have changed make another one, for the streams that are opened after that. If they are
 * wrong, the one that there is stays, and tls_problem_read() says why.
 *
 * The server has to show a certificate that leads to a CA that is trusted and bears the name that
 * was asked for, the URI's host or `name`, as a subjectAltName. A common name does not count
 * (RFC 9525): a CA that issues certificates to clients, too, lets these choose theirs. A session is
 * resumed only with the host that it was made with, by the context that it was made in, and while
 * all certificates are valid by which the server was believed then, up to the CA's: who is not
 * vouched for any more is asked for his certificate again.
 *
 * No text of this file's, for people or logs, has anything that was read from a key.
 *
 * tls.c and tls_context.c are it, with OpenSSL; without it, tls_none.c refuses.
 *
 * Thread-safety: any thread, but for tls_keep(), which one calls at a time.
 */
#ifndef NIGH_L2_TLS_H
#define NIGH_L2_TLS_H

#include "l2/l2.h"

struct tls;

struct tls_config {
    struct env *env;
    struct stats *stats;
    struct l2_tls wanted; /* copied */
    bool of_sentinels;    /* it is for them: errors name their options */
};

/* Reads the files. Errors: NIGH_EOPTION (nigh_options_error() names the option and says why);
 * NIGH_EURI this build has no TLS; NIGH_ENOMEM. */
int tls_create(const struct tls_config *config, struct tls **ret_tls);
/* All its streams are closed. NULL is fine. */
void tls_destroy(struct tls *tls);
/* Returns the kind, which lives as long. */
const struct stream_kind *tls_kind(struct tls *tls);
/* Reads the files anew if they have changed. Returns when to come again. */
uint64_t tls_keep(struct tls *tls);
/* Says what is wrong with the files, if that is why others than they are used; else "". */
void tls_problem_read(struct tls *tls, struct l2_problem *ret);

#endif
