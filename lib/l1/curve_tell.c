// SPDX-License-Identifier: MIT
/*
 * Telling what the mini caches of the curve have found, and how sure that is.
 *
 * "+-" is two deviations by chance, and what is known of the ways in which mini caches are wrong:
 *
 *     chance    which keys are in the sample. Reads of one key are no tosses of a coin, for a key
 *               that one cache alone hits decides many; so the deviation is seen from how far
 *               groups of keys are apart in what is told: the gain at a cap less that at the
 *               present one
 *     crowding  how many keys are in it, for all groups alike: some more than should be, and the
 *               mini cache has a bit less room for them. It brings a part of what a doubling brings
 *               on the steeper side of the point, or of the present one: a sample may just fit
 *               where all keys do not, and then nothing is seen between the two. As such a sample
 *               also shows less of both than there is, they count for as much more as it may lack
 *     learning  lfu learns, and a mini cache that began a minute ago has learnt less than the real
 *               one, or more where it has been full for longer. Then that of the present size does
 *               not hit what the real one hits. What it is off is subtracted; others are off by
 *               about as much more for each doubling
 *     filling   one that has never been full misses what one that began earlier may have, of what
 *               it has not seen before and lives long enough: none of it, or all. Half of that is
 *               added to its ratio, and to "+-"
 *
 * What a point has told stays told, until it has seen enough anew: when its mini cache is begun
 * anew, for the marks have changed, or its sample, or forgets what it counted while it filled. What
 * was told, or measured, of a cap is told by another point when that is about it, for l1.memory has
 * become twice as large, or half. What the present cap hits more since, or less, is added, and "+-"
 * is wider by that. That a larger cap brings nothing, for this one has room, is told as soon as the
 * present cap is, and forgotten when something is evicted, or refused for want of room.
 */
#include <string.h>

#include "l1/core.h"
#include "l1/policy.h"

#define ENOUGH_READS 2048u
#define ENOUGH_TURNS 4u     /* reads for each entry, where a mini cache has never been full */
#define ENOUGH_MEASURED 128 /* reads of any keys: what they hit is told as measured */
#define ENOUGH_PART_READS 512u
#define ENOUGH_PART_GROUPS (CURVE_GROUPS / 2)
#define MANY_READS 256u /* of a point: of all reads it sees about as large a share later on */

#define RATE_LEAST 1.0 /* reads a second, for a promise */

#define LN_2 0.693
#define NOW CURVE_NOW

const double curve_sizes[L1_CURVE_POINTS] = {0.25, 0.5, 1, 2, 4, 8};

double curve_cap(struct l1 *l1)
{
    return l1->shard_entries_max ? l1->shard_entries_max * (l1->shard_mask + 1.0)
                                 : (double)cap_goal(l1);
}

bool curve_is_about(double cap, double other)
{
    return cap > other * (1 - CURVE_CAP_SLACK) && cap < other * (1 + CURVE_CAP_SLACK);
}

static double within_0_1(double x)
{
    return x < 0 ? 0 : x > 1 ? 1 : x;
}

static double above_0(double x)
{
    return x > 0 ? x : 0;
}

/* Whether a larger cap brings nothing, for the present one has room left: what a cache misses that
 * has evicted and refused nothing, no other hits. Its mini cache may be full all the same, of more
 * keys than it should have, or of what is too old; and that of the larger cap need not be asked. */
static bool has_room(const struct curve *c, uint32_t i)
{
    return i > NOW && !c->short_of_room;
}

/* ---- gains ---- */

/* Returns the share of the reads of marked keys that fell into windows. Where none has yet, that is
 * not known. */
static double share_seen(const struct curve *c)
{
    return c->seen > 0 ? (double)c->seen / ((double)c->seen + c->lost) : 1;
}

/* Returns how many of `reads` of any keys a sample of one key in so many should have seen. */
static double expected(const struct curve *c, double reads, uint32_t sample)
{
    double should = sample ? reads / sample * share_seen(c) : 0;
    return should > 1 ? should : 1;
}

/* Shares of all reads, by groups of keys. */
struct shares {
    uint32_t groups;
    double of[CURVE_GROUPS];
};

