// SPDX-License-Identifier: MIT
/*
 * The tables of gauges, and reading what they are made of.
 */
#include "cache/report/gauges.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cache/space.h"
#include "cache/space_l1.h"

/* Names the part that is asked for a gauge: one of l1.h's, or one of those beside it. */
enum {
    ASK_CHEAP = 0, /* nothing: the gauge is told in any case */
    ASK_PINS = L1_GAUGE_ALL + 1,
    ASK_FLIGHTS = ASK_PINS << 1,
    ASK_L2 = ASK_PINS << 2,
    ASK_COHERENCE = ASK_PINS << 3,
    ASK_STATS = ASK_PINS << 4,
    ASK_PAST = ASK_PINS << 5,
    ASK_CURVE = ASK_PINS << 6,
};

/* Sum up what counting takes: of the cache, of each space, in the shards. */
static uint64_t counters_bytes(struct nigh *cache)
{
    uint64_t sum = stats_bytes(&cache->stats) + l1_level_bytes(cache->l1);
    for (uint32_t i = 0; i < space_count(cache); i++)
        sum += stats_bytes(&cache->spaces[i]->stats);
    return sum;
}

static uint64_t load_relaxed(const _Atomic uint64_t *word)
{
    return atomic_load_explicit(word, memory_order_relaxed);
}

static void read_lag(struct nigh *cache, struct gauges *g)
{
    uint64_t now_ns = clock_now_ns(&cache->clock), at_ns = load_relaxed(&cache->lag.longest_at_ns);
    g->lag_longest_ms = load_relaxed(&cache->lag.longest_ns) / NS_PER_MS;
    g->lag_longest_ago_ms = at_ns && now_ns > at_ns ? (now_ns - at_ns) / NS_PER_MS : 0;
    uint64_t since_ns = load_relaxed(&cache->lag.since_ns);
    g->lag_window_ms = since_ns && now_ns > since_ns ? (now_ns - since_ns) / NS_PER_MS : 0;
}

static void read_curve(struct nigh *cache, struct gauges *g)
{
    struct l1_curve c;
    const struct l1_curve_point *twice = &c.points[L1_CURVE_TWICE], *now = twice - 1;
    if (!l1_curve_read(cache->l1, &c) || !twice->enough || !now->enough)
        return;
    g->curve_known = true;
    g->curve_twice = twice->ratio > c.ratio ? twice->ratio - c.ratio : 0;
    g->curve_error = twice->error;
}

void gauges_read(struct nigh *cache, unsigned ask, struct gauges *g)
{
    memset(g, 0, sizeof(*g));
    g->uptime_ms = cache_uptime_ns(cache) / NS_PER_MS;
    l1_gauges_read(cache->l1, ask & L1_GAUGE_ALL, &g->l1);
    g->log_lost = log_lost(cache->env.log);
    g->async = atomic_load_explicit(&cache->queues.count, memory_order_relaxed);
    g->deferred = atomic_load_explicit(&cache->deferred, memory_order_relaxed);
    if (ask & ASK_PINS)
        g->pins = l1_pins(cache->l1);
    if (ask & ASK_FLIGHTS)
        g->flights = flight_count(cache->flights);
    if (ask & ASK_STATS)
        g->stats_bytes = counters_bytes(cache);
    if (ask & ASK_L2 && cache->l2)
        l2_gauges_read(cache->l2, &g->l2);
    if (ask & ASK_COHERENCE && cache->coherence)
        coherence_gauges_read(cache->coherence, &g->coherence);
    if (ask & ASK_PAST && cache->coherence)
        coherence_past_read(cache->coherence, &g->past);
    if (ask & ASK_PAST)
        read_lag(cache, g);
    if (ask & ASK_CURVE)
        read_curve(cache, g);
}

