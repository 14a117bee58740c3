// SPDX-License-Identifier: MIT
/*
 * A put or write on its way into L1 and Redis.
 *
 * A change is one script in Redis; then here, under the apply lock, the key's floor rises, its
 * entry goes, and the written value enters only if Redis set it and no other invalidation came
 * between (rule 6: two threads whose replies swap).
 */
#include "cache/writing.h"

#include "cache/lifetime.h"
#include "cache/lookup.h"

/* Spread by what differs from key to key and from put to put: a number drawn from the cache's
 * generator would be a write to a line that all writers share. */
void writing_set_lifetimes(struct writing *w, const struct nigh_call *call)
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

int writing_init(struct writing *w, struct nigh_space *space, const void *key, size_t key_len,
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
    writing_set_lifetimes(w, call);
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

void writing_fini(struct writing *w)
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

void writing_fill_l1(struct writing *w)
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

/* Lifetimes are spread by the key and by the time, which a put reads anyway. */
int writing_put_plain(struct nigh_space *space, const void *key, size_t key_len,
                      struct bytes value)
{
    struct nigh *cache = space->cache;
    const struct rules *rules = &space->rules;
    uint64_t hash = l1_hash(&space->l1, key, key_len);
    struct l1_key k = {key, (uint32_t)key_len, space->id, hash};
    l1_prefetch_write(cache->l1, &k);
    uint64_t now_ns = clock_coarse_ns(&cache->clock);
    uint64_t noise = (hash ^ now_ns) * HASH_GOLDEN;
    uint64_t soft_ms = lifetime_ms(0, rules->soft_ttl_ms, rules->jitter_percent, noise);
    uint64_t stale_ms =
        lifetime_ms(0, rules->stale_ms, rules->jitter_percent, noise * HASH_GOLDEN);
    struct l1_value v = {
        .bytes = value,
        .born_ns = (int64_t)now_ns,
        .fresh_until_ns = now_ns + soft_ms * NS_PER_MS,
        .stale_until_ns = now_ns + (soft_ms + stale_ms) * NS_PER_MS,
    };
    enum l1_store_result result = l1_put(cache->l1, &k, &v);
    failures_clear(&cache->failures, hash);
    if (NIGH_LIKELY(result == L1_STORED)) {
        stats_count(&space->stats, STATS_L1_STORE);
        return 0;
    }
    struct writing w = {.space = space, .key = k};
    note_result(&w, &v, result);
    return writing_outcome(&w);
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

void *writing_envelope(const struct writing *w, size_t *ret_size)
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

bool writing_fits_l2(struct writing *w)
{
    struct l2_envelope e = {.group_count = w->group_count, .payload = w->value};
    if (l2_takes(w->space->cache->l2, l2_envelope_size(&e)))
        return true;
    stats_count(&w->space->stats, STATS_L2_OVERSIZE);
    return false;
}

uint32_t writing_hard_ms(const struct writing *w)
{
    return lifetime_hard_ms(w->soft_ms, w->stale_ms, keep_ms(w));
}

int writing_change(struct writing *w, enum l2_change_mode mode, const struct nigh_call *call)
{
    struct nigh *cache = w->space->cache;
    size_t size = 0;
    void *envelope = mode == L2_DELETE ? NULL : writing_envelope(w, &size);
    if (mode != L2_DELETE && !envelope)
        mode = L2_DELETE; /* no memory for the value: at least nobody keeps the old one */
    struct coherence_item item = {
        .kind = WIRE_KEY,
        .space = bytes_of(w->space->name, w->space->name_len),
        .bytes = bytes_of(w->key.data, w->key.len),
        .version = w->version,
    };
    struct coherence_write write = {&w->space->registered, mode, w->token,
                                    bytes_of(envelope, size), writing_hard_ms(w)};
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

/* No flight waits for another process here, so none has to hear of it: floors tell those that
 * load. */
void writing_change_l1_only(struct writing *w, bool keep)
{
    if (keep && !is_oversize(w)) {
        write_l1(w, 0);
    } else {
        remove_l1(w, w->version);
        w->refused |= keep;
    }
    failures_clear(&w->space->cache->failures, w->key.hash);
}
