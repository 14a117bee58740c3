// SPDX-License-Identifier: MIT
/*
 * The control socket's server: listens, accepts as many as it serves, and gives each its steps.
 *
 * All sockets are in one epoll instance. Who steps has the turn: the thread, or without own threads
 * whichever thread ticks. While as many clients are served as may be, the listener is not watched,
 * and those who come wait in the kernel; idle ones have 1 s then, also behind a prompt.
 *
 * Answers of all clients together take at most one long answer, and what one more was that was
 * begun below it: no line is answered while more than 64 MiB are waiting to be taken.
 *
 * What the host does to our descriptors shows within a second (server.h): the thread never sleeps
 * longer. From then on no number is used, and the socket is not there any more.
 */
#include "control/server.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define RETRY_NS NS_PER_S
#define SLEEP_MAX_NS NS_PER_S
#define EVENTS_MAX (CONTROL_CLIENTS_MAX + 2) /* all: who is not late must not be taken for it */
#define EVENT_LISTENER 1000u
#define EVENT_WAKE 1001u

static uint64_t now(void)
{
    return clock_kernel_ns(CLOCK_MONOTONIC);
}

static bool is_gone(const struct control *c)
{
    return atomic_load_explicit(&c->gone, memory_order_relaxed);
}

/* ---- listening ---- */

static bool watch(struct control *c, int fd, uint32_t what)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = what};
    return epoll_ctl(c->poll_fd, EPOLL_CTL_ADD, fd, &event) == 0;
}

/* Says why it does not listen, once for each reason. */
static void note_why(struct control *c, const char *why)
{
    if (strcmp(c->why, why) == 0)
        return;
    snprintf(c->why, sizeof(c->why), "%s", why);
    LOG(c->env->log, NIGH_LOG_WARN, "control.socket %s: %s: it is tried again each second",
        c->place.path, why);
}

static void watch_listener(struct control *c, bool accepts)
{
    if (accepts == c->accepts)
        return;
    if (accepts)
        c->accepts = watch(c, c->listener.fd, EVENT_LISTENER);
    else
        c->accepts = epoll_ctl(c->poll_fd, EPOLL_CTL_DEL, c->listener.fd, NULL) != 0;
}

static void try_to_listen(struct control *c, uint64_t now_ns)
{
    char why[sizeof(c->why)];
    int fd = place_listen(&c->place, why, sizeof(why));
    if (fd < 0) {
        note_why(c, why);
        return;
    }
    watch_listener(c, false);
    control_fd_close(&c->listener);
    c->listener = control_fd_of(fd);
    c->retry_ns = now_ns;
    c->why[0] = '\0';
    LOG(c->env->log, NIGH_LOG_INFO, "control.socket %s is open", c->place.path);
}

/* Listens anew when its file was removed, as those do who clean /tmp. The old listener stays until
 * there is a new one: after chroot() it is only here that the file is not seen. */
static void see_to_place(struct control *c, uint64_t now_ns)
{
    if (c->listener.fd >= 0 && now_ns >= c->look_ns) {
        c->look_ns = now_ns + RETRY_NS;
        if (place_is_lost(&c->place))
            try_to_listen(c, now_ns);
    }
}

/* ---- accepting ---- */

static struct client *free_client(struct control *c)
{
    for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++)
        if (c->clients[i].state == CLIENT_NONE)
            return &c->clients[i];
    return NULL;
}

static void accept_clients(struct control *c, uint64_t now_ns)
{
    for (struct client *client; (client = free_client(c));) {
        int fd = fd_above_standard(
            accept4(c->listener.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK));
        if (fd >= 0) {
            client_begin(c, client, fd, now_ns);
            continue;
        }
        if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
            watch_listener(c, false); /* no descriptor is free: later */
            c->retry_ns = now_ns + RETRY_NS;
        }
        return;
    }
}

/* Lets nobody stay idle whose place others may wait for. */
static void hasten(struct control *c, uint64_t now_ns)
{
    for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++) {
        struct client *client = &c->clients[i];
        if (client->state == CLIENT_READS && client->in_len == 0 && !client->held)
            client->until_ns = u64_min(client->until_ns, now_ns + CONTROL_IDLE_NS);
    }
}

static void see_to_listener(struct control *c, uint64_t now_ns)
{
    see_to_place(c, now_ns);
    if (c->listener.fd < 0 && now_ns >= c->retry_ns) {
        c->retry_ns = now_ns + RETRY_NS;
        try_to_listen(c, now_ns);
    }
    if (c->listener.fd < 0)
        return;
    bool room = free_client(c) != NULL;
    if (!room)
        hasten(c, now_ns);
    if (room && now_ns < c->retry_ns)
        return;
    watch_listener(c, room);
    if (room && !c->accepts)
        c->retry_ns = now_ns + RETRY_NS;
}

/* Whether it only waits for the time to try again. */
static bool waits_to_retry(struct control *c)
{
    return c->listener.fd < 0 || (!c->accepts && free_client(c) != NULL);
}

/* ---- a step ---- */

static void step_client(struct control *c, struct client *client, uint32_t ready, uint64_t now_ns)
{
    if (ready == EPOLLIN && client->state == CLIENT_READS && clients_are_full(c))
        client_hold(c, client, now_ns);
    else
        client_step(c, client, ready, now_ns);
}

static void step_clients(struct control *c, uint64_t now_ns)
{
    for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++) {
        if (c->clients[i].held && !clients_are_full(c))
            client_go_on(c, &c->clients[i], now_ns);
        client_step(c, &c->clients[i], 0, now_ns);
    }
}

