// SPDX-License-Identifier: MIT
// From replies to answers. The bytes stay in the reply, which the answer then owns: a value is
// copied once, out of the reader's buffer.

#include "l2/answer.h"

#include <stdlib.h>

#include "l2/conn.h"

enum { AT_REPLID, AT_ID, AT_SEQ, AT_TIME, AT_VERDICT, AT_MORE };

struct answer *answer_create(struct mem *mem)
{
    struct answer *a = mem_alloc_zero(mem, sizeof(*a));
    if (a)
        a->mem = mem;
    return a;
}

void l2_answer_free(struct l2_answer *answer)
{
    if (!answer)
        return;
    struct answer *a = CONTAINER_OF(answer, struct answer, public);
    reply_free(a->reply);
    mem_free(a->mem, NULL, a->public.entries, a->entries_size);
    mem_free(a->mem, NULL, a, sizeof(*a));
}

int answer_decode_get(struct answer *answer, const struct reply *reply)
{
    struct l2_answer *public = &answer->public;
    if (reply->type != REPLY_STRING && reply->type != REPLY_NIL)
        return NIGH_EREDIS;
    public->verdict = reply->type == REPLY_STRING ? L2_VALUE : L2_NONE;
    public->value = reply->bytes;
    return 0;
}

/* hash(replid, id); 0 is kept for "no clock". */
static uint64_t clock_identity(struct bytes replid, struct bytes id)
{
    uint8_t both[REPLID_BYTES + 8];
    memcpy(both, replid.data, REPLID_BYTES);
    memcpy(both + REPLID_BYTES, id.data, 8);
    uint64_t hash = hash_bytes(bytes_of(both, sizeof(both)));
    return hash ? hash : 1;
}

static int decode_clock(struct l2_clock *clock, const struct reply *reply)
{
    struct bytes replid = reply_string_at(reply, AT_REPLID, REPLID_BYTES);
    struct bytes id = reply_string_at(reply, AT_ID, 8);
    struct bytes seq = reply_string_at(reply, AT_SEQ, 8);
    int64_t time_ms = reply_integer_at(reply, AT_TIME, -1);
    if (!replid.data || time_ms < 0)
        return NIGH_EREDIS;
    clock->home = hash_bytes(replid);
    clock->server_time_ms = (uint64_t)time_ms;
    if (id.data && seq.data) {
        clock->identity = clock_identity(replid, id);
        clock->sequence = get_le64(seq.data);
    }
    return 0;
}

/* Never 0: who waits for "no time" asks again in a loop. */
static uint32_t held_ms(int64_t left_ms)
{
    return left_ms < 1 ? 1 : (uint32_t)u64_min((uint64_t)left_ms, UINT32_MAX - 1);
}

int answer_decode_script(struct answer *answer, const struct reply *reply)
{
    struct l2_answer *public = &answer->public;
    int64_t verdict = reply_integer_at(reply, AT_VERDICT, -1);
    if (reply->type != REPLY_ARRAY || decode_clock(&public->clock, reply) || verdict < 0 ||
        verdict > L2_REFUSED)
        return NIGH_EREDIS;
    public->verdict = (enum l2_verdict)verdict;
    if (verdict == L2_VALUE) {
        public->value = reply_string_at(reply, AT_MORE, SIZE_MAX);
        if (!public->value.data)
            return NIGH_EREDIS;
    }
    if (verdict == L2_HELD)
        public->held_ms = held_ms(reply_integer_at(reply, AT_MORE, 0));
    return 0;
}

static int decode_entries(struct answer *answer, const struct reply *flat)
{
    struct l2_answer *public = &answer->public;
    uint32_t count = flat->count / 2;
    if (count == 0)
        return 0;
    size_t size = count * (sizeof(struct bytes) + sizeof(uint64_t));
    public->entries = mem_alloc(answer->mem, NULL, size);
    if (!public->entries)
        return NIGH_ENOMEM;
    answer->entries_size = size;
    public->entry_seqs = (uint64_t *)(void *)(public->entries + count);
    for (uint32_t i = 0; i < count; i++) {
        struct bytes seq = reply_string_at(flat, 2 * i, SIZE_MAX);
        char digits[24] = {0};
        if (seq.len == 0 || seq.len >= sizeof(digits))
            return NIGH_EREDIS;
        memcpy(digits, seq.data, seq.len);
        public->entry_seqs[i] = strtoull(digits, NULL, 10);
        public->entries[i] = reply_string_at(flat, 2 * i + 1, SIZE_MAX);
        if (!public->entries[i].data)
            return NIGH_EREDIS;
    }
    public->entry_count = count;
    return 0;
}

int answer_decode_beat(struct answer *answer, const struct reply *reply)
{
    int failed = answer_decode_script(answer, reply);
    if (failed)
        return failed;
    if (reply->count <= AT_MORE || reply->elements[AT_MORE]->type != REPLY_ARRAY)
        return NIGH_EREDIS;
    return decode_entries(answer, reply->elements[AT_MORE]);
}
