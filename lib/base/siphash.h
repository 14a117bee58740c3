/* SPDX-License-Identifier: MIT */
/*
 * SipHash-1-3: a keyed hash for keys that an enemy chooses and whose timing he sees.
 *
 * Source: Aumasson and Bernstein, "SipHash: a fast short-input PRF" (2012), with one round per
 * word and three at the end, as Rust, Python and the Linux kernel's hash tables take it. No Debian
 * package has it as a C library.
 */
#ifndef NIGH_BASE_SIPHASH_H
#define NIGH_BASE_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

uint64_t siphash_1_3(const uint64_t key[2], const void *data, size_t len);

#endif
