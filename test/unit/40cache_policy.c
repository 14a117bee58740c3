// SPDX-License-Identifier: MIT
// What a caller notices of a policy: `none` says when it is full; the others make room.

#include <stdio.h>
#include <string.h>

#include "support/origin.h"

static int put(struct world *w, unsigned number, const struct nigh_call *call)
{
    char key[16];
    static char value[4000];
    int len = snprintf(key, sizeof(key), "k%u", number);
    return nigh_put(w->space, key, (size_t)len, value, sizeof(value), call);
}

static void open_with(struct world *w, enum nigh_policy policy)
{
    struct nigh_options o = world_options(w);
    o.l1_memory = 4u << 20;
    o.group_slots = 2048;
    o.l1_policy = policy;
    o.l1_shards = 1; /* full for one key is full for all */
    world_open(w, &o, NULL);
}

TEST(none_says_that_it_is_full)
{
    struct world w;
    open_with(&w, NIGH_POLICY_NONE);
    unsigned stored = 0;
    int rc = 0;
    while (stored < 2000 && (rc = put(&w, stored, NULL)) == 0)
        stored++;
    CHECK_EQ(rc, NIGH_EFULL);
    CHECK_GT(stored, 400);
    CHECK_EQ(ask_get(w.space, "k0", NULL).outcome, NIGH_FRESH);
    for (char key[] = "k0"; key[1] <= '9'; key[1]++)
        CHECK_EQ(nigh_invalidate(w.space, key, 2, NULL), 0);
    world_settle(&w);
    CHECK_EQ(put(&w, stored, NULL), 0); /* there is room again, also if a table has to grow */
    world_close(&w);
}

/* A fenced fill is told so, too: get, the caller's own read, put. */
TEST(none_says_so_of_a_fill)
{
    struct world w;
    open_with(&w, NIGH_POLICY_NONE);
    unsigned refused = 0;
    for (unsigned i = 0; i < 2000 && refused < 20; i++) /* a table may have grown and left room */
        refused = put(&w, i, NULL) == NIGH_EFULL ? refused + 1 : 0;
    struct nigh_miss miss = NIGH_MISS_INIT;
    struct nigh_call call = NIGH_CALL_INIT;
    call.miss = &miss;
    CHECK_EQ(ask_get(w.space, "k5000", &call).outcome, NIGH_MISS);
    CHECK_EQ(put(&w, 5000, &call), NIGH_EFULL);
    world_close(&w);
}

TEST(the_others_make_room)
{
    static const enum nigh_policy policies[] = {NIGH_POLICY_DEFAULT, NIGH_POLICY_LFU,
                                                NIGH_POLICY_LRU, NIGH_POLICY_TTL};
    for (size_t i = 0; i < sizeof(policies) / sizeof(policies[0]); i++) {
        struct world w;
        open_with(&w, policies[i]);
        for (unsigned n = 0; n < 3000; n++) {
            CHECK_EQ(put(&w, n, NULL), 0);
            if (n % 16 == 0)
                world_tick(&w);
        }
        /* lfu evicts few: it keeps who comes only if it is worth more than who is there. */
        CHECK_GT(world_count(&w, "l1_evict"), 20);
        CHECK_GT(world_count(&w, "entries"), 400);
        world_close(&w);
    }
}

/* Without Redis a value that L1 never takes is refused, and not said to be stored. */
TEST(what_is_too_large_for_l1_is_refused)
{
    static char value[800000]; /* more than 1/8 of 4 MiB, less than space.value_max */
    static const enum nigh_policy policies[] = {NIGH_POLICY_LFU, NIGH_POLICY_LRU, NIGH_POLICY_TTL,
                                                NIGH_POLICY_NONE};
    for (size_t i = 0; i < sizeof(policies) / sizeof(policies[0]); i++) {
        struct world w;
        open_with(&w, policies[i]);
        CHECK_EQ(put(&w, 1, NULL), 0);
        CHECK_EQ(nigh_put(w.space, "k1", 2, value, sizeof(value), NULL), NIGH_REFUSED);
        CHECK_EQ(world_count(&w, "l1_oversize"), 1);
        CHECK_EQ(ask_get(w.space, "k1", NULL).outcome, NIGH_MISS); /* the old one is gone */
        world_close(&w);
    }
}
