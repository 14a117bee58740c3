// SPDX-License-Identifier: MIT
// A pinned value stays where it is, whoever pins it and wherever it is released.

#include <pthread.h>

#include "l1/pin.h"
#include "l1/pin_scan.h"
#include "support/l1_cache.h"

static void open_with_value(struct cache *c)
{
    cache_open(c, 4 << 20, 1);
    CHECK_EQ(cache_put(c, 1, "precious", 8), L1_STORED);
}

/* Remove the value and let everything that can be freed be freed. */
static void bury(struct cache *c)
{
    cache_remove(c, 1);
    cache_reclaim(c);
}

static uint64_t bytes_of_pins(struct cache *c)
{
    uint64_t pins, bytes;
    l1_pins_read(c->l1, &pins, &bytes);
    return bytes;
}

TEST(a_pinned_value_outlives_its_removal)
{
    struct cache c;
    open_with_value(&c);
    struct nigh_value v;
    REQUIRE(cache_pin(&c, 1, &v));
    CHECK_EQ(pin_count(), 1);
    bury(&c);
    CHECK(!cache_has(&c, 1));
    CHECK_MEM(v.data, v.len, "precious", 8);
    CHECK_GT(bytes_of_pins(&c), 0);
    CHECK_EQ(l1_pin_tier(v.pin), NIGH_TIER_L1);
    CHECK_EQ(l1_entry_key(l1_pin_entry(v.pin)).len, 12);
    cache_audit(&c);
    l1_unpin(v.pin);
    cache_reclaim(&c);
    CHECK_EQ(bytes_of_pins(&c), 0);
    CHECK_EQ(pin_count(), 0);
    CHECK_EQ(cache_gauges(&c).used_bytes, cache_gauges(&c).tables_bytes);
    cache_close(&c);
}

/* As a cache is closed whose loader has not returned: it may read on, and give back late. */
TEST(emptying_keeps_what_is_held_and_nothing_else)
{
    struct cache c;
    struct nigh_value pinned, referred;
    open_with_value(&c);
    for (unsigned i = 2; i < 2000; i++)
        CHECK_EQ(cache_put_size(&c, i, 1000), L1_STORED);
    REQUIRE(cache_pin(&c, 1, &pinned));
    REQUIRE(cache_pin(&c, 2, &referred));
    struct l1_entry *e = l1_pin_entry(referred.pin);
    rcu_enter();
    l1_entry_ref(e);
    rcu_leave();
    l1_unpin(referred.pin);
    l1_empty(c.l1);
    CHECK_EQ(cache_gauges(&c).entries, 0);
    CHECK_LT(cache_gauges(&c).used_bytes, cache_gauges(&c).tables_bytes + 8192);
    CHECK_MEM(pinned.data, pinned.len, "precious", 8);
    CHECK_EQ(l1_entry_value(e).len, 1000);
    l1_unpin(pinned.pin);
    l1_entry_unref(e);
    cache_audit(&c);
    cache_close(&c);
}

/* Pin a value by the path that is taken when no slot is at hand. */
static void pin_long(struct cache *c, struct l1_entry *e, struct nigh_value *ret)
{
    bool copied;
    REQUIRE_EQ(l1_pin_rcu(c->l1, e, ret, &copied), 0);
    CHECK(!copied);
    CHECK(l1_pin_entry(ret->pin) == e);
}

/* As a hit does: what is at hand, else that. */
static void pin_one(struct cache *c, struct l1_entry *e, struct nigh_value *ret)
{
    ret->pin = l1_hold_rcu(e);
    if (!ret->pin)
        pin_long(c, e, ret);
}

static struct l1_entry *find_rcu(struct cache *c, unsigned number)
{
    struct name name;
    struct l1_key key = cache_key(c, &name, number);
    return l1_find_rcu(c->l1, &key);
}

#define MANY 10000u

static void *release_many(void *arg)
{
    struct nigh_value *held = arg;
    uint64_t random = 1;
    for (unsigned left = MANY; left; left--) {
        unsigned i = (unsigned)(check_random(&random) % left);
        CHECK_MEM(held[i].data, held[i].len, "precious", 8);
        l1_unpin(held[i].pin);
        held[i] = held[left - 1];
    }
    return NULL;
}

