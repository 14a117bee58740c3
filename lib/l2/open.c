// SPDX-License-Identifier: MIT
// Opening and closing the client, its thread, and its gauges.

#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "l2/client.h"
#include "l2/net.h"

#define PREFIX_DEFAULT "nigh"
#define CONNECT_TIMEOUT_DEFAULT_MS 1000u
#define STEP_BUSY_NS NS_PER_MS /* another thread steps: look again after so long */

static void *run(void *arg)
{
    struct l2 *l2 = arg;
    while (!atomic_load_explicit(&l2->stop, memory_order_relaxed))
        io_step(l2, CLOCK_NEVER_NS);
    return NULL;
}

static void config_fill(struct l2 *l2, const struct l2_config *config)
{
    uint32_t timeout_ms = config->connect_timeout_ms;
    l2->env = config->env;
    l2->stats = config->stats;
    l2->group_slots = config->group_slots;
    l2->conn_config = (struct conn_config){
        .env = config->env,
        .stats = config->stats,
        .net = config->net ? config->net : &net_kernel,
        .uri = &l2->uri,
        .connect_timeout_ns = (timeout_ms ? timeout_ms : CONNECT_TIMEOUT_DEFAULT_MS) * NS_PER_MS,
        .bulk_max = config->reply_max_bytes,
        .poll_fd = -1,
    };
    l2->wake_fd = l2->poll_fd = l2->solo_fd = -1;
    request_list_init(&l2->queue);
    request_list_init(&l2->pending);
    l2->next_deadline_ns = CLOCK_NEVER_NS;
    conn_init(&l2->conn, &l2->conn_config);
    outage_init(&l2->outage, "not connected yet", clock_now_ns(l2->env->clock));
    outage_init(&l2->refusal, "", 0);
}

static void destroy(struct l2 *l2)
{
    struct mem *mem = l2->env->mem;
    bool ours = !l2_is_gone(l2);
    lookup_leave(l2->conn_config.lookup); /* first: its thread would still ring wake_fd */
    if (ours && l2->wake_fd >= 0)
        close(l2->wake_fd);
    if (ours && l2->poll_fd >= 0)
        close(l2->poll_fd);
    if (ours && l2->solo_fd >= 0)
        close(l2->solo_fd);
    outage_fini(&l2->outage);
    outage_fini(&l2->refusal);
    pthread_mutex_destroy(&l2->lock);
    pthread_mutex_destroy(&l2->sync_lock);
    keys_fini(&l2->keys);
    pool_drop(l2->pool);
    mem_free(mem, NULL, l2, sizeof(*l2));
}

/* Makes poll_fd, for hosts that sleep in our place, if the sockets are the kernel's. */
static int start_poll(struct l2 *l2)
{
    if (l2->conn_config.net != &net_kernel)
        return 0;
    l2->poll_fd = fd_above_standard(epoll_create1(EPOLL_CLOEXEC));
    l2->conn_config.poll_fd = l2->poll_fd;
    return l2->poll_fd < 0 ? NIGH_ETHREAD : wake_watch(l2->poll_fd, l2->wake_fd);
}

/* Creates the look-up, if the host is a name. */
static int start_lookup(struct l2 *l2)
{
    const struct l2_net *net = l2->conn_config.net;
    if (!net->look_up || l2->uri.port == 0 || !lookup_is_name(l2->uri.place))
        return 0;
    l2->conn_config.lookup = lookup_create(l2->uri.place, net->look_up, io_found, l2);
    return l2->conn_config.lookup ? 0 : NIGH_ENOMEM;
}

