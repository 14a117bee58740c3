// SPDX-License-Identifier: MIT
/*
 * What was told, for as long as nothing better is known.
 *
 * What a point has told stays told, until it has seen enough anew: when its mini cache is begun
 * anew, for the marks have changed, or its sample, or forgets what it counted while it filled. What
 * was told, or measured, of a cap is told by another point when that is about it, for l1.memory has
 * become twice as large, or half. What the present cap hits more since, or less, is added, and "+-"
 * is wider by that. That a larger cap brings nothing, for this one has room, is told as soon as the
 * present cap is, and forgotten when something is evicted, or refused for want of room.
 */
#include "l1/curve_told.h"

#include <string.h>

#include "l1/core.h"
#include "l1/curve_figures.h"

#define NOW CURVE_NOW

/* Returns what was told by a point, which may be out of range; NULL: nothing. */
const struct curve_figure *curve_told_at(const struct curve_told *t, int i)
{
    bool any = i >= 0 && i < (int)L1_CURVE_POINTS && t->points >> i & 1;
    return any ? &t->figures[i] : NULL;
}

static void hold(struct curve_told *t, uint32_t i, struct curve_figure figure)
{
    t->figures[i] = figure;
    t->points |= UINT32_C(1) << i;
    t->roomy &= ~(UINT32_C(1) << i);
}

static void hold_lately(const struct curve *c, struct curve_told *t, uint32_t i,
                        struct curve_figure figure)
{
    hold(t, i, figure);
    t->roomy |= (uint32_t)curve_has_room(c, i) << i;
}

/* Returns what was told then, in the traffic of now: where the present cap hits more or less than
 * it did, others are likely to, but nobody has seen it. */
struct curve_figure curve_retell(struct curve_figure then, double now)
{
    double moved = then.now < 0 || now < 0 ? 0 : now - then.now;
    return (struct curve_figure){
        .ratio = (float)curve_within_0_1(then.ratio + moved),
        .error = (float)(then.error + (moved < 0 ? -moved : moved)),
        .now = (float)now,
    };
}

void curve_hold_locked(struct curve *c)
{
    for (uint32_t i = 0; i < L1_CURVE_POINTS; i++) {
        if (!curve_has_enough(c, i))
            continue;
        hold_lately(c, &c->told, i, curve_figure_of(c, i));
        c->told_ns[i] = c->last_ns;
        for (uint32_t space = 0; space < c->space_count; space++)
            if (curve_has_part(c, &c->spaces[space], i))
                hold_lately(c, &c->spaces[space].told, i,
                            curve_figure_of_space(c, &c->spaces[space], i));
    }
}

/* Returns by how many points a cap has moved: what is point i now was so many further on. Where no
 * point is about a cap that one was about, that is more than there are. */
static int shift_of(double before, double cap)
{
    for (int by = -(int)L1_CURVE_POINTS; by < (int)L1_CURVE_POINTS; by++) {
        double size = by < 0 ? 1.0 / (1 << -by) : 1 << by;
        if (curve_is_about(cap, before * size))
            return by;
    }
    return L1_CURVE_POINTS;
}

/* Move what was told when the present cap hit `now`. Of the one that is present now it is what will
 * be measured. */
static void move(struct curve_told *t, int by, double now)
{
    struct curve_told was = *t;
    const struct curve_figure *present = curve_told_at(&was, (int)NOW + by);
    t->points = 0;
    for (uint32_t i = 0; i < L1_CURVE_POINTS; i++) {
        const struct curve_figure *then = curve_told_at(&was, (int)i + by);
        if (!then || i == NOW)
            continue;
        hold(t, i, curve_retell(*then, now));
        if (by > 0) /* what it was told of the present cap then was measured, and stays */
            t->roomy |= (was.roomy >> ((int)i + by) & 1) << i;
        t->figures[i].now = present ? curve_retell(*present, now).ratio : CURVE_NOT_KNOWN;
        t->figures[i].error += present ? present->error : 0; /* of the two, that are compared now */
    }
}

void curve_move_told(struct curve *c, double before)
{
    int by = shift_of(before, c->cap);
    uint64_t was_ns[L1_CURVE_POINTS];
    memcpy(was_ns, c->told_ns, sizeof(was_ns));
    for (int i = 0; i < (int)L1_CURVE_POINTS; i++)
        c->told_ns[i] = curve_told_at(&c->told, i + by) ? was_ns[i + by] : 0;
    for (uint32_t space = 0; space < c->space_count; space++)
        move(&c->spaces[space].told, by, curve_now_of_space(&c->spaces[space]));
    move(&c->told, by, curve_now_of(c));
}

void curve_forget_told(struct curve *c)
{
    c->told.points = 0;
    for (uint32_t space = 0; space < c->space_count; space++)
        c->spaces[space].told.points = 0;
}

void curve_forget_room(struct curve *c)
{
    c->told.points &= ~c->told.roomy;
    for (uint32_t space = 0; space < c->space_count; space++)
        c->spaces[space].told.points &= ~c->spaces[space].told.roomy;
}
