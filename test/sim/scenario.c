// SPDX-License-Identifier: MIT
// The scenarios: what may happen in a schedule, and how often; and how a schedule is drawn.

#include <stdio.h>
#include <string.h>

#include "sim/judge.h"
#include "sim/schedule.h"

/* Longer than changes are told again for. */
#define AWAY_LONG_MS 11000u

/* Every scenario's application does this. */
#define CALLS                                                                                     \
    [STEP_FETCH] = 30, [STEP_REFRESH] = 3, [STEP_GET] = 8, [STEP_GET_L1] = 8, [STEP_GET_PUT] = 4, \
    [STEP_INVALIDATE] = 10, [STEP_TAG] = 4, [STEP_SPACE] = 1, [STEP_ALL] = 1, [STEP_WRITE] = 5,   \
    [STEP_PUT] = 3
/* Small troubles, in most of them. */
#define NOISE [STEP_SLOW_ORIGIN] = 2, [STEP_BUSY] = 1, [STEP_SLOW] = 1

const struct scenario scenarios[] = {
    {"calm", .nodes_min = 2, .nodes_max = 3, .steps = 40, .seconds = 6, .judges_back = true,
     .keeps_data = true,
     .weights = {CALLS}},
    {"races", .nodes_min = 2, .nodes_max = 3, .steps = 60, .seconds = 4,
     .keeps_data = true,
     .weights = {CALLS, [STEP_SLOW_ORIGIN] = 6, [STEP_BUSY] = 4, [STEP_SLOW] = 4,
                 [STEP_PAUSE] = 3, [STEP_ORIGIN_FAILS] = 1}},
    {"links", .nodes_min = 2, .nodes_max = 3, .steps = 50, .seconds = 10,
     .keeps_data = true,
     .weights = {CALLS, NOISE, [STEP_CUT] = 8, [STEP_BLOCK] = 8, [STEP_DEAF] = 6}},
    {"pauses", .nodes_min = 2, .nodes_max = 3, .steps = 50, .seconds = 10,
     .keeps_data = true,
     .weights = {CALLS, [STEP_PAUSE] = 9, [STEP_PAUSE_REDIS] = 4, [STEP_CUT] = 2,
                 [STEP_SLOW] = 6, [STEP_BLOCK] = 3, [STEP_DEAF] = 4, [STEP_BUSY] = 1}},
    {"threads", .nodes_min = 2, .nodes_max = 3, .steps = 60, .seconds = 12,
     .keeps_data = true,
     .weights = {CALLS, [STEP_BUSY] = 10, [STEP_SLOW_ORIGIN] = 2}},
    {"together", .nodes_min = 2, .nodes_max = 3, .steps = 40, .seconds = 8,
     .keeps_data = true,
     .weights = {CALLS, [STEP_TOGETHER] = 30, [STEP_SLOW_ORIGIN] = 2, [STEP_BUSY] = 5,
                 [STEP_SLOW] = 6, [STEP_BLOCK] = 4, [STEP_PAUSE] = 3, [STEP_PAUSE_REDIS] = 2,
                 [STEP_CUT] = 3, [STEP_DEAF] = 4}},
    {"behind", .nodes_min = 2, .nodes_max = 3, .steps = 50, .seconds = 8,
     .keeps_data = true, .behind = true,
     .weights = {CALLS, [STEP_SLOW_ORIGIN] = 2, [STEP_TOGETHER] = 6, [STEP_BUSY] = 4,
                 [STEP_SLOW] = 5, [STEP_BLOCK] = 4, [STEP_PAUSE] = 3, [STEP_PAUSE_REDIS] = 3,
                 [STEP_CUT] = 4, [STEP_DEAF] = 3}},
    {"overtakes", .nodes_min = 2, .nodes_max = 3, .steps = 60, .seconds = 6, .keys_max = 2,
     .keeps_data = true, .behind = true,
     .weights = {[STEP_FETCH] = 20, [STEP_PUT] = 25, [STEP_INVALIDATE] = 20, [STEP_SLOW] = 8,
                 [STEP_BLOCK] = 4, [STEP_PAUSE_REDIS] = 4, [STEP_CUT] = 3, [STEP_PAUSE] = 2}},
    {"apart", .nodes_min = 2, .nodes_max = 3, .steps = 50, .seconds = 8,
     .keeps_data = true, .apart = true,
     .weights = {CALLS, [STEP_SLOW_ORIGIN] = 3, [STEP_TOGETHER] = 4, [STEP_BUSY] = 5,
                 [STEP_SLOW] = 6, [STEP_BLOCK] = 4, [STEP_PAUSE] = 3, [STEP_PAUSE_REDIS] = 2,
                 [STEP_CUT] = 3, [STEP_DEAF] = 4}},
    {"answers", .nodes_min = 2, .nodes_max = 2, .steps = 60, .seconds = 12, .keys_max = 2,
     .keeps_data = true,
     .weights = {[STEP_FETCH] = 30, [STEP_GET] = 8, [STEP_INVALIDATE] = 8, [STEP_TAG] = 4,
                 [STEP_SLOW] = 8, [STEP_BLOCK] = 8, [STEP_PAUSE] = 2}},
    {"evictions", .nodes_min = 2, .nodes_max = 3, .steps = 50, .seconds = 8,
     .weights = {CALLS, NOISE, [STEP_EVICT] = 14, [STEP_DEAF] = 4, [STEP_CUT] = 2}},
    {"restarts", .nodes_min = 2, .nodes_max = 3, .steps = 50, .seconds = 12,
     .weights = {CALLS, NOISE, [STEP_RESTART] = 5, [STEP_COPY] = 5, [STEP_CUT] = 2}},
    {"failovers", .nodes_min = 2, .nodes_max = 4, .steps = 50, .seconds = 12,
     .weights = {CALLS, [STEP_FAILOVER] = 6, [STEP_COPY] = 6, [STEP_BLOCK] = 2, [STEP_SLOW] = 4,
                 [STEP_BUSY] = 4, [STEP_SLOW_ORIGIN] = 2}},
    {"promotions", .nodes_min = 2, .nodes_max = 3, .steps = 36, .seconds = 16,
     .weights = {[STEP_FETCH] = 12, [STEP_INVALIDATE] = 12, [STEP_TAG] = 2, [STEP_COPY] = 6,
                 [STEP_FAILOVER] = 8, [STEP_BUSY] = 5, [STEP_SLOW] = 5}},
    {"all", .nodes_min = 2, .nodes_max = 4, .steps = 60, .seconds = 12,
     .weights = {CALLS, NOISE, [STEP_CUT] = 3, [STEP_BLOCK] = 3, [STEP_DEAF] = 2,
                 [STEP_PAUSE] = 3, [STEP_PAUSE_REDIS] = 2, [STEP_EVICT] = 3, [STEP_RESTART] = 1,
                 [STEP_COPY] = 2, [STEP_FAILOVER] = 1, [STEP_ORIGIN_FAILS] = 1}},
    {"flaps", .nodes_min = 2, .nodes_max = 4, .steps = 50, .seconds = 14,
     .soft_ttl_ms = 90000,
     .weights = {CALLS, NOISE, [STEP_FLAP] = 4, [STEP_FLAP_ALL] = 3, [STEP_COPY] = 6,
                 [STEP_CUT] = 2}},
    {"splits", .nodes_min = 2, .nodes_max = 4, .steps = 50, .seconds = 14,
     .soft_ttl_ms = 90000,
     .weights = {CALLS, NOISE, [STEP_SPLIT] = 6, [STEP_COPY] = 3, [STEP_CUT] = 1}},
    {"reloads", .nodes_min = 2, .nodes_max = 3, .steps = 50, .seconds = 12,
     .soft_ttl_ms = 90000,
     .weights = {CALLS, NOISE, [STEP_RELOAD] = 5, [STEP_COPY] = 6, [STEP_CUT] = 2}},
    {"demotions", .nodes_min = 2, .nodes_max = 3, .steps = 50, .seconds = 12,
     .soft_ttl_ms = 90000,
     .weights = {CALLS, NOISE, [STEP_DEMOTE] = 5, [STEP_COPY] = 6, [STEP_CUT] = 2}},
    {"swapdb", .nodes_min = 2, .nodes_max = 3, .steps = 50, .seconds = 12,
     .soft_ttl_ms = 90000,
     .weights = {CALLS, NOISE, [STEP_SWAPDB] = 4, [STEP_CUT] = 2}},
    {"schemas", .nodes_min = 2, .nodes_max = 4, .steps = 50, .seconds = 8,
     .two_schemas = true, .weights = {CALLS, NOISE, [STEP_CUT] = 1, [STEP_EVICT] = 2}},
    {"wall", .nodes_min = 2, .nodes_max = 3, .steps = 50, .seconds = 20,
     .soft_ttl_ms = 4000, .weights = {CALLS, NOISE, [STEP_WALL] = 5, [STEP_CUT] = 2}},
    {"puts", .open = true, .nodes_min = 2, .nodes_max = 3, .steps = 30, .seconds = 5,
     .judges_puts = true,
     .weights = {[STEP_FETCH] = 20, [STEP_PUT] = 20, [STEP_INVALIDATE] = 20, [STEP_BLOCK] = 8}},
    {"hundred", .nodes_min = 100, .nodes_max = 100, .steps = 60, .seconds = 8,
     .judges_clocks = true,
     .weights = {[STEP_FETCH] = 30, [STEP_INVALIDATE] = 6}},
};
const unsigned scenario_count = ARRAY_COUNT(scenarios);

