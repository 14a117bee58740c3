// SPDX-License-Identifier: MIT
/*
 * Fitting the mini caches of the curve to what the cache holds.
 *
 * How many entries a cap has room for is not known before there are some, so the mini caches are
 * made when the first few have come, and made anew, each for itself, when the sample does not suit
 * any more.
 */
#include <string.h>

#include "l1/core.h"
#include "l1/curve_figures.h"
#include "l1/curve_told.h"
#include "l1/gauges.h"
#include "l1/marks.h"
#include "l1/policy.h"

#define ENTRIES_LEAST 64u       /* before that nothing is known of their size */
#define SAMPLE_MOST (1u << WINDOW_SAMPLE_BITS)
/* Of a mini cache's nodes, so many hundredths are taken by the entries of mean size that it is made
 * for: the rest is for times when they are smaller. */
#define NODES_USED 60u
#define ENTRIES_FEW 32u
/* While L1 holds less than such a part of what a cap has room for, tables may take a larger part
 * than they will: two fifths, where there are 100 values of 100 bytes, and then a fifth. */
#define GUESSED_PART 0.25
/* Reads of a point after which all counts are halved: first, and at most. */
#define FADE_FIRST 4096u
#define FADE_MOST (1u << 17)
#define RATE_NS (NS_PER_S / 2) /* over less time a rate says little */
#define RATE_TURNS 8           /* ... or so many of these */

#define NOW CURVE_NOW

/* ---- fitting ---- */

/* Entries of mean size that there are, or would be, under the cap. */
struct fit {
    double capacity; /* weight of the entries that the cap has room for */
    double fixed;    /* bytes of the cap that no entry causes */
    double share;    /* of the rest, what is weight of entries */
    double mean;     /* weight of an entry */
    double most;     /* weight of the entries for which l1.memory has room, however large the cap */
    double held;     /* weight of the entries that it is all known from; a count needs none */
};

/* Returns for how many entries l1.memory has room, beside a cap by count. Until L1 is half full in
 * one way or the other tables take a larger part than they will, and so count nothing: too much
 * room is better than a mini cache that is full too soon. */
static double room_of_memory(const struct fit *f, double entries, double cap)
{
    double room = curve_above_0(f->capacity - f->fixed) / f->mean;
    return 2 * entries < (room < cap ? room : cap) ? room : room * f->share;
}

static bool measure(struct l1 *l1, struct fit *ret)
{
    struct l1_gauges g;
    gauges_read_own(l1, L1_GAUGE_USED | L1_GAUGE_TABLES | L1_GAUGE_LIMBO | L1_GAUGE_ENTRIES |
                            L1_GAUGE_UNSTORED, &g);
    if (g.entries < ENTRIES_LEAST)
        return false;
    double live = (double)g.used_bytes - (double)g.limbo_bytes - (double)g.unstored_bytes;
    double charges = live - (double)g.tables_bytes;
    ret->fixed = (double)l1->fixed_bytes;
    if (charges <= 0 || live <= ret->fixed)
        return false;
    ret->mean = charges / (double)g.entries;
    ret->share = charges / (live - ret->fixed);
    ret->capacity = (double)l1_limit(&l1->target_bytes);
    ret->most = 8 * ret->capacity;
    ret->held = charges;
    if (l1->shard_entries_max) {
        ret->most = room_of_memory(ret, (double)g.entries, curve_cap(l1));
        ret->fixed = 0;
        ret->mean = ret->share = 1;
        ret->capacity = ret->held = curve_cap(l1);
    }
    return true;
}

/* Returns the weight of entries for which a cap of `size` times the present one has room. */
static double capacity_at(const struct fit *f, double size)
{
    double weight = curve_above_0(f->capacity * size - f->fixed) * f->share;
    return weight < f->most ? weight : f->most;
}

/* Bytes of a mini cache with stamps. */
static size_t stamped_bytes(uint32_t nodes)
{
    return mini_bytes(nodes) + (nodes + 1) / 2 * 2 * sizeof(uint32_t);
}

