// SPDX-License-Identifier: MIT
/*
 * Peer: TBB's concurrent_hash_map, a lock for each item, the value copied out under it.
 *
 * Key and value lie in the node itself, in arrays of a fixed size: no second miss, and no allocation
 * to look something up. That is more than most of its users have.
 */
#include <tbb/concurrent_hash_map.h>

#include <memory>

#include "bench/peers/item.hh"

namespace {

struct hash_compare {
    static size_t hash(const key &k) { return k.hash(); }
    static bool equal(const key &a, const key &b) { return a == b; }
};

using allocator = std::allocator<std::pair<const key, value>>;
using table = tbb::concurrent_hash_map<key, value, hash_compare, allocator>;

table *table_of(nigh_space *space)
{
    return reinterpret_cast<table *>(space);
}

nigh_space *create(const candidate_need *need)
{
    return reinterpret_cast<nigh_space *>(new table(need->entries));
}

void destroy(nigh_space *space)
{
    delete table_of(space);
}

int get(nigh_space *space, const void *bytes, size_t len, const nigh_call *, nigh_value *ret)
{
    table::const_accessor at;
    if (!table_of(space)->find(at, key(bytes, len)))
        return NIGH_MISS;
    at->second.copy_out(ret);
    return NIGH_FRESH;
}

int put(nigh_space *space, const void *bytes, size_t len, const void *data, size_t size,
        const nigh_call *)
{
    table::accessor at;
    table_of(space)->insert(at, key(bytes, len));
    at->second = value(data, size);
    return 0;
}

} // namespace

extern "C" const candidate candidate_tbb = peer_candidate("tbb", create, destroy, get, put);
