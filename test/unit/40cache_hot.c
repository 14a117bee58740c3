// SPDX-License-Identifier: MIT
// nigh_hot(): what is hit, missed and changed most is told, of each space, and of a host that reads
// many keys at once; on the test's clock.

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/base.h"
#include "cache/cache.h"
#include "support/origin.h"

#define BYTES 32768

static const char *hot(struct world *w, const char *space, enum nigh_stats_format format)
{
    static _Thread_local char buffer[BYTES];
    long len = nigh_hot(w->cache, space, format, buffer, sizeof(buffer));
    if (!CHECK(len > 0 && len < BYTES && (size_t)len == strlen(buffer)))
        buffer[0] = 0;
    return buffer;
}

/* Returns the rate of a key in a list; below 0: it is not there. */
static double rate_of(struct world *w, const char *list, const char *key)
{
    char part[64];
    double rate = -1;
    snprintf(part, sizeof(part), "\"%s\": [", list);
    const char *at = strstr(hot(w, NULL, NIGH_STATS_JSON), part);
    const char *over = at ? strchr(at, ']') : NULL;
    snprintf(part, sizeof(part), "{\"key\": \"%s\", ", key);
    at = at ? strstr(at, part) : NULL;
    if (at && at < over)
        sscanf(strstr(at, "\"rate\": "), "\"rate\": %lf", &rate);
    return rate;
}

static void read_often(struct world *w, const char *key, unsigned times)
{
    for (unsigned i = 0; i < times; i++)
        ask_get(w->space, key, NULL);
}

TEST(keys_that_are_hit_most_are_told_with_their_rates)
{
    struct world w;
    world_open_exact(&w);
    for (unsigned second = 0; second < 20; second++) {
        nigh_put(w.space, "hot", 3, "v", 1, NULL);
        nigh_put(w.space, "warm", 4, "v", 1, NULL);
        for (unsigned i = 0; i < 10; i++) {
            read_often(&w, "hot", 3000);
            read_often(&w, "warm", 1000);
        }
        world_advance(&w, 900);
    }
    double rate = rate_of(&w, "hits", "hot"), other = rate_of(&w, "hits", "warm");
    CHECK(rate > 33333 / 1.5 && rate < 33333 * 1.5); /* 586 samples: 4 % is the deviation */
    CHECK(other > 11111 / 2 && other < 11111 * 2);
    CHECK(rate > other);
    CHECK_LT(rate_of(&w, "hits", "cold"), 0);
    const char *text = hot(&w, "s", NIGH_STATS_TEXT);
    CHECK(strstr(text, "hits/s") && strstr(text, "  hot\n"));
    CHECK(strstr(text, "\nRates are of lately: what came 60 s ago counts half.\n"));
    CHECK(!strstr(text, "misses/s"));
    world_close(&w);
}

/* A fixed distance between samples would show one of eight keys. */
TEST(keys_that_are_read_in_turn_are_all_told)
{
    struct world w;
    world_open_exact(&w);
    for (unsigned k = 0; k < 8; k++)
        nigh_put(w.space, key_numbered(k), 2, "v", 1, NULL);
    for (unsigned i = 0; i < 40000; i++)
        for (unsigned k = 0; k < 8; k++)
            ask_get(w.space, key_numbered(k), NULL);
    world_advance(&w, 1000);
    for (unsigned k = 0; k < 8; k++)
        CHECK_GE(rate_of(&w, "hits", key_numbered(k)), 0);
    world_close(&w);
}

