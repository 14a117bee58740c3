// SPDX-License-Identifier: MIT
// A node's threads as tasks: I/O, listener, keeper, two workers. Each is the loop that the real
// thread runs, around the same step.

#include "sim/node.h"

#include "cache/cache.h"
#include "cache/space.h"
#include "coherence/change.h"
#include "sim/net.h"
#include "sim/op.h"

#define WORKERS 2
#define GROUP_SLOTS 2048u

struct node {
    int index;
    bool stopping;
    struct nigh *cache;
    struct nigh_space *spaces[2];
    uint64_t clock_offset_ns; /* its clock began at another time */
    uint64_t opened_ns;       /* when its cache's own time began, at CLOCK_HOOK_START_NS */
    struct park park;
    struct cache_seams seams;
    struct chance chance;
};

static struct node nodes[SIM_NODES_MAX];
struct origin_manners origin_manners;

/* ---- its surroundings ---- */

static uint64_t read_clock(void *arg)
{
    const struct node *node = arg;
    return world_now() + node->clock_offset_ns;
}

/* The cache's time. */
static uint64_t cache_now(const struct node *node)
{
    return world_now() - node->opened_ns + CLOCK_HOOK_START_NS;
}

static int park(void *arg, _Atomic uint32_t *word, uint32_t expected, uint64_t deadline_ns)
{
    const struct node *node = arg;
    struct task *t = task_current();
    if (atomic_load_explicit(word, memory_order_relaxed) != expected)
        return 0;
    if (!t || cache_now(node) >= deadline_ns)
        return NIGH_ETIMEDOUT;
    t->word = word;
    task_wait(deadline_ns == CLOCK_NEVER_NS ? deadline_ns
                                            : deadline_ns - CLOCK_HOOK_START_NS + node->opened_ns);
    if (atomic_load_explicit(word, memory_order_relaxed) != expected)
        return 0;
    return cache_now(node) >= deadline_ns ? NIGH_ETIMEDOUT : 0;
}

static void unpark(void *arg, _Atomic uint32_t *word, int count)
{
    (void)arg, (void)count;
    task_wake_word(word);
}

static void log_line(void *arg, enum nigh_log_level level, const char *message)
{
    const struct node *node = arg;
    (void)level;
    TRACE(node->index, "      log: %s", message);
}

/* ---- its threads ---- */

static void run_io(void *arg)
{
    struct node *node = arg;
    while (!node->stopping)
        l2_step(node->cache->l2, CLOCK_NEVER_NS);
}

static void run_listener(void *arg)
{
    struct node *node = arg;
    while (!node->stopping)
        coherence_listen_step(node->cache->coherence, SIM_S);
}

static void run_keeper(void *arg)
{
    struct node *node = arg;
    struct service *s = &node->cache->keeper;
    while (!node->stopping) {
        uint32_t seen = atomic_load_explicit(&s->pokes, memory_order_relaxed);
        uint64_t next_ns = cache_keep(node->cache);
        if (!node->stopping)
            park(node, &s->pokes, seen, next_ns);
    }
}

static void run_worker(void *arg)
{
    struct node *node = arg;
    struct workers *w = &node->cache->workers;
    while (!node->stopping) {
        if (w->flight_head || w->answers.first || w->loads.first)
            workers_turn(w);
        else
            task_wait(CLOCK_NEVER_NS);
    }
}

/* Workers wait for a condition variable: its signal, by the linker's wrapping, wakes them. */
int __wrap_pthread_cond_signal(pthread_cond_t *cond);
int __wrap_pthread_cond_signal(pthread_cond_t *cond)
{
    struct workers *w = CONTAINER_OF(cond, struct workers, wanted);
    struct nigh *cache = CONTAINER_OF(w, struct nigh, workers);
    for (int i = 0; i < SIM_NODES_MAX; i++)
        if (nodes[i].cache == cache)
            task_wake_named(i, "worker");
    return 0;
}

/* ---- its loader and writer ---- */

static int key_in(const void *data, size_t len)
{
    return ((const char *)data)[len - 1] - '0';
}

static uint64_t origin_takes_ns(struct node *node)
{
    if (chance_percent(&node->chance, origin_manners.slow_percent))
        return chance_below(&node->chance, origin_manners.slow_ns / 2);
    return 100 * SIM_US + chance_below(&node->chance, 2 * SIM_MS);
}

static int load(void *arg, struct nigh_fill *const fills[], size_t count)
{
    struct node *node = arg;
    size_t len;
    char text[64], tag[8];
    bool absent;
    const void *name = nigh_fill_key(fills[0], &len);
    int key = key_in(name, len);
    (void)count;
    task_sleep(origin_takes_ns(node));
    uint32_t version = origin_read(node->index, key, &absent, text, sizeof(text));
    bool fails = world_now() < origin_manners.fails_until_ns;
    task_sleep(origin_takes_ns(node));
    TRACE(node->index, "      loader has %s%s%s", text, absent ? " (absent)" : "",
          fails ? " and fails" : "");
    if (fails)
        return -1;
    snprintf(tag, sizeof(tag), "t%d", key_tag(key));
    nigh_fill_add_tag(fills[0], tag);
    if (key_space(key) == 1)
        nigh_fill_set_version(fills[0], version);
    return absent ? nigh_fill_absent(fills[0]) : nigh_fill_value(fills[0], text, strlen(text));
}

