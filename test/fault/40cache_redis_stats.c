// SPDX-License-Identifier: MIT
// What is told of the link, before a real Redis: how long its answers take, how long a change takes
// to be accepted and to be heard, and how long trust was away.

#include <unistd.h>

#include "cache/cache.h"
#include "support/dial.h"
#include "support/ear.h"
#include "support/origin.h"
#include "support/relay.h"

static struct redis server;
static struct world w;

static void begin(void)
{
    redis_start(&server, NULL);
    patient_open(&w, &server, NULL, NULL);
}

static void end(void)
{
    world_close(&w);
    redis_stop(&server);
}

static uint64_t times(struct stats *s, enum stats_histogram h)
{
    struct histogram_sum sum;
    stats_histogram_read(s, h, &sum);
    return sum.count;
}

/* Checks times to which no thread adds meanwhile: who adds writes the count first. */
static void check_times(struct stats *s, enum stats_histogram h)
{
    struct histogram_sum sum;
    stats_histogram_read(s, h, &sum);
    CHECK(sum.count >= 1 && sum.sum_ns > 0 && sum.max_ns > 0);
}

TEST(requests_and_changes_are_timed)
{
    begin();
    CHECK_EQ(times(&w.space->stats, STATS_LATENCY_L2), 0);
    CHECK_EQ(ask_fetch(w.space, "k", NULL).outcome, NIGH_FRESH);
    check_times(&w.space->stats, STATS_LATENCY_L2);
    CHECK_EQ(times(&w.space->stats, STATS_LATENCY_LOAD), 1);
    CHECK_EQ(times(&w.space->stats, STATS_LATENCY_CALL), 1);
    CHECK_EQ(nigh_invalidate(w.space, "k", 1, NULL), 0);
    check_times(&w.cache->stats, STATS_LATENCY_CHANGE);
    end();
}

/* Those of a caller that loads itself count as well. */
TEST(requests_of_gets_are_timed)
{
    static const struct nigh_key keys[] = {{"a", 1}, {"b", 1}, {"c", 1}};
    struct nigh_value values[3];
    int outcomes[3];
    begin();
    CHECK_EQ(ask_get(w.space, "k", NULL).outcome, NIGH_MISS);
    CHECK_EQ(times(&w.space->stats, STATS_LATENCY_L2), 1);
    CHECK_EQ(nigh_get_many(w.space, keys, 3, NULL, values, outcomes), 0);
    CHECK_EQ(times(&w.space->stats, STATS_LATENCY_L2), 2);
    end();
}

static bool invalidated_and_heard(uint64_t n)
{
    CHECK_EQ(nigh_invalidate(w.space, "k", 1, NULL), 0);
    return times(&w.cache->stats, STATS_LATENCY_HEARD) >= n;
}

/* One at a time is followed, so as many are not: but each that has been heard lets the next one
 * begin. One that the channel has lost is given up for another. */
TEST(a_change_that_is_heard_is_timed_and_the_next_one_too)
{
    begin();
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&w, "listening") == 1);
    for (uint64_t n = 1; n <= 3; n++)
        CHECK_WITHIN(2 * WORLD_PATIENCE_MS, invalidated_and_heard(n));
    end();
}

static uint64_t longest_lag_ms(void)
{
    struct histogram_sum lag;
    stats_histogram_read(&w.cache->stats, STATS_COHERENCE_LAG, &lag);
    return lag.max_ns / NS_PER_MS;
}

/* Changes something elsewhere once more; whether the listener has owed some of that for so long. */
static bool changed_and_owed(struct nigh_space *elsewhere, int64_t ms)
{
    CHECK_EQ(nigh_invalidate(elsewhere, "k", 1, NULL), 0);
    return world_count(&w, "behind_ms") >= ms;
}

