// SPDX-License-Identifier: MIT
/*
 * Opening, keeping and closing a cache.
 *
 * Threads (with own threads): nigh-io (l2), nigh-listen (coherence), nigh-keeper (this file),
 * nigh-reclaim (l1), nigh-worker x k, nigh-log (base), nigh-lookup (l2, while a name is looked
 * up). Without: drive.c.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cache/cache.h"
#include "cache/caller.h"
#include "cache/limit.h"
#include "cache/load.h"
#include "cache/options.h"
#include "cache/sink.h"
#include "cache/space.h"

#define KEEPER_EXPIRE_BUDGET 4096u     /* entries a turn: about a millisecond */
#define REPLY_SLACK_BYTES (64u * 1024) /* envelope header, tags, array framing around one value */
#define CLOSE_NAMES_MAX 16u                 /* callbacks named in the log; then only counted */
#define CLOSE_CONNECT_TRIES 50              /* 5 ms each, for a connection that the queue needs */
#define CLOSE_PATIENCE_NS (900 * NS_PER_MS) /* after the last deadline of what runs */
#define CLOSE_LAST_NS (100 * NS_PER_MS)     /* then for what is on its way to Redis */

/* ---- turns ---- */

uint64_t cache_keep(void *arg)
{
    struct nigh *cache = arg;
    uint64_t next_ns = l1_expire(cache->l1, KEEPER_EXPIRE_BUDGET);
    next_ns = u64_min(next_ns, queues_keep(cache)); /* notes anew who expects us, then ... */
    next_ns = u64_min(next_ns, flight_tick(cache->flights)); /* ... what is due by then */
    workers_repair(&cache->workers);
    failures_expire(&cache->failures, clock_now_ns(&cache->clock));
    if (cache->coherence) {
        next_ns = u64_min(next_ns, coherence_tick(cache->coherence));
        next_ns = u64_min(next_ns, leases_keep(cache));
        next_ns = u64_min(next_ns, tickets_keep(cache));
    }
    return next_ns;
}

static uint64_t reclaim(void *arg)
{
    struct nigh *cache = arg;
    return l1_reclaim(cache->l1);
}

static void poke(void *arg)
{
    service_poke(arg);
}

/* ---- opening ---- */

static void run_flight(void *arg, struct flight *f)
{
    struct nigh *cache = arg;
    workers_add_flight(&cache->workers, f);
    drive_queued(cache, f);
    if (cache->drive)
        queues_rouse(cache);
}

static void take_seams(struct env *env, const struct cache_seams *seams)
{
    *env->park = *seams->park;
    random_init(env->random, seams->seed);
    env->own_threads = false;
}

static int open_log(struct nigh *cache, const struct nigh_options *o)
{
    struct log_out out;
    if (!log_out_init(&out, o->log, o->log_arg, o->log_to))
        return 0;
    return log_open(cache->env.log, &out, cache->env.own_threads);
}

static int init_env(struct nigh *cache, const struct nigh_options *o,
                    const struct cache_seams *seams)
{
    cache->env = (struct env){0};
    int rc = env_init_real(&cache->env, o->threads == NIGH_THREADS_OWN);
    if (rc != 0)
        return rc;
    if (o->clock) {
        clock_hook_init(&cache->clock_hook, o->clock, o->clock_arg);
        cache->clock = (struct clock){clock_hook_ns, &cache->clock_hook};
    }
    *cache->env.clock = cache->clock;
    if (seams) {
        take_seams(&cache->env, seams);
        cache->env.log->fn = o->log;
        cache->env.log->arg = o->log_arg;
        return 0;
    }
    rc = open_log(cache, o);
    if (rc == 0 && !cache->env.own_threads)
        rc = drive_create(cache);
    if (rc != 0)
        env_fini(&cache->env);
    return rc;
}

static int open_l1(struct nigh *cache, const struct nigh_options *o)
{
    struct l1_config config = {
        .env = &cache->env,
        .stats = &cache->stats,
        .memory_bytes = o->l1_memory,
        .limbo_bytes = o->l1_limbo,
        .shards = o->l1_shards,
        .group_slots = o->group_slots,
        .policy = o->l1_policy,
        .huge_pages = o->l1_huge_pages,
        .hash = o->l1_hash,
        .entries = o->l1_entries,
    };
    int rc = l1_create(&config, &cache->l1);
    return rc == NIGH_EINVAL ? options_memory_too_small(o) : rc;
}

static int open_flights(struct nigh *cache)
{
    struct flight_table_config config = {
        .env = &cache->env,
        .host = {run_flight, load_step, load_free, cache, sizeof(struct load)},
    };
    return flight_table_create(&config, &cache->flights);
}

