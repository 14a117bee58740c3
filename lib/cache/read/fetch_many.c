// SPDX-License-Identifier: MIT
/*
 * Fetching many keys: what L1 has, then what L2 has, in one request; the rest flies. Where L2 is
 * not likely to have it (odds.h), all fly: the request for the leases tells what L2 has, too.
 *
 *     window by window:   join the flights of the keys, or begin them; ask for the leases of those
 *                         that begin here, all at once; load what is to be loaded, in one call
 *     then:               wait for all flights, those of others too, and take what landed
 *
 * A window has as many keys to load as one call of the loader takes. So a thread that runs a loader
 * leads no flight but those that this loader is for: a loader may ask for any key, and finds none
 * that waits for its own thread.
 *
 * Nobody waits for a flight of another's before all of its own have been brought as far as it can:
 * two calls that want the same keys in opposite orders lead some each, load those, and only then
 * wait for one another. A flight that waits for another process is let go, and the workers bring it
 * on.
 *
 * The joined flights lie in memory of their own. A loader that runs in the frame of this call may
 * not return: one of its own, or without own threads another's whose flight it waits for. The
 * flights are then left, and the memory freed, by who sets that right (gone()).
 */
#include "cache/load/batch.h"
#include "cache/caller.h"
#include "cache/load/crew.h"
#include "cache/value/freshness.h"
#include "cache/read/landed.h"
#include "cache/read/many.h"
#include "cache/read/from_l1.h"

#define WINDOW_KEYS 256u /* led at once where the loader runs elsewhere */

/* A flight that the call has joined, or begun. */
struct part {
    struct flight *flight; /* NULL: it has been left */
    bool shares;           /* the call has joined it for the same key before */
    struct joined joined;
    uint32_t index;        /* the key's, in the call */
};

struct bulk {
    struct caller_owner owner;
    struct many m;
    uint64_t id;
    uint64_t deadline_ns;
    uint32_t size;
    uint32_t count;
    struct part parts[];
};

static bool is_missing(int outcome)
{
    return outcome >= (int)MANY_UNKNOWN;
}

static size_t bytes_of_bulk(uint32_t size)
{
    return sizeof(struct bulk) + size * sizeof(struct part);
}

static void free_bulk(struct bulk *b)
{
    mem_free(b->m.space->cache->env.mem, NULL, b, bytes_of_bulk(b->size));
}

static void destroy(struct bulk *b)
{
    caller_set_owner(NULL);
    free_bulk(b);
}

static void leave(struct part *p)
{
    if (p->shares)
        flight_unref(p->flight);
    else
        flight_leave(p->flight);
    p->flight = NULL;
}

/* caller_owner.gone */
static void gone(struct caller_owner *o)
{
    struct bulk *b = CONTAINER_OF(o, struct bulk, owner);
    flight_waits_end();
    for (uint32_t i = 0; i < b->count; i++)
        if (b->parts[i].flight)
            leave(&b->parts[i]);
    free_bulk(b);
}

static struct bulk *create(const struct many *m, uint32_t size)
{
    struct nigh *cache = m->space->cache;
    struct bulk *b = mem_alloc(cache->env.mem, NULL, bytes_of_bulk(size));
    if (!b)
        return NULL;
    static _Atomic uint64_t calls; /* relaxed: only told apart */
    *b = (struct bulk){{gone}, *m, .size = size};
    b->id = 1 + atomic_fetch_add_explicit(&calls, 1, memory_order_relaxed);
    b->deadline_ns = cache_deadline_ns(cache, m->call, m->space->rules.load_deadline_ms);
    caller_set_owner(&b->owner);
    return b;
}

static void set_outcome(const struct many *m, size_t i, int rc)
{
    m->outcomes[i] = rc;
    if (rc < 0)
        stats_count(&m->space->stats, STATS_READ_ERROR);
}

/* ---- a window ---- */