TEST(keys_that_are_read_many_at_once_are_told)
{
    struct world w;
    struct nigh_key keys[100];
    char names[100][8];
    struct nigh_value values[100];
    int outcomes[100];
    world_open_exact(&w);
    nigh_put(w.space, "k3", 2, "v", 1, NULL);
    for (unsigned k = 0; k < 100; k++) {
        unsigned number = k % 2 ? 3 : 100 + k % 10;
        int len = snprintf(names[k], sizeof(names[k]), "k%u", number);
        keys[k] = (struct nigh_key){names[k], (size_t)len};
    }
    for (unsigned i = 0; i < 5000; i++) {
        nigh_get_many(w.space, keys, 100, NULL, values, outcomes);
        for (unsigned k = 0; k < 100; k++)
            if (outcomes[k] == NIGH_FRESH)
                nigh_release(&values[k]);
    }
    world_advance(&w, 1000);
    double rate = rate_of(&w, "hits", "k3");
    CHECK(rate > 250000 / 1.5 && rate < 250000 * 1.5);
    CHECK_GE(rate_of(&w, "misses", "k100"), 0);
    world_close(&w);
}

TEST(keys_that_miss_and_keys_that_change_are_told)
{
    struct world w;
    world_open_exact(&w);
    for (unsigned i = 0; i < 4000; i++) {
        ask_get(w.space, "missing", NULL);
        CHECK_EQ(nigh_invalidate(w.space, "changing", 8, NULL), 0);
    }
    world_advance(&w, 4000);
    double misses = rate_of(&w, "misses", "missing"), changes = rate_of(&w, "changes", "changing");
    CHECK(misses > 500 && misses < 2000); /* 250 samples */
    CHECK(changes > 500 && changes < 2000);
    const char *text = hot(&w, NULL, NIGH_STATS_TEXT);
    CHECK(strstr(text, "misses/s") && strstr(text, "changes/s"));
    world_close(&w);
}

/* A small site at night: 100 reads a second, of which a third are of one key. */
static void *read_little(void *arg)
{
    struct world w;
    (void)arg;
    world_open_exact(&w);
    for (unsigned i = 0; i < 300; i++) {
        for (unsigned k = 0; k < 10 && i % 50 == 0; k++)
            nigh_put(w.space, key_numbered(k), 2, "v", 1, NULL);
        ask_get(w.space, i % 3 ? key_numbered(1 + i % 9) : key_numbered(0), NULL);
        if (i % 10 == 0)
            ask_get(w.space, "missing", NULL);
        if (i % 20 == 0)
            CHECK_EQ(nigh_invalidate(w.space, "changing", 8, NULL), 0);
        world_advance(&w, 10);
    }
    double hits = rate_of(&w, "hits", key_numbered(0));
    CHECK(hits > 33 && hits < 34);
    double misses = rate_of(&w, "misses", "missing"), changes = rate_of(&w, "changes", "changing");
    CHECK(misses > 9.9 && misses < 10.1);
    CHECK(changes > 4.9 && changes < 5.1);
    const char *text = hot(&w, NULL, NIGH_STATS_TEXT);
    CHECK(strstr(text, "hits/s") && strstr(text, "misses/s") && strstr(text, "changes/s"));
    world_close(&w);
    return NULL;
}

TEST(at_a_hundred_requests_a_second_the_hot_keys_are_told_within_seconds)
{
    pthread_t thread; /* which has not read much before */
    REQUIRE(pthread_create(&thread, NULL, read_little, NULL) == 0);
    pthread_join(thread, NULL);
}

static void change(struct world *w, enum nigh_target_kind kind, const char *name)
{
    struct nigh_target t = {.kind = kind, .name = name, .name_len = strlen(name)};
    t.space = kind == NIGH_TARGET_SPACE ? w->space : NULL;
    CHECK_GE(nigh_invalidate_many(w->cache, &t, 1, NULL), 0);
}

/* Changes of two tags, of the space and of all. */
static void change_groups(struct world *w)
{
    char long_tag[101] = "";
    memset(long_tag, 'x', sizeof(long_tag) - 1);
    for (unsigned i = 0; i < 240; i++) {
        change(w, NIGH_TARGET_TAG, i % 3 ? "news" : long_tag);
        change(w, i % 2 ? NIGH_TARGET_SPACE : NIGH_TARGET_ALL, "");
    }
}

