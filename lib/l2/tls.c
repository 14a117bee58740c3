// SPDX-License-Identifier: MIT
// A stream over TLS: OpenSSL between the connection and the sockets of struct l2_net.
//
//     conn --- read, write ---> SSL ---> our BIO ---> net->read, net->write
//
// The BIO is ours, so no call blocks or raises SIGPIPE, and the network may be a simulated one. It
// notes what the socket was not ready for, and how it ended; that says what to do after a call that
// has given nothing, better than SSL_get_error(), which looks at the thread's queue of errors, in
// which a host's may lie.
//
// OpenSSL reads ahead: a reply costs one system call, as over a plain socket, where it would be two
// for each record. What it has read and not given out the socket does not show any more, so it is
// told as `holds`, after each read that gave something; that may be the beginning of a record,
// for which one read more finds that the socket is empty. A read that gave nothing has emptied it.
//
// A write gives one record to the socket, whole, or takes nothing: bytes that it refuses are in
// OpenSSL, encrypted, and come again as stream.h promises, from wherever they lie by then. A server
// that asks for a key update has its answer with our next write. There is no renegotiation.

#include "l2/tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>

#include "l2/lookup.h"
#include "l2/tls_context.h"

struct tls_stream {
    struct stream stream;
    struct tls *tls;
    SSL *ssl;
    uint64_t host;  /* hash of it */
    int64_t until_s; /* of the session that was offered: when what it stands on expires */
    uint32_t wants; /* what the socket was not ready for in this call; 0: nothing */
    long end;       /* what else it said first in this call: 0 or -errno; 1: nothing */
    long last;      /* what all reads give from here on: 0 or -errno; 1: nothing yet */
    bool shares;    /* the queue of errors has others' entries, and our mark behind them */
    bool failed;
    char problem[L2_PROBLEM_BYTES];
};

static struct tls_stream *of(struct stream *s)
{
    return CONTAINER_OF(s, struct tls_stream, stream);
}

/* ---- the sockets, as OpenSSL sees them ---- */

/* Takes the result of a read or write of the socket; `want` is what it waits for if it has to. */
static int take_result(BIO *bio, long n, uint32_t want)
{
    struct tls_stream *t = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (n > 0)
        return (int)n;
    if (n == -EAGAIN || n == -EWOULDBLOCK || n == -EINTR) {
        t->wants = want;
        BIO_set_flags(bio, BIO_FLAGS_SHOULD_RETRY |
                               (want == L2_FOR_INPUT ? BIO_FLAGS_READ : BIO_FLAGS_WRITE));
    } else if (t->end == 1) { /* behind the end of the input OpenSSL may try to write */
        t->end = n;
    }
    return n == 0 ? 0 : -1;
}

static int sockets_read(BIO *bio, char *buffer, int size)
{
    struct stream *s = &((struct tls_stream *)BIO_get_data(bio))->stream;
    return take_result(bio, s->net->read(s->net->arg, s->fd, buffer, (size_t)size), L2_FOR_INPUT);
}

static int sockets_write(BIO *bio, const char *data, int size)
{
    struct stream *s = &((struct tls_stream *)BIO_get_data(bio))->stream;
    return take_result(bio, s->net->write(s->net->arg, s->fd, data, (size_t)size), L2_FOR_ROOM);
}

static long sockets_ctrl(BIO *bio, int what, long number, void *pointer)
{
    struct tls_stream *t = BIO_get_data(bio);
    (void)number, (void)pointer;
    return what == BIO_CTRL_FLUSH || (what == BIO_CTRL_EOF && t->end == 0);
}

/* ---- a call of OpenSSL's ---- */

/* An error that OpenSSL does not know. */
#define MARK ERR_PACK(ERR_LIB_USER, 0, 1)

/* False: the process is about to end. */
static bool begin(struct tls_stream *t)
{
    if (!tls_enter())
        return false;
    t->wants = 0;
    t->end = 1;
    t->shares = ERR_peek_error() != 0;
    if (t->shares) {
        ERR_set_mark();
        ERR_raise(ERR_LIB_USER, 1);
    }
    return true;
}

/* Removes what the call has put into the queue; returns the last of it, or 0. */
static unsigned long end(struct tls_stream *t)
{
    unsigned long last = ERR_peek_last_error();
    if (t->shares)
        ERR_pop_to_mark();
    else if (last)
        ERR_clear_error();
    tls_leave();
    return last == MARK ? 0 : last;
}

