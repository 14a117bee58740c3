// SPDX-License-Identifier: MIT
// Options by name, by string, by environment and by struct: what is right takes effect, what is
// wrong names itself and its value and changes nothing.

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cache/cache.h"
#include "l1/l1.h"
#include "support/origin.h"

/* Every option, a value that is right with what it becomes, and values that are wrong. */
struct row {
    const char *name;
    const char *right;
    size_t offset;
    size_t size;
    uint64_t becomes;
    const char *wrong[6];
};

#define AT(field) offsetof(struct nigh_options, field), sizeof(((struct nigh_options *)0)->field)
#define NO_NUMBER "abc", "-1", "1x", "99999999999999999999999"

/* clang-format off */
static const struct row rows[] = {
    {"l1.memory", "1GiB", AT(l1_memory), 1u << 30, {NO_NUMBER, "3MiB", ""}},
    {"l1.shards", "64", AT(l1_shards), 64, {NO_NUMBER, "65537", "0"}},
    {"l1.policy", "ttl", AT(l1_policy), NIGH_POLICY_TTL, {"lr", "lru,", "LFU", "", "1"}},
    {"l1.limbo", "64k", AT(l1_limbo), 65536, {NO_NUMBER, "63k", "1q"}},
    {"l1.entries", "1000", AT(l1_entries), 1000, {NO_NUMBER, "0", "2147483649"}},
    {"l1.hash", "siphash", AT(l1_hash), NIGH_HASH_SIPHASH, {"sip", "", "xxh", "1"}},
    {"log.level", "info", AT(log_level), NIGH_LEAST_INFO, {"notice", "", "3", "Error"}},
    {"log", "syslog", AT(log_to), NIGH_LOG_TO_SYSLOG, {"stdout", "", "2", "yes"}},
    {"l1.huge_pages", "all", AT(l1_huge_pages), NIGH_HUGE_ALL, {"2m", "", "table", "yes"}},
    {"redis.tls_verify", "ca", AT(tls_verify), NIGH_TLS_VERIFY_CA, {"", "no", "peer", "1"}},
    {"redis.sentinel_tls", "off", AT(redis_sentinel_tls), NIGH_OFF, {"no", "", "tls"}},
    {"redis.sentinel_tls_verify", "none", AT(redis_sentinel_tls_verify), NIGH_TLS_VERIFY_NONE,
     {"", "no", "peer", "1"}},
    {"redis.tls_min", "1.3", AT(tls_min), NIGH_TLS_1_3, {"", "1.1", "1", "TLS1.3"}},
    {"redis.deadline", "1s", AT(l2_deadline_ms), 1000, {NO_NUMBER, "2min", "0"}},
    {"redis.stale_deadline", "7ms", AT(l2_stale_deadline_ms), 7, {NO_NUMBER, "0", "61s"}},
    {"redis.connect_timeout", "10ms", AT(connect_timeout_ms), 10, {NO_NUMBER, "9ms", "61s"}},
    {"coherence.trust", "5s", AT(trust_ms), 5000, {NO_NUMBER, "99ms", "11m"}},
    {"coherence.beat", "250ms", AT(beat_ms), 250, {NO_NUMBER, "9ms", "2m"}},
    {"coherence.on_doubt", "miss", AT(on_doubt), NIGH_DOUBT_MISS, {"fresh", "", "mis", "missed"}},
    {"coherence.group_slots", "4096", AT(group_slots), 4096, {NO_NUMBER, "16", "131072"}},
    {"coherence.guest", "1", AT(guest), 1, {NO_NUMBER, "2", "-1"}},
    {"coherence.queue", "100", AT(queue_items), 100, {NO_NUMBER, "15", "2000000"}},
    {"lease.time", "2s", AT(lease_ms), 2000, {NO_NUMBER, "99ms", "1h"}},
    {"workers", "2", AT(workers), 2, {NO_NUMBER, "0", "257"}},
    {"async.max", "7", AT(async_max), 7, {NO_NUMBER, "0", "16777217"}},
    {"processes", "8", AT(processes), 8, {NO_NUMBER, "0", "1025"}},
    {"hot.keys", "none", AT(hot_keys), NIGH_UNCAPPED, {"65", "-1", "many"}},
    {"stats.latency", "off", AT(stats_latency), NIGH_OFF, {"no", "", "of", "on,off"}},
    {"curve", "off", AT(curve), NIGH_OFF, {"no", "", "of", "on,off"}},
    {"trace.sample", "16", AT(trace_sample), 16, {NO_NUMBER, "0", "131072"}},
    {"trace.size", "1m", AT(trace_size), 1u << 20, {NO_NUMBER, "4095", "x"}},
    {"threads", "none", AT(threads), NIGH_THREADS_NONE, {"two", "", "no", "own,none"}},
    {"space.soft_ttl", "30s", AT(space.soft_ttl_ms), 30000, {NO_NUMBER, "0", "16d"}},
    {"space.stale", "none", AT(space.stale_ms), NIGH_NONE, {NO_NUMBER, "0", "16d"}},
    {"space.keep", "2h", AT(space.keep_ms), 7200000, {NO_NUMBER, "0", "16d"}},
    {"space.jitter", "20%", AT(space.jitter_percent), 20, {NO_NUMBER, "51", "20s"}},
    {"space.absent_ttl", "3s", AT(space.absent_ttl_ms), 3000, {NO_NUMBER, "0", "25h"}},
    {"space.error_ttl", "100ms", AT(space.error_ttl_ms), 100, {NO_NUMBER, "0", "25h"}},
    {"space.error_ttl_max", "1m", AT(space.error_ttl_max_ms), 60000, {NO_NUMBER, "0", "25h"}},
    {"space.load_deadline", "500ms", AT(space.load_deadline_ms), 500, {NO_NUMBER, "0", "25h"}},
    {"space.waiters", "3", AT(space.waiters_max), 3, {NO_NUMBER, "0", "2000000"}},
    {"space.loads", "4", AT(space.loads_max), 4, {NO_NUMBER, "0", "2000000"}},
    {"space.value_max", "64MiB", AT(space.value_max), NIGH_VALUE_MAX, {NO_NUMBER, "65MiB", "0"}},
    {"space.run_on", "worker", AT(space.run_on), NIGH_RUN_WORKER, {"thread", "", "call"}},
    {"space.batch", "32", AT(space.batch), 32, {NO_NUMBER, "0", "1025"}},
    {"space.batch_wait", "200us", AT(space.batch_wait_us), 200, {NO_NUMBER, "5us", "101ms"}},
    {"space.memory", "64m", AT(space.memory), 64u << 20, {NO_NUMBER, "1023k", "x"}},
    {"space.l2", "invalidations", AT(space.l2), NIGH_L2_INVALIDATIONS, {"none", "", "value"}},
    {"space.compress", "none", AT(space.compress), NIGH_COMPRESS_NONE, {"lz5", "", "lz4,"}},
    {"space.compress_min", "2k", AT(space.compress_min), 2048, {NO_NUMBER, "63", "65m"}},
};
static const char *const strings[] = {"redis.uri", "redis.prefix", "space.schema",
                                      "trace.file", "control.socket",
                                      "redis.tls_ca", "redis.tls_cert",
                                      "redis.tls_key", "redis.tls_name",
                                      "redis.password_file", "redis.sentinel_user",
                                      "redis.sentinel_password", "redis.sentinel_password_file",
                                      "redis.sentinel_tls_ca"};
