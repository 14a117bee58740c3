// SPDX-License-Identifier: MIT
// Notes of own changes, in two halves of one block. See recent.h.

#include "coherence/recent.h"

/* Heads a note; its space and its bytes follow. */
struct note {
    uint64_t at_ns;
    uint64_t identity;
    uint64_t version;
    uint32_t space_len;
    uint32_t bytes_len;
    uint32_t kind;
    uint32_t soft;
};

int recent_init(struct recent *r)
{
    *r = (struct recent){.block = mem_pages_alloc(2 * (size_t)RECENT_HALF_BYTES)};
    return r->block ? 0 : NIGH_ENOMEM;
}

void recent_fini(struct recent *r)
{
    if (r->block)
        mem_pages_free(r->block, 2 * (size_t)RECENT_HALF_BYTES);
}

static uint8_t *half_at(const struct recent *r, uint32_t half)
{
    return r->block + (size_t)half * RECENT_HALF_BYTES;
}

/* Begin the other half, whose notes are forgotten. */
static void turn(struct recent *r, uint64_t now_ns)
{
    struct recent_half *full = &r->half[r->current];
    r->current = !r->current;
    /* The other half ended when this one began. */
    if (r->half[r->current].used > 0 && now_ns - full->begun_ns < RECENT_NS) {
        r->dropped_ns = now_ns;
        r->dropped_told = 0;
    }
    r->half[r->current] = (struct recent_half){.begun_ns = now_ns};
}

void recent_note(struct recent *r, const struct coherence_item *item, uint64_t identity,
                 uint64_t now_ns)
{
    struct note note = {now_ns, identity, item->version, (uint32_t)item->space.len,
                        (uint32_t)item->bytes.len, item->kind, item->soft};
    size_t size = sizeof(note) + item->space.len + item->bytes.len;
    struct recent_half *half = &r->half[r->current];
    bool old = half->used > 0 && now_ns - half->begun_ns >= RECENT_NS;
    if (old || half->used + size > RECENT_HALF_BYTES)
        turn(r, now_ns);
    half = &r->half[r->current];
    if (half->used == 0)
        half->begun_ns = now_ns;
    uint8_t *at = half_at(r, r->current) + half->used;
    memcpy(at, &note, sizeof(note));
    put_bytes(put_bytes(at + sizeof(note), item->space), item->bytes);
    half->used += size;
}

static void each_of(struct recent *r, uint32_t half, uint64_t identity, uint64_t now_ns,
                    void (*each)(void *arg, const struct coherence_item *item), void *arg)
{
    uint8_t *at = half_at(r, half);
    const uint8_t *end = at + r->half[half].used;
    while (at < end) {
        struct note note;
        uint8_t *start = at;
        memcpy(&note, at, sizeof(note));
        at += sizeof(note);
        struct coherence_item item = {
            .kind = (enum wire_kind)note.kind,
            .soft = note.soft,
            .space = bytes_of(at, note.space_len),
            .bytes = bytes_of(at + note.space_len, note.bytes_len),
            .version = note.version,
        };
        at += note.space_len + note.bytes_len;
        if (now_ns - note.at_ns >= RECENT_NS || note.identity == identity)
            continue;
        each(arg, &item);
        note.identity = identity;
        memcpy(start, &note, sizeof(note));
    }
}

void recent_each(struct recent *r, uint64_t identity, uint64_t now_ns,
                 void (*each)(void *arg, const struct coherence_item *item), void *arg)
{
    static const struct coherence_item all_soft = {.kind = WIRE_ALL, .soft = true};
    each_of(r, !r->current, identity, now_ns, each, arg);
    each_of(r, r->current, identity, now_ns, each, arg);
    if (r->dropped_ns && now_ns - r->dropped_ns < RECENT_NS && r->dropped_told != identity)
        each(arg, &all_soft);
    r->dropped_told = identity;
}
