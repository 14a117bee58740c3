// SPDX-License-Identifier: MIT
// Tickets of a miss before a real Redis: each way in which one ends gives its lease back, and
// nobody waits for himself. Leases are taken for long: what is gone sooner was given back.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "cache/cache.h"
#include "support/origin.h"
#include "support/redis.h"

#define LEASE_MS 40000
#define SOON_MS 20000 /* far below, though on any machine */

static struct redis server;
static struct world a, b; /* two nodes in front of a's origin */

static void open_nodes(void)
{
    lasting_nodes_open(&a, &b, &server, 2 * LEASE_MS);
}

static void close_nodes(void)
{
    nodes_close(&a, &b, &server);
}

#define TEST_NODES(name) TEST_BETWEEN(open_nodes, close_nodes, name)

static struct nigh_call with(struct nigh_miss *miss)
{
    struct nigh_call call = NIGH_CALL_INIT;
    call.miss = miss;
    return call;
}

/* A miss; whether its lease was taken, too. */
static bool take(struct world *w, const char *key, struct nigh_miss *miss)
{
    struct nigh_call call = with(miss);
    CHECK_EQ(ask_get(w->space, key, &call).outcome, NIGH_MISS);
    return miss->token != 0;
}

static bool is_leased(const char *key)
{
    return redis_integer(&server, "EXISTS nigh:!2:!lease:s:%s", key) == 1;
}

static int put(struct world *w, const char *key, struct nigh_miss *miss, const char *text)
{
    struct nigh_call call = with(miss);
    return nigh_put(w->space, key, strlen(key), text, strlen(text), &call);
}

static void release(struct world *w, const char *key, struct nigh_miss *miss)
{
    nigh_miss_release(w->space, key, strlen(key), miss);
}

/* ---- its holder ---- */

TEST_NODES(who_holds_a_ticket_does_not_wait_for_himself)
{
    struct nigh_miss miss = NIGH_MISS_INIT;
    CHECK(take(&a, "k", &miss));
    CHECK(is_leased("k"));
    CHECK_ANSWER(ask_fetch(a.space, "k", NULL), NIGH_FRESH, "k=1");
    CHECK_EQ(world_count(&a, "lease_held"), 0);
    CHECK_WITHIN(SOON_MS, world_count(&a, "l2_fill") == 1); /* under a lease of the load's own */
    CHECK(!is_leased("k"));
}

TEST_NODES(nor_with_hundreds_of_tickets)
{
    static struct nigh_miss misses[700];
    char key[16], row[24];
    for (int i = 0; i < 700; i++) {
        snprintf(key, sizeof(key), "k%d", i);
        CHECK(take(&a, key, &misses[i]));
    }
    for (int i = 0; i < 700; i++) {
        snprintf(key, sizeof(key), "k%d", i);
        snprintf(row, sizeof(row), "k%d=1", i);
        CHECK_ANSWER(ask_fetch(a.space, key, NULL), NIGH_FRESH, row);
    }
    CHECK_EQ(world_count(&a, "lease_held"), 0);
}

TEST_NODES(a_second_ticket_takes_the_place_of_the_first)
{
    struct nigh_miss first = NIGH_MISS_INIT, second = NIGH_MISS_INIT;
    CHECK(take(&a, "k", &first));
    CHECK(take(&a, "k", &second));
    CHECK_NE(first.token, second.token);
    CHECK_EQ(world_count(&a, "lease_held"), 0);
    CHECK_EQ(put(&a, "k", &first, "of the first"), NIGH_REFUSED); /* by Redis; L1 has it */
    CHECK_EQ(world_count(&a, "l2_fill"), 0);
    CHECK(is_leased("k"));
    CHECK_EQ(put(&a, "k", &second, "of the second"), 0);
    CHECK_EQ(world_count(&a, "l2_fill"), 1);
    CHECK_ANSWER(ask_fetch(b.space, "k", NULL), NIGH_FRESH, "of the second");
}

