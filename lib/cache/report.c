// SPDX-License-Identifier: MIT
/*
 * nigh_stats: all counters and gauges, as text for people and JSON for machines.
 *
 * Counters come from the table in stats/counters.h; gauges from the table here, each with the part
 * of the cache that must be asked for it: one gauge costs what it costs alone (with 65,536 shards a
 * sum over them is milliseconds). Text leaves out counters that are zero everywhere; JSON has them
 * all, so that a reader need not guess.
 *
 * Names of spaces are bytes of the host's choice, and shown as base/text.h says.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <nigh/stats.h>

#include "cache/cache.h"
#include "cache/space.h"
#include "cache/space_l1.h"

/* ---- gauges ---- */

struct gauges {
    struct l1_gauges l1;
    struct l2_gauges l2;
    struct coherence_gauges coherence;
    uint64_t pins;
    uint64_t flights;
    uint64_t log_lost;
    uint64_t async;
    uint64_t deferred;
};

/* Names the part that is asked for a gauge: one of l1.h's, or one of those beside it. */
enum {
    ASK_CHEAP = 0, /* nothing: the gauge is told in any case */
    ASK_PINS = L1_GAUGE_ALL + 1,
    ASK_FLIGHTS = ASK_PINS << 1,
    ASK_L2 = ASK_PINS << 2,
    ASK_COHERENCE = ASK_PINS << 3,
    ASK_ALL = (ASK_PINS << 4) - 1,
};

static void read_gauges(struct nigh *cache, unsigned ask, struct gauges *g)
{
    memset(g, 0, sizeof(*g));
    l1_gauges_read(cache->l1, ask & L1_GAUGE_ALL, &g->l1);
    g->log_lost = log_lost(cache->env.log);
    g->async = atomic_load_explicit(&cache->queues.count, memory_order_relaxed);
    g->deferred = atomic_load_explicit(&cache->deferred, memory_order_relaxed);
    if (ask & ASK_PINS)
        g->pins = l1_pins(cache->l1);
    if (ask & ASK_FLIGHTS)
        g->flights = flight_count(cache->flights);
    if (ask & ASK_L2 && cache->l2)
        l2_gauges_read(cache->l2, &g->l2);
    if (ask & ASK_COHERENCE && cache->coherence)
        coherence_gauges_read(cache->coherence, &g->coherence);
}

/* X(name, what is asked, value, what it is) */
#define GAUGES(X)                                                                                  \
    X(memory_bytes, L1_GAUGE_USED, g->l1.used_bytes, "everything that counts against the cap")     \
    X(memory_peak_bytes, ASK_CHEAP, g->l1.peak_bytes, "the highest since l1.memory was set")       \
    X(memory_cap_bytes, ASK_CHEAP, g->l1.cap_bytes, "l1.memory")                                   \
    X(resident_bytes, L1_GAUGE_RESIDENT, g->l1.resident_bytes,                                     \
      "pages behind it; 0: the allocator does not know")                                           \
    X(tables_bytes, L1_GAUGE_TABLES, g->l1.tables_bytes, "of it: floors, buckets, queues")         \
    X(limbo_bytes, L1_GAUGE_LIMBO, g->l1.limbo_bytes, "of it: retired, waiting for readers")       \
    X(aside_bytes, ASK_CHEAP, g->l1.aside_bytes, "of limbo_bytes: removed while limbo was full")   \
    X(unstored_bytes, L1_GAUGE_UNSTORED, g->l1.unstored_bytes,                                     \
      "of it: handed out or on their way, not stored")                                             \
    X(pinned_bytes, L1_GAUGE_PINNED, g->l1.pinned_bytes, "of it: retired, kept by pins alone")     \
    X(pins, ASK_PINS, g->pins, "values held since a hit; not those of a load or of L2")            \
    X(entries, L1_GAUGE_ENTRIES, g->l1.entries, "in L1")                                           \
    X(shards, ASK_CHEAP, g->l1.shards, "of L1")                                                    \
    X(flights, ASK_FLIGHTS, g->flights, "keys being brought now")                                  \
    X(deferred, ASK_CHEAP, g->deferred, "loads that wait for their deferred answers")              \
    X(async, ASK_CHEAP, g->async, "calls pending on queues, or whose completions are not polled") \
    X(connected, ASK_L2, g->l2.connected, "1: the data connection to Redis is up")                 \
    X(breaker, ASK_L2, g->l2.breaker, "0 closed, 1 half-open, 2 open")                             \
    X(in_flight, ASK_L2, g->l2.in_flight, "requests to Redis without an answer yet")               \
    X(trusted, ASK_COHERENCE, g->coherence.trusted, "1: stored values may be called fresh")        \
    X(listening, ASK_COHERENCE, g->coherence.listening, "1: the listener is subscribed")           \
    X(following, ASK_COHERENCE, g->coherence.identity != 0,                                        \
      "1: it knows the clock of the Redis it talks to")                                            \
    X(sequence, ASK_COHERENCE, g->coherence.applied,                                               \
      "last invalidation applied, in Redis' count")                                                \
    X(queued, ASK_COHERENCE, g->coherence.queued, "changes that Redis has not accepted yet")       \
    X(log_lost, ASK_CHEAP, g->log_lost, "lines of the log that found no reader in time")

