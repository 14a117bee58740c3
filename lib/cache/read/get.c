// SPDX-License-Identifier: MIT
/*
 * Get, when L1 has not answered: asks L2, and waits; or leaves the question behind (NIGH_NO_WAIT).
 */
#include "cache/read/async.h"
#include "cache/read/missed.h"
#include "cache/read/from_l1.h"
#include "cache/read/from_l2.h"

static int ask_l2(const struct missed *m, struct nigh_value *ret)
{
    struct read_l2 r;
    uint64_t rejected;
    if (m->call && m->call->miss)
        tickets_give_back_own(m->space, &m->key);
    read_l2_init(m->space, m->call, &r);
    int rc = read_l2_may(m->space, &m->key);
    rc = rc ? rc : read_l2_begin(m->space, &m->key, &r);
    return rc ? rc : read_l2_end(m->space, &m->key, m->call, &r, &rejected, ret);
}

int get_missed(const struct missed *m, struct nigh_value *ret)
{
    if (FLAGS_OF(m->call) & NIGH_NO_WAIT)
        return async_look_behind(m->space, &m->key, m->call);
    return ask_l2(m, ret);
}