static bool make(struct l1 *l1, struct curve *c)
{
    c->ways = l1->policy->model == L1_MODEL_LRU ? 1 : CURVE_WAYS;
    uint64_t bytes = u64_max(l1_limit(&l1->cap_bytes) / 1000, c->ways * CURVE_BYTES_LEAST);
    bytes = u64_min(bytes, c->ways * CURVE_BYTES_MOST);
    uint32_t nodes = 64;
    while (nodes < 32768 && L1_CURVE_POINTS * c->ways * stamped_bytes(nodes + nodes / 8) <= bytes)
        nodes += nodes / 8;
    size_t size = L1_CURVE_POINTS * c->ways * stamped_bytes(nodes);
    c->block = mem_alloc(l1->env->mem, NULL, size);
    c->made = c->block;
    c->block_bytes = c->made ? size : 0;
    c->nodes = nodes;
    return c->made;
}

static void begin_point(const struct l1 *l1, struct curve *c, uint32_t i, uint32_t sample)
    REQUIRES(c->lock)
{
    curve_hold_locked(c);
    char *block = (char *)c->block + i * c->ways * stamped_bytes(c->nodes);
    struct curve_point *p = &c->points[i];
    *p = (struct curve_point){.sample = sample};
    c->finer &= ~(UINT32_C(1) << i);
    for (uint32_t space = 0; space < c->space_count; space++)
        c->spaces[space].parts[i] = (struct curve_part){0};
    for (enum curve_way way = CURVE_AS_NOW; way < c->ways; way++) {
        char *at = block + way * stamped_bytes(c->nodes);
        mini_init(&p->mini[way], &at, c->nodes, l1->shard_entries_max != 0);
        p->mini[way].stamps = (uint32_t *)(void *)at;
        p->mini[way].lru = l1->policy->model == L1_MODEL_LRU;
    }
}

/* Returns whether nodes were short for one of a point's mini caches since the last call. */
static bool note_starved(const struct curve *c, struct curve_point *p)
{
    bool any = false;
    for (enum curve_way way = CURVE_AS_NOW; way < c->ways; way++) {
        any |= p->mini[way].starved > p->reads / 16 + 64;
        p->mini[way].starved = 0;
    }
    return any && p->sample;
}

/* Whether a point's sample is to be so much finer: that is far from what it has, or the marks have
 * changed since. */
static bool wants_finer(struct curve *c, uint32_t i, uint32_t sample)
{
    const struct curve_point *p = &c->points[i];
    if (sample >= p->sample)
        c->finer &= ~(UINT32_C(1) << i);
    return 4 * sample < p->sample || c->finer >> i & 1;
}

/* Fit a mini cache to what the cache holds: its capacity; and its sample, if that is far off. A
 * finer one can wait until the point is told. */
static void fit_point(const struct l1 *l1, struct curve *c, uint32_t i, const struct fit *f)
    REQUIRES(c->lock)
{
    struct curve_point *p = &c->points[i];
    double capacity = capacity_at(f, curve_sizes[i]);
    double entries = capacity / f->mean;
    double most = c->nodes * (NODES_USED / 100.0);
    uint32_t least = l1_mark_mask(l1) + 1, sample = least;
    while (sample < SAMPLE_MOST && entries / sample > most)
        sample *= 2;
    bool starves = note_starved(c, p) && p->sample < SAMPLE_MOST;
    if (starves)
        sample = p->sample * 2 > sample ? p->sample * 2 : sample;
    bool must = p->sample < least || starves || sample > 2 * p->sample;
    if (must || (wants_finer(c, i, sample) && curve_may_begin(c, i, sample)))
        begin_point(l1, c, i, sample);
    for (enum curve_way way = CURVE_AS_NOW; way < c->ways; way++)
        p->mini[way].lfu.capacity = (uint64_t)(capacity / p->sample);
    p->guessed = f->held < GUESSED_PART * capacity && f->held < GUESSED_PART * capacity_at(f, 1);
    p->entries = entries / p->sample;
    p->few = p->entries < ENTRIES_FEW;
    p->limited = l1->shard_entries_max && capacity >= f->most;
}

