// SPDX-License-Identifier: MIT
/*
 * Descriptors that stay open are never the standard ones.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/base.h"
#include "support/check.h"

static bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

/* Run in a child, which has the standard descriptors to lose; it answers by its status. */
static int in_child(int (*run)(void))
{
    int status;
    pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0)
        _exit(run());
    REQUIRE(waitpid(child, &status, 0) == child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int open_low(void)
{
    for (int low = 0; low <= 2; low++) {
        close(low);
        if (eventfd(7, EFD_CLOEXEC | EFD_NONBLOCK) != low)
            return 10 + low;
        int fd = fd_above_standard(low);
        uint64_t count;
        if (fd <= 2 || is_open(low))
            return 20 + low;
        if (!(fcntl(fd, F_GETFD) & FD_CLOEXEC) || !(fcntl(fd, F_GETFL) & O_NONBLOCK))
            return 30 + low;
        if (read(fd, &count, sizeof(count)) != sizeof(count) || count != 7)
            return 40 + low;
        if (dup2(fd, low) != low) /* so that the next one is the lowest that is free */
            return 50 + low;
    }
    return 0;
}

static int open_low_without_room(void)
{
    struct rlimit none = {3, 3};
    close(1);
    if (eventfd(0, 0) != 1 || setrlimit(RLIMIT_NOFILE, &none) != 0)
        return 1;
    errno = 0;
    int fd = fd_above_standard(1);
    return fd < 0 && (errno == EMFILE || errno == EINVAL) && !is_open(1) ? 0 : 2;
}

TEST(a_standard_descriptor_is_moved_out_of_the_way)
{
    CHECK_EQ(in_child(open_low), 0);
}

TEST(where_there_is_no_room_it_is_closed)
{
    CHECK_EQ(in_child(open_low_without_room), 0);
}

TEST(others_stay_where_they_are)
{
    int fd = eventfd(0, EFD_CLOEXEC);
    REQUIRE(fd > 2);
    CHECK_EQ(fd_above_standard(fd), fd);
    close(fd);
    CHECK_EQ(fd_above_standard(-1), -1);
}
