// SPDX-License-Identifier: MIT
/*
 * Shadow caches: how requests pass through them, and the choice.
 *
 * One block holds all: for each shadow its struct, then the arrays of each (mini.c).
 */
#include "l1/shadow.h"

#include <string.h>

/* Nodes per shadow: at least _LEAST while a sample of 1/SAMPLE_FINE suffices for it, and never more
 * than _MOST: what many shadows cost per sampled request is their misses in the CPU's cache. */
#define NODES_LEAST 128u
#define NODES_MOST 1024u
/* With fewer, shadows would say nothing: then there are none. */
#define NODES_FEWEST 32u
#define CAP_SHARE 64u /* part of the cap that shadows take at most */
/* More nodes are wanted when they were short for so many requests, as a share of a period. */
#define STARVED_SHARE 16u
#define SAMPLE_FINE 64u
#define SAMPLE_FINEST (1u << 24) /* suffices for 17e9 entries */

/* Shadows are made anew when the cache has so many times more or fewer entries. */
#define GROWN 2u
#define SHRUNK 4u

#define FADE 0.97 /* per period of as many requests as a shadow has entries */
/* The lead that another choice needs, in deviations and as a part of the current one's score. */
#define LEAD_DEVIATIONS 1.5
#define LEAD_PART 0.002
/* The lead that a choice with another exponent needs: it changes more at once, and fewer large
 * values are in a sample. At 3 deviations two runs in five over cloudphysics_io at 203 MB were
 * misled, and lost up to six points; at 6 and 2 % kv_meta_synth at 198 KB stayed with the first
 * one, 2.5 points below the better. */
#define LEAD_DEVIATIONS_OTHER 4.0
#define LEAD_PART_OTHER 0.01

/* A difference counts once for each so many requests that its key has had lately, up to a limit.
 * Without that one hot key in the sample, large and held by some of the shadows only, chose for
 * all: two runs in four over a made trace lost 2 to 4 points. */
#define DOUBT_SHARE 8u
#define DOUBT_MAX 64u

#define WINDOW_STEP 50u /* permille by which a window grows at most from one look to the next */

#define FIRST_CHOICE 1u       /* under a cap on the count of entries */
#define FIRST_CHOICE_SIZED 11u /* by density: not far off anywhere */

static const struct lfu_choice choices[SHADOWS_MAX] = {
    {5, 0}, {50, 0}, {200, 0}, {400, 0}, {800, 0}, /* caps on the count of entries: only these */
    {5, 2}, {50, 2}, {200, 2}, {400, 2}, {800, 2},
    {5, 3}, {50, 3}, {200, 3}, {400, 3}, {800, 3},
};
#define CHOICES_BY_COUNT 5u

_Static_assert(sizeof(struct shadow) % 8 == 0, "arrays lie behind it");

/* ---- a request ---- */

/* Lives are in ticks of 8.4 ms, which wrap: none is longer than 104 days. */
#define TICK_SHIFT 23
#define LIFE_MOST (UINT64_C(1) << 30)
#define SWEEP_TICKS 128u /* all nodes are swept within so many: 1.07 s */

/* A request as a shadow sees it. */
struct asked {
    struct mini_value value;
    uint32_t until;
    bool hit;
};

static uint32_t tick_of(uint64_t ns)
{
    return (uint32_t)(ns >> TICK_SHIFT);
}

/* Returns the ticks from one time to a later one, in which a life of that length is not over. */
static uint32_t ticks_between(uint64_t from_ns, uint64_t to_ns)
{
    uint64_t ticks = (to_ns >> TICK_SHIFT) - (from_ns >> TICK_SHIFT) + 1;
    return to_ns < from_ns ? 0 : (uint32_t)u64_min(ticks, LIFE_MOST);
}

/* A hit is told of later than it was: by now the value may have ended. */
static struct asked asked_of(const struct shadows_request *r)
{
    uint64_t at_ns = r->hit ? u64_min(r->now_ns, r->until_ns) : r->now_ns;
    return (struct asked){
        .value = {mini_hash(r->hash), r->weight, tick_of(at_ns), ticks_between(0, r->life_ns)},
        .until = tick_of(at_ns) + ticks_between(at_ns, r->until_ns),
        .hit = r->hit,
    };
}

static bool is_later(uint32_t tick, uint32_t than)
{
    return (int32_t)(tick - than) > 0;
}

/* Ask for a node that is there. `answered`: in place of a miss of the cache, whose value is another
 * one since. */
