// SPDX-License-Identifier: MIT
/*
 * Moving a descriptor away from the numbers of the standard ones.
 *
 * From its opening until its closing here, for two system calls, the low number is ours: if another
 * thread prints meanwhile, the text goes to a socket that is not connected yet, or is refused.
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
