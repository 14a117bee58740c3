// SPDX-License-Identifier: MIT
/*
 * Where the misses of the last minute come from, as health says it, and what would spare some.
 *
 * Two questions are asked of them, each with answers of its own: how they ended, which is counted
 * ("most are for keys that do not exist"), and what L1 had of their keys as they began, of a sample
 * (misses.h). What would spare misses is said where the figures show that it would.
 */
#include "cache/commands/health.h"

#include <inttypes.h>
#include <stdio.h>

#include "cache/inspect/reasons.h"
#include "cache/report/gauges.h"
#include "cache/say.h"
#include "cache/space_l1.h"

#define MISSES_MANY 100u /* fewer say nothing, and hurt nobody */
#define SHARE_SAID 5.0   /* of a hundred */

/* Returns what the spaces count together, lately. */
static uint64_t lately(struct command *c, enum trend_count which)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < space_count(c->cache); i++)
        sum += trend_lately(&c->cache->spaces[i]->trend, which);
    return sum;
}

/* Returns after how long half of what a table has evicted is forgotten: one key takes the place of
 * another by chance (l1/fates.h), and of `kept` places half are taken anew by ln 2 times as many.
 * UINT64_MAX: longer than the minute that is told of. */
static uint64_t half_life_ns(const struct l1 *l1, uint64_t gone, uint64_t span_ns)
{
    double half = .69 * (double)l1_fates_kept(l1);
    return (double)gone > half ? (uint64_t)(half / (double)gone * (double)span_ns) : UINT64_MAX;
}

/* Returns the same of the table that forgets soonest. */
static uint64_t soonest_half_life_ns(struct command *c)
{
    uint64_t shared = 0, span_ns = 0, soonest_ns = UINT64_MAX;
    for (uint32_t i = 0; i < space_count(c->cache); i++) {
        const struct nigh_space *space = c->cache->spaces[i];
        const struct trend *t = &space->trend;
        const struct l1 *apart = space_l1_apart(space);
        uint64_t gone = trend_lately(t, TREND_EVICTED) + trend_lately(t, TREND_REFUSED);
        if (apart) {
            uint64_t own_ns = half_life_ns(apart, gone, trend_span_ns(t, TREND_MINUTE));
            soonest_ns = u64_min(soonest_ns, own_ns);
            continue;
        }
        shared += gone;
        span_ns = u64_max(span_ns, trend_span_ns(t, TREND_MINUTE));
    }
    return u64_min(soonest_ns, half_life_ns(c->cache->l1, shared, span_ns));
}

/* Says what L1 had of the keys that were missed: of a sample. Where more goes than is remembered
 * most of the evicted are among those of which it had nothing: that is said. */
static void say_causes(struct command *c)
{
    uint64_t half_ns = soonest_half_life_ns(c);
    char nothing[140] = "nothing (or it is forgotten)";
    const char *const words[] = {
        nothing,
        "\"does not exist\" that expired",
        "a value that expired",
        "one that was evicted or refused",
        "one that was invalidated or changed",
        "one not good enough or too large, or a failed load",
    };
    const char *before = "misses: what L1 had of their keys: ";
    if (half_ns != UINT64_MAX)
        snprintf(nothing, sizeof(nothing), "nothing (or it is forgotten: half of the evicted are "
                                           "within %s)", said_span(half_ns).text);
    uint64_t sum = 0;
    for (unsigned i = 0; i < ARRAY_COUNT(words); i++)
        sum += lately(c, TREND_MISS_OF + i);
    for (unsigned i = 0; i < ARRAY_COUNT(words) && sum > 0; i++) {
        double share = 100.0 * (double)lately(c, TREND_MISS_OF + i) / (double)sum;
        if (share < SHARE_SAID)
            continue;
        control_print(c->reply, "%s%s %.0f %%", before, words[i], share);
        before = ", ";
    }
    control_print(c->reply, sum > 0 ? "\n" : "");
}

