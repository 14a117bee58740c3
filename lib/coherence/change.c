// SPDX-License-Identifier: MIT
// Changing the truth: one script in Redis, then the local step before the call returns (rule 6).
//
//   accepted, our clock      G, F, A and K if it is the next, the call is finished
//   accepted, another clock  follow none, F; then wait for a beat that is younger than the change
//   refused (newer there)    nothing
//   anything else            queue, then F: L2 is not believed for what is queued, and that must
//                            hold before a reader can take a ticket above F (as G before F)
//
// A call whose outcome is unknown is not finished: should its frame come after all, it is applied
// like another node's, at its position, which the local step did not know.

#include "coherence/state.h"

/* ---- the script's arguments ---- */

static bool is_key(const struct coherence_item *item)
{
    return item->kind == WIRE_KEY;
}

static struct l2_change_key script_key(const struct coherence_script_source *source, uint32_t i)
{
    const struct coherence_item *item = &source->items[i];
    const struct coherence_write *write = i == 0 ? source->write : NULL;
    struct l2_change_key key = {
        .key = {item->space, source->schema(source->arg, i), item->bytes},
        .mode = L2_DELETE,
        .version = item->version,
    };
    if (write) {
        key.mode = write->mode;
        key.token = write->token;
        key.envelope = write->envelope;
        key.hard_ms = write->hard_ms;
    }
    return key;
}

/* Sorts the items into keys and groups. */
static void fill_change(struct coherence *c, const struct coherence_script_source *source,
                        struct l2_change *ret, struct l2_change_key *keys,
                        struct l2_change_group *groups)
{
    ret->keys = keys;
    ret->groups = groups;
    for (uint32_t i = 0; i < source->item_count; i++) {
        const struct coherence_item *item = &source->items[i];
        if (is_key(item))
            keys[ret->key_count++] = script_key(source, i);
        else
            groups[ret->group_count++] = (struct l2_change_group){
                coherence_item_slot(item, c->config.group_slots), item->soft};
    }
}

int coherence_script_make(struct coherence *c, const struct coherence_script_source *source,
                          struct coherence_script *ret)
{
    uint32_t count = source->item_count;
    size_t keys_size = count * sizeof(struct l2_change_key);
    size_t groups_size = count * sizeof(struct l2_change_group);
    size_t tail_size = coherence_tail_size(source->items, count);
    size_t size = keys_size + groups_size + tail_size;
    uint8_t *block = mem_alloc(c->config.env->mem, NULL, size);
    if (!block)
        return NIGH_ENOMEM;
    uint8_t *tail = block + keys_size + groups_size;
    uint64_t call = 1 + atomic_fetch_add_explicit(&c->calls, 1, memory_order_relaxed);
    struct l2_frame frame = {coherence_message_head(), bytes_of(tail, tail_size)};
    coherence_tail_encode(tail, c->incarnation, call, source->items, count);
    *ret = (struct coherence_script){
        .block = block,
        .size = size,
        .change = {.new_id = random_id(c->config.env->random), .frame = frame},
        .call = call,
    };
    fill_change(c, source, &ret->change, (void *)block, (void *)(block + keys_size));
    return 0;
}

void coherence_script_free(struct coherence *c, struct coherence_script *s)
{
    mem_free(c->config.env->mem, NULL, s->block, s->size);
}

/* ---- the local step ---- */

static void settle_item_locked(struct coherence *c, const struct coherence_accepted *a,
                               const struct coherence_item *item, uint64_t sequence)
{
    if (is_key(item) && a->key)
        a->key(a->arg, item, a->stored);
    else
        coherence_apply_item_locked(c, item, sequence);
}

static void settle_items(struct coherence *c, const struct coherence_accepted *a, uint64_t sequence)
{
    for (uint32_t i = 0; i < a->item_count; i++)
        settle_item_locked(c, a, &a->items[i], sequence);
}

bool coherence_settle(struct coherence *c, const struct coherence_accepted *a)
{
    pthread_mutex_lock(&c->apply_lock);
    bool followed = coherence_follows_locked(c, a->clock->identity);
    if (followed) {
        settle_items(c, a, a->clock->sequence);
        coherence_applied_locked(c, a->clock->sequence);
        coherence_finish_call_locked(c, a->call);
    } else {
        coherence_forget_locked(c); /* also when none is followed: a beat may be on its way */
        settle_items(c, a, 0);
    }
    pthread_mutex_unlock(&c->apply_lock);
    stats_add(c->config.stats, STATS_INVALIDATE, a->item_count);
    if (!followed)
        coherence_beat_want(c);
    return !followed;
}

