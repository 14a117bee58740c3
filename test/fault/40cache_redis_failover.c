// SPDX-License-Identifier: MIT
// A failover in which the old master lives on for a while: it accepts changes of who still talks to
// it, and dies with them. Who issued them tells the new master again (rule 13).

#include <signal.h>

#include "support/peer.h"
#include "support/relay.h"

struct failover {
    struct redis old;
    struct redis new; /* its replica, promoted by open_failover() */
    struct relay wire;
    struct world a;   /* at the old one, by the wire */
    struct world b;   /* at the new one from the beginning */
};

static bool is_synced(const struct redis *replica, const struct redis *master)
{
    char *here = redis_command(replica, "DEBUG DIGEST");
    char *there = redis_command(master, "DEBUG DIGEST");
    char *state = redis_command(replica, "INFO replication");
    bool synced = here && there && state && strcmp(here, there) == 0 &&
                  strstr(state, "master_link_status:up");
    free(here);
    free(there);
    free(state);
    return synced;
}

/* `late`: how the node is that will be late, but for its uri. */
static void open_failover_of(struct failover *f, struct peer late)
{
    redis_start_tcp(&f->old, peer_server_args);
    redis_start(&f->new, peer_server_args);
    /* Before there are nodes: the first replica makes its master's replication id another. */
    free(redis_command(&f->new, "REPLICAOF 127.0.0.1 %d", f->old.port));
    REQUIRE(CHECK_WITHIN(WORLD_PATIENCE_MS, is_synced(&f->new, &f->old)));
    relay_open(&f->wire, &f->old);
    late.uri = f->wire.uri;
    peer_open(&f->a, &late, NULL);
    REQUIRE(CHECK_WITHIN(WORLD_PATIENCE_MS, is_synced(&f->new, &f->old)));
    free(redis_command(&f->new, "REPLICAOF NO ONE"));
    peer_open(&f->b, &(struct peer){.uri = f->new.uri}, &f->a.origin);
}

/* `a_beat_ms`: of the node that will be late; 0: quick. */
static void open_failover(struct failover *f, uint32_t a_beat_ms)
{
    open_failover_of(f, (struct peer){.beat_ms = a_beat_ms});
}

static void close_failover(struct failover *f)
{
    world_close(&f->a);
    world_close(&f->b);
    relay_close(&f->wire);
    redis_stop(&f->new);
    redis_stop(&f->old);
}

/* The old master is gone, and the late node arrives at the new one. */
static void fail_over(struct failover *f)
{
    int64_t before = world_count(&f->a, "resync");
    relay_stop(&f->wire);
    relay_lead(&f->wire, &f->new);
    redis_kill(&f->old);
    relay_go(&f->wire);
    CHECK_WITHIN(WORLD_PATIENCE_MS,
                 world_count(&f->a, "resync") > before && peer_is_ready(&f->a));
    CHECK_EQ(nigh_drain(f->a.cache, WORLD_PATIENCE_MS), 0);
}

static bool is_at(const struct redis *server, const char *key)
{
    return redis_integer(server, "EXISTS nigh:!2:s:1:%s", key) == 1;
}

static void b_has(struct failover *f, const char *key)
{
    CHECK_WITHIN(WORLD_PATIENCE_MS, peer_sees_row(&f->b, &f->a.origin, key));
    CHECK_WITHIN(WORLD_PATIENCE_MS, is_at(&f->new, key));
}

TEST(a_change_that_only_the_old_master_knew_is_told_again)
{
    static const enum nigh_target_kind kinds[] = {NIGH_TARGET_KEY, NIGH_TARGET_TAG,
                                                  NIGH_TARGET_SPACE, NIGH_TARGET_ALL};
    for (unsigned i = 0; i < 4; i++) {
        struct failover f;
        open_failover(&f, 0);
        f.a.origin.script = peer_tagged;
        b_has(&f, "k");
        origin_commit(&f.a.origin);
        CHECK_EQ(peer_tell(&f.a, kinds[i], kinds[i] == NIGH_TARGET_TAG ? "tag" : "k"), 0);
        CHECK(peer_sees(&f.b, "k", "k=1")); /* the new one has not been told */
        fail_over(&f);
        if (!CHECK_WITHIN(WORLD_PATIENCE_MS, peer_sees(&f.b, "k", "k=2")))
            check_note("kind %d", (int)kinds[i]);
        close_failover(&f);
    }
}

