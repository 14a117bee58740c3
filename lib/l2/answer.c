// SPDX-License-Identifier: MIT
// From replies to answers. The bytes stay in the reply, which the answer then owns: a value is
// copied once, out of the reader's buffer.

#include "l2/answer.h"

#include <stdlib.h>

#include "l2/conn.h"
#include "l2/script.h"

enum { AT_NUMBER, AT_REPLID, AT_HEAD, AT_TIME, AT_VERDICT, AT_MORE, AT_REGISTERED };

/* Fields of the head: see scripts/clock.lua. */
enum {
    HEAD_ID = 0,
    HEAD_SEQ = 8,
    HEAD_NONCE = 16,
    HEAD_SCHEMAS = 32,
    HEAD_OLD = 40,
    HEAD_MOVED = 56,
};

/* Offsets in answers that are one string: number, verdict, the beginning of the head; TELL's is the
 * stamp of its frame, which ends with the number, and how many heard it. */
enum {
    SHORT_VERDICT = 8,
    SHORT_HEAD = 9,
    SHORT_BYTES = SHORT_HEAD + HEAD_OLD,
    STAMP_ID = 0,
    STAMP_SEQ = 8,
    STAMP_PREVIOUS = 16,
    STAMP_NONCE = 24,
    STAMP_HEARD = 32,
    STAMP_BYTES = 36,
};

/* Offsets in what CHANGE answers as `more`. */
enum {
    MORE_PREVIOUS = 0,
    MORE_HEARD = 8,
    MORE_VERDICTS = 12,
};

_Static_assert(L2_REPLID_BYTES == REPLID_BYTES, "one number in two headers");

void answer_init(struct answer *answer, struct mem *mem)
{
    *answer = (struct answer){.mem = mem};
}

void answer_fini(struct answer *answer)
{
    reply_free(answer->reply);
    mem_free(answer->mem, NULL, answer->public.entries, answer->entries_size);
}

int answer_decode_status(struct answer *answer, const struct reply *reply)
{
    answer->public.verdict = L2_NONE;
    return reply->type == REPLY_STATUS ? 0 : NIGH_EREDIS;
}

int answer_decode_text(struct answer *answer, const struct reply *reply)
{
    bool is_text = reply->type == REPLY_STRING;
    answer->public.verdict = is_text ? L2_VALUE : L2_NONE;
    answer->public.value = is_text ? reply->bytes : bytes_of("", 0);
    return is_text || reply->type == REPLY_NIL ? 0 : NIGH_EREDIS;
}

int answer_decode_get(struct answer *answer, const struct reply *reply)
{
    struct l2_answer *public = &answer->public;
    bool wrong_type = reply_is_error(reply, "WRONGTYPE"); /* a value that nobody can read */
    if (reply->type != REPLY_STRING && reply->type != REPLY_NIL && !wrong_type)
        return NIGH_EREDIS;
    public->verdict = reply->type == REPLY_NIL ? L2_NONE : L2_VALUE;
    public->value = wrong_type ? bytes_of("", 0) : reply->bytes;
    return 0;
}

static bool may_be_of_many(const struct reply *e)
{
    return e->type == REPLY_STRING || e->type == REPLY_NIL || e->type == REPLY_LEFT;
}

static bool has_all(const struct answer *answer, const struct reply *list)
{
    if (list->type != REPLY_ARRAY || list->count != answer->asked)
        return false;
    for (uint32_t i = 0; i < list->count; i++)
        if (!may_be_of_many(list->elements[i]))
            return false;
    return true;
}

int answer_decode_many(struct answer *answer, const struct reply *reply)
{
    return has_all(answer, reply) ? 0 : NIGH_EREDIS;
}

/* Returns the answer that has key `*i`, which becomes its place there; NULL: that one failed. */
static struct answer *part_at(struct answer *a, uint32_t *i)
{
    if (NIGH_LIKELY(!a->gathered))
        return a;
    struct l2_answer *part = a->gathered->parts[a->gathered->part_of[*i]];
    *i = a->gathered->place_of[*i];
    return part && part->status == 0 ? CONTAINER_OF(part, struct answer, public) : NULL;
}