static bool are_groups_told(const char *text)
{
    return strstr(text, "  tag, space or all\n") && strstr(text, "  tag    news\n") &&
           strstr(text, "xxx...\n") && strstr(text, "  space  s\n") &&
           strstr(text, "  all    \n");
}

/* One change of eight is looked at, by chance too few of the rarer tag: then there are more. */
TEST_BOTH(tags_and_spaces_that_are_invalidated_are_told)
{
    CHECK_WITHIN(WORLD_PATIENCE_MS,
                 (change_groups(w), are_groups_told(hot(w, NULL, NIGH_STATS_TEXT))));
    const char *text = hot(w, NULL, NIGH_STATS_TEXT);
    for (const char *at = text; *at; at += strcspn(at, "\n") + 1)
        CHECK_LE(strcspn(at, "\n"), 80);
    const char *groups = strstr(hot(w, NULL, NIGH_STATS_JSON), "\"groups\": [{\"kind\": ");
    CHECK(groups && strstr(groups, "{\"kind\": \"tag\", \"name\": \"news\", \"cut\": false, "));
}

/* A tag is of no space, so it may be over keys of any: who asks for a space is told of all tags,
 * and of no other space. */
TEST_BOTH(tags_are_told_of_one_space_too)
{
    struct nigh_space *other = NULL;
    struct nigh_space_options o = NIGH_SPACE_OPTIONS_INIT;
    CHECK_EQ(nigh_space_open(w->cache, "another", &o, NULL, NULL, NULL, &other), 0);
    struct nigh_target t = {.kind = NIGH_TARGET_SPACE, .space = other};
    for (unsigned i = 0; i < 240; i++) {
        change(w, NIGH_TARGET_TAG, "news");
        change(w, NIGH_TARGET_SPACE, "");
        change(w, NIGH_TARGET_ALL, "");
        CHECK_GE(nigh_invalidate_many(w->cache, &t, 1, NULL), 0);
    }
    const char *text = hot(w, "s", NIGH_STATS_TEXT);
    CHECK(strstr(text, "  tag    news\n") && strstr(text, "  space  s\n"));
    CHECK(strstr(text, "  all    \n") && !strstr(text, "another"));
    const char *json = hot(w, "s", NIGH_STATS_JSON);
    CHECK(strstr(json, "{\"kind\": \"tag\", \"name\": \"news\", "));
    CHECK(!strstr(json, "another"));
    CHECK(strstr(hot(w, "another", NIGH_STATS_TEXT), "  space  another\n"));
    CHECK(strstr(hot(w, NULL, NIGH_STATS_TEXT), "  space  another\n"));
}

/* A site at night: every five seconds another tag, and of what is long ago nothing is left. */
TEST(few_changes_are_told_with_their_rate_and_old_ones_not_at_all)
{
    struct world w;
    double rate = 0;
    world_open_exact(&w);
    CHECK_EQ(nigh_invalidate(w.space, "key", 3, NULL), 0);
    for (unsigned i = 0; i < 240; i++) {
        change(&w, NIGH_TARGET_TAG, key_numbered(i));
        world_advance(&w, 5000);
    }
    const char *text = hot(&w, NULL, NIGH_STATS_TEXT);
    CHECK(!strstr(text, "0.00/s") && strstr(text, "none was asked for lately\n\n0."));
    CHECK(strstr(text, "\n0.") && sscanf(strstr(text, "\n0."), "\n%lf changes/s by", &rate) == 1);
    CHECK(rate > 0.1 && rate < 0.4);
    CHECK(strstr(text, " changes/s by tag, space or all: "));
    CHECK(strstr(hot(&w, "s", NIGH_STATS_TEXT), " changes/s by tag, space or all: "));
    world_close(&w);

    world_open_exact(&w);
    change(&w, NIGH_TARGET_TAG, "news");
    world_advance(&w, 5000);
    text = hot(&w, NULL, NIGH_STATS_TEXT);
    CHECK(strstr(text, "\n0.20 changes/s by tag, space or all: too few to rank\n"));
    world_close(&w);
}

