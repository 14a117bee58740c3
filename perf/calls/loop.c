// SPDX-License-Identifier: MIT
/*
 * Reads that Redis answers: by one thread that has as many under way as the row has threads and
 * waits for its queue's descriptor, as an event loop does, and by threads of which each waits for
 * its own. NIGH_NO_STORE keeps the values out of L1, so each read goes to Redis and back.
 */
#include <poll.h>
#include <string.h>

#include "link/link.h"
#include "support/fail.h"

struct loop {
    const struct row *row;
    struct nigh *cache;
    struct nigh_space *space;
    struct nigh_queue *queue;
    bool fetches;                        /* else gets */
    uint64_t n;                          /* calls so far */
    uint64_t began_ns[LINK_THREADS_MAX]; /* of the call in each place */
    struct hist hist;
};

static const struct nigh_call keeps_out = {.size = sizeof(struct nigh_call),
                                           .flags = NIGH_NO_STORE};
static const struct nigh_call asks_redis = {.size = sizeof(struct nigh_call),
                                            .flags = NIGH_REFRESH | NIGH_NO_STORE};

static struct loop *open_loop(const struct row *row, bool fetches)
{
    struct loop *l = must_alloc(1, sizeof(*l));
    l->row = row;
    l->fetches = fetches;
    l->cache = link_cache_open_cold(link_prefix(row->audience), &l->space);
    int rc = nigh_queue_open(l->cache, &l->queue);
    if (rc != 0)
        fail("nigh_queue_open: %s", nigh_strerror(rc));
    return l;
}

static void *open_fetches(const struct row *row)
{
    return open_loop(row, true);
}

static void *open_gets(const struct row *row)
{
    return open_loop(row, false);
}

static void close_loop(void *self)
{
    struct loop *l = self;
    nigh_queue_close(l->queue);
    nigh_close(l->cache);
    free(l);
}

/* ---- threads that wait ---- */

static void fetch(void *self, unsigned thread, uint64_t n)
{
    struct loop *l = self;
    const struct nigh_key *k = &link_world.keys[link_at(thread, n, 1)];
    struct nigh_value value = NIGH_VALUE_INIT;
    link_judge(nigh_fetch(l->space, k->data, k->len, &keeps_out, &value), &value);
    nigh_release(&value);
}

static void get(void *self, unsigned thread, uint64_t n)
{
    struct loop *l = self;
    const struct nigh_key *k = &link_world.keys[link_at(thread, n, 1)];
    struct nigh_value value = NIGH_VALUE_INIT;
    link_judge(nigh_get(l->space, k->data, k->len, &asks_redis, &value), &value);
    nigh_release(&value);
}

/* ---- one that does not ---- */

static void begin(struct loop *l, uintptr_t place)
{
    const struct nigh_key *k = &link_world.keys[link_at((unsigned)place, l->n++, 1)];
    struct nigh_value value = NIGH_VALUE_INIT;
    void *arg = (void *)place;
    l->began_ns[place] = now_ns();
    int rc = l->fetches ? nigh_fetch_async(l->queue, l->space, k->data, k->len, &keeps_out, arg,
                                           &value, NULL)
                        : nigh_get_async(l->queue, l->space, k->data, k->len, &asks_redis, arg,
                                         &value, NULL);
    if (rc != NIGH_PENDING)
        fail("nigh: a read from Redis is not pending: %s", nigh_strerror(rc));
}

/* Returns how many calls are under way. */
static unsigned take(struct loop *l, unsigned pending, uint64_t until_ns)
{
    struct nigh_completion done[LINK_THREADS_MAX];
    int n = nigh_queue_poll(l->queue, done, LINK_THREADS_MAX, 0);
    uint64_t at_ns = now_ns();
    for (int i = 0; i < n; i++) {
        uintptr_t place = (uintptr_t)done[i].arg;
        link_judge(done[i].outcome, &done[i].value);
        nigh_release(&done[i].value);
        hist_add(&l->hist, at_ns - l->began_ns[place]);
        if (at_ns < until_ns)
            begin(l, place);
        else
            pending--;
    }
    return pending;
}

static void run_round(void *self, uint64_t ns, double ret[METRICS])
{
    struct loop *l = self;
    struct pollfd fd = {.fd = nigh_queue_fd(l->queue), .events = POLLIN};
    unsigned pending = l->row->threads;
    memset(&l->hist, 0, sizeof(l->hist));
    struct usage before = usage_now(link_world.server.pid);
    uint64_t began_ns = now_ns();
    for (uintptr_t place = 0; place < pending; place++)
        begin(l, place);
    while (pending > 0 && poll(&fd, 1, -1) == 1)
        pending = take(l, pending, began_ns + ns);
    uint64_t took_ns = now_ns() - began_ns;
    struct usage used = usage_since(before, usage_now(link_world.server.pid));
    link_figures(&l->hist, 1, took_ns, used, ret);
}

/* clang-format off */
const struct side side_fetch_threads = {
    "64 threads", "get", .open = open_fetches, .call = fetch, .close = close_loop};
const struct side side_fetch_loop = {
    "one loop", "get", .open = open_fetches, .round = run_round, .close = close_loop};
const struct side side_get_threads = {
    "64 threads", "get", .open = open_gets, .call = get, .close = close_loop};
const struct side side_get_loop = {
    "one loop", "get", .open = open_gets, .round = run_round, .close = close_loop};
/* clang-format on */
