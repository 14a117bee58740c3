// SPDX-License-Identifier: MIT
// A change consists of one script in Redis, then the local step before the call returns
// (rule 6). Who sends the one and does the other: issue.c, combine.c, retry.c.
//
//   accepted, our clock      positions, floors; applied, if it is the next; the call is finished
//   accepted, another clock  follow none, floors
//   refused (newer there)    the same: what is older than the refused value is older than the truth
//
// A call whose outcome is unknown is not finished: should its frame come after all, it is applied
// like another node's, at its position, which the local step did not know.

#include "coherence/change.h"
#include "coherence/apply.h"
#include "coherence/keeper.h"
#include "coherence/message.h"
#include "coherence/queue.h"
#include "coherence/recent.h"
#include "coherence/schemas.h"
#include "coherence/state.h"

/* ---- the script's arguments ---- */

static bool is_key(const struct coherence_item *item)
{
    return item->kind == WIRE_KEY;
}

/* Counts runs of keys of one space: each needs the schemas of that space once. */
static uint32_t count_runs(const struct coherence_item *items, uint32_t count)
{
    uint32_t runs = 0;
    const struct coherence_item *last = NULL;
    for (uint32_t i = 0; i < count; i++) {
        if (!is_key(&items[i]))
            continue;
        runs += !last || !bytes_equal(last->space, items[i].space);
        last = &items[i];
    }
    return runs;
}

/* A script while it is made. */
struct making {
    struct coherence *c;
    const struct coherence_write *writes;
    uint32_t hard_ms; /* the longest of their lifetimes */
    struct bytes text; /* the list of schemas, as Redis has it */
    struct l2_change_key *keys;
    struct l2_change_group *groups;
    struct bytes *schemas; /* room for the next run */
    struct l2_change *change;
};

static struct l2_change_key key_of(struct making *m, const struct coherence_item *item)
{
    const struct l2_change_key *last =
        m->change->key_count ? &m->keys[m->change->key_count - 1] : NULL;
    struct l2_change_key key = {
        .key = {item->space, bytes_of("", 0), item->bytes},
        .mode = L2_DELETE,
        .version = item->version,
    };
    if (last && bytes_equal(last->key.space, item->space)) {
        key.key.schema = last->key.schema;
        key.schemas = last->schemas;
        key.schema_count = last->schema_count;
        return key;
    }
    key.key.schema = m->c->config.sink.schema(m->c->config.sink.arg, item->space);
    key.schemas = m->schemas;
    key.schema_count = schemas_of(m->text, item->space, key.key.schema, m->schemas);
    m->schemas += SCHEMAS_MAX;
    return key;
}

static void add_write(struct making *m, struct l2_change_key *key,
                      const struct coherence_write *write)
{
    if (write->mode == L2_DELETE)
        return;
    key->mode = write->mode;
    key->token = write->token;
    key->envelope = write->envelope;
    key->hard_ms = write->hard_ms;
    if (write->mode == L2_REPLACE)
        key->version = write->version;
    if (write->hard_ms <= m->hard_ms)
        return;
    m->hard_ms = write->hard_ms;
    m->change->registration = coherence_register(m->c, write->schema, write->hard_ms);
}

/* Sorts the items into keys and groups. */
static void fill_change(struct making *m, const struct coherence_item *items, uint32_t count)
{
    struct l2_change *change = m->change;
    for (uint32_t i = 0; i < count; i++) {
        const struct coherence_item *item = &items[i];
        if (!is_key(item)) {
            m->groups[change->group_count++] = (struct l2_change_group){
                coherence_item_slot(item, m->c->config.group_slots), item->soft};
            continue;
        }
        struct l2_change_key key = key_of(m, item);
        if (m->writes)
            add_write(m, &key, &m->writes[i]);
        m->keys[change->key_count++] = key;
    }
}

/* Returns the number of the next call, and notes when the oldest of its items was made. */
static uint64_t begin_call(struct coherence *c, const struct coherence_item *items, uint32_t count)
{
    uint64_t now_ns = clock_coarse_ns(c->config.env->clock);
    uint64_t since_ns = now_ns, made_ns = now_ns;
    for (uint32_t i = 0; i < count; i++) {
        since_ns = u64_min(since_ns, items[i].since_ns ? items[i].since_ns : now_ns);
        made_ns = u64_min(made_ns, items[i].made_ns ? items[i].made_ns : now_ns);
    }
    uint64_t number = 1 + atomic_fetch_add_explicit(&c->changes->calls, 1, memory_order_relaxed);
    uint64_t call = coherence_call(number, (now_ns - since_ns) / NS_PER_MS);
    coherence_begin_call(c, call, made_ns);
    return call;
}

