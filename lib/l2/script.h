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

enum script_id {
    SCRIPT_LEASE,
    SCRIPT_LEASE_MANY,
    SCRIPT_OVERRIDE,
    SCRIPT_EXTEND,
    SCRIPT_RELEASE,
    SCRIPT_FILL,
    SCRIPT_FILL_MANY,
    SCRIPT_TELL,
    SCRIPT_CHANGE,
    SCRIPT_CHANGE_OLD,
    SCRIPT_BEAT,
    SCRIPT_RESYNC,
    SCRIPT_COUNT
};

struct script {
    struct bytes text;
    const char *sha1;
};

extern const struct script script_table[SCRIPT_COUNT];

#endif
