// SPDX-License-Identifier: MIT
// A Redis that is late, or behind a thin wire: readers go past it, changes reach it, and nothing
// that we did ourselves is held against it.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/origin.h"
#include "support/relay.h"

enum {
    LATE_MS = 60,      /* each way: a round trip is above what is slow, below every deadline */
    VERY_LATE_MS = 100, /* each way, below a deadline of 250 ms */
};

static struct redis server;
static struct relay relay;
static struct world far, near; /* behind the relay, and not */

static void open_far(const struct nigh_options *options)
{
    struct nigh_options o = *options;
    o.redis_uri = relay.uri;
    origin_init(&far.origin);
    world_open_with(&far, &o, NULL, &far.origin);
    REQUIRE(CHECK_WITHIN(WORLD_PATIENCE_MS, nigh_health(far.cache) == NIGH_FRESH &&
                                                world_count(&far, "listening") == 1));
}

static void begin(void)
{
    redis_start(&server, NULL);
    relay_open(&relay, &server);
}

static void end(void)
{
    world_close(&far);
    relay_close(&relay);
    redis_stop(&server);
}

static struct nigh_options default_options(void)
{
    struct nigh_options o = NIGH_OPTIONS_INIT;
    o.group_slots = 2048; /* as patient_open() has */
    return o;
}

/* ---- changes pass ---- */

static _Atomic bool stop;

static void *miss(void *arg)
{
    char key[32];
    for (unsigned i = 0; !atomic_load(&stop); i++) {
        snprintf(key, sizeof(key), "miss%u", i);
        ask_fetch(arg, key, NULL);
        check_pause();
    }
    return NULL;
}

TEST(a_change_reaches_the_others_while_reads_go_past_a_slow_redis)
{
    begin();
    struct nigh_options o = default_options();
    open_far(&o);
    patient_open(&near, &server, &far.origin, NULL);
    CHECK_WITHIN(WORLD_PATIENCE_MS, ask_fetch(near.space, "k", NULL).outcome == NIGH_FRESH);
    relay_slow(&relay, LATE_MS, 0);
    pthread_t reader;
    atomic_store(&stop, false);
    REQUIRE_EQ(pthread_create(&reader, NULL, miss, far.space), 0);
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&far, "l2_breaker_open") > 0);
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&far, "l2_refused") > 0);
    for (unsigned i = 0; i < 3; i++) {
        unsigned now = origin_commit(&far.origin);
        char row[16];
        snprintf(row, sizeof(row), "k=%u", now);
        CHECK_GE(nigh_invalidate(far.space, "k", 1, NULL), 0);
        /* Some round trips; and it is not left to who asks for something else. */
        CHECK_WITHIN(WORLD_PATIENCE_MS, strcmp(ask_fetch(near.space, "k", NULL).text, row) == 0);
    }
    atomic_store(&stop, true);
    pthread_join(reader, NULL);
    world_close(&near);
    end();
}

/* ---- few calls ---- */

TEST(a_host_with_one_call_at_a_time_notices)
{
    begin();
    struct nigh_options o = default_options();
    open_far(&o);
    char key[32];
    for (int i = 0; i < 200; i++) {
        snprintf(key, sizeof(key), "good%d", i);
        ask_get(far.space, key, NULL);
    }
    int64_t opened = world_count(&far, "l2_breaker_open");
    relay_slow(&relay, VERY_LATE_MS, 0);
    uint64_t from_ms = check_now_ms();
    int64_t refused = world_count(&far, "l2_refused");
    unsigned calls = 0;
    for (; check_now_ms() < from_ms + 6000; calls++) {
        snprintf(key, sizeof(key), "late%u", calls);
        ask_get(far.space, key, NULL);
        check_pause();
    }
    int64_t waited = calls - (world_count(&far, "l2_refused") - refused);
    check_note("%lld of %u calls waited", (long long)waited, calls);
    CHECK_GT(world_count(&far, "l2_breaker_open"), opened);
    CHECK_LT(waited, 12); /* four to notice, then probes; else it would be thirty */
    end();
}

/* ---- what we did ourselves ---- */

enum { THREADS = 8, ROUNDS = 3, KEYS = 4096 };