uint64_t l2_home_at(struct l2_answer *answer, uint32_t i)
{
    struct answer *part = part_at(CONTAINER_OF(answer, struct answer, public), &i);
    return part ? part->public.home : 0;
}

enum l2_verdict l2_answer_at(struct l2_answer *answer, uint32_t i, struct bytes *ret_value)
{
    struct answer *part = part_at(CONTAINER_OF(answer, struct answer, public), &i);
    *ret_value = bytes_of(NULL, 0);
    if (!part)
        return L2_LEFT;
    const struct reply *e = part->reply->elements[i];
    *ret_value = e->bytes;
    return e->type == REPLY_STRING ? L2_VALUE : e->type == REPLY_LEFT ? L2_LEFT : L2_NONE;
}

bool answer_is_to(const struct reply *reply, uint64_t number)
{
    const uint8_t *text = reply->bytes.data;
    if (reply->type == REPLY_STRING && reply->bytes.len == SHORT_BYTES)
        return get_le64(text) == number;
    if (reply->type == REPLY_STRING && reply->bytes.len == STAMP_BYTES)
        return get_le64(text + STAMP_NONCE) == number;
    struct bytes echo = reply_string_at(reply, AT_NUMBER, 8);
    return reply->type == REPLY_ARRAY && echo.data && get_le64(echo.data) == number;
}

uint64_t answer_clock_identity(const char *replid, const uint8_t *id)
{
    uint8_t both[REPLID_BYTES + 8];
    memcpy(both, replid, REPLID_BYTES);
    memcpy(both + REPLID_BYTES, id, 8);
    uint64_t hash = hash_bytes(bytes_of(both, sizeof(both)));
    return hash ? hash : 1;
}

/* Decodes the part of the head that every answer has, short ones too: all but what it says of old
 * nodes. */
static void decode_place(struct l2_clock *clock, const char *replid, const uint8_t *head)
{
    clock->identity = answer_clock_identity(replid, head + HEAD_ID);
    clock->id = get_le64(head + HEAD_ID);
    clock->sequence = get_le64(head + HEAD_SEQ);
    clock->nonce = get_le64(head + HEAD_NONCE);
    clock->schemas = get_le64(head + HEAD_SCHEMAS);
}

static void decode_head(struct l2_clock *clock, const char *replid, const uint8_t *head)
{
    decode_place(clock, replid, head);
    clock->old_nodes = (get_le64(head + HEAD_OLD) | get_le64(head + HEAD_OLD + 8)) != 0;
    clock->old_moved = get_le64(head + HEAD_MOVED) != 0;
}

/* Decodes the clock. Only some scripts ask for the replid: in the answers of the others the server
 * is the one that it was when it was last asked. */
static int decode_clock(struct answer *answer, const struct reply *reply)
{
    struct l2_clock *clock = &answer->public.clock;
    struct bytes head = reply_string_at(reply, AT_HEAD, SCRIPT_TOLD_BYTES);
    int64_t time_ms = reply_integer_at(reply, AT_TIME, -1);
    clock->replid = reply_string_at(reply, AT_REPLID, REPLID_BYTES);
    const char *replid = clock->replid.data ? clock->replid.data : answer->replid;
    if (!replid || time_ms < 0)
        return NIGH_EREDIS;
    clock->home = hash_bytes(bytes_of(replid, REPLID_BYTES));
    clock->server_time_ms = (uint64_t)time_ms;
    if (head.data)
        decode_head(clock, replid, head.data);
    return 0;
}

/* Returns at least 1: a node that waits for "no time" would ask again in a loop. */
static uint32_t held_ms(int64_t left_ms)
{
    return left_ms < 1 ? 1 : (uint32_t)u64_min((uint64_t)left_ms, UINT32_MAX - 1);
}

int answer_decode_common(struct answer *answer, const struct reply *reply)
{
    struct l2_answer *public = &answer->public;
    int64_t verdict = reply_integer_at(reply, AT_VERDICT, -1);
    int64_t registered_ms = reply_integer_at(reply, AT_REGISTERED, 0);
    if (reply->type != REPLY_ARRAY || decode_clock(answer, reply) || verdict < 0 ||
        verdict > L2_CROWDED || registered_ms < 0 || registered_ms > UINT32_MAX)
        return NIGH_EREDIS;
    public->verdict = (enum l2_verdict)verdict;
    public->registered_ms = (uint32_t)registered_ms;
    return 0;
}