/* Add, so many times, a mini cache's hits beyond the real ones: by groups of keys; of `all` reads
 * of any keys, of which it saw those of one key in `sample`. */
static void add_shares(const struct curve *c, struct shares *s, double times,
                       const int32_t *gained, double all, uint32_t sample)
{
    for (uint32_t g = 0; g < s->groups && sample; g++)
        s->of[g] += times * gained[g] / expected(c, all, sample);
}

static void add_point(const struct curve *c, struct shares *s, double times, uint32_t i)
{
    const struct curve_point *p = &c->points[i];
    add_shares(c, s, times, p->gained, p->all, p->sample);
}

/* A share of all reads, and its deviation by chance. */
struct gain {
    double share, deviation;
};

static struct gain sum_of(const struct shares *s)
{
    double sum = 0, squares = 0;
    for (uint32_t g = 0; g < s->groups; g++)
        sum += s->of[g];
    for (uint32_t g = 0; g < s->groups; g++)
        squares += (s->of[g] - sum / s->groups) * (s->of[g] - sum / s->groups);
    return (struct gain){sum, root_of(squares * s->groups / (s->groups - 1))};
}

static double doublings_to(uint32_t i)
{
    return i > NOW ? i - NOW : NOW - i;
}

/* What was seen at a point, as shares of all reads, or of those of a space. */
struct findings {
    double real;        /* hit now */
    struct shares more; /* hit more */
    double fills;       /* missed by the mini cache, perhaps because it began late */
    double gains[L1_CURVE_POINTS]; /* hit more than now by each point's mini cache */
    uint32_t known;                /* a bit for each point whose gain says something */
};

static bool is_known(const struct findings *f, uint32_t i)
{
    return f->known >> i & 1;
}

/* Returns which part of the keys that should be in a sample it may have more or less: two
 * deviations, which of n keys are two roots of n. */
static double part_of_sample(const struct curve_point *p)
{
    return p->entries > 1 ? 2 / root_of(p->entries) : 2;
}

/* ... in the smaller one of the two that are compared. */
static double part_at(const struct curve *c, uint32_t i)
{
    double there = part_of_sample(&c->points[i]), now = part_of_sample(&c->points[NOW]);
    return there > now ? there : now;
}

/* Whether a mini cache is full, or would be with as many keys more. */
static bool may_be_full(const struct curve_point *p)
{
    const struct lfu *lfu = &p->mini[CURVE_AS_NOW].lfu;
    return (double)lfu_weight(lfu) * (1 + part_of_sample(p)) >= (double)lfu->capacity;
}

/* Returns what the last doubling has brought to a point below which none is known: as if all that
 * it hits had come in equal steps, one for each doubling from one entry on. */
static double even_step(const struct curve *c, const struct findings *f, uint32_t i)
{
    const struct curve_point *p = &c->points[i];
    uint64_t entries = (uint64_t)(p->entries * p->sample);
    bool any = is_known(f, i) && entries > 1 && may_be_full(p);
    return any ? above_0(f->real + f->gains[i]) / (63 - __builtin_clzll(entries)) : 0;
}

/* Returns what a doubling brings on the steeper side of a point, as far as that is known. */
static double slope_at(const struct curve *c, const struct findings *f, uint32_t i)
{
    bool below = i > 0 && is_known(f, i) && is_known(f, i - 1);
    bool above = i + 1 < L1_CURVE_POINTS && is_known(f, i) && is_known(f, i + 1);
    double down = below ? f->gains[i] - f->gains[i - 1] : even_step(c, f, i);
    double up = above ? f->gains[i + 1] - f->gains[i] : 0;
    return above_0(up > down ? up : down);
}

/* Returns what the chance of how many keys are in a sample is worth at a point. */
static double crowding_at(const struct curve *c, const struct findings *f, uint32_t i)
{
    double there = slope_at(c, f, i), now = slope_at(c, f, NOW);
    return part_at(c, i) * (there > now ? there : now) / LN_2;
}

