// SPDX-License-Identifier: MIT
/*
 * A put or write on its way into L1 and Redis.
 *
 * A change is one script in Redis; then here, under the apply lock, the key's floor rises, its
 * entry goes, and the written value enters only if Redis set it and no other invalidation came
 * between (rule 6: two threads whose replies swap). In a space whose values stay out of Redis it
 * enters if Redis has executed the change, under the same conditions.
 */
#include "cache/write/writing.h"

#include "cache/hot.h"
#include "cache/sample.h"
#include "cache/space_l1.h"

static NIGH_OUTLINED void note_marked_put(struct nigh_space *space, const struct l1_key *key,
                                          const struct l1_value *value,
                                          enum l1_store_result result)
{
    bool outdated = result == L1_REFUSED_FLOOR || result == L1_REFUSED_VERSION;
    enum nigh_trace_outcome outcome = result == L1_STORED ? NIGH_TRACE_FRESH : NIGH_TRACE_REFUSED;
    sample_note_value(space, key,
                      (struct sample_event){NIGH_TRACE_PUT, outcome, (uint32_t)value->bytes.len, 0},
                      outdated ? NULL : value);
}

static inline void note_put(struct nigh_space *space, const struct l1_key *key,
                            const struct l1_value *value, enum l1_store_result result)
{
    if (sample_takes(space, key->hash))
        note_marked_put(space, key, value, result);
}

/* L1 drew the lifetimes of a plain value itself: they are in the entry. If that has gone they were
 * about what the space says. */
static NIGH_OUTLINED void note_marked_plain(struct nigh_space *space, const struct l1_key *key,
                                            struct bytes bytes, enum l1_store_result result)
{
    uint64_t now_ns = clock_coarse_ns(&space->cache->clock);
    struct l1_value value = {.bytes = bytes};
    value.fresh_until_ns = now_ns + space->rules.soft_ttl_ms * NS_PER_MS;
    value.stale_until_ns = value.fresh_until_ns + space->rules.stale_ms * NS_PER_MS;
    rcu_enter();
    const struct l1_entry *e = space_l1_find_rcu(space, key);
    if (e) {
        value.fresh_until_ns = l1_entry_fresh_until_ns(e);
        value.stale_until_ns = l1_entry_stale_until_ns(e);
    }
    rcu_leave();
    note_marked_put(space, key, &value, result);
}

/* Lifetimes are spread by what differs from key to key and from put to put: a number drawn from the
 * cache's generator would be a write to a line that all writers share. */
void writing_set_lifetimes(struct writing *w, const struct nigh_call *call)
{
    uint64_t noise = (w->draft.key.hash ^ w->draft.ticket) * HASH_GOLDEN;
    draft_set_lifetimes(&w->draft, call->soft_ttl_ms, call->stale_ms, noise, noise * HASH_GOLDEN);
}

static int add_tags(struct writing *w, const char *const *tags, size_t count)
{
    struct mem *mem = w->draft.space->cache->env.mem;
    if (!tags)
        return NIGH_EINVAL;
    for (size_t i = 0; i < count; i++) {
        int rc = tags_add(&w->tags, mem, tags[i]);
        if (rc != 0) {
            tags_fini(&w->tags, mem);
            return rc;
        }
    }
    w->draft.tags = tags_hashes(&w->tags);
    w->draft.tag_count = w->tags.count;
    return 0;
}

void writing_look_anew(struct writing *w)
{
    struct nigh *cache = w->draft.space->cache;
    w->draft.ticket = l1_ticket(cache->l1);
    if (cache->coherence)
        w->draft.position = coherence_position(cache->coherence);
}

int writing_init(struct writing *w, struct nigh_space *space, const void *key, size_t key_len,
                 struct bytes value, const struct nigh_call *call)
{
    static const struct nigh_call none = NIGH_CALL_INIT;
    const struct l1_key k = {key, (uint32_t)key_len, space->id, l1_hash(&space->l1, key, key_len)};
    if (!call)
        call = &none;
    if (value.len > NIGH_VALUE_MAX)
        return NIGH_EVALUE;
    l1_prefetch_write(space_l1(space), &k);
    *w = (struct writing){.draft = {
                              .space = space,
                              .key = k,
                              .bytes = value,
                              .version = call->version,
                          }};
    writing_look_anew(w);
    writing_set_lifetimes(w, call);
    return call->tag_count ? add_tags(w, call->tags, call->tag_count) : 0;
}

void writing_fini(struct writing *w)
{
    tags_fini(&w->tags, w->draft.space->cache->env.mem);
}

/* ---- L1 ---- */

/* Describe the value to L1, as of now; the slots of its groups lie in `slots`. */
static struct l1_value l1_value_now(struct writing *w, uint16_t slots[NIGH_TAGS_MAX])
{
    draft_begin_now(&w->draft);
    return draft_l1_value(&w->draft, slots);
}

