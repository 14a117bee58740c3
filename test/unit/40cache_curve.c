// SPDX-License-Identifier: MIT
// nigh_curve(): for people at 80 columns, for machines as JSON; on and off while it is used.

#include <stdio.h>
#include <string.h>

#include <nigh/nigh.h>

#include "base/base.h"
#include "cache/cache.h"
#include "cache/inspect/curve.h"
#include "l1/core.h"
#include "support/check.h"

static struct nigh *open_cache(const char *conf, struct nigh_space **ret_space)
{
    struct nigh *cache;
    struct nigh_options o = NIGH_OPTIONS_INIT;
    o.threads = NIGH_THREADS_NONE;
    o.l1_memory = 8u << 20;
    o.log_to = NIGH_LOG_TO_NONE;
    REQUIRE_EQ(nigh_options_parse(&o, conf), 0);
    REQUIRE_EQ(nigh_open(&o, &cache), 0);
    REQUIRE_EQ(nigh_space_open(cache, "s", NULL, NULL, NULL, NULL, ret_space), 0);
    return cache;
}

static void ask(struct nigh_space *space, unsigned number)
{
    struct nigh_value value = NIGH_VALUE_INIT;
    char key[24];
    int len = snprintf(key, sizeof(key), "key:%u", number);
    if (nigh_get(space, key, (size_t)len, NULL, &value) < 0 || !value.data)
        CHECK_EQ(nigh_put(space, key, (size_t)len, key, (size_t)len, NULL), 0);
    nigh_release(&value);
}

static void ask_many(struct nigh *cache, struct nigh_space *space)
{
    for (unsigned i = 0; i < 60000; i++) {
        ask(space, i * i % 30011);
        if (i % 128 == 0)
            nigh_tick(cache);
    }
}

static void check_width(const char *text)
{
    while (*text) {
        const char *end = strchr(text, '\n');
        REQUIRE(end);
        CHECK(end - text <= 80);
        text = end + 1;
    }
}

TEST(it_is_a_small_table_for_people_and_json_for_machines)
{
    char text[4096];
    struct nigh_space *space;
    struct nigh *cache = open_cache("l1.policy=lfu", &space);
    ask_many(cache, space);
    long needed = nigh_curve(cache, NIGH_STATS_TEXT, text, sizeof(text));
    CHECK_EQ(needed, (long)strlen(text));
    check_width(text);
    CHECK(strstr(text, "8.00 MiB") && strstr(text, "64.0 MiB") && strstr(text, "measured"));
    CHECK(strstr(text, "The next doubling"));
    needed = nigh_curve(cache, NIGH_STATS_JSON, text, sizeof(text));
    CHECK_EQ(needed, (long)strlen(text));
    CHECK(strstr(text, "\"on\":true") && strstr(text, "\"cap\":67108864"));
    char cut[9];
    CHECK_WITHIN(20000, /* what is told of the time may change between two calls */
                 (needed = nigh_curve(cache, NIGH_STATS_JSON, cut, sizeof(cut)),
                  nigh_curve(cache, NIGH_STATS_JSON, NULL, 0) == needed));
    CHECK_EQ(strlen(cut), 8);
    CHECK_EQ(nigh_curve(cache, NIGH_STATS_PROMETHEUS, text, sizeof(text)), NIGH_EINVAL);
    nigh_close(cache);
}

TEST(it_can_be_turned_off_and_on)
{
    char text[4096];
    struct nigh_space *space;
    struct nigh *cache = open_cache("curve=off", &space);
    nigh_curve(cache, NIGH_STATS_TEXT, text, sizeof(text));
    CHECK(strcmp(text, "curve: off\n") == 0);
    CHECK_EQ(nigh_set(cache, "curve", "on"), 0);
    ask_many(cache, space);
    nigh_curve(cache, NIGH_STATS_TEXT, text, sizeof(text));
    CHECK(strstr(text, "measured"));
    CHECK_EQ(nigh_set(cache, "curve", "off"), 0);
    nigh_curve(cache, NIGH_STATS_JSON, text, sizeof(text));
    CHECK(strstr(text, "\"on\":false") && strstr(text, "\"points\":[]"));
    CHECK_EQ(nigh_set(cache, "curve", "maybe"), NIGH_EOPTION);
    nigh_close(cache);
}

