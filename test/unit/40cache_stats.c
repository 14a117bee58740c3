// SPDX-License-Identifier: MIT
// What people see: each read counts by one rule, one gauge asks only what it needs, and no name of
// a space breaks the text or the JSON.

#include <stdlib.h>
#include <string.h>

#include "cache/cache.h"
#include "l1/shard.h"
#include "support/origin.h"

/* ---- reads count once ---- */

enum step { END, PUT, GET, PROBE, FETCH, FETCH_PROBE, MANY, MANY_PROBE, REFRESH, QUIET, AGE, GONE };

struct sequence {
    enum step steps[8];
    bool no_loader;
    int fresh, stale, miss, probe_miss;
};

/* clang-format off */
static const struct sequence sequences[] = {
    {{GET}, false, 0, 0, 1, 0},
    {{PROBE}, false, 0, 0, 0, 1},
    {{FETCH}, false, 0, 0, 1, 0},
    {{PROBE, FETCH}, false, 0, 0, 1, 1},             /* one miss, seen twice */
    {{FETCH_PROBE, FETCH}, false, 0, 0, 1, 1},
    {{PROBE, PROBE, FETCH, PROBE}, false, 1, 0, 1, 2},
    {{MANY_PROBE, FETCH, MANY_PROBE}, false, 1, 0, 1, 1},
    {{PROBE, GET, PUT, GET}, true, 1, 0, 1, 1},      /* cache aside */
    {{GET, FETCH}, false, 0, 0, 2, 0},               /* two reads, and both looked further */
    {{MANY}, false, 0, 0, 1, 0},
    {{MANY, FETCH, MANY}, false, 1, 0, 2, 0},
    {{FETCH}, true, 0, 0, 1, 0},
    {{PUT, GET, FETCH, MANY, PROBE}, false, 4, 0, 0, 0},
    {{REFRESH}, false, 0, 0, 0, 0},                  /* L1 is not asked */
    {{PUT, REFRESH, GET}, false, 1, 0, 0, 0},
    {{QUIET, PUT, QUIET}, false, 0, 0, 0, 0},
    {{PUT, AGE, GET}, false, 0, 1, 0, 0},
    {{PUT, AGE, FETCH, FETCH}, false, 1, 1, 0, 0},   /* refreshed behind, by nobody's read */
    {{PUT, AGE, GET, REFRESH, GET}, false, 1, 1, 0, 0},
    {{PUT, GONE, PROBE, FETCH, GET}, false, 1, 0, 1, 1},
};
/* clang-format on */

static void read_many(struct nigh_space *s, uint32_t flags)
{
    struct nigh_call call = NIGH_CALL_INIT;
    struct nigh_key key = {"k", 1};
    struct nigh_value value;
    int outcome;
    call.flags = flags;
    CHECK_EQ(nigh_get_many(s, &key, 1, &call, &value, &outcome), 0);
    nigh_release(&value);
}

static void take_step(struct world *w, enum step step)
{
    struct nigh_call probe = NIGH_CALL_INIT, refresh = NIGH_CALL_INIT, quiet = NIGH_CALL_INIT;
    probe.flags = NIGH_L1_ONLY;
    refresh.flags = NIGH_REFRESH;
    quiet.flags = NIGH_QUIET;
    switch (step) {
    case END: break;
    case PUT: CHECK_EQ(nigh_put(w->space, "k", 1, "v", 1, NULL), 0); break;
    case GET: ask_get(w->space, "k", NULL); break;
    case PROBE: ask_get(w->space, "k", &probe); break;
    case FETCH: ask_fetch(w->space, "k", NULL); break;
    case FETCH_PROBE: ask_fetch(w->space, "k", &probe); break;
    case MANY: read_many(w->space, 0); break;
    case MANY_PROBE: read_many(w->space, NIGH_L1_ONLY); break;
    case REFRESH: ask_fetch(w->space, "k", &refresh); break;
    case QUIET: ask_get(w->space, "k", &quiet); break;
    case AGE: world_advance(w, 1001); break;
    case GONE: CHECK_GE(nigh_invalidate(w->space, "k", 1, NULL), 0); break;
    }
    world_settle(w);
}