/* X(name, what is asked, value, what it is) */
#define GAUGES(X)                                                                                  \
    X(uptime_ms, ASK_CHEAP, g->uptime_ms, "since the cache was opened")                            \
    X(memory_bytes, L1_GAUGE_USED, g->l1.used_bytes, "everything that counts against the cap")     \
    X(memory_peak_bytes, ASK_CHEAP, g->l1.peak_bytes, "the highest since l1.memory was set")       \
    X(memory_cap_bytes, ASK_CHEAP, g->l1.cap_bytes, "l1.memory")                                   \
    X(resident_bytes, L1_GAUGE_RESIDENT, g->l1.resident_bytes,                                     \
      "pages behind it; 0: the allocator does not know")                                           \
    X(tables_bytes, L1_GAUGE_TABLES, g->l1.tables_bytes, "of l1.memory: floors, buckets, queues")  \
    X(floors_bytes, L1_GAUGE_TABLES, g->l1.floors_bytes,                                           \
      "of tables_bytes: 16 B for each of coherence.group_slots, and those of keys")                \
    X(limbo_bytes, L1_GAUGE_LIMBO, g->l1.limbo_bytes, "of l1.memory: retired, awaiting readers")   \
    X(aside_bytes, ASK_CHEAP, g->l1.aside_bytes, "of limbo_bytes: removed while limbo was full")   \
    X(unstored_bytes, L1_GAUGE_UNSTORED, g->l1.unstored_bytes,                                     \
      "of l1.memory: handed out or on their way, not stored")                                      \
    X(pinned_bytes, L1_GAUGE_PINNED, g->l1.pinned_bytes, "of l1.memory: retired, kept by pins")    \
    X(pins, ASK_PINS, g->pins, "values held since a hit; not those of a load or of L2")            \
    X(entries, L1_GAUGE_ENTRIES, g->l1.entries, "in L1")                                           \
    X(shards, ASK_CHEAP, g->l1.shards, "of L1")                                                    \
    X(lock_waits, L1_GAUGE_WAITS, g->l1.lock_waits, "times that a shard's lock was waited for")    \
    X(lock_wait_us, L1_GAUGE_WAITS, g->l1.lock_wait_ns / 1000,                                     \
      "how long waiting for shards' locks took, in all")                                           \
    X(curve_known, ASK_CURVE, g->curve_known,                                                      \
      "1: the curve tells what twice l1.memory would bring the spaces that share it")              \
    X(curve_twice_ppm, ASK_CURVE, g->curve_twice * 1e6,                                            \
      "hits that twice l1.memory would bring, of all reads; 0: none, or it is not known")          \
    X(curve_twice_error_ppm, ASK_CURVE, g->curve_error * 1e6, "how far off that may be: its +-")   \
    X(stats_bytes, ASK_STATS, g->stats_bytes,                                                      \
      "of all spaces' counters and histograms, which are outside of l1.memory")                    \
    X(flights, ASK_FLIGHTS, g->flights, "keys being brought now")                                  \
    X(deferred, ASK_CHEAP, g->deferred, "loads that wait for their deferred answers")              \
    X(async, ASK_CHEAP, g->async, "calls pending on queues, or whose completions are not polled")  \
    X(connected, ASK_L2, g->l2.connected, "1: the data connection to Redis is up")                 \
    X(breaker, ASK_L2, g->l2.breaker, "0 closed, 1 half-open, 2 open")                             \
    X(in_flight, ASK_L2, g->l2.in_flight, "requests to Redis without an answer yet")               \
    X(redis_evicted_keys, ASK_L2, g->l2.usage.evicted,                                             \
      "keys that redis has evicted since it started; asked for every 10 s")                        \
    X(redis_memory_bytes, ASK_L2, g->l2.usage.memory_bytes, "used by redis; asked every 10 s")     \
    X(redis_memory_cap_bytes, ASK_L2, g->l2.usage.cap_bytes,                                       \
      "maxmemory of redis; asked for every 10 s; 0: there is none")                                \
    X(trusted, ASK_COHERENCE, g->coherence.trusted, "1: stored values may be called fresh")        \
    X(doubt_ms, ASK_COHERENCE, g->coherence.doubt_ms,                                              \
      "for how long trust was away, in all, since it held first")                                  \
    X(doubt_last_ms, ASK_PAST, g->past.doubt.lasted_ms,                                            \
      "for how long trust was away the last time that is over; 0: there was none")                 \
    X(doubt_ago_ms, ASK_PAST, g->past.doubt.ago_ms, "since trust came back; 0: it did not")        \
    X(resync_ago_ms, ASK_PAST, g->past.resync.ago_ms,                                              \
      "since all that was stored turned stale, the last time; 0: it never did")                    \
    X(listening, ASK_COHERENCE, g->coherence.listening, "1: the listener is subscribed")           \
    X(behind_ms, ASK_COHERENCE, g->coherence.behind_ms,                                            \
      "for how long the listener has owed a change that a beat told of; 0: it owes none")          \
    X(lag_longest_ms, ASK_PAST, g->lag_longest_ms,                                                 \
      "the longest coherence_lag of the last hour; 0: no change came")                             \
    X(lag_longest_ago_ms, ASK_PAST, g->lag_longest_ago_ms, "since that change came")               \
    X(lag_window_ms, ASK_PAST, g->lag_window_ms,                                                   \
      "the last hour, or less: half of one at least, or since the cache was opened")               \
    X(listeners, ASK_COHERENCE, g->coherence.listeners,                                            \
      "connections that heard this node's last change, its own among them")                        \
    X(following, ASK_COHERENCE, g->coherence.identity != 0,                                        \
      "1: it knows the clock of the Redis it talks to")                                            \
    X(sequence, ASK_COHERENCE, g->coherence.applied,                                               \
      "last invalidation applied, in Redis' count")                                                \
    X(queued, ASK_COHERENCE, g->coherence.queued, "changes that Redis has not accepted yet")       \
    X(delivered, ASK_PAST, g->past.delivery.count,                                                 \
      "those that were accepted when Redis was back, the last time that some had to wait")         \
    X(delivered_wait_ms, ASK_PAST, g->past.delivery.waited_ms,                                     \
      "how long they had waited, at most")                                                         \
    X(delivered_after_ms, ASK_PAST, g->past.delivery.after_ms,                                     \
      "of that, since the connection was back; 0: it was not lost")                                \
    X(delivered_ago_ms, ASK_PAST, g->past.delivery.ago_ms, "since the last one was accepted")      \
    X(late, ASK_PAST, g->past.late.count,                                                          \
      "changes that came here, the last time, after 1 s or more in another node's queue")          \
    X(late_wait_ms, ASK_PAST, g->past.late.waited_ms, "how long they had waited there, at most")   \
    X(late_ago_ms, ASK_PAST, g->past.late.ago_ms, "since the last one came")                       \
    X(log_lost, ASK_CHEAP, g->log_lost, "lines of the log that found no reader in time")

