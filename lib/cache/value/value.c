// SPDX-License-Identifier: MIT
/*
 * Values that were handed out: giving one back, and asking about it.
 */
#include "cache/cache.h"

void nigh_release(struct nigh_value *value)
{
    uintptr_t pin = value->pin;
    *value = (struct nigh_value)NIGH_VALUE_INIT;
    l1_unpin(pin);
}

enum nigh_tier nigh_value_tier(const struct nigh_value *value)
{
    return value->pin ? l1_pin_tier(value->pin) : NIGH_TIER_NONE;
}

uint64_t nigh_value_version(const struct nigh_value *value)
{
    return value->pin ? l1_entry_version(l1_pin_entry(value->pin)) : 0;
}

/* Signed distance between two points in time, in ms. */
static int64_t ms_between(uint64_t from_ns, uint64_t to_ns)
{
    return (int64_t)(to_ns - from_ns) / (int64_t)NS_PER_MS;
}

int64_t nigh_value_age_ms(struct nigh *cache, const struct nigh_value *value)
{
    if (!value->pin)
        return 0;
    uint64_t born_ns = (uint64_t)l1_entry_born_ns(l1_pin_entry(value->pin));
    return ms_between(born_ns, clock_now_ns(&cache->clock));
}

int64_t nigh_value_fresh_ms(struct nigh *cache, const struct nigh_value *value)
{
    if (!value->pin)
        return 0;
    return ms_between(clock_now_ns(&cache->clock),
                      l1_entry_fresh_until_ns(l1_pin_entry(value->pin)));
}

int64_t nigh_value_stale_ms(struct nigh *cache, const struct nigh_value *value)
{
    if (!value->pin)
        return 0;
    return ms_between(clock_now_ns(&cache->clock),
                      l1_entry_stale_until_ns(l1_pin_entry(value->pin)));
}
