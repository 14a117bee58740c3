// SPDX-License-Identifier: MIT
/*
 * Whether L1 has room, as health says it: which cap is full and evicts at present, and what a
 * larger one would bring, by the curve.
 *
 * A full L1 is no fault, and evicting is its work: so nothing is said while nothing goes, and what
 * twice the cap would bring stands beside it. That gain has an error; one that chance may have made
 * is not told as one, unless it is small at most, which is an answer, too.
 */
#include "cache/commands/health.h"

#include <inttypes.h>

#include "cache/inspect/curve.h"
#include "cache/inspect/reasons.h"
#include "cache/inspect/room.h"
#include "cache/space_l1.h"

#define NEXT_TO_NOTHING 0.01 /* of all reads: where no more than that can be, nobody cares */

static void say_twice(struct text *w, const struct curve_twice *twice)
{
    if (twice->more + twice->error < NEXT_TO_NOTHING)
        text_add(w, "; twice as much would bring next to no more hits");
    else if (twice->more <= twice->error)
        text_add(w, "; what twice as much would bring is not sure yet (%.1f +- %.1f %% of all "
                    "reads)", 100 * twice->more, 100 * twice->error);
    else
        text_add(w, "; twice as much would bring %.0f more hits a second, %.1f +- %.1f %% of all "
                    "reads", twice->per_second, 100 * twice->more, 100 * twice->error);
}

/* Says what more memory would bring, if somebody is to know. */
static void say_more(struct text *w, struct nigh *cache)
{
    struct curve_twice twice;
    if (!curve_is_set(cache))
        return;
    if (curve_twice(cache, &twice))
        say_twice(w, &twice);
    else
        text_add(w, "; what more would bring is not known");
    text_add(w, ": see curve");
}

/* Says that the table of a space is full, if it is. `gone`: what it has not kept lately. */
static void say_full(struct command *c, const struct nigh_space *space, uint64_t gone)
{
    char text[4 * NIGH_NAME_MAX + 400] = "";
    struct text w = text_into(text, sizeof(text));
    bool apart = space_l1_apart(space);
    struct room room;
    room_look(space, &room);
    if (!room.is_full)
        return;
    text_add(&w, "room: L1 is full");
    if (apart)
        text_add(&w, " for space ");
    if (apart)
        text_add_name(&w, bytes_of(space->name, space->name_len));
    text_add(&w, " (");
    room_say(&w, &room);
    text_add(&w, "): %" PRIu64 " evicted or refused ", gone);
    say_minute(&w, &space->trend);
    if (!apart)
        say_more(&w, c->cache);
    control_print(c->reply, "%s\n", text);
}

/* Says where there is no room at present: in the table that spaces share, or in one's own. */
void health_say_room(struct command *c)
{
    const struct nigh_space *shared = NULL;
    uint64_t gone = 0;
    for (uint32_t i = 0; i < space_count(c->cache); i++) {
        const struct nigh_space *space = c->cache->spaces[i];
        uint64_t lately = trend_lately(&space->trend, TREND_EVICTED) +
                          trend_lately(&space->trend, TREND_REFUSED);
        if (!room_is_wanted(space))
            continue;
        if (space_l1_apart(space)) {
            say_full(c, space, lately);
            continue;
        }
        gone += lately;
        if (!shared || trend_is_longer(&space->trend, &shared->trend))
            shared = space;
    }
    if (shared)
        say_full(c, shared, gone);
}