/* Note and count how a store went. Without Redis L1 is all there is: a value that it never takes is
 * refused. */
static void note_result(struct writing *w, const struct l1_value *value,
                        enum l1_store_result result)
{
    const struct nigh *cache = w->draft.space->cache;
    if (NIGH_LIKELY(result == L1_STORED)) {
        stats_count(&w->draft.space->stats, STATS_L1_STORE);
        w->refused = w->full = false;
        return;
    }
    bool too_large = result == L1_REFUSED_FULL &&
                     !l1_takes(space_l1(w->draft.space), &w->draft.key, value);
    if (too_large)
        stats_count(&w->draft.space->stats, STATS_L1_OVERSIZE);
    else
        space_l1_count_store(w->draft.space, result);
    w->outdated = result == L1_REFUSED_VERSION;
    w->refused = result == L1_REFUSED_FLOOR || result == L1_REFUSED_VERSION ||
                 (too_large && !cache->coherence);
    w->full = result == L1_REFUSED_FULL && !too_large && !l1_evicts(cache->l1);
}

void writing_fill_l1(struct writing *w)
{
    uint16_t slots[NIGH_TAGS_MAX];
    struct l1_value value = l1_value_now(w, slots);
    struct l1_entry *e;
    w->refused = !draft_within_limit(&w->draft);
    if (w->refused || l1_entry_create(space_l1(w->draft.space), &w->draft.key, &value, &e) != 0)
        return;
    enum l1_store_result result = space_l1_store(w->draft.space, &w->draft.key, e);
    note_result(w, &value, result);
    note_put(w->draft.space, &w->draft.key, &value, result);
    l1_entry_unref(e);
}

/* Write the value in place of what L1 has. The floor that its own frame has raised does not count,
 * unless the one before it does. Returns the stamp of its entry; 0: not stored. */
static uint64_t write_l1(struct writing *w, struct coherence_heard heard)
{
    uint64_t stamp;
    struct draft *d = &w->draft;
    uint16_t slots[NIGH_TAGS_MAX];
    struct l1_value value = l1_value_now(w, slots);
    enum l1_store_result result =
        space_l1_write(d->space, &d->key, &value, d->ticket,
                       d->ticket >= heard.before ? heard.floor : 0, w->only_newer, &stamp);
    note_result(w, &value, result);
    note_put(d->space, &d->key, &value, result);
    return result == L1_STORED ? stamp : 0;
}

static NIGH_OUTLINED int plain_refused(struct nigh_space *space, const struct l1_key *key,
                                       struct bytes value, enum l1_store_result result)
{
    struct writing w = {.draft = {.space = space, .key = *key}};
    note_result(&w, &(struct l1_value){.bytes = value}, result);
    return writing_outcome(&w);
}

int writing_put_plain(struct nigh_space *space, const void *key, size_t key_len,
                      struct bytes value)
{
    struct l1_key k = {key, (uint32_t)key_len, space->id, l1_hash(&space->l1, key, key_len)};
    enum l1_store_result result = space_l1_put(space, space_l1(space), &k, value);
    failures_clear(&space->cache->failures, k.hash);
    if (sample_takes(space, k.hash))
        note_marked_plain(space, &k, value, result);
    if (NIGH_LIKELY(result == L1_STORED)) {
        stats_count(&space->stats, STATS_L1_STORE);
        return 0;
    }
    return plain_refused(space, &k, value, result);
}

/* Whether no tag, space or `all` was invalidated since the ticket. */
static bool groups_current(const struct draft *d)
{
    uint16_t own[NIGH_TAGS_MAX];
    const uint16_t *slots;
    uint32_t count = draft_slots(d, own, &slots);
    return l1_judge_groups(&d->space->l1, d->ticket, slots, count) == L1_CURRENT;
}

static void remove_l1(struct writing *w, uint64_t version, uint64_t made_ns)
{
    struct draft *d = &w->draft;
    bool ok;
    space_l1_invalidate(d->space, &d->key, version, 0, d->ticket, &ok);
    sample_note(d->space, &d->key, (struct sample_event){
        NIGH_TRACE_INVALIDATE, NIGH_TRACE_FRESH, 0, 0});
    hot_change(d->space, &d->key);
    l1_note_change(d->space->cache->l1, &d->key, 0, made_ns);
    w->refused = !ok || !groups_current(d);
}

uint64_t writing_settle(struct writing *w, const struct coherence_item *item, bool stored,
                        struct coherence_heard heard)
{
    const struct l1_key *key = &w->draft.key;
    struct nigh_space *space = w->draft.space;
    uint64_t stamp = 0;
    stored = stored && (w->keeps || !space->rules.invalidations_only);
    if (stored) {
        stamp = write_l1(w, heard);
        hot_change(space, key);
    } else {
        remove_l1(w, item->version, item->made_ns);
    }
    failures_clear(&space->cache->failures, key->hash);
    cache_notify(space, key, FLIGHT_EV_INVALIDATED);
    w->put = stored && !(w->keeps && w->outdated);
    return stamp;
}