struct gauge {
    const char *name;
    unsigned ask;
    uint64_t (*value)(const struct gauges *g);
    const char *what;
};

#define X(name_, ask_, value_, what_)                                                              \
    static uint64_t gauge_##name_(const struct gauges *g)                                          \
    {                                                                                              \
        return (uint64_t)(value_);                                                                 \
    }
GAUGES(X)
#undef X

static const struct gauge gauges[] = {
#define X(name_, ask_, value_, what_) {#name_, ask_, gauge_##name_, what_},
    GAUGES(X)
#undef X
};
#define GAUGE_COUNT ARRAY_COUNT(gauges)

/* ---- gauges of a space with a cap of its own ---- */

static const char *const own_gauges[] = {"memory_bytes", "memory_cap_bytes", "resident_bytes",
                                         "entries"};

static const struct gauge *find_gauge(const char *name)
{
    for (size_t i = 0; i < GAUGE_COUNT; i++)
        if (strcmp(gauges[i].name, name) == 0)
            return &gauges[i];
    return NULL;
}

static uint64_t own_value(struct l1 *apart, const char *name)
{
    const struct gauge *gauge = find_gauge(name);
    struct gauges g;
    memset(&g, 0, sizeof(g));
    l1_gauges_read(apart, gauge->ask & L1_GAUGE_ALL, &g.l1);
    return gauge->value(&g);
}

/* Read a gauge of a space. NIGH_EINVAL: the space has no cap of its own, or no such gauge. */
static int64_t own_gauge(const struct nigh_space *space, const char *name)
{
    struct l1 *apart = space_l1_apart(space);
    for (size_t i = 0; i < ARRAY_COUNT(own_gauges) && apart; i++)
        if (strcmp(own_gauges[i], name) == 0)
            return (int64_t)own_value(apart, name);
    return NIGH_EINVAL;
}

/* ---- what is wrong with the link ---- */

struct problem {
    const char *name;
    struct l2_problem is;
};

#define PROBLEM_COUNT 2

static void list_problems(struct nigh *cache, struct problem list[PROBLEM_COUNT])
{
    list[0] = (struct problem){.name = "redis_problem"};
    list[1] = (struct problem){.name = "listener_problem"};
    if (cache->l2)
        l2_problem_read(cache->l2, &list[0].is);
    if (cache->coherence)
        coherence_problem_read(cache->coherence, &list[1].is);
}

static struct bytes name_of(const struct nigh_space *space)
{
    return bytes_of(space->name, space->name_len);
}

/* ---- text ---- */

static void text_gauges(struct nigh *cache, struct text *w)
{
    struct gauges g;
    read_gauges(cache, ASK_ALL, &g);
    for (size_t i = 0; i < GAUGE_COUNT; i++)
        text_add(w, "%-20s %14" PRIu64 "%s", gauges[i].name, gauges[i].value(&g),
             i % 2 == 0 && i + 1 < GAUGE_COUNT ? "     " : "\n");
}

static void text_problems(struct nigh *cache, struct text *w)
{
    struct problem list[PROBLEM_COUNT];
    list_problems(cache, list);
    for (size_t i = 0; i < PROBLEM_COUNT; i++)
        if (list[i].is.text[0])
            text_add(w, "%-20s %s (for %" PRIu64 " ms)\n", list[i].name, list[i].is.text,
                 list[i].is.for_ms);
}

static void text_counters(struct text *w, struct stats *stats)
{
    uint64_t counts[STATS_COUNTER_COUNT];
    stats_read_all(stats, counts);
    for (size_t i = 0; i < STATS_COUNTER_COUNT; i++)
        if (counts[i])
            text_add(w, "  %-18s %14" PRIu64 "  %s\n", stats_counter_infos[i].name, counts[i],
                 stats_counter_infos[i].doc);
}

static void text_own_gauges(struct text *w, const struct nigh_space *space)
{
    struct l1 *apart = space_l1_apart(space);
    for (size_t i = 0; i < ARRAY_COUNT(own_gauges) && apart; i++)
        text_add(w, "  %-18s %14" PRIu64 "  %s\n", own_gauges[i], own_value(apart, own_gauges[i]),
             find_gauge(own_gauges[i])->what);
}

static void write_text(struct nigh *cache, struct text *w)
{
    text_gauges(cache, w);
    text_problems(cache, w);
    text_add(w, "\ncache\n");
    text_counters(w, &cache->stats);
    for (uint32_t i = 0; i < space_count(cache); i++) {
        text_add(w, "\nspace ");
        text_add_name(w, name_of(cache->spaces[i]));
        text_add(w, "\n");
        text_own_gauges(w, cache->spaces[i]);
        text_counters(w, &cache->spaces[i]->stats);
    }
}

