// SPDX-License-Identifier: MIT
/*
 * Invalidating: any mix of keys, tags, spaces and all, as one change, or as several where they are
 * so many that Redis would do nothing else for too long.
 *
 * With Redis: one script, then the floors here before returning (coherence_change keeps the order).
 * Without: the floors here are all there is.
 */
#include "cache/write/invalidate.h"

#include <string.h>

#include "cache/caller.h"
#include "cache/sink.h"
#include "cache/space.h"

#define TARGETS_MAX 4096u
#define TARGETS_ON_STACK 16u

static int check(const struct nigh *cache, const struct nigh_target *t)
{
    bool needs_space = t->kind == NIGH_TARGET_KEY || t->kind == NIGH_TARGET_SPACE;
    bool needs_name = t->kind == NIGH_TARGET_KEY || t->kind == NIGH_TARGET_TAG;
    if (t->kind < NIGH_TARGET_KEY || t->kind > NIGH_TARGET_ALL ||
        (needs_space && (!t->space || t->space->cache != cache)))
        return NIGH_EINVAL;
    if (needs_name && (!t->name || t->name_len == 0 || t->name_len > NIGH_KEY_MAX))
        return NIGH_EKEY;
    return 0;
}

static struct coherence_item item_of(const struct nigh_target *t, bool soft)
{
    static const enum wire_kind kinds[] = {
        [NIGH_TARGET_KEY] = WIRE_KEY,
        [NIGH_TARGET_TAG] = WIRE_TAG,
        [NIGH_TARGET_SPACE] = WIRE_SPACE,
        [NIGH_TARGET_ALL] = WIRE_ALL,
    };
    bool in_space = t->kind == NIGH_TARGET_KEY || t->kind == NIGH_TARGET_SPACE;
    bool named = t->kind == NIGH_TARGET_KEY || t->kind == NIGH_TARGET_TAG;
    bool group = t->kind != NIGH_TARGET_KEY;
    return (struct coherence_item){
        .kind = kinds[t->kind],
        .soft = soft && group,
        .space = in_space ? bytes_of(t->space->name, t->space->name_len) : bytes_of("", 0),
        .bytes = named ? bytes_of(t->name, t->name_len) : bytes_of("", 0),
        .version = group ? 0 : t->version,
    };
}

/* Puts groups before keys, where there will be several steps: a group may be all that matters. */
static void put_items(struct coherence_item *items, const struct nigh_target *targets, size_t n,
                      bool soft)
{
    size_t at = 0;
    if (n <= NIGH_ATOMIC_TARGETS) {
        for (size_t i = 0; i < n; i++)
            items[i] = item_of(&targets[i], soft);
        return;
    }
    for (int keys = 0; keys <= 1; keys++)
        for (size_t i = 0; i < n; i++)
            if ((targets[i].kind == NIGH_TARGET_KEY) == keys)
                items[at++] = item_of(&targets[i], soft);
}

/* Returns the worse of two results: a change of several steps reports its worst step. */
static int worse(int a, int b)
{
    return a < 0 || (a != 0 && b >= 0) ? a : b;
}

/* invalidate_fn */
static int change(struct nigh *cache, const struct coherence_item *items, size_t n, void *arg)
{
    const struct nigh_call *call = arg;
    uint64_t deadline_ns = cache_l2_deadline_ns(cache, call);
    int rc = 0;
    if (cache_in_background(call)) { /* as one: there is room for all of them, or for none */
        struct coherence_change all = {
            .items = items, .item_count = (uint32_t)n, .background = true};
        return coherence_change(cache->coherence, &all, NULL);
    }
    for (size_t from = 0; from < n; from += NIGH_ATOMIC_TARGETS) {
        struct coherence_change step = {
            .items = items + from,
            .item_count = (uint32_t)u64_min(n - from, NIGH_ATOMIC_TARGETS),
            .deadline_ns = deadline_ns,
        };
        rc = worse(rc, coherence_change(cache->coherence, &step, NULL));
    }
    return rc;
}

static int apply(struct nigh *cache, const struct coherence_item *items, size_t n,
                 invalidate_fn *tell, void *arg)
{
    if (!cache->coherence) {
        caller_notice();
        for (size_t i = 0; i < n; i++)
            sink_apply(cache, &items[i]);
        return 0;
    }
    struct caller caller;
    caller_enter(&caller);
    int rc = tell(cache, items, n, arg);
    drive_flush(cache);
    caller_leave(&caller);
    return rc;
}

int invalidate_by(struct nigh *cache, const struct nigh_target *targets, size_t n,
                  const struct nigh_call *call, invalidate_fn *tell, void *arg)
{
    struct coherence_item few[TARGETS_ON_STACK];
    struct coherence_item *items = few;
    if (cache_is_gone(cache))
        return cache_why_gone(cache);
    if (n == 0 || n > TARGETS_MAX || !targets || !cache_change_call_fits(call))
        return NIGH_EINVAL;
    for (size_t i = 0; i < n; i++) {
        int rc = check(cache, &targets[i]);
        if (rc != 0)
            return rc;
    }
    if (n > TARGETS_ON_STACK)
        items = mem_alloc(cache->env.mem, NULL, n * sizeof(*items));
    if (!items)
        return NIGH_ENOMEM;
    put_items(items, targets, n, call && (call->flags & NIGH_SOFT));
    int rc = apply(cache, items, n, tell, arg);
    if (items != few)
        mem_free(cache->env.mem, NULL, items, n * sizeof(*items));
    return rc;
}

int nigh_invalidate_many(struct nigh *cache, const struct nigh_target *targets, size_t n,
                         const struct nigh_call *call)
{
    return invalidate_by(cache, targets, n, call, change, (void *)(uintptr_t)call);
}

int nigh_invalidate(struct nigh_space *space, const void *key, size_t key_len,
                    const struct nigh_call *call)
{
    if (!cache_change_call_fits(call))
        return NIGH_EINVAL;
    struct nigh_target target = invalidate_target_of(space, key, key_len, call);
    return nigh_invalidate_many(space->cache, &target, 1, call);
}