/* clang-format on */

#define ROW_COUNT (sizeof(rows) / sizeof(rows[0]))
#define STRING_COUNT (sizeof(strings) / sizeof(strings[0]))

static uint64_t field(const struct nigh_options *o, const struct row *row)
{
    uint32_t narrow;
    uint64_t wide;
    const char *at = (const char *)o + row->offset;
    if (row->size == sizeof(wide)) {
        memcpy(&wide, at, sizeof(wide));
        return wide;
    }
    memcpy(&narrow, at, sizeof(narrow));
    return narrow;
}

/* The message names this, whatever else it says. */
static bool says(const char *text)
{
    bool found = strstr(nigh_options_error(), text) != NULL;
    if (!found)
        check_note("nigh_options_error(): \"%s\"", nigh_options_error());
    return found;
}

TEST(every_option_can_be_set_by_name)
{
    struct nigh_options none = NIGH_OPTIONS_INIT;
    for (size_t i = 0; i < ROW_COUNT; i++) {
        struct nigh_options o = NIGH_OPTIONS_INIT;
        bool ok = CHECK_EQ(nigh_options_set(&o, rows[i].name, rows[i].right), 0);
        if (!CHECK_EQ(field(&o, &rows[i]), rows[i].becomes) || !ok)
            check_note("was %s=%s", rows[i].name, rows[i].right);
        CHECK_EQ(field(&none, &rows[i]), 0);
    }
}

TEST(strings_are_copied)
{
    struct nigh_options o = NIGH_OPTIONS_INIT;
    char uri[] = "unix:///run/redis.sock";
    CHECK_EQ(nigh_options_set(&o, "redis.uri", uri), 0);
    memset(uri, 'x', sizeof(uri) - 1);
    CHECK_STR(o.redis_uri, "unix:///run/redis.sock");
    CHECK_EQ(nigh_options_set(&o, "redis.prefix", "p"), 0);
    CHECK_EQ(nigh_options_set(&o, "space.schema", "v7"), 0);
    CHECK_STR(o.redis_prefix, "p");
    CHECK_STR(o.space.schema, "v7");
}

static void *set_strings(void *arg)
{
    struct nigh_options o = NIGH_OPTIONS_INIT;
    for (int i = 0; i < 200; i++) {
        char prefix[16];
        snprintf(prefix, sizeof(prefix), "p%d", i);
        CHECK_EQ(nigh_options_set(&o, "redis.prefix", prefix), 0);
        CHECK_STR(o.redis_prefix, prefix);
    }
    return arg;
}

TEST(strings_may_be_set_by_many_threads_at_once)
{
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        REQUIRE_EQ(pthread_create(&threads[i], NULL, set_strings, NULL), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    struct nigh_options a = NIGH_OPTIONS_INIT, b = NIGH_OPTIONS_INIT;
    CHECK_EQ(nigh_options_set(&a, "redis.prefix", "p7"), 0);
    CHECK_EQ(nigh_options_set(&b, "redis.prefix", "p7"), 0);
    CHECK(a.redis_prefix == b.redis_prefix); /* kept already */
}

TEST(a_wrong_value_names_the_option_and_itself_and_changes_nothing)
{
    for (size_t i = 0; i < ROW_COUNT; i++) {
        for (size_t j = 0; j < 6 && rows[i].wrong[j]; j++) {
            struct nigh_options o = NIGH_OPTIONS_INIT;
            REQUIRE_EQ(nigh_options_set(&o, rows[i].name, rows[i].right), 0);
            struct nigh_options before = o;
            bool ok = CHECK_EQ(nigh_options_set(&o, rows[i].name, rows[i].wrong[j]), NIGH_EOPTION);
            ok = CHECK(says(rows[i].name)) && ok;
            ok = CHECK(says(rows[i].wrong[j])) && ok;
            ok = CHECK_MEM(&o, sizeof(o), &before, sizeof(before)) && ok;
            if (!ok)
                check_note("was %s=%s", rows[i].name, rows[i].wrong[j]);
        }
    }
}

TEST(an_unknown_name_is_told_with_its_value)
{
    struct nigh_options o = NIGH_OPTIONS_INIT;
    static const char *const names[] = {"l1.memor", "L1.memory", "memory", "", "l1.memory "};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        CHECK_EQ(nigh_options_set(&o, names[i], "4711"), NIGH_EOPTION);
        CHECK(says(names[i]));
        CHECK(says("4711"));
    }
}

