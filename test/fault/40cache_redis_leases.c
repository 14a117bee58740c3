// SPDX-License-Identifier: MIT
// Leases that nobody holds: asked for and not answered, lost with a connection, or of a process
// that was killed. Nobody waits for one longer than he can, nor does one stay for its time.

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cache/cache.h"
#include "support/origin.h"
#include "support/relay.h"

#define LEASE_MS 40000
#define SOON_MS 20000 /* far below, though on any machine */
#define SHORT_MS 1500 /* that a request of the impatient node may take; a GET does not */

static struct redis server;
static struct relay relay;
static struct world a, b; /* a is impatient, and behind the relay; both in front of its origin */

static void open_nodes(void)
{
    struct nigh_space_options so = NIGH_SPACE_OPTIONS_INIT;
    so.load_deadline_ms = 2 * LEASE_MS;
    redis_start(&server, NULL);
    relay_open(&relay, &server);
    struct nigh_options o = patient_options(&server);
    o.redis_uri = relay.uri;
    o.l2_deadline_ms = SHORT_MS;
    o.lease_ms = 600000;
    origin_init(&a.origin);
    world_open_with(&a, &o, &so, &a.origin);
    CHECK_WITHIN(WORLD_PATIENCE_MS, nigh_health(a.cache) == NIGH_FRESH);
    patient_open(&b, &server, &a.origin, &so);
    CHECK_EQ(nigh_set(b.cache, "lease.time", "600s"), 0);
}

static void close_nodes(void)
{
    world_close(&a);
    world_close(&b);
    relay_close(&relay);
    redis_stop(&server);
}

static bool is_leased(void)
{
    return redis_integer(&server, "EXISTS nigh:!2:!lease:s:k") == 1;
}

/* ---- not answered ---- */

/* Redis takes reads and holds scripts back, so that the request for the lease is late. */
static void hold_scripts(void)
{
    free(redis_command(&server, "CLIENT PAUSE 600000 WRITE"));
}

/* What was sent before this begins has been executed, or lost with its connection. */
static void let_scripts_go(void)
{
    free(redis_command(&server, "CLIENT UNPAUSE"));
    int64_t beats = world_count(&a, "beat");
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&a, "beat") >= beats + 2);
}

/* `call` asks for the lease and does not get an answer. False: a busy machine had it end before it
 * asked. */
static bool comes_late(void (*call)(void))
{
    open_nodes();
    hold_scripts();
    call();
    let_scripts_go();
    CHECK_WITHIN(SOON_MS, !is_leased());
    bool came = world_count(&a, "lease_given_back") >= 1;
    CHECK_ANSWER(ask_fetch(b.space, "k", NULL), NIGH_FRESH, "k=1");
    CHECK_EQ(world_count(&b, "lease_held"), 0);
    close_nodes();
    return came;
}

static void late_lease(void (*call)(void))
{
    CHECK_WITHIN(WORLD_PATIENCE_MS, comes_late(call));
}

static void fetch_k(void)
{
    CHECK_ANSWER(ask_fetch(a.space, "k", NULL), NIGH_FRESH, "k=1");
}

TEST(a_lease_that_came_too_late_for_a_load)
{
    late_lease(fetch_k);
}

static void get_ticket(void)
{
    struct nigh_miss miss = NIGH_MISS_INIT;
    struct nigh_call call = NIGH_CALL_INIT;
    call.miss = &miss;
    int outcome = ask_get(a.space, "k", &call).outcome;
    CHECK(outcome == NIGH_MISS || outcome == NIGH_ETIMEDOUT); /* a busy machine: of GET itself */
    CHECK_EQ(miss.token, 0);
}

TEST(a_lease_that_came_too_late_for_a_ticket)
{
    late_lease(get_ticket);
}

static void fail_to_write(void)
{
    atomic_store(&a.origin.refuse_writes, true);
    CHECK_EQ(nigh_write(a.space, "k", 1, "row", 3, NULL), NIGH_EWRITER);
    atomic_store(&a.origin.refuse_writes, false);
}

TEST(a_fence_that_came_too_late_for_a_writer_that_failed)
{
    late_lease(fail_to_write);
}

