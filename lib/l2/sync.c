// SPDX-License-Identifier: MIT
// Waiting for one answer: a futex word in the waiter's frame.
//
// The waiter leaves at its deadline even if the I/O thread never comes (it is stopped, or inside a
// callback of the host that blocks). So a request that is waited for holds a pointer to the
// waiter's frame which either side may cut, under the sync lock: the I/O thread when it leaves the
// answer, the waiter when it goes without. The lock is held for these few stores only.
//
// The word is stored last: once the waiter sees it, its frame, the l2_sync with it, may be gone.
// Waking an address that is no longer a futex does no harm.
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

void sync_begin(struct l2 *l2, struct l2_sync *s, struct request *r)
{
    s->l2 = l2;
    s->deadline_ns = r->deadline_ns;
    s->request = r;
    r->sync = s;
}

void sync_wake(struct l2 *l2)
{
    struct wakes *w = &l2->wakes;
    for (uint32_t i = 0; i < w->count; i++)
        park_wake(l2->env->park, w->words[i], PARK_ALL);
    w->count = 0;
}

static void wake_later(struct l2 *l2, _Atomic uint32_t *word)
{
    struct wakes *w = &l2->wakes;
    if (w->count == WAKES_MAX)
        sync_wake(l2);
    w->words[w->count++] = word;
}

bool sync_answer(struct l2 *l2, struct request *r, struct l2_answer *answer)
{
    uint32_t was = SYNC_TAKES;
    pthread_mutex_lock(&l2->sync_lock);
    struct l2_sync *s = r->sync;
    r->sync = NULL;
    if (s) {
        s->request = NULL;
        s->answer = answer;
        /* pair(l2.sync): answer first */
        was = atomic_exchange_explicit(&s->word, SYNC_ANSWERED, memory_order_release);
    }
    pthread_mutex_unlock(&l2->sync_lock);
    if (was == SYNC_PARKS)
        wake_later(l2, &s->word);
    else if (was == SYNC_POLLS)
        io_ring(l2, l2->solo_fd);
    return s != NULL;
}

/* Answers a waiter that has left at its deadline. Shared, and never written to. */
static struct answer late = {.public = {.status = NIGH_ETIMEDOUT}};

bool sync_is_late(const struct l2_answer *answer)
{
    return answer == &late.public;
}

static bool answered(struct l2_sync *s)
{
    /* pair(l2.sync): the answer is there when the word is */
    return atomic_load_explicit(&s->word, memory_order_acquire) == SYNC_ANSWERED;
}

/* Go without the answer, unless it has come. */
static void leave(struct l2_sync *s)
{
    pthread_mutex_lock(&s->l2->sync_lock);
    if (s->request) {
        s->request->sync = NULL;
        s->request = NULL;
        s->answer = &late.public;
    }
    pthread_mutex_unlock(&s->l2->sync_lock);
    if (sync_is_late(s->answer))
        stats_count(s->l2->stats, STATS_L2_TIMEOUT);
}

static uint64_t patience_ns(const struct l2_sync *s)
{
    return s->deadline_ns > CLOCK_NEVER_NS - GRACE_NS ? CLOCK_NEVER_NS : s->deadline_ns + GRACE_NS;
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
            leave(s);
            break;
        }
        park_wait(env->park, &s->word, SYNC_PARKS, until_ns);
    }
    return s->answer;
}
