/* SPDX-License-Identifier: MIT */
/*
 * Reading all pin slots: for the reclaimer, for counts, and when a cache is destroyed.
 */
#include "l1/pin_scan.h"

#include <pthread.h>

#include "l1/core.h"
#include "l1/pin_page.h"

/* The entry that a counting thread looks at: its own pin, see pin.h. */
static _Atomic uintptr_t asked; /* pair(pin.asked) */
static pthread_mutex_t ask_lock = PTHREAD_MUTEX_INITIALIZER;

static _Atomic uint64_t scans;

static void prefetch_page(const struct pin_page *page)
{
    const char *at = (const char *)page;
    for (unsigned line = 0; line < 3; line++) /* the head and the first slots */
        __builtin_prefetch(at + line * CACHE_LINE_BYTES);
}

/* Calls `visit` with every slot that may be in use. */
static NIGH_INLINED void slots_each(void (*visit)(void *arg, pin_slot_t *slot), void *arg)
{
    for (struct pin_page *page = pin_pages_first(); page; page = page->next) {
        prefetch_page(page->ahead);
        /* pair(pin.opened): the reads of those who pinned in slots that are closed again */
        uint32_t opened = atomic_load_explicit(&page->opened, memory_order_acquire);
        for (uint32_t i = 0; i < opened; i++)
            visit(arg, &page->slots[i]);
    }
}

struct scan {
    void (*visit)(void *arg, const struct l1_entry *e);
    void *arg;
    uint64_t slots;
};

static inline void scan_slot(void *arg, pin_slot_t *slot)
{
    struct scan *scan = arg;
    scan->slots++;
    /* pair(pin.slot) */
    struct l1_entry *e = atomic_load_explicit(slot, memory_order_acquire);
    if (e)
        scan->visit(scan->arg, e);
}

uint64_t pin_scan(void (*visit)(void *arg, const struct l1_entry *e), void *arg)
{
    struct scan scan = {visit, arg, 0};
    slots_each(scan_slot, &scan);
    /* pair(pin.asked): after all slots */
    uintptr_t also = atomic_fetch_add_explicit(&asked, 0, memory_order_acq_rel);
    if (also)
        visit(arg, (const struct l1_entry *)also);
    atomic_fetch_add_explicit(&scans, 1, memory_order_relaxed);
    return scan.slots;
}

uint64_t pin_scans(void)
{
    return atomic_load_explicit(&scans, memory_order_relaxed);
}

/* ---- counting the pins of one cache ---- */

static void lock_asking(void) ACQUIRES(ask_lock)
{
    pthread_mutex_lock(&ask_lock);
}

static void unlock_asking(void) RELEASES(ask_lock)
{
    pthread_mutex_unlock(&ask_lock);
}

bool pin_scan_watch_forks(void)
{
    return pthread_atfork(lock_asking, unlock_asking, unlock_asking) == 0;
}

/* The entry that a slot names, if it is of this cache; else NULL. It stays allocated until another
 * one is asked for. */
static struct l1_entry *ask_locked(pin_slot_t *slot, uint32_t cache_id) REQUIRES(ask_lock)
{
    struct l1_entry *e = atomic_load_explicit(slot, memory_order_relaxed);
    if (!e || e == PIN_TAKEN)
        return NULL;
    /* pair(pin.asked) */
    atomic_exchange_explicit(&asked, (uintptr_t)e, memory_order_acq_rel);
    /* pair(pin.slot): the entry as its holder found it */
    if (atomic_load_explicit(slot, memory_order_acquire) != e)
        return NULL;
    uint32_t refs = atomic_load_explicit(&e->refs, memory_order_relaxed);
    return entry_refs_cache(refs) == cache_id ? e : NULL;
}

static void ask_begin(void) ACQUIRES(ask_lock)
{
    lock_asking();
}

static void ask_end(void) RELEASES(ask_lock)
{
    /* pair(pin.asked): the entry asked for may be freed now. An exchange, so that the next counting
     * thread still sees a scan's before it. */
    atomic_exchange_explicit(&asked, 0, memory_order_acq_rel);
    unlock_asking();
}

struct count {
    uint64_t sum;
    uint32_t cache_id;
};

static inline void count_slot(void *arg, pin_slot_t *slot)
{
    struct count *count = arg;
    const struct l1_entry *e = atomic_load_explicit(slot, memory_order_relaxed);
    count->sum += e && e != PIN_TAKEN;
}

static inline void count_slot_of(void *arg, pin_slot_t *slot) REQUIRES(ask_lock)
{
    struct count *count = arg;
    count->sum += ask_locked(slot, count->cache_id) != NULL;
}

/* Mark the slot as taken instead. If it is given back meanwhile, the exchange fails, as it
 * should. */
static inline void forget_slot(void *arg, pin_slot_t *slot) REQUIRES(ask_lock)
{
    const struct count *count = arg;
    struct l1_entry *e = ask_locked(slot, count->cache_id);
    if (e)
        atomic_compare_exchange_strong_explicit(slot, &e, PIN_TAKEN, memory_order_relaxed,
                                                memory_order_relaxed);
}

uint64_t pin_count(void)
{
    struct count count = {0, 0};
    slots_each(count_slot, &count);
    return count.sum;
}

/* Visits the slots of one cache, and returns what was counted. */
static NIGH_INLINED uint64_t ask_each(void (*visit)(void *arg, pin_slot_t *slot), uint32_t cache_id)
{
    struct count count = {0, cache_id};
    ask_begin();
    slots_each(visit, &count);
    ask_end();
    return count.sum;
}

uint64_t pin_count_of(uint32_t cache_id)
{
    return ask_each(count_slot_of, cache_id);
}

void pin_forget(uint32_t cache_id)
{
    ask_each(forget_slot, cache_id);
}
