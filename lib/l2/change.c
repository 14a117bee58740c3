// SPDX-License-Identifier: MIT
// A change of the truth: invalidate, the end of a write, a put. One script for any mix of keys
// and groups, so that data, clock, log and channel can never disagree.

#include "l2/client.h"

#define CHANGE_FIXED_KEYS 2u /* beside the clock */
#define TELL_FIXED_KEYS 1u

/* Counts the names that a key has in one wire version: its lease, and a value in each schema. */
static uint32_t names_of(const struct l2_change_key *k)
{
    return 1 + 1 + k->schema_count;
}

static void add_names(const struct key_names *names, struct command *c,
                      const struct l2_change_key *k)
{
    keys_add_lease(names, c, &k->key);
    keys_add_data(names, c, &k->key, k->key.schema);
    for (uint32_t i = 0; i < k->schema_count; i++)
        keys_add_data(names, c, &k->key, k->schemas[i]);
}

static uint32_t count_keys(const struct l2_change *change)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < change->key_count; i++)
        count += names_of(&change->keys[i]);
    return change->old_nodes ? 2 * count + 2 : count;
}

/* ---- what judges the values that are there ---- */

static void add_keys(const struct l2 *l2, struct command *c, const struct l2_change *change)
{
    command_bytes(c, change->old_nodes ? l2->keys.log_aside : l2->keys.log);
    command_bytes(c, l2->keys.nil);
    for (uint32_t i = 0; i < change->key_count; i++) {
        add_names(&l2->keys.now, c, &change->keys[i]);
        if (change->old_nodes)
            add_names(&l2->keys.old, c, &change->keys[i]);
    }
    if (!change->old_nodes)
        return;
    command_bytes(c, l2->keys.old.clk);
    command_bytes(c, l2->keys.log);
}

static void add_key_args(struct command *c, const struct l2_change_key *k)
{
    command_number(c, k->mode);
    command_le64(c, k->version);
    command_le64(c, k->token);
    command_number(c, k->hard_ms);
    command_bytes(c, k->envelope);
    command_number(c, 1 + k->schema_count);
}

/* Returns the key whose space's schema is registered: the first with a value. NULL: no key. */
static const struct l2_key *registered(const struct l2_change *change)
{
    for (uint32_t i = 0; i < change->key_count; i++)
        if (change->keys[i].mode != L2_DELETE)
            return &change->keys[i].key;
    return change->key_count ? &change->keys[0].key : NULL;
}

static void add_args(const struct l2 *l2, struct command *c, const struct l2_change *change,
                     struct bytes front)
{
    const struct l2_key *first = registered(change);
    struct bytes none = bytes_of("", 0);
    command_le64(c, change->nonce);
    command_le64(c, change->schemas);
    command_bytes(c, l2->keys.now.channel);
    command_bytes(c, front);
    command_bytes(c, change->frame.tail);
    command_number(c, l2->group_slots);
    command_number(c, change->key_count);
    command_bytes(c, change->old_nodes ? l2->keys.old.channel : none);
    command_bytes(c, first ? first->space : none);
    command_bytes(c, first ? first->schema : none);
    command_number(c, change->registration.ms);
    command_le64(c, change->registration.token);
    for (uint32_t i = 0; i < change->key_count; i++)
        add_key_args(c, &change->keys[i]);
    for (uint32_t i = 0; i < change->group_count; i++)
        command_number(c, 2u * change->groups[i].slot + change->groups[i].soft);
}

/* ---- what only deletes ---- */

/* Whether nothing is to be judged: all that is named goes, whatever is there. */
static bool only_deletes(const struct l2_change *change)
{
    uint32_t names = 0;
    for (uint32_t i = 0; i < change->key_count; i++) {
        const struct l2_change_key *k = &change->keys[i];
        if (k->mode != L2_DELETE || k->version != 0)
            return false;
        names += names_of(k);
    }
    return !change->old_nodes && names <= SCRIPT_DEL_MAX;
}

static void add_gone(const struct l2 *l2, struct command *c, const struct l2_change *change)
{
    command_bytes(c, l2->keys.log);
    for (uint32_t i = 0; i < change->key_count; i++)
        add_names(&l2->keys.now, c, &change->keys[i]);
    if (change->key_count == 0)
        command_bytes(c, l2->keys.nil);
}

/* Adds each group's place in the clock, and each page's, once. */
static void add_places(const struct l2 *l2, struct command *c, const struct l2_change *change)
{
    uint64_t pages = 0;
    for (uint32_t i = 0; i < change->group_count; i++) {
        const struct l2_change_group *g = &change->groups[i];
        uint32_t page = g->slot / (l2->group_slots / L2_PAGES);
        command_number(c, SCRIPT_GROUPS_AT + 8 * (2u * g->slot + g->soft));
        if (!(pages >> page & 1))
            command_number(c, SCRIPT_PAGES_AT + 8 * page);
        pages |= UINT64_C(1) << page;
    }
}

static void add_told(const struct l2 *l2, struct command *c, const struct l2_change *change,
                     struct bytes front)
{
    command_bytes(c, front);
    command_bytes(c, change->frame.tail);
    command_le64(c, change->schemas);
    command_bytes(c, l2->keys.now.channel);
    command_number(c, l2->group_slots);
    add_places(l2, c, change);
}

/* ---- the call ---- */

/* One of the scripts: how it is named its keys and told its arguments. */
struct form {
    enum script_id id;
    answer_decode_fn decode;
    uint32_t names;  /* beside the clock */
    uint64_t number; /* comes back with the answer; 0: the next of the client's */
    void (*add_names)(const struct l2 *l2, struct command *c, const struct l2_change *change);
    void (*add_args)(const struct l2 *l2, struct command *c, const struct l2_change *change,
                     struct bytes front);
};

static struct form form_of(const struct l2_change *change)
{
    if (only_deletes(change))
        return (struct form){
            .id = SCRIPT_TELL,
            .decode = answer_decode_tell,
            .names = TELL_FIXED_KEYS + (change->key_count ? count_keys(change) : 1),
            .number = change->nonce,
            .add_names = add_gone,
            .add_args = add_told,
        };
    return (struct form){
        .id = change->old_nodes ? SCRIPT_CHANGE_OLD : SCRIPT_CHANGE,
        .decode = answer_decode_script,
        .names = CHANGE_FIXED_KEYS + count_keys(change),
        .add_names = add_keys,
        .add_args = add_args,
    };
}

/* Returns the link to the server whose clock the change moves, which has all of its keys: a script
 * runs on one server. */
static struct link *link_of_change(const struct l2 *l2, const struct l2_change *change)
{
    if (l2->link_count == 1 || change->key_count == 0)
        return l2->home;
    struct link *link = link_of(l2, &change->keys[0].key);
    for (uint32_t i = 1; i < change->key_count; i++)
        NIGH_DCHECK(link_of(l2, &change->keys[i].key) == link);
    return link;
}

int l2_change(struct l2 *l2, const struct l2_change *change, const struct l2_op *op)
{
    struct form form = form_of(change);
    struct submit submit = submit_of(form.id, SUBMIT_UPDATE, form.decode, op);
    struct command c;
    char front[FRONT_BYTES];
    struct link *link = link_of_change(l2, change);
    if (script_begin(l2, &c, form.id, form.names))
        return NIGH_ENOMEM;
    if (form.number)
        c.number = form.number;
    form.add_names(l2, &c, change);
    script_args(&c);
    form.add_args(l2, &c, change, l2_frame_front(link, &change->frame, front, &submit.connection));
    return submit_queue(link, &c, &submit);
}