/* Returns two deviations of what is told. What is measured has none. */
static double chance_at(const struct curve *c, const struct findings *f, uint32_t i,
                        double deviation)
{
    double groups = 2 * deviation, crowding = crowding_at(c, f, i);
    return i == NOW ? 0 : root_of(groups * groups + crowding * crowding) * (1 + part_at(c, i));
}

/* Returns what a doubling brings beyond a larger point; up to it, where no larger one is known. */
static double step_beyond(const struct findings *f, uint32_t i)
{
    bool above = i + 1 < L1_CURVE_POINTS && is_known(f, i + 1);
    return above_0(above ? f->gains[i + 1] - f->gains[i] : f->gains[i] - f->gains[i - 1]);
}

/* Returns how much of what the present point's mini cache is off a larger one is off, too: less,
 * where a doubling brings less beyond it. Where a loop just fits into the cap, a sample with a few
 * keys of it too many does not fit into the mini cache, which then hits next to nothing of what the
 * real cache hits; one of twice the size hits it all. */
static double part_off(const struct curve *c, const struct findings *f, uint32_t i)
{
    double now = slope_at(c, f, NOW), beyond = i > NOW && is_known(f, i) ? step_beyond(f, i) : now;
    return beyond < now ? beyond / now : 1;
}

/* Returns by how much learning makes a point wrong, where the present one's mini cache hits so much
 * more than the real cache. */
static double learning_at(const struct curve *c, const struct findings *f, uint32_t i)
{
    double off = f->gains[NOW];
    return c->ways < CURVE_WAYS ? 0 : doublings_to(i) * (off < 0 ? -off : off);
}

/* Whether a point's mini cache fills while the cache itself is full. */
static bool is_filling(const struct curve *c, uint32_t i)
{
    return i > NOW && !c->points[i].settled && c->short_of_room;
}

/* Returns what is told of a cap. */
static struct curve_figure figure(const struct curve *c, uint32_t i, const struct findings *f)
{
    if (has_room(c, i))
        return (struct curve_figure){(float)f->real, 0, (float)f->real};
    struct gain gain = sum_of(&f->more);
    double off = i == NOW ? 0 : f->gains[NOW] * (1 - part_off(c, f, i));
    double filling = is_filling(c, i) ? f->fills / 2 : 0;
    double chance = chance_at(c, f, i, gain.deviation);
    return (struct curve_figure){
        .ratio = (float)within_0_1(f->real + gain.share + off + filling),
        .error = (float)(chance + learning_at(c, f, i) + filling),
        .now = (float)f->real,
    };
}

static double real_of(const struct curve *c)
{
    return c->reads > 0 ? c->hits / c->reads : 0;
}

/* Note what a mini cache hits beyond the real hits, were it too small to be told. */
static void find_gain(const struct curve *c, struct findings *f, uint32_t i)
{
    struct shares shares = {.groups = CURVE_GROUPS};
    add_point(c, &shares, 1, i);
    f->gains[i] = sum_of(&shares).share;
    bool known = c->points[i].seen >= ENOUGH_READS && c->points[i].entries >= 1;
    f->known |= (uint32_t)known << i;
}

static struct curve_figure figure_of(const struct curve *c, uint32_t i)
{
    const struct curve_point *p = &c->points[i];
    struct findings f = {.real = real_of(c),
                         .more = {.groups = CURVE_GROUPS},
                         .fills = p->fills / expected(c, p->all, p->sample)};
    add_point(c, &f.more, 1, i);
    add_point(c, &f.more, -1, NOW);
    for (uint32_t at = 0; at < L1_CURVE_POINTS; at++)
        find_gain(c, &f, at);
    return figure(c, i, &f);
}

/* ---- of a space ---- */

/* Returns how many reads of any keys of a space there were while a point counted. */
static double all_of_space(const struct curve *c, const struct curve_space *s, uint32_t i)
{
    return c->points[i].all * s->reads / c->reads;
}

static void add_part(const struct curve *c, struct shares *shares, double times,
                     const struct curve_space *s, uint32_t i)
{
    add_shares(c, shares, times, s->parts[i].gained, all_of_space(c, s, i),
               c->points[i].sample);
}

