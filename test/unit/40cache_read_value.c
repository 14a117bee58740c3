// SPDX-License-Identifier: MIT
// What get and fetch hand out: how large a value may be, and a key, and that a value stays as it is
// until it is released, whatever happens to its key.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cache/cache.h"
#include "support/origin.h"

/* ---- sizes ---- */

static char *big_row;

static int big(struct origin *o, struct nigh_fill *fill)
{
    (void)o;
    size_t key_len;
    char text[16] = "";
    const char *key = nigh_fill_key(fill, &key_len); /* does not end in NUL */
    memcpy(text, key, key_len < sizeof(text) ? key_len : 0);
    return nigh_fill_value(fill, big_row, (size_t)strtoul(text, NULL, 10));
}

/* A space whose rows are as large as their keys say. */
static void open_big(struct world *w, uint32_t value_max)
{
    struct nigh_options o = world_options(w);
    struct nigh_space_options so = exact_space();
    so.value_max = value_max;
    world_open(w, &o, &so);
    REQUIRE(big_row = calloc(1, NIGH_VALUE_MAX + 1ul));
    w->origin.script = big;
}

static void close_big(struct world *w)
{
    world_close(w);
    free(big_row);
}

TEST(values_over_the_limit_are_returned_not_stored_and_counted)
{
    struct world w;
    open_big(&w, 1000);
    CHECK_EQ(ask_fetch(w.space, "1000", NULL).len, 1000);
    CHECK_EQ(ask_get(w.space, "1000", NULL).outcome, NIGH_FRESH);
    CHECK_EQ(ask_fetch(w.space, "1001", NULL).len, 1001);
    CHECK_EQ(ask_get(w.space, "1001", NULL).outcome, NIGH_MISS);
    CHECK_EQ(world_count(&w, "l1_oversize"), 1);
    CHECK_EQ(ask_fetch(w.space, "67108864", NULL).len, NIGH_VALUE_MAX);
    CHECK_LE(world_count(&w, "memory_peak_bytes"), world_count(&w, "memory_cap_bytes"));
    CHECK_EQ(ask_fetch(w.space, "67108865", NULL).outcome, NIGH_ELOADER); /* the format's limit */
    close_big(&w);
}

TEST(a_value_larger_than_the_whole_cache_is_returned)
{
    struct world w;
    open_big(&w, NIGH_VALUE_MAX);
    CHECK_EQ(ask_fetch(w.space, "20000000", NULL).len, 20000000);
    CHECK_EQ(ask_get(w.space, "20000000", NULL).outcome, NIGH_MISS);
    CHECK_LE(world_count(&w, "memory_peak_bytes"), world_count(&w, "memory_cap_bytes"));
    CHECK_EQ(world_count(&w, "l1_refused_full"), 1);
    close_big(&w);
}

TEST(an_empty_value_is_a_value)
{
    struct world w;
    open_big(&w, NIGH_VALUE_MAX);
    struct nigh_value v = NIGH_VALUE_INIT;
    CHECK_EQ(nigh_put(w.space, "k", 1, "", 0, NULL), 0);
    CHECK_EQ(nigh_get(w.space, "k", 1, NULL, &v), NIGH_FRESH);
    CHECK_EQ(v.len, 0);
    nigh_release(&v);
    CHECK_EQ(nigh_fetch(w.space, "0", 1, NULL, &v), NIGH_FRESH);
    CHECK_EQ(v.len, 0);
    CHECK_EQ(nigh_value_tier(&v), NIGH_TIER_LOADER);
    nigh_release(&v);
    close_big(&w);
}