static void answer(struct mini *mini, struct mini_node *node, const struct asked *a)
{
    mini_touch(mini, node);
    if (!a->hit)
        node->answered = true;
    else if (!node->answered && is_later(a->until, node->until))
        node->until = a->until;
}

static void load(struct mini *mini, const struct lfu_choice *choice, const struct asked *a)
{
    struct mini_node *node = mini_store(mini, choice, &a->value);
    if (node)
        node->until = a->hit ? a->value.at + a->value.life : a->until;
}

/* Returns whether the shadow had the key. */
static bool request(struct shadow *s, const struct lfu_choice *choice, const struct asked *a)
{
    struct mini_node *node = mini_look(&s->mini, a->value.hash);
    bool found = node && !mini_is_over(node, a->value.at);
    if (found) {
        answer(&s->mini, node, a);
        return true;
    }
    if (node)
        mini_remove(&s->mini, node);
    load(&s->mini, choice, a);
    return false;
}

static void sweep_node(struct mini *mini, uint32_t node, uint32_t now)
{
    if (mini->nodes[node].weight && mini_is_over(&mini->nodes[node], now))
        mini_remove(mini, &mini->nodes[node]);
}

/* Remove what has ended, in the part of all nodes that the time since the last sweep is of
 * SWEEP_TICKS. Only at misses, which need the room: hits are told of as of a moment ago. Misses of
 * several threads come out of order: one that is older than the last sweep takes no time. */
static void sweep(struct shadows *s, uint32_t now)
{
    uint32_t count = s->all[0].mini.node_count;
    uint32_t ticks = is_later(now, s->swept) ? now - s->swept : 0;
    uint32_t from = s->swept % SWEEP_TICKS * count / SWEEP_TICKS;
    uint32_t part = (s->swept % SWEEP_TICKS + ticks) * count / SWEEP_TICKS - from;
    if (ticks >= SWEEP_TICKS)
        part = count;
    for (uint32_t n = 0; n < part; n++)
        for (uint32_t i = 0; i < s->count; i++)
            sweep_node(&s->all[i].mini, (from + n) % count, now);
    s->swept = now;
}

/* ---- the choice ---- */

static double lead_needed(const struct shadows *s, uint32_t i, uint32_t current)
{
    bool other = choices[i].exponent_thirds != choices[current].exponent_thirds;
    return (other ? LEAD_DEVIATIONS_OTHER : LEAD_DEVIATIONS) * root_of(s->doubt[i]) +
           (other ? LEAD_PART_OTHER : LEAD_PART) * s->score[current];
}

/* Have the shadows made anew, larger, if a choice holds more entries than it has nodes for. */
static void note_starved(struct shadows *s)
{
    uint32_t starved = 0;
    for (uint32_t i = 0; i < s->count; i++) {
        starved += s->all[i].mini.starved;
        s->all[i].was_starved |= s->all[i].mini.starved;
        s->all[i].mini.starved = 0;
    }
    if (starved > s->period / STARVED_SHARE)
        atomic_store_explicit(&s->made_for, 0, memory_order_relaxed);
}

static void choose(struct shadows *s)
{
    uint32_t current = atomic_load_explicit(&s->choice, memory_order_relaxed);
    uint32_t best = current;
    for (uint32_t i = 0; i < s->count; i++) {
        s->score[i] = FADE * s->score[i] + s->hits[i];
        s->doubt[i] = FADE * s->doubt[i] + s->differs[i];
        s->hits[i] = s->differs[i] = 0;
    }
    for (uint32_t i = 0; i < s->count; i++)
        if (i != current && s->score[i] > s->score[best] &&
            s->score[i] - s->score[current] > lead_needed(s, i, current))
            best = i;
    note_starved(s);
    s->doubt[current] = s->doubt[best]; /* as far apart as before, seen from the other side */
    s->fed = 0;
    atomic_store_explicit(&s->choice, best, memory_order_relaxed);
    uint32_t window = atomic_load_explicit(&s->window_permille, memory_order_relaxed) + WINDOW_STEP;
    if (window > choices[best].window_permille)
        window = choices[best].window_permille;
    atomic_store_explicit(&s->window_permille, window, memory_order_relaxed);
}

/* Returns how much a request on which shadows differ adds to the doubt. Requests for one key are no
 * tosses of a coin: whether a shadow holds the key is decided once, for all of them. So each counts
 * as often as the key was asked for lately, about: the sum is of the squares of keys' requests. */
