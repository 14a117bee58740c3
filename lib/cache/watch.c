// SPDX-License-Identifier: MIT
/*
 * Tells of each change that another node has made, as it is applied.
 *
 * There is one watcher, for as long as the cache is open: so nobody has to wait for a call of it
 * that is under way. It is called under the apply lock, which makes the calls one after the other
 * and in order.
 */
#include "cache/watch.h"

struct watch {
    nigh_watch_fn fn;
    void *arg;
};

void watch_tell(struct nigh *cache, const struct coherence_item *item)
{
    /* pair(cache.watch): acquire what it consists of */
    const struct watch *w = atomic_load_explicit(&cache->watch, memory_order_acquire);
    if (!w || item->node == 0)
        return;
    struct nigh_change change = {
        .kind = (enum nigh_target_kind)item->kind,
        .soft = item->soft,
        .space = item->space.data,
        .space_len = item->space.len,
        .name = item->bytes.data,
        .name_len = item->bytes.len,
        .version = item->version,
        .node = item->node,
    };
    w->fn(w->arg, &change);
}

void watch_fini(struct nigh *cache)
{
    struct watch *w = atomic_load_explicit(&cache->watch, memory_order_relaxed);
    mem_free(cache->env.mem, NULL, w, sizeof(*w));
}

int nigh_watch(struct nigh *cache, nigh_watch_fn fn, void *arg)
{
    if (cache_is_gone(cache))
        return cache_why_gone(cache);
    struct watch *none = NULL;
    struct watch *w = fn ? mem_alloc(cache->env.mem, NULL, sizeof(*w)) : NULL;
    if (!w)
        return fn ? NIGH_ENOMEM : NIGH_EINVAL;
    *w = (struct watch){fn, arg};
    /* pair(cache.watch): release what it consists of */
    if (atomic_compare_exchange_strong_explicit(&cache->watch, &none, w, memory_order_release,
                                                memory_order_relaxed))
        return 0;
    mem_free(cache->env.mem, NULL, w, sizeof(*w));
    return NIGH_EEXIST;
}
