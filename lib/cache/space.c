// SPDX-License-Identifier: MIT
/*
 * Spaces: names, rules, lookup.
 *
 * A process has a handful of them, opened at start: a list in the order of opening, appended under
 * a lock and read without one (pair(cache.spaces)), searched from its start.
 */
#include "cache/space.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cache/caller.h"
#include "cache/hot.h"
#include "cache/value/lifetime.h"
#include "cache/options.h"
#include "cache/space_l1.h"

struct nigh_space *space_find(struct nigh *cache, struct bytes name)
{
    uint32_t count = space_count(cache);
    for (uint32_t i = 0; i < count; i++) {
        struct nigh_space *space = cache->spaces[i];
        if (bytes_equal(bytes_of(space->name, space->name_len), name))
            return space;
    }
    return NULL;
}

int space_check_name(const char *what, const char *name)
{
    size_t len = name ? strlen(name) : 0;
    if (len == 0 || len > NIGH_NAME_MAX)
        return error_note(NIGH_EINVAL, "%s \"%.80s\": 1 .. %u bytes", what, name ? name : "",
                          NIGH_NAME_MAX);
    if (name[0] == '!' || strpbrk(name, ":{}"))
        return error_note(NIGH_EINVAL, "%s \"%s\": no ':', '{', '}', no '!' at the start", what,
                          name);
    return 0;
}

/* ---- rules ---- */

static struct l1_lifetimes plain_lifetimes(const struct rules *r)
{
    return (struct l1_lifetimes){lifetime_span(r->soft_ttl_ms, r->jitter_percent),
                                 lifetime_span(r->stale_ms, r->jitter_percent)};
}

/* Makes rules of a space's own options and of the cache's defaults, one of which nigh_set()
 * changes: hence the lock. */
static struct rules rules_of(const struct nigh *cache, const struct nigh_space_options *own)
    REQUIRES(cache->spaces_lock)
{
    struct nigh_space_options all = *own;
    options_inherit(&all, &cache->space_defaults);
    struct rules rules = {
        .soft_ttl_ms = all.soft_ttl_ms,
        .stale_ms = all.stale_ms,
        .keep_ms = all.keep_ms,
        .jitter_percent = all.jitter_percent,
        .absent_ttl_ms = all.absent_ttl_ms,
        .error_ttl_ms = all.error_ttl_ms,
        .error_ttl_max_ms = all.error_ttl_max_ms,
        .load_deadline_ms = all.load_deadline_ms,
        .waiters_max = all.waiters_max,
        .loads_max = all.loads_max,
        .value_max = all.value_max,
        .batch = all.batch,
        .batch_wait_us = all.batch_wait_us,
        .run_on_worker = all.run_on == NIGH_RUN_WORKER,
        .invalidations_only = all.l2 == NIGH_L2_INVALIDATIONS,
        .codec = (uint8_t)options_codec(&all),
        .compress_min = all.compress_min,
    };
    rules.plain = plain_lifetimes(&rules);
    return rules;
}

static uint32_t or_none(uint32_t rule)
{
    return rule ? rule : NIGH_NONE;
}

/* Undoes rules_of(). */
void space_read_options(struct nigh_space *space, struct nigh_space_options *ret)
{
    const struct rules *r = &space->rules;
    struct nigh *cache = space->cache;
    pthread_mutex_lock(&cache->spaces_lock);
    uint64_t memory = space->own_memory ? space->own_memory : cache->space_defaults.memory;
    pthread_mutex_unlock(&cache->spaces_lock);
    *ret = (struct nigh_space_options){
        .size = sizeof(*ret),
        .schema = space->schema,
        .soft_ttl_ms = r->soft_ttl_ms,
        .stale_ms = or_none(r->stale_ms),
        .keep_ms = or_none(r->keep_ms),
        .jitter_percent = or_none(r->jitter_percent),
        .absent_ttl_ms = or_none(r->absent_ttl_ms),
        .error_ttl_ms = or_none(r->error_ttl_ms),
        .error_ttl_max_ms = or_none(r->error_ttl_max_ms),
        .load_deadline_ms = r->load_deadline_ms,
        .waiters_max = r->waiters_max,
        .loads_max = r->loads_max,
        .value_max = r->value_max,
        .run_on = r->run_on_worker ? NIGH_RUN_WORKER : NIGH_RUN_CALLER,
        .memory = memory,
        .batch = r->batch,
        .batch_wait_us = or_none(r->batch_wait_us),
        .l2 = r->invalidations_only ? NIGH_L2_INVALIDATIONS : NIGH_L2_VALUES,
        .compress = NIGH_COMPRESS_NONE + r->codec,
        .compress_min = r->compress_min,
    };
}

/* ---- opening ---- */

static struct nigh_space *create(struct nigh *cache, const char *name, const char *schema)
{
    struct nigh_space *space = mem_lines_alloc_zero(cache->env.mem, sizeof(*space));
    if (!space)
        return NULL;
    if (stats_init(&space->stats, cache->env.mem) != 0) {
        mem_lines_free(cache->env.mem, space, sizeof(*space));
        return NULL;
    }
    uint32_t forks = atomic_load_explicit(&cache->fork_count, memory_order_relaxed);
    space->cache = cache;
    cache_set_plain(space, rcu_has_short() ? forks : ~forks);
    space->name_len = (uint32_t)strlen(name);
    memcpy(space->name, name, space->name_len);
    memcpy(space->schema, schema, strlen(schema));
    return space;
}

