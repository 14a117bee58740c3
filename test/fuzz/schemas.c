// SPDX-License-Identifier: MIT
// Any bytes as the list of schemas that Redis tells. What is found lies within the input, is short
// enough for what is reckoned for a name, and is another schema than our own.
//
// The first byte says how long the name of the space is, and that of our schema; both are the
// bytes that follow.

#include <stdlib.h>

#include <nigh/options.h>

#include "coherence/schemas.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check(struct bytes text, struct bytes space, struct bytes own)
{
    struct bytes found[SCHEMAS_MAX];
    uint32_t count = schemas_of(text, space, own, found);
    if (count > SCHEMAS_MAX)
        abort();
    for (uint32_t i = 0; i < count; i++) {
        const uint8_t *at = found[i].data, *from = text.data;
        if (found[i].len > NIGH_NAME_MAX || bytes_equal(found[i], own))
            abort();
        if (found[i].len > 0 && (at < from || at + found[i].len > from + text.len))
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len < 1)
        return 0;
    size_t space_len = data[0] & 15, own_len = data[0] >> 4;
    if (space_len + own_len > len - 1)
        return 0;
    const uint8_t *text = data + 1 + space_len + own_len;
    check(bytes_of(text, len - 1 - space_len - own_len), bytes_of(data + 1, space_len),
          bytes_of(data + 1 + space_len, own_len));
    return 0;
}
