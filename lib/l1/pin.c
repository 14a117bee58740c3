/* SPDX-License-Identifier: MIT */
/*
 * Handing out values: pinned in a slot, by a reference, or as a copy.
 */
#include "l1/pin.h"

#include <pthread.h>

#include <nigh/error.h>

#include "l1/core.h"
#include "l1/pin_page.h"
#include "l1/pin_scan.h"

/* Without a lock around forks, or a way to learn of a thread's end, values are copied. */
static void prepare(void)
{
    if (pin_scan_watch_forks())
        pin_pages_prepare();
}

void pin_prepare(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, prepare);
}

static void hand_out(struct l1_entry *e, uintptr_t pin, struct nigh_value *ret)
{
    struct bytes value = l1_entry_value(e);
    ret->data = l1_entry_absent(e) ? NULL : value.data;
    ret->len = value.len;
    ret->pin = pin;
}

/* Hand out a value with a reference, which goes along. */
static void hand_out_ref(struct l1_entry *e, enum nigh_tier tier, struct nigh_value *ret)
{
    hand_out(e, (uintptr_t)e | (uintptr_t)tier << PIN_TIER_SHIFT, ret);
}

int l1_pin_rcu(struct l1 *l1, struct l1_entry *e, struct nigh_value *ret, bool *ret_copied)
{
    pin_slot_t *slot = pin_slot_take();
    if (NIGH_LIKELY(slot)) {
        /* pair(pin.slot): carries along the reads of the thread that gave the slot back */
        atomic_store_explicit(slot, e, memory_order_release);
        hand_out(e, pin_of_slot(slot), ret);
        *ret_copied = false;
        return 0;
    }
    struct l1_entry *copy = entry_copy(l1, e); /* no memory for a page; maybe for this */
    if (!copy)
        return NIGH_ENOMEM;
    hand_out_ref(copy, NIGH_TIER_L1, ret);
    *ret_copied = true;
    return 0;
}

void l1_pin_ref(struct l1_entry *e, enum nigh_tier tier, struct nigh_value *ret)
{
    l1_entry_ref(e);
    hand_out_ref(e, tier, ret);
}

struct l1_entry *l1_pin_entry(uintptr_t pin)
{
    if (pin & PIN_SLOT)
        return atomic_load_explicit(pin_slot(pin), memory_order_relaxed);
    uintptr_t at = pin & ~(uintptr_t)PIN_TIER_MASK;
    return (struct l1_entry *)at;
}

void pin_unref(uintptr_t pin)
{
    l1_entry_unref(l1_pin_entry(pin));
}

enum nigh_tier l1_pin_tier(uintptr_t pin)
{
    if (pin & PIN_SLOT)
        return NIGH_TIER_L1;
    return (enum nigh_tier)((pin & PIN_TIER_MASK) >> PIN_TIER_SHIFT);
}