TEST_NODES(another_thread_that_waits_is_not_forgotten)
{
    struct nigh_miss miss = NIGH_MISS_INIT;
    struct asker asker;
    CHECK(take(&a, "k", &miss));
    asker_start(&asker, a.space, "k", NULL);
    CHECK_WITHIN(SOON_MS, world_count(&a, "lease_held") == 1);
    uint64_t began_ms = check_now_ms();
    CHECK_ANSWER(ask_fetch(a.space, "k", NULL), NIGH_FRESH, "k=1");
    asker_join(&asker);
    CHECK_ANSWER(asker.answer, NIGH_FRESH, "k=1");
    CHECK_LT(check_now_ms() - began_ms, SOON_MS);
    CHECK_EQ(a.origin.loads, 1);
}

/* The fill frame that wakes who waits is not heard: the listener may not subscribe. */
TEST_NODES(who_waits_here_needs_no_channel)
{
    struct nigh_miss miss = NIGH_MISS_INIT;
    struct asker asker;
    free(redis_command(&server, "ACL SETUSER default -subscribe"));
    free(redis_command(&server, "CLIENT KILL TYPE pubsub"));
    CHECK_WITHIN(SOON_MS, world_count(&a, "listening") == 0);
    CHECK(take(&a, "k", &miss));
    asker_start(&asker, a.space, "k", NULL);
    CHECK_WITHIN(SOON_MS, world_count(&a, "lease_held") == 1);
    uint64_t began_ms = check_now_ms();
    release(&a, "k", &miss);
    asker_join(&asker);
    CHECK_STR(asker.answer.text, "k=1");
    CHECK_LT(check_now_ms() - began_ms, SOON_MS);
}

/* One that is not in the list could not be given back. */
TEST_NODES(without_a_place_for_its_ticket_no_lease_is_taken)
{
    struct nigh_miss miss = NIGH_MISS_INIT;
    atomic_fetch_add(&a.cache->tickets.count, 16384);
    CHECK(!take(&a, "k", &miss));
    atomic_fetch_sub(&a.cache->tickets.count, 16384);
    CHECK(!is_leased("k"));
    CHECK_EQ(put(&a, "k", &miss, "row"), 0);
    CHECK_EQ(world_count(&a, "l2_fill"), 0);
    CHECK_ANSWER(ask_get(a.space, "k", NULL), NIGH_FRESH, "row");
}

/* ---- given back ---- */

TEST_NODES(a_ticket_given_back_lets_all_others_load)
{
    struct nigh_miss miss = NIGH_MISS_INIT;
    struct asker here, there;
    CHECK(take(&a, "k", &miss));
    asker_start(&here, a.space, "k", NULL);
    asker_start(&there, b.space, "k", NULL);
    CHECK_WITHIN(SOON_MS, world_count(&a, "lease_held") == 1);
    CHECK_WITHIN(SOON_MS, world_count(&b, "lease_held") == 1);
    uint64_t began_ms = check_now_ms();
    release(&a, "k", &miss);
    CHECK_EQ(miss.token, 0);
    asker_join(&here);
    asker_join(&there);
    CHECK_ANSWER(here.answer, NIGH_FRESH, "k=1");
    CHECK_ANSWER(there.answer, NIGH_FRESH, "k=1");
    CHECK_LT(check_now_ms() - began_ms, SOON_MS);
    CHECK_EQ(a.origin.loads, 1);
}

TEST_NODES(a_ticket_is_given_back_once)
{
    struct nigh_miss miss = NIGH_MISS_INIT, next = NIGH_MISS_INIT;
    release(&a, "k", NULL);
    release(&a, "k", &miss); /* that never was one */
    nigh_miss_release(a.space, NULL, 1, &miss);
    nigh_miss_release(a.space, "k", 0, &miss);
    CHECK_EQ(world_count(&a, "lease_given_back"), 0);
    CHECK(take(&a, "k", &miss));
    release(&a, "k", &miss);
    release(&a, "k", &miss);
    CHECK_EQ(world_count(&a, "lease_given_back"), 1);
    CHECK_WITHIN(SOON_MS, !is_leased("k"));
    CHECK(take(&b, "k", &next));
    release(&a, "k", &miss);
    CHECK_EQ(put(&b, "k", &next, "row"), 0);
    CHECK_EQ(world_count(&b, "l2_fill"), 1);
}