static void run_thread(void *(*run)(void *), void *arg)
{
    pthread_t thread;
    REQUIRE_EQ(pthread_create(&thread, NULL, run, arg), 0);
    pthread_join(thread, NULL);
}

TEST(a_thread_holds_as_many_as_it_likes)
{
    static struct nigh_value held[MANY];
    struct cache c;
    for (int round = 0; round < 3; round++) {
        open_with_value(&c);
        rcu_enter();
        for (unsigned i = 0; i < MANY; i++)
            pin_long(&c, find_rcu(&c, 1), &held[i]);
        rcu_leave();
        CHECK_EQ(pin_count(), MANY);
        bury(&c);
        CHECK_GT(bytes_of_pins(&c), 0);
        run_thread(release_many, held);
        CHECK_EQ(pin_count(), 0);
        cache_reclaim(&c);
        CHECK_EQ(cache_gauges(&c).used_bytes, cache_gauges(&c).tables_bytes);
        cache_close(&c);
    }
}

/* ---- how many pages that takes ---- */

/* Pages of this thread. */
static unsigned own_pages(void)
{
    const struct pin_page *first = pin_page_of(pin_last_slot);
    unsigned count = 1;
    for (const struct pin_page *page = first->mine; page != first; page = page->mine)
        count++;
    return count;
}

struct flow {
    const char *name;
    /* Which of `count` values in flight, the oldest first, is given back next. */
    unsigned (*next)(uint64_t *random, unsigned count);
    unsigned pages; /* at most, with so many in flight */
    unsigned count;
};

static unsigned oldest(uint64_t *random, unsigned count)
{
    (void)random, (void)count;
    return 0;
}

static unsigned youngest(uint64_t *random, unsigned count)
{
    (void)random;
    return count - 1;
}

static unsigned any(uint64_t *random, unsigned count)
{
    return (unsigned)(check_random(random) % count);
}

/* Half of them for ever, the others as they came. */
static unsigned oldest_of_half(uint64_t *random, unsigned count)
{
    (void)random;
    return count / 2;
}

/* One in eight stays long. */
static unsigned some_stay(uint64_t *random, unsigned count)
{
    return (unsigned)(check_random(random) % (count / 8 + 1)) * 7 % count;
}

static const struct flow flows[] = {
    {"oldest first", oldest, 12, 3000},         {"youngest first", youngest, 12, 3000},
    {"in any order", any, 12, 3000},            {"half of them stay", oldest_of_half, 12, 3000},
    {"some stay", some_stay, 12, 3000},         {"few, in any order", any, 2, 300},
    {"few, the oldest first", oldest, 2, 300},
};

static struct cache *flow_cache;

static void *run_flow(void *arg)
{
    const struct flow *flow = arg;
    static uintptr_t pins[4096];
    uint64_t random = check_seed();
    unsigned count = 0;
    rcu_enter();
    struct l1_entry *e = find_rcu(flow_cache, 1);
    for (unsigned step = 0; step < 20 * flow->count; step++) {
        struct nigh_value v;
        pin_one(flow_cache, e, &v);
        pins[count++] = v.pin;
        if (count == flow->count) { /* some pauses, in which a few are given back at once */
            for (unsigned n = (unsigned)(check_random(&random) % 8) + 1; n; n--) {
                unsigned i = flow->next(&random, count);
                l1_unpin(pins[i]);
                memmove(&pins[i], &pins[i + 1], (--count - i) * sizeof(*pins));
            }
        }
    }
    CHECK_EQ(pin_count(), count);
    rcu_leave();
    if (!CHECK_LE(own_pages(), flow->pages))
        check_note("%s: %u pages", flow->name, own_pages());
    while (count)
        l1_unpin(pins[--count]);
    return NULL;
}

/* 3,000 values fill 6 pages: a quarter more are free slots that make looking for one short. */
TEST(pages_stay_in_proportion_to_what_is_held)
{
    struct cache c;
    open_with_value(&c);
    flow_cache = &c;
    for (unsigned i = 0; i < ARRAY_COUNT(flows); i++)
        run_thread(run_flow, (void *)(uintptr_t)&flows[i]);
    CHECK_EQ(pin_count(), 0);
    cache_close(&c);
}

