// SPDX-License-Identifier: MIT
// Making a link and ending it: its wake-ups, its place, its thread.
//
// Each link has an I/O thread of its own: the thread sleeps on one socket, and what is said in
// solo.c and in the model of it (test/model/link.pml) is about two parties, not about all servers.
// Without own threads whoever steps the client steps one link after the other.

#include "l2/link.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include "l2/client.h"

static void *run(void *arg)
{
    struct link *link = arg;
    while (!atomic_load_explicit(&link->l2->stop, memory_order_relaxed))
        io_step(link, CLOCK_NEVER_NS);
    return NULL;
}

static struct link *create(struct l2 *l2, const struct uri *uri)
{
    struct link *link = mem_alloc_zero(l2->env->mem, sizeof(*link));
    if (!link)
        return NULL;
    link->l2 = l2;
    link->env = l2->env;
    link->stats = l2->stats;
    link->uri = *uri;
    explicit_bzero(link->uri.password, sizeof(link->uri.password));
    link->conn_config = l2->conn_config;
    if (!link->conn_config.stream)
        link->conn_config.stream = uri->tls ? tls_kind(l2->tls) : &stream_plain;
    link->conn_config.db = uri->db;
    link->wake_fd = link->solo_fd = -1;
    request_list_init(&link->queue);
    request_list_init(&link->pending);
    link->next_deadline_ns = CLOCK_NEVER_NS;
    conn_init(&link->conn, &link->conn_config);
    link->conn.names = &l2->keys;
    outage_init(&link->outage, "not connected yet", clock_now_ns(link->env->clock));
    outage_init(&link->refusal, "", 0);
    pthread_mutex_init(&link->lock, NULL);
    return link;
}

/* Frees what belongs to a link without thread, connection and requests. */
static void destroy(struct link *link)
{
    bool ours = !l2_is_gone(link->l2);
    seek_fini(link); /* first: a thread that looks a name up would ring wake_fd */
    if (ours && link->wake_fd >= 0)
        close(link->wake_fd);
    if (ours && link->solo_fd >= 0)
        close(link->solo_fd);
    login_destroy(link->conn_config.login);
    outage_fini(&link->outage);
    outage_fini(&link->refusal);
    pthread_mutex_destroy(&link->lock);
    mem_free(link->env->mem, NULL, link, sizeof(*link));
}

/* Makes the wake-ups and the thread of a link that is otherwise complete. */
static int start(struct link *link, const struct l2_config *config)
{
    link->wake_fd = fd_above_standard(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (link->wake_fd < 0)
        return NIGH_ETHREAD;
    int failed = seek_init(link, config, io_found);
    if (failed || !link->env->own_threads)
        return failed ? failed : wake_watch(link->l2->poll_fd, link->wake_fd);
    link->solo_fd = fd_above_standard(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (link->solo_fd < 0)
        return NIGH_ETHREAD;
    failed = thread_start(&link->thread, "nigh-io", THREAD_STACK_BYTES, run, link);
    link->threaded = !failed;
    return failed;
}

/* Makes what the link logs in with. */
static int make_login(struct link *link, const struct l2_config *config, const struct uri *uri)
{
    struct l2_login login = config->login;
    login.user = uri->user;
    login.password = uri->has_password ? uri->password : NULL;
    link->conn_config.login = login_create(link->env, &login, "redis.password_file");
    return link->conn_config.login ? 0 : NIGH_ENOMEM;
}

int link_create(struct l2 *l2, const struct l2_config *config, const struct uri *uri,
                struct link **ret_link)
{
    struct link *link = create(l2, uri);
    if (!link)
        return NIGH_ENOMEM;
    int failed = make_login(link, config, uri);
    failed = failed ? failed : start(link, config);
    if (failed) {
        destroy(link);
        return failed;
    }
    *ret_link = link;
    return 0;
}

void link_stop(struct link *link)
{
    pthread_mutex_lock(&link->lock);
    link->closing = true;
    pthread_mutex_unlock(&link->lock);
    wake_io(link);
}

void link_destroy(struct link *link)
{
    if (link->threaded)
        pthread_join(link->thread, NULL);
    if (l2_is_gone(link->l2)) {
        conn_disown(&link->conn);
        seek_disown(link);
    }
    conn_close(&link->conn);
    pipeline_fail(link, NIGH_ECLOSED);
    io_do_chores(link);
    destroy(link);
}
