// SPDX-License-Identifier: MIT
// Opening and closing the client with its links, a round over them, and their gauges.

#include <stdio.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "l2/client.h"
#include "l2/needs.h"
#include "l2/net.h"

#define PREFIX_DEFAULT "nigh"
#define CONNECT_TIMEOUT_DEFAULT_MS 1000u
#define STEP_BUSY_NS NS_PER_MS /* another thread steps: look again after so long */

static void config_fill(struct l2 *l2, const struct l2_config *config)
{
    uint32_t timeout_ms = config->connect_timeout_ms;
    l2->env = config->env;
    l2->stats = config->stats;
    l2->group_slots = config->group_slots;
    l2->guest = config->guest;
    l2->conn_config = (struct conn_config){
        .env = config->env,
        .stats = config->stats,
        .net = config->net ? config->net : &net_kernel,
        .stream = config->stream,
        .connect_timeout_ns = (timeout_ms ? timeout_ms : CONNECT_TIMEOUT_DEFAULT_MS) * NS_PER_MS,
        .bulk_max = config->reply_max_bytes,
        .poll_fd = -1,
    };
    l2->poll_fd = -1;
    pthread_mutex_init(&l2->sync_lock, NULL);
}

/* Ends the links, all at once: none is waited for before all were told. */
static void end_links(struct l2 *l2)
{
    atomic_store_explicit(&l2->stop, true, memory_order_relaxed);
    for (uint32_t i = 0; i < l2->link_count; i++)
        link_stop(l2->links[i]);
    for (uint32_t i = 0; i < l2->link_count; i++)
        link_destroy(l2->links[i]);
}

static void destroy(struct l2 *l2)
{
    struct mem *mem = l2->env->mem;
    if (l2->poll_fd >= 0 && !l2_is_gone(l2))
        close(l2->poll_fd);
    pthread_mutex_destroy(&l2->sync_lock);
    tls_destroy(l2->tls);
    tls_destroy(l2->sentinel_tls);
    keys_fini(&l2->keys);
    pool_drop(l2->pool);
    mem_free(mem, NULL, l2->links, l2->links_size);
    mem_free(mem, NULL, l2, sizeof(*l2));
}

/* Makes poll_fd, for hosts that sleep in our place, if the sockets are the kernel's. */
static int start_poll(struct l2 *l2)
{
    if (l2->env->own_threads || l2->conn_config.net != &net_kernel)
        return 0;
    l2->poll_fd = fd_above_standard(epoll_create1(EPOLL_CLOEXEC));
    l2->conn_config.poll_fd = l2->poll_fd;
    return l2->poll_fd < 0 ? NIGH_ETHREAD : 0;
}

/* Makes the links to the servers of the map, whose URIs are good. */
static int start_links(struct l2 *l2, const struct l2_config *config, const struct l2_map *map)
{
    l2->links_size = map->count * sizeof(*l2->links);
    l2->links = mem_alloc_zero(l2->env->mem, l2->links_size);
    if (!l2->links)
        return NIGH_ENOMEM;
    for (uint32_t i = 0; i < map->count; i++) {
        struct uri uri;
        uri_parse(map->uris[i], &uri);
        int failed = link_create(l2, config, &uri, &l2->links[i]);
        explicit_bzero(&uri, sizeof(uri));
        if (failed)
            return failed;
        l2->link_count++;
    }
    l2->home = l2->links[0];
    return 0;
}

static int start_tls(struct l2 *l2, const struct l2_tls *wanted, bool of_sentinels,
                     struct tls **ret)
{
    const struct tls_config tls = {l2->env, l2->stats, *wanted, of_sentinels};
    return l2->conn_config.stream ? 0 : tls_create(&tls, ret);
}

/* Checks a URI. NULL and what it says but for the password, or what is wrong. */
static const char *check_uri(const struct l2_config *config, const char *text, struct uri *ret)
{
    const char *wrong = uri_parse(text, ret);
    wrong = wrong ? wrong : login_check_uri(config, ret);
    explicit_bzero(ret->password, sizeof(ret->password));
    return wrong;
}

/* Completes a client of which nothing is there but the struct. */
static int start(struct l2 *l2, const struct l2_config *config, const struct l2_map *map)
{
    struct uri home = {.port = 0};
    NIGH_DCHECK(map->count >= 1 && map->count <= L2_SERVERS_MAX);
    const char *prefix = config->prefix ? config->prefix : PREFIX_DEFAULT;
    const char *wrong = NULL;
    bool tls = false, sentinel_tls = false;
    for (uint32_t i = map->count; i > 0 && !wrong; i--) {
        wrong = check_uri(config, map->uris[i - 1], &home);
        tls = tls || (!wrong && home.tls);
        sentinel_tls = sentinel_tls || (!wrong && seek_sentinel_tls(config, &home));
    }
    if (wrong)
        return error_note(NIGH_EURI, "redis.uri: %s", wrong);
    int failed = login_check(config);
    if (failed)
        return failed;
    l2->pool = request_pool_create(l2->env->mem);
    if (!l2->pool || keys_init(&l2->keys, l2->env->mem, prefix, home.db))
        return NIGH_ENOMEM;
    failed = tls ? start_tls(l2, &config->tls, false, &l2->tls) : 0;
    if (!failed && sentinel_tls)
        failed = start_tls(l2, &config->sentinel_tls, true, &l2->sentinel_tls);
    failed = failed ? failed : start_poll(l2);
    return failed ? failed : start_links(l2, config, map);
}

