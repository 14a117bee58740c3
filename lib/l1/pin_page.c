/* SPDX-License-Identifier: MIT */
/*
 * Pages of pin slots: a thread's, and those without an owner; finding a slot.
 */
#include "l1/pin_page.h"

#include <pthread.h>

#include "l1/core.h"

static _Atomic(struct pin_page *) pages; /* pair(pin.pages): a page is complete when listed */
/* A stack of pages without an owner: the address of the first, and in the bits that are 0 in it a
 * count of changes, so that a thread that takes the first notices when others were faster. */
static _Atomic uintptr_t idle_pages; /* pair(pin.idle) */
/* The slots that an inlined pin looks at are taken, so a thread's first pin goes the slow way
 * without a test for it. */
struct pin_page pin_no_page = {.slots = {PIN_TAKEN, PIN_TAKEN}};
_Thread_local pin_slot_t *pin_last_slot = pin_no_page.slots;
/* Slots of this thread's page below this index have been looked at since it came to the page. */
static _Thread_local uint32_t search_from;

/* A scan prefetches the first lines of a page so many pages ahead: on a page that lies in no cache
 * it would wait for the head, and then for the slots. */
#define AHEAD 8u

/* Pages in a row that are looked at for one with room, and the part that has to be free there. */
#define PAGES_LOOKED_AT 4u
#define ROOM_SHARE 4u

static pthread_key_t exit_key;
static bool is_prepared;

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
 * pin of PIN_TAKEN, which nobody ever retires. */
static void page_open_first(struct pin_page *page)
{
    atomic_store_explicit(&page->slots[PIN_SLOTS_FIRST], PIN_TAKEN, memory_order_relaxed);
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
    pin_last_slot = pin_no_page.slots;
    do {
        struct pin_page *next = page->mine;
        uint32_t opened = atomic_load_explicit(&page->opened, memory_order_relaxed);
        if (page_free_count(page, opened) == opened)
            page_open_first(page);
        page_give_up(page);
        page = next;
    } while (page != arg);
}

void pin_pages_prepare(void)
{
    is_prepared = pthread_key_create(&exit_key, pages_leave) == 0;
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
    atomic_store_explicit(&page->slots[more], PIN_TAKEN, memory_order_relaxed);
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
    if (page == &pin_no_page)
        return slot_first();
    pin_slot_t *slot = page_search(page, u32_max(slot_index(pin_last_slot) + 1, search_from));
    return slot ? slot : slot_elsewhere(page);
}

pin_slot_t *pin_slot_take(void)
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

struct pin_page *pin_pages_first(void)
{
    /* pair(pin.pages) */
    return atomic_load_explicit(&pages, memory_order_acquire);
}
