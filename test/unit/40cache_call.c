// SPDX-License-Identifier: MIT
// What a call's flags and numbers mean on every function that takes them.

#include <string.h>

#include "support/origin.h"

static struct nigh_call with_flags(uint32_t flags)
{
    struct nigh_call call = NIGH_CALL_INIT;
    call.flags = flags;
    return call;
}

static void refuse(struct world *w, const struct nigh_call *call)
{
    struct nigh_target all = {.kind = NIGH_TARGET_ALL};
    struct nigh_value v = {.len = 7};
    CHECK_EQ(nigh_get(w->space, "k", 1, call, &v), NIGH_EINVAL);
    CHECK_EQ(nigh_fetch(w->space, "k", 1, call, &v), NIGH_EINVAL);
    CHECK_EQ(v.len, 7);
    CHECK_EQ(nigh_put(w->space, "k", 1, "v", 1, call), NIGH_EINVAL);
    CHECK_EQ(nigh_write(w->space, "k", 1, "v", 1, call), NIGH_EINVAL);
    CHECK_EQ(nigh_invalidate(w->space, "k", 1, call), NIGH_EINVAL);
    CHECK_EQ(nigh_invalidate_many(w->cache, &all, 1, call), NIGH_EINVAL);
}

/* It belongs to changes: a read that left L2 to the background is NIGH_NO_WAIT. */
TEST(a_read_in_the_background_was_taken)
{
    struct world w;
    struct nigh_call call = with_flags(NIGH_BACKGROUND);
    struct nigh_key key = {"k", 1};
    struct nigh_target all = {.kind = NIGH_TARGET_ALL};
    struct nigh_value v = {.len = 7};
    int outcome = 7;
    world_open(&w, NULL, NULL);
    CHECK_EQ(nigh_get(w.space, "k", 1, &call, &v), NIGH_EINVAL);
    CHECK_EQ(nigh_fetch(w.space, "k", 1, &call, &v), NIGH_EINVAL);
    CHECK_EQ(nigh_get_many(w.space, &key, 1, &call, &v, &outcome), NIGH_EINVAL);
    call.flags |= NIGH_NO_WAIT;
    CHECK_EQ(nigh_get(w.space, "k", 1, &call, &v), NIGH_EINVAL);
    CHECK_EQ(nigh_invalidate(w.space, "k", 1, &call), NIGH_EINVAL);
    CHECK_EQ(v.len, 7);
    CHECK_EQ(outcome, 7);
    call.flags = NIGH_BACKGROUND; /* without Redis there is nothing behind a change */
    CHECK_EQ(nigh_write(w.space, "k", 1, "v", 1, &call), 0);
    CHECK_EQ(nigh_invalidate(w.space, "k", 1, &call), 0);
    CHECK_EQ(nigh_invalidate_many(w.cache, &all, 1, &call), 0);
    CHECK_EQ(nigh_invalidate(w.space, "", 0, &call), NIGH_EKEY);
    world_close(&w);
}

/* A flag of a later version would otherwise be ignored, and its caller believe in it. */
TEST(unknown_flags_were_ignored)
{
    const uint32_t known =
        NIGH_L1_ONLY | NIGH_NO_STORE | NIGH_SOFT | NIGH_REFRESH | NIGH_QUIET | NIGH_NO_WAIT;
    struct world w;
    world_open(&w, NULL, NULL);
    CHECK_ANSWER(ask_fetch(w.space, "k", NULL), NIGH_FRESH, "k=1");
    for (unsigned bit = 0; bit < 32; bit++) {
        struct nigh_call call = with_flags(1u << bit);
        if (1u << bit == NIGH_BACKGROUND)
            continue;
        if (known & (1u << bit))
            CHECK_GE(ask_fetch(w.space, "k", &call).outcome, 0);
        else
            refuse(&w, &call);
    }
    struct nigh_call mixed = with_flags(NIGH_QUIET | 1u << 31);
    refuse(&w, &mixed);
    CHECK_ANSWER(ask_get(w.space, "k", NULL), NIGH_FRESH, "k=1"); /* none of it was done */
    CHECK_EQ(w.origin.writes, 0);
    world_close(&w);
}

/* One smaller lacks a field; one larger has a field that would be ignored. */
TEST(a_call_of_an_impossible_size_was_taken)
{
    const size_t size = sizeof(struct nigh_call);
    const size_t wrong[] = {0, 1, size / 2, size - 1, size + 1, size + 8, SIZE_MAX / 2, SIZE_MAX};
    struct world w;
    world_open(&w, NULL, NULL);
    CHECK_ANSWER(ask_fetch(w.space, "k", NULL), NIGH_FRESH, "k=1");
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct nigh_call call = NIGH_CALL_INIT;
        call.size = wrong[i];
        refuse(&w, &call);
    }
    CHECK_ANSWER(ask_get(w.space, "k", NULL), NIGH_FRESH, "k=1");
    CHECK_EQ(w.origin.writes, 0);
    world_close(&w);
}

