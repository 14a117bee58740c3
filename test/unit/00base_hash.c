// SPDX-License-Identifier: MIT
/*
 * Hashes. The wire vectors come from another program (xxhsum -H3 over bytes assembled by a script):
 * a change of them is a change of the protocol.
 */
#include "base/base.h"
#include "base/siphash.h"
#include "support/check.h"

static struct bytes counting(uint8_t *buffer, size_t len)
{
    for (size_t i = 0; i < len; i++)
        buffer[i] = (uint8_t)i;
    return bytes_of(buffer, len);
}

TEST(bytes_hash_is_xxh3_with_seed_0)
{
    uint8_t buffer[300];
    CHECK_EQ(hash_bytes(bytes_of(NULL, 0)), 0x2D06800538D394C2ull);
    CHECK_EQ(hash_bytes(bytes_of_string("nigh")), 0xEDB5FF4B4902463Full);
    CHECK_EQ(hash_bytes(counting(buffer, sizeof(buffer))), 0xD44052F5A3485425ull);
}

TEST(wire_hash_and_slots_are_the_protocols)
{
    uint8_t buffer[1024];
    struct bytes none = bytes_of(NULL, 0), users = bytes_of_string("users");
    const struct {
        enum wire_kind kind;
        struct bytes space, bytes;
        uint64_t hash;
        uint16_t slot, slot_of_2048;
    } vectors[] = {
        {WIRE_KEY, users, bytes_of_string("42"), 0x66A11DDF9C5CDB57, 0, 0},
        {WIRE_TAG, none, bytes_of_string("eu"), 0x4FD6F8F6FB645B57, 62295, 1879},
        {WIRE_TAG, users, bytes_of_string("eu"), 0xC240300B73BE3E87, 30343, 1671},
        {WIRE_SPACE, users, none, 0x3787054D3169CC90, 58, 58},
        {WIRE_ALL, none, none, 0xEE53FD1B240E9DC6, 0, 0},
        {WIRE_KEY, bytes_of_string("a"), bytes_of_string("bc"), 0x3C5EE32F5E835748, 0, 0},
        {WIRE_KEY, bytes_of_string("ab"), bytes_of_string("c"), 0xCD5D6F9ED26DC77E, 0, 0},
        {WIRE_KEY, bytes_of_string("s"), counting(buffer, 1024), 0x2E045480B9868CD6, 0, 0},
    };
    for (size_t i = 0; i < ARRAY_COUNT(vectors); i++) {
        enum wire_kind kind = vectors[i].kind;
        uint64_t hash = hash_wire(kind, vectors[i].space, vectors[i].bytes);
        CHECK_EQ(hash, vectors[i].hash);
        if (kind == WIRE_KEY)
            continue;
        CHECK_EQ(hash_group_slot(kind, hash, GROUP_SLOTS_MAX), vectors[i].slot);
        CHECK_EQ(hash_group_slot(kind, hash, GROUP_SLOTS_MIN), vectors[i].slot_of_2048);
    }
}

/* Put together here, in one piece; there, in pieces or in one by its length. */
TEST(wire_hash_is_the_same_for_names_of_every_length)
{
    uint8_t text[1024], joined[1024], space[300];
    counting(text, sizeof(text));
    memset(space, 's', sizeof(space));
    for (size_t space_len = 0; space_len <= sizeof(space); space_len += 25)
        for (size_t len = 0; len < 700; len++) {
            joined[0] = WIRE_KEY;
            put_le32(joined + 1, (uint32_t)space_len);
            memcpy(joined + 5, space, space_len);
            put_le32(joined + 5 + space_len, (uint32_t)len);
            memcpy(joined + 9 + space_len, text, len);
            if (!CHECK_EQ(hash_wire(WIRE_KEY, bytes_of(space, space_len), bytes_of(text, len)),
                          hash_bytes(bytes_of(joined, 9 + space_len + len))))
                return;
        }
}

TEST(slots_of_each_kind_keep_to_their_range)
{
    uint64_t seed = check_seed();
    bool space_seen[GROUP_SLOT_TAGS] = {false};
    for (int i = 0; i < 100000; i++) {
        uint64_t hash = check_random(&seed);
        uint32_t slots = GROUP_SLOTS_MIN << (hash % 6);
        uint16_t space = hash_group_slot(WIRE_SPACE, hash, slots);
        CHECK(space >= 1 && space < GROUP_SLOT_TAGS);
        space_seen[space] = true;
        uint16_t tag = hash_group_slot(WIRE_TAG, hash, slots);
        CHECK(tag >= GROUP_SLOT_TAGS && tag < slots);
        CHECK_EQ(hash_group_slot(WIRE_ALL, hash, slots), GROUP_SLOT_ALL);
    }
    CHECK(hash_group_slot(WIRE_SPACE, UINT64_MAX, GROUP_SLOTS_MAX) < GROUP_SLOT_TAGS);
    CHECK_LT(hash_group_slot(WIRE_TAG, UINT64_MAX, GROUP_SLOTS_MAX), GROUP_SLOTS_MAX);
    CHECK(space_seen[1] && space_seen[GROUP_SLOT_TAGS - 1]);
}

