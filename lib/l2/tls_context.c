// SPDX-License-Identifier: MIT
// From files to a context, again when they have changed; sessions; OpenSSL beside a host's use of
// it.
//
// A file that is being replaced is met half-way now and then: the certificate is new and its key is
// not. So a look at the files that finds them wrong says so in the log only if the next one, a
// second later, finds the same; what was read before is in use meanwhile. Files are read when what
// stat() says of them is another thing than before, and while they are wrong: that may be for want
// of a descriptor or of memory, which no file shows.

#include "l2/tls_context.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LOOK_NS NS_PER_S
/* One system call may bring so much: large replies come in records of 16 KiB. */
#define READ_AHEAD_BYTES (64u << 10)
/* A call of OpenSSL's never blocks; a thread inside may be kept from running, though. */
#define EXIT_WAIT_MS 500

/* ---- the end of the process ---- */

#define ENDS (1u << 31)
static _Atomic uint32_t inside; /* threads in a call of OpenSSL's; ENDS: nobody else may enter */

bool tls_enter(void)
{
    /* pair(tls.inside): after the handler's word nobody is inside, or it waits for him */
    uint32_t before = atomic_fetch_add_explicit(&inside, 1, memory_order_acq_rel);
    if (before & ENDS)
        tls_leave();
    return !(before & ENDS);
}

void tls_leave(void)
{
    atomic_fetch_sub_explicit(&inside, 1, memory_order_release); /* pair(tls.inside) */
}

static void keep_out(void)
{
    const struct timespec pause = {.tv_nsec = NS_PER_MS};
    /* pair(tls.inside): what they have done is done */
    uint32_t now = atomic_fetch_or_explicit(&inside, ENDS, memory_order_acq_rel);
    for (int i = 0; (now & ~ENDS) != 0 && i < EXIT_WAIT_MS; i++) {
        nanosleep(&pause, NULL);
        now = atomic_load_explicit(&inside, memory_order_acquire); /* pair(tls.inside) */
    }
}

/* Those who were inside at the fork are not there in the child. */
static void begin_in_child(void)
{
    atomic_store_explicit(&inside, 0, memory_order_relaxed);
}

static void init_process(void)
{
    OPENSSL_init_ssl(OPENSSL_INIT_NO_ATEXIT, NULL);
    atexit(keep_out);
    pthread_atfork(NULL, NULL, begin_in_child);
}

/* ---- words ---- */

void tls_words(unsigned long error, char *text, size_t size)
{
    const char *words = ERR_SYSTEM_ERROR(error) ? strerrordesc_np((int)ERR_GET_REASON(error))
                                                : ERR_reason_error_string(error);
    if (words)
        snprintf(text, size, "%s", words);
    else
        ERR_error_string_n(error, text, size);
}

/* An option, and what is wrong with it, as in "redis.tls_key=/etc/key.pem: key values mismatch". */
struct wrong {
    char text[L2_PROBLEM_BYTES];
};

/* False: so that a check can end with it. */
static bool is_wrong(struct wrong *w, const char *option, const char *path, const char *why)
{
    snprintf(w->text, sizeof(w->text), "redis.%s=%.80s: %s", option, path, why);
    return false;
}

/* Takes the reason from OpenSSL: its first, for the ones behind it only say where that was. */
static bool is_wrong_there(struct wrong *w, const char *option, const char *path)
{
    char words[L2_PROBLEM_BYTES * 2 / 5];
    tls_words(ERR_peek_error(), words, sizeof(words));
    return is_wrong(w, option, path, words);
}

/* ---- from files to a context ---- */

/* Whether there is something to read: OpenSSL says it less clearly. */
static bool can_read(struct wrong *w, const char *option, const char *path)
{
    char byte;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return is_wrong(w, option, path, strerrordesc_np(errno));
    ssize_t n = read(fd, &byte, 1);
    int error = errno;
    close(fd);
    if (n > 0)
        return true;
    return is_wrong(w, option, path, n == 0 ? "it is empty" : strerrordesc_np(error));
}

