// SPDX-License-Identifier: MIT
/*
 * Byte strings: the order on the wire, and a reader that no input leads past its end.
 */
#include "base/base.h"
#include "support/check.h"

TEST(fields_are_little_endian)
{
    uint8_t at[14];
    put_le16(at, 0x0102);
    put_le32(at + 2, 0x03040506);
    put_le64(at + 6, 0x0708090A0B0C0D0Eull);
    static const uint8_t wire[14] = {2, 1, 6, 5, 4, 3, 14, 13, 12, 11, 10, 9, 8, 7};
    CHECK_MEM(at, sizeof(at), wire, sizeof(wire));

    struct byte_reader r = byte_reader_of(bytes_of(wire, sizeof(wire)));
    CHECK_EQ(get_le16(byte_reader_take(&r, 2)), 0x0102);
    CHECK_EQ(byte_reader_u32(&r), 0x03040506);
    CHECK_EQ(byte_reader_u64(&r), 0x0708090A0B0C0D0Eull);
    CHECK_EQ(r.left, 0);
    CHECK(!r.bad);
}

TEST(extreme_values_survive)
{
    uint8_t at[8];
    put_le16(at, UINT16_MAX);
    CHECK_EQ(get_le16(at), UINT16_MAX);
    put_le32(at, UINT32_MAX);
    CHECK_EQ(get_le32(at), UINT32_MAX);
    put_le64(at, UINT64_MAX);
    CHECK_EQ(get_le64(at), UINT64_MAX);
}

/* The input is in memory of exactly its size, so that ASan sees a byte too many. */
TEST(reader_stops_at_every_length)
{
    static const size_t widths[] = {1, 2, 4, 8};
    struct mem *mem = mem_create();
    for (size_t len = 1; len < 16; len++) {
        uint8_t *input = mem_alloc(mem, NULL, len);
        REQUIRE(input);
        memset(input, 0xFF, len);
        for (size_t w = 0; w < ARRAY_COUNT(widths); w++) {
            struct byte_reader r = byte_reader_of(bytes_of(input, len));
            size_t whole = len / widths[w];
            for (size_t i = 0; i < whole; i++)
                CHECK(byte_reader_take(&r, widths[w]) == input + i * widths[w]);
            CHECK(!r.bad);
            CHECK(!byte_reader_take(&r, len - whole * widths[w] + 1));
            CHECK(r.bad);
        }
        mem_free(mem, NULL, input, len);
    }
    mem_destroy(mem);
}

TEST(reader_stays_bad_and_gives_zeros)
{
    static const uint8_t input[3] = {1, 2, 3};
    struct byte_reader r = byte_reader_of(bytes_of(input, sizeof(input)));
    CHECK_EQ(byte_reader_u32(&r), 0);
    CHECK(r.bad);
    CHECK_EQ(byte_reader_u8(&r), 0); /* there is a byte, but nothing after a mistake counts */
    CHECK(!byte_reader_take(&r, 2));
    CHECK_EQ(byte_reader_u64(&r), 0);
    CHECK(!byte_reader_take(&r, 0));
    CHECK(r.at == input);
}

TEST(reader_refuses_a_length_that_would_wrap)
{
    static const uint8_t input[3] = {1, 2, 3};
    struct byte_reader r = byte_reader_of(bytes_of(input, sizeof(input)));
    CHECK_EQ(byte_reader_u8(&r), 1);
    CHECK(!byte_reader_take(&r, SIZE_MAX));
    CHECK(r.bad);
}

TEST(nothing_can_be_read_from_nothing)
{
    struct byte_reader r = byte_reader_of(bytes_of(NULL, 0));
    byte_reader_take(&r, 0);
    CHECK(!r.bad);
    CHECK_EQ(byte_reader_u8(&r), 0);
    CHECK(r.bad);
}

TEST(equality_is_of_length_and_content)
{
    CHECK(bytes_equal(bytes_of_string("nigh"), bytes_of("nigh!", 4)));
    CHECK(!bytes_equal(bytes_of_string("nigh"), bytes_of_string("nighs")));
    CHECK(!bytes_equal(bytes_of("a\0b", 3), bytes_of("a\0c", 3)));
    CHECK(bytes_equal(bytes_of(NULL, 0), bytes_of("", 0)));
}