#define PAGES_MAX 64u

struct pages_seen {
    uintptr_t pages[PAGES_MAX];
    unsigned count;
};

static void see_page(struct pages_seen *seen, uintptr_t page)
{
    for (unsigned i = 0; i < seen->count; i++)
        if (seen->pages[i] == page)
            return;
    REQUIRE(seen->count < PAGES_MAX);
    seen->pages[seen->count++] = page;
}

static void *hold_and_exit(void *arg)
{
    struct nigh_value v[2000];
    rcu_enter();
    for (unsigned i = 0; i < ARRAY_COUNT(v); i++) {
        pin_one(flow_cache, find_rcu(flow_cache, 1), &v[i]);
        see_page(arg, (uintptr_t)pin_page_of(pin_slot(v[i].pin)));
    }
    rcu_leave();
    for (unsigned i = 0; i < ARRAY_COUNT(v); i++)
        l1_unpin(v[i].pin);
    return NULL;
}

TEST(all_pages_of_a_thread_are_taken_up_by_others)
{
    struct cache c;
    struct pages_seen seen = {.count = 0};
    open_with_value(&c);
    flow_cache = &c;
    run_thread(hold_and_exit, &seen);
    unsigned first = seen.count;
    for (int i = 0; i < 10; i++)
        run_thread(hold_and_exit, &seen);
    CHECK_EQ(seen.count, first);
    CHECK_GE(first, 2000 / PIN_SLOTS_MAX);
    cache_close(&c);
}

#if NIGH_FAULTS

static void *hold_without_memory(void *arg)
{
    struct nigh_value *held = arg;
    struct l1_entry *e = find_rcu(flow_cache, 1);
    unsigned i = 0, copies = 0;
    rcu_enter();
    for (; i < 40 * PIN_SLOTS_MAX && !copies; i++) {
        bool copied;
        fault_arm(FAULT_ALLOC, 1);
        REQUIRE_EQ(l1_pin_rcu(flow_cache->l1, e, &held[i], &copied), 0);
        copies += copied;
        CHECK_EQ(copied, l1_pin_entry(held[i].pin) != e);
    }
    fault_arm(FAULT_ALLOC, 0);
    rcu_leave();
    CHECK_EQ(copies, 1); /* when the pages that others left were full */
    CHECK_GE(i, PIN_SLOTS_MAX);
    while (i--) {
        CHECK_MEM(held[i].data, held[i].len, "precious", 8);
        l1_unpin(held[i].pin);
    }
    return NULL;
}

TEST(without_memory_for_pins_a_reader_gets_a_copy)
{
    static struct nigh_value held[40 * PIN_SLOTS_MAX];
    struct cache c;
    open_with_value(&c);
    flow_cache = &c;
    run_thread(hold_without_memory, held);
    CHECK_EQ(pin_count(), 0);
    cache_close(&c);
}

#endif

/* As a hit pins: in the slot used last, the next one, or the first; up to the fence. */
TEST(slots_are_taken_in_a_row_up_to_the_fence)
{
    struct cache c;
    open_with_value(&c);
    struct name name;
    struct l1_key key = cache_key(&c, &name, 1);
    struct nigh_value held[PIN_SLOTS_MAX];
    bool copied;
    rcu_enter();
    struct l1_entry *e = l1_find_rcu(c.l1, &key);
    for (unsigned i = 0; i < PIN_SLOTS_MAX; i++) {
        held[i].pin = l1_hold_rcu(e);
        if (!held[i].pin) /* a block is full, and nothing was done */
            REQUIRE_EQ(l1_pin_rcu(c.l1, e, &held[i], &copied), 0);
        CHECK(pin_slot(held[i].pin) >= pin_page_of(pin_slot(held[i].pin))->slots);
        CHECK_EQ(pin_count(), i + 1);
        CHECK(l1_pin_entry(held[i].pin) == e);
    }
    CHECK(!l1_hold_rcu(e));
    for (unsigned i = 0; i < PIN_SLOTS_MAX; i++)
        for (unsigned j = 0; j < i; j++)
            CHECK_NE(held[i].pin, held[j].pin);
    l1_unpin(held[0].pin);
    CHECK_EQ(l1_hold_rcu(e), held[0].pin); /* round to the first */
    l1_unpin(held[100].pin);
    CHECK(!l1_hold_rcu(e)); /* not in reach: for l1_pin_rcu() to find another */
    REQUIRE_EQ(l1_pin_rcu(c.l1, e, &held[100], &copied), 0);
    CHECK(!copied);
    rcu_leave();
    for (unsigned i = 0; i < PIN_SLOTS_MAX; i++)
        l1_unpin(held[i].pin);
    CHECK_EQ(pin_count(), 0);
    cache_close(&c);
}

