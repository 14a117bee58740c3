// SPDX-License-Identifier: MIT
// Puts of a program that has only just opened its cache: before Redis was heard of for the first
// time no value can be sent that another node would take, so a put waits for that, or says that it
// has not stored.

#include <stdlib.h>
#include <string.h>

#include "cache/cache.h"
#include "support/async.h"
#include "support/origin.h"

/* No call gives up by itself before a case is over. */
#define LONG_MS 60000u

/* Opens a cache, and does not wait for anything. */
static void begin(struct world *w, const struct redis *server, enum nigh_threads threads)
{
    struct nigh_options o = patient_options(server);
    o.threads = threads;
    o.l2_deadline_ms = LONG_MS;
    origin_init(&w->origin);
    world_open_with(w, &o, NULL, &w->origin);
}

/* Opens the cache of a second program, which loads nothing and has put nothing. */
static void begin_another(struct world *w, const struct redis *server)
{
    begin(w, server, NIGH_THREADS_OWN);
    CHECK_WITHIN(WORLD_PATIENCE_MS, nigh_health(w->cache) == NIGH_FRESH);
}

#define KEYS 100u

static void put_one_by_one(struct world *w)
{
    for (unsigned i = 0; i < KEYS; i++) {
        const char *key = key_numbered(i);
        CHECK_EQ(nigh_put(w->space, key, strlen(key), "v", 1, NULL), 0);
    }
}

static void put_at_once(struct world *w)
{
    static char keys[KEYS][16];
    struct nigh_pair pairs[KEYS];
    int outcomes[KEYS];
    for (unsigned i = 0; i < KEYS; i++) {
        snprintf(keys[i], sizeof(keys[i]), "%s", key_numbered(i));
        pairs[i] = (struct nigh_pair){.key = {keys[i], strlen(keys[i])}, .value = "v", .len = 1};
    }
    CHECK_EQ(nigh_put_many(w->space, pairs, KEYS, NULL, outcomes), 0);
    for (unsigned i = 0; i < KEYS; i++)
        CHECK_EQ(outcomes[i], 0);
}

static void warms_others(void (*put)(struct world *w), enum nigh_threads threads)
{
    struct redis server;
    struct world w, other;
    redis_start(&server, NULL);
    begin(&w, &server, threads);
    put(&w);
    world_close(&w);
    begin_another(&other, &server);
    for (unsigned i = 0; i < KEYS; i++) {
        struct answer got = ask_get(other.space, key_numbered(i), NULL);
        CHECK_ANSWER(got, NIGH_FRESH, "v");
        CHECK_EQ(got.tier, NIGH_TIER_L2);
    }
    world_close(&other);
    redis_stop(&server);
}

TEST(a_program_that_opens_puts_and_closes_warms_others)
{
    warms_others(put_one_by_one, NIGH_THREADS_OWN);
    warms_others(put_one_by_one, NIGH_THREADS_NONE);
}

TEST(so_does_one_that_puts_many_at_once)
{
    warms_others(put_at_once, NIGH_THREADS_OWN);
    warms_others(put_at_once, NIGH_THREADS_NONE);
}

/* ---- nothing comes ---- */

static void puts_nothing(struct world *w, const struct redis *server, int outcome)
{
    uint64_t began_ms = check_now_ms();
    CHECK_EQ(nigh_put(w->space, "k", 1, "v", 1, NULL), outcome);
    CHECK_LT(check_now_ms() - began_ms, LONG_MS / 2);
    CHECK_STR(ask_get(w->space, "k", NULL).text, "");
    if (!server)
        return;
    char *value = redis_command(server, "GET nigh:!2:s:1:k");
    CHECK_STR(value, "(nil)");
    free(value);
}

TEST(a_put_does_not_wait_for_a_server_that_is_not_there)
{
    static const enum nigh_threads threads[] = {NIGH_THREADS_OWN, NIGH_THREADS_NONE};
    for (int i = 0; i < 2; i++) {
        struct redis nowhere = {.uri = "unix:///nonexistent/redis.sock"};
        struct world w;
        begin(&w, &nowhere, threads[i]);
        puts_nothing(&w, NULL, NIGH_QUEUED);
        world_close(&w);
    }
}

/* What it stores goes by the ticket, which was taken before: a clock that comes meanwhile is of no
 * use to it. So it does not wait for a server that accepts, and never answers. */
