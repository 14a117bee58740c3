// SPDX-License-Identifier: MIT
// What a call's flags mean on every function that takes them.

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

/* A flag of a later version would otherwise be ignored, and its caller believe in it. */
TEST(unknown_flags_were_ignored)
{
    const uint32_t known =
        NIGH_L1_ONLY | NIGH_NO_STORE | NIGH_SOFT | NIGH_REFRESH | NIGH_QUIET;
    struct world w;
    world_open(&w, NULL, NULL);
    CHECK_ANSWER(ask_fetch(w.space, "k", NULL), NIGH_FRESH, "k=1");
    for (unsigned bit = 0; bit < 32; bit++) {
        struct nigh_call call = with_flags(1u << bit);
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
