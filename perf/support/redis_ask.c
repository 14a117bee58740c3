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
    else if (r->type == REDIS_REPLY_INTEGER)
        snprintf(ret, size, "%lld", r->integer);
    else
        snprintf(ret, size, "%s", r->str ? r->str : "");
    return r && r->type != REDIS_REPLY_ERROR;
}

bool redis_ask(const struct redis_server *server, const char *command, char *ret, size_t size)
{
    redisContext *c = redisConnectUnixWithTimeout(server->socket, patience);
    snprintf(ret, size, "%s", c ? c->errstr : "out of memory");
    bool well = c && c->err == 0 && redisSetTimeout(c, patience) == REDIS_OK;
    if (well) {
        redisReply *r = redisCommand(c, command);
        well = take_reply(c, r, ret, size);
        if (r)
            freeReplyObject(r);
    }
    if (c)
        redisFree(c);
    return well;
}