static int decode_short(struct answer *answer, struct bytes text)
{
    const uint8_t *at = text.data;
    struct l2_answer *public = &answer->public;
    bool known = text.len == SHORT_BYTES && answer->replid &&
                 (at[SHORT_VERDICT] == L2_GRANTED || at[SHORT_VERDICT] == L2_STORED);
    if (!known)
        return NIGH_EREDIS;
    public->verdict = (enum l2_verdict)at[SHORT_VERDICT];
    public->clock.home = hash_bytes(bytes_of(answer->replid, REPLID_BYTES));
    decode_place(&public->clock, answer->replid, at + SHORT_HEAD);
    return 0;
}

static void take_heard(struct l2_answer *public, uint32_t heard)
{
    public->counted = true;
    public->heard = heard;
}

static void decode_more_of_change(struct l2_answer *public, struct bytes more)
{
    const uint8_t *at = more.data;
    public->previous = get_le64(at + MORE_PREVIOUS);
    take_heard(public, get_le32(at + MORE_HEARD));
    public->verdicts = bytes_of(at + MORE_VERDICTS, more.len - MORE_VERDICTS);
}

int answer_decode_script(struct answer *answer, const struct reply *reply)
{
    struct l2_answer *public = &answer->public;
    if (reply->type == REPLY_STRING)
        return decode_short(answer, reply->bytes);
    if (answer_decode_common(answer, reply))
        return NIGH_EREDIS;
    struct bytes more = reply_string_at(reply, AT_MORE, SIZE_MAX);
    if (public->verdict == L2_VALUE || public->verdict == L2_MOVED) {
        public->value = more;
        if (!more.data)
            return NIGH_EREDIS;
    } else if (public->verdict == L2_GRANTED) {
        public->unreadable = more.data != NULL;
    } else if (public->verdict == L2_HELD) {
        public->held_ms = held_ms(reply_integer_at(reply, AT_MORE, 0));
    } else if (more.len >= MORE_VERDICTS) {
        decode_more_of_change(public, more);
    }
    return 0;
}

int answer_decode_tell(struct answer *answer, const struct reply *reply)
{
    struct l2_clock *clock = &answer->public.clock;
    const uint8_t *at = reply->bytes.data;
    if (reply->type != REPLY_STRING)
        return answer_decode_script(answer, reply);
    if (reply->bytes.len != STAMP_BYTES || !answer->replid)
        return NIGH_EREDIS;
    clock->home = hash_bytes(bytes_of(answer->replid, REPLID_BYTES));
    clock->identity = answer_clock_identity(answer->replid, at + STAMP_ID);
    clock->id = get_le64(at + STAMP_ID);
    clock->sequence = get_le64(at + STAMP_SEQ);
    clock->nonce = get_le64(at + STAMP_NONCE);
    answer->public.previous = get_le64(at + STAMP_PREVIOUS);
    take_heard(&answer->public, get_le32(at + STAMP_HEARD));
    return 0;
}

/* Decodes pairs of a decimal number and bytes, from element `from` on. */
static int decode_entries(struct answer *answer, const struct reply *flat, uint32_t from)
{
    struct l2_answer *public = &answer->public;
    uint32_t count = (flat->count - from) / 2;
    if (count == 0)
        return 0;
    size_t size = count * (sizeof(struct bytes) + sizeof(uint64_t));
    public->entries = mem_alloc(answer->mem, NULL, size);
    if (!public->entries)
        return NIGH_ENOMEM;
    answer->entries_size = size;
    public->entry_seqs = (uint64_t *)(void *)(public->entries + count);
    for (uint32_t i = 0; i < count; i++) {
        struct bytes seq = reply_string_at(flat, from + 2 * i, SIZE_MAX);
        char digits[24] = {0};
        if (seq.len == 0 || seq.len >= sizeof(digits))
            return NIGH_EREDIS;
        memcpy(digits, seq.data, seq.len);
        public->entry_seqs[i] = strtoull(digits, NULL, 10);
        public->entries[i] = reply_string_at(flat, from + 2 * i + 1, SIZE_MAX);
        if (!public->entries[i].data)
            return NIGH_EREDIS;
    }
    public->entry_count = count;
    return 0;
}

