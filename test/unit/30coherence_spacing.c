// SPDX-License-Identifier: MIT
// How often Redis is asked: beats on demand and resyncs, the first at once, then less and less
// often while there is no end of them; and what follows from an answer that takes longer than
// trust.

#include "worlds/coherence.h"

/* Something is missed all the time, for so long: how many beats that takes. */
static uint64_t demand_for(world *w, uint64_t ms)
{
    uint64_t before = stats_read(&w->stats, STATS_BEAT);
    for (uint64_t i = 0; i < 10 * ms; i++) {
        w->channel->config.message(w->c, bytes_of_string("garbage"));
        fake_env_advance(&w->fake, NS_PER_MS / 10);
        world_settle(w);
    }
    return stats_read(&w->stats, STATS_BEAT) - before;
}

TEST(the_first_demands_are_answered_soon_and_many_seldom)
{
    world w;
    world_open(&w);
    world_pass(&w, 500);
    uint64_t before = stats_read(&w.stats, STATS_BEAT);
    w.channel->config.message(w.c, bytes_of_string("garbage"));
    world_settle(&w);
    CHECK_EQ(stats_read(&w.stats, STATS_BEAT), before + 1); /* at once */
    uint64_t soon = demand_for(&w, 50);
    CHECK_GE(soon, 3);
    demand_for(&w, 200);
    uint64_t later = demand_for(&w, 1000);
    CHECK_GE(later, 1000 / 100);
    CHECK_LE(later, 1000 / 50);
    world_pass(&w, 500);
    CHECK_GE(demand_for(&w, 50), 3); /* it was quiet: as before */
    world_close(&w);
}

/* ---- resyncs ---- */

/* No resync is any good: what it shows has been overtaken each time. */
static uint64_t resyncs_in_vain(world *w, uint64_t ms)
{
    uint64_t sent = 0;
    w->id = 0; /* the clock is lost */
    coherence_keeper_want_beat(w->c);
    for (uint64_t i = 0; i < ms; i++, fake_env_advance(&w->fake, NS_PER_MS)) {
        coherence_tick(w->c);
        while (world_serve_one(w, WORLD_BEAT))
            coherence_tick(w->c);
        struct world_request *r = w->requests;
        if (!r || r->kind != WORLD_RESYNC)
            continue;
        r = world_take(w, WORLD_RESYNC);
        world_execute(w, r);
        w->c->state->voids++;
        world_deliver(r, 0);
        sent++;
    }
    return sent;
}

TEST(resyncs_in_vain_become_seldom)
{
    world w;
    world_open(&w);
    world_pass(&w, 5000);
    uint64_t first = resyncs_in_vain(&w, 10);
    CHECK_GE(first, 3); /* one recovery may take three */
    CHECK_LE(first, 4);
    resyncs_in_vain(&w, 4000);
    uint64_t later = resyncs_in_vain(&w, 10000);
    CHECK_GE(later, 3);
    CHECK_LE(later, 12);
    world_close(&w);
}

TEST(a_new_connection_is_asked_at_once)
{
    world w;
    world_open(&w);
    demand_for(&w, 500);
    resyncs_in_vain(&w, 5000);
    while (w.requests)
        world_deliver(world_take(&w, w.requests->kind), NIGH_EOFFLINE);
    coherence_tick(w.c);
    w.up(w.up_arg);
    world_settle(&w);
    CHECK_NE(coherence_position(w.c).identity, 0);
    CHECK(world_trusts(&w));
    world_close(&w);
}

/* ---- longer than trust ---- */

TEST(a_resync_longer_than_trust_is_followed_by_a_beat)
{
    world w;
    world_init(&w, 64);
    world_connect(&w);
    coherence_tick(w.c);
    CHECK(world_serve_one(&w, WORLD_BEAT));
    coherence_tick(w.c);
    struct world_request *r = world_take(&w, WORLD_RESYNC);
    REQUIRE(r);
    CHECK(r->op.patient);
    world_execute(&w, r);
    world_other(&w, world_key("a")); /* while the answer is on its way */
    fake_env_advance(&w.fake, 3 * WORLD_TRUST_MS * NS_PER_MS);
    world_deliver(r, 0);
    coherence_tick(w.c);
    CHECK_NE(coherence_position(w.c).identity, 0);
    CHECK(!world_trusts(&w)); /* what it says is too long ago */
    CHECK_EQ(stats_read(&w.stats, STATS_TRUST_LOST), 0);
    coherence_tick(w.c);
    CHECK(world_serve_one(&w, WORLD_BEAT));
    coherence_tick(w.c);
    CHECK(world_trusts(&w));
    CHECK_EQ(world_applied(&w), 1);
    CHECK_EQ(stats_read(&w.stats, STATS_RESYNC), 0);
    world_close(&w);
}
