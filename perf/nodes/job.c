// SPDX-License-Identifier: MIT
/*
 * Starting, feeding, watching and ending the processes of a run.
 *
 * Only what was started here is ever signalled, by pid. Nodes and Redis die with this process, so
 * even SIGKILL leaves nothing running; the shared memory has no name.
 */
#include "nodes/job.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "nodes/collect.h"
#include "nodes/origin.h"
#include "nodes/servers.h"
#include "support/ending.h"
#include "support/fail.h"
#include "support/progress.h"
#include "support/redis_sweep.h"

#define LOOK_EVERY_NS (5 * PERF_NS_PER_MS)
#define END_NS (15 * PERF_NS_PER_S)
#define HEALED_NS (25 * PERF_NS_PER_S) /* a node has connected again, and knows the clock */

static volatile sig_atomic_t interrupted;

struct run {
    const struct job *job;
    struct shared *shared;
    int fd;
    pid_t nodes[NODES_MAX];
    struct servers servers;
    struct history history;
    struct fault fault;
    uint64_t begin_ns;
};

static void on_signal(int signal_number)
{
    (void)signal_number;
    interrupted = 1;
}

void job_catch_signals(void)
{
    ending_on_signal(on_signal);
}

/* ---- processes ---- */

__attribute__((noreturn)) static void become_node(const struct run *r, uint32_t number)
{
    char node[16], fd[16];
    snprintf(node, sizeof(node), "%u", number);
    snprintf(fd, sizeof(fd), "%d", r->fd);
    execl("/proc/self/exe", "perf-node", "--node", node, "--shared-fd", fd, (char *)NULL);
    _exit(127);
}

static void start_node(void *run, uint32_t number)
{
    struct run *r = run;
    atomic_store_explicit(&r->shared->nodes[number].trusted, false, memory_order_relaxed);
    r->nodes[number] = fork();
    if (r->nodes[number] == 0)
        become_node(r, number);
    if (r->nodes[number] < 0)
        fail("cannot fork");
}

static void start_nodes(struct run *r)
{
    for (uint32_t i = 0; i < r->job->plan.nodes; i++)
        start_node(r, i);
}

static void describe_end(uint32_t node, int status)
{
    if (WIFSIGNALED(status))
        fprintf(stderr, "\nperf: node %u was ended by signal %d (%s)\n", node, WTERMSIG(status),
                strsignal(WTERMSIG(status)));
    else if (WEXITSTATUS(status) != 0)
        fprintf(stderr, "\nperf: node %u ended with status %d\n", node, WEXITSTATUS(status));
}

/* Take note of nodes that have ended. Returns how many run; *ret_bad: one did not end well. */
static uint32_t reap_nodes(struct run *r, bool *ret_bad)
{
    uint32_t running = 0;
    for (uint32_t i = 0; i < r->job->plan.nodes; i++) {
        int status;
        if (r->nodes[i] <= 0)
            continue;
        if (waitpid(r->nodes[i], &status, WNOHANG) != r->nodes[i]) {
            running++;
            continue;
        }
        r->nodes[i] = 0;
        describe_end(i, status);
        *ret_bad |= !WIFEXITED(status) || WEXITSTATUS(status) != 0;
    }
    return running;
}

/* Ask the nodes to end and wait; kill those that do not. False: one did not end well. */
static bool stop_nodes(struct run *r)
{
    bool bad = false;
    atomic_store_explicit(&r->shared->stop, true, memory_order_relaxed);
    for (uint64_t until = now_ns() + END_NS; now_ns() < until; sleep_ns(LOOK_EVERY_NS))
        if (reap_nodes(r, &bad) == 0)
            return !bad;
    for (uint32_t i = 0; i < r->job->plan.nodes; i++) {
        if (r->nodes[i] <= 0)
            continue;
        fprintf(stderr, "\nperf: node %u does not end: killed\n", i);
        kill(r->nodes[i], SIGKILL);
        waitpid(r->nodes[i], NULL, 0);
        r->nodes[i] = 0;
    }
    return false;
}

/* A run that cannot go on: end everything, then this process. */
__attribute__((noreturn)) static void give_up(struct run *r, const char *why)
{
    stop_nodes(r);
    servers_stop(&r->servers);
    fail("%s", why);
}

static void check_alive(struct run *r)
{
    bool bad = false;
    if (reap_nodes(r, &bad) != r->job->plan.nodes)
        give_up(r, "a node ended before its time; no figures");
    if (servers_crashed(&r->servers))
        give_up(r, "redis-server ended by itself; no figures");
}

/* ---- the course of a run ---- */

static void prepare_fault(struct run *r)
{
    const struct plan *plan = &r->job->plan;
    r->fault = (struct fault){.kind = plan->fault ? fault_kind(plan->fault - 1) : NULL,
                              .at_s = plan->fault_at,
                              .bound_ns = checker_bound_ns(plan->trust_ms, 0),
                              .servers = &r->servers,
                              .history = &r->history};
}