static bool is_folder(const char *path)
{
    struct stat s;
    return stat(path, &s) == 0 && S_ISDIR(s.st_mode);
}

static bool trust(const struct tls *tls, SSL_CTX *context, struct wrong *w)
{
    const char *option = tls->of_sentinels ? "sentinel_tls_ca" : "tls_ca";
    if (!tls->ca[0])
        return SSL_CTX_set_default_verify_paths(context) || is_wrong_there(w, option, "-");
    if (is_folder(tls->ca))
        return SSL_CTX_load_verify_dir(context, tls->ca) || is_wrong_there(w, option, tls->ca);
    return can_read(w, option, tls->ca) && (SSL_CTX_load_verify_file(context, tls->ca) ||
                                            is_wrong_there(w, option, tls->ca));
}

/* Answers for the one who would be asked on the terminal. */
static int refuse_phrase(char *buffer, int size, int writes, void *asked)
{
    (void)buffer, (void)size, (void)writes;
    *(bool *)asked = true;
    return -1;
}

static bool show(const struct tls *tls, SSL_CTX *context, struct wrong *w)
{
    const char *key = tls->key[0] ? tls->key : tls->cert;
    bool asked = false;
    if (!tls->cert[0])
        return true;
    if (!can_read(w, "tls_cert", tls->cert) || !can_read(w, "tls_key", key))
        return false;
    if (!SSL_CTX_use_certificate_chain_file(context, tls->cert))
        return is_wrong_there(w, "tls_cert", tls->cert);
    SSL_CTX_set_default_passwd_cb(context, refuse_phrase);
    SSL_CTX_set_default_passwd_cb_userdata(context, &asked);
    bool read = SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM);
    SSL_CTX_set_default_passwd_cb_userdata(context, NULL);
    SSL_CTX_set_default_passwd_cb(context, NULL);
    if (asked)
        return is_wrong(w, "tls_key", key, "it wants a pass phrase, which nigh does not have");
    return (read && SSL_CTX_check_private_key(context)) || is_wrong_there(w, "tls_key", key);
}

static bool fill_context(struct tls *tls, SSL_CTX *context, struct wrong *w)
{
    int least = tls->min == NIGH_TLS_1_3 ? TLS1_3_VERSION : TLS1_2_VERSION;
    if (SSL_CTX_get_min_proto_version(context) < least) /* OpenSSL's configuration may want more */
        SSL_CTX_set_min_proto_version(context, least);
    SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION);
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_read_ahead(context, 1);
    SSL_CTX_set_default_read_buffer_len(context, READ_AHEAD_BYTES);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(context, tls->on_session);
    SSL_CTX_set_verify(context,
                       tls->verify == NIGH_TLS_VERIFY_NONE ? SSL_VERIFY_NONE : SSL_VERIFY_PEER,
                       NULL);
    return trust(tls, context, w) && show(tls, context, w);
}

/* Returns a context of what the files say; NULL: *w says why not, "": no memory. */
static SSL_CTX *make_context(struct tls *tls, struct wrong *w)
{
    w->text[0] = '\0';
    if (!tls_enter())
        return NULL;
    ERR_clear_error();
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    if (context && !fill_context(tls, context, w)) {
        SSL_CTX_free(context);
        context = NULL;
    }
    ERR_clear_error();
    tls_leave();
    return context;
}

/* ---- the context of the next stream ---- */

static uint64_t stamp_of(const char *path)
{
    struct stat s;
    if (stat(path, &s) != 0)
        return (uint64_t)errno;
    const uint64_t says[] = {s.st_dev,          s.st_ino,           (uint64_t)s.st_size,
                             (uint64_t)s.st_mtim.tv_sec,  (uint64_t)s.st_mtim.tv_nsec,
                             (uint64_t)s.st_ctim.tv_sec,  (uint64_t)s.st_ctim.tv_nsec};
    return hash_bytes(bytes_of(says, sizeof(says)));
}

/* Returns what the environment puts in the place of a path of OpenSSL's, or that. */
static const char *of_system(const char *variable, const char *path)
{
    const char *other = secure_getenv(variable);
    return other ? other : path;
}

