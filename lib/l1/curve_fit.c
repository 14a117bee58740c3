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
#include "l1/policy.h"

#define ENTRIES_LEAST 64u       /* before that nothing is known of their size */
#define SAMPLE_MOST (1u << 20)
/* Of a mini cache's nodes, so many hundredths are taken by the entries of mean size that it is made
 * for: the rest is for times when they are smaller. */
#define NODES_USED 60u
#define ENTRIES_FEW 32u
#define COUNT_MOST (1u << 17) /* reads of a point, after which all counts are halved */
#define ENOUGH_READS 2048u
#define ENOUGH_TURNS 4u /* reads for each entry, where a mini cache has never been full */

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
    uint64_t bytes = u64_max(l1_limit(&l1->cap_bytes) / 1000, CURVE_BYTES_LEAST);
    uint32_t nodes = 64;
    while (nodes < 32768 && L1_CURVE_POINTS * mini_bytes(nodes + nodes / 8) <= bytes)
        nodes += nodes / 8;
    c->block_bytes = L1_CURVE_POINTS * mini_bytes(nodes);
    c->block = mem_alloc(l1->env->mem, NULL, c->block_bytes);
    c->nodes = nodes;
    c->made = c->block;
    return c->made;
}

static void begin_point(const struct l1 *l1, struct curve *c, uint32_t i, uint32_t sample)
{
    char *at = (char *)c->block + i * mini_bytes(c->nodes);
    struct curve_point *p = &c->points[i];
    *p = (struct curve_point){.sample = sample};
    for (uint32_t space = 0; space < c->space_count; space++)
        c->spaces[space].gained[i] = 0;
    mini_init(&p->mini, &at, c->nodes, l1->shard_entries_max != 0);
    p->mini.lru = l1->policy->model == L1_MODEL_LRU;
}

/* Fit a mini cache to what the cache holds: its capacity; and its sample, if that is far off. */
static void fit_point(const struct l1 *l1, struct curve *c, uint32_t i, const struct fit *f)
{
    struct curve_point *p = &c->points[i];
    double capacity = capacity_at(f, sizes[i]);
    double entries = capacity / f->mean;
    double most = c->nodes * (NODES_USED / 100.0);
    uint32_t least = l1->mark_mask + 1, sample = least;
    while (sample < SAMPLE_MOST && entries / sample > most)
        sample *= 2;
    bool starves = p->sample && p->mini.starved > p->reads / 16 + 64;
    if (starves)
        sample = p->sample * 2 > sample ? p->sample * 2 : sample;
    if (!p->sample || starves || sample > 2 * p->sample || 4 * sample < p->sample)
        begin_point(l1, c, i, sample);
    p->mini.starved = 0;
    p->mini.lfu.capacity = (uint64_t)(capacity / p->sample);
    p->few = entries / p->sample < ENTRIES_FEW;
}

static void halve(struct curve_point *p)
{
    p->reads /= 2;
    p->hits /= 2;
    p->real /= 2;
    p->all /= 2;
    for (uint32_t g = 0; g < CURVE_GROUPS; g++)
        p->gained[g] /= 2;
}

static void halve_space(struct curve_space *s)
{
    s->hits /= 2;
    s->reads /= 2;
    for (uint32_t i = 0; i < L1_CURVE_POINTS; i++)
        s->gained[i] /= 2;
}

