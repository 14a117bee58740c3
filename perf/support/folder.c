// SPDX-License-Identifier: MIT
/*
 * Temporary folders and copies.
 */
#include "support/folder.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/ending.h"
#include "support/fail.h"

#define COPY_CHUNK (1u << 20)

static char folder[256];

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

void folder_remove(void)
{
    if (folder[0])
        nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    folder[0] = '\0';
}

const char *folder_create(const char *prefix)
{
    const char *base = getenv("TMPDIR");
    snprintf(folder, sizeof(folder), "%s/%s-XXXXXX", base && base[0] ? base : "/tmp", prefix);
    if (!mkdtemp(folder))
        fail("cannot make a temporary folder %s", folder);
    ending_add(folder_remove);
    return folder;
}

static void write_all(int fd, const char *data, size_t len, const char *path)
{
    while (len) {
        ssize_t written = write(fd, data, len);
        if (written <= 0)
            fail("cannot write %s", path);
        data += written;
        len -= (size_t)written;
    }
}

void folder_copy_file(const char *from, const char *to)
{
    char *chunk = must_alloc(1, COPY_CHUNK);
    int in = open(from, O_RDONLY | O_CLOEXEC);
    int out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    ssize_t got;
    if (in < 0 || out < 0)
        fail("cannot copy %s to %s", from, to);
    while ((got = read(in, chunk, COPY_CHUNK)) > 0)
        write_all(out, chunk, (size_t)got, to);
    if (got < 0 || close(out) != 0)
        fail("cannot copy %s to %s", from, to);
    close(in);
    free(chunk);
}

void folder_make(const char *path)
{
    char part[512];
    snprintf(part, sizeof(part), "%s", path);
    for (char *at = part + 1; *at; at++) {
        if (*at != '/')
            continue;
        *at = '\0';
        mkdir(part, 0700);
        *at = '/';
    }
    mkdir(part, 0700);
}