/* The ticket is in a struct that was copied, and another thread gives it back. */
static void *release_there(void *miss)
{
    release(&a, "k", miss);
    return NULL;
}

TEST_NODES(a_ticket_may_be_given_back_on_another_thread)
{
    struct nigh_miss miss = NIGH_MISS_INIT;
    pthread_t thread;
    CHECK(take(&a, "k", &miss));
    struct nigh_miss copy = miss;
    REQUIRE_EQ(pthread_create(&thread, NULL, release_there, &copy), 0);
    pthread_join(thread, NULL);
    CHECK_WITHIN(SOON_MS, !is_leased("k"));
    CHECK_ANSWER(ask_fetch(b.space, "k", NULL), NIGH_FRESH, "k=1");
    CHECK_EQ(world_count(&b, "lease_held"), 0);
    release(&a, "k", &miss); /* the original, of a lease that is gone */
}

/* ---- forgotten ---- */

static void *take_there(void *key)
{
    struct nigh_miss miss = NIGH_MISS_INIT;
    CHECK(take(&a, key, &miss));
    return NULL;
}

static void take_and_end(char *key)
{
    pthread_t thread;
    REQUIRE_EQ(pthread_create(&thread, NULL, take_there, key), 0);
    pthread_join(thread, NULL);
}

TEST_NODES(the_tickets_of_a_thread_that_ended_keep_nobody_waiting)
{
    char here[] = "k", there[] = "other";
    take_and_end(here);
    uint64_t began_ms = check_now_ms();
    CHECK_ANSWER(ask_fetch(a.space, "k", NULL), NIGH_FRESH, "k=1");
    CHECK_LT(check_now_ms() - began_ms, SOON_MS);
    take_and_end(there);
    CHECK_WITHIN(SOON_MS, !is_leased("other")); /* though nobody asks for it here */
}

static void *take_frozen(void *world)
{
    struct nigh_miss miss = NIGH_MISS_INIT;
    CHECK(take(world, "k", &miss));
    return NULL;
}

/* Lets a node's time go on, should it stand still for too long. */
struct rescue {
    struct world *w;
    _Atomic bool done;
};

static void *rescue(void *arg)
{
    struct rescue *r = arg;
    if (!CHECK_WITHIN(SOON_MS, atomic_load(&r->done)))
        world_advance(r->w, 60000);
    return NULL;
}

/* At once, for who finds it in his way: this node's time stands still, and its keeper with it. */
TEST(who_waits_for_a_thread_that_ended_does_not_wait_for_the_keeper)
{
    struct world w;
    struct rescue r = {.w = &w};
    pthread_t thread;
    redis_start(&server, NULL);
    struct nigh_options o = world_options(&w);
    o.redis_uri = server.uri;
    world_open(&w, &o, NULL);
    CHECK_WITHIN(WORLD_PATIENCE_MS, (world_tick(&w), nigh_health(w.cache) == NIGH_FRESH));
    REQUIRE_EQ(pthread_create(&thread, NULL, take_frozen, &w), 0);
    pthread_join(thread, NULL);
    REQUIRE_EQ(pthread_create(&thread, NULL, rescue, &r), 0);
    CHECK_ANSWER(ask_fetch(w.space, "k", NULL), NIGH_FRESH, "k=1");
    atomic_store(&r.done, true);
    pthread_join(thread, NULL);
    world_close(&w);
    redis_stop(&server);
}

TEST(closing_gives_back_the_tickets)
{
    struct nigh_miss miss = NIGH_MISS_INIT;
    open_nodes();
    CHECK(take(&a, "k", &miss));
    CHECK(take(&a, "other", &miss));
    world_close(&a);
    CHECK(!is_leased("k") && !is_leased("other"));
    CHECK_ANSWER(ask_fetch(b.space, "k", NULL), NIGH_FRESH, "k=1");
    CHECK_EQ(world_count(&b, "lease_held"), 0);
    world_close(&b);
    redis_stop(&server);
}

