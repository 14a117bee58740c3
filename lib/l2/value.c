// SPDX-License-Identifier: MIT
// Reading and filling values, and the leases between: each a command formatted and submitted.

#include "l2/client.h"

int script_begin(struct l2 *l2, struct command *c, enum script_id id, uint32_t keys)
{
    int failed = pipeline_begin(l2, c);
    if (failed)
        return failed;
    c->number = 1 + atomic_fetch_add_explicit(&l2->numbers, 1, memory_order_relaxed);
    command_text(c, "EVALSHA");
    command_bytes(c, bytes_of(script_table[id].sha1, SCRIPT_SHA1_BYTES));
    command_number(c, 1 + keys);
    command_bytes(c, l2->keys.now.clk);
    return 0;
}

void script_args(struct command *c)
{
    command_le64(c, c->number);
}

static int submit_script(struct l2 *l2, struct command *c, enum script_id id, uint64_t connection,
                         const struct l2_op *op)
{
    const struct submit submit = {
        .op = op,
        .decode = answer_decode_script,
        .script = &script_table[id],
        .connection = connection,
        .kind = id == SCRIPT_LEASE ? SUBMIT_READ : SUBMIT_UPDATE,
    };
    return pipeline_submit(l2, c, &submit);
}

int l2_get(struct l2 *l2, const struct l2_key *key, const struct l2_op *op)
{
    const struct submit submit = {.op = op, .decode = answer_decode_get, .kind = SUBMIT_READ};
    struct command c;
    if (pipeline_begin(l2, &c))
        return NIGH_ENOMEM;
    command_text(&c, "GET");
    keys_add_data(&l2->keys.now, &c, key, key->schema);
    return pipeline_submit(l2, &c, &submit);
}

int l2_lease(struct l2 *l2, const struct l2_key *key, const struct l2_lease *lease,
             const struct l2_op *op)
{
    struct command c;
    if (script_begin(l2, &c, SCRIPT_LEASE, 2))
        return NIGH_ENOMEM;
    keys_add_data(&l2->keys.now, &c, key, key->schema);
    keys_add_lease(&l2->keys.now, &c, key);
    script_args(&c);
    command_le64(&c, lease->token);
    command_le64(&c, lease->rejected);
    command_number(&c, lease->lease_ms);
    command_number(&c, lease->drop);
    return submit_script(l2, &c, SCRIPT_LEASE, 0, op);
}

/* OVERRIDE and EXTEND are about the lease alone. */
static int submit_token(struct l2 *l2, enum script_id id, const struct l2_key *key, uint64_t token,
                        uint32_t lease_ms, const struct l2_op *op)
{
    struct command c;
    if (script_begin(l2, &c, id, 1))
        return NIGH_ENOMEM;
    keys_add_lease(&l2->keys.now, &c, key);
    script_args(&c);
    command_le64(&c, token);
    command_number(&c, lease_ms);
    return submit_script(l2, &c, id, 0, op);
}

int l2_override(struct l2 *l2, const struct l2_key *key, uint64_t token, uint32_t lease_ms,
                const struct l2_op *op)
{
    return submit_token(l2, SCRIPT_OVERRIDE, key, token, lease_ms, op);
}

int l2_extend(struct l2 *l2, const struct l2_key *key, uint64_t token, uint32_t lease_ms,
              const struct l2_op *op)
{
    return submit_token(l2, SCRIPT_EXTEND, key, token, lease_ms, op);
}

int l2_release(struct l2 *l2, const struct l2_key *key, uint64_t token,
               const struct l2_frame *frame, const struct l2_op *op)
{
    struct command c;
    if (script_begin(l2, &c, SCRIPT_RELEASE, 1))
        return NIGH_ENOMEM;
    keys_add_lease(&l2->keys.now, &c, key);
    script_args(&c);
    command_le64(&c, token);
    command_bytes(&c, l2->keys.now.channel);
    command_bytes(&c, frame->head);
    command_bytes(&c, frame->tail);
    return submit_script(l2, &c, SCRIPT_RELEASE, 0, op);
}

int l2_fill(struct l2 *l2, const struct l2_key *key, const struct l2_fill *fill,
            const struct l2_op *op)
{
    struct command c;
    if (script_begin(l2, &c, SCRIPT_FILL, 2))
        return NIGH_ENOMEM;
    keys_add_data(&l2->keys.now, &c, key, key->schema);
    keys_add_lease(&l2->keys.now, &c, key);
    script_args(&c);
    command_le64(&c, fill->token);
    command_le64(&c, fill->version);
    command_number(&c, fill->hard_ms);
    command_bytes(&c, fill->envelope);
    command_bytes(&c, l2->keys.now.channel);
    command_bytes(&c, fill->frame.head);
    command_bytes(&c, fill->frame.tail);
    command_bytes(&c, key->space);
    command_bytes(&c, key->schema);
    command_number(&c, fill->registration.ms);
    command_le64(&c, fill->registration.token);
    command_le64(&c, fill->registration.nonce);
    return submit_script(l2, &c, SCRIPT_FILL, fill->connection, op);
}
