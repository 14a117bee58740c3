// SPDX-License-Identifier: MIT
// The envelope around each value in Redis. Little-endian, 96 bytes, then 8 per group, then the
// payload:
//
//      0  "NIGH"             4  u8 format (2)      5  u8 flags          6  u16 groups
//      8  u64 home          16  u64 stamp: clock  24  u64 stamp: seq   32  u64 fill id
//     40  u64 user version  48  u64 server time at fill, ms
//     56  u32 soft ms       60  u32 stale ms      64  u32 keep ms      68  u32 load cost us
//     72  u32 payload bytes 76  u32 plain bytes   80  u64 checksum     88  u64 name
//     96  groups, payload
//
// Plain bytes are how many a compressed payload was made of, more than it has; 0 with any other.
// Builds that do not know them take only 0 there, so that they never serve compressed bytes.
//
// The checksum is XXH3-64, seed 0, over bytes 0..79 and 88..end, with the SOFT flag cleared: a
// soft invalidation sets that bit in place. The name is a hash of space, schema and key: should the
// replies of a connection ever be shifted by one, no key takes another's value. Anything that is
// not exactly this is not an envelope: whoever shares the Redis, or an older or newer nigh, may
// have written it.

#include "l2/l2.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <nigh/options.h>

#define FORMAT 2
#define HEADER_BYTES 96u
#define CHECKSUM_AT 80u
#define NAME_AT 88u /* the second part that is summed begins here */
#define FLAGS_AT 5u
#define FLAGS_KNOWN                                                                                \
    (L2_ENVELOPE_ABSENT | L2_ENVELOPE_UNCACHEABLE | L2_ENVELOPE_COMPRESSED | L2_ENVELOPE_TAGGED |  \
     L2_ENVELOPE_SOFT)

static const uint8_t magic[4] = {'N', 'I', 'G', 'H'};

/* The summed bytes lie together but for the sum itself. Those of a short envelope are copied
 * together and summed in one go: the state of a stream takes longer to set up. */
#define SUMMED_AT_ONCE 1024u

static uint64_t checksum_short(const uint8_t *b, size_t len)
{
    uint8_t text[SUMMED_AT_ONCE];
    memcpy(text, b, CHECKSUM_AT);
    text[FLAGS_AT] &= (uint8_t)~L2_ENVELOPE_SOFT;
    memcpy(text + CHECKSUM_AT, b + NAME_AT, len - NAME_AT);
    return XXH3_64bits(text, len - (NAME_AT - CHECKSUM_AT));
}

static uint64_t checksum(const uint8_t *b, size_t len)
{
    uint8_t head[CHECKSUM_AT];
    XXH3_state_t state;
    if (len <= SUMMED_AT_ONCE)
        return checksum_short(b, len);
    memcpy(head, b, sizeof(head));
    head[FLAGS_AT] &= (uint8_t)~L2_ENVELOPE_SOFT;
    XXH3_64bits_reset(&state);
    XXH3_64bits_update(&state, head, sizeof(head));
    XXH3_64bits_update(&state, b + NAME_AT, len - NAME_AT);
    return XXH3_64bits_digest(&state);
}

uint64_t l2_name_hash(const struct l2_key *key)
{
    return hash_wire(WIRE_KEY, key->space, key->key) * HASH_GOLDEN + hash_bytes(key->schema);
}

size_t l2_envelope_size(const struct l2_envelope *e)
{
    return HEADER_BYTES + 8 * (size_t)e->group_count + e->payload.len;
}

void l2_envelope_encode(const struct l2_envelope *e, void *buffer)
{
    uint8_t *b = buffer;
    size_t groups_bytes = 8 * (size_t)e->group_count;
    memcpy(b, magic, sizeof(magic));
    b[4] = FORMAT;
    b[FLAGS_AT] = (uint8_t)(e->flags | (e->plain_len ? L2_ENVELOPE_COMPRESSED : 0));
    put_le16(b + 6, (uint16_t)e->group_count);
    put_le64(b + 8, e->home);
    put_le64(b + 16, e->identity);
    put_le64(b + 24, e->sequence);
    put_le64(b + L2_ENVELOPE_FILL_ID_AT, e->fill_id);
    put_le64(b + L2_ENVELOPE_VERSION_AT, e->version);
    put_le64(b + 48, e->server_time_ms);
    put_le32(b + 56, e->soft_ms);
    put_le32(b + 60, e->stale_ms);
    put_le32(b + 64, e->keep_ms);
    put_le32(b + 68, e->cost_us);
    put_le32(b + 72, (uint32_t)e->payload.len);
    put_le32(b + 76, e->plain_len);
    put_le64(b + NAME_AT, e->name);
    if (groups_bytes > 0)
        memcpy(b + HEADER_BYTES, e->groups, groups_bytes);
    if (e->payload.len > 0)
        memcpy(b + HEADER_BYTES + groups_bytes, e->payload.data, e->payload.len);
    put_le64(b + CHECKSUM_AT, checksum(b, l2_envelope_size(e)));
}

/* Whether flag and lengths agree: what was compressed has become smaller, but not nothing. */
static bool lengths_agree(const struct l2_envelope *e)
{
    if (e->flags & L2_ENVELOPE_COMPRESSED)
        return e->payload.len > 1 && e->payload.len < e->plain_len;
    return e->plain_len == 0;
}

bool l2_envelope_decode(struct bytes bytes, uint64_t name, struct l2_envelope *ret)
{
    const uint8_t *b = bytes.data;
    if (bytes.len < HEADER_BYTES || memcmp(b, magic, sizeof(magic)) != 0 || b[4] != FORMAT)
        return false;
    struct l2_envelope e = {
        .flags = b[FLAGS_AT],
        .name = get_le64(b + NAME_AT),
        .home = get_le64(b + 8),
        .identity = get_le64(b + 16),
        .sequence = get_le64(b + 24),
        .fill_id = get_le64(b + L2_ENVELOPE_FILL_ID_AT),
        .version = get_le64(b + L2_ENVELOPE_VERSION_AT),
        .server_time_ms = get_le64(b + 48),
        .soft_ms = get_le32(b + 56),
        .stale_ms = get_le32(b + 60),
        .keep_ms = get_le32(b + 64),
        .cost_us = get_le32(b + 68),
        .groups = b + HEADER_BYTES,
        .group_count = get_le16(b + 6),
        .plain_len = get_le32(b + 76),
    };
    e.payload = bytes_of(e.groups + 8 * (size_t)e.group_count, get_le32(b + 72));
    if ((e.flags & ~FLAGS_KNOWN) || e.group_count > NIGH_TAGS_MAX || !lengths_agree(&e) ||
        e.name != name || l2_envelope_size(&e) != bytes.len ||
        get_le64(b + CHECKSUM_AT) != checksum(b, bytes.len))
        return false;
    *ret = e;
    return true;
}

uint64_t l2_envelope_fill_id(struct bytes b)
{
    const uint8_t *at = b.data;
    bool seen = b.len >= HEADER_BYTES && memcmp(at, magic, sizeof(magic)) == 0 && at[4] == FORMAT;
    return seen ? get_le64(at + L2_ENVELOPE_FILL_ID_AT) : 0;
}

bool l2_envelope_begins(struct bytes b)
{
    return b.len > sizeof(magic) && memcmp(b.data, magic, sizeof(magic)) == 0;
}

bool l2_envelope_foreign(struct bytes b)
{
    return l2_envelope_begins(b) && ((const uint8_t *)b.data)[4] != FORMAT;
}
