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

void limits_add(struct link *link, size_t wire_len)
{
    atomic_fetch_add_explicit(&link->in_flight, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&link->in_flight_bytes[limits_is_large(wire_len)], wire_len,
                              memory_order_relaxed);
}

void limits_remove(struct link *link, size_t wire_len)
{
    atomic_fetch_sub_explicit(&link->in_flight, 1, memory_order_relaxed);
    atomic_fetch_sub_explicit(&link->in_flight_bytes[limits_is_large(wire_len)], wire_len,
                              memory_order_relaxed);
}

bool limits_have_room(const struct link *link, size_t wire_len)
{
    bool large = limits_is_large(wire_len);
    uint64_t bytes = atomic_load_explicit(&link->in_flight_bytes[large], memory_order_relaxed);
    return bytes == 0 || bytes + wire_len <= (large ? IN_FLIGHT_LARGE_MAX : IN_FLIGHT_SMALL_MAX);
}

bool limits_may_count(const struct link *link, bool reads)
{
    uint32_t count = atomic_load_explicit(&link->in_flight, memory_order_relaxed);
    return count < (reads ? IN_FLIGHT_READS_MAX : IN_FLIGHT_MAX);
}

/* ---- what the server takes ---- */

static size_t argument_max(const struct link *link)
{
    uint64_t learnt = atomic_load_explicit(&link->argument_max, memory_order_relaxed);
    return learnt ? learnt : SIZE_MAX;
}

size_t l2_argument_max(const struct l2 *l2)
{
    size_t least = SIZE_MAX;
    for (uint32_t i = 0; i < l2->link_count; i++)
        least = u64_min(least, argument_max(l2->links[i]));
    return least;
}

bool l2_takes(const struct l2 *l2, size_t bytes)
{
    for (uint32_t i = 0; i < l2->link_count; i++)
        if (bytes > argument_max(l2->links[i]) || !limits_have_room(l2->links[i], bytes))
            return false;
    return true;
}

static bool takes_many(const struct link *link)
{
    uint64_t refused_by = atomic_load_explicit(&link->many_refused, memory_order_relaxed);
    return refused_by == 0 ||
           refused_by != atomic_load_explicit(&link->connection, memory_order_relaxed);
}

bool l2_takes_many(const struct l2 *l2)
{
    for (uint32_t i = 0; i < l2->link_count; i++)
        if (!takes_many(l2->links[i]))
            return false;
    return true;
}

/* Half of the request is believed to be safe, which keeps out a few values more than need be. */
void limits_learn(struct link *link, size_t wire_len)
{
    uint64_t most = u64_min(wire_len, argument_max(link)) / 2;
    atomic_store_explicit(&link->argument_max, u64_max(most, LIMITS_ARGUMENT_LEAST),
                          memory_order_relaxed);
}
