// SPDX-License-Identifier: MIT
/*
 * Standard input and output that wait, whatever others have made of them.
 *
 * Whether a file blocks is a property of what is open, not of the program: a shell's neighbour in a
 * pipe, or ssh, may have set O_NONBLOCK on what it shares with us, and what does not fit at that
 * moment is then EAGAIN. C streams take that for a failure, and lose the rest. To clear the flag
 * would be no better: the neighbour relies on it. So all goes through streams that poll.
 */
#include "tool/tool.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

/* Waits for it after a call that failed. False: that was no want of room, or of bytes. */
static bool wait_for(int fd, short events)
{
    struct pollfd p = {.fd = fd, .events = events};
    if (errno != EAGAIN)
        return errno == EINTR;
    while (poll(&p, 1, -1) < 0 && errno == EINTR)
        ;
    return true;
}

static ssize_t read_in(void *arg, char *to, size_t size)
{
    ssize_t n;
    (void)arg;
    while ((n = read(STDIN_FILENO, to, size)) < 0 && wait_for(STDIN_FILENO, POLLIN))
        ;
    return n;
}

/* Writes all of it, for less is a failure to a stream. */
static ssize_t write_out(void *arg, const char *from, size_t size)
{
    size_t done = 0;
    (void)arg;
    while (done < size) {
        ssize_t n = write(STDOUT_FILENO, from + done, size - done);
        if (n < 0 && !wait_for(STDOUT_FILENO, POLLOUT))
            break;
        done += n > 0 ? (size_t)n : 0;
    }
    return (ssize_t)done;
}

void streams_wait(void)
{
    FILE *in = fopencookie(NULL, "r", (cookie_io_functions_t){.read = read_in});
    FILE *out = fopencookie(NULL, "w", (cookie_io_functions_t){.write = write_out});
    if (in)
        stdin = in;
    if (out && isatty(STDOUT_FILENO))
        setvbuf(out, NULL, _IOLBF, BUFSIZ);
    if (out)
        stdout = out;
}
