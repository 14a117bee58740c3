// SPDX-License-Identifier: MIT
/*
 * nigh_stats: all counters and gauges, as text for people and JSON for machines.
 *
 * Counters come from the table in stats/counters.h; gauges from the table here. Text leaves out
 * counters that are zero everywhere; JSON has them all, so that a reader need not guess.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <nigh/stats.h>

#include "cache/cache.h"
#include "cache/space.h"

/* ---- gauges ---- */

struct gauges {
    struct l1_gauges l1;
    struct l2_gauges l2;
    struct coherence_gauges coherence;
    uint64_t pins;
    uint64_t pinned_bytes;
    uint64_t flights;
    uint64_t log_lost;
};

static void read_gauges(struct nigh *cache, struct gauges *g)
{
    memset(g, 0, sizeof(*g));
    l1_gauges_read(cache->l1, &g->l1);
    l1_pins_read(cache->l1, &g->pins, &g->pinned_bytes);
    g->flights = flight_count(cache->flights);
    g->log_lost = log_lost(cache->env.log);
    if (cache->l2)
        l2_gauges_read(cache->l2, &g->l2);
    if (cache->coherence)
        coherence_gauges_read(cache->coherence, &g->coherence);
}

/* X(name, value, what it is) */
#define GAUGES(X)                                                                                  \
    X(memory_bytes, g->l1.used_bytes, "everything that counts against the cap")                    \
    X(memory_peak_bytes, g->l1.peak_bytes, "the highest since l1.memory was set")                  \
    X(memory_cap_bytes, g->l1.cap_bytes, "l1.memory")                                              \
    X(resident_bytes, g->l1.resident_bytes, "pages behind it; 0: the allocator does not know")     \
    X(tables_bytes, g->l1.tables_bytes, "of it: floors, buckets, queues")                          \
    X(limbo_bytes, g->l1.limbo_bytes, "of it: retired, waiting for readers")                       \
    X(aside_bytes, g->l1.aside_bytes, "of limbo_bytes: removed while limbo was full")              \
    X(unstored_bytes, g->l1.unstored_bytes, "of it: handed out or on their way, not stored")       \
    X(pinned_bytes, g->pinned_bytes, "of it: retired, kept by pins alone")                         \
    X(pins, g->pins, "values held since a hit; not those of a load or of L2")                      \
    X(entries, g->l1.entries, "in L1")                                                             \
    X(shards, g->l1.shards, "of L1")                                                               \
    X(flights, g->flights, "keys being brought now")                                               \
    X(connected, g->l2.connected, "1: the data connection to Redis is up")                         \
    X(breaker, g->l2.breaker, "0 closed, 1 half-open, 2 open")                                     \
    X(in_flight, g->l2.in_flight, "requests to Redis without an answer yet")                       \
    X(trusted, g->coherence.trusted, "1: stored values may be called fresh")                       \
    X(listening, g->coherence.listening, "1: the listener is subscribed")                          \
    X(following, g->coherence.identity != 0, "1: it knows the clock of the Redis it talks to")     \
    X(sequence, g->coherence.applied, "last invalidation applied, in Redis' count")                \
    X(queued, g->coherence.queued, "invalidations that Redis has not accepted yet")                \
    X(log_lost, g->log_lost, "lines of the log that found no reader in time")

struct gauge {
    const char *name;
    uint64_t value;
};

#define GAUGE_ONE(name, value, what) +1
#define GAUGE_COUNT (0 GAUGES(GAUGE_ONE))

static void list_gauges(struct nigh *cache, struct gauge list[GAUGE_COUNT])
{
    struct gauges all;
    const struct gauges *g = &all;
    size_t i = 0;
    read_gauges(cache, &all);
#define X(name_, value_, what) list[i++] = (struct gauge){#name_, (uint64_t)(value_)};
    GAUGES(X)
#undef X
}

/* ---- a bounded writer ---- */

struct writer {
    char *at;
    size_t room;
    size_t needed;
};

__attribute__((format(printf, 2, 3))) static void emit(struct writer *w, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(w->room ? w->at : NULL, w->room, fmt, args);
    va_end(args);
    if (n < 0)
        return;
    size_t wrote = (size_t)n < w->room ? (size_t)n : w->room ? w->room - 1 : 0;
    w->at += wrote;
    w->room -= wrote;
    w->needed += (size_t)n;
}

