// SPDX-License-Identifier: MIT
/*
 * An access log as requests: the key is path and query, behind the site where lines name one; the
 * size is what was sent.
 *
 * A 304 sends nothing, so it gets the size that its key has in another line, or, where no line
 * tells, the mean of all. A larger answer counts for a smaller one of the same key (one that broke
 * off).
 */
#include <stdio.h>

#include "input/formats.h"
#include "input/log_line.h"
#include "support/fail.h"
#include "support/hash.h"

#define GARBAGE_MOST   0.5      /* of the lines: more, and this is no access log */
#define LINES_HOPELESS 1000000u /* so many, most of them garbage: nobody reads on */
#define HEAD_BYTES     64u      /* by which is guessed what it is instead */

static uint32_t size_of(const struct log_line *line)
{
    if (line->status == 304 || !line->has_bytes)
        return SIZE_UNKNOWN;
    return line->bytes < SIZE_UNKNOWN ? (uint32_t)line->bytes : SIZE_UNKNOWN - 1;
}

static void show(struct input *in, struct text text)
{
    size_t len = text.len < sizeof(in->shown) - 1 ? text.len : sizeof(in->shown) - 1;
    in->first_garbage = in->lines;
    for (size_t i = 0; i < len; i++)
        in->shown[i] = text.data[i] >= ' ' && text.data[i] < 127 ? text.data[i] : '?';
    in->shown[len] = '\0';
}

static void take_request(struct builder *b, const struct log_line *line)
{
    struct input *in = b->in;
    builder_add(b, hash_within(line->site, line->target), size_of(line),
                line->has_time ? line->time_s * 1000000 : TIME_UNKNOWN);
    b->key_bytes_sum += line->site.len + line->target.len;
    if (line->site.len > 0 && in->sited++ == 0)
        snprintf(in->site, sizeof(in->site), "%.*s", (int)line->site.len, line->site.data);
}

static void take_line(struct builder *b, struct text text)
{
    struct input *in = b->in;
    struct log_line line;
    in->lines++;
    if (text.len == 0)
        return;
    switch (log_line_parse(text, &line)) {
    case LOG_REQUEST: take_request(b, &line); break;
    case LOG_OTHER: in->others++; break;
    case LOG_GARBAGE:
        if (in->garbage++ == 0)
            show(in, text);
    }
}

/* ---- all of it ---- */

static bool is_mostly_garbage(const struct input *in)
{
    return (double)in->garbage > GARBAGE_MOST * (double)in->lines;
}

/* Says what a file that is no log may be, from how it begins. */
static const char *hint(const char *head, size_t len)
{
    size_t zeros = 0;
    for (size_t i = 0; i < len; i++)
        zeros += head[i] == '\0';
    if (format_is_recording(head, len))
        return "\nIt is a recording of nigh's: give it with --trace";
    if (len > 0 && head[0] == '{')
        return "\nOf JSON make such lines first";
    if (zeros > 0 && (zeros == len / 2 || zeros == len / 2 - 1))
        return "\nIt looks like UTF-16: put iconv -f UTF-16 -t UTF-8 FILE | before the command,"
               "\nand - in the place of the file";
    return zeros > 0 ? "\nIt is no text: is it a trace (--trace)?" : "";
}

static char *judge(const struct input *in, const char *path, const char *hint)
{
    if (in->lines == 0)
        return must_print("%s is empty", path);
    if (is_mostly_garbage(in))
        return must_print("%s is no access log in the common or combined format\n"
                          "(host - - [time] \"GET /path HTTP/1.1\" 200 bytes):\n"
                          "%llu of %llu lines are no requests; line %llu: \"%s\"%s",
                          path, (unsigned long long)in->garbage, (unsigned long long)in->lines,
                          (unsigned long long)in->first_garbage, in->shown, hint);
    if (in->trace.count == 0)
        return must_print("%s has no request that could be cached: no line of %llu is a GET with "
                          "status 200 or 304",
                          path, (unsigned long long)in->lines);
    return NULL;
}

char *format_log(struct builder *b, struct stream *s)
{
    const struct input *in = b->in;
    struct text line;
    char head[HEAD_BYTES];
    size_t len = input_stream_peek(s, head, sizeof(head));
    b->in->format = "access log";
    while (!b->full && (in->lines < LINES_HOPELESS || !is_mostly_garbage(in)) &&
           input_stream_line(s, &line))
        take_line(b, line);
    char *why = input_stream_why(s) ? must_print("%s", input_stream_why(s))
                                    : judge(in, input_stream_path(s), hint(head, len));
    builder_settle_sizes(b);
    builder_settle_times(b);
    return why;
}
