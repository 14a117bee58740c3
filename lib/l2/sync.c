// SPDX-License-Identifier: MIT
// Waiting for one answer: a futex word in the waiter's frame.
//
// The waiter leaves at its deadline even if the I/O thread never comes (it is stopped, or inside a
// callback of the host that blocks): waiter.c says how either side lets go of the other.
//
// A waiter who drives (solo.c) sleeps on a descriptor, or answers himself; the word says so.

#include "l2/client.h"

/* Lets the I/O thread go first: it answers at the deadline, and knows more of the request. */
#define GRACE_NS (10 * NS_PER_MS)

struct l2_op l2_sync_op(struct l2_sync *s, struct env *env, uint64_t deadline_ns)
{
    *s = (struct l2_sync){.env = env};
    return (struct l2_op){.deadline_ns = deadline_ns, .sync = s};
}

static bool answered(struct l2_sync *s)
{
    /* pair(l2.sync): the answer is there when the word is */
    return atomic_load_explicit(&s->word, memory_order_acquire) == SYNC_ANSWERED;
}

static uint64_t patience_ns(const struct l2_sync *s)
{
    return s->deadline_ns > CLOCK_NEVER_NS - GRACE_NS ? CLOCK_NEVER_NS : s->deadline_ns + GRACE_NS;
}

struct l2_op l2_lend(struct l2_sync *s, struct env *env, uint64_t until_ns, struct l2_op op)
{
    *s = (struct l2_sync){.env = env, .deadline_ns = until_ns};
    op.sync = until_ns ? s : NULL;
    return op;
}

void l2_drive(struct l2_sync *s)
{
    if (!s->solo)
        return; /* the connection was not idle */
    solo_wait(s);
    if (s->solo) /* the I/O thread has it now; the frame's owner goes on without it */
        waiter_cut(s);
}

struct l2_answer *l2_sync_wait(struct l2_sync *s)
{
    struct env *env = s->env;
    uint64_t until_ns = patience_ns(s);
    if (s->solo)
        solo_wait(s);
    while (!answered(s)) {
        uint64_t now_ns = clock_now_ns(env->clock);
        if (now_ns >= until_ns) {
            waiter_leave(s);
            break;
        }
        park_wait(env->park, &s->word, SYNC_PARKS, until_ns);
    }
    return s->answer;
}
