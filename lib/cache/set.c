// SPDX-License-Identifier: MIT
/*
 * nigh_set: what can change while the cache is open.
 *
 * The option is parsed as at the opening, into a struct that holds the present values of all that
 * are live; then all of them are applied, so that no option needs code of its own here but its two
 * lines. Readers take each value as it is at that moment: none depends on another.
 */
#include "cache/cache.h"
#include "cache/caller.h"
#include "cache/inspect/curve.h"
#include "cache/limit.h"
#include "cache/option.h"
#include "cache/options.h"
#include "cache/set.h"
#include "cache/space.h"

void set_read_live(struct nigh *cache, struct nigh_options *o)
{
    o->l1_memory = l1_memory(cache->l1);
    o->l1_limbo = l1_limbo(cache->l1);
    o->l2_deadline_ms = cache_read_ms(&cache->l2_deadline_ms);
    o->l2_stale_deadline_ms = cache_read_ms(&cache->l2_stale_deadline_ms);
    o->lease_ms = cache_read_ms(&cache->lease_ms);
    o->log_level = (enum nigh_log_least)(log_level(cache->env.log) + NIGH_LEAST_ERROR);
    o->curve = curve_is_set(cache) ? NIGH_ON : NIGH_OFF;
    o->space.memory = cache->space_defaults.memory;
    o->processes = cache->processes;
    options_unshare(o); /* the host speaks of all, as at the opening */
}

static int set_memory(struct nigh *cache, const struct nigh_options *o)
    REQUIRES(cache->spaces_lock)
{
    if (o->l1_memory == l1_memory(cache->l1) && o->l1_limbo == l1_limbo(cache->l1))
        return 0;
    int rc = options_check_limbo(o);
    if (rc != 0)
        return rc;
    bool another = o->l1_memory != l1_memory(cache->l1);
    bool smaller = o->l1_memory < l1_memory(cache->l1);
    rc = l1_set_memory(cache->l1, o->l1_memory, o->l1_limbo);
    if (rc != 0)
        return options_memory_too_small(o);
    if (another) {
        trend_begin_anew(cache, NULL, smaller ? TREND_SINCE_SMALLER_CAP : TREND_SINCE_CAP);
        limit_warn(cache->env.log, o->l1_memory * o->processes, "");
    }
    return 0;
}

static int write_live(struct nigh *cache, const struct nigh_options *o)
    REQUIRES(cache->spaces_lock)
{
    int rc = set_memory(cache, o);
    if (rc == 0 && o->space.memory != cache->space_defaults.memory)
        rc = spaces_change_memory(cache, o->space.memory);
    if (rc != 0)
        return rc;
    cache_write_ms(&cache->l2_deadline_ms, o->l2_deadline_ms);
    if (cache->l2)
        l2_set_patience(cache->l2, o->l2_deadline_ms);
    cache_write_ms(&cache->l2_stale_deadline_ms, o->l2_stale_deadline_ms);
    cache_write_ms(&cache->lease_ms, o->lease_ms);
    log_set_level(cache->env.log, (enum nigh_log_level)(o->log_level - NIGH_LEAST_ERROR));
    curve_set(cache, o->curve == NIGH_ON);
    return 0;
}

static void note_change(struct nigh *cache, const struct nigh_space *space, const char *name,
                        const char *value)
{
    LOG(cache->env.log, NIGH_LOG_INFO, "%s%s%s is now %.*s", space ? space->name : "",
        space ? ": " : "", name, (int)u64_min(option_trimmed(value), 60), value);
}

int nigh_set(struct nigh *cache, const char *name, const char *value)
{
    struct nigh_options o = NIGH_OPTIONS_INIT;
    if (cache_is_gone(cache))
        return cache_why_gone(cache);
    struct caller caller;
    caller_enter(&caller);
    pthread_mutex_lock(&cache->spaces_lock); /* two at once must not undo each other */
    set_read_live(cache, &o);
    int rc = options_change(&o, name, value);
    if (rc == 0)
        rc = options_share(&o);
    if (rc == 0)
        rc = write_live(cache, &o);
    pthread_mutex_unlock(&cache->spaces_lock);
    if (rc == 0)
        note_change(cache, NULL, name, value);
    caller_leave(&caller);
    return rc;
}

int nigh_space_set(struct nigh_space *space, const char *name, const char *value)
{
    struct nigh_options o = NIGH_OPTIONS_INIT;
    struct nigh *cache = space->cache;
    if (cache_is_gone(cache))
        return cache_why_gone(cache);
    struct caller caller;
    caller_enter(&caller);
    int rc = options_change_space(&o.space, name, value);
    if (rc == 0)
        rc = options_share_space(&o.space, cache->processes);
    if (rc == 0) {
        pthread_mutex_lock(&cache->spaces_lock);
        rc = space_change_memory(space, o.space.memory);
        pthread_mutex_unlock(&cache->spaces_lock);
    }
    if (rc == 0)
        note_change(cache, space, name, value);
    caller_leave(&caller);
    return rc;
}