const struct reply *answer_more(const struct reply *reply)
{
    if (reply->count <= AT_MORE || reply->elements[AT_MORE]->type != REPLY_ARRAY)
        return NULL;
    return reply->elements[AT_MORE];
}

/* Each key of a request for many leases got: nil or nothing, the lease; so many bytes, the ms for
 * which another has it; or a value, whose header is longer. */
#define HELD_BYTES 4u

int answer_decode_leases(struct answer *answer, const struct reply *reply)
{
    const struct reply *more = answer_more(reply);
    return answer_decode_common(answer, reply) || !more || !has_all(answer, more) ? NIGH_EREDIS : 0;
}

enum l2_verdict l2_lease_at(struct l2_answer *answer, uint32_t i, struct bytes *ret_value,
                            uint32_t *ret_held_ms)
{
    struct answer *a = CONTAINER_OF(answer, struct answer, public);
    const struct reply *e = a->reply->elements[AT_MORE]->elements[i];
    bool held = e->type == REPLY_STRING && e->bytes.len == HELD_BYTES;
    *ret_value = held ? bytes_of(NULL, 0) : e->bytes;
    *ret_held_ms = held ? held_ms(get_le32(e->bytes.data)) : 0;
    return held                    ? L2_HELD
           : e->bytes.len > 0      ? L2_VALUE
           : e->type == REPLY_LEFT ? L2_LEFT
                                   : L2_GRANTED;
}

int answer_decode_fills(struct answer *answer, const struct reply *reply)
{
    struct bytes more = reply_string_at(reply, AT_MORE, answer->asked);
    const uint8_t *verdicts = more.data;
    if (answer_decode_common(answer, reply) || !verdicts)
        return NIGH_EREDIS;
    for (size_t i = 0; i < more.len; i++)
        if (verdicts[i] != L2_STORED && verdicts[i] != L2_REFUSED && verdicts[i] != L2_CROWDED)
            return NIGH_EREDIS;
    return 0;
}

enum l2_verdict l2_fill_at(struct l2_answer *answer, uint32_t i)
{
    const struct answer *a = CONTAINER_OF(answer, struct answer, public);
    const uint8_t *verdicts = a->reply->elements[AT_MORE]->bytes.data;
    return (enum l2_verdict)verdicts[i];
}

int answer_decode_beat(struct answer *answer, const struct reply *reply)
{
    const struct reply *more = answer_more(reply);
    if (answer_decode_common(answer, reply) || !answer->public.clock.replid.data || !more)
        return NIGH_EREDIS;
    return decode_entries(answer, more, 0);
}

int answer_decode_resync(struct answer *answer, const struct reply *reply)
{
    enum { SCHEMAS, SLOTS, PARTIAL, FIRST_PAGE };
    struct l2_answer *public = &answer->public;
    const struct reply *more = answer_more(reply);
    if (answer_decode_common(answer, reply) || !public->clock.replid.data || !more ||
        more->count < FIRST_PAGE)
        return NIGH_EREDIS;
    int64_t slots = reply_integer_at(more, SLOTS, -1);
    public->value = reply_string_at(more, SCHEMAS, SIZE_MAX);
    public->partial = reply_integer_at(more, PARTIAL, 0) != 0;
    public->slots = (uint32_t)slots;
    if (!public->value.data || slots < GROUP_SLOTS_MIN || slots > GROUP_SLOTS_MAX)
        return NIGH_EREDIS;
    int failed = decode_entries(answer, more, FIRST_PAGE);
    size_t page_bytes = 16 * (size_t)public->slots / L2_PAGES;
    for (uint32_t i = 0; i < public->entry_count; i++)
        if (public->entry_seqs[i] >= L2_PAGES || public->entries[i].len != page_bytes)
            return NIGH_EREDIS;
    return failed;
}