int l2_open(const struct l2_config *config, struct l2 **ret_l2)
{
    const struct l2_map alone = {.uris = &config->uri, .count = 1};
    const struct l2_map *map = config->map ? config->map : &alone;
    struct l2 *l2 = mem_alloc_zero(config->env->mem, sizeof(*l2));
    if (!l2)
        return NIGH_ENOMEM;
    config_fill(l2, config);
    l2->server_of = map->server_of;
    l2->server_arg = map->arg;
    /* before a thread is there: those of the client step, and nobody else */
    atomic_store_explicit(&l2->stepping, l2->env->own_threads, memory_order_relaxed);
    int failed = start(l2, config, map);
    if (failed) {
        l2_close(l2);
        return failed;
    }
    *ret_l2 = l2;
    return 0;
}

void l2_close(struct l2 *l2)
{
    end_links(l2);
    destroy(l2);
}

void l2_set_patience(struct l2 *l2, uint32_t deadline_ms)
{
    for (uint32_t i = 0; i < l2->link_count; i++)
        breaker_set_patience(&l2->links[i]->breaker, deadline_ms * NS_PER_MS);
}

uint64_t l2_keep(struct l2 *l2)
{
    uint64_t next_ns = l2->tls ? tls_keep(l2->tls) : CLOCK_NEVER_NS;
    for (uint32_t i = 0; i < l2->link_count; i++)
        next_ns = u64_min(next_ns, usage_keep(l2->links[i]));
    return l2->sentinel_tls ? u64_min(next_ns, tls_keep(l2->sentinel_tls)) : next_ns;
}

/* ---- without own threads ---- */

static uint64_t step_each(struct l2 *l2)
{
    uint64_t next_ns = CLOCK_NEVER_NS;
    for (uint32_t i = 0; i < l2->link_count; i++)
        next_ns = u64_min(next_ns, io_step(l2->links[i], 0));
    return next_ns;
}

/* Counts what callers may have waited for. */
static uint64_t events_so_far(const struct l2 *l2)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i < l2->link_count; i++)
        count += l2->links[i]->answers + l2->links[i]->connections;
    return count;
}

/* Makes a round of several links: none of them may sleep on its own socket, so the sleep is on all
 * of them, if nothing has come before it. */
static uint64_t step_several(struct l2 *l2, uint64_t until_ns)
{
    const struct l2_net *net = l2->conn_config.net;
    uint64_t before = events_so_far(l2);
    uint64_t next_ns = u64_min(step_each(l2), until_ns);
    uint64_t now_ns = clock_now_ns(l2->env->clock);
    bool sleeps = l2->poll_fd >= 0 && next_ns > now_ns && events_so_far(l2) == before;
    if (!sleeps)
        return next_ns;
    if (l2_rest(l2))
        net->wait(net->arg, l2->poll_fd, L2_FOR_INPUT, -1, next_ns - now_ns);
    l2_rested(l2);
    return step_each(l2);
}

uint64_t l2_step(struct l2 *l2, uint64_t wait_ns)
{
    uint64_t now_ns = clock_now_ns(l2->env->clock);
    /* pair(l2.step): acquire what the last stepper left, release it to the next */
    if (atomic_exchange_explicit(&l2->stepping, true, memory_order_acquire))
        return l2->env->own_threads ? CLOCK_NEVER_NS : now_ns + STEP_BUSY_NS;
    uint64_t until_ns = wait_ns > CLOCK_NEVER_NS - now_ns ? CLOCK_NEVER_NS : now_ns + wait_ns;
    bool alone = l2->link_count == 1;
    uint64_t next_ns = alone ? io_step(l2->home, until_ns) : step_several(l2, until_ns);
    atomic_store_explicit(&l2->stepping, false, memory_order_release); /* pair(l2.step) */
    return next_ns;
}

int l2_poll_fd(const struct l2 *l2)
{
    return l2->poll_fd;
}

bool l2_rest(struct l2 *l2)
{
    bool may = true;
    for (uint32_t i = 0; i < l2->link_count; i++)
        may = io_may_sleep(l2->links[i]) != SLEEP_NOT && may;
    return may;
}

void l2_rested(struct l2 *l2)
{
    for (uint32_t i = 0; i < l2->link_count; i++)
        io_woken(l2->links[i]);
}

static bool is_unsent(struct link *link)
{
    pthread_mutex_lock(&link->lock);
    bool unsent = link->queue.head != NULL;
    pthread_mutex_unlock(&link->lock);
    return unsent;
}

bool l2_unsent(struct l2 *l2)
{
    bool unsent = false;
    for (uint32_t i = 0; i < l2->link_count && !unsent; i++)
        unsent = is_unsent(l2->links[i]);
    return unsent;
}