TEST(a_string_sets_several)
{
    struct nigh_options o = NIGH_OPTIONS_INIT;
    CHECK_EQ(nigh_options_parse(&o, " l1.memory = 1g ,l1.shards=64,,redis.uri=unix:///a?db=2 ,"),
             0);
    CHECK_EQ(o.l1_memory, 1u << 30);
    CHECK_EQ(o.l1_shards, 64);
    CHECK_STR(o.redis_uri, "unix:///a?db=2");
    CHECK_EQ(nigh_options_parse(&o, ""), 0);
    CHECK_EQ(o.l1_shards, 64);
    CHECK_EQ(nigh_options_parse(&o, "trace.file=/tmp/a b=c d"), 0); /* a path, if an odd one */
    CHECK_STR(o.trace_file, "/tmp/a b=c d");
}

TEST(a_string_with_one_mistake_sets_nothing)
{
    static const char *const wrong[][2] = {
        {"l1.shards=64,coherence.trust=none", "coherence.trust"},
        {"l1.shards=64,space.soft_ttl", "space.soft_ttl"},
        {"l1.shards=64,l1.colour=red", "l1.colour"},
        {"l1.shards=64,l1.shards=65537", "65537"},
        {"l1.shards=64,=3", "3"},
        {"l1.shards=64,control.socket=/tmp/s l1.policy=lfu", "before l1.policy="},
        {"l1.memory=64m l1.shards=64", "l1.memory: a comma"},
        {"redis.uri=unix:///a?x=1 l1.shards \t= 64", "redis.uri: a comma"},
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct nigh_options o = NIGH_OPTIONS_INIT;
        struct nigh_options before = o;
        CHECK_EQ(nigh_options_parse(&o, wrong[i][0]), NIGH_EOPTION);
        CHECK(says(wrong[i][1]));
        CHECK_MEM(&o, sizeof(o), &before, sizeof(before));
    }
}

/* ---- opening ---- */

/* Opens nothing: returns what nigh_open said and checks that it left the pointer alone. */
static int refused(const struct nigh_options *o)
{
    struct nigh *untouched = (struct nigh *)&rows;
    struct nigh *cache = untouched;
    int rc = nigh_open(o, &cache);
    if (!CHECK_LT(rc, 0))
        nigh_close(cache);
    else
        CHECK(cache == untouched);
    return rc;
}

TEST(numbers_in_the_struct_are_checked_too)
{
    for (size_t i = 0; i < ROW_COUNT; i++) {
        struct nigh_options o = NIGH_OPTIONS_INIT;
        uint64_t most = (rows[i].size == 8 ? UINT64_MAX : UINT32_MAX) - 1; /* the last is none */
        memcpy((char *)&o + rows[i].offset, &most, rows[i].size);
        char shown[32];
        snprintf(shown, sizeof(shown), "%llu", (unsigned long long)most);
        bool ok = CHECK_EQ(refused(&o), NIGH_EOPTION);
        ok = CHECK(says(rows[i].name)) && ok;
        ok = CHECK(says(shown)) && ok;
        if (!ok)
            check_note("was %s", rows[i].name);
    }
}

TEST(options_that_do_not_go_together_are_named_with_their_values)
{
    struct nigh_options o = NIGH_OPTIONS_INIT;
    o.l1_shards = 48;
    CHECK_EQ(refused(&o), NIGH_EOPTION);
    CHECK(says("l1.shards") && says("48"));

    o = (struct nigh_options)NIGH_OPTIONS_INIT;
    o.group_slots = 5000;
    CHECK_EQ(refused(&o), NIGH_EOPTION);
    CHECK(says("coherence.group_slots") && says("5000"));

    o = (struct nigh_options)NIGH_OPTIONS_INIT;
    o.trust_ms = 700; /* below the default beat */
    CHECK_EQ(refused(&o), NIGH_EOPTION);
    CHECK(says("coherence.beat") && says("coherence.trust") && says("700"));

    o = (struct nigh_options)NIGH_OPTIONS_INIT;
    o.l1_memory = 8u << 20;
    o.l1_limbo = 5u << 20;
    CHECK_EQ(refused(&o), NIGH_EOPTION);
    CHECK(says("l1.limbo") && says("5242880"));

    o = (struct nigh_options)NIGH_OPTIONS_INIT;
    o.l1_entries = 10;
    o.l1_shards = 16;
    CHECK_EQ(refused(&o), NIGH_EOPTION);
    CHECK(says("l1.entries") && says("10") && says("16"));
}

/* ---- a prefork host ---- */

static int64_t cap(struct nigh *cache, const char *space)
{
    return nigh_stats_value(cache, space, "memory_cap_bytes");
}

TEST(each_of_several_processes_has_a_part_of_the_caps)
{
    struct nigh_options o = NIGH_OPTIONS_INIT;
    struct nigh_space_options so = NIGH_SPACE_OPTIONS_INIT;
    struct nigh *cache;
    struct nigh_space *space;
    CHECK_EQ(nigh_options_parse(&o, "processes=4,l1.memory=64m,l1.limbo=8m,space.memory=8m,"
                                    "threads=none,space.loads=10"), 0);
    REQUIRE_EQ(nigh_open(&o, &cache), 0);
    CHECK_EQ(cap(cache, NULL), 16 << 20);
    CHECK_EQ(l1_limbo(cache->l1), 2 << 20);
    REQUIRE_EQ(nigh_space_open(cache, "heir", NULL, NULL, NULL, NULL, &space), 0);
    CHECK_EQ(cap(cache, "heir"), 2 << 20);
    CHECK_EQ(space->rules.loads_max, 3); /* none of the four less than its part */
    so.memory = 16 << 20;
    so.loads_max = 2;
    REQUIRE_EQ(nigh_space_open(cache, "own", &so, NULL, NULL, NULL, &space), 0);
    CHECK_EQ(cap(cache, "own"), 4 << 20);
    CHECK_EQ(space->rules.loads_max, 1);
    so.memory = NIGH_UNCAPPED;
    so.loads_max = 0;
    REQUIRE_EQ(nigh_space_open(cache, "free", &so, NULL, NULL, NULL, &space), 0);
    CHECK_EQ(cap(cache, "free"), NIGH_EINVAL);
    CHECK_EQ(space->rules.loads_max, 3);
    CHECK_EQ(space->rules.waiters_max, NIGH_DEFAULT_WAITERS_MAX); /* not the machine's to bear */
    nigh_close(cache);
}