const struct scenario *scenario_find(const char *name)
{
    for (unsigned i = 0; i < scenario_count; i++)
        if (strcmp(scenarios[i].name, name) == 0)
            return &scenarios[i];
    return NULL;
}

/* ---- drawing ---- */

static enum step_kind draw_kind(const struct scenario *scenario, struct chance *c)
{
    unsigned sum = 0;
    for (int k = 0; k < STEP_KINDS; k++)
        sum += scenario->weights[k];
    unsigned at = (unsigned)chance_below(c, sum);
    int kind = 0;
    while (at >= scenario->weights[kind])
        at -= scenario->weights[kind++];
    return (enum step_kind)kind;
}

/* How long a fault lasts: mostly short, at times beyond every deadline there is. */
static uint32_t draw_ms(struct chance *c)
{
    static const uint32_t at_most[] = {20, 300, 1500, 4500};
    return 1 + (uint32_t)chance_below(c, at_most[chance_below(c, 4)]);
}

/* `key` is the first of so many that the schedule is about. */
static void draw_step(struct step *s, const struct schedule *all, int key, int keys,
                      struct chance *c)
{
    const struct scenario *scenario = all->scenario;
    s->kind = draw_kind(scenario, c);
    s->node = (int)chance_below(c, (uint64_t)all->nodes);
    s->key = (key + (int)chance_below(c, (uint64_t)keys)) % KEYS;
    s->b = (int)chance_below(c, 4);
    s->ms = draw_ms(c);
    bool away = s->kind == STEP_FLAP || s->kind == STEP_FLAP_ALL || s->kind == STEP_SWAPDB;
    if (away && chance_percent(c, 30))
        s->ms += AWAY_LONG_MS;
    if (s->kind == STEP_PUT)
        s->key = 3 + s->key % 3;
    if (s->kind == STEP_EVICT)
        s->key = (int)chance_below(c, 4);
    if (s->kind == STEP_GET_PUT)
        s->ms = (uint32_t)chance_below(c, 20);
    if (s->kind == STEP_WALL)
        s->by_ms = (int32_t)chance_below(c, 40000) - 30000;
}

