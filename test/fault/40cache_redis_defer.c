// SPDX-License-Identifier: MIT
// Deferred loads before a Redis that dies or falls silent, and beside other nodes: each completes
// once, and the lease lives as long as the load.

#include <stdio.h>

#include "support/async.h"

#define CALLS 1000u
#define PATIENTLY WORLD_PATIENCE_MS
#define LOAD_MS 60000u

/* A node whose loader defers. */
struct client {
    struct world w;
    struct nigh_queue *queue;
    struct nigh_fill *fills[CALLS];
    _Atomic unsigned begun;
    _Atomic unsigned named; /* of them: have their name */
};

static int query(struct origin *o, struct nigh_fill *fill)
{
    struct client *c = o->arg;
    unsigned i = atomic_fetch_add(&c->begun, 1);
    REQUIRE(i < CALLS);
    int rc = nigh_fill_defer(fill, &c->fills[i]);
    atomic_fetch_add(&c->named, 1);
    return rc;
}

/* Waits until so many loaders have deferred, and returned. */
static void wait_for(struct client *c, unsigned count)
{
    CHECK_WITHIN(PATIENTLY, world_count(&c->w, "load_deferred") == count);
    CHECK_EQ(c->named, count);
}

static void open_client(struct client *c, const struct redis *server, uint32_t lease_ms,
                        uint32_t load_deadline_ms)
{
    struct nigh_options o = patient_options(server);
    struct nigh_space_options so = NIGH_SPACE_OPTIONS_INIT;
    o.lease_ms = lease_ms;
    so.load_deadline_ms = load_deadline_ms;
    so.loads_max = CALLS;
    so.error_ttl_ms = NIGH_NONE;
    *c = (struct client){0};
    origin_init(&c->w.origin);
    c->w.origin.arg = c;
    c->w.origin.script = query;
    world_open_with(&c->w, &o, &so, &c->w.origin);
    REQUIRE(CHECK_WITHIN(PATIENTLY, nigh_health(c->w.cache) == NIGH_FRESH));
    REQUIRE(CHECK_WITHIN(PATIENTLY, world_count(&c->w, "listening") == 1));
    REQUIRE_EQ(nigh_queue_open(c->w.cache, &c->queue), 0);
}

static void close_client(struct client *c)
{
    nigh_queue_close(c->queue);
    world_close(&c->w);
}

static void pend(struct client *c, const char *key, uintptr_t arg)
{
    CHECK_EQ(begin_fetch(c->queue, c->w.space, key, NULL, arg, NULL).outcome, NIGH_PENDING);
}

static void pend_all(struct client *c)
{
    char key[16];
    for (unsigned i = 0; i < CALLS; i++) {
        snprintf(key, sizeof(key), "k%u", i);
        pend(c, key, i);
    }
    wait_for(c, CALLS);
}

/* Half of the answers each, in opposite orders. */
struct answerer {
    pthread_t thread;
    struct client *c;
    bool backwards;
    unsigned accepted;
};

static int answer(struct nigh_fill *fill)
{
    size_t len = 0;
    char text[32];
    const char *key = nigh_fill_key(fill, &len);
    int n = snprintf(text, sizeof(text), "%.*s=1", (int)len, key ? key : "");
    return key ? nigh_fill_value(fill, text, (size_t)n) : NIGH_EINVAL;
}

static void *answer_half(void *arg)
{
    struct answerer *a = arg;
    for (unsigned i = 0; i < CALLS / 2; i++)
        a->accepted += answer(a->c->fills[a->backwards ? CALLS - 1 - i : i]) == 0;
    return NULL;
}

static void answer_all(struct client *c)
{
    struct answerer halves[2] = {{.c = c}, {.c = c, .backwards = true}};
    for (int i = 0; i < 2; i++)
        REQUIRE_EQ(pthread_create(&halves[i].thread, NULL, answer_half, &halves[i]), 0);
    for (int i = 0; i < 2; i++)
        pthread_join(halves[i].thread, NULL);
    CHECK_EQ(halves[0].accepted + halves[1].accepted, CALLS);
}

static void poll_all(struct client *c, int outcome)
{
    static bool seen[CALLS];
    char text[32];
    for (unsigned i = 0; i < CALLS; i++)
        seen[i] = false;
    for (unsigned i = 0; i < CALLS; i++) {
        struct ended e = poll_one(c->queue, PATIENTLY);
        REQUIRE(CHECK_EQ(e.polled, 1) && e.arg < CALLS);
        CHECK(!seen[e.arg]);
        seen[e.arg] = true;
        snprintf(text, sizeof(text), "k%u=1", (unsigned)e.arg);
        CHECK_ANSWER(e.answer, outcome, outcome < 0 ? "" : text);
    }
}

TEST(a_thousand_deferred_loads_survive_the_death_of_redis)
{
    static struct client c;
    struct redis server;
    redis_start(&server, NULL);
    open_client(&c, &server, LOAD_MS / 2, LOAD_MS);
    pend_all(&c);
    redis_kill(&server);
    CHECK_WITHIN(PATIENTLY, world_count(&c.w, "connected") == 0);
    answer_all(&c);
    poll_all(&c, NIGH_FRESH);
    for (unsigned i = 0; i < CALLS; i++)
        CHECK_EQ(nigh_fill_absent(c.fills[i]), NIGH_EINVAL);
    CHECK_EQ(poll_one(c.queue, 0).polled, 0);
    redis_restart(&server, REDIS_EMPTY);
    CHECK_WITHIN(PATIENTLY, world_count(&c.w, "connected") == 1);
    close_client(&c);
    redis_stop(&server);
}

