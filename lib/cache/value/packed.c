// SPDX-License-Identifier: MIT
/*
 * A value as it travels.
 *
 * What decompression would take is bounded by the envelope before anything is allocated: above
 * space.value_max the value could not be stored here anyway. The envelope's checksum is right by
 * then, so what still does not decompress was made so: by a build that is broken, or an enemy.
 */
#include "cache/value/packed.h"

#define CODEC_BYTES 1u /* the payload begins with the number of its codec */

static void *allocate(const struct nigh_space *space, struct packed *p, size_t size)
{
    p->size = size;
    return p->buffer = mem_alloc(space->cache->env.mem, NULL, size);
}

void packed_free(struct nigh_space *space, struct packed *p)
{
    mem_free(space->cache->env.mem, NULL, p->buffer, p->size);
}

struct packed packed_of(struct nigh_space *space, struct bytes plain)
{
    struct packed p = {.bytes = plain};
    unsigned codec = space->rules.codec;
    if (codec == CODEC_NONE || plain.len < space->rules.compress_min ||
        !allocate(space, &p, plain.len - plain.len / 8))
        return p;
    uint8_t *to = p.buffer;
    size_t len = codec_pack(codec, space->cache->env.mem, plain, to + CODEC_BYTES,
                            p.size - CODEC_BYTES);
    if (len == 0) {
        stats_count(&space->stats, STATS_L2_UNPACKABLE);
        return p;
    }
    to[0] = (uint8_t)codec;
    p.bytes = bytes_of(to, CODEC_BYTES + len);
    p.plain_len = (uint32_t)plain.len;
    stats_count(&space->stats, STATS_L2_PACKED);
    stats_add(&space->stats, STATS_L2_PACKED_SAVED, plain.len - p.bytes.len);
    return p;
}

/* Each wants something else of the operator. */
enum reason { NO_CODEC, TOO_LARGE, NOT_SO };

/* Says why a value cannot be read, each reason once. */
static int tell(struct nigh_space *space, const struct l2_envelope *e, unsigned codec,
                enum reason reason)
{
    static const char *const words[] = {
        [NO_CODEC] = "this build cannot decompress it",
        [TOO_LARGE] = "it would be above space.value_max",
        [NOT_SO] = "it does not decompress to what it says",
    };
    struct nigh *cache = space->cache;
    struct log_site own = {0}; /* another reason's line must not hold this one back */
    uint32_t bit = 1u << reason;
    if (!(atomic_fetch_or_explicit(&cache->unpack_told, bit, memory_order_relaxed) & bit))
        log_write(cache->env.log, NIGH_LOG_WARN, &own,
                  "a value of space %s in redis, compressed with %s (%u) from %u bytes to %zu, is "
                  "no use here: %s", space->name, codec_name(codec), codec, e->plain_len,
                  e->payload.len, words[reason]);
    return NIGH_MISS;
}

int packed_open(struct nigh_space *space, const struct l2_envelope *e, struct packed *ret)
{
    *ret = (struct packed){.bytes = e->payload};
    if (!(e->flags & L2_ENVELOPE_COMPRESSED))
        return 0;
    const uint8_t *from = e->payload.data;
    unsigned codec = from[0];
    if (!codec_is_built(codec))
        return tell(space, e, codec, NO_CODEC);
    if (e->plain_len > space->rules.value_max)
        return tell(space, e, codec, TOO_LARGE);
    if (!allocate(space, ret, e->plain_len))
        return NIGH_ENOMEM;
    struct bytes packed = bytes_of(from + CODEC_BYTES, e->payload.len - CODEC_BYTES);
    if (!codec_unpack(codec, packed, ret->buffer, e->plain_len)) {
        packed_free(space, ret);
        return tell(space, e, codec, NOT_SO);
    }
    ret->bytes = bytes_of(ret->buffer, e->plain_len);
    return 0;
}
