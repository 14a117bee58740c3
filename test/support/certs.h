/* SPDX-License-Identifier: MIT */
/*
 * certs.h - certificates for a test: a CA of its own, and whatever it is to have signed.
 *
 *     certs_open(dir);                            // a folder with the pairs ca, server, client
 *     certs_add(dir, "old", &(struct cert){.until_s = -60});
 *     certs_close(dir);
 *
 * Each is a pair of files, dir/NAME.pem and dir/NAME.key. What a program loads while they are
 * written is whole, for each takes the place of the one before.
 */
#ifndef NIGH_TEST_CERTS_H
#define NIGH_TEST_CERTS_H

#include <stdbool.h>

struct cert {
    const char *issuer;   /* name of its pair; NULL: "ca" */
    const char *names;    /* as "DNS:localhost,IP:127.0.0.1"; NULL: these two; "": none but its
                             pair's, as a common name */
    long from_s, until_s; /* from now; 0: an hour ago, in an hour */
    bool self_signed;
    bool is_ca;
};

#define CERTS_PATH_BYTES 160
struct certs_path {
    char text[CERTS_PATH_BYTES];
};

#define CERTS_DIR_BYTES 64

void certs_open(char dir[CERTS_DIR_BYTES]);
void certs_close(const char *dir);
void certs_add(const char *dir, const char *name, const struct cert *cert);
/* Puts the pair's key under a pass phrase. */
void certs_lock(const char *dir, const char *name, const char *phrase);
/* Returns the path of dir/NAME, as certs_path(dir, "ca.pem").text. */
struct certs_path certs_path(const char *dir, const char *name);
/* Writes the contents of two files into one. */
void certs_join(const char *path, const struct certs_path parts[2]);
/* Writes a file, whole, in the place of the one before. */
void certs_write(const char *path, const void *data, long len);

#endif
