/* SPDX-License-Identifier: MIT */
/*
 * One command for a private redis-server, over a connection of its own.
 */
#ifndef PERF_REDIS_ASK_H
#define PERF_REDIS_ASK_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#include "support/redis_server.h"

/*
 * Send a command, as hiredis takes it (words parted by blanks; %s is one word), and wait for the
 * reply; 10 s at most. The text of the reply (of an integer: its digits; of a list: its last
 * element) or of the error goes to ret[size], cut to what fits. False: it was not answered, or with
 * an error.
 */
bool redis_ask(const struct redis_server *server, char *ret, size_t size, const char *command, ...);
bool redis_ask_with(const struct redis_server *server, char *ret, size_t size, const char *command,
                    va_list args);

#endif
