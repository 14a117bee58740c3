/* SPDX-License-Identifier: MIT */
/*
 * The formats. Each returns NULL, or what is wrong, which the caller frees.
 */
#ifndef PERF_INPUT_FORMATS_H
#define PERF_INPUT_FORMATS_H

#include "input/builder.h"
#include "input/stream.h"

char *format_log(struct builder *b, struct stream *s);
/* {u32 key, u32 size}, little-endian. */
char *format_t8(struct builder *b, struct stream *s);
/* libCacheSim's oracleGeneral: {u32 seconds, u64 id, u32 size, i64 next}, packed. */
char *format_oracle(struct builder *b, struct stream *s);
/* Whether a file that begins so may be one: its times do not go back, and the next request of each
 * key is one to come, or none. For where no name tells. */
bool format_may_be_oracle(const char *head, size_t len);
/* ... one of keys and sizes, which says nothing but that no size is absurd. */
bool format_may_be_t8(const char *head, size_t len);

/* Whether a file that begins so is a recording of nigh's. */
bool format_is_recording(const char *head, size_t len);
char *format_recording(struct builder *b, struct stream *s);

#endif