/* A node that changes nothing, whose listener is held up while requests are answered at once. */
TEST(a_node_that_only_reads_sees_how_late_its_listener_is)
{
    struct relay relay;
    struct world other;
    redis_start(&server, NULL);
    relay_open(&relay, &server);
    struct nigh_options o = patient_options(&server), there = o;
    o.redis_uri = relay.uri;
    o.beat_ms = 500;
    world_open(&w, &o, NULL);
    world_open(&other, &there, NULL);
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&w, "listening") == 1);
    CHECK_WITHIN(WORLD_PATIENCE_MS, nigh_health(other.cache) == NIGH_FRESH);
    relay_hold(&relay, true);
    CHECK_WITHIN(2 * WORLD_PATIENCE_MS, changed_and_owed(other.space, 50));
    relay_hold(&relay, false);
    CHECK_WITHIN(WORLD_PATIENCE_MS, longest_lag_ms() >= 50);
    CHECK_EQ(times(&w.cache->stats, STATS_LATENCY_HEARD), 0);
    world_close(&other);
    world_close(&w);
    relay_close(&relay);
    redis_stop(&server);
}

/* Returns when the keeper looked last: all that it did then is seen. */
static uint64_t last_look_ns(void)
{
    latch_lock(&w.cache->trend_clock.latch);
    uint64_t ns = w.cache->trend_clock.look_ns;
    latch_unlock(&w.cache->trend_clock.latch);
    return ns;
}

/* Returns the bound of the longest lag, as the keeper's next look knows it; 0: it is none. */
static uint64_t longest_most_ns(void)
{
    uint64_t looked_ns = last_look_ns();
    CHECK_WITHIN(WORLD_PATIENCE_MS, last_look_ns() > looked_ns + NS_PER_S);
    return w.cache->lag.longest_most_ns;
}

/* Nothing moves for so long, and until trust is lost; meanwhile something is changed elsewhere. */
static void be_cut_off(struct relay *relay, struct nigh_space *elsewhere, uint64_t ms)
{
    uint64_t lags = times(&w.cache->stats, STATS_COHERENCE_LAG), until_ms = check_now_ms() + ms;
    relay_stop(relay);
    CHECK_EQ(nigh_invalidate(elsewhere, "k", 1, NULL), 0);
    CHECK_WITHIN(WORLD_PATIENCE_MS, check_now_ms() >= until_ms &&
                                        nigh_health(w.cache) != NIGH_FRESH);
    relay_cut(relay);
    relay_go(relay);
    CHECK_WITHIN(WORLD_PATIENCE_MS, nigh_health(w.cache) == NIGH_FRESH &&
                                        world_count(&w, "listening") == 1 &&
                                        times(&w.cache->stats, STATS_COHERENCE_LAG) > lags);
}

/* What a listener brings late is known to be so late. What a beat brings after an outage is only
 * known to be no later than so, and that is said of it after another outage, too. */
TEST(the_longest_lag_is_a_bound_if_the_listener_was_away_whatever_comes_then)
{
    struct relay relay;
    struct world other;
    redis_start(&server, NULL);
    relay_open(&relay, &server);
    struct nigh_options o = node_options(&server), there = o;
    o.redis_uri = relay.uri;
    o.beat_ms = 500;
    o.trust_ms = 1500;
    world_open(&w, &o, NULL);
    world_open(&other, &there, NULL);
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&w, "listening") == 1);
    CHECK_WITHIN(WORLD_PATIENCE_MS, nigh_health(other.cache) == NIGH_FRESH);
    relay_hold(&relay, true);
    CHECK_WITHIN(2 * WORLD_PATIENCE_MS, changed_and_owed(other.space, 50));
    relay_hold(&relay, false);
    CHECK_WITHIN(WORLD_PATIENCE_MS, longest_lag_ms() >= 50);
    CHECK_EQ(longest_most_ns(), 0);
    be_cut_off(&relay, other.space, 2500);
    uint64_t first_ns = longest_most_ns();
    CHECK_GE(first_ns, 2500 * NS_PER_MS);
    be_cut_off(&relay, other.space, 0);
    CHECK_GE(longest_most_ns(), first_ns); /* where all is slow the second is as long */
    world_close(&other);
    world_close(&w);
    relay_close(&relay);
    redis_stop(&server);
}