static uint32_t doubt_of(const struct shadows *s, uint32_t current, uint32_t hash)
{
    const struct sketch *sketch = &s->all[current].mini.lfu.sketch;
    uint32_t asked = sketch_count(sketch_estimate(sketch, mini_spread(hash))) / DOUBT_SHARE;
    return asked < 1 ? 1 : asked < DOUBT_MAX ? asked : DOUBT_MAX;
}

static void score(struct shadows *s, uint32_t found, uint32_t hash)
{
    uint32_t current = atomic_load_explicit(&s->choice, memory_order_relaxed);
    uint32_t all = (UINT32_C(1) << s->count) - 1;
    uint32_t differ = found >> current & 1 ? all & ~found : found;
    uint32_t doubt = differ ? doubt_of(s, current, hash) : 0;
    for (uint32_t i = 0; i < s->count; i++) {
        s->hits[i] += found >> i & 1;
        s->differs[i] += (differ >> i & 1) * doubt;
    }
}

static bool feed_locked(struct shadows *s, const struct shadows_request *r) REQUIRES(s->lock)
{
    struct asked asked = asked_of(r);
    uint32_t found = 0;
    if (!r->hit)
        sweep(s, asked.value.at);
    for (uint32_t i = 0; i < s->count; i++)
        found |= (uint32_t)request(&s->all[i], &choices[i], &asked) << i;
    score(s, found, asked.value.hash);
    bool over = ++s->fed >= s->period;
    if (over)
        choose(s);
    return over;
}

bool shadows_feed(struct shadows *s, const struct shadows_request *r)
{
    if (pthread_mutex_trylock(&s->lock) != 0)
        return false; /* the sample lacks one request */
    bool over = s->all && shadows_sampled(s, r->hash) && feed_locked(s, r);
    pthread_mutex_unlock(&s->lock);
    return over;
}

static void remove_locked(struct shadows *s, uint32_t hash) REQUIRES(s->lock)
{
    for (uint32_t i = 0; i < s->count; i++) {
        struct mini_node *node = mini_look(&s->all[i].mini, hash);
        if (node)
            mini_remove(&s->all[i].mini, node);
    }
}

void shadows_remove(struct shadows *s, uint64_t hash)
{
    if (pthread_mutex_trylock(&s->lock) != 0)
        return; /* those that have it keep it */
    if (s->all && shadows_sampled(s, hash))
        remove_locked(s, mini_hash(hash));
    pthread_mutex_unlock(&s->lock);
}

struct lfu_choice shadows_choice(const struct shadows *s)
{
    struct lfu_choice choice = choices[atomic_load_explicit(&s->choice, memory_order_relaxed)];
    choice.window_permille =
        (uint16_t)atomic_load_explicit(&s->window_permille, memory_order_relaxed);
    return choice;
}

/* ---- sizes ---- */

bool shadows_suit(const struct shadows *s, uint64_t entries)
{
    uint64_t made_for = atomic_load_explicit(&s->made_for, memory_order_relaxed);
    return made_for && entries <= made_for * GROWN && entries * SHRUNK >= made_for;
}

bool shadows_claim(struct shadows *s, uint64_t entries)
{
    uint64_t before = atomic_load_explicit(&s->made_for, memory_order_relaxed);
    return before != entries &&
           atomic_compare_exchange_strong_explicit(&s->made_for, &before, entries,
                                                   memory_order_relaxed, memory_order_relaxed);
}

size_t shadows_bytes(const struct shadows *s, uint32_t nodes)
{
    return s->count * (sizeof(struct shadow) + mini_bytes(nodes));
}

static struct shadows_size size_for_sample(uint64_t entries, uint32_t k)
{
    uint64_t nodes = entries / k + entries / k / 2 + 8; /* sizes vary, so do counts */
    return (struct shadows_size){.nodes = (uint32_t)nodes, .mask = k - 1};
}

/* Entries of a cache with the choice that holds the most; a guess where nodes are short. */
static uint64_t entries_held(struct shadows *s)
{
    uint64_t most = 0;
    pthread_mutex_lock(&s->lock);
    uint64_t k = atomic_load_explicit(&s->mask, memory_order_relaxed) + UINT64_C(1);
    for (uint32_t i = 0; s->all && i < s->count; i++)
        most = u64_max(most, s->all[i].mini.lfu.count * k * (s->all[i].was_starved ? 2 : 1));
    pthread_mutex_unlock(&s->lock);
    return most;
}