/* ---- does not exist ---- */

static int put_absent(struct world *w, struct nigh_miss *miss)
{
    struct nigh_call call = with(miss);
    return nigh_put_absent(w->space, "k", 1, &call);
}

TEST_NODES(a_ticket_may_say_that_there_is_nothing)
{
    struct nigh_miss miss = NIGH_MISS_INIT;
    CHECK(take(&a, "k", &miss));
    CHECK_EQ(put_absent(&a, &miss), 0);
    CHECK_EQ(miss.token, 0);
    CHECK(!is_leased("k"));
    CHECK_ANSWER(ask_get(a.space, "k", NULL), NIGH_ABSENT, "");
    CHECK_ANSWER(ask_fetch(b.space, "k", NULL), NIGH_ABSENT, "");
    CHECK_EQ(a.origin.loads, 0);
    /* For space.absent_ttl (5 s, and a tenth of that), with no stale time behind it. */
    long long left_ms = redis_integer(&server, "PTTL nigh:!2:s:1:k");
    CHECK(left_ms > 0 && left_ms <= 5500);
}

TEST_NODES(nothing_is_fenced_as_a_value_is)
{
    struct nigh_miss miss = NIGH_MISS_INIT;
    struct nigh_call call = NIGH_CALL_INIT;
    CHECK(take(&a, "k", &miss));
    CHECK_EQ(nigh_invalidate(b.space, "k", 1, NULL), 0);
    CHECK_EQ(nigh_invalidate(a.space, "k", 1, NULL), 0); /* heard, that is */
    CHECK_EQ(put_absent(&a, &miss), NIGH_REFUSED);
    CHECK_EQ(ask_get(a.space, "k", NULL).outcome, NIGH_MISS);
    CHECK_EQ(nigh_put_absent(a.space, "k", 1, NULL), NIGH_EINVAL);
    CHECK_EQ(nigh_put_absent(a.space, "k", 1, &call), NIGH_EINVAL);
    CHECK_EQ(nigh_put_absent(a.space, "k", 0, &call), NIGH_EKEY);
}

TEST_NODES(nothing_is_not_remembered_where_that_is_not_wanted)
{
    struct nigh_space_options so = NIGH_SPACE_OPTIONS_INIT;
    struct nigh_space *space;
    struct nigh_miss miss = NIGH_MISS_INIT;
    struct nigh_call call = with(&miss);
    so.absent_ttl_ms = NIGH_NONE;
    REQUIRE_EQ(nigh_space_open(a.cache, "n", &so, NULL, NULL, NULL, &space), 0);
    CHECK_EQ(ask_get(space, "k", &call).outcome, NIGH_MISS);
    CHECK_NE(miss.token, 0);
    CHECK_EQ(nigh_put_absent(space, "k", 1, &call), NIGH_REFUSED);
    CHECK_EQ(miss.token, 0);
    CHECK_WITHIN(SOON_MS, redis_integer(&server, "EXISTS nigh:!2:!lease:n:k") == 0);
    CHECK_EQ(ask_get(space, "k", NULL).outcome, NIGH_MISS);
}

TEST(without_redis_nothing_enters_l1)
{
    struct world w;
    struct nigh_miss miss = NIGH_MISS_INIT;
    world_open_exact(&w);
    CHECK(!take(&w, "k", &miss));
    CHECK_EQ(put_absent(&w, &miss), 0);
    CHECK_EQ(ask_get(w.space, "k", NULL).outcome, NIGH_ABSENT);
    world_advance(&w, 6000);
    CHECK_EQ(ask_get(w.space, "k", NULL).outcome, NIGH_MISS); /* and was never stale */
    release(&w, "k", &miss);
    world_close(&w);
}

/* ---- refused, and used up ---- */

static void check_given_back(struct nigh_miss *miss, const char *what)
{
    unsigned before = check_failed_count();
    CHECK_EQ(miss->token, 0);
    CHECK_WITHIN(SOON_MS, !is_leased("k"));
    if (check_failed_count() != before)
        check_note(what);
}

