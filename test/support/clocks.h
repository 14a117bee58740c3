/* SPDX-License-Identifier: MIT */
/*
 * clocks.h - a world of one node whose server's clock is another now and then: what tests of that
 * ask of it.
 */
#ifndef NIGH_TEST_CLOCKS_H
#define NIGH_TEST_CLOCKS_H

#include "coherence/change.h"
#include "worlds/coherence.h"

static inline uint64_t followed(world *w)
{
    return coherence_position(w->c).identity;
}

/* What Redis shows: so that it is followed, or not. */
static inline uint64_t shown(world *w)
{
    return world_clock(w->server).identity;
}

static inline void beat(world *w)
{
    world_pass(w, WORLD_BEAT_MS + WORLD_BEAT_MS / 5);
}

/* Our connection leads to the server of this letter now. */
static inline void lead_to(world *w, char server)
{
    memset(w->replid, server, sizeof(w->replid));
}

static inline uint32_t queued(world *w)
{
    struct coherence_gauges g;
    coherence_gauges_read(w->c, &g);
    return g.queued;
}

/* A value of no tag, stamped with this identity on the server that is followed. */
static inline enum coherence_verdict judge_stamp(world *w, uint64_t identity)
{
    uint64_t home = coherence_home(w->c);
    struct l2_envelope e = {.home = home, .identity = identity, .sequence = UINT64_MAX};
    return coherence_judge(w->c, &e, world_space_slot(), home);
}

static inline void lose_frames(world *w)
{
    world_line_clear(&w->said);
}

static inline int change_key(world *w, const char *key)
{
    struct coherence_item item = world_key(key);
    return world_change(w, &item, 1);
}

/* The case's node follows, trusts, and follows what Redis shows. */
static inline void check_well(world *w)
{
    CHECK_NE(followed(w), 0);
    CHECK_EQ(followed(w), shown(w));
    CHECK(world_trusts(w));
    CHECK_EQ(w->c->state->renew, 0);
}

#endif
