// SPDX-License-Identifier: MIT
/*
 * The coordinator: Redis, the nodes, and their phases.
 *
 * In each round every number of threads has its turn, with its control right after it, in an order
 * that rotates: what disturbs the machine disturbs both. The first round warms up and is not
 * counted.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "load/load.h"
#include "support/ending.h"
#include "support/fail.h"
#include "support/folder.h"
#include "support/redis_sweep.h"

#define LOOK_NS    (2 * PERF_NS_PER_MS)
#define WARM_SHARE 2u /* the warm-up lasts so small a part of a round */

static volatile sig_atomic_t interrupted;

struct run {
    const struct load_settings *settings;
    struct load_shared *shared;
    struct redis_server redis;
    pid_t nodes[LOAD_NODES_MAX];
    unsigned phases, phases_done;
};

static void on_signal(int signal_number)
{
    (void)signal_number;
    interrupted = 1;
}

/* ---- processes ---- */

static void start_redis(struct run *r)
{
    const struct load_settings *s = r->settings;
    struct load_shared *shared = r->shared;
    snprintf(shared->prefix, sizeof(shared->prefix), "nigh-perf-load-%d", (int)getpid());
    if (s->redis && strcmp(s->redis, "none") == 0)
        return;
    if (s->redis) {
        snprintf(shared->redis_uri, sizeof(shared->redis_uri), "%s", s->redis);
        return;
    }
    redis_server_start(&r->redis, folder_create("nigh-load"));
    redis_server_wait(&r->redis);
    snprintf(shared->redis_uri, sizeof(shared->redis_uri), "unix://%s", r->redis.socket);
}

static void start_nodes(struct run *r)
{
    fflush(NULL);
    for (unsigned i = 0; i < r->settings->nodes; i++) {
        r->nodes[i] = fork();
        if (r->nodes[i] == 0)
            load_node_run(r->shared, i);
        if (r->nodes[i] < 0)
            fail("cannot fork");
    }
}

static void end_nodes(struct run *r, bool kindly)
{
    if (kindly)
        atomic_store_explicit(&r->shared->end, true, memory_order_relaxed);
    for (unsigned i = 0; i < r->settings->nodes; i++) {
        if (!kindly && r->nodes[i] > 0)
            kill(r->nodes[i], SIGKILL);
        if (r->nodes[i] > 0)
            waitpid(r->nodes[i], NULL, 0);
    }
}

/* A node that ends has said why. */
static void watch_nodes(struct run *r)
{
    for (unsigned i = 0; i < r->settings->nodes; i++)
        if (r->nodes[i] > 0 && waitpid(r->nodes[i], NULL, WNOHANG) != 0) {
            r->nodes[i] = 0;
            end_nodes(r, false);
            redis_server_stop(&r->redis);
            fail("node %u has ended", i);
        }
}

/* Until all nodes have come so far; false: interrupted. */
static bool await_nodes(struct run *r, _Atomic uint32_t *count)
{
    /* pair(load_done): what their threads have counted is there when all are done. */
    while (atomic_load_explicit(count, memory_order_acquire) < r->settings->nodes) {
        if (interrupted)
            return false;
        watch_nodes(r);
        sleep_ns(LOOK_NS);
    }
    return true;
}

/* ---- phases ---- */

static void add_tally(struct load_tally *into, const struct load_tally *t)
{
    into->requests += t->requests;
    into->stale += t->stale;
    if (into->failed == 0)
        into->failure = t->failure;
    into->failed += t->failed;
    for (unsigned i = 0; i < LOAD_TIERS; i++)
        hist_merge(&into->times[i], &t->times[i]);
    hist_merge(&into->calls, &t->calls);
    hist_merge(&into->unsent, &t->unsent);
}

static bool wait_ns(struct run *r, uint64_t ns, const char *what)
{
    for (uint64_t begin = now_ns(); now_ns() - begin < ns && !interrupted; sleep_ns(LOOK_NS)) {
        double part = (double)(now_ns() - begin) / (double)ns;
        progress_share((r->phases_done + part) / r->phases, "%s", what);
        watch_nodes(r);
    }
    r->phases_done++;
    return !interrupted;
}

