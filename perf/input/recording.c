// SPDX-License-Identifier: MIT
/*
 * Recordings of nigh's own (nigh/trace.h), as requests: reads of one process, for one key in so
 * many.
 *
 * Puts and invalidations of these keys are changes between the reads. A read that missed, after
 * which no value of its key came from Redis, a loader or a put, was a look: it stores nothing in a
 * replay either.
 *
 * A read that missed has no size: it gets that of the load, or of any other record of its key. A
 * value that is known not to exist has none, and that is its size.
 */
#include <nigh/trace.h>
#include <stdio.h>
#include <string.h>

#include "input/formats.h"
#include "support/fail.h"

#define RECORD_BYTES_MAX 256u
#define US_PER_S         1000000u

static const size_t record_least = sizeof(struct nigh_trace_record);

bool format_is_recording(const char *head, size_t len)
{
    size_t n = strlen(NIGH_TRACE_MAGIC);
    return len >= n && memcmp(head, NIGH_TRACE_MAGIC, n) == 0;
}

/* ---- the header ---- */

static char *read_header(struct builder *b, struct stream *s, struct nigh_trace_header *h)
{
    char rest[64];
    if (input_stream_read(s, h, sizeof(*h)) != sizeof(*h))
        return must_print("%s is cut off in its header", input_stream_path(s));
    if (h->version != NIGH_TRACE_VERSION || h->header_bytes < sizeof(*h) ||
        h->record_bytes < record_least || h->record_bytes > RECORD_BYTES_MAX || h->sample == 0)
        return must_print("%s is a recording of version %u with records of %u bytes, and this "
                          "reads version %u with %zu to %u",
                          input_stream_path(s), h->version, h->record_bytes, NIGH_TRACE_VERSION,
                          record_least, RECORD_BYTES_MAX);
    for (size_t at = sizeof(*h); at < h->header_bytes;) {
        size_t part = h->header_bytes - at < sizeof(rest) ? h->header_bytes - at : sizeof(rest);
        if (input_stream_read(s, rest, part) != part)
            return must_print("%s is cut off in its header", input_stream_path(s));
        at += part;
    }
    b->in->rate = 1.0 / h->sample;
    b->in->dropped = h->dropped;
    return NULL;
}

/* ---- records ---- */

struct reading {
    uint64_t time_us;
    uint64_t name_bytes; /* of a space, still to come: these records are no requests */
};

static uint32_t size_of(const struct nigh_trace_record *q)
{
    if (q->outcome == NIGH_TRACE_ABSENT)
        return 0;
    bool has = q->outcome == NIGH_TRACE_FRESH || q->outcome == NIGH_TRACE_STALE ||
               q->outcome == NIGH_TRACE_REFUSED;
    return has ? q->size : SIZE_UNKNOWN;
}

static void take_read(struct builder *b, const struct reading *r, const struct nigh_trace_record *q)
{
    if (q->outcome > NIGH_TRACE_MISS)
        return;
    builder_add(b, q->key, size_of(q), (int64_t)(r->time_us / US_PER_S));
    if (q->outcome == NIGH_TRACE_MISS)
        builder_note_miss(b, q->key);
}

static void take_load(struct builder *b, const struct nigh_trace_record *q)
{
    if (q->outcome != NIGH_TRACE_FAILED) {
        builder_note_load(b, q->key, q->cost_us);
        builder_note_value(b, q->key, false);
    }
    builder_note_size(b, q->key, size_of(q));
}

static void take_put(struct builder *b, const struct nigh_trace_record *q)
{
    builder_change(b, q->key, size_of(q), true);
    builder_note_value(b, q->key, true);
    builder_note_size(b, q->key, size_of(q));
}

static void take_l2(struct builder *b, const struct nigh_trace_record *q)
{
    if (q->outcome <= NIGH_TRACE_ABSENT)
        builder_note_value(b, q->key, false);
    builder_note_size(b, q->key, size_of(q));
}

static void take(struct builder *b, struct reading *r, const struct nigh_trace_record *q)
{
    if (r->name_bytes > 0) {
        r->name_bytes -= r->name_bytes < record_least ? r->name_bytes : record_least;
        return;
    }
    r->time_us += q->delta_us;
    switch (q->op) {
    case NIGH_TRACE_READ: take_read(b, r, q); break;
    case NIGH_TRACE_PUT: take_put(b, q); break;
    case NIGH_TRACE_L2: take_l2(b, q); break;
    case NIGH_TRACE_LOAD: take_load(b, q); break;
    case NIGH_TRACE_INVALIDATE: builder_change(b, q->key, SIZE_UNKNOWN, false); break;
    case NIGH_TRACE_SPACE: r->name_bytes = q->size; break;
    }
}

char *format_recording(struct builder *b, struct stream *s)
{
    struct nigh_trace_header h;
    struct reading r = {0};
    union {
        struct nigh_trace_record record;
        char bytes[RECORD_BYTES_MAX];
    } next;
    b->in->format = "recording of nigh's";
    char *why = read_header(b, s, &h);
    if (why)
        return why;
    r.time_us = h.start_us;
    while (input_stream_read(s, &next, h.record_bytes) == h.record_bytes)
        take(b, &r, &next.record);
    b->in->reads = h.reads < b->in->trace.count ? 0 : h.reads; /* killed in its first round */
    builder_settle_misses(b);
    builder_settle_sizes(b);
    builder_settle_times(b);
    return NULL;
}