TEST(defaults_are_shared_too)
{
    struct nigh_options o = NIGH_OPTIONS_INIT;
    struct nigh *cache;
    struct nigh_space *space;
    o.threads = NIGH_THREADS_NONE;
    REQUIRE_EQ(nigh_open(&o, &cache), 0);
    int64_t whole = cap(cache, NULL);
    nigh_close(cache);
    o.processes = 2;
    REQUIRE_EQ(nigh_open(&o, &cache), 0);
    CHECK_EQ(cap(cache, NULL), whole / 2);
    REQUIRE_EQ(nigh_space_open(cache, "s", NULL, NULL, NULL, NULL, &space), 0);
    CHECK_EQ(space->rules.loads_max, NIGH_DEFAULT_LOADS_MAX / 2);
    nigh_close(cache);
}

TEST(a_part_that_is_too_small_is_refused)
{
    struct nigh_options o = NIGH_OPTIONS_INIT;
    struct nigh_space_options so = NIGH_SPACE_OPTIONS_INIT;
    struct nigh *cache;
    struct nigh_space *space;
    o.processes = 5;
    o.l1_memory = 16 << 20;
    CHECK_EQ(refused(&o), NIGH_EOPTION);
    CHECK(says("l1.memory=16777216") && says("4194304") && says("processes=5"));
    o.processes = 4;
    o.threads = NIGH_THREADS_NONE;
    REQUIRE_EQ(nigh_open(&o, &cache), 0);
    so.memory = (4 << 20) - 1;
    CHECK_EQ(nigh_space_open(cache, "s", &so, NULL, NULL, NULL, &space), NIGH_EOPTION);
    CHECK(says("space.memory=4194303") && says("processes=4"));
    CHECK_EQ(nigh_set(cache, "l1.memory", "12m"), NIGH_EOPTION);
    CHECK(says("l1.memory=12582912") && says("processes=4"));
    CHECK_EQ(cap(cache, NULL), 4 << 20);
    nigh_close(cache);
}

TEST(a_struct_of_another_size_is_refused_unless_older)
{
    const size_t first = offsetof(struct nigh_options, l1_hash); /* of the first version */
    const size_t wrong[] = {0, 1, offsetof(struct nigh_options, l1_policy), first - 8, first - 1,
                            first + 1, sizeof(struct nigh_options) - 1,
                            sizeof(struct nigh_options) + 1, sizeof(struct nigh_options) + 8,
                            SIZE_MAX - 7, SIZE_MAX};
    struct nigh_options o = NIGH_OPTIONS_INIT;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        char shown[32];
        snprintf(shown, sizeof(shown), "size %zu", wrong[i]);
        o.size = wrong[i];
        CHECK_EQ(refused(&o), NIGH_EINVAL);
        CHECK(says(shown));
    }
    o.size = first;
    o.l1_memory = 8u << 20;
    o.l1_hash = 99; /* beyond the size that the caller knows */
    struct nigh *cache;
    REQUIRE_EQ(nigh_open(&o, &cache), 0);
    CHECK_EQ(nigh_stats_value(cache, NULL, "memory_cap_bytes"), 8u << 20);
    nigh_close(cache);
    o.size = sizeof(o);
    CHECK_EQ(refused(&o), NIGH_EOPTION);
}

#define RESERVED (sizeof(((struct nigh_space_options *)0)->reserved) / sizeof(uint32_t))

/* A program that was built against a newer header would believe in what it says there. */
TEST(a_reserve_that_is_not_0_was_ignored)
{
    for (size_t i = 0; i < RESERVED; i++) {
        struct nigh_options o = NIGH_OPTIONS_INIT;
        o.space.reserved[i] = i == 0 ? 1 : UINT32_MAX;
        CHECK_EQ(refused(&o), NIGH_EINVAL);
        CHECK(says("reserved"));
    }
}

TEST(the_spaces_part_of_the_options_has_its_own_size)
{
    struct nigh_options o = NIGH_OPTIONS_INIT;
    struct nigh *cache;
    o.space.size--;
    CHECK_EQ(refused(&o), NIGH_EINVAL);
    CHECK(says("space") && says("size"));
    o.space.size += 2;
    CHECK_EQ(refused(&o), NIGH_EINVAL);
    o.space.size = 0; /* not said */
    REQUIRE_EQ(nigh_open(&o, &cache), 0);
    nigh_close(cache);
}

TEST(no_name_and_no_value_are_refused)
{
    struct nigh_options o = NIGH_OPTIONS_INIT;
    struct nigh *cache;
    CHECK_EQ(nigh_options_set(&o, NULL, "1"), NIGH_EOPTION);
    CHECK_EQ(nigh_options_set(&o, "workers", NULL), NIGH_EOPTION);
    CHECK(says("workers"));
    CHECK_EQ(nigh_options_set(&o, "redis.uri", NULL), NIGH_EOPTION);
    REQUIRE_EQ(nigh_open(&o, &cache), 0);
    CHECK_EQ(nigh_set(cache, NULL, "1"), NIGH_EOPTION);
    CHECK_EQ(nigh_set(cache, "lease.time", NULL), NIGH_EOPTION);
    CHECK(says("lease.time"));
    nigh_close(cache);
}