#define X(name_, ask_, value_, what_)                                                              \
    static uint64_t gauge_##name_(const struct gauges *g)                                          \
    {                                                                                              \
        return (uint64_t)(value_);                                                                 \
    }
GAUGES(X)
#undef X

const struct gauge gauges_of_cache[] = {
#define X(name_, ask_, value_, what_) {#name_, ask_, gauge_##name_, what_},
    GAUGES(X)
#undef X
};
const size_t gauges_of_cache_count = ARRAY_COUNT(gauges_of_cache);

const struct gauge *gauges_find(const char *name)
{
    for (size_t i = 0; i < gauges_of_cache_count; i++)
        if (strcmp(gauges_of_cache[i].name, name) == 0)
            return &gauges_of_cache[i];
    return NULL;
}

/* ---- of a space ---- */

static uint64_t of_l1(const struct nigh_space *space, unsigned which, size_t offset)
{
    struct l1 *apart = space_l1_apart(space);
    struct l1_gauges g;
    uint64_t value;
    if (!apart)
        return 0;
    l1_gauges_read(apart, which, &g);
    memcpy(&value, (const char *)&g + offset, sizeof(value));
    return value;
}
#define OF_L1(which, field) of_l1(space, which, offsetof(struct l1_gauges, field))

static uint64_t ppm(const struct nigh_space *space, enum trend_count tier, enum trend_window window)
{
    return trend_hits_ppm(&space->trend, tier, window);
}

static uint64_t evicted_age_ns(const struct nigh_space *space)
{
    return atomic_load_explicit(&space->trend.evicted_age_ns, memory_order_relaxed);
}

/*
 * A loader is called cheaper where six of ten loads take less than six of ten requests take more
 * than: medians that are a few percent apart change places from minute to minute, and nobody should
 * open a space another way for that. Of so many calls a quantile is off by 2.5 of 100 ranks (one
 * standard deviation, whatever the times are like: .5 / sqrt(400)), so the 20 ranks between are
 * more than five of the difference of both. And a quantile is told up to an eighth too high
 * (histogram.h), which must not make the requests look slower than they are.
 */
#define CHEAPER_CALLS 400u
#define CHEAPER_LOADS 60000u /* of 100,000 */
#define CHEAPER_REQUESTS 40000u

static bool is_clearly_less(const struct histogram_sum *load, const struct histogram_sum *l2)
{
    return load->count >= CHEAPER_CALLS && l2->count >= CHEAPER_CALLS &&
           8 * histogram_quantile_ns(load, CHEAPER_LOADS) <
               7 * histogram_quantile_ns(l2, CHEAPER_REQUESTS);
}

