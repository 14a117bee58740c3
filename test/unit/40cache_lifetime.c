// SPDX-License-Identifier: MIT
// Lifetimes from both ends of what 32 bits can say: cut to NIGH_LIFETIME_MAX_MS, spread, never
// wrapped into short ones, whoever gives them.

#include "cache/value/lifetime.h"

#include <stdio.h>
#include <string.h>

#include "support/origin.h"

#define MAX NIGH_LIFETIME_MAX_MS

TEST(the_own_lifetime_counts_before_the_rule)
{
    static const struct {
        uint32_t own, rule, becomes;
    } rows[] = {
        {0, 0, 0}, {0, 7, 7}, {0, MAX, MAX},
        {1, 7, 1}, {MAX - 1, 7, MAX - 1}, {MAX, 7, MAX}, {MAX + 1, 7, MAX},
        {NIGH_NONE - 1, 7, MAX}, {NIGH_NONE, 7, 0}, {NIGH_NONE, 0, 0},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        for (uint64_t noise = 0; noise < 2; noise++)
            if (!CHECK_EQ(lifetime_ms(rows[i].own, rows[i].rule, 0, -noise), rows[i].becomes))
                check_note("was own %u, rule %u", rows[i].own, rows[i].rule);
}

TEST(jitter_never_wraps)
{
    CHECK_EQ(lifetime_ms(NIGH_NONE - 1, 1, 50, 0), MAX / 2);
    CHECK_EQ(lifetime_ms(NIGH_NONE - 1, 1, 50, UINT64_MAX), MAX / 2 * 3);
    CHECK_EQ(lifetime_ms(NIGH_NONE, 1, 50, UINT64_MAX), 0);
    CHECK_EQ(lifetime_ms(1, 1, 50, UINT64_MAX), 1);
}

TEST(the_range_of_plain_puts_is_what_the_rule_may_come_to)
{
    static const uint32_t rules[] = {1, 20, 60000, MAX};
    static const uint32_t jitters[] = {0, 10, 50};
    for (size_t i = 0; i < ARRAY_COUNT(rules); i++)
        for (size_t j = 0; j < ARRAY_COUNT(jitters); j++) {
            struct l1_span span = lifetime_span(rules[i], jitters[j]);
            uint64_t least = lifetime_ms(0, rules[i], jitters[j], 0) * NS_PER_MS;
            uint64_t most = lifetime_ms(0, rules[i], jitters[j], UINT64_MAX) * NS_PER_MS;
            uint64_t sum = (uint64_t)span.least + span.spread;
            CHECK_EQ(span.least, least >> ENTRY_TICK_SHIFT);
            CHECK_LE(sum, most >> ENTRY_TICK_SHIFT);
            CHECK_GE(sum + 1, most >> ENTRY_TICK_SHIFT);
        }
}

TEST(the_hard_lifetime_saturates)
{
    CHECK_EQ(lifetime_hard_ms(0, 0, 0), 1); /* Redis takes no 0 */
    CHECK_EQ(lifetime_hard_ms(1, 0, 0), 1);
    CHECK_EQ(lifetime_hard_ms(1, 2, 3), 6);
    CHECK_EQ(lifetime_hard_ms(UINT32_MAX - 2, 1, 1), UINT32_MAX);
    CHECK_EQ(lifetime_hard_ms(UINT32_MAX - 2, 2, 1), UINT32_MAX);
    CHECK_EQ(lifetime_hard_ms(UINT32_MAX, UINT32_MAX, UINT32_MAX), UINT32_MAX);
    CHECK_EQ(lifetime_hard_ms(MAX / 2 * 3, MAX / 2 * 3, MAX), UINT32_MAX);
}

/* ---- through the calls ---- */

static struct nigh_call given;

static int load_given(struct origin *o, struct nigh_fill *fill)
{
    CHECK_EQ(nigh_fill_set_ttl(fill, given.soft_ttl_ms, given.stale_ms), 0);
    return origin_answer(o, fill);
}

/* Between half and one and a half of `ms`, as jitter and the precision of times allow. */
static void check_span(int64_t got_ms, uint32_t ms)
{
    CHECK_GE(got_ms, (int64_t)ms / 2 * 999 / 1000 - 1);
    CHECK_LE(got_ms, (int64_t)ms * 3 / 2 + 1);
}

static void check_lives(struct world *w, const char *key, uint32_t soft_ms, uint32_t stale_ms)
{
    struct nigh_value v = NIGH_VALUE_INIT;
    CHECK_EQ(nigh_fetch(w->space, key, strlen(key), NULL, &v), NIGH_FRESH);
    check_span(nigh_value_fresh_ms(w->cache, &v), soft_ms);
    check_span(nigh_value_stale_ms(w->cache, &v), soft_ms + stale_ms);
    nigh_release(&v);
}

static void check_given(struct world *w, uint32_t soft_ms, uint32_t stale_ms, uint32_t soft_is,
                        uint32_t stale_is)
{
    static unsigned number;
    unsigned failed = check_failed_count();
    given.soft_ttl_ms = soft_ms;
    given.stale_ms = stale_ms;
    for (int i = 0; i < 20; i++) {
        char key[32];
        snprintf(key, sizeof(key), "loaded %u", ++number);
        w->origin.script = load_given;
        check_lives(w, key, soft_is, stale_is);
        snprintf(key, sizeof(key), "put %u", number);
        CHECK_EQ(nigh_put(w->space, key, strlen(key), "v", 1, &given), 0);
        w->origin.script = NULL;
        check_lives(w, key, soft_is, stale_is);
    }
    CHECK_EQ(w->origin.loads, number);
    if (check_failed_count() != failed)
        check_note("was soft %u, stale %u", soft_ms, stale_ms);
}

TEST(lifetimes_near_2_32_ms_became_microseconds)
{
    struct world w;
    struct nigh_options o = world_options(&w);
    struct nigh_space_options so = NIGH_SPACE_OPTIONS_INIT;
    so.jitter_percent = 50;
    so.soft_ttl_ms = 30000;
    so.stale_ms = 20000;
    given = (struct nigh_call)NIGH_CALL_INIT;
    world_open(&w, &o, &so);
    check_given(&w, 0, 0, 30000, 20000);
    check_given(&w, 10000, NIGH_NONE, 10000, 0);
    check_given(&w, MAX - 1, 1000, MAX - 1, 1000);
    check_given(&w, MAX, MAX, MAX, MAX);
    check_given(&w, MAX + 1, MAX + 1, MAX, MAX);
    check_given(&w, 2863311531u, 0, MAX, 20000); /* with 50 %, 2^32 and a bit */
    check_given(&w, NIGH_NONE - 1, NIGH_NONE - 1, MAX, MAX);
    world_close(&w);
}

static int absent_given(struct origin *o, struct nigh_fill *fill)
{
    (void)o;
    CHECK_EQ(nigh_fill_set_ttl(fill, given.soft_ttl_ms, given.stale_ms), 0);
    return nigh_fill_absent(fill);
}

/* Not its stale time: an absence has none. */
TEST(an_absence_lives_as_long_as_its_loader_says)
{
    static const uint32_t rows[][2] = {
        {0, 100}, {1, 1}, {MAX - 1, MAX - 1}, {MAX + 1, MAX}, {NIGH_NONE - 1, MAX}};
    struct world w;
    struct nigh_options o = world_options(&w);
    struct nigh_space_options so = exact_space();
    so.absent_ttl_ms = 100;
    world_open(&w, &o, &so);
    w.origin.script = absent_given;
    given.stale_ms = NIGH_NONE - 1;
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char key[2] = {(char)('a' + i), 0};
        uint32_t life_ms = rows[i][1];
        given.soft_ttl_ms = rows[i][0];
        CHECK_EQ(ask_fetch(w.space, key, NULL).outcome, NIGH_ABSENT);
        world_advance(&w, life_ms - life_ms / 1000 - 1);
        CHECK_EQ(ask_get(w.space, key, NULL).outcome, NIGH_ABSENT);
        world_advance(&w, life_ms / 1000 + 1);
        CHECK_EQ(ask_get(w.space, key, NULL).outcome, NIGH_MISS);
    }
    world_close(&w);
}
