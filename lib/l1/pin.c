/* SPDX-License-Identifier: MIT */
/*
 * Pages of pin slots: the first of a thread, adoption, searching, scanning; pins by reference.
 */
#include "l1/pin.h"

#include <nigh/error.h>

#include "l1/core.h"

#include <pthread.h>

static _Atomic(struct pin_page *) pages; /* pair(pin.pages): complete before it is listed */
/* No thread's: what an inlined pin looks at is taken, so a thread's first goes the slow way without
 * a test. */
#define TAKEN ((struct l1_entry *)&no_page)
static struct pin_page no_page = {.slots = {TAKEN, TAKEN}};
_Thread_local pin_slot_t *pin_last_slot = no_page.slots;
static pthread_key_t exit_key;
static bool exit_key_made;
static pthread_once_t exit_key_once = PTHREAD_ONCE_INIT;

/* ---- pages ---- */

static void page_leave(void *arg)
{
    struct pin_page *page = arg;
    /* A later destructor of the host may pin again: it then takes a page like a new thread. */
    pin_last_slot = no_page.slots;
    /* pair(pin.owner): what this thread did with the page is done */
    atomic_store_explicit(&page->owned, false, memory_order_release);
}

static void exit_key_make(void)
{
    exit_key_made = pthread_key_create(&exit_key, page_leave) == 0;
}

static struct pin_page *page_adopt(void)
{
    /* pair(pin.pages) */
    struct pin_page *page = atomic_load_explicit(&pages, memory_order_acquire);
    for (; page; page = page->next) {
        bool owned = false;
        if (!atomic_load_explicit(&page->owned, memory_order_relaxed) &&
            atomic_compare_exchange_strong_explicit(&page->owned, &owned, true,
                                                    memory_order_acquire, /* pair(pin.owner) */
                                                    memory_order_relaxed))
            return page;
    }
    return NULL;
}

static struct pin_page *page_create(void)
{
    struct pin_page *page = mem_pages_alloc(sizeof(*page));
    if (!page)
        return NULL;
    atomic_init(&page->opened, PIN_BLOCK_SLOTS);
    atomic_init(&page->slots[PIN_BLOCK_SLOTS], TAKEN);
    atomic_init(&page->owned, true);
    struct pin_page *head = atomic_load_explicit(&pages, memory_order_relaxed);
    do
        page->next = head;
    while (!atomic_compare_exchange_weak_explicit(&pages, &head, page,
                                                  memory_order_release, /* pair(pin.pages) */
                                                  memory_order_relaxed));
    return page;
}

/* Without a way to learn of the thread's end its page would be lost: then copies are handed out. */
static struct pin_page *page_enter(void)
{
    pthread_once(&exit_key_once, exit_key_make);
    if (!exit_key_made)
        return NULL;
    struct pin_page *page = page_adopt();
    if (!page)
        page = page_create();
    if (!page)
        return NULL;
    if (pthread_setspecific(exit_key, page) != 0) {
        atomic_store_explicit(&page->owned, false, memory_order_release); /* pair(pin.owner) */
        return NULL;
    }
    pin_last_slot = page->slots;
    return page;
}

/* ---- slots ---- */

/* The fence becomes the slot that is taken now, after another one was put up a block behind it. A
 * scan that still sees it there finds a pin of what nobody ever retires. */
static pin_slot_t *block_open(struct pin_page *page, uint32_t opened)
{
    atomic_store_explicit(&page->slots[opened + PIN_BLOCK_SLOTS], TAKEN, memory_order_relaxed);
    /* Ordered like the pin that follows it: by the section, or by the reference. */
    atomic_store_explicit(&page->opened, opened + PIN_BLOCK_SLOTS, memory_order_relaxed);
    return &page->slots[opened];
}

/* A free slot, the next one if possible; NULL: all are in use. */
static pin_slot_t *slot_search(struct pin_page *page, uint32_t last)
{
    uint32_t opened = atomic_load_explicit(&page->opened, memory_order_relaxed);
    for (uint32_t n = 0; n < opened; n++) {
        pin_slot_t *slot = &page->slots[(last + n) % opened];
        if (pin_slot_is_free(slot))
            return slot;
    }
    return opened < PIN_SLOTS_MAX ? block_open(page, opened) : NULL;
}

static pin_slot_t *slot_take(void)
{
    struct pin_page *page = pin_page_of(pin_last_slot);
    if (page == &no_page && !(page = page_enter()))
        return NULL;
    pin_slot_t *slot = slot_search(page, (uint32_t)(pin_last_slot - page->slots));
    if (slot)
        pin_last_slot = slot;
    return slot;
}

/* ---- handing out ---- */

static void hand_out(struct l1_entry *e, uintptr_t pin, struct nigh_value *ret)
{
    struct bytes value = l1_entry_value(e);
    ret->data = l1_entry_absent(e) ? NULL : value.data;
    ret->len = value.len;
    ret->pin = pin;
}

/* The reference goes along. */
static void hand_out_ref(struct l1_entry *e, enum nigh_tier tier, struct nigh_value *ret)
{
    hand_out(e, (uintptr_t)e | (uintptr_t)tier << PIN_TIER_SHIFT, ret);
}

int l1_pin_rcu(struct l1 *l1, struct l1_entry *e, struct nigh_value *ret, bool *ret_copied)
{
    pin_slot_t *slot = slot_take();
    if (NIGH_LIKELY(slot)) {
        /* pair(pin.slot): carries along the reads of who gave the slot back */
        atomic_store_explicit(slot, e, memory_order_release);
        hand_out(e, pin_of_slot(slot), ret);
        *ret_copied = false;
        return 0;
    }
    struct l1_entry *copy = entry_copy(l1, e);
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

/* ---- scanning ---- */

void pin_scan(void (*visit)(void *arg, const struct l1_entry *e), void *arg)
{
    /* pair(pin.pages) */
    struct pin_page *page = atomic_load_explicit(&pages, memory_order_acquire);
    for (; page; page = page->next) {
        uint32_t opened = atomic_load_explicit(&page->opened, memory_order_relaxed);
        for (uint32_t i = 0; i < opened; i++) {
            /* pair(pin.slot) */
            struct l1_entry *e = atomic_load_explicit(&page->slots[i], memory_order_acquire);
            if (e)
                visit(arg, e);
        }
    }
}

static void count_one(void *arg, const struct l1_entry *e)
{
    (void)e;
    *(uint64_t *)arg += 1;
}

uint64_t pin_count(void)
{
    uint64_t count = 0;
    pin_scan(count_one, &count);
    return count;
}
