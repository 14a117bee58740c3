// SPDX-License-Identifier: MIT
// Any bytes as replies of Redis, in two pieces cut where the first byte says, decoded as
// everything that we ask for. Memory must stay within the limits whatever is announced.

#include <stdlib.h>

#include "l2/answer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static volatile uint64_t sum; /* so that what was decoded is really read */

static void try_decode(struct mem *mem, const struct reply *reply, answer_decode_fn decode)
{
    struct answer *a = answer_create(mem);
    if (!a)
        return;
    if (decode(a, reply) == 0) {
        const uint8_t *value = a->public.value.data;
        for (size_t i = 0; i < a->public.value.len; i++)
            sum += value[i];
        for (uint32_t i = 0; i < a->public.entry_count; i++)
            sum += a->public.entries[i].len + a->public.entry_seqs[i];
    }
    l2_answer_free(&a->public);
}

static int take_replies(struct reader *reader, struct mem *mem)
{
    struct reply *reply;
    int got;
    while ((got = reader_next(reader, &reply)) > 0) {
        try_decode(mem, reply, answer_decode_get);
        try_decode(mem, reply, answer_decode_script);
        try_decode(mem, reply, answer_decode_beat);
        reply_free(reply);
    }
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
    if (reader_init(&reader, mem, 4096) == 0) {
        if (reader_feed(&reader, data + 1, cut) == 0 && take_replies(&reader, mem) == 0 &&
            reader_feed(&reader, data + 1 + cut, len - 1 - cut) == 0)
            take_replies(&reader, mem);
        reader_fini(&reader);
    }
    mem_destroy(mem);
    return 0;
}