/* Says why the server was not believed. */
static void tell_verdict(struct tls_stream *t, const char *words)
{
    long verdict = SSL_get_verify_result(t->ssl);
    const char *why = X509_verify_cert_error_string(verdict);
    bool name = verdict == X509_V_ERR_HOSTNAME_MISMATCH ||
                verdict == X509_V_ERR_IP_ADDRESS_MISMATCH;
    const char *wanted = SSL_get_servername(t->ssl, TLSEXT_NAMETYPE_host_name);
    snprintf(t->problem, sizeof(t->problem),
             name && wanted ? "%s: %s (wanted: %s, as a subjectAltName)" : "%s: %s", words, why,
             wanted);
}

/* Fails for what `problem` says, from here on. */
static long stay_failed(struct tls_stream *t)
{
    t->stream.problem = t->problem;
    t->failed = true;
    return STREAM_FAILED;
}

static long fail_with(struct tls_stream *t, const char *words)
{
    snprintf(t->problem, sizeof(t->problem), "%s", words);
    return stay_failed(t);
}

static long fail(struct tls_stream *t, unsigned long error)
{
    char words[L2_PROBLEM_BYTES / 2] = "it has failed";
    if (error)
        tls_words(error, words, sizeof(words));
    if (ERR_GET_LIB(error) == ERR_LIB_SSL &&
        ERR_GET_REASON(error) == SSL_R_CERTIFICATE_VERIFY_FAILED)
        tell_verdict(t, words);
    else if (ERR_GET_REASON(error) == SSL_R_WRONG_VERSION_NUMBER)
        snprintf(t->problem, sizeof(t->problem), "%s (is it a port for TLS?)", words);
    else
        snprintf(t->problem, sizeof(t->problem), "%s", words);
    return stay_failed(t);
}

/* Returns what a call has come to that gave nothing. */
static long without(struct tls_stream *t, unsigned long error)
{
    if (t->end <= 0)
        return t->end; /* whatever OpenSSL calls it */
    if (error)
        return fail(t, error);
    if (SSL_get_shutdown(t->ssl) & SSL_RECEIVED_SHUTDOWN)
        return 0;
    return t->wants ? -EAGAIN : fail(t, 0);
}

static long fail_at_exit(struct tls_stream *t)
{
    return fail_with(t, "the process is about to end");
}

/* ---- the stream ---- */

/* After the handshake, in which the server has shown who it is. */
static void note_agreed(struct tls_stream *t)
{
    t->stream.read_waits = L2_FOR_INPUT;
    t->stream.write_waits = L2_FOR_ROOM;
    t->stream.holds = SSL_has_pending(t->ssl);
    stats_count(t->tls->stats, STATS_L2_TLS);
    if (SSL_session_reused(t->ssl))
        stats_count(t->tls->stats, STATS_L2_TLS_RESUMED);
}

static int agree(struct stream *s)
{
    struct tls_stream *t = of(s);
    if (t->failed)
        return (int)stay_failed(t);
    if (!begin(t))
        return (int)fail_at_exit(t);
    int done = SSL_do_handshake(t->ssl);
    unsigned long error = end(t);
    if (done == 1) {
        note_agreed(t);
        return 1;
    }
    long why = without(t, error);
    if (why == -EAGAIN) {
        s->read_waits = s->write_waits = (uint8_t)t->wants;
        return 0;
    }
    tls_forget(t->tls, t->host);
    return (int)(why == 0 ? fail_with(t, "closed by the server before its end") : why);
}

static long read_some(struct stream *s, void *buffer, size_t size)
{
    struct tls_stream *t = of(s);
    if (t->failed)
        return stay_failed(t);
    if (t->last <= 0)
        return t->last;
    if (!begin(t))
        return fail_at_exit(t);
    size_t got = 0;
    SSL_read_ex(t->ssl, buffer, size, &got);
    s->holds = got > 0 && SSL_has_pending(t->ssl);
    unsigned long error = end(t);
    long n = got > 0 ? (long)got : without(t, error);
    if (n <= 0 && n != -EAGAIN)
        t->last = n;
    s->read_waits = (uint8_t)(n == -EAGAIN ? t->wants : L2_FOR_INPUT);
    return n;
}

static long write_some(struct stream *s, const void *data, size_t size)
{
    struct tls_stream *t = of(s);
    if (t->failed)
        return stay_failed(t);
    if (t->last <= 0)
        return t->last < 0 ? t->last : -EPIPE;
    if (!begin(t))
        return fail_at_exit(t);
    size_t gone = 0;
    SSL_write_ex(t->ssl, data, size, &gone);
    unsigned long error = end(t);
    long n = gone > 0 ? (long)gone : without(t, error);
    s->write_waits = (uint8_t)(n == -EAGAIN ? t->wants : L2_FOR_ROOM);
    return n;
}

/* ---- life ---- */

/* Sets the name that the server has to prove, and tells it that name (of an address nobody is
 * told). */
