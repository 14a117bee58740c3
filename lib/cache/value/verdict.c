// SPDX-License-Identifier: MIT
/*
 * Judging a value that was found: the tables of the header, row by row.
 */
#include "cache/value/verdict.h"

#include <nigh/nigh.h>

static enum verdict of_value(enum l1_standing floors, enum verdict_lifetime lifetime,
                             enum verdict_trust trust)
{
    if (floors == L1_BELOW_HARD || lifetime == LIFETIME_OVER)
        return VERDICT_GONE;
    if (lifetime == LIFETIME_KEPT || trust == TRUST_MISS)
        return VERDICT_KEPT;
    if (floors == L1_BELOW_SOFT || lifetime == LIFETIME_STALE || trust == TRUST_DOUBT)
        return VERDICT_STALE;
    return trust == TRUST_HELD ? VERDICT_FRESH : VERDICT_LEARNT;
}

enum verdict verdict_of(enum l1_standing floors, enum verdict_lifetime lifetime,
                        enum verdict_trust trust, bool absent)
{
    enum verdict verdict = of_value(floors, lifetime, trust);
    bool stands = verdict >= VERDICT_LEARNT && trust <= TRUST_LATELY;
    return absent && !stands ? VERDICT_GONE : verdict;
}

int verdict_outcome(enum verdict verdict, bool absent, bool within_limits)
{
    if (verdict < VERDICT_STALE || !within_limits)
        return NIGH_MISS;
    if (absent)
        return NIGH_ABSENT;
    return verdict == VERDICT_FRESH ? NIGH_FRESH : NIGH_STALE;
}
