// SPDX-License-Identifier: MIT
/*
 * Getting many keys: L1, then L2 for what is missing.
 */
#include "cache/async.h"
#include "cache/caller.h"
#include "cache/many.h"
#include "cache/read_l1.h"

/* Asks L2 for each missed key, and waits for none. */
static void look_behind(const struct many *m)
{
    for (size_t i = 0; i < m->count; i++) {
        if (m->outcomes[i] != NIGH_MISS)
            continue;
        struct l1_key key = many_key(m, i);
        m->outcomes[i] = async_look_behind(m->space, &key, m->call);
        if (m->outcomes[i] < 0)
            stats_count(&m->space->stats, STATS_READ_ERROR);
    }
}

static NIGH_OUTLINED void read_missed(const struct many *m)
{
    struct caller caller;
    caller_enter(&caller);
    if (FLAGS_OF(m->call) & NIGH_NO_WAIT)
        look_behind(m);
    else
        many_read_l2(m);
    drive_flush(m->space->cache);
    caller_leave(&caller);
}

int nigh_get_many(struct nigh_space *space, const struct nigh_key *keys, size_t count,
                  const struct nigh_call *call, struct nigh_value *ret_values, int *ret_outcomes)
{
    struct many m = {space, keys, count, call, ret_values, ret_outcomes, false};
    int rc = many_check(&m);
    if (rc == 0 && many_read_l1(&m) > 0 && !(FLAGS_OF(call) & NIGH_L1_ONLY))
        read_missed(&m);
    return rc;
}
