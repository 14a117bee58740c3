/* SPDX-License-Identifier: MIT */
/*
 * Pages of pin slots: a thread's, adopted ones; searching, scanning, counting; pins by reference.
 */
#include "l1/pin.h"

#include <nigh/error.h>

#include "l1/core.h"

#include <pthread.h>

static _Atomic(struct pin_page *) pages; /* pair(pin.pages): a page is complete when listed */
/* A stack of pages without an owner: the address of the first, and in the bits that are 0 in it a
 * count of changes, so that a thread that takes the first notices when others were faster. */
static _Atomic uintptr_t idle_pages; /* pair(pin.idle) */
/* A page of no thread. The slots that an inlined pin looks at are taken, so a thread's first pin
 * goes the slow way without a test for it. */
#define TAKEN ((struct l1_entry *)&no_page)
static struct pin_page no_page = {.slots = {TAKEN, TAKEN}};
_Thread_local pin_slot_t *pin_last_slot = no_page.slots;
/* Slots of this thread's page below this index have been looked at since it came to the page. */
static _Thread_local uint32_t search_from;

/* A scan prefetches the first lines of a page so many pages ahead: on a page that lies in no cache
 * it would wait for the head, and then for the slots. */
#define AHEAD 8u

/* Pages in a row that are looked at for one with room, and the part that has to be free there. */
#define PAGES_LOOKED_AT 4u
#define ROOM_SHARE 4u

/* The entry that a counting thread looks at: its own pin, see pin.h. */
static _Atomic uintptr_t asked; /* pair(pin.asked) */
static pthread_mutex_t ask_lock = PTHREAD_MUTEX_INITIALIZER;

static _Atomic uint64_t scans;
static pthread_key_t exit_key;
static bool is_prepared;
static pthread_once_t prepare_once = PTHREAD_ONCE_INIT;

/* ---- pages without an owner ---- */

static struct pin_page *idle_first(uintptr_t idle)
{
    uintptr_t at = idle & ~(uintptr_t)(PIN_PAGE_BYTES - 1);
    return (struct pin_page *)at;
}

/* The stack's word with another first page, and one more change counted. */
static uintptr_t idle_with(uintptr_t idle, const struct pin_page *page)
{
    return (uintptr_t)page | ((idle + 1) & (PIN_PAGE_BYTES - 1));
}

static void page_give_up(struct pin_page *page)
{
    /* pair(pin.owner): this thread is done with the page */
    atomic_store_explicit(&page->owned, false, memory_order_release);
    uintptr_t idle = atomic_load_explicit(&idle_pages, memory_order_relaxed);
    do
        atomic_store_explicit(&page->idle_next, idle_first(idle), memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(&idle_pages, &idle, idle_with(idle, page),
                                                  memory_order_release, /* pair(pin.idle) */
                                                  memory_order_relaxed));
}

/* Take a page that has no owner; NULL: there is none. Pages are never unmapped, so a thread that
 * comes late reads an old link, and its exchange fails. Should the count of changes have come round
 * to the same value meanwhile, a page may be listed twice, or lost: but it has one owner. */
static struct pin_page *page_adopt(void)
{
    /* pair(pin.idle): the link of the first page */
    uintptr_t idle = atomic_load_explicit(&idle_pages, memory_order_acquire);
    struct pin_page *page;
    while ((page = idle_first(idle)) != NULL) {
        const struct pin_page *next = atomic_load_explicit(&page->idle_next, memory_order_relaxed);
        bool owned = false;
        if (!atomic_compare_exchange_weak_explicit(&idle_pages, &idle, idle_with(idle, next),
                                                   memory_order_acquire, /* pair(pin.idle) */
                                                   memory_order_acquire))
            continue;
        if (atomic_compare_exchange_strong_explicit(&page->owned, &owned, true,
                                                    memory_order_acquire, /* pair(pin.owner) */
                                                    memory_order_relaxed))
            return page;
        idle = atomic_load_explicit(&idle_pages, memory_order_acquire); /* pair(pin.idle) */
    }
    return NULL;
}

/* ---- pages ---- */

/* Open the first slots of a page in which nothing is pinned. A scan that reads the fence finds a
 * pin of TAKEN, which nobody ever retires. */
static void page_open_first(struct pin_page *page)
{
    atomic_store_explicit(&page->slots[PIN_SLOTS_FIRST], TAKEN, memory_order_relaxed);
    /* pair(pin.opened): a scan that skips the slots behind knows by this that they were given
     * back */
    atomic_store_explicit(&page->opened, PIN_SLOTS_FIRST, memory_order_release);
}

static struct pin_page *page_ahead(struct pin_page *page)
{
    for (unsigned n = 0; page && n < AHEAD; n++)
        page = page->next;
    return page;
}

