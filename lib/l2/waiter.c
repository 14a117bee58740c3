// SPDX-License-Identifier: MIT
// A waiter as his request sees him: answered, or gone.
//
// A request that is waited for holds a pointer to the waiter's frame which either side may cut,
// under the sync lock: the I/O thread when it leaves the answer, the waiter when it goes without.
// The lock is held for these few stores only.
//
// The word is stored last: once the waiter sees it, its frame, the l2_sync with it, may be gone.
// Waking an address that is no longer a futex does no harm.
//
// Who lends his thread to a request with a `done` is bound to it only while he drives: the word
// tells him that `done` has been called. He leaves whenever he likes, in the same way.

#include "l2/client.h"

void waiter_begin(struct link *link, struct l2_sync *s, struct request *r)
{
    s->link = link;
    s->deadline_ns = r->done ? u64_min(s->deadline_ns, r->deadline_ns) : r->deadline_ns;
    s->request = r;
    r->sync = s;
}

void waiter_wake_all(struct link *link)
{
    struct wakes *w = &link->wakes;
    for (uint32_t i = 0; i < w->count; i++)
        park_wake(link->env->park, w->words[i], PARK_ALL);
    w->count = 0;
}

static void wake_later(struct link *link, _Atomic uint32_t *word)
{
    struct wakes *w = &link->wakes;
    if (w->count == WAKES_MAX)
        waiter_wake_all(link);
    w->words[w->count++] = word;
}

bool waiter_answer(struct link *link, struct request *r, struct l2_answer *answer)
{
    uint32_t was = SYNC_TAKES;
    pthread_mutex_lock(&link->l2->sync_lock);
    struct l2_sync *s = r->sync;
    r->sync = NULL;
    if (s) {
        if (answer && answer->status == NIGH_ETIMEDOUT) /* a waiter that has left has counted it */
            stats_count(link->stats, STATS_L2_TIMEOUT);
        s->request = NULL;
        s->answer = answer;
        /* pair(l2.sync): answer first */
        was = atomic_exchange_explicit(&s->word, SYNC_ANSWERED, memory_order_release);
    }
    pthread_mutex_unlock(&link->l2->sync_lock);
    if (was == SYNC_PARKS)
        wake_later(link, &s->word);
    else if (was == SYNC_POLLS)
        wake_ring(link->l2, link->solo_fd);
    return s != NULL;
}

/* Answers a waiter that has left at its deadline. Shared, and never written to. */
static struct answer late = {.public = {.status = NIGH_ETIMEDOUT}};

bool waiter_is_late(const struct l2_answer *answer)
{
    return answer == &late.public;
}

/* Go without the answer, unless it has come. */
void waiter_leave(struct l2_sync *s)
{
    pthread_mutex_lock(&s->link->l2->sync_lock);
    if (s->request) {
        s->request->sync = NULL;
        s->request = NULL;
        s->answer = &late.public;
    }
    pthread_mutex_unlock(&s->link->l2->sync_lock);
    if (waiter_is_late(s->answer))
        stats_count(s->link->stats, STATS_L2_TIMEOUT);
}

void waiter_cut(struct l2_sync *s)
{
    pthread_mutex_lock(&s->link->l2->sync_lock);
    if (s->request)
        s->request->sync = NULL;
    s->request = NULL;
    pthread_mutex_unlock(&s->link->l2->sync_lock);
}
