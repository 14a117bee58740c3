// SPDX-License-Identifier: MIT
/*
 * A node process: its cache, those of the control, and the threads of each phase.
 */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "load/load.h"
#include "support/fail.h"

#define MEMORY_LEAST (4ull << 20)
#define TRUST_NS     (20 * PERF_NS_PER_S)
#define LOOK_NS      PERF_NS_PER_MS
#define BATCH        64u

struct node {
    struct load_shared *shared;
    unsigned number;
    struct nigh *cache;
    struct nigh_space *space;
    struct nigh *controls[LOAD_LEVELS_MAX][LOAD_THREADS_MAX];
    struct nigh_space *control_spaces[LOAD_LEVELS_MAX][LOAD_THREADS_MAX];
    /* The threads and the control's go on here: a phase that began anew would ask for what is
     * there. */
    struct shape_place places[2][LOAD_THREADS_MAX];
};

/* ---- caches ---- */

static void set_options(const struct load_settings *s, struct nigh_options *options)
{
    for (unsigned i = 0; i < s->set_count; i++)
        if (nigh_options_parse(options, s->sets[i]) != 0)
            fail("--set %s: %s", s->sets[i], nigh_options_error());
}

struct nigh *load_cache_open(const struct load_shared *shared, unsigned parts, bool control)
{
    const struct load_settings *s = shared->settings;
    struct nigh_options options = NIGH_OPTIONS_INIT;
    struct nigh *cache;
    options.l1_memory = s->memory_bytes;
    set_options(s, &options);
    /* Whatever NIGH_CONF says of Redis: --redis tells which, and there our keys are swept. */
    options.redis_uri = shared->redis_uri[0] && !control ? shared->redis_uri : NULL;
    options.redis_prefix = shared->prefix;
    if (control) {
        options.threads = NIGH_THREADS_NONE;
        options.l1_shards = 1;
        options.group_slots = 2048;
        options.l1_memory =
            options.l1_memory / parts > MEMORY_LEAST ? options.l1_memory / parts : MEMORY_LEAST;
    }
    int rc = nigh_open(&options, &cache);
    if (rc != 0)
        fail("nigh_open: %s: %s", nigh_strerror(rc), nigh_options_error());
    return cache;
}

static int load(void *arg, struct nigh_fill *const fills[], size_t n)
{
    const struct load_settings *s = ((const struct load_shared *)arg)->settings;
    if (s->origin_ns)
        sleep_ns(s->origin_ns);
    for (size_t i = 0; i < n; i++) {
        size_t len;
        uint64_t number = load_key_number(nigh_fill_key(fills[i], &len));
        nigh_fill_value(fills[i], load_value(), shape_size(&s->shape, number));
    }
    return 0;
}

struct nigh_space *load_space_open(const struct load_shared *shared, struct nigh *cache,
                                   bool control)
{
    struct nigh_space *space;
    void *arg = (void *)(uintptr_t)shared;
    int rc = nigh_space_open(cache, "load", NULL, control ? NULL : load, NULL, control ? NULL : arg,
                             &space);
    if (rc != 0)
        fail("nigh_space_open: %s", nigh_strerror(rc));
    return space;
}

void load_fill(const struct load_shared *shared, struct nigh_space *space, unsigned first,
               unsigned step)
{
    const struct shape *shape = &shared->settings->shape;
    char keys[BATCH][LOAD_KEY_BYTES];
    struct nigh_pair pairs[BATCH];
    int outcomes[BATCH];
    size_t n = 0;
    for (uint64_t number = first; number < shape->keys; number += step) {
        load_key(number, keys[n]);
        pairs[n] = (struct nigh_pair){.key = {keys[n], LOAD_KEY_BYTES},
                                      .value = load_value(),
                                      .len = shape_size(shape, number)};
        if (++n < BATCH && number + step < shape->keys)
            continue;
        int rc = nigh_put_many(space, pairs, n, NULL, outcomes);
        if (rc < 0)
            fail("nigh_put_many: %s", nigh_strerror(rc));
        n = 0;
    }
}

