// SPDX-License-Identifier: MIT
/*
 * Puts into L1 and the flights what was invalidated, by other nodes or by this one.
 *
 * The listener, the keeper (beats) and writers call it: group, renew and key under coherence's
 * apply lock (without Redis under none), the others under none. No loader, no request,
 * no wait, no allocation.
 */
#include "cache/sink.h"

#include "cache/hot.h"
#include "cache/sample.h"
#include "cache/space.h"
#include "cache/space_l1.h"
#include "cache/watch.h"
#include "cache/value/freshness.h"

static uint64_t apply_group(void *arg, uint16_t slot, bool soft)
{
    struct nigh *cache = arg;
    sample_note_group(cache, slot, soft);
    return l1_raise_group(cache->l1, slot, soft);
}

static void raised(void *arg, const struct coherence_item *item, uint16_t slot, uint64_t floor)
{
    struct nigh *cache = arg;
    const struct bump bump = {.floor = floor,
                              .at_ns = item->made_ns ? item->made_ns
                                                     : clock_coarse_ns(&cache->clock),
                              .node = item->node,
                              .hash = hash_wire(item->kind, item->space, item->bytes),
                              .slot = slot,
                              .soft = item->soft,
                              .kind = (uint8_t)item->kind};
    struct bytes name = item->kind == WIRE_SPACE ? item->space : item->bytes;
    watch_tell(cache, item);
    bumps_note(&cache->bumps, &bump, name);
    if (!item->early)
        hot_group(cache, item->kind, name);
}

static void renew(void *arg, uint64_t left_at)
{
    struct nigh *cache = arg;
    l1_renew(cache->l1, left_at);
}

static uint64_t apply_key(void *arg, const struct coherence_item *item)
{
    struct nigh *cache = arg;
    struct nigh_space *space = space_find(cache, item->space);
    watch_tell(cache, item);
    if (!space)
        return 0; /* a space that this node does not open has no entries here */
    struct l1_key key = l1_key_of(cache->l1, space->id, item->bytes.data, item->bytes.len);
    uint64_t floor = space_l1_invalidate(space, &key, item->version, item->own, 0, NULL);
    if (!item->early) { /* else the local step tells what it was, and once */
        sample_note(space, &key, (struct sample_event){
            NIGH_TRACE_INVALIDATE, NIGH_TRACE_FRESH, 0, 0});
        hot_change(space, &key);
    }
    l1_note_change(cache->l1, &key, cache_node_name(item->node), item->made_ns);
    failures_clear(&cache->failures, key.hash);
    cache_notify(space, &key, FLIGHT_EV_INVALIDATED);
    return floor;
}

static uint64_t floor_of_key(void *arg, const struct coherence_item *item)
{
    struct nigh *cache = arg;
    struct nigh_space *space = space_find(cache, item->space);
    if (!space)
        return 0;
    struct l1_key key = l1_key_of(cache->l1, space->id, item->bytes.data, item->bytes.len);
    return l1_key_floor(cache->l1, &key);
}

static void apply_fill(void *arg, const struct coherence_item *item)
{
    struct nigh *cache = arg;
    struct nigh_space *space = space_find(cache, item->space);
    if (!space)
        return;
    struct l1_key key = l1_key_of(cache->l1, space->id, item->bytes.data, item->bytes.len);
    cache_notify(space, &key, FLIGHT_EV_FILLED);
}

static void wake(void *arg)
{
    struct nigh *cache = arg;
    flight_notify_all(cache->flights, FLIGHT_EV_INVALIDATED);
}

static void lost(void *arg)
{
    struct nigh *cache = arg;
    freshness_note_doubt(cache);
}

static struct bytes schema(void *arg, struct bytes space_name)
{
    struct nigh_space *space = space_find(arg, space_name);
    return bytes_of_string(space ? space->schema : "");
}

struct coherence_sink sink_of(struct nigh *cache)
{
    return (struct coherence_sink){
        .group = apply_group,
        .raised = raised,
        .renew = renew,
        .key = apply_key,
        .floor = floor_of_key,
        .fill = apply_fill,
        .wake = wake,
        .lost = lost,
        .schema = schema,
        .arg = cache,
    };
}

void sink_apply(struct nigh *cache, const struct coherence_item *item)
{
    if (item->kind == WIRE_KEY) {
        apply_key(cache, item);
        return;
    }
    uint64_t hash = hash_wire(item->kind, item->space, item->bytes);
    uint16_t slot = hash_group_slot(item->kind, hash, cache->group_slots);
    raised(cache, item, slot, apply_group(cache, slot, item->soft));
}
