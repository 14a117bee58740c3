// SPDX-License-Identifier: MIT
/*
 * A round: so many threads call for so long, while this one sleeps.
 *
 * What is used is read while all threads stand at a gate, before and after: starting and ending
 * them is not in it. Each call costs one look at the clock more, the same for all sides.
 */
#include <pthread.h>
#include <string.h>

#include "link/link.h"
#include "link/usage.h"
#include "support/fail.h"
#include "support/hist.h"

struct crew {
    const struct row *row;
    const struct side *side;
    void *self;
    uint64_t calls_max; /* of each thread */
    pthread_barrier_t gate;
};

struct hand {
    struct crew *crew;
    unsigned index;
    uint64_t first; /* number of its first call: those of former rounds were others */
    struct hist hist;
};

static uint64_t calls_so_far;

static void *work(void *arg)
{
    struct hand *h = arg;
    struct crew *c = h->crew;
    pthread_barrier_wait(&c->gate);
    pthread_barrier_wait(&c->gate);
    uint64_t then_ns = now_ns(), until_ns = then_ns + link_world.round_ns;
    for (uint64_t n = 0; n < c->calls_max && then_ns < until_ns; n++) {
        c->side->call(c->self, h->index, h->first + n);
        uint64_t ended_ns = now_ns();
        hist_add(&h->hist, ended_ns - then_ns);
        then_ns = ended_ns;
    }
    pthread_barrier_wait(&c->gate);
    pthread_barrier_wait(&c->gate);
    return NULL;
}

void link_figures(const struct hist *all, unsigned keys, uint64_t took_ns, struct usage used,
                  double *ret)
{
    double ops = (double)all->count * keys;
    ret[METRIC_OPS] = ops * 1e9 / (double)took_ns;
    ret[METRIC_P50] = hist_estimate(all, 0.5) / 1e3;
    ret[METRIC_P99] = hist_estimate(all, 0.99) / 1e3;
    ret[METRIC_SERVER] = (double)used.server_ns / ops / 1e3;
    ret[METRIC_COMMANDS] = (double)used.commands_us / ops;
    ret[METRIC_LOADS] = 0;
    ret[METRIC_CLIENT] = (double)used.client_ns / ops / 1e3;
    ret[METRIC_SWITCHES] = (double)used.switches / ops;
}

static void start(struct crew *crew, struct hand *hands, pthread_t *ids)
{
    for (unsigned i = 0; i < crew->row->threads; i++) {
        hands[i].crew = crew;
        hands[i].index = i;
        hands[i].first = calls_so_far;
        if (pthread_create(&ids[i], NULL, work, &hands[i]) != 0)
            fail("cannot start a thread");
    }
}

void link_round(const struct row *row, const struct side *side, void *self, double *ret)
{
    if (side->round) {
        side->round(self, link_world.round_ns, ret);
        return;
    }
    struct crew crew = {.row = row, .side = side, .self = self, .calls_max = UINT64_MAX};
    struct hand *hands = must_alloc(row->threads, sizeof(*hands));
    pthread_t ids[LINK_THREADS_MAX];
    struct hist all;
    pid_t server = side->server ? side->server(self) : link_world.server.pid;
    memset(&all, 0, sizeof(all));
    if (side->prepare)
        crew.calls_max = side->prepare(self);
    pthread_barrier_init(&crew.gate, NULL, row->threads + 1);
    start(&crew, hands, ids);
    pthread_barrier_wait(&crew.gate);
    uint64_t commands_us = usage_of_commands_us(side->commands);
    struct usage before = usage_now(server);
    uint64_t loads = side->loads ? side->loads(self) : 0;
    uint64_t began_ns = now_ns();
    pthread_barrier_wait(&crew.gate);
    pthread_barrier_wait(&crew.gate);
    uint64_t took_ns = now_ns() - began_ns;
    struct usage used = usage_since(before, usage_now(server));
    used.commands_us = usage_of_commands_us(side->commands) - commands_us;
    pthread_barrier_wait(&crew.gate);
    for (unsigned i = 0; i < row->threads; i++) {
        pthread_join(ids[i], NULL);
        hist_merge(&all, &hands[i].hist);
        calls_so_far += hands[i].hist.count;
    }
    unsigned keys = side->keys ? side->keys : row->keys;
    link_figures(&all, keys, took_ns, used, ret);
    if (side->loads)
        ret[METRIC_LOADS] = (double)(side->loads(self) - loads) / ((double)all.count * keys);
    pthread_barrier_destroy(&crew.gate);
    free(hands);
}
