// SPDX-License-Identifier: MIT
/*
 * Feeding the mini caches of the curve; beginning and end.
 */
#include "l1/curve.h"

#include <string.h>

#include "l1/core.h"
#include "l1/policy.h"
#include "l1/shadow.h"

/* Ends and middle of the windows that shadows choose from, in permille. */
#define WINDOW_SMALL  5u
#define WINDOW_MIDDLE 200u
#define WINDOW_LARGE  800u

/* Which of two mini caches leads: looks in as many reads as they have entries, how much hits fade
 * from one to the next, and by how many deviations. Shadows look once, and let 3 % fade. */
#define LEAD_LOOKS 8
#define LEAD_FADE 0.9962
#define LEAD_DEVIATIONS 1.5

#define SWEEP_TICKS ((uint32_t)(NS_PER_S >> WINDOW_TICK_SHIFT))

/* ---- feeding ---- */

static bool sees(const struct curve_point *p, const struct window_event *e)
{
    return p->sample && !(e->sample & (p->sample - 1));
}

static uint32_t weight_of(const struct l1 *l1, uint64_t bytes)
{
    return l1->shard_entries_max ? 1 : (uint32_t)bytes;
}

/* Returns the choice of the shards, or one with a window at the other end. */
static struct lfu_choice choice_of(const struct l1 *l1, enum curve_way way)
{
    if (l1->policy->model == L1_MODEL_LRU)
        return (struct lfu_choice){0};
    struct lfu_choice choice = shadows_choice(l1->policy_common);
    if (way == CURVE_OTHERWISE)
        choice.window_permille =
            choice.window_permille > WINDOW_MIDDLE ? WINDOW_SMALL : WINDOW_LARGE;
    return choice;
}

/* Let each mini cache keep its window when that of the shards has gone to the other end: what
 * worked otherwise works as now. At the present size, too, or it would have to learn what others
 * have learnt that it is compared with. */
static void follow_window(const struct l1 *l1, struct curve *c)
{
    bool large = choice_of(l1, CURVE_AS_NOW).window_permille > WINDOW_MIDDLE;
    if (large == c->large_window)
        return;
    c->large_window = large;
    for (uint32_t i = 0; i < L1_CURVE_POINTS; i++) {
        struct curve_point *p = &c->points[i];
        mini_swap(&p->mini[CURVE_AS_NOW], &p->mini[CURVE_OTHERWISE]);
        if (i != CURVE_NOW)
            p->way = p->way == CURVE_AS_NOW ? CURVE_OTHERWISE : CURVE_AS_NOW;
        for (uint32_t g = 0; g < CURVE_GROUPS; g++)
            p->lead[g] = -p->lead[g];
    }
}

/* Whether a mini cache would not have loaded what the real one has: it had answered the read from
 * which that came, by a value that was not stale. */
static bool keeps(const struct mini_node *node, const struct window_event *e)
{
    return node->answered && !mini_has_come(node->until - e->stale, e->at);
}

static uint32_t *stamp_of(const struct mini *mini, const struct mini_node *node)
{
    return &mini->stamps[node - mini->nodes];
}

static void store_in(const struct l1 *l1, struct curve_point *p, enum curve_way way,
                     const struct window_event *e)
{
    struct lfu_choice choice = choice_of(l1, way);
    struct mini_value v = {e->hash, weight_of(l1, e->bytes), e->at, e->life};
    struct mini_node *node = mini_store(&p->mini[way], &choice, &v);
    if (node && !keeps(node, e)) {
        node->until = e->at + v.life;
        *stamp_of(&p->mini[way], node) = l1->curve.position;
    }
    if (node)
        node->answered = false;
    const struct lfu *lfu = &p->mini[CURVE_AS_NOW].lfu;
    p->warm |= !p->guessed && lfu_weight(lfu) + lfu_weight(lfu) / 16 > lfu->capacity;
}

/* Whether a mini cache would have a key that the real cache has, and lacks it only because it has
 * not seen how it came: one that is as large, and has never let anything go. */