static void *release(void *arg)
{
    l1_unpin(*(uintptr_t *)arg);
    return NULL;
}

TEST(released_on_another_thread)
{
    struct cache c;
    open_with_value(&c);
    struct nigh_value v;
    for (int i = 0; i < 1000; i++) {
        REQUIRE(cache_pin(&c, 1, &v));
        if (i % 100 == 0)
            run_thread(release, &v.pin);
        else
            l1_unpin(v.pin);
    }
    CHECK_EQ(pin_count(), 0);
    cache_close(&c);
}

struct visit {
    struct cache *cache;
    struct nigh_value value;
    uintptr_t page;
};

static void *pin_and_exit(void *arg)
{
    struct visit *v = arg;
    CHECK(cache_pin(v->cache, 1, &v->value));
    v->page = v->value.pin & ~(uintptr_t)4095;
    return NULL;
}

TEST(a_thread_that_exits_leaves_its_pins_and_its_page)
{
    struct cache c;
    open_with_value(&c);
    struct visit visits[20] = {{.cache = &c}};
    for (int i = 0; i < 20; i++) {
        visits[i].cache = &c;
        run_thread(pin_and_exit, &visits[i]);
        /* The page that the last thread left is taken up again, with what is pinned in it. */
        CHECK_EQ(visits[i].page, visits[0].page);
        CHECK_EQ(pin_count(), i + 1);
    }
    bury(&c);
    for (int i = 0; i < 20; i++) {
        CHECK_MEM(visits[i].value.data, visits[i].value.len, "precious", 8);
        l1_unpin(visits[i].value.pin);
    }
    cache_reclaim(&c);
    CHECK_EQ(cache_gauges(&c).used_bytes, cache_gauges(&c).tables_bytes);
    cache_close(&c);
}

static struct cache *late_cache;
static struct nigh_value late_value;

static void pin_in_destructor(void *arg)
{
    (void)arg;
    CHECK(cache_pin(late_cache, 1, &late_value));
}

static void *exit_with_destructor(void *arg)
{
    struct nigh_value v;
    CHECK(cache_pin(late_cache, 1, &v)); /* nigh's destructor is set before the host's runs */
    l1_unpin(v.pin);
    pthread_setspecific(*(pthread_key_t *)arg, arg);
    return NULL;
}

TEST(a_destructor_of_the_host_may_still_read)
{
    struct cache c;
    open_with_value(&c);
    late_cache = &c;
    pthread_key_t key;
    REQUIRE_EQ(pthread_key_create(&key, pin_in_destructor), 0);
    run_thread(exit_with_destructor, &key);
    CHECK_MEM(late_value.data, late_value.len, "precious", 8);
    l1_unpin(late_value.pin);
    CHECK_EQ(pin_count(), 0);
    pthread_key_delete(key);
    cache_close(&c);
}

TEST(a_reference_keeps_a_value_and_so_does_a_pin_taken_under_it)
{
    struct cache c;
    open_with_value(&c);
    struct name name;
    struct l1_key key = cache_key(&c, &name, 1);
    rcu_enter();
    struct l1_entry *e = l1_find_rcu(c.l1, &key);
    l1_entry_ref(e);
    rcu_leave();
    bury(&c);
    CHECK_GT(bytes_of_pins(&c), 0);
    struct nigh_value a, b;
    bool copied;
    CHECK_EQ(l1_pin_rcu(c.l1, e, &a, &copied), 0);
    l1_pin_ref(e, NIGH_TIER_LOADER, &b);
    l1_entry_unref(e);
    cache_reclaim(&c);
    CHECK_EQ(l1_pin_tier(a.pin), NIGH_TIER_L1);
    CHECK_EQ(l1_pin_tier(b.pin), NIGH_TIER_LOADER);
    l1_unpin(b.pin);
    cache_reclaim(&c);
    CHECK_MEM(a.data, a.len, "precious", 8);
    l1_unpin(a.pin);
    cache_reclaim(&c);
    CHECK_EQ(cache_gauges(&c).used_bytes, cache_gauges(&c).tables_bytes);
    cache_close(&c);
}