TEST(keys_are_bytes)
{
    struct world w;
    world_open_exact(&w);
    static const char keys[][4] = {{0, 0, 0, 0}, {0, 0, 0, 1}, {'a', 0, 'b', 0}, {'a', 0, 'b', 1}};
    struct nigh_value v;
    for (size_t i = 0; i < 4; i++)
        CHECK_EQ(nigh_put(w.space, keys[i], 4, &i, sizeof(i), NULL), 0);
    for (size_t i = 0; i < 4; i++) {
        REQUIRE_EQ(nigh_get(w.space, keys[i], 4, NULL, &v), NIGH_FRESH);
        CHECK_MEM(v.data, v.len, &i, sizeof(i));
        nigh_release(&v);
    }
    CHECK_EQ(nigh_get(w.space, keys[2], 3, NULL, &v), NIGH_MISS); /* a prefix is another key */
    world_close(&w);
}

TEST(key_lengths_have_limits)
{
    struct world w;
    world_open_exact(&w);
    static char key[NIGH_KEY_MAX + 1];
    struct nigh_value v = {.len = 77};
    memset(key, 'k', sizeof(key));
    CHECK_EQ(nigh_put(w.space, key, 1, "one", 3, NULL), 0);
    CHECK_EQ(nigh_put(w.space, key, NIGH_KEY_MAX, "most", 4, NULL), 0);
    static const size_t wrong[] = {0, NIGH_KEY_MAX + 1, SIZE_MAX};
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(nigh_get(w.space, key, wrong[i], NULL, &v), NIGH_EKEY);
        CHECK_EQ(nigh_fetch(w.space, key, wrong[i], NULL, &v), NIGH_EKEY);
        CHECK_EQ(nigh_put(w.space, key, wrong[i], "x", 1, NULL), NIGH_EKEY);
        CHECK_EQ(nigh_write(w.space, key, wrong[i], "x", 1, NULL), NIGH_EKEY);
        CHECK_EQ(nigh_invalidate(w.space, key, wrong[i], NULL), NIGH_EKEY);
    }
    CHECK_EQ(nigh_get(w.space, NULL, 3, NULL, &v), NIGH_EKEY);
    CHECK_EQ(v.len, 77); /* untouched on error */
    CHECK_EQ(w.origin.loads + w.origin.writes, 0);
    CHECK_EQ(nigh_get(w.space, key, 1, NULL, &v), NIGH_FRESH);
    CHECK_MEM(v.data, v.len, "one", 3);
    nigh_release(&v);
    CHECK_EQ(nigh_get(w.space, key, NIGH_KEY_MAX, NULL, &v), NIGH_FRESH);
    CHECK_MEM(v.data, v.len, "most", 4);
    nigh_release(&v);
    world_close(&w);
}

/* ---- values in hand ---- */

TEST(a_value_stays_whatever_happens_to_its_key)
{
    struct world w;
    world_open_exact(&w);
    struct nigh_value v;
    CHECK_EQ(nigh_put(w.space, "k", 1, "kept", 4, NULL), 0);
    REQUIRE_EQ(nigh_get(w.space, "k", 1, NULL, &v), NIGH_FRESH);
    CHECK_EQ(nigh_put(w.space, "k", 1, "next", 4, NULL), 0);
    CHECK_EQ(nigh_invalidate(w.space, "k", 1, NULL), 0);
    for (int i = 0; i < 3000; i++) { /* more than fits: everything else is evicted */
        char key[16], fill[8192];
        memset(fill, i, sizeof(fill));
        int len = snprintf(key, sizeof(key), "f%d", i);
        nigh_put(w.space, key, (size_t)len, fill, sizeof(fill), NULL);
        if (i % 100 == 0)
            world_settle(&w);
    }
    world_advance(&w, 100000);
    world_settle(&w);
    CHECK_MEM(v.data, v.len, "kept", 4);
    CHECK_EQ(world_count(&w, "pins"), 1);
    CHECK_LE(world_count(&w, "memory_peak_bytes"), world_count(&w, "memory_cap_bytes"));
    nigh_release(&v);
    CHECK(v.data == NULL && v.len == 0);
    nigh_release(&v); /* empty: does nothing */
    CHECK_EQ(world_count(&w, "pins"), 0);
    world_close(&w);
}

