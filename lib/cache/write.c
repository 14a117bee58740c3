// SPDX-License-Identifier: MIT
/*
 * Writing: put (a value the caller has) and write (through to the origin).
 *
 * A write fences the key with an overriding lease before it commits, so that no loader that read
 * the origin earlier can fill; after the commit one script stores or deletes, drops the lease and
 * tells everyone. Here, under the apply lock, the key's floor rises, its entry goes, and the
 * written value enters only if Redis set it and no other invalidation came between (rule 6: two
 * threads whose replies swap).
 */
#include <string.h>

#include "cache/cache.h"
#include "cache/caller.h"
#include "cache/fill.h"
#include "cache/freshness.h"
#include "cache/leases.h"
#include "cache/lifetime.h"
#include "cache/lookup.h"

/* One value on its way in: built once, used for the envelope and for the L1 entry. */
struct writing {
    struct nigh_space *space;
    struct l1_key key;
    struct bytes value;
    uint64_t ticket;
    uint64_t version;
    uint32_t soft_ms;
    uint32_t stale_ms;
    struct coherence_position position; /* in Redis, with the ticket */
    uint64_t home;
    uint64_t token;
    bool absent;                        /* "does not exist": no value, and not stale at its end */
    bool only_newer;                    /* L1 takes no version that it has */
    bool refused;                       /* L1 has something newer */
    bool full;                          /* L1 has no room, and does not make any */
    uint32_t group_count;
    struct nigh_fill tags;              /* only its list of group hashes; set if there are any */
};

/* Spread by what differs from key to key and from put to put: a number drawn from the cache's
 * generator would be a write to a line that all writers share. */
static void set_lifetimes(struct writing *w, const struct nigh_call *call)
{
    const struct rules *rules = &w->space->rules;
    uint64_t noise = (w->key.hash ^ w->ticket) * HASH_GOLDEN;
    uint32_t rule_ms = w->absent ? rules->absent_ttl_ms : rules->soft_ttl_ms;
    w->soft_ms = lifetime_ms(call->soft_ttl_ms, rule_ms, rules->jitter_percent, noise);
    w->stale_ms = lifetime_ms(w->absent ? NIGH_NONE : call->stale_ms, rules->stale_ms,
                              rules->jitter_percent, noise * HASH_GOLDEN);
}

static int add_tags(struct writing *w, const char *const *tags, size_t count)
{
    if (!tags)
        return NIGH_EINVAL;
    w->tags = (struct nigh_fill){.env = &w->space->cache->env};
    for (size_t i = 0; i < count; i++) {
        int rc = fill_add_group(&w->tags, tags[i]);
        if (rc != 0) {
            fill_reset(&w->tags);
            return rc;
        }
    }
    w->group_count = w->tags.group_count;
    return 0;
}

static int init(struct writing *w, struct nigh_space *space, const void *key, size_t key_len,
                struct bytes value, const struct nigh_call *call)
{
    static const struct nigh_call none = NIGH_CALL_INIT;
    struct nigh *cache = space->cache;
    if (!call)
        call = &none;
    if (value.len > NIGH_VALUE_MAX)
        return NIGH_EVALUE;
    w->space = space;
    w->key = (struct l1_key){key, (uint32_t)key_len, space->id,
                             l1_hash(&space->l1, key, key_len)};
    l1_prefetch_write(cache->l1, &w->key);
    w->value = value;
    w->ticket = l1_ticket(cache->l1);
    w->version = call->version;
    w->absent = false;
    set_lifetimes(w, call);
    w->position = (struct coherence_position){0, 0};
    if (cache->coherence)
        w->position = coherence_position(cache->coherence);
    w->home = 0;
    w->token = 0;
    w->group_count = 0;
    w->only_newer = false;
    w->refused = false;
    w->full = false;
    return call->tag_count ? add_tags(w, call->tags, call->tag_count) : 0;
}

static void fini(struct writing *w)
{
    if (w->group_count)
        fill_reset(&w->tags);
}

/* ---- L1 ---- */

static void slots_of(const struct writing *w, uint16_t slots[NIGH_TAGS_MAX])
{
    for (uint32_t i = 0; i < w->group_count; i++)
        slots[i] = hash_group_slot(WIRE_TAG, get_le64(w->tags.groups + 8 * (size_t)i),
                                   w->space->cache->group_slots);
}

