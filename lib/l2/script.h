/* SPDX-License-Identifier: MIT */
/*
 * The Lua scripts of the protocol: their texts, and the digests that EVALSHA names them by.
 */
#ifndef NIGH_L2_SCRIPT_H
#define NIGH_L2_SCRIPT_H

#include "base/base.h"
#include "l2/sha1.h"

enum script_id {
    SCRIPT_LEASE,
    SCRIPT_OVERRIDE,
    SCRIPT_EXTEND,
    SCRIPT_RELEASE,
    SCRIPT_FILL,
    SCRIPT_CHANGE,
    SCRIPT_BEAT,
    SCRIPT_RESYNC,
    SCRIPT_COUNT
};

struct script {
    struct bytes text;
    char sha1[SHA1_HEX_BYTES + 1];
};

/* How many frames the log keeps, at least (Redis trims whole nodes of the stream). */
#define SCRIPT_LOG_MAX "16384"

/* Computes the digests. */
void scripts_init(struct script scripts[SCRIPT_COUNT]);

#endif
