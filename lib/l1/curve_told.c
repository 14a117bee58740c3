// SPDX-License-Identifier: MIT
/*
 * What was told, for as long as nothing better is known.
 *
 * What a point has told stays told, until it has seen enough anew: when its mini cache is begun
 * anew, for the marks have changed, or its sample, or forgets what it counted while it filled. What
 * the present cap hits more since, or less, is added, and "+-" is wider by that. That a larger cap
 * brings nothing, for this one has room, is told as soon as the present cap is, and forgotten when
 * something is evicted, or refused for want of room.
 *
 * What was told, or measured, of a cap is told by another point when that is about it, for
 * l1.memory has become twice as large, or half. But "+-" is about the difference to the present
 * cap:
 *
 *     a figure was told       the present cap         then
 *     ------------------      --------------------    -------------------------------------
 *     beside the present      is the same again       it is as good as it was
 *     beside another cap      was told beside that    both are compared, by the "+-" of both
 *     beside another cap      was not                 it may be anything: so wide is "+-"
 *
 * So a figure keeps beside which cap it was told; and what was told of a cap before it was set is
 * kept apart from what is measured of it since (`foretold`). When that cap is left its figure is
 * what was measured, if that was for long enough and the next one was told beside it. Else it stays
 * as it was: what a cache hits that has just been made larger is not what it will hit.
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

/* Returns a figure, where what it was told beside hits `now`: others are likely to hit as much more
 * or less, but nobody has seen it. */
static struct curve_figure moved_to(struct curve_figure f, double now)
{
    double moved = now - f.now;
    f.ratio = (float)curve_within_0_1(f.ratio + moved);
    f.error = (float)(f.error + (moved < 0 ? -moved : moved));
    f.now = (float)now;
    return f;
}

/* Returns a figure as if it had been told beside the present cap. `now` is CURVE_NOT_KNOWN where
 * that would be a guess. */
static struct curve_figure beside_present(const struct curve_told *t, struct curve_figure f)
{
    if (f.beside == NOW)
        return f;
    f.now = t->is_foretold && t->foretold.beside == f.beside ? f.now : CURVE_NOT_KNOWN;
    if (f.now < 0)
        return f;
    struct curve_figure present = moved_to(t->foretold, f.now);
    f.now = present.ratio;
    f.error += present.error;
    return f;
}

struct curve_figure curve_retell(const struct curve_told *t, uint32_t i, double now)
{
    struct curve_figure f = beside_present(t, t->figures[i]);
    if (f.now < 0)
        f.error = f.ratio > 0.5f ? f.ratio : 1 - f.ratio; /* from 0 to 1 */
    else if (now >= 0)
        f = moved_to(f, now);
    return f;
}

void curve_hold_locked(struct curve *c)
{
    for (uint32_t i = 0; i < L1_CURVE_POINTS; i++) {
        if (!curve_has_enough(c, i))
            continue;
        hold_lately(c, &c->told, i, curve_figure_of(c, i));
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

/* Returns what is told of the cap that was the present one, where `next` was told of the one that
 * is, or NULL. `seen`: of the former enough was. */
static const struct curve_figure *told_of_left(const struct curve_told *was, bool seen,
                                               const struct curve_figure *next)
{
    bool measured = seen && next && next->beside == NOW;
    return was->is_foretold && !measured ? &was->foretold : curve_told_at(was, NOW);
}

static struct curve_figure shifted(struct curve_figure f, int by)
{
    f.beside -= by;
    return f;
}

/* Move what was told. `seen`: as above. */
static void move(struct curve_told *t, int by, bool seen)
{
    struct curve_told was = *t;
    const struct curve_figure *next = curve_told_at(&was, (int)NOW + by);
    t->points = 0;
    t->is_foretold = next;
    if (next)
        t->foretold = shifted(*next, by);
    for (int i = 0; i < (int)L1_CURVE_POINTS; i++) {
        const struct curve_figure *then =
            i + by == NOW ? told_of_left(&was, seen, next) : curve_told_at(&was, i + by);
        if (!then || i == NOW)
            continue;
        hold(t, (uint32_t)i, shifted(*then, by));
        if (by > 0) /* what it was told of the present cap then was measured, and stays */
            t->roomy |= (was.roomy >> (i + by) & 1) << i;
    }
}

void curve_move_told(struct curve *c, double before)
{
    int by = shift_of(before, c->cap);
    bool seen = c->points[NOW].enough;
    for (uint32_t space = 0; space < c->space_count; space++)
        move(&c->spaces[space].told, by, seen);
    move(&c->told, by, seen);
}

static void forget(struct curve_told *t)
{
    t->points = 0;
    t->is_foretold = false;
}

void curve_forget_told(struct curve *c)
{
    forget(&c->told);
    for (uint32_t space = 0; space < c->space_count; space++)
        forget(&c->spaces[space].told);
}

void curve_forget_room(struct curve *c)
{
    c->told.points &= ~c->told.roomy;
    for (uint32_t space = 0; space < c->space_count; space++)
        c->spaces[space].told.points &= ~c->spaces[space].told.roomy;
}
