/* SPDX-License-Identifier: MIT */
/*
 * origin_file.h - the origin that all nodes of one test share: a file, mapped by each of them.
 *
 * Row i is the truth of key "k<i>": a number that only grows. Loads are counted for each key and
 * build, in the same file.
 */
#ifndef NIGH_TEST_UPGRADE_ORIGIN_FILE_H
#define NIGH_TEST_UPGRADE_ORIGIN_FILE_H

#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#define ORIGIN_ROWS 64u

enum build { BUILD_OLD, BUILD_NEW };

struct origin_file {
    _Atomic uint64_t rows[ORIGIN_ROWS];
    _Atomic uint32_t loads[2][ORIGIN_ROWS]; /* by enum build */
};

/* Made if it is not there; NULL: it cannot be. It stays mapped until the process ends. */
static inline struct origin_file *origin_file_map(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    void *at = MAP_FAILED;
    if (fd >= 0 && ftruncate(fd, sizeof(struct origin_file)) == 0)
        at = mmap(NULL, sizeof(struct origin_file), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (fd >= 0)
        close(fd);
    return at == MAP_FAILED ? NULL : at;
}

#endif
