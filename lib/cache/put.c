// SPDX-License-Identifier: MIT
/*
 * Put: a value, or an absence, that the caller already has.
 *
 * With the ticket of a miss it is a fenced fill: Redis takes it while the lease is the ticket's, L1
 * while nothing has raised a floor over it. Otherwise it is a change of the truth. Whatever comes
 * of it, the ticket's lease is gone afterwards.
 */
#include "cache/put.h"

#include "cache/caller.h"
#include "cache/lookup.h"

/* ---- with a ticket ---- */

void put_fill_begin(struct put_fill *f, struct writing *w, struct nigh_miss *miss,
                    uint64_t deadline_ns)
{
    struct draft *d = &w->draft;
    *f = (struct put_fill){.w = w, .miss = miss};
    d->ticket = miss->stamp;
    d->position = (struct coherence_position){miss->clock, miss->sequence};
    d->home = miss->home;
    d->token = miss->token;
    d->connection = miss->connection;
    bool oversize = d->bytes.len > d->space->rules.value_max;
    if (!d->token || oversize || !lookup_l2_usable(d->space, &d->key) || !draft_fits_l2(d))
        return;
    struct l2_op op = l2_sync_op(&f->sync, &d->space->cache->env, deadline_ns);
    f->sent = draft_fill_l2(d, &op) == 0;
    f->refused = !f->sent;
}

/* Takes the answer to the fill. The token is used up if Redis has answered: the fill drops the
 * lease. */
static enum l2_verdict take_verdict(struct put_fill *f)
{
    const struct draft *d = &f->w->draft;
    if (!f->sent)
        return f->refused ? L2_REFUSED : L2_NONE;
    struct l2_answer *answer = l2_sync_wait(&f->sync);
    enum l2_verdict verdict = answer->status == 0 ? answer->verdict : L2_NONE;
    draft_note_filled(d->space, answer);
    if (answer->status == 0) {
        tickets_remove(d->space, &d->key, f->miss->token);
        f->miss->token = 0;
    }
    l2_answer_free(answer);
    return verdict;
}

int put_fill_end(struct put_fill *f)
{
    struct writing *w = f->w;
    enum l2_verdict verdict = take_verdict(f);
    tickets_give_back(w->draft.space, &w->draft.key, f->miss);
    if (verdict == L2_REFUSED && w->draft.version != 0)
        return NIGH_REFUSED;
    writing_fill_l1(w);
    if (verdict == L2_REFUSED || verdict == L2_CROWDED || w->refused)
        return NIGH_REFUSED;
    return w->full && verdict != L2_STORED ? NIGH_EFULL : 0;
}

static int put_missed(struct writing *w, const struct nigh_call *call)
{
    struct put_fill fill;
    put_fill_begin(&fill, w, call->miss, cache_l2_deadline_ns(w->draft.space->cache, call));
    return put_fill_end(&fill);
}

/* ---- without ---- */

bool put_fits_l2(const struct writing *w)
{
    return w->draft.bytes.len <= w->draft.space->rules.value_max && draft_fits_l2(&w->draft);
}

int put_l1_only(struct writing *w)
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
    if (!put_fits_l2(w)) {
        int rc = writing_change(w, L2_DELETE, call);
        return rc == 0 ? NIGH_REFUSED : rc;
    }
    int rc = writing_change(w, d->version != 0 ? L2_SET_NEWER : L2_SET, call);
    return rc == 0 && w->keeps && w->outdated ? NIGH_REFUSED : rc;
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

/* ---- the calls ---- */

/* Give back the ticket of a call whose key and options are good, but which has put nothing. */
static int put_nothing(struct nigh_space *space, const void *key, size_t key_len,
                       const struct nigh_call *call, int rc)
{
    if (call)
        nigh_miss_release(space, key, key_len, call->miss);
    return rc;
}

int put_begin(struct writing *w, struct nigh_space *space, const void *key, size_t key_len,
              struct bytes value, const struct nigh_call *call)
{
    bool absent = !value.data;
    if (absent && (!call || !call->miss || value.len > 0))
        return put_nothing(space, key, key_len, call, NIGH_EINVAL);
    int rc = writing_init(w, space, key, key_len, absent ? bytes_of("", 0) : value, call);
    if (rc != 0)
        return put_nothing(space, key, key_len, call, rc);
    if (!absent)
        return 0;
    w->draft.absent = true;
    writing_set_lifetimes(w, call);
    if (w->draft.soft_ms > 0)
        return 0;
    writing_fini(w);
    return put_nothing(space, key, key_len, call, NIGH_REFUSED);
}

static int put_full(struct nigh_space *space, const void *key, size_t key_len, struct bytes value,
                    const struct nigh_call *call)
{
    struct writing w;
    int rc = put_begin(&w, space, key, key_len, value, call);
    if (rc != 0)
        return rc;
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
    return put_full(space, key, key_len, bytes_of(NULL, 0), call);
}