static uint64_t stamp_of_system(void)
{
    const uint64_t stamps[] = {
        stamp_of(of_system(X509_get_default_cert_dir_env(), X509_get_default_cert_dir())),
        stamp_of(of_system(X509_get_default_cert_file_env(), X509_get_default_cert_file())),
    };
    return hash_bytes(bytes_of(stamps, sizeof(stamps)));
}

static uint64_t stamp_of_all(const struct tls *tls)
{
    const uint64_t stamps[] = {
        tls->ca[0] ? stamp_of(tls->ca) : stamp_of_system(),
        stamp_of(tls->cert),
        stamp_of(tls->key),
    };
    return hash_bytes(bytes_of(stamps, sizeof(stamps)));
}

static void drop_session_locked(struct tls *tls, uint32_t i) REQUIRES(tls->lock)
{
    SSL_SESSION_free(tls->sessions[i].session);
    tls->sessions[i].session = NULL;
}

/* Sets the context of streams from here on: sessions of the one before are no good in it. */
static void set_context(struct tls *tls, SSL_CTX *context)
{
    if (!tls_enter())
        return;
    pthread_mutex_lock(&tls->lock);
    SSL_CTX *before = tls->context;
    tls->context = context;
    for (uint32_t i = 0; i < TLS_HOSTS; i++)
        drop_session_locked(tls, i);
    pthread_mutex_unlock(&tls->lock);
    SSL_CTX_free(before);
    tls_leave();
}

static void read_again(struct tls *tls, uint64_t now_ns)
{
    struct wrong w;
    SSL_CTX *context = make_context(tls, &w);
    tls->good = context != NULL;
    if (!context) {
        outage_note(&tls->outage, w.text[0] ? w.text : "out of memory", now_ns);
        return;
    }
    set_context(tls, context);
    outage_over(&tls->outage, now_ns);
    stats_count(tls->stats, STATS_L2_TLS_RELOAD);
    LOG(tls->env->log, NIGH_LOG_INFO, "the certificates for redis were read anew");
}

/* Says that the files are wrong, once they were so for two looks. */
static void complain(struct tls *tls, uint64_t now_ns)
{
    struct l2_problem problem;
    struct log_site own = {0}; /* another cache's line must not hold this one back */
    outage_read(&tls->outage, now_ns, &problem);
    tls->told = true;
    log_write(tls->env->log, NIGH_LOG_WARN, &own,
              "the files for TLS have changed and are wrong, what was read before is used: %s",
              problem.text);
}

uint64_t tls_keep(struct tls *tls)
{
    uint64_t now_ns = clock_now_ns(tls->env->clock);
    if (now_ns < tls->look_ns)
        return tls->look_ns;
    tls->look_ns = now_ns + LOOK_NS;
    uint64_t stamp = stamp_of_all(tls);
    bool changed = stamp != tls->stamp;
    tls->stamp = stamp;
    tls->told = tls->told && !changed;
    if (changed || !tls->good)
        read_again(tls, now_ns);
    if (!changed && !tls->good && !tls->told)
        complain(tls, now_ns);
    return tls->look_ns;
}

void tls_problem_read(struct tls *tls, struct l2_problem *ret)
{
    outage_read(&tls->outage, clock_now_ns(tls->env->clock), ret);
}

/* ---- sessions ---- */

static uint32_t slot_of(uint64_t host)
{
    return (uint32_t)(host % TLS_HOSTS);
}

/* Returns when a certificate expires; of a time that cannot be read: it has. */
static int64_t end_of(const X509 *x)
{
    struct tm tm;
    return ASN1_TIME_to_tm(X509_get0_notAfter(x), &tm) ? timegm(&tm) : 0;
}

