// SPDX-License-Identifier: MIT
/*
 * Makes, takes over and removes the file of the control socket.
 *
 * Private from the moment it exists: the mode is set on the socket before it has a name, and bind()
 * makes the file with that mode, less the umask. So the umask, which all threads share, need not be
 * touched.
 *
 * It gets its real name only when somebody listens: it is bound under another name in the same
 * folder, and then renamed, which is told not to replace anything. So whoever finds a file at which
 * nobody listens has found a dead one. Where a rename cannot be told so (network and FUSE file
 * systems) it is linked instead, which never replaces anything, and loses the other name after:
 * a process that is killed in between leaves that one behind.
 *
 *     A                                          B
 *  1  finds a dead file                          finds the same
 *  2  removes it, binds, listens
 *  3                                             removes what it believes dead: A's
 *
 * Lest this happens, a dead file is first moved away, and looked at again under the name that
 * nobody else knows; one that turns out to be alive is put back.
 *
 * Dead is one whose listener is gone. The kernel says so (ECONNREFUSED), unless a child of the dead
 * process still has the socket open: then the socket's peer is a process that is no more. (In
 * another namespace of processes it has no number here, and counts as alive.)
 */
#include "control/place.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/base.h"

#define BACKLOG 256 /* a connect that does not wait is refused beyond */
#define TRIES 3
#define BESIDE_BYTES 24u /* "/.nigh.PID.N" */

enum state { DEAD, ALIVE, ABSENT, UNKNOWN };

/* ---- names ---- */

static size_t folder_of(const char *path)
{
    return (size_t)(strrchr(path, '/') - path);
}

int place_init(struct place *p, const char *path)
{
    *p = (struct place){.ours = false};
    if (path[0] != '/')
        return error_note(NIGH_EOPTION, "control.socket=%.80s: a path from / is wanted", path);
    struct text w = text_into(p->path, sizeof(p->path));
    text_add_path(&w, path);
    if (w.needed >= sizeof(p->path) ||
        folder_of(p->path) + BESIDE_BYTES >= sizeof(p->beside))
        return error_note(NIGH_EOPTION, "control.socket=%.60s...: a socket's path has at most %zu "
                                        "bytes, its folder %zu", path, PLACE_BYTES - 1,
                          PLACE_BYTES - BESIDE_BYTES - 1);
    return 0;
}

static void name_beside(struct place *p, unsigned n)
{
    snprintf(p->beside, sizeof(p->beside), "%.*s/.nigh.%d.%u", (int)folder_of(p->path), p->path,
             (int)getpid(), n % 1000);
}

static struct sockaddr_un address_of(const char *path)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    memcpy(at.sun_path, path, strlen(path)); /* its NUL is there already */
    return at;
}

static int open_socket(void)
{
    return fd_above_standard(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
}

/* ---- who is there ---- */

static enum state state_of_peer(int fd, pid_t *ret_pid)
{
    struct ucred peer = {0};
    socklen_t len = sizeof(peer);
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) != 0)
        return ALIVE;
    *ret_pid = peer.pid;
    return peer.pid > 0 && kill(peer.pid, 0) != 0 && errno == ESRCH ? DEAD : ALIVE;
}

/* Looks who listens at the file; *ret_pid may stay 0. errno says why it is UNKNOWN. */
static enum state look(const char *path, pid_t *ret_pid)
{
    struct sockaddr_un at = address_of(path);
    int fd = open_socket();
    if (fd < 0)
        return UNKNOWN;
    int rc = connect(fd, (struct sockaddr *)(void *)&at, sizeof(at));
    int error = rc == 0 ? 0 : errno;
    enum state state = error == 0              ? state_of_peer(fd, ret_pid)
                       : error == ECONNREFUSED ? DEAD
                       : error == ENOENT       ? ABSENT
                       : error == EAGAIN       ? ALIVE /* and busy */
                                               : UNKNOWN;
    close(fd);
    errno = error;
    return state;
}

