/* SPDX-License-Identifier: MIT */
/*
 * A URI says where Redis is, and as whom to log in. It is parsed here.
 *
 *     redis://[user[:password]@]host[:port][/db]
 *     rediss://... the same, over TLS
 *     unix://[user[:password]@]/path[?db=n]
 *     redis+sentinel://[user[:password]@]host[:port],host[:port],.../NAME[?db=n]
 *     rediss+sentinel://... the same, over TLS
 *
 * With Sentinels the hosts are theirs, NAME is what they call the master, and the login is for the
 * servers. Between hosts a %2C is a comma, too: where options stand in one text a comma ends one.
 *
 * User, password, host and path may be percent-encoded. Fixed fields: a parsed URI owns nothing.
 */
#ifndef NIGH_L2_URI_H
#define NIGH_L2_URI_H

#include <stdbool.h>
#include <stdint.h>

#define URI_PORT_DEFAULT 6379u
#define URI_PLACE_MAX 256u
#define URI_SHOWN_BYTES (URI_PLACE_MAX + 10)
#define URI_USER_MAX 128u
#define URI_PASSWORD_MAX 512u
#define URI_DB_MAX 65535u
#define URI_SENTINEL_PORT 26379u
#define URI_SENTINELS_MAX 16u
#define URI_MASTER_MAX 128u

struct uri_host {
    char place[URI_PLACE_MAX];
    uint16_t port;
};

struct uri {
    char place[URI_PLACE_MAX]; /* host, or path of a unix socket; "": Sentinels know */
    char shown[URI_SHOWN_BYTES]; /* for people: with its port; or the name of the master */
    uint16_t port;             /* 0: a unix socket */
    bool tls;                  /* rediss:// */
    uint32_t db;
    char user[URI_USER_MAX]; /* "" : none, AUTH with the password alone */
    char password[URI_PASSWORD_MAX];
    bool has_password;       /* else it is elsewhere, if there is a user */
    char master[URI_MASTER_MAX]; /* its name at the Sentinels; "": there are none */
    uint32_t sentinel_count;
    struct uri_host sentinels[URI_SENTINELS_MAX];
};

/* NULL and *ret, or what is wrong with the text (*ret untouched). */
const char *uri_parse(const char *text, struct uri *ret);

/* Write a place for people: with its port, or a path (port 0) as it is. */
void uri_show(const char *place, uint16_t port, char shown[URI_SHOWN_BYTES]);

#endif
