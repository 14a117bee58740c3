/* SPDX-License-Identifier: MIT */
/*
 * commands.h - what a Redis was asked to do, as it counts that itself.
 *
 *     struct commands before = commands_of(&server);
 *     ...
 *     CHECK_EQ(commands_of(&server).evalsha - before.evalsha, 2);
 */
#ifndef NIGH_TEST_COMMANDS_H
#define NIGH_TEST_COMMANDS_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/check.h"
#include "support/redis.h"

/* Commands that Redis has executed, those of scripts among them. */
struct commands {
    long get, mget, evalsha, set;
};

static inline long commands_named(const char *info, const char *command)
{
    char name[64];
    snprintf(name, sizeof(name), "cmdstat_%s:calls=", command);
    const char *at = strstr(info, name);
    return at ? atol(strchr(at, '=') + 1) : 0;
}

/* Beats, each of which looks at the log once, are left out. */
static inline struct commands commands_of(const struct redis *server)
{
    char *info = redis_command(server, "INFO commandstats");
    REQUIRE(info);
    struct commands c = {
        .get = commands_named(info, "get"),
        .mget = commands_named(info, "mget"),
        .evalsha = commands_named(info, "evalsha") - commands_named(info, "xrange"),
        .set = commands_named(info, "set"),
    };
    free(info);
    return c;
}

#endif