static bool missed_it(const struct curve *c, const struct curve_point *p)
{
    return !p->warm && !p->swept && p >= &c->points[CURVE_NOW];
}

/* Ask a mini cache. Returns whether it hits. */
static bool read_mini(const struct l1 *l1, const struct curve *c, struct curve_point *p,
                      enum curve_way way, const struct window_event *e)
{
    struct mini *mini = &p->mini[way];
    struct mini_node *node = mini_look(mini, e->hash);
    bool over = node && mini_is_over(node, e->at);
    if (node && !over) {
        mini_touch(mini, node);
        node->answered = e->what != WINDOW_HIT;
        return true;
    }
    if (over)
        mini_remove(mini, node);
    if (e->what == WINDOW_HIT)
        store_in(l1, p, way, e);
    return e->what == WINDOW_HIT && !over && missed_it(c, p);
}

/* Whether one of a point's two mini caches has hit more of late than the one that works as now,
 * beyond chance. Requests for one hot key all fall the same way, so the deviation is seen from how
 * far groups of keys are apart. */
static bool leads(const double lead[CURVE_GROUPS])
{
    double sum = 0, squares = 0;
    for (uint32_t g = 0; g < CURVE_GROUPS; g++)
        sum += lead[g];
    for (uint32_t g = 0; g < CURVE_GROUPS; g++) {
        double off = lead[g] - sum / CURVE_GROUPS;
        squares += off * off;
    }
    return sum > LEAD_DEVIATIONS * root_of(squares * CURVE_GROUPS / (CURVE_GROUPS - 1));
}

/* Let that one tell which leads, eight times in as many reads as it has entries. At the present
 * size it is the one that works as the shards have chosen; and until a point has been full both hit
 * the same but for chance. */
static void look_which_leads(const struct curve *c, struct curve_point *p)
{
    if (p->looked < p->entries / LEAD_LOOKS || p == &c->points[CURVE_NOW])
        return;
    p->way = leads(p->lead) ? CURVE_OTHERWISE : CURVE_AS_NOW;
    for (uint32_t g = 0; g < CURVE_GROUPS; g++)
        p->lead[g] *= LEAD_FADE;
    p->looked = 0;
}

/* Ask those of a point. Returns whether the one that leads hits. */
static bool ask_point(const struct l1 *l1, const struct curve *c, struct curve_point *p,
                      const struct window_event *e)
{
    bool found = read_mini(l1, c, p, CURVE_AS_NOW, e);
    if (c->ways < CURVE_WAYS)
        return found;
    bool other = read_mini(l1, c, p, CURVE_OTHERWISE, e);
    bool told = p->way == CURVE_AS_NOW ? found : other;
    p->lead[e->hash % CURVE_GROUPS] += p->warm ? other - found : 0;
    p->looked++;
    look_which_leads(c, p);
    return told;
}

/* Ask the mini caches of a point, and note hits beyond the real cache's: 1, 0 or -1. */
static void read_point(const struct l1 *l1, const struct curve *c, struct curve_point *p,
                       struct curve_part *part, const struct window_event *e)
{
    uint32_t group = e->hash % CURVE_GROUPS;
    bool real = e->what == WINDOW_HIT;
    int gained = ask_point(l1, c, p, e) - real;
    p->gained[group] += gained;
    p->turns += p->turns < UINT32_MAX;
    p->seen += p->seen < UINT32_MAX;
    p->reads++;
    if (!part)
        return;
    part->gained[group % CURVE_SPACE_GROUPS] += gained;
    part->seen += part->seen < UINT32_MAX;
    part->groups |= UINT32_C(1) << group;
}

/* Returns what a point has seen of the event's space. NULL: nothing is counted of that. */
static struct curve_part *part_of(const struct curve *c, uint32_t i, const struct window_event *e)
{
    return e->space < c->space_count ? &c->spaces[e->space].parts[i] : NULL;
}

