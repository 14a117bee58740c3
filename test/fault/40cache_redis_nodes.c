// SPDX-License-Identifier: MIT
// Two nodes and one real Redis: one load for both, what one changes the other forgets, and what
// becomes of a node that dies or fails while the other waits for it.

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "support/origin.h"

struct pair {
    struct redis server;
    struct world a;
    struct world b; /* in front of a's origin */
};

static void open_pair(struct pair *p)
{
    struct nigh_space_options so = NIGH_SPACE_OPTIONS_INIT;
    so.load_deadline_ms = WORLD_PATIENCE_MS; /* held until all who take part are there */
    redis_start(&p->server, NULL);
    patient_open(&p->a, &p->server, NULL, &so);
    patient_open(&p->b, &p->server, &p->a.origin, &so);
    /* No case waits so long: a lease that is gone was given back. */
    CHECK_EQ(nigh_set(p->a.cache, "lease.time", "60s"), 0);
    CHECK_EQ(nigh_set(p->b.cache, "lease.time", "60s"), 0);
}

static void close_pair(struct pair *p)
{
    world_close(&p->a);
    world_close(&p->b);
    redis_stop(&p->server);
}

static bool is_gone(struct world *w, const char *key)
{
    struct nigh_call call = NIGH_CALL_INIT;
    call.flags = NIGH_L1_ONLY;
    return ask_get(w->space, key, &call).outcome == NIGH_MISS;
}

static int invalidate(struct world *w, enum nigh_target_kind kind, const char *name)
{
    struct nigh_target t = {.kind = kind, .space = w->space, .name = name,
                            .name_len = name ? strlen(name) : 0};
    return nigh_invalidate_many(w->cache, &t, 1, NULL);
}

static bool exists(const struct redis *server, const char *key)
{
    return redis_integer(server, "EXISTS %s", key) == 1;
}

/* ---- one load ---- */

TEST(what_one_loaded_the_other_finds)
{
    struct pair p;
    open_pair(&p);
    CHECK_ANSWER(ask_fetch(p.a.space, "k", NULL), NIGH_FRESH, "k=1");
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&p.a, "l2_fill") == 1);
    struct answer got = ask_fetch(p.b.space, "k", NULL);
    CHECK_ANSWER(got, NIGH_FRESH, "k=1");
    CHECK_EQ(got.tier, NIGH_TIER_L2);
    got = ask_get(p.b.space, "k", NULL);
    CHECK_ANSWER(got, NIGH_FRESH, "k=1");
    CHECK_EQ(got.tier, NIGH_TIER_L1);
    CHECK_EQ(p.a.origin.loads, 1);
    CHECK(exists(&p.server, "nigh:!2:s:1:k"));
    CHECK_GT(redis_integer(&p.server, "PTTL nigh:!2:s:1:k"), 0); /* every value has a hard TTL */
    CHECK(!exists(&p.server, "nigh:!2:!lease:s:k"));
    close_pair(&p);
}

TEST(two_nodes_that_miss_together_share_one_load)
{
    struct pair p;
    struct asker a[8], b[8];
    open_pair(&p);
    origin_hold(&p.a.origin);
    for (int i = 0; i < 8; i++)
        asker_start(&a[i], p.a.space, "k", NULL);
    CHECK_WITHIN(WORLD_PATIENCE_MS, p.a.origin.running == 1);
    for (int i = 0; i < 8; i++)
        asker_start(&b[i], p.b.space, "k", NULL);
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&p.b, "lease_held") == 1);
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&p.b, "flight_joined") == 7);
    uint64_t let_go_ms = check_now_ms();
    origin_let_go(&p.a.origin);
    for (int i = 0; i < 8; i++) {
        asker_join(&a[i]);
        asker_join(&b[i]);
        CHECK_ANSWER(a[i].answer, NIGH_FRESH, "k=1");
        CHECK_ANSWER(b[i].answer, NIGH_FRESH, "k=1");
    }
    /* The fill was pushed: nobody waited for the lease to run out. */
    CHECK_LT(check_now_ms() - let_go_ms, 2 * WORLD_PATIENCE_MS);
    CHECK_EQ(p.a.origin.loads, 1);
    CHECK_EQ(p.a.origin.running_max, 1);
    close_pair(&p);
}