/* Makes the wake-up and the thread of a client that is otherwise complete. */
static int start(struct l2 *l2)
{
    l2->wake_fd = fd_above_standard(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (l2->wake_fd < 0)
        return NIGH_ETHREAD;
    int failed = start_lookup(l2);
    if (failed || !l2->env->own_threads)
        return failed ? failed : start_poll(l2);
    l2->solo_fd = fd_above_standard(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (l2->solo_fd < 0)
        return NIGH_ETHREAD;
    atomic_store_explicit(&l2->stepping, true, memory_order_relaxed);
    failed = thread_start(&l2->thread, "nigh-io", THREAD_STACK_BYTES, run, l2);
    l2->threaded = !failed;
    return failed;
}

void l2_set_patience(struct l2 *l2, uint32_t deadline_ms)
{
    breaker_set_patience(&l2->breaker, deadline_ms * NS_PER_MS);
}

int l2_open(const struct l2_config *config, struct l2 **ret_l2)
{
    struct uri uri;
    const char *wrong = uri_parse(config->uri, &uri);
    if (wrong)
        return error_note(NIGH_EURI, "redis.uri: %s", wrong);
    struct l2 *l2 = mem_alloc_zero(config->env->mem, sizeof(*l2));
    if (!l2)
        return NIGH_ENOMEM;
    l2->uri = uri;
    config_fill(l2, config);
    const char *prefix = config->prefix ? config->prefix : PREFIX_DEFAULT;
    l2->pool = request_pool_create(l2->env->mem);
    if (!l2->pool || keys_init(&l2->keys, l2->env->mem, prefix, uri.db)) {
        pool_drop(l2->pool);
        outage_fini(&l2->outage);
        outage_fini(&l2->refusal);
        mem_free(l2->env->mem, NULL, l2, sizeof(*l2));
        return NIGH_ENOMEM;
    }
    pthread_mutex_init(&l2->lock, NULL);
    pthread_mutex_init(&l2->sync_lock, NULL);
    int failed = start(l2);
    if (failed) {
        destroy(l2);
        return failed;
    }
    *ret_l2 = l2;
    return 0;
}

void l2_close(struct l2 *l2)
{
    pthread_mutex_lock(&l2->lock);
    l2->closing = true;
    pthread_mutex_unlock(&l2->lock);
    atomic_store_explicit(&l2->stop, true, memory_order_relaxed);
    wake_io(l2);
    if (l2->threaded)
        pthread_join(l2->thread, NULL);
    if (l2_is_gone(l2))
        conn_disown(&l2->conn);
    conn_close(&l2->conn);
    pipeline_fail(l2, NIGH_ECLOSED);
    destroy(l2);
}

uint64_t l2_step(struct l2 *l2, uint64_t wait_ns)
{
    uint64_t now_ns = clock_now_ns(l2->env->clock);
    /* pair(l2.step): acquire what the last stepper left, release it to the next */
    if (atomic_exchange_explicit(&l2->stepping, true, memory_order_acquire))
        return l2->threaded ? CLOCK_NEVER_NS : now_ns + STEP_BUSY_NS;
    uint64_t until_ns = wait_ns > CLOCK_NEVER_NS - now_ns ? CLOCK_NEVER_NS : now_ns + wait_ns;
    uint64_t next_ns = io_step(l2, until_ns);
    atomic_store_explicit(&l2->stepping, false, memory_order_release); /* pair(l2.step) */
    return next_ns;
}

int l2_poll_fd(const struct l2 *l2)
{
    return l2->poll_fd;
}

bool l2_rest(struct l2 *l2)
{
    return io_may_sleep(l2) != SLEEP_NOT;
}

void l2_rested(struct l2 *l2)
{
    io_woken(l2);
}

bool l2_unsent(struct l2 *l2)
{
    pthread_mutex_lock(&l2->lock);
    bool unsent = l2->queue.head != NULL;
    pthread_mutex_unlock(&l2->lock);
    return unsent;
}

void l2_drop_connection(struct l2 *l2)
{
    atomic_store_explicit(&l2->drop, true, memory_order_relaxed);
    wake_io(l2);
}

void l2_set_up_hook(struct l2 *l2, void (*up)(void *arg), void *arg)
{
    pthread_mutex_lock(&l2->lock);
    l2->up = up;
    l2->up_arg = arg;
    l2->up_due = l2->online != 0; /* the connection may have come up before the hook was set */
    pthread_mutex_unlock(&l2->lock);
    wake_io(l2);
}

bool l2_connected(const struct l2 *l2)
{
    return atomic_load_explicit(&l2->connection, memory_order_relaxed) != 0;
}

void l2_gauges_read(struct l2 *l2, struct l2_gauges *ret)
{
    uint64_t connection = atomic_load_explicit(&l2->connection, memory_order_relaxed);
    *ret = (struct l2_gauges){
        .connected = connection != 0,
        .breaker = (uint32_t)breaker_state(&l2->breaker),
        .in_flight = atomic_load_explicit(&l2->in_flight, memory_order_relaxed),
        .connection = connection,
    };
}

void l2_problem_read(struct l2 *l2, struct l2_problem *ret)
{
    uint64_t now_ns = clock_now_ns(l2->env->clock);
    outage_read(&l2->outage, now_ns, ret);
    if (ret->text[0] == '\0')
        outage_read(&l2->refusal, now_ns, ret);
}
