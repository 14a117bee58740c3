// SPDX-License-Identifier: MIT
// A look at a key and its lease, for people: it changes nothing there.

#include "l2/client.h"

#define LEASE_TOKEN_BYTES 8u
#define LEASE_AWAITED_AT 8u

enum { PEEK_VALUE, PEEK_VALUE_MS, PEEK_LEASE, PEEK_LEASE_MS, PEEK_COUNT };

int l2_peek(struct l2 *l2, const struct l2_key *key, const struct l2_op *op)
{
    const struct submit submit = submit_of(SCRIPT_PEEK, SUBMIT_READ, answer_decode_peek, op);
    struct command c;
    if (script_begin(l2, &c, SCRIPT_PEEK, 2))
        return NIGH_ENOMEM;
    keys_add_data(&l2->keys.now, &c, key, key->schema);
    keys_add_lease(&l2->keys.now, &c, key);
    script_args(&c);
    return submit_queue(link_of(l2, key), &c, &submit);
}

/* A number of ms as PTTL tells it; 0: none, or the key has no end. */
static uint64_t ms_at(const struct reply *more, uint32_t i)
{
    int64_t ms = reply_integer_at(more, i, 0);
    return ms > 0 ? (uint64_t)ms : 0;
}

struct l2_peeked l2_peeked(struct l2_answer *answer)
{
    const struct reply *more = answer_more(CONTAINER_OF(answer, struct answer, public)->reply);
    const struct reply *value = more->elements[PEEK_VALUE], *lease = more->elements[PEEK_LEASE];
    const uint8_t *text = lease->bytes.data;
    struct l2_peeked p = {
        .verdict = answer->verdict,
        .value = value->bytes,
        .value_ms = ms_at(more, PEEK_VALUE_MS),
        .lease_ms = ms_at(more, PEEK_LEASE_MS),
    };
    if (lease->bytes.len >= LEASE_TOKEN_BYTES)
        p.token = get_le64(text);
    p.awaited = lease->bytes.len > LEASE_AWAITED_AT && text[LEASE_AWAITED_AT] == 1;
    return p;
}

int answer_decode_peek(struct answer *answer, const struct reply *reply)
{
    const struct reply *more = answer_more(reply);
    if (answer_decode_common(answer, reply) || !more || more->count != PEEK_COUNT)
        return NIGH_EREDIS;
    bool fits = more->elements[PEEK_VALUE]->type == REPLY_STRING &&
                more->elements[PEEK_LEASE]->type == REPLY_STRING;
    return fits ? 0 : NIGH_EREDIS;
}
