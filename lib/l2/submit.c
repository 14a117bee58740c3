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
static int admit_locked(struct link *link, const struct submit *submit, const struct request *r,
                        uint64_t now_ns) REQUIRES(link->lock)
{
    if (link->closing)
        return NIGH_ECLOSED;
    if (!link->online || (submit->connection && submit->connection != link->online))
        return NIGH_EOFFLINE;
    if (submit->kind == SUBMIT_BEAT)
        return 0;
    if (!limits_have_room(link, r->wire_len))
        return limits_is_large(r->wire_len) ? NIGH_EBUSY : NIGH_EOFFLINE;
    if (!limits_may_count(link, submit->kind == SUBMIT_READ))
        return NIGH_EOFFLINE;
    bool reads = submit->kind == SUBMIT_READ;
    return !reads || breaker_allows(&link->breaker, now_ns) ? 0 : NIGH_EOFFLINE;
}

int submit_queue(struct link *link, struct command *command, const struct submit *submit)
{
    struct request *r = request_of(command, submit);
    if (!r)
        return NIGH_ENOMEM;
    if (submit->op->sync && !r->done)
        waiter_begin(link, submit->op->sync, r);
    bool timed = submit->kind == SUBMIT_READ || submit->op->sync;
    uint64_t now_ns = timed ? clock_now_ns(link->env->clock) : 0;
    pthread_mutex_lock(&link->lock);
    int refused = admit_locked(link, submit, r, now_ns);
    bool wake = false, alone = false, counts = link->tried; /* a start is no outage */
    if (!refused) {
        limits_add(link, r->wire_len);
        alone = solo_claim_locked(link, submit->op->sync, r, now_ns);
    }
    if (!refused && !alone) {
        request_list_push(&link->queue, r);
        wake = link->asleep;
        link->asleep = false; /* a single wake-up serves all that is queued until it comes */
    }
    pthread_mutex_unlock(&link->lock);
    if (refused) {
        if (counts && refused != NIGH_EBUSY) /* a sender of large values says what it did */
            stats_count(link->stats, STATS_L2_REFUSED);
        request_end(r);
    }
    if (wake)
        wake_io(link);
    if (alone)
        solo_send(submit->op->sync);
    return refused;
}
