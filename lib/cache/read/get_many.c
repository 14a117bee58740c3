// SPDX-License-Identifier: MIT
/*
 * Getting many keys: L1, then L2 for what is missing.
 */
#include "cache/read/async.h"
#include "cache/read/many.h"

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

int nigh_get_many(struct nigh_space *space, const struct nigh_key *keys, size_t count,
                  const struct nigh_call *call, struct nigh_value *ret_values, int *ret_outcomes)
{
    struct many m = {space, keys, count, call, ret_values, ret_outcomes, false};
    return many_read(&m, many_read_l2, look_behind);
}
