// SPDX-License-Identifier: MIT
/*
 * Recordings of nigh's own (nigh/trace.h), as requests: reads of one process, for one key in so
 * many.
 *
 * Puts and invalidations of these keys are changes between the reads, and so is what falls with a
 * group (lives.h). A read that missed, after which no value of its key came from Redis, a loader or
 * a put that L1 could keep, was a look: it stores nothing in a replay either. Those that waited for
 * one load are all looks but the last, so in a replay they miss, too.
 *
 * A read that missed has no size: it gets that of the load, or of any other record of its key. A
 * value that is known not to exist has none, and that is its size.
 */
#include <nigh/trace.h>
#include <stdio.h>
#include <string.h>

#include "input/formats.h"
#include "input/lives.h"
#include "support/fail.h"

#define RECORD_BYTES_MAX 256u
#define VERSION_LEAST    1u /* without lifetimes and groups */

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
    if (h->version < VERSION_LEAST || h->version > NIGH_TRACE_VERSION ||
        h->header_bytes < sizeof(*h) || h->record_bytes < record_least ||
        h->record_bytes > RECORD_BYTES_MAX || h->sample == 0)
        return must_print("%s is a recording of version %u with records of %u bytes, and this "
                          "reads versions %u and %u with %zu to %u",
                          input_stream_path(s), h->version, h->record_bytes, VERSION_LEAST,
                          NIGH_TRACE_VERSION, record_least, RECORD_BYTES_MAX);
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
    struct builder *b;
    struct lives *lives; /* NULL: this version tells nothing of them */
    uint64_t time_us;    /* since recording began */
    uint64_t name_bytes; /* of a space, still to come: these records are no requests */
    struct nigh_trace_record before;
};

static uint32_t size_of(const struct nigh_trace_record *q)
{
    if (q->outcome == NIGH_TRACE_ABSENT)
        return 0;
    bool has = q->outcome == NIGH_TRACE_FRESH || q->outcome == NIGH_TRACE_STALE ||
               q->outcome == NIGH_TRACE_REFUSED;
    return has ? q->size : SIZE_UNKNOWN;
}

static void take_read(struct reading *r, const struct nigh_trace_record *q)
{
    if (q->outcome > NIGH_TRACE_MISS)
        return;
    bool misses = q->outcome == NIGH_TRACE_MISS, stale = q->outcome == NIGH_TRACE_STALE;
    builder_add(r->b, q->key, size_of(q), (int64_t)r->time_us);
    if (misses || (stale && r->lives))
        builder_note_miss(r->b, q->key, stale);
    if (r->lives)
        lives_request(r->lives, q->key, q->space, r->time_us, misses || stale);
}

static void put(struct reading *r, const struct nigh_trace_record *q, struct life life)
{
    builder_change(r->b, &(struct change){.key = key_map_number(&r->b->keys, q->key),
                                          .size = size_of(q),
                                          .at_us = r->time_us,
                                          .life = life,
                                          .kind = CHANGE_PUT});
}

/* A version that tells lifetimes tells in the next record whether the value may be kept. */
static void take_value(struct reading *r, const struct nigh_trace_record *q)
{
    const struct life forever = {LIFE_FOREVER, 0};
    bool has = q->op == NIGH_TRACE_PUT || q->outcome <= NIGH_TRACE_ABSENT;
    builder_note_size(r->b, q->key, size_of(q));
    if (q->op == NIGH_TRACE_LOAD && has)
        builder_note_load(r->b, q->key, q->cost_us);
    if (r->lives || !has)
        return;
    if (q->op == NIGH_TRACE_PUT)
        put(r, q, forever);
    builder_note_value(r->b, q->key, q->op == NIGH_TRACE_PUT);
}