static void order_phase(struct run *r, unsigned level, bool control)
{
    struct load_shared *s = r->shared;
    memset(s->tallies, 0, sizeof(s->tallies));
    s->level = level;
    s->control = control;
    atomic_store_explicit(&s->go, false, memory_order_relaxed);
    atomic_store_explicit(&s->stop_ns, 0, memory_order_relaxed);
    atomic_store_explicit(&s->ready, 0, memory_order_relaxed);
    atomic_store_explicit(&s->done, 0, memory_order_relaxed);
    /* pair(load_phase): all of the above is the order. */
    atomic_fetch_add_explicit(&s->phase, 1, memory_order_release);
}

/* Requests a second, all nodes together, or -1: interrupted. What was counted is in the tallies. */
static double run_phase(struct run *r, unsigned level, bool control, uint64_t ns)
{
    struct load_shared *s = r->shared;
    char what[48];
    unsigned threads = r->settings->threads[level];
    snprintf(what, sizeof(what), "%u thread%s%s", threads, threads > 1 ? "s" : "",
             control ? ", control" : "");
    order_phase(r, level, control);
    if (!await_nodes(r, &s->ready))
        return -1;
    uint64_t begin = now_ns();
    atomic_store_explicit(&s->go, true, memory_order_relaxed);
    bool whole = wait_ns(r, ns, what);
    uint64_t end = now_ns();
    atomic_store_explicit(&s->stop_ns, end, memory_order_relaxed);
    double took_s = (double)(end - begin) / 1e9;
    if (!await_nodes(r, &s->done) || !whole)
        return -1;
    uint64_t requests = 0;
    for (unsigned n = 0; n < r->settings->nodes; n++)
        for (unsigned t = 0; t < threads; t++)
            requests += s->tallies[n][t].requests;
    return (double)requests / took_s;
}

static bool run_level(struct run *r, struct load_level *level, unsigned number, unsigned round,
                      uint64_t ns)
{
    const struct load_settings *s = r->settings;
    double ops = run_phase(r, number, false, ns);
    if (ops < 0)
        return false;
    static struct load_tally all;
    memset(&all, 0, sizeof(all));
    for (unsigned n = 0; n < s->nodes; n++)
        for (unsigned t = 0; t < level->threads; t++)
            add_tally(&all, &r->shared->tallies[n][t]);
    if (round > 0) {
        add_tally(&level->all, &all);
        load_note_round(level, round - 1, &all);
    }
    double control = s->control ? run_phase(r, number, true, ns) : 0;
    if (round > 0) {
        level->ops.figures[round - 1] = ops;
        level->control.figures[round - 1] = control;
    }
    return control >= 0;
}

static bool run_rounds(struct run *r, struct load_result *ret)
{
    const struct load_settings *s = r->settings;
    uint64_t ns = (uint64_t)(s->seconds * 1e9 / s->rounds);
    r->phases = (s->rounds + 1) * ret->count * (s->control ? 2 : 1);
    r->shared->begin_ns = now_ns();
    progress_plan(1);
    for (unsigned round = 0; round <= s->rounds; round++)
        for (unsigned i = 0; i < ret->count; i++) {
            unsigned number = (i + round) % ret->count;
            uint64_t length = round == 0 ? ns / WARM_SHARE : ns;
            if (!run_level(r, &ret->levels[number], number, round, length))
                return false;
            if (i + 1 == ret->count)
                ret->rounds = round;
        }
    return true;
}

bool load_run(struct load_result *ret, const struct load_settings *s)
{
    static struct run r;
    r.settings = s;
    r.shared =
        mmap(NULL, sizeof(*r.shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (r.shared == MAP_FAILED)
        fail("no memory to share");
    r.shared->settings = s;
    *ret = (struct load_result){.settings = s};
    while (s->threads[ret->count])
        ret->count++;
    ret->levels = must_alloc(ret->count, sizeof(*ret->levels));
    for (unsigned i = 0; i < ret->count; i++) {
        ret->levels[i].threads = s->threads[i];
        ret->levels[i].ops.name = "nigh";
        ret->levels[i].control.name = "control";
    }
    ending_on_signal(on_signal);
    start_redis(&r);
    start_nodes(&r);
    progress("filling");
    bool whole = await_nodes(&r, &r.shared->ready) && run_rounds(&r, ret);
    progress_end();
    end_nodes(&r, whole);
    if (s->redis && r.shared->redis_uri[0])
        redis_sweep(r.shared->redis_uri, r.shared->prefix);
    redis_server_stop(&r.redis);
    munmap(r.shared, sizeof(*r.shared));
    return ret->rounds > 0;
}
