/* SPDX-License-Identifier: MIT */
/*
 * Which commands nigh needs of a server, asked before the first request.
 *
 * A script that calls a command which was renamed, or which its user may not call, ends with an
 * error that does not name it ("Unknown Redis command called from script"), and does so in the
 * middle of a beat, a change, or a rolling upgrade. So the handshake of a data connection has one
 * question for all of them. A server that lacks one is refused as a whole: half of a protocol would
 * show only when it is needed. Commands that serve nodes of wire version 1 alone are left to the
 * operator, with an advice.
 *
 * What is in between is not asked: a proxy that lets EVAL pass, and forbids other commands, shows
 * with these.
 */
#ifndef NIGH_L2_NEEDS_H
#define NIGH_L2_NEEDS_H

#include "l2/keys.h"
#include "l2/reply.h"

#define NEEDS_ARGS_MAX 40u

/* Fills in the question, whose bytes are constant, or those of the names. Returns how many. */
uint32_t needs_question(const struct keys *names, struct bytes args[NEEDS_ARGS_MAX]);

/* Takes the reply, which is no error. Returns whether the server will do; if not `problem` has the
 * reason. `*ret_advice`: what the operator should know, if there is anything. A reply that tells
 * nothing will do: some servers cannot tell. */
bool needs_are_met(const struct reply *reply, char *problem, size_t size, const char **ret_advice);
/* Takes from such a reply where the clock stood: its id and position, of 8 bytes each. NULL: that
 * is not told. */
const uint8_t *needs_clock(const struct reply *reply);
/* Whether such a reason has this command among those that are forbidden. */
bool needs_lack(const char *problem, const char *command);

#endif