static void set_up(struct run *r)
{
    struct plan plan = r->job->plan;
    prepare_fault(r);
    plan.late_ms = r->fault.kind ? r->fault.kind->late_ms : 0;
    snprintf(plan.catalogue, sizeof(plan.catalogue), "%s", r->job->catalogue);
    snprintf(plan.revisions, sizeof(plan.revisions), "%s/revisions-%s.sqlite", r->job->folder,
             plan.check ? "on" : "off");
    origin_create(plan.revisions);
    snprintf(plan.redis_prefix, sizeof(plan.redis_prefix), "nigh-perf-%d-%s", (int)getpid(),
             plan.check ? "on" : "off");
    if (r->job->own_redis) {
        servers_start(&r->servers, r->job->folder,
                      r->fault.kind ? r->fault.kind->wants : SERVERS_ONE);
        snprintf(plan.redis_uri, sizeof(plan.redis_uri), "%s", r->servers.uri);
        snprintf(plan.password_file, sizeof(plan.password_file), "%s", r->servers.password_file);
        snprintf(plan.tls_ca, sizeof(plan.tls_ca), "%s", r->servers.tls_ca);
    }
    r->shared = shared_create(&plan, r->job->population->packages, &r->fd);
    r->history = shared_history(r->shared);
    r->fault.prefix = r->shared->plan.redis_prefix;
    r->fault.nodes =
        (struct fault_nodes){r->nodes, plan.nodes, r->shared, start_node, r};
}

static void wait_until_ready(struct run *r)
{
    while (!interrupted && atomic_load_explicit(&r->shared->ready, memory_order_relaxed) !=
                               r->job->plan.nodes) {
        check_alive(r);
        sleep_ns(LOOK_EVERY_NS);
    }
    r->begin_ns = now_ns();
    r->fault.begin_ns = r->begin_ns;
    atomic_store_explicit(&r->shared->start, true, memory_order_relaxed);
}

static uint64_t reads_so_far(const struct run *r)
{
    uint64_t reads = 0;
    for (uint32_t node = 0; node < r->job->plan.nodes; node++)
        for (uint32_t i = 0; i < r->job->plan.threads; i++)
            reads += atomic_load_explicit(&r->shared->nodes[node].clients[i].reads,
                                          memory_order_relaxed);
    return reads;
}

/* Names what was done to Redis last. */
static const char *last_event(const struct fault *f)
{
    return f->event_count ? f->events[f->event_count - 1].what : "";
}

static void show_progress(struct run *r, uint64_t now)
{
    double seconds = (double)(now - r->begin_ns) / 1e9, done = seconds / r->job->plan.seconds;
    progress_share(done < 1 ? done : 1, "%s, %.1f of %g s, %.2f million reads, %llu loads  %s",
                   r->job->plan.check ? "checked" : "check off", seconds, r->job->plan.seconds,
                   (double)reads_so_far(r) / 1e6,
                   (unsigned long long)atomic_load_explicit(&r->shared->origin_loads,
                                                            memory_order_relaxed),
                   last_event(&r->fault));
}

static uint32_t untrusting(const struct run *r)
{
    uint32_t count = 0;
    for (uint32_t node = 0; node < r->job->plan.nodes; node++)
        count += !atomic_load_explicit(&r->shared->nodes[node].trusted, memory_order_relaxed);
    return count;
}

/* What a fault took has to come back, and on a slow machine that may be after the end. */
static void await_trust(struct run *r)
{
    for (uint64_t until = now_ns() + HEALED_NS;
         r->fault.kind && untrusting(r) && now_ns() < until && !interrupted;
         sleep_ns(LOOK_EVERY_NS))
        check_alive(r);
}

static void watch(struct run *r)
{
    uint64_t end = r->begin_ns + (uint64_t)(r->job->plan.seconds * 1e9);
    for (uint64_t now = r->begin_ns; (now < end || !fault_is_over(&r->fault)) && !interrupted;
         now = now_ns()) {
        check_alive(r);
        if (!fault_drive(&r->fault, now))
            give_up(r, r->servers.error);
        show_progress(r, now);
        sleep_ns(LOOK_EVERY_NS);
    }
    await_trust(r);
    progress_next();
    progress_end();
}

bool job_run(const struct job *job, struct result *ret)
{
    struct run r = {.job = job};
    set_up(&r);
    start_nodes(&r);
    wait_until_ready(&r);
    watch(&r);
    uint64_t end_ns = now_ns();
    uint32_t untrusting_nodes = untrusting(&r);
    bool well = stop_nodes(&r);
    if (!well)
        give_up(&r, "a node did not end well; no figures");
    servers_stop(&r.servers);
    if (!job->own_redis)
        redis_sweep(r.shared->plan.redis_uri, r.shared->plan.redis_prefix);
    if (!interrupted)
        collect(r.shared, job->population,
                &(struct collect_times){r.begin_ns, end_ns,
                                        r.fault.event_count ? r.fault.events[0].ns : 0,
                                        r.fault.up_ns}, ret);
    ret->fault = r.fault;
    ret->untrusting = r.fault.kind ? untrusting_nodes : 0;
    shared_free(r.shared, r.fd);
    return !interrupted;
}