TEST(names_that_would_break_redis_keys_are_refused)
{
    static const char *const wrong[] = {"", "a:b", "{a}", "!a", "a}",
        "0123456789012345678901234567890123456789012345678901234567890123456789"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct nigh_options o = NIGH_OPTIONS_INIT;
        o.redis_prefix = wrong[i];
        CHECK_EQ(refused(&o), NIGH_EOPTION);
        CHECK(says("redis.prefix") && says(wrong[i]));
        o = (struct nigh_options)NIGH_OPTIONS_INIT;
        o.space.schema = wrong[i];
        CHECK_EQ(refused(&o), NIGH_EOPTION);
        CHECK(says("schema") && says(wrong[i]));
    }
}

/* Who names certificates means TLS: for want of a letter nothing goes out in plain text. */
TEST(certificates_without_tls_are_refused)
{
    static const char *const names[] = {"redis.tls_ca", "redis.tls_cert", "redis.tls_key",
                                        "redis.tls_name"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct nigh_options o = NIGH_OPTIONS_INIT;
        CHECK_EQ(nigh_options_set(&o, names[i], "x"), 0);
        CHECK_EQ(nigh_options_set(&o, "redis.uri", "redis://127.0.0.1:1"), 0);
        CHECK_EQ(refused(&o), NIGH_EOPTION);
        CHECK(says(names[i]) && says("rediss://"));
    }
}

/* Sentinels may be the only ones who are spoken to over TLS; or the only ones who are not. */
TEST(certificates_for_sentinels_want_tls_to_them)
{
    static const struct {
        const char *uri, *tls, *name;
        bool fits;
    } rows_of[] = {
        {"redis+sentinel://h/m", "on", "redis.tls_cert", true},
        {"redis+sentinel://h/m", "on", "redis.sentinel_tls_ca", true},
        {"redis+sentinel://h/m", "on", "redis.tls_ca", false},
        {"redis+sentinel://h/m", "off", "redis.tls_cert", false},
        {"redis+sentinel://h/m", "off", "redis.sentinel_tls_ca", false},
        {"rediss+sentinel://h/m", "on", "redis.sentinel_tls_ca", true},
        {"rediss+sentinel://h/m", "off", "redis.tls_cert", true},
        {"rediss+sentinel://h/m", "off", "redis.sentinel_tls_ca", false},
    };
    for (size_t i = 0; i < sizeof(rows_of) / sizeof(rows_of[0]); i++) {
        struct nigh_options o = NIGH_OPTIONS_INIT;
        CHECK_EQ(nigh_options_set(&o, rows_of[i].name, "/nowhere"), 0);
        CHECK_EQ(nigh_options_set(&o, "redis.sentinel_tls", rows_of[i].tls), 0);
        CHECK_EQ(nigh_options_set(&o, "redis.uri", rows_of[i].uri), 0);
        bool built = refused(&o) != NIGH_EURI; /* else without TLS */
        bool refused_it = strstr(nigh_options_error(), "nothing would be encrypted") != NULL;
        bool ok = CHECK_EQ(refused_it, !rows_of[i].fits);
        ok = (!built || CHECK(says(rows_of[i].name))) && ok; /* there is no such file */
        if (!ok)
            check_note("%s, %s, %s", rows_of[i].uri, rows_of[i].tls, rows_of[i].name);
    }
}

TEST(a_wrong_uri_is_refused_at_open)
{
    static const char *const wrong[] = {"redis", "http://localhost", "redis://h:0", "redis://h:x",
                                        "redis://h:70000", "unix://", "redis://h/x", "redis://"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct nigh_options o = NIGH_OPTIONS_INIT;
        o.redis_uri = wrong[i];
        if (strcmp(wrong[i], "redis://") == 0)
            continue; /* localhost by default would be fair too */
        bool ok = CHECK_EQ(refused(&o), NIGH_EURI);
        ok = CHECK(nigh_options_error()[0]) && ok;
        if (!ok)
            check_note("was \"%s\": \"%s\"", wrong[i], nigh_options_error());
    }
}

TEST(nigh_conf_is_applied_on_top)
{
    struct nigh_options o = NIGH_OPTIONS_INIT;
    struct nigh *cache;
    o.l1_memory = 8u << 20;
    o.l1_shards = 16;
    REQUIRE_EQ(setenv("NIGH_CONF", "l1.memory=16m, l1.shards=32", 1), 0);
    REQUIRE_EQ(nigh_open(&o, &cache), 0);
    CHECK_EQ(nigh_stats_value(cache, NULL, "memory_cap_bytes"), 16u << 20);
    CHECK_EQ(nigh_stats_value(cache, NULL, "shards"), 32);
    nigh_close(cache);
    REQUIRE_EQ(setenv("NIGH_CONF", "l1.memory=16m,l1.shard=32", 1), 0);
    CHECK_EQ(refused(&o), NIGH_EOPTION);
    CHECK(says("l1.shard") && says("32"));
    REQUIRE_EQ(setenv("NIGH_CONF", "l1.memory=1m", 1), 0);
    CHECK_EQ(refused(NULL), NIGH_EOPTION);
    CHECK(says("l1.memory") && says("1m"));
    unsetenv("NIGH_CONF");
}

TEST(the_error_text_belongs_to_the_thread_and_stays_until_the_next_one)
{
    struct nigh_options o = NIGH_OPTIONS_INIT;
    CHECK_EQ(nigh_options_set(&o, "workers", "many"), NIGH_EOPTION);
    CHECK_EQ(nigh_options_set(&o, "workers", "3"), 0);
    CHECK(says("many"));
}

/* ---- a space ---- */