TEST(a_policy_without_a_model_says_so)
{
    char text[4096];
    struct nigh_space *space;
    struct nigh *cache = open_cache("l1.policy=ttl", &space);
    nigh_curve(cache, NIGH_STATS_TEXT, text, sizeof(text));
    CHECK(strstr(text, "has none"));
    CHECK_EQ(atomic_load(&cache->sample.wanted), 0); /* nobody is woken for it */
    CHECK_EQ(nigh_set(cache, "curve", "on"), 0);
    CHECK_EQ(atomic_load(&cache->sample.wanted), 0);
    nigh_close(cache);
}

TEST(under_l1_entries_it_counts_values)
{
    char text[4096];
    struct nigh_space *space;
    struct nigh *cache = open_cache("l1.entries=4096,l1.shards=4", &space);
    ask_many(cache, space);
    nigh_curve(cache, NIGH_STATS_TEXT, text, sizeof(text));
    check_width(text);
    CHECK(strstr(text, "l1.entries") && strstr(text, "8192 values"));
    nigh_close(cache);
}

/* A probe that misses is a read as one that hits, which does not know its call. The curve begins
 * with the probes: what was read before would count as well, or not, as its keys are marked. */
TEST(probes_count_whether_they_hit_or_miss)
{
    char text[4096];
    double ratio;
    struct nigh_call probe = {.size = sizeof(probe), .flags = NIGH_L1_ONLY};
    struct nigh_space *space;
    struct nigh *cache = open_cache("l1.entries=512,l1.shards=1", &space);
    ask_many(cache, space);
    CHECK_EQ(nigh_set(cache, "curve", "off"), 0);
    CHECK_EQ(nigh_set(cache, "curve", "on"), 0);
    nigh_curve(cache, NIGH_STATS_JSON, NULL, 0);
    for (unsigned i = 0; i < 10000; i++) {
        struct nigh_value value = NIGH_VALUE_INIT;
        const char *key = i % 4 ? "nowhere" : "there";
        if (i == 0)
            CHECK_EQ(nigh_put(space, "there", 5, "", 0, NULL), 0);
        nigh_get(space, key, strlen(key), &probe, &value);
        nigh_release(&value);
        if (i % 1000 == 0)
            nigh_curve(cache, NIGH_STATS_JSON, NULL, 0);
    }
    nigh_curve(cache, NIGH_STATS_JSON, text, sizeof(text));
    const char *at = strstr(text, "\"ratio\":");
    REQUIRE(at);
    REQUIRE_EQ(sscanf(at, "\"ratio\":%lf", &ratio), 1);
    if (!CHECK(ratio > 0.24 && ratio < 0.26))
        check_note("%s", text);
    nigh_close(cache);
}

/* ... as after another cap, too: a ratio of no reads would be 0. */
TEST(before_there_are_reads_nothing_is_measured)
{
    char text[4096];
    struct nigh_space *space;
    struct nigh *cache = open_cache("l1.policy=lfu", &space);
    ask_many(cache, space);
    nigh_curve(cache, NIGH_STATS_TEXT, text, sizeof(text));
    CHECK(strstr(text, "measured"));
    CHECK_EQ(nigh_set(cache, "l1.memory", "16m"), 0);
    nigh_curve(cache, NIGH_STATS_TEXT, text, sizeof(text));
    check_width(text);
    CHECK(strstr(text, "16.0 MiB     not yet: too few reads\n"));
    CHECK(!strstr(text, "measured") && strstr(text, "The next doubling: not enough seen yet.\n"));
    CHECK(strstr(text, "1/2 ") && strstr(text, " %  ")); /* what was measured of 8 MiB */
    nigh_curve(cache, NIGH_STATS_JSON, text, sizeof(text));
    const char *now = strstr(text, "{\"size\":1,");
    REQUIRE(now);
    CHECK(strstr(now, "\"enough\":false") && !strstr(now, "\"enough\":true"));
    nigh_close(cache);
}