/* Joins the flight of a key, or begins it, as one of the crew. */
static bool join(struct bulk *b, size_t i, struct crew *crew)
{
    struct nigh_space *space = b->m.space;
    struct part *p = &b->parts[b->count];
    struct l1_key key = many_key(&b->m, i);
    int missing = b->m.outcomes[i];
    int role = join_flight(space, &key, b->m.call, NULL, b->id, &p->joined, &p->flight);
    if (role < 0) {
        set_outcome(&b->m, i, role);
        return false;
    }
    p->index = (uint32_t)i;
    b->count++;
    p->shares = role == FLIGHT_SHARER;
    if (role != FLIGHT_LEADER)
        return false;
    struct load *l = p->flight->work;
    l->known = missing == MANY_NOT_IN_L2   ? LOAD_KNOWS_MISS
               : missing == MANY_L2_FAILED ? LOAD_KNOWS_FAILED
                                           : LOAD_KNOWS_NOTHING;
    crew_add(crew, l);
    return true;
}

static bool is_undecided(const struct flight *f)
{
    return ((const struct load *)f->work)->crew != NULL;
}

/* Whether its flight waits to be told what L2 has. */
static bool asks_value(const struct flight *f)
{
    return f->state == FLIGHT_GET && is_undecided(f);
}

static void lead_while(struct bulk *b, uint32_t from, bool (*waits)(const struct flight *f))
{
    for (const struct part *p = b->parts + from; p < b->parts + b->count; p++)
        if (p->joined.leads)
            flight_lead_while(p->flight, b->deadline_ns, waits);
}

/* Brings the flights that begin here, from part `from` on, to where they are loaded or wait for
 * others: a round in which each has its first step, one that ends when it is known of each what L2
 * has, and what remains. */
static void lead(struct bulk *b, uint32_t from, uint32_t led, struct crew *crew)
{
    const struct part *p, *end = b->parts + b->count;
    bool alone = led == 1; /* it asks alone, with this thread's help */
    if (alone)
        crew_end_round(crew);
    for (p = b->parts + from; p < end; p++)
        if (p->joined.leads)
            flight_lead_first(p->flight, alone ? b->deadline_ns : 0);
    if (!alone) {
        crew_end_round(crew);
        crew_begin_round(crew);
        lead_while(b, from, asks_value);
        crew_end_round(crew);
    }
    lead_while(b, from, is_undecided);
    for (p = b->parts + from; p < end; p++)
        if (p->joined.leads)
            flight_let_go(p->flight);
}

static bool is_late(const struct bulk *b)
{
    return clock_now_ns(&b->m.space->cache->clock) >= b->deadline_ns;
}

/* Where the call's loads are loaded. */
enum where {
    HERE,      /* on this thread */
    ELSEWHERE, /* on workers */
    GATHERED,  /* with those of other calls */
};

static enum where where(const struct nigh_space *space)
{
    if (gather_takes(space, true))
        return GATHERED;
    bool here = space->cache->drive || workers_on_worker() || !space->rules.run_on_worker;
    return here ? HERE : ELSEWHERE;
}

/* Loads on this thread, which may be in another loader that waits for this one. */
static void run_here(struct load_list list)
{
    if (!list.first)
        return;
    (void)flight_waits_begin(list.first->flight); /* no circle: the first waits for nothing */
    batch_run(list);
    flight_waits_end();
}

/* Flies what is missing of keys[at ..), until `most` have begun. Returns how far it has come. */
static size_t fly_window(struct bulk *b, size_t at, uint32_t most, enum where where)
{
    uint32_t from = b->count, led = 0;
    struct crew *crew = crew_create(b->m.space, false);
    for (; at < b->m.count && led < most; at++) {
        if (!is_missing(b->m.outcomes[at]))
            continue;
        if (crew)
            led += join(b, at, crew);
        else
            set_outcome(&b->m, at, NIGH_ENOMEM);
    }
    if (!crew)
        return at;
    lead(b, from, led, crew);
    struct load_list list = crew_end(crew);
    if (where == HERE && !is_late(b))
        run_here(list);
    else if (where == GATHERED)
        gather_add(b->m.space, list);
    else
        batch_queue(list);
    return at;
}

/* ---- the call ---- */

/* Takes what the flight of a part has brought. */
static int take(const struct bulk *b, const struct part *p)
{
    struct l1_key key = many_key(&b->m, p->index);
    struct landing landing = load_landing(p->flight);
    if (landing.outcome == NIGH_ELOADER)
        cache_set_load_error(landing.error);
    int rc = landed_take(b->m.space, &key, &landing, &p->joined, b->m.call,
                         &b->m.values[p->index]);
    return rc == NIGH_PENDING ? (int)MANY_UNKNOWN : rc;
}

