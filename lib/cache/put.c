// SPDX-License-Identifier: MIT
/*
 * Put: a value, or an absence, that the caller already has.
 *
 * With the ticket of a miss it is a fenced fill: Redis takes it while the lease is the ticket's, L1
 * while nothing has raised a floor over it. Otherwise it is a change of the truth. Whatever comes
 * of it, the ticket's lease is gone afterwards.
 */
#include "cache/caller.h"
#include "cache/lookup.h"
#include "cache/writing.h"

/* Fill L2 under the token of a miss, which is used up if Redis has answered: the fill drops the
 * lease. L2_REFUSED also when it could not be sent. */
static enum l2_verdict fill_l2(const struct draft *d, struct nigh_miss *miss, uint64_t deadline_ns)
{
    struct l2_sync sync;
    struct l2_op op = l2_sync_op(&sync, &d->space->cache->env, deadline_ns);
    if (draft_fill_l2(d, &op) != 0)
        return L2_REFUSED;
    struct l2_answer *answer = l2_sync_wait(&sync);
    enum l2_verdict verdict = answer->status == 0 ? answer->verdict : L2_NONE;
    draft_note_filled(d->space, answer);
    if (answer->status == 0) {
        tickets_remove(d->space, &d->key, miss->token);
        miss->token = 0;
    }
    l2_answer_free(answer);
    return verdict;
}

/* Do the fenced fill of get + own read + put. Whatever comes of it, the ticket's lease is gone
 * afterwards. */
static int put_missed(struct writing *w, const struct nigh_call *call)
{
    struct draft *d = &w->draft;
    struct nigh *cache = d->space->cache;
    struct nigh_miss *miss = call->miss;
    enum l2_verdict verdict = L2_NONE;
    d->ticket = miss->stamp;
    d->position = (struct coherence_position){miss->clock, miss->sequence};
    d->home = miss->home;
    d->token = miss->token;
    d->connection = miss->connection;
    bool oversize = d->bytes.len > d->space->rules.value_max;
    if (d->token && !oversize && lookup_l2_usable(d->space, &d->key) && draft_fits_l2(d))
        verdict = fill_l2(d, miss, cache_l2_deadline_ns(cache, call));
    tickets_give_back(d->space, &d->key, miss);
    if (verdict == L2_REFUSED && d->version != 0)
        return NIGH_REFUSED;
    writing_fill_l1(w);
    if (verdict == L2_REFUSED || verdict == L2_CROWDED || w->refused)
        return NIGH_REFUSED;
    return w->full && verdict != L2_STORED ? NIGH_EFULL : 0;
}

static int put_l1_only(struct writing *w)
{
    w->draft.ticket = L1_TICKET_NOW; /* the last arrival wins: nothing that came before it counts */
    w->only_newer = true;            /* where versions can be compared */
    writing_change_l1_only(w, true);
    return writing_outcome(w);
}

/* Whether a put without Redis asks for nothing special. Most do not: they take a third of the
 * steps. */
static bool is_plain(const struct nigh_space *space, size_t len, const struct nigh_call *call)
{
    return !space->cache->coherence && len <= space->rules.value_max &&
           (!call || !(call->miss || call->version || call->tag_count || call->soft_ttl_ms ||
                       call->stale_ms));
}

static int put_with_l2(struct writing *w, const struct nigh_call *call)
{
    struct draft *d = &w->draft;
    if (call && call->miss)
        return put_missed(w, call);
    d->token = coherence_token(d->space->cache->coherence);
    d->home = coherence_home(d->space->cache->coherence);
    if (d->bytes.len > d->space->rules.value_max || !draft_fits_l2(d)) {
        int rc = writing_change(w, L2_DELETE, call);
        return rc == 0 ? NIGH_REFUSED : rc;
    }
    return writing_change(w, d->version != 0 ? L2_SET_NEWER : L2_SET, call);
}

/* Put with or without Redis. Without it no step can be cancelled, and the call is too short to pay
 * for caller_enter(). */
static int put(struct writing *w, const struct nigh_call *call)
{
    struct caller caller;
    if (!w->draft.space->cache->coherence) {
        caller_notice();
        return call && call->miss ? put_missed(w, call) : put_l1_only(w);
    }
    caller_enter(&caller);
    int rc = put_with_l2(w, call);
    drive_flush(w->draft.space->cache);
    caller_leave(&caller);
    return rc;
}

/* Give back the ticket of a call whose key and options are good, but which has put nothing. */
static int put_nothing(struct nigh_space *space, const void *key, size_t key_len,
                       const struct nigh_call *call, int rc)
{
    if (call)
        nigh_miss_release(space, key, key_len, call->miss);
    return rc;
}

static int put_full(struct nigh_space *space, const void *key, size_t key_len, struct bytes value,
                    const struct nigh_call *call)
{
    struct writing w;
    int rc = writing_init(&w, space, key, key_len, value, call);
    if (rc != 0)
        return put_nothing(space, key, key_len, call, rc);
    rc = put(&w, call);
    writing_fini(&w);
    return rc;
}

int nigh_put(struct nigh_space *space, const void *key, size_t key_len, const void *value,
             size_t len, const struct nigh_call *call)
{
    int rc = cache_check(space, key, key_len, call);
    if (rc != 0)
        return rc;
    if (!value)
        return put_nothing(space, key, key_len, call, NIGH_EINVAL);
    if (NIGH_UNLIKELY(!is_plain(space, len, call)))
        return put_full(space, key, key_len, bytes_of(value, len), call);
    caller_notice();
    return writing_put_plain(space, key, key_len, bytes_of(value, len));
}

int nigh_put_absent(struct nigh_space *space, const void *key, size_t key_len,
                    const struct nigh_call *call)
{
    int rc = cache_check(space, key, key_len, call);
    if (rc != 0)
        return rc;
    if (!call || !call->miss)
        return NIGH_EINVAL;
    struct writing w;
    rc = writing_init(&w, space, key, key_len, bytes_of("", 0), call);
    if (rc != 0)
        return put_nothing(space, key, key_len, call, rc);
    w.draft.absent = true;
    writing_set_lifetimes(&w, call);
    if (w.draft.soft_ms == 0)
        rc = put_nothing(space, key, key_len, call, NIGH_REFUSED);
    else
        rc = put(&w, call);
    writing_fini(&w);
    return rc;
}