/* Returns the space with the most misses of keys that do not exist; NULL: there are none. */
static const struct nigh_space *most_absent(struct command *c)
{
    const struct nigh_space *found = NULL;
    uint64_t most = 0;
    for (uint32_t i = 0; i < space_count(c->cache); i++) {
        uint64_t count = trend_lately(&c->cache->spaces[i]->trend, TREND_MISS_ABSENT);
        found = count > most ? c->cache->spaces[i] : found;
        most = u64_max(most, count);
    }
    return found;
}

/* Returns how many of a hundred misses of a space came after "does not exist" had expired: or more,
 * for where there are many that is soon forgotten. */
static uint64_t percent_expired(const struct trend *t)
{
    uint64_t sum = 0, expired = trend_lately(t, TREND_MISS_OF_ABSENT);
    for (unsigned i = TREND_MISS_OF; i < TREND_COUNTS; i++)
        sum += trend_lately(t, (enum trend_count)i);
    return sum > 0 ? 100 * expired / sum : 0;
}

/* Says that most of them are for keys that do not exist; and for how long that is known, where
 * longer is seen to help. */
static void say_absent(struct command *c, const struct nigh_space *space, uint64_t percent)
{
    char text[NIGH_NAME_MAX * 4 + 200] = "";
    struct text w = text_into(text, sizeof(text));
    uint64_t expired = percent_expired(&space->trend);
    control_print(c->reply, "; most are for keys that do not exist (%" PRIu64 " %%)", percent);
    if ((double)expired < SHARE_SAID)
        return;
    if (space_count(c->cache) > 1) {
        text_add(&w, " in space ");
        text_add_name(&w, bytes_of(space->name, space->name_len));
    }
    text_add(&w, " ");
    say_absent_ttl(&w, space);
    control_print(c->reply, ": that answer%s, longer would spare %" PRIu64 " %% of the misses or "
                            "more", text, expired);
}

void health_say_misses(struct command *c)
{
    uint64_t misses = lately(c, TREND_L1_MISS), absent = lately(c, TREND_MISS_ABSENT);
    uint64_t reads = misses + lately(c, TREND_L1_FRESH) + lately(c, TREND_L1_STALE);
    const struct nigh_space *space = most_absent(c);
    const struct trend *oldest = NULL;
    char when[60] = "";
    struct text w = text_into(when, sizeof(when));
    if (misses < MISSES_MANY)
        return;
    for (uint32_t i = 0; i < space_count(c->cache); i++)
        if (!oldest || trend_is_longer(&c->cache->spaces[i]->trend, oldest))
            oldest = &c->cache->spaces[i]->trend;
    say_minute(&w, oldest);
    control_print(c->reply, "misses: %" PRIu64 " of %" PRIu64 " reads (%.1f %%) %s", misses, reads,
                  100.0 * (double)misses / (double)reads, when);
    if (space && absent > misses / 2)
        say_absent(c, space, u64_min(100, 100 * absent / misses));
    control_print(c->reply, "\n");
    say_causes(c);
}

static double ms_of(uint64_t ns)
{
    return (double)ns / NS_PER_MS;
}

void health_say_cheaper(struct command *c)
{
    for (uint32_t i = 0; i < space_count(c->cache); i++) {
        struct nigh_space *space = c->cache->spaces[i];
        char name[4 * NIGH_NAME_MAX + 1] = "";
        struct text w = text_into(name, sizeof(name));
        uint64_t load_ns, l2_ns;
        if (space->rules.invalidations_only || !gauges_is_loader_cheaper(space, &load_ns, &l2_ns))
            continue;
        text_add_name(&w, bytes_of(space->name, space->name_len));
        control_print(c->reply, "hint: space %s: a load takes %.2f ms, less than the %.2f ms of "
                                "asking redis for the value (medians): opened with "
                                "space.l2=invalidations each process would load its own at once\n",
                      name, ms_of(load_ns), ms_of(l2_ns));
    }
}
