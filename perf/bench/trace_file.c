// SPDX-License-Identifier: MIT
/*
 * Files of traces and of references.
 */
#include "bench/trace_file.h"

#include <stdio.h>
#include <string.h>
#include <zstd.h>

#include "support/fail.h"

/* ---- a trace ---- */

struct reader {
    FILE *file;
    const char *path;
    ZSTD_DStream *stream;
    uint8_t in[1 << 17];
    uint8_t out[1 << 17];
    size_t out_used; /* bytes of a record whose rest is yet to come */
};

/* Records are 8 bytes; what a block ends with in their middle waits for the next. */
static void take_records(struct trace *t, struct reader *r, size_t *room)
{
    size_t whole = r->out_used / sizeof(struct request);
    if (t->count + whole > *room) {
        *room = 2 * (t->count + whole);
        t->requests = must_grow(t->requests, *room, sizeof(*t->requests));
    }
    memcpy(t->requests + t->count, r->out, whole * sizeof(struct request));
    for (size_t i = 0; i < whole; i++) {
        uint32_t key = t->requests[t->count + i].key;
        t->unique = key >= t->unique ? key + 1 : t->unique;
    }
    t->count += whole;
    size_t taken = whole * sizeof(struct request);
    memmove(r->out, r->out + taken, r->out_used - taken);
    r->out_used -= taken;
}

static void take_block(struct trace *t, struct reader *r, size_t in_size, size_t *room)
{
    ZSTD_inBuffer in = {r->in, in_size, 0};
    size_t produced;
    do {
        ZSTD_outBuffer out = {r->out, sizeof(r->out), r->out_used};
        size_t rc = ZSTD_decompressStream(r->stream, &out, &in);
        if (ZSTD_isError(rc))
            fail("%s: %s", r->path, ZSTD_getErrorName(rc));
        produced = out.pos - r->out_used;
        r->out_used = out.pos;
        take_records(t, r, room);
    } while (in.pos < in.size || produced > 0);
}

void trace_read(struct trace *t, const char *path)
{
    struct reader *r = must_alloc(1, sizeof(*r));
    size_t room = 0, got;
    *t = (struct trace){0};
    r->path = path;
    r->file = fopen(path, "rb");
    r->stream = ZSTD_createDStream();
    if (!r->file || !r->stream)
        fail("cannot read %s", path);
    while ((got = fread(r->in, 1, sizeof(r->in), r->file)) > 0)
        take_block(t, r, got, &room);
    if (t->count == 0 || r->out_used != 0 || t->count >= UINT32_MAX)
        fail("%s: not a trace of 8-byte records", path);
    if (t->unique > t->count)
        fail("%s: keys are not numbered by first appearance", path);
    ZSTD_freeDStream(r->stream);
    fclose(r->file);
    free(r);
}

char *trace_name(const char *path)
{
    const char *base = strrchr(path, '/');
    char *name = must_print("%s", base ? base + 1 : path);
    char *end = strchr(name, '.');
    if (end)
        *end = '\0';
    return name;
}

/* ---- a reference ---- */

static int in_field(const char *policy)
{
    static const char *const field[] = {"sim:LRU",  "sim:S3-FIFO", "sim:2Q",          "sim:ARC",
                                        "sim:LIRS", "sim:SIEVE",   "sim:W-TinyLFU-1%",
                                        "sim:W-TinyLFU-adaptive"};
    for (size_t i = 0; i < sizeof(field) / sizeof(field[0]); i++)
        if (strcmp(policy, field[i]) == 0)
            return 1;
    return 0;
}

size_t reference_read(const char *path, struct reference_cell **ret_cells)
{
    struct reference_cell *cells = NULL;
    size_t count = 0;
    char line[256];
    FILE *f = fopen(path, "r");
    if (!f)
        fail("cannot read %s", path);
    while (fgets(line, sizeof(line), f)) {
        char trace[40], unit[16], policy[48];
        unsigned long capacity;
        double ratio;
        if (sscanf(line, "%39[^,],%lu,%15[^,],%47[^,],%lf", trace, &capacity, unit, policy,
                   &ratio) != 5)
            continue; /* the heading */
        int by_bytes = strcmp(unit, "bytes") == 0;
        struct reference_cell *c = count ? &cells[count - 1] : NULL;
        if (!c || strcmp(c->trace, trace) != 0 || c->capacity != capacity ||
            c->by_bytes != by_bytes) {
            cells = must_grow(cells, ++count, sizeof(*cells));
            c = &cells[count - 1];
            *c = (struct reference_cell){.capacity = capacity, .by_bytes = by_bytes};
            strcpy(c->trace, trace);
        }
        if (in_field(policy) && ratio > c->best)
            c->best = ratio;
        if (strcmp(policy, "caffeine-2.6.2") == 0)
            c->caffeine = ratio;
    }
    fclose(f);
    *ret_cells = cells;
    return count;
}
