// SPDX-License-Identifier: MIT
// The envelope: its bytes as documented, and that nothing but a whole one is taken for one.

#include <stdlib.h>
#include <string.h>

#include <nigh/options.h>

#include "l2/l2.h"
#include "support/check.h"

static const uint8_t groups[16] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};

#define NAME 0x123456789abcdef0

static const struct l2_envelope sample = {
    .flags = L2_ENVELOPE_TAGGED,
    .name = NAME,
    .home = 0x1111111111111111,
    .identity = 0x2222222222222222,
    .sequence = 0x3333333333333333,
    .fill_id = 0x4444444444444444,
    .version = 0x5555555555555555,
    .server_time_ms = 0x6666666666666666,
    .soft_ms = 0x77777777,
    .stale_ms = 0x88888888,
    .keep_ms = 0x99999999,
    .cost_us = 0xaaaaaaaa,
    .groups = groups,
    .group_count = 2,
    .payload = {"payload", 7},
};

/* The sample in memory of exactly its size, so that a sanitizer sees a read past its end. */
static uint8_t *encode(const struct l2_envelope *e, size_t *ret_len)
{
    *ret_len = l2_envelope_size(e);
    uint8_t *b = malloc(*ret_len);
    REQUIRE(b);
    l2_envelope_encode(e, b);
    return b;
}

TEST(bytes_are_as_documented)
{
    size_t len;
    uint8_t *b = encode(&sample, &len);
    CHECK_EQ(len, 96 + 16 + 7);
    CHECK_MEM(b, 8, "NIGH\2\x8\2\0", 8);
    for (int i = 0; i < 6; i++)
        CHECK_EQ(get_le64(b + 8 + 8 * i), 0x1111111111111111ull * (unsigned)(i + 1));
    for (int i = 0; i < 4; i++)
        CHECK_EQ(get_le32(b + 56 + 4 * i), 0x11111111u * (unsigned)(i + 7));
    CHECK_EQ(get_le32(b + 72), 7);
    CHECK_EQ(get_le32(b + 76), 0);
    CHECK_EQ(get_le64(b + 88), NAME);
    CHECK_MEM(b + 96, 16, groups, 16);
    CHECK_MEM(b + 112, 7, "payload", 7);
    uint8_t joined[80 + 31]; /* the checksum as another language would compute it */
    memcpy(joined, b, 80);
    memcpy(joined + 80, b + 88, 31);
    CHECK_EQ(get_le64(b + 80), hash_bytes(bytes_of(joined, sizeof(joined))));
    free(b);
}

/* A build that knows of no compressed payloads wants 0 at 76. */
TEST(a_compressed_payload_says_what_it_was_made_of)
{
    struct l2_envelope e = sample, decoded;
    size_t len;
    e.plain_len = 0x0badcafe;
    uint8_t *b = encode(&e, &len);
    CHECK_EQ(b[5], L2_ENVELOPE_TAGGED | L2_ENVELOPE_COMPRESSED);
    CHECK_EQ(get_le32(b + 76), 0x0badcafe);
    CHECK(l2_envelope_decode(bytes_of(b, len), NAME, &decoded));
    CHECK_EQ(decoded.plain_len, 0x0badcafe);
    free(b);
}

TEST(flag_and_lengths_of_a_compressed_payload_agree)
{
    static const struct {
        uint8_t flags;
        uint32_t plain_len, len;
        bool is;
    } cases[] = {{0, 0, 7, true},   {0, 0, 0, true},  {4, 0, 7, false}, {4, 8, 7, true},
                 {4, 7, 7, false},  {4, 6, 7, false}, {4, 8, 1, false}, {4, 8, 0, false},
                 {4, UINT32_MAX, 2, true}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct l2_envelope e = sample, decoded;
        size_t len;
        e.flags = cases[i].flags;
        e.plain_len = cases[i].plain_len;
        e.payload.len = cases[i].len;
        uint8_t *b = encode(&e, &len);
        CHECK_EQ(l2_envelope_decode(bytes_of(b, len), NAME, &decoded), cases[i].is);
        free(b);
    }
}

TEST(its_checksum_is_the_same_at_every_length)
{
    uint8_t joined[2048], payload[1500];
    memset(payload, 'p', sizeof(payload));
    for (size_t payload_len = 0; payload_len <= sizeof(payload); payload_len++) {
        struct l2_envelope e = sample, decoded;
        size_t len;
        e.payload = bytes_of(payload, payload_len);
        uint8_t *b = encode(&e, &len);
        memcpy(joined, b, 80);
        memcpy(joined + 80, b + 88, len - 88);
        CHECK_EQ(get_le64(b + 80), hash_bytes(bytes_of(joined, len - 8)));
        CHECK(l2_envelope_decode(bytes_of(b, len), NAME, &decoded));
        b[len - 1] ^= 1;
        CHECK(!l2_envelope_decode(bytes_of(b, len), NAME, &decoded));
        free(b);
    }
}

