// SPDX-License-Identifier: MIT
// Frames: what is encoded is decoded, and nothing else is.

#include <stdlib.h>

#include <nigh/options.h>

#include "coherence/message.h"
#include "support/check.h"

#define STAMP_AT 4
#define TAIL_AT 76
#define COUNT_AT (TAIL_AT + 16)
#define ITEM_AT (TAIL_AT + COHERENCE_TAIL_BYTES)

static uint8_t frame[64 * 1024];

/* A frame of these items at `seq`; its length. */
static size_t make(const struct coherence_item *items, uint32_t count, uint64_t seq)
{
    memcpy(frame, coherence_message_head().data, STAMP_AT);
    memset(frame + STAMP_AT, 'r', 40);
    memset(frame + STAMP_AT + 40, 'i', 8);
    put_le64(frame + STAMP_AT + 48, seq);
    put_le64(frame + STAMP_AT + 56, 55);
    put_le64(frame + STAMP_AT + 64, 66);
    coherence_tail_encode(frame + TAIL_AT, 11, 22, items, count);
    return TAIL_AT + coherence_tail_size(items, count);
}

/* In a block of its own size, so that a sanitizer sees a read past its end. */
static bool decodes(size_t len)
{
    struct coherence_message m;
    uint8_t *copy = malloc(len ? len : 1);
    memcpy(copy, frame, len);
    bool ok = coherence_message_decode(bytes_of(copy, len), &m);
    free(copy);
    return ok;
}

static struct coherence_item key_item(size_t space_len, size_t key_len)
{
    static uint8_t text[2048];
    memset(text, 'x', sizeof(text));
    return (struct coherence_item){
        .kind = WIRE_KEY,
        .space = bytes_of(text, space_len),
        .bytes = bytes_of(text, key_len),
        .version = 0x1122334455667788,
    };
}

TEST(a_call_says_for_how_long_it_has_waited)
{
    static const struct {
        uint64_t ms, told;
    } rows[] = {{0, 0},       {99, 0},           {100, 100},
                {3456, 3400}, {6553500, 6553500}, {UINT64_MAX, 6553500}};
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++)
        CHECK_EQ(coherence_call_waited_ms(coherence_call(i + 1, rows[i].ms)), rows[i].told);
    CHECK_EQ(coherence_call(5, 0), 5); /* what builds send that do not know of it */
    CHECK_NE(coherence_call(5, 100), coherence_call(6, 100));
}

TEST(what_is_encoded_is_decoded)
{
    struct coherence_item items[] = {
        key_item(1, 1),
        {.kind = WIRE_TAG, .soft = true, .space = bytes_of_string("ignored"),
         .bytes = bytes_of_string("tag")},
        {.kind = WIRE_SPACE, .space = bytes_of_string("s"), .bytes = bytes_of_string("ignored")},
        {.kind = WIRE_ALL, .space = bytes_of_string("ignored")},
        key_item(NIGH_NAME_MAX, NIGH_KEY_MAX),
    };
    size_t len = make(items, 5, 33);
    struct coherence_message m;
    REQUIRE(coherence_message_decode(bytes_of(frame, len), &m));
    CHECK_EQ(m.identity, hash_bytes(bytes_of(frame + STAMP_AT, 48)));
    CHECK_EQ(m.sequence, 33);
    CHECK_EQ(m.previous, 55);
    CHECK_EQ(m.nonce, 66);
    CHECK_EQ(m.incarnation, 11);
    CHECK_EQ(m.call, 22);
    CHECK_EQ(m.item_count, 5);

    struct coherence_item item;
    CHECK(coherence_message_next(&m, &item) && item.kind == WIRE_KEY && !item.soft);
    CHECK_EQ(item.version, items[0].version);
    CHECK(coherence_message_next(&m, &item) && item.kind == WIRE_TAG && item.soft);
    CHECK(bytes_equal(item.bytes, bytes_of_string("tag")) && item.space.len == 0);
    CHECK(coherence_message_next(&m, &item) && item.kind == WIRE_SPACE);
    CHECK(bytes_equal(item.space, bytes_of_string("s")) && item.bytes.len == 0);
    CHECK(coherence_message_next(&m, &item) && item.kind == WIRE_ALL);
    CHECK(coherence_message_next(&m, &item) && item.bytes.len == NIGH_KEY_MAX);
    CHECK(!coherence_message_next(&m, &item));
}

TEST(layout_is_the_protocol)
{
    struct coherence_item item = {.kind = WIRE_KEY, .soft = true, .space = bytes_of_string("ab"),
                                  .bytes = bytes_of_string("cde"), .version = 9};
    static const char expected[] =
        "nf\2\0rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrriiiiiiii"
        "\x21\0\0\0\0\0\0\0" "\x37\0\0\0\0\0\0\0" "\x42\0\0\0\0\0\0\0"
        "\x0b\0\0\0\0\0\0\0" "\x16\0\0\0\0\0\0\0" "\1\0\0\0"
        "\1\1\2\0" "\3\0\0\0" "\x09\0\0\0\0\0\0\0" "abcde";
    size_t len = make(&item, 1, 33);
    CHECK_MEM(frame, len, expected, sizeof(expected) - 1);
}