TEST(a_put_with_a_ticket_of_that_time_waits_for_nothing)
{
    struct redis server;
    struct world w;
    redis_start(&server, NULL);
    redis_pause(&server);
    struct nigh_options o = patient_options(&server);
    o.connect_timeout_ms = LONG_MS;
    o.l2_deadline_ms = LONG_MS;
    origin_init(&w.origin);
    world_open_with(&w, &o, NULL, &w.origin);
    struct nigh_miss miss = {.stamp = l1_ticket(w.cache->l1)}; /* without a lease */
    struct nigh_call call = NIGH_CALL_INIT;
    call.miss = &miss;
    uint64_t began_ms = check_now_ms();
    CHECK_EQ(nigh_put(w.space, "k", 1, "v", 1, &call), 0);
    struct nigh_miss another = {.stamp = l1_ticket(w.cache->l1)};
    struct nigh_pair pair = {.key = {"l", 1}, .value = "v", .len = 1, .miss = &another};
    int outcome;
    CHECK_EQ(nigh_put_many(w.space, &pair, 1, NULL, &outcome), 0);
    CHECK_EQ(outcome, 0);
    CHECK_LT(check_now_ms() - began_ms, LONG_MS / 2);
    redis_resume(&server);
    world_close(&w);
    redis_stop(&server);
}

/* Its beats are answered, and bring no clock. */
TEST(a_put_does_not_wait_for_a_clock_that_does_not_come)
{
    struct redis server;
    struct world w, other;
    redis_start(&server, NULL);
    begin_another(&other, &server);
    world_close(&other);
    struct nigh_options o = patient_options(&server);
    o.group_slots *= 2;
    o.l2_deadline_ms = LONG_MS;
    origin_init(&w.origin);
    world_open_with(&w, &o, NULL, &w.origin);
    puts_nothing(&w, &server, NIGH_QUEUED);
    world_close(&w);
    redis_stop(&server);
}

/* It may begin nothing but with a change: the first put is that, and is not stored. */
TEST(a_guest_that_is_alone_is_told_that_its_put_is_not_stored)
{
    struct redis server;
    struct world w;
    redis_start(&server, NULL);
    struct nigh_options o = patient_options(&server);
    o.guest = 1;
    o.l2_deadline_ms = LONG_MS;
    origin_init(&w.origin);
    world_open_with(&w, &o, NULL, &w.origin);
    puts_nothing(&w, &server, NIGH_REFUSED);
    CHECK_EQ(nigh_put(w.space, "k", 1, "v", 1, NULL), 0);
    CHECK_ANSWER(ask_get(w.space, "k", NULL), NIGH_FRESH, "v");
    world_close(&w);
    redis_stop(&server);
}

/* ---- who does not wait ---- */

/* Puts behind the call; returns what has become of it. */
static int put_async(struct world *w)
{
    struct nigh_queue *queue;
    REQUIRE_EQ(nigh_queue_open(w->cache, &queue), 0);
    CHECK_EQ(nigh_put_async(queue, w->space, "k", 1, "v", 1, NULL, NULL, NULL), NIGH_PENDING);
    struct ended e = poll_one(queue, WORLD_PATIENCE_MS);
    CHECK_EQ(e.polled, 1);
    nigh_queue_close(queue);
    return e.answer.outcome;
}

/* It cannot wait, so its value may be given up; but then it does not say that it was stored. */
TEST(a_put_that_nobody_waits_for_says_what_others_find)
{
    static const enum nigh_threads threads[] = {NIGH_THREADS_OWN, NIGH_THREADS_NONE};
    for (int i = 0; i < 2; i++) {
        struct redis server;
        struct world w, other;
        redis_start(&server, NULL);
        begin(&w, &server, threads[i]);
        int outcome = put_async(&w);
        int64_t lost = world_count(&w, "background_lost");
        CHECK_EQ(nigh_drain(w.cache, WORLD_PATIENCE_MS), 0);
        world_close(&w);
        CHECK(outcome == 0 || outcome == NIGH_QUEUED);
        CHECK_EQ(lost, outcome == 0 ? 0 : 1);
        begin_another(&other, &server);
        CHECK_EQ(ask_get(other.space, "k", NULL).outcome, outcome == 0 ? NIGH_FRESH : NIGH_MISS);
        world_close(&other);
        redis_stop(&server);
    }
}
