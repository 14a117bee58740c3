// SPDX-License-Identifier: MIT
// Any bytes as replies of Redis, in two pieces cut where the first byte says, decoded as
// everything that we ask for. Memory must stay within the limits whatever is announced.

#include <stdlib.h>

#include "l2/answer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static volatile uint64_t sum; /* so that what was decoded is really read */

static void read_bytes(struct bytes b)
{
    const uint8_t *at = b.data;
    for (size_t i = 0; i < b.len; i++)
        sum += at[i];
}

static void read_answer(const struct l2_answer *a)
{
    read_bytes(a->value);
    read_bytes(a->clock.replid);
    sum += a->clock.identity + a->clock.sequence + a->previous + a->registered_ms + a->held_ms;
    for (uint32_t i = 0; i < a->entry_count; i++) {
        read_bytes(a->entries[i]);
        sum += a->entry_seqs[i];
    }
}

/* Checks what whoever takes the pages relies upon. */
static void check_pages(const struct l2_answer *a)
{
    if (a->slots < GROUP_SLOTS_MIN || a->slots > GROUP_SLOTS_MAX)
        abort();
    for (uint32_t i = 0; i < a->entry_count; i++)
        if (a->entry_seqs[i] >= L2_PAGES || a->entries[i].len != 16 * (size_t)a->slots / L2_PAGES)
            abort();
}

static void try_decode(struct mem *mem, const struct reply *reply, answer_decode_fn decode)
{
    struct answer a;
    answer_init(&a, mem);
    a.replid = "0123456789012345678901234567890123456789";
    if (decode(&a, reply) == 0) {
        read_answer(&a.public);
        if (decode == answer_decode_resync)
            check_pages(&a.public);
    }
    answer_fini(&a);
}

/* Reads what each of `asked` keys got. */
static void read_many(struct answer *a, answer_decode_fn decode)
{
    for (uint32_t i = 0; i < a->asked; i++) {
        struct bytes value = {NULL, 0};
        uint32_t held_ms = 0;
        if (decode == answer_decode_many)
            sum += l2_answer_at(&a->public, i, &value);
        else if (decode == answer_decode_leases)
            sum += l2_lease_at(&a->public, i, &value, &held_ms);
        else
            sum += l2_fill_at(&a->public, i);
        read_bytes(value);
        sum += held_ms;
    }
}

static void try_many(struct mem *mem, struct reply *reply, answer_decode_fn decode)
{
    struct answer a;
    answer_init(&a, mem);
    a.replid = "0123456789012345678901234567890123456789";
    a.asked = 2;
    if (decode(&a, reply) == 0) {
        read_answer(&a.public);
        a.reply = reply;
        read_many(&a, decode);
        a.reply = NULL; /* stays the caller's */
    }
    answer_fini(&a);
}

static void use(struct mem *mem, struct reply *reply)
{
    try_decode(mem, reply, answer_decode_get);
    try_decode(mem, reply, answer_decode_script);
    try_decode(mem, reply, answer_decode_tell);
    try_decode(mem, reply, answer_decode_beat);
    try_decode(mem, reply, answer_decode_resync);
    try_many(mem, reply, answer_decode_many);
    try_many(mem, reply, answer_decode_leases);
    try_many(mem, reply, answer_decode_fills);
    sum += answer_is_to(reply, 1);
    reply_free(reply);
}

/* Takes a piece of the stream as a connection does. */
static int take_piece(struct reader *reader, struct mem *mem, const char *at, size_t len)
{
    struct reply *reply;
    long took;
    int got;
    for (; (took = reader_take(reader, at, len, &reply)) > 0; at += took, len -= (size_t)took)
        use(mem, reply);
    if (took < 0 || reader_feed(reader, at, len) != 0)
        return -1;
    while ((got = reader_next(reader, &reply)) > 0)
        use(mem, reply);
    return got;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct reader reader;
    if (len < 1)
        return 0;
    struct mem *mem = mem_create();
    if (!mem)
        return 0;
    size_t cut = data[0] < len - 1 ? data[0] : len - 1;
    const char *text = (const char *)data + 1;
    if (reader_init(&reader, mem, 4096) == 0) {
        if (take_piece(&reader, mem, text, cut) == 0)
            take_piece(&reader, mem, text + cut, len - 1 - cut);
        reader_fini(&reader);
    }
    mem_destroy(mem);
    return 0;
}
