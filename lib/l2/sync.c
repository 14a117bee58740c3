// SPDX-License-Identifier: MIT
// Waiting for one answer: a futex word in the waiter's frame.
//
// The word is stored last and the park is looked up before it: once the waiter sees it, its
// frame, the l2_sync with it, may be gone. Waking an address that is no longer a futex does no
// harm.
//
// Where the library has no threads of its own, the waiter does the I/O itself. If another thread
// is at it, its steps bring our answer too; but it may stop when it has its own, so we look again
// soon.

#include "l2/client.h"

#define LOOK_AGAIN_NS NS_PER_MS

void l2_sync_init(struct l2_sync *s, struct env *env)
{
    *s = (struct l2_sync){.env = env};
}

void l2_sync_done(void *arg, struct l2_answer *answer)
{
    struct l2_sync *s = arg;
    struct park *park = s->env->park;
    s->answer = answer;
    atomic_store_explicit(&s->word, 1, memory_order_release); /* pair(l2.sync): answer first */
    park_wake(park, &s->word, PARK_ALL);
}

static bool answered(struct l2_sync *s)
{
    /* pair(l2.sync): the answer is there when the word is */
    return atomic_load_explicit(&s->word, memory_order_acquire) != 0;
}

struct l2_answer *l2_sync_wait(struct l2_sync *s)
{
    bool drive = s->l2 && !s->env->own_threads;
    while (!answered(s)) {
        if (drive)
            l2_step(s->l2, LOOK_AGAIN_NS);
        if (!answered(s))
            park_wait(s->env->park, &s->word, 0,
                      drive ? clock_now_ns(s->env->clock) + LOOK_AGAIN_NS : CLOCK_NEVER_NS);
    }
    return s->answer;
}