static void check_sequence(const struct sequence *q)
{
    struct world w;
    struct nigh_space *bare;
    world_open_exact(&w);
    if (q->no_loader) {
        REQUIRE_EQ(nigh_space_open(w.cache, "bare", NULL, NULL, NULL, NULL, &bare), 0);
        w.space = bare;
    }
    for (size_t i = 0; q->steps[i] != END; i++)
        take_step(&w, q->steps[i]);
    bool ok = CHECK_EQ(world_count(&w, "l1_fresh"), q->fresh);
    ok = CHECK_EQ(world_count(&w, "l1_stale"), q->stale) && ok;
    ok = CHECK_EQ(world_count(&w, "l1_miss"), q->miss) && ok;
    ok = CHECK_EQ(world_count(&w, "l1_probe_miss"), q->probe_miss) && ok;
    if (!ok)
        check_note("sequence %zu", (size_t)(q - sequences));
    world_close(&w);
}

TEST(a_read_counts_once_whatever_follows)
{
    for (size_t i = 0; i < sizeof(sequences) / sizeof(sequences[0]); i++)
        check_sequence(&sequences[i]);
}

/* A load that is invalidated under way is begun anew within the call. */
static int invalidated_once(struct origin *o, struct nigh_fill *fill)
{
    struct world *w = o->arg;
    if (o->loads == 1)
        CHECK_EQ(nigh_invalidate(w->space, "k", 1, NULL), 0);
    return origin_answer(o, fill);
}

TEST(a_call_that_flies_twice_missed_once)
{
    struct world w;
    world_open_exact(&w);
    w.origin.arg = &w;
    w.origin.script = invalidated_once;
    CHECK_EQ(ask_fetch(w.space, "k", NULL).outcome, NIGH_FRESH);
    CHECK_EQ(world_count(&w, "l1_miss"), 1);
    world_close(&w);
}

/* ---- every space counts for itself, and by itself ---- */

enum { REOPENINGS = 500, MANY_SPACES = 300 };

static void put_and_get(struct nigh_space *s, int times)
{
    struct nigh_value value;
    REQUIRE_EQ(nigh_put(s, "k", 1, "v", 1, NULL), 0);
    for (int i = 0; i < times; i++) {
        CHECK_EQ(nigh_get(s, "k", 1, NULL, &value), NIGH_FRESH);
        nigh_release(&value);
    }
}

static bool has_shared_counts(const struct nigh_space *s)
{
    for (int i = 0; i < STATS_COUNTER_COUNT; i++)
        if (atomic_load(&s->stats.set->shared[i]) != 0)
            return true;
    return false;
}

static struct nigh_space *open_numbered(struct world *w, int i)
{
    struct nigh_space *s;
    char name[16];
    snprintf(name, sizeof(name), "s%d", i);
    REQUIRE_EQ(nigh_space_open(w->cache, name, NULL, NULL, NULL, NULL, &s), 0);
    return s;
}

TEST(the_last_of_many_spaces_counts_like_the_first)
{
    struct world w;
    struct nigh_space *spaces[MANY_SPACES];
    world_open_exact(&w);
    for (int i = 0; i < MANY_SPACES; i++)
        put_and_get(spaces[i] = open_numbered(&w, i), i + 1);
    for (int i = 0; i < MANY_SPACES; i++) {
        CHECK_EQ(stats_read(&spaces[i]->stats, STATS_L1_FRESH), (uint64_t)i + 1);
        CHECK(!has_shared_counts(spaces[i]));
    }
    world_close(&w);
}