/* What another node has put comes from Redis. */
static void load_read(const struct load_shared *shared, struct nigh_space *space)
{
    char names[BATCH][LOAD_KEY_BYTES];
    struct nigh_key keys[BATCH];
    struct nigh_value values[BATCH];
    int outcomes[BATCH];
    for (uint64_t number = 0; number < shared->settings->shape.keys;) {
        size_t n = 0;
        for (; n < BATCH && number < shared->settings->shape.keys; n++) {
            load_key(number++, names[n]);
            keys[n] = (struct nigh_key){names[n], LOAD_KEY_BYTES};
        }
        if (nigh_get_many(space, keys, n, NULL, values, outcomes) == 0)
            for (size_t i = 0; i < n; i++)
                nigh_release(&values[i]);
    }
}

/* The first node puts what the others then read, for a put takes the key from other nodes. */
static void fill(struct node *n)
{
    struct load_shared *s = n->shared;
    if (n->number == 0 || !s->redis_uri[0])
        load_fill(s, n->space, 0, 1);
    if (n->number == 0)
        atomic_store_explicit(&s->filled, true, memory_order_relaxed);
    while (!atomic_load_explicit(&s->filled, memory_order_relaxed))
        sleep_ns(LOOK_NS);
    if (n->number > 0 && s->redis_uri[0])
        load_read(s, n->space);
}

static void await_trust(struct nigh *cache)
{
    for (uint64_t until = now_ns() + TRUST_NS; nigh_health(cache) < 0; sleep_ns(LOOK_NS))
        if (now_ns() > until)
            fail("nigh does not come to trust: %s", nigh_strerror(nigh_health(cache)));
}

static void open_controls(struct node *n)
{
    const struct load_settings *s = n->shared->settings;
    for (unsigned level = 0; s->control && s->threads[level]; level++)
        for (unsigned t = 0; t < s->threads[level]; t++) {
            struct nigh *c = load_cache_open(n->shared, s->threads[level], true);
            n->controls[level][t] = c;
            n->control_spaces[level][t] = load_space_open(n->shared, c, true);
            if (s->fill)
                load_fill(n->shared, n->control_spaces[level][t], t, s->threads[level]);
        }
}

/* ---- phases ---- */

static void run_phase(struct node *n)
{
    struct load_shared *s = n->shared;
    struct load_worker workers[LOAD_THREADS_MAX];
    pthread_t ids[LOAD_THREADS_MAX];
    unsigned threads = s->settings->threads[s->level];
    for (unsigned t = 0; t < threads; t++) {
        workers[t] = (struct load_worker){
            .shared = s,
            .shape = &s->settings->shape,
            .cache = s->control ? n->controls[s->level][t] : n->cache,
            .space = s->control ? n->control_spaces[s->level][t] : n->space,
            .tally = &s->tallies[n->number][t],
            .place = &n->places[s->control][t],
            .node = n->number,
            .thread = t,
            .threads = threads,
            .control = s->control,
        };
        if (pthread_create(&ids[t], NULL, load_worker_run, &workers[t]) != 0)
            fail("cannot start a thread");
    }
    atomic_fetch_add_explicit(&s->ready, 1, memory_order_relaxed);
    for (unsigned t = 0; t < threads; t++)
        pthread_join(ids[t], NULL);
    atomic_fetch_add_explicit(&s->done, 1, memory_order_release); /* pair(load_done): tallies */
}

/* pair(load_phase): the order that it is about. */
static uint32_t phase_now(const struct node *n)
{
    return atomic_load_explicit(&n->shared->phase, memory_order_acquire);
}

void load_node_run(struct load_shared *shared, unsigned number)
{
    struct node n = {.shared = shared, .number = number};
    uint32_t phase = 0;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGINT, SIG_IGN); /* the coordinator ends us */
    for (unsigned t = 0; t < LOAD_THREADS_MAX; t++)
        n.places[0][t] = n.places[1][t] = shape_place_of(&shared->settings->shape, number, t);
    n.cache = load_cache_open(shared, 1, false);
    n.space = load_space_open(shared, n.cache, false);
    await_trust(n.cache);
    if (shared->settings->fill)
        fill(&n);
    open_controls(&n);
    atomic_fetch_add_explicit(&shared->ready, 1, memory_order_relaxed);
    while (!atomic_load_explicit(&shared->end, memory_order_relaxed)) {
        if (phase_now(&n) == phase) {
            sleep_ns(LOOK_NS);
            continue;
        }
        phase = phase_now(&n);
        run_phase(&n);
    }
    nigh_close(n.cache);
    _exit(0);
}
