// SPDX-License-Identifier: MIT
/*
 * The record of a flight: its birth, its references, its states.
 *
 * References (who may touch the record):
 *   table    from creation until it lands
 *   HELD     the holder's; passed on with HELD, dropped when HELD is given back. A leaderless
 *            flight keeps it for the thread that takes the flight over.
 *   caller   one per successful join; a watch's is dropped by its owner
 *   other    flight_ref() around an operation
 * While a flight flies the table's reference is there, so the last drop comes after the landing.
 * Each drop releases what its owner did and the last one acquires it all (pair(flight.refs)):
 * free_result sees the complete result.
 */
#include <string.h>

#include "flight/deadlock.h"
#include "flight/mailbox.h"
#include "flight/table.h"
#include "stats/stats.h"

/* Records of keys up to here are alike, and are used again. */
#define KEY_ROOM_BYTES 64u

static size_t aligned(size_t size)
{
    return (size + 15) & ~(size_t)15;
}

/* | struct flight | the host's room | key | */
static size_t room_offset(void)
{
    return aligned(sizeof(struct flight));
}

static size_t key_offset(const struct flight_table *table)
{
    return room_offset() + aligned(table->host.room_bytes);
}

static bool is_usual(uint32_t key_len)
{
    return !NIGH_SANITIZED && key_len <= KEY_ROOM_BYTES;
}

static size_t record_size(const struct flight_table *table, uint32_t key_len)
{
    return key_offset(table) + (is_usual(key_len) ? KEY_ROOM_BYTES : key_len);
}

static _Atomic(void *) *spare_of_thread(struct flight_table *table)
{
    return &table->spares[stats_self.number % FLIGHT_SPARES].record;
}

/* Get a record, zeroed but for the key. */
static void *record_take(struct flight_table *table, uint32_t key_len)
{
    /* pair(flight.spare): acquire what the thread that left the record did with it */
    void *record = is_usual(key_len) ? atomic_exchange_explicit(spare_of_thread(table), NULL,
                                                                memory_order_acquire)
                                     : NULL;
    if (record)
        return memset(record, 0, key_offset(table));
    return mem_lines_alloc_zero(table->env->mem, record_size(table, key_len));
}

static void record_leave(struct flight_table *table, void *record, uint32_t key_len)
{
    void *none = NULL;
    if (is_usual(key_len) &&
        atomic_compare_exchange_strong_explicit(spare_of_thread(table), &none, record,
                                                memory_order_release, /* pair(flight.spare) */
                                                memory_order_relaxed))
        return;
    mem_lines_free(table->env->mem, record, record_size(table, key_len));
}

void flight_spares_free(struct flight_table *table)
{
    for (unsigned i = 0; i < FLIGHT_SPARES; i++) {
        void *record = atomic_load_explicit(&table->spares[i].record, memory_order_relaxed);
        mem_lines_free(table->env->mem, record, record_size(table, KEY_ROOM_BYTES));
    }
}

/* Count what must be given back before the table goes; `more` is 1 or -1. */
#ifdef NDEBUG
static void note_records(struct flight_table *table, int more)
{
    (void)table, (void)more;
}
#else
static void note_records(struct flight_table *table, int more)
{
    atomic_fetch_add_explicit(&table->records, (uint32_t)more, memory_order_relaxed);
}
#endif

struct flight *flight_create(struct flight_table *table, const struct flight_join *join)
{
    struct flight *f = record_take(table, join->key.len);
    if (!f)
        return NULL;
    note_records(table, 1);
    uint8_t *key = (uint8_t *)f + key_offset(table);
    memcpy(key, join->key.data, join->key.len);
    f->table = table;
    f->env = table->env;
    f->space = join->key.space;
    f->space_id = join->key.space_id;
    f->hash = join->key.hash;
    f->key = key;
    f->room = (uint8_t *)f + room_offset();
    f->key_len = join->key.len;
    f->ticket = join->ticket;
    f->call = join->call;
    f->deadline_ns = join->deadline_ns;
    f->background = join->background;
    flight_set_state(f, FLIGHT_GET);
    f->waiters = join->watch ? 0 : 1;
    atomic_init(&f->due_ns, CLOCK_NEVER_NS);
    atomic_init(&f->mail, FLIGHT_MAIL_FIRST);
    atomic_init(&f->refs, 3); /* table, HELD, caller */
    return f;
}

void flight_ref(struct flight *f)
{
    atomic_fetch_add_explicit(&f->refs, 1, memory_order_relaxed);
}

void flight_unref(struct flight *f)
{
    /* pair(flight.refs): release of each owner, acquire of the last. */
    uint32_t refs = atomic_fetch_sub_explicit(&f->refs, 1, memory_order_acq_rel);
    NIGH_DCHECK(refs > 0);
    if (refs != 1)
        return;
    NIGH_DCHECK(flight_landed(f) == FLIGHT_LANDED);
    struct flight_table *table = f->table;
    table->host.free_result(table->host.arg, f);
    record_leave(table, f, f->key_len);
    note_records(table, -1);
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

/* Without Redis there is no lease to ask for: LEASE is passed by. LEASE is asked again when the
 * answer was a value that will not do, LOAD is begun again by the thread that takes it over. */
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
    flight_set_state(f, state);
}
