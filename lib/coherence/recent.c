// SPDX-License-Identifier: MIT
// Notes of own changes, in chunks. See recent.h.
//
// A note is short, for a busy node makes a million of them in the time that they are kept: a head
// of eight bytes, the version if there is one, when it was made if it was queued then, the space,
// the key or tag. Its time is in ms from the chunk's first note; rounded up, so that it is told no
// less long.

#include "coherence/recent.h"

struct head {
    uint32_t at_ms;
    uint16_t bytes_len;
    uint8_t space_len;
    uint8_t kind; /* with the flags */
};
#define QUEUED    0x20u
#define SOFT      0x40u
#define VERSIONED 0x80u

_Static_assert(NIGH_NAME_MAX <= UINT8_MAX && NIGH_KEY_MAX <= UINT16_MAX, "lengths fit");

struct recent_chunk {
    struct recent_chunk *next; /* younger */
    uint64_t identity;
    uint64_t begun_ns; /* time of the first note */
    uint64_t last_ns;
    size_t used;
    uint8_t notes[];
};

#define NOTES_BYTES (RECENT_CHUNK_BYTES - sizeof(struct recent_chunk))

void recent_init(struct recent *r, struct mem *mem, uint32_t names)
{
    uint64_t chunks = (uint64_t)names * RECENT_BYTES / RECENT_CHUNK_BYTES;
    *r = (struct recent){.mem = mem, .chunks_max = u32_max((uint32_t)chunks, RECENT_CHUNKS_MIN)};
}

static struct recent_chunk *take_oldest(struct recent *r)
{
    struct recent_chunk *c = r->oldest;
    r->oldest = c->next;
    r->newest = r->oldest ? r->newest : NULL;
    r->chunk_count--;
    return c;
}

static void free_oldest(struct recent *r)
{
    mem_free(r->mem, NULL, take_oldest(r), RECENT_CHUNK_BYTES);
}

void recent_fini(struct recent *r)
{
    while (r->oldest)
        free_oldest(r);
}

/* ---- what is dropped ---- */

static bool is_young(uint64_t at_ns, uint64_t now_ns)
{
    return now_ns < at_ns + RECENT_NS;
}

/* Finds the place for a loss: its identity's; else one that is free, or that nobody will ask for
 * any more; else the last, which then stands for several. */
static struct recent_lost *lost_place(struct recent *r, uint64_t identity, uint64_t now_ns)
{
    struct recent_lost *last = &r->lost[RECENT_LOST_MAX - 1];
    for (uint32_t i = 0; i < RECENT_LOST_MAX; i++)
        if (r->lost[i].at_ns && r->lost[i].identity == identity)
            return &r->lost[i];
    for (struct recent_lost *l = r->lost; l <= last; l++)
        if (!l->at_ns || !is_young(l->at_ns, now_ns)) {
            *l = (struct recent_lost){0, identity};
            return l;
        }
    last->identity = 0;
    return last;
}

static void note_lost(struct recent *r, uint64_t at_ns, uint64_t identity, uint64_t now_ns)
{
    struct recent_lost *l = lost_place(r, identity, now_ns);
    l->at_ns = u64_max(l->at_ns, at_ns);
}

/* ---- chunks ---- */

/* Whether a note goes on in that chunk. Not where all are old: so it ends, and its times fit. */
static bool has_room(const struct recent_chunk *c, size_t size, uint64_t identity, uint64_t now_ns)
{
    return c && c->identity == identity && c->used + size <= NOTES_BYTES &&
           is_young(c->last_ns, now_ns);
}

/* Takes a chunk for another use: the oldest if all its notes are old, or there may be no more.
 * NULL: there is no memory. */
static struct recent_chunk *take_chunk(struct recent *r, uint64_t now_ns)
{
    bool old = r->oldest && !is_young(r->oldest->last_ns, now_ns);
    struct recent_chunk *c = NULL;
    if (!old && r->chunk_count < r->chunks_max)
        c = mem_alloc(r->mem, NULL, RECENT_CHUNK_BYTES);
    if (c || !r->oldest)
        return c;
    if (!old)
        note_lost(r, r->oldest->last_ns, r->oldest->identity, now_ns);
    return take_oldest(r);
}

