// SPDX-License-Identifier: MIT
/*
 * Writing the file of a recording.
 *
 * A file that is there and is no recording is left alone, for a wrong path must not cost anybody
 * his data; so are devices and pipes, whose readers could make the writer wait for ever.
 */
#include "cache/trace_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <nigh/error.h>

_Static_assert(sizeof(struct nigh_trace_header) == 64 && sizeof(struct nigh_trace_record) == 24,
               "nigh/trace.h");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "structs are written as they are");

#define PID_WORD "{pid}"

/* ---- opening ---- */

/* Write the path with this process in the place of {pid}. False: it is too long. */
static bool expand(const char *path, char *text, size_t size)
{
    const char *at = strstr(path, PID_WORD);
    if (!at)
        return (size_t)snprintf(text, size, "%s", path) < size;
    return (size_t)snprintf(text, size, "%.*s%ld%s", (int)(at - path), path, (long)getpid(),
                            at + strlen(PID_WORD)) < size;
}

/* Returns NULL, or why the file that is open may not be replaced. */
static const char *objection(int fd)
{
    struct stat st;
    char magic[sizeof(NIGH_TRACE_MAGIC) - 1];
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
        return "is no file";
    if (st.st_size == 0)
        return NULL;
    bool ours = pread(fd, magic, sizeof(magic), 0) == (ssize_t)sizeof(magic) &&
                memcmp(magic, NIGH_TRACE_MAGIC, sizeof(magic)) == 0;
    return ours ? NULL : "is there, and is no recording";
}

static int refuse(const char *path, const char *why)
{
    return error_note(NIGH_EOPTION, "trace.file=%.200s: %s", path, why);
}

static int open_at(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0600);
    return fd < 0 ? -errno : fd_above_standard(fd);
}

/* ---- writing ---- */

/* Write bytes at a place. Keeps the first error. */
static void write_at(struct trace_file *f, const void *bytes, size_t len, uint64_t at)
{
    const char *from = bytes;
    while (len > 0 && !f->error) {
        ssize_t n = fault_fires(FAULT_WRITE) ? (errno = ENOSPC, -1)
                                             : pwrite(f->fd, from, len, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            f->error = n < 0 ? errno : ENOSPC;
            return;
        }
        from += n;
        at += (uint64_t)n;
        len -= (size_t)n;
    }
}

static bool goes_on(const struct trace_file *f)
{
    return f->fd && !f->full && !f->error;
}

static void write_records(struct trace_file *f)
{
    size_t bytes = f->count * sizeof(f->records[0]);
    write_at(f, f->records, bytes, f->size - bytes);
    f->count = 0;
}

/* Buffer records, all or none. */
static bool add(struct trace_file *f, const struct nigh_trace_record *records, uint32_t count)
{
    if (!goes_on(f))
        return false;
    if (f->size + count * sizeof(*records) > f->size_max) {
        f->full = true;
        return false;
    }
    if (f->count + count > TRACE_BUFFER_RECORDS)
        write_records(f);
    memcpy(f->records + f->count, records, count * sizeof(*records));
    f->count += count;
    f->size += count * sizeof(*records);
    return goes_on(f);
}

bool trace_file_add(struct trace_file *f, struct nigh_trace_record record, uint64_t at_us)
{
    uint64_t delta = at_us > f->last_us ? at_us - f->last_us : 0;
    for (; delta > UINT32_MAX; delta -= UINT32_MAX) {
        struct nigh_trace_record gap = {.op = NIGH_TRACE_GAP, .delta_us = UINT32_MAX};
        if (!add(f, &gap, 1))
            return false;
    }
    record.delta_us = (uint32_t)delta;
    f->last_us = u64_max(f->last_us, at_us);
    return add(f, &record, 1);
}

bool trace_file_add_space(struct trace_file *f, uint16_t number, struct bytes name)
{
    struct nigh_trace_record records[1 + (NIGH_NAME_MAX + 23) / 24] = {
        {.op = NIGH_TRACE_SPACE, .space = number, .size = (uint32_t)name.len}};
    uint32_t more = (uint32_t)((name.len + sizeof(records[0]) - 1) / sizeof(records[0]));
    memcpy(records + 1, name.data, name.len);
    return add(f, records, 1 + more);
}

bool trace_file_flush(struct trace_file *f, uint64_t dropped, uint64_t reads)
{
    if (!f->fd)
        return false;
    write_records(f);
    if (dropped != f->header.dropped || reads != f->header.reads) {
        f->header.dropped = dropped;
        f->header.reads = reads;
        write_at(f, &f->header, sizeof(f->header), 0);
    }
    return goes_on(f);
}

int trace_file_open(struct trace_file *f, const char *path, uint64_t size_max, uint32_t sample,
                    uint64_t l1_memory, uint64_t now_us)
{
    char expanded[PATH_MAX];
    struct timespec unix_time;
    memset(f, 0, sizeof(*f));
    if (!expand(path, expanded, sizeof(expanded)))
        return refuse(path, "is too long");
    int fd = open_at(expanded);
    if (fd < 0)
        return refuse(expanded, strerrordesc_np(-fd));
    const char *why = objection(fd);
    if (!why && ftruncate(fd, 0) != 0)
        why = strerrordesc_np(errno);
    clock_gettime(CLOCK_REALTIME, &unix_time);
    f->fd = fd;
    f->size_max = size_max;
    f->last_us = now_us;
    f->size = sizeof(f->header);
    f->header = (struct nigh_trace_header){
        .version = NIGH_TRACE_VERSION,
        .header_bytes = sizeof(struct nigh_trace_header),
        .record_bytes = sizeof(struct nigh_trace_record),
        .sample = sample,
        .start_us = (uint64_t)unix_time.tv_sec * 1000000 + (uint64_t)unix_time.tv_nsec / 1000,
        .l1_memory = l1_memory,
    };
    memcpy(f->header.magic, NIGH_TRACE_MAGIC, sizeof(f->header.magic));
    if (!why)
        write_at(f, &f->header, sizeof(f->header), 0);
    if (!why && f->error)
        why = strerrordesc_np(f->error);
    if (!why)
        return 0;
    trace_file_close(f);
    return refuse(expanded, why);
}

void trace_file_close(struct trace_file *f)
{
    if (f->fd)
        close(f->fd);
    f->fd = 0;
}
