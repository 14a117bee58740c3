// SPDX-License-Identifier: MIT
// Any bytes as a compressed value. The first says how, the next four how long it claims to have
// been; what is made of the rest lies in memory of exactly that, where a sanitizer watches both
// ends. What was accepted packs again, and comes back the same.

#include <stdlib.h>
#include <string.h>

#include "base/codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define PLAIN_MAX ((size_t)1 << 20)

static void again(unsigned codec, struct mem *mem, struct bytes plain)
{
    size_t room = plain.len + plain.len / 8 + 128;
    uint8_t *packed = malloc(room), *back = malloc(plain.len);
    size_t len = packed ? codec_pack(codec, mem, plain, packed, room) : 0;
    if (len > 0 && back &&
        (!codec_unpack(codec, bytes_of(packed, len), back, plain.len) ||
         memcmp(back, plain.data, plain.len) != 0))
        abort();
    free(packed);
    free(back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len < 5)
        return 0;
    size_t plain_len = get_le32(data + 1);
    uint8_t *plain = plain_len > 0 && plain_len <= PLAIN_MAX ? malloc(plain_len) : NULL;
    struct mem *mem = mem_create();
    if (plain && mem && codec_unpack(data[0], bytes_of(data + 5, len - 5), plain, plain_len))
        again(data[0], mem, bytes_of(plain, plain_len));
    if (mem)
        mem_destroy(mem);
    free(plain);
    return 0;
}