TEST(a_thousand_keys_from_both_sides_are_loaded_once_each)
{
    struct pair p;
    open_pair(&p);
    for (int i = 0; i < 1000; i++) {
        char key[16], row[24];
        struct asker other;
        snprintf(key, sizeof(key), "k%d", i);
        snprintf(row, sizeof(row), "k%d=1", i);
        asker_start(&other, (i % 2 ? &p.a : &p.b)->space, key, NULL);
        CHECK_ANSWER(ask_fetch((i % 2 ? &p.b : &p.a)->space, key, NULL), NIGH_FRESH, row);
        asker_join(&other);
        CHECK_ANSWER(other.answer, NIGH_FRESH, row);
    }
    CHECK_EQ(p.a.origin.loads, 1000);
    close_pair(&p);
}

static int answer_absent(struct origin *o, struct nigh_fill *fill)
{
    (void)o;
    return nigh_fill_absent(fill);
}

/* Who joins a flight that brings what is stored knows better what will do. */
TEST(a_follower_with_limits_of_its_own_has_it_loaded_anew)
{
    for (int how = 0; how < 2; how++) {
        struct pair p;
        struct asker a, b;
        struct nigh_call call = NIGH_CALL_INIT;
        call.max_age_ms = how == 0 ? 1 : 0;
        call.flags = how == 0 ? 0 : NIGH_REFRESH;
        open_pair(&p);
        CHECK_ANSWER(ask_fetch(p.a.space, "k", NULL), NIGH_FRESH, "k=1");
        CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&p.a, "l2_fill") == 1);
        /* Older than two nodes' ideas of Redis's time differ: by what a beat took, each. */
        uint64_t old_ms = check_now_ms() + 1000;
        CHECK_WITHIN(WORLD_PATIENCE_MS, check_now_ms() >= old_ms);
        redis_pause(&p.server);
        asker_start(&a, p.b.space, "k", NULL);
        CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&p.b, "flight_led") == 1);
        asker_start(&b, p.b.space, "k", &call);
        CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&p.b, "flight_joined") == 1);
        redis_resume(&p.server);
        asker_join(&a);
        asker_join(&b);
        CHECK_ANSWER(a.answer, NIGH_FRESH, "k=1");
        CHECK_ANSWER(b.answer, NIGH_FRESH, "k=1");
        CHECK_EQ(p.a.origin.loads, 2);
        close_pair(&p);
    }
}

TEST(absence_is_shared_too)
{
    struct pair p;
    open_pair(&p);
    p.a.origin.script = answer_absent;
    CHECK_EQ(ask_fetch(p.a.space, "k", NULL).outcome, NIGH_ABSENT);
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&p.a, "l2_fill") == 1);
    CHECK_EQ(ask_fetch(p.b.space, "k", NULL).outcome, NIGH_ABSENT);
    CHECK_EQ(p.a.origin.loads, 1);
    close_pair(&p);
}

