// SPDX-License-Identifier: MIT
/*
 * Traces of records that have all the same size.
 */
#include <stdio.h>
#include <string.h>

#include "input/formats.h"
#include "support/fail.h"

#define T8_BYTES         8u
#define ORACLE_BYTES     24u
#define RECORD_BYTES_MAX 24u

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
    size_t got;
    while ((got = input_stream_read(s, record, bytes)) == bytes)
        take(b, record);
    if (input_stream_why(s))
        return must_print("%s", input_stream_why(s));
    if (got)
        return must_print("%s is cut off: after %zu requests of %zu bytes there are %zu more bytes",
                          input_stream_path(s), b->in->trace.count, bytes, got);
    return NULL;
}

/* A trace whose sizes are all 1 or 0 does not know them. */
static void judge_sizes(struct input *in)
{
    uint32_t most = 0;
    for (size_t i = 0; i < in->trace.count; i++)
        most = in->trace.requests[i].size > most ? in->trace.requests[i].size : most;
    in->has_sizes = most > 1;
}

static void forget_times(struct input *in)
{
    free(in->trace.at_us);
    in->trace.at_us = NULL;
}

char *format_t8(struct builder *b, struct stream *s)
{
    b->in->format = "trace of keys and sizes";
    char *why = read_records(b, s, T8_BYTES, take_t8);
    judge_sizes(b->in);
    forget_times(b->in);
    return why;
}

char *format_oracle(struct builder *b, struct stream *s)
{
    b->in->format = "oracleGeneral trace";
    char *why = read_records(b, s, ORACLE_BYTES, take_oracle);
    judge_sizes(b->in);
    builder_settle_times(b);
    return why;
}