/* After a cap was set the time is short, and looks like a fault to who does not know of it. */
TEST(why_it_was_measured_anew_is_said)
{
    char text[4096];
    struct nigh_space *space;
    struct nigh *cache = open_cache("l1.policy=lfu", &space);
    struct curve *c = &cache->l1->curve;
    ask_many(cache, space);
    nigh_curve(cache, NIGH_STATS_TEXT, text, sizeof(text));
    CHECK(strstr(text, "\n\"measured\": since the curve was begun.\n") ||
          strstr(text, "\n\"measured\": since the sample of the present cap was full.\n"));
    CHECK_EQ(nigh_set(cache, "l1.memory", "16m"), 0);
    nigh_curve(cache, NIGH_STATS_TEXT, text, sizeof(text)); /* begins, as the keeper's turn does */
    ask_many(cache, space);
    nigh_curve(cache, NIGH_STATS_TEXT, text, sizeof(text));
    check_width(text);
    CHECK(strstr(text, "  measured over "));
    CHECK(strstr(text, "\n\"measured\": since the cap was set.\n"));
    nigh_curve(cache, NIGH_STATS_JSON, text, sizeof(text));
    CHECK(strstr(text, ",\"since\":\"cap\","));
    c->since = L1_CURVE_SINCE_LONG; /* as after it has faded */
    nigh_curve(cache, NIGH_STATS_TEXT, text, sizeof(text));
    CHECK(strstr(text, "  measured over ") && !strstr(text, "\n\"measured\": "));
    CHECK_EQ(nigh_set(cache, "curve", "off"), 0);
    CHECK_EQ(nigh_set(cache, "l1.memory", "8m"), 0);
    CHECK_EQ(nigh_set(cache, "curve", "on"), 0);
    ask_many(cache, space);
    nigh_curve(cache, NIGH_STATS_JSON, text, sizeof(text));
    CHECK(strstr(text, ",\"since\":\"begun\","));
    nigh_close(cache);
}

/* "44 s ago" needs a word of what it means, and only then; so does "in 20 s at most". */
TEST(what_was_told_before_says_so)
{
    char text[4096];
    double more, off, reads;
    struct nigh_space *space;
    struct nigh *cache = open_cache("l1.policy=lfu", &space);
    struct curve *c = &cache->l1->curve;
    ask_many(cache, space);
    nigh_curve(cache, NIGH_STATS_TEXT, text, sizeof(text));
    CHECK(strstr(text, "  measured over ") && !strstr(text, " ago"));
    c->short_of_room = true;
    c->points[3].enough = false; /* as after it was begun anew */
    c->points[3].seen = 0;
    c->told.figures[3] = (struct curve_figure){.ratio = .5f, .error = .01f,
                                               .now = (float)(c->hits / c->reads),
                                               .beside = CURVE_NOW,
                                               .ns = c->last_ns - 44 * NS_PER_S};
    c->told.points = 1u << 3;
    nigh_curve(cache, NIGH_STATS_TEXT, text, sizeof(text));
    check_width(text);
    CHECK(strstr(text, "  +- 1.0, 44 s ago\n"));
    CHECK(strstr(text, "\n\"ago\": seen then, and moved as \"now\" has since, until"));
    const char *doubling = strstr(text, "The next doubling: ");
    CHECK(strstr(text, "\nand as many fewer lookups in Redis, or loads, of "));
    REQUIRE(doubling);
    REQUIRE_EQ(sscanf(doubling, "The next doubling: %lf +- %lf more hits a second of %lf reads,\n",
                      &more, &off, &reads), 3);
    CHECK(off <= .01 * reads + 1 && off >= .01 * reads - 1); /* "+-" as above; both are rounded */
    CHECK(!strstr(text, " at most, at ") == !strstr(text, "\n\"at most\": smaller values"));
    c->told.points = 0;
    nigh_curve(cache, NIGH_STATS_TEXT, text, sizeof(text));
    check_width(text);
    CHECK(strstr(text, " at most, at ") && strstr(text, "\n\"at most\": smaller values"));
    nigh_close(cache);
}

/* After another cap points are told before the present one is: a difference to a ratio that is not
 * known is none, but what was told of two caps can be compared. */