/* Waits for all flights, and leaves them. False: one of them was no answer, so its key is still
 * missing. */
static bool take_all(struct bulk *b)
{
    bool all = true;
    for (uint32_t i = 0; i < b->count; i++) {
        struct part *p = &b->parts[i];
        int rc = caller_is_left() ? NIGH_ECLOSED : flight_wait(p->flight, b->deadline_ns);
        set_outcome(&b->m, p->index, rc == 0 ? take(b, p) : join_refused(b->m.space, rc));
        all = all && !is_missing(b->m.outcomes[p->index]);
    }
    for (uint32_t i = 0; i < b->count; i++) /* only now: a flight counts the call once */
        leave(&b->parts[i]);
    b->count = 0;
    return all;
}

/* Loads by windows: where the loader runs on this thread one is what one call of it takes. */
static void fly(struct bulk *b)
{
    const struct nigh_space *space = b->m.space;
    enum where place = where(space);
    uint32_t most = place == HERE ? space->rules.batch : WINDOW_KEYS;
    bool all;
    do {
        size_t at = 0;
        do {
            at = fly_window(b, at, most, place);
        } while (at < b->m.count && !caller_is_left() && !is_late(b));
        all = take_all(b);
    } while (!all && !caller_is_left() && !is_late(b));
}

/* Gives every key that is still missing this outcome. Returns how many there were. */
static uint32_t give_up(const struct many *m, int rc)
{
    uint32_t count = 0;
    for (size_t i = 0; i < m->count; i++) {
        if (!is_missing(m->outcomes[i]))
            continue;
        set_outcome(m, i, rc);
        count++;
    }
    return count;
}

/* Counts the keys that have to be brought. */
static uint32_t count_missing(const struct many *m)
{
    uint32_t count = 0;
    for (size_t i = 0; i < m->count; i++) {
        if (m->outcomes[i] == NIGH_MISS)
            m->outcomes[i] = MANY_UNKNOWN;
        count += is_missing(m->outcomes[i]);
    }
    return count;
}

static void give_back_tickets(const struct many *m)
{
    for (size_t i = 0; i < m->count; i++) {
        if (m->outcomes[i] != NIGH_MISS)
            continue;
        struct l1_key key = many_key(m, i);
        tickets_give_back_own(m->space, &key);
    }
}

/* Whether the flights ask L2 for all they want to know: first of all for the leases, many at once,
 * as L2 is not likely to have values. */
static bool leases_first(const struct nigh_space *space)
{
    bool many = where(space) != HERE || space->rules.batch > 1;
    return many && space->loader && odds_are_low(&space->odds);
}

static void fetch_missed(const struct many *m)
{
    give_back_tickets(m);
    if (!(FLAGS_OF(m->call) & NIGH_REFRESH) && !leases_first(m->space))
        many_read_l2(m);
    uint32_t count = count_missing(m);
    if (count == 0)
        return;
    struct bulk *b = create(m, count);
    if (b) {
        fly(b);
        destroy(b);
    }
    int rc = caller_is_left() ? NIGH_ECLOSED : b ? NIGH_ETIMEDOUT : NIGH_ENOMEM;
    give_up(m, rc);
}

/* Begins the load of each missed key, and waits for none. They are one crew; if there is no memory
 * for it each is alone. */
static void load_all_behind(const struct many *m)
{
    struct crew *crew = crew_create(m->space, true);
    for (size_t i = 0; i < m->count; i++) {
        if (m->outcomes[i] != NIGH_MISS)
            continue;
        struct l1_key key = many_key(m, i);
        set_outcome(m, i, load_behind(m->space, &key, m->call, crew));
    }
    if (!crew)
        return;
    crew_end_round(crew);
    crew_go_on(crew);
}

int nigh_fetch_many(struct nigh_space *space, const struct nigh_key *keys, size_t count,
                    const struct nigh_call *call, struct nigh_value *ret_values, int *ret_outcomes)
{
    struct many m = {space, keys, count, call, ret_values, ret_outcomes, true};
    return many_read(&m, fetch_missed, load_all_behind);
}