/* ---- not accepted ---- */

static struct bytes change_schema(const void *arg, uint32_t index)
{
    const struct coherence_change *change = arg;
    return change->schema_of(change->schema_arg, change->items[index].space);
}

/* Returns the worst that happened to an item: 0 all queued, NIGH_REFUSED full, NIGH_ENOMEM. */
static int queue_items(struct coherence *c, const struct coherence_change *change)
{
    int worst = 0;
    for (uint32_t i = 0; i < change->item_count; i++) {
        const struct coherence_item *item = &change->items[i];
        struct bytes schema = is_key(item) ? change_schema(change, i) : bytes_of("", 0);
        int rc = coherence_queue_put(c, item, schema);
        if (rc == NIGH_ENOMEM || (rc != 0 && worst == 0))
            worst = rc;
    }
    return worst;
}

static int queue_change(struct coherence *c, const struct coherence_change *change)
{
    static const struct coherence_item all_soft = {.kind = WIRE_ALL, .soft = true};
    struct coherence_accepted here = {
        .items = change->items,
        .item_count = change->item_count,
        .key = change->local_key,
        .arg = change->local_arg,
    };
    int folded = queue_items(c, change);
    pthread_mutex_lock(&c->apply_lock);
    settle_items(c, &here, 0);
    if (folded)
        coherence_apply_item_locked(c, &all_soft, 0);
    pthread_mutex_unlock(&c->apply_lock);
    stats_add(c->config.stats, STATS_INVALIDATE_QUEUED, change->item_count);
    coherence_poke(c);
    return folded == NIGH_ENOMEM ? NIGH_ENOMEM : NIGH_QUEUED;
}

/* ---- the call ---- */

/* The answer, whatever it says; NULL: the script was not sent. */
static struct l2_answer *run_script(struct coherence *c, const struct coherence_change *change,
                                    const struct coherence_script *s)
{
    struct l2_sync sync;
    struct l2_op op = {change->deadline_ns, l2_sync_done, &sync};
    l2_sync_init(&sync, c->config.env);
    if (l2_change(c->config.l2, &s->change, &op) < 0)
        return NULL;
    return l2_sync_wait(&sync);
}

static int accepted(struct coherence *c, const struct coherence_change *change,
                    const struct l2_answer *answer, uint64_t call,
                    struct coherence_position *ret_position)
{
    struct coherence_accepted a = {
        .items = change->items,
        .item_count = change->item_count,
        .clock = &answer->clock,
        .call = call,
        .stored = answer->verdict == L2_STORED,
        .key = change->local_key,
        .arg = change->local_arg,
    };
    if (coherence_settle(c, &a))
        coherence_wait_for_clock(c, change->deadline_ns);
    if (ret_position)
        *ret_position = (struct coherence_position){answer->clock.identity, answer->clock.sequence};
    return 0;
}

static int judge_answer(struct coherence *c, const struct coherence_change *change,
                        const struct l2_answer *answer, uint64_t call,
                        struct coherence_position *ret_position)
{
    if (answer->status != 0)
        return queue_change(c, change);
    if (answer->verdict == L2_REFUSED) {
        coherence_note(c, answer);
        return NIGH_REFUSED;
    }
    return accepted(c, change, answer, call, ret_position);
}

int coherence_change(struct coherence *c, const struct coherence_change *change,
                     struct coherence_position *ret_position)
{
    struct coherence_script_source source = {
        .items = change->items,
        .item_count = change->item_count,
        .schema = change_schema,
        .arg = change,
        .write = change->write,
    };
    struct coherence_script script;
    NIGH_DCHECK(change->item_count > 0 && change->item_count <= COHERENCE_ITEMS_MAX);
    if (coherence_script_make(c, &source, &script) < 0)
        return queue_change(c, change);
    struct l2_answer *answer = run_script(c, change, &script);
    coherence_script_free(c, &script);
    if (!answer)
        return queue_change(c, change);
    int rc = judge_answer(c, change, answer, script.call, ret_position);
    l2_answer_free(answer);
    return rc;
}

/* ---- what fills need ---- */

struct l2_frame coherence_fill_frame(struct coherence *c, struct bytes space, struct bytes key,
                                     void *buffer)
{
    struct coherence_item item = {.kind = WIRE_FILL, .space = space, .bytes = key};
    coherence_tail_encode(buffer, c->incarnation, 0, &item, 1);
    return (struct l2_frame){coherence_message_head(),
                             bytes_of(buffer, coherence_tail_size(&item, 1))};
}

uint64_t coherence_token(struct coherence *c)
{
    return random_id(c->config.env->random);
}