TEST(a_thousand_deferred_loads_are_answered_while_redis_is_silent)
{
    static struct client c;
    struct redis server;
    redis_start(&server, NULL);
    open_client(&c, &server, LOAD_MS / 2, LOAD_MS);
    pend_all(&c);
    redis_pause(&server);
    answer_all(&c); /* their fills are behind */
    poll_all(&c, NIGH_FRESH);
    redis_resume(&server);
    close_client(&c);
    redis_stop(&server);
}

/* And all leases go back, which would not end within this call: another node loads. */
TEST(a_thousand_deferred_loads_are_given_up_by_the_close)
{
    static struct client c, other;
    struct redis server;
    struct nigh_call call = NIGH_CALL_INIT;
    call.deadline_ms = PATIENTLY;
    redis_start(&server, NULL);
    open_client(&c, &server, LOAD_MS / 2, LOAD_MS);
    open_client(&other, &server, LOAD_MS / 2, LOAD_MS);
    other.w.origin.script = NULL;
    pend_all(&c);
    nigh_close(c.w.cache);
    for (unsigned i = 0; i < CALLS; i++)
        CHECK_EQ(nigh_fill_absent(c.fills[i]), NIGH_ECLOSED);
    poll_all(&c, NIGH_ECLOSED);
    nigh_queue_close(c.queue);
    CHECK_ANSWER(ask_fetch(other.w.space, "k7", &call), NIGH_FRESH, "k7=1");
    close_client(&other);
    redis_stop(&server);
}

/* ---- beside another node ---- */

TEST(another_node_waits_for_a_deferred_load)
{
    static struct client a, b;
    struct redis server;
    redis_start(&server, NULL);
    open_client(&a, &server, LOAD_MS / 2, LOAD_MS);
    open_client(&b, &server, LOAD_MS / 2, LOAD_MS);
    pend(&a, "k", 1);
    wait_for(&a, 1);
    CHECK_EQ(world_count(&a.w, "lease_granted"), 1);
    pend(&b, "k", 2);
    CHECK_WITHIN(PATIENTLY, world_count(&b.w, "lease_held") >= 1);
    CHECK_EQ(answer(a.fills[0]), 0);
    CHECK_ANSWER(poll_one(a.queue, PATIENTLY).answer, NIGH_FRESH, "k=1");
    CHECK_ANSWER(poll_one(b.queue, PATIENTLY).answer, NIGH_FRESH, "k=1");
    CHECK_EQ(b.begun, 0);
    close_client(&a);
    close_client(&b);
    redis_stop(&server);
}

/* Whether the lease of a load that waits is extended. It is not once it has run out, as it does
 * when the machine stands still for most of its time. */
static bool is_extended(struct client *c, unsigned nth)
{
    char key[16];
    int64_t before = world_count(&c->w, "lease_extended");
    uint64_t end_ms = check_now_ms() + 5000;
    snprintf(key, sizeof(key), "k%u", nth);
    pend(c, key, nth);
    wait_for(c, nth + 1);
    while (world_count(&c->w, "lease_extended") == before && check_now_ms() < end_ms)
        check_pause();
    return world_count(&c->w, "lease_extended") > before;
}

TEST(the_lease_is_extended_until_the_answer)
{
    static struct client c;
    struct redis server;
    unsigned n = 0;
    redis_start(&server, NULL);
    open_client(&c, &server, 1500, LOAD_MS);
    bool extended = false;
    while (!extended && n < 4)
        extended = is_extended(&c, n++);
    CHECK(extended);
    for (unsigned i = 0; i < n; i++) {
        CHECK_EQ(answer(c.fills[i]), 0);
        CHECK_EQ(poll_one(c.queue, PATIENTLY).answer.outcome, NIGH_FRESH);
    }
    close_client(&c);
    redis_stop(&server);
}

TEST(without_an_answer_at_the_deadline_the_lease_goes_back)
{
    static struct client a, b;
    struct redis server;
    redis_start(&server, NULL);
    open_client(&b, &server, LOAD_MS / 2, LOAD_MS);
    b.w.origin.script = NULL;
    do {
        if (a.queue)
            close_client(&a);
        open_client(&a, &server, LOAD_MS, 3000); /* half of that is the time of its lease */
        pend(&a, "k", 1);
    } while (poll_one(a.queue, PATIENTLY).answer.outcome == NIGH_ETIMEDOUT && a.begun == 0);
    CHECK_WITHIN(PATIENTLY, world_count(&a.w, "load_unanswered") == 1);
    CHECK_WITHIN(PATIENTLY, world_count(&a.w, "lease_given_back") >= 1);
    CHECK_ANSWER(ask_fetch(b.w.space, "k", NULL), NIGH_FRESH, "k=1");
    CHECK_EQ(nigh_fill_value(a.fills[0], "late", 4), 0);
    CHECK_ANSWER(ask_get(b.w.space, "k", NULL), NIGH_FRESH, "k=1"); /* it has no lease any more */
    close_client(&a);
    close_client(&b);
    redis_stop(&server);
}