TEST(decodes_what_it_encodes)
{
    size_t len;
    struct l2_envelope e;
    uint8_t *b = encode(&sample, &len);
    REQUIRE(l2_envelope_decode(bytes_of(b, len), NAME, &e));
    CHECK_EQ(e.flags, sample.flags);
    CHECK_EQ(e.home, sample.home);
    CHECK_EQ(e.identity, sample.identity);
    CHECK_EQ(e.sequence, sample.sequence);
    CHECK_EQ(e.fill_id, sample.fill_id);
    CHECK_EQ(e.version, sample.version);
    CHECK_EQ(e.server_time_ms, sample.server_time_ms);
    CHECK_EQ(e.soft_ms, sample.soft_ms);
    CHECK_EQ(e.stale_ms, sample.stale_ms);
    CHECK_EQ(e.keep_ms, sample.keep_ms);
    CHECK_EQ(e.cost_us, sample.cost_us);
    CHECK_MEM(e.groups, 8 * e.group_count, groups, 16);
    CHECK_MEM(e.payload.data, e.payload.len, "payload", 7);
    free(b);
}

/* The replies of a connection may be shifted by one: another key's value is nobody's. */
TEST(of_another_key_it_is_none)
{
    size_t len;
    struct l2_envelope e;
    uint8_t *b = encode(&sample, &len);
    for (int bit = 0; bit < 64; bit++)
        CHECK(!l2_envelope_decode(bytes_of(b, len), NAME ^ UINT64_C(1) << bit, &e));
    free(b);
}

TEST(names_differ_by_space_schema_and_key)
{
    static const char *const texts[][3] = {
        {"s", "1", "k"}, {"s", "1", "l"}, {"s", "2", "k"}, {"t", "1", "k"}, {"s", "1", "kk"},
        {"s1", "1", "k"}, {"s", "11", "k"}, {"1", "s", "k"},
    };
    uint64_t names[ARRAY_COUNT(texts)];
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++) {
        struct l2_key key = {bytes_of_string(texts[i][0]), bytes_of_string(texts[i][1]),
                             bytes_of_string(texts[i][2])};
        names[i] = l2_name_hash(&key);
        for (size_t j = 0; j < i; j++)
            CHECK_NE(names[i], names[j]);
    }
}

TEST(an_envelope_of_another_format_is_not_ours_to_end)
{
    CHECK(l2_envelope_foreign(bytes_of("NIGH\1 and more", 14)));
    CHECK(l2_envelope_foreign(bytes_of("NIGH\3", 5)));
    CHECK(!l2_envelope_foreign(bytes_of("NIGH\2 and more", 14)));
    CHECK(!l2_envelope_foreign(bytes_of("NIGH", 4)));
    CHECK(!l2_envelope_foreign(bytes_of("", 0)));
    CHECK(!l2_envelope_foreign(bytes_of("hello, world", 12)));
    CHECK(l2_envelope_begins(bytes_of("NIGH\1 and more", 14)));
    CHECK(l2_envelope_begins(bytes_of("NIGH\2", 5)));
    CHECK(!l2_envelope_begins(bytes_of("NIGH", 4)));
    CHECK(!l2_envelope_begins(bytes_of("hello, world", 12)));
}

TEST(an_empty_value_is_a_value)
{
    size_t len;
    struct l2_envelope e, empty = {.flags = L2_ENVELOPE_ABSENT};
    uint8_t *b = encode(&empty, &len);
    CHECK_EQ(len, 96);
    CHECK(l2_envelope_decode(bytes_of(b, len), 0, &e));
    CHECK_EQ(e.payload.len, 0);
    free(b);
}

TEST(every_other_bit_is_refused)
{
    size_t len;
    struct l2_envelope e = {.version = 9};
    uint8_t *b = encode(&sample, &len);
    for (size_t bit = 0; bit < 8 * len; bit++) {
        b[bit / 8] ^= (uint8_t)(1 << bit % 8);
        bool soft = bit == 8 * 5 + 4; /* set in place by a soft invalidation */
        if (!CHECK_EQ(l2_envelope_decode(bytes_of(b, len), NAME, &e), soft))
            check_note("bit %zu of byte %zu", bit % 8, bit / 8);
        b[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    free(b);
}

TEST(every_other_length_is_refused)
{
    size_t len;
    struct l2_envelope e;
    uint8_t *b = encode(&sample, &len);
    for (size_t cut = 0; cut < len; cut++) {
        uint8_t *exact = malloc(cut ? cut : 1);
        REQUIRE(exact);
        memcpy(exact, b, cut);
        CHECK(!l2_envelope_decode(bytes_of(exact, cut), NAME, &e));
        free(exact);
    }
    uint8_t *longer = calloc(1, len + 1);
    REQUIRE(longer);
    memcpy(longer, b, len);
    CHECK(!l2_envelope_decode(bytes_of(longer, len + 1), NAME, &e));
    free(longer);
    free(b);
}

TEST(more_groups_than_a_value_may_have_are_refused)
{
    size_t len;
    uint8_t *many = calloc(NIGH_TAGS_MAX + 1, 8);
    REQUIRE(many);
    struct l2_envelope out, e = {.groups = many, .group_count = NIGH_TAGS_MAX};
    uint8_t *b = encode(&e, &len);
    CHECK(l2_envelope_decode(bytes_of(b, len), 0, &out));
    free(b);
    e.group_count++;
    b = encode(&e, &len);
    CHECK(!l2_envelope_decode(bytes_of(b, len), 0, &out));
    free(b);
    free(many);
}
