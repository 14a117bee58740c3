// SPDX-License-Identifier: MIT
/*
 * Fetch, when L1 has not answered: leads the flight of the key, or waits for it; or leaves the load
 * behind (NIGH_NO_WAIT).
 */
#include "cache/read/landed.h"
#include "cache/latency.h"
#include "cache/load/load.h"
#include "cache/read/missed.h"
#include "cache/read/from_l1.h"

static int follow(struct nigh_space *space, struct flight *f, uint64_t deadline_ns)
{
    uint64_t began_ns = latency_begin(space);
    int rc = join_refused(space, flight_wait(f, deadline_ns));
    latency_end(space, STATS_LATENCY_WAIT, began_ns);
    return rc;
}

/* Flies once: leads or follows, and takes what landed. */
static int fly(const struct missed *m, uint64_t deadline_ns, struct nigh_value *ret)
{
    struct joined joined;
    struct flight *f;
    int role = join_flight(m->space, &m->key, m->call, NULL, 0, &joined, &f);
    if (role < 0)
        return role;
    int rc = role == FLIGHT_LEADER ? flight_lead(f, deadline_ns) : follow(m->space, f, deadline_ns);
    if (rc == 0) {
        struct landing landed = load_landing(f);
        if (landed.outcome == NIGH_ELOADER)
            cache_set_load_error(landed.error);
        rc = landed_take(m->space, &m->key, &landed, &joined, m->call, ret);
    }
    flight_leave(f);
    return rc;
}

static int fly_until_answered(const struct missed *m, struct nigh_value *ret)
{
    struct nigh_space *space = m->space;
    const struct clock *clock = &space->cache->clock;
    uint64_t deadline_ns =
        cache_deadline_ns(space->cache, m->call, space->rules.load_deadline_ms);
    int rc;
    tickets_give_back_own(space, &m->key);
    do
        rc = fly(m, deadline_ns, ret);
    while (rc == NIGH_PENDING && clock_now_ns(clock) < deadline_ns);
    return rc == NIGH_PENDING ? NIGH_ETIMEDOUT : rc;
}

int fetch_missed(const struct missed *m, struct nigh_value *ret)
{
    if (FLAGS_OF(m->call) & NIGH_NO_WAIT)
        return load_behind(m->space, &m->key, m->call, NULL);
    return fly_until_answered(m, ret);
}
