// SPDX-License-Identifier: MIT
/*
 * Telling what the curve has found: what it says now or said before, rising from cap to cap, and
 * when it will say what it cannot yet.
 */
#include "l1/core.h"
#include "l1/curve_figures.h"
#include "l1/curve_told.h"
#include "l1/policy.h"

#define MANY_READS 256u /* of a point: of all reads it sees about as large a share later on */
#define RATE_LEAST 1.0  /* reads a second, for a promise */

#define NOW CURVE_NOW

/* ---- promises ---- */

/* Returns how many reads of any keys it takes until a point sees one, where as many keys as may be
 * are missing in its sample: by what that should see, or has seen, when this is much. */
static double reads_for_one(const struct curve *c, const struct curve_point *p)
{
    bool many = p->reads >= MANY_READS;
    double each = many ? p->all / p->reads : p->sample / curve_share_seen(c);
    return (1 + curve_part_of_sample(p)) * each;
}

/* Returns how many reads a point still has to see, at most. When its mini cache gets full, or that
 * of the present size, it begins to count: at the last moment perhaps. */
static double lacks(const struct curve_point *p)
{
    double turns = curve_turns_wanted(p, p->entries) - p->turns;
    double reads = (double)CURVE_ENOUGH_READS - p->seen;
    double most = curve_above_0(turns > reads ? turns : reads);
    return p->settled ? most : most + CURVE_ENOUGH_READS;
}

/* ... in reads of any keys; and until the present point has seen enough, without which no other one
 * says anything. */
static double lacks_reads(const struct curve *c, uint32_t i)
{
    const struct curve_point *p = &c->points[i], *now = &c->points[NOW];
    double own = lacks(p) * reads_for_one(c, p), with_now = lacks(now) * reads_for_one(c, now);
    return own > with_now ? own : with_now;
}

/* Whether a point's promise allows that what it waits for takes so many reads from now on. */
static bool may_wait(const struct curve *c, uint32_t i, double reads)
{
    const struct curve_point *p = &c->points[i];
    return i == NOW || p->few || curve_told_at(&c->told, (int)i) || curve_has_enough(c, i) ||
           lacks_reads(c, i) >= reads;
}

/* What the present point waits for, all wait for. */
bool curve_may_begin(const struct curve *c, uint32_t i, uint32_t sample)
{
    const struct curve_point *p = &c->points[i];
    struct curve_point anew = {.sample = sample, .entries = p->entries * p->sample / sample};
    double reads = lacks(&anew) * reads_for_one(c, &anew);
    bool may = true;
    for (uint32_t at = 0; at < L1_CURVE_POINTS; at++)
        may &= (at != i && i != NOW) || may_wait(c, at, reads);
    return may;
}

/* ---- reading ---- */

/* Whether the cache may have such a cap. */
static bool is_possible(struct l1 *l1, double size)
{
    return l1->shard_entries_max ? l1->shard_entries_max * size >= 1
                                 : curve_cap(l1) * size >= L1_MEMORY_LEAST;
}

static const struct curve_figure nothing;

static double rate_of(const struct curve *c)
{
    return c->seconds > 0 ? c->reads / c->seconds : c->rate;
}

/* Returns at how many reads a second what a point lacks will come, at least: those that counts are
 * made of may be from busier hours. 0: next to none come, and nothing is promised. */
static double rate_promised(const struct curve *c)
{
    double mean = rate_of(c);
    double rate = c->rate_lately > 0 && c->rate_lately < mean ? c->rate_lately : mean;
    return rate < RATE_LEAST ? 0 : rate;
}

/* Whether a point says something: what it has seen enough for, or what was told before, unless the
 * mini cache that would tell is too small now. */
static bool says(const struct curve *c, uint32_t i, bool enough, const struct curve_figure *told)
{
    return enough || (told && !c->points[curve_same_as(c, i)].few);
}

static struct l1_curve_point tell_point(struct l1 *l1, const struct curve *c, uint32_t i)
{
    const struct curve_point *p = &c->points[curve_same_as(c, i)];
    bool enough = curve_has_enough(c, i);
    const struct curve_figure *told = curve_told_at(&c->told, (int)i);
    struct curve_figure figure = enough ? curve_figure_of(c, i)
                                 : told ? curve_retell(&c->told, i, curve_now_of(c)) : nothing;
    return (struct l1_curve_point){
        .size = curve_sizes[i],
        .cap = (uint64_t)(curve_cap(l1) * curve_sizes[i]),
        .ratio = figure.ratio,
        .error = figure.error,
        .reads = p->seen,
        .sample = p->sample,
        .enough = says(c, i, enough, told),
        .few = p->few,
        .possible = is_possible(l1, curve_sizes[i]),
        .lacks = p->sample ? lacks_reads(c, curve_same_as(c, i)) : 0,
        .age_ns = enough || !told ? 0 : c->last_ns - told->ns,
    };
}

