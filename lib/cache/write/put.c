// SPDX-License-Identifier: MIT
/*
 * Put: a value, or an absence, that the caller already has.
 *
 * With the ticket of a miss it is a fenced fill: Redis takes it while the lease is the ticket's, L1
 * while nothing has raised a floor over it. Otherwise it is a change of the truth. Whatever comes
 * of it, the ticket's lease is gone afterwards.
 */
#include "cache/write/put.h"

#include "cache/caller.h"
#include "cache/value/lookup.h"

#include <string.h>

/* Notes for people why the key is not there: by itself its deletion would say "changed". */
static int put_refused(struct writing *w)
{
    l1_note_fate(w->draft.space->cache->l1, &w->draft.key, L1_FATE_PUT_REFUSED, 0);
    return NIGH_REFUSED;
}

/* ---- with a ticket ---- */

/* Put the ticket into the draft. Returns whether L2 may have the value. */
static bool take_ticket(struct draft *d, const struct nigh_miss *miss)
{
    d->ticket = miss->stamp;
    d->asked_ns = miss->began_ns;
    d->position = (struct coherence_position){miss->clock, miss->sequence};
    d->home = miss->home;
    d->token = miss->token;
    d->connection = miss->connection;
    bool oversize = d->bytes.len > d->space->rules.value_max;
    return d->token && !oversize && lookup_l2_usable(d->space, &d->key) && draft_fits_l2(d);
}

void put_fill_begin(struct put_fill *f, struct writing *w, struct nigh_miss *miss,
                    uint64_t deadline_ns)
{
    struct draft *d = &w->draft;
    *f = (struct put_fill){.w = w, .miss = miss};
    if (!take_ticket(d, miss))
        return;
    struct l2_op op = l2_sync_op(&f->sync, &d->space->cache->env, deadline_ns);
    f->sent = draft_fill_l2(d, &op) == 0;
    f->refused = !f->sent;
}

/* Takes the answer to the fill, and ends the ticket. */
static enum l2_verdict take_verdict(struct put_fill *f)
{
    const struct draft *d = &f->w->draft;
    if (!f->sent)
        return f->refused ? L2_REFUSED : L2_NONE;
    struct l2_answer *answer = l2_sync_wait(&f->sync);
    enum l2_verdict verdict = answer->status == 0 ? answer->verdict : L2_NONE;
    draft_note_filled(d->space, answer);
    tickets_remove(d->space, &d->key, d->token);
    f->miss->token = 0;
    leases_end_filled(d->space, &d->key, d->token, answer);
    l2_answer_free(answer);
    return verdict;
}

int put_fill_end(struct put_fill *f)
{
    struct writing *w = f->w;
    enum l2_verdict verdict = take_verdict(f);
    tickets_give_back(w->draft.space, &w->draft.key, f->miss);
    if (verdict == L2_REFUSED && w->draft.version != 0)
        return put_refused(w);
    writing_fill_l1(w);
    if (verdict == L2_REFUSED || verdict == L2_CROWDED || w->refused)
        return NIGH_REFUSED; /* L1 has said why, or has the value */
    return w->full && verdict != L2_STORED ? NIGH_EFULL : 0;
}

static int put_missed(struct writing *w, const struct nigh_call *call)
{
    struct put_fill fill;
    put_fill_begin(&fill, w, call->miss, cache_l2_deadline_ns(w->draft.space->cache, call));
    return put_fill_end(&fill);
}

/* ---- with a ticket, in the background ---- */

/* A fill that nobody waits for. */
struct behind {
    struct nigh_space *space;
    uint64_t token;
    struct l1_key key; /* bytes lie behind the struct */
};

static void behind_free(struct behind *b)
{
    mem_free(b->space->cache->env.mem, NULL, b, sizeof(*b) + b->key.len);
}

static void filled_behind(void *arg, struct l2_answer *answer)
{
    struct behind *b = arg;
    struct nigh *cache = b->space->cache;
    bool stored = answer->status == 0 && answer->verdict == L2_STORED;
    leases_end_filled(b->space, &b->key, b->token, answer);
    if (!stored)
        stats_count(&cache->stats, STATS_BACKGROUND_LOST);
    draft_note_filled(b->space, answer);
    l2_answer_free(answer);
    behind_free(b);
    cache_note_answered(cache);
}