/* ---- JSON ---- */

static void json_counters(struct text *w, struct stats *stats)
{
    uint64_t counts[STATS_COUNTER_COUNT];
    stats_read_all(stats, counts);
    for (size_t i = 0; i < STATS_COUNTER_COUNT; i++)
        text_add(w, "%s\"%s\": %" PRIu64, i ? ", " : "", stats_counter_infos[i].name, counts[i]);
}

static void json_own_gauges(struct text *w, const struct nigh_space *space)
{
    struct l1 *apart = space_l1_apart(space);
    for (size_t i = 0; i < ARRAY_COUNT(own_gauges) && apart; i++)
        text_add(w, ", \"%s\": %" PRIu64, own_gauges[i], own_value(apart, own_gauges[i]));
}

static void json_problems(struct nigh *cache, struct text *w)
{
    struct problem list[PROBLEM_COUNT];
    list_problems(cache, list);
    for (size_t i = 0; i < PROBLEM_COUNT; i++) {
        text_add(w, ", \"%s\": ", list[i].name);
        text_add_json(w, bytes_of_string(list[i].is.text));
        text_add(w, ", \"%s_ms\": %" PRIu64, list[i].name, list[i].is.for_ms);
    }
}

static void write_json(struct nigh *cache, struct text *w)
{
    struct gauges g;
    read_gauges(cache, ASK_ALL, &g);
    text_add(w, "{\"gauges\": {");
    for (size_t i = 0; i < GAUGE_COUNT; i++)
        text_add(w, "%s\"%s\": %" PRIu64, i ? ", " : "", gauges[i].name, gauges[i].value(&g));
    text_add(w, "}");
    json_problems(cache, w);
    text_add(w, ", \"cache\": {");
    json_counters(w, &cache->stats);
    text_add(w, "}, \"spaces\": {");
    for (uint32_t i = 0; i < space_count(cache); i++) {
        text_add(w, "%s", i ? ", " : "");
        text_add_json(w, name_of(cache->spaces[i]));
        text_add(w, ": {");
        json_counters(w, &cache->spaces[i]->stats);
        json_own_gauges(w, cache->spaces[i]);
        text_add(w, "}");
    }
    text_add(w, "}}\n");
}

long nigh_stats(struct nigh *cache, enum nigh_stats_format format, char *buffer, size_t size)
{
    struct text w = text_into(buffer, size);
    int rc = cache_check_open(cache);
    if (rc != 0)
        return rc;
    if (format == NIGH_STATS_TEXT)
        write_text(cache, &w);
    else if (format == NIGH_STATS_JSON)
        write_json(cache, &w);
    else
        return NIGH_EINVAL;
    return (long)w.needed;
}

void nigh_stats_print(FILE *out)
{
    for (size_t i = 0; i < GAUGE_COUNT; i++)
        fprintf(out, "%-20s gauge    %s\n", gauges[i].name, gauges[i].what);
    for (size_t i = 0; i < STATS_COUNTER_COUNT; i++)
        fprintf(out, "%-20s counter  %s\n", stats_counter_infos[i].name,
                stats_counter_infos[i].doc);
}

/* ---- by name ---- */

static int find_counter(const char *name)
{
    for (int i = 0; i < STATS_COUNTER_COUNT; i++)
        if (strcmp(stats_counter_infos[i].name, name) == 0)
            return i;
    return -1;
}

static int64_t counter_sum(struct nigh *cache, enum stats_counter c)
{
    uint64_t sum = stats_read(&cache->stats, c);
    for (uint32_t i = 0; i < space_count(cache); i++)
        sum += stats_read(&cache->spaces[i]->stats, c);
    return (int64_t)sum;
}

static int64_t gauge_value(struct nigh *cache, const char *name)
{
    const struct gauge *gauge = find_gauge(name);
    struct gauges g;
    if (!gauge)
        return NIGH_EINVAL;
    read_gauges(cache, gauge->ask, &g);
    return (int64_t)gauge->value(&g);
}

int64_t nigh_stats_value(struct nigh *cache, const char *space_name, const char *name)
{
    int rc = cache_check_open(cache);
    if (rc != 0)
        return rc;
    if (!name)
        return NIGH_EINVAL;
    int counter = find_counter(name);
    if (!space_name)
        return counter >= 0 ? counter_sum(cache, (enum stats_counter)counter)
                            : gauge_value(cache, name);
    struct nigh_space *space = space_find(cache, bytes_of_string(space_name));
    if (!space)
        return NIGH_EINVAL;
    return counter >= 0 ? (int64_t)stats_read(&space->stats, (enum stats_counter)counter)
                        : own_gauge(space, name);
}
