// SPDX-License-Identifier: MIT
/*
 * Peer: libcuckoo's cuckoohash_map, locks over two buckets, the value copied out under them.
 *
 * Keys and values lie in the buckets, in arrays of a fixed size: tbb.cc says why.
 */
#include <libcuckoo/cuckoohash_map.hh>

#include "bench/peers/item.hh"

namespace {

struct hash {
    size_t operator()(const key &k) const { return k.hash(); }
};

using table = libcuckoo::cuckoohash_map<key, value, hash>;

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
    bool found = table_of(space)->find_fn(key(bytes, len),
                                          [ret](const value &v) { v.copy_out(ret); });
    return found ? NIGH_FRESH : NIGH_MISS;
}

int put(nigh_space *space, const void *bytes, size_t len, const void *data, size_t size,
        const nigh_call *)
{
    table_of(space)->insert_or_assign(key(bytes, len), value(data, size));
    return 0;
}

} // namespace

extern "C" const candidate candidate_cuckoo = peer_candidate("cuckoo", create, destroy, get, put);
