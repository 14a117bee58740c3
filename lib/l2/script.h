/* SPDX-License-Identifier: MIT */
/*
 * The scripts of the protocol: their texts, and the digests that EVALSHA names them by.
 */
#ifndef NIGH_L2_SCRIPT_H
#define NIGH_L2_SCRIPT_H

#include "base/base.h"

#define SCRIPT_SHA1_BYTES 40  /* in hexadecimal */
#define SCRIPT_LOG_MAX 16384u /* frames that the log keeps, if they are small */
#define SCRIPT_TOLD_BYTES 64u /* head of the clock, in every answer: see clock.lua */
#define SCRIPT_PAGES_AT 128u
#define SCRIPT_GROUPS_AT 640u
#define SCRIPT_DEL_MAX 4000u  /* names that one command of a script may have */

/* All scripts: X(the end of its name here, its file, its part of enum l2_work). */
#define SCRIPTS(X)                                                                                 \
    X(LEASE, lease, LEASES) X(LEASE_MANY, lease_many, LEASES) X(OVERRIDE, override, LEASES)        \
    X(EXTEND, extend, LEASES) X(RELEASE, release, LEASES) X(FILL, fill, FILLS)                     \
    X(FILL_MANY, fill_many, FILLS) X(TELL, tell, CHANGES) X(CHANGE, change, CHANGES)               \
    X(CHANGE_OLD, change_old, CHANGES) X(BEAT, beat, BEATS) X(RESYNC, resync, BEATS)               \
    X(PEEK, peek, LOOKS)

#define SCRIPT_ID(name, file, work) SCRIPT_##name,
enum script_id { SCRIPTS(SCRIPT_ID) SCRIPT_COUNT };
#undef SCRIPT_ID

struct script {
    struct bytes text;
    const char *sha1;
    uint32_t work; /* of enum l2_work */
};

extern const struct script script_table[SCRIPT_COUNT];

/* The text of the handshake's question (needs.h): always sent whole. */
extern const struct bytes script_needs;

#endif