static int by_time(const void *a, const void *b)
{
    const struct step *x = a, *y = b;
    return x->at_ns < y->at_ns ? -1 : x->at_ns > y->at_ns;
}

/* Nodes connect anew after it: the moments in which they know least. */
static bool shakes(const struct step *s)
{
    return s->kind == STEP_CUT || s->kind == STEP_FAILOVER || s->kind == STEP_FLAP ||
           s->kind == STEP_FLAP_ALL || s->kind == STEP_SPLIT || s->kind == STEP_RELOAD ||
           s->kind == STEP_SWAPDB || s->kind == STEP_DEMOTE;
}

/* Steps come in bursts: what races must come close together. */
static void draw_times(struct schedule *s, struct chance *c)
{
    uint64_t at_ns = 0;
    unsigned after = 0; /* steps that follow what shook everything */
    for (uint32_t i = 0; i < s->count; i++) {
        after = i > 0 && shakes(&s->steps[i - 1]) ? 5 : after - (after > 0);
        if (after > 0 && chance_percent(c, 50))
            s->steps[i].kind = STEP_FETCH;
        if (after > 0)
            at_ns += chance_below(c, 40 * SIM_MS);
        else if (chance_percent(c, 35))
            at_ns = 300 * SIM_MS + chance_below(c, s->end_ns);
        else
            at_ns += chance_below(c, chance_percent(c, 70) ? 3 * SIM_MS : 400 * SIM_MS);
        s->steps[i].at_ns = at_ns;
    }
    qsort(s->steps, s->count, sizeof(s->steps[0]), by_time);
}