static bool begin_chunk(struct recent *r, uint64_t identity, uint64_t now_ns)
{
    struct recent_chunk *c = take_chunk(r, now_ns);
    if (!c)
        return false;
    *c = (struct recent_chunk){.identity = identity, .begun_ns = now_ns};
    *(r->newest ? &r->newest->next : &r->oldest) = c;
    r->newest = c;
    r->chunk_count++;
    return true;
}

void recent_trim(struct recent *r, uint64_t now_ns)
{
    while (r->oldest && !is_young(r->oldest->last_ns, now_ns))
        free_oldest(r);
}

/* ---- notes ---- */

void recent_note(struct recent *r, const struct coherence_item *item, uint64_t identity,
                 uint64_t now_ns)
{
    size_t version_size = item->version ? sizeof(item->version) : 0;
    size_t made_size = item->since_ns ? sizeof(item->made_ns) : 0;
    size_t strings_at = sizeof(struct head) + version_size + made_size;
    size_t size = strings_at + item->space.len + item->bytes.len;
    if (!has_room(r->newest, size, identity, now_ns) && !begin_chunk(r, identity, now_ns)) {
        note_lost(r, now_ns, identity, now_ns);
        return;
    }
    struct recent_chunk *c = r->newest;
    struct head head = {
        .at_ms = (uint32_t)((now_ns - c->begun_ns + NS_PER_MS - 1) / NS_PER_MS),
        .bytes_len = (uint16_t)item->bytes.len,
        .space_len = (uint8_t)item->space.len,
        .kind = (uint8_t)(item->kind | (made_size ? QUEUED : 0) | (item->soft ? SOFT : 0) |
                          (version_size ? VERSIONED : 0)),
    };
    uint8_t *at = c->notes + c->used;
    memcpy(at, &head, sizeof(head));
    memcpy(at + sizeof(head), &item->version, version_size);
    memcpy(at + sizeof(head) + version_size, &item->made_ns, made_size);
    put_bytes(put_bytes(at + strings_at, item->space), item->bytes);
    c->used += size;
    c->last_ns = now_ns;
}

/* Takes the note at `at` apart; `made_ns` is 0 if it does not say it. Returns the end of it. */
static const uint8_t *read_note(const uint8_t *at, struct head *ret, struct coherence_item *item)
{
    memcpy(ret, at, sizeof(*ret));
    at += sizeof(*ret);
    *item = (struct coherence_item){
        .kind = (enum wire_kind)(ret->kind & (QUEUED - 1)),
        .soft = ret->kind & SOFT,
    };
    if (ret->kind & VERSIONED) {
        memcpy(&item->version, at, sizeof(item->version));
        at += sizeof(item->version);
    }
    if (ret->kind & QUEUED) {
        memcpy(&item->made_ns, at, sizeof(item->made_ns));
        at += sizeof(item->made_ns);
    }
    item->space = bytes_of(at, ret->space_len);
    item->bytes = bytes_of(at + ret->space_len, ret->bytes_len);
    return at + ret->space_len + ret->bytes_len;
}

static void each_of(const struct recent_chunk *c, uint64_t now_ns,
                    void (*each)(void *arg, const struct coherence_item *item), void *arg)
{
    const uint8_t *at = c->notes, *end = at + c->used;
    while (at < end) {
        struct head head;
        struct coherence_item item;
        at = read_note(at, &head, &item);
        uint64_t at_ns = c->begun_ns + head.at_ms * NS_PER_MS;
        item.made_ns = item.made_ns ? item.made_ns : at_ns;
        if (is_young(at_ns, now_ns))
            each(arg, &item);
    }
}

/* Whether some that were dropped must be told; as told they count from here on. */
static bool tell_lost(struct recent *r, uint64_t identity, uint64_t now_ns)
{
    bool tell = false;
    for (uint32_t i = 0; i < RECENT_LOST_MAX; i++) {
        struct recent_lost *l = &r->lost[i];
        tell |= l->at_ns && is_young(l->at_ns, now_ns) && l->identity != identity;
        l->identity = identity;
    }
    return tell;
}

void recent_each(struct recent *r, uint64_t identity, uint64_t now_ns,
                 void (*each)(void *arg, const struct coherence_item *item), void *arg)
{
    static const struct coherence_item all_soft = {.kind = WIRE_ALL, .soft = true};
    for (struct recent_chunk *c = r->oldest; c; c = c->next) {
        if (c->identity != identity)
            each_of(c, now_ns, each, arg);
        c->identity = identity;
    }
    if (tell_lost(r, identity, now_ns))
        each(arg, &all_soft);
}