TEST(writes_and_puts_are_told_again_as_invalidations)
{
    struct failover f;
    struct nigh_call call = NIGH_CALL_INIT;
    open_failover(&f, 0);
    b_has(&f, "put");
    b_has(&f, "write");
    b_has(&f, "other");
    origin_commit(&f.a.origin);
    CHECK_EQ(nigh_put(f.a.space, "put", 3, "put=2", 5, NULL), 0);
    call.version = 2;
    CHECK_EQ(nigh_write(f.a.space, "write", 5, "write=2", 7, &call), 0);
    fail_over(&f);
    CHECK_WITHIN(WORLD_PATIENCE_MS, peer_sees(&f.b, "put", "put=2"));
    CHECK_WITHIN(WORLD_PATIENCE_MS, peer_sees(&f.b, "write", "write=2"));
    CHECK_WITHIN(WORLD_PATIENCE_MS, peer_is_ready(&f.b)); /* not merely loaded in doubt */
    CHECK(peer_sees(&f.b, "other", "other=1")); /* no more than that is told */
    close_failover(&f);
}

/* With its version: what the new master has that is as new stays. */
TEST(a_version_is_told_again_with_the_change)
{
    struct failover f;
    struct nigh_call call = NIGH_CALL_INIT;
    open_failover(&f, 0);
    call.version = 7;
    CHECK_EQ(nigh_put(f.b.space, "newer", 5, "seven", 5, &call), 0);
    call.version = 5;
    CHECK_EQ(nigh_put(f.b.space, "older", 5, "five", 4, &call), 0);
    CHECK_EQ(peer_tell_version(&f.a, NIGH_TARGET_KEY, "newer", 7), 0);
    CHECK_EQ(peer_tell_version(&f.a, NIGH_TARGET_KEY, "older", 6), 0);
    fail_over(&f);
    CHECK_WITHIN(WORLD_PATIENCE_MS, !is_at(&f.new, "older"));
    CHECK(is_at(&f.new, "newer"));
    CHECK_WITHIN(WORLD_PATIENCE_MS, peer_sees(&f.b, "older", "older=1"));
    CHECK_ANSWER(ask_get(f.b.space, "newer", NULL), NIGH_FRESH, "seven");
    close_failover(&f);
}

/* ---- many ---- */

#define MANY 2000

static char names[MANY][300];

/* `len`: of each name. */
static void tell_many(struct world *w, int turn, int len)
{
    static struct nigh_target targets[MANY];
    for (int i = 0; i < MANY; i++) {
        int n = snprintf(names[i], sizeof(names[i]), "m%d-%d-", turn, i);
        memset(names[i] + n, 'x', (size_t)(len - n));
        targets[i] = (struct nigh_target){.kind = NIGH_TARGET_KEY, .space = w->space,
                                          .name = names[i], .name_len = (size_t)len};
    }
    CHECK_EQ(nigh_invalidate_many(w->cache, targets, MANY, NULL), 0);
}

TEST(thousands_of_changes_are_told_again_each)
{
    struct failover f;
    open_failover(&f, 0);
    b_has(&f, "bystander");
    for (int i = 0; i < MANY; i += MANY / 20) {
        char key[21];
        int n = snprintf(key, sizeof(key), "m0-%d-", i);
        memset(key + n, 'x', (size_t)(20 - n));
        key[20] = '\0';
        b_has(&f, key);
    }
    origin_commit(&f.a.origin);
    tell_many(&f.a, 0, 20);
    fail_over(&f);
    for (int i = 0; i < MANY; i += MANY / 20) {
        char key[21];
        snprintf(key, sizeof(key), "%.20s", names[i]);
        if (!CHECK_WITHIN(WORLD_PATIENCE_MS, peer_sees_row(&f.b, &f.a.origin, key)))
            check_note("change %d of %d", i, MANY);
    }
    CHECK(peer_sees(&f.b, "bystander", "bystander=1"));
    close_failover(&f);
}