static void halve(struct curve_point *p)
{
    p->reads /= 2;
    p->fills /= 2;
    p->all /= 2;
    for (uint32_t g = 0; g < CURVE_GROUPS; g++)
        p->gained[g] /= 2;
}

static void halve_space(struct curve_space *s)
{
    s->hits /= 2;
    s->reads /= 2;
    for (uint32_t i = 0; i < L1_CURVE_POINTS; i++) {
        s->parts[i].fills /= 2;
        for (uint32_t g = 0; g < CURVE_SPACE_GROUPS; g++)
            s->parts[i].gained[g] /= 2;
    }
}

/* Let what was counted fade: all of it at once, or the parts would not suit one another. */
static void fade(struct curve *c)
{
    bool many = false;
    for (uint32_t i = 0; i < L1_CURVE_POINTS; i++)
        many |= c->points[i].reads >= c->fade_at;
    if (!many)
        return;
    c->fade_at = c->fade_at < FADE_MOST / 2 ? 2 * c->fade_at : FADE_MOST;
    for (uint32_t i = 0; i < L1_CURVE_POINTS; i++)
        halve(&c->points[i]);
    for (uint32_t i = 0; i < c->space_count; i++)
        halve_space(&c->spaces[i]);
    c->hits /= 2;
    c->reads /= 2;
    c->seconds /= 2;
    c->since = L1_CURVE_SINCE_LONG;
    c->seen /= 2;
    c->lost /= 2;
}

static void forget_point(struct curve *c, uint32_t i)
{
    struct curve_point *p = &c->points[i];
    p->enough = false;
    p->seen = p->reads = p->fills = 0;
    p->all = 0;
    memset(p->gained, 0, sizeof(p->gained));
    for (uint32_t space = 0; space < c->space_count; space++)
        c->spaces[space].parts[i] = (struct curve_part){0};
}

/* Forget what all points have counted, and when to halve it; mini caches stay. */
static void forget_points(struct curve *c)
{
    for (uint32_t i = 0; i < L1_CURVE_POINTS; i++)
        forget_point(c, i);
    c->seen = 0;
    c->lost = 0;
    c->fade_at = FADE_FIRST;
}

/* Forget what was measured of all keys, for a reason. */
static void forget_measured(struct curve *c, enum l1_curve_since since)
{
    c->since = since;
    for (uint32_t space = 0; space < c->space_count; space++)
        c->spaces[space].hits = c->spaces[space].reads = 0;
    c->hits = c->reads = c->seconds = 0;
}

/* Forget what a mini cache counted while it filled: so many misses it will not have again. */
static void settle_locked(struct curve *c) REQUIRES(c->lock)
{
    for (uint32_t i = 0; i < L1_CURVE_POINTS; i++) {
        struct curve_point *p = &c->points[i];
        if (!p->warm || p->settled)
            continue;
        curve_hold_locked(c);
        p->settled = true;
        forget_point(c, i);
        if (i != NOW)
            continue;
        forget_points(c);
        forget_measured(c, L1_CURVE_SINCE_FILLED);
    }
}

/* Note whether something was evicted or refused under this cap, of which a larger one would hold
 * more. That larger ones bring nothing is not so any more then. */
static void note_short_locked(const struct l1 *l1, struct curve *c) REQUIRES(c->lock)
{
    if (c->short_of_room || !atomic_load_explicit(&l1->short_of_room, memory_order_relaxed))
        return;
    c->short_of_room = true;
    curve_forget_room(c);
}

/* Begin with a cap that has room, as far as is known. An eviction of this moment may still be of
 * the cap before, and count. */
static void forget_short_locked(struct l1 *l1, struct curve *c) REQUIRES(c->lock)
{
    c->short_of_room = false;
    atomic_store_explicit(&l1->short_of_room, false, memory_order_relaxed);
}