/* `slots` is where its groups lie. */
static struct l1_value l1_value_of(const struct writing *w, uint64_t stamp,
                                   uint16_t slots[NIGH_TAGS_MAX])
{
    uint64_t now_ns = clock_coarse_ns(&w->space->cache->clock);
    slots_of(w, slots);
    return (struct l1_value){
        .bytes = w->value,
        .stamp = stamp,
        .born_ns = (int64_t)now_ns,
        .fresh_until_ns = now_ns + w->soft_ms * NS_PER_MS,
        .stale_until_ns = now_ns + ((uint64_t)w->soft_ms + w->stale_ms) * NS_PER_MS,
        .version = w->version,
        .groups = slots,
        .group_count = w->group_count,
        .flags = w->absent ? L1_ABSENT : 0,
    };
}

/* Without Redis L1 is all there is: what it never takes is refused. */
static void note_result(struct writing *w, const struct l1_value *value,
                        enum l1_store_result result)
{
    const struct nigh *cache = w->space->cache;
    if (NIGH_LIKELY(result == L1_STORED)) {
        stats_count(&w->space->stats, STATS_L1_STORE);
        w->refused = w->full = false;
        return;
    }
    bool too_large = result == L1_REFUSED_FULL && !l1_takes(cache->l1, &w->key, value);
    if (too_large)
        stats_count(&w->space->stats, STATS_L1_OVERSIZE);
    else
        lookup_count_store(w->space, result);
    w->refused = result == L1_REFUSED_FLOOR || result == L1_REFUSED_VERSION ||
                 (too_large && !cache->coherence);
    w->full = result == L1_REFUSED_FULL && !too_large && !l1_evicts(cache->l1);
}

static bool is_oversize(const struct writing *w)
{
    if (NIGH_LIKELY(w->value.len <= w->space->rules.value_max))
        return false;
    stats_count(&w->space->stats, STATS_L1_OVERSIZE);
    return true;
}

/* A fenced fill. L1 need not have it: no memory and a value over the limit are no failure. */
static void fill_l1(struct writing *w)
{
    struct l1 *l1 = w->space->cache->l1;
    uint16_t slots[NIGH_TAGS_MAX];
    struct l1_value value = l1_value_of(w, w->ticket, slots);
    struct l1_entry *e;
    w->refused = is_oversize(w);
    if (w->refused || l1_entry_create(l1, &w->key, &value, &e) != 0)
        return;
    note_result(w, &value, l1_store(l1, &w->key, e));
    l1_entry_unref(e);
}

/* The value in place of what is there. `heard`: the floor that its own frame has raised, or 0. */
static void write_l1(struct writing *w, uint64_t heard)
{
    uint16_t slots[NIGH_TAGS_MAX];
    struct l1_value value = l1_value_of(w, 0, slots);
    note_result(w, &value,
                l1_write(w->space->cache->l1, &w->key, &value, w->ticket, heard, w->only_newer));
}

/* Whether no tag, space or `all` was invalidated since the ticket. */
static bool groups_current(const struct writing *w)
{
    uint16_t slots[NIGH_TAGS_MAX];
    slots_of(w, slots);
    return l1_judge_groups(&w->space->l1, w->ticket, slots, w->group_count) == L1_CURRENT;
}

static void remove_l1(struct writing *w, uint64_t version)
{
    bool ok;
    l1_invalidate_key(w->space->cache->l1, &w->key, version, w->ticket, &ok);
    w->refused = !ok || !groups_current(w);
}

/* The local step of a change that carries a value. Under the apply lock. */
static void write_here(void *arg, const struct coherence_item *item, bool stored, uint64_t heard)
{
    struct writing *w = arg;
    struct nigh *cache = w->space->cache;
    if (stored)
        write_l1(w, heard);
    else
        remove_l1(w, item->version);
    failures_clear(&cache->failures, w->key.hash);
    struct flight_key key = {w->space, w->space->id, w->key.hash, w->key.data, w->key.len};
    flight_notify(cache->flights, &key, FLIGHT_EV_INVALIDATED);
}

/* ---- L2 ---- */

static uint32_t keep_ms(const struct writing *w)
{
    return w->absent ? 0 : w->space->rules.keep_ms;
}

/* An envelope in general memory (*ret_size bytes), or NULL. */
static void *make_envelope(const struct writing *w, size_t *ret_size)
{
    struct nigh *cache = w->space->cache;
    struct l2_envelope e = {
        .flags = (w->absent ? L2_ENVELOPE_ABSENT : 0) | (w->group_count ? L2_ENVELOPE_TAGGED : 0),
        .name = cache_name_hash(w->space, &w->key),
        .home = w->home,
        .identity = w->position.identity,
        .sequence = w->position.sequence,
        .fill_id = w->token,
        .version = w->version,
        .server_time_ms = coherence_server_time_ms(cache->coherence),
        .soft_ms = w->soft_ms,
        .stale_ms = w->stale_ms,
        .keep_ms = keep_ms(w),
        .groups = w->group_count ? w->tags.groups : NULL,
        .group_count = w->group_count,
        .payload = w->value,
    };
    *ret_size = l2_envelope_size(&e);
    void *buffer = mem_alloc(cache->env.mem, NULL, *ret_size);
    if (buffer)
        l2_envelope_encode(&e, buffer);
    return buffer;
}