static void heed(struct control *c, const struct epoll_event *event, uint64_t now_ns)
{
    char byte[16];
    if (event->data.u32 == EVENT_LISTENER)
        accept_clients(c, now_ns);
    else if (event->data.u32 == EVENT_WAKE)
        (void)!recv(c->wake.fd, byte, sizeof(byte), MSG_DONTWAIT);
    else
        step_client(c, &c->clients[event->data.u32], event->events, now_ns);
}

static uint64_t next_ns(struct control *c)
{
    uint64_t next = waits_to_retry(c) ? c->retry_ns : CLOCK_NEVER_NS;
    for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++)
        if (c->clients[i].state != CLIENT_NONE)
            next = u64_min(next, c->clients[i].until_ns);
    return next;
}

/* Whether our descriptors are ours: a listener that is not has taken all others with it. */
static bool is_ours(const struct control *c)
{
    return control_fd_is_same(&c->wake) &&
           (c->listener.fd < 0 || control_fd_is_same(&c->listener));
}

static bool give_up(struct control *c)
{
    atomic_store_explicit(&c->gone, true, memory_order_relaxed);
    atomic_store_explicit(&c->due_ns, CLOCK_NEVER_NS, memory_order_relaxed);
    return false;
}

/* Takes a step. False: never again. */
static bool step(struct control *c, int wait_ms)
{
    struct epoll_event events[EVENTS_MAX];
    if (is_gone(c))
        return false;
    if (!is_ours(c))
        return give_up(c);
    int n = epoll_wait(c->poll_fd, events, EVENTS_MAX, wait_ms);
    if ((n < 0 && errno != EINTR) || !is_ours(c))
        return give_up(c);
    uint64_t now_ns = now();
    for (int i = 0; i < n; i++)
        heed(c, &events[i], now_ns);
    step_clients(c, now_ns);
    see_to_listener(c, now_ns);
    atomic_store_explicit(&c->due_ns, next_ns(c), memory_order_relaxed);
    return true;
}

void control_step(struct control *c)
{
    if (!turn_take(&c->turn))
        return;
    step(c, 0);
    turn_give(&c->turn);
}

uint64_t control_left_ns(const struct control *c)
{
    uint64_t due_ns = atomic_load_explicit(&c->due_ns, memory_order_relaxed);
    uint64_t now_ns = now();
    return due_ns > now_ns ? due_ns - now_ns : 0;
}

int control_poll_fd(const struct control *c)
{
    return c->poll_fd;
}

static void *serve(void *arg)
{
    struct control *c = arg;
    uint64_t wait_ns = 0;
    while (!atomic_load_explicit(&c->stop, memory_order_relaxed) &&
           step(c, (int)((wait_ns + NS_PER_MS - 1) / NS_PER_MS)))
        wait_ns = u64_min(control_left_ns(c), SLEEP_MAX_NS);
    return NULL;
}

/* ---- life ---- */

static int open_descriptors(struct control *c)
{
    int pair[2] = {-1, -1};
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0)
        return NIGH_ETHREAD;
    c->wake = control_fd_of(fd_above_standard(pair[0]));
    c->waker = control_fd_of(fd_above_standard(pair[1]));
    c->poll_fd = fd_above_standard(epoll_create1(EPOLL_CLOEXEC));
    bool whole = c->wake.fd >= 0 && c->waker.fd >= 0 && c->poll_fd >= 0;
    return whole && watch(c, c->wake.fd, EVENT_WAKE) ? 0 : NIGH_ETHREAD;
}

/* Closes everything, unless the numbers may be anybody's. The epoll instance, which has no inode of
 * its own, goes with the others. */
static void close_descriptors(struct control *c)
{
    bool ours = !is_gone(c) && (c->wake.fd < 0 || is_ours(c));
    for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++)
        client_drop(c, &c->clients[i]);
    control_fd_close(&c->listener);
    control_fd_close(&c->waker);
    control_fd_close(&c->wake);
    if (ours && c->poll_fd >= 0)
        close(c->poll_fd);
}

int control_open(const struct control_config *config, struct control **ret_control)
{
    struct mem *mem = config->env->mem;
    struct control *c = mem_alloc_zero(mem, sizeof(*c));
    if (!c)
        return NIGH_ENOMEM;
    c->env = config->env;
    c->host = config->host;
    c->line_ns = config->line_ns ? config->line_ns : CONTROL_LINE_NS;
    c->take_ns = config->take_ns ? config->take_ns : CONTROL_TAKE_NS;
    c->poll_fd = c->listener.fd = c->wake.fd = c->waker.fd = -1;
    int rc = place_init(&c->place, config->path);
    if (rc == 0)
        rc = open_descriptors(c);
    if (rc == 0 && c->env->own_threads)
        rc = thread_start(&c->thread, "nigh-control", THREAD_STACK_BYTES, serve, c);
    if (rc != 0) {
        close_descriptors(c);
        mem_free(mem, NULL, c, sizeof(*c));
        return rc;
    }
    c->running = c->env->own_threads;
    *ret_control = c;
    return 0;
}

void control_close(struct control *c)
{
    if (!c)
        return;
    atomic_store_explicit(&c->stop, true, memory_order_relaxed);
    if (control_fd_is_same(&c->waker))
        (void)!send(c->waker.fd, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (c->running)
        pthread_join(c->thread, NULL);
    place_leave(&c->place);
    close_descriptors(c);
    mem_free(c->env->mem, NULL, c, sizeof(*c));
}