static void read_locked(const struct l1 *l1, struct curve *c, const struct window_event *e)
{
    c->seen++;
    for (uint32_t i = 0; i < L1_CURVE_POINTS; i++)
        if (sees(&c->points[i], e))
            read_point(l1, c, &c->points[i], part_of(c, i, e), e);
}

static void remove_from(struct mini *mini, uint32_t hash)
{
    struct mini_node *node = mini_look(mini, hash);
    if (node)
        mini_remove(mini, node);
}

static void remove_locked(struct curve *c, const struct window_event *e)
{
    for (uint32_t i = 0; i < L1_CURVE_POINTS; i++)
        for (enum curve_way way = CURVE_AS_NOW; way < c->ways; way++)
            if (sees(&c->points[i], e))
                remove_from(&c->points[i].mini[way], e->hash);
}

/* Count a load of what a mini cache might have had if it had begun earlier: of what it lacks though
 * it has let nothing go, and what lives longer than it has been there. */
static void note_filling(struct curve_point *p, struct curve_part *part,
                         const struct window_event *e)
{
    if (!p->begun)
        p->began = e->at;
    p->begun = true;
    uint32_t age = e->at - p->began;
    bool fills = !p->settled && age < e->life && !mini_look(&p->mini[CURVE_AS_NOW], e->hash);
    p->fills += fills;
    if (part)
        part->fills += fills;
}

static void store_locked(const struct l1 *l1, struct curve *c, const struct window_event *e)
{
    for (uint32_t i = 0; i < L1_CURVE_POINTS; i++) {
        struct curve_point *p = &c->points[i];
        if (!sees(p, e))
            continue;
        note_filling(p, part_of(c, i, e), e);
        for (enum curve_way way = CURVE_AS_NOW; way < c->ways; way++)
            store_in(l1, p, way, e);
    }
}

/* Whether a mini cache has answered a read by what was below a floor: 1, or 0. What is older than
 * 2^31 changes is not judged. */
static int answered_below(struct mini *mini, const struct window_event *floor)
{
    struct mini_node *node = mini_look(mini, floor->hash);
    if (!node || !node->answered || mini_has_come(floor->at, *stamp_of(mini, node)))
        return 0;
    node->answered = false; /* it is loaded, by the STORE that follows */
    return 1;
}

/* Take back such hits of a point. */
static void unread_point(const struct curve *c, struct curve_point *p, struct curve_part *part,
                         const struct window_event *e)
{
    uint32_t group = e->hash % CURVE_GROUPS;
    int below[CURVE_WAYS] = {0};
    for (enum curve_way way = CURVE_AS_NOW; way < c->ways; way++)
        below[way] = answered_below(&p->mini[way], e);
    p->gained[group] -= below[p->way];
    p->lead[group] -= p->warm ? below[CURVE_OTHERWISE] - below[CURVE_AS_NOW] : 0;
    if (part)
        part->gained[group % CURVE_SPACE_GROUPS] -= below[p->way];
}

static void unread_locked(struct curve *c, const struct window_event *e)
{
    for (uint32_t i = 0; i < L1_CURVE_POINTS; i++)
        if (sees(&c->points[i], e))
            unread_point(c, &c->points[i], part_of(c, i, e), e);
}

static void feed_locked(const struct l1 *l1, struct curve *c, const struct window_event *e)
{
    if (e->what == WINDOW_OUTDATED || e->what == WINDOW_REMOVE)
        remove_locked(c, e);
    switch (e->what) {
    case WINDOW_STORE: store_locked(l1, c, e); return;
    case WINDOW_FLOOR: unread_locked(c, e); return;
    case WINDOW_REMOVE: return;
    default: read_locked(l1, c, e);
    }
}

/* Count the reads that were lost since the last drain, of `lost` ever: none where that is less than
 * before, for one thread took back what others of its stripe had counted (window.h). */
static void count_lost(struct curve *c, uint64_t lost)
{
    c->lost += lost > c->lost_before ? (double)(lost - c->lost_before) : 0;
    c->lost_before = lost;
}