static struct pin_page *page_create(void)
{
    struct pin_page *page = mem_pages_alloc(sizeof(*page));
    if (!page)
        return NULL;
    page_open_first(page);
    atomic_init(&page->owned, true);
    /* pair(pin.pages): the links of the pages behind it */
    struct pin_page *head = atomic_load_explicit(&pages, memory_order_acquire);
    do {
        page->next = head;
        page->ahead = page_ahead(head);
    } while (!atomic_compare_exchange_weak_explicit(&pages, &head, page,
                                                    memory_order_acq_rel, /* pair(pin.pages) */
                                                    memory_order_acquire));
    return page;
}

static struct pin_page *page_take(void)
{
    struct pin_page *page = page_adopt();
    return page ? page : page_create();
}

/* Free slots among those opened; counting stops at `most`. */
static uint32_t page_free_count(struct pin_page *page, uint32_t most)
{
    uint32_t opened = atomic_load_explicit(&page->opened, memory_order_relaxed);
    uint32_t count = 0;
    for (uint32_t i = 0; i < opened && count < most; i++)
        count += pin_slot_is_free(&page->slots[i]);
    return count;
}

/* Give up the pages of a thread that ends. An empty one is made as good as new: a scan need not
 * read it all. */
static void pages_leave(void *arg)
{
    struct pin_page *page = arg;
    /* A later destructor of the host may pin again: it then takes a page like a new thread. */
    pin_last_slot = no_page.slots;
    do {
        struct pin_page *next = page->mine;
        uint32_t opened = atomic_load_explicit(&page->opened, memory_order_relaxed);
        if (page_free_count(page, opened) == opened)
            page_open_first(page);
        page_give_up(page);
        page = next;
    } while (page != arg);
}

static void lock_asking(void) ACQUIRES(ask_lock)
{
    pthread_mutex_lock(&ask_lock);
}

static void unlock_asking(void) RELEASES(ask_lock)
{
    pthread_mutex_unlock(&ask_lock);
}

static void prepare(void)
{
    is_prepared = pthread_key_create(&exit_key, pages_leave) == 0 &&
                  pthread_atfork(lock_asking, unlock_asking, unlock_asking) == 0;
}

void pin_prepare(void)
{
    pthread_once(&prepare_once, prepare);
}

/* A thread's first page; NULL: values are handed out as copies. Without a way to learn of the
 * thread's end its pages would be lost. */
static struct pin_page *pages_enter(void)
{
    if (!is_prepared)
        return NULL;
    struct pin_page *page = page_take();
    if (!page)
        return NULL;
    if (pthread_setspecific(exit_key, page) != 0) {
        page_give_up(page);
        return NULL;
    }
    page->mine = page;
    return page;
}

/*
 * ---- slots ----
 *
 * A thread goes through a page once, from the first slot to the fence, and takes each free slot on
 * the way. Then it goes on in another of its pages, which are a ring, if a quarter is free there.
 * So looking at a page, and going through it, is paid for by the pins of a quarter of it. The
 * thread looks at four pages in a row at most: if all are fuller, it puts a new one in before the
 * fourth, where it will find it again. So of four pages in a row one has room, and there are no
 * more of them than the thread has use for.
 */

/* The first free slot from an index on; NULL: there is none. */
static pin_slot_t *page_search(struct pin_page *page, uint32_t from)
{
    uint32_t opened = atomic_load_explicit(&page->opened, memory_order_relaxed);
    for (uint32_t i = from; i < opened; i++)
        if (pin_slot_is_free(&page->slots[i]))
            return &page->slots[i];
    return NULL;
}

static bool page_has_room(struct pin_page *page)
{
    uint32_t wanted = atomic_load_explicit(&page->opened, memory_order_relaxed) / ROOM_SHARE;
    return page_free_count(page, wanted) == wanted;
}

/* Open as many slots again. A new fence is put up behind them, then the old one becomes the slot
 * that is taken now. NULL: all are open. */
static pin_slot_t *page_open_more(struct pin_page *page)
{
    uint32_t opened = atomic_load_explicit(&page->opened, memory_order_relaxed);
    uint32_t more = (uint32_t)u64_min(2 * opened, PIN_SLOTS_MAX);
    if (more == opened)
        return NULL;
    atomic_store_explicit(&page->slots[more], TAKEN, memory_order_relaxed);
    /* Ordered like the pin that follows it: by the section, or by the reference. pair(pin.opened):
     * a thread that had more slots open before may have left the page to us */
    atomic_store_explicit(&page->opened, more, memory_order_release);
    return &page->slots[opened];
}

static pin_slot_t *page_any_slot(struct pin_page *page)
{
    pin_slot_t *slot = page_search(page, 0);
    return slot ? slot : page_open_more(page);
}