/* What is said of all points, in the order of their caps. */
struct said {
    struct {
        double ratio, error;
        bool known;
    } of[L1_CURVE_POINTS];
};

/* Returns the point of the present cap, or else of the next smaller one that is known; or NOW. */
static uint32_t lowest_of(const struct said *s)
{
    for (uint32_t i = NOW + 1; i-- > 0;)
        if (s->of[i].known)
            return i;
    return NOW;
}

/* Let a point say what another one does, which is no surer then. */
static void say_as(struct said *s, uint32_t i, uint32_t other)
{
    s->of[i].ratio = s->of[other].ratio;
    if (s->of[i].error < s->of[other].error)
        s->of[i].error = s->of[other].error;
}

/* Where chance says that a larger cap brings less, it brings nothing. */
static void make_rising(struct said *s)
{
    uint32_t floor = lowest_of(s), ceiling = NOW;
    for (uint32_t i = NOW + 1; i < L1_CURVE_POINTS; i++) {
        if (!s->of[i].known)
            continue;
        if (s->of[floor].known && s->of[i].ratio < s->of[floor].ratio)
            say_as(s, i, floor);
        floor = i;
    }
    for (uint32_t i = NOW; i-- > 0;) {
        if (!s->of[i].known)
            continue;
        if (s->of[ceiling].known && s->of[i].ratio > s->of[ceiling].ratio)
            say_as(s, i, ceiling);
        ceiling = i;
    }
}

static void make_points_rising(struct l1_curve *curve)
{
    struct said said;
    for (uint32_t i = 0; i < L1_CURVE_POINTS; i++) {
        const struct l1_curve_point *p = &curve->points[i];
        said.of[i].ratio = p->ratio;
        said.of[i].error = p->error;
        said.of[i].known = p->enough;
    }
    make_rising(&said);
    for (uint32_t i = 0; i < L1_CURVE_POINTS; i++) {
        curve->points[i].ratio = said.of[i].ratio;
        curve->points[i].error = said.of[i].error;
    }
}

bool l1_curve_read(struct l1 *l1, struct l1_curve *ret)
{
    struct curve *c = &l1->curve;
    *ret = (struct l1_curve){.has_model = l1->policy->model != L1_MODEL_NONE,
                             .by_count = l1->shard_entries_max != 0};
    if (!curve_is_on(l1))
        return false;
    pthread_mutex_lock(&c->lock);
    ret->reads = c->reads;
    ret->reads_per_second = rate_of(c);
    ret->rate_promised = rate_promised(c);
    ret->since = c->since;
    ret->seen = curve_share_seen(c);
    ret->own_bytes =
        c->block_bytes + c->space_count * sizeof(*c->spaces) + window_bytes(&c->window);
    for (uint32_t i = 0; i < L1_CURVE_POINTS; i++)
        ret->points[i] = tell_point(l1, c, i);
    make_points_rising(ret);
    pthread_mutex_unlock(&c->lock);
    ret->ratio = ret->points[NOW].ratio;
    return true;
}

/* Tell what a space's reads would be at each cap. */
static void tell_space(const struct curve *c, const struct curve_space *s,
                       struct l1_curve_space *ret)
{
    struct said said;
    for (uint32_t i = 0; i < L1_CURVE_POINTS; i++) {
        bool enough = curve_has_part(c, s, i);
        const struct curve_figure *told = curve_told_at(&s->told, (int)i);
        struct curve_figure figure = enough ? curve_figure_of_space(c, s, i)
                                     : told ? curve_retell(&s->told, i, curve_now_of_space(s))
                                            : nothing;
        said.of[i].ratio = figure.ratio;
        said.of[i].error = figure.error;
        said.of[i].known = says(c, i, enough, told);
    }
    make_rising(&said);
    for (uint32_t i = 0; i < L1_CURVE_POINTS; i++) {
        ret->points[i].ratio = said.of[i].ratio;
        ret->points[i].error = said.of[i].error;
        ret->points[i].enough = said.of[i].known;
    }
    ret->ratio = said.of[NOW].ratio;
    ret->reads_per_second = s->reads > 0 ? rate_of(c) * s->reads / c->reads : 0;
}

bool l1_curve_read_space(struct l1 *l1, uint32_t space, struct l1_curve_space *ret)
{
    struct curve *c = &l1->curve;
    *ret = (struct l1_curve_space){0};
    if (!curve_is_on(l1))
        return false;
    pthread_mutex_lock(&c->lock);
    const struct curve_space *s = space < c->space_count ? &c->spaces[space] : NULL;
    bool known = s && (s->reads > 0 || s->told.points);
    if (known)
        tell_space(c, s, ret);
    pthread_mutex_unlock(&c->lock);
    return known;
}
