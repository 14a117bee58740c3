// SPDX-License-Identifier: MIT
/*
 * Fitting the mini caches of the curve to what the cache holds, and telling what they found.
 *
 * How many entries a cap has room for is not known before there are some, so the mini caches are
 * made when the first few have come, and made anew, each for itself, when the sample does not suit
 * any more.
 */
#include <string.h>

#include "l1/core.h"
#include "l1/gauges.h"
#include "l1/marks.h"
#include "l1/policy.h"

#define ENTRIES_LEAST 64u       /* before that nothing is known of their size */
#define SAMPLE_MOST (1u << 20)
/* Of a mini cache's nodes, so many hundredths are taken by the entries of mean size that it is made
 * for: the rest is for times when they are smaller. */
#define NODES_USED 60u
#define ENTRIES_FEW 32u
#define ENOUGH_READS 2048u
/* Reads of a point after which all counts are halved: first, and at most. */
#define FADE_FIRST (2 * ENOUGH_READS)
#define FADE_MOST (1u << 17)
#define ENOUGH_TURNS 8u /* reads for each entry, where a mini cache has never been full */

#define ENOUGH_PART_READS 512u
#define ENOUGH_PART_GROUPS (CURVE_GROUPS / 2)
#define RATE_NS (NS_PER_S / 2) /* over less time a rate says little */

static const double sizes[L1_CURVE_POINTS] = {0.25, 0.5, 1, 2, 4, 8};
#define NOW CURVE_NOW

/* ---- fitting ---- */

/* Entries of mean size that there are, or would be, under the cap. */
struct fit {
    double capacity; /* weight of the entries that the cap has room for */
    double fixed;    /* bytes of the cap that no entry causes */
    double share;    /* of the rest, what is weight of entries */
    double mean;     /* weight of an entry */
};

static double cap_of(const struct l1 *l1)
{
    return l1->shard_entries_max ? l1->shard_entries_max * (l1->shard_mask + 1.0)
                                 : (double)l1_limit(&l1->cap_bytes);
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
    if (l1->shard_entries_max) {
        ret->fixed = 0;
        ret->mean = ret->share = 1;
        ret->capacity = cap_of(l1);
    }
    return true;
}

/* Returns the weight of entries for which a cap of `size` times the present one has room. */
static double capacity_at(const struct fit *f, double size)
{
    double room = f->capacity * size - f->fixed;
    return room > 0 ? room * f->share : 0;
}

static bool make(struct l1 *l1, struct curve *c)
{
    c->ways = l1->policy->model == L1_MODEL_LRU ? 1 : CURVE_WAYS;
    uint64_t bytes = u64_max(l1_limit(&l1->cap_bytes) / 1000, c->ways * CURVE_BYTES_LEAST);
    uint32_t nodes = 64;
    while (nodes < 32768 && L1_CURVE_POINTS * c->ways * mini_bytes(nodes + nodes / 8) <= bytes)
        nodes += nodes / 8;
    c->block_bytes = L1_CURVE_POINTS * c->ways * mini_bytes(nodes);
    c->block = mem_alloc(l1->env->mem, NULL, c->block_bytes);
    c->nodes = nodes;
    c->made = c->block;
    return c->made;
}

