// SPDX-License-Identifier: MIT
// Three real Sentinels, a master and two replicas: the master is found, dies, is replaced while
// calls go on, and all that was promised holds.

#include "support/peer.h"
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
        int old = topology_master(&t);
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
