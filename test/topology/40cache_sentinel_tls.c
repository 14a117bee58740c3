// SPDX-License-Identifier: MIT
// Three real Sentinels over TLS, with certificates of another CA than the servers': a failover, and
// who is named when one of the two is not believed.

#include <stdlib.h>
#include <string.h>

#include "support/certs.h"
#include "support/peer.h"
#include "support/topology.h"

struct secure {
    struct topology t;
    char server_certs[CERTS_DIR_BYTES];
    char sentinel_certs[CERTS_DIR_BYTES];
    struct certs_path ca, sentinel_ca;
    struct certs_path trusted; /* both, for servers and Sentinels speak to one another */
    char *args[5];
};

/* A Sentinel's certificate is for its address alone. */
static void begin(struct secure *s)
{
    certs_open(s->server_certs);
    certs_open(s->sentinel_certs);
    certs_add(s->sentinel_certs, "watchers", &(struct cert){.self_signed = true, .is_ca = true});
    certs_add(s->sentinel_certs, "server",
              &(struct cert){.issuer = "watchers", .names = "IP:127.0.0.1"});
    s->ca = certs_path(s->server_certs, "ca.pem");
    s->sentinel_ca = certs_path(s->sentinel_certs, "watchers.pem");
    s->trusted = certs_path(s->server_certs, "trusted.pem");
    certs_join(s->trusted.text, (const struct certs_path[]){s->ca, s->sentinel_ca});
    char *const args[] = {"--tls-replication", "yes", "--tls-ca-cert-file", s->trusted.text, NULL};
    memcpy(s->args, args, sizeof(args));
    topology_start_tls(&s->t, s->server_certs, s->sentinel_certs, s->args);
}

static void end(struct secure *s)
{
    topology_stop(&s->t);
    certs_close(s->server_certs);
    certs_close(s->sentinel_certs);
}

/* Opens a node that believes these two CAs, and does not wait. */
static void open_node(struct world *w, const char *uri, const struct certs_path *ca,
                      const struct certs_path *sentinel_ca, struct origin *origin)
{
    struct nigh_options o = patient_options(&(struct redis){.dir = ""});
    o.redis_uri = uri;
    o.tls_ca = ca->text;
    o.redis_sentinel_tls_ca = sentinel_ca->text;
    origin_init(&w->origin);
    world_open_with(w, &o, NULL, origin ? origin : &w->origin);
}

static void check_failover(struct world *a, struct world *b, struct topology *t)
{
    int old = topology_await_master(t);
    int64_t resyncs = world_count(b, "resync");
    peers_have(a, b, &a->origin, "k");
    redis_kill(&t->servers[old]);
    origin_commit(&a->origin);
    CHECK_GE(peer_tell(a, NIGH_TARGET_KEY, "k"), 0);
    CHECK_WITHIN(TOPOLOGY_FAILOVER_MS, topology_moved_from(t, old));
    CHECK_EQ(nigh_drain(a->cache, TOPOLOGY_FAILOVER_MS), 0);
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(b, "resync") > resyncs);
    CHECK_WITHIN(WORLD_PATIENCE_MS, peer_is_ready(a) && peer_is_ready(b));
    CHECK_WITHIN(WORLD_PATIENCE_MS, peer_sees_row(b, &a->origin, "k"));
}

/* Whether the reason why a node is not connected begins and goes on like this. */
static bool is_refused(struct world *w, const char *whom, const char *why)
{
    static char text[1 << 18];
    REQUIRE(nigh_stats(w->cache, NIGH_STATS_TEXT, text, sizeof(text)) > 0);
    const char *at = strstr(text, "redis_problem");
    const char *stop = at ? strchr(at, '\n') : NULL;
    const char *said = at ? strstr(at, whom) : NULL;
    const char *reason = said ? strstr(said, why) : NULL;
    return reason && stop && reason < stop;
}

static void check_refused(const char *uri, const struct certs_path *ca,
                          const struct certs_path *sentinel_ca, const char *whom, const char *why)
{
    struct world w;
    open_node(&w, uri, ca, sentinel_ca, NULL);
    CHECK_WITHIN(WORLD_PATIENCE_MS, is_refused(&w, whom, why));
    CHECK_EQ(world_count(&w, "connected"), 0);
    world_close(&w);
}

TEST(nodes_follow_the_master_over_tls)
{
    static struct secure s;
    struct world a, b;
    begin(&s);
    open_node(&a, s.t.uri, &s.ca, &s.sentinel_ca, NULL);
    open_node(&b, s.t.uri, &s.ca, &s.sentinel_ca, &a.origin);
    CHECK_WITHIN(WORLD_PATIENCE_MS, peer_is_ready(&a) && peer_is_ready(&b));
    CHECK_WITHIN(WORLD_PATIENCE_MS, topology_hears(&s.t, "name=nigh"));
    check_failover(&a, &b, &s.t);
    world_close(&a);
    world_close(&b);

    /* one is believed, the other is not, and is named */
    char server[48], by_name[96];
    const char *const untrusted = "certificate verify failed: ";
    int master = topology_await_master(&s.t);
    snprintf(server, sizeof(server), "127.0.0.1:%d: TLS handshake", s.t.servers[master].port);
    /* a name of 127.0.0.1 that each machine knows, and no certificate has */
    snprintf(by_name, sizeof(by_name), "rediss+sentinel://127.1:%d/" TOPOLOGY_NAME,
             s.t.sentinels[0].port);
    check_refused(s.t.uri, &s.ca, &s.ca, "sentinel at 127.0.0.1:", untrusted);
    check_refused(s.t.uri, &s.sentinel_ca, &s.sentinel_ca, server, untrusted);
    check_refused(by_name, &s.ca, &s.sentinel_ca, "sentinel at 127.1:", "(wanted: 127.1");
    end(&s);
}
