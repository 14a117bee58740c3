// SPDX-License-Identifier: MIT
// lz4 and zstd: what was packed comes back, nothing is written beyond the room that was given, and
// bytes that were not packed so are refused.

#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "base/codec.h"
#include "support/check.h"

static const unsigned codecs[] = {CODEC_LZ4, CODEC_ZSTD};

static uint8_t *words(size_t len)
{
    uint8_t *b = malloc(len ? len : 1);
    REQUIRE(b);
    for (size_t i = 0; i < len; i++)
        b[i] = (uint8_t)("what is said again and again "[i % 29] + (i % 997 == 0));
    return b;
}

/* Packs into memory of exactly `room` bytes, and gives that back; a sanitizer sees its ends. */
static uint8_t *pack(unsigned codec, struct bytes plain, size_t room, size_t *ret_len)
{
    struct mem *mem = mem_create();
    uint8_t *to = malloc(room ? room : 1);
    REQUIRE(mem && to);
    *ret_len = codec_pack(codec, mem, plain, to, room);
    CHECK_LE(*ret_len, room);
    mem_destroy(mem); /* has nothing of it left */
    return to;
}

static void check_returns(unsigned codec, size_t len)
{
    size_t packed_len;
    uint8_t *plain = words(len), *back = malloc(len);
    uint8_t *packed = pack(codec, bytes_of(plain, len), len, &packed_len);
    CHECK_GT(packed_len, 0);
    REQUIRE(back && (packed = realloc(packed, packed_len)));
    CHECK(codec_unpack(codec, bytes_of(packed, packed_len), back, len));
    CHECK_MEM(back, len, plain, len);
    free(plain);
    free(packed);
    free(back);
}

TEST(what_was_packed_comes_back)
{
    static const size_t lengths[] = {64, 100, 1000, 1024, 65535, 65536, 1 << 20};
    for (size_t i = 0; i < ARRAY_COUNT(codecs); i++)
        for (size_t n = 0; codec_is_built(codecs[i]) && n < ARRAY_COUNT(lengths); n++)
            check_returns(codecs[i], lengths[n]);
}

TEST(it_fits_into_its_room_or_is_not_packed)
{
    for (size_t i = 0; i < ARRAY_COUNT(codecs); i++) {
        size_t len, least;
        uint8_t *plain = words(5000);
        free(pack(codecs[i], bytes_of(plain, 5000), 5000, &least));
        for (size_t room = 0; room < least + 20; room++) {
            free(pack(codecs[i], bytes_of(plain, 5000), room, &len));
            CHECK(len == 0 || len == least || len <= room);
        }
        free(plain);
    }
}

static bool unpacks(unsigned codec, const uint8_t *packed, size_t packed_len, size_t len)
{
    uint8_t *exact = malloc(packed_len ? packed_len : 1), *back = malloc(len ? len : 1);
    REQUIRE(exact && back);
    memcpy(exact, packed, packed_len);
    bool is = codec_unpack(codec, bytes_of(exact, packed_len), back, len);
    free(exact);
    free(back);
    return is;
}

static void check_lies(unsigned codec)
{
    size_t packed_len, len = 3000;
    uint8_t *plain = words(len), *packed = pack(codec, bytes_of(plain, len), len, &packed_len);
    CHECK(unpacks(codec, packed, packed_len, len));
    for (size_t cut = 0; cut < packed_len; cut++)
        CHECK(!unpacks(codec, packed, cut, len));
    CHECK(!unpacks(codec, packed, packed_len, len - 1));
    CHECK(!unpacks(codec, packed, packed_len, len + 1));
    CHECK(!unpacks(codec, packed, packed_len, 0));
    CHECK(!unpacks(codec, plain, len, len));
    CHECK(!unpacks(codec == CODEC_LZ4 ? CODEC_ZSTD : CODEC_LZ4, packed, packed_len, len));
    free(plain);
    free(packed);
}

TEST(what_was_not_packed_so_is_refused)
{
    for (size_t i = 0; i < ARRAY_COUNT(codecs); i++)
        if (codec_is_built(codecs[i]))
            check_lies(codecs[i]);
}

TEST(other_codecs_are_known_by_no_name_and_do_nothing)
{
    static const unsigned others[] = {CODEC_NONE, CODEC_ZSTD + 1, 255, UINT32_MAX};
    uint8_t *plain = words(2000);
    for (size_t i = 0; i < ARRAY_COUNT(others); i++) {
        size_t len;
        free(pack(others[i], bytes_of(plain, 2000), 2000, &len));
        CHECK_EQ(len, 0);
        CHECK(!codec_is_built(others[i]));
        CHECK(!unpacks(others[i], plain, 2000, 2000));
        CHECK_STR(codec_name(others[i]), others[i] == CODEC_NONE ? "none" : "unknown");
    }
    CHECK_STR(codec_name(CODEC_LZ4), "lz4");
    CHECK_STR(codec_name(CODEC_ZSTD), "zstd");
    free(plain);
}

#if NIGH_FAULTS
TEST(without_memory_it_is_not_packed)
{
    uint8_t *plain = words(2000), to[2000];
    struct mem *mem = mem_create();
    REQUIRE(mem);
    fault_arm(FAULT_ALLOC, 1);
    size_t len = codec_pack(CODEC_LZ4, mem, bytes_of(plain, 2000), to, sizeof(to));
    fault_arm(FAULT_ALLOC, 0);
    CHECK_EQ(len, 0);
    mem_destroy(mem);
    free(plain);
}
#endif