TEST(a_long_load_keeps_its_lease)
{
    struct pair p;
    struct asker a, b;
    struct nigh_options o;
    redis_start(&p.server, NULL);
    o = patient_options(&p.server);
    struct nigh_space_options so = NIGH_SPACE_OPTIONS_INIT;
    so.load_deadline_ms = 3 * WORLD_PATIENCE_MS;
    o.lease_ms = 3000; /* extended every second: two more for a busy machine */
    origin_init(&p.a.origin);
    world_open_with(&p.a, &o, &so, &p.a.origin);
    world_open_with(&p.b, &o, &so, &p.a.origin);
    CHECK_WITHIN(WORLD_PATIENCE_MS, nigh_health(p.a.cache) == 0 && nigh_health(p.b.cache) == 0);
    origin_hold(&p.a.origin);
    asker_start(&a, p.a.space, "k", NULL);
    CHECK_WITHIN(WORLD_PATIENCE_MS, p.a.origin.running == 1);
    asker_start(&b, p.b.space, "k", NULL);
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&p.a, "lease_extended") >= 5);
    CHECK_EQ(p.a.origin.loads, 1); /* more than its time later */
    origin_let_go(&p.a.origin);
    asker_join(&a);
    asker_join(&b);
    CHECK_ANSWER(b.answer, NIGH_FRESH, "k=1");
    CHECK_EQ(p.a.origin.loads, 1);
    close_pair(&p);
}

/* ---- failures of the node that loads ---- */

static int fail_when_let_go(struct origin *o, struct nigh_fill *fill)
{
    while (atomic_load(&o->held))
        check_pause();
    return nigh_fill_error(fill, 7);
}

static int exit_thread(struct origin *o, struct nigh_fill *fill)
{
    (void)o, (void)fill;
    pthread_exit(NULL);
}

TEST(a_failed_load_gives_its_lease_back)
{
    struct pair p;
    open_pair(&p);
    p.a.origin.script = fail_when_let_go;
    CHECK_EQ(ask_fetch(p.a.space, "k", NULL).outcome, NIGH_ELOADER);
    CHECK_WITHIN(WORLD_PATIENCE_MS, !exists(&p.server, "nigh:!2:!lease:s:k"));
    p.a.origin.script = NULL;
    CHECK_ANSWER(ask_fetch(p.b.space, "k", NULL), NIGH_FRESH, "k=1");
    close_pair(&p);
}

TEST(a_loader_that_ends_its_threads_gives_its_lease_back)
{
    struct pair p;
    struct asker a;
    open_pair(&p);
    p.a.origin.script = exit_thread;
    asker_start(&a, p.a.space, "k", NULL);
    asker_join(&a);
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&p.a, "flights") == 0);
    CHECK_WITHIN(WORLD_PATIENCE_MS, !exists(&p.server, "nigh:!2:!lease:s:k"));
    close_pair(&p);
}

TEST(a_remembered_error_does_not_hide_what_another_node_loaded)
{
    struct pair p;
    open_pair(&p);
    p.a.origin.script = fail_when_let_go;
    CHECK_EQ(ask_fetch(p.a.space, "k", NULL).outcome, NIGH_ELOADER);
    p.a.origin.script = NULL;
    CHECK_ANSWER(ask_fetch(p.b.space, "k", NULL), NIGH_FRESH, "k=1");
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&p.b, "l2_fill") == 1);
    struct answer got = ask_fetch(p.a.space, "k", NULL);
    CHECK_ANSWER(got, NIGH_FRESH, "k=1");
    CHECK_EQ(got.tier, NIGH_TIER_L2);
    close_pair(&p);
}

TEST(a_remembered_error_still_spares_the_origin)
{
    struct pair p;
    open_pair(&p);
    p.a.origin.script = fail_when_let_go;
    for (int i = 0; i < 10; i++)
        CHECK_EQ(ask_fetch(p.a.space, "k", NULL).outcome, NIGH_ELOADER);
    CHECK_EQ(nigh_load_error(), 7);
    CHECK_LE(p.a.origin.loads, 3); /* 1 s, then 2 s: what a slow machine may fit in */
    CHECK_GE(world_count(&p.a, "error_served"), 7);
    close_pair(&p);
}

TEST(a_lease_whose_holder_is_gone_runs_out)
{
    struct pair p;
    open_pair(&p);
    /* What a process that died while it loaded leaves behind. */
    free(redis_command(&p.server, "SET nigh:!2:!lease:s:k deadbeef PX 400"));
    CHECK_ANSWER(ask_fetch(p.a.space, "k", NULL), NIGH_FRESH, "k=1");
    CHECK_GE(world_count(&p.a, "lease_held"), 1);
    CHECK_EQ(p.a.origin.loads, 1);
    close_pair(&p);
}