int64_t tls_until_s(const struct tls *tls, SSL *ssl)
{
    STACK_OF(X509) *chain = SSL_get0_verified_chain(ssl); /* the CA's own, too */
    int64_t until_s = INT64_MAX;
    if (tls->verify == NIGH_TLS_VERIFY_NONE)
        return until_s;
    for (int i = 0; i < sk_X509_num(chain); i++) {
        int64_t end_s = end_of(sk_X509_value(chain, i));
        until_s = end_s < until_s ? end_s : until_s;
    }
    return chain ? until_s : 0;
}

SSL *tls_begin(struct tls *tls, uint64_t host, int64_t *ret_until_s)
{
    pthread_mutex_lock(&tls->lock);
    SSL *ssl = SSL_new(tls->context);
    uint32_t i = slot_of(host);
    SSL_SESSION *session = tls->sessions[i].host == host ? tls->sessions[i].session : NULL;
    if (ssl && session && time(NULL) < tls->sessions[i].until_s) {
        SSL_set_session(ssl, session);
        *ret_until_s = tls->sessions[i].until_s;
    }
    pthread_mutex_unlock(&tls->lock);
    return ssl;
}

bool tls_learn(struct tls *tls, SSL *ssl, uint64_t host, SSL_SESSION *session, int64_t until_s)
{
    uint32_t i = slot_of(host);
    pthread_mutex_lock(&tls->lock);
    bool takes = SSL_get_SSL_CTX(ssl) == tls->context;
    if (takes) {
        drop_session_locked(tls, i);
        tls->sessions[i].host = host;
        tls->sessions[i].session = session;
        tls->sessions[i].until_s = until_s;
    }
    pthread_mutex_unlock(&tls->lock);
    return takes;
}

void tls_forget(struct tls *tls, uint64_t host)
{
    uint32_t i = slot_of(host);
    if (!tls_enter())
        return;
    pthread_mutex_lock(&tls->lock);
    if (tls->sessions[i].host == host)
        drop_session_locked(tls, i);
    pthread_mutex_unlock(&tls->lock);
    tls_leave();
}

/* ---- life ---- */

static bool keep_path(char *copy, size_t size, const char *path)
{
    return (size_t)snprintf(copy, size, "%s", path ? path : "") < size;
}

static int take_wanted(struct tls *tls, const struct l2_tls *wanted)
{
    bool fit = keep_path(tls->ca, sizeof(tls->ca), wanted->ca) &&
               keep_path(tls->cert, sizeof(tls->cert), wanted->cert) &&
               keep_path(tls->key, sizeof(tls->key), wanted->key) &&
               keep_path(tls->name, sizeof(tls->name), wanted->name);
    tls->verify = wanted->verify ? wanted->verify : NIGH_TLS_VERIFY_FULL;
    tls->min = wanted->min ? wanted->min : NIGH_TLS_1_2;
    if (!fit)
        return error_note(NIGH_EOPTION, "redis.tls_: a path or name is too long");
    if (tls->key[0] && !tls->cert[0])
        return error_note(NIGH_EOPTION, "redis.tls_key=%.100s: without redis.tls_cert", tls->key);
    return 0;
}

int tls_context_init(struct tls *tls, const struct l2_tls *wanted)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    const char *option = tls->of_sentinels ? "redis.sentinel_tls_verify" : "redis.tls_verify";
    struct wrong w;
    pthread_once(&once, init_process);
    pthread_mutex_init(&tls->lock, NULL);
    outage_init(&tls->outage, "", 0);
    tls->good = true;
    int rc = take_wanted(tls, wanted);
    if (rc != 0)
        return rc;
    tls->stamp = stamp_of_all(tls);
    tls->context = make_context(tls, &w);
    if (!tls->context)
        return w.text[0] ? error_note(NIGH_EOPTION, "%s", w.text) : NIGH_ENOMEM;
    if (tls->verify == NIGH_TLS_VERIFY_NONE)
        LOG(tls->env->log, NIGH_LOG_WARN,
            "%s=none: whoever answers in its place is believed, and gets the password", option);
    return 0;
}

void tls_context_fini(struct tls *tls)
{
    set_context(tls, NULL);
    outage_fini(&tls->outage);
    pthread_mutex_destroy(&tls->lock);
}