/* One thread that lives through them all, and nothing that it counted before comes again. */
TEST(a_process_may_open_and_close_for_ever)
{
    for (int i = 0; i < REOPENINGS; i++) {
        struct world w;
        struct nigh_options o = world_options(&w);
        o.l1_memory = 4u << 20;
        o.l1_shards = 1;
        o.group_slots = GROUP_SLOTS_MIN;
        world_open(&w, &o, NULL);
        put_and_get(w.space, i % 5);
        CHECK_EQ(world_count(&w, "l1_fresh"), i % 5);
        CHECK_EQ(world_count(&w, "l1_store"), 1);
        CHECK(!has_shared_counts(w.space));
        world_close(&w);
    }
}

/* ---- one gauge ---- */

/* Calls `each` with the name of every gauge (or counter) that nigh_stats_print() lists. */
static void each_name(const char *kind, void (*each)(struct world *w, const char *name),
                      struct world *w)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    REQUIRE(out);
    nigh_stats_print(out);
    REQUIRE_EQ(fclose(out), 0);
    unsigned count = 0;
    char *rest = text;
    char *line;
    while ((line = strsep(&rest, "\n"))) {
        char name[64], is[16];
        if (sscanf(line, "%63s %15s", name, is) != 2 || strcmp(is, kind) != 0)
            continue;
        each(w, name);
        count++;
    }
    CHECK_GT(count, 20);
    free(text);
}

static void check_value(struct world *w, const char *name)
{
    static char json[65536];
    char wanted[96];
    long len = nigh_stats(w->cache, NIGH_STATS_JSON, json, sizeof(json));
    REQUIRE(len > 0 && len < (long)sizeof(json));
    int64_t value = nigh_stats_value(w->cache, NULL, name);
    snprintf(wanted, sizeof(wanted), "\"%s\": %lld", name, (long long)value);
    bool ok = CHECK_GE(value, 0);
    if (strcmp(name, "resident_bytes") != 0) /* what people's looking costs shows in it */
        ok = CHECK(strstr(json, wanted)) && ok;
    if (!ok)
        check_note("%s", wanted);
}

/* A space's "invalidate" and the cache's "l1_fresh" were there, and 0 for ever. */
TEST(a_counter_stands_only_where_it_counts)
{
    static char json[65536];
    struct world w;
    world_open_exact(&w);
    ask_fetch(w.space, "k", NULL);
    CHECK_EQ(nigh_invalidate(w.space, "k", 1, NULL), 0);
    REQUIRE(nigh_stats(w.cache, NIGH_STATS_JSON, json, sizeof(json)) < (long)sizeof(json));
    char *cache = strstr(json, "\"cache\": {"), *spaces = strstr(json, "\"spaces\": {");
    REQUIRE(cache && spaces && cache < spaces);
    spaces[-1] = '\0';
    CHECK(strstr(cache, "\"invalidate\": ") && !strstr(spaces, "\"invalidate\": "));
    CHECK(!strstr(cache, "\"l1_fresh\": ") && strstr(spaces, "\"l1_fresh\": 0, "));
    CHECK(strstr(cache, "\"read_error\": ") && strstr(spaces, "\"read_error\": "));
    CHECK_EQ(nigh_stats_value(w.cache, w.space->name, "invalidate"), NIGH_EINVAL);
    CHECK_GE(nigh_stats_value(w.cache, NULL, "invalidate"), 0);
    CHECK_EQ(nigh_stats_value(w.cache, w.space->name, "read_error"), 0);
    world_close(&w);
}

TEST(each_gauge_alone_is_what_all_together_say)
{
    struct world w;
    world_open_exact(&w);
    struct nigh_value held;
    CHECK_EQ(ask_fetch(w.space, "k", NULL).outcome, NIGH_FRESH);
    CHECK_EQ(ask_fetch(w.space, "l", NULL).outcome, NIGH_FRESH);
    REQUIRE_EQ(nigh_get(w.space, "k", 1, NULL, &held), NIGH_FRESH);
    CHECK_EQ(nigh_invalidate(w.space, "k", 1, NULL), 0);
    world_settle(&w);
    each_name("gauge", check_value, &w);
    CHECK_EQ(world_count(&w, "pins"), 1);
    CHECK_EQ(world_count(&w, "entries"), 1);
    CHECK_GT(world_count(&w, "pinned_bytes"), 0);
    CHECK_GT(world_count(&w, "limbo_bytes"), 0);
    CHECK_GT(world_count(&w, "memory_bytes"), world_count(&w, "tables_bytes"));
    nigh_release(&held);
    world_close(&w);
}

