// SPDX-License-Identifier: MIT
/*
 * Writing the file of a recording.
 *
 * A file that is there and is no recording is left alone, for a wrong path must not cost anybody
 * his data; so are devices and pipes, whose readers could make the writer wait for ever. A link is
 * followed if it is this user's or root's: in a folder that many may write to, somebody else's may
 * lead to what he himself cannot write.
 *
 * A new file takes the place of a recording once it has its header: where two processes have the
 * same path, the first one goes on writing into the file that has no name any more, and what is at
 * the path is the last one's, whole. Only where the folder cannot be written to is the file that is
 * there written into itself, by one process at a time.
 */
#include "cache/trace_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <nigh/error.h>

_Static_assert(sizeof(struct nigh_trace_header) == 64 && sizeof(struct nigh_trace_record) == 24,
               "nigh/trace.h");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "structs are written as they are");

#define BESIDE ".XXXXXX" /* mkostemp() */

/* ---- opening ---- */

/* Where a file begins. */
struct place {
    char path[PATH_MAX];   /* as asked for; of a link, what it leads to */
    char beside[PATH_MAX]; /* the new file, until it is renamed to `path`; "": none */
    int old;               /* what is at the path; -1: nothing */
    mode_t mode;           /* its mode */
};

/* Returns NULL, or why the file that is there may not be replaced. */
static const char *objection(struct place *p)
{
    struct stat st;
    char magic[sizeof(NIGH_TRACE_MAGIC) - 1];
    int fd = p->old;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
        return "is no file";
    p->mode = st.st_mode & 0777;
    if (st.st_size == 0)
        return NULL;
    bool ours = pread(fd, magic, sizeof(magic), 0) == (ssize_t)sizeof(magic) &&
                memcmp(magic, NIGH_TRACE_MAGIC, sizeof(magic)) == 0;
    return ours ? NULL : "is there, and is no recording";
}

/* Whether the path is a link that another user made. */
static bool is_link_of_another(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0 && S_ISLNK(st.st_mode) && st.st_uid != 0 &&
           st.st_uid != geteuid();
}

static int refuse(const char *path, const char *why)
{
    return error_note(NIGH_EOPTION, "trace.file=%.200s: %s", path, why);
}

/* Look at what is at the path. Returns NULL, or why it may not be replaced. */
static const char *look_at(struct place *p)
{
    char real[PATH_MAX];
    p->mode = 0600;
    if (is_link_of_another(p->path))
        return "is another user's link";
    p->old = fd_above_standard(open(p->path, O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
    if (p->old < 0)
        return errno == ENOENT ? NULL : strerrordesc_np(errno);
    if (realpath(p->path, real))
        memcpy(p->path, real, strlen(real) + 1);
    return objection(p);
}

static const char *take_old(struct place *p, int *ret_fd)
{
    if (flock(p->old, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
        return "another process records there, and its folder cannot be written to";
    if (ftruncate(p->old, 0) != 0)
        return strerrordesc_np(errno);
    *ret_fd = p->old;
    p->old = -1;
    return NULL;
}

/* Create the file that is to be at the path. Returns NULL, or why not. */
static const char *create(struct place *p, int *ret_fd)
{
    size_t len = strlen(p->path);
    if (len + sizeof(BESIDE) > sizeof(p->beside))
        return "is too long";
    memcpy(p->beside, p->path, len);
    memcpy(p->beside + len, BESIDE, sizeof(BESIDE));
    int fd = fd_above_standard(mkostemp(p->beside, O_CLOEXEC));
    if (fd >= 0) {
        *ret_fd = fd;
        return fchmod(fd, p->mode) == 0 ? NULL : strerrordesc_np(errno);
    }
    p->beside[0] = 0;
    bool closed = errno == EACCES || errno == EPERM || errno == EROFS;
    return closed && p->old >= 0 ? take_old(p, ret_fd) : strerrordesc_np(errno);
}

/* Give the new file its name. */
static const char *put_in_place(struct place *p)
{
    if (p->beside[0] && rename(p->beside, p->path) != 0)
        return strerrordesc_np(errno);
    p->beside[0] = 0;
    return NULL;
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

bool trace_file_add_space(struct trace_file *f, uint16_t number, struct bytes name,
                          uint16_t group)
{
    struct nigh_trace_record records[1 + (NIGH_NAME_MAX + 23) / 24] = {
        {.op = NIGH_TRACE_SPACE, .space = number, .size = (uint32_t)name.len, .cost_us = group}};
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

/* Write the header of a file that is empty. Returns NULL, or why not. */
static const char *begin(struct trace_file *f, uint32_t sample, uint64_t l1_memory)
{
    struct timespec unix_time;
    clock_gettime(CLOCK_REALTIME, &unix_time);
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
    write_at(f, &f->header, sizeof(f->header), 0);
    return f->error ? strerrordesc_np(f->error) : NULL;
}

int trace_file_open(struct trace_file *f, const char *path, uint64_t size_max, uint32_t sample,
                    uint64_t l1_memory, uint64_t now_us)
{
    struct place p = {.old = -1};
    memset(f, 0, sizeof(*f));
    f->size_max = size_max;
    f->last_us = now_us;
    struct text w = text_into(p.path, sizeof(p.path));
    text_add_path(&w, path);
    if (w.needed >= sizeof(p.path))
        return refuse(path, "is too long");
    const char *why = look_at(&p);
    if (!why)
        why = create(&p, &f->fd);
    if (!why)
        why = begin(f, sample, l1_memory);
    if (!why)
        why = put_in_place(&p);
    if (p.old >= 0)
        close(p.old);
    if (!why)
        return 0;
    if (p.beside[0])
        unlink(p.beside);
    trace_file_close(f);
    return refuse(p.path, why);
}

void trace_file_close(struct trace_file *f)
{
    if (f->fd)
        close(f->fd);
    f->fd = 0;
}