void schedule_draw(struct schedule *s, const struct scenario *scenario, uint64_t seed)
{
    struct chance c = {chance_mix(seed, 77)};
    memset(s, 0, sizeof(*s));
    s->scenario = scenario;
    s->seed = seed;
    s->nodes = scenario->nodes_min +
               (int)chance_below(&c, (uint64_t)(scenario->nodes_max - scenario->nodes_min + 1));
    s->end_ns = scenario->seconds * SIM_S / 4 + chance_below(&c, scenario->seconds * SIM_S * 3 / 4);
    s->count = scenario->steps / 3 + (uint32_t)chance_below(&c, scenario->steps * 2 / 3 + 1);
    int keys_max = scenario->keys_max ? scenario->keys_max : KEYS;
    int keys = 1 + (int)chance_below(&c, (uint64_t)keys_max), key = (int)chance_below(&c, KEYS);
    for (uint32_t i = 0; i < s->count; i++)
        draw_step(&s->steps[i], s, key, keys, &c);
    draw_times(s, &c);
    if (scenario->judges_clocks) {
        s->steps[s->count++] = (struct step){.at_ns = s->end_ns, .kind = STEP_FLAP_ALL, .ms = 4000};
        s->end_ns += 6 * SIM_S;
        qsort(s->steps, s->count, sizeof(s->steps[0]), by_time);
    }
}

/* ---- printing ---- */

static const struct {
    const char *name;
    bool key, b, ms;
} kinds[STEP_KINDS] = {
    [STEP_FETCH] = {"fetch", .key = true},
    [STEP_REFRESH] = {"fetch (refresh)", .key = true},
    [STEP_GET] = {"get", .key = true},
    [STEP_GET_L1] = {"get (L1 only)", .key = true},
    [STEP_GET_PUT] = {"get, put (1: give back)", .key = true, .b = true},
    [STEP_INVALIDATE] = {"commit and invalidate", .key = true, .b = true},
    [STEP_TAG] = {"commit and invalidate the tag of", .key = true, .b = true},
    [STEP_TOGETHER] = {"changes at once, from", .key = true, .b = true, .ms = true},
    [STEP_SPACE] = {"commit and invalidate the space of", .key = true, .b = true},
    [STEP_ALL] = {"commit and invalidate all", .b = true},
    [STEP_WRITE] = {"write", .key = true, .b = true},
    [STEP_PUT] = {"commit and put", .key = true},
    [STEP_SILENT] = {"commit silently", .key = true},
    [STEP_CUT] = {"connections cut"},
    [STEP_BLOCK] = {"network blocked (2 answers, 3 requests only)", .b = true, .ms = true},
    [STEP_PAUSE] = {"node stopped", .ms = true},
    [STEP_PAUSE_REDIS] = {"redis stopped", .ms = true},
    [STEP_DEAF] = {"published messages lost", .ms = true},
    [STEP_SLOW] = {"network slow (2, 3: only answers, all of them)", .b = true, .ms = true},
    [STEP_BUSY] = {"machines busy", .ms = true},
    [STEP_SLOW_ORIGIN] = {"origin slow", .ms = true},
    [STEP_ORIGIN_FAILS] = {"origin fails", .ms = true},
    [STEP_EVICT] = {"evicted (k0 clk, k1 log, k2 leases, k3 data)", .key = true},
    [STEP_RESTART] = {"redis restarts (0 empty, 1 as it was, 2 copy)", .b = true, .ms = true},
    [STEP_COPY] = {"redis copied to the replica"},
    [STEP_FAILOVER] = {"failover to the copy"},
    [STEP_FLAP] = {"node flaps to the promoted replica", .ms = true},
    [STEP_FLAP_ALL] = {"all flap to the promoted replica", .ms = true},
    [STEP_SPLIT] = {"failover, nodes follow one by one", .ms = true},
    [STEP_RELOAD] = {"the copy is loaded in place"},
    [STEP_DEMOTE] = {"redis a replica of the copy, and a master again"},
    [STEP_SWAPDB] = {"SWAPDB away", .ms = true},
    [STEP_WALL] = {"redis' wall clock steps"},
};

void step_print(const struct step *s, char *text, size_t size)
{
    bool on_node = s->kind == STEP_CUT || s->kind == STEP_BLOCK || s->kind == STEP_PAUSE ||
                   s->kind == STEP_DEAF || s->kind == STEP_FLAP;
    int len = on_node ? snprintf(text, size, "n%d: %s", s->node, kinds[s->kind].name)
                      : snprintf(text, size, "%s", kinds[s->kind].name);
    if (kinds[s->kind].key)
        len += snprintf(text + len, size - (size_t)len, " k%d", s->key);
    if (kinds[s->kind].b)
        len += snprintf(text + len, size - (size_t)len, " (%d)", s->b);
    if (kinds[s->kind].ms)
        len += snprintf(text + len, size - (size_t)len, " for %u ms", s->ms);
    if (s->kind == STEP_WALL)
        snprintf(text + len, size - (size_t)len, " by %d ms", s->by_ms);
}