/* A gauge that does not belong to the shards once took the lock of each: with one of them held
 * here, it would not come back. */
TEST(a_gauge_asks_only_what_it_is_about)
{
    static const char *const others[] = {
        "connected", "breaker", "in_flight", "trusted", "listening", "following", "sequence",
        "queued", "pins", "flights", "shards", "memory_cap_bytes", "memory_peak_bytes",
        "aside_bytes", "unstored_bytes", "l1_fresh", "load"};
    struct world w;
    world_open_exact(&w);
    struct l1_key key = l1_key_of(w.cache->l1, w.space->id, "k", 1);
    struct l1_shard *shard = l1_shard_of(w.cache->l1, key.hash);
    l1_shard_lock(shard);
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        CHECK_GE(nigh_stats_value(w.cache, NULL, others[i]), 0);
    l1_shard_unlock(w.cache->l1, shard);
    world_close(&w);
}

/* It is not 584 years, as of a difference that wraps. */
TEST(a_clock_that_goes_back_is_no_uptime)
{
    static char text[65536];
    struct world w;
    world_open_exact(&w);
    world_advance(&w, 3000);
    CHECK_EQ(world_count(&w, "uptime_ms"), 3000);
    atomic_fetch_sub(&w.now_ns, 5 * NS_PER_S);
    CHECK_EQ(world_count(&w, "uptime_ms"), 0);
    nigh_stats(w.cache, NIGH_STATS_TEXT, text, sizeof(text));
    CHECK(strstr(text, "\ncache, counted for 0 ms\n"));
    atomic_fetch_add(&w.now_ns, 5 * NS_PER_S);
    world_close(&w);
}

/* Counters are outside of the cap, so it is told what they take. */
TEST(memory_of_counters_is_told)
{
    struct world w;
    world_open(&w, NULL, NULL);
    int64_t before = nigh_stats_value(w.cache, NULL, "stats_bytes");
    CHECK_GT(before, (int64_t)sizeof(struct stats_block));
    for (unsigned i = 0; i < 20; i++) {
        char name[16];
        struct nigh_space *space;
        snprintf(name, sizeof(name), "more %u", i);
        REQUIRE_EQ(nigh_space_open(w.cache, name, NULL, NULL, NULL, NULL, &space), 0);
    }
    int64_t more = nigh_stats_value(w.cache, NULL, "stats_bytes") - before;
    CHECK_GT(more, 20 * (int64_t)sizeof(struct stats_set));
    world_close(&w);
}

TEST(names_that_are_none)
{
    static const char *const none[] = {"", "no_such", "l1_fresh ", "L1_FRESH", "memory", NULL};
    struct world w;
    world_open_exact(&w);
    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
        CHECK_EQ(nigh_stats_value(w.cache, NULL, none[i]), NIGH_EINVAL);
    CHECK_EQ(nigh_stats_value(w.cache, "s", "memory_bytes"), NIGH_EINVAL); /* of no space */
    CHECK_EQ(nigh_stats_value(w.cache, "t", "l1_fresh"), NIGH_EINVAL);
    CHECK_EQ(nigh_stats_value(w.cache, "s", NULL), NIGH_EINVAL);
    world_close(&w);
}

/* ---- names of spaces ---- */

/* A strict reader of JSON (RFC 8259), and of UTF-8 (RFC 3629). NULL: there it is wrong. */
static const char *json_value(const char *at);

static const char *json_space(const char *at)
{
    return at ? at + strspn(at, " \t\r\n") : NULL;
}

static size_t utf8_tail(unsigned char first)
{
    return first < 0x80 ? 0 : first < 0xe0 ? 1 : first < 0xf0 ? 2 : 3;
}

