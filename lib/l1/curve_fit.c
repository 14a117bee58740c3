// SPDX-License-Identifier: MIT
/*
 * Fitting the mini caches of the curve to what the cache holds, and telling what they found.
 *
 * How many entries a cap has room for is not known before there are some, so the mini caches are
 * made when the first few have come, and made anew, each for itself, when the sample does not suit
 * any more.
 */
#include "l1/core.h"
#include "l1/gauges.h"
#include "l1/policy.h"

#define ENTRIES_LEAST 64u       /* before that nothing is known of their size */
#define SAMPLE_MOST (1u << 20)
/* Of a mini cache's nodes, so many hundredths are taken by the entries of mean size that it is made
 * for: the rest is for times when they are smaller. */
#define NODES_USED 60u
#define ENOUGH_READS 2048u
#define ENOUGH_TURNS 4u /* reads for each entry, where a mini cache has never been full */

static const double sizes[L1_CURVE_POINTS] = {0.25, 0.5, 1, 2, 4, 8};
#define NOW 2u /* of these */

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
}

/* Count what was read since. Sums can be less than before, and then say nothing: a space has got a
 * table apart and is not in them any more, or who took them was overtaken. */
static void count_reads(struct curve *c, uint64_t hits, uint64_t reads, uint64_t now_ns)
{
    uint64_t misses = reads - hits, last_misses = c->last_reads - c->last_hits;
    if (c->last_ns && hits >= c->last_hits && misses >= last_misses) {
        c->hits += (double)(hits - c->last_hits);
        c->reads += (double)(reads - c->last_reads);
        c->seconds += (double)(now_ns - c->last_ns) / 1e9;
    }
    c->last_ns = now_ns;
    c->last_hits = hits;
    c->last_reads = reads;
}

void l1_curve_keep(struct l1 *l1, uint64_t hits, uint64_t reads)
{
    struct curve *c = &l1->curve;
    struct fit fit;
    if (!curve_is_on(l1) || !measure(l1, &fit))
        return;
    pthread_mutex_lock(&c->lock);
    if (c->made || make(l1, c)) {
        for (uint32_t i = 0; i < L1_CURVE_POINTS; i++)
            fit_point(l1, c, i, &fit);
        count_reads(c, hits, reads, clock_now_ns(l1->env->clock));
    }
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

/* Returns a deviation of the difference by chance. Reads for one key are no tosses of a coin: a hot
 * one decides many. So it is seen from how far groups of keys are apart. */
static double deviation(const struct curve_point *p)
{
    double reads = p->reads ? p->reads : 1, sum = 0;
    double gained = ((double)p->hits - (double)p->real) / reads;
    for (uint32_t g = 0; g < CURVE_GROUPS; g++) {
        double off = p->groups[g].gained - gained * p->groups[g].reads;
        sum += off * off;
    }
    return root(sum) / reads;
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
    double reads = p->reads ? p->reads : 1;
    double real = c->reads > 0 ? c->hits / c->reads : 0;
    return (struct l1_curve_point){
        .cap = (uint64_t)(cap_of(l1) * sizes[i]),
        .ratio = within_0_1(real + ((double)p->hits - (double)p->real) / reads),
        .error = 2 * deviation(p),
        .reads = p->reads,
        .sample = p->sample,
        .enough = lacking(p) == 0,
        .lacks = lacking(p),
    };
}

/* Where chance says that a larger cap brings less, it brings nothing. */
static void make_rising(struct l1_curve *c)
{
    double now = c->ratio;
    for (uint32_t i = NOW + 1; i < L1_CURVE_POINTS; i++)
        c->points[i].ratio = now = c->points[i].ratio > now ? c->points[i].ratio : now;
    now = c->ratio;
    for (uint32_t i = NOW; i-- > 0;)
        c->points[i].ratio = now = c->points[i].ratio < now ? c->points[i].ratio : now;
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
    ret->own_bytes = c->block_bytes;
    for (uint32_t i = 0; i < L1_CURVE_POINTS; i++)
        ret->points[i] = tell_point(l1, c, i);
    make_rising(ret);
    pthread_mutex_unlock(&c->lock);
    return true;
}
