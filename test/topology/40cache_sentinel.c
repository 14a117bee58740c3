// SPDX-License-Identifier: MIT
// Three real Sentinels, a master and two replicas: the master is found, dies, is replaced while
// calls go on, and all that was promised holds.

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/peer.h"
#include "support/tool.h"
#include "support/topology.h"

static void open_node(struct world *w, const struct topology *t, struct origin *origin)
{
    peer_open(w, &(struct peer){.uri = t->uri}, origin);
}

TEST(nodes_follow_the_master_through_failovers)
{
    struct topology t;
    struct world a, b;
    topology_start(&t, NULL, NULL);
    open_node(&a, &t, NULL);
    open_node(&b, &t, &a.origin);
    for (int turn = 0; turn < 2; turn++) {
        peers_have(&a, &b, &a.origin, "k");
        int old = topology_await_master(&t);
        int64_t resyncs = world_count(&b, "resync");
        redis_kill(&t.servers[old]);
        origin_commit(&a.origin);
        CHECK_GE(peer_tell(&a, NIGH_TARGET_KEY, "k"), 0);
        CHECK_WITHIN(TOPOLOGY_FAILOVER_MS, topology_moved_from(&t, old));
        CHECK_EQ(nigh_drain(a.cache, TOPOLOGY_FAILOVER_MS), 0);
        CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&b, "resync") > resyncs);
        CHECK_WITHIN(WORLD_PATIENCE_MS, peer_is_ready(&a) && peer_is_ready(&b));
        CHECK_WITHIN(WORLD_PATIENCE_MS, peer_sees_row(&b, &a.origin, "k"));
        redis_restart(&t.servers[old], REDIS_EMPTY);
    }
    world_close(&a);
    world_close(&b);
    topology_stop(&t);
}

/* ---- under load ---- */

#define TRUST_MS 1000u
#define SLACK_MS 100u /* the coarse clock, and ours beside it */
#define GENERATIONS 65536u

/* The writer commits a generation, and tells; accepted_ms[g]: when that was accepted, 0: not yet.
 * A read that began at t and is fresh has every generation that was accepted before t - TRUST. */
struct judge {
    struct world *writer;
    struct world *readers[2];
    _Atomic bool stop;
    _Atomic uint64_t accepted_ms[GENERATIONS];
    _Atomic unsigned generation;
    _Atomic unsigned judged;
    _Atomic unsigned late;
    _Atomic unsigned errors;
};

static void *write_on(void *arg)
{
    struct judge *j = arg;
    while (!j->stop && j->generation + 1 < GENERATIONS) {
        unsigned g = origin_commit(&j->writer->origin);
        int rc = peer_tell(j->writer, NIGH_TARGET_KEY, "k");
        while (rc == NIGH_QUEUED && !j->stop)
            rc = nigh_drain(j->writer->cache, 100) == 0 ? 0 : NIGH_QUEUED;
        if (rc == 0)
            j->accepted_ms[g] = check_now_ms();
        j->errors += rc < 0;
        j->generation = g;
        check_pause();
    }
    return NULL;
}

/* Returns the last generation that a read which begins now has to show. */
static unsigned due(struct judge *j)
{
    uint64_t before_ms = check_now_ms() - TRUST_MS - SLACK_MS;
    for (unsigned g = j->generation; g > 0; g--)
        if (j->accepted_ms[g] && j->accepted_ms[g] < before_ms)
            return g;
    return 0;
}

static void *read_on(void *arg)
{
    struct judge *j = arg;
    for (unsigned i = 0; !j->stop; i++) {
        unsigned least = due(j);
        struct answer a = ask_fetch(j->readers[i % 2]->space, "k", NULL);
        if (a.outcome != NIGH_FRESH)
            continue;
        j->judged++;
        if ((unsigned)atoi(a.text + strlen("k=")) < least)
            j->late++;
        if (i % 16 == 0)
            check_pause();
    }
    return NULL;
}

static void open_judged(struct world *w, const struct topology *t, struct origin *origin,
                        enum nigh_threads threads)
{
    struct nigh_options o = node_options(&t->servers[0]);
    o.redis_uri = t->uri;
    o.trust_ms = TRUST_MS;
    o.beat_ms = TRUST_MS / 4;
    o.threads = threads;
    world_open_with(w, &o, NULL, origin);
}

static bool is_fresh(struct world *w)
{
    nigh_tick(w->cache); /* refused where there are own threads */
    return nigh_health(w->cache) == NIGH_FRESH;
}

/* The old master is paused: it lives on, and refuses nothing that it had taken. */
static void fail_over(struct topology *t, bool kill)
{
    int old = topology_await_master(t);
    if (kill)
        redis_kill(&t->servers[old]);
    else
        redis_pause(&t->servers[old]);
    CHECK_WITHIN(TOPOLOGY_FAILOVER_MS, topology_moved_from(t, old));
    if (kill)
        redis_restart(&t->servers[old], REDIS_EMPTY);
    else
        redis_resume(&t->servers[old]);
}