struct shadows_size shadows_size_for(struct shadows *s, const struct mem *mem,
                                     uint64_t entries, uint64_t cap_bytes)
{
    uint32_t k = 1;
    uint64_t cached = entries;
    entries = u64_max(entries, entries_held(s));
    while (k < SAMPLE_FINE && entries / (2 * k) >= NODES_LEAST)
        k *= 2;
    while (k < SAMPLE_FINEST && entries / k > NODES_MOST)
        k *= 2;
    struct shadows_size size = size_for_sample(entries, k);
    while (k < SAMPLE_FINEST && size.nodes >= NODES_FEWEST &&
           mem_charge_apart(mem, shadows_bytes(s, size.nodes)) > cap_bytes / CAP_SHARE)
        size = size_for_sample(entries, k *= 2);
    size.period = (uint32_t)(cached / k);
    return size.nodes < NODES_FEWEST ? (struct shadows_size){0, SHADOW_UNSAMPLED, 0} : size;
}

static void set_capacity_locked(struct shadows *s, uint64_t weight) REQUIRES(s->lock)
{
    uint32_t k = atomic_load_explicit(&s->mask, memory_order_relaxed) + 1;
    for (uint32_t i = 0; i < s->count; i++)
        s->all[i].mini.lfu.capacity = weight / k;
}

void *shadows_move(struct shadows *s, void *block, struct shadows_size size, uint64_t weight,
                   size_t *ret_old_bytes)
{
    pthread_mutex_lock(&s->lock);
    void *old = s->all;
    *ret_old_bytes = s->block_bytes;
    s->all = block;
    s->block_bytes = shadows_bytes(s, size.nodes);
    char *at = (char *)block + s->count * sizeof(struct shadow);
    for (uint32_t i = 0; i < s->count; i++) {
        mini_init(&s->all[i].mini, &at, size.nodes, s->by_count);
        s->all[i].was_starved = false;
    }
    s->period = size.period;
    atomic_store_explicit(&s->mask, size.mask, memory_order_relaxed);
    set_capacity_locked(s, weight);
    pthread_mutex_unlock(&s->lock);
    return old;
}

uint64_t shadows_excess(struct shadows *s, const struct mem *mem, uint64_t cap_bytes)
{
    uint64_t charge = shadows_charge(s, mem);
    return charge > cap_bytes / CAP_SHARE ? charge : 0;
}

uint64_t shadows_shrink(struct shadows *s, struct mem *mem, uint64_t cap_bytes)
{
    uint64_t charge = shadows_excess(s, mem, cap_bytes);
    if (!charge)
        return 0;
    pthread_mutex_lock(&s->lock);
    charge = mem_charge_apart(mem, s->block_bytes);
    mem_free_apart(mem, s->all, s->block_bytes);
    s->all = NULL;
    atomic_store_explicit(&s->mask, SHADOW_UNSAMPLED, memory_order_relaxed);
    atomic_store_explicit(&s->made_for, 0, memory_order_relaxed);
    pthread_mutex_unlock(&s->lock);
    return charge;
}

void shadows_resize(struct shadows *s, uint64_t weight)
{
    pthread_mutex_lock(&s->lock);
    if (s->all)
        set_capacity_locked(s, weight);
    pthread_mutex_unlock(&s->lock);
}

void shadows_init(struct shadows *s, bool by_count)
{
    memset(s, 0, sizeof(*s));
    pthread_mutex_init(&s->lock, NULL);
    s->by_count = by_count;
    s->count = by_count ? CHOICES_BY_COUNT : SHADOWS_MAX;
    uint32_t first = by_count ? FIRST_CHOICE : FIRST_CHOICE_SIZED;
    atomic_init(&s->choice, first);
    atomic_init(&s->window_permille, choices[first].window_permille);
    atomic_init(&s->mask, SHADOW_UNSAMPLED);
}

void shadows_fini(struct shadows *s, struct mem *mem)
{
    mem_free_apart(mem, s->all, s->block_bytes);
    pthread_mutex_destroy(&s->lock);
}

uint64_t shadows_charge(struct shadows *s, const struct mem *mem)
{
    pthread_mutex_lock(&s->lock);
    uint64_t charge = s->all ? mem_charge_apart(mem, s->block_bytes) : 0;
    pthread_mutex_unlock(&s->lock);
    return charge;
}