/* ---- the link to the clock's server ---- */

void l2_drop_connection(struct l2 *l2)
{
    atomic_store_explicit(&l2->home->drop, true, memory_order_relaxed);
    wake_io(l2->home);
}

void l2_set_up_hook(struct l2 *l2, void (*up)(void *arg), void *arg)
{
    struct link *link = l2->home;
    pthread_mutex_lock(&link->lock);
    link->up = up;
    link->up_arg = arg;
    link->up_due = link->online != 0; /* the link may have come up before the hook was set */
    pthread_mutex_unlock(&link->lock);
    wake_io(link);
}

/* ---- gauges ---- */

static uint64_t connection_of(const struct link *link)
{
    return atomic_load_explicit(&link->connection, memory_order_relaxed);
}

bool l2_connected(const struct l2 *l2)
{
    for (uint32_t i = 0; i < l2->link_count; i++)
        if (connection_of(l2->links[i]) == 0)
            return false;
    return true;
}

bool l2_is_awaited(struct l2 *l2)
{
    struct link *link = l2->home;
    pthread_mutex_lock(&link->lock);
    bool awaited = !link->closing && (link->online || !link->tried);
    pthread_mutex_unlock(&link->lock);
    return awaited;
}

static void add_usage(struct link *link, struct l2_usage *sum)
{
    pthread_mutex_lock(&link->lock);
    sum->memory_bytes += link->server.usage.memory_bytes;
    sum->cap_bytes += link->server.usage.cap_bytes;
    sum->evicted += link->server.usage.evicted;
    pthread_mutex_unlock(&link->lock);
}

void l2_gauges_read(struct l2 *l2, struct l2_gauges *ret)
{
    *ret = (struct l2_gauges){
        .connected = l2_connected(l2),
        .connection = connection_of(l2->home),
    };
    for (uint32_t i = 0; i < l2->link_count; i++) {
        struct link *link = l2->links[i];
        uint32_t breaker = (uint32_t)breaker_state(&link->breaker);
        ret->breaker = breaker > ret->breaker ? breaker : ret->breaker;
        ret->in_flight += atomic_load_explicit(&link->in_flight, memory_order_relaxed);
        add_usage(link, &ret->usage);
    }
}

uint64_t l2_slow_ns(const struct l2 *l2)
{
    return breaker_slow_ns(&l2->home->breaker);
}

/* Reads the last outage of a kind, by where it is in a link. */
static void read_last(struct l2 *l2, size_t at, struct l2_outage *ret)
{
    uint64_t now_ns = clock_now_ns(l2->env->clock);
    *ret = (struct l2_outage){.ago_ms = 0};
    for (uint32_t i = 0; i < l2->link_count; i++) {
        struct l2_outage of;
        outage_read_last((struct outage *)(void *)((char *)l2->links[i] + at), now_ns, &of);
        if (of.text[0] && (!ret->text[0] || of.ago_ms < ret->ago_ms))
            *ret = of;
    }
}

void l2_outage_read(struct l2 *l2, struct l2_outage *ret)
{
    read_last(l2, offsetof(struct link, outage), ret);
}

void l2_refusal_read(struct l2 *l2, struct l2_outage *ret)
{
    read_last(l2, offsetof(struct link, refusal), ret);
}

/* Reads what the server has told that has the clock. */
void l2_server_read(struct l2 *l2, struct l2_server *ret)
{
    pthread_mutex_lock(&l2->home->lock);
    *ret = l2->home->server;
    ret->usage.quiet_ns = usage_quiet_ns(l2->home);
    pthread_mutex_unlock(&l2->home->lock);
}

struct l2_mark l2_mark_read(struct l2 *l2)
{
    pthread_mutex_lock(&l2->home->lock);
    struct l2_mark mark = l2->home->mark;
    pthread_mutex_unlock(&l2->home->lock);
    return mark;
}

void l2_problem_read(struct l2 *l2, struct l2_problem *ret)
{
    uint64_t now_ns = clock_now_ns(l2->env->clock);
    ret->text[0] = ret->first[0] = '\0';
    ret->refused = 0;
    ret->unheard = false;
    for (uint32_t i = 0; i < l2->link_count && ret->text[0] == '\0'; i++)
        outage_read(&l2->links[i]->outage, now_ns, ret);
    for (uint32_t i = 0; i < l2->link_count && ret->text[0] == '\0'; i++) {
        outage_read(&l2->links[i]->refusal, now_ns, ret);
        if (ret->text[0] != '\0') /* else the refusal begins just now */
            ret->refused = atomic_load_explicit(&l2->links[i]->refused, memory_order_relaxed);
        ret->unheard = needs_lack(ret->text, "PUBLISH");
    }
    if (ret->text[0] == '\0' && l2->tls)
        tls_problem_read(l2->tls, ret);
    if (ret->text[0] == '\0' && l2->sentinel_tls)
        tls_problem_read(l2->sentinel_tls, ret);
    for (uint32_t i = 0; i < l2->link_count && ret->text[0] == '\0'; i++)
        login_problem_read(l2->links[i]->conn_config.login, now_ns, ret);
}
