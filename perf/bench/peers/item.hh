// SPDX-License-Identifier: MIT
/*
 * What the tables of C++ hold: a key of up to 32 bytes, a value of up to 124, hashed as by everybody.
 */
#ifndef PERF_BENCH_PEERS_ITEM_HH
#define PERF_BENCH_PEERS_ITEM_HH

#include <cstdint>
#include <cstring>

extern "C" {
#include "bench/candidate.h"
}

#define XXH_INLINE_ALL
#include <xxhash.h>

struct key {
    uint32_t len = 0;
    uint8_t bytes[KEY_BYTES_MAX];

    key() = default;
    key(const void *from, size_t size) : len(static_cast<uint32_t>(size))
    {
        memcpy(bytes, from, size);
    }
    size_t hash() const { return XXH3_64bits_withSeed(bytes, len, 0x6e696768u); }
    bool operator==(const key &other) const
    {
        return len == other.len && memcmp(bytes, other.bytes, len) == 0;
    }
};

struct value {
    uint32_t len = 0;
    uint8_t bytes[124];

    value() = default;
    value(const void *from, size_t size)
        : len(static_cast<uint32_t>(size < sizeof(bytes) ? size : sizeof(bytes)))
    {
        memcpy(bytes, from, len);
    }
    /* Into memory of the thread's that holds until its next lookup. */
    void copy_out(nigh_value *ret) const
    {
        static thread_local uint8_t buffer[sizeof(bytes)];
        memcpy(buffer, bytes, len);
        *ret = nigh_value{buffer, len, 0};
    }
};

inline void peer_release(nigh_value *v)
{
    *v = NIGH_VALUE_INIT;
}

inline candidate peer_candidate(const char *name, decltype(candidate::create) create,
                                decltype(candidate::destroy) destroy,
                                decltype(candidate::get) get, decltype(candidate::put) put)
{
    candidate c{};
    c.name = name;
    c.create = create;
    c.destroy = destroy;
    c.get = get;
    c.release = peer_release;
    c.put = put;
    return c;
}

#endif