TEST(every_truncation_is_bad)
{
    struct coherence_item items[] = {key_item(3, 5), key_item(1, 9)};
    size_t len = make(items, 2, 1);
    CHECK(decodes(len));
    for (size_t cut = 0; cut < len; cut++)
        CHECK(!decodes(cut));
    frame[len] = 0;
    CHECK(!decodes(len + 1)); /* and so is more */
}

/* The frame with one byte changed. */
static bool decodes_with(size_t len, size_t at, uint8_t value)
{
    uint8_t kept = frame[at];
    frame[at] = value;
    bool ok = decodes(len);
    frame[at] = kept;
    return ok;
}

TEST(head_kinds_and_flags_are_checked)
{
    struct coherence_item item = key_item(3, 5);
    size_t len = make(&item, 1, 1);
    for (size_t at = 0; at < STAMP_AT; at++)
        CHECK(!decodes_with(len, at, frame[at] + 1));
    CHECK(!decodes_with(len, ITEM_AT, 0));
    CHECK(!decodes_with(len, ITEM_AT, WIRE_FILL + 1));
    CHECK(!decodes_with(len, ITEM_AT + 1, 2));
    CHECK(!decodes_with(len, ITEM_AT + 3, 1));
    CHECK(decodes_with(len, ITEM_AT + 1, 1));
    CHECK(decodes(len));
}

TEST(kinds_have_their_strings)
{
    struct coherence_item item = key_item(3, 5);
    size_t len = make(&item, 1, 1);
    CHECK(!decodes_with(len, ITEM_AT, WIRE_TAG));   /* has no space */
    CHECK(!decodes_with(len, ITEM_AT, WIRE_SPACE)); /* has no bytes */
    CHECK(!decodes_with(len, ITEM_AT, WIRE_ALL));
    item.bytes.len = 0;
    CHECK(!decodes(make(&item, 1, 1))); /* a key has */
    item = key_item(0, 5);
    CHECK(!decodes(make(&item, 1, 1)));
}

TEST(fills_and_changes_do_not_mix)
{
    struct coherence_item items[] = {key_item(3, 5), key_item(3, 5)};
    CHECK(!decodes(make(items, 1, 0)));
    items[0].kind = WIRE_FILL;
    CHECK(decodes(make(items, 1, 0)));
    CHECK(!decodes(make(items, 2, 0)));
    CHECK(!decodes(make(items, 1, 1)));
}

TEST(limits)
{
    struct coherence_item item = key_item(NIGH_NAME_MAX, NIGH_KEY_MAX + 1);
    CHECK(!decodes(make(&item, 1, 1)));
    item = key_item(NIGH_NAME_MAX + 1, NIGH_KEY_MAX);
    CHECK(!decodes(make(&item, 1, 1)));
    CHECK(!decodes(make(&item, 0, 1)));

    static uint8_t buffer[TAIL_AT + COHERENCE_TAIL_BYTES +
                          (COHERENCE_ITEMS_MAX + 1) * COHERENCE_ITEM_BYTES];
    static struct coherence_item many[COHERENCE_ITEMS_MAX + 1];
    for (uint32_t i = 0; i <= COHERENCE_ITEMS_MAX; i++)
        many[i].kind = WIRE_ALL;
    struct coherence_message m;
    memcpy(buffer, frame, TAIL_AT);
    coherence_tail_encode(buffer + TAIL_AT, 1, 2, many, COHERENCE_ITEMS_MAX);
    CHECK(coherence_message_decode(
        bytes_of(buffer, TAIL_AT + coherence_tail_size(many, COHERENCE_ITEMS_MAX)), &m));
    coherence_tail_encode(buffer + TAIL_AT, 1, 2, many, COHERENCE_ITEMS_MAX + 1);
    CHECK(!coherence_message_decode(bytes_of(buffer, sizeof(buffer)), &m));
}

TEST(absurd_count_does_no_harm)
{
    struct coherence_item item = key_item(3, 5);
    size_t len = make(&item, 1, 1);
    put_le32(frame + COUNT_AT, UINT32_MAX);
    CHECK(!decodes(len));
    put_le32(frame + COUNT_AT, 2);
    CHECK(!decodes(len));
}

TEST(slots_of_groups)
{
    struct coherence_item all = {.kind = WIRE_ALL};
    struct coherence_item space = {.kind = WIRE_SPACE, .space = bytes_of_string("s")};
    struct coherence_item tag = {.kind = WIRE_TAG, .bytes = bytes_of_string("s")};
    struct coherence_item tag_in_space = tag;
    tag_in_space.space = bytes_of_string("elsewhere"); /* tags belong to the whole cache */
    CHECK_EQ(coherence_item_slot(&all, GROUP_SLOTS_MAX), GROUP_SLOT_ALL);
    CHECK_GE(coherence_item_slot(&space, GROUP_SLOTS_MAX), 1);
    CHECK_LT(coherence_item_slot(&space, GROUP_SLOTS_MAX), GROUP_SLOT_TAGS);
    CHECK_GE(coherence_item_slot(&tag, GROUP_SLOTS_MAX), GROUP_SLOT_TAGS);
    CHECK_EQ(coherence_item_slot(&tag, GROUP_SLOTS_MAX),
             coherence_item_slot(&tag_in_space, GROUP_SLOTS_MAX));
}
