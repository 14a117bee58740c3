// SPDX-License-Identifier: MIT
// Certificates of elliptic curves: each is made in a millisecond.

#include "support/certs.h"

#include <errno.h>
#include <ftw.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Who needs certificates cannot do without them; it need not be a test. */
#define MUST(holds) ((holds) ? (void)0 : give_up(#holds))

__attribute__((noreturn)) static void give_up(const char *what)
{
    fprintf(stderr, "certs: %s: %s\n", what, strerror(errno));
    exit(1);
}

struct certs_path certs_path(const char *dir, const char *name)
{
    struct certs_path path;
    MUST(snprintf(path.text, sizeof(path.text), "%s/%s", dir, name) < CERTS_PATH_BYTES);
    return path;
}

static struct certs_path path_of(const char *dir, const char *name, const char *kind)
{
    char file[64];
    snprintf(file, sizeof(file), "%s.%s", name, kind);
    return certs_path(dir, file);
}

void certs_write(const char *path, const void *data, long len)
{
    struct certs_path aside;
    snprintf(aside.text, sizeof(aside.text), "%s.new", path);
    FILE *out = fopen(aside.text, "we");
    MUST(out);
    MUST((long)fwrite(data, 1, (size_t)len, out) == len);
    MUST(fclose(out) == 0 && rename(aside.text, path) == 0);
}

void certs_join(const char *path, const struct certs_path parts[2])
{
    char data[16384];
    size_t len = 0;
    for (int i = 0; i < 2; i++) {
        FILE *in = fopen(parts[i].text, "re");
        MUST(in);
        len += fread(data + len, 1, sizeof(data) - len, in);
        MUST(feof(in));
        fclose(in);
    }
    certs_write(path, data, (long)len);
}

/* Writes what a BIO in memory has. */
static void write_bio(BIO *bio, const char *path)
{
    char *data;
    long len = BIO_get_mem_data(bio, &data);
    certs_write(path, data, len);
    BIO_free(bio);
}

static void write_pair(const char *dir, const char *name, X509 *x, EVP_PKEY *key)
{
    BIO *cert = BIO_new(BIO_s_mem()), *secret = BIO_new(BIO_s_mem());
    MUST(PEM_write_bio_X509(cert, x));
    MUST(PEM_write_bio_PrivateKey(secret, key, NULL, NULL, 0, NULL, NULL));
    write_bio(cert, path_of(dir, name, "pem").text);
    write_bio(secret, path_of(dir, name, "key").text);
}

static void read_pair(const char *dir, const char *name, X509 **ret_x, EVP_PKEY **ret_key)
{
    FILE *cert = fopen(path_of(dir, name, "pem").text, "re");
    FILE *secret = fopen(path_of(dir, name, "key").text, "re");
    MUST(cert && secret);
    *ret_x = PEM_read_X509(cert, NULL, NULL, NULL);
    *ret_key = PEM_read_PrivateKey(secret, NULL, NULL, NULL);
    MUST(*ret_x && *ret_key);
    fclose(cert);
    fclose(secret);
}

static void extend(X509 *x, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx(&context, issuer, x, NULL, NULL, 0);
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    MUST(e && X509_add_ext(x, e, -1));
    X509_EXTENSION_free(e);
}

static X509 *begin(const char *name, const struct cert *cert, EVP_PKEY *key)
{
    static long serial;
    X509 *x = X509_new();
    MUST(x && X509_set_version(x, X509_VERSION_3));
    ASN1_INTEGER_set(X509_get_serialNumber(x), ++serial);
    X509_gmtime_adj(X509_getm_notBefore(x), cert->from_s ? cert->from_s : -3600);
    X509_gmtime_adj(X509_getm_notAfter(x), cert->until_s ? cert->until_s : 3600);
    MUST(X509_set_pubkey(x, key));
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
                               (const unsigned char *)name, -1, -1, 0);
    return x;
}

void certs_add(const char *dir, const char *name, const struct cert *cert)
{
    EVP_PKEY *key = EVP_EC_gen("P-256"), *issuer_key = key;
    X509 *x = begin(name, cert, key), *issuer = x;
    if (!cert->self_signed)
        read_pair(dir, cert->issuer ? cert->issuer : "ca", &issuer, &issuer_key);
    X509_set_issuer_name(x, X509_get_subject_name(issuer));
    extend(x, issuer, NID_basic_constraints, cert->is_ca ? "critical,CA:TRUE" : "CA:FALSE");
    if (!cert->is_ca && !(cert->names && !cert->names[0]))
        extend(x, issuer, NID_subject_alt_name,
               cert->names ? cert->names : "DNS:localhost,IP:127.0.0.1");
    MUST(X509_sign(x, issuer_key, EVP_sha256()));
    write_pair(dir, name, x, key);
    if (issuer != x) {
        X509_free(issuer);
        EVP_PKEY_free(issuer_key);
    }
    X509_free(x);
    EVP_PKEY_free(key);
}

void certs_lock(const char *dir, const char *name, const char *phrase)
{
    X509 *x;
    EVP_PKEY *key;
    BIO *secret = BIO_new(BIO_s_mem());
    read_pair(dir, name, &x, &key);
    MUST(PEM_write_bio_PKCS8PrivateKey(secret, key, EVP_aes_128_cbc(), phrase,
                                          (int)strlen(phrase), NULL, NULL));
    write_bio(secret, path_of(dir, name, "key").text);
    X509_free(x);
    EVP_PKEY_free(key);
}

void certs_open(char dir[CERTS_DIR_BYTES])
{
    const char *parent = getenv("TMPDIR");
    bool fits = parent && strlen(parent) < CERTS_DIR_BYTES / 2;
    snprintf(dir, CERTS_DIR_BYTES, "%s/nigh-certs-XXXXXX", fits ? parent : "/tmp");
    MUST(mkdtemp(dir));
    certs_add(dir, "ca", &(struct cert){.self_signed = true, .is_ca = true});
    certs_add(dir, "server", &(struct cert){0});
    certs_add(dir, "client", &(struct cert){0});
}

static int remove_path(const char *path, const struct stat *info, int type, struct FTW *walk)
{
    (void)info, (void)type, (void)walk;
    return remove(path);
}

void certs_close(const char *dir)
{
    nftw(dir, remove_path, 8, FTW_DEPTH | FTW_PHYS);
}
