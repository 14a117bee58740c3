// SPDX-License-Identifier: MIT
/*
 * Making values smaller for the way to Redis, and whole again: the one file that sees lz4 and zstd.
 *
 * lz4 would have its table of 16 KiB on the stack, which may be a coroutine's: it gets memory. zstd
 * takes a context from malloc for each call: kept ones would save some of that, and hold memory for
 * each thread that has ever had a large value.
 */
#include "base/codec.h"

#include <limits.h>

#ifdef NIGH_HAS_LZ4
#include <lz4.h>
#endif
#ifdef NIGH_HAS_ZSTD
#include <zstd.h>
#endif

struct kind {
    const char *name;
    /* NULL: not built */
    size_t (*pack)(struct mem *mem, struct bytes plain, void *to, size_t room);
    bool (*unpack)(struct bytes packed, void *to, size_t len);
};

#ifdef NIGH_HAS_LZ4
#define LZ4_ACCELERATION 1

static size_t lz4_pack(struct mem *mem, struct bytes plain, void *to, size_t room)
{
    size_t size = (size_t)LZ4_sizeofState();
    void *state = mem_alloc(mem, NULL, size);
    int made = 0;
    if (state)
        made = LZ4_compress_fast_extState(state, plain.data, to, (int)plain.len, (int)room,
                                          LZ4_ACCELERATION);
    mem_free(mem, NULL, state, size);
    return made > 0 ? (size_t)made : 0;
}

static bool lz4_unpack(struct bytes packed, void *to, size_t len)
{
    int made = LZ4_decompress_safe(packed.data, to, (int)packed.len, (int)len);
    return made >= 0 && (size_t)made == len;
}
#endif

#ifdef NIGH_HAS_ZSTD
#define ZSTD_LEVEL 1

static size_t zstd_pack(struct mem *mem, struct bytes plain, void *to, size_t room)
{
    (void)mem;
    size_t made = ZSTD_compress(to, room, plain.data, plain.len, ZSTD_LEVEL);
    return ZSTD_isError(made) ? 0 : made;
}

static bool zstd_unpack(struct bytes packed, void *to, size_t len)
{
    return ZSTD_decompress(to, len, packed.data, packed.len) == len;
}
#endif

static const struct kind kinds[] = {
    [CODEC_NONE] = {.name = "none"},
    [CODEC_LZ4] = {.name = "lz4",
#ifdef NIGH_HAS_LZ4
                   .pack = lz4_pack, .unpack = lz4_unpack,
#endif
    },
    [CODEC_ZSTD] = {.name = "zstd",
#ifdef NIGH_HAS_ZSTD
                    .pack = zstd_pack, .unpack = zstd_unpack,
#endif
    },
};

const char *codec_name(unsigned codec)
{
    return codec < ARRAY_COUNT(kinds) ? kinds[codec].name : "unknown";
}

bool codec_is_built(unsigned codec)
{
    return codec < ARRAY_COUNT(kinds) && kinds[codec].pack;
}

size_t codec_pack(unsigned codec, struct mem *mem, struct bytes plain, void *to, size_t room)
{
    bool may = codec_is_built(codec) && plain.len <= INT_MAX && room <= INT_MAX;
    return may ? kinds[codec].pack(mem, plain, to, room) : 0;
}

bool codec_unpack(unsigned codec, struct bytes packed, void *to, size_t len)
{
    return codec_is_built(codec) && packed.len <= INT_MAX && len <= INT_MAX &&
           kinds[codec].unpack(packed, to, len);
}
