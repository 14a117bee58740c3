// SPDX-License-Identifier: MIT
/*
 * hiredis' asynchronous interface behind one thread: what a careful user of hiredis builds who
 * wants one connection for many threads. Callers hand their requests over in a list without locks
 * and sleep on a futex; the thread writes whatever has gathered and wakes each caller by its reply.
 * It is woken itself only if it sleeps, and callers are only if they do.
 */
#include <hiredis/async.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "link/link.h"
#include "support/fail.h"

enum { JOB_NEW, JOB_AWAITED, JOB_DONE };

struct job {
    struct job *next;
    const struct nigh_key *key;
    _Atomic uint32_t state;
    size_t len;
    char value[LINK_VALUE_BYTES];
};

struct async {
    redisAsyncContext *context;
    pthread_t thread;
    int wake_fd;
    bool wants_write;           /* the thread's */
    _Atomic(struct job *) jobs; /* newest first */
    _Atomic bool asleep;
    _Atomic bool stopping;
};

static void futex(_Atomic uint32_t *word, int op, uint32_t value)
{
    syscall(SYS_futex, word, op, value, NULL, NULL, 0);
}

static void wake_thread(struct async *a)
{
    uint64_t one = 1;
    if (atomic_exchange(&a->asleep, false) && write(a->wake_fd, &one, sizeof(one)) < 0)
        fail("eventfd: %m");
}

/* ---- the thread ---- */

static void answer(redisAsyncContext *c, void *reply, void *arg)
{
    struct job *j = arg;
    const redisReply *r = reply;
    (void)c;
    if (!r || r->type != REDIS_REPLY_STRING)
        fail("hiredis async: no value");
    j->len = r->len;
    memcpy(j->value, r->str, r->len < sizeof(j->value) ? r->len : sizeof(j->value));
    if (atomic_exchange(&j->state, JOB_DONE) == JOB_AWAITED)
        futex(&j->state, FUTEX_WAKE_PRIVATE, 1);
}

static void send_jobs(struct async *a)
{
    struct job *newest = atomic_exchange(&a->jobs, NULL), *oldest = NULL;
    while (newest) {
        struct job *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    while (oldest) {
        const char *args[2] = {"GET", oldest->key->data};
        const size_t lens[2] = {3, oldest->key->len};
        struct job *next = oldest->next; /* once it is sent it may be answered, and gone */
        if (redisAsyncCommandArgv(a->context, answer, oldest, 2, args, lens) != REDIS_OK)
            fail("hiredis async: %s", a->context->errstr);
        oldest = next;
    }
    if (a->wants_write)
        redisAsyncHandleWrite(a->context);
}

static void wait_for_work(struct async *a)
{
    struct pollfd fds[2] = {
        {.fd = a->context->c.fd, .events = (short)(POLLIN | (a->wants_write ? POLLOUT : 0))},
        {.fd = a->wake_fd, .events = POLLIN},
    };
    uint64_t count;
    atomic_store(&a->asleep, true);
    if (!atomic_load(&a->jobs) && !atomic_load(&a->stopping))
        poll(fds, 2, -1);
    atomic_store(&a->asleep, false);
    if (fds[1].revents && read(a->wake_fd, &count, sizeof(count)) < 0)
        fail("eventfd: %m");
    if (fds[0].revents & POLLIN)
        redisAsyncHandleRead(a->context);
}

static void *run(void *arg)
{
    struct async *a = arg;
    while (!atomic_load(&a->stopping)) {
        send_jobs(a);
        wait_for_work(a);
    }
    return NULL;
}

static void add_write(void *arg)
{
    struct async *a = arg;
    a->wants_write = true;
}

static void del_write(void *arg)
{
    struct async *a = arg;
    a->wants_write = false;
}

static void ignore(void *arg)
{
    (void)arg; /* it is always read from */
}

/* ---- callers ---- */

static void *open_async(const struct row *row)
{
    struct async *a = must_alloc(1, sizeof(*a));
    (void)row;
    a->context = redisAsyncConnectUnix(link_world.server.socket);
    a->wake_fd = eventfd(0, EFD_CLOEXEC);
    if (!a->context || a->context->err || a->wake_fd < 0)
        fail("hiredis async cannot connect");
    a->context->ev.data = a;
    a->context->ev.addRead = ignore;
    a->context->ev.delRead = ignore;
    a->context->ev.addWrite = add_write;
    a->context->ev.delWrite = del_write;
    a->context->ev.cleanup = ignore;
    if (pthread_create(&a->thread, NULL, run, a) != 0)
        fail("cannot start a thread");
    return a;
}

static void call(void *self, unsigned thread, uint64_t n)
{
    struct async *a = self;
    struct job j = {.key = &link_world.plain[link_at(thread, n, 1)]};
    uint32_t seen = JOB_NEW;
    j.next = atomic_load_explicit(&a->jobs, memory_order_relaxed);
    while (!atomic_compare_exchange_weak(&a->jobs, &j.next, &j))
        ;
    wake_thread(a);
    if (atomic_compare_exchange_strong(&j.state, &seen, JOB_AWAITED))
        while (atomic_load(&j.state) != JOB_DONE)
            futex(&j.state, FUTEX_WAIT_PRIVATE, JOB_AWAITED);
    if (j.len != LINK_VALUE_BYTES)
        fail("hiredis async: a value of %zu bytes", j.len);
}

static void close_async(void *self)
{
    struct async *a = self;
    atomic_store(&a->stopping, true);
    wake_thread(a);
    pthread_join(a->thread, NULL);
    redisAsyncFree(a->context);
    close(a->wake_fd);
    free(a);
}

const struct side side_async = {"hiredis async", "get", .open = open_async, .call = call,
                                .close = close_async};
