/* SPDX-License-Identifier: MIT */
/*
 * The bytes of a file, decompressed if they begin as zstd does, whatever the file's name.
 */
#ifndef PERF_INPUT_STREAM_H
#define PERF_INPUT_STREAM_H

#include <stdbool.h>
#include <stddef.h>

#include "support/text.h"

struct stream;

/*
 * Open a file, or stdin for "-". NULL: it cannot be read, and *ret_why, which the caller frees,
 * says why.
 */
struct stream *input_stream_open(const char *path, char **ret_why);
void input_stream_close(struct stream *s);

/* Up to `size` bytes; fewer only at the end, or where something is wrong: input_stream_why(). */
size_t input_stream_read(struct stream *s, void *buffer, size_t size);
/* The next line, without its newline; valid until the next call. False: there is none. A line
 * longer than LINE_BYTES_MAX is cut there. */
bool input_stream_line(struct stream *s, struct text *ret);
#define LINE_BYTES_MAX ((size_t)64 << 10)

/* Copy the next bytes without taking them: up to `size`, 4096 at most. */
size_t input_stream_peek(struct stream *s, void *buffer, size_t size);

/* Why it ended before its end; NULL: it did not. Lives as long as the stream. */
const char *input_stream_why(const struct stream *s);
const char *input_stream_path(const struct stream *s);

#endif
