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

/* All scripts: X(the end of its name here, its file). */
#define SCRIPTS(X)                                                                                 \
    X(LEASE, lease) X(LEASE_MANY, lease_many) X(OVERRIDE, override) X(EXTEND, extend)              \
    X(RELEASE, release) X(FILL, fill) X(FILL_MANY, fill_many) X(TELL, tell) X(CHANGE, change)      \
    X(CHANGE_OLD, change_old) X(BEAT, beat) X(RESYNC, resync) X(PEEK, peek)

#define SCRIPT_ID(name, file) SCRIPT_##name,
enum script_id { SCRIPTS(SCRIPT_ID) SCRIPT_COUNT };
#undef SCRIPT_ID

struct script {
    struct bytes text;
    const char *sha1;
};

extern const struct script script_table[SCRIPT_COUNT];

/* The text of the handshake's question (needs.h): always sent whole. */
extern const struct bytes script_needs;

#endif