TEST_NODES(a_put_that_is_refused_gives_the_ticket_back)
{
    struct nigh_miss miss = NIGH_MISS_INIT;
    struct nigh_call call = with(&miss);
    char *big = calloc(1, NIGH_VALUE_MAX + 1ul);
    const char *wrong[] = {""};
    REQUIRE(big);
    CHECK(take(&a, "k", &miss));
    CHECK_EQ(nigh_put(a.space, "k", 1, big, (1u << 20) + 1, &call), NIGH_REFUSED);
    check_given_back(&miss, "larger than the space takes");
    CHECK(take(&a, "k", &miss));
    CHECK_EQ(nigh_put(a.space, "k", 1, big, NIGH_VALUE_MAX + 1ul, &call), NIGH_EVALUE);
    check_given_back(&miss, "larger than the format takes");
    CHECK(take(&a, "k", &miss));
    CHECK_EQ(nigh_put(a.space, "k", 1, NULL, 0, &call), NIGH_EINVAL);
    check_given_back(&miss, "no value");
    CHECK(take(&a, "k", &miss));
    call.tags = wrong;
    call.tag_count = 1;
    CHECK_LT(nigh_put(a.space, "k", 1, "v", 1, &call), 0);
    check_given_back(&miss, "a wrong tag");
    CHECK(take(&a, "k", &miss));
    CHECK_LT(nigh_put_absent(a.space, "k", 1, &call), 0);
    check_given_back(&miss, "a wrong tag of nothing");
    free(big);
}

/* The other node has left a newer version; what is put here is refused by Redis. */
TEST_NODES(a_put_of_an_old_version_gives_the_ticket_back)
{
    struct nigh_miss miss = NIGH_MISS_INIT;
    struct nigh_call call = with(&miss), newer = NIGH_CALL_INIT;
    CHECK(take(&a, "k", &miss));
    newer.version = 5;
    CHECK_EQ(nigh_put(b.space, "k", 1, "five", 4, &newer), 0);
    call.version = 4;
    CHECK_EQ(nigh_put(a.space, "k", 1, "four", 4, &call), NIGH_REFUSED);
    check_given_back(&miss, "an old version");
    CHECK_STR(ask_fetch(a.space, "k", NULL).text, "five");
}

TEST_NODES(a_put_without_memory_gives_the_ticket_back)
{
    for (uint64_t nth = 1; nth <= 6; nth++) {
        struct nigh_miss miss = NIGH_MISS_INIT;
        CHECK(take(&a, "k", &miss));
#if NIGH_FAULTS
        fault_arm(FAULT_ALLOC, nth);
#endif
        (void)put(&a, "k", &miss, "row");
#if NIGH_FAULTS
        fault_arm(FAULT_ALLOC, 0);
#endif
        check_given_back(&miss, "no memory");
        /* it may have been the I/O thread's memory, which costs the connection */
        CHECK_WITHIN(SOON_MS, nigh_invalidate(a.space, "k", 1, NULL) == 0);
        /* what was queued meanwhile keeps the key from Redis */
        CHECK_EQ(nigh_drain(a.cache, SOON_MS), 0);
    }
}

TEST_NODES(a_ticket_serves_one_put)
{
    struct nigh_miss miss = NIGH_MISS_INIT;
    CHECK(take(&a, "k", &miss));
    CHECK_EQ(put(&a, "k", &miss, "one"), 0);
    CHECK_EQ(put(&a, "k", &miss, "two"), 0); /* L1 only */
    CHECK_EQ(world_count(&a, "l2_fill"), 1);
    CHECK_ANSWER(ask_get(a.space, "k", NULL), NIGH_FRESH, "two");
    CHECK_ANSWER(ask_get(b.space, "k", NULL), NIGH_FRESH, "one");
    CHECK_EQ(nigh_invalidate(a.space, "k", 1, NULL), 0);
    CHECK_EQ(put(&a, "k", &miss, "three"), NIGH_REFUSED);
    CHECK_EQ(ask_get(a.space, "k", NULL).outcome, NIGH_MISS);
}
