// SPDX-License-Identifier: MIT
// Frames: encoding of our own, decoding of what comes from outside.
//
// A script passes on whatever a client gave it, and anybody may publish on a channel: a decoder
// meets every byte string there is. All limits are checked in one pass (item_read), which
// the applying pass then repeats on bytes known to be good.

#include "coherence/message.h"

#include <nigh/options.h>

#define FRAME_VERSION 2
#define OLD_CALL_AT 68u /* in a frame of version 1: behind head, identity, seq, incarnation */
#define FLAG_SOFT 1
#define IDENTITY_BYTES 48 /* replid and id */
#define CALL_NUMBER_BITS 48 /* enough for a million calls a second in nine years */
#define CALL_WAITED_MOST UINT16_MAX
#define CALL_WAITED_UNIT_MS (COHERENCE_WAITED_MOST_MS / CALL_WAITED_MOST)

static const uint8_t frame_head[COHERENCE_HEAD_BYTES] = {'n', 'f', FRAME_VERSION, 0};

/* ---- items ---- */

/* Tags belong to the whole cache, so they have no space; only keys and tags have bytes. */
static struct bytes item_space(const struct coherence_item *item)
{
    bool has = item->kind == WIRE_KEY || item->kind == WIRE_FILL || item->kind == WIRE_SPACE;
    return has ? item->space : bytes_of("", 0);
}

static struct bytes item_bytes(const struct coherence_item *item)
{
    bool has = item->kind == WIRE_KEY || item->kind == WIRE_FILL || item->kind == WIRE_TAG;
    return has ? item->bytes : bytes_of("", 0);
}

uint64_t coherence_item_hash(const struct coherence_item *item)
{
    return hash_wire(item->kind, item_space(item), item_bytes(item));
}

uint16_t coherence_item_slot(const struct coherence_item *item, uint32_t group_slots)
{
    return hash_group_slot(item->kind, coherence_item_hash(item), group_slots);
}

/* ---- calls ---- */

uint64_t coherence_call(uint64_t number, uint64_t waited_ms)
{
    uint64_t waited = u64_min(waited_ms / CALL_WAITED_UNIT_MS, CALL_WAITED_MOST);
    return waited << CALL_NUMBER_BITS | (number & ((UINT64_C(1) << CALL_NUMBER_BITS) - 1));
}

uint64_t coherence_call_waited_ms(uint64_t call)
{
    return (call >> CALL_NUMBER_BITS) * CALL_WAITED_UNIT_MS;
}

/* ---- encoding ---- */

struct bytes coherence_message_head(void)
{
    return bytes_of(frame_head, sizeof(frame_head));
}

size_t coherence_tail_size(const struct coherence_item *items, uint32_t count)
{
    size_t size = COHERENCE_TAIL_BYTES + (size_t)count * COHERENCE_ITEM_BYTES;
    for (uint32_t i = 0; i < count; i++)
        size += item_space(&items[i]).len + item_bytes(&items[i]).len;
    return size;
}

static uint8_t *put_item(uint8_t *at, const struct coherence_item *item)
{
    struct bytes space = item_space(item);
    struct bytes bytes = item_bytes(item);
    at[0] = (uint8_t)item->kind;
    at[1] = item->soft ? FLAG_SOFT : 0;
    at[2] = (uint8_t)space.len;
    at[3] = 0;
    put_le32(at + 4, (uint32_t)bytes.len);
    put_le64(at + 8, item->version);
    return put_bytes(put_bytes(at + COHERENCE_ITEM_BYTES, space), bytes);
}

void coherence_tail_encode(void *buffer, uint64_t incarnation, uint64_t call,
                           const struct coherence_item *items, uint32_t count)
{
    uint8_t *at = buffer;
    put_le64(at, incarnation);
    put_le64(at + 8, call);
    put_le32(at + 16, count);
    at += COHERENCE_TAIL_BYTES;
    for (uint32_t i = 0; i < count; i++)
        at = put_item(at, &items[i]);
}

/* ---- decoding ---- */

/* Whether the strings are those that the kind has. */
static bool item_shape_ok(const struct coherence_item *item)
{
    size_t space = item->space.len;
    size_t len = item->bytes.len;
    switch (item->kind) {
    case WIRE_KEY:
    case WIRE_FILL: return space > 0 && len > 0;
    case WIRE_TAG: return space == 0;
    case WIRE_SPACE: return space > 0 && len == 0;
    case WIRE_ALL: return space == 0 && len == 0;
    }
    return false;
}

static bool item_read(struct byte_reader *r, struct coherence_item *ret)
{
    uint8_t kind = byte_reader_u8(r);
    uint8_t flags = byte_reader_u8(r);
    uint8_t space_len = byte_reader_u8(r);
    uint8_t zero = byte_reader_u8(r);
    uint32_t len = byte_reader_u32(r);
    uint64_t version = byte_reader_u64(r);
    if (r->bad || (flags & ~FLAG_SOFT) || zero || space_len > NIGH_NAME_MAX || len > NIGH_KEY_MAX)
        return false;
    const uint8_t *space = byte_reader_take(r, space_len);
    const uint8_t *bytes = byte_reader_take(r, len);
    if (r->bad)
        return false;
    *ret = (struct coherence_item){
        .kind = (enum wire_kind)kind,
        .soft = flags & FLAG_SOFT,
        .space = bytes_of(space, space_len),
        .bytes = bytes_of(bytes, len),
        .version = version,
    };
    return item_shape_ok(ret);
}

/* Whether every item is whole and of the frame's sort, and nothing follows the last. */
static bool items_ok(const struct coherence_message *m)
{
    struct byte_reader r = m->reader;
    struct coherence_item item;
    if (m->item_count == 0 || m->item_count > COHERENCE_ITEMS_MAX)
        return false;
    for (uint32_t i = 0; i < m->item_count; i++) {
        if (!item_read(&r, &item))
            return false;
        if ((item.kind == WIRE_FILL) != (m->sequence == 0))
            return false;
    }
    return r.left == 0;
}

bool coherence_message_decode(struct bytes frame, struct coherence_message *ret)
{
    struct byte_reader r = byte_reader_of(frame);
    const uint8_t *head = byte_reader_take(&r, sizeof(frame_head));
    const uint8_t *clock = byte_reader_take(&r, IDENTITY_BYTES);
    struct coherence_message m = {.sequence = byte_reader_u64(&r)};
    m.previous = byte_reader_u64(&r);
    m.nonce = byte_reader_u64(&r);
    m.incarnation = byte_reader_u64(&r);
    m.call = byte_reader_u64(&r);
    m.item_count = byte_reader_u32(&r);
    if (r.bad || memcmp(head, frame_head, sizeof(frame_head)) != 0)
        return false;
    m.identity = hash_bytes(bytes_of(clock, IDENTITY_BYTES));
    m.reader = r;
    if (!items_ok(&m))
        return false;
    *ret = m;
    return true;
}

bool coherence_message_of_old_node(struct bytes frame)
{
    const uint8_t *at = frame.data;
    bool whole = frame.len >= OLD_CALL_AT + 8;
    return !whole || get_le64(at + OLD_CALL_AT) != 0; /* scripts/old.lua writes 0 */
}

bool coherence_message_next(struct coherence_message *m, struct coherence_item *ret)
{
    if (m->item_count == 0)
        return false;
    m->item_count--;
    return item_read(&m->reader, ret);
}