/* One character as it may stand in a string. */
static const char *json_char(const char *at)
{
    const unsigned char *s = (const unsigned char *)at;
    uint32_t c = s[0];
    if (c < 0x20 || c == '"')
        return NULL;
    if (c == '\\') {
        if (s[1] == 'u')
            return strspn(at + 2, "0123456789abcdefABCDEF") >= 4 ? at + 6 : NULL;
        return s[1] && strchr("\"\\/bfnrt", s[1]) ? at + 2 : NULL;
    }
    size_t tail = utf8_tail(s[0]);
    static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};
    if (tail)
        c &= 0x3fu >> tail;
    for (size_t i = 1; i <= tail; i++) {
        if ((s[i] & 0xc0) != 0x80)
            return NULL;
        c = c << 6 | (s[i] & 0x3fu);
    }
    bool right = c >= least[tail] && c <= 0x10ffff && (c < 0xd800 || c > 0xdfff) &&
                 (tail || s[0] < 0x80) && (s[0] < 0x80 || s[0] >= 0xc2) && s[0] < 0xf5;
    return right ? at + 1 + tail : NULL;
}

static const char *json_text(const char *at)
{
    if (!at || *at++ != '"')
        return NULL;
    while (at && *at != '"')
        at = json_char(at);
    return at ? at + 1 : NULL;
}

static const char *json_object(const char *at)
{
    at = json_space(at + 1);
    if (*at == '}')
        return at + 1;
    for (;;) {
        at = json_space(json_text(at));
        if (!at || *at != ':')
            return NULL;
        at = json_space(json_value(json_space(at + 1)));
        if (!at || (*at != ',' && *at != '}'))
            return NULL;
        if (*at == '}')
            return at + 1;
        at = json_space(at + 1);
    }
}

static const char *json_array(const char *at)
{
    at = json_space(at + 1);
    if (*at == ']')
        return at + 1;
    for (;;) {
        at = json_space(json_value(at));
        if (!at || (*at != ',' && *at != ']'))
            return NULL;
        if (*at == ']')
            return at + 1;
        at = json_space(at + 1);
    }
}

static const char *json_value(const char *at)
{
    if (*at == '{')
        return json_object(at);
    if (*at == '[')
        return json_array(at);
    if (*at == '"')
        return json_text(at);
    size_t digits = strspn(at, "0123456789");
    return digits > 0 && (digits == 1 || *at != '0') ? at + digits : NULL;
}

static bool is_json(const char *text)
{
    const char *end = json_space(json_value(json_space(text)));
    return end && *end == '\0';
}

TEST(the_reader_of_json_is_strict)
{
    static const char *const right[] = {"{}", "{\"a\": 1}", "{\"a\": \"\"}",
                                        "{\"a\": [], \"b\": [[1, 2], [3, 4]]}",
                                        "{\"\\u00e9\\n\xc3\xa9\": {\"b\": 0}}\n",
                                        "{\"\xf4\x8f\xbf\xbf\": 1, \"\xed\x9f\xbf\": 2}"};
    static const char *const wrong[] = {
        "", "{", "{a: 1}", "{\"a\"}", "{\"a\": 01}", "{\"a\": 1,}", "{\"a\": \"}", "{} x",
        "{\"a\": [1,]}", "{\"a\": [1 2]}", "{\"a\": [1}", "{\"a\": [", "{\"a\": ]}",
        "{\"\n\": 1}",
        "{\"\xe9\": 1}", "{\"\xc3\": 1}", "{\"\xc0\x80\": 1}", "{\"\xed\xa0\x80\": 1}",
        "{\"\xf4\x90\x80\x80\": 1}", "{\"\x80\": 1}", "{\"\\x41\": 1}", "{\"\\u12\": 1}",
        "{\"a\\\": 1}", "{\"\xff\": 1}", "{\"\xe0\x80\x80\": 1}"};
    for (size_t i = 0; i < sizeof(right) / sizeof(right[0]); i++)
        CHECK(is_json(right[i]));
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        CHECK(!is_json(wrong[i]));
}

