// SPDX-License-Identifier: MIT
// Limits: how much may be on its way at once, and what the server takes as an argument.

#include "l2/client.h"

/* Requests in flight: far above any number of callers, for a server that takes requests and never
 * answers. */
#define IN_FLIGHT_MAX 65536u
/* Bounds the bytes that a server which reads nothing can make us hold; a larger request may pass
 * alone. Large requests take room from each other only: a read that finds a few values of 64 MiB on
 * their way is late, but Redis is not away. A change that is refused is queued by coherence. */
#define SMALL_BYTES (64u << 10)
#define IN_FLIGHT_SMALL_MAX (16u << 20)
#define IN_FLIGHT_LARGE_MAX (48u << 20)
/* Reads stop earlier: callers that miss must not take the room of changes. */
#define IN_FLIGHT_READS_MAX (IN_FLIGHT_MAX / 4 * 3)

/* ---- in flight ---- */

bool limits_is_large(size_t wire_len)
{
    return wire_len > SMALL_BYTES;
}

void limits_add(struct l2 *l2, size_t wire_len)
{
    atomic_fetch_add_explicit(&l2->in_flight, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&l2->in_flight_bytes[limits_is_large(wire_len)], wire_len,
                              memory_order_relaxed);
}

void limits_remove(struct l2 *l2, size_t wire_len)
{
    atomic_fetch_sub_explicit(&l2->in_flight, 1, memory_order_relaxed);
    atomic_fetch_sub_explicit(&l2->in_flight_bytes[limits_is_large(wire_len)], wire_len,
                              memory_order_relaxed);
}

bool limits_have_room(const struct l2 *l2, size_t wire_len)
{
    bool large = limits_is_large(wire_len);
    uint64_t bytes = atomic_load_explicit(&l2->in_flight_bytes[large], memory_order_relaxed);
    return bytes == 0 || bytes + wire_len <= (large ? IN_FLIGHT_LARGE_MAX : IN_FLIGHT_SMALL_MAX);
}

bool limits_may_count(const struct l2 *l2, bool reads)
{
    uint32_t count = atomic_load_explicit(&l2->in_flight, memory_order_relaxed);
    return count < (reads ? IN_FLIGHT_READS_MAX : IN_FLIGHT_MAX);
}

/* ---- what the server takes ---- */

size_t l2_argument_max(const struct l2 *l2)
{
    uint64_t learnt = atomic_load_explicit(&l2->argument_max, memory_order_relaxed);
    return learnt ? learnt : SIZE_MAX;
}

bool l2_takes(const struct l2 *l2, size_t bytes)
{
    return bytes <= l2_argument_max(l2) && limits_have_room(l2, bytes);
}

bool l2_takes_many(const struct l2 *l2)
{
    uint64_t refused_by = atomic_load_explicit(&l2->many_refused, memory_order_relaxed);
    return refused_by == 0 ||
           refused_by != atomic_load_explicit(&l2->connection, memory_order_relaxed);
}

/* Half of the request is believed to be safe, which keeps out a few values more than need be. */
void limits_learn(struct l2 *l2, size_t wire_len)
{
    uint64_t most = u64_min(wire_len, l2_argument_max(l2)) / 2;
    atomic_store_explicit(&l2->argument_max, u64_max(most, LIMITS_ARGUMENT_LEAST),
                          memory_order_relaxed);
}
