// SPDX-License-Identifier: MIT
// The database of origin.h: a generation number that every row shows, and a gate.

#include "support/origin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the origin ---- */

void origin_init(struct origin *o)
{
    *o = (struct origin){.generation = 1};
}

unsigned origin_commit(struct origin *o)
{
    return atomic_fetch_add(&o->generation, 1) + 1;
}

void origin_hold(struct origin *o)
{
    atomic_store(&o->held, true);
}

void origin_let_go(struct origin *o)
{
    atomic_store(&o->held, false);
}

int origin_answer(struct origin *o, struct nigh_fill *fill)
{
    char row[NIGH_KEY_MAX + 16];
    size_t key_len;
    const char *key = nigh_fill_key(fill, &key_len);
    int len = snprintf(row, sizeof(row), "%.*s=%u", (int)key_len, key,
                       atomic_load(&o->generation));
    /* The row is read; what is committed from here on is not in it. */
    atomic_fetch_add(&o->held_loads, 1);
    while (atomic_load(&o->held))
        check_pause();
    atomic_fetch_sub(&o->held_loads, 1);
    return nigh_fill_value(fill, row, (size_t)len);
}

static void enter(struct origin *o)
{
    unsigned running = atomic_fetch_add(&o->running, 1) + 1;
    unsigned max = atomic_load(&o->running_max);
    while (running > max && !atomic_compare_exchange_weak(&o->running_max, &max, running))
        continue;
    atomic_fetch_add(&o->loads, 1);
}

static void leave(void *arg)
{
    struct origin *o = arg;
    atomic_fetch_sub(&o->running, 1);
    atomic_fetch_add(&o->finished, 1);
}

int origin_load(void *arg, struct nigh_fill *const fills[], size_t n)
{
    struct origin *o = arg;
    origin_script_fn script = atomic_load(&o->script);
    int rc = 0;
    size_t largest = atomic_load(&o->largest);
    while (n > largest && !atomic_compare_exchange_weak(&o->largest, &largest, n))
        continue;
    enter(o);
    pthread_cleanup_push(leave, o); /* a script may end its thread */
    for (size_t i = 0; i < n && rc == 0; i++) {
        atomic_fetch_add(&o->rows, 1);
        rc = script ? script(o, fills[i]) : origin_answer(o, fills[i]);
    }
    pthread_cleanup_pop(1);
    return rc;
}

int origin_write(void *arg, const struct nigh_write_op *op)
{
    struct origin *o = arg;
    (void)op;
    if (atomic_load(&o->refuse_writes))
        return -1;
    atomic_fetch_add(&o->writes, 1);
    return 0;
}

/* ---- the world ---- */

static uint64_t read_clock(void *arg)
{
    struct world *w = arg;
    return atomic_load(&w->now_ns);
}

struct nigh_options world_options(struct world *w)
{
    struct nigh_options o = NIGH_OPTIONS_INIT;
    o.l1_memory = 8u << 20;
    o.group_slots = 2048; /* the least: quick to zero */
    o.threads = NIGH_THREADS_NONE;
    o.clock = read_clock;
    o.clock_arg = w;
    return o;
}

void world_open_with(struct world *w, const struct nigh_options *o,
                     const struct nigh_space_options *so, struct origin *origin)
{
    w->now_ns = WORLD_START_NS;
    int rc = nigh_open(o, &w->cache);
    if (rc != 0)
        check_note("nigh_open: %s: %s", nigh_strerror(rc), nigh_options_error());
    REQUIRE_EQ(rc, 0);
    REQUIRE_EQ(nigh_space_open(w->cache, "s", so, origin_load, origin_write, origin, &w->space), 0);
}

void world_open(struct world *w, const struct nigh_options *o, const struct nigh_space_options *so)
{
    struct nigh_options own = NIGH_OPTIONS_INIT;
    own.l1_memory = 8u << 20;
    own.group_slots = 2048;
    origin_init(&w->origin);
    world_open_with(w, o ? o : &own, so, &w->origin);
}

struct nigh_space_options exact_space(void)
{
    struct nigh_space_options so = NIGH_SPACE_OPTIONS_INIT;
    so.soft_ttl_ms = 1000;
    so.stale_ms = 500;
    so.jitter_percent = NIGH_NONE;
    return so;
}

void world_open_exact(struct world *w)
{
    struct nigh_options o = world_options(w);
    struct nigh_space_options so = exact_space();
    world_open(w, &o, &so);
}

struct nigh_options node_options(const struct redis *server)
{
    struct nigh_options o = NIGH_OPTIONS_INIT;
    o.l1_memory = 8u << 20;
    o.group_slots = 2048;
    o.redis_uri = server->uri;
    o.trust_ms = 1000;
    o.beat_ms = 200;
    o.connect_timeout_ms = 200;
    return o;
}

static void open_trusted(struct world *w, const struct nigh_options *o, struct origin *origin,
                         const struct nigh_space_options *so)
{
    origin_init(&w->origin);
    world_open_with(w, o, so, origin ? origin : &w->origin);
    REQUIRE(CHECK_WITHIN(WORLD_PATIENCE_MS, nigh_health(w->cache) == NIGH_FRESH &&
                                                world_count(w, "listening") == 1));
}

void node_open(struct world *w, const struct redis *server, struct origin *origin,
               const struct nigh_space_options *so)
{
    struct nigh_options o = node_options(server);
    open_trusted(w, &o, origin, so);
}

