// SPDX-License-Identifier: MIT
/*
 * Two buffers: what came from the file, and, where that is compressed, what became of it.
 *
 * A file is as long as it was when it was opened, for a log may be written faster than it is read.
 */
#include "input/stream.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "input/unzstd.h"
#include "support/fail.h"

#define BUFFER_BYTES       (2 * LINE_BYTES_MAX)
#define LINE_ENDLESS_BYTES ((size_t)64 << 20) /* no text has such a line */

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
    uint64_t left;     /* of the file as it was; UINT64_MAX: until it ends */
    bool at_end;       /* of the file */
    struct buffer raw; /* compressed */
    struct buffer out;
};

__attribute__((format(printf, 2, 3))) static void wrong(struct stream *s, const char *fmt, ...)
{
    char what[256];
    va_list args;
    va_start(args, fmt);
    vsnprintf(what, sizeof(what), fmt, args);
    va_end(args);
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
    size_t room = sizeof(b->bytes) - b->to;
    size_t got = fread(b->bytes + b->to, 1, room < s->left ? room : (size_t)s->left, s->file);
    b->to += got;
    s->left -= s->left == UINT64_MAX ? 0 : got;
    if (ferror(s->file))
        wrong(s, "%s", strerror(errno));
    s->at_end = got == 0;
}

static void check_whole(struct stream *s)
{
    if (s->unzstd && !unzstd_is_whole(s->unzstd))
        wrong(s, "what is compressed in it is cut off");
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
        wrong(s, "what is compressed in it is broken: %s", bad);
    if (in || made || bad)
        return;
    if (!s->at_end) {
        make_room(raw);
        take_file(s, raw);
    }
    if (s->at_end)
        check_whole(s);
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
        if (s->at_end && (!s->unzstd || s->raw.from == s->raw.to) && s->out.to == before) {
            check_whole(s);
            return false;
        }
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

static bool open_file(struct stream *s, const char *path, char **ret_why)
{
    struct stat info;
    s->file = strcmp(path, "-") == 0 ? stdin : fopen(path, "rb");
    if (!s->file || fstat(fileno(s->file), &info) != 0) {
        *ret_why = must_print("cannot read %s: %m", s->path);
        return false;
    }
    bool is_device = S_ISBLK(info.st_mode) || S_ISCHR(info.st_mode);
    if (S_ISDIR(info.st_mode) || (is_device && !isatty(fileno(s->file)))) {
        *ret_why = must_print("%s is a %s, not a file", s->path,
                              is_device ? "device" : "folder");
        return false;
    }
    s->left = S_ISREG(info.st_mode) && info.st_size > 0 ? (uint64_t)info.st_size : UINT64_MAX;
    return true;
}

static bool begins(const char *bytes, size_t len, const char *magic)
{
    size_t n = strlen(magic);
    return len >= n && memcmp(bytes, magic, n) == 0;
}

/* What somebody else has to unpack. */
static const struct packed {
    const char *magic, *with, *by;
} packed[] = {
    {"\x1f\x8b\x08", "gzip", "zcat"},
    {"BZh", "bzip2", "bzcat"},
    {"\xfd" "7zXZ", "xz", "xzcat"},
    {"\x04\x22\x4d\x18", "lz4", "lz4cat"},
    {"PK\x03\x04", "zip", "unzip -p"},
};

static bool look_inside(struct stream *s, char **ret_why)
{
    size_t got = have(s, 5);
    const char *at = s->out.bytes;
    for (size_t i = 0; i < sizeof(packed) / sizeof(packed[0]); i++)
        if (begins(at, got, packed[i].magic)) {
            *ret_why = must_print("%s is compressed with %s:\n"
                                  "put %s %s | before the command, and - in the place of the file",
                                  s->path, packed[i].with, packed[i].by, s->path);
            return false;
        }
    if (!begins(at, got, "\x28\xb5\x2f\xfd"))
        return true;
    s->unzstd = unzstd_create();
    if (!s->unzstd) {
        *ret_why = must_print("%s is compressed with zstd, and libzstd-dev was not there when this "
                              "was built:\n"
                              "put zstdcat %s | before the command, and - in the place of the file",
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
    s->path = strcmp(path, "-") == 0 ? "stdin" : path;
    if (open_file(s, path, ret_why) && look_inside(s, ret_why))
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
    size_t skipped = 0;
    while (have(s, 1) > 0) {
        size_t got = s->out.to - s->out.from;
        const char *end = memchr(s->out.bytes + s->out.from, '\n', got);
        s->out.from = end ? (size_t)(end - s->out.bytes) + 1 : s->out.to;
        if (end)
            return;
        skipped += got;
        if (skipped > LINE_ENDLESS_BYTES)
            wrong(s, "it has a line of more than %zu MiB: this is no text",
                  LINE_ENDLESS_BYTES >> 20);
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
