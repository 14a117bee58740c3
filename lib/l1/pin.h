/* SPDX-License-Identifier: MIT */
/*
 * Pins: how a value handed out stays where it is, for 2 ns and without a write to a shared line.
 *
 * A thread owns a page of 496 slots, of which it opens 16, then twice as many, and so on; when it
 * holds more, it gets another page. Pinning stores the entry's address in a free slot, inside the
 * read section that found it; releasing stores NULL, from any thread. The reclaimer, after a grace
 * period, frees only what no slot names. Only where there is no memory for a page a reader gets a
 * copy of its own.
 *
 *     page:   opened, owner, links | slot | slot | NULL | slot | ... | fence |  (not opened)
 *                                                  ^ pin_last_slot
 *
 * A thread-local pointer names the slot that was used last: a thread that holds one value at a time
 * uses it again, one that holds several takes slots in a row, up to the fence, which looks taken,
 * and then from the first on. The page is aligned so that a slot's address says where the first is.
 * Any further search is in pin_page.c, and costs a thread a few looks a pin on average, however
 * many it holds and in whatever order they are given back.
 *
 *     pin word:   address of the slot                      | 1
 *                 address of the entry     | tier (2 bits) | 0     a reference is held
 *
 * Pages belong to the process, not to a cache: they stay registered for ever, and when a thread
 * exits, its pages wait (with what is still pinned in them) for threads that need one.
 *
 * Why nothing pinned is freed
 *   A pin is stored either inside a section, so that a grace period begun after the entry was
 *   unlinked orders it before the scan, or by a thread that holds a reference and drops it later
 *   with release: the reclaimer looks at the references first (pair(entry.refs)) and at the slots
 *   then. So a new reference may be taken only inside a section or under another reference, never
 *   under a slot alone.
 * Why it is freed after the last use
 *   Release stores NULL with release order; the scan loads with acquire (pair(pin.slot)). The owner
 *   that uses the slot again loads NULL with acquire and stores with release, which carries the
 *   releaser's reads along. When slots are closed again, with the page of a thread that ends, the
 *   number of open ones carries those reads in the same way (pair(pin.opened)).
 * How the pins of one cache are counted
 *   A hit does not note whose value it pins; a thread that counts finds out. It must look at an
 *   entry that its holder may let go at any moment; so it protects the entry by a word of its own,
 *   `asked`, and then sees whether the slot still names it. A scan reads that word last, by an
 *   exchange too (pair(pin.asked)). If the scan's comes first, the counting thread sees what the
 *   scan saw in the slot: it was empty, and the entry is not looked at. If the counting thread's
 *   comes first, the scan finds the entry in `asked`. And a cache that is destroyed while its
 *   values are held leaves no address of theirs in a slot (pin_forget()): the slot stays taken
 *   until it is given back.
 * Pins in a child of fork()
 *   Slots and entries lie in memory of the process, so the child has a copy of both: a value that
 *   was held at the fork is whole there for as long as the child lives, because nothing inherited
 *   is freed (registry.h). To give it back empties the child's slot, or lowers the child's count of
 *   references; the parent notices neither, and its own holder still has the value. Threads that
 *   the child has not got left their pages taken: these stay so, and the child's scans read them.
 *   No inherited entry is mistaken for one of the child's caches, for its address is in use, and
 *   so is the number of its cache.
 */
#ifndef NIGH_L1_PIN_H
#define NIGH_L1_PIN_H

#include "l1/l1.h"

#define PIN_SLOTS_FIRST 16u
#define PIN_SLOTS_MAX 496u /* with a fence and the head they fill a page of memory */

#define PIN_SLOT 1u /* in a pin word: it names a slot, whose value is L1's */
#define PIN_TIER_SHIFT 1
#define PIN_TIER_MASK (3u << PIN_TIER_SHIFT)

#define PIN_PAGE_BYTES 4096u /* size and alignment: pages of memory */

typedef _Atomic(struct l1_entry *) pin_slot_t;

/* Keys: (c) constant after registration  (o) its owner's  (a) atomic */
struct pin_page {
    _Alignas(PIN_PAGE_BYTES) _Atomic uint32_t opened; /* (a) slots used so far; what a scan reads */
    _Atomic bool owned;                        /* (a) pair(pin.owner) */
    struct pin_page *next;                     /* (c) */
    struct pin_page *ahead;                    /* (c) some pages on: a scan prefetches it */
    struct pin_page *mine;                     /* (o) the owner's next page; they are a ring */
    _Atomic(struct pin_page *) idle_next;      /* (a) without an owner: the next such page */
    /* (a) pair(pin.slot); the last one is a fence */
    _Alignas(CACHE_LINE_BYTES) pin_slot_t slots[PIN_SLOTS_MAX + 1];
};
_Static_assert(sizeof(struct pin_page) == PIN_PAGE_BYTES, "pages of memory");

/* Slot of this thread's last pin. Before its first one: in a page of no thread, where all look
 * taken. */
extern NIGH_HIDDEN _Thread_local pin_slot_t *pin_last_slot;

/* Prepare this process for pins: once, before the first pin and in no section, because it takes a
 * lock that fork() holds while it waits for sections. Without memory for it values are handed out
 * as copies. */
void pin_prepare(void);
/* ---- inline: what a hit runs ---- */

static inline bool pin_slot_is_free(const pin_slot_t *slot)
{
    /* pair(pin.slot): the reads of the thread that gave it back come before our use, see above */
    return !atomic_load_explicit(slot, memory_order_acquire);
}

static inline struct pin_page *pin_page_of(const pin_slot_t *slot)
{
    uintptr_t at = (uintptr_t)slot & ~(uintptr_t)(PIN_PAGE_BYTES - 1);
    return (struct pin_page *)at;
}

static inline uintptr_t pin_of_slot(const pin_slot_t *slot)
{
    return (uintptr_t)slot | PIN_SLOT;
}

static inline pin_slot_t *pin_slot(uintptr_t pin)
{
    return (pin_slot_t *)(pin - PIN_SLOT);
}

static inline uintptr_t l1_hold_rcu(struct l1_entry *e)
{
    pin_slot_t *slot = pin_last_slot;
    if (NIGH_UNLIKELY(!pin_slot_is_free(slot))) {
        slot++;
        if (!pin_slot_is_free(slot))
            slot = pin_page_of(slot)->slots;
        if (NIGH_UNLIKELY(!pin_slot_is_free(slot)))
            return 0;
        pin_last_slot = slot;
    }
    /* pair(pin.slot): carries along the reads of the thread that gave the slot back */
    atomic_store_explicit(slot, e, memory_order_release);
    return pin_of_slot(slot);
}

NIGH_OUTLINED void pin_unref(uintptr_t pin);

static inline void l1_unpin(uintptr_t pin)
{
    if (NIGH_LIKELY(pin & PIN_SLOT)) /* pair(pin.slot): every read of the value is over before it
                                        may be freed */
        atomic_store_explicit(pin_slot(pin), NULL, memory_order_release);
    else if (pin)
        pin_unref(pin);
}

#endif