/* The flight's own deadline is the earlier one. */
static struct nigh_space *open_short(void)
{
    struct nigh_space_options so = NIGH_SPACE_OPTIONS_INIT;
    struct nigh_space *space;
    so.load_deadline_ms = 300;
    CHECK_EQ(nigh_set(a.cache, "redis.deadline", "1s"), 0);
    REQUIRE_EQ(nigh_space_open(a.cache, "short", &so, origin_load, NULL, &a.origin, &space), 0);
    return space;
}

TEST(a_lease_that_came_too_late_for_a_flight_that_had_landed)
{
    open_nodes();
    struct nigh_space *space = open_short();
    hold_scripts();
    CHECK_EQ(ask_fetch(space, "k", NULL).outcome, NIGH_ETIMEDOUT);
    let_scripts_go();
    CHECK_WITHIN(SOON_MS, redis_integer(&server, "EXISTS nigh:!2:!lease:short:k") == 0);
    close_nodes();
}

/* ---- lost ---- */

/* The lease is there, and `call` would give it back, but what it sends is lost. */
static void lost_release(void (*call)(void))
{
    CHECK(is_leased());
    relay_stop(&relay);
    call();
    CHECK(is_leased());
    relay_cut(&relay);
    relay_go(&relay);
    CHECK_WITHIN(SOON_MS, !is_leased());
}

static struct nigh_miss miss;

static void release_ticket(void)
{
    nigh_miss_release(a.space, "k", 1, &miss);
    CHECK_EQ(miss.token, 0);
}

static void take_ticket(void)
{
    struct nigh_call call = NIGH_CALL_INIT;
    call.miss = &miss;
    CHECK_EQ(ask_get(a.space, "k", &call).outcome, NIGH_MISS);
    CHECK_NE(miss.token, 0);
}

TEST(a_release_that_was_lost_is_sent_again)
{
    open_nodes();
    take_ticket();
    lost_release(release_ticket);
    close_nodes();
}

static void put_ticket(void)
{
    struct nigh_call call = NIGH_CALL_INIT;
    call.miss = &miss;
    CHECK_EQ(nigh_put(a.space, "k", 1, "row", 3, &call), 0); /* in L1 */
    CHECK_EQ(miss.token, 0);
}

TEST(a_put_that_was_lost_leaves_no_lease)
{
    open_nodes();
    take_ticket();
    lost_release(put_ticket);
    close_nodes();
}

static struct asker asker;

static void end_load(void)
{
    origin_let_go(&a.origin);
    asker_join(&asker);
    CHECK_ANSWER(asker.answer, NIGH_FRESH, "k=1");
}

static int versioned(struct origin *o, struct nigh_fill *fill)
{
    nigh_fill_set_version(fill, 7);
    return origin_answer(o, fill);
}

static void lost_fill(origin_script_fn script)
{
    open_nodes();
    origin_hold(&a.origin);
    a.origin.script = script;
    asker_start(&asker, a.space, "k", NULL);
    CHECK_WITHIN(SOON_MS, a.origin.held_loads == 1);
    lost_release(end_load);
    close_nodes();
}

TEST(a_fill_that_was_lost_leaves_no_lease)
{
    lost_fill(NULL);
    lost_fill(versioned);
}

/* ---- refused ---- */

/* Redis refuses scripts from the load on. A FILL that it has not executed may have left the lease,
 * which loads, other than puts, left to its time. */
static int refused(struct origin *o, struct nigh_fill *fill)
{
    free(redis_command(&server, "ACL SETUSER default -getrange"));
    return origin_answer(o, fill);
}

static int refused_versioned(struct origin *o, struct nigh_fill *fill)
{
    nigh_fill_set_version(fill, 7);
    return refused(o, fill);
}

static void refused_fill(origin_script_fn script)
{
    open_nodes();
    a.origin.script = script;
    CHECK_ANSWER(ask_fetch(a.space, "k", NULL), NIGH_FRESH, "k=1");
    CHECK_WITHIN(SOON_MS, world_count(&a, "l2_fill_error") == 1);
    CHECK_WITHIN(SOON_MS, world_count(&a, "lease_given_back") == 1);
    close_nodes();
}

