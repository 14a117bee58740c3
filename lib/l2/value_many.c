// SPDX-License-Identifier: MIT
// Many keys of a space in one request: leases and fills (values: get_many.c).
//
// Leases and fills have a script each, which does for one key after the other
// what LEASE and FILL do (they share the text), so that a batch of misses costs two round trips,
// and two scripts' beginnings, instead of two for each key.

#include "l2/client.h"

#define ASKED_BYTES (LEASE_TEXT_BYTES + 9u)
/* As much as takes 0.5 s on a wire of 1 Mbit/s, and is no large request. */
#define FILLS_MAX_BYTES (60u << 10)

/* ---- leases ---- */

static void add_asked(struct command *c, const struct l2_lease_of *lease, uint32_t lease_ms)
{
    char asked[ASKED_BYTES];
    value_lease_text(asked, lease->token, lease_ms);
    put_le64(asked + LEASE_TEXT_BYTES, lease->rejected);
    asked[ASKED_BYTES - 1] = lease->drop;
    command_bytes(c, bytes_of(asked, sizeof(asked)));
}

static void add_names(struct l2 *l2, struct command *c, const struct l2_key *key)
{
    keys_add_data(&l2->keys.now, c, key, key->schema);
    keys_add_lease(&l2->keys.now, c, key);
}

/* Returns the link to the server that has all of the keys: a script runs on one. */
static struct link *link_of_first(struct l2 *l2, struct bytes space, struct bytes schema,
                                  struct bytes key)
{
    return link_of(l2, &(struct l2_key){space, schema, key});
}

int l2_lease_many(struct l2 *l2, const struct l2_leases *leases, const struct l2_op *op)
{
    const struct submit submit =
        submit_of(SCRIPT_LEASE_MANY, SUBMIT_READ, answer_decode_leases, op);
    struct command c;
    NIGH_DCHECK(leases->count >= 1 && leases->count <= L2_MANY_MAX);
    if (script_begin(l2, &c, SCRIPT_LEASE_MANY, 2 * leases->count))
        return NIGH_ENOMEM;
    c.request->own.asked = leases->count;
    for (uint32_t i = 0; i < leases->count; i++)
        add_names(l2, &c, &(struct l2_key){leases->space, leases->schema, leases->list[i].key});
    script_args(&c);
    command_number(&c, leases->lease_ms);
    for (uint32_t i = 0; i < leases->count; i++)
        add_asked(&c, &leases->list[i], leases->lease_ms);
    struct bytes first = leases->list[0].key;
    return submit_queue(link_of_first(l2, leases->space, leases->schema, first), &c, &submit);
}

/* ---- fills ---- */

int l2_fill_many(struct l2 *l2, const struct l2_fills *fills, const struct l2_op *op)
{
    struct submit submit = submit_of(SCRIPT_FILL_MANY, SUBMIT_UPDATE, answer_decode_fills, op);
    const struct value_rest rest = {fills->space, fills->schema, &fills->frame,
                                   &fills->registration};
    struct link *link = link_of_first(l2, fills->space, fills->schema, fills->list[0].key);
    struct command c;
    NIGH_DCHECK(fills->count >= 1 && fills->count <= L2_MANY_MAX);
    if (script_begin(l2, &c, SCRIPT_FILL_MANY, 2 * fills->count))
        return NIGH_ENOMEM;
    submit.connection = fills->connection;
    c.request->own.asked = fills->count;
    for (uint32_t i = 0; i < fills->count; i++)
        add_names(l2, &c, &(struct l2_key){fills->space, fills->schema, fills->list[i].key});
    script_args(&c);
    command_le64(&c, fills->registration.token);
    value_add_rest(link, &c, &rest);
    for (uint32_t i = 0; i < fills->count; i++) {
        command_number(&c, fills->list[i].hard_ms);
        command_bytes(&c, fills->list[i].envelope);
    }
    return submit_queue(link, &c, &submit);
}

uint32_t l2_fills_fit(const struct l2_fill_of *list, uint32_t count)
{
    size_t bytes = 0;
    uint32_t n = 0;
    for (; n < count && n < L2_MANY_MAX; n++) {
        bytes += list[n].envelope.len + 2 * list[n].key.len;
        if (n > 0 && bytes > FILLS_MAX_BYTES)
            break;
    }
    return n;
}
