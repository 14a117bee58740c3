// SPDX-License-Identifier: MIT
/*
 * Moving a descriptor out of the way of the standard ones.
 *
 * Between its opening and its closing here the low number is ours, for two system calls: what
 * another thread prints meanwhile goes to a socket that is not connected yet, or is refused.
 */
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

int fd_above_standard(int fd)
{
    if (fd < 0 || fd > STDERR_FILENO)
        return fd;
    int above = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    int error = errno;
    close(fd);
    errno = error;
    return above;
}
