// SPDX-License-Identifier: MIT
/*
 * The record of a flight: its birth, its references, its states, its landing.
 *
 * References (who may touch the record):
 *   table    from creation until it lands
 *   HELD     whoever holds the flight, passed on with it; dropped when HELD is given back, or by
 *            the holder after the landing. A leaderless flight keeps it for who takes it over.
 *   caller   one per successful join
 *   other    flight_ref() around an operation
 * While it flies the table's is there, so the last drop comes after the landing and the result that
 * free_result sees is complete.
 *
 * Landing: the result is written, then `landed` with release; a caller reads `landed` with acquire,
 * then the result (pair(flight.landed)). The flight leaves the table first: nobody joins a landed
 * one, and the callers counted at that moment are all there will ever be, so a flight with no
 * caller but its blocking leader costs no wake.
 */
#include <string.h>

#include "flight/deadlock.h"
#include "flight/mailbox.h"
#include "flight/table.h"

static size_t record_size(uint32_t key_len)
{
    return sizeof(struct flight) + key_len;
}

struct flight *flight_create(struct flight_table *table, const struct flight_join *join)
{
    struct flight *f = mem_alloc_zero(table->env->mem, record_size(join->key.len));
    if (!f)
        return NULL;
    uint8_t *key = (uint8_t *)(f + 1);
    memcpy(key, join->key.data, join->key.len);
    f->table = table;
    f->env = table->env;
    f->space = join->key.space;
    f->space_id = join->key.space_id;
    f->hash = join->key.hash;
    f->key = key;
    f->key_len = join->key.len;
    f->ticket = join->ticket;
    f->deadline_ns = join->deadline_ns;
    f->background = join->background;
    f->state = FLIGHT_GET;
    f->waiters = 1;
    atomic_init(&f->due_ns, CLOCK_NEVER_NS);
    atomic_init(&f->mail, flight_mail_first());
    atomic_init(&f->refs, 3); /* table, HELD, caller */
    return f;
}

void flight_ref(struct flight *f)
{
    atomic_fetch_add_explicit(&f->refs, 1, memory_order_relaxed);
}

void flight_unref(struct flight *f)
{
    /* pair(flight.refs): what each owner did comes before what the last one frees. */
    if (atomic_fetch_sub_explicit(&f->refs, 1, memory_order_acq_rel) != 1)
        return;
    NIGH_DCHECK(flight_landed(f) == FLIGHT_LANDED);
    struct flight_host *host = &f->table->host;
    host->free_result(host->arg, f);
    mem_free(f->env->mem, NULL, f, record_size(f->key_len));
}

uint32_t flight_landed(const struct flight *f)
{
    /* pair(flight.landed): acquire the result. */
    return atomic_load_explicit(&f->landed, memory_order_acquire);
}

bool flight_take_over(struct flight *f)
{
    uint32_t expected = FLIGHT_LEADERLESS;
    /* pair(flight.landed): acquire what the lost leader had written. */
    return atomic_compare_exchange_strong_explicit(&f->landed, &expected, FLIGHT_FLYING,
                                                   memory_order_acquire, memory_order_relaxed);
}

void flight_give_to_workers(struct flight *f)
{
    f->blocking = false;
    f->table->host.run(f->table->host.arg, f);
}

static uint32_t bit(enum flight_state state)
{
    return UINT32_C(1) << state;
}

/* Without Redis there is no lease to ask for, nor anything to fill: those states are passed by. */
static bool may_follow(enum flight_state from, enum flight_state to)
{
    const uint32_t after[] = {
        [FLIGHT_GET] = bit(FLIGHT_LEASE) | bit(FLIGHT_LOAD),
        [FLIGHT_LEASE] = bit(FLIGHT_WAIT) | bit(FLIGHT_LOAD),
        [FLIGHT_WAIT] = bit(FLIGHT_LEASE) | bit(FLIGHT_LOAD),
        [FLIGHT_LOAD] = bit(FLIGHT_FILL),
        [FLIGHT_FILL] = 0,
        [FLIGHT_LAND] = 0,
    };
    return after[from] & bit(to);
}

void flight_enter(struct flight *f, enum flight_state state)
{
    NIGH_CHECK(may_follow(f->state, state));
    f->state = state;
}

void flight_land(struct flight *f)
{
    NIGH_CHECK(f->state != FLIGHT_LAND);
    f->state = FLIGHT_LAND;
    uint32_t callers = flight_table_remove(f);
    /* pair(flight.landed): release the result. */
    atomic_store_explicit(&f->landed, FLIGHT_LANDED, memory_order_release);
    if (callers > (f->blocking ? 1 : 0))
        park_wake(f->env->park, &f->landed, PARK_ALL);
    flight_unref(f); /* the table's; the holder still has its own */
}