static void take_life(struct reading *r, const struct nigh_trace_record *q)
{
    const struct nigh_trace_record *from = &r->before;
    struct life life = {q->size < LIFE_FOREVER ? q->size : LIFE_FOREVER - 1, q->cost_us};
    bool is_put = from->op == NIGH_TRACE_PUT, is_l2 = from->op == NIGH_TRACE_L2;
    if (!r->lives || from->key != q->key || !(is_put || is_l2 || from->op == NIGH_TRACE_LOAD))
        return; /* of nothing: what it belongs to is not in the file */
    if (is_put)
        put(r, from, life);
    builder_note_value(r->b, q->key, is_put);
    lives_value(r->lives, q->key, q->space, r->time_us, life,
                is_put ? LIVES_BY_PUT : is_l2 ? LIVES_BY_L2 : LIVES_BY_LOAD);
}

static void take_groups(struct reading *r, const struct nigh_trace_record *q)
{
    const struct nigh_trace_record *from = &r->before;
    bool follows = from->op == NIGH_TRACE_LIFE || from->op == NIGH_TRACE_GROUPS;
    uint64_t four = (uint64_t)q->cost_us << 32 | q->size;
    if (r->lives && follows && from->key == q->key)
        for (; four; four >>= 16)
            lives_group_of(r->lives, q->key, (uint16_t)four);
}

static void take_invalidation(struct reading *r, const struct nigh_trace_record *q)
{
    builder_change(r->b, &(struct change){.key = key_map_number(&r->b->keys, q->key),
                                          .size = SIZE_UNKNOWN,
                                          .at_us = r->time_us});
    if (r->lives)
        lives_invalidated(r->lives, q->key);
}

static void take_space(struct reading *r, const struct nigh_trace_record *q)
{
    r->name_bytes = q->size;
    if (r->lives)
        lives_space(r->lives, q->space, (uint16_t)q->cost_us);
}

/* What falls softly is stale, and its next readers were told so. */
static void take_fall(struct reading *r, const struct nigh_trace_record *q)
{
    if (r->lives && q->outcome != NIGH_TRACE_STALE && q->key < 1u << 16)
        lives_fall(r->lives, (uint16_t)q->key, r->time_us);
}

static void take(struct reading *r, const struct nigh_trace_record *q)
{
    if (r->name_bytes > 0) {
        r->name_bytes -= r->name_bytes < record_least ? r->name_bytes : record_least;
        return;
    }
    r->time_us += q->delta_us;
    switch (q->op) {
    case NIGH_TRACE_READ: take_read(r, q); break;
    case NIGH_TRACE_PUT:
    case NIGH_TRACE_L2:
    case NIGH_TRACE_LOAD: take_value(r, q); break;
    case NIGH_TRACE_LIFE: take_life(r, q); break;
    case NIGH_TRACE_GROUPS: take_groups(r, q); break;
    case NIGH_TRACE_INVALIDATE: take_invalidation(r, q); break;
    case NIGH_TRACE_GROUP: take_fall(r, q); break;
    case NIGH_TRACE_SPACE: take_space(r, q); break;
    }
    r->before = *q;
}

char *format_recording(struct builder *b, struct stream *s)
{
    struct nigh_trace_header h;
    struct reading r = {.b = b};
    union {
        struct nigh_trace_record record;
        char bytes[RECORD_BYTES_MAX];
    } next;
    b->in->format = "recording of nigh's";
    b->has_story = true;
    char *why = read_header(b, s, &h);
    if (why)
        return why;
    r.lives = h.version > VERSION_LEAST ? lives_new(b) : NULL;
    b->in->has_lives = r.lives;
    size_t got = 0;
    while (!b->full && (got = input_stream_read(s, &next, h.record_bytes)) == h.record_bytes)
        take(&r, &next.record);
    b->in->cut = got > 0 && got < h.record_bytes;
    b->in->reads = h.reads < b->in->trace.count ? 0 : h.reads; /* killed in its first round */
    builder_settle_misses(b);
    builder_settle_sizes(b);
    builder_settle_times(b);
    if (!r.lives) {
        free(b->in->trace.lives);
        b->in->trace.lives = NULL;
    }
    lives_free(r.lives);
    return NULL;
}