/* Each number that a call may say, as large as it can be. */
TEST(the_largest_numbers_of_a_call_mean_what_they_say)
{
    struct world w;
    struct nigh_options o = world_options(&w);
    struct nigh_call call = NIGH_CALL_INIT;
    world_open(&w, &o, NULL);
    call.deadline_ms = NIGH_NONE;
    CHECK_ANSWER(ask_fetch(w.space, "k", &call), NIGH_FRESH, "k=1");
    call.deadline_ms = NIGH_NONE - 1;
    CHECK_ANSWER(ask_fetch(w.space, "l", &call), NIGH_FRESH, "l=1");
    call.max_age_ms = NIGH_NONE - 1;
    CHECK_ANSWER(ask_get(w.space, "k", &call), NIGH_FRESH, "k=1");
    call.max_age_ms = NIGH_NONE;
    CHECK_ANSWER(ask_get(w.space, "k", &call), NIGH_FRESH, "k=1");
    world_advance(&w, 10);
    call.max_age_ms = 1; /* the smallest that means something */
    CHECK_EQ(ask_get(w.space, "k", &call).outcome, NIGH_MISS);
    call.max_age_ms = 0;
    call.min_version = UINT64_MAX;
    CHECK_EQ(ask_get(w.space, "k", &call).outcome, NIGH_MISS);
    call.version = UINT64_MAX;
    CHECK_EQ(nigh_put(w.space, "k", 1, "v", 1, &call), 0);
    CHECK_ANSWER(ask_get(w.space, "k", &call), NIGH_FRESH, "v");
    CHECK_EQ(nigh_put(w.space, "k", 1, "w", 1, &call), NIGH_REFUSED);
    world_close(&w);
}

TEST(a_drain_takes_every_deadline)
{
    struct world w;
    world_open(&w, NULL, NULL);
    CHECK_EQ(nigh_drain(w.cache, 0), 0);
    CHECK_EQ(nigh_drain(w.cache, NIGH_NONE - 1), 0);
    CHECK_EQ(nigh_drain(w.cache, NIGH_NONE), 0);
    world_close(&w);
}

/* ---- what a loader may say ---- */

static int wrong_words(struct origin *o, struct nigh_fill *fill)
{
    static char row[1];
    char tag[NIGH_KEY_MAX + 2];
    memset(tag, 't', sizeof(tag));
    tag[NIGH_KEY_MAX + 1] = 0;
    (void)o;
    CHECK_EQ(nigh_fill_add_tag(fill, NULL), NIGH_EINVAL);
    CHECK_EQ(nigh_fill_add_tag(fill, ""), NIGH_EINVAL);
    CHECK_EQ(nigh_fill_add_tag(fill, tag), NIGH_EINVAL);
    tag[NIGH_KEY_MAX] = 0;
    CHECK_EQ(nigh_fill_add_tag(fill, tag), 0);
    CHECK_EQ(nigh_fill_set_version(fill, UINT64_MAX), 0);
    CHECK_EQ(nigh_fill_value(fill, NULL, 1), NIGH_EINVAL);
    CHECK_EQ(nigh_fill_uncacheable(fill, NULL, 1), NIGH_EINVAL);
    CHECK_EQ(nigh_fill_value(fill, row, NIGH_VALUE_MAX + (size_t)1), NIGH_EVALUE);
    CHECK_EQ(nigh_fill_value(fill, row, SIZE_MAX), NIGH_EVALUE);
    CHECK_EQ(nigh_fill_not_modified(fill), NIGH_EINVAL); /* there is nothing before it */
    CHECK_EQ(nigh_fill_value(fill, NULL, 0), 0);
    CHECK_EQ(nigh_fill_value(fill, row, 1), NIGH_EINVAL);
    CHECK_EQ(nigh_fill_set_ttl(fill, 1, 1), NIGH_EINVAL);
    CHECK_EQ(nigh_fill_set_version(fill, 1), NIGH_EINVAL);
    CHECK_EQ(nigh_fill_error(fill, 1), NIGH_EINVAL);
    CHECK_EQ(nigh_fill_absent(fill), NIGH_EINVAL);
    return 0;
}

TEST(what_a_loader_says_wrongly_leaves_the_fill_open)
{
    struct world w;
    struct nigh_value v = NIGH_VALUE_INIT;
    world_open(&w, NULL, NULL);
    w.origin.script = wrong_words;
    CHECK_EQ(nigh_fetch(w.space, "k", 1, NULL, &v), NIGH_FRESH);
    CHECK(v.data && v.len == 0);
    CHECK_EQ(nigh_value_version(&v), UINT64_MAX);
    nigh_release(&v);
    world_close(&w);
}

TEST(a_fetch_of_l1_only_loaded)
{
    struct world w;
    struct nigh_options o = world_options(&w);
    struct nigh_call call = with_flags(NIGH_L1_ONLY);
    world_open(&w, &o, NULL);
    CHECK_EQ(ask_fetch(w.space, "k", &call).outcome, NIGH_MISS);
    world_settle(&w);
    CHECK_EQ(w.origin.loads, 0);
    CHECK_ANSWER(ask_fetch(w.space, "k", NULL), NIGH_FRESH, "k=1");
    CHECK_ANSWER(ask_fetch(w.space, "k", &call), NIGH_FRESH, "k=1");
    call.flags |= NIGH_REFRESH;
    CHECK_EQ(ask_fetch(w.space, "k", &call).outcome, NIGH_MISS);
    CHECK_EQ(w.origin.loads, 1);
    world_close(&w);
}

TEST(a_fetch_of_l1_only_refreshed_behind_its_caller)
{
    struct world w;
    struct nigh_space_options so = NIGH_SPACE_OPTIONS_INIT;
    struct nigh_options o = world_options(&w);
    struct nigh_call call = with_flags(NIGH_L1_ONLY);
    so.soft_ttl_ms = 1000;
    so.stale_ms = 600000;
    world_open(&w, &o, &so);
    CHECK_ANSWER(ask_fetch(w.space, "k", NULL), NIGH_FRESH, "k=1");
    world_advance(&w, 2000);
    CHECK_ANSWER(ask_fetch(w.space, "k", &call), NIGH_STALE, "k=1");
    world_settle(&w);
    CHECK_EQ(w.origin.loads, 1);
    world_close(&w);
}