/* ---- L2 ---- */

struct coherence_item writing_item(const struct writing *w)
{
    const struct draft *d = &w->draft;
    return (struct coherence_item){
        .kind = WIRE_KEY,
        .space = bytes_of(d->space->name, d->space->name_len),
        .bytes = bytes_of(d->key.data, d->key.len),
        .version = d->version,
        .made_ns = clock_coarse_ns(&d->space->cache->clock),
    };
}

struct coherence_write writing_value(struct writing *w, enum l2_change_mode mode)
{
    const struct draft *d = &w->draft;
    size_t size = 0;
    w->keeps = mode != L2_DELETE && d->space->rules.invalidations_only;
    w->only_newer = w->keeps; /* where Redis compares versions, L1 need not */
    void *envelope = mode == L2_DELETE || w->keeps ? NULL : draft_envelope(d, &size);
    return (struct coherence_write){
        .schema = &d->space->registered,
        .mode = envelope ? mode : L2_DELETE,
        .token = d->token,
        .envelope = bytes_of(envelope, size),
        .hard_ms = draft_hard_ms(d),
    };
}

void writing_value_free(const struct writing *w, struct coherence_write *value)
{
    mem_free(w->draft.space->cache->env.mem, NULL, (void *)(uintptr_t)value->envelope.data,
             value->envelope.len);
}

static uint64_t write_here(void *arg, const struct coherence_item *item, bool stored,
                           struct coherence_heard heard)
{
    return writing_settle(arg, item, stored, heard);
}

/* Fills in what a change has in common that is waited for, and one in the background, makes it, and
 * frees the value. Where there is no memory for that a put does nothing; what a writer has
 * committed is told all the same. */
static int change(struct writing *w, struct coherence_change *c, enum l2_change_mode mode)
{
    struct nigh *cache = w->draft.space->cache;
    struct coherence_item item = writing_item(w);
    struct coherence_write value = writing_value(w, mode);
    bool lost = writing_value_lost(w, mode, &value);
    if (lost && mode != L2_SET_TOKEN)
        return NIGH_ENOMEM;
    if (lost && c->background)
        stats_count(&cache->stats, STATS_BACKGROUND_LOST);
    c->items = &item;
    c->item_count = 1;
    c->writes = value.mode == L2_DELETE ? NULL : &value;
    c->local_arg = w;
    c->keeps = w->keeps && !c->background; /* in the background it only deletes: nigh/write.h */
    int rc = coherence_change(cache->coherence, c, NULL);
    writing_value_free(w, &value);
    return rc;
}

int writing_change(struct writing *w, enum l2_change_mode mode, const struct nigh_call *call)
{
    struct coherence_change c = {
        .deadline_ns = cache_l2_deadline_ns(w->draft.space->cache, call),
        .local_key = write_here,
    };
    return change(w, &c, mode);
}

/* Redis will order the value after all that it has executed, so no floor of its key that stands now
 * counts against it. Those of its groups do: the value may be older. */
static uint64_t write_behind(void *arg, const struct coherence_item *item, bool stored,
                             struct coherence_heard heard)
{
    struct writing *w = arg;
    heard = (struct coherence_heard){.floor = l1_ticket(w->draft.space->cache->l1)};
    return writing_settle(w, item, stored, heard);
}

/* A value that nothing asks Redis to judge is in L1 at once. Another one enters it with the next
 * read, if Redis has set it. */
int writing_change_behind(struct writing *w, enum l2_change_mode mode,
                          const struct nigh_call *call, struct coherence_waiter *waiter)
{
    struct nigh *cache = w->draft.space->cache;
    struct coherence_change c = {
        .deadline_ns = cache_deadline_ns(cache, call, coherence_trust_ms(cache->coherence)),
        .background = true,
        .waiters = waiter,
        .local_key = write_behind,
    };
    return change(w, &c, mode);
}

/* No flight waits for another process here, so none has to hear of it: floors tell those that
 * load. */
void writing_change_l1_only(struct writing *w, bool keep)
{
    if (keep && draft_within_limit(&w->draft)) {
        write_l1(w, (struct coherence_heard){0, 0});
    } else {
        remove_l1(w, w->draft.version, 0);
        if (keep)
            l1_note_fate(w->draft.space->cache->l1, &w->draft.key, L1_FATE_OVERSIZE, 0);
        w->refused |= keep;
    }
    failures_clear(&w->draft.space->cache->failures, w->draft.key.hash);
}
