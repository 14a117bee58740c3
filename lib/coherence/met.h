/* SPDX-License-Identifier: MIT */
/*
 * The identities of Redis' clock that answers of the data connection have shown: which one now, and
 * which ones before (rule 16).
 *
 * A clock that is met again, after another one, has gone on without us: clients went to a promoted
 * replica and came back, or an older database was swapped in. A value that is stamped with it may
 * be older than an invalidation that was told under the other. So an identity that was left is
 * never followed again.
 *
 * No clock at all (identity 0) counts as another one: an empty database was swapped in for a
 * moment, say, and a value filled there bears the stamp of the clock that went with the other
 * database.
 *
 * Order. Answers reach us from several threads, some late; `order` is that of Redis' execution as
 * the connections brought it, and an answer older than the newest one is no evidence. Frames are
 * none either: the listener's connection may lead to the server that was left for a while.
 *
 * Fixed size: identities change with failovers, not with traffic. An identity that is forgotten,
 * after MET_LEFT others, is as unknown here as to a node that was not there.
 *
 * Thread-safety: none; under the apply lock.
 */
#ifndef NIGH_COHERENCE_MET_H
#define NIGH_COHERENCE_MET_H

#include <stdbool.h>
#include <stdint.h>

#define MET_LEFT 256u

/* Keys: (l) all. */
struct met {
    uint64_t order;          /* (l) order of the newest answer that was noted */
    uint64_t identity;       /* (l) identity that this answer showed; 0: no clock, or no answer */
    uint64_t left[MET_LEFT]; /* (l) a ring; 0: free */
    uint32_t next;           /* (l) where the next one goes */
};

static inline bool met_has_left(const struct met *m, uint64_t identity)
{
    for (uint32_t i = 0; i < MET_LEFT; i++)
        if (m->left[i] == identity)
            return true;
    return false;
}

/* Notes the identity that an answer shows. False: the answer is older than the newest one noted. */
static inline bool met_note(struct met *m, uint64_t identity, uint64_t order)
{
    if (order < m->order)
        return false;
    if (m->identity != 0 && m->identity != identity && !met_has_left(m, m->identity))
        m->left[m->next++ % MET_LEFT] = m->identity;
    m->identity = identity;
    m->order = order;
    return true;
}

#endif