/* ---- what one changes the other forgets ---- */

static int tagged(struct origin *o, struct nigh_fill *fill)
{
    CHECK_EQ(nigh_fill_add_tag(fill, "tag"), 0);
    return origin_answer(o, fill);
}

static void both_have(struct pair *p, const char *row)
{
    CHECK_ANSWER(ask_fetch(p->a.space, "k", NULL), NIGH_FRESH, row);
    CHECK_ANSWER(ask_fetch(p->b.space, "k", NULL), NIGH_FRESH, row);
}

TEST(an_invalidation_reaches_the_other_node)
{
    struct pair p;
    static const enum nigh_target_kind kinds[] = {NIGH_TARGET_KEY, NIGH_TARGET_TAG,
                                                  NIGH_TARGET_SPACE, NIGH_TARGET_ALL};
    open_pair(&p);
    p.a.origin.script = tagged;
    both_have(&p, "k=1");
    for (unsigned i = 0; i < 4; i++) {
        char row[16];
        snprintf(row, sizeof(row), "k=%u", origin_commit(&p.a.origin));
        CHECK_EQ(invalidate(&p.a, kinds[i], kinds[i] == NIGH_TARGET_TAG ? "tag" : "k"), 0);
        CHECK(is_gone(&p.a, "k")); /* at once where it was issued */
        CHECK_WITHIN(WORLD_PATIENCE_MS, is_gone(&p.b, "k"));
        both_have(&p, row);
        CHECK_EQ(p.a.origin.loads, i + 2); /* once for both */
    }
    CHECK_EQ(world_count(&p.b, "sequence"), 4);
    close_pair(&p);
}

TEST(a_put_and_a_write_reach_the_other_node)
{
    struct pair p;
    struct nigh_call call = NIGH_CALL_INIT;
    open_pair(&p);
    both_have(&p, "k=1");
    CHECK_EQ(nigh_put(p.a.space, "k", 1, "put", 3, NULL), 0);
    CHECK_WITHIN(WORLD_PATIENCE_MS, is_gone(&p.b, "k"));
    CHECK_ANSWER(ask_get(p.b.space, "k", NULL), NIGH_FRESH, "put");
    call.version = 5;
    CHECK_EQ(nigh_write(p.b.space, "k", 1, "written", 7, &call), 0);
    CHECK_WITHIN(WORLD_PATIENCE_MS, is_gone(&p.a, "k"));
    CHECK_ANSWER(ask_get(p.a.space, "k", NULL), NIGH_FRESH, "written");
    call.version = 4;
    CHECK_EQ(nigh_put(p.a.space, "k", 1, "older", 5, &call), NIGH_REFUSED);
    CHECK_ANSWER(ask_get(p.b.space, "k", NULL), NIGH_FRESH, "written");
    close_pair(&p);
}

TEST(an_invalidation_elsewhere_voids_the_load_here)
{
    struct pair p;
    struct asker a;
    open_pair(&p);
    origin_hold(&p.a.origin);
    asker_start(&a, p.a.space, "k", NULL);
    CHECK_WITHIN(WORLD_PATIENCE_MS, p.a.origin.held_loads == 1);
    origin_commit(&p.a.origin);
    CHECK_EQ(invalidate(&p.b, NIGH_TARGET_KEY, "k"), 0);
    origin_let_go(&p.a.origin);
    asker_join(&a);
    CHECK_ANSWER(a.answer, NIGH_FRESH, "k=1"); /* its call began before */
    /* Redis refused the fill whether or not this node had heard; L1 drops it once it has. */
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&p.a, "l2_fill_refused") == 1);
    CHECK(!exists(&p.server, "nigh:!2:s:1:k"));
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&p.a, "sequence") == 1);
    CHECK(is_gone(&p.a, "k"));
    CHECK_ANSWER(ask_fetch(p.b.space, "k", NULL), NIGH_FRESH, "k=2");
    close_pair(&p);
}

