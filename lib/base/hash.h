/* SPDX-License-Identifier: MIT */
/*
 * Two hashes, never mixed up: the L1 hash is seeded per process and never leaves it (hostile keys
 * cannot be crafted against it); the wire hash has seed 0 and is part of the protocol.
 *
 * Both are XXH3-64 from the packaged header (https://xxhash.com, doc/xxhash_spec.md).
 */
#ifndef NIGH_BASE_HASH_H
#define NIGH_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

/* Hash of a key within space `space_id`, for this process only. */
uint64_t hash_key(uint64_t seed, uint32_t space_id, const void *key, size_t len);

/* XXH3-64, seed 0, of the bytes as they are: checksums, the identity of a Redis clock. */
uint64_t hash_bytes(struct bytes b);

enum wire_kind {
    WIRE_KEY = 1,
    WIRE_TAG = 2,
    WIRE_SPACE = 3,
    WIRE_ALL = 4,
    WIRE_FILL = 5,
};

/* COHERENCE "wire hash": XXH3-64, seed 0, over u8 kind, u32 len + space, u32 len + bytes. */
uint64_t hash_wire(enum wire_kind kind, struct bytes space, struct bytes bytes);

/* Group slots: 0 is `all`, 1..1023 spaces, the rest tags (by wire hash). */
#define GROUP_SLOT_ALL 0u
#define GROUP_SLOT_TAGS 1024u
#define GROUP_SLOTS_MIN 2048u
#define GROUP_SLOTS_MAX 65536u /* an L1 entry keeps a slot in 16 bits */

/* Slot of the group (kind TAG, SPACE or ALL) among `slots` (GROUP_SLOTS_MIN .. _MAX). */
uint16_t hash_group_slot(enum wire_kind kind, uint64_t wire_hash, uint32_t slots);

#endif