/* Let what was counted fade: all of it at once, or the parts would not suit one another. */
static void fade(struct curve *c)
{
    bool many = false;
    for (uint32_t i = 0; i < L1_CURVE_POINTS; i++)
        many |= c->points[i].reads >= COUNT_MOST;
    if (!many)
        return;
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

uint64_t l1_curve_keep(struct l1 *l1)
{
    struct curve *c = &l1->curve;
    struct fit fit = {.share = 0}; /* read only where it fits, which gcc does not see under TSan */
    if (!curve_is_on(l1))
        return WINDOW_MOST_NS;
    bool fits = measure(l1, &fit);
    uint64_t now_ns = clock_now_ns(l1->env->clock);
    pthread_mutex_lock(&c->lock);
    if (c->last_ns)
        c->seconds += (double)(now_ns - c->last_ns) / 1e9;
    c->last_ns = now_ns;
    uint64_t pause_ns = curve_drain_locked(l1, c);
    fade(c);
    for (uint32_t i = 0; fits && (c->made || make(l1, c)) && i < L1_CURVE_POINTS; i++)
        fit_point(l1, c, i, &fit);
    pthread_mutex_unlock(&c->lock);
    return pause_ns;
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
 * nothing. */
static void count_reads(struct curve *c, struct curve_space *s, uint64_t hits, uint64_t misses)
{
    if (s->counted && (hits < s->last_hits || misses < s->last_misses))
        return;
    if (s->counted) {
        double more_hits = (double)(hits - s->last_hits);
        double more = more_hits + (double)(misses - s->last_misses);
        s->hits += more_hits;
        s->reads += more;
        c->hits += more_hits;
        c->reads += more;
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

/* Returns the share of the reads that a mini cache hit beyond the real cache, by `gained` of them
 * and by how many it should have seen. */
static double share_of(const struct curve *c, const struct curve_point *p, double all,
                       int64_t gained)
{
    return p->sample ? (double)gained / expected(c, all, p->sample) : 0;
}

static int64_t gained_of(const struct curve_point *p)
{
    return (int64_t)p->hits - (int64_t)p->real;
}

/* Returns what a cap brings beyond the present one. */
static double gain_at(const struct curve *c, const struct curve_point *p)
{
    const struct curve_point *now = &c->points[NOW];
    return share_of(c, p, p->all, gained_of(p)) - share_of(c, now, now->all, gained_of(now));
}

/* Returns a deviation of that by chance. Reads for one key are no tosses of a coin: a key that one
 * cache alone hits decides many. So it is seen from how far groups of keys are apart. */
static double deviation(const struct curve *c, const struct curve_point *p)
{
    const struct curve_point *now = &c->points[NOW];
    double sum = 0, mean = gain_at(c, p) / CURVE_GROUPS;
    for (uint32_t g = 0; g < CURVE_GROUPS; g++) {
        double off = share_of(c, p, p->all, p->gained[g]) -
                     share_of(c, now, now->all, now->gained[g]) - mean;
        sum += off * off;
    }
    return root(sum * CURVE_GROUPS / (CURVE_GROUPS - 1));
}

/* Returns how many reads a mini cache has to see yet: enough of them, and where it has never been
 * full, enough for each of its entries. */
static uint32_t lacking(const struct curve_point *p)
{
    uint64_t wanted = ENOUGH_READS;
    if (!p->warm)
        wanted = u64_max(wanted, (uint64_t)ENOUGH_TURNS * p->mini.lfu.count);
    return p->reads < wanted ? (uint32_t)(wanted - p->reads) : 0;
}

static struct l1_curve_point tell_point(const struct l1 *l1, const struct curve *c, uint32_t i)
{
    const struct curve_point *p = &c->points[i];
    double real = c->reads > 0 ? c->hits / c->reads : 0;
    return (struct l1_curve_point){
        .cap = (uint64_t)(cap_of(l1) * sizes[i]),
        .ratio = within_0_1(real + gain_at(c, p)),
        .error = 2 * deviation(c, p),
        .reads = p->reads,
        .sample = p->sample,
        .enough = lacking(p) == 0 && !p->few,
        .few = p->few,
        .lacks = lacking(p),
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

/* Tell what a space's reads would be at each cap. */
static void tell_space(const struct curve *c, const struct curve_space *s,
                       struct l1_curve_space *ret)
{
    double part = s->reads / c->reads, gains[L1_CURVE_POINTS];
    for (uint32_t i = 0; i < L1_CURVE_POINTS; i++)
        gains[i] = share_of(c, &c->points[i], c->points[i].all * part, s->gained[i]);
    ret->ratio = s->hits / s->reads;
    ret->reads_per_second = c->seconds > 0 ? s->reads / c->seconds : 0;
    for (uint32_t i = 0; i < L1_CURVE_POINTS; i++)
        ret->points[i] = within_0_1(ret->ratio + gains[i] - gains[NOW]);
    make_rising(ret->points);
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