static uint16_t group_slot_of(const struct nigh_space *space)
{
    uint64_t hash = hash_wire(WIRE_SPACE, bytes_of(space->name, space->name_len), bytes_of("", 0));
    return hash_group_slot(WIRE_SPACE, hash, space->cache->group_slots);
}

/* Returns the cap of the space's memory; 0: none. */
static uint64_t space_memory(const struct nigh_space *space) REQUIRES(space->cache->spaces_lock)
{
    uint64_t own = space->own_memory ? space->own_memory : space->cache->space_defaults.memory;
    return own == NIGH_UNCAPPED ? 0 : own;
}

static int note_memory(int rc, uint64_t memory)
{
    if (rc != NIGH_EINVAL)
        return rc;
    return error_note(NIGH_EOPTION, "space.memory=%" PRIu64 ": too little for the tables, or not "
                                    "with l1.entries", memory);
}

static int add_locked(struct nigh *cache, struct nigh_space *space)
    REQUIRES(cache->spaces_lock)
{
    uint32_t count = atomic_load_explicit(&cache->space_count, memory_order_relaxed);
    if (count == SPACES_MAX)
        return error_note(NIGH_EINVAL, "more than %u spaces", SPACES_MAX);
    space->id = count + 1;
    uint64_t memory = space_memory(space);
    int rc = space_l1_open(space, group_slot_of(space), memory);
    if (rc != 0)
        return note_memory(rc, memory);
    trend_open(space);
    cache->spaces[count] = space;
    /* pair(cache.spaces): the slot before the count */
    atomic_store_explicit(&cache->space_count, count + 1, memory_order_release);
    return 0;
}

static void destroy(struct nigh_space *space)
{
    struct mem *mem = space->cache->env.mem;
    hot_fini(space);
    stats_fini(&space->stats);
    mem_lines_free(mem, space, sizeof(*space));
}

static int open_locked(struct nigh *cache, const char *name, const char *schema,
                       const struct nigh_space *wanted, struct nigh_space **ret)
    REQUIRES(cache->spaces_lock)
{
    struct nigh_space *space = space_find(cache, bytes_of_string(name));
    if (space) {
        bool same = space->loader == wanted->loader && space->writer == wanted->writer &&
                    space->arg == wanted->arg && strcmp(space->schema, schema) == 0;
        if (!same)
            return error_note(NIGH_EEXIST, "space \"%s\" is open with another loader, writer, "
                                           "argument or schema", name);
        *ret = space;
        return 0;
    }
    space = create(cache, name, schema);
    if (!space)
        return NIGH_ENOMEM;
    space->rules = wanted->rules;
    space->own_memory = wanted->own_memory;
    permits_init(&space->loads, space->rules.loads_max);
    odds_init(&space->odds);
    hot_init(space);
    space->loader = wanted->loader;
    space->writer = wanted->writer;
    space->arg = wanted->arg;
    int rc = add_locked(cache, space);
    if (rc == 0)
        *ret = space;
    else
        destroy(space);
    return rc;
}

int nigh_space_open(struct nigh *cache, const char *name, const struct nigh_space_options *options,
                    nigh_loader_fn loader, nigh_writer_fn writer, void *arg,
                    struct nigh_space **ret_space)
{
    struct nigh_space_options own;
    if (cache_is_gone(cache))
        return cache_why_gone(cache);
    int rc = options_resolve_space(options, cache->processes, &own);
    if (rc != 0)
        return rc;
    const char *schema = own.schema ? own.schema : cache->default_schema;
    struct nigh_space wanted = {
        .own_memory = own.memory,
        .loader = loader,
        .writer = writer,
        .arg = arg,
    };
    rc = space_check_name("space", name);
    if (rc == 0)
        rc = space_check_name("schema", schema);
    if (rc != 0)
        return rc;
    struct caller caller;
    caller_enter(&caller);
    pthread_mutex_lock(&cache->spaces_lock);
    wanted.rules = rules_of(cache, &own);
    rc = open_locked(cache, name, schema, &wanted, ret_space);
    pthread_mutex_unlock(&cache->spaces_lock);
    caller_leave(&caller);
    return rc;
}

/* ---- while it is open ---- */

static int apply_memory(struct nigh_space *space) REQUIRES(space->cache->spaces_lock)
{
    uint64_t memory = space_memory(space);
    return note_memory(space_l1_set_memory(space, memory), memory);
}

int space_change_memory(struct nigh_space *space, uint64_t memory)
{
    uint64_t before = space->own_memory;
    space->own_memory = memory;
    int rc = apply_memory(space);
    if (rc != 0)
        space->own_memory = before;
    else if (memory != before)
        trend_begin_anew(space->cache, space, TREND_SINCE_CAP);
    return rc;
}

static int apply_default(struct nigh *cache, uint64_t memory) REQUIRES(cache->spaces_lock)
{
    uint32_t count = space_count(cache);
    int rc = 0;
    cache->space_defaults.memory = memory;
    for (uint32_t i = 0; i < count && rc == 0; i++)
        if (!cache->spaces[i]->own_memory)
            rc = apply_memory(cache->spaces[i]);
    return rc;
}

int spaces_change_memory(struct nigh *cache, uint64_t memory)
{
    uint64_t before = cache->space_defaults.memory;
    int rc = apply_default(cache, memory);
    if (rc != 0)
        (void)apply_default(cache, before); /* back, in the spaces that have it already */
    else
        trend_begin_anew(cache, NULL, TREND_SINCE_CAP);
    return rc;
}

void spaces_destroy(struct nigh *cache)
{
    uint32_t count = space_count(cache);
    for (uint32_t i = 0; i < count; i++)
        destroy(cache->spaces[i]);
}
