// SPDX-License-Identifier: MIT
/*
 * Figures: from the gains of the mini caches to a ratio and its "+-".
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
 */
#include "l1/curve_figures.h"

#include "l1/core.h"

#define ENOUGH_TURNS 4u     /* reads for each entry, where a mini cache has never been full */
#define ENOUGH_MEASURED 128 /* reads of any keys: what they hit is told as measured */
#define ENOUGH_PART_READS 512u
#define ENOUGH_PART_GROUPS (CURVE_GROUPS / 2)

#define LN_2 0.693
#define NOW CURVE_NOW

/* ---- caps ---- */

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

uint32_t curve_same_as(const struct curve *c, uint32_t i)
{
    if (c->points[i].limited && c->points[NOW].limited)
        return NOW;
    while (i > 0 && c->points[i].limited && c->points[i - 1].limited)
        i--;
    return i;
}

/* Whether a larger cap brings nothing, for the present one has room left: what a cache misses that
 * has evicted and refused nothing, no other hits. Its mini cache may be full all the same, of more
 * keys than it should have, or of what is too old; and that of the larger cap need not be asked. */
bool curve_has_room(const struct curve *c, uint32_t i)
{
    return i > NOW && !c->short_of_room;
}

/* ---- gains ---- */

/* Returns the share of the reads of marked keys that fell into windows. Where none has yet, that is
 * not known. */
double curve_share_seen(const struct curve *c)
{
    return c->seen > 0 ? (double)c->seen / ((double)c->seen + c->lost) : 1;
}

/* Returns how many of `reads` of any keys a sample of one key in so many should have seen. */
static double expected(const struct curve *c, double reads, uint32_t sample)
{
    double should = sample ? reads / sample * curve_share_seen(c) : 0;
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
    double fills[L1_CURVE_POINTS]; /* half of each mini cache's misses that may be for it fills */
    double gains[L1_CURVE_POINTS]; /* hit more than now by each, with these */
    uint32_t known;                /* a bit for each point whose gain says something */
};

static bool is_known(const struct findings *f, uint32_t i)
{
    return f->known >> i & 1;
}

/* Returns which part of the keys that should be in a sample it may have more or less: two
 * deviations, which of n keys are two roots of n. */
double curve_part_of_sample(const struct curve_point *p)
{
    return p->entries > 1 ? 2 / root_of(p->entries) : 2;
}

/* ... in the smaller one of the two that are compared. */
static double part_at(const struct curve *c, uint32_t i)
{
    double there = curve_part_of_sample(&c->points[i]), now = curve_part_of_sample(&c->points[NOW]);
    return there > now ? there : now;
}

/* Whether a mini cache is full, or would be with as many keys more. */
static bool may_be_full(const struct curve_point *p)
{
    const struct lfu *lfu = &p->mini[CURVE_AS_NOW].lfu;
    return (double)lfu_weight(lfu) * (1 + curve_part_of_sample(p)) >= (double)lfu->capacity;
}

/* Returns what the last doubling has brought to a point below which none is known: as if all that
 * it hits had come in equal steps, one for each doubling from one entry on. */
static double even_step(const struct curve *c, const struct findings *f, uint32_t i)
{
    const struct curve_point *p = &c->points[i];
    uint64_t entries = (uint64_t)(p->entries * p->sample);
    bool any = is_known(f, i) && entries > 1 && may_be_full(p);
    return any ? curve_above_0(f->real + f->gains[i]) / (63 - __builtin_clzll(entries)) : 0;
}