static bool is_socket(const char *path)
{
    struct stat file;
    return lstat(path, &file) == 0 && S_ISSOCK(file.st_mode);
}

/* ---- taking over ---- */

/* Gives a file that has a name of ours that of the socket, unless something has it. 0, or an
 * errno. The name of ours may stay. */
static int give_name(const struct place *p)
{
    int error = EINVAL;
    if (!fault_fires(FAULT_RENAME))
        error = renameat2(AT_FDCWD, p->beside, AT_FDCWD, p->path, RENAME_NOREPLACE) == 0 ? 0
                                                                                         : errno;
    if (error == EINVAL || error == ENOSYS || error == EOPNOTSUPP || error == EPERM)
        error = link(p->beside, p->path) == 0 ? 0 : errno;
    return error;
}

/* Moves a dead file away and looks again. False: it could not be moved, or is not dead (errno). */
static bool remove_dead(struct place *p)
{
    pid_t pid = 0;
    if (rename(p->path, p->beside) != 0)
        return errno == ENOENT;
    bool dead = is_socket(p->beside) && look(p->beside, &pid) == DEAD;
    int error = !dead && give_name(p) == 0 ? EADDRINUSE : 0;
    unlink(p->beside);
    errno = error;
    return error == 0;
}

/* Clears the path of what is dead. False: `why`. */
static bool clear(struct place *p, char *why, size_t size)
{
    pid_t pid = 0;
    struct stat file;
    if (lstat(p->path, &file) != 0 && errno == ENOENT)
        return true;
    if (!is_socket(p->path)) {
        snprintf(why, size, "there is a file that is no socket");
        return false;
    }
    enum state state = look(p->path, &pid);
    if (state == ABSENT || (state == DEAD && remove_dead(p)))
        return true;
    if (state == ALIVE)
        snprintf(why, size, "taken by process %d%s", (int)pid, pid == getpid() ? ", this one" : "");
    else
        snprintf(why, size, "%s", strerrordesc_np(errno));
    return false;
}

/* ---- making ---- */

static int listen_beside(struct place *p)
{
    struct sockaddr_un at = address_of(p->beside);
    struct stat file;
    int fd = open_socket();
    if (fd < 0)
        return -1;
    unlink(p->beside); /* of a process of this number that died between two steps */
    if (fchmod(fd, S_IRUSR | S_IWUSR) == 0 &&
        bind(fd, (struct sockaddr *)(void *)&at, sizeof(at)) == 0 && listen(fd, BACKLOG) == 0 &&
        lstat(p->beside, &file) == 0) {
        p->device = file.st_dev;
        p->inode = file.st_ino;
        return fd;
    }
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

/* Makes a socket under the other name, and gives it its own. -1 and errno. */
static int make(struct place *p)
{
    int fd = listen_beside(p);
    if (fd < 0)
        return -1;
    int error = give_name(p);
    unlink(p->beside);
    if (error != 0)
        close(fd);
    p->ours = error == 0;
    errno = error;
    return error == 0 ? fd : -1;
}

int place_listen(struct place *p, char *why, size_t size)
{
    static _Atomic unsigned counter;
    name_beside(p, atomic_fetch_add_explicit(&counter, 1, memory_order_relaxed));
    for (int i = 0; i < TRIES; i++) {
        if (!clear(p, why, size))
            return -1;
        int fd = make(p);
        if (fd >= 0)
            return fd;
        if (errno != EEXIST)
            break;
    }
    snprintf(why, size, "%s", strerrordesc_np(errno));
    return -1;
}

static bool is_made_by_us(const struct place *p, const struct stat *file)
{
    return p->ours && file->st_dev == p->device && file->st_ino == p->inode;
}

bool place_is_lost(const struct place *p)
{
    struct stat file;
    return lstat(p->path, &file) == 0 ? !is_made_by_us(p, &file) : errno == ENOENT;
}

void place_leave(struct place *p)
{
    struct stat file;
    if (lstat(p->path, &file) == 0 && is_made_by_us(p, &file))
        unlink(p->path);
    p->ours = false;
}