/* Whether Redis may have the value, as far as its size goes: L1's limit is looked at elsewhere. */
static bool fits_l2(struct writing *w)
{
    struct l2_envelope e = {.group_count = w->group_count, .payload = w->value};
    if (l2_takes(w->space->cache->l2, l2_envelope_size(&e)))
        return true;
    stats_count(&w->space->stats, STATS_L2_OVERSIZE);
    return false;
}

static uint32_t hard_ms(const struct writing *w)
{
    return lifetime_hard_ms(w->soft_ms, w->stale_ms, keep_ms(w));
}

/* Tell Redis and every node: the key's value is `mode`d with the envelope, or deleted. */
static int change(struct writing *w, enum l2_change_mode mode, const struct nigh_call *call)
{
    struct nigh *cache = w->space->cache;
    size_t size = 0;
    void *envelope = mode == L2_DELETE ? NULL : make_envelope(w, &size);
    if (mode != L2_DELETE && !envelope)
        mode = L2_DELETE; /* no memory for the value: at least nobody keeps the old one */
    struct coherence_item item = {
        .kind = WIRE_KEY,
        .space = bytes_of(w->space->name, w->space->name_len),
        .bytes = bytes_of(w->key.data, w->key.len),
        .version = w->version,
    };
    struct coherence_write write = {&w->space->registered, mode, w->token,
                                    bytes_of(envelope, size), hard_ms(w)};
    struct coherence_change c = {
        .items = &item,
        .item_count = 1,
        .write = mode == L2_DELETE ? NULL : &write,
        .deadline_ns = cache_deadline_ns(cache, call, cache->l2_deadline_ms),
        .local_key = write_here,
        .local_arg = w,
    };
    int rc = coherence_change(cache->coherence, &c, NULL);
    mem_free(cache->env.mem, NULL, envelope, size);
    return rc;
}

/* Without Redis the local step is the whole change. No flight waits for another process here, so
 * none has to hear of it: floors tell those that load. */
static void change_l1_only(struct writing *w, bool keep)
{
    if (keep && !is_oversize(w)) {
        write_l1(w, 0);
    } else {
        remove_l1(w, w->version);
        w->refused |= keep;
    }
    failures_clear(&w->space->cache->failures, w->key.hash);
}

/* ---- put ---- */

/* Fill L2 under the token of a miss, which is used up if Redis has answered: the fill drops the
 * lease. L2_REFUSED also when it could not be sent. */
static enum l2_verdict fill_l2(struct writing *w, struct nigh_miss *miss, uint64_t deadline_ns)
{
    struct nigh *cache = w->space->cache;
    size_t size;
    void *envelope = make_envelope(w, &size);
    if (!envelope)
        return L2_REFUSED;
    uint8_t frame[COHERENCE_FILL_FRAME_MAX];
    struct l2_key key = cache_l2_key(w->space, w->key.data, w->key.len);
    struct l2_fill fill = {
        .token = miss->token,
        .connection = miss->connection,
        .version = w->version,
        .hard_ms = hard_ms(w),
        .envelope = bytes_of(envelope, size),
        .frame = coherence_fill_frame(cache->coherence, key.space, key.key, frame),
        .registration =
            coherence_register(cache->coherence, &w->space->registered, hard_ms(w)),
    };
    struct l2_sync sync;
    struct l2_op op = l2_sync_op(&sync, &cache->env, deadline_ns);
    int rc = l2_fill(cache->l2, &key, &fill, &op);
    mem_free(cache->env.mem, NULL, envelope, size);
    if (rc != 0)
        return L2_REFUSED;
    struct l2_answer *answer = l2_sync_wait(&sync);
    enum l2_verdict verdict = answer->status == 0 ? answer->verdict : L2_NONE;
    if (answer->status == 0) {
        coherence_note(cache->coherence, answer);
        tickets_remove(w->space, &w->key, miss->token);
        miss->token = 0;
    }
    coherence_registered(cache->coherence, &w->space->registered, answer);
    l2_answer_free(answer);
    bool refused = verdict == L2_REFUSED || verdict == L2_CROWDED;
    stats_count(&w->space->stats, verdict == L2_STORED ? STATS_L2_FILL
                                  : refused            ? STATS_L2_FILL_REFUSED
                                                       : STATS_L2_FILL_ERROR);
    return verdict;
}