/* A name, and how each format shows it. */
static const struct {
    const char *name, *text, *json;
} names[] = {
    {"plain", "space plain\n", "\"plain\": {"},
    {"caf\xc3\xa9", "space caf\xc3\xa9\n", "\"caf\xc3\xa9\": {"},
    {"caf\xe9", "space caf\\xe9\n", "\"caf\\u00e9\": {"},
    {"\xe2\x82\xac\xf0\x9f\x98\x80", "space \xe2\x82\xac\xf0\x9f\x98\x80\n",
     "\"\xe2\x82\xac\xf0\x9f\x98\x80\": {"},
    {"a\nb\r\tc", "space a\\x0ab\\x0d\\x09c\n", "\"a\\u000ab\\u000d\\u0009c\": {"},
    {"q\"q", "space q\"q\n", "\"q\\u0022q\": {"},
    {"b\\n", "space b\\x5cn\n", "\"b\\u005cn\": {"},
    {"\x1b[31m\x7f", "space \\x1b[31m\\x7f\n", "\"\\u001b[31m\\u007f\": {"},
    {"n\xc2\x85n", "space n\\xc2\\x85n\n", "\"n\\u0085n\": {"}, /* a line's end in C1 */
    {"cut\xe2\x82", "space cut\\xe2\\x82\n", "\"cut\\u00e2\\u0082\": {"},
    {"\xc3", "space \\xc3\n", "\"\\u00c3\": {"},
    {"\xc0\xaf", "space \\xc0\\xaf\n", "\"\\u00c0\\u00af\": {"},             /* long form of / */
    {"\xe0\x9f\xbf", "space \\xe0\\x9f\\xbf\n", "\"\\u00e0\\u009f\\u00bf\": {"}, /* long form */
    {"\xf0\x8f\xbf\xbf", "space \\xf0\\x8f\\xbf\\xbf\n", "\"\\u00f0\\u008f\\u00bf\\u00bf\": {"},
    {"\xed\xa0\x80", "space \\xed\\xa0\\x80\n", "\"\\u00ed\\u00a0\\u0080\": {"}, /* surrogate */
    {"\xf4\x90\x80\x80", "space \\xf4\\x90\\x80\\x80\n", "\"\\u00f4\\u0090\\u0080\\u0080\": {"},
    {"\xff\xfe", "space \\xff\\xfe\n", "\"\\u00ff\\u00fe\": {"},
    {"%s%n", "space %s%n\n", "\"%s%n\": {"},
};
#define NAME_COUNT (sizeof(names) / sizeof(names[0]))

TEST(names_of_any_bytes_leave_text_and_json_whole)
{
    static char out[1 << 20];
    struct world w;
    struct nigh_space *s;
    world_open_exact(&w);
    for (size_t i = 0; i < NAME_COUNT; i++)
        REQUIRE_EQ(nigh_space_open(w.cache, names[i].name, NULL, NULL, NULL, NULL, &s), 0);
    for (unsigned c = 1; c < 256; c++) { /* whatever else a name may begin with */
        char name[] = {(char)c, 'x', '\0'};
        nigh_space_open(w.cache, name, NULL, NULL, NULL, NULL, &s);
    }
    REQUIRE(nigh_stats(w.cache, NIGH_STATS_JSON, out, sizeof(out)) < (long)sizeof(out));
    CHECK(is_json(out));
    for (size_t i = 0; i < NAME_COUNT; i++)
        if (!CHECK(strstr(out, names[i].json)))
            check_note("%s", names[i].json);
    REQUIRE(nigh_stats(w.cache, NIGH_STATS_TEXT, out, sizeof(out)) < (long)sizeof(out));
    for (size_t i = 0; i < NAME_COUNT; i++)
        if (!CHECK(strstr(out, names[i].text)))
            check_note("%s", names[i].text);
    for (const char *at = out; *at; at++)
        CHECK(*at == '\n' || (unsigned char)*at >= 0x20);
    world_close(&w);
}