static int open_l2(struct nigh *cache, const struct nigh_options *o,
                   const struct cache_seams *seams)
{
    struct l2_config config = {
        .env = &cache->env,
        .stats = &cache->stats,
        .net = seams ? seams->net : NULL,
        .uri = o->redis_uri,
        .prefix = o->redis_prefix,
        .connect_timeout_ms = o->connect_timeout_ms,
        .group_slots = o->group_slots,
        .reply_max_bytes = NIGH_VALUE_MAX + REPLY_SLACK_BYTES,
    };
    int rc = l2_open(&config, &cache->l2);
    if (rc == 0)
        l2_set_patience(cache->l2, o->l2_deadline_ms);
    return rc;
}

static int open_coherence(struct nigh *cache, const struct nigh_options *o)
{
    struct coherence_config config = {
        .env = &cache->env,
        .stats = &cache->stats,
        .l2 = cache->l2,
        .sink = sink_of(cache),
        .trust_ms = o->trust_ms,
        .beat_ms = o->beat_ms,
        .group_slots = o->group_slots,
        .queue_items = o->queue_items,
    };
    int rc = coherence_open(&config, &cache->coherence);
    if (rc == 0)
        cache->trusted_until = coherence_trusted_until(cache->coherence);
    return rc;
}

static void take_options(struct nigh *cache, const struct nigh_options *o)
{
    static const _Atomic uint64_t always = UINT64_MAX;
    cache->trusted_until = &always; /* without Redis nobody else changes anything */
    cache->doubt_is_miss = o->on_doubt == NIGH_DOUBT_MISS;
    cache->group_slots = o->group_slots;
    cache->time_error_ms = o->trust_ms / 2; /* no beat's answer is awaited for longer */
    cache_write_ms(&cache->l2_deadline_ms, o->l2_deadline_ms);
    cache_write_ms(&cache->l2_stale_deadline_ms, o->l2_stale_deadline_ms);
    cache_write_ms(&cache->lease_ms, o->lease_ms);
    cache->space_defaults = o->space;
    strcpy(cache->default_schema, o->space.schema ? o->space.schema : "1");
    atomic_init(&cache->fork_count,
                atomic_load_explicit(&cache_forks.count, memory_order_relaxed));
}

static int check_names(const struct nigh_options *o)
{
    int rc = space_check_name("redis.prefix", o->redis_prefix);
    if (rc == 0 && o->space.schema)
        rc = space_check_name("space.schema", o->space.schema);
    return rc == NIGH_EINVAL ? NIGH_EOPTION : rc;
}

/* A service may be poked once it is started, not before: the link may be up, and want a beat, by
 * now. One more poke makes up for what the link wanted before the keeper could be told. */
static int start_services(struct nigh *cache)
{
    int rc = service_start(&cache->reclaimer, &cache->env, "nigh-reclaim", reclaim, cache);
    if (rc != 0)
        return rc;
    l1_set_reclaim_poke(cache->l1, poke, &cache->reclaimer);
    rc = service_start(&cache->keeper, &cache->env, "nigh-keeper", cache_keep, cache);
    if (rc == 0 && cache->coherence) {
        coherence_set_poke(cache->coherence, poke, &cache->keeper);
        service_poke(&cache->keeper);
    }
    return rc;
}

static int open_tiers(struct nigh *cache, const struct nigh_options *o,
                      const struct cache_seams *seams)
{
    int rc = open_l1(cache, o);
    if (rc == 0)
        rc = open_flights(cache);
    if (rc == 0)
        rc = workers_start(&cache->workers, o->workers);
    if (rc == 0 && o->redis_uri && o->redis_uri[0])
        rc = open_l2(cache, o, seams);
    if (rc == 0 && cache->l2)
        rc = open_coherence(cache, o);
    if (rc == 0 && cache->l2 && cache->drive)
        rc = drive_link(cache);
    return rc == 0 ? start_services(cache) : rc;
}

/* Whether callbacks have been left, or queues are open: they have references. */
static bool is_shared(struct nigh *cache)
{
    return atomic_load_explicit(&cache->refs, memory_order_relaxed) > 1;
}

/* Close what is open, in the order in which things depend on each other. */
static void close_tiers(struct nigh *cache)
{
    service_stop(&cache->keeper);
    atomic_store_explicit(&cache->l2_closed, true, memory_order_relaxed);
    if (cache->coherence)
        coherence_close(cache->coherence);
    drive_unlink(cache);
    if (cache->l2)
        l2_close(cache->l2);
    workers_stop(&cache->workers);
    service_stop(&cache->reclaimer);
    if (cache->l1 && is_shared(cache))
        l1_empty(cache->l1); /* but for what callbacks and completions hold */
    log_close(cache->env.log);
}