/* Misses of a cache that is too small: each key misses as often as any other. */
TEST(what_is_spread_evenly_is_told_in_words)
{
    struct world w;
    unsigned one_in = 0;
    double rate = 0;
    world_open_exact(&w);
    for (unsigned second = 0; second < 10; second++) {
        nigh_put(w.space, key_numbered(0), 2, "v", 1, NULL);
        for (unsigned i = 0; i < 4000; i++)
            ask_get(w.space, key_numbered(1 + (second * 4000 + i) % 20000), NULL);
        read_often(&w, key_numbered(0), 3000);
        world_advance(&w, 1000);
    }
    const char *text = strstr(hot(&w, "s", NIGH_STATS_TEXT), "misses: no key stands out of ");
    CHECK(text && sscanf(text, "misses: %*[^0-9]%lf/s: none has more than 1 in %u of them\n",
                         &rate, &one_in) == 2);
    CHECK(rate > 4000 / 1.5 && rate < 4000 * 1.5);
    CHECK(one_in > 10 && one_in < 1000); /* one of 20,000 keys, as far as a sample can tell */
    CHECK(strstr(hot(&w, "s", NIGH_STATS_TEXT), "hits/s"));
    const char *json = hot(&w, "s", NIGH_STATS_JSON);
    CHECK(strstr(json, "}, \"shares\": {\"hits\": 1.000000, \"misses\": 0.0"));
    world_close(&w);
}

TEST(what_is_rare_or_switched_off_is_not_told)
{
    struct world w;
    world_open_exact(&w);
    for (unsigned i = 0; i < 20; i++)
        ask_get(w.space, key_numbered(i), NULL);
    CHECK(strstr(hot(&w, "s", NIGH_STATS_TEXT), "no key stands out"));
    world_close(&w);

    struct nigh_options o = world_options(&w);
    o.hot_keys = NIGH_UNCAPPED;
    world_open(&w, &o, NULL);
    for (unsigned i = 0; i < 1000; i++)
        ask_get(w.space, "missing", NULL);
    CHECK(strstr(hot(&w, NULL, NIGH_STATS_TEXT), "hot.keys is none"));
    CHECK_LT(rate_of(&w, "misses", "missing"), 0);
    CHECK(!w.space->hot.misses.entries);
    world_close(&w);
}

TEST(keys_of_any_bytes_and_length_keep_to_their_lines)
{
    char key[200];
    struct world w;
    world_open_exact(&w);
    memset(key, '\n', sizeof(key));
    for (unsigned i = 0; i < 2000; i++)
        nigh_invalidate(w.space, key, sizeof(key), NULL);
    world_advance(&w, 1000);
    const char *at = hot(&w, NULL, NIGH_STATS_TEXT);
    CHECK(strstr(at, "\\x0a") && strstr(at, "..."));
    for (size_t len; *at; at += len + 1) {
        len = strcspn(at, "\n");
        CHECK_LE(len, 80);
        if (!CHECK_EQ(at[len], '\n'))
            break;
    }
    CHECK(strstr(hot(&w, NULL, NIGH_STATS_JSON), "\"cut\": true"));
    world_close(&w);
}

TEST(wrong_calls_are_refused)
{
    struct world w;
    world_open_exact(&w);
    CHECK_EQ(nigh_hot(w.cache, "no such space", NIGH_STATS_TEXT, NULL, 0), NIGH_EINVAL);
    CHECK_EQ(nigh_hot(w.cache, NULL, NIGH_STATS_PROMETHEUS, NULL, 0), NIGH_EINVAL);
    CHECK_GT(nigh_hot(w.cache, NULL, NIGH_STATS_JSON, NULL, 0), 0);
    world_close(&w);
}