/* Whether l1.memory is the cap, or limits one of those by count. */
static bool memory_limits(const struct l1 *l1, const struct curve *c, const struct fit *f)
{
    uint32_t largest = L1_CURVE_POINTS - 1;
    return !l1->shard_entries_max || c->points[largest].limited ||
           f->capacity * curve_sizes[largest] > f->most;
}

/* Begin to tell of other caps than so far, if the cap has changed, or l1.memory that limits it:
 * nothing that was counted is of these. What mini caches hold is as good as what the cache holds. A
 * cap takes its time to come down, and what is counted until then is of none of them. */
static void follow_cap_locked(struct l1 *l1, struct curve *c, const struct fit *f)
    REQUIRES(c->lock)
{
    double before = c->cap, cap = curve_cap(l1), memory = (double)cap_goal(l1);
    bool changed = !curve_is_about(cap, before);
    bool limits = memory_limits(l1, c, f);
    bool moved = limits && !curve_is_about(memory, c->memory);
    bool sinks = limits && (double)l1_limit(&l1->cap_bytes) > memory * (1 + CURVE_CAP_SLACK);
    if (changed || moved || !limits)
        c->memory = memory;
    if (changed) {
        curve_hold_locked(c);
        c->cap = cap;
        curve_move_told(c, before);
    } else if (moved) { /* as many values are another cache */
        curve_forget_told(c);
    } else if (!sinks) {
        return;
    }
    forget_short_locked(l1, c);
    for (uint32_t i = 0; i < L1_CURVE_POINTS; i++) {
        c->points[i].warm = c->points[i].settled = c->points[i].swept = false;
        c->points[i].turns = c->points[i].looked = 0;
        c->points[i].way = CURVE_AS_NOW;
        memset(c->points[i].lead, 0, sizeof(c->points[i].lead));
    }
    forget_points(c);
    forget_measured(c, before > 0 ? L1_CURVE_SINCE_CAP : c->since);
}

static void note_time(struct curve *c, uint64_t now_ns)
{
    if (c->last_ns)
        c->seconds += (double)(now_ns - c->last_ns) / 1e9;
    else
        c->rate_ns = now_ns;
    c->last_ns = now_ns;
    if (now_ns - c->rate_ns < RATE_NS)
        return;
    c->rate = c->rate_reads / ((double)(now_ns - c->rate_ns) / 1e9);
    c->rate_lately += (c->rate - c->rate_lately) / (c->rate_lately > 0 ? RATE_TURNS : 1);
    c->rate_ns = now_ns;
    c->rate_reads = 0;
}

/* Let the marks suit what the cap has room for. Returns whether entries are to be walked along. */
static bool suit_marks_locked(struct l1 *l1, struct curve *c, const struct fit *f)
    REQUIRES(c->lock)
{
    if (marks_suit(l1, capacity_at(f, 1) / f->mean, c->rate)) {
        c->finer = (1u << L1_CURVE_POINTS) - 1;
        c->lost_before = window_close(&c->window); /* until the next drain */
        c->walks = 2; /* marks.h says why */
    }
    if (!c->walks)
        return false;
    c->walks--;
    return true;
}

uint64_t l1_curve_keep(struct l1 *l1)
{
    struct curve *c = &l1->curve;
    struct fit fit = {.share = 0}; /* read only where it fits, which gcc does not see under TSan */
    uint64_t pause_ns = WINDOW_MOST_NS;
    bool walks = false;
    if (!curve_is_on(l1))
        return pause_ns;
    bool fits = measure(l1, &fit);
    pthread_mutex_lock(&c->lock);
    if (curve_is_on(l1)) { /* else it was turned off meanwhile, and the marks are to stay few */
        note_time(c, clock_now_ns(l1->env->clock));
        pause_ns = curve_drain_locked(l1, c);
        follow_cap_locked(l1, c, &fit);
        note_short_locked(l1, c);
        settle_locked(c);
        curve_note_enough_locked(c);
        curve_sweep_locked(l1, c);
        fade(c);
        walks = fits && suit_marks_locked(l1, c, &fit);
    }
    pthread_mutex_unlock(&c->lock);
    if (walks)
        marks_walk(l1);
    pthread_mutex_lock(&c->lock);
    fits = fits && curve_is_on(l1);
    for (uint32_t i = 0; fits && (c->made || make(l1, c)) && i < L1_CURVE_POINTS; i++)
        fit_point(l1, c, i, &fit);
    pthread_mutex_unlock(&c->lock);
    return pause_ns;
}