TEST(an_invalidation_wakes_who_waits_for_another_nodes_load)
{
    struct pair p;
    struct asker b;
    open_pair(&p);
    free(redis_command(&p.server, "SET nigh:!2:!lease:s:k another PX 60000"));
    asker_start(&b, p.b.space, "k", NULL);
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&p.b, "lease_held") == 1);
    CHECK_EQ(invalidate(&p.a, NIGH_TARGET_KEY, "k"), 0); /* drops the lease */
    asker_join(&b);
    CHECK_ANSWER(b.answer, NIGH_FRESH, "k=1"); /* not NIGH_ETIMEDOUT in the end */
    close_pair(&p);
}

/* ---- at any moment of a read ---- */

static struct pair *moment;              /* the case that runs */
static _Thread_local int moments_left;   /* looks at the clock until then; 0: not this thread */

/* Counters, not gauges: those take the locks that the thread which looks at the clock may hold. */
static int64_t heard_by(const struct world *w)
{
    return world_count(w, "frame_applied") + world_count(w, "beat_applied");
}

/* The clock of the node that reads: at the chosen look the other node invalidates, and this one has
 * heard before the look returns. So every place where a read looks at the time becomes a place
 * where an invalidation overtakes it. */
static uint64_t overtaking_clock(void *arg)
{
    (void)arg;
    struct timespec now;
    if (moments_left > 0 && --moments_left == 0) {
        int64_t before = heard_by(&moment->b);
        CHECK_EQ(invalidate(&moment->a, NIGH_TARGET_KEY, "k"), 0);
        uint64_t end_ms = check_now_ms() + 200; /* it cannot hear while this thread holds a lock */
        while (heard_by(&moment->b) == before && check_now_ms() < end_ms)
            check_pause();
    }
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void overtake_at(struct pair *p, int look, bool fetch)
{
    CHECK_EQ(nigh_put(p->a.space, "k", 1, "old", 3, NULL), 0);
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&p->b, "sequence") ==
                                        world_count(&p->a, "sequence"));
    int64_t sequence = world_count(&p->a, "sequence");
    moments_left = look;
    (void)(fetch ? ask_fetch : ask_get)(p->b.space, "k", NULL); /* may be old: it was running */
    bool happened = moments_left == 0;
    moments_left = 0;
    if (!happened)
        return;
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&p->b, "sequence") == sequence + 1);
    struct nigh_call l1_only = NIGH_CALL_INIT;
    l1_only.flags = NIGH_L1_ONLY;
    if (!CHECK_NE(strcmp(ask_get(p->b.space, "k", &l1_only).text, "old"), 0))
        check_note("overtaken at look %d of a %s", look, fetch ? "fetch" : "get");
}

TEST(an_invalidation_at_any_moment_of_a_read_keeps_the_old_value_out)
{
    struct pair p;
    struct nigh_options o;
    moment = &p;
    redis_start(&p.server, NULL);
    patient_open(&p.a, &p.server, NULL, NULL);
    o = patient_options(&p.server);
    o.clock = overtaking_clock;
    origin_init(&p.b.origin);
    world_open_with(&p.b, &o, NULL, &p.b.origin);
    CHECK_WITHIN(WORLD_PATIENCE_MS, nigh_health(p.b.cache) == NIGH_FRESH &&
                                        world_count(&p.b, "listening") == 1);
    for (int look = 1; look <= 20; look++) {
        overtake_at(&p, look, false);
        overtake_at(&p, look, true);
    }
    close_pair(&p);
}