/* Returns what a doubling brings on the steeper side of a point, as far as that is known. */
static double slope_at(const struct curve *c, const struct findings *f, uint32_t i)
{
    bool below = i > 0 && is_known(f, i) && is_known(f, i - 1);
    bool above = i + 1 < L1_CURVE_POINTS && is_known(f, i) && is_known(f, i + 1);
    double down = below ? f->gains[i] - f->gains[i - 1] : even_step(c, f, i);
    double up = above ? f->gains[i + 1] - f->gains[i] : 0;
    return curve_above_0(up > down ? up : down);
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
    return curve_above_0(above ? f->gains[i + 1] - f->gains[i] : f->gains[i] - f->gains[i - 1]);
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

/* Returns what is told of a cap. */
static struct curve_figure figure(const struct curve *c, uint32_t i, const struct findings *f)
{
    if (curve_has_room(c, i))
        return (struct curve_figure){(float)f->real, 0, (float)f->real, NOW, c->last_ns};
    struct gain gain = sum_of(&f->more);
    double off = i == NOW ? 0 : f->gains[NOW] * (1 - part_off(c, f, i));
    double chance = chance_at(c, f, i, gain.deviation);
    return (struct curve_figure){
        .ratio = (float)curve_within_0_1(f->real + gain.share + off + f->fills[i]),
        .error = (float)(chance + learning_at(c, f, i) + f->fills[i]),
        .now = (float)f->real,
        .beside = NOW,
        .ns = c->last_ns,
    };
}

static double real_of(const struct curve *c)
{
    return c->reads > 0 ? c->hits / c->reads : 0;
}

/* Returns half of what a mini cache misses because it fills, while the cache itself is full: as a
 * share of so many reads. */
static double half_filling(const struct curve *c, uint32_t i, uint32_t fills, double reads)
{
    bool filling = i > NOW && !c->points[i].settled && c->short_of_room;
    return filling ? fills / expected(c, reads, c->points[i].sample) / 2 : 0;
}

/* Note what a mini cache hits beyond the real hits, were it too small to be told. */
static void find_gain(const struct curve *c, struct findings *f, uint32_t i)
{
    struct shares shares = {.groups = CURVE_GROUPS};
    const struct curve_point *same = &c->points[curve_same_as(c, i)];
    add_point(c, &shares, 1, curve_same_as(c, i));
    f->fills[i] = half_filling(c, curve_same_as(c, i), same->fills, same->all);
    f->gains[i] = sum_of(&shares).share + f->fills[i];
    bool known = same->seen >= CURVE_ENOUGH_READS && same->entries >= 1;
    f->known |= (uint32_t)known << i;
}

struct curve_figure curve_figure_of(const struct curve *c, uint32_t point)
{
    uint32_t i = curve_same_as(c, point);
    struct findings f = {.real = real_of(c), .more = {.groups = CURVE_GROUPS}};
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
    uint32_t same = curve_same_as(c, i);
    add_part(c, &shares, 1, s, same);
    f->fills[i] = half_filling(c, same, s->parts[same].fills, all_of_space(c, s, same));
    f->gains[i] = sum_of(&shares).share + f->fills[i];
    bool known = s->parts[same].seen >= ENOUGH_PART_READS && c->points[same].entries >= 1;
    f->known |= (uint32_t)known << i;
}

struct curve_figure curve_figure_of_space(const struct curve *c, const struct curve_space *s,
                                           uint32_t point)
{
    uint32_t i = curve_same_as(c, point);
    struct findings f = {.real = s->hits / s->reads, .more = {.groups = CURVE_SPACE_GROUPS}};
    add_part(c, &f.more, 1, s, i);
    add_part(c, &f.more, -1, s, NOW);
    for (uint32_t at = 0; at < L1_CURVE_POINTS; at++)
        find_part(c, &f, s, at);
    return figure(c, i, &f);
}

/* ---- enough ---- */

double curve_turns_wanted(const struct curve_point *p, double entries)
{
    return p->settled ? 0 : entries * ENOUGH_TURNS;
}

/* A mini cache that has never been full may have more entries than it has room for: it keeps those
 * that are too old. */
static bool has_seen(const struct curve_point *p)
{
    double entries = p->mini[CURVE_AS_NOW].lfu.count;
    return p->seen >= CURVE_ENOUGH_READS &&
           p->turns >= curve_turns_wanted(p, entries < p->entries ? entries : p->entries);
}

void curve_note_enough_locked(struct curve *c)
{
    for (uint32_t i = 0; i < L1_CURVE_POINTS; i++)
        c->points[i].enough |= has_seen(&c->points[i]);
}

/* Whether a point can be told from what has been counted: the present one, whose gain is
 * subtracted, is needed for that, too. */
bool curve_has_enough(const struct curve *c, uint32_t point)
{
    uint32_t i = curve_same_as(c, point);
    if (i == NOW)
        return c->reads >= ENOUGH_MEASURED;
    bool enough = curve_has_room(c, i) || c->points[i].enough;
    return !c->points[i].few && c->points[NOW].enough && enough;
}

/* ... of a space, too: reads, of several keys. */
bool curve_has_part(const struct curve *c, const struct curve_space *s, uint32_t point)
{
    uint32_t i = curve_same_as(c, point);
    const struct curve_part *part = &s->parts[i];
    if (s->reads <= 0 || i == NOW)
        return s->reads > 0;
    if (curve_has_room(c, i))
        return curve_has_enough(c, i);
    return curve_has_enough(c, i) && part->seen >= ENOUGH_PART_READS &&
           (uint32_t)__builtin_popcount(part->groups) >= ENOUGH_PART_GROUPS;
}

/* Returns what the present cap hits of all reads, or CURVE_NOT_KNOWN. */
double curve_now_of(const struct curve *c)
{
    return curve_has_enough(c, NOW) ? real_of(c) : (double)CURVE_NOT_KNOWN;
}

/* ... of those of a space. */
double curve_now_of_space(const struct curve_space *s)
{
    return s->reads > 0 ? s->hits / s->reads : (double)CURVE_NOT_KNOWN;
}
