// SPDX-License-Identifier: MIT
/*
 * The record of a flight: its birth, its references, its states.
 *
 * References (who may touch the record):
 *   table    from creation until it lands
 *   HELD     whoever holds the flight; passed on with it, dropped when HELD is given back. A
 *            leaderless flight keeps it for who takes it over.
 *   caller   one per successful join
 *   other    flight_ref() around an operation
 * While it flies the table's is there, so the last drop comes after the landing. Each drop releases
 * what its owner did and the last one acquires it all (pair(flight.refs)): free_result sees the
 * complete result.
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
    atomic_fetch_add_explicit(&table->records, 1, memory_order_relaxed);
    return f;
}

void flight_ref(struct flight *f)
{
    atomic_fetch_add_explicit(&f->refs, 1, memory_order_relaxed);
}

void flight_unref(struct flight *f)
{
    /* pair(flight.refs): release of each owner, acquire of the last. */
    if (atomic_fetch_sub_explicit(&f->refs, 1, memory_order_acq_rel) != 1)
        return;
    NIGH_DCHECK(flight_landed(f) == FLIGHT_LANDED);
    struct flight_table *table = f->table;
    table->host.free_result(table->host.arg, f);
    mem_free(table->env->mem, NULL, f, record_size(f->key_len));
    atomic_fetch_sub_explicit(&table->records, 1, memory_order_relaxed);
}

uint32_t flight_landed(const struct flight *f)
{
    /* pair(flight.landed): acquire the result. */
    return atomic_load_explicit(&f->landed, memory_order_acquire);
}

bool flight_has_landed(const struct flight *f)
{
    return flight_landed(f) == FLIGHT_LANDED;
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

/* Without Redis there is no lease to ask for: LEASE is passed by. LEASE is asked again when it
 * answered with a value that will not do, LOAD is begun again by who takes it over. */
static bool may_follow(enum flight_state from, enum flight_state to)
{
    const uint32_t after[] = {
        [FLIGHT_GET] = bit(FLIGHT_LEASE) | bit(FLIGHT_LOAD),
        [FLIGHT_LEASE] = bit(FLIGHT_WAIT) | bit(FLIGHT_LOAD) | bit(FLIGHT_LEASE),
        [FLIGHT_WAIT] = bit(FLIGHT_LEASE) | bit(FLIGHT_LOAD),
        [FLIGHT_LOAD] = bit(FLIGHT_FILL) | bit(FLIGHT_LOAD),
        [FLIGHT_FILL] = 0,
        [FLIGHT_LAND] = 0,
    };
    return from != FLIGHT_LAND && (to == FLIGHT_LAND || (after[from] & bit(to)));
}

void flight_enter(struct flight *f, enum flight_state state)
{
    NIGH_CHECK(may_follow(f->state, state));
    f->state = state;
}
