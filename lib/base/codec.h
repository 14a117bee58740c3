/* SPDX-License-Identifier: MIT */
/*
 * Making values smaller for the way to Redis, and whole again.
 *
 * A codec is a number on the wire ("Envelope" in l2/README.md), a name, and two functions over
 * bytes that keep no state: any thread, any number at once. A build has those whose libraries were
 * there when it was made.
 *
 * Nothing that was read is believed: codec_unpack() writes no byte beyond the length that it is
 * given, and what does not come out as exactly that long has failed. The caller has bounded that
 * length before he allocated the memory.
 *
 * The levels are the quick ones: of pages of text the others save few bytes more, for many times
 * the time (`perf/run compress`).
 */
#ifndef NIGH_BASE_CODEC_H
#define NIGH_BASE_CODEC_H

#include "base/bytes.h"
#include "base/mem.h"

enum codec { CODEC_NONE, CODEC_LZ4, CODEC_ZSTD };

/* Returns the name of a codec by its number, which may be any: "none", "lz4", "zstd", "unknown". */
const char *codec_name(unsigned codec);
/* Whether this build has it. */
bool codec_is_built(unsigned codec);
/* Compress into `room` bytes at most. Returns how many they are; 0: there would be more, there is
 * no memory to work in, or the build does not have the codec. */
size_t codec_pack(unsigned codec, struct mem *mem, struct bytes plain, void *to, size_t room);
/* Decompress to `len` bytes. False: these are not what such bytes were compressed to. */
bool codec_unpack(unsigned codec, struct bytes packed, void *to, size_t len);

#endif