static void begin_point(const struct l1 *l1, struct curve *c, uint32_t i, uint32_t sample)
{
    char *at = (char *)c->block + i * c->ways * mini_bytes(c->nodes);
    struct curve_point *p = &c->points[i];
    *p = (struct curve_point){.sample = sample};
    for (uint32_t space = 0; space < c->space_count; space++)
        c->spaces[space].parts[i] = (struct curve_part){0};
    for (enum curve_way way = CURVE_AS_NOW; way < c->ways; way++) {
        mini_init(&p->mini[way], &at, c->nodes, l1->shard_entries_max != 0);
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

/* Fit a mini cache to what the cache holds: its capacity; and its sample, if that is far off. */
static void fit_point(const struct l1 *l1, struct curve *c, uint32_t i, const struct fit *f)
{
    struct curve_point *p = &c->points[i];
    double capacity = capacity_at(f, sizes[i]);
    double entries = capacity / f->mean;
    double most = c->nodes * (NODES_USED / 100.0);
    uint32_t least = l1_mark_mask(l1) + 1, sample = least;
    while (sample < SAMPLE_MOST && entries / sample > most)
        sample *= 2;
    bool starves = note_starved(c, p);
    if (starves)
        sample = p->sample * 2 > sample ? p->sample * 2 : sample;
    if (p->sample < least || starves || sample > 2 * p->sample || 4 * sample < p->sample)
        begin_point(l1, c, i, sample);
    for (enum curve_way way = CURVE_AS_NOW; way < c->ways; way++)
        p->mini[way].lfu.capacity = (uint64_t)(capacity / p->sample);
    p->few = entries / p->sample < ENTRIES_FEW;
}

static void halve(struct curve_point *p)
{
    p->reads /= 2;
    p->hits /= 2;
    p->real /= 2;
    p->all /= 2;
    for (enum curve_way way = CURVE_AS_NOW; way < CURVE_WAYS; way++)
        for (uint32_t g = 0; g < CURVE_GROUPS; g++)
            p->gained[way][g] /= 2;
}

static void halve_space(struct curve_space *s)
{
    s->hits /= 2;
    s->reads /= 2;
    for (uint32_t i = 0; i < L1_CURVE_POINTS; i++)
        for (enum curve_way way = CURVE_AS_NOW; way < CURVE_WAYS; way++)
            for (uint32_t g = 0; g < CURVE_SPACE_GROUPS; g++)
                s->parts[i].gained[way][g] /= 2;
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
    c->seen /= 2;
    c->lost /= 2;
}

static void forget_point(struct curve *c, uint32_t i)
{
    struct curve_point *p = &c->points[i];
    p->seen = p->reads = p->hits = p->real = 0;
    p->all = 0;
    memset(p->gained, 0, sizeof(p->gained));
    for (uint32_t space = 0; space < c->space_count; space++)
        c->spaces[space].parts[i] = (struct curve_part){0};
}

/* Forget all counts, and when to halve them; mini caches and sums of spaces stay. */
static void forget_counts_locked(struct curve *c) REQUIRES(c->lock)
{
    for (uint32_t i = 0; i < L1_CURVE_POINTS; i++)
        forget_point(c, i);
    for (uint32_t space = 0; space < c->space_count; space++)
        c->spaces[space].hits = c->spaces[space].reads = 0;
    c->hits = c->reads = c->seconds = 0;
    c->seen = 0;
    c->lost = 0;
    c->fade_at = FADE_FIRST;
}

/* Forget what a mini cache counted while it filled: so many misses it will not have again. */
static void settle_locked(struct curve *c) REQUIRES(c->lock)
{
    for (uint32_t i = 0; i < L1_CURVE_POINTS; i++) {
        struct curve_point *p = &c->points[i];
        if (!p->warm || p->settled)
            continue;
        p->settled = true;
        if (i == NOW)
            forget_counts_locked(c);
        else
            forget_point(c, i);
    }
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
    c->rate_ns = now_ns;
    c->rate_reads = 0;
}

/* Let the marks suit what the cap has room for. Returns whether entries are to be walked along. */
static bool suit_marks_locked(struct l1 *l1, struct curve *c, const struct fit *f)
    REQUIRES(c->lock)
{
    if (marks_suit(l1, capacity_at(f, 1) / f->mean, c->rate)) {
        forget_counts_locked(c);
        for (uint32_t i = 0; i < L1_CURVE_POINTS; i++)
            c->points[i].sample = 0; /* to be begun anew */
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
        settle_locked(c);
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

static void forget_all_locked(struct curve *c) REQUIRES(c->lock)
{
    memset(c->points, 0, sizeof(c->points));
    for (uint32_t space = 0; space < c->space_count; space++)
        c->spaces[space] = (struct curve_space){0};
    c->last_ns = c->rate_ns = c->seen = 0;
    c->rate = c->rate_reads = 0;
    c->walks = 0;
    forget_counts_locked(c);
    c->lost = 0;
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
        forget_all_locked(c);
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

/* ---- telling ---- */

static double root(double x)
{
    double r = x > 1 ? x : 1;
    for (int i = 0; i < 40 && r * r > x; i++) /* Newton, from above */
        r = (r + x / r) / 2;
    return r;
}

static double within_0_1(double x)
{
    return x < 0 ? 0 : x > 1 ? 1 : x;
}

/* Returns the share of the reads of marked keys that fell into windows. */
static double share_seen(const struct curve *c)
{
    double all = (double)c->seen + c->lost;
    return all > 0 ? (double)c->seen / all : 1;
}

/* Returns how many of `reads` of any keys a sample of one key in so many should have seen. */
static double expected(const struct curve *c, double reads, uint32_t sample)
{
    double should = sample ? reads / sample * share_seen(c) : 0;
    return should > 1 ? should : 1;
}

/* A mini cache's hits beyond the real ones, by groups of keys; of so many reads of any keys, of
 * which it saw those of one key in `sample`. */
struct side {
    const int32_t *gained;
    double all;
    uint32_t sample;
};

static double share_of(const struct curve *c, const struct side *s, uint32_t group)
{
    return s->sample ? s->gained[group] / expected(c, s->all, s->sample) : 0;
}

/* What a cap brings beyond the present one, as a share of the reads, and its deviation by chance.
 * Reads for one key are no tosses of a coin: a key that one cache alone hits decides many. So the
 * deviation is seen from how far groups of keys are apart. */
struct gain {
    double share, deviation;
};

static struct gain gain_of(const struct curve *c, const struct side *at, const struct side *now,
                           uint32_t groups)
{
    double shares[CURVE_GROUPS], sum = 0, squares = 0;
    for (uint32_t g = 0; g < groups; g++)
        sum += shares[g] = share_of(c, at, g) - share_of(c, now, g);
    for (uint32_t g = 0; g < groups; g++)
        squares += (shares[g] - sum / groups) * (shares[g] - sum / groups);
    return (struct gain){sum, root(squares * groups / (groups - 1))};
}

static struct side side_of(const struct curve_point *p, enum curve_way way)
{
    return (struct side){p->gained[way], p->all, p->sample};
}

/* How the policy would work under a cap. */
struct lead {
    enum curve_way way;
    double doubt; /* share of the reads that the other way hits more, perhaps by chance */
};

/* Returns what a cap brings more if the policy works otherwise than now. */
static struct gain lead_at(const struct curve *c, uint32_t i)
{
    struct side as_now = side_of(&c->points[i], CURVE_AS_NOW);
    struct side otherwise = side_of(&c->points[i], CURVE_OTHERWISE);
    return gain_of(c, &otherwise, &as_now, CURVE_GROUPS);
}

/* Find the way that hits more, beyond chance. One that leads at the present cap, too, and was not
 * chosen, would not be under others. */
static struct lead find_lead(const struct curve *c, uint32_t i)
{
    struct gain lead = lead_at(c, i), now = lead_at(c, NOW);
    double beyond = lead.share - (now.share > 0 ? now.share : 0);
    if (i == NOW || c->ways < CURVE_WAYS || beyond <= 0)
        return (struct lead){CURVE_AS_NOW, 0};
    bool leads = beyond > 2 * lead.deviation;
    return (struct lead){leads ? CURVE_OTHERWISE : CURVE_AS_NOW, leads ? 0 : beyond};
}

/* Returns how many reads a mini cache has to see: enough of them, and where it has never been full,
 * enough for each of its entries. */
static uint32_t wanted(const struct curve_point *p)
{
    uint32_t entries = p->mini[CURVE_AS_NOW].lfu.count;
    return p->warm || entries * ENOUGH_TURNS < ENOUGH_READS ? ENOUGH_READS : ENOUGH_TURNS * entries;
}

static bool has_enough(const struct curve_point *p)
{
    return p->seen >= wanted(p) && !p->few;
}

/* Whether the cache may have such a cap. */
static bool is_possible(const struct l1 *l1, double size)
{
    return l1->shard_entries_max ? l1->shard_entries_max * size >= 1
                                 : cap_of(l1) * size >= L1_MEMORY_LEAST;
}

static struct l1_curve_point tell_point(const struct l1 *l1, const struct curve *c, uint32_t i)
{
    const struct curve_point *p = &c->points[i];
    struct lead lead = find_lead(c, i);
    struct side at = side_of(p, lead.way), now = side_of(&c->points[NOW], CURVE_AS_NOW);
    struct gain gain = gain_of(c, &at, &now, CURVE_GROUPS);
    double real = c->reads > 0 ? c->hits / c->reads : 0;
    return (struct l1_curve_point){
        .size = sizes[i],
        .cap = (uint64_t)(cap_of(l1) * sizes[i]),
        .ratio = within_0_1(real + gain.share),
        .error = 2 * gain.deviation + lead.doubt,
        .reads = p->seen,
        .sample = p->sample,
        .enough = has_enough(p),
        .few = p->few,
        .possible = is_possible(l1, sizes[i]),
        .wants = wanted(p),
    };
}

/* Where chance says that a larger cap brings less, it brings nothing. */
static void make_rising(double *ratios)
{
    for (uint32_t i = NOW + 1; i < L1_CURVE_POINTS; i++)
        ratios[i] = ratios[i] > ratios[i - 1] ? ratios[i] : ratios[i - 1];
    for (uint32_t i = NOW; i-- > 0;)
        ratios[i] = ratios[i] < ratios[i + 1] ? ratios[i] : ratios[i + 1];
}

static void make_points_rising(struct l1_curve *curve)
{
    double ratios[L1_CURVE_POINTS];
    for (uint32_t i = 0; i < L1_CURVE_POINTS; i++)
        ratios[i] = curve->points[i].ratio;
    make_rising(ratios);
    for (uint32_t i = 0; i < L1_CURVE_POINTS; i++)
        curve->points[i].ratio = ratios[i];
}

bool l1_curve_read(struct l1 *l1, struct l1_curve *ret)
{
    struct curve *c = &l1->curve;
    *ret = (struct l1_curve){.has_model = l1->policy->model != L1_MODEL_NONE,
                             .by_count = l1->shard_entries_max != 0};
    if (!curve_is_on(l1))
        return false;
    pthread_mutex_lock(&c->lock);
    ret->ratio = c->reads > 0 ? c->hits / c->reads : 0;
    ret->reads = c->reads;
    ret->reads_per_second = c->seconds > 0 ? c->reads / c->seconds : 0;
    ret->seen = share_seen(c);
    ret->own_bytes =
        c->block_bytes + c->space_count * sizeof(*c->spaces) + window_bytes(&c->window);
    for (uint32_t i = 0; i < L1_CURVE_POINTS; i++)
        ret->points[i] = tell_point(l1, c, i);
    make_points_rising(ret);
    pthread_mutex_unlock(&c->lock);
    return true;
}

static struct side side_of_space(const struct curve *c, const struct curve_space *s, uint32_t i,
                                 enum curve_way way)
{
    double part = s->reads / c->reads;
    return (struct side){s->parts[i].gained[way], c->points[i].all * part, c->points[i].sample};
}

/* Whether a point has seen enough of a space: reads, of several keys. */
static bool has_part(const struct curve_part *part)
{
    return part->seen >= ENOUGH_PART_READS &&
           (uint32_t)__builtin_popcount(part->groups) >= ENOUGH_PART_GROUPS;
}

/* Tell what a space's reads would be at each cap. */
static void tell_space(const struct curve *c, const struct curve_space *s,
                       struct l1_curve_space *ret)
{
    double ratios[L1_CURVE_POINTS];
    struct side now = side_of_space(c, s, NOW, CURVE_AS_NOW);
    ret->ratio = s->hits / s->reads;
    ret->reads_per_second = c->seconds > 0 ? s->reads / c->seconds : 0;
    for (uint32_t i = 0; i < L1_CURVE_POINTS; i++) {
        struct lead lead = find_lead(c, i);
        struct side at = side_of_space(c, s, i, lead.way);
        struct gain gain = gain_of(c, &at, &now, CURVE_SPACE_GROUPS);
        ratios[i] = within_0_1(ret->ratio + gain.share);
        ret->points[i].error = 2 * gain.deviation + lead.doubt;
        ret->points[i].enough = has_enough(&c->points[i]) && has_part(&s->parts[i]);
    }
    make_rising(ratios);
    for (uint32_t i = 0; i < L1_CURVE_POINTS; i++)
        ret->points[i].ratio = ratios[i];
}

bool l1_curve_read_space(struct l1 *l1, uint32_t space, struct l1_curve_space *ret)
{
    struct curve *c = &l1->curve;
    *ret = (struct l1_curve_space){0};
    if (!curve_is_on(l1))
        return false;
    pthread_mutex_lock(&c->lock);
    const struct curve_space *s = space < c->space_count ? &c->spaces[space] : NULL;
    bool known = s && s->reads > 0;
    if (known)
        tell_space(c, s, ret);
    pthread_mutex_unlock(&c->lock);
    return known;
}