bool gauges_is_loader_cheaper(struct nigh_space *space, uint64_t *ret_load_ns, uint64_t *ret_l2_ns)
{
    struct histogram_sum load, l2;
    stats_histogram_read(&space->stats, STATS_LATENCY_LOAD, &load);
    stats_histogram_read(&space->stats, STATS_LATENCY_L2, &l2);
    *ret_load_ns = load.count ? histogram_quantile_ns(&load, 50000) : 0;
    *ret_l2_ns = l2.count ? histogram_quantile_ns(&l2, 50000) : 0;
    return is_clearly_less(&load, &l2);
}

static bool is_loader_cheaper(struct nigh_space *space)
{
    uint64_t load_ns, l2_ns;
    return gauges_is_loader_cheaper(space, &load_ns, &l2_ns);
}

/* X(name, what it needs, value, what it is) */
#define SPACE_GAUGES(X)                                                                            \
    X(entries, NEEDS_LEVEL, level->entries, "in L1")                                               \
    X(memory_bytes, NEEDS_CAP, OF_L1(L1_GAUGE_USED, used_bytes),                                   \
      "everything that counts against its cap")                                                    \
    X(memory_cap_bytes, NEEDS_CAP, OF_L1(0, cap_bytes), "space.memory")                            \
    X(resident_bytes, NEEDS_CAP, OF_L1(L1_GAUGE_RESIDENT, resident_bytes),                         \
      "pages behind it; 0: the allocator does not know")                                           \
    X(entry_bytes, NEEDS_LEVEL, level->bytes, "what they are charged")                             \
    X(l1_hits_1s_ppm, NEEDS_NOTHING, ppm(space, TREND_L1, TREND_SECOND),                           \
      "reads that L1 answered, of all reads of the last second (0: there were none)")              \
    X(l1_hits_1m_ppm, NEEDS_NOTHING, ppm(space, TREND_L1, TREND_MINUTE),                           \
      "reads that L1 answered, of all reads of the last minute")                                   \
    X(l1_hits_1h_ppm, NEEDS_NOTHING, ppm(space, TREND_L1, TREND_HOUR),                             \
      "reads that L1 answered, of all reads of the last hour")                                     \
    X(l2_hits_1s_ppm, NEEDS_NOTHING, ppm(space, TREND_L2, TREND_SECOND),                           \
      "lookups in Redis that gave a value, of all of the last second (0: there were none)")        \
    X(l2_hits_1m_ppm, NEEDS_NOTHING, ppm(space, TREND_L2, TREND_MINUTE),                           \
      "lookups in Redis that gave a value, of all of the last minute")                             \
    X(l2_hits_1h_ppm, NEEDS_NOTHING, ppm(space, TREND_L2, TREND_HOUR),                             \
      "lookups in Redis that gave a value, of all of the last hour")                               \
    X(l1_reads_1m, NEEDS_NOTHING, trend_reads(&space->trend, TREND_L1, TREND_MINUTE),              \
      "reads of the last minute, of which l1_hits_1m_ppm is")                                      \
    X(window_1m_ms, NEEDS_NOTHING, trend_span_ns(&space->trend, TREND_MINUTE) / NS_PER_MS,         \
      "the last minute, or less: it begins when the space is opened, or a cap is set")             \
    X(window_1h_ms, NEEDS_NOTHING, trend_span_ns(&space->trend, TREND_HOUR) / NS_PER_MS,           \
      "the last hour, or less, in the same way")                                                   \
    X(evicted_age_ms, NEEDS_NOTHING, evicted_age_ns(space) / NS_PER_MS,                            \
      "a tenth of those evicted in the last minute or so were younger; 0: none was evicted")       \
    X(evicted_1m, NEEDS_NOTHING, trend_lately(&space->trend, TREND_EVICTED),                       \
      "l1_evict of the last minute, less l1_shed")                                                 \
    X(refused_1m, NEEDS_NOTHING, trend_lately(&space->trend, TREND_REFUSED),                       \
      "l1_refused_full of the last minute")                                                        \
    X(loader_cheaper, NEEDS_NOTHING, is_loader_cheaper(space),                                     \
      "1: a load takes clearly less than a request to Redis: see space.l2")

#define X(name_, needs_, value_, what_)                                                            \
    static uint64_t space_##name_(struct nigh_space *space, const struct l1_level *level)          \
    {                                                                                              \
        (void)space, (void)level;                                                                  \
        return (uint64_t)(value_);                                                                 \
    }
SPACE_GAUGES(X)
#undef X