static int space_of(struct world *w, const char *name, const struct nigh_space_options *so)
{
    struct nigh_space *untouched = w->space;
    struct nigh_space *space = untouched;
    int rc = nigh_space_open(w->cache, name, so, origin_load, NULL, &w->origin, &space);
    if (rc != 0)
        CHECK(space == untouched);
    return rc;
}

TEST(a_space_refuses_rules_out_of_range_and_names_them)
{
    struct world w;
    world_open(&w, NULL, NULL);
    for (size_t i = 0; i < ROW_COUNT; i++) {
        const size_t first = offsetof(struct nigh_options, space);
        if (rows[i].offset < first || rows[i].offset >= first + sizeof(struct nigh_space_options))
            continue;
        struct nigh_space_options so = NIGH_SPACE_OPTIONS_INIT;
        uint64_t most = (rows[i].size == 8 ? UINT64_MAX : UINT32_MAX) - 1;
        char shown[32];
        memcpy((char *)&so + (rows[i].offset - first), &most, rows[i].size);
        snprintf(shown, sizeof(shown), "%llu", (unsigned long long)most);
        bool ok = CHECK_EQ(space_of(&w, "t", &so), NIGH_EOPTION);
        ok = CHECK(says(rows[i].name) && says(shown)) && ok;
        if (!ok)
            check_note("was %s: \"%s\"", rows[i].name, nigh_options_error());
    }
    world_close(&w);
}

TEST(a_space_refuses_to_go_without_what_it_needs)
{
    struct world w;
    world_open(&w, NULL, NULL);
    static const struct {
        const char *name;
        size_t offset;
    } needed[] = {
        {"space.soft_ttl", offsetof(struct nigh_space_options, soft_ttl_ms)},
        {"space.load_deadline", offsetof(struct nigh_space_options, load_deadline_ms)},
        {"space.waiters", offsetof(struct nigh_space_options, waiters_max)},
        {"space.loads", offsetof(struct nigh_space_options, loads_max)},
        {"space.value_max", offsetof(struct nigh_space_options, value_max)},
    };
    for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++) {
        struct nigh_space_options so = NIGH_SPACE_OPTIONS_INIT;
        uint32_t none = NIGH_NONE;
        memcpy((char *)&so + needed[i].offset, &none, sizeof(none));
        bool ok = CHECK_EQ(space_of(&w, "t", &so), NIGH_EOPTION);
        ok = CHECK(says(needed[i].name) && says("none")) && ok;
        if (!ok)
            check_note("was %s: \"%s\"", needed[i].name, nigh_options_error());
    }
    world_close(&w);
}

TEST(a_space_of_another_size_is_refused)
{
    struct world w;
    world_open(&w, NULL, NULL);
    struct nigh_space_options so = NIGH_SPACE_OPTIONS_INIT;
    so.size = 0;
    CHECK_EQ(space_of(&w, "t", &so), NIGH_EINVAL);
    so.size = sizeof(so) + 4;
    CHECK_EQ(space_of(&w, "t", &so), NIGH_EINVAL);
    CHECK(says("space") && says("size"));
    so.size = sizeof(so) - 8; /* it grows in place: no version is smaller */
    CHECK_EQ(space_of(&w, "t", &so), NIGH_EINVAL);
    so.size = SIZE_MAX;
    CHECK_EQ(space_of(&w, "t", &so), NIGH_EINVAL);
    so.size = sizeof(so);
    so.reserved[RESERVED - 1] = 1;
    CHECK_EQ(space_of(&w, "t", &so), NIGH_EINVAL);
    CHECK(says("reserved"));
    so.reserved[RESERVED - 1] = 0;
    CHECK_EQ(space_of(&w, "t", &so), 0);
    CHECK_EQ(space_of(&w, NULL, &so), NIGH_EINVAL);
    world_close(&w);
}

TEST(a_space_needs_a_name_that_redis_keys_can_hold)
{
    static const char *const wrong[] = {"", "a:b", "{a}", "!a",
        "0123456789012345678901234567890123456789012345678901234567890123456789"};
    struct world w;
    world_open(&w, NULL, NULL);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        CHECK_EQ(space_of(&w, wrong[i], NULL), NIGH_EINVAL);
        CHECK(says(wrong[i]));
    }
    CHECK_EQ(space_of(&w, "0123456789012345678901234567890123456789012345678901234567890123", NULL),
             0);
    world_close(&w);
}

TEST(a_space_is_opened_once)
{
    struct world w;
    struct nigh_space *again;
    struct nigh_space_options so = NIGH_SPACE_OPTIONS_INIT;
    world_open(&w, NULL, NULL);
    CHECK_EQ(nigh_space_open(w.cache, "s", NULL, origin_load, origin_write, &w.origin, &again), 0);
    CHECK(again == w.space);
    again = NULL;
    CHECK_EQ(nigh_space_open(w.cache, "s", NULL, NULL, origin_write, &w.origin, &again),
             NIGH_EEXIST);
    CHECK(says("s"));
    CHECK_EQ(nigh_space_open(w.cache, "s", NULL, origin_load, NULL, &w.origin, &again),
             NIGH_EEXIST);
    CHECK_EQ(nigh_space_open(w.cache, "s", NULL, origin_load, origin_write, &w, &again),
             NIGH_EEXIST);
    so.schema = "other";
    CHECK_EQ(nigh_space_open(w.cache, "s", &so, origin_load, origin_write, &w.origin, &again),
             NIGH_EEXIST);
    CHECK(again == NULL);
    world_close(&w);
}