static int fill_behind(const struct draft *d, uint64_t deadline_ns)
{
    struct nigh *cache = d->space->cache;
    struct behind *b = mem_alloc(cache->env.mem, NULL, sizeof(*b) + d->key.len);
    if (!b)
        return NIGH_ENOMEM;
    *b = (struct behind){d->space, d->token, d->key};
    b->key.data = memcpy(b + 1, d->key.data, d->key.len);
    struct l2_op op = l2_op_of(deadline_ns, filled_behind, b);
    cache_note_sent(cache);
    int rc = draft_fill_l2(d, &op);
    if (rc != 0) {
        behind_free(b);
        cache_note_answered(cache);
    }
    return rc;
}

/* A value with a version is left to Redis, which may have a newer one. If it cannot be sent after
 * all it is refused, as by a put that waits. */
int put_fill_behind(struct writing *w, const struct nigh_call *call)
{
    struct draft *d = &w->draft;
    struct nigh *cache = d->space->cache;
    bool l2 = take_ticket(d, call->miss);
    bool left = l2 && d->version != 0;
    if (!left)
        writing_fill_l1(w);
    if (l2 && !w->refused && fill_behind(d, cache_l2_deadline_ns(cache, call)) == 0) {
        tickets_remove(d->space, &d->key, d->token);
        call->miss->token = 0;
        stats_count(&cache->stats, STATS_BACKGROUND);
        return NIGH_QUEUED;
    }
    tickets_give_back(d->space, &d->key, call->miss);
    return w->refused || left ? NIGH_REFUSED : w->full ? NIGH_EFULL : 0;
}

/* ---- without ---- */

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

enum l2_change_mode put_mode(const struct writing *w)
{
    const struct draft *d = &w->draft;
    if (d->bytes.len > d->space->rules.value_max || !draft_fits_l2(d))
        return L2_DELETE;
    return d->version != 0 ? L2_SET_NEWER : L2_SET;
}

void put_name(struct writing *w)
{
    struct coherence *c = w->draft.space->cache->coherence;
    w->draft.token = coherence_token(c);
    w->draft.home = coherence_home(c);
}

int put_behind(struct writing *w, const struct nigh_call *call, struct coherence_waiter *waiter)
{
    put_name(w);
    enum l2_change_mode mode = put_mode(w);
    int rc = writing_change_behind(w, mode, call, waiter);
    return rc == NIGH_QUEUED && mode == L2_DELETE && !waiter ? NIGH_REFUSED : rc;
}

bool put_may_send(const struct nigh_space *space, uint64_t deadline_ns)
{
    return !lookup_l2_has_values(space) ||
           coherence_wait_for_first(space->cache->coherence, deadline_ns);
}

int put_in_front(struct writing *w, bool sends, const struct nigh_call *call)
{
    enum l2_change_mode mode = sends ? put_mode(w) : L2_DELETE;
    int rc = writing_change(w, mode, call);
    if (rc == NIGH_REFUSED || (rc == 0 && (mode == L2_DELETE || (w->keeps && w->outdated))))
        return put_refused(w);
    return rc == 0 && w->keeps && w->full ? NIGH_EFULL : rc;
}

static int put_with_l2(struct writing *w, const struct nigh_call *call)
{
    const struct nigh_space *space = w->draft.space;
    if (call && call->miss)
        return cache_in_background(call) ? put_fill_behind(w, call) : put_missed(w, call);
    if (cache_in_background(call))
        return put_behind(w, call, NULL);
    bool sends = put_may_send(space, cache_l2_deadline_ns(space->cache, call));
    if (w->draft.position.identity == 0)
        writing_look_anew(w); /* it had to wait */
    put_name(w);
    return put_in_front(w, sends, call);
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

/* Put whatever is no plain put. A frame of its own: a plain put pays for none of this. */
static NIGH_OUTLINED int put_full(struct nigh_space *space, const void *key, size_t key_len,
                                  struct bytes value, const struct nigh_call *call)
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
    int rc = cache_check_change(space, key, key_len, call);
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
    int rc = cache_check_change(space, key, key_len, call);
    if (rc != 0)
        return rc;
    if (!call || !call->miss)
        return NIGH_EINVAL;
    return put_full(space, key, key_len, bytes_of(NULL, 0), call);
}
