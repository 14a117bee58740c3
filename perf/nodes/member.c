// SPDX-License-Identifier: MIT
/*
 * Opening, running and closing a node.
 */
#include "nodes/member.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "support/fail.h"

#define LOOK_FOR_START_NS (1 * PERF_NS_PER_MS)

/* The coordinator alone answers Ctrl-C; a node whose coordinator has died has nobody left. */
static void follow_coordinator(void)
{
    signal(SIGINT, SIG_IGN);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    prctl(PR_SET_NAME, "perf-node");
    if (getppid() == 1)
        fail("the coordinator is gone");
}

static void must(int result, const char *what)
{
    if (result < 0)
        fail("%s: %s %s", what, nigh_strerror(result), nigh_options_error());
}

static void log_message(void *arg, enum nigh_log_level level, const char *message)
{
    const struct member *m = arg;
    if (level <= NIGH_LOG_WARN && getenv("PERF_LOG"))
        fprintf(stderr, "perf: node %u: %s\n", m->number, message);
}

static void set_option(struct nigh_options *o, const char *name, const char *value)
{
    if (value[0])
        must(nigh_options_set(o, name, value), name);
}

static void open_cache(struct member *m)
{
    const struct plan *plan = m->plan;
    struct nigh_options o = NIGH_OPTIONS_INIT;
    set_option(&o, "l1.memory", plan->memory);
    set_option(&o, "l1.shards", plan->shards);
    set_option(&o, "l1.policy", plan->policy);
    set_option(&o, "redis.password_file", plan->password_file);
    set_option(&o, "redis.tls_ca", plan->tls_ca);
    o.redis_uri = plan->redis_uri;
    o.redis_prefix = plan->redis_prefix;
    o.trust_ms = plan->trust_ms;
    o.log = log_message;
    o.log_arg = m;
    must(nigh_open(&o, &m->cache), "nigh_open");
}

static int load_probe(void *arg, struct nigh_fill *const fills[], size_t n)
{
    (void)arg;
    return n == 1 ? nigh_fill_value(fills[0], "p", 1) : NIGH_EINVAL;
}

static void open_spaces(struct member *m)
{
    struct nigh_space_options o = NIGH_SPACE_OPTIONS_INIT;
    o.loads_max = m->plan->loads_per_node;
    must(nigh_space_open(m->cache, "pages", &o, loader_run, NULL, m, &m->pages), "the pages");
    must(nigh_space_open(m->cache, "probes", NULL, load_probe, NULL, m, &m->probes), "the probes");
}

/* Nothing is measured before this node knows Redis' clock: the opening is a resync. */
static void wait_for_trust(struct member *m)
{
    uint64_t until = now_ns() + 10 * PERF_NS_PER_S;
    while (nigh_health(m->cache) != NIGH_FRESH) {
        if (now_ns() > until)
            fail("node %u: no trust in %s after 10 s: %s", m->number, m->plan->redis_uri,
                 nigh_strerror(nigh_health(m->cache)));
        sleep_ns(LOOK_FOR_START_NS);
    }
}

static void attach(struct member *m, int fd, uint32_t number)
{
    m->shared = shared_attach(fd);
    m->number = number;
    m->self = &m->shared->nodes[number];
    m->plan = &m->shared->plan;
    m->population = population_open(m->plan->catalogue);
    m->history = shared_history(m->shared);
    m->loads = shared_loads(m->shared);
    m->checker = (struct checker){.history = &m->history,
                                  .packages = m->population->packages,
                                  .node = number,
                                  .bound_ns = checker_bound_ns(m->plan->trust_ms, 0),
                                  .allowed_ns = m->plan->late_ms * PERF_NS_PER_MS,
                                  .allowance = &m->shared->allowance};
}

static void wait_for_start(struct member *m)
{
    atomic_fetch_add_explicit(&m->shared->ready, 1, memory_order_relaxed);
    while (!atomic_load_explicit(&m->shared->start, memory_order_relaxed) &&
           !shared_stopped(m->shared))
        sleep_ns(LOOK_FOR_START_NS);
}

static pthread_t start(void *(*run)(void *), void *arg)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, run, arg) != 0)
        fail("cannot start a thread");
    return thread;
}

static void run_threads(struct member *m)
{
    struct client *clients = must_alloc(m->plan->threads, sizeof(*clients));
    for (uint32_t i = 0; i < m->plan->threads; i++) {
        clients[i] = (struct client){.member = m, .number = i};
        clients[i].thread = start(client_run, &clients[i]);
    }
    pthread_t updater = start(updater_run, m);
    pthread_t prober = start(prober_run, m);
    pthread_t control = start(stalls_run, m);
    watcher_run(m);
    sem_post(&m->self->probe_wanted);
    for (uint32_t i = 0; i < m->plan->threads; i++)
        pthread_join(clients[i].thread, NULL);
    pthread_join(updater, NULL);
    pthread_join(prober, NULL);
    pthread_join(control, NULL);
    free(clients);
}

int member_run(int fd, uint32_t number)
{
    struct member m = {.number = number};
    follow_coordinator();
    attach(&m, fd, number);
    open_cache(&m);
    open_spaces(&m);
    wait_for_trust(&m);
    wait_for_start(&m);
    run_threads(&m);
    nigh_close(m.cache);
    population_close(m.population);
    return 0;
}