uint64_t curve_drain_locked(const struct l1 *l1, struct curve *c)
{
    struct window_packed events[WINDOW_EVENTS];
    uint64_t lost = 0;
    follow_window(l1, c);
    c->position = (uint32_t)floors_now(l1->floors);
    for (uint32_t stripe = 0; stripe < THREAD_STRIPES; stripe++) {
        uint32_t count = window_take(&c->window, stripe, events, &lost);
        for (uint32_t i = 0; i < count; i++) {
            struct window_event event = window_unpack(&events[i]);
            feed_locked(l1, c, &event);
        }
    }
    count_lost(c, lost);
    return window_open(&c->window);
}

uint64_t l1_curve_drain(struct l1 *l1)
{
    struct curve *c = &l1->curve;
    if (!curve_is_on(l1))
        return WINDOW_MOST_NS;
    pthread_mutex_lock(&c->lock);
    uint64_t pause_ns = curve_drain_locked(l1, c);
    pthread_mutex_unlock(&c->lock);
    return pause_ns;
}

/* ---- what has grown too old ---- */

static void sweep_mini(struct mini *mini, uint32_t now)
{
    for (uint32_t i = 0; i < mini->node_count; i++)
        if (mini->nodes[i].weight && mini_is_over(&mini->nodes[i], now))
            mini_remove(mini, &mini->nodes[i]);
}

/* Whether no node of one of a point's mini caches is free. */
static bool lacks_nodes(const struct curve *c, const struct curve_point *p)
{
    bool lacks = false;
    for (enum curve_way way = CURVE_AS_NOW; way < c->ways && p->sample; way++)
        lacks |= p->mini[way].free == MINI_NONE;
    return lacks;
}

void curve_sweep_locked(const struct l1 *l1, struct curve *c)
{
    uint32_t now = window_tick(clock_now_ns(l1->env->clock));
    if (now - c->swept < SWEEP_TICKS)
        return;
    c->swept = now;
    for (uint32_t i = 0; i < L1_CURVE_POINTS; i++) {
        struct curve_point *p = &c->points[i];
        p->swept |= p->warm || lacks_nodes(c, p);
        for (enum curve_way way = CURVE_AS_NOW; way < c->ways && p->swept; way++)
            sweep_mini(&p->mini[way], now);
    }
}

/* ---- what happens ---- */

/* Whether a window is open: what an event says is not looked for where nobody takes it. */
static bool takes(const struct l1 *l1)
{
    return curve_is_on(l1) && window_is_open(&l1->curve.window);
}

static bool takes_read(struct l1 *l1)
{
    bool takes_it = takes(l1);
    if (!takes_it && curve_is_on(l1))
        window_lose_read(&l1->curve.window);
    return takes_it;
}

/* Inline, for the sake of hits. */
static NIGH_INLINED void add(struct l1 *l1, uint64_t hash, struct window_event event)
{
    event.hash = mini_hash(hash);
    event.sample = (uint32_t)(hash >> L1_MARK_SHIFT);
    window_add(&l1->curve.window, event);
}

/* Ticks of events of a duration in ticks of entries. */
static uint32_t window_ticks(uint64_t ticks)
{
    return window_life(ticks >> (WINDOW_TICK_SHIFT - ENTRY_TICK_SHIFT));
}

static uint64_t stale_ticks(const struct l1_entry *e)
{
    return entry_ticks_unpack(e->stale, ENTRY_STALE_BITS);
}

/* Returns for how long a value lives on, that would be there in its place. */
static uint64_t life_of(const struct l1_entry *e, uint64_t now, bool anew)
{
    if (anew)
        return entry_ticks_unpack(e->life, ENTRY_LIFE_BITS) + stale_ticks(e);
    uint64_t until = e->fresh + stale_ticks(e);
    return until > now ? until - now : 0;
}