/* What comes behind it Redis has executed after that time: bounds of lateness count from there. */
TEST(a_new_connection_knows_where_the_clock_stood)
{
    begin();
    for (int i = 0; i < 3; i++)
        CHECK_EQ(nigh_invalidate(w.space, "k", 1, NULL), 0);
    uint64_t before_ns = clock_now_ns(&w.cache->clock);
    free(redis_command(&server, "CLIENT KILL TYPE normal"));
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&w, "l2_connect") >= 2);
    CHECK_WITHIN(WORLD_PATIENCE_MS, nigh_invalidate(w.space, "k", 1, NULL) == 0);
    struct l2_mark mark = l2_mark_read(w.cache->l2);
    struct coherence_position now = coherence_position(w.cache->coherence);
    CHECK_EQ(mark.identity, now.identity);
    CHECK(mark.sequence >= 3 && mark.sequence <= now.sequence);
    CHECK_GE(mark.after_ns, before_ns);
    end();
}

static _Atomic uint64_t ahead_ns;

static uint64_t read_ahead(void *arg)
{
    (void)arg;
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec + atomic_load(&ahead_ns);
}

static void evict_all(void)
{
    free(redis_command(&server, "SET a 1"));
    free(redis_command(&server, "CONFIG SET maxmemory 1"));
    free(redis_command(&server, "CONFIG SET maxmemory 0"));
}

/* It is told at the connection, and asked for again some seconds later. */
TEST(what_redis_evicts_is_seen)
{
    redis_start(&server, (char *const[]){"--maxmemory-policy", "allkeys-lru", NULL});
    struct nigh_options o = patient_options(&server);
    o.clock = read_ahead;
    o.beat_ms = 50;
    evict_all();
    world_open(&w, &o, NULL);
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&w, "redis_evicted_keys") == 1);
    CHECK_GT(world_count(&w, "redis_memory_bytes"), 0);
    evict_all();
    atomic_store(&ahead_ns, 11 * NS_PER_S);
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&w, "redis_evicted_keys") >= 2);
    CHECK_EQ(world_count(&w, "redis_memory_cap_bytes"), 0);
    end();
}

static const char *advice(void)
{
    struct l2_server told;
    l2_server_read(w.cache->l2, &told);
    return told.advice[ADVICE_ON_MEMORY];
}

/* Lets the time pass after which it is asked for again. */
static void pass_on(void)
{
    int64_t beats = world_count(&w, "beat");
    atomic_fetch_add(&ahead_ns, 11 * NS_PER_S);
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&w, "beat") > beats + 2);
}

static void set_policy(const char *policy)
{
    char command[80];
    snprintf(command, sizeof(command), "CONFIG SET maxmemory-policy %s", policy);
    free(redis_command(&server, command));
}

/* An advice was found at the connection, and stood until the next one. */
TEST(advice_follows_what_is_changed_under_a_connection)
{
    static char *const args[] = {"--maxmemory", "100mb", "--maxmemory-policy", "volatile-lru",
                                 NULL};
    redis_start(&server, args);
    struct nigh_options o = patient_options(&server);
    o.clock = read_ahead;
    o.beat_ms = 50;
    o.log = hear;
    forget_said();
    world_open(&w, &o, NULL);
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&w, "beat") > 2);
    CHECK(!advice());
    for (int i = 0; i < 2; i++) {
        set_policy("noeviction");
        CHECK_WITHIN(WORLD_PATIENCE_MS, (pass_on(), advice() != NULL));
        CHECK(strstr(advice(), "with maxmemory-policy noeviction a full server takes no more"));
        set_policy("volatile-lru");
        CHECK_WITHIN(WORLD_PATIENCE_MS, (pass_on(), !advice()));
    }
    end(); /* all is said then */
    CHECK_EQ(said_with("redis at ", "maxmemory-policy noeviction"), 2);
}

static char control[200];