/* Frees what a callback touches that returns late. */
static void destroy(struct nigh *cache)
{
    if (cache->flights)
        flight_table_destroy(cache->flights);
    if (cache->l1)
        l1_destroy(cache->l1);
    spaces_destroy(cache);
    workers_fini(&cache->workers);
    queues_fini(&cache->queues);
    tickets_fini(&cache->tickets, cache->env.mem);
    leases_fini(&cache->leases, cache->env.mem);
    failures_fini(&cache->failures);
    pthread_mutex_destroy(&cache->spaces_lock);
    stats_fini(&cache->stats);
    drive_destroy(cache);
    env_fini(&cache->env);
    free(cache);
}

int nigh_open(const struct nigh_options *options, struct nigh **ret_cache)
{
    struct caller caller;
    caller_enter(&caller);
    int rc = cache_open(options, NULL, ret_cache);
    caller_leave(&caller);
    return rc;
}

int cache_open(const struct nigh_options *options, const struct cache_seams *seams,
               struct nigh **ret_cache)
{
    struct nigh_options o;
    int rc = options_resolve(options, &o);
    if (rc == 0)
        rc = check_names(&o);
    if (rc != 0)
        return rc;
    cache_watch_forks();
    struct nigh *cache = aligned_alloc(CACHE_LINE_BYTES, sizeof(*cache));
    if (!cache)
        return NIGH_ENOMEM;
    memset(cache, 0, sizeof(*cache));
    rc = init_env(cache, &o, seams);
    if (rc != 0)
        goto undo_alloc;
    rc = stats_init(&cache->stats, cache->env.mem);
    if (rc != 0)
        goto undo_env;
    pthread_mutex_init(&cache->spaces_lock, NULL);
    workers_init(&cache->workers, &cache->env);
    failures_init(&cache->failures);
    leases_init(&cache->leases);
    tickets_init(&cache->tickets);
    queues_init(&cache->queues, (uint32_t)o.async_max);
    atomic_init(&cache->refs, 1);
    cache->destroy = destroy;
    take_options(cache, &o);
    rc = open_tiers(cache, &o, seams);
    if (rc != 0)
        goto undo_tiers;
    limit_warn(cache->env.log, o.l1_memory, "");
    *ret_cache = cache;
    return 0;
undo_tiers:
    close_tiers(cache);
    destroy(cache);
    return rc;
undo_env:
    drive_destroy(cache);
    env_fini(&cache->env);
undo_alloc:
    free(cache);
    return rc;
}

/* ---- closing ---- */

/* Prints a key as part of a message: bytes that are no printable ASCII become points. */
static void print_key(char *text, size_t size, struct bytes key)
{
    size_t n = u64_min(key.len, size - 1);
    for (size_t i = 0; i < n; i++) {
        unsigned char c = ((const unsigned char *)key.data)[i];
        text[i] = c >= ' ' && c < 0x7f ? (char)c : '.';
    }
    text[n] = 0;
}

/* Names in the log a callback that nigh_close() does not wait for any longer: each is a fault by
 * itself. */
static void note_left(struct nigh *cache, struct callback *c, uint32_t before)
{
    struct log_site always = {0};
    char key[64];
    workers_leave(&cache->workers, c->thread);
    if (before >= CLOSE_NAMES_MAX)
        return;
    print_key(key, sizeof(key), c->key);
    log_write(cache->env.log, NIGH_LOG_ERROR, &always,
              "closed while the %s of space \"%s\", key \"%s\" has not returned: its memory is "
              "left", c->what, c->space->name, key);
}

/* Refuses calls from here on: loaders that return late may make some. Calls that have begun come to
 * their end, with the tiers there. */
static void refuse_calls(struct nigh *cache)
{
    if (cache_is_gone(cache))
        return;
    uint32_t count = atomic_load_explicit(&cache->space_count, memory_order_relaxed);
    for (uint32_t i = 0; i < count; i++)
        cache_set_plain(cache->spaces[i], CACHE_LEFT);
    atomic_store_explicit(&cache->fork_count, CACHE_LEFT, memory_order_relaxed);
    rcu_wait(); /* hits that had begun */
}

static void leave_callbacks(struct nigh *cache)
{
    uint64_t deadline_ns = 0;
    if (!callbacks_running(&cache->callbacks, &deadline_ns))
        return;
    struct log_site always = {0};
    refuse_calls(cache);
    uint32_t count = callbacks_leave(cache, note_left);
    if (count > 1)
        log_write(cache->env.log, NIGH_LOG_ERROR, &always,
                  "closed while %u loaders and writers have not returned", count);
}