static void find_part(const struct curve *c, struct findings *f, const struct curve_space *s,
                      uint32_t i)
{
    struct shares shares = {.groups = CURVE_SPACE_GROUPS};
    add_part(c, &shares, 1, s, i);
    f->gains[i] = sum_of(&shares).share;
    bool known = s->parts[i].seen >= ENOUGH_PART_READS && c->points[i].entries >= 1;
    f->known |= (uint32_t)known << i;
}

static struct curve_figure figure_of_space(const struct curve *c, const struct curve_space *s,
                                           uint32_t i)
{
    double reads = expected(c, all_of_space(c, s, i), c->points[i].sample);
    struct findings f = {.real = s->hits / s->reads,
                         .more = {.groups = CURVE_SPACE_GROUPS},
                         .fills = s->parts[i].fills / reads};
    add_part(c, &f.more, 1, s, i);
    add_part(c, &f.more, -1, s, NOW);
    for (uint32_t at = 0; at < L1_CURVE_POINTS; at++)
        find_part(c, &f, s, at);
    return figure(c, i, &f);
}

/* ---- enough ---- */

/* Returns how many reads a mini cache has to see, full or not, before it counts for something: one
 * that has never been full some for each of so many entries. */
static double turns_wanted(const struct curve_point *p, double entries)
{
    return p->settled ? 0 : entries * ENOUGH_TURNS;
}

/* A mini cache that has never been full may have more entries than it has room for: it keeps those
 * that are too old. */
static bool has_seen(const struct curve_point *p)
{
    double entries = p->mini[CURVE_AS_NOW].lfu.count;
    return p->seen >= ENOUGH_READS &&
           p->turns >= turns_wanted(p, entries < p->entries ? entries : p->entries);
}

void curve_note_enough_locked(struct curve *c)
{
    for (uint32_t i = 0; i < L1_CURVE_POINTS; i++)
        c->points[i].enough |= has_seen(&c->points[i]);
}

/* Whether a point can be told from what has been counted: the present one, whose gain is
 * subtracted, is needed for that, too. */
static bool has_enough(const struct curve *c, uint32_t i)
{
    if (i == NOW)
        return c->reads >= ENOUGH_MEASURED;
    return !c->points[i].few && c->points[NOW].enough && (has_room(c, i) || c->points[i].enough);
}

/* ... of a space, too: reads, of several keys. */
static bool has_part(const struct curve *c, const struct curve_space *s, uint32_t i)
{
    const struct curve_part *part = &s->parts[i];
    if (s->reads <= 0 || i == NOW)
        return s->reads > 0;
    if (has_room(c, i))
        return has_enough(c, i);
    return has_enough(c, i) && part->seen >= ENOUGH_PART_READS &&
           (uint32_t)__builtin_popcount(part->groups) >= ENOUGH_PART_GROUPS;
}

/* Returns what was told by a point, which may be out of range; NULL: nothing. */
static const struct curve_figure *told_at(const struct curve_told *t, int i)
{
    bool any = i >= 0 && i < (int)L1_CURVE_POINTS && t->points >> i & 1;
    return any ? &t->figures[i] : NULL;
}

/* ---- promises ---- */

/* Returns how many reads of any keys it takes until a point sees one, where as many keys as may be
 * are missing in its sample: by what that should see, or has seen, when this is much. */
static double reads_for_one(const struct curve *c, const struct curve_point *p)
{
    bool many = p->reads >= MANY_READS;
    return (1 + part_of_sample(p)) * (many ? p->all / p->reads : p->sample / share_seen(c));
}

/* Returns how many reads a point still has to see, at most. When its mini cache gets full, or that
 * of the present size, it begins to count: at the last moment perhaps. */
static double lacks(const struct curve_point *p)
{
    double turns = turns_wanted(p, p->entries) - p->turns, reads = (double)ENOUGH_READS - p->seen;
    double most = above_0(turns > reads ? turns : reads);
    return p->settled ? most : most + ENOUGH_READS;
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
    return i == NOW || p->few || told_at(&c->told, (int)i) || has_enough(c, i) ||
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

/* ---- what was told stays told ---- */

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
    t->roomy |= (uint32_t)has_room(c, i) << i;
}