static bool listens(void)
{
    int fd = dial_open(control);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

static bool health_says(const char *words)
{
    static char text[DIAL_BYTES];
    return CHECK(dial_ask(control, "health\n", text)) && strstr(text, words);
}

static void wait_until_quiet(void)
{
    CHECK_WITHIN(WORLD_PATIENCE_MS, (pass_on(), health_says(", none of them in the last ")));
}

/* One episode was told for ever as if it went on. */
TEST(for_how_long_redis_has_evicted_nothing_is_known)
{
    redis_start(&server, (char *const[]){"--maxmemory-policy", "allkeys-lru", NULL});
    struct nigh_options o = patient_options(&server);
    o.clock = read_ahead;
    o.beat_ms = 50;
    snprintf(control, sizeof(control), "%s.control", server.socket);
    o.control_socket = control;
    evict_all();
    world_open(&w, &o, NULL);
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&w, "beat") > 2);
    REQUIRE(CHECK_WITHIN(WORLD_PATIENCE_MS, listens()));
    CHECK(health_says(" key since it was started (it uses ")); /* nobody knows when */
    CHECK(health_says("): the order of changes may be among them"));
    wait_until_quiet();
    CHECK(!health_says("the order of changes may be among them"));
    int64_t evicted = world_count(&w, "redis_evicted_keys");
    evict_all();
    CHECK_WITHIN(WORLD_PATIENCE_MS,
                 (pass_on(), world_count(&w, "redis_evicted_keys") > evicted));
    CHECK(health_says("): the order of changes may be among them"));
    wait_until_quiet();
    free(redis_command(&server, "ACL SETUSER default -info +info|replication"));
    for (int i = 0; i < 4; i++)
        pass_on(); /* it does not tell, and is not asked again */
    CHECK(!health_says(", none of them in the last "));
    end();
}

/* A user who may ask for no more than scripts need. Nobody is told of it: all goes on. */
TEST(a_redis_that_does_not_tell_how_full_it_is_is_not_asked_again)
{
    redis_start(&server, NULL);
    struct nigh_options o = patient_options(&server);
    o.clock = read_ahead;
    o.beat_ms = 50;
    o.log = hear;
    forget_said();
    world_open(&w, &o, NULL);
    CHECK_WITHIN(WORLD_PATIENCE_MS, nigh_health(w.cache) == NIGH_FRESH);
    free(redis_command(&server, "ACL SETUSER default -info +info|replication"));
    int64_t before = world_count(&w, "beat");
    for (int i = 0; i < 3; i++) {
        atomic_fetch_add(&ahead_ns, 11 * NS_PER_S);
        CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&w, "beat") > before + 2);
        before = world_count(&w, "beat");
    }
    CHECK_EQ(nigh_health(w.cache), NIGH_FRESH);
    CHECK_EQ(world_count(&w, "l2_connect"), 1);
    char *told = redis_command(&server, "ACL LOG");
    CHECK(strstr(told, "info"));
    CHECK(!strstr(told, "count\n2"));
    free(told);
    end();
    CHECK_EQ(said_with("redis at ", "rights"), 0);
}

TEST(the_time_in_doubt_is_summed)
{
    redis_start(&server, NULL);
    struct nigh_options o = patient_options(&server);
    o.trust_ms = 300;
    o.beat_ms = 50;
    world_open(&w, &o, NULL);
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&w, "trusted") == 1);
    int64_t before = world_count(&w, "doubt_ms"); /* not 0, if the machine is that slow */
    redis_kill(&server);
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&w, "doubt_ms") > before);
    redis_restart(&server, REDIS_EMPTY);
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&w, "trusted") == 1);
    CHECK_GT(world_count(&w, "doubt_ms"), before);
    CHECK_GE(world_count(&w, "trust_lost"), 1);
    end();
}

static bool a_hit_is_timed(void)
{
    ask_fetch(w.space, "k", NULL);
    return times(&w.space->stats, STATS_LATENCY_L1) > 0;
}

static bool one_is_evicted(void)
{
    static unsigned next;
    ask_fetch(w.space, key_numbered(next++), NULL);
    return nigh_stats_value(w.cache, w.space->name, "l1_evict") > 0;
}

/* Comes by each probe (base/usdt.h): test/checks/probes.sh looks on through a debugger. */
TEST(all_that_has_a_probe_happens)
{
    redis_start(&server, NULL);
    struct nigh_options o = patient_options(&server);
    o.trust_ms = 300;
    o.beat_ms = 50;
    o.l1_entries = 16;
    world_open(&w, &o, NULL);
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&w, "trusted") == 1);
    CHECK_WITHIN(WORLD_PATIENCE_MS, a_hit_is_timed());
    CHECK_GE(w.origin.loads, 1); /* more where the machine stalls for longer than trust lasts */
    CHECK_WITHIN(WORLD_PATIENCE_MS, one_is_evicted());
    CHECK_GE(nigh_invalidate(w.space, "k", 1, NULL), 0);
    redis_kill(&server);
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&w, "trust_lost") >= 1);
    end();
}
