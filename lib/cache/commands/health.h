/* SPDX-License-Identifier: MIT */
/*
 * What the command health says of L1 and of requests, in a file for each question: whether there is
 * room, where misses come from, whether Redis is slow. Each says nothing where there is nothing to
 * say.
 */
#ifndef NIGH_CACHE_COMMANDS_HEALTH_H
#define NIGH_CACHE_COMMANDS_HEALTH_H

#include "cache/commands/command.h"

/* ---- health_room.c ---- */

/* Say where L1 is full at present, and what twice its cap would bring. */
void health_say_room(struct command *c);

/* ---- health_misses.c ---- */

/* Say how many reads missed in the last minute, what for, and what L1 had of their keys. */
void health_say_misses(struct command *c);
/* Say where a load takes less than asking Redis before it, and what to do about that. */
void health_say_cheaper(struct command *c);

/* ---- health_requests.c ---- */

/* Say what requests to Redis took in the last minute, and whether that is too long. */
void health_say_requests(struct command *c);

#endif