/* Some 580 KiB of notes: many chunks after the first. */
TEST(what_was_told_before_half_a_mebibyte_of_others_is_told_again)
{
    struct failover f;
    open_failover(&f, 0);
    b_has(&f, "k");
    b_has(&f, "bystander");
    origin_commit(&f.a.origin);
    CHECK_EQ(peer_tell(&f.a, NIGH_TARGET_KEY, "k"), 0);
    tell_many(&f.a, 0, 250);
    int64_t a_resyncs = world_count(&f.a, "resync"), b_resyncs = world_count(&f.b, "resync");
    fail_over(&f);
    CHECK_WITHIN(WORLD_PATIENCE_MS, peer_sees(&f.b, "k", "k=2"));
    /* Not as all: unless a node had to look for itself, since a beat overtook a frame that was too
     * large for the log. */
    bool kept = peer_sees(&f.b, "bystander", "bystander=1");
    CHECK(kept || world_count(&f.b, "resync") > b_resyncs ||
          world_count(&f.a, "resync") > a_resyncs + 1);
    close_failover(&f);
}

/* More than a node remembers by name: then everything is stale, and nothing is lost. */
TEST(what_was_too_much_to_remember_is_told_as_all)
{
    struct failover f;
    open_failover_of(&f, (struct peer){.queue_items = 1024});
    b_has(&f, "k");
    b_has(&f, "bystander");
    origin_commit(&f.a.origin);
    CHECK_EQ(peer_tell(&f.a, NIGH_TARGET_KEY, "k"), 0);
    tell_many(&f.a, 0, 250); /* of which it remembers a quarter at most */
    fail_over(&f);
    CHECK_WITHIN(WORLD_PATIENCE_MS, peer_sees(&f.b, "k", "k=2"));
    CHECK_WITHIN(WORLD_PATIENCE_MS, peer_sees(&f.b, "bystander", "bystander=2"));
    close_failover(&f);
}

/* ---- an answer that is late ---- */

static _Atomic bool caught, let_go;

static void hold_thread(int signal)
{
    (void)signal;
    caught = true;
    while (!let_go)
        check_pause();
}

struct late {
    struct failover *f;
    _Atomic bool done;
    int rc;
};

static void *tell_late(void *arg)
{
    struct late *l = arg;
    struct nigh_call call = NIGH_CALL_INIT;
    call.deadline_ms = WORLD_PATIENCE_MS;
    l->rc = nigh_invalidate(l->f->a.space, "k", 1, &call);
    l->done = true;
    return NULL;
}

/* Changes that a server has accepted. */
static long long sequence_of(const struct redis *server)
{
    return redis_integer(server, "EVAL %s 1 nigh:!2:!clk",
                         "return struct.unpack('<I8', redis.call('GETRANGE', KEYS[1], 8, 15))");
}

/* The answer of the old master reaches its caller when the node has followed the new one: what it
 * says was accepted is known to nobody any more, so it is not called accepted. */
TEST(a_change_that_its_clock_did_not_outlive_is_queued)
{
    struct failover f;
    struct late late = {.f = &f};
    pthread_t thread;
    signal(SIGUSR1, hold_thread);
    caught = let_go = false;
    open_failover(&f, PEER_QUIET_MS);
    b_has(&f, "k");
    origin_commit(&f.a.origin);
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&f.a, "in_flight") == 0);
    long long sequence = sequence_of(&f.old);
    relay_stop(&f.wire);
    REQUIRE_EQ(pthread_create(&thread, NULL, tell_late, &late), 0);
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&f.a, "in_flight") == 1);
    pthread_kill(thread, SIGUSR1);
    CHECK_WITHIN(WORLD_PATIENCE_MS, caught);
    relay_go(&f.wire);
    CHECK_WITHIN(WORLD_PATIENCE_MS, sequence_of(&f.old) == sequence + 1);
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&f.a, "in_flight") == 0); /* answered */
    fail_over(&f);
    CHECK(!late.done);
    let_go = true;
    REQUIRE_EQ(pthread_join(thread, NULL), 0);
    CHECK_EQ(late.rc, NIGH_QUEUED);
    CHECK_EQ(nigh_drain(f.a.cache, WORLD_PATIENCE_MS), 0);
    CHECK_WITHIN(WORLD_PATIENCE_MS, peer_sees(&f.b, "k", "k=2"));
    close_failover(&f);
    signal(SIGUSR1, SIG_DFL);
}