static void judge_failovers(enum nigh_threads reader_threads)
{
    static struct judge j;
    struct topology t;
    struct world a, b, c;
    pthread_t writer, reader;
    topology_start(&t, NULL, NULL);
    origin_init(&a.origin);
    open_judged(&a, &t, &a.origin, NIGH_THREADS_OWN);
    open_judged(&b, &t, &a.origin, NIGH_THREADS_OWN);
    open_judged(&c, &t, &a.origin, reader_threads);
    CHECK_WITHIN(TOPOLOGY_FAILOVER_MS, is_fresh(&a) && is_fresh(&b) && is_fresh(&c));
    memset(&j, 0, sizeof(j));
    j.writer = &a;
    j.readers[0] = &b;
    j.readers[1] = &c;
    REQUIRE_EQ(pthread_create(&writer, NULL, write_on, &j), 0);
    REQUIRE_EQ(pthread_create(&reader, NULL, read_on, &j), 0);
    fail_over(&t, true);
    CHECK_WITHIN(TOPOLOGY_FAILOVER_MS, is_fresh(&a) && is_fresh(&b) && is_fresh(&c));
    fail_over(&t, false);
    CHECK_WITHIN(TOPOLOGY_FAILOVER_MS, is_fresh(&a) && is_fresh(&b) && is_fresh(&c));
    unsigned before = j.judged;
    CHECK_WITHIN(TOPOLOGY_FAILOVER_MS, j.judged > before + 100);
    j.stop = true;
    pthread_join(reader, NULL);
    pthread_join(writer, NULL);
    CHECK_EQ(j.late, 0);
    CHECK_EQ(j.errors, 0);
    check_note("%u generations, %u reads judged", j.generation, j.judged);
    world_close(&a);
    world_close(&b);
    world_close(&c);
    topology_stop(&t);
}

TEST(nothing_old_is_fresh_through_failovers_under_load)
{
    judge_failovers(NIGH_THREADS_OWN);
}

TEST(nothing_old_is_fresh_without_own_threads)
{
    judge_failovers(NIGH_THREADS_NONE);
}

/* ---- with logins ---- */

/* The permissions that README names for Sentinels are enough. */
TEST(sentinels_ask_for_a_login_of_their_own)
{
    struct topology t;
    struct world a;
    topology_start(&t, NULL, "user nigh on >SENTINELS resetchannels &+switch-master "
                             "&+promoted-slave -@all +sentinel|get-master-addr-by-name "
                             "+subscribe +ping +client|setname\n"
                             "user default on nopass ~* &* +@all\n");
    struct nigh_options o = node_options(&t.servers[0]);
    o.redis_uri = t.uri;
    o.redis_sentinel_user = "nigh";
    o.redis_sentinel_password = "SENTINELS";
    origin_init(&a.origin);
    world_open_with(&a, &o, NULL, &a.origin);
    CHECK_WITHIN(TOPOLOGY_FAILOVER_MS, is_fresh(&a));
    CHECK_WITHIN(WORLD_PATIENCE_MS, topology_hears(&t, "user=nigh"));
    setenv("NIGH_CONF", "redis.sentinel_user=nigh,redis.sentinel_password=SENTINELS", 1);
    CHECK_WITHIN(WORLD_PATIENCE_MS, nigh_stats_value(a.cache, NULL, "listening") == 1);
    CHECK_EQ(tool_run("invalidate --redis '%s' --timeout 60000 --all", t.uri), 0);
    CHECK(tool_says("accepted: 1"));
    unsetenv("NIGH_CONF");
    world_close(&a);
    topology_stop(&t);
}

static void write_line(const char *path, const char *text)
{
    FILE *out = fopen(path, "we");
    REQUIRE(out && fprintf(out, "%s\n", text) > 0 && fclose(out) == 0);
}

/* The file has the new password before anybody is the master who was told of it. */
TEST(a_password_rotates_while_the_master_is_replaced)
{
    char *const args[] = {"--user", "nigh", "on", ">FIRST", ">SECOND", "~*", "&*", "+@all", NULL};
    struct topology t;
    struct world a;
    char uri[300], file[128];
    topology_start(&t, args, NULL);
    snprintf(uri, sizeof(uri), "redis+sentinel://nigh@%s", t.uri + strlen("redis+sentinel://"));
    snprintf(file, sizeof(file), "%s/password", t.servers[0].dir);
    write_line(file, "FIRST");
    struct nigh_options o = node_options(&t.servers[0]);
    o.redis_uri = uri;
    o.redis_password_file = file;
    origin_init(&a.origin);
    world_open_with(&a, &o, NULL, &a.origin);
    CHECK_WITHIN(TOPOLOGY_FAILOVER_MS, is_fresh(&a));
    int old = topology_await_master(&t);
    redis_kill(&t.servers[old]);
    write_line(file, "SECOND");
    CHECK_WITHIN(TOPOLOGY_FAILOVER_MS, topology_moved_from(&t, old));
    CHECK_WITHIN(TOPOLOGY_FAILOVER_MS, is_fresh(&a));
    int now = topology_await_master(&t);
    free(redis_command(&t.servers[now], "ACL SETUSER nigh <FIRST"));
    free(redis_command(&t.servers[now], "CLIENT KILL USER nigh"));
    CHECK_WITHIN(TOPOLOGY_FAILOVER_MS, is_fresh(&a) && world_count(&a, "l2_connect") > 2);
    CHECK_WITHIN(TOPOLOGY_FAILOVER_MS, nigh_put(a.space, "k", 1, "v", 1, NULL) == 0);
    world_close(&a);
    topology_stop(&t);
}