TEST(two_caches_share_the_pins_of_a_thread)
{
    struct cache a, b;
    open_with_value(&a);
    open_with_value(&b);
    struct nigh_value va, vb;
    REQUIRE(cache_pin(&a, 1, &va));
    CHECK_EQ(l1_pins(a.l1), 1);
    CHECK_EQ(l1_pins(b.l1), 0);
    REQUIRE(cache_pin(&b, 1, &vb));
    CHECK_EQ(l1_pins(a.l1), 1);
    CHECK_EQ(l1_pins(b.l1), 1);
    bury(&a);
    bury(&b);
    CHECK_MEM(va.data, va.len, "precious", 8);
    l1_unpin(va.pin);
    cache_reclaim(&a);
    CHECK_EQ(bytes_of_pins(&a), 0);
    CHECK_GT(bytes_of_pins(&b), 0);
    CHECK_MEM(vb.data, vb.len, "precious", 8);
    l1_unpin(vb.pin);
    cache_close(&a);
    cache_close(&b);
}

/* Live, replaced, removed, moved to another slot of the ring: it is counted all the same. */
TEST(each_cache_counts_its_own_pins)
{
    struct cache a, b;
    struct nigh_value va[40], vb[60];
    open_with_value(&a);
    open_with_value(&b);
    for (unsigned i = 0; i < 60; i++) {
        REQUIRE_EQ(cache_own(&a, i, 100), L1_STORED);
        REQUIRE_EQ(cache_own(&b, i, 100), L1_STORED);
    }
    for (unsigned i = 0; i < 40; i++)
        REQUIRE(cache_pin(&a, i, &va[i]));
    for (unsigned i = 0; i < 60; i++)
        REQUIRE(cache_pin(&b, i, &vb[i]));
    for (unsigned i = 0; i < 60; i += 2)
        cache_own(&a, i, 100);
    for (unsigned i = 0; i < 60; i += 3)
        cache_remove(&b, i);
    cache_reclaim(&a);
    CHECK_EQ(l1_pins(a.l1), 40);
    CHECK_EQ(l1_pins(b.l1), 60);
    CHECK_EQ(pin_count(), 100);
    for (unsigned i = 0; i < 40; i++)
        l1_unpin(va[i].pin);
    CHECK_EQ(l1_pins(a.l1), 0);
    CHECK_EQ(l1_pins(b.l1), 60);
    cache_close(&a);
    for (unsigned i = 0; i < 60; i++)
        l1_unpin(vb[i].pin);
    CHECK_EQ(l1_pins(b.l1), 0);
    cache_close(&b);
}

/* A fault of the host, who is told; but others must be able to count, and to use its number. */
TEST(a_cache_that_goes_while_values_are_held_leaves_no_address_behind)
{
    struct cache a, b;
    struct nigh_value va, vb;
    open_with_value(&a);
    open_with_value(&b);
    uint32_t id = a.l1->id;
    REQUIRE(cache_pin(&a, 1, &va));
    REQUIRE(cache_pin(&b, 1, &vb));
    cache_close(&a);
    CHECK_EQ(pin_count(), 1);
    open_with_value(&a);
    CHECK_EQ(a.l1->id, id);
    CHECK_EQ(l1_pins(a.l1), 0);
    CHECK_EQ(l1_pins(b.l1), 1);
    l1_unpin(va.pin); /* late */
    CHECK_MEM(vb.data, vb.len, "precious", 8);
    REQUIRE(cache_pin(&a, 1, &va)); /* in the same slot, or another */
    CHECK_EQ(l1_pins(a.l1), 1);
    l1_unpin(va.pin);
    l1_unpin(vb.pin);
    CHECK_EQ(pin_count(), 0);
    cache_close(&a);
    cache_close(&b);
}
