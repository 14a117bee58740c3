// SPDX-License-Identifier: MIT
/*
 * Two buffers: what came from the file, and, where that is compressed, what became of it.
 */
#include "input/stream.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>

#include "input/unzstd.h"
#include "support/fail.h"

#define BUFFER_BYTES (2 * LINE_BYTES_MAX)

/* `from` to `to` is what is left of a buffer. */
struct buffer {
    char bytes[BUFFER_BYTES];
    size_t from, to;
};

struct stream {
    FILE *file;
    const char *path;
    struct unzstd *unzstd; /* NULL: as it is */
    char *why;
    bool at_end;       /* of the file */
    struct buffer raw; /* compressed */
    struct buffer out;
};

static void wrong(struct stream *s, const char *what)
{
    if (!s->why)
        s->why = must_print("%s: %s", s->path, what);
}

/* ---- filling ---- */

static void make_room(struct buffer *b)
{
    if (b->from == 0)
        return;
    memmove(b->bytes, b->bytes + b->from, b->to - b->from);
    b->to -= b->from;
    b->from = 0;
}

/* Reads into what is free behind b->to. */
static void take_file(struct stream *s, struct buffer *b)
{
    size_t got = fread(b->bytes + b->to, 1, sizeof(b->bytes) - b->to, s->file);
    b->to += got;
    if (ferror(s->file))
        wrong(s, strerror(errno));
    s->at_end = got == 0;
}

static void decompress(struct stream *s)
{
    struct buffer *raw = &s->raw, *out = &s->out;
    size_t in = raw->to - raw->from, made = sizeof(out->bytes) - out->to;
    const char *bad =
        unzstd_step(s->unzstd, raw->bytes + raw->from, &in, out->bytes + out->to, &made);
    raw->from += in;
    out->to += made;
    if (bad)
        wrong(s, bad);
    if (in || made || bad)
        return;
    if (!s->at_end) {
        make_room(raw);
        take_file(s, raw);
    }
    if (s->at_end && !unzstd_is_whole(s->unzstd))
        wrong(s, "is cut off in the middle of compressed data");
}

/* More into `out`, which has room. False: there is no more. */
static bool fill(struct stream *s)
{
    size_t before = s->out.to;
    while (s->out.to == before && !s->why) {
        if (s->unzstd)
            decompress(s);
        else
            take_file(s, &s->out);
        if (s->at_end && (!s->unzstd || s->raw.from == s->raw.to) && s->out.to == before)
            return false;
    }
    return s->out.to > before;
}

/* So that `want` bytes are there, or all that there are. */
static size_t have(struct stream *s, size_t want)
{
    if (s->out.from + want > sizeof(s->out.bytes))
        make_room(&s->out);
    while (s->out.to - s->out.from < want && s->out.to < sizeof(s->out.bytes) && fill(s))
        continue;
    return s->out.to - s->out.from;
}

/* ---- opening ---- */

static bool open_file(struct stream *s, char **ret_why)
{
    struct stat info;
    s->file = strcmp(s->path, "-") == 0 ? stdin : fopen(s->path, "rb");
    if (!s->file || fstat(fileno(s->file), &info) != 0) {
        *ret_why = must_print("cannot read %s: %m", s->path);
        return false;
    }
    if (S_ISDIR(info.st_mode)) {
        *ret_why = must_print("%s is a folder, not a file", s->path);
        return false;
    }
    return true;
}

static bool is_zstd(const char *bytes, size_t len)
{
    static const unsigned char magic[] = {0x28, 0xb5, 0x2f, 0xfd};
    return len >= sizeof(magic) && memcmp(bytes, magic, sizeof(magic)) == 0;
}

static bool look_inside(struct stream *s, char **ret_why)
{
    size_t got = have(s, 4);
    const char *at = s->out.bytes;
    if (got >= 2 && memcmp(at, "\x1f\x8b", 2) == 0) {
        *ret_why = must_print("%s is compressed with gzip: give it as \"zcat %s | ... -\"", s->path,
                              s->path);
        return false;
    }
    if (!is_zstd(at, got))
        return true;
    s->unzstd = unzstd_create();
    if (!s->unzstd) {
        *ret_why = must_print("%s is compressed with zstd, and libzstd-dev was not there when this "
                              "was built: give it as \"zstdcat %s | ... -\"",
                              s->path, s->path);
        return false;
    }
    s->raw = s->out;
    s->out.from = s->out.to = 0;
    return true;
}

struct stream *input_stream_open(const char *path, char **ret_why)
{
    struct stream *s = must_alloc(1, sizeof(*s));
    s->path = path;
    if (open_file(s, ret_why) && look_inside(s, ret_why))
        return s;
    input_stream_close(s);
    return NULL;
}

void input_stream_close(struct stream *s)
{
    if (s->file && s->file != stdin)
        fclose(s->file);
    unzstd_destroy(s->unzstd);
    free(s->why);
    free(s);
}

/* ---- taking ---- */

size_t input_stream_peek(struct stream *s, void *buffer, size_t size)
{
    size_t got = have(s, size);
    got = got < size ? got : size;
    memcpy(buffer, s->out.bytes + s->out.from, got);
    return got;
}

size_t input_stream_read(struct stream *s, void *buffer, size_t size)
{
    size_t done = 0;
    while (done < size && have(s, 1) > 0) {
        size_t got = s->out.to - s->out.from;
        got = got < size - done ? got : size - done;
        memcpy((char *)buffer + done, s->out.bytes + s->out.from, got);
        s->out.from += got;
        done += got;
    }
    return done;
}

static void skip_line(struct stream *s)
{
    while (have(s, 1) > 0) {
        size_t got = s->out.to - s->out.from;
        const char *end = memchr(s->out.bytes + s->out.from, '\n', got);
        s->out.from = end ? (size_t)(end - s->out.bytes) + 1 : s->out.to;
        if (end)
            return;
    }
}

bool input_stream_line(struct stream *s, struct text *ret)
{
    size_t got = s->out.to - s->out.from;
    const char *end = memchr(s->out.bytes + s->out.from, '\n', got);
    if (!end) {
        got = have(s, LINE_BYTES_MAX);
        end = memchr(s->out.bytes + s->out.from, '\n', got);
    }
    if (got == 0)
        return false;
    const char *at = s->out.bytes + s->out.from;
    size_t len = end ? (size_t)(end - at) : got;
    *ret = (struct text){at, len < LINE_BYTES_MAX ? len : LINE_BYTES_MAX};
    s->out.from += len + (end ? 1 : 0);
    if (!end && got >= LINE_BYTES_MAX) {
        static char kept[LINE_BYTES_MAX];
        memcpy(kept, ret->data, ret->len);
        ret->data = kept;
        skip_line(s);
    }
    return true;
}

const char *input_stream_why(const struct stream *s)
{
    return s->why;
}

const char *input_stream_path(const struct stream *s)
{
    return s->path;
}
