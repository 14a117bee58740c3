// SPDX-License-Identifier: MIT
/*
 * Asking a redis-server on its unix socket.
 */
#include "support/redis_ask.h"

#include <hiredis/hiredis.h>
#include <stdio.h>

static const struct timeval patience = {10, 0};

static bool take_reply(const redisContext *c, const redisReply *r, char *ret, size_t size)
{
    if (!r)
        snprintf(ret, size, "%s", c->errstr);
    else if (r->type == REDIS_REPLY_ARRAY && r->elements)
        take_reply(c, r->element[r->elements - 1], ret, size);
    else if (r->type == REDIS_REPLY_INTEGER)
        snprintf(ret, size, "%lld", r->integer);
    else
        snprintf(ret, size, "%s", r->str ? r->str : "");
    return r && r->type != REDIS_REPLY_ERROR;
}

bool redis_ask_with(const struct redis_server *server, char *ret, size_t size, const char *command,
                    va_list args)
{
    redisContext *c = redisConnectUnixWithTimeout(server->socket, patience);
    snprintf(ret, size, "%s", c ? c->errstr : "out of memory");
    bool well = c && c->err == 0 && redisSetTimeout(c, patience) == REDIS_OK;
    if (well) {
        redisReply *r = redisvCommand(c, command, args);
        well = take_reply(c, r, ret, size);
        if (r)
            freeReplyObject(r);
    }
    if (c)
        redisFree(c);
    return well;
}

bool redis_ask(const struct redis_server *server, char *ret, size_t size, const char *command, ...)
{
    va_list args;
    va_start(args, command);
    bool well = redis_ask_with(server, ret, size, command, args);
    va_end(args);
    return well;
}