void l1_curve_hit(struct l1 *l1, const struct l1_entry *e, uint64_t now, bool anew)
{
    if (!takes_read(l1))
        return;
    add(l1, hash_key_again(&l1->hash, entry_space(e), e->bytes, entry_key_len(e)),
        (struct window_event){.what = WINDOW_HIT,
                              .bytes = entry_charge(l1, e),
                              .space = entry_space(e),
                              .at = window_tick(l1_ticks_ns(now)),
                              .life = window_ticks(life_of(e, now, anew))});
}

/* Whether a value is there, is not too old, and was of no use: any other cache would have had no
 * better one. */
static bool is_outdated(struct l1 *l1, const struct l1_key *key, uint64_t now_ns)
{
    rcu_enter();
    const struct l1_entry *e = l1_find_rcu(l1, key);
    bool outdated = e && now_ns < l1_entry_stale_until_ns(e);
    rcu_leave();
    return outdated;
}

void l1_curve_miss(struct l1 *l1, const struct l1_key *key)
{
    if (!takes_read(l1))
        return;
    uint64_t now_ns = clock_coarse_ns(l1->env->clock);
    enum window_what what = is_outdated(l1, key, now_ns) ? WINDOW_OUTDATED : WINDOW_MISS;
    add(l1, key->hash,
        (struct window_event){.what = what, .space = key->space, .at = window_tick(now_ns)});
}

void curve_store(struct l1 *l1, uint64_t hash, uint32_t space, const struct curve_value *v)
{
    uint64_t left_ns = v->until_ns > v->now_ns ? v->until_ns - v->now_ns : 0;
    if (!takes(l1))
        return;
    if (v->floor)
        add(l1, hash,
            (struct window_event){
                .what = WINDOW_FLOOR, .space = space, .at = (uint32_t)v->floor});
    add(l1, hash,
        (struct window_event){.what = WINDOW_STORE,
                              .space = space,
                              .bytes = v->bytes,
                              .at = window_tick(v->now_ns),
                              .life = window_life(left_ns >> WINDOW_TICK_SHIFT),
                              .stale = window_life(v->stale_ns >> WINDOW_TICK_SHIFT)});
}

static uint64_t hard_floor(const struct l1 *l1, uint16_t slot)
{
    uint64_t any, hard;
    floors_of_group(l1->floors, slot, &any, &hard);
    return hard;
}

uint64_t curve_floor(const struct l1 *l1, const struct l1_entry *e)
{
    const uint16_t *groups;
    uint32_t count = l1_entry_groups(e, &groups);
    uint64_t newest = u64_max(hard_floor(l1, GROUP_SLOT_ALL),
                              hard_floor(l1, l1->space_slots[entry_space(e)]));
    for (uint32_t i = 0; i < count; i++)
        newest = u64_max(newest, hard_floor(l1, groups[i]));
    return newest;
}

void curve_store_entry(struct l1 *l1, uint64_t hash, const struct l1_entry *e, uint64_t bytes,
                       uint64_t now_ns, bool loaded)
{
    curve_store(l1, hash, entry_space(e),
                &(struct curve_value){.bytes = bytes,
                                      .now_ns = now_ns,
                                      .until_ns = l1_entry_stale_until_ns(e),
                                      .stale_ns = loaded ? l1_ticks_ns(stale_ticks(e)) : 0,
                                      .floor = loaded ? curve_floor(l1, e) : 0});
}

void curve_remove(struct l1 *l1, uint64_t hash)
{
    if (takes(l1))
        add(l1, hash, (struct window_event){.what = WINDOW_REMOVE});
}

/* ---- beginning and end ---- */

void curve_init(struct l1 *l1)
{
    pthread_mutex_init(&l1->curve.lock, NULL);
}

void curve_fini(struct l1 *l1)
{
    struct curve *c = &l1->curve;
    window_free(&c->window, l1->env->mem);
    mem_free(l1->env->mem, NULL, c->block, c->block_bytes);
    mem_free(l1->env->mem, NULL, c->spaces, c->space_count * sizeof(*c->spaces));
    pthread_mutex_destroy(&c->lock);
}
