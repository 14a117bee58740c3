// SPDX-License-Identifier: MIT
/*
 * As what, and how, Redis is used: NIGH_CONF says so, or a process that uses it is asked.
 */
#include "tool/redis.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* As what, and how, Redis is used: what begins with redis, but for where it is, and what all nodes
 * of a prefix share. X(option, its field) */
#define ACCESS(X)                                                                                  \
    X("redis.prefix", redis_prefix)                                                                \
    X("coherence.group_slots", group_slots)                                                        \
    X("redis.password_file", redis_password_file)                                                  \
    X("redis.tls_ca", tls_ca)                                                                      \
    X("redis.tls_cert", tls_cert)                                                                  \
    X("redis.tls_key", tls_key)                                                                    \
    X("redis.tls_name", tls_name)                                                                  \
    X("redis.tls_verify", tls_verify)                                                              \
    X("redis.tls_min", tls_min)                                                                    \
    X("redis.sentinel_user", redis_sentinel_user)                                                  \
    X("redis.sentinel_password", redis_sentinel_password)                                          \
    X("redis.sentinel_password_file", redis_sentinel_password_file)                                \
    X("redis.sentinel_tls", redis_sentinel_tls)                                                    \
    X("redis.sentinel_tls_ca", redis_sentinel_tls_ca)                                              \
    X("redis.sentinel_tls_verify", redis_sentinel_tls_verify)

/* Takes it over, and the schema of values. */
static void take_access(struct nigh_options *o, const struct nigh_options *said)
{
#define X(option, field) o->field = said->field;
    ACCESS(X)
#undef X
    o->space.schema = said->space.schema;
}

/* Reads NIGH_CONF, and lets the library take nothing of it. 0, or a status. */
static int read_conf(struct nigh_options *ret)
{
    const char *conf = getenv("NIGH_CONF");
    if (conf && nigh_options_parse(ret, conf) < 0)
        return redis_fail("NIGH_CONF", nigh_options_error());
    unsetenv("NIGH_CONF");
    return 0;
}

/* Takes the URI from there by the word "-": all users of a machine may see the words of a
 * command. */
int redis_take_conf(const struct tool_args *args, struct nigh_options *o)
{
    struct nigh_options said = NIGH_OPTIONS_INIT;
    int rc = read_conf(&said);
    if (rc != 0)
        return rc;
    take_access(o, &said);
    o->redis_uri = strcmp(args->redis, "-") == 0 ? said.redis_uri : args->redis;
    bool any = o->redis_uri && *o->redis_uri;
    return any ? 0 : redis_fail("--redis -", "NIGH_CONF has no redis.uri");
}

/* Asks a process for an option. Returns 0 and the value, to be freed, NULL: it has none; or a
 * status. A process of another version may not know all options: such a one is left out; and what
 * has not been said it may show as a dash. */
static int ask_option(const struct tool_args *args, const char *name, char **ret)
{
    char line[80];
    snprintf(line, sizeof(line), "get %s", name);
    char *value = line_ask(args->sockets[0], line, args->timeout_ms);
    if (!value)
        return TOOL_NOBODY;
    value[strcspn(value, "\n")] = '\0';
    if (line_is_error(value))
        fprintf(stderr, "nigh: note: %s: no %s: %s\n", args->sockets[0], name,
                value + strlen("error: "));
    bool none = line_is_error(value) || strcmp(value, "none") == 0 || strcmp(value, "-") == 0 ||
                strncmp(value, "by default ", 11) == 0;
    *ret = none ? NULL : value;
    if (none)
        free(value);
    return 0;
}

/* Whether a URI is what a process shows of one that has a password. */
static bool is_shown_as(const char *uri, const char *shown)
{
    const char *at = uri ? strrchr(uri, '@') : NULL;
    return at && strcmp(at, strrchr(shown, '@')) == 0;
}

/* Finds what the process does not tell in what NIGH_CONF says. NULL: neither does that. */
static const char *secret_of(const char *name, const char *shown, const struct nigh_options *said)
{
    if (strcmp(name, "redis.sentinel_password") == 0)
        return said->redis_sentinel_password;
    return is_shown_as(said->redis_uri, shown) ? said->redis_uri : NULL;
}

static bool is_secret(const char *name, const char *shown)
{
    return strcmp(name, "redis.sentinel_password") == 0 || strstr(shown, "://...@");
}

/* Takes an option over from a process, if it has it. 0, or a status. */
static int take_option(const struct tool_args *args, const char *name,
                       const struct nigh_options *said, struct nigh_options *o)
{
    char *shown = NULL;
    int rc = ask_option(args, name, &shown);
    bool secret = shown && is_secret(name, shown);
    const char *value = secret ? secret_of(name, shown, said) : shown;
    if (secret && !value)
        rc = redis_fail("the process logs in with a password, which it does not tell",
                        strcmp(name, "redis.uri") == 0
                            ? "NIGH_CONF=redis.uri=URI, the same with its password, does"
                            : "NIGH_CONF=redis.sentinel_password=PASSWORD does");
    else if (value && nigh_options_set(o, name, value) < 0)
        rc = redis_fail(args->sockets[0], nigh_options_error());
    free(shown);
    return rc;
}

/* Gets no password from a process: files that have one it names, and they are read here; one in an
 * option has to be in NIGH_CONF. */
int redis_take_from_process(const struct tool_args *args, struct nigh_options *o)
{
    static const char *const names[] = {
        "redis.uri",
#define X(option, field) option,
        ACCESS(X)
#undef X
    };
    struct nigh_options said = NIGH_OPTIONS_INIT;
    int rc = read_conf(&said);
    for (size_t i = 0; rc == 0 && i < sizeof(names) / sizeof(names[0]); i++)
        rc = take_option(args, names[i], &said, o);
    if (rc == 0 && !o->redis_uri)
        rc = redis_fail("the process has no redis.uri", "nobody else hears of its changes");
    if (args->prefix)
        o->redis_prefix = args->prefix;
    return rc;
}
