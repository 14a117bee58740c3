// SPDX-License-Identifier: MIT
// A change of the truth: invalidate, the end of a write, a put. One script for any mix of keys
// and groups, so that data, clock, log and channel can never disagree.

#include "l2/client.h"

#define CHANGE_FIXED_KEYS 2u /* beside the clock */

/* Names of one key in the order of one wire version: its lease, and a value in each schema. */
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

static void add_args(const struct l2 *l2, struct command *c, const struct l2_change *change)
{
    const struct l2_key *first = change->key_count ? &change->keys[0].key : NULL;
    struct bytes none = bytes_of("", 0);
    command_le64(c, change->nonce);
    command_le64(c, change->schemas);
    command_bytes(c, l2->keys.now.channel);
    command_bytes(c, change->frame.head);
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

static uint32_t count_keys(const struct l2_change *change)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < change->key_count; i++)
        count += names_of(&change->keys[i]);
    return change->old_nodes ? 2 * count + 2 : count;
}

int l2_change(struct l2 *l2, const struct l2_change *change, const struct l2_op *op)
{
    const struct submit submit = {
        .op = op,
        .decode = answer_decode_script,
        .script = &script_table[SCRIPT_CHANGE],
        .kind = SUBMIT_UPDATE,
    };
    struct command c;
    uint32_t keys = CHANGE_FIXED_KEYS + count_keys(change);
    if (script_begin(l2, &c, SCRIPT_CHANGE, keys))
        return NIGH_ENOMEM;
    add_keys(l2, &c, change);
    script_args(&c);
    add_args(l2, &c, change);
    return pipeline_submit(l2, &c, &submit);
}