/* ---- on and off ---- */

static void forget_all_locked(struct l1 *l1, struct curve *c) REQUIRES(c->lock)
{
    memset(c->points, 0, sizeof(c->points));
    forget_short_locked(l1, c);
    for (uint32_t space = 0; space < c->space_count; space++)
        c->spaces[space] = (struct curve_space){0};
    c->last_ns = c->rate_ns = 0;
    c->rate = c->rate_lately = c->rate_reads = c->cap = c->memory = 0;
    c->walks = 0;
    forget_points(c);
    forget_measured(c, L1_CURVE_SINCE_BEGUN);
    curve_forget_told(c);
    c->lost_before = window_close(&c->window);
}

bool l1_curve_set(struct l1 *l1, bool on)
{
    struct curve *c = &l1->curve;
    bool was = curve_is_on(l1);
    if (on == was || l1->policy->model == L1_MODEL_NONE)
        return was;
    pthread_mutex_lock(&c->lock);
    on = on && window_make(&c->window, l1->env->mem);
    if (on) { /* what happened meanwhile is not known */
        forget_all_locked(l1, c);
        (void)window_open(&c->window);
    }
    bool fewer = marks_fewest(l1);
    atomic_store_explicit(&c->on, on, memory_order_release); /* pair(curve.on) */
    pthread_mutex_unlock(&c->lock);
    if (fewer)
        marks_walk(l1);
    return on;
}

/* ---- reads of any keys ---- */

/* Returns the place of a space, which may be new. NULL: no memory. */
static struct curve_space *space_of(struct l1 *l1, struct curve *c, uint32_t space)
{
    if (space < c->space_count)
        return &c->spaces[space];
    uint32_t count = 2 * space < 8 ? 8 : 2 * space;
    size_t had = c->space_count * sizeof(*c->spaces);
    struct curve_space *spaces = mem_alloc_zero(l1->env->mem, count * sizeof(*spaces));
    if (!spaces)
        return NULL;
    if (had)
        memcpy(spaces, c->spaces, had);
    mem_free(l1->env->mem, NULL, c->spaces, had);
    c->spaces = spaces;
    c->space_count = count;
    return &c->spaces[space];
}

/* Count what was read since. Sums that are less than before, for who took them was overtaken, say
 * nothing; nor does what was read before the curve began. */
static void count_reads(struct curve *c, struct curve_space *s, uint64_t hits, uint64_t misses)
{
    if (hits < s->last_hits || misses < s->last_misses)
        return;
    if (s->counted || c->last_ns) {
        double more_hits = (double)(hits - s->last_hits);
        double more = more_hits + (double)(misses - s->last_misses);
        s->hits += more_hits;
        s->reads += more;
        c->hits += more_hits;
        c->reads += more;
        c->rate_reads += more;
        for (uint32_t i = 0; i < L1_CURVE_POINTS; i++)
            c->points[i].all += c->points[i].sample ? more : 0;
    }
    s->counted = true;
    s->last_hits = hits;
    s->last_misses = misses;
}

void l1_curve_count(struct l1 *l1, uint32_t space, uint64_t hits, uint64_t misses)
{
    struct curve *c = &l1->curve;
    if (!curve_is_on(l1))
        return;
    pthread_mutex_lock(&c->lock);
    struct curve_space *s = space_of(l1, c, space);
    if (s)
        count_reads(c, s, hits, misses);
    pthread_mutex_unlock(&c->lock);
}