static void *tell_many(void *arg)
{
    static _Atomic unsigned numbers;
    struct nigh_target *targets = calloc(KEYS, sizeof(*targets));
    char(*names)[32] = calloc(KEYS, sizeof(*names));
    struct nigh_call call = NIGH_CALL_INIT;
    call.deadline_ms = WORLD_PATIENCE_MS;
    REQUIRE(targets && names);
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < KEYS; i++) {
            int len = snprintf(names[i], sizeof(names[i]), "%u", atomic_fetch_add(&numbers, 1));
            targets[i] = (struct nigh_target){.kind = NIGH_TARGET_KEY, .space = arg,
                                              .name = names[i], .name_len = (size_t)len};
        }
        CHECK_EQ(nigh_invalidate_many(far.cache, targets, KEYS, &call), 0);
    }
    free(targets);
    free(names);
    return NULL;
}

/* How late a pause of one millisecond ends, at most: on a machine that does not let us run Redis is
 * slow in earnest. */
static void *watch_the_machine(void *arg)
{
    uint64_t *late_ms = arg;
    while (!atomic_load(&stop)) {
        uint64_t from_ms = check_now_ms();
        check_pause();
        uint64_t took_ms = check_now_ms() - from_ms;
        *late_ms = took_ms > *late_ms ? took_ms : *late_ms;
    }
    return NULL;
}

/* Whether it opened no breaker; `ret_late_ms`: of the machine meanwhile. */
static bool bulk_is_borne(uint64_t *ret_late_ms)
{
    begin();
    struct nigh_options o = default_options();
    o.l2_deadline_ms = 1000; /* answers may take 400 ms */
    open_far(&o);
    pthread_t threads[THREADS], reader, watch;
    atomic_store(&stop, false);
    *ret_late_ms = 0;
    REQUIRE_EQ(pthread_create(&reader, NULL, miss, far.space), 0);
    REQUIRE_EQ(pthread_create(&watch, NULL, watch_the_machine, ret_late_ms), 0);
    for (int i = 0; i < THREADS; i++)
        REQUIRE_EQ(pthread_create(&threads[i], NULL, tell_many, far.space), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    atomic_store(&stop, true);
    pthread_join(reader, NULL);
    pthread_join(watch, NULL);
    bool borne = world_count(&far, "l2_breaker_open") == 0;
    CHECK_EQ(world_count(&far, "invalidate_overflow"), 0);
    end();
    return borne;
}

TEST(own_bulk_is_no_evidence_and_fills_no_queue)
{
    uint64_t late_ms;
    for (int turn = 0; turn < 3 && !bulk_is_borne(&late_ms); turn++) {
        check_note("it opened while the machine was up to %llu ms late",
                   (unsigned long long)late_ms);
        CHECK_GE(late_ms, 20); /* else it opened for no reason */
    }
}

/* ---- a thin wire ---- */

enum { TAGS = 1500 }; /* more than enough for 64 pages */

/* Every page of the groups has a position in it: what a node that comes has to read is 1 MiB. */
static void raise_all_pages(struct world *w)
{
    static struct nigh_target targets[TAGS];
    static char names[TAGS][16];
    for (int i = 0; i < TAGS; i++) {
        int len = snprintf(names[i], sizeof(names[i]), "tag%d", i);
        targets[i] = (struct nigh_target){.kind = NIGH_TARGET_TAG, .name = names[i],
                                          .name_len = (size_t)len};
    }
    CHECK_EQ(nigh_invalidate_many(w->cache, targets, TAGS, NULL), 0);
}

TEST(a_wire_of_one_mbit_gives_trust_and_keeps_it)
{
    begin();
    struct nigh_options o = NIGH_OPTIONS_INIT;
    o.redis_uri = server.uri;
    o.l2_deadline_ms = WORLD_PATIENCE_MS;
    origin_init(&near.origin);
    world_open_with(&near, &o, NULL, &near.origin);
    CHECK_WITHIN(WORLD_PATIENCE_MS, nigh_health(near.cache) == NIGH_FRESH);
    raise_all_pages(&near);
    relay_slow(&relay, 5, 125000);
    uint64_t from_ms = check_now_ms();
    o.redis_uri = relay.uri;
    o.l2_deadline_ms = 0;
    open_far(&o);
    check_note("trust after %llu ms", (unsigned long long)(check_now_ms() - from_ms));
    CHECK_GT(check_now_ms() - from_ms, 6000); /* it was the whole table */
    unsigned looks = 0, fresh = 0;
    for (uint64_t end_ms = check_now_ms() + 4000; check_now_ms() < end_ms; check_pause()) {
        looks++;
        fresh += nigh_health(far.cache) == NIGH_FRESH;
    }
    CHECK_GE(fresh, looks * 9 / 10);
    CHECK_EQ(world_count(&far, "resync"), 0);
    CHECK_EQ(world_count(&far, "l2_lost"), 0);
    world_close(&near);
    end();
}
