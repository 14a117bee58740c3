// SPDX-License-Identifier: MIT
// Requests whose answer comes back to the keeper, and the poke that tells it so.
//
// `done` runs on the I/O thread, which must not wait for the apply lock while a long log is
// applied: it leaves the answer and pokes. After coherence_close() an answer may still come (the
// link closes later): each outstanding request holds a reference, `closed` is set under the lock
// that the poke is made under, so that none comes after, and the last answer frees the rest.

#include "coherence/state.h"

static void poke_locked(struct coherence *c)
{
    if (!c->closed && c->poke)
        c->poke(c->poke_arg);
}

void coherence_poke(struct coherence *c)
{
    pthread_mutex_lock(&c->mail_lock);
    poke_locked(c);
    pthread_mutex_unlock(&c->mail_lock);
}

void coherence_set_poke(struct coherence *c, void (*poke)(void *arg), void *arg)
{
    pthread_mutex_lock(&c->mail_lock);
    c->poke = poke;
    c->poke_arg = arg;
    poke_locked(c); /* the link may have come up before anybody could be told */
    pthread_mutex_unlock(&c->mail_lock);
}

static void request_done(void *arg, struct l2_answer *answer)
{
    struct coherence_request *r = arg;
    struct coherence *c = r->coherence;
    pthread_mutex_lock(&c->mail_lock);
    r->answer = answer;
    /* pair(coherence.mail): a thread that sees the new word finds the answer under the lock */
    atomic_fetch_add_explicit(&c->mail, 1, memory_order_release);
    park_wake(c->config.env->park, &c->mail, PARK_ALL);
    poke_locked(c);
    pthread_mutex_unlock(&c->mail_lock);
    coherence_unref(c);
}

struct l2_op coherence_request_begin(struct coherence_request *r, uint64_t deadline_ns)
{
    NIGH_DCHECK(!r->busy);
    r->busy = true;
    atomic_fetch_add_explicit(&r->coherence->refs, 1, memory_order_relaxed);
    struct l2_op op = l2_op_of(deadline_ns, request_done, r);
    op.patient = true; /* no caller waits, and asking again would only add to the load */
    return op;
}

void coherence_request_undo(struct coherence_request *r)
{
    r->busy = false;
    coherence_unref(r->coherence);
}

struct l2_answer *coherence_request_take(struct coherence_request *r)
{
    struct coherence *c = r->coherence;
    if (!r->busy)
        return NULL;
    pthread_mutex_lock(&c->mail_lock);
    struct l2_answer *answer = r->answer;
    r->answer = NULL;
    pthread_mutex_unlock(&c->mail_lock);
    if (answer)
        r->busy = false;
    return answer;
}
