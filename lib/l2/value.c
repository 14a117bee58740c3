// SPDX-License-Identifier: MIT
// Reading and filling values, and the leases between: each a command formatted and submitted.

#include "l2/client.h"

#define REST_FIXED_BYTES (6 * 4 + 8)

int script_begin(struct l2 *l2, struct command *c, enum script_id id, uint32_t keys)
{
    int failed = submit_begin(l2, c);
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

struct bytes l2_frame_front(struct link *link, const struct l2_frame *frame,
                            char buffer[FRONT_BYTES], uint64_t *ret_connection)
{
    size_t head = u64_min(frame->head.len, FRONT_BYTES - REPLID_BYTES);
    if (head)
        memcpy(buffer, frame->head.data, head);
    pthread_mutex_lock(&link->lock);
    memcpy(buffer + head, link->replid, REPLID_BYTES);
    *ret_connection = link->online ? link->online : NO_CONNECTION;
    pthread_mutex_unlock(&link->lock);
    return bytes_of(buffer, head + REPLID_BYTES);
}

void value_lease_text(char text[LEASE_TEXT_BYTES], uint64_t token, uint32_t lease_ms)
{
    put_le64(text, token);
    text[8] = 0;
    put_le64(text + 9, lease_ms);
}

static void add_lease_text(struct command *c, uint64_t token, uint32_t lease_ms)
{
    char text[LEASE_TEXT_BYTES];
    value_lease_text(text, token, lease_ms);
    command_bytes(c, bytes_of(text, sizeof(text)));
}

static int submit_script(struct link *link, struct command *c, enum script_id id,
                         uint64_t connection, const struct l2_op *op)
{
    enum submit_kind kind = id == SCRIPT_LEASE ? SUBMIT_READ : SUBMIT_UPDATE;
    struct submit submit = submit_of(id, kind, answer_decode_script, op);
    submit.connection = connection;
    return submit_queue(link, c, &submit);
}

int l2_get(struct l2 *l2, const struct l2_key *key, const struct l2_op *op)
{
    const struct submit submit = {.op = op, .decode = answer_decode_get, .kind = SUBMIT_READ};
    struct command c;
    if (submit_begin(l2, &c))
        return NIGH_ENOMEM;
    command_text(&c, "GET");
    keys_add_data(&l2->keys.now, &c, key, key->schema);
    return submit_queue(link_of(l2, key), &c, &submit);
}

int l2_lease(struct l2 *l2, const struct l2_key *key, const struct l2_lease *lease,
             const struct l2_op *op)
{
    struct command c;
    char rejected[9];
    if (script_begin(l2, &c, SCRIPT_LEASE, 2))
        return NIGH_ENOMEM;
    put_le64(rejected, lease->rejected);
    rejected[8] = lease->drop;
    keys_add_data(&l2->keys.now, &c, key, key->schema);
    keys_add_lease(&l2->keys.now, &c, key);
    script_args(&c);
    add_lease_text(&c, lease->token, lease->lease_ms);
    command_number(&c, lease->lease_ms);
    command_bytes(&c, bytes_of(rejected, sizeof(rejected)));
    return submit_script(link_of(l2, key), &c, SCRIPT_LEASE, 0, op);
}

/* Begins a script over a key's lease alone; its arguments are to be written next. */
static int begin_on_lease(struct l2 *l2, const struct l2_key *key, enum script_id id,
                          struct command *ret)
{
    int rc = script_begin(l2, ret, id, 1);
    if (rc != 0)
        return rc;
    keys_add_lease(&l2->keys.now, ret, key);
    script_args(ret);
    return 0;
}

int l2_override(struct l2 *l2, const struct l2_key *key, uint64_t token, uint32_t lease_ms,
                const struct l2_op *op)
{
    struct command c;
    if (begin_on_lease(l2, key, SCRIPT_OVERRIDE, &c))
        return NIGH_ENOMEM;
    add_lease_text(&c, token, lease_ms);
    command_number(&c, lease_ms);
    return submit_script(link_of(l2, key), &c, SCRIPT_OVERRIDE, 0, op);
}

int l2_extend(struct l2 *l2, const struct l2_key *key, uint64_t token, uint32_t lease_ms,
              const struct l2_op *op)
{
    struct command c;
    if (begin_on_lease(l2, key, SCRIPT_EXTEND, &c))
        return NIGH_ENOMEM;
    command_le64(&c, token);
    command_number(&c, lease_ms);
    return submit_script(link_of(l2, key), &c, SCRIPT_EXTEND, 0, op);
}

int l2_release(struct l2 *l2, const struct l2_key *key, uint64_t token,
               const struct l2_frame *frame, const struct l2_op *op)
{
    struct command c;
    char front[FRONT_BYTES];
    uint64_t connection;
    if (begin_on_lease(l2, key, SCRIPT_RELEASE, &c))
        return NIGH_ENOMEM;
    command_le64(&c, token);
    command_bytes(&c, l2->keys.now.channel);
    command_bytes(&c, l2_frame_front(link_of(l2, key), frame, front, &connection));
    command_bytes(&c, frame->tail);
    return submit_script(link_of(l2, key), &c, SCRIPT_RELEASE, connection, op);
}

void value_add_rest(struct link *link, struct command *c, const struct value_rest *rest)
{
    char front[FRONT_BYTES], fixed[REST_FIXED_BYTES] = {0};
    uint64_t connection; /* the fill's own, or it is not sent */
    const struct bytes parts[] = {
        bytes_of(fixed, sizeof(fixed)),
        link->l2->keys.now.channel,
        l2_frame_front(link, rest->frame, front, &connection),
        rest->frame->tail,
        rest->space,
        rest->schema,
    };
    put_le32(fixed, rest->registration->ms);
    for (size_t i = 1; i < ARRAY_COUNT(parts); i++)
        put_le32(fixed + 4 * i, (uint32_t)parts[i].len);
    put_le64(fixed + 4 * ARRAY_COUNT(parts), rest->registration->nonce);
    command_joined(c, parts, ARRAY_COUNT(parts));
}

int l2_fill(struct l2 *l2, const struct l2_key *key, const struct l2_fill *fill,
            const struct l2_op *op)
{
    const struct value_rest rest = {key->space, key->schema, &fill->frame, &fill->registration};
    struct command c;
    if (script_begin(l2, &c, SCRIPT_FILL, 2))
        return NIGH_ENOMEM;
    keys_add_data(&l2->keys.now, &c, key, key->schema);
    keys_add_lease(&l2->keys.now, &c, key);
    script_args(&c);
    command_number(&c, fill->hard_ms);
    command_bytes(&c, fill->envelope);
    command_le64(&c, fill->registration.token);
    value_add_rest(link_of(l2, key), &c, &rest);
    return submit_script(link_of(l2, key), &c, SCRIPT_FILL, fill->connection, op);
}
