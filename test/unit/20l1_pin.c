// SPDX-License-Identifier: MIT
// A pinned value stays where it is, whoever pins it and wherever it is released.

#include <pthread.h>

#include "l1/pin.h"
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

TEST(past_256_a_reader_gets_copies)
{
    struct cache c;
    open_with_value(&c);
    struct name name;
    struct l1_key key = cache_key(&c, &name, 1);
    struct nigh_value held[300];
    for (unsigned i = 0; i < 300; i++) {
        bool copied;
        rcu_enter();
        struct l1_entry *e = l1_find_rcu(c.l1, &key);
        REQUIRE_EQ(l1_pin_rcu(c.l1, e, &held[i], &copied), 0);
        rcu_leave();
        CHECK_EQ(copied, i >= 256);
        CHECK_EQ(copied, l1_pin_entry(held[i].pin) != e);
    }
    CHECK_EQ(pin_count(), 256);
    bury(&c);
    for (unsigned i = 0; i < 300; i++) {
        CHECK_MEM(held[i].data, held[i].len, "precious", 8);
        CHECK_EQ(l1_pin_tier(held[i].pin), NIGH_TIER_L1);
        l1_unpin(held[i].pin);
    }
    CHECK_EQ(pin_count(), 0);
    cache_reclaim(&c);
    CHECK_EQ(cache_gauges(&c).used_bytes, cache_gauges(&c).tables_bytes);
    cache_close(&c);
}

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
    CHECK(!l1_hold_rcu(e)); /* not in reach: for l1_pin_rcu() to search */
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

static void run_thread(void *(*run)(void *), void *arg)
{
    pthread_t thread;
    REQUIRE_EQ(pthread_create(&thread, NULL, run, arg), 0);
    pthread_join(thread, NULL);
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
    REQUIRE(cache_pin(&b, 1, &vb));
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
