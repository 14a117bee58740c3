// SPDX-License-Identifier: MIT
/*
 * An access log as requests: the key is path and query, the size what was sent.
 *
 * A 304 sends nothing, so it gets the size that its key has in another line, or, where no line
 * tells, the mean of all. A larger answer counts for a smaller one of the same key (one that broke
 * off).
 */
#include "input/formats.h"
#include "input/log_line.h"
#include "support/fail.h"
#include "support/hash.h"

#define GARBAGE_MOST 0.5 /* of the lines: more, and this is no access log */
#define SHOWN_BYTES  40

static uint32_t size_of(const struct log_line *line)
{
    if (line->status == 304 || !line->has_bytes)
        return SIZE_UNKNOWN;
    return line->bytes < SIZE_UNKNOWN ? (uint32_t)line->bytes : SIZE_UNKNOWN - 1;
}

static void take_line(struct builder *b, struct text text, char *first)
{
    struct input *in = b->in;
    struct log_line line;
    in->lines++;
    if (text.len == 0)
        return;
    switch (log_line_parse(text, &line)) {
    case LOG_REQUEST:
        builder_add(b, hash_text(line.target), size_of(&line),
                    line.has_time ? line.time_s * 1000000 : TIME_UNKNOWN);
        b->key_bytes_sum += line.target.len;
        break;
    case LOG_OTHER: in->others++; break;
    case LOG_GARBAGE:
        if (in->garbage++ == 0) {
            in->first_garbage = in->lines;
            size_t len = text.len < SHOWN_BYTES ? text.len : SHOWN_BYTES;
            for (size_t i = 0; i < len; i++)
                first[i] = text.data[i] >= ' ' && text.data[i] < 127 ? text.data[i] : '?';
            first[len] = '\0';
        }
    }
}

/* ---- all of it ---- */

static char *judge(const struct input *in, const char *path, const char *first)
{
    if (in->lines == 0)
        return must_print("%s is empty", path);
    if ((double)in->garbage > GARBAGE_MOST * (double)in->lines)
        return must_print("%s is no access log in the common or combined format: %llu of %llu "
                          "lines are no requests; line %llu: \"%s\"",
                          path, (unsigned long long)in->garbage, (unsigned long long)in->lines,
                          (unsigned long long)in->first_garbage, first);
    if (in->trace.count == 0)
        return must_print("%s has no request that could be cached: no line of %llu is a GET with "
                          "status 200 or 304",
                          path, (unsigned long long)in->lines);
    return NULL;
}

char *format_log(struct builder *b, struct stream *s)
{
    struct text line;
    char first[SHOWN_BYTES + 1] = "";
    b->in->format = "access log";
    while (input_stream_line(s, &line))
        take_line(b, line, first);
    char *why = input_stream_why(s) ? must_print("%s", input_stream_why(s))
                                    : judge(b->in, input_stream_path(s), first);
    builder_settle_sizes(b);
    builder_settle_times(b);
    return why;
}
