/* SPDX-License-Identifier: MIT */
/*
 * SHA-1, because Redis names scripts by it (EVALSHA). Nothing here depends on its strength.
 */
#ifndef NIGH_L2_SHA1_H
#define NIGH_L2_SHA1_H

#include <stddef.h>

#define SHA1_HEX_BYTES 40

/* Lower-case hexadecimal digest and a NUL. */
void sha1_hex(const void *data, size_t len, char ret_hex[SHA1_HEX_BYTES + 1]);

#endif
