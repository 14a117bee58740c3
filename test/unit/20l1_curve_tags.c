// SPDX-License-Identifier: MIT
// What is invalidated by tag is gone in caches of other sizes, too: also where these have what the
// real one has not got, and of which nobody knows the tags until it is loaded.

#include "support/l1_curve.h"

/* Of 350 reads a second each is for one of 8,000 pages. 100 of them have a tag, and .6 tags a
 * second change: in a minute a third of all pages, or more. */
#define RATE 350u
#define SECONDS 400u
#define PAGES 8000u
#define PAGE 2500u /* bytes, and up to 1,500 more */
#define TAGS 80u
#define TAG_SLOT GROUP_SLOT_TAGS /* of the first one */
#define CAPS 3u       /* 4, 8 and 16 MiB */

struct tagged {
    struct cache c;
    struct l1_curve curve;
    uint64_t hits, reads;
    uint64_t before; /* hits of the first half */
};

static void load_page(struct tagged *w, unsigned number)
{
    static const char zeros[PAGE + 1500];
    struct l1_value value = cache_value(&w->c, zeros, PAGE + number * 769 % 1500);
    uint16_t slot = (uint16_t)(TAG_SLOT + number % TAGS);
    value.groups = &slot;
    value.group_count = 1;
    cache_store(&w->c, number, &value);
}

/* Ask as a reader does who loads what he misses, or finds invalidated. */
static void ask_page(struct tagged *w, unsigned number)
{
    struct cache *c = &w->c;
    struct name name;
    struct l1_key key = cache_key(c, &name, number);
    bool marked = l1_marks(c->l1, key.hash);
    rcu_enter();
    struct l1_entry *e = l1_find_rcu(c->l1, &key);
    bool hit = e && l1_judge(c->l1, e) == L1_CURRENT;
    uint32_t touched = hit ? l1_touch(e, l1_generation(&c->space.hit)) : 0;
    if (touched & L1_TOUCHED_SAMPLED)
        l1_report_hit(e);
    if (touched & L1_TOUCHED_MARKED)
        l1_curve_hit(c->l1, e, l1_ticks_of(clock_now_ns(c->fake.env.clock)), true);
    rcu_leave();
    if (!hit && marked)
        l1_curve_miss(c->l1, &key);
    if (!hit)
        load_page(w, number);
    w->hits += hit;
    if (++w->reads % 16 == 0)
        rest(c);
}

static void open_tagged(struct tagged *w, uint64_t cap)
{
    memset(w, 0, sizeof(*w));
    fake_env_init(&w->c.fake, seed_now());
    struct l1_config config = cache_config(&w->c, cap, 16);
    config.mark_one_in = 16;
    cache_open_config(&w->c, config);
    l1_curve_set(w->c.l1, true);
}

/* Returns the number of a tag that changes now, or TAGS. */
static unsigned next_change(uint64_t *state)
{
    unsigned tag = (unsigned)(check_random(state) % TAGS);
    return check_random(state) % 1750 < 3 ? tag : TAGS;
}

static void ask_all(struct tagged w[CAPS], unsigned page, unsigned changed)
{
    for (unsigned cap = 0; cap < CAPS; cap++) {
        if (changed < TAGS)
            l1_raise_group(w[cap].c.l1, (uint16_t)(TAG_SLOT + changed), false);
        ask_page(&w[cap], page);
        fake_env_advance(&w[cap].c.fake, NS_PER_S / RATE);
        if (w[cap].reads % RATE == 0)
            keep(&w[cap].c, w[cap].hits, w[cap].reads);
        if (w[cap].reads == RATE * SECONDS / 2)
            w[cap].before = w[cap].hits;
    }
}

static double hits_lately(const struct tagged *w)
{
    return (double)(w->hits - w->before) / (RATE * SECONDS / 2);
}

/* Returns by how much one cap tells too much of a larger one. */
static double too_much(const struct tagged *from, const struct tagged *to, uint32_t point)
{
    const struct l1_curve_point *said = &from->curve.points[point];
    CHECK(said->enough);
    return said->ratio - from->curve.ratio - (hits_lately(to) - hits_lately(from));
}

/* ... in the mean of all. */
static double replay_tagged(void)
{
    static struct tagged w[CAPS];
    uint64_t state = own_seed;
    make_trace();
    for (unsigned cap = 0; cap < CAPS; cap++)
        open_tagged(&w[cap], (uint64_t)CAP << cap);
    for (unsigned i = 0; i < RATE * SECONDS; i++)
        ask_all(w, trace[i] % PAGES, next_change(&state));
    for (unsigned cap = 0; cap < CAPS; cap++)
        REQUIRE(l1_curve_read(w[cap].c.l1, &w[cap].curve));
    double sum = too_much(&w[0], &w[1], CURVE_NOW + 1) + too_much(&w[0], &w[2], CURVE_NOW + 2) +
                 too_much(&w[1], &w[2], CURVE_NOW + 1);
    for (unsigned cap = 0; cap < CAPS; cap++)
        cache_close(&w[cap].c);
    return sum / 3;
}

/* Seeds are the same in each run. Of 26 the mean is off by 1.1 points at most; without telling what
 * is below a floor it was 1.9 to 3.6 points too much. */
TEST(what_is_invalidated_by_tag_is_gone_in_larger_caches)
{
    unsigned seconds = check_seconds(1);
    for (own_seed = 1; own_seed <= (seconds > 5 ? seconds : 1); own_seed++) {
        double off = 100 * replay_tagged();
        if (!CHECK(off > -1.6 && off < 1.6) || seconds > 5)
            check_note("seed %" PRIu64 ": %+.2f points", own_seed, off);
    }
    own_seed = 0;
}
