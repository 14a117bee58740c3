// SPDX-License-Identifier: MIT
/*
 * SCAN and UNLINK, in slices, so that the other users of that Redis do not wait.
 */
#include "support/redis_sweep.h"

#include <hiredis/hiredis.h>
#include <stdio.h>
#include <string.h>

#include "support/fail.h"

#define DEFAULT_PORT 6379

/* redis://[user[:password]@]host[:port][/db] or unix://[user[:password]@]path[?db=n], in pieces. */
struct address {
    bool is_unix;
    char *copy;
    char *user;     /* "" where there is none */
    char *password; /* NULL: no authentication */
    char *place;    /* host or path */
    int port;
    const char *db;
};

/* Cut at the first `mark`; returns what stands behind it, or NULL. */
static char *cut(char *text, char mark)
{
    char *at = strchr(text, mark);
    if (at)
        *at++ = '\0';
    return at;
}

static void take_credentials(struct address *a)
{
    char *end = strrchr(a->place, '@');
    a->user = a->place + strlen(a->place); /* "" */
    if (!end)
        return;
    *end = '\0';
    a->user = a->place;
    a->place = end + 1;
    a->password = cut(a->user, ':');
    if (!a->password) { /* redis://secret@host: a password alone */
        a->password = a->user;
        a->user += strlen(a->user);
    }
}

static void take_address(struct address *a, const char *uri)
{
    a->is_unix = strncmp(uri, "unix://", 7) == 0;
    a->copy = must_print("%s", strstr(uri, "://") ? strstr(uri, "://") + 3 : uri);
    a->place = a->copy;
    a->port = DEFAULT_PORT;
    take_credentials(a);
    if (a->is_unix) {
        char *query = cut(a->place, '?');
        a->db = query && strncmp(query, "db=", 3) == 0 ? query + 3 : NULL;
        return;
    }
    a->db = cut(a->place, '/');
    char *port = cut(a->place, ':');
    if (port)
        a->port = atoi(port);
}

/* Send one command; NULL when it failed. */
static redisReply *ask(redisContext *c, int argc, const char **argv)
{
    redisReply *r = c ? redisCommandArgv(c, argc, argv, NULL) : NULL;
    if (r && r->type != REDIS_REPLY_ERROR)
        return r;
    if (r)
        freeReplyObject(r);
    return NULL;
}

static bool done(redisContext *c, int argc, const char **argv)
{
    redisReply *r = ask(c, argc, argv);
    if (r)
        freeReplyObject(r);
    return r != NULL;
}

static bool enter(redisContext *c, const struct address *a)
{
    const char *with_user[] = {"AUTH", a->user, a->password};
    const char *without[] = {"AUTH", a->password};
    const char *select[] = {"SELECT", a->db};
    if (a->password && !(a->user[0] ? done(c, 3, with_user) : done(c, 2, without)))
        return false;
    return !a->db || !a->db[0] || done(c, 2, select);
}

static bool unlink_keys(redisContext *c, const redisReply *keys)
{
    bool well = true;
    for (size_t i = 0; i < keys->elements && well; i++) {
        const char *argv[] = {"UNLINK", keys->element[i]->str};
        size_t lens[] = {6, keys->element[i]->len};
        well = redisAppendCommandArgv(c, 2, argv, lens) == REDIS_OK;
    }
    for (size_t i = 0; i < keys->elements && well; i++) {
        void *r = NULL;
        well = redisGetReply(c, &r) == REDIS_OK;
        if (r)
            freeReplyObject(r);
    }
    return well;
}

static bool sweep(redisContext *c, const char *pattern)
{
    char cursor[32] = "0";
    do {
        const char *argv[] = {"SCAN", cursor, "MATCH", pattern, "COUNT", "1000"};
        redisReply *r = ask(c, 6, argv);
        if (!r)
            return false;
        snprintf(cursor, sizeof(cursor), "%s", r->element[0]->str);
        bool well = unlink_keys(c, r->element[1]);
        freeReplyObject(r);
        if (!well)
            return false;
    } while (strcmp(cursor, "0") != 0);
    return true;
}

bool redis_sweep(const char *uri, const char *prefix)
{
    struct address a = {0};
    take_address(&a, uri);
    char *pattern = must_print("%s*", prefix);
    redisContext *c = a.is_unix ? redisConnectUnix(a.place) : redisConnect(a.place, a.port);
    bool well = c && c->err == 0 && enter(c, &a) && sweep(c, pattern);
    if (!well)
        fprintf(stderr, "perf: keys %s are left in %s\n", pattern, uri);
    if (c)
        redisFree(c);
    free(pattern);
    free(a.copy);
    return well;
}