/* Take pages until one has a slot: those that other threads have left may be full of their pins. */
static pin_slot_t *slot_in_more_pages(struct pin_page *before)
{
    struct pin_page *page;
    while ((page = page_take()) != NULL) {
        page->mine = before->mine;
        before->mine = page;
        pin_slot_t *slot = page_any_slot(page);
        if (slot)
            return slot;
    }
    return NULL;
}

/* Without memory for a page: any free slot in the pages of this thread. */
static pin_slot_t *slot_anywhere(struct pin_page *page)
{
    struct pin_page *at = page;
    pin_slot_t *slot;
    do
        slot = page_any_slot(at);
    while (!slot && (at = at->mine) != page);
    return slot;
}

/* The next slot when a page has been gone through: in the same page if it has room or can open
 * more, else in another one. */
static pin_slot_t *slot_elsewhere(struct pin_page *page)
{
    if (page_has_room(page))
        return page_search(page, 0);
    pin_slot_t *slot = page_open_more(page);
    if (slot)
        return slot;
    struct pin_page *before = page;
    struct pin_page *at = page->mine;
    for (unsigned n = 1; at != page; n++, before = at, at = at->mine) {
        if (page_has_room(at))
            return page_any_slot(at);
        if (n == PAGES_LOOKED_AT)
            break;
    }
    slot = slot_in_more_pages(before);
    return slot ? slot : slot_anywhere(page);
}

static uint32_t slot_index(const pin_slot_t *slot)
{
    return (uint32_t)(slot - pin_page_of(slot)->slots);
}

/* A thread's first slot. */
static pin_slot_t *slot_first(void)
{
    struct pin_page *page = pages_enter();
    pin_slot_t *slot = page ? page_any_slot(page) : NULL;
    return slot || !page ? slot : slot_in_more_pages(page);
}

static pin_slot_t *slot_find(void)
{
    struct pin_page *page = pin_page_of(pin_last_slot);
    if (page == &no_page)
        return slot_first();
    pin_slot_t *slot = page_search(page, u32_max(slot_index(pin_last_slot) + 1, search_from));
    return slot ? slot : slot_elsewhere(page);
}

static pin_slot_t *slot_take(void)
{
    if (pin_slot_is_free(pin_last_slot))
        return pin_last_slot;
    pin_slot_t *slot = slot_find();
    if (slot) {
        pin_last_slot = slot;
        search_from = slot_index(slot) + 1;
    }
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

/* Hand out a value with a reference, which goes along. */
static void hand_out_ref(struct l1_entry *e, enum nigh_tier tier, struct nigh_value *ret)
{
    hand_out(e, (uintptr_t)e | (uintptr_t)tier << PIN_TIER_SHIFT, ret);
}

int l1_pin_rcu(struct l1 *l1, struct l1_entry *e, struct nigh_value *ret, bool *ret_copied)
{
    pin_slot_t *slot = slot_take();
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

/* ---- scanning ---- */

static void prefetch_page(const struct pin_page *page)
{
    const char *at = (const char *)page;
    for (unsigned line = 0; line < 3; line++) /* the head and the first slots */
        __builtin_prefetch(at + line * CACHE_LINE_BYTES);
}

/* Calls `visit` with every slot that may be in use. */
static NIGH_INLINED void slots_each(void (*visit)(void *arg, pin_slot_t *slot), void *arg)
{
    /* pair(pin.pages) */
    struct pin_page *page = atomic_load_explicit(&pages, memory_order_acquire);
    for (; page; page = page->next) {
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

/* The entry that a slot names, if it is of this cache; else NULL. It stays allocated until another
 * one is asked for. */
static struct l1_entry *ask_locked(pin_slot_t *slot, uint32_t cache_id)
{
    struct l1_entry *e = atomic_load_explicit(slot, memory_order_relaxed);
    if (!e || e == TAKEN)
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
    count->sum += e && e != TAKEN;
}

static inline void count_slot_of(void *arg, pin_slot_t *slot)
{
    struct count *count = arg;
    count->sum += ask_locked(slot, count->cache_id) != NULL;
}

/* Mark the slot as taken instead. If it is given back meanwhile, the exchange fails, as it
 * should. */
static inline void forget_slot(void *arg, pin_slot_t *slot)
{
    const struct count *count = arg;
    struct l1_entry *e = ask_locked(slot, count->cache_id);
    if (e)
        atomic_compare_exchange_strong_explicit(slot, &e, TAKEN, memory_order_relaxed,
                                                memory_order_relaxed);
}

uint64_t pin_count(void)
{
    struct count count = {0, 0};
    slots_each(count_slot, &count);
    return count.sum;
}

uint64_t pin_count_of(uint32_t cache_id)
{
    struct count count = {0, cache_id};
    ask_begin();
    slots_each(count_slot_of, &count);
    ask_end();
    return count.sum;
}

void pin_forget(uint32_t cache_id)
{
    struct count count = {0, cache_id};
    ask_begin();
    slots_each(forget_slot, &count);
    ask_end();
}