TEST(a_space_inherits_from_the_cache)
{
    struct world w;
    struct nigh_options o = world_options(&w);
    struct nigh_space_options so = NIGH_SPACE_OPTIONS_INIT;
    o.space.soft_ttl_ms = 2000;
    o.space.stale_ms = NIGH_NONE;
    o.space.jitter_percent = NIGH_NONE;
    so.stale_ms = 1000;
    world_open(&w, &o, &so);
    CHECK_ANSWER(ask_fetch(w.space, "k", NULL), NIGH_FRESH, "k=1");
    world_advance(&w, 1999);
    CHECK_ANSWER(ask_get(w.space, "k", NULL), NIGH_FRESH, "k=1");
    world_advance(&w, 2);
    CHECK_ANSWER(ask_get(w.space, "k", NULL), NIGH_STALE, "k=1");
    world_advance(&w, 1000);
    CHECK_ANSWER(ask_get(w.space, "k", NULL), NIGH_MISS, "");
    world_close(&w);
}

/* ---- the table in print ---- */

TEST(the_table_prints_every_option_once_with_default_range_and_reason)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    REQUIRE(out);
    nigh_options_print(out);
    REQUIRE_EQ(fclose(out), 0);
    unsigned lines = 0;
    char *rest = text;
    char *line;
    while ((line = strsep(&rest, "\n"))) {
        if (!*line)
            continue;
        char name[64], otherwise[64], range[64];
        if (!CHECK_EQ(sscanf(line, "%63s %63s %63s", name, otherwise, range), 3))
            check_note("%s", line);
        bool known = lines == 0; /* the heading */
        for (size_t i = 0; i < ROW_COUNT; i++)
            known |= strcmp(rows[i].name, name) == 0;
        for (size_t i = 0; i < STRING_COUNT; i++)
            known |= strcmp(strings[i], name) == 0;
        if (!CHECK(known)) /* an option that this test does not know is not tested */
            check_note("%s", line);
        lines++;
    }
    CHECK_EQ(lines, 1 + ROW_COUNT + STRING_COUNT);
    free(text);
}

TEST(defaults_in_the_table_can_be_read_back)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    REQUIRE(out);
    nigh_options_print(out);
    REQUIRE_EQ(fclose(out), 0);
    char *rest = text;
    char *line = strsep(&rest, "\n"); /* the heading */
    while ((line = strsep(&rest, "\n"))) {
        struct nigh_options o = NIGH_OPTIONS_INIT;
        char name[64], otherwise[64];
        if (sscanf(line, "%63s %63s", name, otherwise) != 2 || strcmp(otherwise, "-") == 0)
            continue;
        if (!CHECK_EQ(nigh_options_set(&o, name, otherwise), 0))
            check_note("%s", line);
    }
    free(text);
}

TEST(errors_name_the_cause)
{
    static const char *const causes[][3] = {
        {"l1.memory", "64MB", "KiB"}, /* it is the unit */
        {"l1.memory", "1m", "4MiB .."},
        {"space.jitter", "0", "1% .. 50%, none"},
        {"space.soft_ttl", "16d", "1ms .. 15d"},
        {"redis.deadline", "fast", "ms, s, m, h, d"},
    };
    for (size_t i = 0; i < sizeof(causes) / sizeof(causes[0]); i++) {
        struct nigh_options o = NIGH_OPTIONS_INIT;
        CHECK_EQ(nigh_options_set(&o, causes[i][0], causes[i][1]), NIGH_EOPTION);
        CHECK(says(causes[i][2]));
    }
}

/* ---- how numbers are written ---- */

/* What people write: what it becomes, or words of the error that help. */
struct written {
    const char *name;
    const char *text;
    uint64_t becomes;
    const char *words[3];
};

/* clang-format off */
static const struct written written[] = {
    /* a bare number was read as milliseconds by us and as seconds by whoever wrote it */
    {"space.soft_ttl", "60", 0, {"a time needs its unit", "60ms", "60s"}},
    {"space.soft_ttl", " 60 ", 0, {"a time needs its unit", "60ms", "60s"}},
    {"redis.deadline", "250", 0, {"unit", "250ms", "250s"}},
    {"lease.time", "0", 0, {"unit", "0ms"}},
    {"space.stale", "0", 0, {"unit", "none"}},
    {"space.stale", "000", 0, {"unit", "none"}},
    {"space.stale", "0s", 0, {"1ms .. 15d, none"}},
    {"space.load_deadline", "0s", 0, {"1ms .. 1d"}},
    {"space.soft_ttl", "none", 0, {"a time is wanted"}},
    {"space.soft_ttl", "60s", 60000, {NULL}},
    {"space.soft_ttl", "60S", 60000, {NULL}},
    {"space.soft_ttl", "60 s", 60000, {NULL}},
    {"space.soft_ttl", "\t60s \r\n", 60000, {NULL}},
    {"space.soft_ttl", "060s", 60000, {NULL}},
    {"space.soft_ttl", "1min", 60000, {NULL}},
    {"space.soft_ttl", "1M", 60000, {NULL}},
    {"space.stale", " None ", NIGH_NONE, {NULL}},
    {"space.soft_ttl", "1.5s", 0, {"fraction", "smaller unit"}},
    {"space.soft_ttl", ".5s", 0, {"fraction"}},
    {"space.soft_ttl", "1,5s", 0, {"one number and one unit"}},
    {"space.soft_ttl", "1h30m", 0, {"one number and one unit"}},
    {"space.soft_ttl", "1e3s", 0, {"one number and one unit"}},
    {"space.soft_ttl", "-1s", 0, {"a time is wanted"}},
    {"space.soft_ttl", "+1s", 0, {"a time is wanted"}},
    {"space.soft_ttl", "s", 0, {"a time is wanted"}},
    {"space.soft_ttl", "1sec", 0, {"ms, s, m, h, d"}},
    {"space.soft_ttl", "1us", 0, {"ms, s, m, h, d"}},
    {"space.soft_ttl", "1w", 0, {"ms, s, m, h, d"}},
    {"space.soft_ttl", "0x10s", 0, {"a time is wanted"}},
    {"space.soft_ttl", "10%", 0, {"a time is wanted"}},
    {"space.soft_ttl", "213503982335d", 0, {"out of range", "15d"}}, /* wraps to 0.4 s */
    {"space.soft_ttl", "18446744073709551616ms", 0, {"out of range"}},
    {"space.soft_ttl", "4294967297ms", 0, {"out of range"}}, /* 1 in 32 bits */
    {"space.jitter", "20", 20, {NULL}},
    {"space.jitter", "20 %", 20, {NULL}},
    {"space.jitter", "0.2", 0, {"whole number of percent"}},
    {"space.jitter", "20ms", 0, {"percent"}},
    {"l1.memory", "67108864", 64u << 20, {NULL}},
    {"l1.memory", "64 MiB", 64u << 20, {NULL}},
    {"l1.memory", "64M", 64u << 20, {NULL}},
    {"l1.memory", "65536kib", 64u << 20, {NULL}},
    {"l1.memory", "67108864b", 64u << 20, {NULL}},
    {"l1.memory", "64", 0, {"64 (bytes)", "4MiB .."}},
    {"l1.memory", "64mb", 0, {"MiB", "1000 and 1024"}},
    {"l1.memory", "1GB", 0, {"GiB", "1000 and 1024"}},
    {"l1.memory", "1.5g", 0, {"fraction", "smaller unit"}},
    {"l1.memory", "1g512m", 0, {"one number and one unit"}},
    {"l1.memory", "-1g", 0, {"bytes are wanted"}},
    {"l1.memory", "1s", 0, {"bytes are wanted"}},
    {"l1.memory", "50%", 0, {"bytes are wanted"}},
    {"l1.memory", "none", 0, {"bytes are wanted"}},
    {"l1.memory", "16777216t", 0, {"out of range"}}, /* 2^64 */
    {"l1.memory", "16777217t", 0, {"out of range"}},
    {"space.value_max", "4GiB", 0, {"out of range", "64MiB"}},
    {"l1.shards", "64%", 0, {"whole number"}},
    {"l1.shards", "64k", 0, {"whole number"}},
    {"l1.shards", "6.4", 0, {"whole number"}},
    {"workers", "4 ", 4, {NULL}},
    {"l1.policy", "lru ", NIGH_POLICY_LRU, {NULL}},
    {"l1.policy", "lru ttl", 0, {"one of lru,lfu"}},
};
/* clang-format on */

