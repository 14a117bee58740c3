// SPDX-License-Identifier: MIT
/*
 * Commit: what a write through the origin does before its writer runs, and after it.
 */
#include "cache/write/commit.h"

#include <string.h>

#include "cache/cache.h"
#include "cache/load/leases.h"
#include "cache/value/lookup.h"

/* ---- the fence ---- */

/*
 * Asks for the fence, which counts only if Redis has executed it before the commit. If the lease is
 * taken later, then another writer's commit and its script may lie in between, and ours would find
 * its token in the lease and set the older value.
 */
int commit_fence(struct commit *c, const struct l2_op *op)
{
    struct draft *d = &c->w.draft;
    struct nigh *cache = d->space->cache;
    if (!lookup_l2_has_values(d->space))
        return NIGH_MISS;
    struct l2_key key = cache_l2_key(d->space, d->key.data, d->key.len);
    d->token = coherence_token(cache->coherence); /* before the answer, which may be another's */
    int rc = l2_override(cache->l2, &key, d->token, leases_time_ms(d->space), op);
    if (rc != 0)
        d->token = 0;
    return rc;
}

void commit_fenced(struct commit *c, const struct l2_answer *answer)
{
    struct draft *d = &c->w.draft;
    c->fenced = answer->status == 0;
    if (!c->fenced)
        return;
    coherence_note(d->space->cache->coherence, answer);
    d->home = answer->home;
}

void commit_lower_fence(struct commit *c)
{
    struct draft *d = &c->w.draft;
    bool l2_closed = atomic_load_explicit(&d->space->cache->l2_closed, memory_order_relaxed);
    if (d->token && !l2_closed)
        leases_give_back(d->space, &d->key, d->token);
    d->token = 0;
}

/* ---- telling ---- */

/* Whether the value is to be stored, not deleted. */
static bool keeps(const struct draft *d)
{
    return d->bytes.data && d->version != 0 && d->bytes.len <= d->space->rules.value_max;
}

/* Returns how the change is made in Redis. Where no values lie there, nothing has to be fenced. */
static enum l2_change_mode mode_of(const struct commit *c)
{
    const struct draft *d = &c->w.draft;
    bool fenced = c->fenced || !lookup_l2_has_values(d->space);
    return keeps(d) && fenced && draft_fits_l2(d) ? L2_SET_TOKEN : L2_DELETE;
}

/* If the value is not stored, because there is no place for its schema, that is no failure. */
static int tell(struct commit *c, enum l2_change_mode mode, const struct nigh_call *call)
{
    int rc = writing_change(&c->w, mode, call);
    if (rc == NIGH_REFUSED)
        return 0;
    if (rc != 0)
        commit_lower_fence(c);
    return rc;
}

int commit_tell(struct commit *c, const struct nigh_call *call)
{
    if (c->w.draft.space->cache->coherence)
        return tell(c, mode_of(c), call);
    writing_change_l1_only(&c->w, keeps(&c->w.draft));
    return 0;
}

int commit_tell_behind(struct commit *c, const struct nigh_call *call,
                       struct coherence_waiter *waiter)
{
    if (c->w.draft.space->cache->coherence)
        return writing_change_behind(&c->w, mode_of(c), call, waiter);
    return commit_tell(c, call);
}

/* ---- the writer ---- */

static void call_writer(struct callback *callback)
{
    struct commit *c = CONTAINER_OF(callback, struct commit, callback);
    const struct nigh_space *space = c->w.draft.space;
    c->rc = space->writer(space->arg, &c->op);
}

/* Invalidates the key of a writer that did not return: it may have committed before it threw, or
 * jumped, so nobody must keep an old value. This gives the lease back, too. */
static void ended(struct callback *callback, enum unwind_how how)
{
    struct commit *c = CONTAINER_OF(callback, struct commit, callback);
    struct nigh *cache = c->w.draft.space->cache;
    (void)how;
    if (!callback->left) {
        if (cache->coherence)
            (void)tell(c, L2_DELETE, NULL);
        else
            writing_change_l1_only(&c->w, false);
        if (c->over)
            c->over(c, NIGH_EWRITER);
        drive_flush(cache);
    }
    commit_destroy(c);
}

/* Leave the writer, as the cache closes. The other nodes need not wait for the end of the lease. */
static bool leave(struct callback *callback)
{
    struct commit *c = CONTAINER_OF(callback, struct commit, callback);
    commit_lower_fence(c);
    if (c->over)
        c->over(c, NIGH_ECLOSED);
    return true;
}

int commit_run(struct commit *c)
{
    if (!callback_run(&c->callback))
        return NIGH_ECLOSED;
    if (c->rc == 0)
        return 0;
    commit_lower_fence(c);
    return NIGH_EWRITER;
}

/* ---- life ---- */

void commit_destroy(struct commit *c)
{
    struct mem *mem = c->w.draft.space->cache->env.mem;
    writing_fini(&c->w);
    mem_free(mem, NULL, c, c->bytes);
}

static struct callback callback_of(struct nigh_space *space, struct bytes key)
{
    return (struct callback){
        .space = space,
        .key = key,
        .what = "writer",
        .run = call_writer,
        .ended = ended,
        .leave = leave,
    };
}

/* Begins the commit of a key and a value that stay. */
static int init(struct commit *c, struct nigh_space *space, struct bytes key, struct bytes value,
                const struct nigh_call *call)
{
    int rc = writing_init(&c->w, space, key.data, key.len, value, call);
    if (rc != 0)
        return rc;
    c->callback = callback_of(space, key);
    c->fenced = false;
    c->over = NULL;
    c->op = (struct nigh_write_op){
        .size = sizeof(c->op),
        .key = key.data,
        .key_len = key.len,
        .value = value.data,
        .value_len = value.len,
        .version = c->w.draft.version,
    };
    return 0;
}

int commit_create(struct nigh_space *space, struct bytes key, struct bytes value, bool copies,
                  const struct nigh_call *call, struct commit **ret)
{
    struct mem *mem = space->cache->env.mem;
    if (value.len > NIGH_VALUE_MAX)
        return NIGH_EVALUE;
    size_t bytes = sizeof(struct commit) + key.len + (copies ? value.len : 0);
    struct commit *c = mem_alloc(mem, NULL, bytes);
    if (!c)
        return NIGH_ENOMEM;
    memcpy(c->data, key.data, key.len);
    if (copies && value.data)
        value.data = memcpy(c->data + key.len, value.data, value.len);
    c->bytes = bytes;
    int rc = init(c, space, bytes_of(c->data, key.len), value, call);
    if (rc != 0)
        mem_free(mem, NULL, c, bytes);
    else
        *ret = c;
    return rc;
}