int coherence_script_make(struct coherence *c, const struct coherence_item *items, uint32_t count,
                          const struct coherence_write *writes, struct coherence_script *ret)
{
    size_t keys_size = count * sizeof(struct l2_change_key);
    size_t schemas_size = count_runs(items, count) * SCHEMAS_MAX * sizeof(struct bytes);
    size_t groups_size = count * sizeof(struct l2_change_group);
    size_t tail_size = coherence_tail_size(items, count);
    size_t size = keys_size + schemas_size + groups_size + tail_size;
    uint8_t *block = mem_alloc(c->config.env->mem, NULL, size);
    if (!block)
        return NIGH_ENOMEM;
    uint8_t *groups = block + keys_size + schemas_size;
    uint8_t *tail = groups + groups_size;
    uint64_t call = begin_call(c, items, count);
    coherence_tail_encode(tail, c->incarnation, call, items, count);
    struct schema_list *list = schemas_take(c->schemas);
    *ret = (struct coherence_script){
        .block = block,
        .size = size,
        .schemas = list,
        .change = {.keys = (void *)block,
                   .groups = (void *)groups,
                   .nonce = random_id(c->config.env->random),
                   .schemas = list ? list->token : 0,
                   .old_nodes = list && list->old_nodes,
                   .frame = {coherence_message_head(), bytes_of(tail, tail_size)}},
        .call = call,
        .known = coherence_position(c),
    };
    coherence_probe_begin(c, ret->change.nonce);
    struct making m = {
        .c = c,
        .writes = writes,
        .text = list ? bytes_of(list->text, list->len) : bytes_of("", 0),
        .keys = (void *)block,
        .groups = (void *)groups,
        .schemas = (void *)(block + keys_size),
        .change = &ret->change,
    };
    fill_change(&m, items, count);
    return 0;
}

void coherence_script_free(struct coherence *c, struct coherence_script *s)
{
    schemas_drop(s->schemas, c->config.env->mem);
    mem_free(c->config.env->mem, NULL, s->block, s->size);
}

/* ---- the local step ---- */

static void settle_item_locked(struct coherence *c, const struct coherence_accepted *a,
                               const struct coherence_item *item, bool stored, uint64_t sequence)
    REQUIRES(c->state->apply_lock)
{
    struct coherence_item named = *item;
    if (is_key(item) && a->key) {
        struct coherence_heard heard = {0, 0};
        if (sequence)
            heard = coherence_heard_locked(c, a->call);
        uint64_t own = a->key(a->arg, item, stored, heard);
        if (a->puts && own)
            coherence_queue_set_own(c, item, own);
        return;
    }
    named.made_ns = item->made_ns ? item->made_ns : a->made_ns;
    if (a->queued && is_key(item))
        named.own = coherence_queue_own(c, item, stored);
    coherence_apply_item_locked(c, &named, sequence);
}

static void settle_items_locked(struct coherence *c, const struct coherence_accepted *a,
                                uint64_t sequence) REQUIRES(c->state->apply_lock)
{
    size_t keys = 0;
    for (uint32_t i = 0; i < a->item_count; i++) {
        bool set = a->wrote ? l2_verdict_at(a->answer, keys) == L2_STORED
                            : a->puts && a->puts[i].mode == L2_SET;
        settle_item_locked(c, a, &a->items[i], set || a->keeps, sequence);
        keys += is_key(&a->items[i]);
    }
}

/* Rule 13: notes the change, which may have to be told again. */
static void note_recent_locked(struct coherence *c, const struct coherence_accepted *a)
    REQUIRES(c->state->apply_lock)
{
    uint64_t now_ns = clock_now_ns(c->config.env->clock);
    for (uint32_t i = 0; i < a->item_count; i++)
        if (!a->noted || !a->noted[i])
            recent_note(c->recent, &a->items[i], a->answer->clock.identity, now_ns);
}