/* Returns what was told then, in the traffic of now: where the present cap hits more or less than
 * it did, others are likely to, but nobody has seen it. */
static struct curve_figure retell(struct curve_figure then, double now)
{
    double moved = then.now < 0 || now < 0 ? 0 : now - then.now;
    return (struct curve_figure){
        .ratio = (float)within_0_1(then.ratio + moved),
        .error = (float)(then.error + (moved < 0 ? -moved : moved)),
        .now = (float)now,
    };
}

/* Returns what the present cap hits of all reads, or CURVE_NOT_KNOWN. */
static double now_of(const struct curve *c)
{
    return has_enough(c, NOW) ? real_of(c) : (double)CURVE_NOT_KNOWN;
}

/* ... of those of a space. */
static double now_of_space(const struct curve_space *s)
{
    return s->reads > 0 ? s->hits / s->reads : (double)CURVE_NOT_KNOWN;
}

void curve_hold_locked(struct curve *c)
{
    for (uint32_t i = 0; i < L1_CURVE_POINTS; i++) {
        if (!has_enough(c, i))
            continue;
        hold_lately(c, &c->told, i, figure_of(c, i));
        c->told_ns[i] = c->last_ns;
        for (uint32_t space = 0; space < c->space_count; space++)
            if (has_part(c, &c->spaces[space], i))
                hold_lately(c, &c->spaces[space].told, i,
                            figure_of_space(c, &c->spaces[space], i));
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
    const struct curve_figure *present = told_at(&was, (int)NOW + by);
    t->points = 0;
    for (uint32_t i = 0; i < L1_CURVE_POINTS; i++) {
        const struct curve_figure *then = told_at(&was, (int)i + by);
        if (!then || i == NOW)
            continue;
        hold(t, i, retell(*then, now));
        if (by > 0) /* what it was told of the present cap then was measured, and stays */
            t->roomy |= (was.roomy >> ((int)i + by) & 1) << i;
        t->figures[i].now = present ? retell(*present, now).ratio : CURVE_NOT_KNOWN;
        t->figures[i].error += present ? present->error : 0; /* of the two, that are compared now */
    }
}

void curve_move_told(struct curve *c, double before)
{
    int by = shift_of(before, c->cap);
    uint64_t was_ns[L1_CURVE_POINTS];
    memcpy(was_ns, c->told_ns, sizeof(was_ns));
    for (int i = 0; i < (int)L1_CURVE_POINTS; i++)
        c->told_ns[i] = told_at(&c->told, i + by) ? was_ns[i + by] : 0;
    for (uint32_t space = 0; space < c->space_count; space++)
        move(&c->spaces[space].told, by, now_of_space(&c->spaces[space]));
    move(&c->told, by, now_of(c));
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

static struct l1_curve_point tell_point(struct l1 *l1, const struct curve *c, uint32_t i)
{
    const struct curve_point *p = &c->points[i];
    bool enough = has_enough(c, i);
    const struct curve_figure *told = told_at(&c->told, (int)i);
    struct curve_figure figure = enough ? figure_of(c, i)
                                 : told ? retell(*told, now_of(c)) : nothing;
    return (struct l1_curve_point){
        .size = curve_sizes[i],
        .cap = (uint64_t)(curve_cap(l1) * curve_sizes[i]),
        .ratio = figure.ratio,
        .error = figure.error,
        .reads = p->seen,
        .sample = p->sample,
        .enough = enough || (told && !p->few),
        .few = p->few,
        .possible = is_possible(l1, curve_sizes[i]),
        .lacks = p->sample ? lacks_reads(c, i) : 0,
        .age_ns = enough || !told ? 0 : c->last_ns - c->told_ns[i],
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
    ret->seen = share_seen(c);
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
        bool enough = has_part(c, s, i);
        const struct curve_figure *told = told_at(&s->told, (int)i);
        struct curve_figure figure = enough ? figure_of_space(c, s, i)
                                     : told ? retell(*told, now_of_space(s)) : nothing;
        said.of[i].ratio = figure.ratio;
        said.of[i].error = figure.error;
        said.of[i].known = enough || (told && !c->points[i].few);
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