static const struct row *row_of(const char *name)
{
    size_t i = 0;
    while (i < ROW_COUNT && strcmp(rows[i].name, name) != 0)
        i++;
    REQUIRE(i < ROW_COUNT);
    return &rows[i];
}

static void check_written(const struct written *w, struct nigh_options *o, int rc)
{
    bool right = w->words[0] == NULL;
    bool ok = CHECK_EQ(rc, right ? 0 : NIGH_EOPTION);
    ok = CHECK_EQ(field(o, row_of(w->name)), w->becomes) && ok;
    if (!right)
        ok = CHECK(says(w->name) && says(w->text)) && ok;
    for (size_t i = 0; i < 3 && w->words[i]; i++)
        ok = CHECK(says(w->words[i])) && ok;
    if (!ok)
        check_note("was %s=%s", w->name, w->text);
}

TEST(a_number_means_what_its_writer_meant_or_is_refused)
{
    for (size_t i = 0; i < sizeof(written) / sizeof(written[0]); i++) {
        struct nigh_options o = NIGH_OPTIONS_INIT;
        int rc = nigh_options_set(&o, written[i].name, written[i].text);
        check_written(&written[i], &o, rc);
    }
}

/* The same from outside: by one string, by the environment, and while a cache is open. */
TEST(a_bare_time_is_refused_wherever_it_is_said)
{
    struct nigh_options o = NIGH_OPTIONS_INIT;
    CHECK_EQ(nigh_options_parse(&o, "l1.memory=8m,space.soft_ttl=60"), NIGH_EOPTION);
    CHECK(says("space.soft_ttl=60") && says("60ms or 60s"));
    CHECK_EQ(nigh_options_parse(&o, NULL), NIGH_EOPTION);
    setenv("NIGH_CONF", "space.soft_ttl=60", 1);
    CHECK_EQ(refused(&o), NIGH_EOPTION);
    CHECK(says("NIGH_CONF") && says("space.soft_ttl=60") && says("60ms or 60s"));
    setenv("NIGH_CONF", "l1.memory=8m,threads=none\r\n", 1);
    struct nigh *cache;
    REQUIRE_EQ(nigh_open(&o, &cache), 0);
    unsetenv("NIGH_CONF");
    CHECK_EQ(nigh_set(cache, "lease.time", "5"), NIGH_EOPTION);
    CHECK(says("lease.time=5") && says("5ms or 5s"));
    nigh_close(cache);
}

/* What it says of a struct's numbers can be written where names are used. */
TEST(numbers_of_a_struct_are_told_with_their_unit)
{
    struct nigh_options o = NIGH_OPTIONS_INIT;
    o.connect_timeout_ms = 5;
    CHECK_EQ(refused(&o), NIGH_EOPTION);
    CHECK(says("redis.connect_timeout=5ms"));
    o = (struct nigh_options)NIGH_OPTIONS_INIT;
    o.trust_ms = 700;
    CHECK_EQ(refused(&o), NIGH_EOPTION);
    CHECK(says("coherence.beat=1000ms") && says("coherence.trust=700ms"));
}

TEST(a_password_is_not_repeated)
{
    struct nigh_options o = NIGH_OPTIONS_INIT;
    CHECK_EQ(nigh_options_parse(&o, "redis.uri=redis://:se,cret@h"), NIGH_EOPTION);
    CHECK(!strstr(nigh_options_error(), "cret"));
    CHECK(says("%2C"));
    CHECK_EQ(nigh_options_set(&o, "redis.sentinel_pasword", "secret"), NIGH_EOPTION);
    CHECK(says("redis.sentinel_pasword") && !strstr(nigh_options_error(), "secret"));
}
