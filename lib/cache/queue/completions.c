// SPDX-License-Identifier: MIT
/*
 * Keeps completions in the order of their coming, and tells who waits for them.
 *
 * The descriptor. It is an eventfd, written when a completion enters an empty list and read when
 * the last one leaves it, both under the lock. So it is readable exactly while there are
 * completions, as anybody sees it who is not inside the lock: no wake-up is lost, whether a loop
 * looks at it before, while or after somebody polls, and none comes in vain but between two threads
 * that poll. It is made when it is first asked for, so a queue that is only polled makes no system
 * calls for it.
 *
 * Threads that wait inside a poll sleep on `word`. One that is about to sleep has looked under the
 * lock, and is counted there; a completion that enters an empty list changes the word and wakes
 * all who are counted. Nobody sleeps while there are completions: whoever finds some left over by
 * others takes them without having slept.
 */
#include "cache/queue/completions.h"

#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <nigh/error.h>

#include "cache/queue/queue.h"

void completions_init(struct completions *c, struct park *park)
{
    c->park = park;
    c->fd = -1;
}

void completions_fini(struct completions *c)
{
    if (c->fd >= 0)
        close(c->fd);
}

/* Writes by syscall(): write() is a cancellation point. */
static void fd_write_locked(const struct completions *c)
{
    uint64_t one = 1;
    if (c->fd < 0)
        return;
    long n = syscall(SYS_write, c->fd, &one, sizeof(one));
    (void)n;
}

static void fd_read_locked(const struct completions *c)
{
    uint64_t count;
    if (c->fd < 0)
        return;
    long n = syscall(SYS_read, c->fd, &count, sizeof(count));
    (void)n;
}

int completions_fd_locked(struct completions *c)
{
    if (c->fd < 0) {
        c->fd = fd_above_standard(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
        if (c->first)
            fd_write_locked(c);
    }
    return c->fd < 0 ? NIGH_ETHREAD : c->fd;
}

void completions_wake_locked(struct completions *c)
{
    if (c->sleepers == 0)
        return;
    atomic_fetch_add_explicit(&c->word, 1, memory_order_relaxed); /* the lock orders the rest */
    park_wake(c->park, &c->word, PARK_ALL);
}

bool completions_sleep_locked(struct completions *c, pthread_mutex_t *lock, uint64_t deadline_ns)
{
    uint32_t seen = atomic_load_explicit(&c->word, memory_order_relaxed);
    c->sleepers++;
    pthread_mutex_unlock(lock);
    int rc = park_wait(c->park, &c->word, seen, deadline_ns);
    pthread_mutex_lock(lock);
    c->sleepers--;
    return rc == 0;
}

void completions_add_locked(struct completions *c, struct queue_op *op)
{
    bool first = !c->first;
    op->next = NULL;
    op->prev = first ? NULL : c->last;
    *(first ? &c->first : &c->last->next) = op;
    c->last = op;
    if (!first)
        return;
    fd_write_locked(c);
    completions_wake_locked(c);
}

void completions_remove_locked(struct completions *c, struct queue_op *op)
{
    *(op->prev ? &op->prev->next : &c->first) = op->next;
    *(op->next ? &op->next->prev : &c->last) = op->prev;
    if (!c->first)
        fd_read_locked(c);
}