TEST(what_is_told_before_now_is_promises_no_doubling)
{
    struct l1_curve read;
    struct curve_twice twice;
    struct nigh_space *space;
    struct nigh *cache = open_cache("l1.policy=lfu", &space);
    struct curve *c = &cache->l1->curve;
    ask_many(cache, space);
    nigh_curve(cache, NIGH_STATS_TEXT, NULL, 0);
    pthread_mutex_lock(&c->lock);
    c->reads = 0;
    c->told.points = 1u << 1 | 1u << 3;
    c->told.figures[1] = (struct curve_figure){.6f, 0, .55f, CURVE_NOW, 0};
    c->told.figures[3] = (struct curve_figure){.5f, .01f, .55f, CURVE_NOW, 0};
    for (uint32_t i = 0; i < L1_CURVE_POINTS; i++)
        c->points[i].enough = false;
    pthread_mutex_unlock(&c->lock);
    REQUIRE(l1_curve_read(cache->l1, &read));
    CHECK(!read.points[CURVE_NOW].enough && read.points[1].enough && read.points[3].enough);
    CHECK(read.points[3].ratio >= read.points[1].ratio);
    CHECK(!curve_twice(cache, &twice));
    CHECK_EQ(nigh_stats_value(cache, NULL, "curve_known"), 0);
    CHECK_EQ(nigh_stats_value(cache, NULL, "curve_twice_ppm"), 0);
    nigh_close(cache);
}

/* 4 MiB is the least l1.memory. */
TEST(caps_that_cannot_be_are_not_listed)
{
    char text[4096];
    struct nigh_space *space;
    struct nigh *cache = open_cache("l1.memory=8m", &space);
    ask_many(cache, space);
    nigh_curve(cache, NIGH_STATS_TEXT, text, sizeof(text));
    CHECK(!strstr(text, "1/4 ") && strstr(text, "1/2 ") && strstr(text, "4.00 MiB"));
    nigh_curve(cache, NIGH_STATS_JSON, text, sizeof(text));
    CHECK(!strstr(text, "\"size\":0.25") && strstr(text, "\"size\":0.5"));
    nigh_close(cache);
}

/* Many values of the one, of which more would fit into more; few of the other, which all fit. There
 * are so many requests that those of one key in 64 are enough, whichever keys these are. */
TEST(it_says_which_space_profits)
{
    char text[4096];
    struct nigh_space *space, *other;
    struct nigh *cache = open_cache("l1.policy=lru,l1.entries=8192,l1.shards=1", &space);
    REQUIRE_EQ(nigh_space_open(cache, "quiet", NULL, NULL, NULL, NULL, &other), 0);
    nigh_curve(cache, NIGH_STATS_TEXT, text, sizeof(text));
    CHECK(!strstr(text, "of the reads of a space"));
    CHECK_EQ(nigh_stats_value(cache, NULL, "curve_known"), 0);
    CHECK_EQ(nigh_stats_value(cache, NULL, "curve_twice_ppm"), 0);
    for (unsigned i = 0; i < 260000; i++) {
        ask(i % 2 ? space : other, i % 2 ? i / 2 * 7 % 10000 : i / 2 % 2000);
        if (i % 128 == 0)
            nigh_tick(cache);
        if (i % 4096 == 0)
            nigh_curve(cache, NIGH_STATS_JSON, NULL, 0);
    }
    nigh_curve(cache, NIGH_STATS_TEXT, text, sizeof(text));
    check_width(text);
    const char *table = strstr(text, "of the reads of a space");
    REQUIRE(table);
    const char *of_s = strstr(table, "\ns "), *of_quiet = strstr(table, "\nquiet ");
    REQUIRE(of_s && of_quiet);
    if (!CHECK(of_s < of_quiet)) /* the one that profits is first */
        check_note("%s", text);
    double now, twice;
    REQUIRE_EQ(sscanf(of_s, "%*s %*s %*s %lf %lf", &now, &twice), 2);
    if (!CHECK(now < 10 && twice > 60))
        check_note("%s", text);
    CHECK_EQ(nigh_stats_value(cache, NULL, "curve_known"), 1);
    int64_t more_ppm = nigh_stats_value(cache, NULL, "curve_twice_ppm");
    CHECK(more_ppm > 250000 && more_ppm < 600000); /* half of the reads are of s */
    int64_t error_ppm = nigh_stats_value(cache, NULL, "curve_twice_error_ppm");
    CHECK(llabs(more_ppm - 500000) <= error_ppm); /* the loop fits then: all of them hit */
    if (!CHECK(error_ppm < more_ppm)) /* surer than that it brings nothing */
        check_note("%lld +- %lld ppm", (long long)more_ppm, (long long)error_ppm);
    nigh_curve(cache, NIGH_STATS_JSON, text, sizeof(text));
    CHECK(strstr(text, "\"spaces\":[{\"name\":\"s\",") && strstr(text, ",{\"name\":\"quiet\","));
    nigh_close(cache);
}
