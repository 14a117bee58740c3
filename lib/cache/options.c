// SPDX-License-Identifier: MIT
/*
 * The options table: name, unit, range, default and reason, each once.
 *
 * Parsing, printing, range checks and defaults all walk this table. The struct fields hold 0 for
 * "not said"; options_resolve() puts the defaults of a cache in (those of spaces are resolved when
 * a space is opened, because a space may say "none").
 */
#include "cache/option.h"
#include "cache/options.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "cache/top.h"
#include "l1/l1.h"

#define AT(field) offsetof(struct nigh_options, field)
#define DAY_MS OPTION_DAY_MS
#define TTL_MAX_MS NIGH_LIFETIME_MAX_MS
#define BYTES_MAX OPTION_BYTES_MAX

/* "lru,lfu,...": a word's place in the list is its value, so they must be in the enum's order. */
#define POLICY_WORD(value, word) "," #word
#define POLICY_WORDS (&(L1_POLICIES(POLICY_WORD))[1]) /* without the first comma */
#define POLICY_PLACE(value, word) PLACE_##value,
enum { PLACE_DEFAULT, L1_POLICIES(POLICY_PLACE) };
#define POLICY_IN_ORDER(value, word)                                                               \
    _Static_assert((int)PLACE_##value == NIGH_POLICY_##value, #word);
L1_POLICIES(POLICY_IN_ORDER)

/* Size of the struct's first version, up to its last field: the least that a program may pass. */
#define OPTIONS_SIZE_FIRST (offsetof(struct nigh_options, clock_arg) + sizeof(void *))

/* The structs end with their last fields: padding would be a place that a later field takes without
 * a new size, and an older program has left unset. */
#define ENDS_WITH(type, field)                                                                     \
    _Static_assert(offsetof(type, field) + sizeof(((type *)0)->field) == sizeof(type), #field)
ENDS_WITH(struct nigh_options, guest);
ENDS_WITH(struct nigh_space_options, reserved);
ENDS_WITH(struct nigh_call, miss);

#define U32(field) OPTION_U32, AT(field), false
#define U32_OR_NONE(field) OPTION_U32_OR_NONE, AT(field), false
#define LIVE_U32(field) OPTION_U32, AT(field), true
#define U64(field) OPTION_U64, AT(field), false
#define LIVE_U64(field) OPTION_U64, AT(field), true
#define U64_OR_NONE(field) OPTION_U64_OR_NONE, AT(field), false
#define LIVE_U64_OR_NONE(field) OPTION_U64_OR_NONE, AT(field), true
#define STRING(field) OPTION_STRING, AT(field), false
#define WORD(field) OPTION_WORD, AT(field), false
#define LIVE_WORD(field) OPTION_WORD, AT(field), true

/* clang-format off */
static const struct option options[] = {
    {"l1.memory", LIVE_U64(l1_memory), UNIT_BYTES, L1_MEMORY_LEAST, BYTES_MAX,
     NIGH_DEFAULT_L1_MEMORY, NULL,
     "cap on all that L1 holds, tables too; by default at most half of the cgroup's limit"},
    {"l1.shards", U32(l1_shards), UNIT_NONE, 1, 65536, 0, NULL,
     "locks for writers, a power of two; by default 4 per CPU and about 16k entries each "
     "(458,745 at most)"},
    {"l1.policy", WORD(l1_policy), UNIT_NONE, 0, 0, NIGH_POLICY_LFU, POLICY_WORDS,
     "chooses who leaves when room is needed; lru is exact LRU to a quarter of a round (hit "
     "ratio within 3 points); lfu also asks whether the newcomer is worth it"},
    {"l1.limbo", LIVE_U64(l1_limbo), UNIT_BYTES, 64u << 10, BYTES_MAX, 0, NULL,
     "retired bytes that may wait for readers; by default 1/16 of l1.memory, part of it"},
    {"l1.entries", U32(l1_entries), UNIT_NONE, 1, 1u << 31, 0, NULL,
     "cap on the number of values, equal parts for the shards, beside l1.memory; by default none"},
    {"l1.hash", WORD(l1_hash), UNIT_NONE, 0, 0, NIGH_HASH_XXH3, "xxh3,siphash",
     "hash of keys, seeded; siphash, which is slower, for keys that enemies choose and time"},
    {"l1.huge_pages", WORD(l1_huge_pages), UNIT_NONE, 0, 0, 0, "none,tables,all",
     "parts of L1 in pages of 2 MiB; by default tables, opened with l1.memory=128m or more: all"},
    {"redis.uri", STRING(redis_uri), UNIT_NONE, 0, 0, 0, NULL,
     "redis://[user[:password]@]host[:port][/db], rediss:// for TLS, unix://path[?db=n], or "
     "redis+sentinel://host,host/NAME; by default L1 only"},
    {"redis.tls_ca", STRING(tls_ca), UNIT_NONE, 0, 0, 0, NULL,
     "PEM file or folder of CAs that may vouch for a rediss:// server; by default the system's"},
    {"redis.tls_cert", STRING(tls_cert), UNIT_NONE, 0, 0, 0, NULL,
     "PEM file of the certificate that the server is shown; by default none"},
    {"redis.tls_key", STRING(tls_key), UNIT_NONE, 0, 0, 0, NULL,
     "PEM file of its key, without a pass phrase; by default redis.tls_cert has it, too"},
    {"redis.tls_name", STRING(tls_name), UNIT_NONE, 0, 0, 0, NULL,
     "name or address in the server's certificate; by default the host in redis.uri"},
    {"redis.tls_verify", WORD(tls_verify), UNIT_NONE, 0, 0, NIGH_TLS_VERIFY_FULL, "full,ca,none",
     "what the server has to prove: name and CA, or the CA, or nothing"},
    {"redis.tls_min", WORD(tls_min), UNIT_NONE, 0, 0, NIGH_TLS_1_2, "1.2,1.3",
     "the least version of TLS"},
    {"redis.password_file", STRING(redis_password_file), UNIT_NONE, 0, 0, 0, NULL,
     "file whose one line is the password of redis.uri's user, looked at each second and at each "
     "connection; by default redis.uri has it"},
    {"redis.sentinel_user", STRING(redis_sentinel_user), UNIT_NONE, 0, 0, 0, NULL,
     "as whom to log in to Sentinels; by default the default user"},
    {"redis.sentinel_password", STRING(redis_sentinel_password), UNIT_NONE, 0, 0, 0, NULL,
     "the password for Sentinels; by default none is sent to them"},
    {"redis.sentinel_password_file", STRING(redis_sentinel_password_file), UNIT_NONE, 0, 0, 0,
     NULL, "file whose one line is that password, read at each connection"},
    {"redis.sentinel_tls", WORD(redis_sentinel_tls), UNIT_NONE, 0, 0, 0, "on,off",
     "TLS to Sentinels, with redis.tls_cert and its key; by default as redis.uri says"},
    {"redis.sentinel_tls_ca", STRING(redis_sentinel_tls_ca), UNIT_NONE, 0, 0, 0, NULL,
     "as redis.tls_ca, for Sentinels, whose own hosts are verified; by default the system's"},
    {"redis.sentinel_tls_verify", WORD(redis_sentinel_tls_verify), UNIT_NONE, 0, 0,
     NIGH_TLS_VERIFY_FULL, "full,ca,none", "as redis.tls_verify, for Sentinels"},
    {"redis.prefix", STRING(redis_prefix), UNIT_NONE, 0, 0, 0, NULL,
     "first part of every Redis key (\"nigh\"): caches that share it are one cache"},
    {"redis.deadline", LIVE_U32(l2_deadline_ms), UNIT_MS, 1, 60000,
     NIGH_DEFAULT_L2_DEADLINE_MS, NULL,
     "limit of one request, then the loader is asked; slower than 2/5 of it counts as failing"},
    {"redis.stale_deadline", LIVE_U32(l2_stale_deadline_ms), UNIT_MS, 1, 60000,
     NIGH_DEFAULT_L2_STALE_DEADLINE_MS, NULL,
     "limit of one request while a stale value is at hand"},
    {"redis.connect_timeout", U32(connect_timeout_ms), UNIT_MS, 10, 60000,
     NIGH_DEFAULT_CONNECT_TIMEOUT_MS, NULL,
     "limit of an attempt to connect; while Redis is away one begins every 550 to 900 ms"},
    {"coherence.trust", U32(trust_ms), UNIT_MS, 100, 600000, NIGH_DEFAULT_TRUST_MS, NULL,
     "staleness bound: how old the last word from Redis may be while values count as fresh"},
    {"coherence.beat", U32(beat_ms), UNIT_MS, 10, 60000, NIGH_DEFAULT_BEAT_MS, NULL,
     "period at which Redis is asked for news; a third of coherence.trust survives two losses"},
    {"coherence.on_doubt", WORD(on_doubt), UNIT_NONE, 0, 0, NIGH_DOUBT_STALE, "stale,miss",
     "how stored values count while trust has run out"},
    {"coherence.group_slots", U32(group_slots), UNIT_NONE, GROUP_SLOTS_MIN, GROUP_SLOTS_MAX,
     NIGH_DEFAULT_GROUP_SLOTS, NULL,
     "floors for tags, a power of two, 32 B each here, 16 in Redis; the same in every node"},
    {"coherence.guest", U64(guest), UNIT_NONE, 0, 1, 0, NULL,
     "1: this process begins nothing under a prefix that nobody uses, but with changes of its own: "
     "nothing is fresh before; for programs that only look"},
    {"coherence.queue", U32(queue_items), UNIT_NONE, 16, 1u << 20,
     NIGH_DEFAULT_QUEUE_ITEMS, NULL,
     "changes in the background, for retry or another Redis; more are refused, or become all"},
    {"lease.time", LIVE_U32(lease_ms), UNIT_MS, 100, 600000, NIGH_DEFAULT_LEASE_MS, NULL,
     "time until another may do a dead process's load; at most half of space.load_deadline"},
    {"workers", U32(workers), UNIT_NONE, 1, 256, NIGH_DEFAULT_WORKERS, NULL,
     "threads that refresh behind callers, and load for async calls, batch_wait and run_on worker"},
    {"async.max", U64(async_max), UNIT_NONE, 1, 1u << 24, NIGH_DEFAULT_ASYNC_MAX, NULL,
     "calls pending on completion queues, or not polled; more get NIGH_EBUSY at once"},
    {"processes", U64(processes), UNIT_NONE, 1, 1024, 1, NULL,
     "processes of a prefork host: each has an equal part of l1.memory, l1.limbo, l1.entries, "
     "space.memory and space.loads, which are caps of all together"},
    {"curve", LIVE_WORD(curve), UNIT_NONE, 0, 0, NIGH_ON, "on,off",
     "watches one key in 64, or more of few, to tell what another l1.memory would bring: "
     "nigh_curve()"},
    {"trace.file", STRING(trace_file), UNIT_NONE, 0, 0, 0, NULL,
     "where requests are recorded, for perf/run ({pid}: the process); by default nowhere; 512 KiB "
     "for each thread, not in l1.memory"},
    {"trace.sample", U32(trace_sample), UNIT_NONE, 1, 65536, NIGH_DEFAULT_TRACE_SAMPLE, NULL,
     "one key in so many is recorded, a power of two; 1: all, at a price"},
    {"trace.size", U64(trace_size), UNIT_BYTES, 4096, BYTES_MAX, NIGH_DEFAULT_TRACE_SIZE, NULL,
     "the recording ends when the file has it; a request takes 24 bytes"},
    {"threads", WORD(threads), UNIT_NONE, 0, 0, NIGH_THREADS_OWN, "own,none",
     "threads of the cache's own, or none: then the host calls nigh_tick()"},
    {"log", WORD(log_to), UNIT_NONE, 0, 0, NIGH_LOG_TO_STDERR, "stderr,syslog,none",
     "where warnings and errors go, unless the host has a hook for all messages"},
    {"stats.latency", WORD(stats_latency), UNIT_NONE, 0, 0, NIGH_ON, "on,off",
     "histograms of what hits (a sample), misses, requests and loads take in each space; 3 KiB "
     "each for each thread, not in l1.memory"},
    {"log.level", OPTION_WORD, AT(log_level), true, UNIT_NONE, 0, 0, 0, "error,warn,info,debug",
     "the least that goes out; by default warn, and to a hook debug"},
    {"control.socket", STRING(control_socket), UNIT_NONE, 0, 0, 0, NULL,
     "path of a socket for the program nigh and for socat; {pid} is the process; by default none"},
    {"hot.keys", U64_OR_NONE(hot_keys), UNIT_NONE, 1, TOP_MOST, NIGH_DEFAULT_HOT_KEYS, NULL,
     "keys that nigh_hot() tells of each space: hit, missed, changed most; 2.5 KiB each, not in "
     "l1.memory"},
    {"space.schema", STRING(space.schema), UNIT_NONE, 0, 0, 0, NULL,
     "version of the values' format, part of every Redis key; by default 1"},
    {"space.soft_ttl", U32(space.soft_ttl_ms), UNIT_MS, 1, TTL_MAX_MS,
     NIGH_DEFAULT_SOFT_TTL_MS, NULL,
     "time for which a value is fresh: the backstop for a writer that dies before it tells"},
    {"space.stale", U32_OR_NONE(space.stale_ms), UNIT_MS, 1, TTL_MAX_MS,
     NIGH_DEFAULT_STALE_MS, NULL,
     "time after soft_ttl in which a value is served stale, while it is refreshed behind"},
    {"space.keep", U32_OR_NONE(space.keep_ms), UNIT_MS, 1, TTL_MAX_MS, 0, NULL,
     "time after stale in which Redis has it for loaders that answer \"not modified\""},
    {"space.jitter", U32_OR_NONE(space.jitter_percent), UNIT_PERCENT, 1, 50,
     NIGH_DEFAULT_JITTER_PERCENT, NULL,
     "spread of lifetimes, lest what was loaded together expires together"},
    {"space.absent_ttl", U32_OR_NONE(space.absent_ttl_ms), UNIT_MS, 1, DAY_MS,
     NIGH_DEFAULT_ABSENT_TTL_MS, NULL,
     "time for which \"does not exist\" is remembered"},
    {"space.error_ttl", U32_OR_NONE(space.error_ttl_ms), UNIT_MS, 1, DAY_MS,
     NIGH_DEFAULT_ERROR_TTL_MS, NULL,
     "time for which a failed load is not repeated; it doubles with each failure in a row"},
    {"space.error_ttl_max", U32_OR_NONE(space.error_ttl_max_ms), UNIT_MS, 1, DAY_MS,
     NIGH_DEFAULT_ERROR_TTL_MAX_MS, NULL,
     "limit of that doubling, or space.error_ttl where that is longer"},
    {"space.load_deadline", U32(space.load_deadline_ms), UNIT_MS, 1, DAY_MS,
     NIGH_DEFAULT_LOAD_DEADLINE_MS, NULL,
     "time after which a load is given up by those who wait, and may be begun anew"},
    {"space.waiters", U32(space.waiters_max), UNIT_NONE, 1, 1u << 20,
     NIGH_DEFAULT_WAITERS_MAX, NULL,
     "callers that may wait for one key; more get NIGH_EBUSY at once"},
    {"space.loads", U32(space.loads_max), UNIT_NONE, 1, 1u << 20, NIGH_DEFAULT_LOADS_MAX, NULL,
     "loads at once in this process: what the origin has to bear"},
    {"space.value_max", U32(space.value_max), UNIT_BYTES, 1, NIGH_VALUE_MAX,
     NIGH_DEFAULT_VALUE_MAX, NULL,
     "larger values are returned, not stored"},
    {"space.run_on", WORD(space.run_on), UNIT_NONE, 0, 0, NIGH_RUN_CALLER, "caller,worker",
     "where the loader of a blocking call runs; on worker the deadline binds its caller too"},
    {"space.batch", U32(space.batch), UNIT_NONE, 1, NIGH_BATCH_MAX, 1, NULL,
     "keys that one call of the loader may be for; above 1 the loader has to look at its n"},
    {"space.batch_wait", U32_OR_NONE(space.batch_wait_us), UNIT_US, 10, 100000, 0, NULL,
     "above batch 1: time for which all threads' misses are gathered for one call, on a worker"},
    {"space.memory", LIVE_U64_OR_NONE(space.memory), UNIT_BYTES, 1u << 20, BYTES_MAX, 0, NULL,
     "cap inside l1.memory on a space's values and tables: it evicts its own"},
    {"space.l2", WORD(space.l2), UNIT_NONE, 0, 0, NIGH_L2_VALUES, "values,invalidations",
     "invalidations: values stay out of Redis, each process loads its own; changes reach all"},
    {"space.compress", WORD(space.compress), UNIT_NONE, 0, 0, NIGH_COMPRESS_NONE, "none,lz4,zstd",
     "compresses values for Redis, where that saves an eighth; a build without the library has a "
     "miss of such a value"},
    {"space.compress_min", U32(space.compress_min), UNIT_BYTES, 64, NIGH_VALUE_MAX,
     NIGH_DEFAULT_COMPRESS_MIN, NULL,
     "smaller values are not worth the time of compressing them"},
};
/* clang-format on */

#define OPTION_COUNT ARRAY_COUNT(options)

static bool of_space(const struct option *o)
{
    return strncmp(o->name, "space.", 6) == 0;
}

/* ---- by name ---- */

static const struct option *find(const char *name)
{
    for (size_t i = 0; i < OPTION_COUNT; i++)
        if (strcmp(options[i].name, name) == 0)
            return &options[i];
    return NULL;
}

/* Names the option, and its value unless that may be a password behind a slip in the name. */
static int unknown(const char *name, const char *value)
{
    if (strstr(name, "pas") || strchr(value, '@'))
        return error_note(NIGH_EOPTION, "%.60s: no option of this name", name);
    return error_note(NIGH_EOPTION, "%.60s=%.60s: no option of this name", name, value);
}

static int missing(const char *name)
{
    return error_note(NIGH_EOPTION, "%.60s: a name and a value are wanted", name ? name : "NULL");
}

int nigh_options_set(struct nigh_options *s, const char *name, const char *value)
{
    if (!name || !value)
        return missing(name);
    const struct option *o = find(name);
    return o ? option_set(o, s, value) : unknown(name, value);
}

int options_change(struct nigh_options *s, const char *name, const char *value)
{
    if (!name || !value)
        return missing(name);
    const struct option *o = find(name);
    if (!o)
        return unknown(name, value);
    if (!o->live) /* a text is not quoted: it may have a password in it */
        return error_note(NIGH_EOPTION, "%s%s%.60s: cannot change while the cache is open", name,
                          o->type == OPTION_STRING ? "" : "=",
                          o->type == OPTION_STRING ? "" : value);
    return option_set(o, s, value);
}

int options_change_space(struct nigh_space_options *s, const char *name, const char *value)
{
    struct nigh_options all = NIGH_OPTIONS_INIT;
    const struct option *o = name ? find(name) : NULL;
    if (o && !of_space(o))
        return error_note(NIGH_EOPTION, "%s: no option of a space", name);
    int rc = options_change(&all, name, value);
    if (rc == 0)
        *s = all.space;
    return rc;
}

static char *trim(char *text)
{
    text += strspn(text, OPTION_BLANKS);
    text[option_trimmed(text)] = '\0';
    return text;
}

static bool is_blank(char c)
{
    return c && strchr(OPTION_BLANKS, c);
}

/* Finds another option's "name=" or "name =" behind a blank in a value. NULL: there is none. */
static const struct option *swallowed(char *value)
{
    for (char *equals = value; (equals = strchr(equals, '=')); equals++) {
        char *end = equals;
        while (end > value && is_blank(end[-1]))
            end--;
        char *name = end;
        while (name > value && !is_blank(name[-1]))
            name--;
        char c = *end;
        *end = '\0';
        const struct option *o = name > value ? find(name) : NULL;
        *end = c;
        if (o)
            return o;
    }
    return NULL;
}

static int parse_pair(struct nigh_options *s, char *pair)
{
    char *name = trim(pair);
    if (*name == '\0')
        return 0;
    char *equals = strchr(name, '=');
    if (!equals && find(name))
        return error_note(NIGH_EOPTION, "%s: name=value is wanted", name);
    if (!equals) /* not quoted: `name` may be the rest of a password */
        return error_note(NIGH_EOPTION, "name=value,... is wanted; a comma in a redis.uri is %%2C");
    *equals = '\0';
    const struct option *next = swallowed(equals + 1);
    if (next && find(trim(name)))
        return error_note(NIGH_EOPTION, "%s: a comma, not a blank, ends its value before %s=",
                          trim(name), next->name);
    return nigh_options_set(s, trim(name), trim(equals + 1));
}

int nigh_options_parse(struct nigh_options *s, const char *text)
{
    if (!text)
        return missing(NULL);
    struct nigh_options changed = *s;
    char *copy = strdup(text);
    char *rest = copy;
    char *pair;
    int rc = copy ? 0 : NIGH_ENOMEM;
    while (rc == 0 && (pair = strsep(&rest, ",")))
        rc = parse_pair(&changed, pair);
    free(copy);
    if (rc == 0)
        *s = changed;
    return rc;
}

/* ---- a whole struct ---- */

static uint64_t number_of(const struct option *o, const struct nigh_options *s)
{
    const void *field = (const char *)s + o->offset;
    return option_is_64(o) ? *(const uint64_t *)field : *(const uint32_t *)field;
}

static int check_number(const struct option *o, struct nigh_options *s)
{
    uint64_t number = number_of(o, s);
    bool is_none = o->type != OPTION_U64 && number == option_none(o);
    char text[32] = "none";
    if (number == 0 || (is_none && option_may_be_none(o)) ||
        (number >= o->min && number <= o->max))
        return 0;
    if (!is_none)
        snprintf(text, sizeof(text), "%" PRIu64 "%s", number, o->unit == UNIT_MS   ? "ms"
                                                          : o->unit == UNIT_US ? "us"
                                                                               : "");
    return option_out_of_range(o, text);
}

static int check_word(const struct option *o, struct nigh_options *s)
{
    unsigned place = 1;
    for (const char *w = o->words; *w; w++)
        place += *w == ',';
    uint32_t value = *(uint32_t *)option_field(o, s);
    return value <= place ? 0 : error_note(NIGH_EOPTION, "%s=%u: one of %s", o->name, value,
                                           o->words);
}

static int check(struct nigh_options *s)
{
    int rc = 0;
    for (size_t i = 0; i < OPTION_COUNT && rc == 0; i++) {
        if (options[i].type == OPTION_WORD)
            rc = check_word(&options[i], s);
        else if (options[i].type != OPTION_STRING)
            rc = check_number(&options[i], s);
    }
    return rc;
}

static bool power_of_two(uint32_t n)
{
    return n != 0 && (n & (n - 1)) == 0;
}

int options_check_limbo(const struct nigh_options *s)
{
    if (s->l1_limbo <= s->l1_memory / 2)
        return 0;
    return error_note(NIGH_EOPTION, "l1.limbo=%" PRIu64 ": at most half of l1.memory=%" PRIu64,
                      s->l1_limbo * s->processes, s->l1_memory * s->processes);
}

int options_memory_too_small(const struct nigh_options *s)
{
    return error_note(NIGH_EOPTION, "l1.memory=%" PRIu64 ": too little for the fixed tables "
                                    "(l1.shards, coherence.group_slots, processes)",
                      s->l1_memory * s->processes);
}

/* ---- a prefork host ---- */

static int share_bytes(const char *name, uint64_t *bytes, uint64_t processes)
{
    uint64_t least = find(name)->min;
    if (*bytes == 0 || *bytes == NIGH_UNCAPPED)
        return 0;
    if (*bytes / processes < least)
        return error_note(NIGH_EOPTION, "%s=%" PRIu64 ": at least %" PRIu64 " for each of "
                                        "processes=%" PRIu64, name, *bytes, least, processes);
    *bytes /= processes;
    return 0;
}

/* A count is rounded up: no process goes without. */
static uint32_t share_count(uint32_t count, uint64_t processes)
{
    return (uint32_t)((count + processes - 1) / processes);
}

int options_share_space(struct nigh_space_options *s, uint64_t processes)
{
    s->loads_max = share_count(s->loads_max, processes);
    return share_bytes("space.memory", &s->memory, processes);
}

int options_share(struct nigh_options *s)
{
    int rc = share_bytes("l1.memory", &s->l1_memory, s->processes);
    if (rc == 0)
        rc = share_bytes("l1.limbo", &s->l1_limbo, s->processes);
    s->l1_entries = share_count(s->l1_entries, s->processes);
    return rc == 0 ? options_share_space(&s->space, s->processes) : rc;
}

void options_unshare(struct nigh_options *s)
{
    s->l1_memory *= s->processes;
    s->l1_limbo *= s->processes;
    if (s->space.memory != NIGH_UNCAPPED)
        s->space.memory *= s->processes;
}

static int check_compress(const struct nigh_space_options *s)
{
    static const char *const words[] = {
        [NIGH_COMPRESS_LZ4] = "lz4", [NIGH_COMPRESS_ZSTD] = "zstd"};
    unsigned codec = options_codec(s);
    if (codec == CODEC_NONE || codec_is_built(codec))
        return 0;
    return error_note(NIGH_EOPTION, "space.compress=%s: this build has no lib%s",
                      words[s->compress], words[s->compress]);
}

/* Paths of certificates say that TLS is meant, so nothing may go out in plain text. */
static int check_tls(const struct nigh_options *s)
{
    const char *uri = s->redis_uri ? s->redis_uri : "";
    bool tls = !uri[0] || strncmp(uri, "rediss", 6) == 0;
    bool sentinels = strstr(uri, "+sentinel://") != NULL;
    bool to_sentinels = !sentinels || (s->redis_sentinel_tls ? s->redis_sentinel_tls == NIGH_ON
                                                             : tls);
    bool any = tls || (sentinels && to_sentinels);
    const char *plain = "redis.uri is not rediss://";
    const struct {
        const char *name, *value;
        bool fits;
        const char *why_not;
    } given[] = {
        {"redis.tls_ca", s->tls_ca, tls, plain},
        {"redis.tls_cert", s->tls_cert, any, plain},
        {"redis.tls_key", s->tls_key, any, plain},
        {"redis.tls_name", s->tls_name, tls, plain},
        {"redis.sentinel_tls_ca", s->redis_sentinel_tls_ca, to_sentinels,
         "redis.sentinel_tls is not on"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(given); i++)
        if (given[i].value && given[i].value[0] && !given[i].fits)
            return error_note(NIGH_EOPTION, "%s=%.60s: %s, so nothing would be encrypted",
                              given[i].name, given[i].value, given[i].why_not);
    return 0;
}

static int check_together(const struct nigh_options *s)
{
    if (s->l1_shards && !power_of_two(s->l1_shards))
        return error_note(NIGH_EOPTION, "l1.shards=%u: a power of two", s->l1_shards);
    if (s->l1_entries && s->l1_entries < s->l1_shards)
        return error_note(NIGH_EOPTION, "l1.entries=%u: at least one for each of l1.shards=%u",
                          s->l1_entries, s->l1_shards);
    if (s->l1_entries && s->space.memory && s->space.memory != NIGH_UNCAPPED)
        return error_note(NIGH_EOPTION, "space.memory=%" PRIu64 ": not with l1.entries",
                          s->space.memory);
    if (!power_of_two(s->trace_sample))
        return error_note(NIGH_EOPTION, "trace.sample=%u: a power of two", s->trace_sample);
    if (!power_of_two(s->group_slots))
        return error_note(NIGH_EOPTION, "coherence.group_slots=%u: a power of two", s->group_slots);
    if (s->beat_ms >= s->trust_ms)
        return error_note(NIGH_EOPTION, "coherence.beat=%ums must be below coherence.trust=%ums",
                          s->beat_ms, s->trust_ms);
    int rc = check_compress(&s->space);
    if (rc == 0)
        rc = check_tls(s);
    return rc ? rc : options_check_limbo(s);
}

static uint64_t default_memory(void)
{
    uint64_t limit = cgroup_memory_limit("");
    return u64_max(u64_min(NIGH_DEFAULT_L1_MEMORY, limit / 2), 4u << 20);
}

static void put_defaults(struct nigh_options *s)
{
    if (s->l1_memory == 0)
        s->l1_memory = default_memory();
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        const struct option *o = &options[i];
        if (o->type != OPTION_STRING && !of_space(o) && number_of(o, s) == 0)
            memcpy(option_field(o, s), &o->otherwise, /* little-endian: its low half comes first */
                   option_is_64(o) ? sizeof(uint64_t) : sizeof(uint32_t));
    }
    if (s->space.loads_max == 0) /* a limit of spaces that has to be shared */
        s->space.loads_max = NIGH_DEFAULT_LOADS_MAX;
    if (!s->redis_prefix)
        s->redis_prefix = "nigh";
}

/* Apply NIGH_CONF. An error in it is not the program's, so its text begins with that name. */
static int parse_environment(struct nigh_options *s)
{
    const char *conf = getenv("NIGH_CONF");
    int rc = conf ? nigh_options_parse(s, conf) : 0;
    char why[ERROR_NOTE_BYTES];
    if (rc == 0)
        return 0;
    snprintf(why, sizeof(why), "%s", nigh_options_error());
    return error_note(rc, "NIGH_CONF: %.*s", (int)sizeof(why) - 16, why);
}

/* Versions of a struct differ by whole multiples of its alignment: no version has another size. */
static int check_size(const char *what, size_t size, size_t first, size_t known)
{
    if (size >= first && size <= known && size % _Alignof(struct nigh_options) == 0)
        return 0;
    return error_note(NIGH_EINVAL, "%s: size %zu, this library knows %zu .. %zu", what, size, first,
                      known);
}

/* Check size and reserve of a space's options. The struct grows in place, into its reserve: a
 * program that sets a field there means an option that is not known here. */
static int check_space(const struct nigh_space_options *s)
{
    for (size_t i = 0; i < ARRAY_COUNT(s->reserved); i++)
        if (s->reserved[i] != 0)
            return error_note(NIGH_EINVAL, "space options: reserved[%zu]=%u is not 0", i,
                              s->reserved[i]);
    return check_size("space options", s->size, sizeof(*s), sizeof(*s));
}

static int take(const struct nigh_options *given, struct nigh_options *s)
{
    int rc = check_size("options", given->size, OPTIONS_SIZE_FIRST, sizeof(*s));
    if (rc != 0)
        return rc;
    memcpy(s, given, given->size);
    s->size = sizeof(*s);
    if (s->space.size == 0) /* not given: the space's options are a part of this struct */
        s->space.size = sizeof(s->space);
    return check_space(&s->space);
}

int options_resolve(const struct nigh_options *given, struct nigh_options *ret)
{
    struct nigh_options s = NIGH_OPTIONS_INIT;
    int rc = given ? take(given, &s) : 0;
    if (rc == 0)
        rc = parse_environment(&s);
    if (rc == 0)
        rc = check(&s);
    if (rc != 0)
        return rc;
    enum nigh_log_to said = s.log_to;
    put_defaults(&s);
    s.log_to = said; /* log_out_init() tells a stderr that was asked for from the default */
    rc = options_share(&s);
    if (rc == 0)
        rc = check_together(&s);
    if (rc == 0)
        *ret = s;
    return rc;
}

int options_resolve_space(const struct nigh_space_options *given, uint64_t processes,
                          struct nigh_space_options *ret)
{
    struct nigh_options s = NIGH_OPTIONS_INIT;
    int rc = given ? check_space(given) : 0;
    if (rc == 0 && given)
        s.space = *given;
    if (rc == 0)
        rc = check(&s);
    if (rc == 0)
        rc = options_share_space(&s.space, processes);
    if (rc == 0)
        rc = check_compress(&s.space);
    if (rc == 0)
        *ret = s.space;
    return rc;
}

void options_inherit(struct nigh_space_options *space, const struct nigh_space_options *defaults)
{
    struct nigh_options own = {.space = *space};
    struct nigh_options base = {.space = *defaults};
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        const struct option *o = &options[i];
        if (!of_space(o) || o->type == OPTION_STRING || option_is_64(o))
            continue;
        uint64_t value = number_of(o, &own) ? number_of(o, &own) : number_of(o, &base);
        if (value == 0)
            value = o->otherwise;
        uint32_t resolved = option_may_be_none(o) && value == option_none(o) ? 0 : (uint32_t)value;
        memcpy(option_field(o, &own), &resolved, sizeof(resolved));
    }
    *space = own.space;
}

const char **options_string(struct nigh_options *s, size_t i)
{
    for (size_t k = 0; k < OPTION_COUNT; k++)
        if (options[k].type == OPTION_STRING && i-- == 0)
            return option_field(&options[k], s);
    return NULL;
}

/* ---- printing ---- */

bool options_show_value(const struct nigh_options *s, const char *name, struct text *w)
{
    const struct option *o = find(name);
    if (o)
        option_show(o, s, w);
    return o != NULL;
}

const char *options_name(size_t i, const char **ret_why)
{
    if (i >= OPTION_COUNT)
        return NULL;
    *ret_why = options[i].why;
    return options[i].name;
}

void options_show(const struct nigh_options *s, bool of_spaces, struct text *w)
{
    char otherwise[24];
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        const struct option *o = &options[i];
        if (of_spaces && !of_space(o))
            continue;
        text_add(w, "%-22s ", o->name);
        option_show(o, s, w);
        option_default_text(o, otherwise, sizeof(otherwise));
        bool differs = o->otherwise && number_of(o, s) && number_of(o, s) != o->otherwise;
        text_add(w, "%s%s%s%s\n", o->live ? " (live)" : "", differs ? " (default: " : "",
                 differs ? otherwise : "", differs ? ")" : "");
    }
}

void nigh_options_print(FILE *out)
{
    fprintf(out, "%-22s %-10s %-20s %-4s %s\n", "name", "default", "range", "live", "why");
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        char otherwise[24];
        char range[64];
        option_default_text(&options[i], otherwise, sizeof(otherwise));
        option_range_text(&options[i], range, sizeof(range));
        fprintf(out, "%-22s %-10s %-20s %-4s %s\n", options[i].name, otherwise, range,
                options[i].live ? "yes" : "-", options[i].why);
    }
}