/* The fenced fill of get + own read + put. Whatever comes of it, the lease is gone afterwards. */
static int put_missed(struct writing *w, const struct nigh_call *call)
{
    struct nigh *cache = w->space->cache;
    struct nigh_miss *miss = call->miss;
    enum l2_verdict verdict = L2_NONE;
    w->ticket = miss->stamp;
    w->position = (struct coherence_position){miss->clock, miss->sequence};
    w->home = miss->home;
    w->token = miss->token;
    bool oversize = w->value.len > w->space->rules.value_max;
    if (miss->token && !oversize && lookup_l2_usable(w->space, &w->key) && fits_l2(w))
        verdict = fill_l2(w, miss, cache_deadline_ns(cache, call, cache->l2_deadline_ms));
    tickets_give_back(w->space, &w->key, miss);
    if (verdict == L2_REFUSED && w->version != 0)
        return NIGH_REFUSED;
    fill_l1(w);
    if (verdict == L2_REFUSED || verdict == L2_CROWDED || w->refused)
        return NIGH_REFUSED;
    return w->full && verdict != L2_STORED ? NIGH_EFULL : 0;
}

static int put_l1_only(struct writing *w)
{
    w->ticket = L1_TICKET_NOW; /* the last arrival wins: nothing that came before it counts */
    w->only_newer = true;      /* where versions can be compared */
    change_l1_only(w, true);
    return w->refused ? NIGH_REFUSED : w->full ? NIGH_EFULL : 0;
}

static int put_with_l2(struct writing *w, const struct nigh_call *call)
{
    if (call && call->miss)
        return put_missed(w, call);
    w->token = coherence_token(w->space->cache->coherence);
    w->home = coherence_home(w->space->cache->coherence);
    if (w->value.len > w->space->rules.value_max || !fits_l2(w)) {
        int rc = change(w, L2_DELETE, call);
        return rc == 0 ? NIGH_REFUSED : rc;
    }
    return change(w, w->version != 0 ? L2_SET_NEWER : L2_SET, call);
}

/* Without Redis nothing in it can be cancelled, and it is too short to pay for that. */
static int put(struct writing *w, const struct nigh_call *call)
{
    struct caller caller;
    if (!w->space->cache->coherence) {
        caller_notice();
        return call && call->miss ? put_missed(w, call) : put_l1_only(w);
    }
    caller_enter(&caller);
    int rc = put_with_l2(w, call);
    drive_flush(w->space->cache);
    caller_leave(&caller);
    return rc;
}

/* The call's key and options are good, but nothing was put: so goes its ticket. */
static int put_nothing(struct nigh_space *space, const void *key, size_t key_len,
                       const struct nigh_call *call, int rc)
{
    if (call)
        nigh_miss_release(space, key, key_len, call->miss);
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
    struct writing w;
    rc = init(&w, space, key, key_len, bytes_of(value, len), call);
    if (rc != 0)
        return put_nothing(space, key, key_len, call, rc);
    rc = put(&w, call);
    fini(&w);
    return rc;
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
    rc = init(&w, space, key, key_len, bytes_of("", 0), call);
    if (rc != 0)
        return put_nothing(space, key, key_len, call, rc);
    w.absent = true;
    set_lifetimes(&w, call);
    if (w.soft_ms == 0)
        rc = put_nothing(space, key, key_len, call, NIGH_REFUSED);
    else
        rc = put(&w, call);
    fini(&w);
    return rc;
}

/* ---- write through ---- */

/*
 * Fence the key: no loader that read the origin before now may fill it. Best effort: without it the
 * script still deletes what such a loader has filled.
 *
 * True: Redis has executed it, so the token is worth something. If the lease is taken only later,
 * after our commit, then another writer's commit and its script may lie in between, and ours would
 * find its token in the lease and set the older value.
 */
static bool fence(struct writing *w, uint64_t deadline_ns)
{
    struct nigh *cache = w->space->cache;
    struct l2_key key = cache_l2_key(w->space, w->key.data, w->key.len);
    struct l2_sync sync;
    struct l2_op op = l2_sync_op(&sync, &cache->env, deadline_ns);
    uint64_t token = coherence_token(cache->coherence);
    if (l2_override(cache->l2, &key, token, leases_time_ms(w->space), &op) != 0)
        return false;
    w->token = token;
    struct l2_answer *answer = l2_sync_wait(&sync);
    bool fenced = answer->status == 0;
    if (fenced) {
        coherence_note(cache->coherence, answer);
        w->home = answer->home;
    }
    l2_answer_free(answer);
    return fenced;
}

