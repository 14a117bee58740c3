// SPDX-License-Identifier: MIT
// Submission, on any thread: a command becomes a request, is admitted or refused, and is queued, or
// sent by its caller alone (solo.c).

#include "l2/client.h"

int submit_begin(struct l2 *l2, struct command *command)
{
    return request_create(l2->pool, l2->env->mem, command) ? 0 : NIGH_ENOMEM;
}

/* Completes the request whose command has been written. NULL: there was no memory for all of it. */
static struct request *request_of(struct command *command, const struct submit *submit)
{
    struct request *r = command->request;
    if (command_finish(command, &r->wire)) {
        request_end(r);
        return NULL;
    }
    r->done = submit->op->done;
    r->arg = submit->op->arg;
    r->decode = submit->decode;
    r->script = submit->script;
    r->wire_len = r->wire.len;
    r->reply_at = request_room_used(r);
    r->deadline_ns = submit->op->deadline_ns;
    r->patient = submit->op->patient;
    r->number = command->number;
    r->holds_caller = submit->op->sync;
    return r;
}

/* REQUIRES(lock). Whether the request may be queued. */
static int admit_locked(struct l2 *l2, const struct submit *submit, const struct request *r)
    REQUIRES(l2->lock)
{
    if (l2->closing)
        return NIGH_ECLOSED;
    if (!l2->online || (submit->connection && submit->connection != l2->online))
        return NIGH_EOFFLINE;
    if (submit->kind == SUBMIT_BEAT)
        return 0;
    if (!limits_have_room(l2, r->wire_len))
        return limits_is_large(r->wire_len) ? NIGH_EBUSY : NIGH_EOFFLINE;
    if (!limits_may_count(l2, submit->kind == SUBMIT_READ))
        return NIGH_EOFFLINE;
    bool reads = submit->kind == SUBMIT_READ;
    return !reads || breaker_allows(&l2->breaker, clock_now_ns(l2->env->clock)) ? 0
                                                                                : NIGH_EOFFLINE;
}

int submit_queue(struct l2 *l2, struct command *command, const struct submit *submit)
{
    struct request *r = request_of(command, submit);
    if (!r)
        return NIGH_ENOMEM;
    if (submit->op->sync && !r->done)
        waiter_begin(l2, submit->op->sync, r);
    pthread_mutex_lock(&l2->lock);
    int refused = admit_locked(l2, submit, r);
    bool wake = false, alone = false, counts = l2->tried; /* a start is no outage */
    if (!refused) {
        limits_add(l2, r->wire_len);
        alone = solo_claim_locked(l2, submit->op->sync, r);
    }
    if (!refused && !alone) {
        request_list_push(&l2->queue, r);
        wake = l2->asleep;
        l2->asleep = false; /* a single wake-up serves all that is queued until it comes */
    }
    pthread_mutex_unlock(&l2->lock);
    if (refused) {
        if (counts && refused != NIGH_EBUSY) /* a sender of large values says what it did */
            stats_count(l2->stats, STATS_L2_REFUSED);
        request_end(r);
    }
    if (wake)
        wake_io(l2);
    if (alone)
        solo_send(submit->op->sync);
    return refused;
}
