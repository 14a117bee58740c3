// SPDX-License-Identifier: MIT
/*
 * Opening and keeping a cache. Closing: close.c.
 *
 * Threads (with own threads): nigh-io (l2), nigh-listen (coherence), nigh-keeper (this file),
 * nigh-reclaim (l1), nigh-worker x k, nigh-log (base), nigh-lookup (l2, while a name is looked
 * up), nigh-password (l2, while the host's function for it is called). Without: drive.c.
 */
#include <stdlib.h>
#include <string.h>

#include "cache/cache.h"
#include "cache/caller.h"
#include "cache/close.h"
#include "cache/commands/commands.h"
#include "cache/hot.h"
#include "cache/inspect/curve.h"
#include "cache/latency.h"
#include "cache/limit.h"
#include "cache/load/load.h"
#include "cache/options.h"
#include "cache/queue/keep.h"
#include "cache/recording.h"
#include "cache/sink.h"
#include "cache/space.h"
#include "cache/watch.h"

#define KEEPER_EXPIRE_BUDGET 4096u     /* entries a turn: about a millisecond */
#define REPLY_SLACK_BYTES (64u * 1024) /* envelope header, tags, array framing around one value */

/* ---- turns ---- */

uint64_t cache_keep(void *arg)
{
    struct nigh *cache = arg;
    uint64_t next_ns = l1_expire(cache->l1, KEEPER_EXPIRE_BUDGET);
    next_ns = u64_min(next_ns, queues_keep(cache)); /* notes anew who expects us, then ... */
    next_ns = u64_min(next_ns, flight_tick(cache->flights)); /* ... what is due by then */
    next_ns = u64_min(next_ns, load_keep_deferred(cache));
    next_ns = u64_min(next_ns, curve_keep(cache));
    workers_repair(&cache->workers);
    failures_expire(&cache->failures, clock_now_ns(&cache->clock));
    trend_keep(cache);
    took_keep(cache);
    if (cache->coherence) {
        next_ns = u64_min(next_ns, l2_keep(cache->l2));
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

/* Calls those who take the workers' turns, without own threads: a job was queued. */
static void job_queued(void *arg)
{
    struct nigh *cache = arg;
    drive_queued_job(cache);
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
    int rc = log_open(cache->env.log, &out, cache->env.own_threads);
    if (rc == 0 && o->log_level)
        log_set_level(cache->env.log, (enum nigh_log_level)(o->log_level - NIGH_LEAST_ERROR));
    return rc;
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
    cache->opened_ns = clock_now_ns(&cache->clock);
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
        .mark_one_in = recording_wants(o) ? o->trace_sample : 0,
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

/* An option that is the empty string is not said. */
static const char *said(const char *text)
{
    return text && text[0] ? text : NULL;
}

static int open_l2(struct nigh *cache, const struct nigh_options *o,
                   const struct cache_seams *seams)
{
    struct l2_config config = {
        .env = &cache->env,
        .stats = &cache->stats,
        .net = seams ? seams->net : NULL,
        .uri = o->redis_uri,
        .tls = {o->tls_ca, o->tls_cert, o->tls_key, o->tls_name, o->tls_verify, o->tls_min},
        .login = {.file = o->redis_password_file, .fn = o->redis_password,
                  .arg = o->redis_password_arg},
        .sentinel_login = {.user = o->redis_sentinel_user,
                           .password = said(o->redis_sentinel_password),
                           .file = o->redis_sentinel_password_file},
        .sentinel_over_tls = o->redis_sentinel_tls,
        .sentinel_tls = {o->redis_sentinel_tls_ca, o->tls_cert, o->tls_key, NULL,
                         o->redis_sentinel_tls_verify, o->tls_min},
        .prefix = o->redis_prefix,
        .connect_timeout_ms = o->connect_timeout_ms,
        .group_slots = o->group_slots,
        .guest = o->guest == 1,
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
        .guest = o->guest == 1,
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
    cache->times = o->stats_latency == NIGH_ON;
    cache->hot_keys = o->hot_keys == NIGH_UNCAPPED ? 0 : (uint32_t)o->hot_keys;
    cache->group_slots = o->group_slots;
    cache->processes = (uint32_t)o->processes;
    cache->trust_ms = o->trust_ms;
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
    if (rc == 0)
        rc = recording_open(cache, o);
    if (rc == 0)
        curve_set(cache, o->curve == NIGH_ON);
    return rc == 0 ? start_services(cache) : rc;
}

/* Frees what a callback touches that returns late. */
static void destroy(struct nigh *cache)
{
    if (cache->flights)
        flight_table_destroy(cache->flights);
    if (cache->l1)
        l1_destroy(cache->l1);
    recording_destroy(cache);
    watch_fini(cache);
    spaces_destroy(cache);
    workers_fini(&cache->workers);
    queues_fini(&cache->queues);
    bumps_fini(&cache->bumps);
    hot_groups_fini(cache);
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
    latency_prepare();
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
    workers_init(&cache->workers, &cache->env, cache->drive ? job_queued : NULL, cache);
    failures_init(&cache->failures);
    leases_init(&cache->leases);
    tickets_init(&cache->tickets);
    queues_init(&cache->queues, (uint32_t)o.async_max);
    bumps_init(&cache->bumps);
    atomic_init(&cache->refs, 1);
    cache->destroy = destroy;
    take_options(cache, &o);
    hot_groups_init(cache);
    rc = open_tiers(cache, &o, seams);
    if (rc != 0)
        goto undo_tiers;
    if (!seams)
        rc = commands_open(cache, &o);
    if (rc != 0)
        goto undo_tiers;
    limit_warn(cache->env.log, o.l1_memory * o.processes, "");
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
