// SPDX-License-Identifier: MIT
// Parsing of Redis URIs; every way to be wrong has its own sentence.
//
// The authority is split before anything is decoded, so an encoded ':' '@' or '/' stays part of
// the name it is in. Lengths are checked at each copy: the text is the operator's, but may come
// from an environment variable that somebody else set.

#include "l2/uri.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#define UNIX_PATH_MAX (sizeof(((struct sockaddr_un *)0)->sun_path) - 1)

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* The one character at text[0..], decoded; returns how many bytes it took, 0 if malformed. */
static size_t decode_one(const char *text, size_t len, char *ret)
{
    if (*text != '%') {
        *ret = *text;
        return 1;
    }
    int high = len >= 3 ? hex_value(text[1]) : -1;
    int low = len >= 3 ? hex_value(text[2]) : -1;
    if (high < 0 || low < 0 || (high == 0 && low == 0))
        return 0;
    *ret = (char)(high << 4 | low);
    return 3;
}

/* Decode text[0..len) into a C string of at most `size` bytes. */
static bool decode(const char *text, size_t len, char *out, size_t size)
{
    size_t used = 0;
    while (len > 0) {
        size_t took = used + 1 < size ? decode_one(text, len, &out[used]) : 0;
        if (took == 0)
            return false;
        used++;
        text += took;
        len -= took;
    }
    out[used] = '\0';
    return true;
}

/* A decimal number of 1 to 5 digits, all of text[0..len). */
static bool parse_number(const char *text, size_t len, uint32_t max, uint32_t *ret)
{
    uint32_t value = 0;
    if (len == 0 || len > 5)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        value = value * 10 + (uint32_t)(text[i] - '0');
    }
    if (value > max)
        return false;
    *ret = value;
    return true;
}

/* Takes "user:password" or ":password": there is no login without a password. */
static const char *parse_login(const char *text, size_t len, struct uri *uri)
{
    const char *colon = memchr(text, ':', len);
    if (!colon)
        return "a user name needs a password (user:password@)";
    size_t user_len = (size_t)(colon - text);
    if (!decode(text, user_len, uri->user, sizeof(uri->user)))
        return "the user name is malformed or too long";
    if (!decode(colon + 1, len - user_len - 1, uri->password, sizeof(uri->password)))
        return "the password is malformed or too long";
    uri->has_password = true;
    return NULL;
}

static const char *parse_host(const char *text, size_t len, struct uri *uri)
{
    const char *end = text + len;
    const char *port = NULL;
    if (len > 0 && *text == '[') {
        const char *bracket = memchr(text, ']', len);
        if (!bracket)
            return "the host has no closing bracket";
        port = bracket + 1;
        text++;
        len = (size_t)(bracket - text);
        if (port < end && *port != ':')
            return "after the host only a port may follow";
    } else {
        const char *colon = memchr(text, ':', len);
        port = colon ? colon : end;
        len = (size_t)(port - text);
    }
    uint32_t number = URI_PORT_DEFAULT;
    bool has_port = port < end;
    if (has_port && (!parse_number(port + 1, (size_t)(end - port) - 1, 65535, &number) || !number))
        return "the port is not a number from 1 to 65535";
    if (len == 0 || !decode(text, len, uri->place, sizeof(uri->place)))
        return "the host is missing, malformed or too long";
    uri->port = (uint16_t)number;
    return NULL;
}

static const char *parse_redis(const char *text, struct uri *uri)
{
    size_t len = strcspn(text, "/?#");
    const char *tail = text + len;
    const char *at = memrchr(text, '@', len);
    const char *wrong = at ? parse_login(text, (size_t)(at - text), uri) : NULL;
    if (wrong)
        return wrong;
    const char *host = at ? at + 1 : text;
    wrong = parse_host(host, (size_t)(tail - host), uri);
    if (wrong)
        return wrong;
    if (tail[0] == '/' && tail[1] != '\0' &&
        !parse_number(tail + 1, strlen(tail + 1), URI_DB_MAX, &uri->db))
        return "after the host only a database number may follow (/0)";
    if (tail[0] == '?' || tail[0] == '#')
        return "behind the host there is no query";
    return NULL;
}

static const char *parse_rediss(const char *text, struct uri *uri)
{
    uri->tls = true;
    return parse_redis(text, uri);
}

static const char *parse_unix(const char *text, struct uri *uri)
{
    const char *path = strchr(text, '/');
    if (!path || (path > text && path[-1] != '@'))
        return "the path of a unix socket begins with '/' (unix:///run/redis.sock)";
    const char *wrong = path > text ? parse_login(text, (size_t)(path - text) - 1, uri) : NULL;
    if (wrong)
        return wrong;
    size_t len = strcspn(path, "?");
    if (len < 2 || !decode(path, len, uri->place, sizeof(uri->place)) ||
        strlen(uri->place) > UNIX_PATH_MAX)
        return "the path of the unix socket is missing, malformed or too long";
    const char *query = path + len;
    if (*query == '?' && (strncmp(query, "?db=", 4) != 0 ||
                          !parse_number(query + 4, strlen(query + 4), URI_DB_MAX, &uri->db)))
        return "the only query of unix:// is ?db=NUMBER";
    return NULL;
}

void uri_show(const char *place, uint16_t port, char shown[URI_SHOWN_BYTES])
{
    bool brackets = strchr(place, ':') != NULL;
    if (port == 0)
        snprintf(shown, URI_SHOWN_BYTES, "%s", place);
    else
        snprintf(shown, URI_SHOWN_BYTES, brackets ? "[%s]:%u" : "%s:%u", place, port);
}

const char *uri_parse(const char *text, struct uri *ret)
{
    struct uri uri = {0};
    const char *wrong;
    if (strncmp(text, "redis://", 8) == 0)
        wrong = parse_redis(text + 8, &uri);
    else if (strncmp(text, "rediss://", 9) == 0)
        wrong = parse_rediss(text + 9, &uri);
    else if (strncmp(text, "unix://", 7) == 0)
        wrong = parse_unix(text + 7, &uri);
    else
        wrong = "it begins with none of redis://, rediss://, unix://";
    if (wrong)
        return wrong;
    uri_show(uri.place, uri.port, uri.shown);
    *ret = uri;
    return NULL;
}
