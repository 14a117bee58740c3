// SPDX-License-Identifier: MIT
/*
 * Hook, stderr and syslog.
 *
 * A line on stderr says when it was written and by which process, for several may share a file, a
 * terminal, or a journal that knows them all by the one that opened it. Hooks and syslog() have
 * means of their own, which are the host's business.
 *
 * Descriptor 2 belongs to the host, and need not be its stderr: where a host has closed it, the
 * next file or socket that it opens gets the number, and a line of ours in there would be damage.
 * So descriptor 2 must be open when the cache is opened, and must look like a place for messages
 * (is_for_messages()). The same holds for a file that the host puts in its place later, as it does
 * to reopen its log. O_NONBLOCK is left as it is, for the host's own stdio shares it: we look
 * whether there is room first, and a line that finds none is lost. Nothing of stdio is used, whose
 * locks a host may hold.
 */
#include "base/log_out.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/date.h"
#include "base/log_queue.h" /* LOG_LINE_BYTES */

#define HEAD_BYTES 64u /* time, process, level and the end of the line */

#define JOURNAL "/run/systemd/"

/* A socket is for messages if it is systemd's, or one end of a socketpair (node.js gives those to
 * its children). Any other socket leads to a peer that does not expect our messages. */
static bool is_journal(int fd)
{
    struct sockaddr_un peer = {0};
    socklen_t len = sizeof(peer);
    if (getpeername(fd, (struct sockaddr *)(void *)&peer, &len) != 0 || peer.sun_family != AF_UNIX)
        return false;
    bool named = len > offsetof(struct sockaddr_un, sun_path);
    return !named || strncmp(peer.sun_path, JOURNAL, sizeof(JOURNAL) - 1) == 0;
}

/* Tells a descriptor that was handed to us from one that merely got the number: descriptors made by
 * a shell or dup2() have no close-on-exec mark, most others have one. */
static bool is_handed_on(int fd)
{
    int flags = fcntl(fd, F_GETFD);
    return flags >= 0 && !(flags & FD_CLOEXEC);
}

/* A file that is open for reading too may be somebody's data. It is not if it has no name
 * (tmpfile(), memfd_create()) or is only appended to. Any other file must stand at its end, so that
 * a line overwrites nothing. */
static bool is_log_file(int fd, int flags, const struct stat *file)
{
    if ((flags & O_ACCMODE) == O_WRONLY || (flags & O_APPEND) || file->st_nlink == 0)
        return true;
    return is_handed_on(fd) && lseek(fd, 0, SEEK_CUR) == file->st_size;
}

static bool is_for_messages(int fd, enum nigh_log_to to, struct stat *ret)
{
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || (flags & O_ACCMODE) == O_RDONLY || fstat(fd, ret) != 0)
        return false;
    if (S_ISREG(ret->st_mode))
        return to == NIGH_LOG_TO_STDERR || is_log_file(fd, flags, ret);
    if (S_ISSOCK(ret->st_mode))
        return is_journal(fd);
    return S_ISFIFO(ret->st_mode) || S_ISCHR(ret->st_mode);
}

bool log_out_init(struct log_out *out, nigh_log_fn hook, void *arg, enum nigh_log_to to)
{
    struct stat file = {0};
    *out = (struct log_out){.hook = hook, .arg = arg, .to = to};
    if (hook || to == NIGH_LOG_TO_SYSLOG)
        return true;
    if (to == NIGH_LOG_TO_NONE || !is_for_messages(STDERR_FILENO, to, &file))
        return false;
    out->device = file.st_dev;
    out->inode = file.st_ino;
    return true;
}

enum nigh_log_level log_out_level(const struct log_out *out)
{
    return out->hook ? NIGH_LOG_DEBUG : NIGH_LOG_WARN;
}

static const struct {
    const char *name;
    int priority; /* for syslog */
} levels[] = {
    [NIGH_LOG_ERROR] = {"error", LOG_ERR},
    [NIGH_LOG_WARN] = {"warning", LOG_WARNING},
    [NIGH_LOG_INFO] = {"notice", LOG_NOTICE},
    [NIGH_LOG_DEBUG] = {"debug", LOG_DEBUG},
};

/* Whether descriptor 2 is a place for messages now: still the same file, or a new one, since a host
 * that rotates its log by dup2() wants further messages in the new file. */
static bool is_stderr(struct log_out *out)
{
    struct stat now;
    if (fstat(STDERR_FILENO, &now) != 0)
        return false;
    if (now.st_dev == out->device && now.st_ino == out->inode)
        return true;
    if (!is_handed_on(STDERR_FILENO) || !is_for_messages(STDERR_FILENO, out->to, &now))
        return false;
    out->device = now.st_dev;
    out->inode = now.st_ino;
    return true;
}

static bool has_room(void)
{
    struct pollfd p = {.fd = STDERR_FILENO, .events = POLLOUT};
    return poll(&p, 1, 0) == 1 && p.revents == POLLOUT;
}

/* Writes the line without raising SIGPIPE: a pipe whose reader goes away just now raises it, and
 * that would end the host, since the thread may be the host's. */
static bool write_without_signal(const char *line, size_t len)
{
    static const struct timespec at_once;
    sigset_t pipe, pending, before;
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    sigpending(&pending);
    pthread_sigmask(SIG_BLOCK, &pipe, &before);
    bool whole = write(STDERR_FILENO, line, len) == (ssize_t)len;
    if (!whole && errno == EPIPE && !sigismember(&pending, SIGPIPE))
        sigtimedwait(&pipe, NULL, &at_once);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return whole;
}

static bool write_stderr(struct log_out *out, enum nigh_log_level level, uint64_t wall_ns,
                         const char *message)
{
    char line[LOG_TEXT_BYTES + HEAD_BYTES];
    struct date d = date_of(wall_ns / NS_PER_S);
    int len = snprintf(line, sizeof(line), "%04u-%02u-%02uT%02u:%02u:%02u.%03uZ nigh[%d]: %s: %s\n",
                       d.year, d.month, d.day, d.hour, d.minute, d.second,
                       (unsigned)(wall_ns / NS_PER_MS % 1000), (int)getpid(), levels[level].name,
                       message);
    return len > 0 && is_stderr(out) && has_room() && write_without_signal(line, (size_t)len);
}

bool log_out_write(struct log_out *out, enum nigh_log_level level, uint64_t wall_ns,
                   const char *message)
{
    if (out->hook)
        out->hook(out->arg, level, message);
    else if (out->to == NIGH_LOG_TO_SYSLOG) /* facility and name are the host's, by openlog() */
        syslog(levels[level].priority, "nigh: %s", message);
    else
        return write_stderr(out, level, wall_ns, message);
    return true;
}
