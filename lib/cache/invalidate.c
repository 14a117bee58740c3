// SPDX-License-Identifier: MIT
/*
 * Invalidating: any mix of keys, tags, spaces and all, as one change.
 *
 * With Redis: one script, then the floors here before returning (coherence_change keeps the order).
 * Without: the floors here are all there is.
 */

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

static int apply(struct nigh *cache, const struct coherence_item *items, size_t n,
                 const struct nigh_call *call)
{
    if (!cache->coherence) {
        caller_notice();
        for (size_t i = 0; i < n; i++)
            sink_apply(cache, &items[i]);
        return 0;
    }
    struct coherence_change change = {
        .items = items,
        .item_count = (uint32_t)n,
        .deadline_ns = cache_deadline_ns(cache, call, cache->l2_deadline_ms),
    };
    struct caller caller;
    caller_enter(&caller);
    int rc = coherence_change(cache->coherence, &change, NULL);
    drive_flush(cache);
    caller_leave(&caller);
    return rc;
}

int nigh_invalidate_many(struct nigh *cache, const struct nigh_target *targets, size_t n,
                         const struct nigh_call *call)
{
    struct coherence_item few[TARGETS_ON_STACK];
    struct coherence_item *items = few;
    if (cache_is_gone(cache))
        return cache_why_gone(cache);
    if (n == 0 || n > TARGETS_MAX || !targets || !cache_call_fits(call))
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
    bool soft = call && (call->flags & NIGH_SOFT);
    for (size_t i = 0; i < n; i++)
        items[i] = item_of(&targets[i], soft);
    int rc = apply(cache, items, n, call);
    if (items != few)
        mem_free(cache->env.mem, NULL, items, n * sizeof(*items));
    return rc;
}

int nigh_invalidate(struct nigh_space *space, const void *key, size_t key_len,
                    const struct nigh_call *call)
{
    if (!cache_call_fits(call))
        return NIGH_EINVAL;
    struct nigh_target target = {
        .kind = NIGH_TARGET_KEY,
        .space = space,
        .name = key,
        .name_len = key_len,
        .version = call ? call->version : 0,
    };
    return nigh_invalidate_many(space->cache, &target, 1, call);
}