static bool set_name(struct tls_stream *t, const char *host)
{
    char name[URI_PLACE_MAX];
    snprintf(name, sizeof(name), "%s", t->tls->name[0] ? t->tls->name : host);
    size_t len = strlen(name);
    if (len > 0 && name[len - 1] == '.')
        name[len - 1] = '\0'; /* a certificate has it without */
    bool is_name = lookup_is_name(name);
    if (is_name && !SSL_set_tlsext_host_name(t->ssl, name))
        return false;
    if (t->tls->verify != NIGH_TLS_VERIFY_FULL)
        return true;
    SSL_set_hostflags(t->ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS |
                                  X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
    return is_name ? SSL_set1_host(t->ssl, name)
                   : X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(t->ssl), name);
}

static bool make_ssl(struct tls_stream *t, const char *host)
{
    t->ssl = tls_begin(t->tls, t->host, &t->until_s);
    BIO *bio = t->ssl ? BIO_new(t->tls->sockets) : NULL;
    if (!bio)
        return false;
    BIO_set_data(bio, t);
    BIO_set_init(bio, 1);
    SSL_set_bio(t->ssl, bio, bio);
    SSL_set_app_data(t->ssl, t);
    SSL_set_connect_state(t->ssl);
    return set_name(t, host);
}

static struct stream *open_stream(const struct stream_kind *kind, struct mem *mem,
                                  const char *host)
{
    struct tls_stream *t = mem_alloc(mem, NULL, sizeof(*t));
    if (!t)
        return NULL;
    *t = (struct tls_stream){.tls = kind->arg, .last = 1};
    t->host = hash_bytes(bytes_of_string(host));
    if (!begin(t)) {
        fail_at_exit(t); /* the first call says so */
        return &t->stream;
    }
    bool made = make_ssl(t, host);
    if (!made)
        SSL_free(t->ssl);
    end(t);
    if (made)
        return &t->stream;
    mem_free(mem, NULL, t, sizeof(*t));
    return NULL;
}

static void close_stream(struct stream *s, struct mem *mem)
{
    struct tls_stream *t = of(s);
    if (t->ssl && begin(t)) {
        if (s->fd >= 0 && !t->failed && !SSL_in_init(t->ssl))
            SSL_shutdown(t->ssl);
        /* or OpenSSL would take the session of a server that was killed for no good */
        SSL_set_shutdown(t->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
        SSL_free(t->ssl);
        end(t);
    }
    mem_free(mem, NULL, t, sizeof(*t));
}

/* ---- the kind ---- */

/* Called by OpenSSL. Returns whether its reference was taken. In a handshake that resumes a session
 * nobody shows certificates: what the first one stood on counts for the sessions behind it, too. */
static int on_session(SSL *ssl, SSL_SESSION *session)
{
    struct tls_stream *t = SSL_get_app_data(ssl);
    int64_t until_s = SSL_session_reused(ssl) ? t->until_s : tls_until_s(t->tls, ssl);
    return tls_learn(t->tls, ssl, t->host, session, until_s);
}

static bool make_kind(struct tls *tls)
{
    tls->kind = (struct stream_kind){
        .agreement = "TLS handshake",
        .silence = "TLS handshake: no answer in the time for connecting (is it a port for TLS?)",
        .open = open_stream,
        .agree = agree,
        .read = read_some,
        .write = write_some,
        .close = close_stream,
        .arg = tls,
    };
    tls->on_session = on_session;
    tls->sockets = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "nigh's sockets");
    return tls->sockets && BIO_meth_set_read(tls->sockets, sockets_read) &&
           BIO_meth_set_write(tls->sockets, sockets_write) &&
           BIO_meth_set_ctrl(tls->sockets, sockets_ctrl);
}

int tls_create(const struct tls_config *config, struct tls **ret_tls)
{
    struct tls *tls = mem_alloc_zero(config->env->mem, sizeof(*tls));
    if (!tls)
        return NIGH_ENOMEM;
    tls->env = config->env;
    tls->stats = config->stats;
    tls->of_sentinels = config->of_sentinels;
    bool made = make_kind(tls);
    int rc = tls_context_init(tls, &config->wanted);
    if (rc == 0 && !made)
        rc = NIGH_ENOMEM;
    if (rc == 0)
        *ret_tls = tls;
    else
        tls_destroy(tls);
    return rc;
}

void tls_destroy(struct tls *tls)
{
    if (!tls)
        return;
    tls_context_fini(tls);
    BIO_meth_free(tls->sockets);
    mem_free(tls->env->mem, NULL, tls, sizeof(*tls));
}

const struct stream_kind *tls_kind(struct tls *tls)
{
    return &tls->kind;
}