TEST(a_fill_that_redis_refused_kept_its_lease)
{
    refused_fill(refused);
    refused_fill(refused_versioned);
}

static uint32_t owed_by(struct world *w)
{
    struct leases *leases = &w->cache->leases;
    pthread_mutex_lock(&leases->lock); /* the keeper counts */
    uint32_t count = leases->owed_count;
    pthread_mutex_unlock(&leases->lock);
    return count;
}

/* Nothing is kept for ever: what is owed is bounded, and the first of it is forgotten. */
TEST(more_releases_are_lost_than_are_remembered)
{
    enum { LEASES = 1500 };
    static struct nigh_miss misses[LEASES];
    char key[16];
    open_nodes();
    for (int i = 0; i < LEASES; i++) {
        struct nigh_call call = NIGH_CALL_INIT;
        call.miss = &misses[i];
        snprintf(key, sizeof(key), "k%d", i);
        CHECK_EQ(ask_get(a.space, key, &call).outcome, NIGH_MISS);
    }
    relay_stop(&relay);
    for (int i = 0; i < LEASES; i++) {
        snprintf(key, sizeof(key), "k%d", i);
        nigh_miss_release(a.space, key, strlen(key), &misses[i]);
    }
    relay_cut(&relay);
    CHECK_WITHIN(SOON_MS, owed_by(&a) > 0);
    CHECK_LE(owed_by(&a), 1024);
    relay_go(&relay);
    CHECK_WITHIN(SOON_MS, owed_by(&a) == 0);
    close_nodes();
}

/* ---- a writer ---- */

/* Who waited for the lease that a writer took waits for him, and hears it when he fails. */
TEST(a_writer_that_fails_wakes_who_waits)
{
    struct asker waiter;
    open_nodes();
    take_ticket();
    asker_start(&waiter, b.space, "k", NULL);
    CHECK_WITHIN(SOON_MS, world_count(&b, "lease_held") == 1);
    uint64_t began_ms = check_now_ms();
    CHECK_EQ(nigh_set(a.cache, "redis.deadline", "10s"), 0);
    fail_to_write();
    asker_join(&waiter);
    CHECK_ANSWER(waiter.answer, NIGH_FRESH, "k=1");
    CHECK_LT(check_now_ms() - began_ms, SOON_MS);
    close_nodes();
}

/* The writer has committed; what tells the others is queued, and his fence is gone already. */
TEST(a_write_that_is_queued_leaves_no_fence)
{
    open_nodes();
    hold_scripts();
    CHECK_EQ(nigh_write(a.space, "k", 1, "row", 3, NULL), NIGH_QUEUED);
    CHECK_GE(world_count(&a, "lease_given_back"), 1);
    let_scripts_go();
    CHECK_WITHIN(SOON_MS, !is_leased());
    close_nodes();
}

/* ---- dead ---- */


/* As a child: load a key for ever. */
static void hold_for_ever(const char *uri, uint32_t load_deadline_ms)
{
    struct world w;
    struct nigh_space_options so = NIGH_SPACE_OPTIONS_INIT;
    struct redis there = {0};
    snprintf(there.uri, sizeof(there.uri), "%s", uri);
    so.load_deadline_ms = load_deadline_ms;
    struct nigh_options o = patient_options(&there);
    o.lease_ms = 600000;
    origin_init(&w.origin);
    origin_hold(&w.origin);
    world_open_with(&w, &o, &so, &w.origin);
    CHECK_WITHIN(WORLD_PATIENCE_MS, nigh_health(w.cache) == NIGH_FRESH);
    (void)ask_fetch(w.space, "k", NULL);
    world_close(&w);
}

TEST(zz_child)
{
    const char *uri = getenv("NIGH_TEST_HOLDER");
    if (uri)
        hold_for_ever(uri, (uint32_t)atoi(getenv("NIGH_TEST_DEADLINE")));
}

