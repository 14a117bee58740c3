/* SPDX-License-Identifier: MIT */
/*
 * Byte strings and little-endian fields: the alphabet of every wire format of nigh.
 *
 * A `struct bytes` never owns its memory. `struct byte_reader` is the one way to decode outside
 * bytes: a read past the end sets `bad`, returns zeros, and the caller looks at `bad` once.
 */
#ifndef NIGH_BASE_BYTES_H
#define NIGH_BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct bytes {
    const void *data;
    size_t len;
};

static inline struct bytes bytes_of(const void *data, size_t len)
{
    return (struct bytes){data, len};
}

static inline struct bytes bytes_of_string(const char *s)
{
    return (struct bytes){s, strlen(s)};
}

static inline bool bytes_equal(struct bytes a, struct bytes b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

static inline void put_le16(void *p, uint16_t v)
{
    uint8_t b[2] = {(uint8_t)v, (uint8_t)(v >> 8)};
    memcpy(p, b, sizeof(b));
}

static inline void put_le32(void *p, uint32_t v)
{
    put_le16(p, (uint16_t)v);
    put_le16((uint8_t *)p + 2, (uint16_t)(v >> 16));
}

static inline void put_le64(void *p, uint64_t v)
{
    put_le32(p, (uint32_t)v);
    put_le32((uint8_t *)p + 4, (uint32_t)(v >> 32));
}

/* Copies `b` to `at`. Returns where the next field goes. */
static inline uint8_t *put_bytes(void *at, struct bytes b)
{
    if (b.len > 0)
        memcpy(at, b.data, b.len);
    return (uint8_t *)at + b.len;
}

static inline uint16_t get_le16(const void *p)
{
    const uint8_t *b = p;
    return (uint16_t)(b[0] | (unsigned)b[1] << 8);
}

static inline uint32_t get_le32(const void *p)
{
    return get_le16(p) | (uint32_t)get_le16((const uint8_t *)p + 2) << 16;
}

static inline uint64_t get_le64(const void *p)
{
    return get_le32(p) | (uint64_t)get_le32((const uint8_t *)p + 4) << 32;
}

struct byte_reader {
    const uint8_t *at;
    size_t left;
    bool bad;
};

static inline struct byte_reader byte_reader_of(struct bytes b)
{
    return (struct byte_reader){b.data, b.len, false};
}

/* Returns the next `len` bytes in place; NULL, and sets `bad`, past the end. */
static inline const uint8_t *byte_reader_take(struct byte_reader *r, size_t len)
{
    if (r->bad || len > r->left) {
        r->bad = true;
        return NULL;
    }
    const uint8_t *p = r->at;
    if (len > 0) { /* C11 has no NULL + 0, and an empty input may be NULL */
        r->at += len;
        r->left -= len;
    }
    return p;
}

static inline uint8_t byte_reader_u8(struct byte_reader *r)
{
    const uint8_t *p = byte_reader_take(r, 1);
    return p ? *p : 0;
}

static inline uint32_t byte_reader_u32(struct byte_reader *r)
{
    const uint8_t *p = byte_reader_take(r, 4);
    return p ? get_le32(p) : 0;
}

static inline uint64_t byte_reader_u64(struct byte_reader *r)
{
    const uint8_t *p = byte_reader_take(r, 8);
    return p ? get_le64(p) : 0;
}

#endif
