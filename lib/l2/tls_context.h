/* SPDX-License-Identifier: MIT */
/*
 * All streams over TLS share this: OpenSSL's context, made of files, and the sessions to resume.
 *
 * OpenSSL in a process that is not ours: it is initialised as far as it is not yet, with no handler
 * for exit(), and nothing of it is set that is the process' own. A host that has initialised it
 * before us has such a handler, which frees what our threads are using still; so each call of
 * OpenSSL's is between tls_enter() and tls_leave(), and a handler of our own, which runs before
 * that one, waits until nobody is inside, and lets nobody in after it. In a child of fork nobody is
 * inside.
 *
 * The queue of errors of a thread may have entries of the host's, of a caller who drives: they
 * survive our calls, but for a handshake (or a session that comes later), for which OpenSSL empties
 * the queue itself, and for tls_create().
 */
#ifndef NIGH_L2_TLS_CONTEXT_H
#define NIGH_L2_TLS_CONTEXT_H

#include <openssl/ssl.h>
#include <pthread.h>

#include "l2/outage.h"
#include "l2/stream.h"
#include "l2/tls.h"
#include "l2/uri.h"

#define TLS_PATH_BYTES 1024u
#define TLS_HOSTS 16u

/* Keys: (c) constant after tls_create(); (s) `lock`; (k) whoever calls tls_keep(). */
struct tls {
    struct stream_kind kind; /* (c) its arg is this */
    struct env *env;         /* (c) */
    struct stats *stats;     /* (c) */
    BIO_METHOD *sockets;     /* (c) the sockets of struct l2_net */
    int (*on_session)(SSL *ssl, SSL_SESSION *session); /* (c) takes what a server gives */
    bool of_sentinels;       /* (c) for them: its options are called so */
    char ca[TLS_PATH_BYTES]; /* (c) "": the system's */
    char cert[TLS_PATH_BYTES];
    char key[TLS_PATH_BYTES];
    char name[URI_PLACE_MAX]; /* (c) "": the URI's host */
    enum nigh_tls_verify verify; /* (c) */
    enum nigh_tls_min min;       /* (c) */

    pthread_mutex_t lock; /* leaf */
    SSL_CTX *context;     /* (s) of the next stream */
    struct {
        uint64_t host;        /* (s) hash of it */
        SSL_SESSION *session; /* (s) the last that came from there; NULL: none */
        int64_t until_s;      /* (s) when what vouched for the server expires */
    } sessions[TLS_HOSTS];    /* a host has one slot, which it may lose to another one */

    uint64_t look_ns;     /* (k) when to look at the files again */
    uint64_t stamp;       /* (k) of the files when they were read last */
    bool good;            /* (k) what was read then is in use */
    bool told;            /* (k) else: the log has heard why not */
    struct outage outage; /* keys: see outage.h */
};

/* Reads the files, into a `tls` that has nothing but what tls.c has put there. Returns as
 * tls_create(); tls_context_fini() undoes it in any case. */
int tls_context_init(struct tls *tls, const struct l2_tls *wanted);
void tls_context_fini(struct tls *tls);

/* Whether OpenSSL may be called, until tls_leave(). False: the process is about to end. */
bool tls_enter(void);
void tls_leave(void);

/* Writes what OpenSSL calls its error. */
void tls_words(unsigned long error, char *text, size_t size);

/* Returns a new SSL of the present context, with the session of the host, if one is known that may
 * be resumed, and until when that may be. NULL: no memory. */
SSL *tls_begin(struct tls *tls, uint64_t host, int64_t *ret_until_s);
/* Returns when the first of the certificates expires by which the server was believed, as seconds
 * of the epoch: INT64_MAX where it had to prove nothing. After a handshake that resumed nothing. */
int64_t tls_until_s(const struct tls *tls, SSL *ssl);
/* Keeps the session, whose reference it takes, for the next SSL of the host, until then. False: it
 * was made in a context that is not used any more. */
bool tls_learn(struct tls *tls, SSL *ssl, uint64_t host, SSL_SESSION *session, int64_t until_s);
/* Forgets the session of the host: a handshake with it has failed. */
void tls_forget(struct tls *tls, uint64_t host);

#endif