const struct space_gauge gauges_of_space[] = {
#define X(name_, needs_, value_, what_) {#name_, needs_, space_##name_, what_},
    SPACE_GAUGES(X)
#undef X
};
const size_t gauges_of_space_count = ARRAY_COUNT(gauges_of_space);

bool gauges_has(const struct nigh_space *space, const struct space_gauge *g)
{
    return g->needs != NEEDS_CAP || space_l1_apart(space);
}

const struct space_gauge *gauges_find_of_space(const char *name)
{
    for (size_t i = 0; i < gauges_of_space_count; i++)
        if (strcmp(gauges_of_space[i].name, name) == 0)
            return &gauges_of_space[i];
    return NULL;
}

void gauges_look(struct nigh_space *space, struct space_look *ret)
{
    ret->space = space;
    stats_read_own(&space->stats, ret->counts);
    l1_level_count(space->cache->l1, &space->stats, &ret->level, ret->counts);
}

/* ---- what is wrong with the link ---- */

void gauges_problems(struct nigh *cache, struct gauges_problem ret[GAUGES_PROBLEMS])
{
    ret[0] = (struct gauges_problem){.name = "redis", .what = "connection for requests"};
    ret[1] = (struct gauges_problem){.name = "listener", .what = "connection for changes"};
    if (cache->l2) {
        l2_problem_read(cache->l2, &ret[0].is);
        l2_outage_read(cache->l2, &ret[0].was);
    }
    if (cache->coherence) {
        coherence_problem_read(cache->coherence, &ret[1].is);
        coherence_outage_read(cache->coherence, &ret[1].was);
    }
}

void gauges_names(struct nigh *cache, struct gauges_names *ret)
{
    struct coherence_gauges g = {0};
    struct l2_server server = {.evicts = ""};
    if (cache->coherence)
        coherence_gauges_read(cache->coherence, &g);
    if (cache->l2)
        l2_server_read(cache->l2, &server);
    ret->node[0] = '\0';
    if (g.node)
        snprintf(ret->node, sizeof(ret->node), "%04x", cache_node_name(g.node));
    snprintf(ret->evicts, sizeof(ret->evicts), "%s", server.evicts[0] ? server.evicts : "unknown");
}

/* ---- by name ---- */

/* Writes a part of a problem: "redis_outage_ms". */
static bool write_problem(const struct gauges_problem *p, const char *name, struct text *w)
{
    const struct {
        const char *name;
        const char *text; /* NULL: a number */
        uint64_t ms;
    } parts[] = {
        {"_problem", p->is.text, 0},         {"_problem_first", p->is.first, 0},
        {"_problem_ms", NULL, p->is.for_ms}, {"_outage", p->was.text, 0},
        {"_outage_first", p->was.first, 0},  {"_outage_ms", NULL, p->was.lasted_ms},
        {"_outage_ago_ms", NULL, p->was.ago_ms},
    };
    size_t len = strlen(p->name);
    for (size_t i = 0; strncmp(name, p->name, len) == 0 && i < ARRAY_COUNT(parts); i++) {
        if (strcmp(name + len, parts[i].name) != 0)
            continue;
        if (parts[i].text)
            text_add(w, "%s", parts[i].text[0] ? parts[i].text : "none");
        else
            text_add(w, "%" PRIu64, parts[i].ms);
        return true;
    }
    return false;
}

bool gauges_write_word(struct nigh *cache, const char *name, struct text *w)
{
    struct gauges_problem problems[GAUGES_PROBLEMS];
    struct gauges_names names;
    struct coherence_past past = {.resync.why = NULL};
    gauges_problems(cache, problems);
    for (size_t i = 0; i < GAUGES_PROBLEMS; i++)
        if (write_problem(&problems[i], name, w))
            return true;
    gauges_names(cache, &names);
    if (cache->coherence)
        coherence_past_read(cache->coherence, &past);
    if (strcmp(name, "doubt_reason") == 0)
        text_add(w, "%s", past.doubt.why[0] ? past.doubt.why : "none");
    else if (strcmp(name, "resync_reason") == 0)
        text_add(w, "%s", past.resync.why ? past.resync.why : "none");
    else if (strcmp(name, "pid") == 0)
        text_add(w, "%d", (int)getpid());
    else if (strcmp(name, "node") == 0)
        text_add(w, "%s", names.node[0] ? names.node : "none");
    else if (strcmp(name, "redis_evicts") == 0)
        text_add(w, "%s", names.evicts);
    else
        return false;
    return true;
}