TEST(a_ticket_of_one_node_is_void_after_a_change_by_the_other)
{
    struct pair p;
    struct nigh_miss miss = NIGH_MISS_INIT;
    struct nigh_call call = NIGH_CALL_INIT;
    open_pair(&p);
    call.miss = &miss;
    CHECK_EQ(ask_get(p.a.space, "k", &call).outcome, NIGH_MISS);
    CHECK_NE(miss.token, 0);
    CHECK_EQ(invalidate(&p.b, NIGH_TARGET_KEY, "k"), 0);
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&p.a, "sequence") == 1);
    CHECK_EQ(nigh_put(p.a.space, "k", 1, "old", 3, &call), NIGH_REFUSED);
    CHECK_EQ(ask_get(p.a.space, "k", NULL).outcome, NIGH_MISS);
    CHECK_EQ(ask_get(p.b.space, "k", NULL).outcome, NIGH_MISS);
    close_pair(&p);
}

TEST(another_schema_sees_nothing_of_the_first)
{
    struct pair p;
    struct nigh_space *next;
    struct nigh_space_options so = NIGH_SPACE_OPTIONS_INIT;
    open_pair(&p);
    so.schema = "2";
    REQUIRE_EQ(nigh_space_open(p.b.cache, "t", &so, NULL, NULL, NULL, &next), 0);
    so.schema = "1";
    struct nigh_space *first;
    REQUIRE_EQ(nigh_space_open(p.a.cache, "t", &so, NULL, NULL, NULL, &first), 0);
    CHECK_EQ(nigh_put(first, "k", 1, "one", 3, NULL), 0);
    CHECK_EQ(ask_get(next, "k", NULL).outcome, NIGH_MISS);
    close_pair(&p);
}

/* A node that is told nothing (its channel is cut and it was asleep) must not believe L2 either:
 * rule 11, no stored value is fresh in doubt. Time is the test's; it never sleeps. */
TEST(in_doubt_a_value_of_l2_is_not_fresh)
{
    struct redis server;
    struct world a, b;
    redis_start(&server, NULL);
    patient_open(&a, &server, NULL, NULL);
    a.origin.script = tagged;
    struct nigh_options o = world_options(&b);
    o.redis_uri = server.uri;
    world_open(&b, &o, NULL);
    CHECK_WITHIN(WORLD_PATIENCE_MS, (world_tick(&b), nigh_health(b.cache) == NIGH_FRESH));
    CHECK_WITHIN(WORLD_PATIENCE_MS, (world_tick(&b), world_count(&b, "listening") == 1));
    CHECK_ANSWER(ask_fetch(a.space, "k", NULL), NIGH_FRESH, "k=1");
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&a, "l2_fill") == 1);
    free(redis_command(&server, "CLIENT KILL TYPE pubsub"));
    CHECK_EQ(invalidate(&a, NIGH_TARGET_TAG, "tag"), 0);
    world_advance(&b, 30000); /* asleep for longer than its trust */
    CHECK_NE(ask_get(b.space, "k", NULL).outcome, NIGH_FRESH);
    nodes_close(&a, &b, &server);
}

TEST(in_doubt_with_on_doubt_miss_nothing_stored_is_served)
{
    struct redis server;
    struct world b;
    redis_start(&server, NULL);
    struct nigh_options o = world_options(&b);
    o.redis_uri = server.uri;
    o.on_doubt = NIGH_DOUBT_MISS;
    world_open(&b, &o, NULL);
    CHECK_WITHIN(WORLD_PATIENCE_MS, (world_tick(&b), nigh_health(b.cache) == NIGH_FRESH));
    CHECK_EQ(nigh_put(b.space, "k", 1, "v", 1, NULL), 0);
    CHECK_ANSWER(ask_get(b.space, "k", NULL), NIGH_FRESH, "v");
    world_advance(&b, 30000);
    struct nigh_call call = NIGH_CALL_INIT;
    call.flags = NIGH_L1_ONLY;
    CHECK_EQ(ask_get(b.space, "k", &call).outcome, NIGH_MISS);
    world_close(&b);
    redis_stop(&server);
}

