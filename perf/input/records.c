// SPDX-License-Identifier: MIT
/*
 * Traces of records that have all the same size.
 */
#include <nigh/options.h>
#include <stdio.h>
#include <string.h>

#include "input/formats.h"
#include "support/fail.h"

#define T8_BYTES         8u
#define ORACLE_BYTES     24u
#define RECORD_BYTES_MAX 24u
#define WRONG_MOST       0.1 /* of the requests */
#define NEXT_MOST        ((int64_t)1 << 40) /* of no trace is there so much */

static uint32_t u32_at(const unsigned char *p)
{
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint64_t u64_at(const unsigned char *p)
{
    return u32_at(p) | (uint64_t)u32_at(p + 4) << 32;
}

static void take_t8(struct builder *b, const unsigned char *p)
{
    builder_add(b, u32_at(p), u32_at(p + 4), 0);
}

static void take_oracle(struct builder *b, const unsigned char *p)
{
    builder_add(b, u64_at(p + 4), u32_at(p + 12), (int64_t)u32_at(p) * 1000000);
}

static char *read_records(struct builder *b, struct stream *s, size_t bytes,
                          void (*take)(struct builder *b, const unsigned char *record))
{
    unsigned char record[RECORD_BYTES_MAX];
    size_t got = 0;
    while (!b->full && (got = input_stream_read(s, record, bytes)) == bytes)
        take(b, record);
    if (input_stream_why(s))
        return must_print("%s", input_stream_why(s));
    if (got && got < bytes)
        return must_print("%s is cut off: its request %zu has %zu of %zu bytes",
                          input_stream_path(s), b->in->trace.count + 1, got, bytes);
    return NULL;
}

/*
 * A trace whose sizes are all 1 or 0 does not know them. Nothing in these formats tells a file of
 * them from any other. Where many sizes are what no value of nigh's may have, it is either not what
 * its name says or one of films, say, most of which nigh would never keep: neither is replayed, for
 * the answer would be about something else.
 */
static char *judge_sizes(struct input *in, const char *path)
{
    uint32_t most = 0;
    size_t huge = 0, count = in->trace.count;
    for (size_t i = 0; i < count; i++) {
        uint32_t size = in->trace.requests[i].size;
        most = size > most ? size : most;
        huge += size > NIGH_VALUE_MAX;
    }
    in->has_sizes = most > 1;
    if ((double)huge <= WRONG_MOST * (double)count)
        return NULL;
    return must_print("%s is no %s, or one of values that nigh does not keep: %zu of its %zu sizes "
                      "are above %u MiB", path, in->format, huge, count, NIGH_VALUE_MAX >> 20);
}

/* ... or where times go to and fro. */
static char *judge_times(const struct input *in, const char *path)
{
    size_t back = 0, count = in->trace.count;
    for (size_t i = 1; i < count; i++)
        back += in->trace.at_us[i] < in->trace.at_us[i - 1];
    if ((double)back <= WRONG_MOST * (double)count)
        return NULL;
    return must_print("%s is no %s: its times go back %zu times in %zu requests", path, in->format,
                      back, count);
}

static void forget_times(struct input *in)
{
    free(in->trace.at_us);
    in->trace.at_us = NULL;
}

bool format_may_be_t8(const char *head, size_t len)
{
    const unsigned char *p = (const unsigned char *)head;
    for (size_t at = 0; at + T8_BYTES <= len; at += T8_BYTES)
        if (u32_at(p + at + 4) > NIGH_VALUE_MAX)
            return false;
    return len >= T8_BYTES;
}

bool format_may_be_oracle(const char *head, size_t len)
{
    const unsigned char *p = (const unsigned char *)head;
    uint32_t latest = 0;
    for (size_t at = 0; at + ORACLE_BYTES <= len; at += ORACLE_BYTES) {
        uint32_t time = u32_at(p + at);
        int64_t next = (int64_t)u64_at(p + at + 16);
        bool comes = next > (int64_t)(at / ORACLE_BYTES), never = next == -1 || next == INT64_MAX;
        if (time < latest || !(comes || never) || (comes && !never && next > NEXT_MOST))
            return false;
        latest = time;
    }
    return len >= 2 * (size_t)ORACLE_BYTES;
}

char *format_t8(struct builder *b, struct stream *s)
{
    b->in->format = "trace of keys and sizes";
    char *why = read_records(b, s, T8_BYTES, take_t8);
    why = why ? why : judge_sizes(b->in, input_stream_path(s));
    forget_times(b->in);
    return why;
}

char *format_oracle(struct builder *b, struct stream *s)
{
    b->in->format = "oracleGeneral trace";
    char *why = read_records(b, s, ORACLE_BYTES, take_oracle);
    why = why ? why : judge_sizes(b->in, input_stream_path(s));
    why = why ? why : judge_times(b->in, input_stream_path(s));
    builder_settle_times(b);
    return why;
}