/* ---- text ---- */

static void text_gauges(struct nigh *cache, struct writer *w)
{
    struct gauge list[GAUGE_COUNT];
    list_gauges(cache, list);
    for (size_t i = 0; i < GAUGE_COUNT; i++)
        emit(w, "%-20s %14" PRIu64 "%s", list[i].name, list[i].value,
             i % 2 == 0 && i + 1 < GAUGE_COUNT ? "     " : "\n");
}

static void text_counters(struct writer *w, const char *title, struct stats *stats)
{
    uint64_t counts[STATS_COUNTER_COUNT];
    stats_read_all(stats, counts);
    emit(w, "\n%s\n", title);
    for (size_t i = 0; i < STATS_COUNTER_COUNT; i++)
        if (counts[i])
            emit(w, "  %-18s %14" PRIu64 "  %s\n", stats_counter_infos[i].name, counts[i],
                 stats_counter_infos[i].doc);
}

static void write_text(struct nigh *cache, struct writer *w)
{
    char title[NIGH_NAME_MAX + 16];
    text_gauges(cache, w);
    text_counters(w, "cache", &cache->stats);
    for (uint32_t i = 0; i < space_count(cache); i++) {
        snprintf(title, sizeof(title), "space %s", cache->spaces[i]->name);
        text_counters(w, title, &cache->spaces[i]->stats);
    }
}

/* ---- JSON ---- */

/* Names are bytes of the host's choice: escape what JSON does not take. */
static void json_string(struct writer *w, const char *s)
{
    emit(w, "\"");
    for (; *s; s++) {
        if (*s == '"' || *s == '\\' || (unsigned char)*s < 0x20)
            emit(w, "\\u%04x", (unsigned char)*s);
        else
            emit(w, "%c", *s);
    }
    emit(w, "\"");
}

static void json_counters(struct writer *w, struct stats *stats)
{
    uint64_t counts[STATS_COUNTER_COUNT];
    stats_read_all(stats, counts);
    emit(w, "{");
    for (size_t i = 0; i < STATS_COUNTER_COUNT; i++)
        emit(w, "%s\"%s\": %" PRIu64, i ? ", " : "", stats_counter_infos[i].name, counts[i]);
    emit(w, "}");
}

static void write_json(struct nigh *cache, struct writer *w)
{
    struct gauge list[GAUGE_COUNT];
    list_gauges(cache, list);
    emit(w, "{\"gauges\": {");
    for (size_t i = 0; i < GAUGE_COUNT; i++)
        emit(w, "%s\"%s\": %" PRIu64, i ? ", " : "", list[i].name, list[i].value);
    emit(w, "}, \"cache\": ");
    json_counters(w, &cache->stats);
    emit(w, ", \"spaces\": {");
    for (uint32_t i = 0; i < space_count(cache); i++) {
        emit(w, "%s", i ? ", " : "");
        json_string(w, cache->spaces[i]->name);
        emit(w, ": ");
        json_counters(w, &cache->spaces[i]->stats);
    }
    emit(w, "}}\n");
}

long nigh_stats(struct nigh *cache, enum nigh_stats_format format, char *buffer, size_t size)
{
    struct writer w = {buffer, buffer ? size : 0, 0};
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
#define X(name, value, what) fprintf(out, "%-20s gauge    %s\n", #name, what);
    GAUGES(X)
#undef X
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
    struct gauge list[GAUGE_COUNT];
    list_gauges(cache, list);
    for (size_t i = 0; i < GAUGE_COUNT; i++)
        if (strcmp(list[i].name, name) == 0)
            return (int64_t)list[i].value;
    return NIGH_EINVAL;
}

int64_t nigh_stats_value(struct nigh *cache, const char *space_name, const char *name)
{
    int rc = cache_check_open(cache);
    if (rc != 0)
        return rc;
    int counter = find_counter(name);
    if (!space_name)
        return counter >= 0 ? counter_sum(cache, (enum stats_counter)counter)
                            : gauge_value(cache, name);
    struct nigh_space *space = space_find(cache, bytes_of_string(space_name));
    if (!space || counter < 0)
        return NIGH_EINVAL;
    return (int64_t)stats_read(&space->stats, (enum stats_counter)counter);
}
