// SPDX-License-Identifier: MIT
// Any bytes on the channel: decoded without a read out of bounds, and what decodes encodes back to
// the very same bytes (so that nothing is accepted that the layout does not have).

#include <stdlib.h>

#include "coherence/message.h"

#define TAIL_AT 76

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static struct coherence_item items[COHERENCE_ITEMS_MAX];
    struct coherence_message m;
    if (!coherence_message_decode(bytes_of(data, len), &m))
        return 0;
    uint32_t count = 0;
    uint64_t incarnation = m.incarnation, call = m.call;
    while (coherence_message_next(&m, &items[count]))
        count++;
    size_t tail_len = coherence_tail_size(items, count);
    uint8_t *tail = malloc(tail_len);
    if (!tail || tail_len != len - TAIL_AT)
        abort();
    coherence_tail_encode(tail, incarnation, call, items, count);
    if (memcmp(tail, data + TAIL_AT, tail_len) != 0)
        abort();
    free(tail);
    return 0;
}