/* No change has dropped it, or not yet. What loads of before the commit read they cannot fill: the
 * fence has taken their leases. */
static void lower_fence(struct writing *w)
{
    if (w->token)
        leases_give_back(w->space, &w->key, w->token);
    w->token = 0;
}

/* After the commit. Where its schema has no place the value is not stored: no failure. */
static int tell(struct writing *w, enum l2_change_mode mode, const struct nigh_call *call)
{
    int rc = change(w, mode, call);
    if (rc == NIGH_REFUSED)
        return 0;
    if (rc != 0)
        lower_fence(w);
    return rc;
}

/* The writer on its way. On the heap, with its key, since it may not return: then the call's frame,
 * and its caller's, may be gone. */
struct commit {
    struct callback callback;
    struct writing w;
    struct nigh_write_op op;
    int rc;
    uint8_t key[];
};

static void free_commit(struct commit *c)
{
    fini(&c->w);
    mem_free(c->w.space->cache->env.mem, NULL, c, sizeof(*c) + c->w.key.len);
}

static void call_writer(struct callback *callback)
{
    struct commit *c = CONTAINER_OF(callback, struct commit, callback);
    c->rc = c->w.space->writer(c->w.space->arg, &c->op);
}

/* It may have committed before it threw, or jumped: whoever has an old value must not keep it. This
 * gives the lease back, too. */
static void commit_ended(struct callback *callback, enum unwind_how how)
{
    struct commit *c = CONTAINER_OF(callback, struct commit, callback);
    (void)how;
    if (!callback->left && c->w.space->cache->coherence)
        (void)tell(&c->w, L2_DELETE, NULL);
    else if (!callback->left)
        change_l1_only(&c->w, false);
    free_commit(c);
}

/* The cache closes. The other nodes need not wait for the end of the lease. */
static void commit_left(struct callback *callback)
{
    struct commit *c = CONTAINER_OF(callback, struct commit, callback);
    lower_fence(&c->w);
}

static struct commit *make_commit(const struct writing *w, bool deletes)
{
    struct nigh *cache = w->space->cache;
    struct commit *c = mem_alloc(cache->env.mem, NULL, sizeof(*c) + w->key.len);
    if (!c)
        return NULL;
    c->w = *w;
    c->w.key.data = memcpy(c->key, w->key.data, w->key.len);
    c->callback = (struct callback){
        .space = w->space,
        .key = bytes_of(c->key, w->key.len),
        .what = "writer",
        .run = call_writer,
        .ended = commit_ended,
        .leave = commit_left,
    };
    c->op = (struct nigh_write_op){
        .size = sizeof(c->op),
        .key = c->key,
        .key_len = w->key.len,
        .value = deletes ? NULL : w->value.data,
        .value_len = w->value.len,
        .version = w->version,
    };
    return c;
}

static int commit(struct writing *w)
{
    struct commit *c = CONTAINER_OF(w, struct commit, w);
    if (!callback_run(&c->callback))
        return NIGH_ECLOSED;
    return c->rc == 0 ? 0 : NIGH_EWRITER;
}

static int write_through(struct writing *w, bool deletes, const struct nigh_call *call)
{
    struct nigh *cache = w->space->cache;
    bool keep = !deletes && w->version != 0 && w->value.len <= w->space->rules.value_max;
    bool fenced = cache->l2 && fence(w, cache_deadline_ns(cache, call, cache->l2_deadline_ms));
    int rc = commit(w);
    if (rc == NIGH_ECLOSED)
        return rc;
    if (rc != 0) {
        lower_fence(w);
        return rc;
    }
    if (!cache->coherence) {
        change_l1_only(w, keep);
        return 0;
    }
    return tell(w, keep && fenced && fits_l2(w) ? L2_SET_TOKEN : L2_DELETE, call);
}

int nigh_write(struct nigh_space *space, const void *key, size_t key_len, const void *value,
               size_t len, const struct nigh_call *call)
{
    int rc = cache_check(space, key, key_len, call);
    if (rc != 0)
        return rc;
    if (!space->writer || (!value && len > 0))
        return NIGH_EINVAL;
    struct writing w;
    rc = init(&w, space, key, key_len, bytes_of(value, len), call);
    if (rc != 0)
        return rc;
    struct commit *c = make_commit(&w, !value);
    if (!c) {
        fini(&w);
        return NIGH_ENOMEM;
    }
    struct caller caller;
    caller_enter(&caller);
    rc = write_through(&c->w, !value, call);
    drive_flush(space->cache);
    free_commit(c);
    caller_leave(&caller);
    return rc;
}