static bool is_landed(struct nigh *cache)
{
    uint64_t deadline_ns = 0;
    return flight_count(cache->flights) == 0 && workers_idle(&cache->workers) &&
           !callbacks_running(&cache->callbacks, &deadline_ns);
}

/*
 * Lands the flights: waits for loaders and writers that run, but not for ever; wakes flights that
 * wait for other nodes; and lets fills and leases given back reach Redis, lest the leases stay
 * behind. No loader begins any more, so the closer may take the workers' turns: all of them may be
 * inside one.
 */
static void drain_flights(struct nigh *cache)
{
    _Atomic uint32_t never = 0;
    uint64_t end_ns = clock_now_ns(&cache->clock);
    /* pair(cache.sent_behind): acquire what the answers touched, before it is freed */
    while (!is_landed(cache) ||
           atomic_load_explicit(&cache->sent_behind, memory_order_acquire) > 0) {
        flight_notify_all(cache->flights, FLIGHT_EV_DEADLINE);
        workers_turn(&cache->workers);
        callbacks_running(&cache->callbacks, &end_ns);
        uint64_t now_ns = clock_now_ns(&cache->clock);
        if (now_ns >= end_ns + CLOSE_PATIENCE_NS) {
            leave_callbacks(cache);
            if (is_landed(cache) && now_ns >= end_ns + CLOSE_PATIENCE_NS + CLOSE_LAST_NS)
                return;
        }
        park_wait(cache->env.park, &never, 0, clock_deadline_ns(&cache->clock, 1));
    }
}

/* Reports values that are still held. Only hits are counted: what a load handed out has a
 * reference. */
static void check_released(struct nigh *cache)
{
    uint64_t pins;
    uint64_t bytes;
    l1_pins_read(cache->l1, &pins, &bytes);
    if (pins > 0)
        LOG(cache->env.log, NIGH_LOG_ERROR, "closed while %" PRIu64 " values are held", pins);
}

/* Refuses the calls that a log hook makes from here on. Its earlier calls find the tiers whole: the
 * flush waits for them. */
static void end_log_calls(struct nigh *cache)
{
    atomic_store_explicit(&cache->closed, true, memory_order_relaxed); /* ordered by the flush */
    log_flush(cache->env.log);
}

/* Waits a moment for a connection that the queue needs: a host that has never ticked may be about
 * to have one. The tries are counted, for the host's clock may stand still. */
static void connect_for_queue(struct nigh *cache)
{
    _Atomic uint32_t never = 0;
    if (!cache->drive || !cache->coherence)
        return;
    for (int i = 0; i < CLOSE_CONNECT_TRIES && !l2_connected(cache->l2) &&
                    coherence_drain(cache->coherence, 0) != 0; i++)
        park_wait(cache->env.park, &never, 0, clock_deadline_ns(&cache->clock, 5));
}

void nigh_close(struct nigh *cache)
{
    if (!cache)
        return;
    if (cache_forked(cache))
        return; /* threads and sockets are the parent's; the child lets the memory be */
    struct caller caller;
    caller_enter(&caller);
    atomic_store_explicit(&cache->closing, true, memory_order_relaxed);
    queues_shut(cache);
    tickets_give_back_all(cache); /* no put can use them any more */
    drain_flights(cache);
    connect_for_queue(cache);
    check_released(cache);
    end_log_calls(cache);
    close_tiers(cache);
    cache_unref(cache);
    caller_leave(&caller);
}

/* ---- while it is open ---- */

int nigh_health(struct nigh *cache)
{
    int rc = cache_check_open(cache);
    if (rc != 0)
        return rc;
    /* pair(coherence.trust): only compared; the order does not matter here */
    uint64_t until_ns = atomic_load_explicit(cache->trusted_until, memory_order_acquire);
    if (clock_coarse_ns(&cache->clock) < until_ns)
        return NIGH_FRESH;
    return l2_connected(cache->l2) ? NIGH_STALE : NIGH_EOFFLINE;
}

int nigh_drain(struct nigh *cache, uint32_t deadline_ms)
{
    if (cache_is_gone(cache))
        return cache_why_gone(cache);
    struct caller caller;
    int rc = 0;
    caller_enter(&caller);
    if (cache->coherence)
        rc = coherence_drain(cache->coherence, clock_deadline_ns(&cache->clock, deadline_ms));
    caller_leave(&caller);
    return rc;
}