static int write_origin(void *arg, const struct nigh_write_op *op)
{
    struct node *node = arg;
    int key = key_in(op->key, op->key_len);
    task_sleep(origin_takes_ns(node));
    return op_commit(node->index, key, op->version, op->value == NULL);
}

/* ---- life ---- */

static void open_spaces(struct node *node)
{
    for (int i = 0; i < 2; i++) {
        char name[8];
        snprintf(name, sizeof(name), "s%d", i);
        if (nigh_space_open(node->cache, name, NULL, load, write_origin, node, &node->spaces[i]))
            abort();
    }
}

static void start_tasks(struct node *node)
{
    int i = node->index;
    task_start(i, "io", run_io, node, chance_below(&node->chance, SIM_MS));
    task_start(i, "listener", run_listener, node, chance_below(&node->chance, SIM_MS));
    task_start(i, "keeper", run_keeper, node, chance_below(&node->chance, SIM_MS));
    for (int k = 0; k < WORKERS; k++)
        task_start(i, "worker", run_worker, node, 0);
}

static struct nigh_options options_of(struct node *node, const struct node_options *options)
{
    struct nigh_options o = NIGH_OPTIONS_INIT;
    o.l1_memory = 4u << 20;
    o.l1_shards = 1;
    o.l1_huge_pages = NIGH_HUGE_NONE; /* nothing to be cleared for 6 keys */
    o.group_slots = GROUP_SLOTS;
    o.queue_items = 64;
    o.workers = WORKERS;
    o.trust_ms = NODE_TRUST_MS;
    o.redis_uri = "redis://redis:6379/0";
    o.clock = read_clock;
    o.clock_arg = node;
    o.log = log_line;
    o.log_arg = node;
    o.space.schema = options->schema;
    o.space.soft_ttl_ms = options->soft_ttl_ms;
    o.space.stale_ms = NODE_STALE_MS;
    o.space.jitter_percent = NIGH_NONE;
    o.space.l2 = options->apart ? NIGH_L2_INVALIDATIONS : NIGH_L2_VALUES;
    o.space.run_on = options->run_on_worker ? NIGH_RUN_WORKER : NIGH_RUN_CALLER;
    return o;
}

void node_open(int index, const struct node_options *options)
{
    struct node *node = &nodes[index];
    *node = (struct node){.index = index, .chance = {options->seed}};
    node->clock_offset_ns = chance_below(&node->chance, 1000000 * SIM_S);
    node->park = (struct park){park, unpark, NULL, node};
    node->seams = (struct cache_seams){&node->park, net_of(index), chance_next(&node->chance) | 1};
    struct nigh_options o = options_of(node, options);
    node->opened_ns = world_now();
    int rc = cache_open(&o, &node->seams, &node->cache);
    if (rc != 0) {
        fprintf(stderr, "sim: %s %s\n", nigh_strerror(rc), nigh_options_error());
        abort();
    }
    judge_node(index, node->cache->coherence->incarnation);
    open_spaces(node);
    start_tasks(node);
}

static int closing; /* the node that node_close() is about */

static bool is_closing_idle(void)
{
    return node_is_idle(closing);
}

static bool are_tasks_gone(void)
{
    return task_count(closing) == 0;
}

bool node_close(int index)
{
    struct node *node = &nodes[index];
    closing = index;
    bool ended = world_run(world_now() + 60 * SIM_S, is_closing_idle);
    node->stopping = true;
    net_stop(index);
    ended = world_run(world_now() + 60 * SIM_S, are_tasks_gone) && ended;
    struct nigh *cache = node->cache;
    node->cache = NULL;
    if (ended)
        nigh_close(cache);
    return ended;
}

struct nigh *node_cache(int index)
{
    return nodes[index].cache;
}

struct nigh_space *node_space_of(int index, int key)
{
    return nodes[index].spaces[key_space(key)];
}

bool node_is_idle(int index)
{
    struct nigh *cache = nodes[index].cache;
    return flight_count(cache->flights) == 0 && workers_idle(&cache->workers) &&
           atomic_load_explicit(&cache->sent_behind, memory_order_relaxed) == 0;
}

bool node_is_quiet(int index)
{
    struct nigh *cache = nodes[index].cache;
    struct coherence_gauges g;
    coherence_gauges_read(cache->coherence, &g);
    return g.trusted && g.listening && g.queued == 0 && g.identity != 0 && node_is_idle(index);
}

uint64_t node_clock(int index)
{
    return coherence_position(nodes[index].cache->coherence).identity;
}

uint64_t node_next_call(int index)
{
    struct coherence *c = nodes[index].cache->coherence;
    return atomic_load_explicit(&c->changes->calls, memory_order_relaxed) + 1;
}