TEST(a_thread_holds_many_values_of_one_key)
{
    struct world w;
    world_open_exact(&w);
    enum { COUNT = 2000 };
    static struct nigh_value values[COUNT];
    CHECK_EQ(nigh_put(w.space, "k", 1, "value", 5, NULL), 0);
    for (int i = 0; i < COUNT; i++)
        REQUIRE_EQ(nigh_get(w.space, "k", 1, NULL, &values[i]), NIGH_FRESH);
    CHECK_EQ(world_count(&w, "value_copied"), 0);
    CHECK_EQ(world_count(&w, "pins"), COUNT);
    CHECK_EQ(nigh_invalidate(w.space, "k", 1, NULL), 0);
    world_settle(&w);
    for (int i = 0; i < COUNT; i++) {
        CHECK_MEM(values[i].data, values[i].len, "value", 5);
        CHECK_EQ(nigh_value_tier(&values[i]), NIGH_TIER_L1);
        nigh_release(&values[i]);
    }
    CHECK_EQ(world_count(&w, "pins"), 0);
    world_settle(&w);
    CHECK_EQ(world_count(&w, "entries"), 0);
    CHECK_EQ(world_count(&w, "limbo_bytes"), 0);
    world_close(&w);
}

static void *release_all(void *arg)
{
    struct nigh_value *values = arg;
    for (int i = 0; i < 300; i++)
        nigh_release(&values[i]);
    return NULL;
}

TEST(values_can_be_released_on_another_thread)
{
    struct world w;
    world_open_exact(&w);
    static struct nigh_value values[300];
    pthread_t thread;
    CHECK_EQ(nigh_put(w.space, "k", 1, "value", 5, NULL), 0);
    for (int i = 0; i < 300; i++)
        REQUIRE_EQ(nigh_get(w.space, "k", 1, NULL, &values[i]), NIGH_FRESH);
    CHECK_EQ(nigh_invalidate(w.space, "k", 1, NULL), 0);
    REQUIRE_EQ(pthread_create(&thread, NULL, release_all, values), 0);
    REQUIRE_EQ(pthread_join(thread, NULL), 0);
    CHECK_EQ(world_count(&w, "pins"), 0);
    world_settle(&w);
    CHECK_EQ(world_count(&w, "limbo_bytes"), 0);
    CHECK_EQ(nigh_put(w.space, "k", 1, "again", 5, NULL), 0);
    CHECK_ANSWER(ask_get(w.space, "k", NULL), NIGH_FRESH, "again");
    world_close(&w);
}

TEST(a_value_tells_about_itself)
{
    struct world w;
    world_open_exact(&w);
    struct nigh_value v;
    struct nigh_call call = NIGH_CALL_INIT;
    call.version = 1234567890123ull;
    CHECK_EQ(nigh_put(w.space, "k", 1, "v", 1, &call), 0);
    world_advance(&w, 300);
    REQUIRE_EQ(nigh_get(w.space, "k", 1, NULL, &v), NIGH_FRESH);
    CHECK_EQ(nigh_value_tier(&v), NIGH_TIER_L1);
    CHECK_EQ(nigh_value_version(&v), 1234567890123ull);
    CHECK_EQ(nigh_value_age_ms(w.cache, &v), 300);
    CHECK_EQ(nigh_value_fresh_ms(w.cache, &v), 699); /* times are rounded down */
    CHECK_EQ(nigh_value_stale_ms(w.cache, &v), 1199);
    world_advance(&w, 2000); /* kept by the caller, past everything */
    CHECK_EQ(nigh_value_age_ms(w.cache, &v), 2300);
    CHECK_EQ(nigh_value_fresh_ms(w.cache, &v), -1300);
    CHECK_EQ(nigh_value_stale_ms(w.cache, &v), -800);
    nigh_release(&v);
    CHECK_EQ(nigh_value_tier(&v), NIGH_TIER_NONE);
    CHECK_EQ(nigh_value_version(&v), 0);
    CHECK_EQ(nigh_value_age_ms(w.cache, &v), 0);
    world_close(&w);
}