/* ---- two processes ---- */

/* As a child: fetch a key as soon as told, say what came, and stay until told to go. */
static void be_a_node(const char *uri)
{
    struct world w;
    struct redis server = {0};
    char line[64];
    snprintf(server.uri, sizeof(server.uri), "%s", uri);
    patient_open(&w, &server, NULL, NULL);
    printf("node open\n");
    fflush(stdout);
    while (fgets(line, sizeof(line), stdin)) {
        line[strcspn(line, "\n")] = '\0';
        struct answer got = ask_fetch(w.space, line, NULL);
        printf("node %s %s %u\n", nigh_result_name(got.outcome), got.text,
               atomic_load(&w.origin.loads));
        fflush(stdout);
    }
    world_close(&w);
}

TEST(zz_child)
{
    const char *uri = getenv("NIGH_TEST_NODE");
    if (uri)
        be_a_node(uri);
}

struct child {
    pid_t pid;
    FILE *in;
    FILE *out;
};

static void child_start(struct child *c, const struct redis *server)
{
    int in[2], out[2];
    REQUIRE(pipe2(in, 0) == 0 && pipe2(out, 0) == 0);
    c->pid = fork();
    REQUIRE(c->pid >= 0);
    if (c->pid == 0) {
        dup2(in[0], 0);
        dup2(out[1], 1);
        close(in[1]);
        close(out[0]);
        setenv("NIGH_TEST_NODE", server->uri, 1);
        execl("/proc/self/exe", "40cache_redis_nodes", "zz_child", (char *)NULL);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    c->in = fdopen(in[1], "w");
    c->out = fdopen(out[0], "r");
    REQUIRE(c->in && c->out);
}

/* The next line of the child that begins with "node", without it. */
static void child_hear(struct child *c, char line[128])
{
    char whole[160];
    do
        REQUIRE(fgets(whole, sizeof(whole), c->out));
    while (strncmp(whole, "node ", 5) != 0);
    whole[strcspn(whole, "\n")] = '\0';
    snprintf(line, 128, "%s", whole + 5);
}

static void child_ask(struct child *c, const char *key)
{
    fprintf(c->in, "%s\n", key);
    fflush(c->in);
}

static void child_end(struct child *c)
{
    fclose(c->in);
    fclose(c->out);
    REQUIRE(waitpid(c->pid, NULL, 0) == c->pid);
}

TEST(two_processes_share_loads_and_invalidations)
{
    struct redis server;
    struct child child;
    struct world w;
    char line[128];
    if (getenv("NIGH_TEST_NODE"))
        return;
    redis_start(&server, NULL);
    child_start(&child, &server);
    patient_open(&w, &server, NULL, NULL);
    child_hear(&child, line);
    CHECK_STR(line, "open");
    child_ask(&child, "k");
    child_hear(&child, line);
    CHECK_STR(line, "NIGH_FRESH k=1 1");
    CHECK_ANSWER(ask_fetch(w.space, "k", NULL), NIGH_FRESH, "k=1"); /* from the child's load */
    CHECK_EQ(w.origin.loads, 0);
    CHECK_EQ(invalidate(&w, NIGH_TARGET_KEY, "k"), 0);
    origin_commit(&w.origin);
    CHECK_ANSWER(ask_fetch(w.space, "k", NULL), NIGH_FRESH, "k=2");
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&w, "l2_fill") == 1);
    uint64_t end_ms = check_now_ms() + WORLD_PATIENCE_MS;
    do { /* its listener may be a moment behind */
        child_ask(&child, "k");
        child_hear(&child, line);
    } while (strcmp(line, "NIGH_FRESH k=2 1") != 0 && check_now_ms() < end_ms);
    CHECK_STR(line, "NIGH_FRESH k=2 1"); /* from ours */
    child_end(&child);
    world_close(&w);
    redis_stop(&server);
}
