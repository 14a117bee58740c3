// SPDX-License-Identifier: MIT
// A change of the truth: invalidate, the end of a write, a put. One script for any mix of keys
// and groups, so that data, clock, log and channel can never disagree.

#include "l2/client.h"

#define CHANGE_FIXED_KEYS 3u
#define CHANGE_FIXED_ARGS 6u
#define CHANGE_KEY_ARGS 5u
#define CLK_GROUPS_AT 16u /* behind id and seq: {hard, soft} of 8 bytes per slot */

static size_t scratch_bytes(const struct l2 *l2, const struct l2_change *change)
{
    size_t bytes = 8 + (2 + change->group_count) * COMMAND_NUMBER_BYTES;
    for (uint32_t i = 0; i < change->key_count; i++)
        bytes += keys_scratch(&l2->keys, &change->keys[i].key) + 2 * 8 + 2 * COMMAND_NUMBER_BYTES;
    return bytes;
}

static void add_key(struct command *c, const struct l2_change_key *k)
{
    command_number(c, k->mode);
    command_le64(c, k->version);
    command_le64(c, k->token);
    command_number(c, k->hard_ms);
    command_bytes(c, k->envelope);
}

static void add_group(struct command *c, const struct l2_change_group *g)
{
    command_number(c, CLK_GROUPS_AT + 16u * g->slot + (g->soft ? 8u : 0u));
}

int l2_change(struct l2 *l2, const struct l2_change *change, const struct l2_op *op)
{
    const struct submit submit = {
        .op = op,
        .decode = answer_decode_script,
        .script = &script_table[SCRIPT_CHANGE],
    };
    struct command c;
    uint32_t keys = CHANGE_FIXED_KEYS + 2 * change->key_count;
    uint32_t args =
        CHANGE_FIXED_ARGS + CHANGE_KEY_ARGS * change->key_count + change->group_count;
    if (script_begin(l2, &c, SCRIPT_CHANGE, keys, args, scratch_bytes(l2, change)))
        return NIGH_ENOMEM;
    command_bytes(&c, l2->keys.clk);
    command_bytes(&c, l2->keys.log);
    command_bytes(&c, l2->keys.nil);
    for (uint32_t i = 0; i < change->key_count; i++) {
        keys_add_data(&l2->keys, &c, &change->keys[i].key);
        keys_add_lease(&l2->keys, &c, &change->keys[i].key);
    }
    command_bytes(&c, l2->keys.channel);
    command_bytes(&c, change->frame.head);
    command_bytes(&c, change->frame.tail);
    command_le64(&c, change->new_id);
    command_number(&c, l2->clk_bytes);
    command_number(&c, change->key_count);
    for (uint32_t i = 0; i < change->key_count; i++)
        add_key(&c, &change->keys[i]);
    for (uint32_t i = 0; i < change->group_count; i++)
        add_group(&c, &change->groups[i]);
    return pipeline_submit(l2, &c, &submit);
}
