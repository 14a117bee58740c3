/* SPDX-License-Identifier: MIT */
/*
 * One command for a private redis-server, over a connection of its own.
 */
#ifndef PERF_REDIS_ASK_H
#define PERF_REDIS_ASK_H

#include <stdbool.h>
#include <stddef.h>

#include "support/redis_server.h"

/*
 * Send a command, its words parted by blanks, and wait for the reply; 10 s at most. The text of the
 * reply (of an integer: its digits) or of the error goes to ret[size], cut to what fits. False: it
 * was not answered, or with an error.
 */
bool redis_ask(const struct redis_server *server, const char *command, char *ret, size_t size);

#endif