static struct hash hash_of(enum hash_kind kind, uint64_t seed)
{
    struct hash h;
    hash_init(&h, kind, seed, ~seed);
    return h;
}

static void depends_on_all(enum hash_kind kind)
{
    struct hash h = hash_of(kind, 7), other = hash_of(kind, 8);
    uint64_t hash = hash_key(&h, 3, "key", 3);
    CHECK_EQ(hash, hash_key(&h, 3, "key", 3));
    CHECK_NE(hash, hash_key(&other, 3, "key", 3));
    CHECK_NE(hash, hash_key(&h, 4, "key", 3));
    CHECK_NE(hash, hash_key(&h, 3, "kez", 3));
    CHECK_NE(hash, hash_key(&h, 3, "key", 2));
}

TEST(key_hash_depends_on_process_space_and_key)
{
    depends_on_all(HASH_XXH3);
    depends_on_all(HASH_SIPHASH);
    struct hash xxh3 = hash_of(HASH_XXH3, 7), siphash = hash_of(HASH_SIPHASH, 7);
    CHECK_NE(hash_key(&xxh3, 3, "key", 3), hash_key(&siphash, 3, "key", 3));
}

TEST(inlined_it_is_the_same_hash)
{
    uint8_t text[300];
    uint64_t random = check_seed();
    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = (uint8_t)check_random(&random);
    for (size_t len = 1; len < sizeof(text) - 8; len++)
        for (uint32_t space = 0; space < 6; space++) {
            struct hash h = hash_of(space % 2 ? HASH_SIPHASH : HASH_XXH3, check_random(&random));
            const uint8_t *key = text + check_random(&random) % 8;
            struct space_hash s;
            space_hash_init(&s, &h, space);
            CHECK_EQ(space_hash_key(&s, key, len), hash_key(&h, space, key, len));
        }
}

/* From another program, a script that also gives the published values of SipHash-2-4 (appendix A of
 * the paper). Key 00 01 .. 0f, message 00 01 .. of every length up to 24. */
static const uint64_t siphash_vectors[] = {
    0xabac0158050fc4dcull, 0xc9f49bf37d57ca93ull, 0x82cb9b024dc7d44dull, 0x8bf80ab8e7ddf7fbull,
    0xcf75576088d38328ull, 0xdef9d52f49533b67ull, 0xc50d2b50c59f22a7ull, 0xd3927d989bb11140ull,
    0x369095118d299a8eull, 0x25a48eb36c063de4ull, 0x79de85ee92ff097full, 0x70c118c1f94dc352ull,
    0x78a384b157b4d9a2ull, 0x306f760c1229ffa7ull, 0x605aa111c0f95d34ull, 0xd320d86d2a519956ull,
    0xcc4fdd1a7d908b66ull, 0x9cf2689063dbd80cull, 0x8ffc389cb473e63eull, 0xf21f9de58d297d1cull,
    0xc0dc2f46a6cce040ull, 0xb992abfe2b45f844ull, 0x7ffe7b9ba320872eull, 0x525a0e7fdae6c123ull,
    0xf464aeb267349c8cull,
};

TEST(siphash_1_3_gives_the_known_values)
{
    const uint64_t key[2] = {0x0706050403020100ull, 0x0f0e0d0c0b0a0908ull};
    uint8_t message[ARRAY_COUNT(siphash_vectors)];
    for (size_t len = 0; len < ARRAY_COUNT(siphash_vectors); len++) {
        CHECK_EQ(siphash_1_3(key, message, len), siphash_vectors[len]);
        message[len] = (uint8_t)len;
    }
}

/* Same keys in neighbouring spaces must not gather in the same shards: they share the table. */
TEST(spaces_spread_over_all_bits)
{
    unsigned low[64] = {0}, high[64] = {0};
    struct hash h = hash_of(HASH_XXH3, check_seed());
    for (uint32_t space = 1; space <= 64 * 64; space++) {
        uint64_t hash = hash_key(&h, space, "the same key", 12);
        low[hash % 64]++;
        high[hash >> 58]++;
    }
    for (int i = 0; i < 64; i++) { /* 64 expected, deviation 8: 6 of them on either side */
        CHECK(low[i] > 16 && low[i] < 112);
        CHECK(high[i] > 16 && high[i] < 112);
    }
}