/* Whether a change that was accepted under the followed clock shows another history. Its position
 * must be above those that were known when it was made; if it is the next one, the change before it
 * must be the last applied; and at its position nothing else may have been seen. (It will be told
 * again: see note_recent_locked().) */
static bool is_rewound_locked(const struct coherence *c, const struct coherence_accepted *a)
    REQUIRES(c->state->apply_lock)
{
    const struct l2_clock *clock = &a->answer->clock;
    if (a->known.identity == clock->identity && clock->sequence <= a->known.sequence)
        return true;
    return !coherence_chain_agrees(&c->state->chain, clock->sequence, a->nonce) ||
           (clock->sequence == c->state->chain.applied + 1 &&
            !coherence_chain_goes_on_from(&c->state->chain, a->answer->previous));
}

static void settle_followed_locked(struct coherence *c, const struct coherence_accepted *a)
    REQUIRES(c->state->apply_lock)
{
    uint64_t sequence = a->answer->clock.sequence;
    bool rewound = is_rewound_locked(c, a);
    settle_items_locked(c, a, sequence);
    if (rewound)
        coherence_rewound_locked(c);
    else
        coherence_applied_locked(c, sequence, a->nonce);
    coherence_finish_call_locked(c, a->call);
}

bool coherence_settle(struct coherence *c, const struct coherence_accepted *a)
{
    if (a->answer->took_ns)
        stats_time(c->config.stats, STATS_LATENCY_CHANGE, a->answer->took_ns);
    pthread_mutex_lock(&c->state->apply_lock);
    coherence_meet_locked(c, a->answer);
    if (a->answer->counted)
        c->state->listeners = a->answer->heard;
    note_recent_locked(c, a);
    if (coherence_follows_locked(c, a->answer->clock.identity)) {
        settle_followed_locked(c, a);
    } else {
        coherence_forget_locked(c); /* also when none is followed: a beat may be on its way */
        settle_items_locked(c, a, 0);
    }
    bool followed = coherence_follows_locked(c, a->answer->clock.identity);
    pthread_mutex_unlock(&c->state->apply_lock);
    stats_add(c->config.stats, STATS_INVALIDATE, a->item_count - a->uncounted);
    if (!followed)
        coherence_keeper_want_beat(c);
    return !followed;
}

void coherence_settle_queued_locked(struct coherence *c, const struct coherence_accepted *a,
                                    bool folded)
{
    static const struct coherence_item all_soft = {.kind = WIRE_ALL, .soft = true};
    settle_items_locked(c, a, 0);
    if (folded)
        coherence_apply_item_locked(c, &all_soft, 0);
}

void coherence_settle_queued(struct coherence *c, const struct coherence_accepted *a, bool folded)
{
    pthread_mutex_lock(&c->state->apply_lock);
    coherence_settle_queued_locked(c, a, folded);
    pthread_mutex_unlock(&c->state->apply_lock);
}

/* ---- what fills need ---- */

size_t coherence_fills_frame_size(struct bytes space, const struct bytes *keys, uint32_t count)
{
    size_t size = COHERENCE_TAIL_BYTES + count * (COHERENCE_ITEM_BYTES + space.len);
    for (uint32_t i = 0; i < count; i++)
        size += keys[i].len;
    return size;
}

struct l2_frame coherence_fills_frame(struct coherence *c, struct bytes space,
                                      const struct bytes *keys, uint32_t count, void *buffer)
{
    struct coherence_item items[L2_MANY_MAX];
    NIGH_DCHECK(count <= L2_MANY_MAX);
    for (uint32_t i = 0; i < count; i++)
        items[i] = (struct coherence_item){.kind = WIRE_FILL, .space = space, .bytes = keys[i]};
    coherence_tail_encode(buffer, c->incarnation, 0, items, count);
    return (struct l2_frame){coherence_message_head(),
                             bytes_of(buffer, coherence_tail_size(items, count))};
}

struct l2_frame coherence_fill_frame(struct coherence *c, struct bytes space, struct bytes key,
                                     void *buffer)
{
    return coherence_fills_frame(c, space, &key, 1, buffer);
}

uint64_t coherence_token(struct coherence *c)
{
    return random_id(c->config.env->random);
}
