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

/* Takes "user:password", ":password" or "user", whose password is elsewhere. */
static const char *parse_login(const char *text, size_t len, struct uri *uri)
{
    const char *colon = memchr(text, ':', len);
    size_t user_len = colon ? (size_t)(colon - text) : len;
    if (!decode(text, user_len, uri->user, sizeof(uri->user)))
        return "the user name is malformed or too long";
    if (!colon)
        return NULL;
    if (!decode(colon + 1, len - user_len - 1, uri->password, sizeof(uri->password)))
        return "the password is malformed or too long";
    uri->has_password = true;
    return NULL;
}

static const char *parse_host(const char *text, size_t len, uint32_t port_default,
                              struct uri_host *ret)
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
    uint32_t number = port_default;
    bool has_port = port < end;
    if (has_port && (!parse_number(port + 1, (size_t)(end - port) - 1, 65535, &number) || !number))
        return "the port is not a number from 1 to 65535";
    if (len == 0 || !decode(text, len, ret->place, sizeof(ret->place)))
        return "the host is missing, malformed or too long";
    ret->port = (uint16_t)number;
    return NULL;
}

/* Takes what stands before the hosts, if anything does; sets `*ret_hosts` to what follows. */
static const char *parse_front(const char *text, size_t len, struct uri *uri,
                               const char **ret_hosts)
{
    const char *at = memrchr(text, '@', len);
    *ret_hosts = at ? at + 1 : text;
    return at ? parse_login(text, (size_t)(at - text), uri) : NULL;
}

static const char *parse_redis(const char *text, struct uri *uri)
{
    size_t len = strcspn(text, "/?#");
    const char *tail = text + len;
    struct uri_host host;
    const char *hosts;
    const char *wrong = parse_front(text, len, uri, &hosts);
    wrong = wrong ? wrong : parse_host(hosts, (size_t)(tail - hosts), URI_PORT_DEFAULT, &host);
    if (wrong)
        return wrong;
    strcpy(uri->place, host.place);
    uri->port = host.port;
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

/* ---- Sentinels ---- */

/* Returns where the host at `text` ends, before a comma or %2C or at `end`. */
static const char *end_of_host(const char *text, const char *end)
{
    while (text < end && *text != ',' && strncasecmp(text, "%2c", 3) != 0)
        text++;
    return text;
}

static const char *parse_sentinels(const char *text, const char *end, struct uri *uri)
{
    const char *wrong = NULL;
    for (bool more = true; more && !wrong;) {
        if (uri->sentinel_count == URI_SENTINELS_MAX)
            return "it names more than 16 Sentinels";
        const char *stop = end_of_host(text, end);
        struct uri_host *host = &uri->sentinels[uri->sentinel_count++];
        wrong = parse_host(text, (size_t)(stop - text), URI_SENTINEL_PORT, host);
        more = stop < end;
        text = stop + (more && *stop == '%' ? 3 : 1);
    }
    return wrong;
}

/* Whether Sentinel takes such a name: it goes into its file, and into messages between blanks. */
static bool is_master_name(const char *name)
{
    for (const char *at = name; *at; at++)
        if (*at <= ' ' || *at > '~')
            return false;
    return *name != '\0';
}

static const char *parse_sentinel(const char *text, struct uri *uri)
{
    size_t len = strcspn(text, "/?#");
    const char *hosts, *name = text + len + 1;
    const char *wrong = parse_front(text, len, uri, &hosts);
    wrong = wrong ? wrong : parse_sentinels(hosts, text + len, uri);
    if (wrong)
        return wrong;
    size_t name_len = text[len] == '/' ? strcspn(name, "/?#") : 0;
    if (name_len == 0)
        return "behind the Sentinels the master's name is missing (/mymaster)";
    if (!decode(name, name_len, uri->master, sizeof(uri->master)) || !is_master_name(uri->master))
        return "the master's name is malformed or too long";
    const char *query = name + name_len;
    if (*query && (strncmp(query, "?db=", 4) != 0 ||
                   !parse_number(query + 4, strlen(query + 4), URI_DB_MAX, &uri->db)))
        return "behind the master's name only ?db=NUMBER may follow";
    return NULL;
}

static const char *parse_sentinel_tls(const char *text, struct uri *uri)
{
    uri->tls = true;
    return parse_sentinel(text, uri);
}

/* ---- schemes ---- */

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

static const struct {
    const char *begins;
    const char *(*parse)(const char *text, struct uri *uri);
} schemes[] = {
    {"redis://", parse_redis},
    {"rediss://", parse_rediss},
    {"unix://", parse_unix},
    {"redis+sentinel://", parse_sentinel},
    {"rediss+sentinel://", parse_sentinel_tls},
};

static const char *parse(const char *text, struct uri *uri)
{
    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
        size_t len = strlen(schemes[i].begins);
        if (strncmp(text, schemes[i].begins, len) == 0)
            return schemes[i].parse(text + len, uri);
    }
    return "it begins with none of redis://, rediss://, unix://, redis+sentinel://, "
           "rediss+sentinel://";
}

const char *uri_parse(const char *text, struct uri *ret)
{
    struct uri uri = {0};
    const char *wrong = parse(text, &uri);
    if (!wrong) {
        uri_show(uri.master[0] ? uri.master : uri.place, uri.port, uri.shown);
        *ret = uri;
    }
    explicit_bzero(uri.password, sizeof(uri.password));
    return wrong;
}
