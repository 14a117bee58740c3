// SPDX-License-Identifier: MIT
// The envelope: its bytes as documented, and that nothing but a whole one is taken for one.

#include <stdlib.h>
#include <string.h>

#include <nigh/options.h>

#include "l2/l2.h"
#include "support/check.h"

static const uint8_t groups[16] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};

static const struct l2_envelope sample = {
    .flags = L2_ENVELOPE_TAGGED,
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
    CHECK_EQ(len, 88 + 16 + 7);
    CHECK_MEM(b, 8, "NIGH\1\x8\2\0", 8);
    for (int i = 0; i < 6; i++)
        CHECK_EQ(get_le64(b + 8 + 8 * i), 0x1111111111111111ull * (unsigned)(i + 1));
    for (int i = 0; i < 4; i++)
        CHECK_EQ(get_le32(b + 56 + 4 * i), 0x11111111u * (unsigned)(i + 7));
    CHECK_EQ(get_le32(b + 72), 7);
    CHECK_EQ(get_le32(b + 76), 0);
    CHECK_MEM(b + 88, 16, groups, 16);
    CHECK_MEM(b + 104, 7, "payload", 7);
    uint8_t joined[80 + 23]; /* the checksum as another language would compute it */
    memcpy(joined, b, 80);
    memcpy(joined + 80, b + 88, 23);
    CHECK_EQ(get_le64(b + 80), hash_bytes(bytes_of(joined, sizeof(joined))));
    free(b);
}

TEST(decodes_what_it_encodes)
{
    size_t len;
    struct l2_envelope e;
    uint8_t *b = encode(&sample, &len);
    REQUIRE(l2_envelope_decode(bytes_of(b, len), &e));
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

TEST(an_empty_value_is_a_value)
{
    size_t len;
    struct l2_envelope e, empty = {.flags = L2_ENVELOPE_ABSENT};
    uint8_t *b = encode(&empty, &len);
    CHECK_EQ(len, 88);
    CHECK(l2_envelope_decode(bytes_of(b, len), &e));
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
        if (!CHECK_EQ(l2_envelope_decode(bytes_of(b, len), &e), soft))
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
        CHECK(!l2_envelope_decode(bytes_of(exact, cut), &e));
        free(exact);
    }
    uint8_t *longer = calloc(1, len + 1);
    REQUIRE(longer);
    memcpy(longer, b, len);
    CHECK(!l2_envelope_decode(bytes_of(longer, len + 1), &e));
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
    CHECK(l2_envelope_decode(bytes_of(b, len), &out));
    free(b);
    e.group_count++;
    b = encode(&e, &len);
    CHECK(!l2_envelope_decode(bytes_of(b, len), &out));
    free(b);
    free(many);
}
