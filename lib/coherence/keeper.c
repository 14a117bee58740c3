// SPDX-License-Identifier: MIT
// Requests whose answer comes back to the keeper, wishes, and the poke that tells it so.
//
// `done` runs on the I/O thread, which must not wait for the apply lock while a long log is
// applied: it leaves the answer and pokes. After coherence_close() an answer may still come (the
// link closes later): each outstanding request holds a reference, `closed` is set under the lock
// that the poke is made under, so that none comes after, and the last answer frees the rest.

#include "coherence/keeper.h"

void coherence_keeper_init(struct coherence_keeper *k, void (*destroy)(struct coherence *c))
{
    pthread_mutex_init(&k->mail_lock, NULL);
    k->destroy = destroy;
    atomic_store_explicit(&k->refs, 1, memory_order_relaxed);
}

void coherence_keeper_fini(struct coherence_keeper *k)
{
    pthread_mutex_destroy(&k->mail_lock);
}

/* ---- the poke ---- */

static void poke_locked(struct coherence_keeper *k) REQUIRES(k->mail_lock)
{
    if (!k->closed && k->poke)
        k->poke(k->poke_arg);
}

void coherence_keeper_poke(struct coherence *c)
{
    struct coherence_keeper *k = c->keeper;
    pthread_mutex_lock(&k->mail_lock);
    poke_locked(k);
    pthread_mutex_unlock(&k->mail_lock);
}

void coherence_set_poke(struct coherence *c, void (*poke)(void *arg), void *arg)
{
    struct coherence_keeper *k = c->keeper;
    pthread_mutex_lock(&k->mail_lock);
    k->poke = poke;
    k->poke_arg = arg;
    poke_locked(k); /* the link may have come up before anybody could be told */
    pthread_mutex_unlock(&k->mail_lock);
}

void coherence_keeper_close(struct coherence_keeper *k)
{
    pthread_mutex_lock(&k->mail_lock);
    k->closed = true;
    pthread_mutex_unlock(&k->mail_lock);
}

void coherence_keeper_want_beat(struct coherence *c)
{
    /* pair(coherence.beat): the reason for the wish comes before the beat that is sent for it */
    if (!atomic_exchange_explicit(&c->keeper->beat_wanted, true, memory_order_release))
        coherence_keeper_poke(c);
}

void coherence_keeper_ref(struct coherence *c)
{
    atomic_fetch_add_explicit(&c->keeper->refs, 1, memory_order_relaxed);
}

void coherence_keeper_unref(struct coherence *c)
{
    /* pair(coherence.refs): releases what we did with it, and acquires what the others did if we
     * are the last: the other side of pair(coherence.refs) is this line in another thread */
    if (atomic_fetch_sub_explicit(&c->keeper->refs, 1, memory_order_acq_rel) == 1)
        c->keeper->destroy(c);
}

/* ---- requests ---- */

static void request_done(void *arg, struct l2_answer *answer)
{
    struct coherence_request *r = arg;
    struct coherence *c = r->coherence;
    struct coherence_keeper *k = c->keeper;
    pthread_mutex_lock(&k->mail_lock);
    r->answer = answer;
    /* pair(coherence.mail): a thread that sees the new word finds the answer under the lock */
    atomic_fetch_add_explicit(&k->mail, 1, memory_order_release);
    park_wake(c->config.env->park, &k->mail, PARK_ALL);
    poke_locked(k);
    pthread_mutex_unlock(&k->mail_lock);
    coherence_keeper_unref(c);
}

struct l2_op coherence_request_begin(struct coherence_request *r, uint64_t deadline_ns)
{
    NIGH_DCHECK(!r->busy);
    r->busy = true;
    coherence_keeper_ref(r->coherence);
    struct l2_op op = l2_op_of(deadline_ns, request_done, r);
    op.patient = true; /* no caller waits, and asking again would only add to the load */
    return op;
}

void coherence_request_undo(struct coherence_request *r)
{
    r->busy = false;
    coherence_keeper_unref(r->coherence);
}

struct l2_answer *coherence_request_take(struct coherence_request *r)
{
    pthread_mutex_t *lock = &r->coherence->keeper->mail_lock;
    if (!r->busy)
        return NULL;
    pthread_mutex_lock(lock);
    struct l2_answer *answer = r->answer;
    r->answer = NULL;
    pthread_mutex_unlock(lock);
    if (answer)
        r->busy = false;
    return answer;
}