struct nigh_options patient_options(const struct redis *server)
{
    struct nigh_options o = node_options(server);
    o.trust_ms = WORLD_PATIENCE_MS;
    o.l2_deadline_ms = WORLD_PATIENCE_MS;
    o.l2_stale_deadline_ms = WORLD_PATIENCE_MS;
    o.connect_timeout_ms = WORLD_PATIENCE_MS / 4;
    return o;
}

void patient_open(struct world *w, const struct redis *server, struct origin *origin,
                  const struct nigh_space_options *so)
{
    struct nigh_options o = patient_options(server);
    open_trusted(w, &o, origin, so);
}

void world_run_both(world_case_fn *run)
{
    struct world w;
    struct redis server;
    world_open(&w, NULL, NULL);
    run(&w, NULL);
    world_close(&w);

    redis_start(&server, NULL);
    struct nigh_options o = patient_options(&server);
    o.lease_ms = WORLD_PATIENCE_MS;
    o.space.load_deadline_ms = 2 * WORLD_PATIENCE_MS;
    open_trusted(&w, &o, NULL, NULL);
    unsigned before = check_failed_count();
    run(&w, &server);
    if (check_failed_count() != before)
        check_note("that was with Redis");
    world_close(&w);
    redis_stop(&server);
}

void nodes_open(struct world *a, struct world *b, struct redis *server)
{
    redis_start(server, NULL);
    node_open(a, server, NULL, NULL);
    node_open(b, server, &a->origin, NULL);
}

void patient_nodes_open(struct world *a, struct world *b, struct redis *server)
{
    redis_start(server, NULL);
    patient_open(a, server, NULL, NULL);
    patient_open(b, server, &a->origin, NULL);
}

void lasting_nodes_open(struct world *a, struct world *b, struct redis *server,
                        uint32_t load_deadline_ms)
{
    struct nigh_space_options so = NIGH_SPACE_OPTIONS_INIT;
    so.load_deadline_ms = load_deadline_ms;
    redis_start(server, NULL);
    patient_open(a, server, NULL, &so);
    patient_open(b, server, &a->origin, &so);
    CHECK_EQ(nigh_set(a->cache, "lease.time", "60s"), 0);
    CHECK_EQ(nigh_set(b->cache, "lease.time", "60s"), 0);
}

void nodes_close(struct world *a, struct world *b, struct redis *server)
{
    world_close(a);
    world_close(b);
    redis_stop(server);
}

void world_close(struct world *w)
{
    nigh_close(w->cache);
    w->cache = NULL;
}

void world_advance(struct world *w, uint64_t ms)
{
    atomic_fetch_add(&w->now_ns, ms * 1000000u);
}

int world_tick(struct world *w)
{
    world_advance(w, 1);
    return nigh_tick(w->cache);
}

void world_settle(struct world *w)
{
    for (int pass = 0; pass < 2; pass++) {
        for (int i = 0; i < 10; i++)
            REQUIRE(nigh_tick(w->cache) >= 0);
        world_advance(w, WORLD_SETTLE_MS / 2); /* when what was retired is looked at anew */
        REQUIRE(nigh_tick(w->cache) >= 0);
    }
}

int64_t world_count(const struct world *w, const char *name)
{
    int64_t n = nigh_stats_value(w->cache, NULL, name);
    CHECK_GE(n, 0); /* else the name is wrong */
    return n;
}

/* ---- asking ---- */

typedef int (*read_fn)(struct nigh_space *, const void *, size_t, const struct nigh_call *,
                       struct nigh_value *);

static struct answer ask(read_fn read, struct nigh_space *s, const char *key,
                         const struct nigh_call *call)
{
    struct nigh_value v = NIGH_VALUE_INIT;
    struct answer a = {.outcome = read(s, key, strlen(key), call, &v)};
    if (a.outcome == NIGH_FRESH || a.outcome == NIGH_STALE) {
        a.len = v.len;
        a.version = nigh_value_version(&v);
        a.tier = nigh_value_tier(&v);
        size_t shown = v.len < sizeof(a.text) ? v.len : sizeof(a.text) - 1;
        if (shown > 0)
            memcpy(a.text, v.data, shown);
    } else {
        CHECK(v.data == NULL && v.len == 0 && v.pin == 0);
    }
    nigh_release(&v);
    return a;
}

struct answer ask_get(struct nigh_space *s, const char *key, const struct nigh_call *call)
{
    return ask(nigh_get, s, key, call);
}

struct answer ask_fetch(struct nigh_space *s, const char *key, const struct nigh_call *call)
{
    return ask(nigh_fetch, s, key, call);
}

static void *run_asker(void *arg)
{
    struct asker *a = arg;
    a->answer = ask_fetch(a->space, a->key, &a->call);
    a->load_error = nigh_load_error();
    atomic_store(&a->done, true);
    return NULL;
}

struct nigh_call call_flagged(uint32_t flags)
{
    struct nigh_call call = NIGH_CALL_INIT;
    call.flags = flags;
    return call;
}

const char *key_numbered(unsigned number)
{
    static _Thread_local char key[16];
    snprintf(key, sizeof(key), "k%u", number);
    return key;
}

void asker_start(struct asker *a, struct nigh_space *s, const char *key,
                 const struct nigh_call *call)
{
    *a = (struct asker){.space = s, .call = NIGH_CALL_INIT};
    REQUIRE(strlen(key) < sizeof(a->key));
    strcpy(a->key, key);
    if (call)
        a->call = *call;
    REQUIRE_EQ(pthread_create(&a->thread, NULL, run_asker, a), 0);
}

void asker_join(struct asker *a)
{
    REQUIRE_EQ(pthread_join(a->thread, NULL), 0);
}
