// SPDX-License-Identifier: MIT
// How far the channel is behind: one position is owed at a time, the oldest that a beat told of and
// the channel has not brought. Later answers tell of more, which gives no sample: it would come
// with the same frames, or just behind them, and count one delay several times.

#include "coherence/behind.h"
#include "coherence/listener.h"

void coherence_behind_begin(struct coherence_behind *b, const struct coherence_told *told)
{
    *b = (struct coherence_behind){
        .told = told->sequence,
        .asked_ns = told->asked_ns,
        .listens = COHERENCE_LISTENS_NEVER,
        .most_ns = b->most_ns,
    };
}

uint64_t coherence_behind_take_most(struct coherence_behind *b)
{
    uint64_t ns = b->most_ns;
    b->most_ns = 0;
    return ns;
}

uint64_t coherence_behind_ns(const struct coherence_behind *b, uint64_t now_ns)
{
    return b->owed ? now_ns - u64_min(now_ns, b->owed_ns) : 0;
}

static bool settle(struct coherence_behind *b, uint64_t now_ns, uint64_t *ret_ns)
{
    *ret_ns = coherence_behind_ns(b, now_ns);
    b->owed = 0;
    return true;
}

/* Returns when Redis told what the answer says, as far as can be known. */
static uint64_t told_ns(const struct coherence_told *told)
{
    return told->now_ns - (told->now_ns - u64_min(told->now_ns, told->asked_ns)) / 2;
}

bool coherence_behind_told(struct coherence_behind *b, const struct coherence_told *told,
                           uint64_t *ret_ns)
{
    const struct coherence_behind before = *b;
    bool same = told->listens == before.listens; /* no subscription has begun or ended since */
    b->asked_ns = told->asked_ns;
    b->listens = told->listens;
    b->told = u64_max(before.told, told->sequence);
    if (before.owed)
        return !same && settle(b, told->now_ns, ret_ns);
    if (told->sequence <= before.told || before.listens == COHERENCE_LISTENS_NEVER)
        return false;
    b->owed = told->sequence;
    b->owed_ns = told_ns(told);
    if (told->heard >= told->sequence)
        return settle(b, told->now_ns, ret_ns);
    if (same && COHERENCE_LISTENING(told->listens))
        return false; /* the channel will bring it */
    bool begun = told->mark.identity && told->mark.sequence <= before.told;
    b->owed_ns = u64_max(before.asked_ns, begun ? told->mark.after_ns : 0);
    settle(b, told->now_ns, ret_ns);
    b->most_ns = u64_max(b->most_ns, *ret_ns);
    return true;
}

bool coherence_behind_heard(struct coherence_behind *b, uint64_t sequence,
                            const struct clock *clock, uint64_t *ret_ns)
{
    bool brought = b->owed && sequence >= b->owed;
    return brought && settle(b, clock_now_ns(clock), ret_ns);
}