static pid_t start_holder(const char *load_deadline_ms)
{
    pid_t pid = fork();
    REQUIRE(pid >= 0);
    if (pid == 0) {
        setenv("NIGH_TEST_HOLDER", server.uri, 1);
        setenv("NIGH_TEST_DEADLINE", load_deadline_ms, 1);
        execl("/proc/self/exe", "40cache_redis_leases", "zz_child", (char *)NULL);
        _exit(127);
    }
    return pid;
}

/* A process with this load deadline dies within its load; lease.time is 600 s everywhere. */
static void outlive(const char *its_deadline_ms, uint32_t deadline_ms, int64_t passed_by)
{
    struct world w;
    struct nigh_space_options so = NIGH_SPACE_OPTIONS_INIT;
    redis_start(&server, NULL);
    pid_t holder = start_holder(its_deadline_ms);
    CHECK_WITHIN(WORLD_PATIENCE_MS, is_leased());
    kill(holder, SIGKILL);
    waitpid(holder, NULL, 0);
    so.load_deadline_ms = deadline_ms;
    struct nigh_options o = patient_options(&server);
    o.lease_ms = 600000;
    origin_init(&w.origin);
    world_open_with(&w, &o, &so, &w.origin);
    CHECK_WITHIN(WORLD_PATIENCE_MS, nigh_health(w.cache) == NIGH_FRESH);
    CHECK_ANSWER(ask_fetch(w.space, "k", NULL), NIGH_FRESH, "k=1");
    CHECK_EQ(world_count(&w, "lease_passed_by"), passed_by);
    world_close(&w);
    redis_stop(&server);
}

TEST(a_dead_holder_with_our_settings)
{
    if (!getenv("NIGH_TEST_HOLDER"))
        outlive("3000", 3000, 0);
}

TEST(a_dead_holder_with_a_lease_far_above_our_deadline)
{
    if (!getenv("NIGH_TEST_HOLDER"))
        outlive("3600000", 3000, 1);
}

/* Wait so long while a load runs. Returns the longest time in which its lease was not extended. */
static uint64_t watch_extensions(const struct world *w, uint64_t ms)
{
    uint64_t began_ms = check_now_ms(), seen_ms = began_ms, longest_ms = 0, now_ms = began_ms;
    int64_t extended = world_count(w, "lease_extended");
    while (now_ms - began_ms < ms) {
        check_pause();
        now_ms = check_now_ms();
        longest_ms = now_ms - seen_ms > longest_ms ? now_ms - seen_ms : longest_ms;
        if (world_count(w, "lease_extended") != extended) {
            extended = world_count(w, "lease_extended");
            seen_ms = now_ms;
        }
    }
    return longest_ms;
}

/* A load that takes longer than its lease, and longer than others would wait for a dead one. False:
 * the machine stood still for so long that its lease may have ended, which tells nothing. */
static bool wait_for_a_holder_that_lives(void)
{
    struct world here, there;
    struct nigh_space_options so = NIGH_SPACE_OPTIONS_INIT;
    struct asker loads, waits;
    so.load_deadline_ms = 12000;
    redis_start(&server, NULL);
    patient_open(&here, &server, NULL, &so);
    patient_open(&there, &server, &here.origin, &so);
    origin_hold(&here.origin);
    asker_start(&loads, here.space, "k", NULL);
    CHECK_WITHIN(SOON_MS, here.origin.held_loads == 1);
    asker_start(&waits, there.space, "k", NULL);
    bool telling = watch_extensions(&here, 8000) < NIGH_DEFAULT_LEASE_MS * 3 / 4;
    origin_let_go(&here.origin);
    asker_join(&loads);
    asker_join(&waits);
    if (telling) {
        CHECK_ANSWER(loads.answer, NIGH_FRESH, "k=1");
        CHECK_ANSWER(waits.answer, NIGH_FRESH, "k=1");
        CHECK_EQ(here.origin.loads, 1);
        CHECK_EQ(world_count(&there, "lease_passed_by"), 0);
    }
    world_close(&here);
    world_close(&there);
    redis_stop(&server);
    return telling;
}

TEST(a_holder_that_lives_is_waited_for_to_the_end)
{
    if (getenv("NIGH_TEST_HOLDER"))
        return;
    for (int i = 0; i < 5 && !wait_for_a_holder_that_lives(); i++)
        ;
}
