// SPDX-License-Identifier: MIT
// Any bytes as an envelope from L2. What is accepted must lie within the input and encode to the
// same bytes; as random input never has the right checksum, a second try gets it repaired.

#include <stdlib.h>
#include <string.h>

#include "l2/l2.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void inside(const void *at, size_t size, const uint8_t *data, size_t len)
{
    const uint8_t *p = at;
    if (size > 0 && (p < data || size > len || p > data + len - size))
        abort();
}

static void try_decode(const uint8_t *data, size_t len)
{
    struct l2_envelope e;
    /* The key is the one that it says it is of: a name is only compared. */
    uint64_t name = len >= 96 ? get_le64(data + 88) : 0;
    if (!l2_envelope_decode(bytes_of(data, len), name, &e))
        return;
    inside(e.groups, 8 * (size_t)e.group_count, data, len);
    inside(e.payload.data, e.payload.len, data, len);
    if (l2_envelope_size(&e) != len)
        abort();
    uint8_t *again = malloc(len);
    if (!again)
        return;
    l2_envelope_encode(&e, again);
    if (memcmp(again, data, len) != 0)
        abort();
    free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    try_decode(data, len);
    if (len < 96)
        return 0;
    uint8_t *repaired = malloc(len), *summed = malloc(len);
    if (repaired && summed) {
        memcpy(repaired, data, len);
        memcpy(summed, data, 80);
        memcpy(summed + 80, data + 88, len - 88);
        summed[5] &= (uint8_t)~L2_ENVELOPE_SOFT;
        put_le64(repaired + 80, hash_bytes(bytes_of(summed, len - 8)));
        try_decode(repaired, len);
    }
    free(repaired);
    free(summed);
    return 0;
}
